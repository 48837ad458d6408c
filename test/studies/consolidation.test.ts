/**
 * The studies of consolidation show what they are cited for, and the recordings they play are what the commands beside them make.
 * Expected: utilization is arithmetic (5 and 15 % each), a lone replay is the executed guest, targets are those that docs/studies.md names.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { decodeHeader } from '../../src/host/replay/recording.ts';
import { hvsim } from '../cli/hvsim.ts';
import { StudyResults } from './results.ts';

const SCHEDULERS = ['credit', 'credit2', 'cfs', 'eevdf', 'esx', 'round-robin', 'stride', 'bvt'];
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const MS = 1_000_000;

describe('consolidation under eight schedulers', () => {
  const study = new StudyResults('consolidation-schedulers');
  const mean = (scheduler: string, servers: number, column: string): number =>
    SEEDS.map((seed) => study.ofRun({ scheduler, servers: String(servers), seed: String(seed) }, column)).reduce(
      (sum, value) => sum + value / SEEDS.length,
      0,
    );

  test.each(SCHEDULERS)('%s: utilization is the demand of the servers until the CPUs are full', (scheduler) => {
    for (const servers of [1, 4, 8]) {
      // 5 and 15 % for half of them each: 10 % on average.
      expect(Math.abs(mean(scheduler, servers, 'utilization_ratio') - servers / 10)).toBeLessThan(0.03);
    }
    expect(mean(scheduler, 12, 'utilization_ratio')).toBeGreaterThan(0.99);
  });

  test.each(SCHEDULERS)(
    '%s: within ten times the p99 of the fewest up to eight per CPU, and with twelve far from it',
    (scheduler) => {
      const target = 10 * mean(scheduler, 1, 'response_p99_ns');
      for (const servers of [2, 4, 6, 7, 8]) expect(mean(scheduler, servers, 'response_p99_ns')).toBeLessThan(target);
      expect(mean(scheduler, 12, 'response_p99_ns')).toBeGreaterThan(3 * target);
      expect(mean(scheduler, 12, 'units') / 12).toBeLessThan((0.95 * mean(scheduler, 8, 'units')) / 8);
    },
  );
});

describe('executed, replayed and modelled servers', () => {
  const study = new StudyResults('consolidation-agreement');
  const of = (scheduler: string, servers: string, column: string): number =>
    study.ofRun({ scheduler, servers }, column);

  test.each(SCHEDULERS)('%s: alone, a replay is what was executed', (scheduler) => {
    for (const column of [
      'units',
      'jobs',
      'pcpu_busy_ns',
      'running_ns',
      'blocked_ns',
      'dispatches',
      'response_p50_ns',
      'response_p99_ns',
      'response_max_ns',
    ]) {
      expect(of(scheduler, 'one, replayed', column)).toBe(of(scheduler, 'one, executed', column));
    }
    for (const column of ['instructions', 'guest_cycles', 'walk_cycles', 'exit_cycles', 'vmm_cycles', 'exits']) {
      const cycles = (servers: string): number => study.ofTable('vms', { scheduler, servers }, { vm: 'web-1' }, column);
      expect(cycles('one, replayed')).toBe(cycles('one, executed'));
      expect(cycles('one, executed')).toBeGreaterThan(0);
    }
  });

  test.each(SCHEDULERS)('%s: six on one CPU do the same within 4 in a hundred, a model within 15', (scheduler) => {
    for (const [kind, within] of [
      ['six, replayed', 0.04],
      ['six, modelled', 0.15],
    ] as const) {
      for (const column of ['units', 'utilization_ratio']) {
        const executed = of(scheduler, 'six, executed', column);
        expect(Math.abs(of(scheduler, kind, column) - executed)).toBeLessThan(within * executed);
      }
      expect(
        Math.abs(of(scheduler, kind, 'response_p99_ns') - of(scheduler, 'six, executed', 'response_p99_ns')),
      ).toBeLessThan(10 * MS);
    }
  });
});

describe('recordings', () => {
  const folder = new URL('../../scenarios/recordings', import.meta.url).pathname;
  const out = mkdtempSync(join(tmpdir(), 'hvsim-recordings-'));
  afterAll(() => rmSync(out, { recursive: true }));
  const commands = [...readFileSync(join(folder, 'README.md'), 'utf8').matchAll(/npx hvsim (record .*) --out (\S+)/g)];

  test('each has its command', () => {
    const files = readdirSync(folder).filter((file) => file.endsWith('.hvrec'));
    expect(commands.map(([, , file]) => file).sort()).toEqual(files.sort());
  });

  test.each(commands.map(([, args, file]) => [file!, args!]))(
    '%s is of the guest that its command names',
    (file, args) => {
      const { guest, workload, durationNs } = decodeHeader(file, readFileSync(join(folder, file)));
      expect(args).toBe(`record ${guest} --append "${workload}" --max-seconds ${durationNs / 1_000_000_000}`);
    },
  );

  // The others are made in the same way, and take seconds.
  test.each(['web-light.hvrec', 'web-1.hvrec'])(
    '%s is, byte for byte, what its command records today',
    async (file) => {
      const args = commands.find(([, , name]) => name === file)![1]!;
      const words = [...args.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
      const { code } = await hvsim(...words, '--out', join(out, file));
      expect(code).toBe(0);
      expect(readFileSync(join(out, file)).equals(readFileSync(join(folder, file)))).toBe(true);
    },
  );
});

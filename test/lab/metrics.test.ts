/** The tables: exact columns, exact bytes for a small experiment, and the rules behind derived columns. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { METRICS } from '../../src/lab/metrics/index.ts';
import { planRuns } from '../../src/lab/plan.ts';
import type { RunRecord, VmRecord } from '../../src/lab/rows.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import { csvText } from '../../src/report/csv.ts';
import { frameOf, num, text } from '../../src/report/frame.ts';
import { runWorld } from './fake-world.ts';

const scenario = defineScenario({
  name: 'small',
  duration: '1 s',
  host: { pcpus: 2, memory: '128 MiB' },
  vms: [
    { name: 'a', guest: 'nano', workload: 'sieve n=10' },
    { name: 'b', count: 2, guest: 'nano-clean', workload: 'web seed={seed}' },
  ],
  sweep: { technique: { path: 'vms[a].technique', values: ['trap-and-emulate', 'hardware-assisted'] } },
});
const records = planRuns(scenario, (guest) => guest).runs.map(runWorld);
const fold = (name: string) => METRICS.find((metric) => metric.name === name)!.fold(records, scenario.axes);

test('vms.csv has the promised columns', () => {
  expect(fold('vms').columns.join(', ')).toBe(
    'run_id, vm, guest, workload, technique, paging, outcome, equivalent, instructions, guest_cycles, walk_cycles, ' +
      'exit_cycles, vmm_cycles, exits, work_units, slowdown_ratio',
  );
});

test.each(METRICS.map(({ name }) => name))('%s.csv is the committed one, byte for byte', async (name) => {
  const file = `test/lab/golden/${name}.csv`;
  const bytes = await csvText(fold(name));
  if (process.env['UPDATE'] === '1') writeFileSync(file, bytes);
  expect(bytes).toBe(readFileSync(file, 'utf8'));
});

test('every column is explained in a sentence', () => {
  for (const metric of METRICS) {
    for (const { name, doc } of metric.columns(scenario.axes)) {
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(doc).toMatch(/[.]$/);
    }
  }
});

test('the documentation names every table and every way in which a VM can end', () => {
  const docs = readFileSync('docs/results.md', 'utf8');
  for (const { name } of METRICS) expect(docs).toContain(`\`${name}.csv\``);
  const outcomes = /export type OutcomeKind =([^;]*);/.exec(readFileSync('src/vmm/vm.ts', 'utf8'))![1]!;
  const names = [...outcomes.matchAll(/'([a-z-]+)'/g)].map((match) => match[1]);
  expect(names.length).toBeGreaterThan(4);
  for (const name of names) expect(docs).toContain(`| \`${name}\` |`);
});

test('the time of each vCPU is accounted for', () => {
  for (const row of frameOf(fold('vcpus')).rows) {
    const states = ['running_ns', 'ready_ns', 'blocked_ns', 'parked_ns', 'costopped_ns'];
    const vm = records
      .find(({ run }) => String(run.runId) === text(row, 'run_id'))!
      .vms.find(({ name }) => name === text(row, 'vm'))!;
    expect(states.reduce((sum, state) => sum + num(row, state)!, 0)).toBe(vm.elapsedNs);
  }
});

describe('equivalent and slowdown_ratio', () => {
  const base = records.find(({ run }) => run.role === 'baseline')!;
  const point = records[1]!;

  /** The two derived cells of VM `a` in run 2, when it and its twin are changed. */
  function derived(own: Partial<VmRecord>, twin: Partial<VmRecord>): (string | number | boolean | null)[] {
    const change = (record: RunRecord, by: Partial<VmRecord>): RunRecord => ({
      ...record,
      vms: [
        {
          ...record.vms[0]!,
          outcome: 'completed',
          exitCode: 0,
          console: 'x',
          workUnits: 10,
          elapsedNs: 100,
          divergences: [],
          ...by,
        },
      ],
    });
    const [row] = METRICS.find(({ name }) => name === 'vms')!.fold([change(point, own), change(base, twin)], []).rows;
    return [row![7]!, row![15]!];
  }

  test.each<[string, Partial<VmRecord>, Partial<VmRecord>, [boolean | null, number | null]]>([
    ['the same', {}, {}, [true, 1]],
    ['slower', { elapsedNs: 250 }, {}, [true, 2.5]],
    ['another console', { console: 'y' }, {}, [false, 1]],
    ['another exit code', { exitCode: 3 }, {}, [false, 1]],
    [
      'a divergence',
      { divergences: [{ address: 1, bytes: '9d', mnemonic: 'popf', count: 1, expected: '', seen: '' }] },
      {},
      [false, 1],
    ],
    ['a crash', { outcome: 'triple-fault' }, {}, [false, null]],
    ['a crash of the twin', {}, { outcome: 'triple-fault' }, [false, null]],
    ['other work', { workUnits: 9 }, {}, [true, null]],
    ['no work', { workUnits: 0 }, { workUnits: 0 }, [true, null]],
    ['time ran out for one', { outcome: 'time-limit', console: '', workUnits: 5 }, {}, [null, 2]],
    ['time ran out, but it said something else', { outcome: 'time-limit', console: 'y', workUnits: 5 }, {}, [false, 2]],
  ])('%s', (_name, own, twin, expected) => expect(derived(own, twin)).toEqual(expected));
});

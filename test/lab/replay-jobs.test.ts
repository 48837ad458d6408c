/** Jobs of executed and replayed guests by one rule, and recordings that are played round and round from anywhere. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  encodeRecording,
  OP_BLOCK,
  OP_CUT,
  OP_SEGMENT,
  OP_STOP,
  type Op,
  type RecordingHeader,
} from '../../src/host/replay/recording.ts';
import { runWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { recordRun } from '../../src/lab/record.ts';
import { Recordings } from '../../src/lab/recordings.ts';
import type { RunRecord } from '../../src/lab/rows.ts';
import { parseScenario } from '../../src/lab/scenario.ts';

const folder = mkdtempSync(join(tmpdir(), 'hvsim-jobs-'));
afterAll(() => rmSync(folder, { recursive: true }));

function planOf(vms: string, { duration = '2 s', seed = 1, scheduler = 'credit', pcpus = 1 } = {}) {
  const text = `
name: a
duration: ${duration}
host: { pcpus: ${pcpus}, memory: 256 MiB, scheduler: ${scheduler} }
vms: [${vms}]
seeds: [${seed}]
metrics: [scheduling]
`;
  const recordings = new Recordings();
  const recordingFrom = (written: string, asRing?: boolean) => recordings.header(written, written, asRing);
  return planRuns(parseScenario(text, 'a.yaml', { recordingFrom }), (file) => file).runs[0]!;
}

const run = (...args: Parameters<typeof planOf>): RunRecord => runWorld(planOf(...args));

function write(name: string, bytes: Uint8Array): string {
  const file = join(folder, name);
  writeFileSync(file, bytes);
  return file;
}

describe('jobs of an executed guest and of its recording', () => {
  test.each([
    ['a guest that ends', 'web requests=12 hz=500', '2 s', 'credit'],
    ['a guest that does not, up to the end of the run', 'web requests=5000 gap=3 hz=500', '200 ms', 'cfs'],
  ])('%s: the same, to the nanosecond', (_, workload, duration, scheduler) => {
    const guest = `{ name: vm, guest: nano, workload: "${workload}" }`;
    const { recording } = recordRun(planOf(guest, { duration: '500 ms' }));
    const file = write('web.hvrec', encodeRecording(recording));
    const executed = run(guest, { duration, scheduler }).scheduling!;
    const replayed = run(`{ name: vm, replay: ${file} }`, { duration, scheduler }).scheduling!;
    expect(executed.work!.jobs).toBeGreaterThan(5);
    expect(replayed.work).toEqual(executed.work);
    expect(replayed.busyNs).toBe(executed.busyNs);
  });

  test('of several vCPUs nobody knows who did it', () => {
    const { work } = run('{ name: vm, guest: nano-smp, vcpus: 2, workload: "barrier phases=20" }', { pcpus: 2 })
      .scheduling!;
    expect(work).toBeNull();
  });
});

describe('a ring', () => {
  const MS = 1_000_000;
  const header: RecordingHeader = {
    guest: 'made by hand',
    imageSha256: '0'.repeat(64),
    workload: '',
    technique: 'hardware-assisted',
    paging: 'nested',
    preset: 'broadwell',
    frequencyHz: 2_600_000_000,
    memoryBytes: 4096,
    durationNs: 1_000 * MS,
    reasons: [],
  };
  const work = (ms: number, units = -1): Op => ({
    kind: OP_SEGMENT,
    cycles: [ms * 2_600_000, 0, 0, 0, 0],
    instructions: ms,
    units,
    exits: [],
  });
  const until = (ms: number): Op => ({ kind: OP_BLOCK, until: ms * MS });
  // It boots for 7 ms, and then answers requests at 10, 30 and 40 ms, of 1, 2 and 4 ms; the ring is 10 to 50 ms.
  const ops: Op[] = [
    work(7, 5),
    until(10),
    work(1, 6),
    until(30),
    work(2, 7),
    until(40),
    work(4, 8),
    until(50),
    work(8),
    until(70),
    { kind: OP_CUT },
  ];
  const file = write('ring.hvrec', encodeRecording({ header, ops }));

  test('is played round and round, without the beginning and what was cut off', () => {
    const record = run(`{ name: vm, replay: ${file}, offset: 0 ns }`, { duration: '400 ms' });
    const { work: done, busyNs } = record.scheduling!;
    // Ten rounds of 40 ms, each three requests in 7 ms; the run begins with the first.
    expect(done).toMatchObject({ units: 30, jobs: 30 });
    expect(busyNs).toBe(70 * MS);
    expect(record.vms[0]!.instructions).toBe(70);
    expect(done!.responses).toMatchObject({ p50Ns: 2 * MS, maxNs: 4 * MS });
  });

  test('is begun in the middle: what would be under way there is left out', () => {
    // 21 ms behind its beginning is 31 ms: the next request is that of 40 ms, after 9 ms; then 19, 39, 49, 59 ms.
    const of = (duration: string) => run(`{ name: vm, replay: ${file}, offset: 21 ms }`, { duration }).scheduling!;
    expect(of('13 ms').work).toMatchObject({ jobs: 1, units: 1 });
    expect(of('12 ms').work!.jobs).toBe(0);
    expect(of('20001 us').work).toMatchObject({ jobs: 2, units: 2 });
    expect(of('59 ms').busyNs).toBe((4 + 1 + 2 + 4) * MS);
    // Once round is where it was.
    const again = run(`{ name: vm, replay: ${file}, offset: 61 ms }`, { duration: '1 s' });
    expect(again.digest).toBe(run(`{ name: vm, replay: ${file}, offset: 21 ms }`, { duration: '1 s' }).digest);
  });

  test('random: each VM elsewhere, by the seed; another VM changes nothing', () => {
    const jobs = (vms: string, seed: number) =>
      run(vms, { duration: '35 ms', seed, pcpus: 4 }).scheduling!.vms.map(({ work: done, runningNs }) => [
        done!.jobs,
        runningNs,
      ]);
    const four = `{ name: vm, count: 4, replay: ${file}, offset: random }`;
    const first = jobs(four, 1);
    expect(jobs(four, 1)).toEqual(first);
    expect(jobs(four, 2)).not.toEqual(first);
    expect(new Set(first.map(String)).size).toBeGreaterThan(1);
    expect(jobs(four.replace('count: 4', 'count: 3'), 1)).toEqual(first.slice(0, 3));
  });

  test('needs a guest that goes on', () => {
    const ended = write(
      'ended.hvrec',
      encodeRecording({ header, ops: [work(1), until(10), work(1), until(20), { kind: OP_STOP }] }),
    );
    expect(() => run(`{ name: vm, replay: ${ended}, offset: random }`)).toThrow(
      /vms\[0\]\.offset: .*ended\.hvrec cannot be begun at an offset: its guest ends, or waits less than twice/,
    );
  });
});

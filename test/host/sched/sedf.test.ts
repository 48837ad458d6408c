/**
 * SEDF against the reference (1.7, row V13) and worked schedules: slices, extra time by weight, short and long unblocks,
 * deadlines that slip, no balancing.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, io, periodic } from '../../../src/host/modelled/index.ts';
import { sedf } from '../../../src/host/sched/sedf.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };
/** A hog with a slice, both in ms, that takes no extra time unless told. */
const slice = (period: number, time: number, more: LabVm['params'] = { extratime: false }): LabVm => ({
  ...A,
  params: { period_us: period * 1000, slice_us: time * 1000, ...more },
});
const run = (ms: number, spec: Omit<LabSpec, 'policy'>): Lab => {
  const lab = new Lab({ policy: sedf, ...spec });
  lab.runMs(ms);
  return lab;
};
const ranMs = (lab: Lab): number[] => lab.host.tasks.map((task) => task.times[STATE_RUNNING] / NS_PER_MS);

describe('V13: (20, 5), (10, 2) and best effort', () => {
  test('25 %, 20 %, the rest', () => {
    const lab = run(10_000, { vms: [slice(20, 5), slice(10, 2), A] });
    expect(lab.shares()).toEqual([0.25, 0.2, 0.55]);
    expect(lab.note('missed-deadline')).toBe(0);
  });
  test('the first period: B 0-2, A 2-7, extra 7-10, B 10-12, extra 12-20', () => {
    const lab = new Lab({ policy: sedf, vms: [slice(20, 5), slice(10, 2), A] });
    const steps = [2, 7, 10, 12, 20].map((ms) => {
      lab.runMs(ms);
      return ranMs(lab);
    });
    expect(steps).toEqual([
      [0, 2, 0],
      [5, 2, 0],
      [5, 2, 3],
      [5, 4, 3],
      [5, 4, 11],
    ]);
  });
  test('without best effort the rest is idle', () => {
    expect(run(10_000, { vms: [slice(20, 5), slice(10, 2)] }).host.pcpus[0]!.idleNs).toBe(5500 * NS_PER_MS);
  });
});

describe('extra time', () => {
  test('best-effort hogs share it equally, or by extraweight 1:2:3', () => {
    for (const share of run(3000, { vms: [A, A, A] }).shares()) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.002);
    const weighted = [1, 2, 3].map((extraweight) => ({ ...A, params: { extraweight } }));
    for (const [i, share] of run(6000, { vms: weighted }).shares().entries()) {
      expect(Math.abs(share - (i + 1) / 6)).toBeLessThan(0.002);
    }
  });
  test('is not given out where less than 500 us remain: (1 ms, 0.6) leaves 0.4 idle', () => {
    const lab = run(1000, { vms: [slice(1, 0.6), A] });
    expect(lab.shares()).toEqual([0.6, 0]);
  });
  test('of real-time vCPUs: scores 2^10 period/slice against 2^17, so (100, 20) gets 25.6 quanta for each of best effort', () => {
    const lab = run(100_000, { vms: [slice(100, 20, {}), A] });
    // 20 ms for certain, and 128/5 of 128/5 + 1 parts of the 80 ms.
    const parts = 2 ** 17 / (2 ** 10 * 5);
    expect(Math.abs(lab.shares()[0] - (0.2 + (0.8 * parts) / (parts + 1)))).toBeLessThan(0.005);
  });
});

describe('blocks', () => {
  test('long: a full slice from the wake-up on, and it is there at once', () => {
    const request: LabVm = {
      ...slice(10, 2),
      demand: periodic,
      with: { work_us: 2_000, period_us: 30_000, phase_us: 3_700 },
    };
    const lab = run(3000, { vms: [request, A] });
    // The first is a short one: it was created at 0, in the same period.
    expect(lab.host.tasks[0]!.wakeLatencies[0]).toBe(6.3 * NS_PER_MS);
    expect(Math.max(...lab.host.tasks[0]!.wakeLatencies.slice(1))).toBe(0);
  });
  test('short: no slice before the next period', () => {
    // 1 ms of 5, then a pause of 1 ms: it wakes at 2 ms in the same period of 20 ms and waits until 20 ms.
    const io1: LabVm = { ...slice(20, 5), demand: io, with: { work_us: 1_000, wait_us: 1_000 } };
    const lab = run(200, { vms: [io1, A] });
    expect(lab.host.tasks[0]!.wakeLatencies.slice(0, 3).map((ns) => ns / NS_PER_MS)).toEqual([18, 18, 18]);
    expect(lab.shares()[0]).toBe(0.05);
  });
  test('short, with extra time: what was lost goes before the others (L0), after the quantum that runs', () => {
    const io1: LabVm = { ...slice(20, 5, {}), demand: io, with: { work_us: 1_000, wait_us: 1_000 } };
    const lab = run(200, { vms: [io1, A] });
    expect(lab.host.tasks[0]!.wakeLatencies[0]).toBe(0);
    expect(lab.shares()[0]).toBeGreaterThan(0.2);
  });
});

test('more than there is: three slices of (10, 5) slip in rotation, two thirds of a slice each', () => {
  const lab = run(30_000, { vms: [slice(10, 5), slice(10, 5), slice(10, 5)] });
  for (const share of lab.shares()) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.02);
  expect(lab.note('missed-deadline')).toBeGreaterThan(0);
});

test('slices by weight: 256:512 beside (100, 35) are 20 and 40 ms of 100', () => {
  const vms = [
    slice(100, 35),
    { ...A, params: { extratime: false } },
    { ...A, weight: 512, params: { extratime: false } },
  ];
  expect(run(10_000, { params: { weights: 'real-time' }, vms }).shares()).toEqual([0.35, 0.2, 0.4]);
});

test('no balancing: three hogs with even numbers on two pCPUs leave one idle', () => {
  const lab = new Lab({ policy: sedf, pcpus: 2, vms: [{ ...A, vcpus: 5 }] });
  for (const odd of [1, 3]) lab.host.end(lab.host.tasks[odd]!);
  lab.runMs(3000);
  expect(lab.host.pcpus[1]!.idleNs).toBe(3000 * NS_PER_MS);
  for (const even of [0, 2, 4]) expect(Math.abs(lab.shares()[even]! - 1 / 3)).toBeLessThan(0.002);
});

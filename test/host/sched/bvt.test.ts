/**
 * BVT against the golden slices of the reference (1.6, row V12) and its scenarios: warp abuse, partitioned queues, sleepers.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { bvt } from '../../../src/host/sched/bvt.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };
const advance = (mcu_advance: number): LabVm => ({ ...A, params: { mcu_advance } });
const run = (ms: number, spec: Omit<LabSpec, 'policy'>): Lab => {
  const lab = new Lab({ policy: bvt, keepMax: 100_000, ...spec });
  lab.runMs(ms);
  return lab;
};
/** Who ran and for how many ms, in order: `A5 B10 ...`; the last one is cut off by the end of the run. */
function slices(lab: Lab): string {
  const starts = lab.trace.events.filter(({ kind }) => kind === 'running');
  return starts
    .map(
      ({ at, vcpu }, i) =>
        `${'ABC'[vcpu]}${Math.round((100 * ((starts[i + 1]?.at ?? lab.host.now) - at)) / NS_PER_MS) / 100}`,
    )
    .join(' ');
}

describe('V12: slices', () => {
  const coded = { slices: 'as-coded' };
  test('equal advances, paper: 5 ms, then 10 ms each', () => {
    expect(slices(run(55, { vms: [A, A] }))).toBe('A5 B10 A10 B10 A10 B10');
  });
  test('equal advances, as coded: 5 ms in turn', () => {
    expect(slices(run(30, { params: coded, vms: [A, A] }))).toBe('A5 B5 A5 B5 A5 B5');
  });
  test('10 against 5, paper: 7.5 ms and 15 ms', () => {
    expect(slices(run(65, { vms: [advance(10), advance(5)] }))).toBe('A5 B15 A7.5 B15 A7.5 B15');
  });
  test('10 against 5, as coded: A5 B5 B5', () => {
    const lab = run(3000, { params: coded, vms: [advance(10), advance(5)] });
    // Two slices of B in a row are one stay on the pCPU.
    expect(slices(lab).split(' ').slice(0, 6).join(' ')).toBe('A5 B10 A5 B10 A5 B10');
  });
  test.each([{}, coded])('10 against 5: shares 1/3 and 2/3, %o', (params) => {
    const [a, b] = run(60_000, { params, vms: [advance(10), advance(5)] }).shares();
    expect(Math.abs(a! - 1 / 3)).toBeLessThan(0.005);
    expect(Math.abs(b! - 2 / 3)).toBeLessThan(0.005);
  });
  test('the advance is inverse to the weight unless it is given: 256 against 512 is 10 against 5', () => {
    expect(slices(run(65, { vms: [A, { ...A, weight: 512 }] }))).toBe('A5 B15 A7.5 B15 A7.5 B15');
  });
  test('other advances and another allowance: 4 against 3, C = 2 ms', () => {
    // A to 2 ms: 20 x 4 = 80. B: 80/3 units and 2 ms are 4.6666 ms, 47 units: 141. A: 61/4 units are 1.525 + 2 ms.
    const lab = run(30, { params: { context_allow_us: 2000 }, vms: [advance(4), advance(3)] });
    expect(slices(lab).split(' ').slice(0, 3).join(' ')).toBe('A2 B4.67 A3.53');
  });
});

describe('warp', () => {
  const warped = { warp: true, warp_value: 1_000_000_000 };
  test('abuse: a hog that warps starves the other for 2 s, which then catches up for 1 s', () => {
    const lab = run(2000, { vms: [{ ...A, params: warped }, A] });
    expect(lab.shares()).toEqual([1, 0]);
    lab.runMs(3000);
    expect(lab.host.tasks[1]!.times[STATE_RUNNING]).toBe(1000 * NS_PER_MS);
    lab.runMs(5000);
    expect(lab.host.tasks[1]!.times[STATE_RUNNING]).toBe(1000 * NS_PER_MS);
    lab.runMs(6000);
    expect(lab.host.tasks[1]!.times[STATE_RUNNING]).toBe(2000 * NS_PER_MS);
  });
  test('limits are its own: 300 ms with, 700 ms without', () => {
    const own = { ...warped, warp_limit_us: 300_000, unwarp_us: 700_000 };
    const lab = run(300, { vms: [{ ...A, params: own }, A] });
    expect(lab.shares()).toEqual([1, 0]);
    lab.runMs(1000);
    // It is 300 ms ahead: the other has those first, and then they take turns for the 400 ms that are left.
    const after = lab.host.tasks[1]!.times[STATE_RUNNING] / NS_PER_MS;
    expect(after).toBeGreaterThan(490);
    expect(after).toBeLessThan(515);
  });
  test('used well: a periodic VM of 5 % within its share does not wait, without warp it does', () => {
    const io: LabVm = { demand: periodic, with: { work_us: 1_000, period_us: 20_000 } };
    const worst = (vm: LabVm): number =>
      Math.max(...run(5000, { vms: [vm, A, A] }).host.tasks[0]!.wakeLatencies.slice(3)) / NS_PER_MS;
    expect(worst({ ...io, params: { warp: true, warp_value: 10_000 } })).toBe(0);
    expect(worst(io)).toBeLessThanOrEqual(10);
  });
});

test('who slept for long gets no credit for it: one slice, then half', () => {
  const lab = run(5000, { vms: [A, { ...A, startMs: 1 }] });
  const sleeper = run(5100, {
    vms: [A, { demand: periodic, with: { work_us: 1_000_000, period_us: 5_000_000, phase_us: 5_000_000 } }],
  });
  expect(Math.abs(lab.shares()[0] - 0.5)).toBeLessThan(0.01);
  const ran = sleeper.host.tasks[1]!.times[STATE_RUNNING] / NS_PER_MS;
  expect(ran).toBeGreaterThanOrEqual(40);
  expect(ran).toBeLessThanOrEqual(60);
});

test('alone: ten allowances at a time, without a switch', () => {
  const lab = run(1000, { vms: [A] });
  expect(lab.host.pcpus[0]!.switches).toBe(1);
  expect(lab.shares()).toEqual([1]);
});

test('no balancing: three hogs on two pCPUs get 50, 100, 50 %', () => {
  expect(
    run(10_000, { pcpus: 2, vms: [A, A, A] })
      .shares()
      .map((share) => Math.round(100 * share)),
  ).toEqual([50, 100, 50]);
});

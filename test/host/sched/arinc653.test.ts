/**
 * ARINC 653 against its table: row V10 of the reference (frame 10 ms, A 4 ms, B 3 ms), waits, phase, and tables that
 * cannot be kept.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS, NS_PER_US } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { arinc653 } from '../../../src/host/sched/arinc653.ts';
import { Lab, type LabSpec, type LabVm } from '../lab.ts';

const window = (window_us: number, more: Record<string, number> = {}, vm: Partial<LabVm> = {}): LabVm => ({
  demand: hog,
  ...vm,
  task: { ...vm.task, params: { window_us, ...more } },
});
const A = window(4000);
const B = window(3000);
const frame = { major_frame_us: 10_000 };

function run(ms: number, spec: Omit<LabSpec, 'policy'>): Lab {
  const lab = new Lab({ policy: arinc653, params: frame, keepMax: 100_000, ...spec });
  lab.runMs(ms);
  return lab;
}
/** Times in us at which a task started to run. */
const starts = (lab: Lab, task: number): number[] =>
  lab.trace.events.filter((event) => event.kind === 'running' && event.vcpu === task).map(({ at }) => at / NS_PER_US);

describe('V10: frame 10 ms, A 4 ms, B 3 ms', () => {
  test('40 %, 30 %, 30 % idle although both are hogs', () => {
    const lab = run(1000, { vms: [A, B] });
    expect(lab.shares()).toEqual([0.4, 0.3]);
    expect(lab.host.pcpus[0]!.idleNs).toBe(300 * NS_PER_MS);
  });
  test('jitter 0: A starts at every frame, B 4 ms later, to the nanosecond', () => {
    const lab = run(1000, { vms: [A, B] });
    expect(starts(lab, 0)).toEqual(Array.from({ length: 100 }, (_, i) => i * 10_000));
    expect(starts(lab, 1)).toEqual(Array.from({ length: 100 }, (_, i) => i * 10_000 + 4_000));
  });
  test('the cost of a switch comes out of the window and does not move the next one', () => {
    const lab = run(1000, { vms: [A, B], switchCycles: 50_000 });
    expect(lab.shares()[0]).toBeCloseTo(0.395, 6);
    expect(lab.shares()[1]).toBeCloseTo(0.295, 6);
  });
  test('a blocked A leaves its window idle, B gets no more', () => {
    const lab = run(1000, { vms: [{ ...A, with: { work_us: 10_000 } }, B] });
    expect(lab.shares()).toEqual([0.01, 0.3]);
  });
  test('a wake-up waits 6 ms at worst: frame - window', () => {
    const phases = Array.from({ length: 100 }, (_, i) => i * 100);
    const worst = phases.map((phase_us) => {
      const io = window(4000, {}, { demand: periodic, with: { work_us: 100, period_us: 10_000, phase_us } });
      return Math.max(...run(200, { vms: [io, B] }).host.tasks[0]!.wakeLatencies, 0) / NS_PER_MS;
    });
    expect(Math.max(...worst)).toBe(6);
    expect(worst[50]).toBe(5);
    expect(worst[10]).toBe(0);
  });
});

test('the phase is kept when whole frames are missed: nobody is awake for 25 ms and a bit', () => {
  const late = window(
    4000,
    {},
    { demand: periodic, with: { work_us: 50_000, period_us: 1_000_000, phase_us: 25_300 } },
  );
  const lab = run(100, { vms: [late, { ...B, demand: periodic, with: { work_us: 1, period_us: 10_000_000 } }] });
  // Frames begin at multiples of 10 ms: its first window after the wake-up at 25.3 ms is at 30 ms.
  // (It ran at 0 for no time, to say that it sleeps.)
  expect(starts(lab, 0).slice(0, 3)).toEqual([0, 30_000, 40_000]);
});

test('several windows per frame: A 1 ms every 5 ms, B 2.5 ms at 2 ms', () => {
  const lab = run(100, { vms: [window(1000, { every_us: 5000 }), window(2500, { offset_us: 2000 })] });
  expect(lab.shares()).toEqual([0.2, 0.25]);
  expect(starts(lab, 0).slice(0, 4)).toEqual([0, 5_000, 10_000, 15_000]);
  expect(starts(lab, 1).slice(0, 2)).toEqual([2_000, 12_000]);
});

test('without any window each vCPU gets 10 ms in turn; beside one that has, it never runs', () => {
  expect(run(600, { params: {}, vms: [{ demand: hog, vcpus: 3 }] }).shares()).toEqual([1 / 3, 1 / 3, 1 / 3]);
  expect(run(600, { vms: [A, { demand: hog }] }).shares()).toEqual([0.4, 0]);
});

test('one table for the host: windows on different pCPUs do not overlap; one each: they do', () => {
  const vms = [0, 1].map((pcpu) => window(5000, {}, { task: { hard: [pcpu] } }));
  expect(run(100, { pcpus: 2, vms }).shares()).toEqual([0.5, 0.5]);
  const big = [0, 1].map((pcpu) => window(8000, {}, { task: { hard: [pcpu] } }));
  expect(() => run(100, { pcpus: 2, vms: big })).toThrow(/vm1\.0 .*ends after the major frame/);
  expect(run(100, { pcpus: 2, vms: big, params: { ...frame, table: 'pcpu' } }).shares()).toEqual([0.8, 0.8]);
});

describe('tables that cannot be kept are refused', () => {
  test.each<[string, LabVm[], Record<string, number>, RegExp]>([
    [
      'too long',
      [A, window(7000)],
      frame,
      /vCPU vm1\.0 under arinc653: its window of 7000000 ns .* frame of 10000000 ns/,
    ],
    ['overlapping', [A, window(1000, { offset_us: 3000 })], frame, /vm1\.0 .*overlaps that of vCPU vm0\.0/],
    ['a repetition without a frame', [window(1000, { every_us: 5000 })], {}, /every_us needs major_frame_us/],
    ['65 windows', [window(1, { every_us: 10 })], { major_frame_us: 650 }, /at most 64/],
  ])('%s', (_name, vms, params, message) => {
    expect(() => run(10, { vms, params })).toThrow(message);
  });
});

/** Round robin: rules of the reference, section 10.1. */
import { expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { roundRobin } from '../../../src/host/sched/index.ts';
import { Lab, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };

test('n hogs on m pCPUs get m/n each', () => {
  for (const [pcpus, hogs] of [
    [1, 3],
    [2, 3],
    [3, 7],
  ] as const) {
    const lab = new Lab({ policy: roundRobin, pcpus, vms: Array.from({ length: hogs }, () => A) });
    lab.runMs(21_000);
    for (const share of lab.shares()) expect(share).toBeCloseTo(pcpus / hogs, 2);
  }
});

test('the longest wait on a shared queue is ceil(n/m - 1) quanta', () => {
  // Five runnable, two pCPUs: ceil(5/2 - 1) = 2 quanta of 10 ms.
  const lab = new Lab({
    policy: roundRobin,
    pcpus: 2,
    vms: [A, A, A, A, { demand: periodic, with: { period_us: 17_000 } }],
  });
  lab.runMs(10_000);
  const waits = latenciesMs(lab.host.tasks[4]);
  expect(waits.length).toBeGreaterThan(100);
  expect(waits.at(-1)).toBeLessThanOrEqual(20);
  expect(waits.at(-1)).toBeGreaterThan(10);
});

test('turns of one quantum, in order of arrival', () => {
  const lab = new Lab({ policy: roundRobin, params: { quantum_ms: 5 }, vms: [A, A, A], keepMax: 1000 });
  lab.runMs(60);
  const turns = lab.trace.events.filter((event) => event.kind === 'running');
  expect(turns.map((event) => event.vcpu)).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
  expect(turns.map((event) => event.at / NS_PER_MS)).toEqual([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]);
});

test('weighted: the quantum is scaled by weight over mean weight', () => {
  const lab = new Lab({
    policy: roundRobin,
    params: { weighted: true },
    vms: [A, { ...A, weight: 768 }],
    keepMax: 1000,
  });
  lab.runMs(60);
  const starts = lab.trace.events.filter((event) => event.kind === 'running').map((event) => event.at / NS_PER_MS);
  expect(starts).toEqual([0, 5, 20, 25, 40, 45]);
});

test('per-pCPU queues steal from the longest when idle', () => {
  const short: LabVm = { demand: hog, with: { work_us: 1_000 } };
  const lab = new Lab({ policy: roundRobin, params: { queue: 'per-pcpu' }, pcpus: 2, vms: [A, short, A, short, A] });
  lab.runMs(1000);
  expect(lab.note('steal')).toBeGreaterThan(0);
  for (const pcpu of lab.host.pcpus) expect(pcpu.idleNs).toBe(0);
});

test('weighted: the mean weight is that of the present weights, of those who are there', () => {
  // 256:256 with 10 ms each; then 256:768 with means of 512: 5 and 15 ms.
  const vms = [A, A, { ...A, with: { work_us: 30_000 } }];
  const lab = new Lab({ policy: roundRobin, params: { weighted: true }, vms, keepMax: 10_000 });
  // The third leaves at 90 ms with another weight than it came with.
  lab.runMs(50);
  lab.host.change(lab.host.vms[2]!, { weight: 1024 });
  lab.runMs(500);
  const turns = (from: number, to: number): number[] => {
    const starts = lab.trace.events
      .filter(({ kind, at }) => kind === 'running' && at >= from * NS_PER_MS && at < to * NS_PER_MS)
      .map(({ at }) => at / NS_PER_MS);
    return [...new Set(starts.slice(1).map((at, i) => at - starts[i]!))];
  };
  expect(turns(200, 500)).toEqual([10]);
  lab.host.change(lab.host.vms[1]!, { weight: 768 });
  lab.runMs(1000);
  expect(turns(550, 1000).toSorted((a, b) => a - b)).toEqual([5, 15]);
});

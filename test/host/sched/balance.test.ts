/**
 * Balance scheduling: siblings never share a queue while a VM has no more vCPUs than it has pCPUs (reference 10.5), over
 * several bases; without it they do; the base keeps its rules.
 */
import { describe, expect, test } from 'vitest';
import { hog, interactive, periodic } from '../../../src/host/modelled/index.ts';
import { schedulers } from '../../../src/host/sched/index.ts';
import { Lab, type LabSpec, type LabVm } from '../lab.ts';

const policy = schedulers.find(({ name }) => name === 'balance')!;
const A: LabVm = { demand: hog };
const make = (spec: Omit<LabSpec, 'policy'>): Lab => new Lab({ policy, ...spec });
const MIX: readonly LabVm[] = [
  { demand: periodic, vcpus: 4, with: { work_us: 2_000, period_us: 9_000 } },
  { demand: interactive, vcpus: 3, with: { burst_us: 3_000, think_us: 5_000 } },
  { ...A, vcpus: 2 },
  A,
];

/** On how many pCPUs are several runnable vCPUs of one VM? */
function stackedNow(lab: Lab): number {
  const { residents } = (lab.host as unknown as { scheduler: { residents: { vm: { id: number } }[][] } }).scheduler;
  return residents.filter((tasks) => new Set(tasks.map(({ vm }) => vm.id)).size < tasks.length).length;
}

describe.each(['credit', 'round-robin', 'stride', 'lottery', 'bvt', 'sedf', 'cfs', 'eevdf'])('over %s', (base) => {
  test('siblings never share a queue when a VM has at most as many vCPUs as there are pCPUs', () => {
    const lab = make({ pcpus: 4, params: { base }, vms: MIX });
    for (let ms = 1; ms <= 500; ms++) {
      lab.runMs(ms);
      expect(stackedNow(lab)).toBe(0);
    }
    expect(lab.note('stacked')).toBe(0);
    for (const task of lab.host.tasks.slice(0, 7)) expect(task.wakes).toBeGreaterThan(10);
  });
});

test('with more vCPUs than pCPUs they have to, and that is counted', () => {
  const lab = make({ pcpus: 2, vms: [{ ...A, vcpus: 3 }] });
  lab.runMs(100);
  expect(lab.note('stacked')).toBeGreaterThan(0);
});

test('affinity goes first: two siblings on the one pCPU that they may have', () => {
  const lab = make({ pcpus: 3, vms: [{ ...A, vcpus: 2, task: { hard: [1] } }, A] });
  lab.runMs(3000);
  expect(lab.note('stacked')).toBe(1);
  for (const share of lab.shares().slice(0, 2)) expect(Math.abs(share - 0.5)).toBeLessThan(0.02);
});

test('three hogs on two pCPUs get two thirds each, by handing over one each period', () => {
  const lab = make({ pcpus: 2, params: { base: 'round-robin', queue: 'per-pcpu', balance_ms: 50 }, vms: [A, A, A] });
  lab.runMs(60_000);
  for (const share of lab.shares()) expect(Math.abs(share - 2 / 3)).toBeLessThan(0.1);
});

test('weights on a pCPU are those of the base: 256:512 over credit are 1/3 and 2/3', () => {
  const lab = make({ vms: [A, { ...A, weight: 512 }] });
  lab.runMs(60_000);
  expect(Math.abs(lab.shares()[0] - 1 / 3)).toBeLessThan(0.01);
});

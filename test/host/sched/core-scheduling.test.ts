/**
 * Core scheduling against the reference (1.8, row V23): what it wastes, that no two VMs share a core, what it costs, and
 * that the base keeps its rules.
 */
import { describe, expect, test } from 'vitest';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { schedulers } from '../../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm } from '../lab.ts';

const policy = schedulers.find(({ name }) => name === 'core-scheduling')!;
const A: LabVm = { demand: hog };
const smt2 = (cores: number) => ({ sockets: 1, coresPerSocket: cores, threadsPerCore: 2 });
const make = (spec: Omit<LabSpec, 'policy'>): Lab => new Lab({ policy, ...spec });
const utilisation = (lab: Lab): number =>
  lab.host.pcpus.reduce((sum, { busyNs }) => sum + busyNs, 0) / (lab.host.now * lab.host.pcpus.length);

describe('V23: SMT2, four 1-vCPU VMs on 2 cores', () => {
  const vms = [A, A, A, A];
  test.each(['credit', 'round-robin', 'stride', 'lottery'])(
    'over %s: 50 %% each, half of the threads wasted',
    (base) => {
      const lab = make({ topology: smt2(2), params: { base }, vms });
      lab.runMs(30_000);
      for (const share of lab.shares()) expect(Math.abs(share - 0.5)).toBeLessThan(0.02);
      expect(utilisation(lab)).toBeGreaterThan(0.49);
      expect(utilisation(lab)).toBeLessThanOrEqual(0.5);
      expect(lab.note('waste')).toBeGreaterThan(0);
    },
  );
  test('with granularity cpu all four run all the time', () => {
    const lab = make({ topology: smt2(2), params: { granularity: 'cpu' }, vms });
    lab.runMs(1000);
    expect(lab.shares()).toEqual([1, 1, 1, 1]);
  });
});

test('an odd number of vCPUs wastes one thread: 3 vCPUs on 2 cores of 2 threads use 3 of 4', () => {
  const lab = make({ topology: smt2(2), vms: [{ ...A, vcpus: 3 }] });
  lab.runMs(1000);
  expect(utilisation(lab)).toBeGreaterThan(0.749);
});

test('no two VMs on one core at any time, and the members of a unit together', () => {
  const vms: LabVm[] = [
    { ...A, vcpus: 2 },
    { ...A, vcpus: 3 },
    { demand: periodic, vcpus: 4, with: { work_us: 3_000, period_us: 11_000 } },
  ];
  const lab = make({ topology: smt2(3), vms, params: { base: 'round-robin', quantum_ms: 2 } });
  for (let us = 500; us < 400_000; us += 250) {
    lab.host.runUntil(us * 1000);
    const on: Map<number, number> = new Map();
    for (const task of lab.host.tasks) {
      if (task.state !== STATE_RUNNING) continue;
      const core = Math.floor(task.pcpu / 2);
      expect(on.get(core) ?? task.vm.id).toBe(task.vm.id);
      on.set(core, task.vm.id);
    }
  }
});

test('weights are those of the base: 256:512 on one core are 1/3 and 2/3 of both threads', () => {
  const vms = [
    { ...A, vcpus: 2 },
    { ...A, vcpus: 2, weight: 512 },
  ];
  const lab = make({ topology: smt2(1), vms, params: { base: 'stride' } });
  lab.runMs(30_000);
  for (const [i, share] of lab.shares().entries()) expect(Math.abs(share - (i < 2 ? 1 : 2) / 3)).toBeLessThan(0.01);
});

test('the rendezvous is paid at each decision: 0.1 ms of each 10.1', () => {
  const vms = [
    { ...A, vcpus: 2 },
    { ...A, vcpus: 2 },
  ];
  const lab = make({ topology: smt2(1), vms, params: { base: 'round-robin', rendezvous_ns: 100_000 } });
  lab.runMs(10_100);
  expect(Math.abs(utilisation(lab) - 10 / 10.1)).toBeLessThan(0.001);
});

test('what does not fit is refused: two vCPUs of a unit on one thread', () => {
  const vms = [{ ...A, name: 'tight', vcpus: 2, task: { hard: [0] } }];
  expect(() => make({ topology: smt2(2), vms })).toThrow(/VM tight: core scheduling runs vCPUs 0, 1 at the same time/);
});

test('parameters of the base are checked by the base', () => {
  expect(() => make({ vms: [A], params: { base: 'stride', tslice_ms: 10 } })).toThrow(
    /scheduler stride: tslice_ms: unknown/,
  );
  expect(() => make({ vms: [A], params: { base: 'fair' } })).toThrow(/base: found "fair", expected one of/);
});

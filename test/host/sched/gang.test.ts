/**
 * Strict gang scheduling against worked matrices: row V18 of the reference, packing by first fit, alternate selection,
 * the waits it causes, and what does not fit. Every matrix is written beside its numbers.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { ModelledVcpu } from '../../../src/host/modelled/demand.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { gang } from '../../../src/host/sched/gang.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };
const run = (ms: number, spec: Omit<LabSpec, 'policy'>): Lab => {
  const lab = new Lab({ policy: gang, ...spec });
  lab.runMs(ms);
  return lab;
};
const utilisation = (lab: Lab): number =>
  lab.host.pcpus.reduce((sum, { busyNs }) => sum + busyNs, 0) / (lab.host.now * lab.host.pcpus.length);

describe('V18: VMs of 3 and 2 vCPUs on 4 pCPUs, rows AAA. and BB..', () => {
  const vms = [
    { ...A, vcpus: 3 },
    { ...A, vcpus: 2 },
  ];
  test('utilisation 62.5 %, each VM half of the time', () => {
    const lab = run(6000, { pcpus: 4, vms });
    expect(utilisation(lab)).toBe(0.625);
    expect(lab.shares()).toEqual([0.5, 0.5, 0.5, 0.5, 0.5]);
  });
  test('alternate selection fills column 2 of the second row with A: 75 %', () => {
    const lab = run(6000, { pcpus: 4, vms, params: { alternate: true } });
    expect(utilisation(lab)).toBe(0.75);
    expect(lab.shares()).toEqual([0.5, 0.5, 1, 0.5, 0.5]);
  });
});

describe('packing: first row with room', () => {
  test.each<[string, number, number[], number[]]>([
    ['2+2 on 4: one row', 4, [2, 2], [1, 1]],
    ['3+2+1 on 4: AAAC, BB..', 4, [3, 2, 1], [0.5, 0.5, 0.5]],
    ['4+4+4 on 4: three full rows', 4, [4, 4, 4], [1 / 3, 1 / 3, 1 / 3]],
    ['3+3+2+2+1 on 5: AAACC, BBBDD, E....', 5, [3, 3, 2, 2, 1], [1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3]],
    ['1+5 on 5: A...., BBBBB', 5, [1, 5], [0.5, 0.5]],
  ])('%s', (_name, pcpus, sizes, expected) => {
    const lab = run(9000, { pcpus, vms: sizes.map((vcpus) => ({ ...A, vcpus })) });
    for (const task of lab.host.tasks) {
      expect(task.times[STATE_RUNNING] / lab.host.now).toBeCloseTo(expected[task.vm.id]!, 9);
    }
  });

  test('affinity: columns are given so that all fit, not first come', () => {
    // vCPU 0 may run anywhere and would take pCPU 0, which is the only one for vCPU 1.
    const lab = new Lab({ policy: gang, pcpus: 2, vms: [A] });
    const [vm] = lab.host.vms;
    lab.add(vm!, new ModelledVcpu(lab.engine, hog.make({}, lab.streams.stream('x'))), { hard: [0] });
    lab.runMs(600);
    expect(lab.shares()).toEqual([1, 1]);
    expect(lab.host.tasks.map(({ pcpu }) => pcpu)).toEqual([1, 0]);
  });
});

test('all or nothing: at any time 0 or all vCPUs of a VM run', () => {
  const lab = new Lab({
    policy: gang,
    pcpus: 4,
    params: { slot_ms: 7 },
    vms: [3, 4, 2].map((vcpus) => ({ ...A, vcpus })),
  });
  for (let us = 500; us < 200_000; us += 1000) {
    lab.host.runUntil(us * 1000);
    for (const { tasks } of lab.host.vms) {
      const running = tasks.filter(({ state }) => state === STATE_RUNNING).length;
      expect([0, tasks.length]).toContain(running);
    }
  }
});

test('wake-up of a whole rotation: two rows of 30 ms, a request every 60 ms that comes when its row has just gone', () => {
  const io: LabVm = { demand: periodic, with: { work_us: 100, period_us: 60_000, phase_us: 30_000 }, vcpus: 1 };
  const lab = run(6000, { pcpus: 1, vms: [A, io] });
  // It is alone in its row: the row comes into being when it wakes, and its turn is at the end of the slot that runs.
  const waits = lab.host.tasks[1]!.wakeLatencies.map((ns) => ns / NS_PER_MS);
  expect(Math.max(...waits)).toBeLessThanOrEqual(30);
});

describe('a VM that is larger than the host', () => {
  const vms = [{ ...A, name: 'big', vcpus: 3 }];
  test('is refused, by name and with the way out', () => {
    expect(() => new Lab({ policy: gang, pcpus: 2, vms })).toThrow(
      /VM big: .*each of them among the 2 .*oversized: split/,
    );
  });
  test('so is one whose affinity leaves too few pCPUs', () => {
    const pinned = [{ ...A, name: 'pinned', vcpus: 2, task: { hard: [1] } }];
    expect(() => new Lab({ policy: gang, pcpus: 4, vms: pinned })).toThrow(/VM pinned/);
  });
  test('or split into gangs of as many as fit: rows 2 and 1', () => {
    const lab = run(6000, { pcpus: 2, vms, params: { oversized: 'split' } });
    expect(lab.shares()).toEqual([0.5, 0.5, 0.5]);
    expect(utilisation(lab)).toBe(0.75);
  });
});

test('holes: a gang that has left row AAB. frees it, and unifying packs what remains', () => {
  // Rows AAB. and CCC. : B and C keep taking turns after A has ended (60 ms), although one row would do for both.
  const vms: LabVm[] = [
    { ...A, vcpus: 2, with: { work_us: 30_000 } },
    { ...A, vcpus: 1 },
    { ...A, vcpus: 3 },
  ];
  const apart = run(6000, { pcpus: 4, vms });
  expect(apart.shares()[2]).toBeCloseTo(0.5, 1);
  // Packed anew after ten slots, 300 ms: BCCC.
  const unified = run(6000, { pcpus: 4, vms, params: { unify_slots: 10 } });
  expect(unified.shares()[2]).toBeGreaterThan(0.9);
  expect(unified.shares()[3]).toBeGreaterThan(0.9);
});

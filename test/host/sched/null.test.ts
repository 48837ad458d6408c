/** Xen null: rules of the reference, section 1.5, and V11. */
import { expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { nullScheduler as policy } from '../../../src/host/sched/index.ts';
import { STATE_BLOCKED, STATE_READY, STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };
const P: LabVm = { demand: periodic, with: { work_us: 700, period_us: 5_000, phase_us: 1_000 } };
const finite = (ms: number): LabVm => ({ demand: hog, with: { work_us: ms * 1000 } });

test('V11: five vCPUs on four pCPUs: the fifth gets nothing, the others never wait', () => {
  const lab = new Lab({ policy, pcpus: 4, vms: [A, P, P, A, A] });
  lab.runMs(10_000);
  expect(lab.shares()).toEqual([1, 0.14, 0.14, 1, 0]);
  expect(lab.host.tasks[4].times[STATE_READY]).toBe(lab.host.now);
  for (const task of lab.host.tasks.slice(0, 4)) {
    expect(task.times[STATE_READY]).toBe(0);
    expect(latenciesMs(task).every((ms) => ms === 0)).toBe(true);
    expect(task.migrations).toBe(0);
  }
  // A pCPU whose vCPU blocks stays idle, though another vCPU waits.
  expect(lab.host.pcpus[1].idleNs).toBe(lab.host.tasks[1].times[STATE_BLOCKED]);
  expect(lab.host.pcpus[1].idleNs).toBe(0.86 * lab.host.now);
});

test('a pCPU that becomes free goes to the first that waits', () => {
  const lab = new Lab({ policy, pcpus: 2, vms: [finite(30), A, A, A] });
  lab.runMs(100);
  expect(lab.host.tasks.map((task) => task.times[STATE_RUNNING] / NS_PER_MS)).toEqual([30, 100, 70, 0]);
  lab.host.end(lab.host.tasks[1]);
  lab.runMs(200);
  expect(lab.host.tasks[3].times[STATE_RUNNING] / NS_PER_MS).toBe(100);
});

test('a vCPU that blocks or is paused keeps its pCPU', () => {
  const lab = new Lab({ policy, vms: [A, A] });
  lab.engine.at(10 * NS_PER_MS, () => lab.host.pause(lab.host.tasks[0]));
  lab.engine.at(50 * NS_PER_MS, () => lab.host.resume(lab.host.tasks[0]));
  lab.runMs(100);
  expect(lab.host.tasks.map((task) => task.times[STATE_RUNNING] / NS_PER_MS)).toEqual([60, 0]);
});

test('soft affinity is tried before hard affinity, by the vCPU that comes and by the pCPU that becomes free', () => {
  const lab = new Lab({
    policy,
    pcpus: 3,
    vms: [
      { ...A, task: { soft: [2] } },
      { ...A, task: { soft: [2], hard: [1, 2] } },
      finite(20),
      { ...A, task: { hard: [0] } },
      { ...A, task: { soft: [0] } },
    ],
  });
  lab.runMs(100);
  expect(lab.host.tasks.map((task) => task.pcpu)).toEqual([2, 1, 0, -1, 0]);
});

test('one that waits for a pCPU outside its hard mask waits on', () => {
  const lab = new Lab({ policy, pcpus: 2, vms: [A, finite(20), { ...A, task: { hard: [0] } }, A] });
  lab.runMs(100);
  expect(lab.shares()).toEqual([1, 0.2, 0, 0.8]);
});

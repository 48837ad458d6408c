/**
 * A researcher's own scheduler, as short as the interface allows: least attained service - who has had least CPU time per
 * unit of weight goes first - in one file, without a change anywhere else.
 */
import { expect, test } from 'vitest';
import { NS_PER_MS } from '../../src/core/units.ts';
import { hog, periodic } from '../../src/host/modelled/index.ts';
import { definePolicy, type Task } from '../../src/host/scheduler.ts';
import { Lab, type LabVm } from './lab.ts';

// ---- the policy, from here ...
const QUANTUM = 10 * NS_PER_MS;

const leastService = definePolicy({
  name: 'least-service',
  summary: 'who has had least goes first',
  make(host) {
    const ready: Task[] = [];
    const served: number[] = [];
    return {
      add(task) {
        served[task.id] = 0;
      },
      wake(task) {
        ready.push(task);
        for (const { id } of host.topology) if (host.current(id) === null) host.resched(id);
      },
      sleep(task) {
        const at = ready.indexOf(task);
        if (at >= 0) ready.splice(at, 1);
      },
      charge(task, ran) {
        served[task.id] += ran / task.vm.weight;
      },
      pick(pcpu, _now, current) {
        if (current !== null) ready.push(current);
        const allowed = ready.filter((task) => task.hard.has(pcpu));
        if (allowed.length === 0) return { task: null, slice: Infinity };
        const next = allowed.reduce((a, b) => ((served[b.id] - served[a.id] || b.id - a.id) < 0 ? b : a));
        ready.splice(ready.indexOf(next), 1);
        return { task: next, slice: QUANTUM };
      },
    };
  },
});
// ---- ... to here.

const A: LabVm = { demand: hog };

test('who comes late catches up with the others, which then share by weight', () => {
  const lab = new Lab({ policy: leastService, vms: [A, { ...A, startMs: 500 }, { ...A, startMs: 500, weight: 512 }] });
  lab.runMs(500);
  expect(lab.shares()).toEqual([1, 0, 0]);
  // 500 ms for each 256 of weight are 500 + 500 + 1000 ms.
  lab.runMs(2000);
  for (const [i, due] of [0.25, 0.25, 0.5].entries())
    expect(Math.abs(lab.shares()[i] - due)).toBeLessThanOrEqual(0.005);
  lab.runMs(4000);
  for (const [i, due] of [0.25, 0.25, 0.5].entries())
    expect(Math.abs(lab.shares()[i] - due)).toBeLessThanOrEqual(0.005);
});

test('it is a scheduler like any other', () => {
  const lab = new Lab({
    policy: leastService,
    pcpus: 2,
    switchCycles: 2000,
    vms: [A, { ...A, weight: 512 }, A, { demand: periodic }],
  });
  expect(lab.runMs(1000)).toBe('limit');
  for (const pcpu of lab.host.pcpus) expect(pcpu.idleNs).toBe(0);
});

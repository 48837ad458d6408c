/**
 * A researcher's own scheduler, as short as the interface allows: stride scheduling (Waldspurger and Weihl, 1995) in one
 * file, without a change anywhere else. What it must do is the reference's row V24.
 */
import { expect, test } from 'vitest';
import { NS_PER_MS } from '../../src/core/units.ts';
import { hog, periodic } from '../../src/host/modelled/index.ts';
import { definePolicy, type Task } from '../../src/host/scheduler.ts';
import { Lab, type LabVm } from './lab.ts';

// ---- the policy, from here ...
const QUANTUM = 10 * NS_PER_MS;

const stride = definePolicy({
  name: 'stride',
  summary: 'least progress per ticket first',
  make(host) {
    const ready: Task[] = [];
    const pass: number[] = [];
    let globalPass = 0;
    const strideOf = (task: Task): number => 2 ** 20 / task.vm.weight;
    return {
      add(task) {
        pass[task.id] = globalPass + strideOf(task);
      },
      wake(task) {
        pass[task.id] = Math.max(pass[task.id], globalPass);
        ready.push(task);
        for (const { id } of host.topology) if (host.current(id) === null) host.resched(id);
      },
      sleep(task) {
        const at = ready.indexOf(task);
        if (at >= 0) ready.splice(at, 1);
      },
      charge(task, ran) {
        pass[task.id] += (strideOf(task) * ran) / QUANTUM;
      },
      pick(pcpu, _now, current) {
        if (current !== null) ready.push(current);
        const allowed = ready.filter((task) => task.hard.has(pcpu));
        if (allowed.length === 0) return { task: null, slice: Infinity };
        const next = allowed.reduce((a, b) => ((pass[b.id] - pass[a.id] || b.id - a.id) < 0 ? b : a));
        ready.splice(ready.indexOf(next), 1);
        globalPass = Math.max(globalPass, pass[next.id] - strideOf(next));
        return { task: next, slice: QUANTUM };
      },
    };
  },
});
// ---- ... to here.

const A: LabVm = { demand: hog };

test('V24: tickets 3:2:1 give A B A A B C, repeated', () => {
  const vms = [
    { ...A, weight: 3 },
    { ...A, weight: 2 },
    { ...A, weight: 1 },
  ];
  const lab = new Lab({ policy: stride, vms });
  let turns = '';
  let before = [0, 0, 0];
  for (let ms = 10; ms <= 180; ms += 10) {
    lab.runMs(ms);
    const shares = lab.shares().map((share) => Math.round(share * ms));
    turns += 'ABC'[shares.findIndex((share, i) => share > before[i])];
    before = shares;
  }
  expect(turns).toBe('ABAABC'.repeat(3));
});

test('it is a scheduler like any other', () => {
  const lab = new Lab({
    policy: stride,
    pcpus: 2,
    switchCycles: 2000,
    vms: [A, { ...A, weight: 512 }, A, { demand: periodic }],
  });
  expect(lab.runMs(1000)).toBe('limit');
  for (const pcpu of lab.host.pcpus) expect(pcpu.idleNs).toBe(0);
});

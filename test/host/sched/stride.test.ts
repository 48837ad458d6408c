/**
 * Stride scheduling: the golden order of the reference (10.3, row V24), the bound on the error of any pair, and what a
 * client takes along when it leaves.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { stride } from '../../../src/host/sched/stride.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };
const hogs = (...weights: number[]): LabVm[] => weights.map((weight) => ({ ...A, weight }));

/** Who ran in each quantum of 10 ms, as letters. */
function turns(lab: Lab, quanta: number): string {
  const ran = (): number[] => lab.host.tasks.map((task) => task.times[STATE_RUNNING]);
  let text = '';
  for (let i = 1; i <= quanta; i++) {
    const before = ran();
    lab.runMs(10 * i);
    text += 'ABCDEFGH'[ran().findIndex((time, k) => time > before[k])];
  }
  return text;
}

describe('V24', () => {
  test('3:2:1 gives A B A A B C, repeated 500 times without drift', () => {
    expect(turns(new Lab({ policy: stride, vms: hogs(3, 2, 1) }), 3000)).toBe('ABAABC'.repeat(500));
  });
  test('so do the weights 768:512:256', () => {
    expect(turns(new Lab({ policy: stride, vms: hogs(768, 512, 256) }), 60)).toBe('ABAABC'.repeat(10));
  });
  test('1:1 alternates by number', () => {
    expect(turns(new Lab({ policy: stride, vms: hogs(7, 7) }), 8)).toBe('ABABABAB');
  });
});

test.each([
  [5, 3, 1],
  [97, 13, 7],
  [1000, 999, 1],
])('the error of any pair never exceeds one quantum: %i:%i:%i', (...weights) => {
  const lab = new Lab({ policy: stride, vms: hogs(...weights) });
  for (let ms = 10; ms <= 5000; ms += 10) {
    lab.runMs(ms);
    const quanta = lab.host.tasks.map((task) => task.times[STATE_RUNNING] / (10 * NS_PER_MS));
    for (let i = 0; i < quanta.length; i++) {
      for (let k = 0; k < i; k++) {
        // Of the quanta of both together, each gets its part to within one.
        const both = quanta[i] + quanta[k];
        const due = (both * weights[i]!) / (weights[i]! + weights[k]!);
        expect(Math.abs(quanta[i] - due)).toBeLessThanOrEqual(1 + 1e-9);
      }
    }
  }
});

test('who sleeps banks nothing: it gets its half from the moment on that it is there', () => {
  const lab = new Lab({ policy: stride, vms: [A, { ...A, startMs: 5000 }] });
  lab.runMs(6000);
  expect(lab.host.tasks[1]!.times[STATE_RUNNING] / NS_PER_MS).toBeGreaterThanOrEqual(490);
  expect(lab.host.tasks[1]!.times[STATE_RUNNING] / NS_PER_MS).toBeLessThanOrEqual(510);
});

test('tickets may change at any time: 1:1, then 3:1', () => {
  const lab = new Lab({ policy: stride, vms: hogs(100, 100) });
  lab.runMs(1000);
  lab.host.change(lab.host.vms[0]!, { weight: 300 });
  lab.runMs(5000);
  const [a, b] = lab.host.tasks.map((task) => task.times[STATE_RUNNING] / NS_PER_MS);
  expect(Math.abs(a! - 3500)).toBeLessThanOrEqual(20);
  expect(a! + b!).toBe(5000);
});

test('two pCPUs, four hogs 3:1:1:1: all of one pCPU at most, the rest in equal parts', () => {
  const lab = new Lab({ policy: stride, pcpus: 2, vms: hogs(3, 1, 1, 1) });
  lab.runMs(30_000);
  const [a, ...others] = lab.shares();
  expect(a).toBeGreaterThan(0.97);
  for (const share of others) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.02);
});

test('a periodic vCPU below its share gets all it wants', () => {
  const lab = new Lab({
    policy: stride,
    vms: [{ demand: periodic, with: { work_us: 2_000, period_us: 40_000 } }, A, A],
  });
  lab.runMs(40_000);
  expect(Math.abs(lab.shares()[0] - 0.05)).toBeLessThan(0.002);
});

describe('tickets for more than one pCPU', () => {
  // 1000:1:1:1 on two pCPUs: the first can use one, so the others divide the other one.
  test('who joins later gets its part of what is left, and no more', () => {
    const lab = new Lab({
      policy: stride,
      pcpus: 2,
      vms: [...hogs(1000, 1, 1, 1), { ...A, weight: 1, startMs: 30_000 }],
    });
    lab.runMs(30_000);
    const before = lab.host.tasks.map(({ times }) => times[STATE_RUNNING]);
    lab.runMs(34_000);
    const ms = lab.host.tasks.map(({ times }, i) => (times[STATE_RUNNING] - before[i]!) / NS_PER_MS);
    expect(ms[0]).toBe(4000);
    for (const share of ms.slice(1)) expect(Math.abs(share - 1000)).toBeLessThanOrEqual(20);
  });

  test('three pCPUs, 8:4:1:1: two have one each, the third is divided; when the heavy ones have gone, 1:1', () => {
    const vms = [...hogs(8, 4).map((vm) => ({ ...vm, with: { work_us: 2_000_000 } })), ...hogs(1, 1)];
    const lab = new Lab({ policy: stride, pcpus: 3, vms });
    lab.runMs(2000);
    const [a, b, c, d] = lab.host.tasks.map(({ times }) => times[STATE_RUNNING] / NS_PER_MS);
    expect([a, b]).toEqual([2000, 2000]);
    expect(Math.abs(c! - 1000)).toBeLessThanOrEqual(10);
    expect(Math.abs(d! - 1000)).toBeLessThanOrEqual(10);
    // Two pCPUs would do from now on: both have one of the three.
    lab.runMs(3000);
    expect(lab.host.tasks[2]!.times[STATE_RUNNING] / NS_PER_MS - c!).toBe(1000);
    expect(lab.host.tasks[3]!.times[STATE_RUNNING] / NS_PER_MS - d!).toBe(1000);
  });

  test('a heavy one whose tickets are cut to what it can use: 9:1:1:1 on two pCPUs, then 1:1:1:1', () => {
    const lab = new Lab({ policy: stride, pcpus: 2, vms: hogs(9, 1, 1, 1) });
    lab.runMs(3000);
    lab.host.change(lab.host.vms[0]!, { weight: 1 });
    const before = lab.host.tasks.map(({ times }) => times[STATE_RUNNING]);
    lab.runMs(7000);
    for (const [i, { times }] of lab.host.tasks.entries()) {
      expect(Math.abs((times[STATE_RUNNING] - before[i]!) / NS_PER_MS - 2000)).toBeLessThanOrEqual(20);
    }
  });
});

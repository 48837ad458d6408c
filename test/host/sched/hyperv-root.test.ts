/** Hyper-V's root scheduler: threads by priority; weights and caps do nothing. */
import { expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { hypervRoot } from '../../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };

test('weights and caps are ignored', () => {
  const lab = new Lab({ policy: hypervRoot, vms: [{ ...A, weight: 1000 }, { ...A, capPercent: 10 }, A] });
  lab.runMs(30_000);
  for (const share of lab.shares()) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.01);
});

test('equals take turns of a quantum: 31.25 ms on clients, 187.5 ms on servers', () => {
  for (const quantum_us of [31_250, 187_500]) {
    const lab = new Lab({ policy: hypervRoot, params: { quantum_us }, vms: [A, A], keepMax: 100 });
    lab.runMs(1000);
    const starts = lab.trace.events.filter(({ kind }) => kind === 'running').map(({ at }) => at / 1000);
    expect(starts).toEqual(starts.map((_, i) => i * quantum_us));
    expect(starts.length).toBe(Math.ceil(1_000_000 / quantum_us));
  }
});

test('a higher priority takes everything; the other is rescued after 4 s for two quanta', () => {
  const lab = new Lab({ policy: hypervRoot, vms: [{ ...A, params: { priority: 9 } }, A] });
  lab.runMs(20_000);
  // Looked at every second, it has waited for 4 s at 4 s; then it runs for 62.5 ms and waits again, until 9, 14 and 19 s.
  expect(lab.note('rescue')).toBe(4);
  expect(lab.host.tasks[1].times[STATE_RUNNING] / NS_PER_MS).toBe(4 * 62.5);
});

test('one that wakes up goes before equals, for a quantum', () => {
  const request: LabVm = { demand: periodic, with: { work_us: 100, period_us: 50_000 } };
  const waits = (boost: number): number[] => {
    const lab = new Lab({ policy: hypervRoot, params: { boost }, vms: [A, A, request] });
    lab.runMs(10_000);
    return latenciesMs(lab.host.tasks[2]);
  };
  expect(waits(1).at(-1)).toBeLessThan(0.05);
  expect(waits(0).at(-1)).toBeGreaterThan(31);
});

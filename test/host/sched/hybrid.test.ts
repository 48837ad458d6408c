/**
 * Hybrid co-scheduling: concurrent VMs run as gangs, others by themselves. Shares and utilization are the arithmetic of strict
 * co-scheduling where not all fit, and water filling where they do.
 */
import { describe, expect, test } from 'vitest';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { hybrid } from '../../../src/host/sched/index.ts';
import { STATE_READY, STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };
const gangOf = (vcpus: number, weight: number): LabVm => ({ ...A, vcpus, weight, params: { concurrent: true } });

function percent(lab: Lab): number[] {
  const shares = lab.shares();
  return lab.host.vms.map(({ tasks }) => 100 * tasks.reduce((sum, { id }) => sum + shares[id]!, 0));
}

const utilization = (lab: Lab): number =>
  lab.host.pcpus.reduce((sum, { busyNs }) => sum + busyNs, 0) / (lab.host.now * lab.host.pcpus.length);

test.each([
  [3, 2, 4],
  [4, 3, 4],
  [2, 4, 3],
])('%i concurrent vCPUs beside %i others on %i pCPUs: all of them run or none', (k, m, pcpus) => {
  const lab = new Lab({ policy: hybrid, pcpus, vms: [gangOf(k, 100 * k), ...Array(m).fill({ ...A, weight: 100 })] });
  for (let us = 500; us < 600_000; us += 1000) {
    lab.host.runUntil(us * 1000);
    const running = lab.host.tasks.slice(0, k).filter(({ state }) => state === STATE_RUNNING).length;
    expect([0, k]).toContain(running);
  }
});

describe('shares and utilization, equal per vCPU', () => {
  test.each([
    [4, 1, 4],
    [3, 2, 4],
    [2, 3, 4],
    [4, 4, 4],
  ])('%i + %i on %i', (k, m, p) => {
    const lab = new Lab({
      policy: hybrid,
      pcpus: p,
      vms: [gangOf(k, 100 * k), ...Array(m).fill({ ...A, weight: 100 })],
    });
    lab.runMs(30_000);
    const [gang, ...others] = percent(lab);
    const x = gang! / k / 100;
    // While the gang runs a = min(m, p - k) others do, else b = min(m, p). Nothing else is lost, and nobody is favoured.
    const a = Math.min(m, p - k);
    const b = Math.min(m, p);
    for (const share of others) expect(Math.abs(share - (100 * (a * x + b * (1 - x))) / m)).toBeLessThan(1);
    // The gang gets what is due to it in a fluid share at most, and no less than where all are to advance alike.
    expect(x).toBeLessThan(p / (k + m) + 0.02);
    expect(x).toBeGreaterThan(b / (m - a + b) - 0.02);
  });

  test('two gangs of three on four pCPUs take turns, a hog has the fourth', () => {
    const lab = new Lab({ policy: hybrid, pcpus: 4, vms: [gangOf(3, 300), gangOf(3, 300), { ...A, weight: 100 }] });
    lab.runMs(10_000);
    const [a, b, c] = percent(lab);
    expect(Math.abs(a! - 150)).toBeLessThan(2);
    expect(Math.abs(b! - 150)).toBeLessThan(2);
    expect(c).toBeGreaterThan(99);
  });
});

test('a member that sleeps and wakes up joins its gang; while it sleeps its pCPU is for others', () => {
  const wakes: LabVm = { demand: periodic, with: { work_us: 2000, period_us: 20_000 }, params: { concurrent: true } };
  const lab = new Lab({ policy: hybrid, pcpus: 2, vms: [{ ...wakes, vcpus: 2, weight: 512 }, A, A] });
  lab.runMs(5000);
  for (const { id } of lab.host.tasks.slice(0, 2)) expect(Math.abs(lab.shares()[id]! - 0.1)).toBeLessThan(0.01);
  expect(utilization(lab)).toBeGreaterThan(0.95);
  expect(lab.host.tasks[0]!.times[STATE_READY] / lab.host.now).toBeLessThan(0.9);
});

test('VMs that are not concurrent run as under credits: 1:2:4 on one pCPU', () => {
  const lab = new Lab({ policy: hybrid, vms: [1, 2, 4].map((weight) => ({ ...A, weight: 100 * weight })) });
  lab.runMs(20_000);
  for (const [i, share] of percent(lab).entries()) expect(Math.abs(share - (100 * 2 ** i) / 7)).toBeLessThan(0.5);
});

test('a gang that can never run is refused', () => {
  expect(() => new Lab({ policy: hybrid, pcpus: 2, vms: [gangOf(3, 1)] })).toThrow(
    /VM vm0: concurrent: its 3 vCPUs .* the 2/,
  );
  expect(() => new Lab({ policy: hybrid, pcpus: 4, vms: [{ ...gangOf(2, 1), task: { hard: [1] } }] })).toThrow(/vm0/);
});

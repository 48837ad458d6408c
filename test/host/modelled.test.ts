/**
 * Modelled SMP guests: locks, barriers, shoot-downs, pipelines, servers. Expected times are worked out by hand, or are
 * those of queueing theory.
 */
import { describe, expect, test } from 'vitest';
import { DOING_LOCKED } from '../../src/core/runnable.ts';
import { NS_PER_MS, NS_PER_US } from '../../src/core/units.ts';
import { barrier, hog, periodic, pipeline, server, shootdown, spinlock } from '../../src/host/modelled/index.ts';
import { credit, roundRobin } from '../../src/host/sched/index.ts';
import { Lab, type LabVm } from './lab.ts';

const HOG: LabVm = { demand: hog };
/** Not one for each of four pCPUs, so that the vCPUs of another VM are not preempted all at the same time. */
const OUT_OF_STEP = [0, 0, 1].map((pcpu): LabVm => ({ demand: hog, task: { hard: [pcpu] } }));

describe('spin locks', () => {
  test.each(['tas', 'ticket', 'pv'])('%s: at most one vCPU is inside, and all get their turns', (lock) => {
    const vm: LabVm = { demand: spinlock, vcpus: 4, with: { lock, hold_us: 30, gap_us: 20 } };
    const lab = new Lab({ policy: credit, pcpus: 2, vms: [vm, HOG] });
    for (let us = 0; us < 50_000; us += 7) {
      lab.host.runUntil(us * NS_PER_US);
      const inside = lab.vcpus.filter((vcpu) => (vcpu.doing & DOING_LOCKED) !== 0);
      expect(inside.length).toBeLessThanOrEqual(1);
    }
    lab.runMs(3_000);
    // Five vCPUs on two pCPUs: with a ticket lock the next one in line often has to wait for its slice of 30 ms.
    const least = lock === 'ticket' ? 15 : 1_000;
    for (const vcpu of lab.vcpus.slice(0, 4)) expect(vcpu.completed).toBeGreaterThan(least);
  });

  test('a saturated lock passes one vCPU per time inside, however many wait', () => {
    const vm: LabVm = { demand: spinlock, vcpus: 4, with: { lock: 'ticket', hold_us: 100, gap_us: 1 } };
    const lab = new Lab({ policy: credit, pcpus: 4, vms: [vm] });
    lab.runMs(1_000);
    const passes = lab.vcpus.reduce((sum, vcpu) => sum + vcpu.completed, 0);
    expect(passes).toBeGreaterThan(9_990);
    expect(passes).toBeLessThanOrEqual(10_000);
    // Three of four wait at any time, less the gaps of about 1 us.
    const spun = lab.vcpus.reduce((sum, vcpu) => sum + vcpu.spun, 0) / NS_PER_MS;
    expect(spun).toBeGreaterThan(2_950);
    expect(spun).toBeLessThan(3_000);
  });

  test('preempting the holder makes the others spin; a ticket lock suffers from preempted waiters too', () => {
    const spun = (lock: string, hogs: number): number => {
      const vm: LabVm = { demand: spinlock, vcpus: 4, with: { lock, hold_us: 20, gap_us: 100 } };
      const lab = new Lab({ policy: credit, pcpus: 4, vms: [vm, ...OUT_OF_STEP.slice(0, hogs)] });
      lab.runMs(5_000);
      return (
        lab.vcpus.reduce((sum, vcpu) => sum + vcpu.spun, 0) /
        lab.vcpus.slice(0, 4).reduce((sum, v) => sum + v.completed, 0)
      );
    };
    expect(spun('tas', 3)).toBeGreaterThan(2 * spun('tas', 0));
    expect(spun('ticket', 3)).toBeGreaterThan(spun('tas', 3));
    expect(spun('pv', 3)).toBeLessThan(spun('tas', 3));
  });

  test('a long spin leaves the guest where pause-loop exiting is on', () => {
    const vm: LabVm = { demand: spinlock, vcpus: 4, with: { hold_us: 50, gap_us: 50, pause_loop_us: 10 } };
    const lab = new Lab({ policy: credit, pcpus: 2, vms: [vm, HOG] });
    lab.runMs(1_000);
    expect(lab.host.tasks[0].voluntary).toBeGreaterThan(10);
  });
});

test('a barrier passes when the slowest has come', () => {
  const vm: LabVm = { demand: barrier, vcpus: 3, with: { phase_us: 1_000, spread_percent: 0 } };
  const alone = new Lab({ policy: roundRobin, pcpus: 3, vms: [vm] });
  alone.runMs(100);
  for (const vcpu of alone.vcpus) expect([vcpu.completed, vcpu.spun]).toEqual([100, 0]);
  // Two pCPUs: two vCPUs for 1 ms, they spin for 50 us and block, then the third for 1 ms: a phase takes 2.05 ms.
  const two = new Lab({ policy: roundRobin, pcpus: 2, vms: [vm] });
  two.runMs(100);
  expect(two.vcpus.map((vcpu) => vcpu.completed)).toEqual([49, 49, 48]);
});

test('a shoot-down waits for the flush of every sibling, and for as long as one is preempted', () => {
  const vm: LabVm = { demand: shootdown, vcpus: 4, with: { gap_us: 200, flush_us: 10 } };
  const alone = new Lab({ policy: credit, pcpus: 4, vms: [vm] });
  alone.runMs(1_000);
  for (const vcpu of alone.vcpus) {
    // At least the handler of 10 us per shoot-down; more where two of them cross.
    expect(vcpu.spun / vcpu.completed).toBeGreaterThanOrEqual(10 * NS_PER_US);
    expect(vcpu.spun / vcpu.completed).toBeLessThan(30 * NS_PER_US);
  }
  const shared = new Lab({ policy: credit, pcpus: 4, vms: [vm, ...OUT_OF_STEP] });
  shared.runMs(1_000);
  expect(shared.vcpus[0]!.spun / shared.vcpus[0]!.completed).toBeGreaterThan(1_000 * NS_PER_US);
});

test('an item goes through a pipeline in the sum of its stages', () => {
  const vm: LabVm = { demand: pipeline, vcpus: 4, with: { work_us: 250 } };
  const lab = new Lab({ policy: roundRobin, pcpus: 2, vms: [vm] });
  lab.runMs(100);
  expect(lab.vcpus.map((vcpu) => vcpu.completed)).toEqual([100, 100, 100, 100]);
  expect(new Set(lab.vcpus[3]!.responses)).toEqual(new Set([NS_PER_MS]));
});

describe('servers', () => {
  test('random arrivals and fixed work: the mean wait of an M/D/1 queue', () => {
    const lab = new Lab({ policy: roundRobin, vms: [{ demand: server, with: { every_us: 2_000, work_us: 1_000 } }] });
    lab.runMs(400_000);
    const { sum, count } = lab.vcpus[0]!.responseTimes;
    const mean = sum / count / NS_PER_MS;
    // rho = 0.5: 1 ms of service and rho / (2 (1 - rho)) = 0.5 ms of waiting.
    expect(mean).toBeGreaterThan(1.47);
    expect(mean).toBeLessThan(1.53);
  });

  test('random work: that of an M/M/1 queue', () => {
    const vm: LabVm = { demand: server, with: { every_us: 2_000, work_us: 1_000, work: 'random' } };
    const lab = new Lab({ policy: roundRobin, vms: [vm] });
    lab.runMs(400_000);
    const { sum, count } = lab.vcpus[0]!.responseTimes;
    const mean = sum / count / NS_PER_MS;
    expect(mean).toBeGreaterThan(1.92);
    expect(mean).toBeLessThan(2.08);
  });

  test('a busy guest is interrupted at once when it runs', () => {
    const vm: LabVm = { demand: server, with: { every_us: 5_000, arrivals: 'regular', work_us: 100, computes: true } };
    const lab = new Lab({ policy: roundRobin, vms: [vm] });
    lab.runMs(1_000);
    expect(new Set(lab.vcpus[0]!.responses)).toEqual(new Set([100 * NS_PER_US]));
    // With a hog in turns of 10 ms: those that come while the other runs wait for the end of its turn.
    const shared = new Lab({ policy: roundRobin, vms: [vm, HOG] });
    shared.runMs(1_000);
    expect(Math.max(...shared.vcpus[0]!.responses)).toBeLessThanOrEqual(10_200 * NS_PER_US);
    expect(Math.max(...shared.vcpus[0]!.responses)).toBeGreaterThan(5_000 * NS_PER_US);
  });
});

test('deadlines: a periodic vCPU that needs 6 ms of 10 ms beside a hog in turns of 10 ms misses them', () => {
  const vm: LabVm = { demand: periodic, with: { work_us: 6_000, late: 'queue' } };
  const alone = new Lab({ policy: roundRobin, vms: [vm] });
  alone.runMs(1_000);
  expect([alone.vcpus[0]!.jobs, alone.vcpus[0]!.missed]).toEqual([100, 0]);
  const shared = new Lab({ policy: roundRobin, vms: [vm, HOG] });
  shared.runMs(1_000);
  expect(shared.vcpus[0]!.missed).toBeGreaterThan(50);
  expect(shared.vcpus[0]!.tardiness).toBeGreaterThan(10 * NS_PER_MS);
});

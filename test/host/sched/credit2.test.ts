/**
 * Credit2 against its reference vectors (section 1.2, V7, V8) and against what follows from its rules by hand. No expected
 * number was produced by this program.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { ModelledVcpu } from '../../../src/host/modelled/demand.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import type { Params } from '../../../src/host/params.ts';
import { credit2 as policy } from '../../../src/host/sched/credit2.ts';
import { LOAD_ONE, LoadAverage } from '../../../src/host/sched/credit2-load.ts';
import { runQueues } from '../../../src/host/sched/credit2-queues.ts';
import { type SchedulerPolicy, STATE_PARKED, STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { makeTopology } from '../../../src/host/topology.ts';
import { Lab, type LabSpec, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };
const hogs = (count: number): LabVm[] => Array.from({ length: count }, () => A);
const run = (ms: number, spec: Omit<LabSpec, 'policy'>): Lab => {
  const lab = new Lab({ policy, keepMax: 100, ...spec });
  lab.runMs(ms);
  return lab;
};
const perSecond = (lab: Lab, count: number): number => count / (lab.host.now / 1e9);
const switches = (lab: Lab): number =>
  perSecond(
    lab,
    lab.host.pcpus.reduce((sum, pcpu) => sum + pcpu.switches, 0),
  );
const resets = (lab: Lab): number => perSecond(lab, lab.note('reset'));
const percent = (lab: Lab): number[] => lab.shares().map((share) => 100 * share);
/** Starts of turns in ms. */
const turns = (lab: Lab): number[] =>
  lab.trace.events.filter(({ kind }) => kind === 'running').map(({ at }) => at / NS_PER_MS);
const lengths = (starts: number[]): number[] => starts.slice(1).map((start, i) => start - starts[i]);

describe('V7: hogs on one pCPU', () => {
  test.each([2, 3, 5, 8])(
    '%i equal ones: slices of 1 ms, a reset every n x 10 ms, the last of the first epoch runs 1.5 ms',
    (n) => {
      const lab = run(60_000, { vms: hogs(n) });
      for (const share of percent(lab)) expect(Math.abs(share - 100 / n)).toBeLessThan(0.02);
      expect(switches(lab)).toBeCloseTo(1000, 0);
      expect(resets(lab)).toBeCloseTo(100 / n, 0);
      const first = lengths(turns(lab)).slice(0, 4 * n);
      expect(first.slice(0, n)).toEqual([...Array.from({ length: n - 1 }, () => 1), 1.5]);
      expect(new Set(first.slice(n))).toEqual(new Set([1]));
    },
  );

  test.each([
    [512, 100 / 3, 667, 67, 2],
    [1024, 20, 400, 80, 4],
  ])('256:%i', (weight, share, switchesPerSecond, resetsPerSecond, slice) => {
    const lab = run(60_000, { vms: [A, { ...A, weight }] });
    expect(percent(lab)[0]).toBeCloseTo(share, 1);
    expect(percent(lab)[1]).toBeCloseTo(100 - share, 1);
    expect(Math.abs(switches(lab) - switchesPerSecond)).toBeLessThan(1);
    // The heaviest burns 10 ms between resets: shares x 100 per second.
    expect(Math.abs(resets(lab) - resetsPerSecond)).toBeLessThan(1);
    const steady = lengths(turns(lab)).slice(4, 12);
    expect(steady).toEqual([1, slice, 1, slice, 1, slice, 1, slice]);
  });

  /** The slices that the policy answers, in ms. */
  const slices = (params: Params, vms: LabVm[]): number[] => {
    const seen: number[] = [];
    const spied: SchedulerPolicy = {
      ...policy,
      make: (host, values) => {
        const scheduler = policy.make(host, values);
        const pick = scheduler.pick.bind(scheduler);
        scheduler.pick = (pcpu, now, current) => {
          const decision = pick(pcpu, now, current);
          seen.push(decision.slice / NS_PER_MS);
          return decision;
        };
        return scheduler;
      },
    };
    new Lab({ policy: spied, params, vms }).runMs(50);
    return seen;
  };

  test('slices: without a rate limit the shortest timer, 500 us; alone the longest, 10 ms, or 2 ms in early versions', () => {
    expect(new Set(slices({ ratelimit_us: 0 }, hogs(2)))).toEqual(new Set([0.5]));
    expect(slices({}, hogs(1)).slice(0, 4)).toEqual([10, 10, 10, 10]);
    expect(slices({ max_timer_us: 2000 }, hogs(1)).slice(0, 4)).toEqual([2, 2, 2, 2]);
    expect(() => slices({ max_timer_us: 100 }, hogs(1))).toThrow(/max_timer_us/);
  });
});

describe('caps', () => {
  test('V8: cap 50: 5 ms on, 5 ms off', () => {
    const lab = run(10_000, { vms: [{ ...A, capPercent: 50 }] });
    expect(turns(lab).slice(0, 9)).toEqual(Array.from({ length: 9 }, (_, i) => 10 * i));
    const [task] = lab.host.tasks;
    expect([task.times[STATE_RUNNING], task.times[STATE_PARKED]]).toEqual([5000 * NS_PER_MS, 5000 * NS_PER_MS]);
  });

  test.each([10, 25, 40, 75, 95])('cap %i: that part of each period of 10 ms, in one piece', (cap) => {
    const lab = run(1000, { vms: [{ ...A, capPercent: cap }] });
    // Below 1 ms the shortest slice runs over the budget, which is then taken from the next ones.
    expect(Math.abs(percent(lab)[0] - cap)).toBeLessThanOrEqual(0.1);
  });

  test('another period: 30 ms', () => {
    const lab = run(3000, { params: { cap_period_ms: 30 }, vms: [{ ...A, capPercent: 50 }] });
    expect(turns(lab).slice(0, 9)).toEqual(Array.from({ length: 9 }, (_, i) => 30 * i));
    expect(percent(lab)[0]).toBe(50);
  });

  test('a cap is one of the whole VM, and of 100 per vCPU at most', () => {
    const lab = run(5000, { pcpus: 4, vms: [{ ...A, vcpus: 4, capPercent: 130 }] });
    expect(Math.abs(percent(lab).reduce((sum, share) => sum + share) - 130)).toBeLessThan(1);
    const more = run(1000, { pcpus: 2, vms: [{ ...A, capPercent: 400 }] });
    expect(percent(more)[0]).toBe(100);
  });

  test('early vCPUs drain the pool when the least quota is more than a fair part', () => {
    // 2 ms per period over eight vCPUs: 500 us each, so four of them, and the others park.
    const lab = run(9, { pcpus: 8, vms: [{ ...A, vcpus: 8, capPercent: 20 }] });
    const ran = lab.host.tasks.filter((task) => task.times[STATE_RUNNING] > 0);
    expect(ran).toHaveLength(4);
  });

  test('one that blocks gives its budget back, and a parked sibling goes on', () => {
    // 6 ms per 10 ms, 3 ms each. The first takes its 3 ms, uses 1 ms and blocks: the second has 5 ms of every period.
    const lab = new Lab({ policy, pcpus: 2, vms: [] });
    const vm = lab.host.addVm({ name: 'vm', capPercent: 60 });
    const short = periodic.make({ work_us: 1_000, period_us: 10_000 }, lab.streams.stream('a'));
    lab.add(vm, new ModelledVcpu(lab.engine, short));
    lab.add(vm, new ModelledVcpu(lab.engine, hog.make({}, lab.streams.stream('b'))));
    lab.runMs(1000);
    expect(percent(lab).map(Math.round)).toEqual([10, 50]);
  });

  test('a cap may come and go', () => {
    const lab = new Lab({ policy, vms: [A] });
    lab.runMs(100);
    lab.host.change(lab.host.vms[0], { capPercent: 20 });
    lab.runMs(1100);
    expect(lab.host.tasks[0].times[STATE_RUNNING] / NS_PER_MS).toBeCloseTo(300, -1);
    lab.host.change(lab.host.vms[0], { capPercent: 0 });
    lab.runMs(2100);
    expect(lab.host.tasks[0].times[STATE_RUNNING] / NS_PER_MS).toBeCloseTo(1300, -1);
  });
});

describe('run queues', () => {
  const topology = makeTopology({ sockets: 2, coresPerSocket: 3, threadsPerCore: 2 });
  test.each([
    ['cpu', 16, Array.from({ length: 12 }, (_, id) => [id])],
    ['core', 16, [0, 2, 4, 6, 8, 10].map((id) => [id, id + 1])],
    [
      'socket',
      16,
      [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10, 11],
      ],
    ],
    [
      'node',
      16,
      [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10, 11],
      ],
    ],
    ['all', 16, [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]],
    // Twelve into as few as possible with at most eight: two of six. Siblings stay together though five are allowed.
    [
      'all',
      8,
      [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10, 11],
      ],
    ],
    [
      'socket',
      5,
      [
        [0, 1],
        [2, 3, 4, 5],
        [6, 7],
        [8, 9, 10, 11],
      ],
    ],
    ['socket', 1, [0, 2, 4, 6, 8, 10].map((id) => [id, id + 1])],
  ] as const)('%s, at most %i', (level, max, expected) => {
    expect(runQueues(topology, level, max)).toEqual(expected);
  });

  test('load averages: closed forms', () => {
    const second = 2 ** 30;
    const load = new LoadAverage(30, LOAD_ONE / 2, 0);
    load.update(0, 1);
    load.update(second / 4, 0);
    // 1/2 + 1/4 (1 - 1/2)
    expect(load.average / LOAD_ONE).toBe(0.625);
    load.update(second / 2, 1);
    // 5/8 + 1/4 (1 - 5/8)
    expect(load.average / LOAD_ONE).toBe(0.71875);
    load.update(10 * second, 0);
    expect(load.average / LOAD_ONE).toBe(2);
  });

  test('balancing moves work to the other queue once there is a difference, at a reset and not before', () => {
    const topology = { sockets: 2, coresPerSocket: 1, threadsPerCore: 1 };
    const lab = new Lab({ policy, topology, keepMax: 100_000, vms: hogs(4) });
    lab.runMs(100);
    const there = lab.host.tasks.filter((task) => task.pcpu === 0);
    expect(there).toHaveLength(2);
    for (const task of there) lab.host.end(task);
    lab.runMs(3000);
    expect(lab.note('balance')).toBe(1);
    const moved = lab.trace.events.find(({ kind }) => kind === 'balance')!;
    const before = lab.trace.events.filter(({ kind, at }) => kind === 'reset' && at <= moved.at).at(-1)!;
    expect(moved.at - before.at).toBeLessThan(2 * NS_PER_MS);
    // Wasted idle: pCPU 0 stood still until then.
    expect(lab.host.pcpus[0].idleNs).toBeGreaterThan(NS_PER_MS);
    const alive = lab.host.tasks.filter((task) => !there.includes(task));
    expect(new Set(alive.map((task) => task.pcpu))).toEqual(new Set([0, 1]));
  });

  test('idle cores come before idle threads, and after them when power is to be saved', () => {
    const topology = { sockets: 1, coresPerSocket: 2, threadsPerCore: 2 };
    const cores = (params: LabSpec['params'] & object): number[] =>
      run(100, { topology, params, vms: hogs(2) }).host.tasks.map((task) => task.pcpu >> 1);
    expect(new Set(cores({})).size).toBe(2);
    expect(new Set(cores({ smt_power_savings: true })).size).toBe(1);
  });
});

describe('wake-up and affinity', () => {
  test('a sleeper preempts after the rate limit less 50 us, or at once when that is over', () => {
    const sleeper: LabVm = { demand: periodic, with: { work_us: 100, period_us: 10_300, phase_us: 5_000 } };
    const lab = run(5000, { vms: [sleeper, A] });
    // Alone, the hog is asked every 10 ms only: it has run long, so all waits but those of refused wake-ups are 0.
    const waits = latenciesMs(lab.host.tasks[0]);
    expect(waits[Math.floor(waits.length / 2)]).toBe(0);
    expect(waits.at(-1)).toBeLessThanOrEqual(10);
  });

  test('soft affinity: preferred pCPUs while there is room, others otherwise', () => {
    const soft: LabVm = { ...A, task: { soft: [3] } };
    const lab = run(1000, { pcpus: 4, vms: [soft, A] });
    expect(lab.host.tasks[0].pcpu).toBe(3);
    const crowded = run(1000, {
      pcpus: 2,
      vms: [
        { ...A, task: { soft: [1] } },
        { ...A, task: { soft: [1] } },
      ],
    });
    for (const share of percent(crowded)) expect(share).toBeGreaterThan(99);
  });

  test('migrate resistance: without it three hogs on two pCPUs move more often', () => {
    const moves = (migrate_resist_us: number): number =>
      run(3000, { pcpus: 2, params: { migrate_resist_us }, vms: hogs(3) }).note('migrate');
    expect(moves(0)).toBeGreaterThan(moves(3000));
    const lab = run(30_000, { pcpus: 2, vms: hogs(3) });
    for (const share of percent(lab)) expect(Math.abs(share - 200 / 3)).toBeLessThan(3);
  });

  test('weight skew: a very light one hits the floor of its credit and has more than its share', () => {
    const lab = run(10_000, {
      vms: [
        { ...A, weight: 1 },
        { ...A, weight: 65_535 },
      ],
    });
    // Its share is 1/65536. It runs 1 ms, falls to -10 ms, and two resets of 10 ms bring it back.
    expect(percent(lab)[0]).toBeGreaterThan(2);
    expect(percent(lab)[0]).toBeLessThan(10);
  });
});

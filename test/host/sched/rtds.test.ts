/** RTDS: rules of the reference, section 1.3, V9, and what is known of earliest deadline first. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NS_PER_MS, NS_PER_US } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { rtds as policy } from '../../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabVm } from '../lab.ts';

/** A hog in a server of that budget per period. */
const server = (period_us: number, budget_us: number, extratime = false): LabVm => ({
  demand: hog,
  task: { params: { period_us, budget_us, extratime } },
});
const ranMs = (lab: Lab): number[] => lab.host.tasks.map((task) => task.times[STATE_RUNNING] / NS_PER_MS);
/** [vCPU, start in ms] of each turn. */
const turns = (lab: Lab): [number, number][] =>
  lab.trace.events.filter(({ kind }) => kind === 'running').map(({ vcpu, at }) => [vcpu, at / NS_PER_MS]);

describe('budgets', () => {
  test('V9: two servers of 4 ms per 10 ms on one pCPU: 40 % each, 20 % idle, no period without its budget', () => {
    const lab = new Lab({ policy, vms: [server(10_000, 4_000), server(10_000, 4_000)] });
    for (let period = 1; period <= 100; period++) {
      lab.runMs(10 * period);
      expect(ranMs(lab)).toEqual([4 * period, 4 * period]);
    }
    expect(lab.host.pcpus[0].idleNs / lab.host.now).toBe(0.2);
  });

  test('50 ms per 100 ms: on for 50 ms, off for 50 ms', () => {
    const lab = new Lab({ policy, vms: [server(100_000, 50_000)], keepMax: 1000 });
    lab.runMs(1000);
    expect(turns(lab)).toEqual(Array.from({ length: 10 }, (_, i) => [0, 100 * i]));
    expect(ranMs(lab)).toEqual([500]);
  });

  test('with extra time it has the whole pCPU while it is alone', () => {
    const lab = new Lab({ policy, vms: [server(100_000, 50_000, true)] });
    lab.runMs(1000);
    expect(ranMs(lab)).toEqual([1000]);
  });

  test('extra time is what the others leave, and never at the cost of a budget', () => {
    const lab = new Lab({ policy, vms: [server(10_000, 1_000, true), server(20_000, 8_000), server(40_000, 12_000)] });
    for (let ms = 40; ms <= 4000; ms += 40) {
      lab.runMs(ms);
      // 40 % and 30 % are reserved for the two without extra time; the first has its 10 % and the 20 % that are left.
      expect(ranMs(lab)).toEqual([0.3 * ms, 0.4 * ms, 0.3 * ms].map((expected) => expect.closeTo(expected, 6)));
    }
  });

  test('extra time is shared by levels: equal servers get equal times', () => {
    const lab = new Lab({ policy, vms: Array.from({ length: 5 }, () => server(100_000, 3_000, true)) });
    lab.runMs(1000);
    // Levels differ by one at most, so do budgets: 100 ms are 33 of them, and every server gets 6 or 7.
    for (const ms of ranMs(lab)) expect(Math.abs(ms - 200)).toBeLessThanOrEqual(3 * 10);
    expect(ranMs(lab).reduce((sum, ms) => sum + ms)).toBe(1000);
  });

  test('one pCPU, no more than fully reserved: every server has its budget in every period (EDF is optimal)', () => {
    const reservation = fc.record({ period: fc.integer({ min: 1, max: 40 }), part: fc.integer({ min: 1, max: 100 }) });
    fc.assert(
      fc.property(fc.array(reservation, { minLength: 1, maxLength: 5 }), (wishes) => {
        const parts = wishes.reduce((sum, { part }) => sum + part, 0);
        const servers = wishes.map(({ period, part }) => ({
          period: period * 1000,
          budget: Math.max(Math.floor((period * 1000 * part) / parts), 10),
        }));
        const lab = new Lab({ policy, vms: servers.map(({ period, budget }) => server(period, budget)) });
        for (let ms = 1; ms <= 120; ms++) {
          lab.runMs(ms);
          for (const [i, { period, budget }] of servers.entries()) {
            if ((ms * 1000) % period !== 0) continue;
            const periods = (ms * 1000) / period;
            expect(lab.host.tasks[i].times[STATE_RUNNING]).toBe(periods * budget * NS_PER_US);
          }
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('earliest deadline first', () => {
  test('the earlier deadline preempts, the later waits, on ties the one that waits runs', () => {
    const late: LabVm = {
      demand: periodic,
      with: { work_us: 2_000, period_us: 50_000, phase_us: 3_000 },
      task: { params: { period_us: 5_000, budget_us: 2_000, extratime: false } },
    };
    const lab = new Lab({ policy, vms: [server(20_000, 10_000), late], keepMax: 1000 });
    lab.runMs(20);
    // The second wakes at 3 ms with the deadline 5 ms against 20 ms.
    expect(turns(lab).slice(-3)).toEqual([
      [0, 0],
      [1, 3],
      [0, 5],
    ]);
    expect(ranMs(lab)).toEqual([10, 2]);
  });

  test.each([
    [2, 10, 1],
    [4, 100, 1],
    [8, 200, 3],
  ])('Dhall: on %i pCPUs light servers make the heavy one miss its deadline', (m, period, epsilon) => {
    const light = Array.from({ length: m }, () => server(period * 1000, 2 * epsilon * 1000));
    const heavy = server((period + epsilon) * 1000, period * 1000);
    const lab = new Lab({ policy, pcpus: m, vms: [...light, heavy] });
    lab.runMs(period + epsilon);
    // All light ones go first, for 2e; the heavy one has period + e - 2e left and needs the whole period.
    expect(ranMs(lab)[m]).toBe(period - epsilon);
    // Utilization: barely more than one pCPU of m.
    expect(m * ((2 * epsilon) / period) + period / (period + epsilon)).toBeLessThan(m / 1.5);
  });

  test('back to back: a server that wakes late has two budgets in a row', () => {
    const late: LabVm = {
      demand: periodic,
      with: { work_us: 8_000, period_us: 100_000, phase_us: 6_000 },
      task: { params: { period_us: 10_000, budget_us: 4_000, extratime: false } },
    };
    const lab = new Lab({ policy, vms: [late, server(30_000, 12_000)], keepMax: 1000 });
    lab.runMs(30);
    // 4 ms of the period that ends at 10 ms, 4 ms of the next; the other, with 12 ms per 30 ms, waits for 8 ms.
    expect(turns(lab).slice(-3)).toEqual([
      [1, 0],
      [0, 6],
      [1, 14],
    ]);
    expect(ranMs(lab)).toEqual([8, 12]);
  });

  test('one that blocked keeps the rest of its budget until its period ends (deferrable)', () => {
    const twice: LabVm = {
      demand: periodic,
      with: { work_us: 3_000, period_us: 5_000, phase_us: 0 },
      task: { params: { period_us: 10_000, budget_us: 4_000, extratime: false } },
    };
    const lab = new Lab({ policy, vms: [twice], keepMax: 1000 });
    lab.runMs(10);
    // 3 ms at 0, then 1 ms at 5; depleted until 10.
    expect(ranMs(lab)).toEqual([4]);
    expect(lab.note('deplete')).toBe(1);
  });

  test('the queue is global: three servers of 4 ms per 10 ms on two pCPUs all have their budget, and nobody idles', () => {
    const lab = new Lab({ policy, pcpus: 2, vms: Array.from({ length: 3 }, () => server(10_000, 4_000, true)) });
    for (let period = 1; period <= 300; period++) {
      lab.runMs(10 * period);
      for (const ms of ranMs(lab)) expect(ms).toBeGreaterThanOrEqual(4 * period);
    }
    expect(lab.host.tasks.reduce((sum, task) => sum + task.migrations, 0)).toBeGreaterThan(100);
    for (const pcpu of lab.host.pcpus) expect(pcpu.idleNs).toBe(0);
  });
});

test('a budget above the period is refused', () => {
  expect(() => new Lab({ policy, vms: [server(4_000, 5_000)] })).toThrow(
    /vm0\.0: budget_us: found 5000, expected at most/,
  );
  expect(() => new Lab({ policy, vms: [server(9, 9)] })).toThrow(/from 10/);
});

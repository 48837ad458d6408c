/**
 * EEVDF against the reference (section 2.2, V14). Expected numbers are the reference's, or follow from its definitions by
 * hand; none was produced by this program.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, interactive, periodic } from '../../../src/host/modelled/index.ts';
import type { Params } from '../../../src/host/params.ts';
import { eevdf } from '../../../src/host/sched/index.ts';
import { EevdfQueue } from '../../../src/host/sched/linux/eevdf-queue.ts';
import { Entity } from '../../../src/host/sched/linux/fair-queue.ts';
import { niceWeight } from '../../../src/host/sched/linux/weights.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };
/** The slice of a host with eight pCPUs or more. */
const LARGE = { scaling: 'none', base_slice_us: 2800 } as const;

const run = (params: Params, ms: number, spec: Omit<LabSpec, 'policy' | 'params'>): Lab => {
  const lab = new Lab({ policy: eevdf, params: { ...LARGE, ...params }, keepMax: 200_000, ...spec });
  lab.runMs(ms);
  return lab;
};
const percent = (lab: Lab): number[] => lab.shares().map((share) => 100 * share);
const nice = (level: number, more: Params = {}): LabVm => ({ ...A, task: { params: { nice: level, ...more } } });

/** Who ran for how many ms, from one second on: `0:3`. */
function runs(lab: Lab): string[] {
  const starts = lab.trace.events.filter(({ kind, at }) => kind === 'running' && at >= 1e9);
  return starts.slice(1).map(({ at }, i) => `${starts[i].vcpu}:${(at - starts[i].at) / NS_PER_MS}`);
}

describe('V14: slices on one pCPU, rounded up to a tick', () => {
  test.each([
    [1000, 3],
    [250, 4],
  ])('two equal hogs at HZ %i alternate every %i ms', (hz, ms) => {
    for (const groups of [true, false]) {
      const lab = run({ hz, groups }, 3000, { vms: [A, A] });
      expect(new Set(runs(lab))).toEqual(new Set([`0:${ms}`, `1:${ms}`]));
    }
  });

  test.each([
    [1000, 333],
    [250, 250],
  ])('at HZ %i that is %i switches per second', (hz, expected) => {
    const lab = run({ hz }, 10_000, { vms: [A, A] });
    expect(Math.abs(lab.host.pcpus[0].switches / 10 - expected)).toBeLessThan(1);
  });

  test.each([
    [1000, 6, 3],
    [250, 8, 4],
  ])('weights 2:1 at HZ %i: %i and %i ms', (hz, first, second) => {
    const lab = run({ hz }, 3000, { vms: [{ ...A, weight: 512 }, A] });
    expect(new Set(runs(lab))).toEqual(new Set([`0:${first}`, `1:${second}`]));
  });

  test('nice 0 against nice 5: runs of 9 and 3 ms with corrections, 75.35 : 24.65', () => {
    const lab = run({ hz: 1000, groups: false }, 60_000, { vms: [nice(0), nice(5)] });
    expect(Math.abs(percent(lab)[0] - 75.35)).toBeLessThan(0.05);
    const seen = runs(lab);
    const usual = seen.filter((text) => text === '0:9' || text === '1:3').length;
    expect(usual / seen.length).toBeGreaterThan(0.9);
    expect(usual / seen.length).toBeLessThan(1);
  });
});

describe('lag', () => {
  test('no hog is ever further from its fluid share than the largest slice and a tick', () => {
    const hosts = fc.record({
      levels: fc.array(fc.integer({ min: -6, max: 8 }), { minLength: 2, maxLength: 6 }),
      slices: fc.array(fc.constantFrom(500, 2800, 10_000), { minLength: 6, maxLength: 6 }),
      hz: fc.constantFrom(250, 1000),
      run_to_parity: fc.boolean(),
    });
    fc.assert(
      fc.property(hosts, ({ levels, slices, hz, run_to_parity }) => {
        const vms = levels.map((level, i) => nice(level, { slice_us: slices[i] }));
        const lab = run({ hz, groups: false, run_to_parity }, 0, { vms });
        const weights = levels.map(niceWeight);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const largest = Math.max(...slices.slice(0, levels.length)) / 1000;
        // The fluid share is of the time since the start: newcomers begin with lag 0.
        for (let ms = 1; ms <= 400; ms++) {
          lab.runMs(ms);
          for (const [i, { times }] of lab.host.tasks.entries()) {
            const lag = (ms * weights[i]) / total - times[STATE_RUNNING] / NS_PER_MS;
            expect(Math.abs(lag)).toBeLessThanOrEqual(largest + 1000 / hz);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  const queue = (more: Partial<ConstructorParameters<typeof EevdfQueue>[0]> = {}): EevdfQueue =>
    new EevdfQueue({
      slice: 3000,
      tick: 1000,
      runToParity: true,
      preemptShort: true,
      delayDequeue: true,
      placeLag: true,
      wakeupPreemption: true,
      ...more,
    });
  const member = (q: EevdfQueue, weight = 1024): Entity => {
    const entity = new Entity(null, null, weight);
    q.enqueue(entity, 'new', 0);
    return entity;
  };

  test('V is the weighted mean, and an arrival keeps the lag that it left with', () => {
    const q = queue({ delayDequeue: false });
    const [a, b] = [member(q, 2048), member(q)];
    expect(q.pick()).toBe(a);
    q.charge(3000);
    // a: 1500 of virtual time at weight 2, b: 0 at weight 1.
    expect(q.average).toBe(1000);
    expect(q.isEligible(a)).toBe(false);
    expect(q.isEligible(b)).toBe(true);
    q.dequeue(b, 'sleep');
    expect(b.lag).toBe(1000);
    q.charge(3000);
    q.enqueue(b, 'wake', 0);
    expect(q.average - b.vruntime).toBe(1000);
  });

  test('what is remembered is bounded by two slices', () => {
    const q = queue({ delayDequeue: false });
    const [a, b] = [member(q), member(q)];
    expect(q.pick()).toBe(a);
    q.charge(100_000);
    q.dequeue(b, 'sleep');
    expect(b.lag).toBe(6000);
    q.enqueue(b, 'wake', 0);
    q.dequeue(a, 'sleep');
    expect(a.lag).toBe(-6000);
  });

  test('a newcomer gets half a slice as its first deadline', () => {
    const q = queue();
    expect(member(q).deadline).toBe(1500);
  });

  test('who sleeps with a debt stays until it is made up; who was owed something does not gain by sleeping', () => {
    const q = queue();
    const [a, b] = [member(q), member(q)];
    expect(q.pick()).toBe(a);
    q.charge(3000);
    expect(q.dequeue(a, 'sleep')).toBe(false);
    expect(q.count).toBe(2);
    expect(q.pick()).toBe(b);
    q.charge(3500);
    q.put();
    // Made up: it is eligible and due first, so it is picked, and leaves.
    expect(q.pick()).toBe(a);
    expect(a.delayed).toBe(true);
    expect(q.dequeue(a, 'sleep')).toBe(true);
    expect(a.lag).toBe(0);
  });
});

describe('requests of different length', () => {
  const waker = (slice_us: number): LabVm => ({
    demand: periodic,
    with: { work_us: 300, period_us: 20_100 },
    task: { params: { slice_us } },
  });

  test('a shorter request is served sooner, at equal shares', () => {
    const at = (slice_us: number): number => {
      const lab = run({ hz: 1000, groups: false }, 20_000, { vms: [waker(slice_us), A, A, A] });
      return latenciesMs(lab.host.tasks[0]).reduce((sum, ms) => sum + ms, 0) / lab.host.tasks[0].wakes;
    };
    expect(at(500)).toBeLessThan(at(10_000));
  });

  test('hogs with requests of different length get the same', () => {
    const lab = run({ hz: 1000, groups: false }, 20_000, {
      vms: [nice(0, { slice_us: 1000 }), nice(0, { slice_us: 20_000 })],
    });
    for (const share of percent(lab)) expect(Math.abs(share - 50)).toBeLessThan(0.2);
  });

  test('PREEMPT_SHORT breaks the protection of who runs', () => {
    const wait = (preempt_short: boolean): number => {
      const vms = [waker(500), nice(0, { slice_us: 20_000 }), nice(0, { slice_us: 20_000 })];
      const lab = run({ hz: 1000, groups: false, preempt_short }, 20_000, { vms });
      return latenciesMs(lab.host.tasks[0]).at(-1)!;
    };
    expect(wait(true)).toBeLessThan(wait(false));
  });

  test('RUN_TO_PARITY saves switches', () => {
    const switches = (run_to_parity: boolean): number =>
      run({ hz: 1000, run_to_parity }, 5000, { vms: [A, A, A, { demand: interactive }] }).host.pcpus[0].switches;
    expect(switches(true)).toBeLessThan(switches(false));
  });
});

/**
 * CFS, EEVDF and the classes above them at weights, caps, periods and topologies that the reference does not mention. What is
 * expected is a closed form: shares are w / sum(w), a cap is quota / period, a reservation is Q / P, and what may run runs.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic, spinlock } from '../../../src/host/modelled/index.ts';
import type { Params } from '../../../src/host/params.ts';
import { cfs, eevdf } from '../../../src/host/sched/index.ts';
import { niceWeight } from '../../../src/host/sched/linux/weights.ts';
import { STATE_PARKED, STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };
const percent = (lab: Lab): number[] => lab.shares().map((share) => 100 * share);
const thread = (params: Params, vm: LabVm = A): LabVm => ({ ...vm, task: { ...vm.task, params } });
const expectNear = (found: readonly number[], expected: readonly number[], tolerance: number): void => {
  expect(found.length).toBe(expected.length);
  for (const [i, value] of found.entries()) expect(Math.abs(value - expected[i]), found.join()).toBeLessThan(tolerance);
};

describe.each([cfs, eevdf])('$name', (policy) => {
  const lab = (spec: Omit<LabSpec, 'policy'>, ms: number): Lab => {
    const made = new Lab({ policy, ...spec });
    made.runMs(ms);
    return made;
  };

  test.each([[[1, 256]], [[16, 16, 64]], [[100, 300, 600]], [[10, 20, 30, 40, 50]], [[256, 256, 1024, 77]]])(
    'VMs of weights %j share one pCPU by them',
    (weights) => {
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const made = lab({ params: { hz: 1000 }, vms: weights.map((weight) => ({ ...A, weight })) }, 20_000);
      expectNear(
        percent(made),
        weights.map((weight) => (100 * weight) / total),
        0.1,
      );
    },
  );

  test.each([[[0, 19]], [[-20, 0]], [[3, -7, 11]], [[1, 1, 2, 2]]])('nice %j without groups', (levels) => {
    const weights = levels.map(niceWeight);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const vms = levels.map((nice) => thread({ nice }));
    expectNear(
      percent(lab({ params: { hz: 1000, groups: false }, vms }, 60_000)),
      weights.map((weight) => (100 * weight) / total),
      0.1,
    );
  });

  // [weight, vCPUs] of two VMs, pCPUs: both VMs can use their parts of every pCPU.
  test.each([
    [4, 16, 64, 16, 16],
    [3, 16, 8, 16, 16],
    [256, 16, 128, 16, 16],
    [256, 3, 256, 6, 3],
    [64, 16, 64, 32, 16],
    [64, 7, 128, 3, 1],
  ])('a VM of weight %i with %i vCPUs, one of weight %i with %i, on %i pCPUs', (w1, n1, w2, n2, pcpus) => {
    const vms = [
      { ...A, weight: w1, vcpus: n1 },
      { ...A, weight: w2, vcpus: n2 },
    ];
    const made = new Lab({ policy, params: { hz: 1000 }, pcpus, vms });
    const first = (): number => made.host.tasks.slice(0, n1).reduce((sum, { times }) => sum + times[STATE_RUNNING], 0);
    // One second for the balancer.
    made.runMs(1000);
    const before = first();
    made.runMs(3000);
    const share = (first() - before) / (pcpus * 2000 * NS_PER_MS);
    expect(Math.abs(share - w1 / (w1 + w2))).toBeLessThan(0.01);
  });

  // 256 each: pCPUs, sockets, hogs. No balancer of Linux is exact; nobody may be left behind for long.
  test.each([
    [2, 1, 3],
    [2, 2, 5],
    [4, 1, 7],
    [4, 2, 5],
    [16, 1, 20],
  ])('%i pCPUs in %i sockets, %i hogs: each has its part within 15 %%', (pcpus, sockets, hogs) => {
    const topology = { sockets, coresPerSocket: pcpus / sockets, threadsPerCore: 1 };
    const made = lab({ params: { hz: 1000 }, topology, vms: Array.from({ length: hogs }, () => A) }, 20_000);
    const share = (100 * pcpus) / hogs;
    expectNear(
      percent(made),
      Array.from({ length: hogs }, () => share),
      0.15 * share,
    );
    expect(percent(made).reduce((sum, one) => sum + one, 0)).toBeGreaterThan(99.8 * pcpus);
  });

  test('soft affinity: preferred pCPUs while there is room, others before any two share, preferred ones when all are busy', () => {
    const soft = (...pcpus: number[]): LabVm => ({ ...A, task: { soft: pcpus } });
    const places = (vms: LabVm[], topology = { sockets: 1, coresPerSocket: 4, threadsPerCore: 1 }): number[] =>
      lab({ topology, vms }, 500).host.tasks.map(({ pcpu }) => pcpu);
    expect(places([soft(3), soft(1)])).toEqual([3, 1]);
    expect(places([soft(2), soft(2), A]).toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
    const full = places([A, A, A, A, soft(3)]);
    expect(full[4]).toBe(3);
    // Asleep most of the time, they find their pCPU idle whenever they wake up, in whatever socket they ran before.
    const io = { demand: periodic, with: { work_us: 100, period_us: 5000 } };
    const made = lab(
      {
        topology: { sockets: 2, coresPerSocket: 2, threadsPerCore: 1 },
        vms: [
          { ...io, task: { soft: [3] } },
          { ...io, task: { soft: [0] } },
        ],
      },
      1000,
    );
    expect(made.host.tasks.map(({ pcpu, migrations }) => [pcpu, migrations])).toEqual([
      [3, 0],
      [0, 0],
    ]);
  });

  describe('cpu.max', () => {
    // Percent, vCPUs, pCPUs, period in us, HZ.
    test.each([
      [7, 1, 1, 100_000, 250],
      [33, 2, 2, 20_000, 1000],
      [175, 4, 4, 50_000, 250],
      [399, 4, 4, 100_000, 250],
      [5, 1, 1, 1_000_000, 100],
      [60, 3, 2, 7000, 1000],
    ])('%i%% over %i vCPUs on %i pCPUs, periods of %i us, HZ %i', (capPercent, vcpus, pcpus, cpu_max_period_us, hz) => {
      const vms = [{ ...A, vcpus, capPercent, params: { cpu_max_period_us } }];
      const made = lab({ params: { hz }, pcpus, vms }, 20_000);
      const total = percent(made).reduce((sum, share) => sum + share, 0);
      expect(Math.abs(total - capPercent)).toBeLessThan(0.2);
    });

    test('what a capped VM does not take goes to the others by weight; a cap above the share does nothing', () => {
      expectNear(
        percent(lab({ params: { hz: 1000 }, vms: [{ ...A, capPercent: 20 }, A, A] }, 20_000)),
        [20, 40, 40],
        0.1,
      );
      const vms = [{ ...A, capPercent: 50 }, A, { ...A, weight: 512 }];
      expectNear(percent(lab({ params: { hz: 1000 }, vms }, 20_000)), [25, 25, 50], 0.1);
    });

    test.each([false, true])('a cap takes effect when it is set, changed and removed (exact timers %s)', (hrtick) => {
      const made = new Lab({ policy, params: { hz: 1000, hrtick }, vms: [A] });
      const [task] = made.host.tasks;
      let at = 0;
      const during = (ms: number): number => {
        const before = task.times[STATE_RUNNING];
        at += ms;
        made.runMs(at);
        return (task.times[STATE_RUNNING] - before) / NS_PER_MS;
      };
      const cap = (capPercent: number): void => made.host.change(made.host.vms[0], { capPercent });
      expect(during(1015)).toBe(1015);
      cap(5);
      expect(Math.abs(during(2000) - 100)).toBeLessThanOrEqual(5);
      cap(50);
      // At once, not only at the next period.
      expect(during(10)).toBe(10);
      expect(Math.abs(during(1990) - 990)).toBeLessThanOrEqual(50);
      cap(0);
      expect(during(300)).toBe(300);
    });

    test('burst: jobs of 60 ms every 300 ms under 50 ms in 100 ms', () => {
      const parked = (cpu_max_burst_us: number): number => {
        const job = { demand: periodic, with: { work_us: 60_000, period_us: 300_000 } };
        const vms = [{ ...job, capPercent: 50, params: { cpu_max_burst_us } }];
        const [task] = lab({ params: { hz: 1000, hrtick: true }, vms }, 3000).host.tasks;
        return Math.round(task.times[STATE_PARKED] / NS_PER_MS);
      };
      // 50 ms of each are parked: without a burst always, with one in the first period only.
      expect([0, 10_000, 50_000].map(parked)).toEqual([500, 50, 50]);
    });

    test('what cpu.stat counts', () => {
      const count = (vm: Partial<LabVm>, ms: number) => {
        const made = lab({ params: { hrtick: true }, pcpus: 4, vms: [{ ...A, ...vm }] }, ms);
        const { periods, throttledPeriods, throttledNs, bursts, burstNs } = made.host.throttling(made.host.vms[0])!;
        const parked = made.host.tasks.reduce((sum, { times }) => sum + times[STATE_PARKED], 0);
        expect(throttledNs).toBe(parked);
        return [
          periods,
          throttledPeriods,
          Math.round(throttledNs / NS_PER_MS),
          bursts,
          Math.round(burstNs / NS_PER_MS),
        ];
      };
      // Four hogs, 100 ms in 100 ms: every period ends throttled, 75 ms on each of four pCPUs.
      expect(count({ vcpus: 4, capPercent: 100 }, 1010)).toEqual([10, 10, 3000, 0, 0]);
      // Half of a pCPU in periods of 20 ms.
      expect(count({ capPercent: 50, params: { cpu_max_period_us: 20_000 } }, 1005)).toEqual([50, 50, 500, 0, 0]);
      // 60 ms every 300 ms under 50 in 100, 50 saved: the first job is throttled, the other nine burst by 10 ms.
      const job = { demand: periodic, with: { work_us: 60_000, period_us: 300_000 } };
      const burst = count({ ...job, capPercent: 50, params: { cpu_max_burst_us: 50_000 } }, 2990);
      expect(burst.slice(1)).toEqual([1, 50, 9, 90]);
      // Nobody is limited.
      const free = lab({ vms: [A] }, 100);
      expect(free.host.throttling(free.host.vms[0])).toBe(null);
    });

    test('a quota below 1 ms is refused, as by the kernel', () => {
      const vms = [{ ...A, capPercent: 9, params: { cpu_max_period_us: 10_000 } }];
      expect(() => lab({ vms }, 1)).toThrow(/VM vm0: cpu.max allows 0.9 ms in 10 ms, .* at least 1 ms/);
    });
  });

  test('pause-loop exits: windows of 10 us that double until the spinner has been out', () => {
    // Two vCPUs take turns of 1 ms inside a lock; the other one spins meanwhile. Every exit is a directed yield.
    const exits = (pause_loop_grow: number, ...others: LabVm[]): number => {
      const demand = { lock: 'tas', hold_us: 1000, gap_us: 1, pause_loop_us: 10, pause_loop_grow };
      const made = lab({ pcpus: 2, vms: [{ demand: spinlock, vcpus: 2, with: demand }, ...others] }, 1000);
      return made.note('yield-to') + made.note('yield-to-failed');
    };
    // 99 exits per turn; the gap between two turns is 1 us on average.
    expect(Math.abs(exits(1) - 99_000)).toBeLessThan(500);
    // Nobody else: a first turn with exits after 10, 30, 70, 150, 310, 630 us, a second with one after 640, then none.
    expect(exits(2)).toBe(14);
    expect(exits(2, A, A)).toBeGreaterThan(100);
  });

  describe('real-time threads', () => {
    test.each([
      ['throttle', 1],
      ['throttle', 500],
      ['throttle', 900],
      ['throttle', 960],
      ['fair-server', 500],
    ])('fair ones keep 5 %% of every second (%s), whenever a FIFO hog starts (%i ms)', (rt_protection, startMs) => {
      const vms = [A, thread({ class: 'fifo', priority: 5 }, { ...A, startMs })];
      const made = new Lab({ policy, params: { rt_protection }, vms });
      made.runMs(1000);
      const [fair] = made.host.tasks;
      for (let ms = 2000; ms <= 10_000; ms += 1000) {
        const before = fair.times[STATE_RUNNING];
        made.runMs(ms);
        expect(fair.times[STATE_RUNNING] - before).toBeGreaterThanOrEqual(49 * NS_PER_MS);
      }
    });

    test.each([
      [300_000, 1_000_000],
      [95_000, 100_000],
      [1000, 10_000],
    ])('%i us of every %i us', (rt_runtime_us, rt_period_us) => {
      for (const rt_protection of ['throttle', 'fair-server']) {
        const vms = [A, thread({ class: 'rr', priority: 5 })];
        const made = lab({ params: { rt_protection, rt_runtime_us, rt_period_us }, vms }, 10_000);
        expectNear(percent(made).slice(1), [(100 * rt_runtime_us) / rt_period_us], 0.01);
      }
    });

    test.each(['throttle', 'fair-server'])(
      'all of a period is no limit, more than that is a mistake (%s)',
      (rt_protection) => {
        const shares = (rt_runtime_us: number): number[] => {
          const params = { rt_protection, rt_runtime_us, rt_period_us: 500_000 };
          return percent(lab({ params, vms: [A, thread({ class: 'fifo' })] }, 2000));
        };
        expect(shares(500_000)).toEqual([0, 100]);
        expect(() => shares(500_001)).toThrow(
          /rt_runtime_us: found 500001, allowed are 1 to rt_period_us, which is 500000/,
        );
      },
    );

    test('a preempted one goes on where something less urgent runs, or nothing', () => {
      const fifo = (priority: number, hard: readonly number[], startMs = 0): LabVm =>
        thread({ class: 'fifo', priority }, { ...A, startMs, task: { hard } });
      const shares = (...vms: LabVm[]): number[] =>
        percent(lab({ params: { rt_protection: 'none' }, pcpus: 2, vms }, 1000));
      // The second one is bound to pCPU 0 and more urgent; on pCPU 1 there is nothing, a fair thread, a less urgent one.
      expectNear(shares(fifo(5, [0, 1]), fifo(9, [0], 10)), [100, 99], 0.01);
      expectNear(shares(fifo(5, [0, 1]), fifo(9, [0], 10), { ...A, task: { hard: [1] } }), [100, 99, 1], 0.01);
      expectNear(shares(fifo(5, [0, 1]), fifo(9, [0], 10), fifo(3, [1])), [100, 99, 1], 0.01);
      // A more urgent one stays.
      expectNear(shares(fifo(5, [0, 1]), fifo(9, [0], 10), fifo(7, [1])), [1, 99, 100], 0.01);
    });
  });

  describe('deadline threads', () => {
    const reserve = (q: number, p: number, d = p): Params => ({
      class: 'deadline',
      runtime_us: q * 1000,
      deadline_us: d * 1000,
      period_us: p * 1000,
    });
    const jobs = (work: number, period: number): LabVm => ({
      demand: periodic,
      with: { work_us: work * 1000, period_us: period * 1000 },
    });

    // Work and period of jobs that sleep in between, in ms: sleeping does not earn a new budget.
    test.each([
      [1, 2],
      [5, 16],
      [3, 11],
      [9, 20],
    ])('%i ms of work every %i ms do not get more than was reserved', (work, period) => {
      for (const d of [100, 50, 10]) {
        const [share] = percent(lab({ vms: [thread(reserve(5, 100, d), jobs(work, period)), A] }, 10_000));
        expect(share).toBeLessThanOrEqual(5.05);
        expect(share).toBeGreaterThan(d === 100 ? 4.5 : 2);
      }
    });

    // U = 0.708, 0.908 and 0.95 in ms: EDF on one pCPU meets every deadline.
    test.each([
      [
        [
          [1, 4],
          [2, 6],
          [1, 8],
        ],
      ],
      [
        [
          [20, 100],
          [30, 90],
          [30, 80],
        ],
      ],
      [
        [
          [475, 1000],
          [475, 1000],
        ],
      ],
      [
        [
          [3, 7],
          [5, 13],
          [2, 17],
        ],
      ],
    ])('%j on one pCPU miss no deadline', (set) => {
      const vms = [...set.map(([q, p]) => thread(reserve(q, p), jobs(q, p))), A];
      const made = lab({ vms, keepMax: 200_000 }, 5000);
      for (const [i, [, p]] of set.entries()) {
        const done = made.trace.events.filter(({ kind, vcpu }) => kind === 'blocked' && vcpu === i);
        expect(done.length).toBeGreaterThanOrEqual(Math.floor(5000 / p));
        for (const [k, { at }] of done.entries()) expect(at).toBeLessThanOrEqual((k + 1) * p * NS_PER_MS);
      }
    });

    test('a constrained deadline is met every period', () => {
      const vms = [thread(reserve(5, 100, 10), jobs(5, 100)), thread(reserve(20, 50), jobs(20, 50)), A];
      const made = lab({ vms, keepMax: 100_000 }, 5000);
      const done = made.trace.events.filter(({ kind, vcpu }) => kind === 'blocked' && vcpu === 0);
      expect(done.length).toBe(50);
      for (const [k, { at }] of done.entries()) expect(at).toBeLessThanOrEqual((100 * k + 10) * NS_PER_MS);
    });

    describe('reclaiming (GRUB)', () => {
      const shares = (vms: LabVm[], pcpus = 1): number[] =>
        percent(lab({ pcpus, vms: [...vms, A] }, 10_000)).slice(0, -1);
      const greedy = (q: number): LabVm => thread({ ...reserve(q, 100), reclaim: true });

      test('alone it has all that may be reserved; several share it by their bandwidth', () => {
        expectNear(shares([greedy(10)]), [95], 0.01);
        expectNear(shares([greedy(10), greedy(20)]), [95 / 3, 190 / 3], 0.01);
        expectNear(shares([greedy(30), greedy(30), greedy(30)]), [95 / 3, 95 / 3, 95 / 3], 0.01);
      });

      test('what others need stays theirs', () => {
        // U = 0.3: a ns costs 0.3 / 0.95 of the budget of 10 ms; the other one does not reclaim and has its 20 ms.
        expectNear(shares([greedy(10), thread(reserve(20, 100))]), [95 / 3, 20], 0.01);
        expectNear(shares([greedy(10)], 2), [95], 0.01);
      });

      test('what a sleeper has left becomes free at its 0-lag time, and is its own again when it wakes up', () => {
        // (40, 100) works for 20 ms, and is inactive from 100 - 20 x 100 / 40 = 50 on. (30, 100) runs from 20 to 50 at
        // 0.7 / 0.95 of its budget, then at 0.3 / 0.95: 7.895 ms are left, which last 25 ms.
        const vms = [thread(reserve(40, 100), jobs(20, 100)), greedy(30)];
        expectNear(shares(vms), [20, 55], 0.01);
        const made = lab({ vms: [...vms, A], keepMax: 100_000 }, 5000);
        const done = made.trace.events.filter(({ kind, vcpu }) => kind === 'blocked' && vcpu === 0);
        expect(done.length).toBe(50);
        for (const [k, { at }] of done.entries()) expect(at).toBeLessThanOrEqual((k + 1) * 100 * NS_PER_MS);
      });

      test('one that leaves does so at once', () => {
        const made = new Lab({ policy, vms: [greedy(10), thread(reserve(50, 100)), A] });
        made.runMs(1000);
        const before = made.host.tasks[0].times[STATE_RUNNING];
        expect(before / NS_PER_MS).toBeCloseTo((10 * 95) / 6, 1);
        made.host.end(made.host.tasks[1]);
        made.runMs(2000);
        expect((made.host.tasks[0].times[STATE_RUNNING] - before) / NS_PER_MS).toBeCloseTo(950, 1);
      });
    });

    test('global EDF: how late one can be is bounded', () => {
      // m = 2, C = 60, 30, 70 ms, U = 0.6, 0.6, 0.7: ((m - 1) C_max - C_min) / (m - (m - 2) U_max) + C_max.
      const set = [
        [60, 100],
        [30, 50],
        [70, 100],
      ] as const;
      const bound = (70 - 30) / 2 + 70;
      const made = new Lab({ policy, pcpus: 2, vms: set.map(([q, p]) => thread(reserve(q, p), jobs(q, p))) });
      for (let ms = 50; ms <= 5000; ms += 50) {
        made.runMs(ms);
        for (const [i, [, p]] of set.entries()) {
          expect(made.vcpus[i].completed).toBeGreaterThanOrEqual(Math.floor((ms - bound) / p));
        }
      }
    });
  });
});

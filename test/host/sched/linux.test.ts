/**
 * What CFS and EEVDF have above and around them: real-time and deadline classes (sections 2.3, 2.4, V16), cpu.max (2.5, V15),
 * directed yield (2.7). Expected numbers are the reference's or follow from its rules by hand.
 */
import { describe, expect, test } from 'vitest';
import {
  ACCOUNT_GUEST,
  DOING_KERNEL,
  DOING_LOCKED,
  DOING_SPIN,
  type Pcpu,
  type Runnable,
  type RunStop,
} from '../../../src/core/runnable.ts';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import type { Params } from '../../../src/host/params.ts';
import { cfs, eevdf } from '../../../src/host/sched/index.ts';
import { STATE_PARKED, STATE_READY, STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };
const percent = (lab: Lab): number[] => lab.shares().map((share) => 100 * share);

/** Lengths of uninterrupted runs in ms on pCPU 0. */
function runs(lab: Lab): number[] {
  const starts = lab.trace.events.filter(({ kind, pcpu }) => kind === 'running' && pcpu === 0).map(({ at }) => at);
  return starts.slice(1).map((at, i) => (at - starts[i]) / NS_PER_MS);
}

describe.each([cfs, eevdf])('classes above the fair one, under $name', (policy) => {
  const lab = (spec: Omit<LabSpec, 'policy'>, ms: number): Lab => {
    const made = new Lab({ policy, ...spec });
    made.runMs(ms);
    return made;
  };
  const thread = (params: Params, vm: LabVm = A): LabVm => ({ ...vm, task: { params } });

  test.each(['throttle', 'fair-server'])('a FIFO hog leaves 5 %% to fair vCPUs (%s)', (rt_protection) => {
    const made = lab({ params: { rt_protection }, vms: [thread({ class: 'fifo', priority: 50 }), A, A] }, 20_000);
    const shares = percent(made);
    expect(shares[0]).toBeCloseTo(95, 6);
    expect(Math.abs(shares[1] - 2.5)).toBeLessThan(0.3);
    expect(shares[1] + shares[2]).toBeCloseTo(5, 6);
  });

  test('without protection it leaves nothing', () => {
    expect(percent(lab({ params: { rt_protection: 'none' }, vms: [thread({ class: 'fifo' }), A] }, 2000))).toEqual([
      100, 0,
    ]);
  });

  test('a higher priority preempts at once, and the preempted one goes on before its equals', () => {
    const vms = [
      thread({ class: 'fifo', priority: 10 }),
      thread({ class: 'fifo', priority: 10 }),
      thread({ class: 'fifo', priority: 20 }, { demand: periodic, with: { work_us: 1000, period_us: 10_000 } }),
    ];
    const made = lab({ params: { rt_protection: 'none' }, vms }, 5000);
    const [first, second, urgent] = percent(made);
    expect(urgent).toBeCloseTo(10, 6);
    expect(first).toBeCloseTo(90, 6);
    expect(second).toBe(0);
    expect(latenciesMs(made.host.tasks[2]).at(-1)).toBe(0);
  });

  test('RR takes turns of 100 ms', () => {
    const vms = [thread({ class: 'rr' }), thread({ class: 'rr' })];
    const made = lab({ params: { rt_protection: 'none' }, vms, keepMax: 10_000 }, 5000);
    expect(new Set(runs(made))).toEqual(new Set([100]));
  });

  test('the m most urgent run on m pCPUs', () => {
    const vms = [1, 2, 3, 4].map((priority) => thread({ class: 'fifo', priority }));
    expect(percent(lab({ params: { rt_protection: 'none' }, pcpus: 2, vms }, 1000)).slice(2)).toEqual([100, 100]);
  });

  test('V16: a deadline vCPU (10, 100) among hogs gets exactly 10 %', () => {
    const vms = [thread({ class: 'deadline', runtime_us: 10_000, period_us: 100_000 }), A, A, A];
    const made = lab({ vms }, 10_000);
    expect(percent(made)[0]).toBeCloseTo(10, 9);
    // It wants more than it may have: throttled once in every period.
    expect(made.note('deadline-throttle')).toBe(100);
    expect(made.host.tasks[0].times[STATE_PARKED]).toBe(9_000 * NS_PER_MS);
  });

  test('V16: jobs of 10 ms every 100 ms miss no deadline', () => {
    const job = { demand: periodic, with: { work_us: 10_000, period_us: 100_000 } };
    const params = { class: 'deadline', runtime_us: 10_000, period_us: 100_000 };
    const made = lab({ vms: [thread(params, job), A, A, A], keepMax: 100_000 }, 10_000);
    const done = made.trace.events.filter(({ kind, vcpu }) => kind === 'blocked' && vcpu === 0).map(({ at }) => at);
    expect(done.length).toBe(100);
    for (const [i, at] of done.entries()) expect(at).toBeLessThanOrEqual((i + 1) * 100 * NS_PER_MS);
    expect(made.note('deadline-throttle')).toBe(0);
  });

  test('global EDF: reservations of 1.9 pCPUs on two are kept', () => {
    const reserve = (runtime_us: number, period_us: number) => thread({ class: 'deadline', runtime_us, period_us });
    const vms = [reserve(60_000, 100_000), reserve(30_000, 50_000), reserve(70_000, 100_000), A];
    const made = lab({ pcpus: 2, vms }, 20_000);
    for (const [i, expected] of [60, 60, 70].entries()) expect(Math.abs(percent(made)[i] - expected)).toBeLessThan(0.5);
  });

  test('what cannot be promised is refused, and says why', () => {
    const reserve = (runtime_us: number) => thread({ class: 'deadline', runtime_us, period_us: 100_000 });
    expect(() => lab({ vms: [reserve(50_000), reserve(46_000)] }, 1)).toThrow(/vm1\.0: reserves 46 %.*95 %/);
    expect(() => lab({ vms: [reserve(50_000), reserve(45_000)] }, 1)).not.toThrow();
    expect(() => lab({ vms: [thread({ class: 'deadline' })] }, 1)).toThrow(/runtime_us <= deadline_us <= period_us/);
    const pinned: LabVm = {
      ...A,
      task: { hard: [1], params: { class: 'deadline', runtime_us: 1000, period_us: 10_000 } },
    };
    expect(() => lab({ pcpus: 2, vms: [pinned] }, 1)).toThrow(/must be allowed on all 2 pCPUs/);
  });
});

describe.each([cfs, eevdf])('cpu.max under $name', (policy) => {
  /** Times at which all threads of VM 0 stopped and went on together. */
  const stalls = (params: Params, vcpus: number, capPercent: number, ms: number): { on: number[]; off: number[] } => {
    const lab = new Lab({ policy, params, pcpus: vcpus, vms: [{ ...A, vcpus, capPercent }], keepMax: 100_000 });
    const on: number[] = [];
    const off: number[] = [];
    let state = true;
    let since = 0;
    for (let us = 100; us <= ms * 1000; us += 100) {
      lab.host.runUntil(us * 1000);
      const count = lab.host.tasks.filter((task) => task.state === STATE_RUNNING).length;
      const now = count > vcpus / 2;
      if (now === state) continue;
      (state ? on : off).push(us / 1000 - since);
      since = us / 1000;
      state = now;
    }
    return { on, off };
  };

  test('V15: four hogs, quota 100 ms in 100 ms: 25 ms on, 75 ms off, in unison', () => {
    const { on, off } = stalls({ hrtick: true }, 4, 100, 1000);
    for (const time of on) expect(Math.abs(time - 25)).toBeLessThanOrEqual(0.2);
    for (const time of off) expect(Math.abs(time - 75)).toBeLessThanOrEqual(0.2);
    expect(on.length).toBe(10);
  });

  test('one hog, quota 50 ms: 50 on, 50 off', () => {
    const { on, off } = stalls({ hrtick: true }, 1, 50, 1000);
    for (const time of [...on, ...off]) expect(Math.abs(time - 50)).toBeLessThanOrEqual(0.2);
  });

  test('with ticks instead of exact timers the first period is the same, later ones are off by ticks', () => {
    const { on, off } = stalls({ hz: 1000 }, 4, 100, 1000);
    expect(Math.abs(on[0] - 25)).toBeLessThanOrEqual(0.2);
    for (const time of on) expect(Math.abs(time - 25)).toBeLessThanOrEqual(5);
    for (const time of off) expect(Math.abs(time - 75)).toBeLessThanOrEqual(5);
  });

  test('the quota holds over all pCPUs together, for other periods as well', () => {
    for (const [capPercent, cpu_max_period_us] of [
      [150, 100_000],
      [40, 10_000],
      [250, 33_000],
    ] as const) {
      const lab = new Lab({
        policy,
        params: { hz: 1000 },
        pcpus: 4,
        vms: [{ ...A, vcpus: 4, capPercent, params: { cpu_max_period_us } }],
      });
      lab.runMs(20_000);
      const total = percent(lab).reduce((sum, share) => sum + share, 0);
      expect(Math.abs(total - capPercent)).toBeLessThan(0.01 * capPercent);
      for (const { times } of lab.host.tasks) {
        expect(times[STATE_RUNNING] + times[STATE_PARKED] + times[STATE_READY]).toBe(lab.host.now);
      }
    }
  });
});

describe('a vCPU that is caught spinning', () => {
  /** Spins for a lock in loops of 20 us, each of which ends in an exit, until it is free; then works for ever. */
  class Spinner implements Runnable {
    doing = DOING_SPIN | DOING_KERNEL;
    spun = 0;
    private readonly isFree: () => boolean;
    constructor(isFree: () => boolean) {
      this.isFree = isFree;
    }
    onAttach(): void {}
    onDispatch(): void {}
    onDeschedule(): void {}
    run(pcpu: Pcpu, budget: number): RunStop {
      if (this.isFree()) this.doing = 0;
      const cycles = this.doing === 0 ? budget : Math.min(budget, 20_000);
      pcpu.spend(ACCOUNT_GUEST, cycles);
      if (this.doing === 0) return 'budget';
      this.spun += cycles;
      return cycles === 20_000 ? 'spin' : 'budget';
    }
  }
  /** Holds the lock for so many cycles. */
  class Holder extends Spinner {
    left: number;
    constructor(left: number) {
      super(() => true);
      this.left = left;
      this.doing = DOING_KERNEL | DOING_LOCKED;
    }
    override run(pcpu: Pcpu, budget: number): RunStop {
      const cycles = this.left <= 0 ? budget : Math.min(budget, this.left);
      pcpu.spend(ACCOUNT_GUEST, cycles);
      this.left -= cycles;
      if (this.left <= 0) this.doing = 0;
      return 'budget';
    }
  }

  /** All start equal, in the order of their creation. */
  const EQUAL: Record<string, Params> = { cfs: { start_debit: false } };

  /** On one pCPU with three hogs: cycles spun away until the lock is free, and when that was, in ms. */
  const lock = (policy: typeof cfs, ple: string): { spun: number; freeAt: number } => {
    const lab = new Lab({ policy, params: { ple, groups: false, ...EQUAL[policy.name] }, vms: [] });
    const vm = lab.host.addVm({ name: 'smp' });
    const holder = new Holder(2_000_000);
    const spinner = new Spinner(() => holder.left <= 0);
    lab.add(vm, spinner);
    for (let i = 0; i < 3; i++) lab.add(lab.host.addVm({ name: `hog${i}` }), new Spinner(() => true));
    lab.add(vm, holder);
    let freeAt = 0;
    while (holder.left > 0 && freeAt < 200) lab.runMs(++freeAt);
    expect(lab.note('yield-to') > 0).toBe(ple === 'directed');
    return { spun: spinner.spun, freeAt };
  };

  test.each([cfs, eevdf])(
    'spins less if it yields, and the lock is free sooner if it helps the holder ($name)',
    (policy) => {
      const [none, plain, directed] = ['none', 'yield', 'directed'].map((ple) => lock(policy, ple));
      expect(plain.spun).toBeLessThan(none.spun);
      expect(directed.spun).toBeLessThan(none.spun);
      expect(directed.freeAt).toBeLessThan(plain.freeAt);
    },
  );

  test('without anybody else on both pCPUs a directed yield is refused', () => {
    const lab = new Lab({ policy: cfs, pcpus: 2, vms: [] });
    const vm = lab.host.addVm({ name: 'smp' });
    for (const id of [0, 1]) lab.add(vm, new Spinner(() => false), { hard: [id] });
    lab.runMs(10);
    expect(lab.note('yield-to')).toBe(0);
    expect(lab.note('yield-to-failed')).toBeGreaterThan(100);
  });

  test('a sibling that spins is helped every time, or every other time', () => {
    // It waits on the other pCPU behind a rival of great weight.
    const outcomes = (ple: string): string[] => {
      const lab = new Lab({ policy: cfs, params: { ple }, pcpus: 2, keepMax: 100_000, vms: [] });
      const vm = lab.host.addVm({ name: 'smp' });
      const asking = lab.add(vm, new Spinner(() => false), { hard: [0] });
      const waiting = lab.add(vm, new Spinner(() => false), { hard: [1] });
      const rivals = lab.host.addVm({ name: 'rivals', weight: 262_144 });
      lab.add(rivals, new Holder(1e12), { hard: [1] });
      lab.runMs(100);
      // Looks by the one, while the other waits; a look that finds nobody is noted for who looked.
      return lab.trace.events.flatMap(({ kind, vcpu }) => {
        if (kind === 'yield-to' && vcpu === waiting.id) return ['helped'];
        return kind === 'yield-to-failed' && vcpu === asking.id ? ['refused'] : [];
      });
    };
    expect(outcomes('any').join(' ')).toContain('helped helped');
    expect(outcomes('directed').join(' ')).toMatch(/helped refused.*helped/);
    expect(outcomes('directed').join(' ')).not.toContain('helped helped');
  });

  test('a spinner whom nobody can take over from keeps its slice', () => {
    // It shares pCPU 0 with three hogs; its sibling runs on pCPU 1. Slices are those of four hogs.
    const params = { hz: 1000, scaling: 'none', groups: false, latency_us: 24_000, min_granularity_us: 3000 };
    const lab = new Lab({ policy: cfs, params, pcpus: 2, keepMax: 100_000, vms: [] });
    const vm = lab.host.addVm({ name: 'smp' });
    lab.add(vm, new Spinner(() => false), { hard: [0] });
    lab.add(vm, new Holder(1e12), { hard: [1] });
    for (let i = 0; i < 3; i++) lab.add(lab.host.addVm({ name: `hog${i}` }), new Spinner(() => true), { hard: [0] });
    lab.runMs(2000);
    expect(lab.note('yield-to-failed')).toBeGreaterThan(10_000);
    const starts = lab.trace.events.filter(({ kind, pcpu, at }) => kind === 'running' && pcpu === 0 && at >= 1e9);
    const runs = starts.slice(1).map(({ at }, i) => Math.round((at - starts[i].at) / NS_PER_MS));
    expect(new Set(runs)).toEqual(new Set([7]));
  });

  test('all vCPUs that wait are helped', () => {
    // Three of the VM wait behind hogs; they have been preempted in their kernel.
    const lab = new Lab({ policy: cfs, params: { ple: 'directed' }, pcpus: 4, keepMax: 100_000, vms: [] });
    const vm = lab.host.addVm({ name: 'smp' });
    lab.add(vm, new Spinner(() => false), { hard: [0] });
    for (const id of [1, 2, 3]) lab.add(vm, new Holder(1e12), { hard: [id] });
    const rivals = lab.host.addVm({ name: 'rivals', weight: 4096 });
    for (const id of [0, 1, 2, 3]) lab.add(rivals, new Holder(1e12), { hard: [id] });
    lab.runMs(300);
    const helped = lab.trace.events.filter(({ kind }) => kind === 'yield-to').map(({ vcpu }) => vcpu);
    expect(helped.length).toBeGreaterThan(10);
    expect(new Set(helped)).toEqual(new Set([1, 2, 3]));
  });
});

describe('large hosts', () => {
  test('4096 pCPUs, 8192 vCPUs of 40 % each: all of them get their time', () => {
    const topology = { sockets: 32, coresPerSocket: 64, threadsPerCore: 2 };
    const io = { demand: periodic, with: { work_us: 4000, period_us: 10_000 } };
    const lab = new Lab({ policy: cfs, topology, vms: Array.from({ length: 4096 }, () => ({ ...io, vcpus: 2 })) });
    lab.runMs(40);
    for (const { times } of lab.host.tasks) expect(times[STATE_RUNNING]).toBeGreaterThan(4 * NS_PER_MS);
  });
});

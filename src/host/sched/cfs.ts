/**
 * CFS, the Completely Fair Scheduler of Linux 2.6.23 to 6.5: who has had the least weighted time runs, in slices of a
 * latency period. The rules are in linux/cfs-queue.ts, the rest of the kernel's scheduler in linux/linux.ts.
 * Source: kernel/sched/fair.c of Linux 5.6 (facts only; own code), golden vectors in the test.
 */
import { NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet } from '../params.ts';
import { definePolicy } from '../scheduler.ts';
import { CfsQueue } from './linux/cfs-queue.ts';
import { Linux } from './linux/linux.ts';
import { cfsThreadParams, hostParams, protection, vmParams } from './linux/params.ts';
import { scalingFactor } from './linux/weights.ts';

const params = {
  latency_us: {
    kind: 'integer',
    min: 100,
    max: 1_000_000,
    default: 6000,
    meaning: 'period in which everybody runs once (before scaling)',
  },
  min_granularity_us: {
    kind: 'integer',
    min: 100,
    max: 1_000_000,
    default: 750,
    meaning: 'shortest slice (before scaling)',
  },
  wakeup_granularity_us: {
    kind: 'integer',
    min: 0,
    max: 1_000_000,
    default: 1000,
    meaning: 'advantage in virtual time that a waking vCPU needs to preempt (before scaling)',
  },
  gentle_sleepers: {
    kind: 'flag',
    default: true,
    meaning: 'a sleeper is credited half a latency at most, not a whole one',
  },
  start_debit: { kind: 'flag', default: true, meaning: 'a new vCPU starts one slice behind' },
  last_buddy: { kind: 'flag', default: true, meaning: 'of many, the one that was preempted last is preferred' },
  next_buddy: { kind: 'flag', default: false, meaning: 'and the one that woke up last, preempting or not' },
  ...hostParams,
  ...protection('throttle'),
} as const satisfies ParamSet;

export const cfs = definePolicy({
  name: 'cfs',
  summary: 'Linux CFS: weighted fair virtual time, groups, cpu.max; fifo, rr and deadline vCPUs above it',
  origin: 'Linux 5.6',
  basis: 'source',
  traits: { weights: { groups: true }, caps: { groups: true } },
  params,
  vmParams,
  vcpuParams: cfsThreadParams,
  make(host, settings) {
    const pcpus = host.topology.length;
    const factor = settings.scaling === 'none' ? 1 : settings.scaling === 'linear' ? pcpus : scalingFactor(pcpus);
    const scaled = (us: number): Ns => us * factor * NS_PER_US;
    const tunables = {
      latency: scaled(settings.latency_us),
      minGranularity: scaled(settings.min_granularity_us),
      wakeupGranularity: scaled(settings.wakeup_granularity_us),
      gentleSleepers: settings.gentle_sleepers,
      startDebit: settings.start_debit,
      lastBuddy: settings.last_buddy,
      nextBuddy: settings.next_buddy,
      wakeupPreemption: settings.wakeup_preemption,
    };
    return new Linux(host, settings, () => new CfsQueue(tunables));
  },
});

/**
 * Parameters that both fair policies of Linux have: of the host, of a VM (its control group), of a vCPU (its thread).
 * Source: names and defaults of the kernel's tunables, sched(7), cgroup-v2 documentation.
 */
import { NO_PARAMS, type ParamSet, type ValuesOf } from '../../params.ts';

export const hostParams = {
  hz: { kind: 'integer', min: 1, max: 10_000, default: 250, meaning: 'ticks per second; slices end at ticks' },
  hrtick: { kind: 'flag', default: false, meaning: 'slices and quotas end exactly, not at the next tick' },
  groups: {
    kind: 'flag',
    default: true,
    meaning: 'every VM is a control group: weights and caps are those of VMs; without, each vCPU competes for itself',
  },
  scaling: {
    kind: 'choice',
    of: ['log', 'linear', 'none'],
    default: 'log',
    meaning: 'times are multiplied by 1 + log2 of the pCPUs (at most 8), by their number, or by nothing',
  },
  wakeup_preemption: { kind: 'flag', default: true, meaning: 'a vCPU that wakes up may preempt' },
  migration_cost_us: {
    kind: 'integer',
    min: 0,
    max: 1_000_000,
    default: 500,
    meaning:
      'a vCPU that ran less than this ago is not pulled; idle pCPUs pull if they idle longer than this on average',
  },
  bandwidth_slice_us: {
    kind: 'integer',
    min: 1,
    max: 1_000_000,
    default: 5000,
    meaning: 'running time that a pCPU takes at once from the pool of a capped VM',
  },
  ple: {
    kind: 'choice',
    of: ['none', 'yield', 'any', 'directed'],
    default: 'directed',
    meaning:
      'a vCPU caught spinning goes on, yields, or yields to a vCPU of its VM that waits: to any (until 2012), or to one that spins only every other time',
  },
  rr_timeslice_ms: { kind: 'integer', min: 1, max: 10_000, default: 100, meaning: 'slice of the class rr' },
  rt_runtime_us: {
    kind: 'integer',
    min: 1,
    max: 1_000_000_000,
    default: 950_000,
    meaning: 'of every rt_period_us, what real-time vCPUs may use of a pCPU; all of it: they are not limited',
  },
  rt_period_us: { kind: 'integer', min: 1, max: 1_000_000_000, default: 1_000_000, meaning: 'see rt_runtime_us' },
} as const satisfies ParamSet;

/** How the fair class is kept from starving, with the default of the kernel's age. */
export const protection = <const D extends 'throttle' | 'fair-server'>(standard: D) =>
  ({
    rt_protection: {
      kind: 'choice',
      of: ['none', 'throttle', 'fair-server'],
      default: standard,
      meaning: 'real-time vCPUs take all, are throttled, or let fair vCPUs have their part after period - runtime',
    },
  }) as const satisfies ParamSet;

export type LinuxSettings = ValuesOf<typeof hostParams> & {
  readonly rt_protection: 'none' | 'throttle' | 'fair-server';
};

export const vmParams = {
  cpu_max_period_us: {
    kind: 'integer',
    min: 1000,
    max: 1_000_000,
    default: 100_000,
    meaning: 'period of cpu.max; the quota is the cap of the VM times this',
  },
  cpu_max_burst_us: {
    kind: 'integer',
    min: 0,
    max: 1_000_000_000,
    default: 0,
    meaning: 'unused quota that is kept for later periods; at most the quota',
  },
} as const satisfies ParamSet;

const threadParams = {
  class: {
    kind: 'choice',
    of: ['normal', 'batch', 'idle', 'fifo', 'rr', 'deadline'],
    default: 'normal',
    meaning: 'class of the thread: fair (the first three), real-time, or deadline',
  },
  nice: { kind: 'integer', min: -20, max: 19, default: 0, meaning: 'nice level in the fair class' },
  priority: { kind: 'integer', min: 1, max: 99, default: 1, meaning: 'of fifo and rr; 99 is the most urgent' },
  runtime_us: { kind: 'integer', min: 2, max: 4_194_304, meaning: 'deadline class: running time per period' },
  deadline_us: {
    kind: 'integer',
    min: 2,
    max: 4_194_304,
    meaning: 'deadline class: until then after each wake-up; default the period',
  },
  period_us: { kind: 'integer', min: 100, max: 4_194_304, meaning: 'deadline class: length of a period' },
  reclaim: {
    kind: 'flag',
    default: false,
    meaning: 'deadline class: it also uses what others have reserved and do not need, up to 95 % of a pCPU (GRUB)',
  },
} as const satisfies ParamSet;

export const cfsThreadParams = { ...NO_PARAMS, ...threadParams } as const satisfies ParamSet;

export const eevdfThreadParams = {
  ...threadParams,
  slice_us: { kind: 'integer', min: 100, max: 100_000, meaning: 'length of its requests; default that of the host' },
} as const satisfies ParamSet;

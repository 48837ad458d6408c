/** Settings of the policies that the contract suite runs besides the defaults; one line for each policy that has any. */
import type { Params } from '../../src/host/params.ts';

/** More settings worth running the whole suite with. */
export const VARIANTS: Readonly<Record<string, readonly Params[]>> = {
  credit: [
    { boost: false, ratelimit_us: 0, tslice_ms: 9 },
    { accounting: 'tick', boost_on_migration: true, boost_on_unpark: true },
    { tickle_one_idle_cpu: false, queue_order: 'credit', tickle_on_event: false },
  ],
  credit2: [
    { runqueue: 'core', ratelimit_us: 0, max_timer_us: 2000 },
    { runqueue: 'all', max_cpus_runqueue: 2, cap_period_ms: 30, migrate_resist_us: 0, smt_power_savings: true },
  ],
  esx: [
    { coscheduling: 'relaxed-3', quantum_ms: 10 },
    { coscheduling: 'strict', quantum_ms: 20, idle_detection: false },
  ],
  'micro-sliced': [{ form: 'uniform' }, { pool_max: 2, micro_slice_us: 50 }],
  'demand-coordinated': [{ min_run_us: 0, balance: false }],
  vslicer: [{ slice_ms: 9 }],
  'hyperv-root': [{ quantum_us: 187_500 }],
  'hyperv-classic': [{ slice_ms: 3, ratelimit_us: 0 }],
  bvt: [{ slices: 'as-coded', context_allow_us: 1000 }],
  sedf: [{ weights: 'real-time' }, { weights: 'extra' }],
  arinc653: [{ table: 'pcpu' }],
  gang: [
    { oversized: 'split', alternate: true },
    { oversized: 'split', slot_ms: 3, unify_slots: 2 },
  ],
  lottery: [{ quantum_ms: 1, compensation: false }],
  stride: [{ quantum_ms: 1 }],
  cfs: [
    { groups: false, hz: 1000, next_buddy: true },
    { hrtick: true, scaling: 'none', gentle_sleepers: false, migration_cost_us: 0 },
  ],
  eevdf: [
    { groups: false, hz: 1000, run_to_parity: false },
    { hrtick: true, delay_dequeue: false, scaling: 'linear', migration_cost_us: 0 },
  ],
  balance: [
    { base: 'stride' },
    { base: 'round-robin', queue: 'per-pcpu' },
    { base: 'cfs', balance_ms: 7 },
    { base: 'eevdf' },
    { base: 'sedf' },
  ],
  'core-scheduling': [
    { granularity: 'socket' },
    { granularity: 'cpu', base: 'stride', quantum_ms: 3 },
    { granularity: 'socket', base: 'round-robin' },
    { base: 'cfs' },
    { base: 'eevdf', granularity: 'socket' },
  ],
  'round-robin': [{ queue: 'per-pcpu' }, { weighted: true, quantum_ms: 3 }],
};

/**
 * Settings under which V22 holds. Credit: an idle pCPU that was refused an attempt to steal (1 ms since the last one) has
 * no timer to try again, so by the reference's own rules V22 ("idle no longer than the balance delay") needs no pause.
 */
export const EAGER: Readonly<Record<string, Params>> = {
  // The kernel's idle pCPUs pull nothing that is cache hot (a buddy always is), and only if they expect to be idle for
  // long; a delayed sleeper of EEVDF wakes up where it is queued, whoever else is idle.
  cfs: { migration_cost_us: 0, next_buddy: false },
  eevdf: { migration_cost_us: 0, delay_dequeue: false },
  credit: { load_balance_ratelimit_us: 0 },
  // Several run queues are balanced at resets only, so an idle pCPU does not look into the queue of others; and it refuses
  // those of other pCPUs that have burned down to their floor, which happens to light VMs beside heavy ones.
  credit2: { runqueue: 'all', max_cpus_runqueue: 64, idle_refuses_spent: false },
  // Strict co-scheduling leaves pCPUs idle: that is its known fault.
  esx: { coscheduling: 'relaxed-4' },
};

/** Settings instead of the defaults, where these refuse what the suite does, for example VMs larger than the host. */
export const REPLACED_DEFAULTS: Readonly<Record<string, Params>> = {
  gang: { oversized: 'split' },
};

/** Policies that give each vCPU a pCPU of its own: with more vCPUs than pCPUs, some never run. */
export const DEDICATED: ReadonlySet<string> = new Set(['null']);

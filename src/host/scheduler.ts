/**
 * The contract of a scheduling policy: the mechanism (dispatch.ts) asks, the policy answers.
 *
 * A policy is one file in sched/ (or any file of yours) that exports `definePolicy({...})`. Its `make` is called once per
 * run and answers an object with three methods - wake, sleep, pick - and as many of the optional ones as it needs.
 *
 *   add ─► wake ─► pick ─► (charge ─► pick)* ─► charge ─► sleep ─► wake ─► ... ─► sleep ─► remove
 *
 * Rules of the game:
 *  - `now` never decreases from one call to the next, over all pCPUs.
 *  - The policy holds no timers and schedules no events: it says when it wants to be called (`arm`), and is.
 *  - What it asks of the host (`resched`, `hold`, ...) is noted at once and acted upon after the call returns.
 *  - A policy keeps its own queues. A task that runs is in none of them; one that is not runnable neither.
 *  - Weights, caps and affinity are data on the task. A policy that has no notion of them may ignore weights and caps,
 *    but never `hard`: picking a task for a pCPU outside its hard mask is a bug.
 */
import type { RandomStream } from '../core/rng.ts';
import { type GuestSignal, SIGNAL_KINDS } from '../core/runnable.ts';
import type { Ns } from '../core/units.ts';
import { NO_PARAMS, type ParamSet, type Params, parseParams, type ValuesOf } from './params.ts';
import type { CpuSet, Topology } from './topology.ts';

/** States of a task; the numbers index ledgers. `ready` is what guests see as steal time. */
export const STATE_NEW = 0;
export const STATE_RUNNING = 1;
export const STATE_READY = 2;
export const STATE_BLOCKED = 3;
export const STATE_PARKED = 4;
export const STATE_COSTOPPED = 5;
export const STATE_PAUSED = 6;
export const STATE_ENDED = 7;
export const STATES = 8;
export type TaskState = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
export const STATE_NAMES = [
  'new',
  'running',
  'ready',
  'blocked',
  'parked',
  'costopped',
  'paused',
  'ended',
] as const satisfies readonly string[];

/** A VM as the scheduler sees it. Host processes and VMM threads are VMs of their own. */
export interface SchedVm {
  readonly id: number;
  readonly name: string;
  /** Relative share. */
  readonly weight: number;
  /** Upper bound in percent of one pCPU; 0 for none. */
  readonly capPercent: number;
  /** Values for the policy's `vmParams`. */
  readonly params: Params;
  /** Its tasks in the order of their creation. */
  readonly tasks: readonly Task[];
}

/** A schedulable entity, usually a vCPU. Policies read it; the dispatcher writes it. */
export interface Task {
  /** Dense over the whole host, in the order of creation: good as an array index and as a tie-breaker. */
  readonly id: number;
  readonly vm: SchedVm;
  /** Number within its VM. */
  readonly index: number;
  /** pCPUs it may run on. */
  readonly hard: CpuSet;
  /** pCPUs it prefers, a proper subset of `hard`; null when it has no preference. */
  readonly soft: CpuSet | null;
  /** Values for the policy's `vcpuParams`. */
  readonly params: Params;
  readonly state: TaskState;
  /** When it entered its present state: for a running task, when it last started to run. */
  readonly since: Ns;
  /** Where it runs, or ran last; -1 before its first run. */
  readonly pcpu: number;
  /** What it was doing when it last ran, as far as it shows: bits DOING_* (core/runnable.ts). */
  readonly doing: number;
}

/**
 * Why a task became runnable.
 *   start    it was created, or its VM was
 *   wake     it was blocked, and an interrupt came
 *   release  it was held (parked, co-stopped, paused), and no longer is
 */
export type WakeReason = 'start' | 'wake' | 'release';

/** Why a policy keeps a runnable task off the CPUs. Only the account of its waiting differs. */
export type Hold = 'park' | 'costop';

/** Who runs, and for how long at most before `pick` is called again. */
export interface Decision {
  /** Null leaves the pCPU idle. */
  readonly task: Task | null;
  /** Running time (> 0), context switch not counted; Infinity for no limit. An idle pCPU may have one as well. */
  readonly slice: Ns;
}

/** What a limit of running time per period has done to a VM up to now, in the terms of `cpu.stat` of control groups. */
export interface Throttling {
  readonly periods: number;
  /** Periods at whose end the VM was throttled on some pCPU. */
  readonly throttledPeriods: number;
  /** How long it was, summed over pCPUs; the present time counts when it is over. */
  readonly throttledNs: Ns;
  /** Periods with more than the quota, and how much more in all. */
  readonly bursts: number;
  readonly burstNs: Ns;
}

export interface Scheduler {
  /** A task exists now; it is not runnable before its first `wake`. */
  add?(task: Task, now: Ns): void;
  /** The task is runnable: queue it, and `resched` the pCPU that should look at it, if any should. */
  wake(task: Task, now: Ns, reason: WakeReason): void;
  /** The task is no longer runnable (blocked, held or ended): forget it, unless it is in no queue anyway. */
  sleep(task: Task, now: Ns): void;
  /** The task ended; it will not be mentioned again. */
  remove?(task: Task, now: Ns): void;
  /**
   * Who runs next on `pcpu`? Asked when its slice is over, its task stopped, or `resched` was called for it.
   * `current` is the task that was running here and still could, or null. Answer it again, or queue it.
   * The task answered is taken out of the policy's queues by the policy.
   */
  pick(pcpu: number, now: Ns, current: Task | null): Decision;
  /** The task has run for `ran` (> 0) since the last charge. Called before `pick`, `sleep`, `yield`, and by `settle`. */
  charge?(task: Task, ran: Ns): void;
  /** The running task offers its pCPU to others, freely or because it was caught spinning. `pick` follows. */
  yield?(task: Task, now: Ns, why: 'yield' | 'spin'): void;
  /** A running task did something that a hypervisor can see, such as sending an inter-processor interrupt. */
  signal?(task: Task, now: Ns, signal: GuestSignal): void;
  /** The kinds that `signal` is for; all of them unless told. Others are not even looked for. */
  readonly heeds?: readonly GuestSignal['kind'][];
  /** An interrupt came for a task that is ready: it waits for a pCPU although it is not asleep. */
  event?(task: Task, now: Ns): void;
  /** Timer `timer` of `arm` is due. */
  timer?(timer: number, now: Ns): void;
  /** Does a task wait for this pCPU, besides the one that runs there? Asked by those that might keep it for nothing. */
  waits?(pcpu: number): boolean;
  /**
   * The `hard` mask of a task has changed that is in no queue and does not run. Only a policy over this one does that
   * (over.ts); without this method it calls `remove` and `add` instead.
   */
  affinity?(task: Task, now: Ns): void;
  /** The VM's weight, cap or parameters have changed. */
  change?(vm: SchedVm, now: Ns): void;
  /** For the results; null for a VM without such a limit. */
  throttling?(vm: SchedVm): Throttling | null;
}

/** The kinds of signals that a policy wants. */
export function heededBy(scheduler: Scheduler): readonly GuestSignal['kind'][] {
  return scheduler.signal === undefined ? [] : (scheduler.heeds ?? SIGNAL_KINDS);
}

/** What a policy may know and ask. */
export interface SchedulerHost {
  readonly topology: Topology;
  /** The policy's own random stream. */
  readonly random: RandomStream;
  /** The task on a pCPU; null when it is idle. During `pick` that is its `current`. */
  current(pcpu: number): Task | null;
  /** `pick` shall be called for this pCPU as soon as possible. */
  resched(pcpu: number): void;
  /** Keeps the task off the CPUs until `release`; `sleep` follows if it was runnable. */
  hold(task: Task, why: Hold): void;
  /** Ends that hold; `wake` with reason `release` follows if the task is runnable then. */
  release(task: Task, why: Hold): void;
  /**
   * `timer(id, at)` shall be called at that time; replaces an earlier wish of the same id. A time of the past means now.
   * Ids are small non-negative integers of the policy's choice. At equal times the lowest id comes first, and all timers
   * come after the engine's events of that time and before the pCPUs are asked.
   */
  arm(timer: number, at: Ns): void;
  disarm(timer: number): void;
  /** Charges the task that runs on this pCPU with its time up to now, so that `charge` is called within this call. */
  settle(pcpu: number): void;
  /** Counts an incident of the policy ('steal', 'boost', ...) and puts it into the trace. */
  note(kind: string, task: Task, pcpu: number): void;
}

/** How much is known about the rules of a policy: see `definePolicy`. */
export const BASES = ['source', 'documentation', 'paper', 'textbook', 'our reconstruction', 'own'] as const;
export type Basis = (typeof BASES)[number];

/** What a policy promises; the contract suite holds it to that. Settings are those under which the promise is given. */
export interface Traits {
  /** No pCPU idles while a task waits that may run there. */
  readonly workConserving: boolean;
  /** Shares of hogs follow the weights of their VMs; null: weights are ignored. */
  readonly weights: Params | null;
  /** Shares stay below the caps of the VMs; null: caps are ignored. */
  readonly caps: Params | null;
}

/** A policy as the rest of the program handles it. Made by `definePolicy`. */
export interface SchedulerPolicy {
  readonly name: string;
  readonly summary: string;
  /** Where its rules come from: `Xen 4.19`, a paper. */
  readonly origin: string;
  readonly basis: Basis;
  readonly traits: Traits;
  /** Parameters of the whole host, with defaults and meanings. */
  readonly params: ParamSet;
  /** Parameters per VM and per vCPU. Weight, cap and affinity exist without being listed here. */
  readonly vmParams: ParamSet;
  readonly vcpuParams: ParamSet;
  /** Throws a UserError that names every parameter in fault. */
  make(host: SchedulerHost, params?: Params): Scheduler;
}

/** What an author writes. */
export interface PolicyDescription<P extends ParamSet = ParamSet> {
  readonly name: string;
  readonly summary: string;
  /** The system or paper whose rules it follows; default: nobody's. */
  readonly origin?: string;
  /** What is known of those rules: read in the source, documented, published, common knowledge, or put together by us. */
  readonly basis?: Basis;
  /** Default: work-conserving, without a notion of weights and caps. */
  readonly traits?: Partial<Traits>;
  readonly params?: P;
  readonly vmParams?: ParamSet;
  readonly vcpuParams?: ParamSet;
  readonly make: (host: SchedulerHost, params: ValuesOf<P>) => Scheduler;
}

/** Turns the description of a policy into a policy: parameters are checked before the author's `make` sees them. */
export function definePolicy<const P extends ParamSet = typeof NO_PARAMS>(
  description: PolicyDescription<P>,
): SchedulerPolicy {
  const { name, summary, origin = '', basis = 'own', make, vmParams = NO_PARAMS, vcpuParams = NO_PARAMS } = description;
  const params = description.params ?? (NO_PARAMS as unknown as P);
  return {
    name,
    summary,
    origin,
    basis,
    traits: { workConserving: true, weights: null, caps: null, ...description.traits },
    params,
    vmParams,
    vcpuParams,
    make: (host, values = {}) => make(host, parseParams(`scheduler ${name}`, params, values)),
  };
}

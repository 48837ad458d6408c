/**
 * The dispatcher's record of a VM and of a task, with the ledger of the task's wall time.
 * Invariant: from its creation on, a task is in exactly one state at any time; `times` sums to that span.
 */
import { ACCOUNTS, type Pcpu, type Runnable } from '../core/runnable.ts';
import { Samples } from '../core/samples.ts';
import type { Ns } from '../core/units.ts';
import type { Params } from './params.ts';
import { type SchedVm, STATE_NEW, STATE_RUNNING, STATES, type Task, type TaskState } from './scheduler.ts';
import type { CpuSet } from './topology.ts';

export class HostVm implements SchedVm {
  readonly id: number;
  readonly name: string;
  weight: number;
  capPercent: number;
  readonly params: Params;
  readonly tasks: HostTask[] = [];

  constructor(id: number, name: string, weight: number, capPercent: number, params: Params) {
    this.id = id;
    this.name = name;
    this.weight = weight;
    this.capPercent = capPercent;
    this.params = params;
  }
}

/** Reasons to keep a task off the CPUs, as bits: several can hold at once. */
export const HOLD_PARK = 1;
export const HOLD_COSTOP = 2;
export const HOLD_PAUSE = 4;

export class HostTask implements Task {
  readonly id: number;
  readonly vm: HostVm;
  readonly index: number;
  readonly runnable: Runnable;
  readonly hard: CpuSet;
  readonly soft: CpuSet | null;
  readonly params: Params;

  state: TaskState = STATE_NEW;
  since: Ns;
  pcpu = -1;
  /** Bits HOLD_*. A blocked task may be held as well; it then stays blocked. */
  holds = 0;
  /** The pCPU that has its context loaded, if any. */
  loadedOn: Pcpu | null = null;
  /** When it was last taken off a pCPU, or left it. */
  leftAt: Ns = 0;
  /** Its running time is charged to the policy up to here. */
  chargedUntil: Ns = 0;
  /** When it was last woken by an event and has not run since; -1 otherwise. */
  wokenAt: Ns = -1;

  /** Time per state, up to `accountedUntil`. */
  readonly times = new Float64Array(STATES);
  readonly createdAt: Ns;
  accountedUntil: Ns;
  /** Cycles per account that were spent on its behalf. */
  readonly spent = new Float64Array(ACCOUNTS);
  dispatches = 0;
  wakes = 0;
  /** Times it left a pCPU by blocking, yielding or ending, and times it was taken off. */
  voluntary = 0;
  involuntary = 0;
  /** Times it started on another pCPU than the last. */
  migrations = 0;
  /** From each wake-up by an event to the start of running. */
  readonly wakeToRun = new Samples();

  constructor(
    place: { id: number; vm: HostVm; createdAt: Ns },
    runnable: Runnable,
    hard: CpuSet,
    soft: CpuSet | null,
    params: Params,
  ) {
    this.id = place.id;
    this.vm = place.vm;
    this.index = place.vm.tasks.length;
    this.runnable = runnable;
    this.hard = hard;
    this.soft = soft;
    this.params = params;
    this.createdAt = place.createdAt;
    this.since = place.createdAt;
    this.accountedUntil = place.createdAt;
  }

  get doing(): number {
    return this.runnable.doing ?? 0;
  }

  /** Those waits one by one; an error when there were too many to keep. */
  get wakeLatencies(): readonly Ns[] {
    return this.wakeToRun.values;
  }

  /** For people: `vm.index`. */
  get label(): string {
    return `${this.vm.name}.${this.index}`;
  }

  /** Closes the account of the present state up to `now`. */
  account(now: Ns): void {
    this.times[this.state] += now - this.accountedUntil;
    this.accountedUntil = now;
  }

  enter(state: TaskState, now: Ns): void {
    this.account(now);
    if (this.state === STATE_RUNNING) this.leftAt = now;
    this.state = state;
    this.since = now;
  }
}

/**
 * Watches the dispatcher for those who want more than its ledgers: how long preempted tasks wait, what they held, whether
 * pCPUs idled while tasks waited, and what each VM as a whole was doing.
 *
 * A dispatcher without a monitor does nothing for it. Changes reach the monitor when they are decided, but some hold from a
 * later time on, after the context switch: those wait in a short list, so that everything is integrated in the order of time.
 * Invariants: it changes nothing; the states of a VM sum to the time it has tasks; cost per change is constant, but for
 * wasted idle time among tasks that may not run everywhere, which is matched anew after each change while pCPUs idle.
 * Source: schedulers.md 7; states of a domain as in xenalyze; preemption of lock holders: Uhlig et al., VM 2004.
 */
import { assert } from '../core/errors.ts';
import { DOING_LOCKED, DOING_NEXT } from '../core/runnable.ts';
import { Samples } from '../core/samples.ts';
import type { Ns } from '../core/units.ts';
import { FluidShares } from './fluid-shares.ts';
import { largestMatching } from './match.ts';
import type { DispatchObserver } from './observer.ts';
import {
  STATE_BLOCKED,
  STATE_ENDED,
  STATE_NEW,
  STATE_PAUSED,
  STATE_READY,
  STATE_RUNNING,
  type TaskState,
} from './scheduler.ts';
import type { HostTask, HostVm } from './task.ts';
import { CpuSet, type Topology } from './topology.ts';

/** What the vCPUs of a VM are doing together; blocked means that all are, or are paused. */
export const VM_STATES = [
  'absent',
  'blocked',
  'partial run',
  'full run',
  'partial contention',
  'concurrency hazard',
  'full contention',
] as const;

/** Roles of a task in its VM; the numbers index `counts`. */
const NOT_THERE = 0;
const RUNS = 1;
const WAITS = 2;
const SLEEPS = 3;

/** What the vCPUs of a VM do together, integrated over time. */
export class VmWatch {
  readonly vm: HostVm;
  /** Tasks by role. */
  readonly counts = [0, 0, 0, 0];
  /** Time by index into VM_STATES. */
  readonly times = new Float64Array(VM_STATES.length);
  /** Task time on pCPUs, and task time of wanting to be there. */
  runNs: Ns = 0;
  wantNs: Ns = 0;
  /** Everything above is up to here. */
  private at: Ns = 0;

  constructor(vm: HostVm) {
    this.vm = vm;
  }

  advance(time: Ns): void {
    const span = time - this.at;
    if (span === 0) return;
    const { counts } = this;
    this.runNs += counts[RUNS]! * span;
    this.wantNs += (counts[RUNS]! + counts[WAITS]!) * span;
    this.times[this.state]! += span;
    this.at = time;
  }

  /** Index into VM_STATES. */
  private get state(): number {
    const [, runs, waits, sleeps] = this.counts as [number, number, number, number];
    if (runs > 0) return waits > 0 ? 5 : sleeps > 0 ? 2 : 3;
    if (waits > 0) return sleeps > 0 ? 4 : 6;
    return sleeps > 0 ? 1 : 0;
  }
}

/** What happened to a task, beyond its ledger. */
export class TaskWatch {
  /** From each preemption to running again. */
  readonly preemptToRun = new Samples();
  /** Times it was taken off its pCPU while it held a lock, and while it was the next to get one. */
  lockHolderPreemptions = 0;
  lockWaiterPreemptions = 0;
  /** Migrations to another thread of the core, another core of the socket, another socket. */
  readonly migrations: [number, number, number] = [0, 0, 0];
  /** It was taken off, and has not changed its state since. */
  isTaken = false;
  /** When it was preempted, if it has waited since. */
  preemptedAt: Ns = -1;
}

interface Change {
  readonly time: Ns;
  readonly apply: () => void;
}

/** One per run, where a scenario asks for metrics of scheduling. */
export class Monitor implements DispatchObserver {
  readonly fluid: FluidShares;
  /** Time of pCPUs that idled although they could have run a waiting task. */
  wastedIdleNs: Ns = 0;

  private readonly topology: Topology;
  private readonly vms: VmWatch[] = [];
  private readonly tasks: TaskWatch[] = [];
  /** Changes of the future, by time. */
  private readonly later: Change[] = [];
  private time: Ns = 0;
  private readonly idle: CpuSet;
  /** Waiting tasks that may run everywhere, and the others. */
  private waiting = 0;
  private readonly bound = new Set<HostTask>();
  /** pCPUs wasted at present; null: not known since the last change. */
  private wasted: number | null = 0;

  constructor(topology: Topology) {
    this.topology = topology;
    this.idle = CpuSet.all(topology.length);
    this.fluid = new FluidShares(topology.length);
  }

  ofTask(task: HostTask): TaskWatch {
    this.tasks[task.id] ??= new TaskWatch();
    return this.tasks[task.id]!;
  }

  ofVm(vm: HostVm): VmWatch {
    this.vms[vm.id] ??= new VmWatch(vm);
    return this.vms[vm.id]!;
  }

  /** `task` is about to be taken off its pCPU against its will. */
  taken(task: HostTask): void {
    const watch = this.ofTask(task);
    const { doing } = task;
    if ((doing & DOING_LOCKED) !== 0) watch.lockHolderPreemptions++;
    if ((doing & DOING_NEXT) !== 0) watch.lockWaiterPreemptions++;
    watch.isTaken = true;
  }

  /** `task` goes from its state to `state` at `time`, decided `now`. */
  entering(task: HostTask, state: TaskState, time: Ns, now: Ns): void {
    const watch = this.ofTask(task);
    const from = task.state;
    if (state === STATE_RUNNING && watch.preemptedAt >= 0) watch.preemptToRun.push(time - watch.preemptedAt);
    watch.preemptedAt = watch.isTaken && state === STATE_READY ? time : -1;
    watch.isTaken = false;
    const roles = [roleOf(from), roleOf(state)] as const;
    const { counts } = this.ofVm(task.vm);
    this.at(time, now, () => {
      if (roles[0] !== roles[1]) {
        this.ofVm(task.vm).advance(this.time);
        counts[roles[0]]!--;
        counts[roles[1]]!++;
      }
      if (state === STATE_READY) this.queue(task, true);
      else if (from === STATE_READY && state !== STATE_RUNNING) this.queue(task, false);
    });
  }

  /** `pcpu` will run `task`, or nobody, from now on or after a context switch. */
  picked(pcpu: number, task: HostTask | null, time: Ns, now: Ns): void {
    if (task !== null && task.pcpu !== -1 && task.pcpu !== pcpu) {
      const { topology } = this;
      const [from, to] = [topology[task.pcpu]!, topology[pcpu]!];
      this.ofTask(task).migrations[from.core === to.core ? 0 : from.socket === to.socket ? 1 : 2]++;
    }
    this.at(time, now, () => {
      this.idle.put(pcpu, task === null);
      this.wasted = null;
      if (task !== null) this.queue(task, false);
    });
  }

  /** Everything before `time` has happened. */
  until(time: Ns): void {
    while (this.later.length > 0 && this.later[0]!.time <= time) {
      const { time: when, apply } = this.later.shift()!;
      this.advance(when);
      apply();
    }
    this.advance(time);
  }

  /** The run is over: what is accounted by windows is brought up to date. */
  finish(): void {
    for (const watch of this.vms) watch?.advance(this.time);
    this.fluid.finish(this.time, this.vms);
  }

  private at(time: Ns, now: Ns, apply: () => void): void {
    this.until(now);
    assert(time >= this.time, 'a change of the past');
    if (time === this.time) {
      apply();
      return;
    }
    const place = this.later.findLastIndex((change) => change.time <= time);
    this.later.splice(place + 1, 0, { time, apply });
  }

  private advance(time: Ns): void {
    if (time <= this.time) return;
    while (this.fluid.nextEdge <= time) {
      const edge = this.fluid.nextEdge;
      for (const watch of this.vms) watch?.advance(edge);
      this.fluid.close(edge, this.vms);
    }
    this.wasted ??= this.wastedNow();
    this.wastedIdleNs += this.wasted * (time - this.time);
    this.time = time;
  }

  private queue(task: HostTask, waits: boolean): void {
    this.wasted = null;
    if (task.hard.count === this.topology.length) this.waiting += waits ? 1 : -1;
    else if (waits) this.bound.add(task);
    else this.bound.delete(task);
  }

  /** How many idle pCPUs could run a waiting task, each another one. */
  private wastedNow(): number {
    const { idle, bound, waiting } = this;
    if (idle.count === 0 || (waiting === 0 && bound.size === 0)) return 0;
    // Whoever may run everywhere takes what the others leave, so matching those is enough.
    const places = [...idle];
    const tasks = [...bound];
    const matched = largestMatching(tasks.length, places.length, (task, place) =>
      tasks[task]!.hard.has(places[place]!),
    );
    return Math.min(idle.count, matched + waiting);
  }
}

function roleOf(state: TaskState): number {
  if (state === STATE_NEW || state === STATE_ENDED) return NOT_THERE;
  if (state === STATE_RUNNING) return RUNS;
  return state === STATE_BLOCKED || state === STATE_PAUSED ? SLEEPS : WAITS;
}

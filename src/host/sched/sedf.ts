/**
 * SEDF, Xen's scheduler of 3.0 (to 4.5): earliest deadline first for vCPUs with a reserved slice per period, and what is
 * left of the pCPU in small quanta for those that take extra time.
 * Invariants: a vCPU with a slice is running, in the run queue (its period has begun, ordered by deadline), in the wait
 * queue (ordered by the begin of its next period), or blocked; vCPUs that take extra time are besides that in at most one
 * of two extra queues; order of service: deadlines, L0 (time lost by short blocks), L1 (shares), idle.
 * Source: sched_sedf.c of Xen 4.5 (facts only; own code). pCPU = number of the vCPU in its VM modulo the allowed ones: no
 * balancing, no admission control. A quantum of extra time counts as one service even if it was cut short (our reading).
 */
import { NS_PER_MS, NS_PER_US, type Ns } from '../../core/units.ts';
import { OrderedQueue } from '../ordered-queue.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  type Decision,
  definePolicy,
  type Scheduler,
  type SchedulerHost,
  type SchedVm,
  type Task,
} from '../scheduler.ts';

const params = {
  weights: {
    kind: 'choice',
    of: ['ignored', 'real-time', 'extra'],
    default: 'ignored',
    meaning:
      'use of the weights of VMs without a slice: none (as Xen unless told), a slice of 100 ms in proportion, or extra time in proportion',
  },
} as const satisfies ParamSet;

const vmParams = {
  period_us: {
    kind: 'integer',
    min: 10,
    max: 10_000_000,
    default: 100_000,
    meaning: 'period in which the slice is due',
  },
  slice_us: {
    kind: 'integer',
    min: 5,
    max: 10_000_000,
    also: 0,
    default: 0,
    meaning: 'CPU time per period that each vCPU has for certain; 0: best effort only',
  },
  extratime: { kind: 'flag', default: true, meaning: 'takes part in what is left of the pCPU' },
  extraweight: {
    kind: 'integer',
    min: 1,
    max: 65_535,
    default: 1,
    meaning: 'share in that, of vCPUs without a slice',
  },
} as const satisfies ParamSet;

const EXTRA_QUANTUM: Ns = 500 * NS_PER_US;
const WEIGHT_PERIOD: Ns = 100 * NS_PER_MS;
const WEIGHT_SAFETY: Ns = 5 * NS_PER_MS;
const SLICE_MIN: Ns = 5 * NS_PER_US;

type Service = 'deadline' | 'lost' | 'share';

class Unit {
  readonly task: Task;
  readonly pcpu: number;
  readonly settings: ValuesOf<typeof vmParams>;
  period: Ns;
  slice: Ns;
  deadline: Ns = 0;
  /** CPU time used of the slice of this period. */
  used: Ns = 0;
  /** How it is served while it runs. */
  service: Service = 'share';
  runnable = false;
  started = false;
  /** CPU time lost by short blocks, to be made up for in L0. */
  lost: Ns = 0;
  /** Place in L1: who is lowest goes first, and moves back by its score. */
  tag = 0;

  constructor(task: Task, pcpu: number) {
    this.task = task;
    this.pcpu = pcpu;
    this.settings = task.vm.params as ValuesOf<typeof vmParams>;
    this.period = this.settings.period_us * NS_PER_US;
    this.slice = this.settings.slice_us * NS_PER_US;
  }

  get begin(): Ns {
    return this.deadline - this.period;
  }

  get isRealTime(): boolean {
    return this.slice > 0;
  }
}

/** Per pCPU. */
class Queues {
  readonly units: Unit[] = [];
  readonly run = new OrderedQueue<Unit>((a, b) => a.deadline - b.deadline);
  readonly wait = new OrderedQueue<Unit>((a, b) => a.begin - b.begin);
  readonly shares = new OrderedQueue<Unit>((a, b) => a.tag - b.tag);
  /** The tag that was served last; who joins starts from here. */
  tag = 0;
  running: Unit | null = null;
}

class Sedf implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly weights: ValuesOf<typeof params>['weights'];
  private readonly units: Unit[] = [];
  private readonly pcpus: Queues[];

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    this.host = host;
    this.weights = settings.weights;
    this.pcpus = host.topology.map(() => new Queues());
  }

  add(task: Task, now: Ns): void {
    const allowed = [...task.hard];
    const unit = new Unit(task, allowed[task.index % allowed.length]!);
    this.units[task.id] = unit;
    this.pcpus[unit.pcpu].units.push(unit);
    this.shareOut(unit.pcpu, now);
  }

  remove(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    const { units } = this.pcpus[unit.pcpu];
    units.splice(units.indexOf(unit), 1);
    this.shareOut(unit.pcpu, now);
  }

  change(_vm: SchedVm, now: Ns): void {
    for (const pcpu of this.pcpus.keys()) this.shareOut(pcpu, now);
  }

  wake(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    const queues = this.pcpus[unit.pcpu];
    unit.runnable = true;
    if (unit.isRealTime) {
      if (!unit.started || now >= unit.deadline) {
        // After a long block, and at the start: a full slice from now on.
        unit.deadline = now + unit.period;
        unit.used = 0;
        queues.run.add(unit);
      } else {
        if (unit.begin <= now) {
          // After a short one what is left of the slice is lost, but may be made up for in extra time.
          if (unit.settings.extratime) unit.lost += Math.max(unit.slice - unit.used, 0);
          this.nextPeriod(unit);
        }
        queues.wait.add(unit);
      }
    }
    unit.started = true;
    this.joinShares(unit, this.scoreOf(unit));
    if (this.preempts(unit, queues.running)) this.host.resched(unit.pcpu);
  }

  sleep(task: Task): void {
    const unit = this.units[task.id];
    const queues = this.pcpus[unit.pcpu];
    unit.runnable = false;
    if (queues.running === unit) queues.running = null;
    this.leaveQueues(unit);
  }

  charge(task: Task, ran: Ns): void {
    const unit = this.units[task.id];
    if (unit.service === 'deadline') unit.used += ran;
    else if (unit.service === 'lost') unit.lost = Math.max(unit.lost - ran, 0);
  }

  pick(pcpu: number, now: Ns, current: Task | null): Decision {
    const queues = this.pcpus[pcpu];
    if (current !== null) this.putBack(this.units[current.id]);
    queues.running = null;
    this.advance(queues, now);
    const next = this.choose(queues, now);
    queues.running = next.unit;
    if (next.unit !== null) {
      this.leaveQueues(next.unit);
      if (next.unit.service === 'share') {
        queues.tag = next.unit.tag;
        next.unit.tag += this.scoreOf(next.unit);
      }
    }
    return { task: next.unit === null ? null : next.unit.task, slice: next.slice };
  }

  // ---- periods

  /** Where a unit that stops running belongs. */
  private putBack(unit: Unit): void {
    const queues = this.pcpus[unit.pcpu];
    if (unit.isRealTime) {
      if (unit.service === 'deadline') {
        if (unit.used >= unit.slice) {
          this.nextPeriod(unit);
          queues.wait.add(unit);
        } else queues.run.add(unit);
      } else {
        // It ran on extra time while its next period had not begun.
        queues.wait.add(unit);
      }
    }
    this.joinShares(unit, 0);
  }

  private nextPeriod(unit: Unit): void {
    unit.deadline += unit.period;
    unit.used = 0;
  }

  /** Deadlines that are over, and periods that have begun by now. */
  private advance(queues: Queues, now: Ns): void {
    // The late ones first: among equal deadlines they go before those whose period begins only now.
    for (let unit = queues.run.head; unit !== null && unit.deadline <= now; unit = queues.run.head) {
      queues.run.shift();
      this.host.note('missed-deadline', unit.task, unit.pcpu);
      while (unit.deadline <= now) this.nextPeriod(unit);
      queues.run.add(unit);
    }
    for (let unit = queues.wait.head; unit !== null && unit.begin <= now; unit = queues.wait.head) {
      queues.wait.shift();
      queues.run.add(unit);
    }
  }

  // ---- choice

  private choose(queues: Queues, now: Ns): { readonly unit: Unit | null; readonly slice: Ns } {
    const nextBegin = queues.wait.head === null ? Infinity : queues.wait.head.begin;
    const first = queues.run.head;
    if (first !== null) {
      first.service = 'deadline';
      return { unit: first, slice: Math.max(Math.min(first.slice - first.used, nextBegin - now), 1) };
    }
    if (nextBegin - now >= EXTRA_QUANTUM) {
      const unit = this.mostLost(queues) ?? queues.shares.head;
      if (unit !== null) {
        unit.service = unit.lost > 0 ? 'lost' : 'share';
        return { unit, slice: EXTRA_QUANTUM };
      }
    }
    return { unit: null, slice: nextBegin - now };
  }

  /** L0: the one with the lowest score, period x 2^10 / lost time; the first who came among equals. */
  private mostLost({ shares }: Queues): Unit | null {
    let best: Unit | null = null;
    for (const unit of shares) {
      if (unit.lost > 0 && (best === null || unit.period * best.lost < best.period * unit.lost)) best = unit;
    }
    return best;
  }

  private preempts(unit: Unit, running: Unit | null): boolean {
    if (running === null) return true;
    const inRun = this.pcpus[unit.pcpu].run.has(unit);
    if (running.service === 'deadline') return inRun && unit.deadline < running.deadline;
    if (inRun) return true;
    return running.service === 'share' && unit.lost > 0;
  }

  // ---- extra time

  /** @param ahead how far behind the last one served it has to line up at least */
  private joinShares(unit: Unit, ahead: number): void {
    if (!unit.settings.extratime) return;
    const { shares, tag } = this.pcpus[unit.pcpu];
    unit.tag = Math.max(unit.tag, tag + ahead);
    shares.add(unit);
  }

  /** Distance between two services: small scores are served often. */
  private scoreOf(unit: Unit): number {
    if (unit.isRealTime) return (unit.period * 2 ** 10) / unit.slice;
    return 2 ** 17 / (this.weights === 'extra' ? unit.task.vm.weight : unit.settings.extraweight);
  }

  private leaveQueues(unit: Unit): void {
    const { run, wait, shares } = this.pcpus[unit.pcpu];
    for (const queue of [run, wait, shares]) if (queue.has(unit)) queue.delete(unit);
  }

  /** Slices by weight: what the reservations of others leave of 95 ms in 100, in proportion. */
  private shareOut(pcpu: number, now: Ns): void {
    if (this.weights !== 'real-time') return;
    const { units } = this.pcpus[pcpu];
    const byWeight = units.filter(({ settings }) => settings.slice_us === 0);
    let left = WEIGHT_PERIOD - WEIGHT_SAFETY;
    for (const unit of units) {
      if (unit.settings.slice_us > 0) left -= Math.floor((unit.slice * WEIGHT_PERIOD) / unit.period);
    }
    const total = byWeight.reduce((sum, { task }) => sum + task.vm.weight, 0);
    for (const unit of byWeight) {
      const slice = Math.floor((Math.max(left, 0) * unit.task.vm.weight) / total);
      this.setSlice(unit, slice < SLICE_MIN ? 0 : slice, now);
    }
  }

  /** A unit may begin or cease to have a slice at any time. */
  private setSlice(unit: Unit, slice: Ns, now: Ns): void {
    const queues = this.pcpus[unit.pcpu];
    const was = unit.isRealTime;
    unit.slice = slice;
    unit.period = WEIGHT_PERIOD;
    if (unit.isRealTime === was || !unit.started) return;
    unit.deadline = now + unit.period;
    unit.used = 0;
    if (!unit.runnable || queues.running === unit) return;
    this.leaveQueues(unit);
    if (unit.isRealTime) queues.run.add(unit);
    this.joinShares(unit, 0);
  }
}

export const sedf = definePolicy({
  name: 'sedf',
  summary: 'earliest deadline first for slices per period, small quanta of what is left for the others',
  origin: 'Xen 3.0 to 4.5',
  basis: 'source',
  // A pCPU never takes over what waits for another one.
  traits: { workConserving: false, weights: { weights: 'extra' } },
  params,
  vmParams,
  make: (host, settings) => new Sedf(host, settings),
});

/**
 * SCHED_DEADLINE: constant-bandwidth servers under global EDF, above every other class. A vCPU with runtime Q, deadline D
 * and period P gets Q in every P by D, and no more: what it has used up comes back at its deadline.
 * Invariants: the sum of Q / P of all of them is at most 95 % of the pCPUs; of those that are runnable and have budget, the
 * m with the earliest deadlines run on m pCPUs.
 * Source: kernel documentation of the deadline scheduler; Abeni & Buttazzo 1998. Reclaiming is in reclaim.ts.
 */
import { UserError } from '../../../core/errors.ts';
import type { Ns } from '../../../core/units.ts';
import { OrderedQueue } from '../../ordered-queue.ts';
import type { SchedulerHost } from '../../scheduler.ts';
import { CpuSet } from '../../topology.ts';
import { Reclaim } from './reclaim.ts';
import type { Rq, Thread } from './rq.ts';

/** Of all pCPUs together, what may be reserved. */
const UTILIZATION_MAX = 0.95;

export class Deadline {
  private readonly host: SchedulerHost;
  private readonly rqs: readonly Rq[];
  private readonly idle: CpuSet;
  private readonly timer: number;
  private readonly ready = new OrderedQueue<Thread>(byDeadline);
  private readonly exhausted = new OrderedQueue<Thread>((a, b) => replenishAt(a) - replenishAt(b));
  /** Those that run, the latest deadline last, and the pCPUs without one. */
  private readonly running = new OrderedQueue<Thread>(byDeadline);
  private readonly others: CpuSet;
  private readonly reclaim: Reclaim;
  private reserved = 0;

  /** @param timer id of the timer of replenishments */
  constructor(host: SchedulerHost, rqs: readonly Rq[], idle: CpuSet, timer: number) {
    this.host = host;
    this.rqs = rqs;
    this.idle = idle;
    this.timer = timer;
    this.others = CpuSet.all(rqs.length);
    this.reclaim = new Reclaim(host, rqs, UTILIZATION_MAX);
  }

  /** Throws a UserError if its parameters make no sense, or the host cannot keep the promise. */
  admit(thread: Thread): void {
    const { task, runtime, relativeDeadline, period } = thread;
    const who = `vCPU ${task.vm.name}.${task.index}`;
    if (!(runtime > 0 && runtime <= relativeDeadline && relativeDeadline <= period)) {
      throw new UserError(
        `${who}: a deadline vCPU needs 0 < runtime_us <= deadline_us <= period_us, found ` +
          `${runtime / 1000}, ${relativeDeadline / 1000}, ${period / 1000}`,
      );
    }
    if (task.hard.count !== this.rqs.length) {
      throw new UserError(
        `${who}: a deadline vCPU must be allowed on all ${this.rqs.length} pCPUs (remove its affinity)`,
      );
    }
    const share = runtime / period;
    const most = this.rqs.length * UTILIZATION_MAX;
    // The tolerance is for sums of fractions only.
    if (this.reserved + share > most + 1e-9) {
      throw new UserError(
        `${who}: reserves ${percent(share)} of a pCPU, but deadline vCPUs may reserve ${percent(most)} ` +
          `(95 % of ${this.rqs.length}) and have ${percent(this.reserved)}`,
      );
    }
    this.reserved += share;
    this.reclaim.admit(thread);
    this.arm();
  }

  leave(thread: Thread): void {
    this.reserved -= thread.runtime / thread.period;
    this.reclaim.leave(thread);
    if (thread.throttled) this.exhausted.delete(thread);
    thread.throttled = false;
    this.arm();
  }

  wake(thread: Thread, now: Ns): void {
    this.reclaim.woke(thread);
    const { deadline, budget, runtime, period } = thread;
    if (thread.relativeDeadline < period) this.wakeConstrained(thread, now);
    // What is left may be used before the old deadline only if that is no more than its bandwidth.
    else if (deadline <= now || budget * period > runtime * (deadline - now)) renew(thread, now);
    if (thread.budget <= 0) {
      this.exhaust(thread, now);
      return;
    }
    thread.active = true;
    this.ready.add(thread);
    this.spread(thread.pcpu);
  }

  /**
   * With D < P a new budget at every wake-up would be up to Q in every D. So what is left is cut to what Q / D allows up to
   * the old deadline, and after that deadline there is nothing before the next period (the kernel's revised rule).
   */
  private wakeConstrained(thread: Thread, now: Ns): void {
    const { deadline, budget, runtime, relativeDeadline } = thread;
    if (replenishAt(thread) <= now) renew(thread, now);
    else if (deadline <= now) thread.budget = Math.min(budget, 0);
    else if (budget * relativeDeadline > runtime * (deadline - now)) {
      thread.budget = Math.floor((runtime * (deadline - now)) / relativeDeadline);
    }
  }

  sleep(thread: Thread): void {
    if (this.ready.has(thread)) this.ready.delete(thread);
    thread.active = false;
    // What is throttled is still active.
    if (thread.throttled) return;
    this.reclaim.slept(thread);
    this.arm();
  }

  charge(thread: Thread, ran: Ns): void {
    thread.budget -= thread.reclaims ? Math.floor(ran * this.reclaim.rate(thread)) : ran;
  }

  /** Running time until its budget is used up, as things are. */
  sliceOf(thread: Thread): Ns {
    return thread.reclaims ? Math.max(Math.ceil(thread.budget / this.reclaim.rate(thread)), 1) : thread.budget;
  }

  yield(thread: Thread): void {
    thread.budget = Math.min(thread.budget, 0);
  }

  /** The running thread stops, for the moment. Called for every thread of the class that leaves a pCPU. */
  stopped(rq: Rq, thread: Thread): void {
    this.running.delete(thread);
    this.others.add(rq.id);
  }

  /** It could go on, if it has budget. */
  put(thread: Thread, now: Ns): void {
    if (thread.budget > 0) this.ready.add(thread);
    else this.exhaust(thread, now);
  }

  /** The earliest deadline; null when there is none. */
  take(rq: Rq): Thread | null {
    const thread = this.ready.shift();
    if (thread === null) return null;
    thread.pcpu = rq.id;
    this.running.add(thread);
    this.others.delete(rq.id);
    return thread;
  }

  /** Budgets that come back now. */
  replenish(now: Ns): void {
    this.reclaim.expire(now);
    for (
      let thread = this.exhausted.head;
      thread !== null && replenishAt(thread) <= now;
      thread = this.exhausted.head
    ) {
      this.exhausted.shift();
      while (thread.budget <= 0) {
        thread.deadline += thread.period;
        thread.budget += thread.runtime;
      }
      if (thread.deadline <= now) renew(thread, now);
      thread.throttled = false;
      this.host.release(thread.task, 'park');
    }
    this.arm();
  }

  private exhaust(thread: Thread, now: Ns): void {
    thread.active = false;
    thread.throttled = true;
    this.exhausted.add(thread);
    this.host.note('deadline-throttle', thread.task, thread.pcpu);
    this.host.hold(thread.task, 'park');
    if (replenishAt(thread) <= now) this.host.arm(this.timer, now);
    else this.arm();
  }

  private arm(): void {
    const { head } = this.exhausted;
    const at = Math.min(head === null ? Infinity : replenishAt(head), this.reclaim.nextAt);
    if (at === Infinity) this.host.disarm(this.timer);
    else this.host.arm(this.timer, at);
  }

  /** The first of those that wait goes to an idle pCPU, one of a lower class, or that of the latest deadline. */
  spread(from: number): void {
    const { head } = this.ready;
    if (head === null) return;
    const before = from === 0 ? this.rqs.length - 1 : from - 1;
    const idle = this.idle.next(before);
    const other = idle >= 0 ? idle : this.others.next(before);
    if (other >= 0) {
      this.host.resched(other);
      return;
    }
    let latest: Thread | null = null;
    for (const thread of this.running) latest = thread;
    if (latest !== null && latest.deadline > head.deadline) this.host.resched(latest.pcpu);
  }
}

/** A whole budget, from now on. */
function renew(thread: Thread, now: Ns): void {
  thread.deadline = now + thread.relativeDeadline;
  thread.budget = thread.runtime;
}

const byDeadline = (a: Thread, b: Thread): number => a.deadline - b.deadline || a.task.id - b.task.id;

/** The end of the period that the present deadline belongs to; with D = P that is the deadline. */
const replenishAt = ({ deadline, relativeDeadline, period }: Thread): Ns => deadline - relativeDeadline + period;

const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`;

/**
 * SCHED_FIFO and SCHED_RR: fixed priorities above the fair class, first in first out inside one. The m most urgent threads
 * run on m pCPUs: one that wakes up goes where something less urgent runs, and a pCPU that is about to run something less
 * urgent pulls. The fair class is protected from starving, by one of two mechanisms.
 *   throttle     real-time threads use at most `runtime` of every period of a pCPU
 *   fair-server  once fair threads have waited for period - runtime, they get their part (5 %) before anything else
 * Invariant: a pCPU's queue is in the order of priorities, first in first out inside one; the running thread is in none.
 * Source: sched(7); throttling and the server as documented. The server at the end of a period is its deferred start.
 */
import { UserError } from '../../../core/errors.ts';
import { NS_PER_US, type Ns } from '../../../core/units.ts';
import type { SchedulerHost } from '../../scheduler.ts';
import { CpuSet } from '../../topology.ts';
import type { Rq, Thread } from './rq.ts';

export interface RealtimeTunables {
  readonly quantum: Ns;
  readonly protection: 'none' | 'throttle' | 'fair-server';
  /** Of every period, what real-time threads may use. */
  readonly runtime: Ns;
  readonly period: Ns;
}

export class Realtime {
  private readonly host: SchedulerHost;
  private readonly rqs: readonly Rq[];
  private readonly idle: CpuSet;
  private readonly tunables: RealtimeTunables;
  /** pCPUs that run a real-time or deadline thread, and those where real-time threads wait. */
  private readonly urgent: CpuSet;
  private readonly waiting: CpuSet;
  private readonly lower: CpuSet;
  /** Of which pCPU's queue the last pick took a thread, if of another's. */
  private takenFrom: Rq | null = null;

  constructor(host: SchedulerHost, rqs: readonly Rq[], idle: CpuSet, tunables: RealtimeTunables) {
    this.host = host;
    this.rqs = rqs;
    this.idle = idle;
    const { runtime, period } = tunables;
    if (runtime > period) {
      throw new UserError(
        `rt_runtime_us: found ${runtime / NS_PER_US}, allowed are 1 to rt_period_us, which is ${period / NS_PER_US}`,
      );
    }
    // All of a period is no limit.
    this.tunables = runtime === period ? { ...tunables, protection: 'none' } : tunables;
    this.urgent = new CpuSet(rqs.length);
    this.waiting = new CpuSet(rqs.length);
    this.lower = CpuSet.all(rqs.length);
  }

  wake(thread: Thread): Rq {
    const rq = this.rqs[this.place(thread)];
    thread.pcpu = rq.id;
    thread.active = true;
    this.insert(rq, thread, false);
    if (priorityOf(rq.running) < thread.priority) this.host.resched(rq.id);
    return rq;
  }

  sleep(thread: Thread): Rq {
    const rq = this.rqs[thread.pcpu];
    thread.active = false;
    const at = rq.realtime.indexOf(thread);
    if (at >= 0) rq.realtime.splice(at, 1);
    this.waiting.put(rq.id, rq.realtime.length > 0);
    return rq;
  }

  charge(thread: Thread, ran: Ns): void {
    const rq = this.rqs[thread.pcpu];
    rq.realtimeUsed += ran;
    if (thread.cls === 'rr') thread.quantumLeft -= ran;
  }

  /** The running thread goes back to its queue. */
  put(rq: Rq, thread: Thread, yields: boolean): void {
    let tail = yields;
    if (thread.cls === 'rr' && thread.quantumLeft <= 0) {
      thread.quantumLeft = this.tunables.quantum;
      tail = true;
    }
    this.insert(rq, thread, !tail);
  }

  /** The most urgent thread that may run here, taken from a queue; null when there is none. */
  take(rq: Rq): Thread | null {
    if (this.waiting.count === 0) return null;
    let from = rq;
    let best: Thread | null = rq.realtime[0] ?? null;
    for (const id of this.waiting) {
      if (id === rq.id) continue;
      const other = this.rqs[id].realtime.find((thread) => thread.task.hard.has(rq.id));
      if (other === undefined || (best !== null && best.priority >= other.priority)) continue;
      from = this.rqs[id];
      best = other;
    }
    if (best === null) return null;
    if (from !== rq) this.takenFrom = from;
    from.realtime.splice(from.realtime.indexOf(best), 1);
    this.waiting.put(from.id, from.realtime.length > 0);
    best.pcpu = rq.id;
    return best;
  }

  /**
   * After a pick: a thread that waits here, or where one was taken from, while something less urgent runs where it may run
   * is to be taken there. One at a time, since the pick there comes back to this.
   */
  spread(rq: Rq): void {
    const { takenFrom } = this;
    this.takenFrom = null;
    if (this.waiting.count === 0) return;
    for (const from of takenFrom === null ? [rq] : [rq, takenFrom]) {
      const to = from.realtime
        .map((thread) => ({ thread, to: this.place(thread) }))
        .find((push) => push.to !== from.id && priorityOf(this.rqs[push.to].running) < push.thread.priority)?.to;
      if (to !== undefined) this.host.resched(to);
    }
  }

  /** Time for which a real-time thread may run now on `rq`; 0 when it is the turn of the fair class. */
  allowance(rq: Rq, now: Ns, fairWaits: boolean): Ns {
    const { protection, period, runtime } = this.tunables;
    if (protection === 'throttle') {
      const current = Math.floor(now / period);
      if (current !== rq.realtimePeriod) rq.realtimeUsed = 0;
      rq.realtimePeriod = current;
      // Asked again when the period is over: what runs across the edge counts for the new one from there on.
      return Math.max(Math.min(runtime - rq.realtimeUsed, period - (now % period)), 0);
    }
    if (protection === 'none' || !fairWaits) {
      rq.starvingSince = -1;
      rq.serverLeft = 0;
      return Infinity;
    }
    if (rq.serverLeft > 0) return 0;
    if (rq.starvingSince < 0) rq.starvingSince = now;
    const left = rq.starvingSince + runtime - now;
    if (left > 0) return left;
    rq.starvingSince = -1;
    rq.serverLeft = period - runtime;
    return 0;
  }

  /** How long the fair class may run while real-time threads wait. */
  untilNext(rq: Rq, now: Ns): Ns {
    const { protection, period } = this.tunables;
    return protection === 'throttle' ? period - (now % period) : rq.serverLeft;
  }

  /** What runs on `rq` has changed. */
  noteRunning(rq: Rq): void {
    const urgent = priorityOf(rq.running) > 0;
    this.urgent.put(rq.id, urgent);
    this.lower.put(rq.id, !urgent);
  }

  sliceOf(thread: Thread): Ns {
    return thread.cls === 'rr' ? thread.quantumLeft : Infinity;
  }

  private insert(rq: Rq, thread: Thread, atHead: boolean): void {
    const before = (other: Thread): boolean =>
      atHead ? other.priority <= thread.priority : other.priority < thread.priority;
    const at = rq.realtime.findIndex(before);
    rq.realtime.splice(at < 0 ? rq.realtime.length : at, 0, thread);
    this.waiting.add(rq.id);
  }

  /** Where it ran, unless something urgent runs there: then an idle pCPU, one of the fair class, the least urgent one. */
  private place({ pcpu, task, priority }: Thread): number {
    const { hard } = task;
    const previous = hard.has(pcpu) ? pcpu : hard.next(pcpu);
    if (!this.urgent.has(previous)) return previous;
    const idle = this.idle.nextIn(hard, previous);
    if (idle >= 0) return idle;
    const fair = this.lower.nextIn(hard, previous);
    if (fair >= 0) return fair;
    let best = previous;
    for (const id of hard) {
      if (priorityOf(this.rqs[id].running) < priorityOf(this.rqs[best].running)) best = id;
    }
    return priorityOf(this.rqs[best].running) < priority ? best : previous;
  }
}

/** -1 idle, 0 the fair class, 1 to 99 real-time, 100 the deadline class. */
export function priorityOf(thread: Thread | null): number {
  if (thread === null) return -1;
  if (thread.cls === 'deadline') return 100;
  return thread.cls === 'fair' ? 0 : thread.priority;
}

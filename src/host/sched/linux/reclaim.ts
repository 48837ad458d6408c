/**
 * GRUB: a deadline vCPU that reclaims uses what others have reserved and do not need. While it runs its budget shrinks at
 *   max(U_i, U_max - U_inactive - U_extra) / U_max        U_max - U_extra = sum(U) / m, so alone it gets U_max of a pCPU
 * where U_inactive is what is reserved by sleepers of its pCPU. A sleeper stays active up to its 0-lag time d - q P / Q: until
 * then it could come back and ask for the rest.
 * Invariants: rates change only between charges; of those that sleep, `contending` has the active ones.
 * Source: kernel documentation of the deadline scheduler; Lipari and Baruah 2000.
 */
import type { Ns } from '../../../core/units.ts';
import { OrderedQueue } from '../../ordered-queue.ts';
import type { SchedulerHost } from '../../scheduler.ts';
import type { Rq, Thread } from './rq.ts';

export class Reclaim {
  private readonly host: SchedulerHost;
  private readonly rqs: readonly Rq[];
  private readonly most: number;
  private readonly members: Thread[] = [];
  private readonly contending = new OrderedQueue<Thread>((a, b) => a.zeroLagAt - b.zeroLagAt || a.task.id - b.task.id);
  private reclaimers = 0;

  /** @param most U_max, of a pCPU */
  constructor(host: SchedulerHost, rqs: readonly Rq[], most: number) {
    this.host = host;
    this.rqs = rqs;
    this.most = most;
  }

  admit(thread: Thread): void {
    this.change(() => {
      this.members.push(thread);
      if (thread.reclaims) this.reclaimers++;
    });
  }

  leave(thread: Thread): void {
    this.change(() => {
      this.members.splice(this.members.indexOf(thread), 1);
      if (thread.reclaims) this.reclaimers--;
      this.activate(thread);
    });
  }

  /** It has nothing to do; what is left of its budget stays its own up to its 0-lag time. */
  slept(thread: Thread): void {
    thread.zeroLagAt = thread.deadline - Math.floor((Math.max(thread.budget, 0) * thread.period) / thread.runtime);
    this.contending.add(thread);
  }

  woke(thread: Thread): void {
    if (thread.inactive) this.change(() => this.activate(thread));
    else this.activate(thread);
  }

  /** When `expire` has to be called next. */
  get nextAt(): Ns {
    return this.reclaimers === 0 ? Infinity : (this.contending.head?.zeroLagAt ?? Infinity);
  }

  /** Sleepers whose 0-lag time has come are inactive from now on. */
  expire(now: Ns): void {
    if (this.reclaimers === 0 || (this.contending.head?.zeroLagAt ?? Infinity) > now) return;
    this.change(() => {
      for (let head = this.contending.head; head !== null && head.zeroLagAt <= now; head = this.contending.head) {
        this.contending.shift();
        head.inactive = true;
      }
    });
  }

  /** How much of its budget a ns of running costs. */
  rate(thread: Thread): number {
    if (!thread.reclaims) return 1;
    let left = 0;
    for (const other of this.members) {
      left += bandwidth(other) / this.rqs.length;
      if (other.inactive && other.pcpu === thread.pcpu) left -= bandwidth(other);
    }
    return Math.max(bandwidth(thread), left) / this.most;
  }

  private activate(thread: Thread): void {
    if (this.contending.has(thread)) this.contending.delete(thread);
    thread.inactive = false;
  }

  /** Who runs and reclaims pays the old rate up to now, and asks anew how long it may run. */
  private change(apply: () => void): void {
    const running = this.members.filter((thread) => thread.reclaims && this.rqs[thread.pcpu].running === thread);
    for (const { pcpu } of running) this.host.settle(pcpu);
    apply();
    for (const { pcpu } of running) this.host.resched(pcpu);
  }
}

const bandwidth = ({ runtime, period }: Thread): number => runtime / period;

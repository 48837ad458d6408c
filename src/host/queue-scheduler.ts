/**
 * What policies with one run queue for each pCPU have in common: queues in an order of the policy, who is told of a wake-up,
 * stealing by pCPUs that would idle or run something of low rank, slices and rate limits. A policy extends it and says
 * what differs: order, rank, slice, preemption.
 * Invariants: a unit is in one queue or running or not runnable; `loaded` and `urgent` say which queues have members, and
 * members of rank `stealRank` or better; an idle pCPU that was told to look is not among the `idlers` until it did.
 * Cost: an event costs a few searches in sets of bits and one insertion into a queue, whatever the number of pCPUs.
 */
import type { Ns } from '../core/units.ts';
import { OrderedQueue } from './ordered-queue.ts';
import type { Decision, Scheduler, SchedulerHost, Task, WakeReason } from './scheduler.ts';
import { CpuSet } from './topology.ts';

/** What a policy knows of a task. */
export class QueueUnit {
  readonly task: Task;
  /** The pCPU whose queue it uses. */
  home = -1;
  /** Lower goes first. Changes only while it is in no queue, or followed by `resort`. */
  rank = 0;
  queued = false;
  running = false;
  yielding = false;
  /** What is left of its slice. */
  sliceLeft: Ns = 0;

  constructor(task: Task) {
    this.task = task;
  }
}

export abstract class QueueScheduler<U extends QueueUnit = QueueUnit> implements Scheduler {
  protected readonly host: SchedulerHost;
  /** By task id. */
  protected readonly units: U[] = [];
  /** Who runs on each pCPU. */
  protected readonly onPcpu: (U | null)[];
  protected readonly idlers: CpuSet;
  /** The pCPUs of each core and socket. */
  protected readonly cores: CpuSet[] = [];
  protected readonly sockets: CpuSet[] = [];
  /** Units of a worse rank do not run while one of this rank or better waits elsewhere. */
  protected stealRank = -Infinity;
  /** A running unit is not replaced before it ran that long. */
  protected ratelimit: Ns = 0;

  private readonly queues: OrderedQueue<U>[];
  private readonly loaded: CpuSet;
  private readonly urgent: CpuSet;
  /** pCPUs of cores that are idle altogether. */
  private readonly idleCores: CpuSet;

  constructor(host: SchedulerHost) {
    this.host = host;
    const { topology } = host;
    this.onPcpu = topology.map(() => null);
    this.queues = topology.map(() => this.newQueue());
    this.idlers = CpuSet.all(topology.length);
    this.loaded = new CpuSet(topology.length);
    this.urgent = new CpuSet(topology.length);
    this.idleCores = CpuSet.all(topology.length);
    for (const { id, core, socket } of topology) {
      this.cores[core] ??= new CpuSet(topology.length);
      this.sockets[socket] ??= new CpuSet(topology.length);
      this.cores[core].add(id);
      this.sockets[socket].add(id);
    }
  }

  // ---- what a policy says

  protected abstract makeUnit(task: Task): U;
  /** How long it may run when it starts. */
  protected abstract sliceOf(unit: U, now: Ns): Ns;
  /** Negative when `a` goes first. Equals keep the order of their arrival. */
  protected order(a: U, b: U): number {
    return a.rank - b.rank;
  }
  /** Shall one that woke up replace the one that runs? */
  protected preempts(unit: U, running: U): boolean {
    return unit.rank < running.rank;
  }
  /** It became runnable: give it its rank. */
  protected woken(_unit: U, _now: Ns, _reason: WakeReason): void {}
  /** It is about to be put behind others, because its slice is over or somebody goes first. */
  protected stopping(_unit: U, _now: Ns): void {}
  /** Where it would rather run, best first; the last is where it may. */
  protected masksOf({ task }: U): readonly CpuSet[] {
    return task.soft === null ? [task.hard] : [task.soft, task.hard];
  }
  /** May it be taken to that pCPU, if its affinity allows? */
  protected mayMove(_unit: U, _pcpu: number, _now: Ns): boolean {
    return true;
  }

  /** Does a pCPU without a running unit take the first of its queue as soon as it is asked? */
  protected willPick(_pcpu: number): boolean {
    return true;
  }

  // ---- the mechanism's questions

  add(task: Task, _now: Ns): void {
    this.units[task.id] = this.makeUnit(task);
  }

  wake(task: Task, now: Ns, reason: WakeReason): void {
    const unit = this.units[task.id];
    unit.yielding = false;
    this.woken(unit, now, reason);
    this.place(unit, now);
  }

  sleep(task: Task, _now: Ns): void {
    const unit = this.units[task.id];
    if (unit.queued) this.dequeue(unit);
    else if (unit.running) this.leave(unit);
    unit.sliceLeft = 0;
  }

  charge(task: Task, ran: Ns): void {
    const unit = this.units[task.id];
    unit.sliceLeft = Math.max(unit.sliceLeft - ran, 0);
    this.burn(unit, ran);
  }

  protected burn(_unit: U, _ran: Ns): void {}

  yield(task: Task, _now: Ns, _why: 'yield' | 'spin'): void {
    this.units[task.id].yielding = true;
  }

  pick(pcpu: number, now: Ns, current: Task | null): Decision {
    const unit = current === null ? null : this.units[current.id];
    const next = this.choose(pcpu, now, unit);
    if (unit !== null) unit.yielding = false;
    if (next !== unit) {
      if (unit !== null) unit.running = false;
      this.onPcpu[pcpu] = next;
    }
    this.setIdle(pcpu, next === null);
    if (next === null) return { task: null, slice: Infinity };
    next.running = true;
    next.home = pcpu;
    // The one that had to make way may find another pCPU.
    if (unit !== null && unit !== next && unit.queued) this.offer(unit);
    return { task: next.task, slice: this.bounded(next, next.sliceLeft) };
  }

  /** A policy may cut slices. */
  protected bounded(_unit: U, slice: Ns): Ns {
    return slice;
  }

  /** Who runs next on `pcpu`, out of its queue and with a slice. */
  protected choose(pcpu: number, now: Ns, current: U | null): U | null {
    if (current !== null && !current.yielding) {
      const rival = this.firstFor(pcpu);
      const ahead = rival !== null && this.order(rival, current) < 0;
      if (!ahead && current.sliceLeft > 0) return current;
      const early = this.ratelimit - (now - current.task.since);
      if (ahead && current.sliceLeft > 0 && early > 0) {
        current.sliceLeft = Math.min(current.sliceLeft, early);
        return current;
      }
    }
    if (current !== null) this.stopping(current, now);
    const yielded = current?.yielding === true;
    if (current !== null && !yielded) this.enqueue(current, pcpu);
    let next = this.firstFor(pcpu);
    if (next === null || next.rank > this.stealRank) next = this.steal(pcpu, now, next) ?? next;
    if (yielded) {
      if (next === null) next = current;
      else this.enqueue(current, pcpu);
    }
    if (next === null) return null;
    if (next.queued) this.dequeue(next);
    next.sliceLeft = this.sliceOf(next, now);
    return next;
  }

  // ---- queues

  /** The first of the queue of `pcpu`; all there may run there. */
  protected firstFor(pcpu: number): U | null {
    return this.queues[pcpu].head;
  }

  protected waitingOn(pcpu: number): Iterable<U> {
    return this.queues[pcpu];
  }

  protected lengthOf(pcpu: number): number {
    return this.queues[pcpu].size + (this.onPcpu[pcpu] === null ? 0 : 1);
  }

  protected enqueue(unit: U, pcpu: number): void {
    unit.queued = true;
    unit.home = pcpu;
    this.queues[pcpu].add(unit);
    this.note(pcpu);
  }

  protected dequeue(unit: U): void {
    unit.queued = false;
    this.queues[unit.home].delete(unit);
    this.note(unit.home);
  }

  /** Brings all queues into order after ranks have changed. */
  protected resort(): void {
    for (const [pcpu, old] of this.queues.entries()) {
      if (old.size === 0) continue;
      const queue = this.newQueue();
      for (const unit of old) queue.add(unit);
      this.queues[pcpu] = queue;
      this.note(pcpu);
    }
  }

  private newQueue(): OrderedQueue<U> {
    return new OrderedQueue<U>((a, b) => this.order(a, b));
  }

  private note(pcpu: number): void {
    const { head } = this.queues[pcpu];
    this.loaded.put(pcpu, head !== null);
    this.urgent.put(pcpu, head !== null && head.rank <= this.stealRank);
  }

  private leave(unit: U): void {
    unit.running = false;
    this.onPcpu[unit.home] = null;
  }

  // ---- who looks at what

  /** Queues a unit where it suits best, and tells the pCPU that should look at it. */
  protected place(unit: U, _now: Ns): void {
    const idle = this.idleFor(unit);
    if (idle >= 0) {
      this.enqueue(unit, idle);
      this.alert(idle);
      return;
    }
    const home = unit.home >= 0 && unit.task.hard.has(unit.home) ? unit.home : this.shortest(unit);
    this.enqueue(unit, home);
    const running = this.onPcpu[home];
    if (running === null) this.alert(home);
    else if (this.preempts(unit, running)) this.host.resched(home);
  }

  /** Tells an idle pCPU that could take a waiting unit. */
  protected offer(unit: U): void {
    const idle = this.idleFor(unit);
    if (idle >= 0) this.alert(idle);
  }

  protected alert(pcpu: number): void {
    this.setIdle(pcpu, false);
    this.host.resched(pcpu);
  }

  /** The idle pCPU that suits a unit best: its home, one of an idle core, one of its socket, any; -1 for none. */
  protected idleFor(unit: U): number {
    if (this.idlers.count === 0) return -1;
    const { home } = unit;
    for (const mask of this.masksOf(unit)) {
      for (const idle of [this.idleCores, this.idlers]) {
        if (!idle.meets(mask)) continue;
        if (home < 0) return idle.nextIn(mask, this.host.topology.length - 1);
        if (idle.has(home) && mask.has(home)) return home;
        const near = idle.intersect(mask).nextIn(this.sockets[this.host.topology[home].socket], home);
        return near >= 0 ? near : idle.nextIn(mask, home);
      }
    }
    return -1;
  }

  /** The pCPU with the shortest queue among those it prefers. Only for units that have no home. */
  private shortest(unit: U): number {
    let best = -1;
    for (const pcpu of this.masksOf(unit)[0]) {
      if (best < 0 || this.lengthOf(pcpu) < this.lengthOf(best)) best = pcpu;
    }
    return best;
  }

  /** Takes a unit that is waiting elsewhere: any when there is none here, else one of the ranks worth it. */
  protected steal(pcpu: number, now: Ns, best: U | null): U | null {
    const from = best === null ? this.loaded : this.urgent;
    if (from.count === 0) return null;
    const own = this.host.topology[pcpu].socket;
    for (const near of [true, false]) {
      const peers = near ? from.intersect(this.sockets[own]) : from.without(this.sockets[own]);
      let peer = pcpu;
      for (let left = peers.count; left > 0; left--) {
        peer = peers.next(peer);
        if (peer === pcpu) continue;
        const taken = this.onPcpu[peer] === null && this.willPick(peer) ? this.queues[peer].head : null;
        for (const unit of this.queues[peer]) {
          if (unit === taken) continue;
          if (best !== null && (unit.rank >= best.rank || unit.rank > this.stealRank)) break;
          if (!unit.task.hard.has(pcpu) || !this.mayMove(unit, pcpu, now)) continue;
          this.dequeue(unit);
          unit.home = pcpu;
          this.host.note('steal', unit.task, pcpu);
          return unit;
        }
      }
    }
    return null;
  }

  protected setIdle(pcpu: number, idle: boolean): void {
    if (this.idlers.has(pcpu) === idle) return;
    this.idlers.put(pcpu, idle);
    const core = this.cores[this.host.topology[pcpu].core];
    const whole = core.within(this.idlers);
    for (const id of core) this.idleCores.put(id, whole);
  }
}

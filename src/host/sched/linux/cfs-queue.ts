/**
 * The queue of the Completely Fair Scheduler: entities in the order of their virtual time.
 * Invariants: ties go behind, so equals take turns; `minimum` (the virtual time of the queue) never decreases.
 * Source: kernel/sched/fair.c of Linux 5.6 (facts only; own code).
 */
import type { Ns } from '../../../core/units.ts';
import { OrderedQueue } from '../../ordered-queue.ts';
import { type Entity, type Entry, FairQueue, type Leave, virtual } from './fair-queue.ts';

export interface CfsTunables {
  readonly latency: Ns;
  readonly minGranularity: Ns;
  readonly wakeupGranularity: Ns;
  readonly gentleSleepers: boolean;
  readonly startDebit: boolean;
  readonly lastBuddy: boolean;
  readonly nextBuddy: boolean;
  readonly wakeupPreemption: boolean;
}

/** After so long a sleep the old virtual time means nothing any more. */
const LONG_SLEEP_NS: Ns = 60_000_000_000;

export class CfsQueue extends FairQueue {
  private readonly tunables: CfsTunables;
  private readonly tree = new OrderedQueue<Entity>((a, b) => a.vruntime - b.vruntime);
  private minimum: Ns = 0;
  /** The one that was preempted last: goes on where it was, if that is fair. */
  private last: Entity | null = null;

  constructor(tunables: CfsTunables) {
    super();
    this.tunables = tunables;
  }

  enqueue(entity: Entity, how: Entry, now: Ns): void {
    const from = entity.queue as CfsQueue | null;
    if (from !== this) entity.vruntime += this.minimum - (from === null ? 0 : from.minimum);
    entity.queue = this;
    this.updateMinimum();
    if (how !== 'move') this.place(entity, how, now);
    entity.queued = true;
    this.count++;
    this.load += entity.weight;
    this.tree.add(entity);
  }

  dequeue(entity: Entity, _how: Leave): boolean {
    if (entity === this.current) this.current = null;
    else this.tree.delete(entity);
    if (this.next === entity) this.next = null;
    if (this.last === entity) this.last = null;
    if (this.skip === entity) this.skip = null;
    entity.queued = false;
    this.count--;
    this.load -= entity.weight;
    this.updateMinimum();
    return true;
  }

  charge(ran: Ns): void {
    const entity = this.current;
    if (entity === null) return;
    entity.ran += ran;
    entity.vruntime += virtual(ran, entity.weight);
    this.updateMinimum();
  }

  tick(): boolean {
    const entity = this.current;
    const { head } = this.tree;
    if (entity === null || head === null) return false;
    const slice = this.sliceOf(entity);
    const ran = entity.ran - entity.ranAtPick;
    if (ran > slice) {
      this.clearBuddies(entity);
      return true;
    }
    // As in the source, virtual time is compared with a slice of time.
    return ran >= this.tunables.minGranularity && entity.vruntime - head.vruntime > slice;
  }

  preempts(wakee: Entity): boolean {
    const { current, tunables } = this;
    if (current === null) return true;
    if (tunables.nextBuddy && this.isLong) this.next = wakee;
    if (current.kind === 'idle' && wakee.kind !== 'idle') return true;
    if (wakee.kind !== 'normal' || !tunables.wakeupPreemption || !this.isDear(current, wakee)) return false;
    this.next = wakee;
    if (tunables.lastBuddy && this.isLong && current.task !== null) this.last = current;
    return true;
  }

  put(): void {
    if (this.current !== null) this.tree.add(this.current);
  }

  pick(): Entity | null {
    const left = this.tree.head;
    if (left === null) {
      this.current = null;
      return null;
    }
    let chosen = left;
    if (this.skip === left) {
      const second = this.tree.find((entity) => entity !== left);
      if (second !== null && !this.isDear(second, left)) chosen = second;
    }
    const { last, next } = this;
    if (last !== null && !this.isDear(last, left)) chosen = last;
    if (next !== null && !this.isDear(next, left)) chosen = next;
    this.clearBuddies(chosen);
    this.skip = null;
    this.tree.delete(chosen);
    if (chosen !== this.current) chosen.ranAtPick = chosen.ran;
    this.current = chosen;
    return chosen;
  }

  yield(): void {
    const { current } = this;
    if (current === null) return;
    this.clearBuddies(current);
    this.skip = current;
  }

  reweight(entity: Entity, weight: number): void {
    if (entity.queued) this.load += weight - entity.weight;
    entity.weight = weight;
  }

  left(): Ns {
    const { current } = this;
    if (current === null || this.count < 2) return Infinity;
    // A slice that is over lasts one more shortest slice, unless the pick has found another.
    return Math.max(this.sliceOf(current) - (current.ran - current.ranAtPick), this.tunables.minGranularity);
  }

  /** So many that fit into a latency with the shortest slice: nr_latency, rounded up. */
  private get latencyCount(): number {
    return Math.ceil(this.tunables.latency / this.tunables.minGranularity);
  }

  /** Buddies are for queues so long that a latency does not serve all. */
  private get isLong(): boolean {
    return this.count >= this.latencyCount;
  }

  /** Its part of a period: the weight over that of the queue, and again for the group that it is in. */
  private sliceOf(entity: Entity): Ns {
    const { latency, minGranularity } = this.tunables;
    const count = this.count + (entity.queued ? 0 : 1);
    let slice: Ns = count > this.latencyCount ? count * minGranularity : latency;
    let level: Entity | null = entity;
    while (level !== null) {
      const queue = level.queue as CfsQueue;
      slice = Math.floor((slice * level.weight) / (queue.load + (level.queued ? 0 : level.weight)));
      level = queue.owner?.queue === null ? null : queue.owner;
    }
    return slice;
  }

  private place(entity: Entity, how: Entry, now: Ns): void {
    const { tunables } = this;
    let vruntime = this.minimum;
    if (how === 'new') {
      if (tunables.startDebit) vruntime += virtual(this.sliceOf(entity), entity.weight);
    } else {
      const credit = entity.kind === 'idle' ? tunables.minGranularity : tunables.latency;
      vruntime -= tunables.gentleSleepers ? Math.floor(credit / 2) : credit;
      if (now - entity.lastRan > LONG_SLEEP_NS) entity.vruntime = vruntime;
    }
    entity.vruntime = Math.max(entity.vruntime, vruntime);
  }

  /** Would running `entity` before `other` cost more than a wake-up granularity of fairness? */
  private isDear(entity: Entity, other: Entity): boolean {
    return entity.vruntime - other.vruntime > virtual(this.tunables.wakeupGranularity, other.weight);
  }

  private clearBuddies(entity: Entity): void {
    if (this.next === entity) this.next = null;
    if (this.last === entity) this.last = null;
    if (this.skip === entity) this.skip = null;
  }

  private updateMinimum(): void {
    const head = this.tree.head?.vruntime ?? Infinity;
    const least = Math.min(this.current?.vruntime ?? Infinity, head);
    if (least !== Infinity) this.minimum = Math.max(this.minimum, least);
  }
}

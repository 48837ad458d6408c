/**
 * The queue of EEVDF: of those that have received no more than their share, the one whose request is due first.
 *   V = sum(w v) / sum(w) over all queued     lag = V - v     eligible: v <= V     deadline = v + slice * 1024 / w
 * Invariants: `sum` is that of w (v - zero) over all queued entities, the current one included; the tree is in the order of
 * deadlines, first in first out among equals.
 * Source: Stoica & Abdel-Wahab 1995; kernel/sched/fair.c of Linux 6.12 (facts only; own code).
 */
import type { Ns } from '../../../core/units.ts';
import { OrderedQueue } from '../../ordered-queue.ts';
import { type Entity, type Entry, FairQueue, type Leave, virtual } from './fair-queue.ts';

export interface EevdfTunables {
  readonly slice: Ns;
  readonly tick: Ns;
  readonly runToParity: boolean;
  readonly preemptShort: boolean;
  readonly delayDequeue: boolean;
  readonly placeLag: boolean;
  readonly wakeupPreemption: boolean;
}

/** Beyond that `zero` moves, so that sums stay exact: weights have nine binary places. */
const SUM_MAX = 2 ** 42;

/** Shortest exact timer. */
const LEFT_MIN_NS: Ns = 10_000;

export class EevdfQueue extends FairQueue {
  private readonly tunables: EevdfTunables;
  private readonly tree = new OrderedQueue<Entity>((a, b) => a.deadline - b.deadline);
  private sum = 0;
  private zero: Ns = 0;
  /** The request of the current entity was served; looked at by the next tick or wake-up. */
  private served = false;

  constructor(tunables: EevdfTunables) {
    super();
    this.tunables = tunables;
  }

  /** V: the virtual time that everybody would have, if service were perfectly fair. */
  get average(): Ns {
    return this.load === 0 ? this.zero : this.zero + Math.floor(this.sum / this.load);
  }

  isEligible(entity: Entity): boolean {
    return this.sum >= (entity.vruntime - this.zero) * this.load;
  }

  enqueue(entity: Entity, how: Entry, _now: Ns): void {
    entity.queue = this;
    if (entity.slice === 0) entity.slice = this.tunables.slice;
    if (entity.group !== null) entity.slice = (entity.group as EevdfQueue).shortestSlice();
    this.place(entity, how);
    entity.queued = true;
    this.count++;
    this.count_(entity, 1);
    this.tree.add(entity);
  }

  /** A sleeper that has had more than its share stays until that is made up (DELAY_DEQUEUE). */
  dequeue(entity: Entity, how: Leave): boolean {
    if (how === 'sleep' && this.tunables.delayDequeue && !entity.delayed && !this.isEligible(entity)) {
      entity.delayed = true;
      if (entity === this.current) {
        this.tree.add(entity);
        this.current = null;
      }
      if (this.next === entity) this.next = null;
      return false;
    }
    if (entity === this.current) this.current = null;
    else this.tree.delete(entity);
    if (this.next === entity) this.next = null;
    this.rememberLag(entity);
    // DELAY_ZERO: sleeping does not earn anything.
    if (entity.delayed) entity.lag = Math.min(entity.lag, 0);
    entity.delayed = false;
    if (how === 'move') {
      entity.deadline -= entity.vruntime;
      entity.relative = true;
    }
    entity.queued = false;
    this.count--;
    this.count_(entity, -1);
    return true;
  }

  /** A delayed sleeper wakes up. */
  revive(entity: Entity): void {
    if (this.isEligible(entity)) {
      this.dequeue(entity, 'sleep');
      this.enqueue(entity, 'wake', 0);
    }
    entity.delayed = false;
  }

  charge(ran: Ns): void {
    const entity = this.current;
    if (entity === null) return;
    const passed = virtual(ran, entity.weight);
    entity.ran += ran;
    entity.vruntime += passed;
    this.sum += passed * entity.weight;
    if (Math.abs(this.sum) > SUM_MAX) this.moveZero();
    if (entity.vruntime < entity.deadline) return;
    entity.deadline = entity.vruntime + virtual(entity.slice, entity.weight);
    this.served = true;
  }

  tick(): boolean {
    const over = this.served && this.count > 1;
    this.served = false;
    return over;
  }

  preempts(wakee: Entity): boolean {
    const { current, tunables } = this;
    if (current === null) return true;
    if (current.kind === 'idle' && wakee.kind !== 'idle') return true;
    if (wakee.kind !== 'normal' || !tunables.wakeupPreemption) return false;
    if (tunables.preemptShort && wakee.slice < current.slice && this.isEligible(wakee)) {
      if (wakee.deadline < current.deadline || !this.isEligible(current)) current.protectedUntil = 0;
    }
    return this.choose(current) === wakee || this.tick();
  }

  put(): void {
    if (this.current !== null) this.tree.add(this.current);
  }

  /** The answer may be a delayed sleeper, which then leaves for good: the caller has to ask again. */
  pick(): Entity | null {
    const { current } = this;
    const chosen = this.choose(current);
    this.served = false;
    if (chosen === null) {
      this.current = null;
      return null;
    }
    this.tree.delete(chosen);
    if (this.next === chosen) this.next = null;
    if (chosen !== current) {
      chosen.ranAtPick = chosen.ran;
      this.protect(chosen);
    }
    this.current = chosen;
    return chosen;
  }

  yield(): void {
    const { current } = this;
    if (current === null) return;
    current.deadline += virtual(current.slice, current.weight);
    current.protectedUntil = 0;
  }

  /** Lag and the rest of the request are kept in time, so they change in virtual time. */
  reweight(entity: Entity, weight: number): void {
    if (weight === entity.weight) return;
    if (!entity.queued) {
      entity.lag = Math.round((entity.lag * entity.weight) / weight);
      if (entity.relative) entity.deadline = Math.round((entity.deadline * entity.weight) / weight);
      entity.weight = weight;
      return;
    }
    const inTree = entity !== this.current;
    if (inTree) this.tree.delete(entity);
    const average = this.average;
    const scale = (time: Ns): Ns => Math.round((time * entity.weight) / weight);
    const left = scale(entity.deadline - entity.vruntime);
    const guard = scale(entity.protectedUntil - entity.vruntime);
    this.count_(entity, -1);
    // V does not move when an entity changes its weight and keeps its lag.
    entity.vruntime = average - scale(average - entity.vruntime);
    entity.deadline = entity.vruntime + left;
    entity.protectedUntil = entity.vruntime + guard;
    entity.weight = weight;
    this.count_(entity, 1);
    if (inTree) this.tree.add(entity);
  }

  left(): Ns {
    const { current } = this;
    if (current === null || this.count < 2) return Infinity;
    const time = Math.ceil(((current.deadline - current.vruntime) * current.weight) / 1024);
    return Math.max(time, LEFT_MIN_NS);
  }

  /** Of all that are queued. */
  shortestSlice(): Ns {
    let slice = this.current?.slice ?? Infinity;
    for (const entity of this.tree) slice = Math.min(slice, entity.slice);
    return slice === Infinity ? this.tunables.slice : slice;
  }

  /** `current` is null, in the tree (during a pick) or outside of it (during a wake-up). */
  private choose(current: Entity | null): Entity | null {
    const holder = current?.queued === true && !current.delayed ? current : null;
    if (this.count === 1) return this.tree.head ?? holder;
    if (this.next !== null && this.isEligible(this.next)) return this.next;
    const able = holder !== null && this.isEligible(holder) ? holder : null;
    if (this.tunables.runToParity && able !== null && able.vruntime < able.protectedUntil) return able;
    const best = this.tree.find((entity) => this.isEligible(entity));
    if (able !== null && (best === null || able.deadline < best.deadline)) return able;
    // Rounding may leave nobody eligible for an instant.
    return best ?? this.tree.head ?? holder;
  }

  private protect(entity: Entity): void {
    const shortest = this.shortestSlice();
    const guard = entity.vruntime + virtual(Math.min(shortest, entity.slice), entity.weight);
    entity.protectedUntil = Math.min(entity.deadline, guard);
  }

  private place(entity: Entity, how: Entry): void {
    let { lag } = entity;
    if (this.count === 0 || how === 'new' || !this.tunables.placeLag) lag = 0;
    // Adding the entity moves V: undone beforehand.
    else if (lag !== 0) lag = Math.floor((lag * (this.load + entity.weight)) / this.load);
    entity.vruntime = this.average - lag;
    if (entity.relative) {
      entity.deadline += entity.vruntime;
      entity.relative = false;
      return;
    }
    const slice = virtual(entity.slice, entity.weight);
    // PLACE_DEADLINE_INITIAL: newcomers compete with others that are in the middle of their requests.
    entity.deadline = entity.vruntime + (how === 'new' ? Math.floor(slice / 2) : slice);
  }

  private rememberLag(entity: Entity): void {
    const limit = virtual(Math.max(2 * entity.slice, this.tunables.tick), entity.weight);
    entity.lag = Math.min(Math.max(this.average - entity.vruntime, 0 - limit), limit);
  }

  private count_(entity: Entity, sign: 1 | -1): void {
    if (this.load === 0 && sign === 1) this.zero = entity.vruntime;
    this.sum += sign * entity.weight * (entity.vruntime - this.zero);
    this.load += sign * entity.weight;
    if (this.load === 0) this.sum = 0;
  }

  private moveZero(): void {
    const shift = Math.trunc(this.sum / this.load);
    this.zero += shift;
    this.sum -= shift * this.load;
  }
}

/**
 * What the two fair policies of Linux have in common: entities with a weight and a virtual time, and a queue of them.
 * An entity is a thread, or all threads of a VM on one pCPU (a group); a group has a queue of its own.
 * Invariants: the one that runs (`current`) is not in the tree of its queue, but counts in `count` and `load`; every other
 * queued entity is in the tree; keys of members do not change while they are in the tree.
 * Virtual time: ns of running, times 1024 over the weight, rounded down; it is only compared inside one queue.
 */
import type { Ns } from '../../../core/units.ts';
import type { Task } from '../../scheduler.ts';
import { NICE_0 } from './weights.ts';

/** How an entity gets into a queue: it is new, woke up, or was only moved (balanced, released). */
export type Entry = 'new' | 'wake' | 'move';
/** How it leaves: it has nothing to do, or it is only moved. */
export type Leave = 'sleep' | 'move';

/** `time` of running as virtual time of an entity of that weight. */
export const virtual = (time: Ns, weight: number): Ns =>
  weight === NICE_0 ? time : Math.floor((time * NICE_0) / weight);

/** What a fair queue orders: a thread, or a group with a queue of its own. */
export class Entity {
  /** The thread; null for a group. */
  readonly task: Task | null;
  /** Threads of the class `idle` and `batch` do not preempt anybody. */
  readonly kind: 'normal' | 'batch' | 'idle';
  /** The queue of a group; null for a thread. */
  readonly group: FairQueue | null;
  weight: number;
  /** The queue it is in, or was in last; its virtual time counts there. */
  queue: FairQueue | null = null;
  queued = false;
  vruntime: Ns = 0;
  /** Running time since the start, and what it was when the entity was picked. */
  ran: Ns = 0;
  ranAtPick: Ns = 0;
  /** When it last left a pCPU, or fell asleep. */
  lastRan: Ns = 0;

  // Of EEVDF only.
  /** Virtual time at which its request should be served. */
  deadline: Ns = 0;
  /** Length of its requests. */
  slice: Ns = 0;
  /** V - v when it left its queue. */
  lag: Ns = 0;
  /** `deadline` is relative to `vruntime`, since it was moved. */
  relative = false;
  /** It sleeps, but stays in the queue until its lag is made up. */
  delayed = false;
  /** Keeps its pCPU until its virtual time is this. */
  protectedUntil: Ns = 0;

  constructor(task: Task | null, group: FairQueue | null, weight: number, kind: Entity['kind'] = 'normal') {
    this.task = task;
    this.group = group;
    this.weight = weight;
    this.kind = kind;
  }
}

/** The queue of a group on one pCPU: what cfs and eevdf have in common. */
export abstract class FairQueue {
  /** Who runs; during `pick` who ran up to now, if still queued. */
  current: Entity | null = null;
  /** Queued entities and their weight, the current one included. */
  count = 0;
  load = 0;
  /** To be preferred by the next pick, and to be avoided. */
  next: Entity | null = null;
  skip: Entity | null = null;
  /** The group that this queue is of; null for the queue of a pCPU. */
  owner: Entity | null = null;

  /** The virtual time of `entity`, which is no longer in another queue, is set, and it is queued. */
  abstract enqueue(entity: Entity, how: Entry, now: Ns): void;
  /** Takes it out. False: it stays for now, asleep (EEVDF). */
  abstract dequeue(entity: Entity, how: Leave): boolean;
  /** `current` has run for that long. */
  abstract charge(ran: Ns): void;
  /** Once per tick: is the time of the current entity over? */
  abstract tick(): boolean;
  /** Does `wakee`, just queued here, preempt the current one? */
  abstract preempts(wakee: Entity): boolean;
  /** Puts the current entity back into the tree; it stays `current` until `pick`. */
  abstract put(): void;
  /** Takes the next one out of the tree and makes it current; null when there is none. */
  abstract pick(): Entity | null;
  /** The current one gives way. */
  abstract yield(): void;
  abstract reweight(entity: Entity, weight: number): void;
  /** Running time that is left to the current one, if timers are exact (HRTICK). */
  abstract left(): Ns;
}

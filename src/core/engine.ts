/**
 * The discrete-event engine: a clock in integer nanoseconds and the events to come.
 * Invariants: `now` never decreases; events run in the order (time, order of scheduling); an event may schedule at the
 * present time, and that one runs after all others of the same time that were scheduled before.
 */
import { Bug } from './errors.ts';
import { EventQueue, type QueuedEvent } from './queue.ts';
import type { Ns } from './units.ts';

/** Names one scheduled event, to cancel it. */
export interface EventHandle {
  readonly time: Ns;
}

export class Engine {
  /** Time of the last event that ran, or of the end of the last `runUntil`. */
  now: Ns = 0;
  private readonly queue = new EventQueue();

  /** Schedules `action` at `time`, an integer not before `now`. */
  at(time: Ns, action: () => void): EventHandle {
    // Not Number.isSafeInteger: it costs as much as all the rest of this method.
    if (!(time >= this.now && Math.floor(time) === time && time <= Number.MAX_SAFE_INTEGER)) this.refuse(time);
    return this.queue.push(time, action);
  }

  private refuse(time: Ns): never {
    if (time < this.now) throw new Bug(`event at ${time} ns is before the present, ${this.now} ns`);
    throw new Bug(`event time ${time} ns is not an integer below 2^53`);
  }

  /** Takes an event back. Answers false when it ran or was cancelled before. */
  cancel(handle: EventHandle): boolean {
    return this.queue.cancel(handle as QueuedEvent);
  }

  /** Events that wait. */
  get pending(): number {
    return this.queue.size;
  }

  /** Time of the next event; Infinity when there is none. */
  peekTime(): Ns {
    return this.queue.peekTime();
  }

  /** Runs one event; answers false when there is none. */
  runNext(): boolean {
    const event = this.queue.pop();
    if (event === undefined) return false;
    const action = event.action!;
    event.action = null;
    this.now = event.time;
    action();
    return true;
  }

  /** Runs every event up to and including `time`; then it is `time`. */
  runUntil(time: Ns): void {
    if (!(time >= this.now)) throw new Bug(`cannot run back from ${this.now} ns to ${time} ns`);
    while (this.queue.peekTime() <= time) this.runNext();
    this.now = time;
  }

  /** Moves the clock, without running events: none may be due before `time`. */
  advanceTo(time: Ns): void {
    if (!(time >= this.now && this.queue.peekTime() >= time))
      throw new Bug(`cannot advance past an event to ${time} ns`);
    this.now = time;
  }
}

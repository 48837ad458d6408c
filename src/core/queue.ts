/**
 * Future-event list: a binary heap (tinyqueue) of events in the total order (time, sequence number).
 * Invariants: equal times leave in the order they came; a cancelled event never leaves; at most half of the heap
 * (beyond a small constant) is cancelled events, so cancelling for ever does not grow it.
 */
import TinyQueue from 'tinyqueue';
import type { Ns } from './units.ts';

/** One scheduled action. Handed out as the handle to cancel it with. */
export class QueuedEvent {
  readonly time: Ns;
  readonly seq: number;
  /** Null once it ran or was cancelled. */
  action: (() => void) | null;

  constructor(time: Ns, seq: number, action: () => void) {
    this.time = time;
    this.seq = seq;
    this.action = action;
  }
}

/** Total order: no two events share a sequence number. */
export const byTimeThenSeq = (a: QueuedEvent, b: QueuedEvent): number => a.time - b.time || a.seq - b.seq;

/** Below this many cancelled events the heap is not worth cleaning. */
const CANCELLED_MIN = 64;

export class EventQueue {
  private heap = new TinyQueue<QueuedEvent>([], byTimeThenSeq);
  private nextSeq = 0;
  private cancelled = 0;

  /** Events that will still run. */
  get size(): number {
    return this.heap.length - this.cancelled;
  }

  /** Slots in use, cancelled events included. */
  get slots(): number {
    return this.heap.length;
  }

  push(time: Ns, action: () => void): QueuedEvent {
    const event = new QueuedEvent(time, this.nextSeq++, action);
    this.heap.push(event);
    return event;
  }

  /** Time of the first event; Infinity when there is none. */
  peekTime(): Ns {
    let first = this.heap.peek();
    if (this.cancelled === 0) return first === undefined ? Infinity : first.time;
    while (first !== undefined && first.action === null) {
      this.heap.pop();
      this.cancelled--;
      first = this.heap.peek();
    }
    return first === undefined ? Infinity : first.time;
  }

  /** Takes the first event out; undefined when there is none. */
  pop(): QueuedEvent | undefined {
    let first = this.heap.pop();
    while (first !== undefined && first.action === null) {
      this.cancelled--;
      first = this.heap.pop();
    }
    return first;
  }

  /** Answers false when the event ran or was cancelled before. */
  cancel(event: QueuedEvent): boolean {
    if (event.action === null) return false;
    event.action = null;
    this.cancelled++;
    if (this.cancelled > CANCELLED_MIN && this.cancelled * 2 > this.heap.length) this.sweep();
    return true;
  }

  private sweep(): void {
    const live = this.heap.data.filter((event) => event.action !== null);
    this.heap = new TinyQueue(live, byTimeThenSeq);
    this.cancelled = 0;
  }
}

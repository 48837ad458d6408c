/**
 * A run queue in an order of its own: by deadline, credit, virtual time.
 * Invariants: sorted by the given order, first in first out among equals; the keys of members do not change while they
 * are in it. Insertion is a binary search in an array, which for queues of thousands is faster than a tree.
 */
import { assert } from '../core/errors.ts';

/** A queue by a total order, with removal from anywhere. */
export class OrderedQueue<T> {
  private readonly items: T[] = [];
  private readonly compare: (a: T, b: T) => number;

  /** @param compare negative when `a` goes first; 0 for equals, which keep the order of their arrival */
  constructor(compare: (a: T, b: T) => number) {
    this.compare = compare;
  }

  get size(): number {
    return this.items.length;
  }

  /** The one that goes first; null when empty. */
  get head(): T | null {
    return this.items[0] ?? null;
  }

  /** Behind its equals. */
  add(item: T): void {
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compare(this.items[middle], item) <= 0) low = middle + 1;
      else high = middle;
    }
    this.items.splice(low, 0, item);
  }

  /** It must be a member. */
  delete(item: T): void {
    const at = this.items.indexOf(item);
    assert(at >= 0, 'a run queue was asked for what is not in it');
    this.items.splice(at, 1);
  }

  has(item: T): boolean {
    return this.items.includes(item);
  }

  /** Takes out the first; null when empty. */
  shift(): T | null {
    return this.items.shift() ?? null;
  }

  /** The first that `fits`; null when none does. */
  find(fits: (item: T) => boolean): T | null {
    return this.items.find(fits) ?? null;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.items[Symbol.iterator]();
  }
}

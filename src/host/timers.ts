/**
 * The timers of a policy: at most one time per small integer id.
 * Invariant: `nextTime` is the smallest armed time (Infinity when none), `nextId` the lowest id that has it. Arming costs
 * the logarithm of the number of ids: an indexed binary heap.
 */
import { assert } from '../core/errors.ts';
import type { Ns } from '../core/units.ts';

const ID_MAX = 1_048_575;

export class Timers {
  private readonly times: Ns[] = [];
  /** Armed ids as a heap, and the place of each id in it; -1 for none. */
  private readonly heap: number[] = [];
  private readonly places: number[] = [];

  get nextTime(): Ns {
    return this.heap.length === 0 ? Infinity : this.times[this.heap[0]];
  }

  get nextId(): number {
    return this.heap.length === 0 ? -1 : this.heap[0];
  }

  arm(id: number, at: Ns): void {
    assert(Number.isInteger(id) && id >= 0 && id <= ID_MAX, `timer ids are integers from 0 to ${ID_MAX}`);
    assert(Number.isSafeInteger(at), 'a timer needs an integer time');
    while (this.times.length <= id) {
      this.times.push(Infinity);
      this.places.push(-1);
    }
    const before = this.times[id];
    this.times[id] = at;
    if (this.places[id] < 0) {
      this.places[id] = this.heap.length;
      this.heap.push(id);
      this.rise(id);
    } else if (at < before) this.rise(id);
    else this.sink(id);
  }

  disarm(id: number): void {
    const place = this.places[id] ?? -1;
    if (place < 0) return;
    this.places[id] = -1;
    this.times[id] = Infinity;
    const last = this.heap.pop()!;
    if (last === id) return;
    this.put(last, place);
    this.rise(last);
    this.sink(last);
  }

  private before(a: number, b: number): boolean {
    return this.times[a] < this.times[b] || (this.times[a] === this.times[b] && a < b);
  }

  private put(id: number, place: number): void {
    this.heap[place] = id;
    this.places[id] = place;
  }

  private rise(id: number): void {
    let place = this.places[id];
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.before(id, this.heap[parent])) break;
      this.put(this.heap[parent], place);
      place = parent;
    }
    this.put(id, place);
  }

  private sink(id: number): void {
    let place = this.places[id];
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.heap.length) break;
      if (child + 1 < this.heap.length && this.before(this.heap[child + 1], this.heap[child])) child++;
      if (!this.before(this.heap[child], id)) break;
      this.put(this.heap[child], place);
      place = child;
    }
    this.put(id, place);
  }
}

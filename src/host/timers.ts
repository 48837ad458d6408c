/**
 * The timers of a policy: at most one time per small integer id.
 * Invariant: `nextTime` is the smallest armed time (Infinity when none), `nextId` the lowest id that has it.
 */
import { assert } from '../core/errors.ts';
import type { Ns } from '../core/units.ts';

const ID_MAX = 65_535;

export class Timers {
  nextTime: Ns = Infinity;
  nextId = -1;
  private readonly times: Ns[] = [];

  arm(id: number, at: Ns): void {
    assert(Number.isInteger(id) && id >= 0 && id <= ID_MAX, `timer ids are integers from 0 to ${ID_MAX}`);
    assert(Number.isSafeInteger(at), 'a timer needs an integer time');
    while (this.times.length <= id) this.times.push(Infinity);
    this.times[id] = at;
    if (id === this.nextId) this.findNext();
    else if (at < this.nextTime || (at === this.nextTime && id < this.nextId)) {
      this.nextTime = at;
      this.nextId = id;
    }
  }

  disarm(id: number): void {
    if (id >= this.times.length) return;
    this.times[id] = Infinity;
    if (id === this.nextId) this.findNext();
  }

  private findNext(): void {
    this.nextTime = Infinity;
    this.nextId = -1;
    for (let id = 0; id < this.times.length; id++) {
      if (this.times[id] < this.nextTime) {
        this.nextTime = this.times[id];
        this.nextId = id;
      }
    }
  }
}

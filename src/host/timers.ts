/**
 * The timers of a policy: at most one time per small integer id.
 * Invariant: `nextTime` is the smallest armed time (Infinity when none), `nextId` the lowest id that has it. Arming costs
 * the logarithm of the number of ids at most.
 */
import { assert } from '../core/errors.ts';
import type { Ns } from '../core/units.ts';
import { Tournament } from './tournament.ts';

const ID_MAX = 1_048_575;

export class Timers {
  private readonly times = new Tournament(1);

  get nextTime(): Ns {
    return this.times.key;
  }

  get nextId(): number {
    return this.times.key === Infinity ? -1 : this.times.id;
  }

  arm(id: number, at: Ns): void {
    assert(id >= 0 && id <= ID_MAX && Math.floor(id) === id, `timer ids are integers from 0 to ${ID_MAX}`);
    assert(Math.floor(at) === at && at <= Number.MAX_SAFE_INTEGER, 'a timer needs an integer time');
    if (id >= this.times.size) this.times.grow(id + 1);
    this.times.set(id, at);
  }

  disarm(id: number): void {
    if (id < this.times.size) this.times.set(id, Infinity);
  }
}

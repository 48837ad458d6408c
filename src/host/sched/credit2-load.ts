/**
 * How credit2 sees load: an exponentially weighted average of a number of runnable units, in fixed point.
 * Over dt the average moves by dt (load - average) / window; after a whole window without a change it is the load.
 * Source: the rules of xen/common/sched/credit2.c (facts only; own code). Divisions round down, as shifts do.
 */
import type { Ns } from '../../core/units.ts';

/** One runnable unit. */
export const LOAD_ONE = 2 ** 18;
/** Time is counted in steps of 2^10 ns. */
const GRANULE_SHIFT = 10;

export class LoadAverage {
  average: number;
  /** Now runnable. */
  load = 0;
  private updatedAt: number;
  private readonly windowGranules: number;

  /** @param windowShift the window is 2^windowShift ns */
  constructor(windowShift: number, average: number, now: Ns) {
    this.windowGranules = 2 ** (windowShift - GRANULE_SHIFT);
    this.average = average;
    this.updatedAt = granules(now);
  }

  /** Brings the average up to `now`, then changes the load. */
  update(now: Ns, change: number): void {
    const at = granules(now);
    const passed = at - this.updatedAt;
    const target = this.load * LOAD_ONE;
    if (passed >= this.windowGranules) this.average = target;
    else {
      const { windowGranules: window } = this;
      this.average += Math.floor((passed * target) / window) - Math.floor((passed * this.average) / window);
    }
    this.updatedAt = at;
    this.load += change;
  }
}

function granules(now: Ns): number {
  return Math.floor(now / 2 ** GRANULE_SHIFT);
}

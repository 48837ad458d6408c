/**
 * The clock of one physical CPU: an integer cycle counter, and the time in nanoseconds that it stands for.
 * Invariant: now = floor(cycles x 10^9 / hz), exact for ever: the fraction of a nanosecond is carried, never rounded away.
 * All intermediate products stay below 2^53, which holds for every frequency up to `HZ_MAX`.
 */
import { assert } from './errors.ts';
import { type Cycles, type Hz, NS_PER_SECOND, type Ns } from './units.ts';

/** Highest frequency for which the split products below stay exact: 2^35 Hz, about 34 GHz. */
export const HZ_MAX: Hz = 2 ** 35;

/** Products are split at this many low units, so that each half times 10^9 or `HZ_MAX` is below 2^53. */
const SPLIT = 2 ** 17;

/** Greatest common divisor of two positive integers. */
export function gcd(a: number, b: number): number {
  let x = a;
  let y = b;
  while (y !== 0) [x, y] = [y, x % y];
  return x;
}

export class CpuClock {
  readonly hz: Hz;
  /** Cycles since the start of the run. Only `advance` and `advanceTo` move it. */
  cycles: Cycles = 0;

  // One cycle is nsPart / cyclePart nanoseconds, in lowest terms.
  private readonly nsPart: number;
  private readonly cyclePart: number;
  // Time is counted from a base that follows the counter: at baseCycles it was baseNs + fraction / cyclePart.
  private baseCycles: Cycles = 0;
  private baseNs: Ns = 0;
  private fraction = 0;
  private spanFraction = 0;
  private readonly pendingMax: Cycles;

  constructor(hz: Hz) {
    assert(Number.isInteger(hz) && hz > 0 && hz <= HZ_MAX, `a CPU frequency must be an integer from 1 to ${HZ_MAX} Hz`);
    this.hz = hz;
    const divisor = gcd(NS_PER_SECOND, hz);
    this.nsPart = NS_PER_SECOND / divisor;
    this.cyclePart = hz / divisor;
    this.pendingMax = Math.floor((Number.MAX_SAFE_INTEGER - this.cyclePart) / this.nsPart);
  }

  /** Local time, rounded down to a nanosecond. */
  get now(): Ns {
    if (this.cycles - this.baseCycles > this.pendingMax) this.rebase();
    return this.baseNs + Math.floor(((this.cycles - this.baseCycles) * this.nsPart + this.fraction) / this.cyclePart);
  }

  /** The CPU spent `cycles` more. */
  advance(cycles: Cycles): void {
    const total = this.cycles + cycles;
    // Not Number.isSafeInteger: that is a call, and this is the busiest line of the dispatcher.
    assert(
      cycles >= 0 && Math.floor(cycles) === cycles && total <= Number.MAX_SAFE_INTEGER,
      'a clock counts whole cycles',
    );
    this.cycles = total;
  }

  /** The smallest number of cycles after which `now >= time`; 0 when it is reached already. */
  cyclesUntil(time: Ns): Cycles {
    assert(Math.floor(time) === time && time <= Number.MAX_SAFE_INTEGER, 'a time must be an integer');
    this.rebase();
    const distance = time - this.baseNs;
    return distance <= 0 ? 0 : this.spanCycles(distance, this.fraction);
  }

  /** `now` after that many cycles more; Infinity for an infinite number. */
  timeAfter(cycles: Cycles): Ns {
    if (cycles === Infinity) return Infinity;
    this.rebase();
    return this.baseNs + this.spanNs(cycles);
  }

  /** Cycles that a span of `duration` takes, rounded up. */
  cyclesIn(duration: Ns): Cycles {
    assert(duration >= 0 && Number.isSafeInteger(duration), 'a duration must be a non-negative integer');
    return this.spanCycles(duration, 0);
  }

  /** Moves to the first cycle at which `now >= time` (never back) and answers the cycles that took. */
  advanceTo(time: Ns): Cycles {
    const cycles = this.cyclesUntil(time);
    this.advance(cycles);
    return cycles;
  }

  /** Moves the base to the present cycle without losing the fraction. */
  private rebase(): void {
    const pending = this.cycles - this.baseCycles;
    if (pending === 0) return;
    this.baseNs += this.spanNs(pending);
    this.fraction = this.spanFraction;
    this.baseCycles = this.cycles;
  }

  /** floor((cycles x nsPart + fraction) / cyclePart), with the product split in three; the remainder is in `spanFraction`. */
  private spanNs(cycles: Cycles): Ns {
    const whole = Math.floor(cycles / this.cyclePart);
    const rest = cycles % this.cyclePart;
    const high = Math.floor(rest / SPLIT) * this.nsPart;
    const low = (high % this.cyclePart) * SPLIT + (rest % SPLIT) * this.nsPart + this.fraction;
    this.spanFraction = low % this.cyclePart;
    return whole * this.nsPart + Math.floor(high / this.cyclePart) * SPLIT + Math.floor(low / this.cyclePart);
  }

  /** ceil((duration x cyclePart - fraction) / nsPart), with the product split in three. */
  private spanCycles(duration: Ns, fraction: number): Cycles {
    const whole = Math.floor(duration / this.nsPart);
    const rest = duration % this.nsPart;
    const high = Math.floor(rest / SPLIT) * this.cyclePart;
    const low = (high % this.nsPart) * SPLIT + (rest % SPLIT) * this.cyclePart - fraction;
    return whole * this.cyclePart + Math.floor(high / this.nsPart) * SPLIT + Math.ceil(low / this.nsPart);
  }
}

/**
 * `cpu.max`: a group runs at most `quota` per wall-clock `period`, over all pCPUs together.
 * A pCPU takes running time from the group's pool in slices; when its own is used up and the pool is empty, the group
 * leaves that pCPU until the pool is filled again. Overruns are paid back; what is left of a slice does not expire.
 * Invariants: 0 <= pool <= quota + burst; a queue is in `waiting` exactly while it is throttled.
 * Source: kernel documentation of CFS bandwidth control, fair.c (facts only; own code).
 */
import { NS_PER_MS, type Ns } from '../../../core/units.ts';
import type { Throttling } from '../../scheduler.ts';

/** Left on a pCPU when its last thread sleeps; the rest goes back to the pool. */
const KEPT_NS: Ns = NS_PER_MS;
/** When returned time is handed to throttled pCPUs, and how shortly before a refill that is not worth it. */
const SLACK_NS: Ns = 5 * NS_PER_MS;
const REFILL_NEAR_NS: Ns = 2 * NS_PER_MS;

/** The group on one pCPU. */
export interface Meter {
  readonly pcpu: number;
  /** Running time that may still be used here; an overrun is negative. */
  remaining: Ns;
  throttled: boolean;
  throttledAt: Ns;
}

/** What the scheduler does for it. */
export interface BandwidthHost<M extends Meter> {
  throttle(meter: M): void;
  unthrottle(meter: M): void;
  /** `refill` is to be called at that time, `handOut` at that. */
  armRefill(at: Ns): void;
  armHandOut(at: Ns): void;
}

export class Bandwidth<M extends Meter> implements Throttling {
  quota: Ns = 0;
  period: Ns = 0;
  burst: Ns = 0;
  periods = 0;
  throttledPeriods = 0;
  throttledNs: Ns = 0;
  bursts = 0;
  burstNs: Ns = 0;
  private readonly slice: Ns;
  private readonly host: BandwidthHost<M>;
  private pool: Ns = 0;
  /** What was in the pool after the last refill. */
  private refilledTo: Ns = 0;
  private readonly waiting: M[] = [];
  private active = false;
  private refillAt: Ns = -1;
  private used = false;
  private handingOut = false;

  constructor(slice: Ns, host: BandwidthHost<M>) {
    this.slice = slice;
    this.host = host;
  }

  get limited(): boolean {
    return this.quota > 0;
  }

  /** New limits; quota 0 for none. Everything begins anew, with nobody throttled. False: they are those in force. */
  limit(quota: Ns, period: Ns, burst: Ns, meters: readonly (M | undefined)[], now: Ns): boolean {
    if (quota === this.quota && period === this.period && burst === this.burst) return false;
    this.quota = quota;
    this.period = period;
    this.burst = burst;
    this.pool = quota;
    this.refilledTo = quota;
    for (const meter of meters) if (meter !== undefined) meter.remaining = 0;
    for (const meter of this.waiting.splice(0)) this.letGo(meter, now);
    return true;
  }

  /** The group ran that long on a pCPU (0: it is about to start there). Throttles it if it must not go on. */
  account(meter: M, ran: Ns, now: Ns): void {
    if (!this.limited) return;
    meter.remaining -= ran;
    if (meter.remaining > 0 || meter.throttled) return;
    this.start(now);
    const amount = Math.min(this.slice - meter.remaining, this.pool);
    this.pool -= amount;
    meter.remaining += amount;
    this.used = true;
    if (meter.remaining > 0) return;
    meter.throttled = true;
    meter.throttledAt = now;
    this.waiting.push(meter);
    this.host.throttle(meter);
  }

  /** Nobody of the group is left on that pCPU. */
  idle(meter: M, now: Ns): void {
    if (!this.limited || meter.throttled) return;
    const slack = meter.remaining - KEPT_NS;
    if (slack <= 0) return;
    meter.remaining -= slack;
    this.pool = Math.min(this.pool + slack, this.quota + this.burst);
    if (this.waiting.length === 0 || this.handingOut || this.refillAt - now < SLACK_NS + REFILL_NEAR_NS) return;
    this.handingOut = true;
    this.host.armHandOut(now + SLACK_NS);
  }

  /** The period is over. */
  refill(now: Ns): void {
    if (this.limited) this.count();
    this.pool = Math.min(this.pool + this.quota, this.quota + this.burst);
    this.refilledTo = this.pool;
    const throttled = this.waiting.length > 0;
    if (!this.limited || (!this.used && !throttled)) {
      this.active = false;
      return;
    }
    // A period in which somebody was throttled is never the last one.
    this.used = throttled;
    this.refillAt = now + this.period;
    this.host.armRefill(this.refillAt);
    this.distribute(now);
  }

  private count(): void {
    this.periods++;
    if (this.waiting.length > 0) this.throttledPeriods++;
    const beyond = this.refilledTo - this.pool - this.quota;
    if (beyond <= 0) return;
    this.bursts++;
    this.burstNs += beyond;
  }

  /** What pCPUs have returned goes to those that wait. */
  handOut(now: Ns): void {
    this.handingOut = false;
    if (this.limited) this.distribute(now);
  }

  private start(now: Ns): void {
    if (this.active) return;
    this.active = true;
    // Periods keep their phase over idle times.
    const missed = Math.max(Math.floor((now - this.refillAt) / this.period) + 1, 1);
    this.refillAt = this.refillAt < 0 ? now + this.period : this.refillAt + missed * this.period;
    this.host.armRefill(this.refillAt);
  }

  /** In the order in which they were throttled: what they have overrun, and 1 ns. */
  private distribute(now: Ns): void {
    while (this.pool > 0 && this.waiting.length > 0) {
      const meter = this.waiting[0];
      const amount = Math.min(1 - meter.remaining, this.pool);
      this.pool -= amount;
      meter.remaining += amount;
      if (meter.remaining <= 0) return;
      this.waiting.shift();
      this.letGo(meter, now);
    }
  }

  private letGo(meter: M, now: Ns): void {
    meter.throttled = false;
    this.throttledNs += now - meter.throttledAt;
    this.host.unthrottle(meter);
  }
}

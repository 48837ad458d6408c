/**
 * Halt polling, as KVM does it: a vCPU that halts keeps its pCPU for a while, in case that it is woken at once. It wraps any
 * Runnable, under any policy. The window h adapts to how long the vCPU blocks:
 *   b <= h             keep it (the poll has paid off)
 *   h > 0 and b > max  shrink it, also after a wake-up for nothing
 *   h and b < max      grow it: 0, grow_start, x grow, ... up to max
 * Invariants: cycles of polling go to the VMM's account of the vCPU; nobody waits for the pCPU while it polls, or the poll ends
 * at its next window; a wake-up during a poll takes effect at the next window (an engine event ends the window itself).
 * Source: documentation of KVM's halt polling, and virt/kvm/kvm_main.c (facts only). A wake-up after which the vCPU blocks
 * without having run counts as one for nothing (our reconstruction).
 */
import { ACCOUNT_VMM, type Pcpu, type Runnable, type RunnableHost, type RunStop } from '../core/runnable.ts';
import type { Cycles, Ns } from '../core/units.ts';
import { type ParamSet, type Params, parseParams, type ValuesOf } from './params.ts';

export const haltPollingParams = {
  halt_poll_ns: {
    kind: 'integer',
    min: 0,
    max: 1_000_000_000,
    default: 200_000,
    meaning: 'longest poll; 0 for none (500000 and 80000 are the defaults on other architectures)',
  },
  grow: { kind: 'integer', min: 0, max: 1000, default: 2, meaning: 'the window grows by this factor; 0: not at all' },
  grow_start_ns: { kind: 'integer', min: 1, max: 1_000_000_000, default: 10_000, meaning: 'first window above 0' },
  shrink: {
    kind: 'integer',
    min: 0,
    max: 1000,
    default: 0,
    meaning: 'the window shrinks by this factor, to 0 below grow_start_ns; 0: to 0 at once',
  },
} as const satisfies ParamSet;

/** How often a poll looks whether somebody waits for the pCPU (our choice; in the kernel a turn of the loop). */
const LOOK_NS: Ns = 10_000;

export type HaltPollingSettings = ValuesOf<typeof haltPollingParams>;

/** The window after a block of `blocked`, or after an invalid wake-up. */
export function nextWindow(settings: HaltPollingSettings, window: Ns, blocked: Ns, valid = true): Ns {
  const { halt_poll_ns: max, grow, grow_start_ns: start, shrink } = settings;
  const smaller = shrink === 0 ? 0 : Math.floor(window / shrink);
  const shrunk = smaller < start ? 0 : smaller;
  if (!valid) return shrunk;
  if (blocked <= window) return window;
  if (window > 0 && blocked > max) return shrunk;
  if (window >= max || blocked >= max || grow === 0) return window;
  return Math.min(Math.max(window * grow, start), max);
}

/** A vCPU that polls before it blocks. */
export class HaltPolling implements Runnable {
  /** The present window. */
  window: Ns = 0;
  /** Blocks that began with a poll; those that were woken during it; wake-ups for nothing. */
  attempted = 0;
  successful = 0;
  invalid = 0;
  /** Time of polls that were woken, and of those that were in vain. */
  successNs: Ns = 0;
  failNs: Ns = 0;
  /** There if and only if the inner one is foreseeable. */
  readonly cyclesToStop?: (pcpu: Pcpu) => Cycles;

  private readonly inner: Runnable;
  private readonly settings: HaltPollingSettings;
  private readonly waits: (pcpu: Pcpu) => boolean;
  private phase: 'run' | 'poll' | 'sleep' = 'run';
  private blockedAt: Ns = 0;
  private woken = false;
  /** It was woken and has not run since. */
  private fresh = false;

  /** @param waits does another task wait for this pCPU? */
  constructor(inner: Runnable, params: Params, waits: (pcpu: Pcpu) => boolean) {
    this.inner = inner;
    this.settings = parseParams('halt polling', haltPollingParams, params);
    this.waits = waits;
    if (inner.cyclesToStop !== undefined) this.cyclesToStop = (pcpu) => this.foresee(pcpu);
  }

  get doing(): number {
    return this.inner.doing ?? 0;
  }

  get spun(): Cycles {
    return this.inner.spun ?? 0;
  }

  onAttach(host: RunnableHost): void {
    this.inner.onAttach(host);
  }

  onWake(): void {
    this.woken = true;
    this.inner.onWake?.();
  }

  onDispatch(pcpu: Pcpu): void {
    this.inner.onDispatch(pcpu);
  }

  onDeschedule(pcpu: Pcpu): void {
    this.inner.onDeschedule(pcpu);
  }

  run(pcpu: Pcpu, budget: Cycles): RunStop {
    const start = pcpu.clock.cycles;
    const end = start + budget;
    if (this.phase === 'sleep') this.wakeUp(pcpu);
    for (;;) {
      if (this.phase === 'poll') {
        const stop = this.poll(pcpu, end);
        if (stop !== null) return stop;
      }
      const before = pcpu.clock.cycles;
      // The budget of a foreseeable Runnable may be 0; nobody else is run without one.
      const left = Math.max(end - before, 0);
      if (left === 0 && budget > 0) return 'budget';
      this.woken = false;
      const stop = this.inner.run(pcpu, left);
      const idle = pcpu.clock.cycles === before;
      if (stop !== 'block') {
        if (!idle) this.fresh = false;
        return stop;
      }
      // Woken while it was stopping: it goes on.
      if (this.woken) continue;
      if (this.fresh && idle) {
        this.invalid++;
        this.window = nextWindow(this.settings, this.window, 0, false);
      }
      this.fresh = false;
      this.blockedAt = pcpu.clock.now;
      if (this.window === 0 || this.waits(pcpu)) {
        this.phase = 'sleep';
        return 'block';
      }
      this.phase = 'poll';
      this.attempted++;
      // What wakes it may have been set up just now: the budget has to be reckoned anew.
      if (pcpu.clock.cycles === start && budget > 0) pcpu.spend(ACCOUNT_VMM, 1);
      return 'budget';
    }
  }

  /** Spins until `end`. Null: it was woken, and goes on. */
  private poll(pcpu: Pcpu, end: Cycles): RunStop | null {
    const until = this.blockedAt + this.window;
    if (this.woken) {
      this.successful++;
      this.successNs += pcpu.clock.now - this.blockedAt;
      this.wakeUp(pcpu);
      return null;
    }
    if (pcpu.clock.now < until && !this.waits(pcpu)) {
      const cycles = Math.min(pcpu.clock.cyclesUntil(until), Math.max(end - pcpu.clock.cycles, 0));
      if (cycles > 0) pcpu.spend(ACCOUNT_VMM, cycles);
      if (pcpu.clock.now < until) return 'budget';
    }
    this.failNs += pcpu.clock.now - this.blockedAt;
    this.phase = 'sleep';
    return 'block';
  }

  private wakeUp(pcpu: Pcpu): void {
    this.phase = 'run';
    this.fresh = true;
    this.window = nextWindow(this.settings, this.window, pcpu.clock.now - this.blockedAt);
  }

  private foresee(pcpu: Pcpu): Cycles {
    if (this.phase === 'sleep') return 0;
    if (this.phase === 'run') return this.inner.cyclesToStop!(pcpu);
    if (this.woken) return 0;
    return pcpu.clock.cyclesUntil(Math.min(this.blockedAt + this.window, pcpu.clock.now + LOOK_NS));
  }
}

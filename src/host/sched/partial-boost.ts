/**
 * Task-aware partial boosting: the hypervisor watches the address spaces of a guest and learns which of its processes are
 * bound by I/O; an event for such a process boosts the vCPU, until another process runs.
 *   learn     a burst is the time one address space runs at a stretch; short bursts after an event raise the confidence that
 *             its process is bound by I/O, long ones lower it
 *   guess     the process that most often ran first after an event is the one the next event is for
 *   boost     if that one is bound by I/O: before all others, until the guest runs a process that is not, or for a while
 * Invariant: what is used while boosted is charged as any other time, so shares do not change.
 * Source: Kim, Lim, Jo, Lee, "Task-aware virtual machine scheduling for I/O performance", VEE 2009 (abstract): our reconstruction.
 */
import type { GuestSignal } from '../../core/runnable.ts';
import { NS_PER_MS, NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { definePolicy, type SchedulerHost, STATE_BLOCKED, type Task, type WakeReason } from '../scheduler.ts';
import { BOUND_PERIODS, ShareScheduler, ShareUnit, type VmShare } from '../share-scheduler.ts';

const params = {
  slice_ms: { kind: 'integer', min: 1, max: 1000, default: 30, meaning: 'slice, and period of the accounting' },
  io_burst_us: {
    kind: 'integer',
    min: 10,
    max: 1_000_000,
    default: 10_000,
    meaning: 'longest burst that suggests I/O',
  },
  confidence: {
    kind: 'integer',
    min: 1,
    max: 100,
    default: 2,
    meaning: 'short bursts needed to believe it (our choice)',
  },
  boost_us: { kind: 'integer', min: 10, max: 1_000_000, default: 10_000, meaning: 'longest boost (our choice)' },
} as const satisfies ParamSet;

const BOOST = -1;
/** Confidence does not grow beyond that many times the one needed, so that it can be lost again; our choice. */
const CONFIDENCE_SPAN = 4;

/** What is known of a guest process. */
interface Guess {
  confidence: number;
  /** How often it ran first after an event. */
  answers: number;
}

class BoostUnit extends ShareUnit {
  readonly guesses = new Map<number, Guess>();
  /** The address space that runs, and how long it has run at a stretch. */
  space = 0;
  burst: Ns = 0;
  /** An event came and no process has run since. */
  event = false;
  /** The burst that runs was the first after an event. */
  answering = false;
  boosted = false;
}

class PartialBoost extends ShareScheduler<BoostUnit> {
  private readonly params: ValuesOf<typeof params>;
  private readonly slice: Ns;

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    const slice = settings.slice_ms * NS_PER_MS;
    super(host, { period: slice, bound: BOUND_PERIODS * slice });
    this.params = settings;
    this.slice = slice;
  }

  protected override makeShareUnit(task: Task, owner: VmShare): BoostUnit {
    return new BoostUnit(task, owner);
  }

  protected override rankOf(unit: BoostUnit): number {
    return unit.boosted ? BOOST : super.rankOf(unit);
  }

  protected override sliceOf(unit: BoostUnit): Ns {
    return unit.boosted ? Math.min(this.params.boost_us * NS_PER_US, this.slice) : this.slice;
  }

  protected override burn(unit: BoostUnit, ran: Ns): void {
    unit.burst += ran;
    super.burn(unit, ran);
  }

  protected override woken(unit: BoostUnit, now: Ns, reason: WakeReason): void {
    if (reason === 'wake') this.arrived(unit);
    super.woken(unit, now, reason);
  }

  /** An event came for a vCPU that waits for a pCPU, because another of its processes computes. */
  event(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    this.arrived(unit);
    if (!unit.boosted || !unit.queued || unit.rank === BOOST) return;
    this.dequeue(unit);
    unit.rank = BOOST;
    this.place(unit, now);
  }

  private arrived(unit: BoostUnit): void {
    unit.event = true;
    const guess = this.likely(unit);
    if (guess === null || guess.confidence < this.params.confidence) return;
    unit.boosted = true;
    this.host.note('boost', unit.task, unit.home);
  }

  /** The process that the event is for, as it seems; the first one seen at equal counts. */
  private likely(unit: BoostUnit): Guess | null {
    let best: Guess | null = null;
    for (const guess of unit.guesses.values()) if (guess.answers > (best?.answers ?? 0)) best = guess;
    return best;
  }

  readonly heeds = ['address-space'] as const;

  signal(task: Task, _now: Ns, signal: GuestSignal): void {
    if (signal.kind !== 'address-space') return;
    const unit = this.units[task.id];
    this.host.settle(task.pcpu);
    this.learn(unit);
    unit.space = signal.id;
    unit.burst = 0;
    const guess = this.guessOf(unit);
    unit.answering = unit.event;
    if (unit.event) guess.answers++;
    unit.event = false;
    if (!unit.boosted || guess.confidence >= this.params.confidence) return;
    // Partial: what follows is not what the event was for.
    unit.boosted = false;
    unit.rank = this.rankOf(unit);
    if (unit.running) {
      unit.sliceLeft = 0;
      this.host.resched(task.pcpu);
    }
  }

  override sleep(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    super.sleep(task, now);
    if (task.state !== STATE_BLOCKED) return;
    this.learn(unit);
    unit.burst = 0;
    unit.boosted = false;
  }

  protected override stopping(unit: BoostUnit): void {
    unit.boosted = false;
    unit.rank = this.rankOf(unit);
  }

  private learn(unit: BoostUnit): void {
    const guess = this.guessOf(unit);
    const long = unit.burst > this.params.io_burst_us * NS_PER_US;
    const most = this.params.confidence * CONFIDENCE_SPAN;
    if (long) guess.confidence = Math.max(guess.confidence - this.params.confidence, 0);
    else if (unit.answering) guess.confidence = Math.min(guess.confidence + 1, most);
    unit.answering = false;
  }

  private guessOf(unit: BoostUnit): Guess {
    let guess = unit.guesses.get(unit.space);
    if (guess === undefined) {
      guess = { confidence: 0, answers: 0 };
      unit.guesses.set(unit.space, guess);
    }
    return guess;
  }
}

export const partialBoost = definePolicy({
  name: 'partial-boost',
  summary: 'credits; an event for a guest process bound by I/O boosts its vCPU until another process runs',
  origin: 'Kim et al., VEE 2009',
  basis: 'our reconstruction',
  traits: { weights: {}, caps: {} },
  params,
  make: (host, settings) => new PartialBoost(host, settings),
});

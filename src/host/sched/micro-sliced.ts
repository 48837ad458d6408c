/**
 * Micro-sliced pCPUs, in two forms.
 *   uniform   all slices are short (Ahn et al., MICRO 2014)
 *   pool      slices are long, but a few pCPUs are micro-sliced: when a vCPU is caught spinning or sends an inter-processor
 *             interrupt and waits, siblings that were preempted inside a critical service of their kernel run there for one
 *             micro slice and return to their queue, at most once per period (Ahn et al., EuroSys 2018)
 * Invariants: the pool is empty as long as nobody spins; a micro-sliced pCPU without such vCPUs runs others, in micro slices,
 * so the policy conserves work; the time is charged as any other.
 * Source: abstracts of both papers; growth and shrinking of the pool are our reconstruction. What a vCPU does is asked of the
 * vCPU (task.doing), where the paper compares its instruction pointer with the symbols of the kernel.
 */
import { DOING_KERNEL, DOING_LOCKED, DOING_NEXT, type GuestSignal } from '../../core/runnable.ts';
import { NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { definePolicy, type SchedulerHost, STATE_READY, type Task } from '../scheduler.ts';
import { BOUND_PERIODS, ShareScheduler, ShareUnit, type VmShare } from '../share-scheduler.ts';

const params = {
  form: {
    kind: 'choice',
    of: ['pool', 'uniform'],
    default: 'pool',
    meaning: 'a pool of micro-sliced pCPUs, or all of them',
  },
  slice_us: { kind: 'integer', min: 100, max: 1_000_000, default: 30_000, meaning: 'slice outside the pool' },
  micro_slice_us: { kind: 'integer', min: 10, max: 100_000, default: 100, meaning: 'slice in the pool' },
  uniform_slice_us: { kind: 'integer', min: 10, max: 100_000, default: 1000, meaning: 'slice of the uniform form' },
  pool_max: { kind: 'integer', min: 0, max: 4096, default: 1, meaning: 'most pCPUs in the pool' },
  period_us: {
    kind: 'integer',
    min: 1000,
    max: 1_000_000,
    default: 30_000,
    meaning: 'period of the accounting; a vCPU is helped once in each',
  },
} as const satisfies ParamSet;

const URGENT = -1;
const CRITICAL = DOING_LOCKED | DOING_KERNEL | DOING_NEXT;

class MicroUnit extends ShareUnit {
  /** The queue it goes back to after its micro slice; -1 for one that is not in the pool. */
  returnTo = -1;
  /** The period in which it was helped last. */
  helped = -1;
}

class MicroSliced extends ShareScheduler<MicroUnit> {
  private readonly params: ValuesOf<typeof params>;
  /** The pool: that many pCPUs, from the highest id down. */
  private pool = 0;
  private readonly poolMax: number;
  private turn = 0;
  private period = 0;
  private helps = 0;

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    const period = settings.period_us * NS_PER_US;
    const most = Math.max(period, settings.slice_us * NS_PER_US);
    super(host, { period, bound: BOUND_PERIODS * most });
    this.params = settings;
    // One pCPU at least stays outside.
    this.poolMax = settings.form === 'uniform' ? 0 : Math.min(settings.pool_max, host.topology.length - 1);
  }

  protected override makeShareUnit(task: Task, owner: VmShare): MicroUnit {
    return new MicroUnit(task, owner);
  }

  protected override sliceOf(unit: MicroUnit): Ns {
    const { form, slice_us, micro_slice_us, uniform_slice_us } = this.params;
    if (form === 'uniform') return uniform_slice_us * NS_PER_US;
    return (this.inPool(unit.home) ? micro_slice_us : slice_us) * NS_PER_US;
  }

  override timer(timer: number, now: Ns): void {
    super.timer(timer, now);
    this.period++;
    // One pCPU more while every one of the pool is asked for more than once per period, one less when nobody asks.
    if (this.helps > this.pool) this.pool = Math.min(this.pool + 1, this.poolMax);
    else if (this.helps === 0) this.pool = Math.max(this.pool - 1, 0);
    this.helps = 0;
  }

  override yield(task: Task, now: Ns, why: 'yield' | 'spin'): void {
    super.yield(task, now, why);
    if (why === 'spin') this.helpSiblings(task);
  }

  readonly heeds = ['ipi'] as const;

  signal(task: Task, _now: Ns, signal: GuestSignal): void {
    if (signal.kind === 'ipi' && signal.why === 'shootdown') this.help(task.vm.tasks[signal.to]);
  }

  override sleep(task: Task, now: Ns): void {
    super.sleep(task, now);
    const unit = this.units[task.id];
    if (unit.returnTo < 0) return;
    unit.home = unit.returnTo;
    unit.returnTo = -1;
  }

  protected override rankOf(unit: MicroUnit): number {
    return unit.returnTo >= 0 ? URGENT : super.rankOf(unit);
  }

  protected override mayMove(unit: MicroUnit): boolean {
    return unit.returnTo < 0;
  }

  /** Its micro slice is over: back to where it came from. */
  protected override enqueue(unit: MicroUnit, pcpu: number): void {
    const back = unit.returnTo;
    if (back < 0 || (unit.rank === URGENT && !unit.running)) {
      super.enqueue(unit, pcpu);
      return;
    }
    unit.returnTo = -1;
    unit.rank = this.rankOf(unit);
    super.enqueue(unit, back);
    if (this.onPcpu[back] === null) this.alert(back);
  }

  /** A pCPU of the pool takes ordinary work from elsewhere only when it would idle. */
  protected override steal(pcpu: number, now: Ns, best: MicroUnit | null): MicroUnit | null {
    return best !== null && this.inPool(pcpu) ? null : super.steal(pcpu, now, best);
  }

  private inPool(pcpu: number): boolean {
    return pcpu >= this.onPcpu.length - this.pool;
  }

  private helpSiblings(task: Task): void {
    for (const sibling of task.vm.tasks) if (sibling !== task && (sibling.doing & CRITICAL) !== 0) this.help(sibling);
  }

  /** Gives one that was preempted at a bad moment a micro slice at once. */
  private help(task: Task | undefined): void {
    if (task === undefined || task.state !== STATE_READY || this.poolMax === 0) return;
    const unit = this.units[task.id];
    if (!unit.queued || unit.returnTo >= 0 || unit.helped === this.period) return;
    this.helps++;
    this.pool = Math.max(this.pool, 1);
    const pcpu = this.poolPcpu(unit);
    if (pcpu < 0) return;
    unit.helped = this.period;
    this.dequeue(unit);
    unit.returnTo = unit.home;
    unit.rank = URGENT;
    this.enqueue(unit, pcpu);
    this.host.note('micro', task, pcpu);
    this.alert(pcpu);
  }

  /** The pCPUs of the pool in turn; -1 if it may run on none of them. */
  private poolPcpu(unit: MicroUnit): number {
    const first = this.onPcpu.length - this.pool;
    for (let step = 0; step < this.pool; step++) {
      this.turn = (this.turn + 1) % this.pool;
      if (unit.task.hard.has(first + this.turn)) return first + this.turn;
    }
    return -1;
  }
}

export const microSliced = definePolicy({
  name: 'micro-sliced',
  summary: 'short slices everywhere, or on a few pCPUs for vCPUs preempted at a bad moment',
  origin: 'Ahn et al., MICRO 2014 and EuroSys 2018',
  basis: 'our reconstruction',
  traits: { weights: {}, caps: {} },
  params,
  make: (host, settings) => new MicroSliced(host, settings),
});

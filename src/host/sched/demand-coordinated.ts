/**
 * Demand-based coordinated scheduling: an inter-processor interrupt to a sibling that waits for a pCPU is a demand.
 *   urgent    the receiver enters the queue before all others, in order of arrival, for one short slice, and replaces one that
 *             is not urgent unless that has only just started
 *   delayed   who sends a reschedule interrupt is likely to be inside a lock of its kernel: its next preemption comes an
 *             urgent slice later, once
 *   balance   a vCPU is queued where no sibling is, as long as that pCPU is not overloaded
 * Invariants: an urgent mark lasts one slice; the time is charged as any other.
 * Source: Kim, Kim, Jeong, Lee, Maeng, "Demand-based coordinated scheduling for SMP VMs", ASPLOS 2013 (abstract; the length of
 * the urgent slice is not confirmed): our reconstruction, on credits instead of CFS.
 */
import type { GuestSignal } from '../../core/runnable.ts';
import { NS_PER_MS, NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  definePolicy,
  type SchedulerHost,
  STATE_BLOCKED,
  STATE_READY,
  STATE_RUNNING,
  type Task,
  type WakeReason,
} from '../scheduler.ts';
import { BOUND_PERIODS, ShareScheduler, ShareUnit, type VmShare } from '../share-scheduler.ts';

const params = {
  slice_ms: { kind: 'integer', min: 1, max: 1000, default: 30, meaning: 'slice, and period of the accounting' },
  urgent_slice_us: { kind: 'integer', min: 10, max: 100_000, default: 500, meaning: 'slice of an urgent vCPU' },
  min_run_us: {
    kind: 'integer',
    min: 0,
    max: 100_000,
    default: 500,
    meaning: 'a running vCPU is not replaced by an urgent one before it ran that long (our choice)',
  },
  balance: { kind: 'flag', default: true, meaning: 'queue a vCPU where no sibling is, unless that pCPU is overloaded' },
} as const satisfies ParamSet;

const URGENT = -1;
/** pCPUs looked at for one without siblings; our choice. */
const CANDIDATES = 8;

class DemandUnit extends ShareUnit {
  urgent = false;
  /** An interrupt came while it slept. */
  demandedAt: Ns = -1;
  /** Its next preemption is delayed; it is being delayed. */
  delay = false;
  delayed = false;
}

class DemandCoordinated extends ShareScheduler<DemandUnit> {
  private readonly params: ValuesOf<typeof params>;
  private readonly slice: Ns;
  private readonly urgentSlice: Ns;

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    const slice = settings.slice_ms * NS_PER_MS;
    super(host, { period: slice, bound: BOUND_PERIODS * slice });
    this.params = settings;
    this.slice = slice;
    this.urgentSlice = settings.urgent_slice_us * NS_PER_US;
    this.ratelimit = settings.min_run_us * NS_PER_US;
  }

  protected override makeShareUnit(task: Task, owner: VmShare): DemandUnit {
    return new DemandUnit(task, owner);
  }

  protected override rankOf(unit: DemandUnit): number {
    return unit.urgent ? URGENT : super.rankOf(unit);
  }

  protected override sliceOf(unit: DemandUnit): Ns {
    return unit.urgent ? this.urgentSlice : this.slice;
  }

  readonly heeds = ['ipi'] as const;

  signal(task: Task, now: Ns, signal: GuestSignal): void {
    if (signal.kind !== 'ipi') return;
    const from = this.units[task.id];
    if (signal.why === 'reschedule' && !from.delayed) from.delay = true;
    const target = task.vm.tasks[signal.to];
    if (target === undefined || target === task) return;
    const unit = this.units[target.id];
    if (target.state === STATE_BLOCKED) unit.demandedAt = now;
    if (target.state !== STATE_READY || !unit.queued || unit.urgent) return;
    this.dequeue(unit);
    this.mark(unit);
    this.place(unit, now);
  }

  protected override woken(unit: DemandUnit, now: Ns, reason: WakeReason): void {
    // The interrupt that wakes it up is the demand; the signal may come first.
    if (reason === 'wake' && unit.demandedAt >= 0) this.mark(unit);
    super.woken(unit, now, reason);
  }

  private mark(unit: DemandUnit): void {
    unit.urgent = true;
    unit.demandedAt = -1;
    unit.rank = URGENT;
    this.host.note('urgent', unit.task, unit.home);
  }

  override sleep(task: Task, now: Ns): void {
    super.sleep(task, now);
    const unit = this.units[task.id];
    unit.urgent = false;
    unit.delay = false;
    unit.delayed = false;
  }

  protected override choose(pcpu: number, now: Ns, current: DemandUnit | null): DemandUnit | null {
    const rival = this.firstFor(pcpu);
    if (current !== null && !current.yielding && current.delay && rival !== null) {
      const leaves = current.sliceLeft === 0 || this.order(rival, current) < 0;
      if (leaves) {
        current.delay = false;
        current.sliceLeft = this.urgentSlice;
        current.delayed = true;
        this.host.note('delay', current.task, pcpu);
        return current;
      }
    }
    // The one that is delayed keeps its pCPU until then, whoever is urgent.
    if (current?.delayed === true) {
      if (current.sliceLeft > 0 && !current.yielding) return current;
    }
    return super.choose(pcpu, now, current);
  }

  protected override stopping(unit: DemandUnit): void {
    unit.urgent = false;
    unit.delay = false;
    unit.delayed = false;
    unit.rank = this.rankOf(unit);
  }

  protected override place(unit: DemandUnit, now: Ns): void {
    if (this.params.balance && unit.home >= 0 && this.idleFor(unit) < 0) unit.home = this.homeWithoutSiblings(unit);
    super.place(unit, now);
  }

  /** Its home, or a pCPU near it without a sibling that has not more to do. */
  private homeWithoutSiblings(unit: DemandUnit): number {
    const { hard, vm } = unit.task;
    const taken = new Set<number>();
    for (const sibling of vm.tasks) {
      if (sibling === unit.task) continue;
      if (sibling.state === STATE_READY || sibling.state === STATE_RUNNING) taken.add(this.units[sibling.id].home);
    }
    if (!taken.has(unit.home)) return unit.home;
    let pcpu = unit.home;
    for (let step = 0; step < CANDIDATES; step++) {
      pcpu = hard.next(pcpu);
      if (pcpu === unit.home) break;
      if (!taken.has(pcpu) && this.lengthOf(pcpu) <= this.lengthOf(unit.home)) return pcpu;
    }
    return unit.home;
  }
}

export const demandCoordinated = definePolicy({
  name: 'demand-coordinated',
  summary: 'credits; inter-processor interrupts make their receivers urgent, senders are preempted later',
  origin: 'Kim et al., ASPLOS 2013',
  basis: 'our reconstruction',
  traits: { weights: {}, caps: {} },
  params,
  make: (host, settings) => new DemandCoordinated(host, settings),
});

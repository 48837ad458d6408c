/**
 * Hybrid co-scheduling: VMs marked as concurrent run as gangs, all others one vCPU at a time as under plain credits.
 *   start    when the turn of a gang comes and there are pCPUs for all of its runnable vCPUs, they start there at once, in place
 *            of others; it ends for all of them one slice later
 *   turn     by credit, then by the time of waiting; gangs do not overtake each other
 *   join     one that wakes up while its gang runs joins it for the rest of the slice
 * Invariants: waiting members of a gang are in no queue, those that were started are at the head of one; no pCPU of a gang is
 * given to another one before its slice is over.
 * Source: Weng, Wang, Li, Lu, "The hybrid scheduling framework for virtual machine systems", VEE 2009 (abstract: concurrent VMs
 * co-scheduled, others not): all else is our reconstruction, on credits.
 */
import { UserError } from '../../core/errors.ts';
import { NS_PER_MS, type Ns } from '../../core/units.ts';
import { matchPlaces } from '../match.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { definePolicy, type SchedulerHost, type SchedVm, type Task, type WakeReason } from '../scheduler.ts';
import { BOUND_PERIODS, ShareScheduler, ShareUnit, type VmShare } from '../share-scheduler.ts';

const params = {
  slice_ms: { kind: 'integer', min: 1, max: 1000, default: 30, meaning: 'slice, and period of the accounting' },
} as const satisfies ParamSet;

const vmParams = {
  concurrent: { kind: 'flag', default: false, meaning: 'the vCPUs of the VM run at the same time' },
} as const satisfies ParamSet;

/** Before all others: it starts with its siblings, or runs with them. */
const TOGETHER = -1;

class HybridUnit extends ShareUnit {
  /** Null: it runs by itself. */
  readonly gang: Gang | null;
  /** It was started with its gang, whose slice is not over as far as it knows. */
  together = false;
  /** Since when it waits. */
  since: Ns = 0;

  constructor(task: Task, owner: VmShare, gang: Gang | null) {
    super(task, owner);
    this.gang = gang;
  }
}

/** The vCPUs of a concurrent VM. */
class Gang {
  readonly units: HybridUnit[] = [];
  readonly waiting = new Set<HybridUnit>();
  /** When its slice is over. */
  until: Ns = 0;
}

class Hybrid extends ShareScheduler<HybridUnit> {
  private readonly slice: Ns;
  private readonly gangs = new Map<SchedVm, Gang>();
  private now: Ns = 0;

  constructor(host: SchedulerHost, { slice_ms }: ValuesOf<typeof params>) {
    const slice = slice_ms * NS_PER_MS;
    super(host, { period: slice, bound: BOUND_PERIODS * slice });
    this.slice = slice;
  }

  protected override makeShareUnit(task: Task, owner: VmShare): HybridUnit {
    const { vm } = task;
    if (vm.params['concurrent'] !== true) return new HybridUnit(task, owner, null);
    const gang = this.gangs.get(vm) ?? new Gang();
    const tasks = [...gang.units.map((unit) => unit.task), task];
    if (matchPlaces(tasks.length, this.onPcpu.length, (i, pcpu) => tasks[i].hard.has(pcpu)) === null) {
      throw new UserError(
        `VM ${vm.name}: concurrent: its ${tasks.length} vCPUs run at the same time, and there is no pCPU of its own for each ` +
          `of them among the ${this.onPcpu.length} of the host that their affinity allows`,
      );
    }
    this.gangs.set(vm, gang);
    const unit = new HybridUnit(task, owner, gang);
    gang.units.push(unit);
    return unit;
  }

  override remove(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    super.remove(task, now);
    const { gang } = unit;
    if (gang === null) return;
    gang.units.splice(gang.units.indexOf(unit), 1);
    if (gang.units.length === 0) this.gangs.delete(task.vm);
  }

  protected override rankOf(unit: HybridUnit): number {
    return unit.together ? TOGETHER : super.rankOf(unit);
  }

  /** Most credit first: where gangs leave pCPUs idle, nobody gets all that is due, and by turns some would get less than others. */
  protected override order(a: HybridUnit, b: HybridUnit): number {
    return a.rank - b.rank || b.credit - a.credit;
  }

  protected override sliceOf(unit: HybridUnit, now: Ns): Ns {
    return unit.gang === null ? this.slice : Math.max(unit.gang.until - now, 1);
  }

  protected override mayMove(unit: HybridUnit): boolean {
    return !unit.together;
  }

  protected override woken(unit: HybridUnit, now: Ns, reason: WakeReason): void {
    this.now = now;
    super.woken(unit, now, reason);
  }

  protected override place(unit: HybridUnit, now: Ns): void {
    const { gang } = unit;
    if (gang === null) {
      super.place(unit, now);
      return;
    }
    this.enqueue(unit, unit.home);
    const isOn = gang.until > now;
    if (isOn) this.start(gang, [unit], now, -1, true);
    else {
      const idle = this.idleFor(unit);
      // A busy pCPU looks when its slice is over; without one the gang would wait for nothing.
      if (idle >= 0) this.alert(idle);
    }
  }

  override sleep(task: Task, now: Ns): void {
    super.sleep(task, now);
    this.units[task.id].together = false;
  }

  /** It makes way: for another gang, or because its slice is over. */
  protected override stopping(unit: HybridUnit, now: Ns): void {
    this.now = now;
    unit.together = false;
    unit.rank = this.rankOf(unit);
  }

  protected override enqueue(unit: HybridUnit, pcpu: number): void {
    unit.since = this.now;
    if (unit.gang === null || unit.together) {
      super.enqueue(unit, pcpu);
      return;
    }
    unit.queued = true;
    unit.home = pcpu;
    unit.gang.waiting.add(unit);
  }

  protected override dequeue(unit: HybridUnit): void {
    if (unit.gang === null || !unit.gang.waiting.delete(unit)) super.dequeue(unit);
    else unit.queued = false;
  }

  protected override choose(pcpu: number, now: Ns, current: HybridUnit | null): HybridUnit | null {
    this.now = now;
    if (current === null || current.yielding || current.sliceLeft === 0) {
      // If its gang goes on, it is started again with it.
      if (current !== null) this.stopping(current, now);
      const next = this.nextGang(now);
      if (next !== null && this.isFirst(next, pcpu, current)) this.begin(next, now, pcpu);
    }
    if (current !== null && current.gang === null && current.sliceLeft === 0) this.fetchOwed(current, pcpu);
    // A gang that may not go on leaves its pCPUs.
    if (current !== null && current.gang !== null && !current.together) {
      this.enqueue(current, pcpu);
      return super.choose(pcpu, now, null);
    }
    return super.choose(pcpu, now, current);
  }

  /** At the end of a slice: brings the one here that waits elsewhere, below a gang perhaps, and has more credit. */
  private fetchOwed(current: HybridUnit, pcpu: number): void {
    let best = current;
    for (const other of this.onPcpu.keys()) {
      const waits = other === pcpu ? null : this.firstFor(other);
      if (waits === null || waits.gang !== null || !waits.task.hard.has(pcpu)) continue;
      if (this.onPcpu[other] !== null && this.order(waits, best) < 0) best = waits;
    }
    if (best === current) return;
    this.dequeue(best);
    this.enqueue(best, pcpu);
  }

  // ---- gangs

  /** The gang whose turn it is, of those that have members to start and no slice. */
  private nextGang(now: Ns): Gang | null {
    let best: Gang | null = null;
    for (const gang of this.gangs.values()) {
      if (gang.until > now || this.startable(gang, now).length === 0) continue;
      if (best === null || before(gang, best, now)) best = gang;
    }
    return best;
  }

  /** Its members that wait, and those that run on after the end of its slice because they were not asked yet. */
  private startable(gang: Gang, now: Ns): HybridUnit[] {
    return gang.units.filter((unit) => gang.waiting.has(unit) || (unit.running && gang.until <= now));
  }

  /** Is it the turn of the gang, or of the first in this queue, or of the one whose slice has just ended? */
  private isFirst(gang: Gang, pcpu: number, current: HybridUnit | null): boolean {
    const rank = rankOfGang(gang);
    if (current !== null && current.gang === null && current.rank < rank) return false;
    for (const other of this.onPcpu.keys()) {
      // One with more right to run that waits elsewhere would be taken from there.
      const rival = this.firstFor(other);
      if (rival === null || rival.together || !rival.task.hard.has(pcpu)) continue;
      if (rival.rank < rank || (other === pcpu && rival.rank === rank && rival.since < sinceOf(gang, this.now)))
        return false;
    }
    return true;
  }

  private begin(gang: Gang, now: Ns, deciding: number): void {
    const before = gang.until;
    const members = this.startable(gang, now);
    gang.until = now + this.slice;
    if (!this.start(gang, members, now, deciding)) gang.until = before;
  }

  /** Starts some members on pCPUs that are free of gangs; false if there are too few. */
  private start(gang: Gang, members: readonly HybridUnit[], now: Ns, deciding: number, joins = false): boolean {
    const isTaken = (pcpu: number): boolean => this.firstFor(pcpu)?.together === true;
    // Another gang was started there already.
    if (members.some(({ running, home }) => running && isTaken(home))) return false;
    const rank = joins ? TOGETHER : rankOfGang(gang);
    const moving = members.filter(({ running }) => !running);
    const staying = new Set(members.filter(({ running }) => running).map(({ home }) => home));
    const free = (pcpu: number): boolean => {
      if (staying.has(pcpu)) return false;
      if (isTaken(pcpu)) return false;
      if (pcpu === deciding) return true;
      const running = this.onPcpu[pcpu];
      if (running === null) return true;
      // Whoever runs by itself makes way for a gang with more right to run, or at the end of its slice.
      return running.gang === null ? rank < running.rank : running.gang.until <= now;
    };
    const places = this.placesFor(moving, free);
    if (places === null) return false;
    for (const unit of members) {
      if (!unit.running) continue;
      this.host.settle(unit.home);
      unit.together = true;
      unit.rank = TOGETHER;
      unit.sliceLeft = gang.until - now;
      this.host.resched(unit.home);
    }
    for (const [i, unit] of moving.entries()) {
      this.dequeue(unit);
      unit.together = true;
      unit.rank = TOGETHER;
      this.enqueue(unit, places[i]);
      if (places[i] !== deciding) this.alert(places[i]);
    }
    this.host.note('gang', members[0].task, members[0].home);
    return true;
  }

  /** Where they were, if they all can have that; else any pCPUs, one each. */
  private placesFor(units: readonly HybridUnit[], free: (pcpu: number) => boolean): number[] | null {
    const homes = units.map(({ home }) => home);
    const fits = (i: number, pcpu: number): boolean => units[i].task.hard.has(pcpu) && free(pcpu);
    if (new Set(homes).size === homes.length && homes.every((home, i) => home >= 0 && fits(i, home))) return homes;
    return matchPlaces(units.length, this.onPcpu.length, fits);
  }
}

function before(a: Gang, b: Gang, now: Ns): boolean {
  return (
    (rankOfGang(a) - rankOfGang(b) || sinceOf(a, now) - sinceOf(b, now) || a.units[0].task.id - b.units[0].task.id) < 0
  );
}

/** That of its members together. */
function rankOfGang({ units }: Gang): number {
  return units.reduce((sum, { credit }) => sum + credit, 0) >= 0 ? 0 : 1;
}

/** Since when it waits as a whole. */
function sinceOf({ units, waiting }: Gang, now: Ns): Ns {
  return units.reduce((least, unit) => (waiting.has(unit) ? Math.min(least, unit.since) : least), now);
}

export const hybrid = definePolicy({
  name: 'hybrid',
  summary: 'credits; the vCPUs of VMs marked as concurrent run at the same time, those of others do not',
  origin: 'Weng et al., VEE 2009',
  basis: 'our reconstruction',
  traits: { weights: {}, caps: {} },
  params,
  vmParams,
  make: (host, settings) => new Hybrid(host, settings),
});

/**
 * Proportional share on top of run queues for each pCPU. Once per period the capacity of the host is divided among the VMs
 * by weight, reservation, limit, demand and hard affinity (water filling); a vCPU earns its part as credit and burns what it
 * runs.
 *   demand       all of its pCPU, unless it sleeps and uses less than it is entitled to: then a quarter more than it used
 *   rank         UNDER with credit, OVER without; policies may put others before them
 *   limit        a VM that has used up its limit for the period is parked until the next ones have paid for it
 * Invariant: what the running ones burn beyond what was handed out is handed out again, by weight, so the debts of hogs stay
 * in proportion to their weights.
 * Source: our reconstruction; accounting with credits as in Xen's credit scheduler, entitlements as VMware describes them.
 */
import { NS_PER_US, type Ns } from '../core/units.ts';
import { Claimant, entitle } from './entitlement.ts';
import { QueueScheduler, QueueUnit } from './queue-scheduler.ts';
import {
  type SchedulerHost,
  type SchedVm,
  STATE_COSTOPPED,
  STATE_PARKED,
  type Task,
  type WakeReason,
} from './scheduler.ts';

export const UNDER = 0;
export const OVER = 1;

/**
 * The bound on credit in periods, or slices if these are longer: below the time of one round of a queue, what a heavy vCPU
 * earns while it waits for its turn would be lost, and weights with it. As ESX's bound on lag of 8 quanta.
 */
export const BOUND_PERIODS = 8;

const ACCOUNT_TIMER = 0;
/** From that part on it is all. */
const NEARLY = 0.95;
/** The shortest slice that a limit leaves; our choice. */
const SLICE_MIN_NS = 100 * NS_PER_US;

export class ShareUnit extends QueueUnit {
  readonly owner: VmShare;
  credit: Ns = 0;
  /** Time of this period it ran, and wanted to run. */
  used: Ns = 0;
  wanted: Ns = 0;
  /** Since when it wants to run; -1 while it sleeps. */
  awakeSince: Ns = -1;
  /** Time it was given for the last period. */
  earned: Ns = Infinity;
  /** Share of a pCPU that it could use; of the last period. */
  demand = 0;

  constructor(task: Task, owner: VmShare) {
    super(task);
    this.owner = owner;
  }
}

/** An upper bound on the time of one VM or of several together. */
export class Limit {
  /** pCPUs; Infinity for none. */
  rate = Infinity;
  /** Less than that for the next period, where a limit shared with others leaves no more. */
  grant = Infinity;
  budget: Ns = Infinity;
  exhausted = false;
  readonly vms: VmShare[] = [];
}

export class VmShare {
  readonly vm: SchedVm;
  readonly units: ShareUnit[] = [];
  /** Its own first. */
  readonly limits: Limit[] = [];
  /** One of those that it shares with others, if its group has nothing but that: no shares, no reservation. */
  ceiling: Limit | null = null;
  /** How many of its limits keep it off the CPUs. */
  parkedBy = 0;
  /** pCPUs, of the last accounting. */
  entitled = 0;

  constructor(vm: SchedVm) {
    this.vm = vm;
  }
}

export interface ShareSettings {
  readonly period: Ns;
  /** Most credit a vCPU may save, and most it may owe. */
  readonly bound: Ns;
}

export abstract class ShareScheduler<U extends ShareUnit = ShareUnit> extends QueueScheduler<U> {
  protected readonly settings: ShareSettings;
  /** By VM id; holes where a VM has no vCPU. */
  protected readonly shares: (VmShare | undefined)[] = [];
  private debt: Ns = 0;

  constructor(host: SchedulerHost, settings: ShareSettings) {
    super(host);
    this.settings = settings;
    this.stealRank = UNDER;
    host.arm(ACCOUNT_TIMER, settings.period);
  }

  // ---- what a policy says

  protected abstract makeShareUnit(task: Task, owner: VmShare): U;
  /** Shares of the VM; what goes by its vCPUs counts those of `units`, not those that have ended. */
  protected weightOf({ vm }: VmShare): number {
    return vm.weight;
  }
  /** pCPUs that the VM is promised. */
  protected reservationOf(_share: VmShare): number {
    return 0;
  }
  /** pCPUs that the VM may use at most; Infinity for no limit. */
  protected limitOf({ vm }: VmShare): number {
    return vm.capPercent === 0 ? Infinity : vm.capPercent / 100;
  }
  /** What is divided, and among whom: the VMs, or groups of them. */
  protected rootsOf(claims: ReadonlyMap<VmShare, Claimant>): readonly Claimant[] {
    return [...claims.values()];
  }
  /** Called for the first vCPU of a VM: check it, put it under more limits. */
  protected addVm(_share: VmShare): void {}
  /** Called when the last vCPU of a VM has ended. */
  protected removeVm(_share: VmShare): void {}
  /** What there is to divide, in pCPUs. */
  protected capacity(): number {
    return this.host.topology.length;
  }
  /** The rank by credit, at accounting and after burning. */
  protected rankOf(unit: U): number {
    return unit.credit >= 0 ? UNDER : OVER;
  }
  /** It has earned that much for the period that is over. */
  protected credited(_unit: U, _earned: Ns): void {}

  // ---- the mechanism's questions

  protected override makeUnit(task: Task): U {
    const { vm } = task;
    let share = this.shares[vm.id];
    if (share === undefined) {
      share = new VmShare(vm);
      share.limits.push(new Limit());
      share.limits[0].vms.push(share);
      this.addVm(share);
      this.shares[vm.id] = share;
    }
    const unit = this.makeShareUnit(task, share);
    share.units.push(unit);
    this.setLimit(share);
    if (share.parkedBy > 0) this.host.hold(task, 'park');
    return unit;
  }

  remove(task: Task, _now: Ns): void {
    const { owner } = this.units[task.id];
    owner.units.splice(owner.units.indexOf(this.units[task.id]), 1);
    if (owner.units.length > 0) {
      this.setLimit(owner);
      return;
    }
    for (const limit of owner.limits) limit.vms.splice(limit.vms.indexOf(owner), 1);
    this.shares[owner.vm.id] = undefined;
    this.removeVm(owner);
  }

  change(vm: SchedVm, _now: Ns): void {
    const share = this.shares[vm.id];
    if (share !== undefined) this.setLimit(share);
  }

  protected override woken(unit: U, now: Ns, _reason: WakeReason): void {
    if (unit.awakeSince < 0) unit.awakeSince = now;
    unit.rank = this.rankOf(unit);
  }

  override sleep(task: Task, now: Ns): void {
    super.sleep(task, now);
    const unit = this.units[task.id];
    // One that is held by us still wants to run.
    if (task.state === STATE_PARKED || task.state === STATE_COSTOPPED || unit.awakeSince < 0) return;
    unit.wanted += now - unit.awakeSince;
    unit.awakeSince = -1;
  }

  timer(timer: number, now: Ns): void {
    if (timer !== ACCOUNT_TIMER) return;
    this.host.arm(ACCOUNT_TIMER, now + this.settings.period);
    this.account(now);
  }

  // ---- accounts

  protected override burn(unit: U, ran: Ns): void {
    unit.used += ran;
    unit.credit -= ran;
    unit.rank = this.rankOf(unit);
    for (const limit of unit.owner.limits) {
      limit.budget -= ran;
      if (limit.budget <= 0 && !limit.exhausted) this.exhaust(limit);
    }
  }

  protected override bounded(unit: U, slice: Ns): Ns {
    let least = slice;
    for (const { budget, vms } of unit.owner.limits) {
      if (budget === Infinity) continue;
      const sharers = vms.reduce((sum, share) => sum + share.units.length, 0);
      least = Math.min(least, Math.max(Math.ceil(budget / sharers), SLICE_MIN_NS));
    }
    return least;
  }

  /** Puts a VM under a limit that it shares with others. */
  protected putUnder(share: VmShare, limit: Limit): void {
    limit.vms.push(share);
    share.limits.push(limit);
    if (limit.exhausted) share.parkedBy++;
  }

  /** A limit for several. */
  protected newLimit(rate: number): Limit {
    const limit = new Limit();
    limit.rate = rate;
    limit.budget = Math.round(rate * this.settings.period);
    return limit;
  }

  private setLimit(share: VmShare): void {
    const [own] = share.limits;
    const rate = this.limitOf(share);
    if (rate === own.rate) return;
    own.rate = rate;
    own.budget = Math.min(own.budget, Math.round(rate * this.settings.period));
  }

  private exhaust(limit: Limit): void {
    limit.exhausted = true;
    for (const share of limit.vms) {
      if (share.parkedBy++ === 0) for (const { task } of share.units) this.host.hold(task, 'park');
    }
  }

  private refill(limit: Limit): void {
    const rate = Math.min(limit.rate, limit.grant);
    const pay = rate === Infinity ? Infinity : Math.round(rate * this.settings.period);
    limit.budget = pay === Infinity ? Infinity : Math.min(limit.budget + pay, pay);
    if (limit.budget <= 0 || !limit.exhausted) return;
    limit.exhausted = false;
    for (const share of limit.vms) {
      if (--share.parkedBy === 0) for (const { task } of share.units) this.host.release(task, 'park');
    }
  }

  /** Divides the capacity of a period. */
  private account(now: Ns): void {
    const { period, bound } = this.settings;
    for (const pcpu of this.host.topology.keys()) if (this.onPcpu[pcpu] !== null) this.host.settle(pcpu);
    const active: VmShare[] = [];
    const limits = new Set<Limit>();
    for (const share of this.shares) {
      if (share === undefined) continue;
      for (const limit of share.limits) limits.add(limit);
      if (this.measure(share, now)) active.push(share);
      else share.entitled = 0;
    }
    const claims = new Map(active.map((share) => [share, this.claimOf(share)]));
    entitle(this.rootsOf(claims), this.capacity(), this.host.topology.length);
    // What was burned without having been handed out goes round again.
    const capacity = this.capacity() * period;
    const scale = 1 + this.debt / capacity;
    let balance = 0;
    for (const [share, claim] of claims) {
      share.entitled = claim.share;
      for (const [i, unit] of share.units.entries()) {
        unit.earned = Math.round(claim.children[i].share * period);
        unit.credit = Math.max(Math.min(unit.credit + Math.round(unit.earned * scale), bound), -1 * bound);
        this.credited(unit as U, unit.earned);
        balance += unit.credit;
      }
    }
    this.grant(claims, limits);
    this.debt = Math.min(Math.max(-balance, 0), capacity);
    // Also those that are kept off the CPUs: their rank decides when they may come back.
    for (const share of this.shares) for (const unit of share?.units ?? []) unit.rank = this.rankOf(unit as U);
    this.resort();
    for (const limit of limits) this.refill(limit);
  }

  /**
   * VMs that want more than a limit leaves them all have of it what they are entitled to: it would go to whoever comes first
   * while there are idle pCPUs. Those that do not want all they can get keep the room for that.
   */
  private grant(claims: ReadonlyMap<VmShare, Claimant>, limits: ReadonlySet<Limit>): void {
    for (const limit of limits) limit.grant = Infinity;
    for (const limit of limits) {
      if (limit.vms.length < 2 || limit.rate === Infinity) continue;
      const sum = limit.vms.reduce((total, share) => total + (claims.get(share)?.share ?? 0), 0);
      if (sum < limit.rate * NEARLY) continue;
      for (const share of limit.vms) {
        const wanted = share.units.reduce((total, { demand }) => total + demand, 0);
        if (wanted >= share.units.length * NEARLY) share.limits[0].grant = share.entitled;
      }
    }
  }

  /** Demand of each vCPU of a VM; false when it has none. */
  private measure(share: VmShare, now: Ns): boolean {
    const { period } = this.settings;
    let total = 0;
    for (const unit of share.units) {
      if (unit.awakeSince >= 0) {
        unit.wanted += now - unit.awakeSince;
        unit.awakeSince = now;
      }
      const wanted = Math.min(unit.wanted / period, 1);
      const modest = wanted < NEARLY && unit.used < 0.9 * unit.earned;
      unit.demand = modest ? Math.min(wanted, (1.25 * unit.used) / period) : wanted;
      unit.used = 0;
      unit.wanted = 0;
      total += unit.demand;
    }
    return total > 0;
  }

  /** What a VM claims, and its vCPUs of that: equal parts, as far as they want to run. */
  private claimOf(share: VmShare): Claimant {
    const { units, limits } = share;
    const pcpus = this.host.topology.length;
    const demand = units.reduce((sum, unit) => sum + unit.demand, 0);
    const max = Math.min(demand, limits[0].rate);
    const children = units.map(({ demand: own, task: { hard } }) => {
      const mask = hard.count === pcpus ? null : hard;
      return new Claimant({ weight: 1, min: 0, max: own }, { mask });
    });
    const min = Math.min(this.reservationOf(share), max);
    return new Claimant({ weight: this.weightOf(share), min, max }, { children, ceiling: share.ceiling });
  }
}

/**
 * Like VMware ESX: shares, reservation and limit, also of resource pools, give each VM an entitlement; the vCPU that has
 * consumed least of what it is entitled to goes first; the vCPUs of a VM are kept from drifting apart (co-scheduling);
 * homes on memory nodes.
 *   strict      skew above the threshold stops the whole VM; it starts again when there are pCPUs for all of it at once
 *   relaxed-3   it stops likewise, but only those that lag behind must start together
 *   relaxed-4   those that lead are stopped one by one, and started when they lead by less
 * Invariants: a stopped gang holds all its members; time not used ages away, time used beyond the entitlement or waited for
 * does not, so the shares of hogs are exact in the long run however small they are; a pCPU is reserved only for a sleeping
 * member of a strict gang that runs without idle detection.
 * Source: VMware's papers "The CPU scheduler in VMware vSphere" (4.1, 5.1) and published settings; thresholds, quantum and
 * ageing are theirs. Internals are not published: our reconstruction.
 */
import { UserError } from '../../core/errors.ts';
import { NS_PER_MS, NS_PER_US, type Ns } from '../../core/units.ts';
import type { Claimant } from '../entitlement.ts';
import { type NumaClient, NumaHomes } from '../numa-homes.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  POOL_FORM,
  POOL_PATTERN,
  POOLS_FORM,
  POOLS_PATTERN,
  type ResourcePool,
  ResourcePools,
} from '../resource-pools.ts';
import {
  type Decision,
  definePolicy,
  type SchedulerHost,
  STATE_BLOCKED,
  STATE_COSTOPPED,
  STATE_READY,
  STATE_RUNNING,
  type Task,
  type WakeReason,
} from '../scheduler.ts';
import { OVER, ShareScheduler, ShareUnit, UNDER, type VmShare } from '../share-scheduler.ts';
import { CpuSet, groupsBy } from '../topology.ts';

const params = {
  coscheduling: {
    kind: 'choice',
    of: ['strict', 'relaxed-3', 'relaxed-4'],
    default: 'relaxed-4',
    meaning: 'how the vCPUs of a VM are kept together: as in ESX 2, 3, or 4 and later',
  },
  quantum_ms: { kind: 'integer', min: 1, max: 1000, default: 50, meaning: 'longest slice; 200 in later versions' },
  period_ms: { kind: 'integer', min: 1, max: 1000, default: 100, meaning: 'period of the accounting (our choice)' },
  credit_age_ms: {
    kind: 'integer',
    min: 100,
    max: 60_000,
    default: 3000,
    meaning: 'how long unused entitlement counts',
  },
  bound_lag_quanta: {
    kind: 'integer',
    min: 1,
    max: 100,
    default: 8,
    meaning: 'most that consumption may differ from the entitlement',
  },
  preempt_percent: {
    kind: 'integer',
    min: 0,
    max: 1000,
    default: 10,
    meaning: 'a vCPU that wakes up replaces one that consumed so much more of its entitlement (our choice)',
  },
  costop_us: { kind: 'integer', min: 0, max: 1_000_000, default: 3000, meaning: 'skew above which vCPUs are stopped' },
  costart_us: {
    kind: 'integer',
    min: 0,
    max: 1_000_000,
    default: 2000,
    meaning: 'skew below which they may run again',
  },
  poll_us: { kind: 'integer', min: 100, max: 100_000, default: 1000, meaning: 'how often skew is looked at' },
  idle_detection: {
    kind: 'flag',
    default: true,
    meaning: 'a halted vCPU needs no pCPU; without it (strict only) one is kept free for it while its VM runs',
  },
  ht_charge_percent: {
    kind: 'integer',
    min: 50,
    max: 100,
    default: 62,
    meaning: 'what a vCPU pays while the other thread of its core is busy (our choice)',
  },
  resource_pools: {
    kind: 'text',
    pattern: POOLS_PATTERN,
    form: POOLS_FORM,
    default: '',
    meaning: 'tree of resource pools with shares, reservations and limits, in the order parents first',
  },
  numa_rebalance_ms: {
    kind: 'integer',
    min: 10,
    max: 60_000,
    also: 0,
    default: 2000,
    meaning: 'how often homes on memory nodes are balanced; 0: vCPUs have no homes',
  },
} as const satisfies ParamSet;
type EsxParams = ValuesOf<typeof params>;

const vmParams = {
  shares: {
    kind: 'choice',
    of: ['weight', 'low', 'normal', 'high'],
    default: 'weight',
    meaning: 'the weight of the VM, or 500, 1000 or 2000 for each of its vCPUs',
  },
  resource_pool: {
    kind: 'text',
    pattern: POOL_PATTERN,
    form: POOL_FORM,
    default: '',
    meaning: 'the resource pool that the VM belongs to; none: the host itself',
  },
  reservation_percent: {
    kind: 'integer',
    min: 0,
    max: 1_000_000,
    default: 0,
    meaning: 'CPU time that the VM is promised, in percent of one core',
  },
} as const satisfies ParamSet;

const SHARES_PER_VCPU: Readonly<Record<string, number>> = { low: 500, normal: 1000, high: 2000 };
const POLL_TIMER = 1;
const NUMA_TIMER = 2;
/** pCPUs looked at when one wakes up and none is idle, as in the published settings. */
const CANDIDATES = 4;
/** Before all others: it starts together with its siblings. */
const COSTART = -1;

class EsxUnit extends ShareUnit {
  readonly gang: Gang;
  client: NumaClient<EsxUnit> | null = null;
  masks: readonly CpuSet[] = [];
  /** What it was entitled to, an aged sum; and what it consumed over that: less goes first, 1 is its due. */
  entitled: Ns = 0;
  priority = 1;
  /** Time it ran or slept, for the skew. */
  progress: Ns = 0;
  blockedSince: Ns = -1;
  stopped = false;
  /** Where it is to start together with its siblings; -1 for wherever. */
  startOn = -1;

  private readonly nodes: readonly CpuSet[];

  constructor(task: Task, owner: VmShare, gang: Gang, nodes: readonly CpuSet[]) {
    super(task, owner);
    this.gang = gang;
    this.nodes = nodes;
  }

  mayLiveOn(node: number): boolean {
    return this.nodes[node].meets(this.task.hard);
  }
}

/** A pCPU on which a sleeping vCPU idles: paid for up to `since`, its slice ends at `until`. */
interface Reservation {
  readonly unit: EsxUnit;
  since: Ns;
  until: Ns;
}

/** The vCPUs of a VM. */
class Gang {
  readonly units: EsxUnit[] = [];
  stopped = false;
  /** Of a stopped one: who must start at once. Empty: all that are not idle. */
  laggards: EsxUnit[] = [];
  /** pCPUs kept free for sleeping members. */
  readonly reserved = new Map<number, Reservation>();
}

class Esx extends ShareScheduler<EsxUnit> {
  private readonly params: EsxParams;
  private readonly quantum: Ns;
  private readonly keep: number;
  private readonly gangs = new Map<number, Gang>();
  /** Gangs with a member that waits: their skew may change. */
  private readonly watched = new Set<Gang>();
  private readonly stoppedGangs = new Set<Gang>();
  private readonly reservedFor: (Gang | null)[];
  /** Which pCPUs were busy since the last decision there. */
  private readonly busy: CpuSet;
  private readonly threads: number;
  /** Sleeping vCPUs of a VM keep pCPUs. */
  private readonly idlesOnPcpu: boolean;
  private readonly pools: ResourcePools;
  /** The pCPUs of each memory node. */
  private readonly nodes: readonly CpuSet[];
  private readonly homes: NumaHomes<EsxUnit> | null;
  private polling = false;
  private now: Ns = 0;

  constructor(host: SchedulerHost, settings: EsxParams) {
    const period = settings.period_ms * NS_PER_MS;
    const quantum = settings.quantum_ms * NS_PER_MS;
    const bound = settings.bound_lag_quanta * quantum;
    super(host, { period, bound });
    const { topology } = host;
    this.params = settings;
    this.quantum = quantum;
    this.keep = Math.max(1 - period / (settings.credit_age_ms * NS_PER_MS), 0);
    this.reservedFor = topology.map(() => null);
    this.busy = new CpuSet(topology.length);
    this.threads = this.cores[0].count;
    this.idlesOnPcpu = settings.coscheduling === 'strict' && !settings.idle_detection;
    this.pools = new ResourcePools(settings.resource_pools, this.cores.length, (share) => this.reservationOf(share));
    for (const pool of this.pools.withLimit) pool.enforced = this.newLimit(pool.limit);
    this.nodes = groupsBy(topology, 'node');
    const several = this.nodes.length > 1 && settings.numa_rebalance_ms > 0;
    this.homes = several ? new NumaHomes(this.nodes.length, this.cores.length / this.nodes.length) : null;
    if (several) host.arm(NUMA_TIMER, settings.numa_rebalance_ms * NS_PER_MS);
  }

  // ---- shares

  protected override makeShareUnit(task: Task, owner: VmShare): EsxUnit {
    const gang = this.gangs.get(task.vm.id) ?? new Gang();
    this.gangs.set(task.vm.id, gang);
    const unit = new EsxUnit(task, owner, gang, this.nodes);
    gang.units.push(unit);
    unit.progress = gang.units.reduce((least, { progress }) => Math.min(least, progress), gang.units[0].progress);
    unit.client = this.homes?.add(task.vm.id, unit) ?? null;
    this.setMasks(unit);
    if (gang.stopped) this.stop(unit);
    return unit;
  }

  override remove(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    const { gang } = unit;
    super.remove(task, now);
    this.homes?.remove(task.vm.id, unit);
    gang.units.splice(gang.units.indexOf(unit), 1);
    gang.laggards = gang.laggards.filter((other) => other !== unit);
    if (gang.units.length > 0) return;
    this.unreserve(gang, now);
    this.gangs.delete(task.vm.id);
    this.watched.delete(gang);
    this.stoppedGangs.delete(gang);
  }

  protected override addVm(share: VmShare): void {
    const { vm } = share;
    const pool = this.pools.admit(share, vm.params['resource_pool'] as string);
    for (let at: ResourcePool | null = pool; at !== null; at = at.parent) {
      if (at.enforced !== null) this.putUnder(share, at.enforced);
    }
    if (this.reservationOf(share) > this.limitOf(share)) {
      throw new UserError(`VM ${vm.name}: reservation_percent is above its cap`);
    }
  }

  protected override removeVm(share: VmShare): void {
    this.pools.leave(share);
  }

  protected override rootsOf(claims: ReadonlyMap<VmShare, Claimant>): readonly Claimant[] {
    return this.pools.rootsOf(claims);
  }

  protected override weightOf({ vm, units }: VmShare): number {
    const perVcpu = SHARES_PER_VCPU[vm.params['shares'] as string];
    return perVcpu === undefined ? vm.weight : perVcpu * units.length;
  }

  protected override reservationOf({ vm }: VmShare): number {
    return (vm.params['reservation_percent'] as number) / 100;
  }

  protected override capacity(): number {
    const worth = this.threads === 1 ? 1 : (this.threads * this.params.ht_charge_percent) / 100;
    return this.cores.length * worth;
  }

  protected override credited(unit: EsxUnit, earned: Ns): void {
    unit.entitled = unit.entitled * this.keep + earned;
    // What one did not use because it slept ages. A debt does not: fading, it would be a larger share; nor what one waits for.
    if (unit.credit > 0 && unit.demand < 1) unit.credit *= this.keep;
  }

  protected override rankOf(unit: EsxUnit): number {
    unit.priority = 1 - unit.credit / Math.max(unit.entitled, NS_PER_MS);
    if (unit.startOn >= 0) return COSTART;
    return unit.priority <= 1 ? UNDER : OVER;
  }

  protected override order(a: EsxUnit, b: EsxUnit): number {
    const first = Math.min(a.rank, UNDER) - Math.min(b.rank, UNDER);
    return first || a.priority - b.priority;
  }

  protected override preempts(unit: EsxUnit, running: EsxUnit): boolean {
    if (unit.rank === COSTART) return true;
    return unit.priority + this.params.preempt_percent / 100 < running.priority;
  }

  protected override sliceOf(): Ns {
    return this.quantum;
  }

  /** A vCPU pays less while it shares its core. */
  protected override burn(unit: EsxUnit, ran: Ns): void {
    unit.progress += ran;
    const shared = this.threads > 1 && this.sharesCore(unit.task.pcpu);
    const charged = shared ? Math.round((ran * this.params.ht_charge_percent) / 100) : ran;
    super.burn(unit, charged);
  }

  private sharesCore(pcpu: number): boolean {
    for (const id of this.cores[this.host.topology[pcpu].core]) if (id !== pcpu && this.busy.has(id)) return true;
    return false;
  }

  // ---- the mechanism's questions

  override pick(pcpu: number, now: Ns, current: Task | null): Decision {
    this.now = now;
    if (this.threads > 1) {
      // What the neighbours ran until now was beside whoever was here before.
      for (const id of this.cores[this.host.topology[pcpu].core]) if (id !== pcpu) this.host.settle(id);
    }
    const decision = super.pick(pcpu, now, current);
    this.busy.put(pcpu, decision.task !== null);
    const reserved = this.reservedFor[pcpu]?.reserved.get(pcpu);
    if (reserved === undefined) return decision;
    this.setIdle(pcpu, false);
    return { task: null, slice: reserved.until - now };
  }

  protected override choose(pcpu: number, now: Ns, current: EsxUnit | null): EsxUnit | null {
    if (this.keepsFree(pcpu, now)) {
      if (current !== null) this.enqueue(current, pcpu);
      return null;
    }
    // The end of a slice, or of idleness, is the moment for a stopped VM to find pCPUs.
    if (this.stoppedGangs.size > 0 && (current === null || current.sliceLeft === 0)) {
      for (const gang of this.byPriority()) {
        if (!this.costart(gang, now, pcpu)) continue;
        if (current !== null) this.enqueue(current, pcpu);
        return null;
      }
    }
    const next = super.choose(pcpu, now, current);
    if (next !== null && next.startOn >= 0) {
      next.startOn = -1;
      next.rank = this.rankOf(next);
    }
    return next;
  }

  protected override enqueue(unit: EsxUnit, pcpu: number): void {
    super.enqueue(unit, pcpu);
    this.watch(unit.gang);
  }

  protected override mayMove(unit: EsxUnit): boolean {
    return unit.startOn < 0;
  }

  protected override willPick(pcpu: number): boolean {
    return this.reservedFor[pcpu] === null;
  }

  protected override masksOf(unit: EsxUnit): readonly CpuSet[] {
    return unit.masks;
  }

  protected override woken(unit: EsxUnit, now: Ns, reason: WakeReason): void {
    this.now = now;
    if (unit.blockedSince >= 0) {
      // Sleeping is progress, but gives no lead over the siblings.
      const lead = Math.max(...unit.gang.units.map(({ progress }) => progress));
      unit.progress = Math.min(unit.progress + now - unit.blockedSince, lead);
      unit.blockedSince = -1;
    }
    const { reserved } = unit.gang;
    for (const [pcpu, entry] of reserved) {
      if (entry.unit !== unit) continue;
      this.payIdle(entry, now);
      reserved.delete(pcpu);
      this.reservedFor[pcpu] = null;
      unit.startOn = pcpu;
    }
    super.woken(unit, now, reason);
  }

  protected override place(unit: EsxUnit, now: Ns): void {
    if (unit.startOn < 0) {
      if (unit.home >= 0 && this.idleFor(unit) < 0) unit.home = this.weakestNear(unit);
      super.place(unit, now);
      return;
    }
    this.enqueue(unit, unit.startOn);
    this.alert(unit.startOn);
  }

  /** Of a few pCPUs, its home first: where the one runs that consumed most, if it may be replaced; else its home. */
  private weakestNear(unit: EsxUnit): number {
    const [mask] = unit.masks;
    let best = unit.home;
    let most = this.onPcpu[best]?.priority ?? Infinity;
    let pcpu = unit.home;
    for (let looked = 1; looked < CANDIDATES; looked++) {
      pcpu = mask.next(pcpu);
      if (pcpu < 0 || pcpu === unit.home) break;
      const running = this.onPcpu[pcpu];
      if (running === null || running.priority <= most || !this.preempts(unit, running)) continue;
      best = pcpu;
      most = running.priority;
    }
    return best;
  }

  override sleep(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    const ran = unit.running;
    super.sleep(task, now);
    unit.startOn = -1;
    if (task.state !== STATE_BLOCKED) return;
    unit.blockedSince = now;
    if (!this.idlesOnPcpu || unit.gang.units.length === 1) return;
    // Nobody can tell that it idles: it wants a pCPU as before.
    unit.awakeSince = now;
    if (ran && !unit.gang.stopped) this.reserve(unit, unit.home, now);
  }

  override timer(timer: number, now: Ns): void {
    this.now = now;
    if (timer === POLL_TIMER) this.poll(now);
    else if (timer === NUMA_TIMER) {
      this.host.arm(NUMA_TIMER, now + this.params.numa_rebalance_ms * NS_PER_MS);
      for (const unit of this.homes!.balance().flatMap(({ members }) => members)) {
        this.setMasks(unit);
        this.host.note('home', unit.task, unit.task.pcpu);
      }
    } else super.timer(timer, now);
  }

  // ---- co-scheduling

  private watch(gang: Gang): void {
    if (gang.units.length < 2) return;
    this.watched.add(gang);
    if (this.polling) return;
    this.polling = true;
    const step = this.params.poll_us * NS_PER_US;
    this.host.arm(POLL_TIMER, (Math.floor(this.now / step) + 1) * step);
  }

  private poll(now: Ns): void {
    this.polling = false;
    for (const gang of this.watched) {
      if (gang.stopped) {
        this.costart(gang, now, -1);
      } else if (!gang.units.some(({ task }) => task.state === STATE_READY || task.state === STATE_COSTOPPED)) {
        this.watched.delete(gang);
        continue;
      } else {
        for (const { task } of gang.units) if (task.state === STATE_RUNNING) this.host.settle(task.pcpu);
        for (const entry of gang.reserved.values()) this.payIdle(entry, now);
        this.keepTogether(gang, now);
      }
      this.watch(gang);
    }
  }

  private keepTogether(gang: Gang, now: Ns): void {
    const costop = this.params.costop_us * NS_PER_US;
    const costart = this.params.costart_us * NS_PER_US;
    const idle = new Set([...gang.reserved.values()].map(({ unit }) => unit));
    const counted = gang.units.filter((unit) => wantsCpu(unit) || idle.has(unit));
    const least = Math.min(...counted.map(({ progress }) => progress));
    const most = Math.max(...counted.map(({ progress }) => progress));
    if (this.params.coscheduling === 'relaxed-4') {
      for (const unit of counted) {
        const skew = unit.progress - least;
        if (!unit.stopped && unit.task.state === STATE_RUNNING && skew > costop) this.stop(unit);
        else if (unit.stopped && skew < costart) this.restart(unit);
      }
      // Those that fell asleep meanwhile are not kept from waking up.
      for (const unit of gang.units) if (unit.stopped && !counted.includes(unit)) this.restart(unit);
      return;
    }
    if (most - least <= costop) return;
    const all = this.params.coscheduling === 'strict';
    this.stopAll(gang, all ? [] : counted.filter(({ progress }) => most - progress > costop), now);
  }

  private stopAll(gang: Gang, laggards: EsxUnit[], now: Ns): void {
    gang.stopped = true;
    gang.laggards = laggards;
    this.stoppedGangs.add(gang);
    this.unreserve(gang, now);
    for (const unit of gang.units) if (!unit.stopped) this.stop(unit);
  }

  private stop(unit: EsxUnit): void {
    unit.stopped = true;
    this.host.hold(unit.task, 'costop');
    this.host.note('costop', unit.task, unit.task.pcpu);
  }

  private restart(unit: EsxUnit): void {
    unit.stopped = false;
    this.host.release(unit.task, 'costop');
  }

  private byPriority(): Gang[] {
    return [...this.stoppedGangs].sort(
      (a, b) => meanPriority(a) - meanPriority(b) || a.units[0].task.id - b.units[0].task.id,
    );
  }

  /** Starts a stopped VM if there are pCPUs for all that must start at once; `deciding` is one that is free now. */
  private costart(gang: Gang, now: Ns, deciding: number): boolean {
    const needs = (unit: EsxUnit): boolean => wantsCpu(unit) || (this.idlesOnPcpu && unit.task.state === STATE_BLOCKED);
    if (!gang.units.some(wantsCpu)) {
      // All asleep: it starts when one wakes up.
      this.resume(gang);
      return false;
    }
    const wanted = gang.laggards.filter(wantsCpu);
    const need = wanted.length > 0 ? wanted : gang.units.filter(needs);
    const places = this.placesFor(gang, need, deciding);
    if (places === null) return false;
    for (const [i, unit] of need.entries()) {
      if (unit.task.state === STATE_BLOCKED) this.reserve(unit, places[i], now);
      else {
        unit.startOn = places[i];
        unit.progress = Math.max(...gang.units.map(({ progress }) => progress));
      }
    }
    // Those that need not start at once start level as well.
    for (const unit of gang.units) unit.progress = Math.max(...gang.units.map(({ progress }) => progress));
    this.resume(gang);
    return true;
  }

  private resume(gang: Gang): void {
    gang.stopped = false;
    gang.laggards = [];
    this.stoppedGangs.delete(gang);
    for (const unit of gang.units) this.restart(unit);
  }

  /** A pCPU for each: free, or with somebody who consumed more of its entitlement and may be replaced; null if too few. */
  private placesFor(gang: Gang, need: readonly EsxUnit[], deciding: number): number[] | null {
    const priority = need.reduce((sum, unit) => sum + unit.priority, 0) / need.length;
    const free = this.idlers.clone();
    for (const [pcpu, running] of this.onPcpu.entries()) {
      if (this.reservedFor[pcpu] !== null) continue;
      if (running !== null && deciding >= 0 && running.gang !== gang && running.priority > priority) free.add(pcpu);
    }
    const taken = new Map<EsxUnit, number>();
    const picky = [...need].sort((a, b) => a.task.hard.count - b.task.hard.count || a.task.id - b.task.id);
    for (const unit of picky) {
      const { home } = unit;
      const fits = free.has(home) && unit.task.hard.has(home);
      const place = fits ? home : free.nextIn(unit.task.hard, Math.max(home, 0));
      if (place < 0) return null;
      free.delete(place);
      taken.set(unit, place);
    }
    return need.map((unit) => taken.get(unit)!);
  }

  private reserve(unit: EsxUnit, pcpu: number, now: Ns): void {
    unit.gang.reserved.set(pcpu, { unit, since: now, until: now + this.quantum });
    this.reservedFor[pcpu] = unit.gang;
    this.alert(pcpu);
  }

  /** Is it kept for a vCPU that idles there? Not beyond its slice, if somebody is here who consumed less. */
  private keepsFree(pcpu: number, now: Ns): boolean {
    const gang = this.reservedFor[pcpu];
    if (gang === null) return false;
    const entry = gang.reserved.get(pcpu)!;
    if (now < entry.until) return true;
    this.payIdle(entry, now);
    entry.unit.rank = this.rankOf(entry.unit);
    const rival = this.firstFor(pcpu);
    if ((rival !== null && rival.priority < entry.unit.priority) || this.keepsStopped(gang, pcpu)) {
      this.stopAll(gang, [], now);
      this.watch(gang);
      return false;
    }
    entry.until = now + this.quantum;
    return true;
  }

  /** Is a VM that consumed less, and could use the pCPU, stopped as a whole? Its vCPUs are in no queue. */
  private keepsStopped(gang: Gang, pcpu: number): boolean {
    const ours = meanPriority(gang);
    for (const other of this.stoppedGangs) {
      const isRival = other.units.some((unit) => wantsCpu(unit) && unit.task.hard.has(pcpu));
      if (isRival && meanPriority(other) < ours) return true;
    }
    return false;
  }

  private unreserve(gang: Gang, now: Ns): void {
    for (const [pcpu, entry] of gang.reserved) {
      this.payIdle(entry, now);
      this.reservedFor[pcpu] = null;
      this.alert(pcpu);
    }
    gang.reserved.clear();
  }

  /** A vCPU that idles on a pCPU kept for it consumes and progresses. */
  private payIdle(entry: Reservation, now: Ns): void {
    const { unit } = entry;
    unit.progress += now - entry.since;
    unit.credit -= now - entry.since;
    unit.used += now - entry.since;
    unit.blockedSince = now;
    entry.since = now;
  }

  private setMasks(unit: EsxUnit): void {
    const { hard, soft } = unit.task;
    const node = unit.client === null ? null : this.nodes[unit.client.node];
    const first = soft ?? (node?.meets(hard) === true ? hard.intersect(node) : hard);
    unit.masks = first === hard ? [hard] : [first, hard];
  }
}

function meanPriority({ units }: Gang): number {
  return units.reduce((sum, unit) => sum + unit.priority, 0) / units.length;
}

/** Would it run if it could? Paused, sleeping and ended ones would not. */
function wantsCpu({ task }: EsxUnit): boolean {
  return task.state === STATE_RUNNING || task.state === STATE_READY || task.state === STATE_COSTOPPED;
}

export const esx = definePolicy({
  name: 'esx',
  summary: 'like VMware ESX: shares, reservation, limit, resource pools, and co-scheduling of the vCPUs of a VM',
  origin: 'VMware ESX 2 to 5',
  basis: 'our reconstruction',
  traits: { weights: {}, caps: {} },
  params,
  vmParams,
  make: (host, settings) => new Esx(host, settings),
});

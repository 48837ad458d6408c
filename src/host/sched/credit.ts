/**
 * The credit scheduler of Xen 3.0.3 to 4.11 ("credit1"), present rules: exact burning, weight per vCPU, caps by parking,
 * boost on wake-up, rate limit, tickling of idle pCPUs, stealing, placement by socket and core.
 * Invariants: the queue of a pCPU is ordered by priority, first in first out inside one; a unit that runs, is parked or
 * is blocked is in no queue; total weight = sum over the active units of the weight of their VM.
 * Source: the rules of xen/common/sched/credit.c as of 2026 (facts only; own code), golden vectors in the test.
 */
import { divCeil, NS_PER_MS, NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  type Decision,
  definePolicy,
  type Scheduler,
  type SchedulerHost,
  type SchedVm,
  type Task,
  type WakeReason,
} from '../scheduler.ts';
import { CountedCpuSet, CpuSet, groupsBy } from '../topology.ts';

const params = {
  tslice_ms: {
    kind: 'integer',
    min: 1,
    max: 1000,
    default: 30,
    meaning: 'longest slice, and period of the accounting',
  },
  ratelimit_us: {
    kind: 'integer',
    min: 100,
    max: 500_000,
    also: 0,
    default: 1000,
    meaning: 'a running vCPU is not replaced before it ran that long; 0 switches that off',
  },
  migration_delay_us: {
    kind: 'integer',
    min: 0,
    max: 100_000,
    default: 0,
    meaning: 'a vCPU that ran less than this ago is cache hot and not stolen',
  },
  load_balance_ratelimit_us: {
    kind: 'integer',
    min: 0,
    max: 1_000_000,
    default: 1000,
    meaning: 'pause of a pCPU between two attempts to steal; an idle one then waits for the next wake-up',
  },
  tickle_one_idle_cpu: {
    kind: 'flag',
    default: true,
    meaning: 'a wake-up alerts one suitable idle pCPU, not all of them',
  },
  boost: { kind: 'flag', default: true, meaning: 'a vCPU within its share goes first when it wakes up' },
  accounting: {
    kind: 'choice',
    of: ['exact', 'tick'],
    default: 'exact',
    meaning: 'burn the time really run, or (until 2009) a whole tick from whoever runs at the tick',
  },
  weight_per: {
    kind: 'choice',
    of: ['vcpu', 'vm'],
    default: 'vcpu',
    meaning: 'the weight of a VM counts once for each active vCPU, or (until 2010) once',
  },
  deactivation: {
    kind: 'choice',
    of: ['halve', 'zero'],
    default: 'halve',
    meaning: 'what becomes of the credit of a vCPU that has more than a period of it: half remains, or (older) nothing',
  },
  boost_on_migration: { kind: 'flag', default: false, meaning: 'a vCPU that is moved goes first (until 2016)' },
  boost_on_unpark: { kind: 'flag', default: false, meaning: 'a vCPU whose cap lets it go on goes first (until 2019)' },
  queue_order: {
    kind: 'choice',
    of: ['fifo', 'credit'],
    default: 'fifo',
    meaning: 'order inside a priority: of arrival, or by remaining credit (Ongaro et al. 2008)',
  },
  tickle_on_event: {
    kind: 'flag',
    default: true,
    meaning: 'a wake-up may preempt; if not, a busy pCPU looks when its slice is over (Ongaro et al. 2008)',
  },
} as const satisfies ParamSet;
type CreditParams = ValuesOf<typeof params>;

const BOOST = 0;
const UNDER = -1;
const OVER = -2;
const IDLE = -64;

const CREDITS_PER_MS = 10;
const TICKS_PER_SLICE = 3;
/** Passes over the queues of others: for tasks that prefer this pCPU, and for all. */
const BOTH = [true, false] as const;
const HARD_ONLY = [false] as const;

const MIN_TIMER_NS = 100 * NS_PER_US;

/** What the scheduler knows of a task. */
class Unit {
  readonly task: Task;
  readonly domain: Domain;
  /** Home pCPU: the one whose queue it uses. */
  pcpu: number;
  credit = 0;
  /** Burned time that does not make a whole credit yet, in 10^-6 credits. */
  residual = 0;
  priority = UNDER;
  active = false;
  parked = false;
  yielding = false;
  /** Moves to another pCPU at its next wake or pick. A wake with this flag set is not boosted. */
  migrating = true;
  queued = false;
  /** Counted in `softTasks`. */
  hasSoft = false;
  /** When it last left a pCPU. */
  lastRan: Ns = -Infinity;

  constructor(task: Task, domain: Domain, pcpu: number) {
    this.task = task;
    this.domain = domain;
    this.pcpu = pcpu;
  }
}

class Domain {
  readonly vm: SchedVm;
  readonly active: Unit[] = [];

  constructor(vm: SchedVm) {
    this.vm = vm;
  }
}

/** Per pCPU. */
class RunQueue {
  readonly units: Unit[] = [];
  lastBalance: Ns = -Infinity;
  lastTickled: number;
  idleBias: number;
  sortedAt = 0;

  constructor(pcpu: number) {
    this.lastTickled = pcpu;
    this.idleBias = pcpu;
  }
}

/** Is the place of `unit`, which comes to a queue, before that of `member`? */
function goesBefore(unit: Unit, member: Unit, byCredit: boolean): boolean {
  if (member.priority !== unit.priority) return member.priority < unit.priority;
  return byCredit && member.credit < unit.credit && !unit.yielding;
}

class Credit implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly params: CreditParams;
  private readonly tsliceNs: Ns;
  private readonly tickNs: Ns;
  private readonly ratelimitNs: Ns;
  private readonly creditsPerTslice: number;
  private readonly creditsPerTick: number;

  private readonly units: Unit[] = [];
  private readonly domains: Domain[] = [];
  private readonly queues: RunQueue[];
  /** Who runs where, as of the last `pick`; null for idle. */
  private readonly running: (Unit | null)[];
  /** pCPUs that are idle and have not been tickled. */
  private readonly idlers: CountedCpuSet;
  /** pCPUs with units in their queues, and those of them whose head is not over its share. */
  private readonly loaded: CpuSet;
  private readonly urgent: CpuSet;
  /** For `choosePcpu`, which is asked at every tick: the idle pCPUs that suit a unit that may not run everywhere. */
  private readonly suitable: CountedCpuSet;
  /** Tasks that have a soft affinity; without any nobody looks for them. */
  private softTasks = 0;
  private readonly siblings: { readonly core: readonly CpuSet[]; readonly socket: readonly CpuSet[] };
  /** The pCPUs of each memory node. */
  private readonly nodes: readonly CpuSet[];
  /** First pCPU to be looked at by the next steal from a node. */
  private readonly balanceBias: number[];

  private activeDomains: Domain[] = [];
  private weight = 0;
  private balance = 0;
  private sortEpoch = 0;
  /** Timer id of the accounting; the lower ids are the ticks of the pCPUs, so they come first at equal times. */
  private readonly accountingTimer: number;

  constructor(host: SchedulerHost, settings: CreditParams) {
    this.host = host;
    this.params = settings;
    const ticks = settings.tslice_ms < TICKS_PER_SLICE ? 1 : TICKS_PER_SLICE;
    this.tsliceNs = settings.tslice_ms * NS_PER_MS;
    this.tickNs = Math.floor(this.tsliceNs / ticks);
    this.ratelimitNs = Math.min(settings.ratelimit_us * NS_PER_US, this.tsliceNs);
    this.creditsPerTslice = settings.tslice_ms * CREDITS_PER_MS;
    this.creditsPerTick = Math.floor(this.creditsPerTslice / ticks);
    this.queues = host.topology.map((place) => new RunQueue(place.id));
    this.running = host.topology.map(() => null);
    const size = host.topology.length;
    this.idlers = new CountedCpuSet(host.topology);
    for (const place of host.topology) this.idlers.add(place.id);
    this.loaded = new CpuSet(size);
    this.urgent = new CpuSet(size);
    this.suitable = new CountedCpuSet(host.topology);
    this.siblings = { core: groupsBy(host.topology, 'core'), socket: groupsBy(host.topology, 'socket') };
    this.nodes = groupsBy(host.topology, 'node');
    this.balanceBias = this.nodes.map(() => host.topology.length - 1);
    this.accountingTimer = host.topology.length;
    for (const place of host.topology) host.arm(place.id, this.tickNs);
    host.arm(this.accountingTimer, this.tsliceNs);
  }

  add(task: Task): void {
    this.domains[task.vm.id] ??= new Domain(task.vm);
    const unit = new Unit(task, this.domains[task.vm.id], task.id % this.queues.length);
    this.units[task.id] = unit;
    this.countSoft(unit, task.soft !== null);
    unit.pcpu = this.choosePcpu(unit, true);
  }

  remove(task: Task): void {
    const unit = this.units[task.id];
    this.countSoft(unit, false);
    if (!unit.active) return;
    this.deactivate(unit);
    this.forgetInactive();
  }

  /** The weight of a VM changed: its active units count differently from now on. */
  change(): void {
    this.weight = 0;
    for (const domain of this.activeDomains) this.weight += domain.vm.weight * domain.active.length;
  }

  affinity(task: Task): void {
    const unit = this.units[task.id];
    this.countSoft(unit, task.soft !== null);
    if (!task.hard.has(unit.pcpu)) unit.pcpu = this.choosePcpu(unit, true);
  }

  wake(task: Task, _now: Ns, reason: WakeReason): void {
    const unit = this.units[task.id];
    // Only an event boosts: neither the start, nor (today) a migration, nor the end of being parked.
    const boosts = reason === 'wake' ? !unit.migrating : reason === 'release' && this.params.boost_on_unpark;
    if (boosts) this.boost(unit);
    unit.migrating = false;
    this.insert(unit);
    this.tickle(unit, reason === 'wake');
  }

  private boost(unit: Unit): void {
    if (!this.params.boost || unit.priority !== UNDER) return;
    unit.priority = BOOST;
    this.host.note('boost', unit.task, unit.pcpu);
  }

  sleep(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    if (unit.queued) this.dequeue(unit);
    else unit.lastRan = now;
  }

  yield(task: Task): void {
    this.units[task.id].yielding = true;
  }

  charge(task: Task, ran: Ns): void {
    if (this.params.accounting === 'tick') return;
    const unit = this.units[task.id];
    const burned = unit.residual + ran * CREDITS_PER_MS;
    unit.credit -= Math.floor(burned / NS_PER_MS);
    unit.residual = burned % NS_PER_MS;
  }

  timer(id: number, now: Ns): void {
    if (id === this.accountingTimer) {
      this.account();
      this.host.arm(id, now + this.tsliceNs);
    } else {
      this.tick(id);
      this.host.arm(id, now + this.tickNs);
    }
  }

  pick(pcpu: number, now: Ns, current: Task | null): Decision {
    const unit = current === null ? null : this.units[current.id];
    if (unit !== null && !unit.yielding && !unit.migrating) {
      const ran = now - unit.task.since;
      if (ran < this.ratelimitNs) {
        // The source tests the time run, not the time that remains, before it applies the shortest timer.
        return { task: current, slice: ran < MIN_TIMER_NS ? MIN_TIMER_NS : this.ratelimitNs - ran };
      }
    }
    if (unit !== null) {
      unit.lastRan = now;
      if (!unit.migrating) this.insert(unit);
    }
    const next = this.choose(pcpu, now);
    this.setRunning(pcpu, now, next);
    // As in the source, a unit that migrates is placed after its old pCPU has made its choice.
    if (unit?.migrating === true) this.migrate(unit);
    return next === null ? { task: null, slice: Infinity } : { task: next.task, slice: this.tsliceNs };
  }

  /** The head of the queue, or something better from another pCPU. */
  private choose(pcpu: number, now: Ns): Unit | null {
    const queue = this.queues[pcpu];
    const head = queue.units[0] ?? null;
    const priority = head === null ? IDLE : head.priority;
    const pause = this.params.load_balance_ratelimit_us * NS_PER_US;
    if (priority <= OVER && (pause === 0 || now - queue.lastBalance > pause)) {
      queue.lastBalance = now;
      const stolen = this.steal(pcpu, now, priority);
      if (stolen !== null) return stolen;
    }
    if (head !== null) this.dequeue(head);
    return head;
  }

  private setRunning(pcpu: number, now: Ns, next: Unit | null): void {
    const wasIdle = this.running[pcpu] === null;
    this.running[pcpu] = next;
    this.idlers.put(pcpu, next === null);
    if (next === null) this.host.disarm(pcpu);
    else if (wasIdle) this.host.arm(pcpu, now + this.tickNs - (now % this.tickNs));
  }

  // ---- queues

  private insert(unit: Unit): void {
    const { units } = this.queues[unit.pcpu];
    const sorted = this.params.queue_order === 'credit';
    let at = 0;
    while (at < units.length && !goesBefore(unit, units[at], sorted)) at++;
    // A yielding unit lets exactly one unit of lower priority go first.
    if (at < units.length && unit.yielding) at++;
    if (at >= units.length) units.push(unit);
    else units.splice(at, 0, unit);
    unit.queued = true;
    this.mark(unit.pcpu);
  }

  /** Keeps the sets of pCPUs to steal from in step with a queue. */
  private mark(pcpu: number): void {
    const head = this.queues[pcpu].units[0];
    this.loaded.put(pcpu, head !== undefined);
    this.urgent.put(pcpu, head !== undefined && head.priority > OVER);
  }

  private dequeue(unit: Unit): void {
    const { units } = this.queues[unit.pcpu];
    if (units[0] === unit) units.shift();
    else units.splice(units.indexOf(unit), 1);
    this.mark(unit.pcpu);
    unit.queued = false;
    unit.yielding = false;
  }

  /** Priorities changed in the queue: units within their share go before those over it, otherwise keeping their order. */
  private sort(pcpu: number): void {
    const queue = this.queues[pcpu];
    if (queue.sortedAt === this.sortEpoch) return;
    queue.sortedAt = this.sortEpoch;
    const under = queue.units.filter((unit) => unit.priority >= UNDER);
    const over = queue.units.filter((unit) => unit.priority < UNDER);
    queue.units.splice(0, queue.units.length, ...under, ...over);
    if (this.params.queue_order === 'credit') {
      queue.units.sort((a, b) => b.priority - a.priority || b.credit - a.credit);
    }
    this.mark(pcpu);
  }

  // ---- which pCPU looks at a unit that woke up

  /** @param event it was woken by an event, which a variant does not let preempt anybody */
  private tickle(unit: Unit, event: boolean): void {
    const home = unit.pcpu;
    const current = this.running[home];
    const priority = current === null ? IDLE : current.priority;
    const idle = this.idlers.count;
    const preempts = unit.priority > priority && (!event || this.params.tickle_on_event);
    const pinned = unit.task.hard.count === 1;
    if ((pinned && this.idlers.has(home)) || current === null || (idle === 0 && preempts)) {
      this.alert(home);
      return;
    }
    if (idle === 0) return;
    const passes = unit.task.soft === null ? [unit.task.hard] : [unit.task.soft, unit.task.hard];
    for (const mask of passes) {
      const queue = this.queues[home];
      const suitable = this.idlers.nextIn(mask, queue.lastTickled);
      if (suitable < 0) continue;
      if (this.params.tickle_one_idle_cpu) {
        queue.lastTickled = suitable;
        this.alert(suitable);
      } else {
        for (const pcpu of this.idlers.intersect(mask)) this.alert(pcpu);
      }
      return;
    }
    // Nobody suitable is idle. (The source then also makes the present unit migrate if an idle pCPU exists in the hard
    // mask, but tests the mask of the new unit, for which it has just found none: that never happens.)
    if (preempts) this.alert(home);
  }

  private alert(pcpu: number): void {
    this.idlers.delete(pcpu);
    this.host.resched(pcpu);
  }

  // ---- placement and balance

  /** The unit leaves its pCPU for the one that suits it best. */
  private migrate(unit: Unit): void {
    unit.migrating = false;
    unit.pcpu = this.choosePcpu(unit, true);
    this.host.note('migrate', unit.task, unit.pcpu);
    if (this.params.boost_on_migration) this.boost(unit);
    this.insert(unit);
    this.tickle(unit, false);
  }

  /** The best idle pCPU for a unit: on the emptiest core of its socket, or of a socket more than twice as idle. */
  private choosePcpu(unit: Unit, commit: boolean): number {
    const { hard, soft } = unit.task;
    let pcpu = unit.pcpu;
    const alone = this.isAloneOn(unit, unit.pcpu);
    for (const mask of soft === null ? [hard] : [soft, hard]) {
      pcpu = mask.has(unit.pcpu) ? unit.pcpu : mask.next(unit.pcpu);
      const own = alone && mask.has(unit.pcpu);
      if (!this.idlers.meets(mask)) {
        if (own) return unit.pcpu;
        continue;
      }
      const idle = mask.count === mask.size ? this.idlers : this.suitable;
      if (idle === this.suitable) idle.assign(this.idlers, mask);
      const joins = own && !idle.has(unit.pcpu);
      if (joins) idle.add(unit.pcpu);
      if (!idle.has(pcpu)) pcpu = idle.next(pcpu);
      const best = this.improve(pcpu, idle, commit);
      if (joins) idle.delete(unit.pcpu);
      return best;
    }
    return pcpu;
  }

  /** Goes on to better pCPUs as long as there are any. */
  private improve(start: number, idle: CountedCpuSet, commit: boolean): number {
    const { topology } = this.host;
    let best = start;
    for (;;) {
      const other = this.betterThan(best, idle);
      if (other < 0) return best;
      const level = topology[other].socket === topology[best].socket ? 'core' : 'socket';
      const queue = this.queues[other];
      best = idle.nextIn(this.siblings[level][topology[other][level]], queue.idleBias);
      if (commit) queue.idleBias = best;
    }
  }

  /**
   * The first idle pCPU after `best`, in cyclic order, whose core has more idle threads (in the same socket) or whose
   * socket has more than twice as many idle pCPUs; -1 for none. A pCPU that was not better than an earlier `best` is not
   * better than a later one, so that nothing is to be remembered between two calls.
   */
  private betterThan(best: number, idle: CountedCpuSet): number {
    const { topology } = this.host;
    const { core: cores, socket: sockets } = this.siblings;
    const { core, socket } = topology[best];
    const isBetter = (pcpu: number): boolean => idle.inCore[topology[pcpu].core] > idle.inCore[core];
    // Where every core has one thread, none has more idle ones than another.
    const firstNear = cores.length === topology.length ? -1 : best;
    const near = sockets[socket];
    for (let pcpu = firstNear; pcpu >= 0; ) {
      pcpu = idle.nextIn(near, pcpu);
      if (pcpu <= best) break;
      if (isBetter(pcpu)) return pcpu;
    }
    for (let step = 1; step < sockets.length; step++) {
      const far = (socket + step) % sockets.length;
      if (idle.inSocket[far] > 2 * idle.inSocket[socket]) return idle.firstIn(sockets[far]);
    }
    for (let pcpu = firstNear < 0 ? -1 : idle.firstIn(near); pcpu >= 0 && pcpu < best; pcpu = idle.nextIn(near, pcpu)) {
      if (isBetter(pcpu)) return pcpu;
    }
    return -1;
  }

  /** Would `pcpu` be idle without this unit? */
  private isAloneOn(unit: Unit, pcpu: number): boolean {
    return this.running[pcpu] === unit && this.queues[pcpu].units.length === 0;
  }

  private countSoft(unit: Unit, hasSoft: boolean): void {
    if (unit.hasSoft !== hasSoft) this.softTasks += hasSoft ? 1 : -1;
    unit.hasSoft = hasSoft;
  }

  /** Takes a unit of higher priority than `priority` from the queue of another busy pCPU. */
  private steal(pcpu: number, now: Ns, priority: number): Unit | null {
    // Those with an empty queue have nothing to steal; one that has work over its share wants better work only.
    const victims = priority === OVER ? this.urgent : this.loaded;
    if (victims.count === 0) return null;
    const own = this.host.topology[pcpu].node;
    for (const bySoft of this.softTasks > 0 ? BOTH : HARD_ONLY) {
      for (let step = 0; step < this.nodes.length; step++) {
        // On to the next node that has victims: the pCPUs of a node are neighbours.
        const from = this.nodes[(own + step) % this.nodes.length].first();
        const { node } = this.host.topology[victims.next(from - 1)];
        const there = (node - own + this.nodes.length) % this.nodes.length;
        if (there < step) break;
        step = there;
        const peers = this.nodes[node];
        const first = victims.nextIn(peers, this.balanceBias[node]);
        for (let peer = first; peer >= 0; ) {
          const unit =
            peer === pcpu || this.idlers.has(peer) ? null : this.stealFrom(peer, pcpu, now, priority, bySoft);
          if (unit !== null) {
            this.balanceBias[node] = peer;
            return unit;
          }
          peer = victims.nextIn(peers, peer);
          if (peer === first) break;
        }
      }
    }
    return null;
  }

  private stealFrom(peer: number, pcpu: number, now: Ns, priority: number, bySoft: boolean): Unit | null {
    const { units } = this.queues[peer];
    const running = this.running[peer] === null ? 0 : 1;
    if (units.length + running <= 1) return null;
    for (const unit of units) {
      if (unit.priority <= priority) return null;
      if (unit.yielding) continue;
      const mask = bySoft ? unit.task.soft : unit.task.hard;
      if (mask === null || !mask.has(pcpu)) continue;
      if (now - unit.lastRan < this.params.migration_delay_us * NS_PER_US) continue;
      this.dequeue(unit);
      unit.pcpu = pcpu;
      this.host.note('steal', unit.task, pcpu);
      return unit;
    }
    return null;
  }

  // ---- ticks and accounting

  private tick(pcpu: number): void {
    const unit = this.running[pcpu];
    if (unit !== null) {
      if (unit.priority === BOOST) unit.priority = UNDER;
      this.host.settle(pcpu);
      if (this.params.accounting === 'tick') unit.credit -= this.creditsPerTick;
      if (!unit.active) this.activate(unit);
      else if (this.choosePcpu(unit, false) !== pcpu) {
        unit.migrating = true;
        this.host.resched(pcpu);
      }
    }
    this.sort(pcpu);
  }

  private activate(unit: Unit): void {
    const { domain } = unit;
    unit.active = true;
    domain.active.unshift(unit);
    this.weight += domain.vm.weight;
    if (domain.active.length === 1) this.activeDomains.unshift(domain);
  }

  private deactivate(unit: Unit): void {
    const { domain } = unit;
    unit.active = false;
    domain.active.splice(domain.active.indexOf(unit), 1);
    this.weight -= domain.vm.weight;
  }

  private forgetInactive(): void {
    this.activeDomains = this.activeDomains.filter(({ active }) => active.length > 0);
  }

  /** Hands out the credits of one period to the active domains, in the order of their list. */
  private account(): void {
    const total = this.creditsPerTslice * this.queues.length;
    const shares = shareCredits({
      domains: this.activeDomains.map(({ vm, active }) => ({
        weight: vm.weight,
        cap: vm.capPercent,
        units: active.length,
      })),
      total,
      creditsPerTslice: this.creditsPerTslice,
      balance: this.balance,
      weightPer: this.params.weight_per,
    });
    this.balance = 0;
    const domains = [...this.activeDomains];
    // A domain with a surplus that came after one that wanted more goes first from now on, so that its surplus gets there.
    const first = domains.filter((_, i) => shares[i].toHead).toReversed();
    if (first.length > 0) this.activeDomains = [...first, ...domains.filter((_, i) => !shares[i].toHead)];
    if (domains.length === 0) return;
    for (const [i, { perUnit, parkBelow }] of shares.entries()) {
      for (const unit of domains[i].active.slice()) this.give(unit, perUnit, parkBelow);
    }
    this.forgetInactive();
    this.sortEpoch++;
  }

  private give(unit: Unit, credits: number, parkBelow: number): void {
    unit.credit += credits;
    if (unit.credit < 0) {
      unit.priority = OVER;
      if (unit.credit < parkBelow && !unit.parked) {
        unit.parked = true;
        this.host.hold(unit.task, 'park');
      }
      unit.credit = Math.max(unit.credit, -this.creditsPerTslice);
    } else {
      unit.priority = UNDER;
      if (unit.parked) {
        unit.parked = false;
        this.host.release(unit.task, 'park');
      }
      if (unit.credit > this.creditsPerTslice) {
        this.deactivate(unit);
        unit.credit = this.params.deactivation === 'zero' ? 0 : Math.floor(unit.credit / 2);
      }
    }
    if (unit.queued) this.mark(unit.pcpu);
    this.balance += unit.credit;
  }
}

/** One active domain at an accounting. */
export interface CreditClaim {
  readonly weight: number;
  /** Percent of one pCPU, 0 for none. */
  readonly cap: number;
  readonly units: number;
}

export interface CreditShare {
  readonly perUnit: number;
  /** A unit is parked when its credit is below this; -Infinity without a cap. */
  readonly parkBelow: number;
  readonly toHead: boolean;
}

/** The credits of one period for each domain: what it cannot use is passed on, but only to the domains after it. */
export function shareCredits(period: {
  readonly domains: readonly CreditClaim[];
  readonly total: number;
  readonly creditsPerTslice: number;
  /** Sum of the credits after the last accounting. */
  readonly balance: number;
  /** Default: vcpu. */
  readonly weightPer?: 'vcpu' | 'vm';
}): CreditShare[] {
  const { domains, creditsPerTslice, balance, weightPer = 'vcpu' } = period;
  const weightOf = ({ weight, units }: CreditClaim): number => (weightPer === 'vm' ? weight : weight * units);
  const weights = domains.reduce((sum, domain) => sum + weightOf(domain), 0);
  const debt = balance < 0 ? -balance : 0;
  let total = period.total + debt;
  let weightLeft = weights;
  let someoneWantsMore = false;
  return domains.map((domain) => {
    const { cap, units } = domain;
    const own = weightOf(domain);
    weightLeft -= own;
    let peak = creditsPerTslice * units + divCeil(debt * own, weights);
    let parkBelow = -Infinity;
    if (cap > 0) {
      const capCredits = divCeil(cap * creditsPerTslice, 100);
      peak = Math.min(peak, capCredits);
      parkBelow = -divCeil(capCredits, units);
    }
    let fair = divCeil(total * own, weights);
    let toHead = false;
    if (fair < peak) {
      someoneWantsMore = true;
    } else {
      if (weightLeft > 0) total += divCeil((fair - peak) * weights, weightLeft);
      toHead = someoneWantsMore;
      fair = peak;
    }
    return { perUnit: divCeil(fair, units), parkBelow, toHead };
  });
}

export const credit = definePolicy({
  name: 'credit',
  summary: 'Xen credit: proportional share with caps, boost on wake-up, work stealing',
  origin: 'Xen 3.0.3 to now',
  basis: 'source',
  traits: { weights: {}, caps: {} },
  params,
  make: (host, settings) => new Credit(host, settings),
});

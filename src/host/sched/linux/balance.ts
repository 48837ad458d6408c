/**
 * Load balancing of the fair class over domains: threads of a core, cores of a socket, sockets of the host. A pCPU pulls
 * from the busiest group of a domain: now and then while it is busy, when it becomes idle, and when a pCPU with more than
 * one thread finds an idle one. A running thread is pushed when pulling has failed repeatedly.
 * Invariant: only the pCPUs of the domain in question are looked at, and a domain is looked at more rarely the larger it is.
 * Source: intervals, thresholds and limits of kernel/sched/fair.c (facts only). How much is moved is our reconstruction:
 * from load per pCPU when both sides are busy, from numbers of threads when there are idle pCPUs.
 */
import { NS_PER_MS, type Ns } from '../../../core/units.ts';
import type { SchedulerHost } from '../../scheduler.ts';
import { CpuSet } from '../../topology.ts';
import type { Rq, Thread } from './rq.ts';

/** Threads that one balance moves at most. */
const MOVES_MAX = 32;
/** A busy pCPU balances so much more rarely than an idle one. */
const BUSY_FACTOR = 16;
/** Failures beyond `cacheTries` after which a running thread is pushed. */
const PUSH_AFTER = 2;

export interface Domain {
  readonly level: 'core' | 'socket' | 'host';
  readonly span: CpuSet;
  /** The domains below, or single pCPUs; the pCPUs of each. */
  readonly groups: readonly (readonly number[])[];
  /** Which group a pCPU of the span is in. */
  readonly groupOf: ReadonlyMap<number, number>;
  /** Where a pCPU is among those of the span. */
  readonly position: ReadonlyMap<number, number>;
  /** A group is busier when its load per pCPU is so many percent of the other's. */
  readonly imbalancePercent: number;
  /** Failures after which cache-hot threads are moved as well. */
  readonly cacheTries: number;
}

export interface BalanceHost {
  readonly rqs: readonly Rq[];
  /** pCPUs with nothing to run. */
  readonly idle: CpuSet;
  /** pCPUs with at least two threads of the fair class, or one that a higher class keeps waiting. */
  readonly overloaded: CpuSet;
  /** A pCPU of an idle core in the socket of that pCPU, if cores have several threads; -1 for none. */
  idleCore(pcpu: number): number;
  readonly threads: (rq: Rq) => number;
  readonly load: (rq: Rq) => number;
  loadOf(thread: Thread): number;
  isHot(thread: Thread, now: Ns): boolean;
  /** Moves a waiting thread. */
  move(thread: Thread, to: Rq, now: Ns): void;
  /** Moves the running thread when it leaves its pCPU, which is soon. */
  push(thread: Thread, to: Rq): void;
}

interface Stats {
  group: number;
  size: number;
  threads: number;
  load: number;
}

export class Balancer {
  /** By pCPU, the smallest first. */
  private readonly domains: (readonly Domain[])[];
  private readonly host: BalanceHost;
  private readonly policy: SchedulerHost;
  private readonly migrationCost: Ns;
  private readonly tick: Ns;
  // Filled anew by every pull.
  private readonly local = noStats();
  private readonly other = noStats();
  private readonly busiest = noStats();

  constructor(policy: SchedulerHost, host: BalanceHost, migrationCost: Ns, tick: Ns) {
    this.policy = policy;
    this.host = host;
    this.migrationCost = migrationCost;
    this.tick = tick;
    this.domains = domainsOf(policy);
    for (const rq of host.rqs) {
      for (const domain of this.domains[rq.id]) {
        // Spread over the interval (our choice): in step, neighbours would pull the same thread to and fro.
        const step = this.interval(domain, true);
        rq.balanceAt.push(step + Math.floor((step * domain.position.get(rq.id)!) / domain.span.count));
        rq.failures.push(0);
      }
    }
  }

  /** When `rq`, busy, is to balance next; Infinity if it is alone. */
  nextAt(rq: Rq): Ns {
    return rq.balanceAt.reduce((least, at) => Math.min(least, at), Infinity);
  }

  /** At a tick of a busy pCPU. */
  periodic(rq: Rq, now: Ns): void {
    for (const [level, domain] of this.domains[rq.id].entries()) {
      if (now < rq.balanceAt[level]) continue;
      rq.balanceAt[level] = now + this.interval(domain, true);
      if (this.host.overloaded.count > 0 && this.isBalancer(rq, domain)) this.pull(rq, level, now, false);
    }
    this.kick(rq, now);
  }

  /** `rq` has nothing to run. True if it has now. */
  newlyIdle(rq: Rq, now: Ns): boolean {
    if (this.host.overloaded.count === 0 || rq.averageIdle < this.migrationCost) return false;
    return this.domains[rq.id].some((domain, level) => {
      return this.host.overloaded.meets(domain.span) && this.pull(rq, level, now, true);
    });
  }

  /**
   * A pCPU with threads that wait, or whose core is shared while another is idle, looks for an idle one, which then pulls
   * (the kernel's nohz balancer, one at a time).
   */
  private kick(rq: Rq, now: Ns): void {
    const { idle, overloaded, rqs } = this.host;
    if (idle.count === 0 || now < rq.nextKick) return;
    const crowded = overloaded.has(rq.id);
    for (const domain of this.domains[rq.id]) {
      const shared = domain.level === 'core' && domain.groups.some(([id]) => id !== rq.id && !idle.has(id));
      if (!crowded && !shared) return;
      const to = crowded ? idle.nextIn(domain.span, rq.id) : this.host.idleCore(rq.id);
      if (to < 0) continue;
      rq.nextKick = now + this.interval(domain, false);
      const level = this.domains[to].findIndex(({ span }) => span.has(rq.id));
      this.pull(rqs[to], level, now, false);
      return;
    }
  }

  /** One pCPU of each group balances: the first idle one, or the first. */
  private isBalancer(rq: Rq, domain: Domain): boolean {
    const group = domain.groups[domain.groupOf.get(rq.id)!];
    return (group.find((id) => this.host.idle.has(id)) ?? group[0]) === rq.id;
  }

  /** Moves threads to `rq` from the busiest group of a domain. */
  private pull(rq: Rq, level: number, now: Ns, newly: boolean): boolean {
    const { rqs, idle } = this.host;
    const domain = this.domains[rq.id][level];
    const toIdle = newly || idle.has(rq.id);
    const own = domain.groupOf.get(rq.id)!;
    const { busiest, local } = this;
    this.count(local, domain, own);
    let load = local.load;
    busiest.threads = 0;
    // As in the source, every balancer looks at the groups in a ring that begins with its own.
    for (let step = 1; step < domain.groups.length; step++) {
      const { other } = this;
      this.count(other, domain, (own + step) % domain.groups.length);
      load += other.load;
      if (other.threads > 0 && (busiest.threads === 0 || byBusyness(other, busiest) < 0)) copy(other, busiest);
    }
    if (busiest.threads === 0) return false;
    const wanted = toIdle ? threadsToMove(local, busiest) : 0;
    const mean = load / domain.span.count;
    const imbalance = toIdle ? Infinity : loadToMove(local, busiest, mean, domain.imbalancePercent);
    if (imbalance <= 0 || (toIdle && wanted <= 0)) {
      rq.failures[level] = 0;
      return false;
    }
    const limit = newly ? 1 : toIdle ? wanted : MOVES_MAX;
    const crowded = domain.groups[busiest.group];
    const sources: Rq[] = [];
    for (const id of crowded) if (this.host.overloaded.has(id)) sources.push(rqs[id]);
    if (sources.length > 1) sources.sort((a, b) => this.host.load(b) - this.host.load(a) || a.id - b.id);
    for (const source of sources) {
      if (this.moveFrom(source, rq, { level, domain, now, limit, imbalance }) === 0) continue;
      rq.failures[level] = 0;
      return true;
    }
    if (newly) return false;
    rq.failures[level]++;
    if (rq.failures[level] > domain.cacheTries + PUSH_AFTER) this.pushTo(rq, crowded, level);
    return false;
  }

  /**
   * As many milliseconds as the domain has pCPUs, or 16 times that less a tick on a busy one: as in the source, so that the
   * intervals of domains are no multiples of each other.
   */
  private interval(domain: Domain, busy: boolean): Ns {
    const idle = domain.span.count * NS_PER_MS;
    return busy ? Math.max(idle * BUSY_FACTOR - this.tick, this.tick) : idle;
  }

  private count(stats: Stats, domain: Domain, group: number): void {
    const { rqs, threads, load } = this.host;
    const ids = domain.groups[group];
    stats.group = group;
    stats.size = ids.length;
    stats.threads = 0;
    stats.load = 0;
    for (const id of ids) {
      stats.threads += threads(rqs[id]);
      stats.load += load(rqs[id]);
    }
  }

  private moveFrom(
    source: Rq,
    to: Rq,
    job: {
      readonly level: number;
      readonly domain: Domain;
      readonly now: Ns;
      readonly limit: number;
      readonly imbalance: number;
    },
  ): number {
    const failures = to.failures[job.level];
    let { imbalance } = job;
    let moved = 0;
    // Those that ran longest ago first.
    for (const thread of source.fair.slice()) {
      if (moved === Math.min(job.limit, MOVES_MAX) || imbalance <= 0) break;
      if (thread === source.running || !thread.active || !thread.task.hard.has(to.id)) continue;
      if (thread.task.soft?.has(to.id) === false && !this.host.idle.has(to.id)) continue;
      if (failures <= job.domain.cacheTries && this.host.isHot(thread, job.now)) continue;
      const load = this.host.loadOf(thread);
      if (load / 2 > imbalance && failures <= job.domain.cacheTries) continue;
      if (this.host.threads(source) < 2) break;
      this.host.move(thread, to, job.now);
      this.policy.note('balance', thread.task, to.id);
      imbalance -= load;
      moved++;
    }
    return moved;
  }

  /** Active balance: the running thread of the busiest pCPU of the group. */
  private pushTo(to: Rq, group: readonly number[], level: number): void {
    const source = group
      .map((id) => this.host.rqs[id])
      .filter(({ running }) => running?.cls === 'fair' && running.task.hard.has(to.id))
      .sort((a, b) => this.host.load(b) - this.host.load(a) || a.id - b.id)
      .at(0);
    if (source === undefined) return;
    to.failures[level] = 0;
    this.policy.note('push', source.running!.task, to.id);
    this.host.push(source.running!, to);
  }
}

const noStats = (): Stats => ({ group: 0, size: 0, threads: 0, load: 0 });

function copy(from: Stats, to: Stats): void {
  to.group = from.group;
  to.size = from.size;
  to.threads = from.threads;
  to.load = from.load;
}

/** The busier group first: among groups with threads that wait, that of the higher load per pCPU. */
function byBusyness(a: Stats, b: Stats): number {
  const bothOverloaded = a.threads > a.size && b.threads > b.size;
  return (bothOverloaded ? 0 : crowd(b) - crowd(a)) || density(b) - density(a);
}

function density({ load, size }: Stats): number {
  return load / size;
}

/** Threads beyond one per pCPU; negative with idle pCPUs. */
function crowd({ threads, size }: Stats): number {
  return (threads - size) / size;
}

/** For an idle pCPU: what the other group cannot run at once, or half of the difference. */
function threadsToMove(local: Stats, busiest: Stats): number {
  if (busiest.threads > busiest.size) {
    const even = (busiest.threads * local.size - local.threads * busiest.size) / (local.size + busiest.size);
    return Math.max(Math.floor(even), local.threads < local.size ? 1 : 0);
  }
  return Math.floor((busiest.threads - local.threads) / 2);
}

/** For a busy pCPU: the load that is missing to the mean of the domain, of the nearer side. */
function loadToMove(local: Stats, busiest: Stats, mean: number, percent: number): number {
  if (busiest.threads <= busiest.size) return 0;
  if (density(busiest) * 100 <= density(local) * percent) return 0;
  return Math.min((density(busiest) - mean) * busiest.size, (mean - density(local)) * local.size);
}

/** The domains of each pCPU; pCPUs of the same domain share it. */
function domainsOf({ topology }: SchedulerHost): (readonly Domain[])[] {
  const lists: Domain[][] = topology.map(() => []);
  let below: number[][] = topology.map(({ id }) => [id]);
  for (const level of ['core', 'socket', 'host'] as const) {
    const groups: number[][][] = [];
    for (const ids of below) {
      const place = topology[ids[0]];
      const group = level === 'host' ? 0 : place[level];
      groups[group] ??= [];
      groups[group].push(ids);
    }
    for (const members of groups) {
      if (members.length < 2) continue;
      const ids = members.flat();
      const domain: Domain = {
        level,
        span: new CpuSet(topology.length, ids),
        groups: members,
        groupOf: new Map(members.flatMap((group, i) => group.map((id) => [id, i] as const))),
        position: new Map(ids.map((id, i) => [id, i] as const)),
        imbalancePercent: level === 'core' ? 110 : 117,
        cacheTries: level === 'core' ? 0 : level === 'socket' ? 1 : 2,
      };
      for (const id of ids) lists[id].push(domain);
    }
    below = groups.map((members) => members.flat());
  }
  return lists;
}

/**
 * Credit2, the default scheduler of Xen since 4.12: weighted fair by credits that the heaviest burns in real time, run queues
 * shared by groups of pCPUs, load balance between them at resets, caps by a budget per period.
 * Invariants: a runnable unit is running, in the queue it is assigned to, or parked; queues are ordered by credit, first in
 * first out among equals; max weight = largest weight of the units assigned to the queue, blocked ones included; budget of a
 * domain + budgets of its units <= its budget per period.
 * Source: the rules of xen/common/sched/credit2.c as of 2026 (facts only; own code), golden vectors in the test.
 */
import { Bug } from '../../core/errors.ts';
import { NS_PER_MS, NS_PER_US, type Ns } from '../../core/units.ts';
import { OrderedQueue } from '../ordered-queue.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  type Decision,
  definePolicy,
  type Scheduler,
  type SchedulerHost,
  type SchedVm,
  type Task,
} from '../scheduler.ts';
import { CpuSet } from '../topology.ts';
import { LOAD_ONE, LoadAverage } from './credit2-load.ts';
import { RUN_QUEUE_LEVELS, runQueues } from './credit2-queues.ts';

const params = {
  runqueue: {
    kind: 'choice',
    of: RUN_QUEUE_LEVELS,
    default: 'socket',
    meaning: 'pCPUs that share a run queue; core until 2016',
  },
  max_cpus_runqueue: {
    kind: 'integer',
    min: 1,
    max: 65_535,
    default: 16,
    meaning: 'larger groups of pCPUs are split evenly',
  },
  ratelimit_us: {
    kind: 'integer',
    min: 100,
    max: 500_000,
    also: 0,
    default: 1000,
    meaning: 'a running vCPU is not replaced before it ran that long; 0 switches that off',
  },
  migrate_resist_us: {
    kind: 'integer',
    min: 0,
    max: 100_000,
    default: 500,
    meaning: 'advantage in credit that a vCPU needs to move to another pCPU of its run queue',
  },
  idle_refuses_spent: {
    kind: 'flag',
    default: true,
    meaning:
      'an idle pCPU leaves a vCPU of another pCPU waiting whose credit is within migrate_resist_us of its floor, as in the source',
  },
  cap_period_ms: { kind: 'integer', min: 1, max: 1000, default: 10, meaning: 'period of the budgets of capped VMs' },
  load_window_shift: {
    kind: 'integer',
    min: 18,
    max: 40,
    default: 30,
    meaning: 'load averages look back 2 to the power of this nanoseconds',
  },
  balance_under: {
    kind: 'integer',
    min: -17,
    max: 17,
    default: 0,
    meaning: 'difference of load (2 to the power of this) that is tolerated between queues with pCPUs to spare',
  },
  balance_over: { kind: 'integer', min: -17, max: 17, default: -3, meaning: 'the same between overloaded queues' },
  max_timer_us: {
    kind: 'integer',
    min: 500,
    max: 1_000_000,
    default: 10_000,
    meaning: 'longest slice; 2000 in early versions',
  },
  smt_power_savings: { kind: 'flag', default: false, meaning: 'prefer idle threads of busy cores to idle cores' },
} as const satisfies ParamSet;
type Credit2Params = ValuesOf<typeof params>;

// Credits are nanoseconds of the heaviest unit of the queue.
const CREDIT_INIT: Ns = 10 * NS_PER_MS;
const CREDIT_MIN: Ns = -10 * NS_PER_MS;
const CREDIT_IDLE: Ns = CREDIT_MIN - 1;
const CARRY_OVER_MAX: Ns = 500 * NS_PER_US;
const MIN_TIMER: Ns = 500 * NS_PER_US;
const MIGRATE_COMPENSATION: Ns = 50 * NS_PER_US;
const TICKLE_TOLERANCE: Ns = 50 * NS_PER_US;

/** What the scheduler knows of a task. */
class Unit {
  readonly task: Task;
  readonly domain: Domain;
  readonly load: LoadAverage;
  queue: RunQueue;
  /** The pCPU it runs on, ran on last, or shall run on first. */
  pcpu: number;
  credit: Ns = CREDIT_INIT;
  /** Burned time that does not make a whole nanosecond of credit yet, in units of 1 / weight. */
  residual = 0;
  /** Its part of the budget of a capped domain. */
  budget: Ns = 0;
  queued = false;
  /** From being picked until somebody else was, and it was queued again. */
  onCpu = false;
  parked = false;
  yielding = false;
  /** The pCPU that was told to look at it; -1 for none. */
  tickledPcpu = -1;
  /** Goes to that queue when it leaves its pCPU. */
  migrateTo: RunQueue | null = null;

  constructor(task: Task, domain: Domain, place: { queue: RunQueue; pcpu: number; load: LoadAverage }) {
    this.task = task;
    this.domain = domain;
    this.queue = place.queue;
    this.pcpu = place.pcpu;
    this.load = place.load;
  }
}

class Domain {
  readonly vm: SchedVm;
  units: Unit[] = [];
  weight: number;
  /** CPU time per period; Infinity without a cap. */
  budgetMax: Ns = Infinity;
  /** What is left of it and not in the hands of a unit. */
  budget: Ns = Infinity;
  replenishAt: Ns = Infinity;
  parked: Unit[] = [];

  constructor(vm: SchedVm) {
    this.vm = vm;
    this.weight = vm.weight;
  }

  get capped(): boolean {
    return this.budgetMax !== Infinity;
  }
}

/** Shared by a group of pCPUs. */
class RunQueue {
  readonly id: number;
  readonly pcpus: CpuSet;
  readonly waiting = new OrderedQueue<Unit>((a, b) => b.credit - a.credit);
  /** Waiting, running or blocked. */
  readonly assigned = new Set<Unit>();
  /** Idle and not told to look; of these, those whose whole core is; busy and not told to look. */
  readonly free: CpuSet;
  readonly freeCores: CpuSet;
  readonly busy: CpuSet;
  readonly load: LoadAverage;
  /** The average as the balancer sees it: with the load of those that have just come or gone. */
  readonly balanceLoad: LoadAverage;
  maxWeight = 1;
  pickBias: number;

  constructor(id: number, pcpus: CpuSet, windowShift: number) {
    this.id = id;
    this.pcpus = pcpus;
    this.free = pcpus.clone();
    this.freeCores = pcpus.clone();
    this.busy = new CpuSet(pcpus.size);
    this.load = new LoadAverage(windowShift, 0, 0);
    this.balanceLoad = new LoadAverage(windowShift, 0, 0);
    this.pickBias = pcpus.first();
  }

  updateLoad(now: Ns, change: number): void {
    this.load.update(now, change);
    this.balanceLoad.update(now, change);
  }

  assign(unit: Unit): void {
    unit.queue = this;
    this.assigned.add(unit);
    this.maxWeight = Math.max(this.maxWeight, unit.domain.weight);
    this.balanceLoad.average += unit.load.average;
  }

  deassign(unit: Unit): void {
    this.assigned.delete(unit);
    if (unit.domain.weight === this.maxWeight) this.findMaxWeight();
    this.balanceLoad.average = Math.max(this.balanceLoad.average - unit.load.average, 0);
  }

  findMaxWeight(): void {
    this.maxWeight = 1;
    for (const { domain } of this.assigned) this.maxWeight = Math.max(this.maxWeight, domain.weight);
  }
}

class Credit2 implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly params: Credit2Params;
  private readonly ratelimit: Ns;
  private readonly resist: Ns;
  private readonly capPeriod: Ns;
  private readonly maxTimer: Ns;
  private readonly queues: RunQueue[];
  private readonly units: Unit[] = [];
  private readonly domains: Domain[] = [];
  /** By pCPU: its queue, who runs (null for idle), whether it was told to look, and the threads of its core in its queue. */
  private readonly queueOf: RunQueue[] = [];
  private readonly running: (Unit | null)[];
  private readonly tickled: boolean[];
  private readonly siblings: number[][];

  constructor(host: SchedulerHost, settings: Credit2Params) {
    this.host = host;
    this.params = settings;
    this.ratelimit = settings.ratelimit_us * NS_PER_US;
    this.resist = settings.migrate_resist_us * NS_PER_US;
    this.capPeriod = settings.cap_period_ms * NS_PER_MS;
    this.maxTimer = settings.max_timer_us * NS_PER_US;
    const { topology } = host;
    const groups = runQueues(topology, settings.runqueue, settings.max_cpus_runqueue);
    this.queues = groups.map((ids, i) => new RunQueue(i, new CpuSet(topology.length, ids), settings.load_window_shift));
    for (const queue of this.queues) for (const id of queue.pcpus) this.queueOf[id] = queue;
    this.running = topology.map(() => null);
    this.tickled = topology.map(() => false);
    const cores: number[][] = [];
    for (const { id, core } of topology) {
      cores[core] ??= [];
      cores[core].push(id);
    }
    this.siblings = topology.map(({ id, core }) =>
      cores[core].filter((other) => this.queueOf[other] === this.queueOf[id]),
    );
  }

  // ---- the life of a task

  add(task: Task, now: Ns): void {
    this.domains[task.vm.id] ??= new Domain(task.vm);
    const domain = this.domains[task.vm.id];
    const place = this.choosePlace(task, now);
    const load = new LoadAverage(this.params.load_window_shift, LOAD_ONE / 2, now);
    const unit = new Unit(task, domain, { ...place, load });
    this.units[task.id] = unit;
    domain.units.push(unit);
    place.queue.assign(unit);
    this.setCap(domain, now);
  }

  remove(task: Task): void {
    const unit = this.units[task.id];
    const { domain } = unit;
    unit.queue.deassign(unit);
    domain.units = domain.units.filter((other) => other !== unit);
    domain.parked = domain.parked.filter((other) => other !== unit);
  }

  change(vm: SchedVm, now: Ns): void {
    const domain = this.domains[vm.id];
    if (domain === undefined) return;
    // What ran until now burned at the old rate, for everyone in the queues concerned.
    const queues = new Set(domain.units.map(({ queue }) => queue));
    for (const queue of queues) this.settle(queue);
    domain.weight = vm.weight;
    for (const queue of queues) queue.findMaxWeight();
    for (const unit of domain.units) unit.residual = 0;
    this.setCap(domain, now);
  }

  wake(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    this.updateLoad(unit, now, 1);
    this.enqueue(unit);
    this.tickle(unit, now);
  }

  sleep(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    this.dequeue(unit);
    this.updateLoad(unit, now, -1);
    if (!unit.onCpu) return;
    unit.onCpu = false;
    this.returnBudget(unit);
    if (unit.migrateTo !== null) this.move(unit, unit.migrateTo);
  }

  yield(task: Task): void {
    this.units[task.id].yielding = true;
  }

  charge(task: Task, ran: Ns): void {
    const unit = this.units[task.id];
    const { weight, capped } = unit.domain;
    const burned = ran * unit.queue.maxWeight + unit.residual;
    unit.credit = Math.max(unit.credit - Math.floor(burned / weight), CREDIT_MIN);
    unit.residual = burned % weight;
    if (capped) unit.budget -= ran;
  }

  /** The period of a capped domain is over. */
  timer(id: number, now: Ns): void {
    const domain = this.domains[id];
    const periods = Math.floor((now - domain.replenishAt) / this.capPeriod) + 1;
    domain.replenishAt += periods * this.capPeriod;
    domain.budget = Math.min(domain.budget + periods * domain.budgetMax, domain.budgetMax);
    this.host.arm(id, domain.replenishAt);
    if (domain.budget > 0) this.unpark(domain);
  }

  pick(pcpu: number, now: Ns, task: Task | null): Decision {
    const queue = this.queueOf[pcpu];
    const current = task === null ? null : this.units[task.id];
    this.tickled[pcpu] = false;
    const stays = current !== null && current.migrateTo === null && this.hasBudget(current);
    const next = this.candidate(pcpu, now, current, stays);
    const leaver = current === next ? null : current;
    if (leaver !== null && !leaver.parked) this.returnBudget(leaver);
    this.running[pcpu] = next;
    this.refresh(pcpu);
    let slice = Infinity;
    if (next !== null) {
      this.dequeue(next);
      next.onCpu = true;
      next.tickledPcpu = -1;
      const top = Math.max(next.credit, queue.waiting.head?.credit ?? CREDIT_IDLE);
      if (top <= 0) {
        this.reset(queue, next);
        this.balance(queue, now);
      }
      if (next.pcpu !== pcpu) {
        next.credit += MIGRATE_COMPENSATION;
        next.pcpu = pcpu;
        this.host.note('migrate', next.task, pcpu);
      }
      slice = this.sliceOf(next, now, next === current, leaver?.parked === true ? null : leaver);
    }
    if (leaver !== null) this.putBack(leaver, now);
    return { task: next?.task ?? null, slice };
  }

  // ---- who runs

  private candidate(pcpu: number, now: Ns, current: Unit | null, stays: boolean): Unit | null {
    const queue = this.queueOf[pcpu];
    const yields = current?.yielding === true;
    if (current !== null) {
      current.yielding = false;
      if (!yields && stays && now - current.task.since < this.ratelimit) return current;
    }
    let best = stays ? current : null;
    // It would rather run where it prefers to, if there is room.
    const soft = best?.task.soft ?? null;
    if (soft !== null && !soft.has(pcpu) && queue.free.meets(soft)) best = null;
    const credit = best === null ? CREDIT_IDLE : best.credit;
    // The source asks this of an idle pCPU as well, whose credit is that of the idle unit: a light one that has burned down
    // to its floor waits until its own pCPU looks, however many others are idle.
    const resists = best !== null || this.params.idle_refuses_spent;
    const parked: Unit[] = [];
    for (const unit of queue.waiting) {
      // A tie keeps the present one.
      if (!yields && unit.credit <= credit) break;
      if (!unit.task.hard.has(pcpu)) continue;
      if (unit.tickledPcpu !== -1 && unit.tickledPcpu !== pcpu && this.tickled[unit.tickledPcpu]) continue;
      if (resists && unit.pcpu !== pcpu && unit.credit < credit + this.resist) continue;
      if (!this.hasBudget(unit)) {
        parked.push(unit);
        continue;
      }
      best = unit;
      break;
    }
    for (const unit of parked) this.dequeue(unit);
    return best;
  }

  /** How long `next` may run; `leaver` has just been replaced by it and is not queued yet. */
  private sliceOf(next: Unit, now: Ns, already: boolean, leaver: Unit | null): Ns {
    const limit = already ? next.task.since + this.ratelimit - now : this.ratelimit;
    const shortest = Math.max(MIN_TIMER, limit);
    const rival = Math.max(0, next.queue.waiting.head?.credit ?? 0, leaver?.credit ?? 0);
    const lead = next.credit - rival;
    let time = lead > 0 ? Math.floor((lead * next.domain.weight) / next.queue.maxWeight) : 0;
    if (next.domain.capped) time = Math.min(time, next.budget);
    return Math.max(Math.min(time, this.maxTimer), shortest);
  }

  /** Nobody in the queue has credit left: all of it get more, and long sleepers lose what they saved. */
  private reset(queue: RunQueue, next: Unit): void {
    this.settle(queue);
    const credit = next.credit <= CREDIT_MIN ? 2 * CREDIT_INIT : CREDIT_INIT;
    for (const unit of queue.assigned) {
      unit.credit = Math.min(unit.credit + credit, CREDIT_INIT + CARRY_OVER_MAX);
    }
    this.host.note('reset', next.task, next.pcpu);
  }

  /** Burns what the running units of a queue owe. */
  private settle(queue: RunQueue): void {
    for (const pcpu of queue.pcpus) if (this.running[pcpu] !== null) this.host.settle(pcpu);
  }

  // ---- queues

  private enqueue(unit: Unit): void {
    unit.queue.waiting.add(unit);
    unit.queued = true;
  }

  private dequeue(unit: Unit): void {
    if (!unit.queued) return;
    unit.queue.waiting.delete(unit);
    unit.queued = false;
  }

  /** A unit that was replaced waits again, here or where it was asked to go. */
  private putBack(unit: Unit, now: Ns): void {
    unit.onCpu = false;
    if (unit.migrateTo !== null) {
      unit.queue.updateLoad(now, -1);
      this.move(unit, unit.migrateTo);
      unit.queue.updateLoad(now, 1);
    }
    if (unit.parked) return;
    this.enqueue(unit);
    this.tickle(unit, now);
  }

  private updateLoad(unit: Unit, now: Ns, change: number): void {
    unit.queue.updateLoad(now, change);
    unit.load.update(now, change);
  }

  /** Keeps the sets of a queue in step with what `running` and `tickled` say about a pCPU. */
  private refresh(pcpu: number): void {
    const queue = this.queueOf[pcpu];
    const idle = this.running[pcpu] === null;
    queue.free.put(pcpu, idle && !this.tickled[pcpu]);
    queue.busy.put(pcpu, !idle && !this.tickled[pcpu]);
    const threads = this.siblings[pcpu];
    const core = threads.every((id) => queue.free.has(id));
    for (const id of threads) queue.freeCores.put(id, core);
  }

  // ---- which pCPU looks at a unit

  private tickle(unit: Unit, now: Ns): void {
    unit.tickledPcpu = -1;
    const pcpu = this.placeFor(unit, now);
    if (pcpu < 0) return;
    unit.tickledPcpu = pcpu;
    this.tickled[pcpu] = true;
    this.refresh(pcpu);
    this.host.resched(pcpu);
  }

  private placeFor(unit: Unit, now: Ns): number {
    const { queue, pcpu: own } = unit;
    const { hard, soft } = unit.task;
    if (hard.count === 1 && queue.free.has(own)) return own;
    for (const mask of soft === null ? [hard] : [soft, hard]) {
      const searches = this.params.smt_power_savings
        ? [queue.free.without(queue.freeCores), queue.free]
        : [queue.freeCores, queue.free];
      for (const idle of searches) {
        if (mask.has(own) && idle.has(own)) return own;
        const found = idle.nextIn(mask, own);
        if (found >= 0) return found;
      }
    }
    // Nobody is idle: the one that runs the unit with the least credit, if this one's is enough above that.
    let best = -1;
    let bestScore = 0;
    if (hard.has(own) && queue.busy.has(own)) {
      bestScore = this.score(unit, own, now);
      if (bestScore > 0) {
        if (soft?.has(own) !== false) return own;
        best = own;
      } else bestScore = 0;
    }
    for (let id = queue.busy.nextIn(hard, hard.size - 1), last = -1; id > last; id = queue.busy.nextIn(hard, id)) {
      last = id;
      if (id === own) continue;
      const score = this.score(unit, id, now);
      if (score > bestScore) {
        bestScore = score;
        best = id;
      }
    }
    return best;
  }

  /** How much better `unit` would be than the one on a busy pCPU. */
  private score(unit: Unit, pcpu: number, now: Ns): number {
    const current = this.running[pcpu]!;
    if (now - current.task.since < this.ratelimit - TICKLE_TOLERANCE) return -1;
    this.host.settle(pcpu);
    let score = unit.credit - current.credit;
    if (unit.pcpu !== pcpu) score -= this.resist;
    if (score <= 0) return score;
    if (unit.task.soft?.has(pcpu) !== false) score += CREDIT_INIT;
    if (current.task.soft?.has(pcpu) === false) score += CREDIT_INIT;
    return score;
  }

  // ---- caps

  private setCap(domain: Domain, now: Ns): void {
    const { vm, units } = domain;
    const percent = Math.min(vm.capPercent, 100 * units.length);
    const budget = vm.capPercent === 0 ? Infinity : Math.floor((percent * this.capPeriod) / 100);
    if (budget === domain.budgetMax) return;
    const wasCapped = domain.capped;
    domain.budgetMax = budget;
    if (budget === Infinity) {
      domain.budget = Infinity;
      this.host.disarm(vm.id);
      this.unpark(domain);
      return;
    }
    if (wasCapped) {
      domain.budget = Math.min(domain.budget, budget);
      return;
    }
    domain.budget = budget;
    domain.replenishAt = now + this.capPeriod;
    this.host.arm(vm.id, domain.replenishAt);
    for (const unit of units) {
      unit.budget = 0;
      // Who runs without a budget asks for one.
      if (unit.onCpu) this.host.resched(unit.pcpu);
    }
  }

  /** Has it a budget, or can it have some? If not, it is parked until its domain has some. */
  private hasBudget(unit: Unit): boolean {
    const { domain } = unit;
    if (!domain.capped || unit.budget > 0) return true;
    // What it ran over is taken from the others.
    domain.budget += unit.budget;
    unit.budget = 0;
    if (domain.budget > 0) {
      const quota = Math.max(Math.floor(domain.budgetMax / domain.units.length), MIN_TIMER);
      unit.budget = Math.min(quota, domain.budget);
      domain.budget -= unit.budget;
      return true;
    }
    unit.parked = true;
    domain.parked.push(unit);
    this.host.hold(unit.task, 'park');
    return false;
  }

  private returnBudget(unit: Unit): void {
    const { domain } = unit;
    if (!domain.capped) return;
    domain.budget += unit.budget;
    unit.budget = 0;
    if (domain.budget > 0) this.unpark(domain);
  }

  private unpark(domain: Domain): void {
    const { parked } = domain;
    domain.parked = [];
    for (const unit of parked) {
      unit.parked = false;
      this.host.release(unit.task, 'park');
    }
  }

  // ---- between queues

  /** The queue with the least load, of those with pCPUs that the task prefers if there are any. */
  private choosePlace(task: Task, now: Ns): { queue: RunQueue; pcpu: number } {
    const { hard, soft } = task;
    for (const mask of soft === null ? [hard] : [soft, hard]) {
      let best: RunQueue | null = null;
      for (const queue of this.queues) {
        if (!queue.pcpus.meets(mask)) continue;
        queue.updateLoad(now, 0);
        if (best === null || queue.balanceLoad.average < best.balanceLoad.average) best = queue;
      }
      if (best !== null) return { queue: best, pcpu: this.pcpuIn(best, mask) };
    }
    throw new Bug('a task may run on some pCPU');
  }

  private pcpuIn(queue: RunQueue, mask: CpuSet): number {
    queue.pickBias = queue.pcpus.nextIn(mask, queue.pickBias);
    return queue.pickBias;
  }

  /** Assigns a unit that is in no queue and on no pCPU to another queue. */
  private move(unit: Unit, queue: RunQueue): void {
    const { hard, soft } = unit.task;
    unit.migrateTo = null;
    unit.queue.deassign(unit);
    queue.assign(unit);
    unit.pcpu = this.pcpuIn(queue, soft !== null && queue.pcpus.meets(soft) ? soft : hard);
    this.host.note('balance', unit.task, unit.pcpu);
  }

  private migrate(unit: Unit, queue: RunQueue, now: Ns): void {
    if (unit.onCpu) {
      unit.migrateTo = queue;
      return;
    }
    const waits = unit.queued;
    if (waits) {
      this.dequeue(unit);
      unit.queue.updateLoad(now, -1);
    }
    this.move(unit, queue);
    if (!waits) return;
    queue.updateLoad(now, 1);
    this.enqueue(unit);
    this.tickle(unit, now);
  }

  /** Moves units between this queue and the one whose load differs most from its own, if that makes them more alike. */
  private balance(own: RunQueue, now: Ns): void {
    own.updateLoad(now, 0);
    let other: RunQueue | null = null;
    let last: RunQueue | null = null;
    let delta = 0;
    for (const queue of this.queues) {
      if (queue === own) continue;
      queue.updateLoad(now, 0);
      last = queue;
      const difference = Math.abs(own.balanceLoad.average - queue.balanceLoad.average);
      if (difference <= delta) continue;
      delta = difference;
      other = queue;
    }
    if (other === null || last === null) return;
    // As in the source, the last queue looked at says whether there is overload, not the one chosen.
    const loadMax = Math.max(own.balanceLoad.average, last.balanceLoad.average);
    const cpusMax = Math.max(own.pcpus.count, last.pcpus.count);
    const under = loadMax < cpusMax * LOAD_ONE;
    if (delta < LOAD_ONE * 2 ** (under ? this.params.balance_under : this.params.balance_over)) return;
    const [push, pull] = bestSwap(own, other, delta, now);
    if (push !== null) this.migrate(push, other, now);
    if (pull !== null) this.migrate(pull, own, now);
  }
}

/** The units to move from `own` to `other` and back that leave the smallest difference of load; null for none. */
function bestSwap(own: RunQueue, other: RunQueue, delta: number, now: Ns): [Unit | null, Unit | null] {
  const movable = (from: RunQueue, to: RunQueue): Unit[] =>
    [...from.assigned].filter((unit) => {
      unit.load.update(now, 0);
      return unit.migrateTo === null && !unit.parked && to.pcpus.meets(unit.task.hard);
    });
  const pushes = movable(own, other);
  const pulls = movable(other, own);
  const difference = own.balanceLoad.average - other.balanceLoad.average;
  let least = delta;
  let best: [Unit | null, Unit | null] = [null, null];
  const consider = (push: Unit | null, pull: Unit | null): void => {
    const left = Math.abs(difference - 2 * (push?.load.average ?? 0) + 2 * (pull?.load.average ?? 0));
    if (left >= least) return;
    least = left;
    best = [push, pull];
  };
  for (const push of pushes) {
    consider(push, null);
    for (const pull of pulls) consider(push, pull);
  }
  for (const pull of pulls) consider(null, pull);
  return best;
}

export const credit2 = definePolicy({
  name: 'credit2',
  summary: 'Xen credit2: weighted fair, shared run queues balanced by load, caps by a budget per period',
  origin: 'Xen 4.8 to now, default since 4.12',
  basis: 'source',
  traits: { weights: {}, caps: {} },
  params,
  make: (host, settings) => new Credit2(host, settings),
});

/**
 * RTDS, the real-time scheduler of Xen: global earliest deadline first over deferrable servers. Each vCPU has a budget per
 * period; while it does not run it keeps its budget. With extra time, one that has used it up goes on at a lower level.
 * Invariants: the deadline of a unit is the end of its present period; a runnable unit is running, queued (ordered by level,
 * then deadline, first in first out) or depleted; a runnable unit is in `replenishments` exactly once, a blocked one never.
 * Source: the rules of xen/common/sched/rt.c (facts only; own code).
 */
import { UserError } from '../../core/errors.ts';
import { NS_PER_US, type Ns } from '../../core/units.ts';
import { OrderedQueue } from '../ordered-queue.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { type Decision, definePolicy, type Scheduler, type SchedulerHost, type Task } from '../scheduler.ts';
import { CpuSet } from '../topology.ts';

const vcpuParams = {
  period_us: { kind: 'integer', min: 10, default: 10_000, meaning: 'period of its server' },
  budget_us: { kind: 'integer', min: 10, default: 4_000, meaning: 'CPU time per period, at most the period' },
  extratime: {
    kind: 'flag',
    default: true,
    meaning: 'may use more than its budget when nobody with a budget wants to',
  },
} as const satisfies ParamSet;

class Unit {
  readonly task: Task;
  readonly period: Ns;
  readonly fullBudget: Ns;
  readonly extratime: boolean;
  /** Home pCPU: where the search for a pCPU starts. */
  pcpu: number;
  budget: Ns = 0;
  deadline: Ns = 0;
  /** 0 while it runs on its budget; one more for each budget of extra time used in this period. */
  level = 0;
  depleted = false;
  queued = false;

  constructor(task: Task, pcpu: number) {
    const { period_us, budget_us, extratime } = task.params as ValuesOf<typeof vcpuParams>;
    if (budget_us > period_us) {
      throw new UserError(
        `scheduler rtds, vCPU ${task.vm.name}.${task.index}: budget_us: found ${budget_us}, expected at most period_us, which is ${period_us}`,
      );
    }
    this.task = task;
    this.pcpu = pcpu;
    this.period = period_us * NS_PER_US;
    this.fullBudget = budget_us * NS_PER_US;
    this.extratime = extratime;
  }

  /** A new period has begun: the one that `now` is in. */
  renew(now: Ns): void {
    this.deadline += (Math.floor((now - this.deadline) / this.period) + 1) * this.period;
    this.budget = this.fullBudget;
    this.level = 0;
  }
}

/** Negative when `a` goes first. */
const byPriority = (a: Unit, b: Unit): number => a.level - b.level || a.deadline - b.deadline;
const byDeadline = (a: Unit, b: Unit): number => a.deadline - b.deadline;

const REPLENISH = 0;

class Rtds implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly units: Unit[] = [];
  private readonly queue = new OrderedQueue<Unit>(byPriority);
  private readonly replenishments = new OrderedQueue<Unit>(byDeadline);
  /** Who runs where, as of the last `pick`; null for idle. */
  private readonly running: (Unit | null)[];
  /** pCPUs that were told to look at the queue and have not yet done so. */
  private readonly tickled: CpuSet;
  /** Idle pCPUs that are not tickled. */
  private readonly idle: CpuSet;

  constructor(host: SchedulerHost) {
    this.host = host;
    const size = host.topology.length;
    this.running = host.topology.map(() => null);
    this.tickled = new CpuSet(size);
    this.idle = CpuSet.all(size);
  }

  add(task: Task): void {
    const size = this.running.length;
    this.units[task.id] = new Unit(task, task.hard.next((task.id + size - 1) % size));
  }

  wake(task: Task, now: Ns): void {
    const unit = this.units[task.id];
    if (now >= unit.deadline) {
      unit.renew(now);
      unit.depleted = false;
    }
    this.replenishments.add(unit);
    this.armReplenishment();
    this.enqueue(unit);
    this.tickle(unit);
  }

  sleep(task: Task): void {
    const unit = this.units[task.id];
    this.dequeue(unit);
    this.replenishments.delete(unit);
    this.armReplenishment();
  }

  charge(task: Task, ran: Ns): void {
    const unit = this.units[task.id];
    unit.budget -= ran;
    if (unit.budget > 0) return;
    if (unit.extratime) {
      unit.level++;
      unit.budget = unit.fullBudget;
    } else {
      unit.budget = 0;
      unit.depleted = true;
      this.host.note('deplete', task, task.pcpu);
    }
  }

  pick(pcpu: number, _now: Ns, current: Task | null): Decision {
    this.tickled.delete(pcpu);
    const unit = current === null ? null : this.units[current.id];
    const first = this.queue.find(({ task }) => task.hard.has(pcpu));
    // A tie goes to the one that waits.
    const stays = unit !== null && !unit.depleted && (first === null || byPriority(unit, first) < 0);
    const next = stays ? unit : first;
    this.running[pcpu] = next;
    this.idle.put(pcpu, next === null);
    if (next !== null) {
      this.dequeue(next);
      next.pcpu = pcpu;
    }
    if (unit !== null && unit !== next) {
      this.enqueue(unit);
      this.tickle(unit);
    }
    return next === null ? { task: null, slice: Infinity } : { task: next.task, slice: next.budget };
  }

  /** Periods end: those concerned get a new budget and deadline, and may go before others. */
  timer(_id: number, now: Ns): void {
    const due: Unit[] = [];
    for (let unit = this.replenishments.head; unit !== null && unit.deadline <= now; unit = this.replenishments.head) {
      this.replenishments.shift();
      due.push(unit);
      const waits = unit.queued;
      this.dequeue(unit);
      if (this.running[unit.pcpu] === unit) {
        // What it ran until now goes to the old budget.
        this.host.settle(unit.pcpu);
        unit.depleted = false;
      }
      unit.renew(now);
      if (waits) this.enqueue(unit);
    }
    for (const unit of due) {
      if (this.running[unit.pcpu] === unit) {
        const { head } = this.queue;
        if (head !== null && byPriority(head, unit) < 0) this.tickle(head);
      } else if (unit.depleted) {
        unit.depleted = false;
        this.enqueue(unit);
        this.tickle(unit);
      }
      this.replenishments.add(unit);
    }
    this.armReplenishment();
  }

  private armReplenishment(): void {
    const { head } = this.replenishments;
    if (head === null) this.host.disarm(REPLENISH);
    else this.host.arm(REPLENISH, head.deadline);
  }

  /** One without a budget waits for its replenishment instead. */
  private enqueue(unit: Unit): void {
    if (unit.depleted) return;
    this.queue.add(unit);
    unit.queued = true;
  }

  private dequeue(unit: Unit): void {
    if (!unit.queued) return;
    this.queue.delete(unit);
    unit.queued = false;
  }

  /** Alerts an idle pCPU, or the one that runs the unit of lowest priority, if that is lower than this one's. */
  private tickle(unit: Unit): void {
    if (unit.depleted) return;
    const { hard } = unit.task;
    const before = (unit.pcpu + this.running.length - 1) % this.running.length;
    let victim = this.idle.nextIn(hard, before);
    if (victim < 0) {
      let lowest = unit;
      let pcpu = before;
      for (let left = hard.count; left > 0; left--) {
        pcpu = hard.next(pcpu);
        const other = this.running[pcpu];
        if (other === null || this.tickled.has(pcpu) || byPriority(other, lowest) <= 0) continue;
        lowest = other;
        victim = pcpu;
      }
    }
    if (victim < 0) return;
    this.idle.delete(victim);
    this.tickled.add(victim);
    this.host.resched(victim);
  }
}

export const rtds = definePolicy({
  name: 'rtds',
  summary: 'Xen RTDS: a budget per period for each vCPU, earliest deadline first over all pCPUs, extra time',
  origin: 'Xen 4.5 to now, extra time as of 4.11',
  basis: 'source',
  vcpuParams,
  make: (host) => new Rtds(host),
});

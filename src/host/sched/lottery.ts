/**
 * Lottery scheduling: each quantum goes to the holder of a ticket drawn at random.
 * Invariants: ready tasks are kept in the order of their creation, in which the drawing walks; who uses only the fraction
 * f of a quantum holds 1/f as many tickets until its next quantum starts. Nothing is remembered of those who sleep.
 * Source: Waldspurger and Weihl, "Lottery scheduling", OSDI 1994. One queue for all pCPUs is our choice, and so is the
 * quantum of 10 ms (the prototype had 100 ms).
 */
import { NS_PER_MS, type Ns } from '../../core/units.ts';
import { callIdle } from '../idle.ts';
import { OrderedQueue } from '../ordered-queue.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { type Decision, definePolicy, type Scheduler, type SchedulerHost, type Task } from '../scheduler.ts';

const params = {
  quantum_ms: { kind: 'integer', min: 1, max: 10_000, default: 10, meaning: 'running time that a drawing decides on' },
  compensation: {
    kind: 'flag',
    default: true,
    meaning: 'who used a fraction f of its quantum holds 1/f times its tickets until it starts the next one',
  },
} as const satisfies ParamSet;

class Lottery implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly quantum: Ns;
  private readonly compensation: boolean;
  private readonly ready = new OrderedQueue<Task>((a, b) => a.id - b.id);
  /** Time used of the quantum that runs, or that ran last. */
  private readonly used: Ns[] = [];
  private readonly factor: number[] = [];
  private readonly yielded: boolean[] = [];

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    this.host = host;
    this.quantum = settings.quantum_ms * NS_PER_MS;
    this.compensation = settings.compensation;
  }

  add(task: Task): void {
    this.used[task.id] = 0;
    this.factor[task.id] = 1;
    this.yielded[task.id] = false;
  }

  wake(task: Task): void {
    this.ready.add(task);
    callIdle(this.host, task);
  }

  sleep(task: Task): void {
    if (this.ready.has(task)) this.ready.delete(task);
    else this.compensate(task);
  }

  charge(task: Task, ran: Ns): void {
    this.used[task.id] += ran;
  }

  yield(task: Task): void {
    this.yielded[task.id] = true;
  }

  /** Masks are looked at when somebody is picked. */
  affinity(): void {}

  pick(pcpu: number, _now: Ns, current: Task | null): Decision {
    if (current !== null) {
      const left = this.quantum - this.used[current.id];
      if (left > 0 && !this.yielded[current.id]) return { task: current, slice: left };
      this.compensate(current);
      this.ready.add(current);
    }
    const winner = this.draw(pcpu);
    if (winner === null) return { task: null, slice: Infinity };
    this.ready.delete(winner);
    this.used[winner.id] = 0;
    this.factor[winner.id] = 1;
    this.yielded[winner.id] = false;
    return { task: winner, slice: this.quantum };
  }

  /** The winner among those that may run here; a single one needs no drawing. */
  private draw(pcpu: number): Task | null {
    const players: Task[] = [];
    let total = 0;
    for (const task of this.ready) {
      if (!task.hard.has(pcpu)) continue;
      players.push(task);
      total += this.ticketsOf(task);
    }
    if (players.length <= 1) return players[0] ?? null;
    let rest = this.host.random.float01() * total;
    for (const task of players) {
      rest -= this.ticketsOf(task);
      if (rest < 0) return task;
    }
    // Only where rounding made the sum of the parts smaller than the whole.
    return players.at(-1)!;
  }

  private ticketsOf(task: Task): number {
    return task.vm.weight * this.factor[task.id];
  }

  private compensate(task: Task): void {
    const used = this.used[task.id];
    if (this.compensation && used > 0 && used < this.quantum) this.factor[task.id] = this.quantum / used;
  }
}

export const lottery = definePolicy({
  name: 'lottery',
  summary: 'each quantum goes to a ticket drawn at random; tickets are the weight, with compensation for short quanta',
  origin: 'Waldspurger and Weihl, OSDI 1994',
  basis: 'paper',
  traits: { weights: { quantum_ms: 1 } },
  params,
  make: (host, settings) => new Lottery(host, settings),
});

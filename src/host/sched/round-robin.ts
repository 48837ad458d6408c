/**
 * Round robin: first come, first served, one quantum each.
 * Invariant: every ready task is in exactly one queue; a pCPU is idle only if no ready task may run on it.
 * Source: textbook. Wake: tail of the queue, an idle pCPU takes it at once, a busy one is not preempted.
 */
import { NS_PER_MS, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  type Decision,
  definePolicy,
  type Scheduler,
  type SchedulerHost,
  type SchedVm,
  type Task,
} from '../scheduler.ts';

const params = {
  quantum_ms: {
    kind: 'integer',
    min: 1,
    max: 10_000,
    default: 10,
    meaning: 'running time before the next task gets its turn',
  },
  queue: {
    kind: 'choice',
    of: ['shared', 'per-pcpu'],
    default: 'shared',
    meaning: 'one queue for all pCPUs, or one each with stealing',
  },
  weighted: { kind: 'flag', default: false, meaning: 'scale the quantum of a task by its weight over the mean weight' },
} as const satisfies ParamSet;

class RoundRobin implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly params: ValuesOf<typeof params>;
  private readonly queues: Task[][];
  /** The weight that each task is counted with, by task id: a VM's may change. */
  private readonly weightOf: number[] = [];
  private tasks = 0;
  private weights = 0;

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    this.host = host;
    this.params = settings;
    this.queues = host.topology.map(() => []);
    if (settings.queue === 'shared') this.queues.fill(this.queues[0]);
  }

  add(task: Task): void {
    this.tasks++;
    this.weightOf[task.id] = task.vm.weight;
    this.weights += task.vm.weight;
  }

  remove(task: Task): void {
    this.tasks--;
    this.weights -= this.weightOf[task.id];
    this.weightOf[task.id] = 0;
  }

  change(vm: SchedVm): void {
    for (const { id } of vm.tasks) {
      const before = this.weightOf[id] ?? 0;
      // Zero: it has not started, or has ended.
      if (before === 0) continue;
      this.weights += vm.weight - before;
      this.weightOf[id] = vm.weight;
    }
  }

  wake(task: Task): void {
    this.queues[this.homeOf(task)].push(task);
    for (const { id } of this.host.topology) {
      if (task.hard.has(id) && this.host.current(id) === null) this.host.resched(id);
    }
  }

  sleep(task: Task): void {
    for (const queue of this.queues) take(queue, queue.indexOf(task));
  }

  pick(pcpu: number, _now: Ns, current: Task | null): Decision {
    const queue = this.queues[pcpu];
    if (current !== null) queue.push(current);
    const allowed = (task: Task): boolean => task.hard.has(pcpu);
    const next = take(queue, queue.findIndex(allowed)) ?? this.steal(pcpu, allowed);
    return { task: next, slice: next === null ? Infinity : this.quantumOf(next) };
  }

  /** With a queue per pCPU: the first allowed task of the longest queue. */
  private steal(pcpu: number, allowed: (task: Task) => boolean): Task | null {
    const longest = this.queues.reduce((best, queue) => (queue.length > best.length ? queue : best));
    const order = [longest, ...this.queues];
    for (const queue of order) {
      const task = take(queue, queue.findIndex(allowed));
      if (task === null) continue;
      this.host.note('steal', task, pcpu);
      return task;
    }
    return null;
  }

  /** The pCPU a task ran on last; for a new one, the allowed one with the fewest waiting. */
  private homeOf(task: Task): number {
    if (task.pcpu >= 0) return task.pcpu;
    let home = task.hard.first();
    for (let id = home; id < this.queues.length; id++) {
      if (task.hard.has(id) && this.queues[id].length < this.queues[home].length) home = id;
    }
    return home;
  }

  private quantumOf(task: Task): Ns {
    const quantum = this.params.quantum_ms * NS_PER_MS;
    return this.params.weighted
      ? Math.max(Math.round((quantum * task.vm.weight * this.tasks) / this.weights), 1)
      : quantum;
  }
}

/** Takes element `index` out of `queue`; null when the index is -1. */
function take(queue: Task[], index: number): Task | null {
  return index < 0 ? null : queue.splice(index, 1)[0];
}

export const roundRobin = definePolicy({
  name: 'round-robin',
  summary: 'one quantum each in turn, shared or per-pCPU queues, optionally weighted',
  origin: 'textbook',
  basis: 'textbook',
  traits: { weights: { weighted: true } },
  params,
  make: (host, settings) => new RoundRobin(host, settings),
});

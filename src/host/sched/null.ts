/**
 * The null scheduler of Xen: one vCPU, one pCPU, decided when the vCPU comes; no timers, no preemption, no weights.
 * Invariants: a pCPU belongs to at most one vCPU and a vCPU to at most one pCPU, from its arrival (or from the moment one
 * becomes free) to its end; vCPUs without a pCPU wait in the order of their arrival and do not run.
 * Source: the rules of xen/common/sched/null.c (facts only; own code).
 */
import { type Decision, definePolicy, type Scheduler, type SchedulerHost, type Task } from '../scheduler.ts';
import { CpuSet } from '../topology.ts';

class Null implements Scheduler {
  private readonly host: SchedulerHost;
  /** The owner of each pCPU. */
  private readonly owners: (Task | null)[];
  private readonly free: CpuSet;
  /** By task id; -1 while it waits for one. */
  private readonly pcpuOf: number[] = [];
  private readonly runnable: boolean[] = [];
  private readonly waiting: Task[] = [];

  constructor(host: SchedulerHost) {
    this.host = host;
    this.owners = host.topology.map(() => null);
    this.free = CpuSet.all(host.topology.length);
  }

  /** Its own pCPU if that is free, else the first free one that it prefers, else the first that it may use. */
  add(task: Task): void {
    this.runnable[task.id] = false;
    this.pcpuOf[task.id] = -1;
    for (const mask of task.soft === null ? [task.hard] : [task.soft, task.hard]) {
      const own = task.pcpu >= 0 && mask.has(task.pcpu) && this.free.has(task.pcpu);
      const pcpu = own ? task.pcpu : this.free.nextIn(mask, this.owners.length - 1);
      if (pcpu < 0) continue;
      this.assign(task, pcpu);
      return;
    }
    this.waiting.push(task);
  }

  remove(task: Task): void {
    const pcpu = this.pcpuOf[task.id];
    if (pcpu < 0) {
      this.waiting.splice(this.waiting.indexOf(task), 1);
      return;
    }
    this.owners[pcpu] = null;
    this.free.add(pcpu);
    // Those that prefer this pCPU come before those that only may use it.
    const heir =
      this.waiting.find(({ soft }) => soft?.has(pcpu) === true) ?? this.waiting.find(({ hard }) => hard.has(pcpu));
    if (heir === undefined) return;
    this.waiting.splice(this.waiting.indexOf(heir), 1);
    this.assign(heir, pcpu);
    if (this.runnable[heir.id]) this.host.resched(pcpu);
  }

  wake(task: Task): void {
    this.runnable[task.id] = true;
    const pcpu = this.pcpuOf[task.id];
    if (pcpu >= 0) this.host.resched(pcpu);
  }

  sleep(task: Task): void {
    this.runnable[task.id] = false;
  }

  pick(pcpu: number): Decision {
    const owner = this.owners[pcpu];
    return { task: owner !== null && this.runnable[owner.id] ? owner : null, slice: Infinity };
  }

  private assign(task: Task, pcpu: number): void {
    this.owners[pcpu] = task;
    this.pcpuOf[task.id] = pcpu;
    this.free.delete(pcpu);
    this.host.note('assign', task, pcpu);
  }
}

export const nullScheduler = definePolicy({
  name: 'null',
  summary: 'Xen null: a pCPU of its own for each vCPU, for good; who comes too late waits until one is free',
  origin: 'Xen 4.9 to now',
  basis: 'source',
  traits: { workConserving: false },
  make: (host) => new Null(host),
});

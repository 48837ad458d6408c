/**
 * No scheduler at all: every pCPU has one vCPU for good, which runs whenever it can; otherwise the pCPU idles.
 * Invariant: a task has exactly one pCPU it may run on, and no other task has that one.
 */
import { assert } from '../../core/errors.ts';
import { definePolicy, type SchedulerHost, type Task } from '../scheduler.ts';

export const partition = definePolicy({
  name: 'partition',
  summary: 'one vCPU per physical CPU, for good',
  origin: 'type-0 hypervisors',
  basis: 'textbook',
  traits: { workConserving: false },
  make: (host: SchedulerHost) => {
    const owners: (Task | null)[] = host.topology.map(() => null);
    const ready = new Set<Task>();
    const homeOf = (task: Task): number => task.hard.first();
    return {
      add(task: Task): void {
        assert(task.hard.count === 1, 'a partition gives each vCPU one pCPU');
        assert(owners[homeOf(task)] === null, 'two vCPUs in one partition of a pCPU');
        owners[homeOf(task)] = task;
      },
      wake(task: Task): void {
        ready.add(task);
        host.resched(homeOf(task));
      },
      sleep(task: Task): void {
        ready.delete(task);
      },
      remove(task: Task): void {
        owners[homeOf(task)] = null;
      },
      pick(pcpu: number, _now: number, current: Task | null) {
        const owner = owners[pcpu]!;
        const runs = current ?? (owner !== null && ready.has(owner) ? owner : null);
        if (runs !== null) ready.delete(runs);
        return { task: runs, slice: Infinity };
      },
    };
  },
});

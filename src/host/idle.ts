/**
 * Waking idle pCPUs, for policies whose ready tasks wait in one place for all pCPUs.
 * Invariant: every idle pCPU that may run the task is asked, so none idles next to it whatever the others take.
 */
import type { SchedulerHost, Task } from './scheduler.ts';

/** Asks all idle pCPUs on which `task` may run. */
export function callIdle(host: SchedulerHost, task: Task): void {
  for (const id of task.hard) if (host.current(id) === null) host.resched(id);
}

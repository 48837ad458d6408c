/**
 * Who watches the dispatcher: recorders of timelines, the monitor of scheduling.
 * Invariant: an observer changes nothing; a dispatcher that nobody watches does nothing for one.
 */
import type { Ns } from '../core/units.ts';
import type { TaskState } from './scheduler.ts';
import type { HostTask } from './task.ts';

/** Who is told what the dispatcher does. */
export interface DispatchObserver {
  /** `task` is about to go from its state to `state` at `time`, decided `now`. */
  entering(task: HostTask, state: TaskState, time: Ns, now: Ns): void;
  /** `task` is about to be taken off its pCPU against its will. */
  taken?(task: HostTask): void;
  /** `pcpu` will run `task`, or nobody, from `time` on: `now`, or after a context switch. */
  picked?(pcpu: number, task: HostTask | null, time: Ns, now: Ns): void;
  /** The policy noted an incident. */
  noted?(kind: string, task: number, pcpu: number, now: Ns): void;
  /** Everything before `time` has happened. */
  until?(time: Ns): void;
}

/** One observer for several: each is told of everything, in this order. Null for none. */
export function together(observers: readonly DispatchObserver[]): DispatchObserver | null {
  if (observers.length <= 1) return observers[0] ?? null;
  return {
    entering: (task, state, time, now) => {
      for (const observer of observers) observer.entering(task, state, time, now);
    },
    taken: (task) => {
      for (const observer of observers) observer.taken?.(task);
    },
    picked: (pcpu, task, time, now) => {
      for (const observer of observers) observer.picked?.(pcpu, task, time, now);
    },
    noted: (kind, task, pcpu, now) => {
      for (const observer of observers) observer.noted?.(kind, task, pcpu, now);
    },
    until: (time) => {
      for (const observer of observers) observer.until?.(time);
    },
  };
}

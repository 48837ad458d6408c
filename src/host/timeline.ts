/**
 * Records what every task did when: the raw material of timelines and Gantt charts.
 * Invariants: the segments of a task are disjoint, in order, and leave no gap inside the window; none is of no length but those of
 * running; recording changes nothing of what it watches.
 */
import type { Ns } from '../core/units.ts';
import type { Dispatcher } from './dispatch.ts';
import type { DispatchObserver } from './observer.ts';
import { STATE_ENDED, STATE_NAMES, STATE_NEW, STATE_RUNNING, type TaskState } from './scheduler.ts';
import type { HostTask } from './task.ts';

/** A time during which a task was in one state. */
export interface Segment {
  readonly task: number;
  readonly state: (typeof STATE_NAMES)[number];
  /** Where it ran; -1 for other states. */
  readonly pcpu: number;
  readonly fromNs: Ns;
  readonly toNs: Ns;
}

/** Something that the policy noted: a steal, a boost. */
export interface Incident {
  readonly kind: string;
  readonly task: number;
  readonly pcpu: number;
  readonly atNs: Ns;
}

/** Who a task is. */
export interface TimelineTask {
  /** Number of its VM, or of the process or thread of the host: two of these may have the same name. */
  readonly owner: number;
  readonly vm: string;
  readonly vcpu: number;
}

/** Plain data: it may pass between threads. */
export interface Timeline {
  readonly fromNs: Ns;
  readonly toNs: Ns;
  readonly pcpus: number;
  readonly tasks: readonly TimelineTask[];
  readonly segments: readonly Segment[];
  readonly incidents: readonly Incident[];
  /** Segments and incidents that there was no room for. */
  readonly dropped: number;
}

export interface TimelineWindow {
  readonly fromNs: Ns;
  /** Infinity: to the end of the run. */
  readonly toNs: Ns;
  /** Segments and incidents that are kept, each; the first ones. */
  readonly keepMax: number;
}

export class TimelineRecorder implements DispatchObserver {
  private readonly window: TimelineWindow;
  private readonly segments: Segment[] = [];
  private readonly incidents: Incident[] = [];
  private dropped = 0;

  constructor(window: TimelineWindow) {
    this.window = window;
  }

  entering(task: HostTask, _state: TaskState, time: Ns): void {
    this.close(task, time);
  }

  noted(kind: string, task: number, pcpu: number, now: Ns): void {
    const { fromNs, toNs, keepMax } = this.window;
    if (now < fromNs || now > toNs) return;
    if (this.incidents.length < keepMax) this.incidents.push({ kind, task, pcpu, atNs: now });
    else this.dropped++;
  }

  /** What was recorded, with the states that last until now. Call once, at the end of the run. */
  finish(dispatcher: Dispatcher): Timeline {
    const { fromNs, toNs } = this.window;
    const end = Math.min(dispatcher.now, toNs);
    for (const task of dispatcher.tasks) if (task.state !== STATE_ENDED) this.close(task, task.accountedUntil);
    return {
      fromNs,
      toNs: Math.max(end, fromNs),
      pcpus: dispatcher.pcpus.length,
      tasks: dispatcher.tasks.map(({ vm, index }) => ({ owner: vm.id, vm: vm.name, vcpu: index })),
      segments: this.segments,
      incidents: this.incidents,
      dropped: this.dropped,
    };
  }

  /** The task leaves the state that it is in. */
  private close({ id, state, since, pcpu }: HostTask, now: Ns): void {
    const { fromNs: first, toNs: last, keepMax } = this.window;
    const fromNs = Math.max(since, first);
    const toNs = Math.min(now, last);
    // Who is put on a pCPU and blocks at once has run, if for no time.
    const isBrief = state === STATE_RUNNING && now === since && fromNs === since && since <= last;
    if (state === STATE_NEW || (toNs <= fromNs && !isBrief)) return;
    if (this.segments.length >= keepMax) {
      this.dropped++;
      return;
    }
    const where = state === STATE_RUNNING ? pcpu : -1;
    this.segments.push({ task: id, state: nameOf(state), pcpu: where, fromNs, toNs });
  }
}

const nameOf = (state: TaskState): Segment['state'] => STATE_NAMES[state];

/**
 * What Linux knows of a thread and of a pCPU: the classes of scheduling and the run queues of all of them.
 * Invariants: a thread is in at most one queue of one class; `running` is the thread that the last pick answered.
 */
import type { Ns } from '../../../core/units.ts';
import type { SchedVm, Task } from '../../scheduler.ts';
import type { Bandwidth, Meter } from './bandwidth.ts';
import type { Entity, FairQueue } from './fair-queue.ts';

export type SchedClass = 'fair' | 'fifo' | 'rr' | 'deadline';

/** A thread. */
export interface Thread {
  readonly task: Task;
  readonly vm: VmGroup;
  readonly cls: SchedClass;
  /** Of the fair class; also there for others, unused. */
  readonly entity: Entity;
  /** pCPU whose queues it uses. */
  pcpu: number;
  /** It is on a pCPU, or in a queue. */
  active: boolean;
  /** Kept off the CPUs with its group, on that pCPU; null otherwise. */
  parkedBy: GroupQueue | null;
  /** That pCPU is where it returns to when it is released; -1 otherwise. */
  backTo: number;
  /** To be moved there when it leaves its pCPU; -1 otherwise. */
  pushTo: number;
  /** The pCPU from which the next wake-up comes, and when that was noted; -1 otherwise. */
  wakerPcpu: number;
  wakerAt: Ns;
  /** Directed yield: a spinner is a candidate at every other look. */
  candidate: boolean;
  /** An interrupt waits for it: it came while the thread slept, or waited for its pCPU. */
  interrupted: boolean;

  // Real-time class.
  readonly priority: number;
  /** Time left of a round-robin slice. */
  quantumLeft: Ns;

  // Deadline class.
  readonly runtime: Ns;
  readonly relativeDeadline: Ns;
  readonly period: Ns;
  /** It uses what others do not need (GRUB). */
  readonly reclaims: boolean;
  budget: Ns;
  deadline: Ns;
  throttled: boolean;
  /** Asleep: when it gives up the rest of its budget; that time is over. */
  zeroLagAt: Ns;
  inactive: boolean;
}

/** The group of a VM: its part of every pCPU. */
export interface VmGroup {
  readonly vm: SchedVm;
  /** By pCPU, made when first needed. */
  readonly queues: GroupQueue[];
  /** Weight of all its queued threads on all pCPUs. */
  load: number;
  readonly bandwidth: Bandwidth<GroupQueue>;
  /** Directed yield: who was helped last. */
  lastBoosted: number;
}

/** The group of a VM on one pCPU. */
export interface GroupQueue extends Meter {
  readonly group: VmGroup;
  readonly queue: FairQueue;
  readonly entity: Entity;
  readonly parked: Thread[];
}

/** A pCPU. */
export class Rq {
  readonly id: number;
  readonly root: FairQueue;
  /** Awake threads of the fair class, the running one included, in the order in which they ran last. */
  readonly fair: Thread[] = [];
  running: Thread | null = null;
  /** Threads of real-time priority that wait, the most urgent first. */
  readonly realtime: Thread[] = [];
  idleSince: Ns = 0;
  /** Average length of idle times, as the kernel estimates it. */
  averageIdle: Ns;
  /** By domain: when to balance next, and how often that failed in a row. */
  readonly balanceAt: Ns[] = [];
  readonly failures: number[] = [];
  nextKick: Ns = 0;
  /** Another choice was asked for; the current thread stopped without a reason to choose. */
  wanted = false;
  undisturbed = false;
  tickAt: Ns = Infinity;

  // Protection of the fair class from the real-time class.
  realtimeUsed: Ns = 0;
  realtimePeriod = 0;
  starvingSince: Ns = -1;
  serverLeft: Ns = 0;

  constructor(id: number, root: FairQueue, averageIdle: Ns) {
    this.id = id;
    this.root = root;
    this.averageIdle = averageIdle;
  }
}

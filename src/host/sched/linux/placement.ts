/**
 * Where a thread of the fair class goes when it starts or wakes up: to an idle pCPU near by, if there is one.
 * Invariant: `cores` has the first thread of every core that is idle as a whole, `idleOf` the idle pCPUs of each socket.
 * Source: select_task_rq_fair of Linux (facts only; own code). A socket stands for the pCPUs that share a cache.
 */
import { CpuSet, type Topology } from '../../topology.ts';

/** Half of the imbalance allowed in a socket: the waking pCPU must be better by that. */
const AFFINE_PERCENT = 100 + Math.floor((117 - 100) / 2);

export class Placement {
  private readonly topology: Topology;
  private readonly idle: CpuSet;
  private readonly loadOf: (pcpu: number) => number;
  private readonly idleOf: CpuSet[] = [];
  private readonly coresOf: CpuSet[] = [];
  private readonly firstOf: number[] = [];
  private readonly busyOf: number[] = [];
  /** Cores with several threads exist. */
  private readonly threaded: boolean;

  /** @param idle all idle pCPUs; kept here */
  constructor(topology: Topology, idle: CpuSet, loadOf: (pcpu: number) => number) {
    this.topology = topology;
    this.idle = idle;
    this.loadOf = loadOf;
    this.threaded = topology.some(({ thread }) => thread > 0);
    for (const { id, socket, core } of topology) {
      this.idleOf[socket] ??= new CpuSet(topology.length);
      this.coresOf[socket] ??= new CpuSet(topology.length);
      this.idleOf[socket].add(id);
      if (this.firstOf[core] !== undefined) continue;
      this.firstOf[core] = id;
      this.busyOf[core] = 0;
      this.coresOf[socket].add(id);
    }
  }

  setIdle(pcpu: number, idle: boolean): void {
    if (idle === this.idle.has(pcpu)) return;
    const { socket, core } = this.topology[pcpu];
    this.idle.put(pcpu, idle);
    this.idleOf[socket].put(pcpu, idle);
    this.busyOf[core] += idle ? -1 : 1;
    this.coresOf[socket].put(this.firstOf[core], this.busyOf[core] === 0);
  }

  /** The socket with the most idle pCPUs, there an idle core, an idle pCPU; else the least loaded pCPU of all. */
  forNew(hard: CpuSet): number {
    let best: CpuSet | null = null;
    let socket = -1;
    for (const [i, idle] of this.idleOf.entries()) {
      if (idle.count > (best?.count ?? 0) && idle.meets(hard)) {
        best = idle;
        socket = i;
      }
    }
    const last = this.topology.length - 1;
    if (best !== null) return this.idleIn(hard, socket, last);
    let least = hard.first();
    for (const id of hard) if (this.loadOf(id) < this.loadOf(least)) least = id;
    return least;
  }

  /** Near the pCPU where it ran or near the one that woke it; there where something is idle. */
  forWake(hard: CpuSet, previous: number, waker: number, weight: number): number {
    const target = hard.has(waker) ? this.affine(previous, waker, weight) : previous;
    if (this.idle.has(target)) return target;
    const { socket } = this.topology[target];
    if (this.topology[previous].socket === socket && this.idle.has(previous)) return previous;
    const found = this.idleIn(hard, socket, target);
    return found >= 0 ? found : target;
  }

  private affine(previous: number, waker: number, weight: number): number {
    if (waker === previous) return previous;
    const near = this.topology[waker].socket === this.topology[previous].socket;
    if (near && this.idle.has(waker)) return this.idle.has(previous) ? previous : waker;
    if (this.idle.has(previous)) return previous;
    const there = (this.loadOf(waker) + weight) * 100;
    return there < this.loadOf(previous) * AFFINE_PERCENT ? waker : previous;
  }

  /** A pCPU of an idle core in the socket of `pcpu`, if cores have several threads; -1 for none. */
  idleCore(pcpu: number): number {
    return this.threaded ? this.coresOf[this.topology[pcpu].socket].next(pcpu) : -1;
  }

  /** A thread of an idle core, or else an idle pCPU; -1 for none. */
  private idleIn(hard: CpuSet, socket: number, from: number): number {
    if (this.threaded) {
      const core = this.coresOf[socket].nextIn(hard, from);
      if (core >= 0) return core;
    }
    return this.idleOf[socket].nextIn(hard, from);
  }
}

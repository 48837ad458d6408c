/**
 * Which pCPUs share a run queue under credit2.
 * Invariants: each pCPU is in exactly one group; threads of a core are in the same group, except with one group per pCPU;
 * groups of one core, memory node, socket or host differ by at most one core.
 * Source: the boot options credit2_runqueue and sched_credit2_max_cpus_runqueue of Xen.
 */
import type { Topology } from '../topology.ts';

export const RUN_QUEUE_LEVELS = ['cpu', 'core', 'socket', 'node', 'all'] as const;
export type RunQueueLevel = (typeof RUN_QUEUE_LEVELS)[number];

/** The pCPU ids of each run queue. */
export function runQueues(topology: Topology, level: RunQueueLevel, cpusMax: number): number[][] {
  const groupOf = { cpu: 'id', core: 'core', socket: 'socket', node: 'node', all: null } as const;
  const key = groupOf[level];
  const groups = new Map<number, Map<number, number[]>>();
  for (const place of topology) {
    const id = key === null ? 0 : place[key];
    const cores = groups.get(id) ?? new Map<number, number[]>();
    groups.set(id, cores);
    cores.set(place.core, [...(cores.get(place.core) ?? []), place.id]);
  }
  return [...groups.values()].flatMap((cores) => split([...cores.values()], cpusMax));
}

/** Cores in as few groups as the limit allows, of nearly equal size. */
function split(cores: readonly number[][], cpusMax: number): number[][] {
  const threads = Math.max(...cores.map(({ length }) => length));
  const parts = Math.ceil(cores.length / Math.max(Math.floor(cpusMax / threads), 1));
  return Array.from({ length: parts }, (_, part) =>
    cores.slice(Math.floor((part * cores.length) / parts), Math.floor(((part + 1) * cores.length) / parts)).flat(),
  );
}

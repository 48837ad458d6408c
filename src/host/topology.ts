/**
 * Where the physical CPUs sit, as plain data, and sets of them.
 * Invariant: pCPU ids are dense; the threads of a core are neighbours, and so are the cores of a socket.
 */
import { assert } from '../core/errors.ts';

export interface TopologySpec {
  readonly sockets: number;
  readonly coresPerSocket: number;
  readonly threadsPerCore: number;
}

/** One pCPU (hardware thread). `core` counts over the whole host; one socket is one memory node. */
export interface PcpuPlace {
  readonly id: number;
  readonly socket: number;
  readonly core: number;
  readonly thread: number;
}

export type Topology = readonly PcpuPlace[];

export function makeTopology(spec: TopologySpec): Topology {
  const places: PcpuPlace[] = [];
  const { sockets, coresPerSocket, threadsPerCore } = spec;
  for (const n of [sockets, coresPerSocket, threadsPerCore]) {
    assert(Number.isInteger(n) && n >= 1, 'a topology needs at least one socket, core and thread');
  }
  for (let core = 0; core < sockets * coresPerSocket; core++) {
    for (let thread = 0; thread < threadsPerCore; thread++) {
      places.push({ id: places.length, socket: Math.floor(core / coresPerSocket), core, thread });
    }
  }
  return places;
}

/** A set of pCPUs: element i is 1 when pCPU i belongs to it. */
export type CpuMask = Uint8Array;

/** The set with the given ids, or with all of them. */
export function cpuMask(size: number, ids?: readonly number[]): CpuMask {
  const mask = new Uint8Array(size);
  if (ids === undefined) mask.fill(1);
  else for (const id of ids) mask[id] = 1;
  return mask;
}

export function countCpus(mask: CpuMask): number {
  let count = 0;
  for (let i = 0; i < mask.length; i++) count += mask[i];
  return count;
}

/** The first member after `from` in cyclic order, `from` itself being the last to be tried; -1 when the set is empty. */
export function nextCpu(mask: CpuMask, from: number): number {
  for (let step = 1; step <= mask.length; step++) {
    const id = (from + step) % mask.length;
    if (mask[id] === 1) return id;
  }
  return -1;
}

/** The members of both sets. */
export function intersect(a: CpuMask, b: CpuMask): CpuMask {
  return a.map((member, i) => member & b[i]);
}

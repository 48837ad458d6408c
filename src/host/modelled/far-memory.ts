/**
 * Memory that has a distance: the memory of a VM lies on one node, and its vCPUs compute more slowly on pCPUs of others.
 * Invariants: integers only; work that moves to and fro grows by less than a cycle for each move.
 * One figure for all work, whatever it does with memory, and the same for all other nodes, is our choice; hardware differs by access.
 */
import type { Cycles } from '../../core/units.ts';
import type { Topology } from '../topology.ts';

export interface MemoryPlace {
  /** Node where the memory lies. */
  readonly node: number;
  /** Percent by which work takes longer elsewhere. */
  readonly farPercent: number;
}

/** Percent by which work takes longer, by id of the pCPU. */
export function slownessOf({ node, farPercent }: MemoryPlace, topology: Topology): readonly number[] {
  return topology.map((place) => (place.node === node ? 0 : farPercent));
}

/** Cycles that are left of work, on a pCPU that is slower by `to` percent after one by `from`; rounded up. */
export function rescaled(cycles: Cycles, from: number, to: number): Cycles {
  if (from === to || cycles === 0 || cycles === Infinity) return cycles;
  const product = cycles * (100 + to);
  if (Number.isSafeInteger(product)) return Math.ceil(product / (100 + from));
  const divisor = BigInt(100 + from);
  return Number((BigInt(cycles) * BigInt(100 + to) + divisor - 1n) / divisor);
}

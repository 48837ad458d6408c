/**
 * The cost of a cold cache when a task comes to a pCPU, in cycles on top of the context switch.
 *   moved    it ran last on another pCPU: a fixed amount, by how far away that is
 *   same     it ran here, but others did since: the amount for that, scaled linearly by the time away, whole from `fullAfter` on
 *   neither  its first run, or nobody was here meanwhile: nothing
 * Invariants: integers only; a cost depends on the two places and the time away alone.
 * Amounts are the user's. That the cost is one sum, paid at once, that it grows linearly with the time away, and the age at
 * which a cache counts as cold, are our choice; a real cache is refilled by misses as the task goes on.
 */
import type { Cycles, Ns } from '../core/units.ts';
import type { Topology } from './topology.ts';

/** What a vCPU pays, in cycles, by where it ran last. */
export interface CacheRefill {
  /** From another thread of the same core, another core of the same socket, another socket. */
  readonly core: Cycles;
  readonly socket: Cycles;
  readonly other: Cycles;
  /** After others ran on the same pCPU for `fullAfter` (> 0) or longer. */
  readonly same: Cycles;
  readonly fullAfter: Ns;
}

/** Cycles to refill the cache for a task that was on pCPU `from` (-1: never ran) until `away` ns ago and comes to `to`. */
export function refillCycles(refill: CacheRefill, topology: Topology, from: number, to: number, away: Ns): Cycles {
  if (from < 0) return 0;
  if (from === to) return scaled(refill.same, Math.min(away, refill.fullAfter), refill.fullAfter);
  const [old, now] = [topology[from]!, topology[to]!];
  if (old.core === now.core) return refill.core;
  return old.socket === now.socket ? refill.socket : refill.other;
}

/** `cycles` times part / whole, rounded down: exact beyond 2^53. */
function scaled(cycles: Cycles, part: Ns, whole: Ns): Cycles {
  const product = cycles * part;
  if (Number.isSafeInteger(product)) return Math.floor(product / whole);
  return Number((BigInt(cycles) * BigInt(part)) / BigInt(whole));
}

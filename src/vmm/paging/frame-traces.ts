/**
 * Write traces on machine frames, counted: several shadow pages and techniques may trace one frame.
 * Invariant: a frame has FRAME_TRACED exactly while its count is above zero. A traced frame belongs to one VM only.
 */
import { assert } from '../../core/errors.ts';
import type { Mfn } from '../../core/units.ts';
import { FRAME_TRACED, type MachineMemory } from '../../machine/memory.ts';

export class FrameTraces {
  private readonly memory: MachineMemory;
  private readonly counts = new Map<Mfn, number>();

  constructor(memory: MachineMemory) {
    this.memory = memory;
  }

  isTraced(mfn: Mfn): boolean {
    return this.counts.has(mfn);
  }

  /** How many traces a frame has. */
  countOf(mfn: Mfn): number {
    return this.counts.get(mfn) ?? 0;
  }

  /** Adds one trace; true if it is the first, so that existing mappings must be protected. */
  add(mfn: Mfn): boolean {
    const count = (this.counts.get(mfn) ?? 0) + 1;
    this.counts.set(mfn, count);
    this.memory.frameFlags[mfn]! |= FRAME_TRACED;
    return count === 1;
  }

  /** Removes one trace. */
  remove(mfn: Mfn): void {
    const count = this.counts.get(mfn) ?? 0;
    assert(count > 0, `frame ${mfn} has no trace to remove`);
    if (count > 1) {
      this.counts.set(mfn, count - 1);
      return;
    }
    this.counts.delete(mfn);
    this.memory.frameFlags[mfn]! &= ~FRAME_TRACED;
  }

  /** Removes all traces. */
  clear(): void {
    for (const mfn of this.counts.keys()) this.memory.frameFlags[mfn]! &= ~FRAME_TRACED;
    this.counts.clear();
  }

  /** Traced frames, ascending. For checks. */
  frames(): Mfn[] {
    return [...this.counts.keys()].sort((a, b) => a - b);
  }
}

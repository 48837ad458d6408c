/**
 * How much work on page tables one operation of the VMM did, so that its time can be charged.
 * Invariant: counts describe the last public operation of the object that owns the record.
 */
import type { Cycles } from '../../core/units.ts';
import type { MachinePreset } from '../costs.ts';

export class TableWork {
  /** Guest page-table entries read by software. */
  references = 0;
  /** Table frames allocated. */
  frames = 0;
  /** Shadow or nested entries written or removed. */
  entries = 0;
  /** Table frames given up to make room, or because the guest no longer uses them as tables. */
  evictions = 0;

  add(other: TableWork): void {
    this.references += other.references;
    this.frames += other.frames;
    this.entries += other.entries;
    this.evictions += other.evictions;
  }

  reset(): void {
    this.references = 0;
    this.frames = 0;
    this.entries = 0;
    this.evictions = 0;
  }
}

/** Cycles of the VMM for that work, to be added to the path that caused it. */
export function tableWorkCycles(vmm: MachinePreset['vmm'], work: TableWork): Cycles {
  return (
    work.references * vmm['guest-walk-reference'] +
    work.frames * vmm['table-frame'] +
    work.entries * vmm['table-entry'] +
    work.evictions * vmm['table-evict']
  );
}

/**
 * Paths that belong to one part of the VMM or of a host, beside those that every technique shares (paths.ts): their length in
 * instructions, the hardware operations in them, and the one formula that prices them on a machine.
 * Invariant: lengths are our choice, made before any comparison and the same for all machines; only prices differ.
 */
import type { Cycles } from '../core/units.ts';
import { COST_CLASSES, type CostClass } from '../machine/costs.ts';
import type { MachinePreset } from './costs.ts';

export interface PartPath {
  readonly instructions: number;
  readonly vmreads?: number;
  readonly vmwrites?: number;
  /** Hardware operations by cost class: how many of each. */
  readonly hardware?: Readonly<Partial<Record<CostClass, number>>>;
  /** Pages touched just after the page tables were exchanged: each misses the TLB. */
  readonly flushedPages?: number;
  /** What the code must do. */
  readonly why: string;
}

/** Page-table references per TLB miss of such code: tables of two levels. */
const WALK_REFERENCES = 2;

/** Cycles of a path on a machine, rounded up. */
export function partPathCycles(path: PartPath, preset: MachinePreset): Cycles {
  const { instructions, walkReferenceCycles } = preset.timing;
  return (
    Math.ceil((path.instructions * preset.vmmCyclesPer100Instructions) / 100) +
    (path.vmreads ?? 0) * preset.vmx.vmreadCycles +
    (path.vmwrites ?? 0) * preset.vmx.vmwriteCycles +
    COST_CLASSES.reduce((sum, name) => sum + (path.hardware?.[name] ?? 0) * instructions[name], 0) +
    (path.flushedPages ?? 0) * WALK_REFERENCES * walkReferenceCycles
  );
}

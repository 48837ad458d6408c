/**
 * What a scenario may choose about hardware-assisted virtualization besides paging and tagged TLB.
 * Invariant: DEFAULT_VMX is what a VM gets that says nothing.
 */
import type { PauseWindowSpec } from '../core/pause-window.ts';
import type { Cycles } from '../core/units.ts';
import type { ControlBlock } from './vmcs/control-block.ts';

/** Levels of the nested tables: EPT has 4; 3 and 2 are those of AMD nested paging under a 32-bit host with and without PAE. */
export const NESTED_LEVELS = [2, 3, 4] as const;
export type NestedLevels = (typeof NESTED_LEVELS)[number];

/** Sizes of the MMU's walk caches, in entries; see walk-caches.ts. 0: none. */
export interface WalkCacheSpec {
  readonly pageWalkEntries: number;
  readonly nestedTlbEntries: number;
}

export interface VmxOptions {
  /** HLT leaves the guest; without it the pCPU halts in guest mode, and belongs to this vCPU until its slice is over. */
  readonly hltExiting: boolean;
  /** PAUSE loops at ring 0 that last longer than the window leave the guest, and the vCPU yields; null: they do not. */
  readonly pauseLoop: { readonly gapCycles: Cycles; readonly window: PauseWindowSpec } | null;
  /** A slice ends by the VMX-preemption timer, which is an exit; without it its end costs the context switch only. */
  readonly preemptionTimer: boolean;
  /** Under nested paging too, MOV to CR3 leaves the guest: the VMM has no use for it but to know which process runs. */
  readonly cr3LoadExiting: boolean;
  readonly nestedLevels: NestedLevels;
  /** Guest memory is backed by aligned runs of frames and mapped by large leaves (2 MiB; 4 MiB with 2 nested levels). */
  readonly nestedLargePages: boolean;
  readonly walkCaches: WalkCacheSpec;
  /** Ports that the guest reaches without an exit (clear bits in the I/O bitmaps). */
  readonly directPorts: readonly number[];
  /** For experiments from TypeScript: changes the controls after the VMM has set its own, before the first entry. */
  readonly tune?: (block: ControlBlock) => void;
}

export const NO_WALK_CACHES: WalkCacheSpec = { pageWalkEntries: 0, nestedTlbEntries: 0 };

export const DEFAULT_VMX: VmxOptions = {
  hltExiting: true,
  pauseLoop: null,
  preemptionTimer: false,
  cr3LoadExiting: false,
  nestedLevels: 4,
  nestedLargePages: false,
  walkCaches: NO_WALK_CACHES,
  directPorts: [],
};

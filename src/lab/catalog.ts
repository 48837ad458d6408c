/**
 * The names that a scenario may use, each with the line that `hvsim list` prints.
 * Invariant: nothing is listed here that cannot run; the lists come from the plug-in folders themselves.
 */
import { type GuestEntry, readCatalogue } from '../guest/catalogue.ts';
import { schedulers } from '../host/sched/index.ts';
import type { SchedulerPolicy } from '../host/scheduler.ts';
import type { MachinePreset } from '../vmm/costs.ts';
import { presets } from '../vmm/presets/index.ts';

export interface TechniqueEntry {
  readonly name: string;
  readonly summary: string;
  /** What `paging` may be, the usual one first. */
  readonly paging: readonly string[];
}

export const TECHNIQUES: readonly TechniqueEntry[] = [
  { name: 'native', summary: 'the bare machine without a hypervisor: the reference for slowdown', paging: ['native'] },
  {
    name: 'trap-and-emulate',
    summary: 'the guest kernel without privilege; what traps is emulated, what does not trap goes wrong',
    paging: ['shadow'],
  },
  {
    name: 'hardware-assisted',
    summary: 'guest mode as of VT-x: intercepts, injection, nested or shadow paging',
    paging: ['nested', 'shadow'],
  },
];

export const PRESETS: readonly MachinePreset[] = presets;
export const SCHEDULERS: readonly SchedulerPolicy[] = schedulers;
export const GUESTS: readonly GuestEntry[] = readCatalogue().guests;

/** The names of some entries. */
export function namesOf(entries: readonly { readonly name: string }[]): string[] {
  return entries.map((entry) => entry.name);
}

/** The names by which scenarios mean presets. */
export const PRESET_NAMES: readonly string[] = PRESETS.map((preset) => preset.id);

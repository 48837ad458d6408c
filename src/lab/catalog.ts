/**
 * The names that a scenario may use, each with the line that `hvsim list` prints.
 * Invariant: nothing is listed here that cannot run; the lists come from the plug-in folders themselves.
 */
import { type GuestEntry, readCatalogue } from '../guest/catalogue.ts';
import { kinds } from '../host/kinds/index.ts';
import type { HypervisorKind } from '../host/kinds/kind.ts';
import type { DemandModel } from '../host/modelled/demand.ts';
import { demands } from '../host/modelled/index.ts';
import { schedulers } from '../host/sched/index.ts';
import type { SchedulerPolicy } from '../host/scheduler.ts';
import type { MachinePreset } from '../vmm/costs.ts';
import { presets } from '../vmm/presets/index.ts';
import type { Technique } from '../vmm/technique.ts';
import { techniques } from '../vmm/techniques/index.ts';

export const TECHNIQUES: readonly Technique[] = techniques;
export const PRESETS: readonly MachinePreset[] = presets;
export const SCHEDULERS: readonly SchedulerPolicy[] = schedulers;
export const HYPERVISORS: readonly HypervisorKind[] = kinds;
export const DEMANDS: readonly DemandModel[] = demands;
export const GUESTS: readonly GuestEntry[] = readCatalogue().guests;

/** The names of some entries. */
export function namesOf(entries: readonly { readonly name: string }[]): string[] {
  return entries.map((entry) => entry.name);
}

/** The names by which scenarios mean presets. */
export const PRESET_NAMES: readonly string[] = PRESETS.map((preset) => preset.id);

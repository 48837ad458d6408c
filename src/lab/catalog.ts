/**
 * The names that a scenario may use, each with the line that `hvsim list` prints.
 * Invariant: nothing is listed here that cannot run; the lists come from the plug-in folders themselves.
 */
import { presets } from '../vmm/presets/index.ts';
import { formatQuantity, type QuantityKind } from './units.ts';

/** A name and what it stands for, in one line. */
export interface Entry {
  readonly name: string;
  readonly summary: string;
}

/** A parameter of a scheduler as it is written in a scenario. */
export type ParamSpec = { readonly name: string; readonly summary: string } & (
  | { readonly kind: QuantityKind; readonly default: string }
  | { readonly kind: 'integer'; readonly default: number; readonly min: number; readonly max: number }
  | { readonly kind: 'boolean'; readonly default: boolean }
);

export interface SchedulerEntry extends Entry {
  readonly params: readonly ParamSpec[];
}

export interface PresetEntry extends Entry {
  readonly frequencyHz: number;
  readonly taggedTlb: boolean;
  readonly nestedPaging: boolean;
}

export interface TechniqueEntry extends Entry {
  /** What `paging` may be, the default first. */
  readonly paging: readonly string[];
}

export const TECHNIQUES: readonly TechniqueEntry[] = [
  { name: 'native', summary: 'the bare machine: no hypervisor, the reference for slowdown', paging: ['native'] },
  {
    name: 'trap-and-emulate',
    summary: 'guest kernel in user mode; privileged instructions trap and are emulated',
    paging: ['shadow'],
  },
  {
    name: 'hardware-assisted',
    summary: 'VT-x style guest mode: intercepts, injection, nested or shadow paging',
    paging: ['nested', 'shadow'],
  },
];

export const PRESETS: readonly PresetEntry[] = presets.map((preset) => ({
  name: preset.id,
  summary: `${preset.name}, ${preset.year}, ${formatQuantity('frequency', preset.frequencyHz)}; ${featuresOf(preset.vmx)}`,
  frequencyHz: preset.frequencyHz,
  taggedTlb: preset.vmx.taggedTlb,
  nestedPaging: preset.vmx.nestedPaging,
}));

function featuresOf({ nestedPaging, taggedTlb }: { nestedPaging: boolean; taggedTlb: boolean }): string {
  const paging = nestedPaging ? 'nested paging' : 'no nested paging';
  return `${paging}, ${taggedTlb ? 'tagged TLB' : 'no tagged TLB'}`;
}

export const SCHEDULERS: readonly SchedulerEntry[] = [
  {
    name: 'credit',
    summary: "Xen's credit scheduler: weights, caps, boost of vCPUs that wake, 30 ms slices",
    params: [
      { name: 'slice', kind: 'duration', default: '30 ms', summary: 'time slice and accounting period' },
      { name: 'ratelimit', kind: 'duration', default: '1 ms', summary: 'shortest time before a preemption' },
    ],
  },
  {
    name: 'round-robin',
    summary: 'each runnable vCPU in turn for one slice; weights and caps are ignored',
    params: [{ name: 'slice', kind: 'duration', default: '10 ms', summary: 'time slice' }],
  },
];

export const GUESTS: readonly Entry[] = [
  { name: 'nano', summary: 'small kernel that uses pushf, popf, sgdt and smsw as kernels normally do' },
  { name: 'nano-clean', summary: 'the same kernel without the instructions that trap-and-emulate cannot virtualize' },
];

export const WORKLOADS: readonly Entry[] = [{ name: 'sieve', summary: 'sieve of Eratosthenes: n=, rounds=' }];

/** The names of some entries. */
export function namesOf(entries: readonly Entry[]): string[] {
  return entries.map((entry) => entry.name);
}

/**
 * What virtualization costs on one model of machine: hardware primitives, and the path lengths of our own VMM.
 *
 *   PresetSpec (numbers with their sources, presets/*.ts) -- definePreset --> MachinePreset (plain integers to charge)
 *
 * Hardware primitives are published measurements. Path lengths of the VMM (paths.ts) become cycles by ONE formula for
 * every machine (`pathCycles`); only the CPI and the hardware terms differ. Numbers that papers report as results of whole operations under a VMM are never inputs.
 * Invariant: every cost is a non-negative integer, and every number of a preset is listed with a source in `figures`.
 */
import { assert } from '../core/errors.ts';
import type { Cycles, Hz } from '../core/units.ts';
import { COST_CLASSES, type CostClass, type CpuTiming, type InstructionCosts } from '../machine/costs.ts';
import type { TlbSpec } from '../machine/tlb.ts';
import { COLD_PAGES, VMM_OPERATIONS, VMM_PATHS, type VmmOperation, type VmmPath } from './paths.ts';

/** A number and where it comes from. */
export interface Sourced {
  readonly value: number;
  readonly source: string;
}

/** Shorthand for preset files. */
export function from(value: number, source: string): Sourced {
  return { value, source };
}

/** Why a VM exit happened, as far as its hardware cost may differ. */
export const VMX_EXIT_REASONS = [
  'exception', // exception bitmap, other than a page fault
  'page-fault',
  'external-interrupt',
  'interrupt-window',
  'nmi-window',
  'triple-fault',
  'task-switch',
  'cpuid',
  'hlt',
  'invlpg',
  'rdtsc',
  'rdpmc',
  'vmcall',
  'control-register', // MOV CR, CLTS, LMSW
  'debug-register',
  'descriptor-table', // LGDT, LIDT, LLDT, LTR and their stores
  'io',
  'msr',
  'pause',
  'wbinvd',
  'nested-violation', // EPT violation
  'preemption-timer',
] as const;

export type VmxExitReason = (typeof VMX_EXIT_REASONS)[number];

/**
 * Costs of hardware-assisted virtualization, under the names of VT-x. SVM (AMD) differs in what matters here by three things:
 * its control block (VMCB) is plain memory, so `vmread` and `vmwrite` are a load and a store; nothing makes it current, so
 * `vmclear` and `vmptrld` are nothing; and it has no preemption timer. Names and codes of its exits: vmcs/svm-exit-codes.ts.
 */
export interface VmxCosts {
  /** The processor has VT-x or SVM. */
  readonly available: boolean;
  readonly vendor: 'Intel' | 'AMD';
  /** VM entry: from VMRESUME to the first guest instruction. */
  readonly entryCycles: Cycles;
  /** Hardware part of a VM exit, by reason. */
  readonly exitCycles: Readonly<Record<VmxExitReason, Cycles>>;
  readonly vmreadCycles: Cycles;
  readonly vmwriteCycles: Cycles;
  readonly vmclearCycles: Cycles;
  readonly vmptrldCycles: Cycles;
  /** What an exit that flushed the TLB costs the VMM: page walks for its own code and data. Not with a tagged TLB. */
  readonly coldDispatchCycles: Cycles;
  /** Entries and exits keep the TLB (VPID). Without it each of them flushes everything. */
  readonly taggedTlb: boolean;
  /** The MMU walks second-level tables (EPT). */
  readonly nestedPaging: boolean;
}

/** Costs of running a guest kernel at a lower ring: real exceptions to ring 0, and the way back. */
export interface DeprivilegedCosts {
  /** Exception or interrupt from ring 1 or 3 through the VMM's IDT to ring 0. */
  readonly trapCycles: Cycles;
  /** IRET from ring 0 to ring 1 or 3. */
  readonly returnCycles: Cycles;
}

/** One row of a preset, for people: `hvsim list presets` and the report. */
export interface PresetFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly source: string;
}

/** One model of machine, ready to charge. Plain readonly data. */
export interface MachinePreset {
  readonly id: string;
  readonly name: string;
  readonly year: number;
  readonly frequencyHz: Hz;
  readonly timing: CpuTiming;
  readonly vmx: VmxCosts;
  readonly deprivileged: DeprivilegedCosts;
  /** Puts another vCPU on a physical CPU: scheduler, state save and load, VMCLEAR and VMPTRLD. */
  readonly contextSwitchCycles: Cycles;
  /** Software of the VMM, in cycles: `preset.vmm['shadow-fill']`. */
  readonly vmm: Readonly<Record<VmmOperation, Cycles>>;
  /** Cycles per 100 instructions of VMM code, for paths that belong to one part of the VMM alone. */
  readonly vmmCyclesPer100Instructions: number;
  /** Every number above with its source, in reading order. */
  readonly figures: readonly PresetFigure[];
}

/** What a preset file states. */
export interface PresetSpec {
  readonly id: string;
  readonly name: string;
  readonly year: number;
  readonly frequencyHz: Sourced;
  readonly instructions: Readonly<Record<CostClass, Sourced>>;
  readonly walkReferenceCycles: Sourced;
  readonly itlb: TlbSpec & { readonly source: string };
  readonly dtlb: TlbSpec & { readonly source: string };
  readonly vmx: {
    /** Only processors without VT-x say so. */
    readonly available?: false;
    /** Only processors with SVM say so. */
    readonly vendor?: 'AMD';
    readonly entryCycles: Sourced;
    /** Exit reasons that were measured one by one. */
    readonly exitCycles: Readonly<Partial<Record<VmxExitReason, Sourced>>>;
    /** All other exit reasons. */
    readonly defaultExitCycles: Sourced;
    readonly vmreadCycles: Sourced;
    readonly vmwriteCycles: Sourced;
    readonly vmclearCycles: Sourced;
    readonly vmptrldCycles: Sourced;
    readonly taggedTlb: boolean;
    readonly nestedPaging: boolean;
    readonly featuresSource: string;
  };
  /** Cycles per 100 instructions of VMM code: warm caches, branchy C, just after an exit. */
  readonly vmmCyclesPer100Instructions: Sourced;
}

/** Page-table references per TLB miss of the VMM's own code: its tables have two levels. */
const VMM_WALK_REFERENCES = 2;

/** Cycles of a path of the VMM on a machine: the one formula, rounded up. */
export function pathCycles(path: VmmPath, spec: PresetSpec): Cycles {
  return (
    Math.ceil((path.instructions * spec.vmmCyclesPer100Instructions.value) / 100) +
    (path.segmentLoads ?? 0) * spec.instructions.segment.value
  );
}

function coldDispatchCycles(spec: PresetSpec): Cycles {
  return COLD_PAGES * VMM_WALK_REFERENCES * spec.walkReferenceCycles.value;
}

/** Builds the plain preset from numbers with sources. */
export function definePreset(spec: PresetSpec): MachinePreset {
  const instructions = Object.fromEntries(COST_CLASSES.map((c) => [c, spec.instructions[c].value]));
  const exitCycles = Object.fromEntries(VMX_EXIT_REASONS.map((r) => [r, exitFigure(spec, r).value]));
  const vmm = Object.fromEntries(VMM_OPERATIONS.map((o) => [o, pathCycles(VMM_PATHS[o], spec)]));
  const vmx: VmxCosts = {
    available: spec.vmx.available ?? true,
    vendor: spec.vmx.vendor ?? 'Intel',
    entryCycles: spec.vmx.entryCycles.value,
    exitCycles: exitCycles as Record<VmxExitReason, Cycles>,
    vmreadCycles: spec.vmx.vmreadCycles.value,
    vmwriteCycles: spec.vmx.vmwriteCycles.value,
    vmclearCycles: spec.vmx.vmclearCycles.value,
    vmptrldCycles: spec.vmx.vmptrldCycles.value,
    coldDispatchCycles: coldDispatchCycles(spec),
    taggedTlb: spec.vmx.taggedTlb,
    nestedPaging: spec.vmx.nestedPaging,
  };
  const vmmCosts = vmm as Record<VmmOperation, Cycles>;
  const preset: MachinePreset = {
    id: spec.id,
    name: spec.name,
    year: spec.year,
    frequencyHz: spec.frequencyHz.value,
    timing: {
      instructions: instructions as InstructionCosts,
      walkReferenceCycles: spec.walkReferenceCycles.value,
      itlb: { small: spec.itlb.small, large: spec.itlb.large },
      dtlb: { small: spec.dtlb.small, large: spec.dtlb.large },
    },
    vmx,
    deprivileged: { trapCycles: spec.instructions.interrupt.value, returnCycles: spec.instructions.iret.value },
    contextSwitchCycles: vmmCosts['vcpu-switch'] + vmx.vmclearCycles + vmx.vmptrldCycles,
    vmm: vmmCosts,
    vmmCyclesPer100Instructions: spec.vmmCyclesPer100Instructions.value,
    figures: [...hardwareFigures(spec), ...softwareFigures(spec)],
  };
  for (const row of preset.figures) {
    assert(Number.isSafeInteger(row.value) && row.value >= 0, `${spec.id}: ${row.name} must be a non-negative integer`);
    assert(row.source !== '', `${spec.id}: ${row.name} has no source`);
  }
  return preset;
}

/** The preset as a table: every number with its unit and source. */
export function presetTable(preset: MachinePreset): readonly PresetFigure[] {
  return preset.figures;
}

function exitFigure(spec: PresetSpec, reason: VmxExitReason): Sourced {
  return spec.vmx.exitCycles[reason] ?? spec.vmx.defaultExitCycles;
}

function hardwareFigures(spec: PresetSpec): PresetFigure[] {
  const row = (name: string, unit: string, sourced: Sourced): PresetFigure => ({ name, unit, ...sourced });
  const vmx = spec.vmx;
  return [
    row('frequency', 'Hz', spec.frequencyHz),
    ...COST_CLASSES.map((c) => row(`instruction ${c}`, 'cycles', spec.instructions[c])),
    row('walk reference', 'cycles', spec.walkReferenceCycles),
    ...tlbFigures('itlb', spec.itlb),
    ...tlbFigures('dtlb', spec.dtlb),
    row('vmx entry', 'cycles', vmx.entryCycles),
    ...VMX_EXIT_REASONS.map((r) => row(`vmx exit ${r}`, 'cycles', exitFigure(spec, r))),
    row('vmx vmread', 'cycles', vmx.vmreadCycles),
    row('vmx vmwrite', 'cycles', vmx.vmwriteCycles),
    row('vmx vmclear', 'cycles', vmx.vmclearCycles),
    row('vmx vmptrld', 'cycles', vmx.vmptrldCycles),
    { name: 'vmx tagged tlb', value: vmx.taggedTlb ? 1 : 0, unit: 'flag', source: vmx.featuresSource },
    { name: 'vmx nested paging', value: vmx.nestedPaging ? 1 : 0, unit: 'flag', source: vmx.featuresSource },
  ];
}

function tlbFigures(name: string, spec: TlbSpec & { readonly source: string }): PresetFigure[] {
  const entries = (geometry: { sets: number; ways: number }) => geometry.sets * geometry.ways;
  return [
    { name: `${name} small pages`, value: entries(spec.small), unit: 'entries', source: spec.source },
    { name: `${name} small pages, ways`, value: spec.small.ways, unit: 'ways', source: spec.source },
    { name: `${name} large pages`, value: entries(spec.large), unit: 'entries', source: spec.source },
    { name: `${name} large pages, ways`, value: spec.large.ways, unit: 'ways', source: spec.source },
  ];
}

function softwareFigures(spec: PresetSpec): PresetFigure[] {
  const cpi = spec.vmmCyclesPer100Instructions;
  return [
    { name: 'vmm cycles per 100 instructions', value: cpi.value, unit: 'cycles', source: cpi.source },
    {
      name: 'vmm pages after a TLB flush',
      value: coldDispatchCycles(spec),
      unit: 'cycles',
      source: `our choice, ${COLD_PAGES} pages of ${VMM_WALK_REFERENCES} references: 8 code and 8 data pages of the VMM at every exit without a tagged TLB`,
    },
    ...VMM_OPERATIONS.map((operation) => ({
      name: `vmm ${operation}`,
      value: pathCycles(VMM_PATHS[operation], spec),
      unit: 'cycles',
      source: `our choice, ${pathTerms(VMM_PATHS[operation])}: ${VMM_PATHS[operation].why}`,
    })),
  ];
}

function pathTerms(path: VmmPath): string {
  const terms = [`${path.instructions} instructions`];
  if (path.segmentLoads !== undefined) terms.push(`${path.segmentLoads} segment loads`);
  return terms.join(' + ');
}

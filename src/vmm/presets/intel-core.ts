/**
 * What presets of Intel's Core line have in common: costs of instructions, and how a generation is put together.
 * "BNT17" is Bugnion, Nieh & Tsafrir, "Hardware and Software Support for Virtualization", 2017: Table 4.2 has the round trip
 * of an exit by generation, Table 4.3 single VMX instructions and exits. Calibration inputs, therefore not validation.
 * Everything about instructions, TLBs and memory is our choice, from typical latencies of the microarchitecture.
 */
import { COST_CLASSES, type CostClass } from '../../machine/costs.ts';
import { definePreset, from, type MachinePreset, type PresetSpec, type Sourced } from '../costs.ts';

/** Bus cycle of a port: 3200 cycles of AA06's machine at 3.8 GHz. */
export const PORT_NS = 842;

const CORE2: Readonly<Record<Exclude<CostClass, 'io'>, number>> = {
  simple: 1,
  load: 1,
  store: 1,
  modify: 2,
  locked: 24,
  multiply: 3,
  divide: 35,
  branch: 1,
  call: 2,
  stack: 1,
  string: 1,
  flags: 15,
  segment: 20,
  far: 80,
  interrupt: 400,
  iret: 250,
  descriptor: 60,
  control: 100,
  invlpg: 150,
  cpuid: 200,
  rdtsc: 65,
  msr: 150,
  halt: 100,
  float: 3,
  'float-divide': 32,
  'float-function': 100,
  'float-state': 200,
};

/** From Nehalem on; as the preset of Broadwell has it. */
export const NEHALEM_COSTS: typeof CORE2 = {
  ...CORE2,
  locked: 20,
  divide: 26,
  flags: 10,
  segment: 15,
  far: 60,
  interrupt: 300,
  iret: 200,
  descriptor: 50,
  control: 80,
  invlpg: 120,
  cpuid: 100,
  rdtsc: 25,
  msr: 100,
  'float-divide': 12,
  'float-state': 150,
};

/** A family of cores with the same instruction costs and TLB structure. */
interface Family {
  readonly instructions: typeof CORE2;
  readonly itlb: PresetSpec['itlb'];
  readonly dtlb: PresetSpec['dtlb'];
  readonly walkReferenceCycles: number;
  readonly vmmCyclesPer100Instructions: number;
}

export const CORE2_FAMILY: Family = {
  instructions: CORE2,
  itlb: {
    small: { sets: 32, ways: 4 },
    large: { sets: 2, ways: 4 },
    source: '128 entries, 4-way, for pages of 4 KiB; 8 for large pages',
  },
  dtlb: {
    small: { sets: 64, ways: 4 },
    large: { sets: 8, ways: 4 },
    source: 'second level: 256 entries, 4-way, for pages of 4 KiB; 32 for large pages',
  },
  walkReferenceCycles: 14,
  vmmCyclesPer100Instructions: 140,
};

const STLB = (sets: number, ways: number): Pick<Family, 'itlb' | 'dtlb'> => {
  const source = `second-level TLB of ${sets * ways} entries, ${ways}-way, shared by code and data there, one for each here; `;
  return {
    itlb: {
      small: { sets, ways },
      large: { sets: 1, ways: 8 },
      source: `${source}8 entries for large pages`,
    },
    dtlb: {
      small: { sets, ways },
      large: { sets: 8, ways: 4 },
      source: `${source}32 entries for large pages`,
    },
  };
};

export const NEHALEM_FAMILY: Family = {
  instructions: NEHALEM_COSTS,
  ...STLB(128, 4),
  walkReferenceCycles: 11,
  vmmCyclesPer100Instructions: 110,
};
export const SANDY_BRIDGE_FAMILY: Family = { ...NEHALEM_FAMILY, walkReferenceCycles: 12 };
export const HASWELL_FAMILY: Family = {
  ...SANDY_BRIDGE_FAMILY,
  ...STLB(128, 8),
  vmmCyclesPer100Instructions: 100,
};

/** What is known of one generation. */
export interface Generation {
  readonly id: string;
  readonly name: string;
  readonly year: number;
  readonly frequencyHz: Sourced;
  readonly family: Family;
  readonly vmx: PresetSpec['vmx'];
}

const TYPICAL = 'our choice: typical for the core, caches warm';

/** Builds the preset of a generation. */
export function intelCore({ id, name, year, frequencyHz, family, vmx }: Generation): MachinePreset {
  const portCycles = Math.round((PORT_NS * frequencyHz.value) / 1_000_000_000);
  const port = from(
    portCycles,
    'our choice: the legacy bus is as fast as in 2005: 3200 cycles at 3.8 GHz are 0.842 us',
  );
  const instructions = Object.fromEntries(
    COST_CLASSES.map((c) => [c, c === 'io' ? port : from(family.instructions[c], TYPICAL)]),
  ) as Record<CostClass, Sourced>;
  return definePreset({
    id,
    name,
    year,
    frequencyHz,
    instructions,
    walkReferenceCycles: from(family.walkReferenceCycles, 'our choice: the walker reads the L2 cache, its latency'),
    itlb: family.itlb,
    dtlb: family.dtlb,
    vmx,
    vmmCyclesPer100Instructions: from(
      family.vmmCyclesPer100Instructions,
      'our choice: branchy code on a wide core that starts with cold predictors; older cores predict worse',
    ),
  });
}

/** Columns of BNT17 Table 4.3 that a preset uses. */
export interface Table43 {
  readonly vmresume: number;
  readonly vmcall: number;
  readonly cpuid: number;
  readonly pageFault: number;
  readonly ioBitmap: number;
  /** Missing where the table has none. */
  readonly ept?: Sourced;
  readonly vmread: number;
  readonly vmwrite: number;
  readonly vmclear: number;
  readonly vmptrld: number;
}

/** The costs of a generation from its column of Table 4.3. */
export function vmxFrom(column: string, t: Table43, tagged: boolean, nested: boolean): PresetSpec['vmx'] {
  const source = `BNT17 Table 4.3, ${column}`;
  return {
    entryCycles: from(t.vmresume, `${source}, VMRESUME`),
    exitCycles: {
      'page-fault': from(t.pageFault, `${source}, #PF`),
      exception: from(t.pageFault, `${source}, #PF, for every exception`),
      cpuid: from(t.cpuid, `${source}, CPUID`),
      vmcall: from(t.vmcall, `${source}, VMCALL`),
      io: from(t.ioBitmap, `${source}, I/O bitmap`),
      ...(t.ept === undefined ? {} : { 'nested-violation': t.ept }),
    },
    defaultExitCycles: from(t.vmcall, `${source}, VMCALL, for every reason without a measurement`),
    vmreadCycles: from(t.vmread, `${source}, VMREAD`),
    vmwriteCycles: from(t.vmwrite, `${source}, VMWRITE`),
    vmclearCycles: from(t.vmclear, `${source}, VMCLEAR`),
    vmptrldCycles: from(t.vmptrld, `${source}, VMPTRLD`),
    taggedTlb: tagged,
    nestedPaging: nested,
    featuresSource: `${source} (EPT exits ${nested ? 'exist' : 'do not exist'}); EPT and VPID came with Nehalem`,
  };
}

/**
 * Intel Xeon 2.4 GHz (Prestonia, the server model of Northwood, 2002): the machine of Barham et al., "Xen and the Art of
 * Virtualization", SOSP 2003 (Dell 2650; one of its two processors). It has no VT-x.
 * Calibration inputs: none of that paper. Microcode (exceptions, IRET, CLI, control registers) is taken as in the Pentium 4
 * 672, the same microarchitecture three years later, whose numbers come from Adams & Agesen 2006 ("AA06"); what
 * the shorter pipeline and the smaller cache of the older core change is said with the number.
 * Left to check against: every row of the paper, its native ones included.
 */
import { definePreset, from } from '../costs.ts';

const AS_672 = 'as in the preset pentium4-672 (AA06 Figure 4, native column), the same microarchitecture';
const TYPICAL = 'our choice: typical for the NetBurst pipeline, caches warm';
const SERIAL = 'our choice: as in the preset pentium4-672, serializing microcode on NetBurst';
const NO_VTX = 'this processor has no VT-x: never charged';

export const xeon2400 = definePreset({
  id: 'xeon-2400',
  name: 'Intel Xeon 2.4 GHz (Prestonia)',
  year: 2002,
  frequencyHz: from(2_400_000_000, 'Barham et al. 2003, test machine'),
  instructions: {
    simple: from(1, TYPICAL),
    load: from(1, TYPICAL + '; latency 2 on this core, half hidden'),
    store: from(1, TYPICAL + '; buffered'),
    modify: from(3, TYPICAL + '; load, operation, store'),
    locked: from(120, 'our choice: locked operations drain the NetBurst pipeline'),
    multiply: from(14, 'our choice: latency of IMUL r32 before Prescott'),
    divide: from(60, 'our choice: latency of DIV r32 before Prescott'),
    branch: from(2, TYPICAL + '; 1, plus 20 stages lost in about 3 % of branches'),
    call: from(5, AS_672),
    stack: from(2, TYPICAL),
    string: from(2, TYPICAL + '; one iteration of a long REP'),
    flags: from(60, AS_672),
    segment: from(40, 'our choice: descriptor load and checks in microcode'),
    far: from(120, 'our choice: segment load, checks, pipeline refill'),
    interrupt: from(500, AS_672),
    iret: from(305, AS_672),
    descriptor: from(100, 'our choice: microcode with one to three memory accesses'),
    control: from(150, AS_672),
    invlpg: from(400, SERIAL),
    cpuid: from(300, SERIAL),
    rdtsc: from(100, 'our choice: waits for the pipeline on NetBurst'),
    msr: from(300, SERIAL),
    io: from(2021, 'our choice: the legacy bus is as fast as in AA06: 3200 cycles at 3.8 GHz are 0.842 us'),
    halt: from(100, 'our choice: enter and leave the halted state'),
    float: from(5, 'our choice: latency of FADD before Prescott'),
    'float-divide': from(43, 'our choice: latency of FDIV and FSQRT in full precision on NetBurst'),
    'float-function': from(200, 'our choice: FSIN and relatives take 150 to 250 on NetBurst'),
    'float-state': from(350, 'our choice: FNSAVE and FRSTOR in microcode on NetBurst'),
  },
  walkReferenceCycles: from(18, 'our choice: the walker reads the L2 cache, latency 18 on Northwood'),
  itlb: {
    small: { sets: 1, ways: 64 },
    large: { sets: 1, ways: 64 },
    source:
      'Intel SDM vol 2, CPUID leaf 2, descriptor 50H: 64 entries for pages of 4 KiB and 4 MiB (one array there, one per size here)',
  },
  dtlb: {
    small: { sets: 1, ways: 64 },
    large: { sets: 1, ways: 64 },
    source:
      'Intel SDM vol 2, CPUID leaf 2, descriptor 5BH: 64 entries for pages of 4 KiB and 4 MiB (one array there, one per size here)',
  },
  vmx: {
    available: false,
    entryCycles: from(0, NO_VTX),
    exitCycles: {},
    defaultExitCycles: from(0, NO_VTX),
    vmreadCycles: from(0, NO_VTX),
    vmwriteCycles: from(0, NO_VTX),
    vmclearCycles: from(0, NO_VTX),
    vmptrldCycles: from(0, NO_VTX),
    taggedTlb: false,
    nestedPaging: false,
    featuresSource: 'VT-x came with the Pentium 4 672 in 2005',
  },
  vmmCyclesPer100Instructions: from(
    250,
    'our choice: as in the preset pentium4-672, integer code of branches and table lookups with cold predictors',
  ),
});

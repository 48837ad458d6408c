/**
 * Intel Pentium 4 672 (Prescott 2M, 3.8 GHz, 2005): the first processor with VT-x, and the machine of
 * Adams & Agesen, "A Comparison of Software and Hardware Techniques for x86 Virtualization", ASPLOS 2006 ("AA06").
 * "BNT17" is Bugnion, Nieh & Tsafrir, "Hardware and Software Support for Virtualization", 2017, Table 4.3, Prescott.
 * Calibration inputs, therefore not validation: AA06 Table 1 (entry, #PF exit, VMCS access) and these native values:
 *   divzero 889 = divide + interrupt + iret + a handler of a few instructions, gives interrupt + iret = 805;
 *   in 3209 gives io; call+ret 11 gives call; cr8wr 150 gives control; cli 60 gives flags.
 * Left to check against: native pgfault 1093, syscall 242 (SYSCALL there, INT here), everything measured under a VMM.
 */
import { definePreset, from } from '../costs.ts';

const AA06_TABLE_1 = 'Adams & Agesen 2006, Table 1';
const AA06_FIGURE_4 = 'Adams & Agesen 2006, Figure 4, native column';
const BNT17 = 'Bugnion, Nieh & Tsafrir 2017, Table 4.3, Prescott';
const TYPICAL = 'our choice: typical for the NetBurst pipeline, caches warm';

export const pentium4_672 = definePreset({
  id: 'pentium4-672',
  name: 'Intel Pentium 4 672 (Prescott)',
  year: 2005,
  frequencyHz: from(3_800_000_000, 'Adams & Agesen 2006, test machine'),
  instructions: {
    simple: from(1, TYPICAL),
    load: from(2, TYPICAL + '; latency 4, half hidden'),
    store: from(1, TYPICAL + '; buffered. AA06 Figure 4: a native store to a page table takes 1'),
    modify: from(4, TYPICAL + '; load, operation, store'),
    locked: from(120, 'our choice: locked operations drain the NetBurst pipeline'),
    multiply: from(10, 'our choice: latency of IMUL r32 on Prescott'),
    divide: from(70, 'our choice: latency of DIV r32 on Prescott'),
    branch: from(2, TYPICAL + '; 1, plus 31 stages lost in about 3 % of branches'),
    call: from(5, AA06_FIGURE_4 + ': call+ret takes 11, half each, rounded down'),
    stack: from(2, TYPICAL),
    string: from(2, TYPICAL + '; one iteration of a long REP'),
    flags: from(60, 'Adams & Agesen 2006, text: CLI takes 60 natively; PUSHF is cheaper, POPF about equal'),
    segment: from(40, 'our choice: descriptor load and checks in microcode'),
    far: from(120, 'our choice: segment load, checks, pipeline refill'),
    interrupt: from(500, AA06_FIGURE_4 + ': divzero 889 less divide 70 and handler 14; split 500 + 305 is our choice'),
    iret: from(305, AA06_FIGURE_4 + ': divzero 889 less divide 70 and handler 14; split 500 + 305 is our choice'),
    descriptor: from(100, 'our choice: microcode with one to three memory accesses'),
    control: from(150, AA06_FIGURE_4 + ': cr8wr takes 150'),
    invlpg: from(400, 'our choice: serializing microcode on NetBurst'),
    cpuid: from(300, 'our choice: serializing microcode on NetBurst'),
    rdtsc: from(100, 'our choice: waits for the pipeline on NetBurst'),
    msr: from(300, 'our choice: serializing microcode on NetBurst'),
    io: from(3200, AA06_FIGURE_4 + ': IN from port 0x80 takes 3209, a bus cycle of 0.84 us'),
    halt: from(100, 'our choice: enter and leave the halted state'),
    float: from(6, 'our choice: latency of FADD on NetBurst; FMUL takes 8'),
    'float-divide': from(44, 'our choice: latency of FDIV and FSQRT in full precision on NetBurst'),
    'float-function': from(200, 'our choice: FSIN and relatives take 150 to 250 on NetBurst'),
    'float-state': from(350, 'our choice: FNSAVE and FRSTOR in microcode on NetBurst'),
  },
  walkReferenceCycles: from(28, 'our choice: the walker reads the L2 cache, latency 28 on Prescott'),
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
    entryCycles: from(2409, AA06_TABLE_1),
    exitCycles: {
      'page-fault': from(1931, AA06_TABLE_1),
      exception: from(1931, AA06_TABLE_1 + ', page-fault exit, for every exception'),
      cpuid: from(1599, BNT17),
      vmcall: from(1630, BNT17),
      io: from(1942, BNT17 + ', I/O bitmap'),
    },
    defaultExitCycles: from(1630, BNT17 + ', VMCALL, for every reason without a measurement'),
    vmreadCycles: from(178, AA06_TABLE_1),
    vmwriteCycles: from(171, AA06_TABLE_1),
    vmclearCycles: from(277, BNT17),
    vmptrldCycles: from(255, BNT17),
    taggedTlb: false,
    nestedPaging: false,
    featuresSource: 'BNT17 Table 4.3 (EPT not available on Prescott); VPID came with Nehalem',
  },
  vmmCyclesPer100Instructions: from(
    250,
    'our choice: integer code of branches and table lookups runs at CPI 1.5 to 2.5 on this pipeline, and a VMM starts with cold predictors',
  ),
});

/**
 * Intel Broadwell server core (Xeon E5 v4 class, 2.6 GHz, 2016), as it was before the side-channel mitigations of 2018.
 * "BNT17" is Bugnion, Nieh & Tsafrir, "Hardware and Software Support for Virtualization", 2017, Table 4.3, column BDW.
 * Calibration inputs, therefore not validation: all of Table 4.3.
 * The TLB here has one level, so the geometry is that of the second-level TLB: what misses it walks the tables.
 */
import { definePreset, from } from '../costs.ts';

const BNT17 = 'Bugnion, Nieh & Tsafrir 2017, Table 4.3, Broadwell';
const TYPICAL = 'our choice: typical for a four-wide out-of-order core, caches warm';

export const broadwell = definePreset({
  id: 'broadwell',
  name: 'Intel Xeon E5 v4 (Broadwell)',
  year: 2016,
  frequencyHz: from(2_600_000_000, 'our choice: base clock of a Xeon E5-2690 v4'),
  instructions: {
    simple: from(1, TYPICAL + '; whole cycles are the unit, so no better than 1'),
    load: from(1, TYPICAL),
    store: from(1, TYPICAL),
    modify: from(2, TYPICAL),
    locked: from(20, 'our choice: latency of a locked operation in the L1 cache'),
    multiply: from(3, 'our choice: latency of IMUL r32'),
    divide: from(26, 'our choice: latency of DIV r32'),
    branch: from(1, TYPICAL),
    call: from(2, TYPICAL),
    stack: from(1, TYPICAL),
    string: from(1, TYPICAL),
    flags: from(10, 'our choice: between PUSHF and POPF'),
    segment: from(15, 'our choice: descriptor load and checks in microcode'),
    far: from(60, 'our choice: segment load, checks, pipeline refill'),
    interrupt: from(300, 'our choice: exception delivery in microcode with change of stack'),
    iret: from(200, 'our choice: return in microcode with change of ring'),
    descriptor: from(50, 'our choice: microcode with one to three memory accesses'),
    control: from(80, 'our choice: serializing move'),
    invlpg: from(120, 'our choice: serializing microcode'),
    cpuid: from(100, 'our choice: serializing microcode'),
    rdtsc: from(25, 'our choice: latency of RDTSC'),
    msr: from(100, 'our choice: serializing microcode'),
    io: from(2190, 'our choice: the legacy bus is as fast as in 2005: 3200 cycles at 3.8 GHz are 0.842 us'),
    halt: from(100, 'our choice: enter and leave the halted state'),
    float: from(3, 'our choice: latency of FADD'),
    'float-divide': from(12, 'our choice: between FDIV and FSQRT, latencies 10 to 23'),
    'float-function': from(100, 'our choice: FSIN and relatives take 50 to 200'),
    'float-state': from(150, 'our choice: FNSAVE and FRSTOR in microcode'),
  },
  walkReferenceCycles: from(12, 'our choice: the walker reads the L2 cache, latency 12'),
  itlb: {
    small: { sets: 256, ways: 6 },
    large: { sets: 1, ways: 8 },
    source:
      'second-level TLB of 1536 entries, 6-way, shared by code and data there, one for each here; 8 entries for large pages',
  },
  dtlb: {
    small: { sets: 256, ways: 6 },
    large: { sets: 8, ways: 4 },
    source:
      'second-level TLB of 1536 entries, 6-way, shared by code and data there, one for each here; 32 entries for large pages',
  },
  vmx: {
    entryCycles: from(348, BNT17 + ', VMRESUME'),
    exitCycles: {
      'page-fault': from(531, BNT17),
      exception: from(531, BNT17 + ', page-fault exit, for every exception'),
      cpuid: from(332, BNT17),
      vmcall: from(265, BNT17),
      io: from(397, BNT17 + ', I/O bitmap'),
      'nested-violation': from(656, BNT17 + ', EPT violation'),
    },
    defaultExitCycles: from(265, BNT17 + ', VMCALL, for every reason without a measurement'),
    vmreadCycles: from(5, BNT17),
    vmwriteCycles: from(4, BNT17),
    vmclearCycles: from(107, BNT17),
    vmptrldCycles: from(109, BNT17),
    taggedTlb: true,
    nestedPaging: true,
    featuresSource: 'BNT17 Table 4.3 (EPT exits measured); VPID came with Nehalem',
  },
  vmmCyclesPer100Instructions: from(
    100,
    'our choice: a four-wide core retires about one instruction per cycle in branchy code that starts with cold predictors',
  ),
});

/**
 * Intel Pentium III at 733 MHz (Coppermine, 2000): the machine "PC-733" of Sugerman, Venkitachalam & Lim, "Virtualizing I/O
 * Devices on VMware Workstation's Hosted Virtual Machine Monitor", USENIX 2001. It has no VT-x.
 * None of that paper's times is an input; they are compared with ours in docs/validation.md.
 */
import { definePreset, from } from '../costs.ts';

const TYPICAL = 'our choice: typical for the P6 pipeline, caches warm';
const NONE = from(0, 'this processor has no VT-x, which came in 2005');

export const pentium3_733 = definePreset({
  id: 'pentium3-733',
  name: 'Intel Pentium III 733 MHz (Coppermine)',
  year: 2000,
  frequencyHz: from(733_000_000, 'Sugerman et al. 2001, test machine PC-733'),
  instructions: {
    simple: from(1, TYPICAL + '; whole cycles are the unit, so no better than 1'),
    load: from(1, TYPICAL + '; latency 3, mostly hidden'),
    store: from(1, TYPICAL + '; buffered'),
    modify: from(3, TYPICAL + '; load, operation, store'),
    locked: from(30, 'our choice: locked operation in the cache'),
    multiply: from(4, 'our choice: latency of IMUL r32'),
    divide: from(39, 'our choice: latency of DIV r32'),
    branch: from(2, TYPICAL + '; 1, plus 10 stages lost in about 8 % of branches'),
    call: from(3, TYPICAL),
    stack: from(1, TYPICAL),
    string: from(2, TYPICAL + '; one iteration of a long REP that moves words between buffers'),
    flags: from(12, 'our choice: between PUSHF and POPF'),
    segment: from(15, 'our choice: descriptor load and checks in microcode'),
    far: from(60, 'our choice: segment load, checks, pipeline refill'),
    interrupt: from(200, 'our choice: exception delivery in microcode with change of stack'),
    iret: from(120, 'our choice: return in microcode with change of ring'),
    descriptor: from(50, 'our choice: microcode with one to three memory accesses'),
    control: from(70, 'our choice: serializing move'),
    invlpg: from(100, 'our choice: serializing microcode'),
    cpuid: from(100, 'our choice: serializing microcode'),
    rdtsc: from(32, 'our choice: latency of RDTSC'),
    msr: from(80, 'our choice: serializing microcode'),
    io: from(617, 'our choice: the legacy bus is as fast as in 2005: 3200 cycles at 3.8 GHz are 0.842 us'),
    halt: from(100, 'our choice: enter and leave the halted state'),
    float: from(3, 'our choice: latency of FADD'),
    'float-divide': from(38, 'our choice: latency of FDIV in full precision'),
    'float-function': from(100, 'our choice: FSIN and relatives take 50 to 150'),
    'float-state': from(140, 'our choice: FNSAVE and FRSTOR in microcode'),
  },
  walkReferenceCycles: from(8, 'our choice: the walker reads the on-chip L2 cache, latency 7 to 8 on Coppermine'),
  itlb: {
    small: { sets: 8, ways: 4 },
    large: { sets: 1, ways: 2 },
    source: 'Intel SDM vol 2, CPUID leaf 2, descriptors 01H and 02H: 32 entries, 4-way; 2 for pages of 4 MiB',
  },
  dtlb: {
    small: { sets: 16, ways: 4 },
    large: { sets: 2, ways: 4 },
    source: 'Intel SDM vol 2, CPUID leaf 2, descriptors 03H and 04H: 64 entries, 4-way; 8 for pages of 4 MiB',
  },
  vmx: {
    entryCycles: NONE,
    exitCycles: {},
    defaultExitCycles: NONE,
    vmreadCycles: NONE,
    vmwriteCycles: NONE,
    vmclearCycles: NONE,
    vmptrldCycles: NONE,
    taggedTlb: false,
    nestedPaging: false,
    featuresSource: 'VT-x came in 2005, EPT and VPID with Nehalem',
  },
  vmmCyclesPer100Instructions: from(
    150,
    'our choice: a three-wide core in branchy code with cold predictors and a small first-level cache',
  ),
});

/**
 * How long the paths are by which our VMM (L0) offers VMX to its guest (L1), which runs a guest of its own (L2).
 * All of them are our choice, from what the code must do, made before any comparison; priced by part-path.ts.
 * Three control structures: L1's for L2 (12), L0's for L1 (01), and the merged one that L2 really runs under (02).
 * Source of the division of work: Ben-Yehuda et al., "The Turtles Project", OSDI 2010, section 3.
 */
import type { PartPath } from '../part-path.ts';

export type NestedOperation = 'vmcs-access' | 'vmcs-pointer' | 'nested-entry' | 'nested-reflect' | 'shadow-sync';

export const NESTED_PATHS: Readonly<Record<NestedOperation, PartPath>> = {
  'vmcs-access': {
    instructions: 150,
    vmreads: 1,
    vmwrites: 1,
    why: 'VMREAD or VMWRITE of L1: decode its operands from the exit record, find the field in structure 12, read or write it, set the flags, advance',
  },
  'vmcs-pointer': {
    instructions: 250,
    why: 'VMXON, VMXOFF, VMCLEAR, VMPTRLD, VMPTRST of L1: fetch the operand, check the address, map or unmap structure 12, set the flags',
  },
  'nested-entry': {
    instructions: 900,
    vmwrites: 60,
    why: 'VMLAUNCH or VMRESUME of L1: check controls, host and guest state of structure 12 (300), merge its controls with our own and load 40 fields of guest state and 20 of controls into structure 02 (600), switch to it',
  },
  'nested-reflect': {
    instructions: 800,
    vmreads: 45,
    vmwrites: 35,
    why: 'an exit of L2 that L1 wants: look it up in the controls of structure 12 (100), copy 40 fields of guest state and 5 of the exit from structure 02 to 12 (350), load the host state of 12 into 35 guest fields of 01 (350), switch to it',
  },
  'shadow-sync': {
    instructions: 200,
    vmreads: 25,
    vmwrites: 25,
    why: 'with VMCS shadowing, at each entry and reflected exit: copy the 25 fields that L1 accesses without an exit between structure 12 and its shadow',
  },
};

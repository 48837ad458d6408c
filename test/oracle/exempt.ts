/**
 * Rows that a real CPU in user mode cannot judge, with the reason. They have tests of their own elsewhere.
 * Invariant: a row is either here or has vectors (vectors.test.ts fails otherwise).
 */
import type { Row } from '../../src/machine/isa/row.ts';

const EXEMPT: Readonly<Record<string, string>> = {
  SGDT: 'the kernel forbids it (UMIP) and answers with made-up values',
  SIDT: 'the kernel forbids it (UMIP) and answers with made-up values',
  SLDT: 'the kernel forbids it (UMIP) and answers with made-up values',
  STR: 'the kernel forbids it (UMIP) and answers with made-up values',
  SMSW: 'the kernel forbids it (UMIP) and answers with made-up values',
  CPUID: 'names the CPU, and ours is another model',
  RDTSC: 'reads a clock',
  VMCALL: 'answered by the hypervisor below, if there is one',
  VMMCALL: 'answered by the hypervisor below, if there is one',
  VMXON: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  VMXOFF: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  VMCLEAR: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  VMPTRLD: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  VMPTRST: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  VMREAD: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  VMWRITE: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  VMLAUNCH: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  VMRESUME: 'for ring 0 of a processor with VMX: guests/vmm, checked against Bochs',
  RDPMC: 'our CPU has no counters, and the kernel may allow it to user mode',
  SYSENTER: 'calls the kernel of the machine that runs it',
  SYSEXIT: 'undefined in the compatibility mode of some processors',
  INT1: 'hypervisors intercept debug exceptions, and report another EIP for this one',
};

/** Why a row has no vectors, or null. */
export const exemption = (row: Row): string | null => EXEMPT[row.mnemonic] ?? null;

/**
 * Basic exit reasons by number and Intel name, and under which reason hvsim counts each (exits.csv, presets).
 * Invariant: numbers are unique and ascending; every reason of VMX_EXIT_REASONS stands behind at least one of them.
 * Source: SDM vol 3, appendix C.
 */
import { assert } from '../../core/errors.ts';
import type { VmxExitReason } from '../costs.ts';

export interface BasicExitReason {
  readonly number: number;
  readonly name: string;
  /** Reasons of hvsim that are reported by this number; none: it never happens here. */
  readonly reasons: readonly VmxExitReason[];
  /** What makes it happen, or why it cannot here. */
  readonly when: string;
}

const row = (number: number, name: string, when: string, ...reasons: VmxExitReason[]): BasicExitReason => ({
  number,
  name,
  reasons,
  when,
});

const NO_VMX = 'the emulated CPU has no VMX instructions for its guests (#UD)';
const NOT_IN_ISA = 'the emulated CPU lacks the instruction (#UD)';

export const BASIC_EXIT_REASONS: readonly BasicExitReason[] = [
  row(
    0,
    'Exception or non-maskable interrupt (NMI)',
    'bit of the vector in the exception bitmap; page faults also by mask and match of their error code',
    'exception',
    'page-fault',
  ),
  row(
    1,
    'External interrupt',
    'external-interrupt exiting: a device or another vCPU wants attention',
    'external-interrupt',
  ),
  row(2, 'Triple fault', 'always', 'triple-fault'),
  row(3, 'INIT signal', 'INIT is carried out by the virtual local APIC between two entries'),
  row(4, 'Start-up IPI (SIPI)', 'as INIT'),
  row(5, 'I/O system-management interrupt (SMI)', 'there is no system-management mode'),
  row(6, 'Other SMI', 'there is no system-management mode'),
  row(7, 'Interrupt window', 'interrupt-window exiting, as soon as the guest takes interrupts', 'interrupt-window'),
  row(8, 'NMI window', 'NMI-window exiting, as soon as nothing blocks an NMI', 'nmi-window'),
  row(9, 'Task switch', 'always: CALL, JMP or IRET to a TSS, or a task gate', 'task-switch'),
  row(10, 'CPUID', 'always', 'cpuid'),
  row(11, 'GETSEC', NOT_IN_ISA),
  row(12, 'HLT', 'HLT exiting', 'hlt'),
  row(13, 'INVD', 'always', 'wbinvd'),
  row(14, 'INVLPG', 'INVLPG exiting', 'invlpg'),
  row(15, 'RDPMC', 'RDPMC exiting: not offered, RDPMC is #GP', 'rdpmc'),
  row(16, 'RDTSC', 'RDTSC exiting', 'rdtsc'),
  row(17, 'RSM', 'there is no system-management mode'),
  row(18, 'VMCALL', 'always', 'vmcall'),
  row(19, 'VMCLEAR', NO_VMX),
  row(20, 'VMLAUNCH', NO_VMX),
  row(21, 'VMPTRLD', NO_VMX),
  row(22, 'VMPTRST', NO_VMX),
  row(23, 'VMREAD', NO_VMX),
  row(24, 'VMRESUME', NO_VMX),
  row(25, 'VMWRITE', NO_VMX),
  row(26, 'VMXOFF', NO_VMX),
  row(27, 'VMXON', NO_VMX),
  row(
    28,
    'Control-register accesses',
    'CR3-load and CR3-store exiting (but CR3-target values); writes of CR0, CR4, CLTS, LMSW that differ from the read shadow under the mask',
    'control-register',
  ),
  row(29, 'MOV DR', 'MOV-DR exiting', 'debug-register'),
  row(30, 'I/O instruction', 'I/O bitmaps; without them every port', 'io'),
  row(31, 'RDMSR', 'MSR bitmaps; without them every MSR', 'msr'),
  row(32, 'WRMSR', 'MSR bitmaps; without them every MSR', 'msr'),
  row(33, 'VM-entry failure due to invalid guest state', 'asserted never to happen'),
  row(34, 'VM-entry failure due to MSR loading', 'no MSRs are loaded'),
  row(36, 'MWAIT', NOT_IN_ISA),
  row(37, 'Monitor trap flag', 'not offered'),
  row(39, 'MONITOR', NOT_IN_ISA),
  row(40, 'PAUSE', 'PAUSE exiting, or PAUSE-loop exiting at ring 0', 'pause'),
  row(41, 'VM-entry failure due to machine-check event', 'there are no machine checks'),
  row(43, 'TPR below threshold', 'no TPR shadow in 32-bit mode without CR8'),
  row(44, 'APIC access', 'not offered: the page of the local APIC is an absent page'),
  row(45, 'Virtualized EOI', 'not offered'),
  row(46, 'Access to GDTR or IDTR', 'descriptor-table exiting', 'descriptor-table'),
  row(47, 'Access to LDTR or TR', 'descriptor-table exiting', 'descriptor-table'),
  row(48, 'EPT violation', 'the nested tables lack a right for the access', 'nested-violation'),
  row(49, 'EPT misconfiguration', 'asserted never to happen'),
  row(50, 'INVEPT', NO_VMX),
  row(51, 'RDTSCP', NOT_IN_ISA),
  row(52, 'VMX-preemption timer expired', 'preemption timer: the slice is over', 'preemption-timer'),
  row(53, 'INVVPID', NO_VMX),
  row(54, 'WBINVD', 'WBINVD exiting', 'wbinvd'),
  row(55, 'XSETBV', NOT_IN_ISA),
  row(56, 'APIC write', 'not offered'),
  row(57, 'RDRAND', NOT_IN_ISA),
  row(58, 'INVPCID', NOT_IN_ISA),
  row(59, 'VMFUNC', NO_VMX),
];

/** The Intel names behind a reason of hvsim. */
export function intelNames(reason: VmxExitReason): readonly string[] {
  return BASIC_EXIT_REASONS.filter(({ reasons }) => reasons.includes(reason)).map(({ name }) => name);
}

const BY_REASON = new Map(
  BASIC_EXIT_REASONS.flatMap(({ number, reasons }) => reasons.map((reason) => [reason, number] as const)).reverse(),
);

/** The basic exit reason for one of hvsim's; the first where there are several (RDMSR, INVD, GDTR). */
export function basicExitReason(reason: VmxExitReason): number {
  const number = BY_REASON.get(reason);
  assert(number !== undefined, `no basic exit reason for ${reason}`);
  return number;
}

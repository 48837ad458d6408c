/**
 * What AMD calls the exits that hvsim counts: the exit code in the VMCB and its name, by the reason under which exits.csv
 * has it. SVM counts some of them apart (each control register, each exception): then the first code of the group stands here.
 * Source: AMD64 Architecture Programmer's Manual, vol 2, appendix C (SVM Intercept Exit Codes).
 */
import type { VmxExitReason } from '../costs.ts';

export interface SvmExit {
  readonly code: number;
  /** As the manual has it, without VMEXIT_. */
  readonly name: string;
}

const svm = (code: number, name: string): SvmExit => ({ code, name });

/** Null: SVM has no such exit. */
export const SVM_EXITS: Readonly<Record<VmxExitReason, SvmExit | null>> = {
  exception: svm(0x40, 'EXCP0 to EXCP31'),
  'page-fault': svm(0x4e, 'EXCP14'),
  'external-interrupt': svm(0x60, 'INTR'),
  'interrupt-window': svm(0x64, 'VINTR'),
  'nmi-window': svm(0x74, 'IRET'),
  'triple-fault': svm(0x7f, 'SHUTDOWN'),
  'task-switch': svm(0x7d, 'TASK_SWITCH'),
  cpuid: svm(0x72, 'CPUID'),
  hlt: svm(0x78, 'HLT'),
  invlpg: svm(0x79, 'INVLPG'),
  rdtsc: svm(0x6e, 'RDTSC'),
  rdpmc: svm(0x6f, 'RDPMC'),
  vmcall: svm(0x81, 'VMMCALL'),
  'control-register': svm(0x00, 'CR0_READ to CR15_WRITE'),
  'debug-register': svm(0x20, 'DR0_READ to DR15_WRITE'),
  'descriptor-table': svm(0x66, 'IDTR_READ to TR_WRITE'),
  io: svm(0x7b, 'IOIO'),
  msr: svm(0x7c, 'MSR'),
  pause: svm(0x77, 'PAUSE'),
  wbinvd: svm(0x89, 'WBINVD'),
  'nested-violation': svm(0x400, 'NPF'),
  'preemption-timer': null,
};

/**
 * What the processor writes into the control block when it leaves the guest: reason, qualification, addresses, the event
 * that was being delivered.
 * Invariant: a field that the manual leaves undefined for an exit is 0.
 * Source: SDM vol 3, 27.2 and tables 27-1 to 27-7.
 */
import type { Cpu } from '../../machine/cpu.ts';
import { NO_ERROR_CODE, VECTOR_NMI } from '../../machine/exits.ts';
import type { Insn } from '../../machine/insn.ts';
import { ACCESS_FETCH, ACCESS_WRITE } from '../../machine/paging.ts';
import type { VmxExitReason } from '../costs.ts';
import { type ControlBlock, interruptionInformation, TYPE_HARDWARE_EXCEPTION, TYPE_NMI } from './control-block.ts';
import { basicExitReason } from './exit-reasons.ts';
import { VMCS } from './fields.ts';

/** Reasons that an instruction causes: its length is recorded (SDM vol 3, 27.2.5). */
const BY_INSTRUCTION = new Set<VmxExitReason>([
  'cpuid',
  'hlt',
  'invlpg',
  'rdtsc',
  'vmcall',
  'control-register',
  'debug-register',
  'descriptor-table',
  'io',
  'msr',
  'pause',
  'wbinvd',
]);

/** What an exit is about, besides the state of the CPU. */
export interface ExitDetails {
  /** Rights of the nested entry that did not suffice: NESTED_* bits. */
  readonly nestedRights?: number;
  /** The violation hit a guest table, not the page itself. */
  readonly onTable?: boolean;
}

/** Fills in the exit information. */
export function recordExit(block: ControlBlock, cpu: Cpu, reason: VmxExitReason, details: ExitDetails = {}): void {
  const insn = BY_INSTRUCTION.has(reason) ? cpu.exitInsn : null;
  block.record(VMCS.EXIT_REASON, insn === null ? basicExitReason(reason) : numberOf(reason, insn));
  block.record(VMCS.EXIT_QUALIFICATION, qualificationOf(cpu, reason, details));
  block.record(VMCS.VM_EXIT_INSTRUCTION_LENGTH, insn?.length ?? 0);
  const isException = reason === 'page-fault' || reason === 'exception';
  block.record(
    VMCS.VM_EXIT_INTERRUPTION_INFORMATION,
    isException ? interruptionInformation(cpu.exitVector, TYPE_HARDWARE_EXCEPTION, cpu.exitError) : 0,
  );
  block.record(
    VMCS.VM_EXIT_INTERRUPTION_ERROR_CODE,
    isException && cpu.exitError !== NO_ERROR_CODE ? cpu.exitError : 0,
  );
  const isViolation = reason === 'nested-violation';
  block.record(VMCS.GUEST_PHYSICAL_ADDRESS, isViolation ? cpu.exitGpa : 0);
  block.record(VMCS.GUEST_LINEAR_ADDRESS, isViolation ? cpu.exitLin : 0);
  const during = isException || isViolation || reason === 'task-switch' ? cpu.exitDuring : -1;
  block.record(VMCS.IDT_VECTORING_INFORMATION, during < 0 ? 0 : vectoring(during));
}

function vectoring(vector: number): number {
  return interruptionInformation(vector, vector === VECTOR_NMI ? TYPE_NMI : TYPE_HARDWARE_EXCEPTION, NO_ERROR_CODE);
}

/** Numbers of the instructions that hvsim counts together. */
const NUMBER_BY_MNEMONIC: Readonly<Record<string, number>> = {
  RDMSR: 31,
  WRMSR: 32,
  INVD: 13,
  WBINVD: 54,
  SLDT: 47,
  LLDT: 47,
  STR: 47,
  LTR: 47,
};

function numberOf(reason: VmxExitReason, insn: Insn): number {
  return NUMBER_BY_MNEMONIC[insn.row.mnemonic] ?? basicExitReason(reason);
}

function qualificationOf(cpu: Cpu, reason: VmxExitReason, details: ExitDetails): number {
  switch (reason) {
    case 'page-fault':
      return cpu.exitLin;
    case 'io':
      return ioQualification(cpu);
    case 'control-register':
      return controlQualification(cpu, cpu.exitInsn);
    case 'debug-register':
      return debugQualification(cpu.exitInsn);
    case 'invlpg':
      return (cpu.segBase[cpu.exitInsn.seg]! + cpu.offset(cpu.exitInsn)) | 0;
    case 'nested-violation':
      return violationQualification(cpu, details);
    case 'task-switch':
      return cpu.exitSelector | (taskSource(cpu) << 30);
    default:
      return 0;
  }
}

/** Table 27-5. */
function ioQualification(cpu: Cpu): number {
  const { exitInsn: insn } = cpu;
  const isImmediate = insn.row.operands.includes('Ib') ? 1 : 0;
  return (
    (cpu.ioBytes - 1) |
    (cpu.ioIsIn ? 8 : 0) |
    (cpu.ioIsString ? 16 : 0) |
    (insn.rep !== 0 && cpu.ioIsString ? 32 : 0) |
    (isImmediate << 6) |
    (cpu.ioPort << 16)
  );
}

/** Table 27-3: number, access type (to, from, CLTS, LMSW), LMSW operand, general register, LMSW source. */
function controlQualification(cpu: Cpu, insn: Insn): number {
  if (insn.row.mnemonic === 'CLTS') return 2 << 4;
  if (insn.row.mnemonic === 'LMSW') {
    const source = insn.isMemory ? 0 : cpu.regs[insn.a & 7]! & 0xffff;
    return (3 << 4) | (insn.isMemory ? 64 : 0) | (source << 16);
  }
  return insn.row.operands[0] === 'Cd' ? insn.a | (insn.b << 8) : insn.b | (1 << 4) | (insn.a << 8);
}

/** Table 27-4. */
function debugQualification(insn: Insn): number {
  return insn.row.operands[0] === 'Dd' ? insn.a | (insn.b << 8) : insn.b | (1 << 4) | (insn.a << 8);
}

/** Table 27-7: the access, what the entry allowed, and whether the linear address and the final page are meant. */
function violationQualification(cpu: Cpu, { nestedRights = 0, onTable = false }: ExitDetails): number {
  const isFetch = (cpu.exitError & ACCESS_FETCH) !== 0 && !onTable;
  const isWrite = (cpu.exitError & ACCESS_WRITE) !== 0 && !onTable;
  const access = isFetch ? 4 : isWrite ? 2 : 1;
  return access | (nestedRights << 3) | (1 << 7) | (onTable ? 0 : 1 << 8);
}

/** Table 27-2: CALL, IRET, JMP, or a task gate in the IDT. */
function taskSource(cpu: Cpu): number {
  if (cpu.exitDuring >= 0) return 3;
  const { mnemonic } = cpu.exitInsn.row;
  return mnemonic.startsWith('IRET') ? 1 : mnemonic.startsWith('JMP') ? 2 : 0;
}

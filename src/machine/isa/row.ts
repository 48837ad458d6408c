/**
 * One row of the ISA table, in the manual's own letters. Decoder, interpreter, compiler, translator, disassembler and
 * test generator all read it; nobody else lists opcodes.
 * Source of notation: SDM vol 2, appendix A.2 (addressing and operand-type codes).
 */
import type { CostClass } from '../costs.ts';
import type { Handler, Insn } from '../insn.ts';

/**
 * Popek and Goldberg's classes.
 *   user        behaves the same at every privilege level
 *   privileged  faults when CPL (or IOPL) does not allow it: it traps when deprivileged
 *   sensitive   reads or writes privileged state without trapping: the holes of IA-32 (Robin and Irvine 2000)
 */
export type PrivilegeClass = 'user' | 'privileged' | 'sensitive';

/** Who may execute a privileged instruction: ring 0 only, or the rings that IOPL admits. */
export type PrivilegeRule = 'ring0' | 'iopl';

/** Chooses the handler for a decoded form; called once per decoded instruction. */
export type Builder = (insn: Insn) => Handler;

export interface Row {
  /**
   * Opcode bytes in hex, '0F' escapes included, and '/n' for a ModRM.reg extension. '+r' or '+cc' spans 8 or 16 codes.
   * A prefix in front ('66 0F', 'F3 0F') is part of the opcode.
   * Without the slash it is a whole ModRM byte, of a register form; '+i' then spans 8 of them.
   */
  readonly opcode: string;
  readonly mnemonic: string;
  /** Operands in appendix A notation, comma separated: 'Ev,Gv'. */
  readonly operands: readonly string[];
  readonly class: PrivilegeClass;
  readonly rule: PrivilegeRule | null;
  readonly cost: CostClass;
  /** Cost class when the ModRM operand is in memory. */
  readonly memoryCost: CostClass;
  readonly build: Builder;
  /** INTERCEPT_* bit that makes it leave the guest, or 0. */
  readonly intercept: number;
  /** LOCK prefix allowed with a memory destination. */
  readonly lockable: boolean;
  /** EFLAGS bits that the manual leaves undefined after it. */
  readonly undefinedFlags: number;
  /** Operand width is 8 bits (the 'b' forms). */
  readonly byte: boolean;
  /** A repeatable string instruction. */
  readonly string: boolean;
}

/** Optional columns of a row. */
export interface RowOptions {
  memory?: CostClass;
  class?: PrivilegeClass;
  rule?: PrivilegeRule;
  intercept?: number;
  lock?: boolean;
  undefinedFlags?: number;
}

/** First operands that make an instruction an 8-bit one. */
const BYTE_OPERAND = /^([EGXYOZ]b|AL)$/;

/** Makes a row. `operands` is the comma-separated notation, '' for none. */
export function row(
  opcode: string,
  mnemonic: string,
  operands: string,
  cost: CostClass,
  build: Builder,
  options: RowOptions = {},
): Row {
  const list = operands === '' ? [] : operands.split(',');
  return {
    opcode,
    mnemonic,
    operands: list,
    class: options.class ?? (options.rule === undefined ? 'user' : 'privileged'),
    rule: options.rule ?? null,
    cost,
    memoryCost: options.memory ?? (cost === 'simple' ? 'load' : cost),
    build,
    intercept: options.intercept ?? 0,
    lockable: options.lock ?? false,
    undefinedFlags: options.undefinedFlags ?? 0,
    byte:
      BYTE_OPERAND.test(list[0] ?? '') ||
      (list[0] === 'DX' && BYTE_OPERAND.test(list[1] ?? '')) ||
      operands === 'Ib,AL',
    string: list.some((o) => o.startsWith('X') || o.startsWith('Y')),
  };
}

/** Instruction intercepts: each makes its instruction leave the guest before it has any effect. */
export const INTERCEPT_HLT = 1;
export const INTERCEPT_CPUID = 2;
export const INTERCEPT_RDTSC = 4;
export const INTERCEPT_INVLPG = 8;
export const INTERCEPT_CR_WRITE = 16;
export const INTERCEPT_CR_READ = 32;
export const INTERCEPT_MSR = 64;
export const INTERCEPT_DESCRIPTOR_TABLE = 128;
export const INTERCEPT_PAUSE = 256;
export const INTERCEPT_WBINVD = 512;
export const INTERCEPT_HYPERCALL = 1024;
export const INTERCEPT_DR = 2048;
/** VMX instructions; VMREAD and VMWRITE have a bit of their own, because hardware may answer them (VMCS shadowing). */
export const INTERCEPT_VMX = 4096;
export const INTERCEPT_VMCS_ACCESS = 8192;

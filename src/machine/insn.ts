/**
 * A decoded instruction: everything that its handler needs, so that prefixes, ModRM and SIB are read once.
 * Invariant: all objects have the same shape (fields set in the constructor, in one order), because the interpreter
 * reads them millions of times a second. Register operands are indices into the register view of their width:
 * 32-bit 0..7, 16-bit word index, 8-bit byte index.
 */
import type { CompiledEntry } from './compiler/compiler.ts';
import type { Cpu } from './cpu.ts';
import type { Row } from './isa/row.ts';

/** Executes one decoded instruction. EIP already points behind it. */
export type Handler = (cpu: Cpu, insn: Insn) => void;

export const SEG_ES = 0;
export const SEG_CS = 1;
export const SEG_SS = 2;
export const SEG_DS = 3;
export const SEG_FS = 4;
export const SEG_GS = 5;

/** Index of the register that always reads zero, in Cpu.regs: lets an address without base or index use the same sum. */
export const REG_NONE = 8;

export class Insn {
  /** What the interpreter loop calls: `plain`, or the way into compiled code. */
  run: Handler;
  /** Executes this one instruction: `exec`, or a guard around it. */
  plain: Handler;
  /** The operation itself. */
  exec: Handler;
  readonly row: Row;
  length = 0;
  cycles = 0;
  /** Instructions that it counts as: 1, unless a VMM made it (CodeCache.counts). */
  counts = 1;
  /** Operand width in bits: 8, 16 or 32. */
  width = 32;
  /** Destination or first register operand. */
  a = 0;
  /** Source or second register operand. */
  b = 0;
  imm = 0;
  /** Second immediate: selector of a far pointer, nesting level of ENTER. */
  imm2 = 0;
  /** The ModRM operand is in memory. */
  isMemory = false;
  base = REG_NONE;
  index = REG_NONE;
  scale = 0;
  disp = 0;
  /** -1, or 0xffff with 16-bit addressing. */
  addressMask = -1;
  seg = SEG_DS;
  /** Bit of Cpu.segFlat that allows a read (write) through `seg` without checks. */
  flatRead = 1 << SEG_DS;
  flatWrite = 256 << SEG_DS;
  /** ModRM byte, for forms that encode more than an operand in it. */
  modrm = 0;
  /** 0xf2, 0xf3 or 0. */
  rep = 0;
  lock = false;
  /** For an instruction that crosses into the next page: the machine frame of that page when it was decoded. */
  secondFrame = -1;
  stale = false;
  /** How often it transferred control, since the compiler was last asked for its target. */
  heat = 0;
  /** Where an indirect jump or call last went. */
  target = 0;
  /** How often compiled code went here and found none. */
  missed = 0;
  /** The compiled code that starts here. */
  entry: CompiledEntry | null = null;

  constructor(row: Row, exec: Handler) {
    this.row = row;
    this.exec = exec;
    this.run = exec;
    this.plain = exec;
  }

  /** Points the memory operand at another segment. */
  setSegment(seg: number): void {
    this.seg = seg;
    this.flatRead = 1 << seg;
    this.flatWrite = 256 << seg;
  }
}

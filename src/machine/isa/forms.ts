/**
 * Operand forms: turns an operation on values into handlers for registers, memory and immediates of each width.
 * Invariant: a handler changes registers, flags and memory only after its last access that can fault.
 */
import type { Cpu } from '../cpu.ts';
import type { Handler, Insn } from '../insn.ts';
import { segmentAddress } from '../segments.ts';
import type { Builder } from './row.ts';

/** An operation on two values; sets flags on the CPU and returns the result (which CMP and TEST drop). */
export type BinaryOp = (cpu: Cpu, a: number, b: number) => number;
/** An operation on one value. */
export type UnaryOp = (cpu: Cpu, a: number) => number;

/** The same operation for the three operand widths. 8- and 16-bit values are zero-extended. */
export interface Widths<Op> {
  readonly 8: Op;
  readonly 16: Op;
  readonly 32: Op;
}

type Form = 'rr' | 'rm' | 'mr' | 'ri' | 'mi';

/** Which operands of a two-operand instruction are register, memory, immediate. */
function formOf(insn: Insn): Form {
  const [first, second] = insn.row.operands;
  if (second!.startsWith('I')) return insn.isMemory ? 'mi' : 'ri';
  if (!insn.isMemory) return 'rr';
  return first!.startsWith('E') ? 'mr' : 'rm';
}

/** Read-modify-write of memory when the fast path does not apply. */
function modifySlow32(cpu: Cpu, lin: number, op: BinaryOp, b: number): void {
  cpu.prepareWrite(lin, 4);
  cpu.write32(lin, op(cpu, cpu.read32(lin), b));
}
function modifySlow16(cpu: Cpu, lin: number, op: BinaryOp, b: number): void {
  cpu.prepareWrite(lin, 2);
  cpu.write16(lin, op(cpu, cpu.read16(lin), b));
}
function modifySlow8(cpu: Cpu, lin: number, op: BinaryOp, b: number): void {
  cpu.prepareWrite(lin, 1);
  cpu.write8(lin, op(cpu, cpu.read8(lin), b));
}

/** Applies a binary operation to a memory operand in place. */
export function modify(cpu: Cpu, insn: Insn, width: number, op: BinaryOp, b: number): void {
  if (width === 32) {
    const lin = cpu.writeAddress(insn, 4);
    const at = cpu.modify32(lin);
    if (at >= 0) cpu.words32[at] = op(cpu, cpu.words32[at]!, b);
    else modifySlow32(cpu, lin, op, b);
  } else if (width === 16) {
    const lin = cpu.writeAddress(insn, 2);
    const at = cpu.modify16(lin);
    if (at >= 0) cpu.words16[at] = op(cpu, cpu.words16[at]!, b);
    else modifySlow16(cpu, lin, op, b);
  } else {
    const lin = cpu.writeAddress(insn, 1);
    const at = cpu.modify8(lin);
    if (at >= 0) cpu.bytes[at] = op(cpu, cpu.bytes[at]!, b);
    else modifySlow8(cpu, lin, op, b);
  }
}

type FormTable = Readonly<Record<Form, Handler>>;

function writing32(op: BinaryOp): FormTable {
  return {
    rr: (c, i) => {
      c.regs[i.a] = op(c, c.regs[i.a]!, c.regs[i.b]!);
    },
    ri: (c, i) => {
      c.regs[i.a] = op(c, c.regs[i.a]!, i.imm);
    },
    rm: (c, i) => {
      c.regs[i.a] = op(c, c.regs[i.a]!, c.read32(c.readAddress(i, 4)));
    },
    mr: (c, i) => modify(c, i, 32, op, c.regs[i.b]!),
    mi: (c, i) => modify(c, i, 32, op, i.imm),
  };
}

function writing16(op: BinaryOp): FormTable {
  return {
    rr: (c, i) => {
      c.regs16[i.a] = op(c, c.regs16[i.a]!, c.regs16[i.b]!);
    },
    ri: (c, i) => {
      c.regs16[i.a] = op(c, c.regs16[i.a]!, i.imm & 0xffff);
    },
    rm: (c, i) => {
      c.regs16[i.a] = op(c, c.regs16[i.a]!, c.read16(c.readAddress(i, 2)));
    },
    mr: (c, i) => modify(c, i, 16, op, c.regs16[i.b]!),
    mi: (c, i) => modify(c, i, 16, op, i.imm & 0xffff),
  };
}

function writing8(op: BinaryOp): FormTable {
  return {
    rr: (c, i) => {
      c.regs8[i.a] = op(c, c.regs8[i.a]!, c.regs8[i.b]!);
    },
    ri: (c, i) => {
      c.regs8[i.a] = op(c, c.regs8[i.a]!, i.imm & 0xff);
    },
    rm: (c, i) => {
      c.regs8[i.a] = op(c, c.regs8[i.a]!, c.read8(c.readAddress(i, 1)));
    },
    mr: (c, i) => modify(c, i, 8, op, c.regs8[i.b]!),
    mi: (c, i) => modify(c, i, 8, op, i.imm & 0xff),
  };
}

function testing32(op: BinaryOp): FormTable {
  return {
    rr: (c, i) => void op(c, c.regs[i.a]!, c.regs[i.b]!),
    ri: (c, i) => void op(c, c.regs[i.a]!, i.imm),
    rm: (c, i) => void op(c, c.regs[i.a]!, c.read32(c.readAddress(i, 4))),
    mr: (c, i) => void op(c, c.read32(c.readAddress(i, 4)), c.regs[i.b]!),
    mi: (c, i) => void op(c, c.read32(c.readAddress(i, 4)), i.imm),
  };
}

function testing16(op: BinaryOp): FormTable {
  return {
    rr: (c, i) => void op(c, c.regs16[i.a]!, c.regs16[i.b]!),
    ri: (c, i) => void op(c, c.regs16[i.a]!, i.imm & 0xffff),
    rm: (c, i) => void op(c, c.regs16[i.a]!, c.read16(c.readAddress(i, 2))),
    mr: (c, i) => void op(c, c.read16(c.readAddress(i, 2)), c.regs16[i.b]!),
    mi: (c, i) => void op(c, c.read16(c.readAddress(i, 2)), i.imm & 0xffff),
  };
}

function testing8(op: BinaryOp): FormTable {
  return {
    rr: (c, i) => void op(c, c.regs8[i.a]!, c.regs8[i.b]!),
    ri: (c, i) => void op(c, c.regs8[i.a]!, i.imm & 0xff),
    rm: (c, i) => void op(c, c.regs8[i.a]!, c.read8(c.readAddress(i, 1))),
    mr: (c, i) => void op(c, c.read8(c.readAddress(i, 1)), c.regs8[i.b]!),
    mi: (c, i) => void op(c, c.read8(c.readAddress(i, 1)), i.imm & 0xff),
  };
}

/** Builder of dst = op(dst, src). */
export function binary(op: Widths<BinaryOp>): Builder {
  const tables = { 8: writing8(op[8]), 16: writing16(op[16]), 32: writing32(op[32]) };
  return (insn) => tables[insn.width as 8 | 16 | 32][formOf(insn)];
}

/** Builder of op(dst, src) that only sets flags. */
export function test(op: Widths<BinaryOp>): Builder {
  const tables = { 8: testing8(op[8]), 16: testing16(op[16]), 32: testing32(op[32]) };
  return (insn) => tables[insn.width as 8 | 16 | 32][formOf(insn)];
}

/** Builder of dst = op(dst). */
export function unary(op: Widths<UnaryOp>): Builder {
  const op8: BinaryOp = op[8];
  const op16: BinaryOp = op[16];
  const op32: BinaryOp = op[32];
  const register: Widths<Handler> = {
    8: (c, i) => {
      c.regs8[i.a] = op8(c, c.regs8[i.a]!, 0);
    },
    16: (c, i) => {
      c.regs16[i.a] = op16(c, c.regs16[i.a]!, 0);
    },
    32: (c, i) => {
      c.regs[i.a] = op32(c, c.regs[i.a]!, 0);
    },
  };
  const memory: Widths<Handler> = {
    8: (c, i) => modify(c, i, 8, op8, 0),
    16: (c, i) => modify(c, i, 16, op16, 0),
    32: (c, i) => modify(c, i, 32, op32, 0),
  };
  return (insn) => (insn.isMemory ? memory : register)[insn.width as 8 | 16 | 32];
}

/** Builder of dst = op(dst, count) where the count is an immediate or CL. */
export function shift(op: Widths<BinaryOp>): Builder {
  const byImmediate = shiftForms(op, (_c, i) => i.imm & 31);
  const byCl = shiftForms(op, (c) => c.regs8[4]! & 31);
  return (insn) => {
    const forms = insn.row.operands[1] === 'CL' ? byCl : byImmediate;
    return (insn.isMemory ? forms.memory : forms.register)[insn.width as 8 | 16 | 32];
  };
}

function shiftForms(
  op: Widths<BinaryOp>,
  count: (cpu: Cpu, insn: Insn) => number,
): { register: Widths<Handler>; memory: Widths<Handler> } {
  const [op8, op16, op32] = [op[8], op[16], op[32]];
  return {
    register: {
      8: (c, i) => {
        c.regs8[i.a] = op8(c, c.regs8[i.a]!, count(c, i));
      },
      16: (c, i) => {
        c.regs16[i.a] = op16(c, c.regs16[i.a]!, count(c, i));
      },
      32: (c, i) => {
        c.regs[i.a] = op32(c, c.regs[i.a]!, count(c, i));
      },
    },
    memory: {
      8: (c, i) => modify(c, i, 8, op8, count(c, i)),
      16: (c, i) => modify(c, i, 16, op16, count(c, i)),
      32: (c, i) => modify(c, i, 32, op32, count(c, i)),
    },
  };
}

/** Value of the ModRM operand (register or memory), zero-extended for 8 and 16 bits. `b` is its register index. */
export function readRm(cpu: Cpu, insn: Insn, register: number, width: number): number {
  if (width === 32) return insn.isMemory ? cpu.read32(cpu.readAddress(insn, 4)) : cpu.regs[register]!;
  if (width === 16) return insn.isMemory ? cpu.read16(cpu.readAddress(insn, 2)) : cpu.regs16[register]!;
  return insn.isMemory ? cpu.read8(cpu.readAddress(insn, 1)) : cpu.regs8[register]!;
}

/**
 * Reads `count` bytes that lie `at` bytes into a memory operand of several parts (far pointers, bounds). Each part is an
 * access of its own, whose offset wraps at the address size.
 */
export function readPart(cpu: Cpu, insn: Insn, at: number, count: 2 | 4): number {
  const offset = (cpu.offset(insn) + at) & insn.addressMask;
  const flat = (cpu.segFlat & insn.flatRead) !== 0;
  const lin = flat ? offset : segmentAddress(cpu, insn.seg, offset, count, false);
  return count === 4 ? cpu.read32(lin) : cpu.read16(lin);
}

/** Stores to the ModRM operand (register or memory). */
export function writeRm(cpu: Cpu, insn: Insn, register: number, width: number, value: number): void {
  if (width === 32) {
    if (insn.isMemory) cpu.write32(cpu.writeAddress(insn, 4), value);
    else cpu.regs[register] = value;
  } else if (width === 16) {
    if (insn.isMemory) cpu.write16(cpu.writeAddress(insn, 2), value);
    else cpu.regs16[register] = value;
  } else if (insn.isMemory) cpu.write8(cpu.writeAddress(insn, 1), value);
  else cpu.regs8[register] = value;
}

/** Writes a general register of the given width. */
export function writeReg(cpu: Cpu, register: number, width: number, value: number): void {
  if (width === 32) cpu.regs[register] = value;
  else if (width === 16) cpu.regs16[register] = value;
  else cpu.regs8[register] = value;
}

/** Reads a general register of the given width, zero-extended for 8 and 16 bits. */
export function readReg(cpu: Cpu, register: number, width: number): number {
  return width === 32 ? cpu.regs[register]! : width === 16 ? cpu.regs16[register]! : cpu.regs8[register]!;
}

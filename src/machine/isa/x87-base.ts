/**
 * What x87 instructions have in common: whether the unit may be used, memory operands, the pointers to the last
 * instruction, and how results are committed.
 * Invariants: state of the unit changes only after the last access that can fault; an instruction with an unmasked
 * exception that is found beforehand leaves all operands as they were; the exception is reported by the next
 * instruction that waits.
 * Source: SDM vol 1, chapter 8.
 */
import type { Cpu } from '../cpu.ts';
import { VECTOR_MF, VECTOR_NM } from '../exits.ts';
import { C0, C1, C2, C3 } from '../fpu/calc.ts';
import { loadDecimal, loadDouble, loadInteger, loadSingle } from '../fpu/formats.ts';
import type { Fpu } from '../fpu/fpu.ts';
import { EXP_MAX, type Extended } from '../fpu/number.ts';
import { type Handler, type Insn, SEG_CS } from '../insn.ts';
import { CR0_EM, CR0_NE, CR0_TS } from '../paging.ts';
import type { Builder } from './row.ts';

// ---------------------------------------------------------------- before and after an instruction

/** The unit may be used. */
export function available(c: Cpu): Fpu {
  if ((c.cr0 & (CR0_EM | CR0_TS)) !== 0) c.raise(VECTOR_NM);
  return c.fpu;
}

/**
 * Reports an unmasked exception that an earlier instruction left, as exception 16 or as a PC/AT does (SDM vol 1, 8.7);
 * returns where the PC has the CPU ignore it.
 */
export function report(c: Cpu): void {
  if ((c.cr0 & CR0_NE) !== 0) c.raise(VECTOR_MF);
  if (!c.fpu.isIgnored) c.standStill();
}

/** The unit may be used, and nothing is left to report. */
export function ready(c: Cpu): Fpu {
  const f = available(c);
  if (f.isPending) report(c);
  f.calc.ex = 0;
  return f;
}

/** Remembers the instruction, and its operand if that is in memory. */
export function note(c: Cpu, i: Insn): void {
  const f = c.fpu;
  f.instructionOffset = (c.eip - i.length) | 0;
  f.instructionSelector = c.segSelector[SEG_CS]!;
  f.opcode = i.imm;
  if (i.isMemory) {
    f.dataOffset = c.offset(i);
    f.dataSelector = c.segSelector[i.seg]!;
  }
}

/** Ends an instruction that changes ST(to) and pops `pops` times. */
export function finish(f: Fpu, to: number, pops: number): void {
  if (f.mayWrite) {
    f.store(to, f.calc.r);
    if (pops !== 0) f.pop();
  }
  f.commit();
}

/** Ends an instruction that pushes calc.r, or the answer to a full stack. */
export function finishPush(f: Fpu): void {
  if (f.mayPush) {
    f.rotate(-1);
    f.store(0, f.calc.r);
  }
  f.commit();
}

export function setCodes(f: Fpu, codes: number): void {
  f.status = (f.status & ~(C0 | C1 | C2 | C3)) | codes;
}

// ---------------------------------------------------------------- memory operands

/** Reads a memory operand into x. */
export type Reader = (c: Cpu, i: Insn, x: Extended) => void;

export const readSingle: Reader = (c, i, x) => loadSingle(x, c.read32(c.readAddress(i, 4)));
export const readWord: Reader = (c, i, x) => {
  const value = (c.read16(c.readAddress(i, 2)) << 16) >> 16;
  loadInteger(x, value >> 31, value);
};
export const readInt: Reader = (c, i, x) => {
  const value = c.read32(c.readAddress(i, 4));
  loadInteger(x, value >> 31, value);
};
export const readDouble: Reader = (c, i, x) => {
  const lin = c.readAddress(i, 8);
  const low = c.read32(lin);
  loadDouble(x, c.read32((lin + 4) | 0), low);
};
export const readLong: Reader = (c, i, x) => {
  const lin = c.readAddress(i, 8);
  const low = c.read32(lin);
  loadInteger(x, c.read32((lin + 4) | 0), low);
};
export const readDecimal: Reader = (c, i, x) => {
  const lin = c.readAddress(i, 10);
  const low = c.read32(lin);
  const high = c.read32((lin + 4) | 0);
  loadDecimal(x, c.read16((lin + 8) | 0), high, low);
};

/** In one page, the first word faults for all; across two, both are checked before anything is written. */
function prepareSplit(c: Cpu, lin: number, count: number): void {
  if ((lin & 0xfff) + count > 0x1000) c.prepareWrite(lin, count);
}

export function write64(c: Cpu, i: Insn, high: number, low: number): void {
  const lin = c.writeAddress(i, 8);
  prepareSplit(c, lin, 8);
  c.write32(lin, low);
  c.write32((lin + 4) | 0, high);
}

export function write80(c: Cpu, i: Insn, top: number, high: number, low: number): void {
  const lin = c.writeAddress(i, 10);
  prepareSplit(c, lin, 10);
  c.write32(lin, low);
  c.write32((lin + 4) | 0, high);
  c.write16((lin + 8) | 0, top);
}

/** Builder of every x87 row: the opcode for the environment, and the register number, are read once. */
export function prepared(handler: Handler): Builder {
  return (insn) => {
    insn.imm = ((Number.parseInt(insn.row.opcode.slice(0, 2), 16) & 7) << 8) | insn.modrm;
    insn.b = insn.modrm & 7;
    return handler;
  };
}

/** calc.r = the bits of ST(from). */
export function copyRegister(f: Fpu, from: number): void {
  const n = (f.top + from) & 7;
  const { r } = f.calc;
  r.sign = (f.signExp[n]! >> 15) & 1;
  r.exp = f.signExp[n]! & EXP_MAX;
  r.hi = f.high[n]!;
  r.lo = f.low[n]!;
}

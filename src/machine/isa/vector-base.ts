/**
 * What MMX and SSE instructions have in common: whether the unit may be used, operands, alignment, and how exceptions
 * are reported.
 * Invariants: registers and MXCSR change only after the last access that can fault; an unmasked exception leaves the
 * destination as it was, and its flags in MXCSR.
 * Source: SDM vol 1, 9.5 (MMX and the x87 stack), 11.5 (exceptions); SDM vol 3, table 2-2 and 13.1; SDM vol 2, 2.4.
 */

import type { CostClass } from '../costs.ts';
import type { Cpu } from '../cpu.ts';
import { VECTOR_GP, VECTOR_NM, VECTOR_UD, VECTOR_XM } from '../exits.ts';
import { BEFORE } from '../fpu/calc.ts';
import type { Fpu } from '../fpu/fpu.ts';
import { type Lanes, MXCSR_FLAGS, MXCSR_MASKS_SHIFT, type VectorUnit } from '../fpu/vector.ts';
import type { Handler, Insn } from '../insn.ts';
import { CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT } from '../paging.ts';
import { type Row, row } from './row.ts';
import { report } from './x87-base.ts';

// ---------------------------------------------------------------- before and after an instruction

/** The XMM registers may be used. */
export function vectorReady(c: Cpu): VectorUnit {
  if ((c.cr0 & CR0_EM) !== 0 || (c.cr4 & CR4_OSFXSR) === 0) c.raise(VECTOR_UD);
  if ((c.cr0 & CR0_TS) !== 0) c.raise(VECTOR_NM);
  return c.fpu.vector;
}

/** The MMX registers may be used, and no floating-point error is left to report. */
export function mmxReady(c: Cpu): Fpu {
  if ((c.cr0 & CR0_EM) !== 0) c.raise(VECTOR_UD);
  if ((c.cr0 & CR0_TS) !== 0) c.raise(VECTOR_NM);
  if (c.fpu.isPending) report(c);
  return c.fpu;
}

/** Enters the exceptions of an instruction into MXCSR, and reports those that are not masked. */
export function conclude(c: Cpu, v: VectorUnit): void {
  const { ex } = v.calc;
  if (ex === 0) return;
  const unmasked = ex & ~(v.mxcsr >> MXCSR_MASKS_SHIFT) & MXCSR_FLAGS;
  // What is found beforehand keeps the rest from being computed (SDM vol 1, 11.5.3).
  v.mxcsr |= (unmasked & BEFORE) !== 0 ? ex & BEFORE : ex;
  if (unmasked !== 0) c.raise((c.cr4 & CR4_OSXMMEXCPT) !== 0 ? VECTOR_XM : VECTOR_UD);
}

// ---------------------------------------------------------------- memory

/** An operand of 16 bytes must be aligned, which is looked at before the limit of its segment. */
export function requireAligned(c: Cpu, i: Insn): void {
  if (((c.offset(i) + c.segBase[i.seg]!) & 15) !== 0) c.raise(VECTOR_GP, 0);
}

/** Reads `bytes` (4, 8 or 16) of a memory operand into lanes; the rest of them keep what they hold. */
export function readMemory(c: Cpu, i: Insn, lanes: Lanes, bytes: number, aligned: boolean): void {
  if (aligned) requireAligned(c, i);
  const lin = c.readAddress(i, bytes);
  c.checkAligned(lin, bytes);
  for (let at = 0; at < bytes; at += 4) lanes.i32[at >> 2] = c.read32((lin + at) | 0);
}

/** Writes the first `bytes` of lanes to the memory operand, whole or not at all. */
export function writeMemory(c: Cpu, i: Insn, lanes: Lanes, bytes: number, aligned: boolean): void {
  if (aligned) requireAligned(c, i);
  const lin = c.writeAddress(i, bytes);
  c.checkAligned(lin, bytes);
  if ((lin & 0xfff) + bytes > 0x1000) c.prepareWrite(lin, bytes);
  for (let at = 0; at < bytes; at += 4) c.write32((lin + at) | 0, lanes.i32[at >> 2]!);
}

/** The source of an SSE instruction: register b, or `bytes` of memory, which must be aligned if they are 16. */
export function readSource(c: Cpu, i: Insn, v: VectorUnit, bytes = 16): void {
  if (i.isMemory) readMemory(c, i, v.b, bytes, bytes === 16);
  else v.load(i.b, v.b);
}

// ---------------------------------------------------------------- MMX registers

export function loadMmx(f: Fpu, n: number, lanes: Lanes): void {
  lanes.i32[0] = f.low[n]!;
  lanes.i32[1] = f.high[n]!;
}

export function storeMmx(f: Fpu, n: number, lanes: Lanes): void {
  f.storeMmx(n, lanes.i32[1]!, lanes.i32[0]!);
}

/** The source of an MMX instruction: register b, or `bytes` of memory. */
export function readMmxSource(c: Cpu, i: Insn, f: Fpu, bytes = 8): void {
  if (i.isMemory) readMemory(c, i, f.vector.b, bytes, false);
  else loadMmx(f, i.b, f.vector.b);
}

// ---------------------------------------------------------------- rows

/** A row whose handler does not depend on how it is decoded. */
export const vectorRow = (
  opcode: string,
  mnemonic: string,
  operands: string,
  handler: Handler,
  cost: CostClass = 'simple',
  memory?: CostClass,
): Row => row(opcode, mnemonic, operands, cost, () => handler, memory === undefined ? {} : { memory });

/**
 * Shifts and rotates in compiled code: by constants at all widths, by CL where a count of zero (which leaves the flags)
 * is cheap to tell apart. RCL, RCR and the rest stay with the interpreter.
 * Invariant: carry and overflow are those of the SDM where it defines them, and those of the interpreter elsewhere.
 */
import type { Insn } from '../../insn.ts';
import { type Emitter, FLAGS_UNKNOWN, L_FIRST, L_KIND, L_OTHER, L_SECOND, L_THIRD, L_VALUE } from '../emitter.ts';
import { DEFERRED_NONE } from '../layout.ts';
import { OP } from '../wasm.ts';
import {
  loadModify,
  mask,
  materialize,
  signExtend,
  storeRm,
  type Translate,
  type Translation,
  type TranslationRow,
} from './translation.ts';

const isImmediateShift = (i: Insn): boolean => i.row.operands[1] !== 'CL';

const shiftCount = (i: Insn): number => i.imm & 31;

/** Pushes a zero-extended value cut to its width. */
function cut(e: Emitter, width: number): void {
  if (width !== 32) e.body.with(mask(width), OP.i32and);
}

/** L_FIRST = result and L_SECOND = carry vector of a shift by a constant; value in L_VALUE, result in L_THIRD. */
function shiftFlags(e: Emitter, kind: 'SHL' | 'SHR' | 'SAR', width: number, n: number): void {
  const { body } = e;
  body.get(L_VALUE);
  if (kind === 'SHL') {
    // The last bit out is the carry; carry out of the bit below the top is the new top bit.
    body.with(width - n, OP.i32shrU);
    body.with(31, OP.i32shl);
    body.get(L_THIRD);
    body.with(32 - width, OP.i32shl);
    body.with(1, OP.i32shrU);
    body.with(0x40000000, OP.i32and);
    body.op(OP.i32or);
  } else {
    if (kind === 'SAR') signExtend(e, width);
    body.with(n - 1, OP.i32shrU);
    body.with(31, OP.i32shl);
    body.tee(L_SECOND);
    body.get(L_SECOND);
    body.with(1, OP.i32shrU);
    if (kind === 'SHR' && n === 1) {
      // Overflow is the sign of the original.
      body.get(L_VALUE);
      body.with(32 - width, OP.i32shl);
      body.with(1, OP.i32shrU);
      body.with(0x40000000, OP.i32and);
      body.op(OP.i32xor);
    }
    body.op(OP.i32or);
  }
  body.set(L_SECOND);
  body.get(L_THIRD);
  signExtend(e, width);
  body.set(L_FIRST);
  e.setExplicit();
}

const SHIFT_OPERATOR = { SHL: OP.i32shl, SHR: OP.i32shrU, SAR: OP.i32shrS } as const;

function shiftByConstant(kind: 'SHL' | 'SHR' | 'SAR'): Translate {
  return (e, i) => {
    const { body } = e;
    const n = shiftCount(i);
    loadModify(e, i, L_VALUE);
    if (n === 0) return;
    body.get(L_VALUE);
    if (kind === 'SAR') signExtend(e, i.width);
    body.with(n, SHIFT_OPERATOR[kind]);
    cut(e, i.width);
    body.set(L_THIRD);
    if (e.flagsNeeded) shiftFlags(e, kind, i.width, n);
    storeRm(e, i, i.width, L_THIRD);
  };
}

/** 32-bit shift of a register or memory by CL. */
function shiftByRegister(kind: 'SHL' | 'SHR' | 'SAR'): Translate {
  return (e, i) => {
    const { body } = e;
    loadModify(e, i, L_VALUE);
    e.getReg(8, 4);
    body.with(31, OP.i32and);
    body.set(L_OTHER);
    body.get(L_VALUE);
    body.get(L_OTHER);
    body.op(SHIFT_OPERATOR[kind]);
    body.set(L_THIRD);
    if (e.flagsNeeded) {
      body.get(L_OTHER);
      e.open('', 'if');
      body.get(L_VALUE);
      if (kind === 'SHL') {
        body.i32(32);
        body.get(L_OTHER);
        body.op(OP.i32sub);
        body.op(OP.i32shrU);
        body.with(31, OP.i32shl);
        body.get(L_THIRD);
        body.with(1, OP.i32shrU);
        body.with(0x40000000, OP.i32and);
        body.op(OP.i32or);
      } else {
        body.get(L_OTHER);
        body.with(1, OP.i32sub);
        body.op(OP.i32shrU);
        body.with(31, OP.i32shl);
        body.tee(L_SECOND);
        body.get(L_SECOND);
        body.with(1, OP.i32shrU);
        if (kind === 'SHR') {
          // Overflow, the sign of the original, shows only for a count of one: bit 30 of the result then.
          body.get(L_THIRD);
          body.with(0x40000000, OP.i32and);
          body.op(OP.i32xor);
        }
        body.op(OP.i32or);
      }
      body.set(L_SECOND);
      body.copy(L_FIRST, L_THIRD);
      body.i32(DEFERRED_NONE);
      body.set(L_KIND);
      e.close();
      e.flags = FLAGS_UNKNOWN;
    }
    storeRm(e, i, 32, L_THIRD);
  };
}

function shift(kind: 'SHL' | 'SHR' | 'SAR'): Translation {
  const constant = shiftByConstant(kind);
  const register = shiftByRegister(kind);
  return {
    covers: (i) => (isImmediateShift(i) ? shiftCount(i) < i.width : i.width === 32),
    translate: (e, i) => (isImmediateShift(i) ? constant(e, i) : register(e, i)),
    reads: true,
    flags: (i) => (!isImmediateShift(i) ? FLAGS_UNKNOWN : shiftCount(i) === 0 ? undefined : DEFERRED_NONE),
  };
}

/** 32-bit rotate by a constant: only CF and OF change. */
function rotate(left: boolean): Translation {
  return {
    covers: (i) => i.width === 32 && isImmediateShift(i) && shiftCount(i) !== 0,
    reads: true,
    flags: () => DEFERRED_NONE,
    translate: (e, i) => {
      const { body } = e;
      loadModify(e, i, L_VALUE);
      if (e.flagsNeeded) materialize(e);
      body.get(L_VALUE);
      body.with(shiftCount(i), left ? OP.i32rotl : OP.i32rotr);
      body.set(L_VALUE);
      if (e.flagsNeeded) {
        // Left: CF = bit 0, OF = bit 31 ^ CF, so the carry below the top is bit 31. Right: CF = bit 31, below it bit 30.
        body.get(L_SECOND);
        body.with(0x3fffffff, OP.i32and);
        body.get(L_VALUE);
        if (left) {
          body.with(31, OP.i32shl);
          body.op(OP.i32or);
          body.get(L_VALUE);
          body.with(1, OP.i32shrU);
          body.with(0x40000000, OP.i32and);
        } else body.with(0xc0000000 | 0, OP.i32and);
        body.op(OP.i32or);
        body.set(L_SECOND);
        e.setExplicit();
      }
      storeRm(e, i, 32, L_VALUE);
    },
  };
}

/** SHLD and SHRD by a constant, 32 bits. */
function doubleShift(left: boolean): Translation {
  return {
    covers: (i) => i.width === 32 && i.row.operands[2] === 'Ib' && shiftCount(i) !== 0,
    flags: () => DEFERRED_NONE,
    translate: (e, i) => {
      const { body } = e;
      const n = shiftCount(i);
      loadModify(e, i, L_VALUE);
      body.get(L_VALUE);
      body.with(n, left ? OP.i32shl : OP.i32shrU);
      e.getReg(32, i.b);
      body.with(32 - n, left ? OP.i32shrU : OP.i32shl);
      body.op(OP.i32or);
      body.set(L_THIRD);
      if (e.flagsNeeded) {
        // Carry: the last bit out. Overflow: the sign changed.
        body.get(L_VALUE);
        body.with(left ? 32 - n : n - 1, OP.i32shrU);
        body.with(31, OP.i32shl);
        body.tee(L_SECOND);
        body.get(L_SECOND);
        body.get(L_VALUE);
        body.get(L_THIRD);
        body.op(OP.i32xor);
        body.with(0x80000000 | 0, OP.i32and);
        body.op(OP.i32xor);
        body.with(1, OP.i32shrU);
        body.op(OP.i32or);
        body.set(L_SECOND);
        body.copy(L_FIRST, L_THIRD);
        e.setExplicit();
      }
      storeRm(e, i, 32, L_THIRD);
    },
  };
}

/** Shifts, rotates, double shifts. */
export const SHIFTS: readonly TranslationRow[] = [
  ['SHL', shift('SHL')],
  ['SHR', shift('SHR')],
  ['SAR', shift('SAR')],
  ['ROL', rotate(true)],
  ['ROR', rotate(false)],
  ['SHLD', doubleShift(true)],
  ['SHRD', doubleShift(false)],
];

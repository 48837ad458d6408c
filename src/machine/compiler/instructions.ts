/**
 * The instructions that compiled code executes itself: by mnemonic of the ISA table, their meaning in WebAssembly.
 * Whatever has no translation here is executed by the interpreter from within compiled code.
 * Invariants: as in emitter.ts; the result equals that of the row's handler in every bit, which tests check against
 * the interpreter for random code. A translation first makes every memory access that can fail, then changes state.
 */

import { BLOCK_ATTRIBUTES, BLOCK_BASES, BLOCK_LIMITS, BLOCK_SELECTORS } from '../cpu-core.ts';
import { CONDITION_NAMES, FLAG_DF } from '../flags.ts';
import { type Insn, SEG_CS, SEG_FS, SEG_GS, SEG_SS } from '../insn.ts';
import {
  CALL_INVALIDATE,
  type Emitter,
  FLAGS_LOGIC,
  FLAGS_UNKNOWN,
  keepsFlags,
  L_BLOCK,
  L_EIP,
  L_FIRST,
  L_KIND,
  L_OTHER,
  L_SECOND,
  L_THIRD,
  L_VALUE,
  L_WIDE,
  L_WIDE2,
} from './emitter.ts';
import {
  AT_CPL,
  AT_CR2,
  AT_GDT_BASE,
  AT_GDT_LIMIT,
  AT_GUARDED,
  AT_SEGMENTS,
  AT_SYSTEM_FLAGS,
  AT_SYSTEM_FRONT,
  DEFERRED_ADD,
  DEFERRED_DEC,
  DEFERRED_INC,
  DEFERRED_NONE,
  DEFERRED_SUB,
  GUARDED_PRIVILEGED,
  GUARDED_SENSITIVE,
} from './layout.ts';
import { usesFlatSegment } from './region.ts';
import { LOAD32, OP, STORE32 } from './wasm.ts';

type Translate = (e: Emitter, i: Insn) => void;

interface Translation {
  /** Whether this form is translated; all are, unless told. */
  readonly covers?: (i: Insn) => boolean;
  readonly translate: Translate;
  /** Looks at flags. */
  readonly reads?: boolean;
  /** What is known of the flags afterwards; undefined: they stay. */
  readonly flags?: (i: Insn) => number | undefined;
  /** Accesses the stack, or can fault without a memory operand. */
  readonly mayLeave?: boolean;
}

const mask = (width: number): number => (width === 32 ? -1 : width === 16 ? 0xffff : 0xff);
const widthIndex = (width: number): number => (width === 32 ? 0 : width === 16 ? 1 : 2);

/** Pushes a zero-extended value cut to its width. */
function cut(e: Emitter, width: number): void {
  if (width !== 32) e.body.with(mask(width), OP.i32and);
}

/** Pops a zero-extended value and pushes it sign-extended. */
function signExtend(e: Emitter, width: number): void {
  if (width !== 32) e.body.op(width === 16 ? OP.i32extend16S : OP.i32extend8S);
}

/** Makes the operand in ModRM readable and pushes it: a register (index `register`) or memory. */
function pushRm(e: Emitter, i: Insn, register: number, width: number): void {
  if (!i.isMemory) {
    e.getReg(width, register);
    return;
  }
  e.address(i);
  e.access(width, false);
  e.load(width);
}

/** Pops into the ModRM destination: a register, or the memory whose access() was made; the value is in L_VALUE. */
function storeRm(e: Emitter, i: Insn, width: number, local: number): void {
  if (i.isMemory) e.store(width, () => e.body.get(local));
  else {
    e.body.get(local);
    e.setReg(width, i.a);
  }
}

// ---------------------------------------------------------------- two operands

type Form = 'rr' | 'rm' | 'mr' | 'ri' | 'mi';
function formOf(i: Insn): Form {
  const [first, second] = i.row.operands;
  if (second!.startsWith('I')) return i.isMemory ? 'mi' : 'ri';
  if (!i.isMemory) return 'rr';
  return first!.startsWith('E') || first!.startsWith('O') ? 'mr' : 'rm';
}

/** Loads both operands into locals; a memory destination is made writable if it will be written. */
function loadOperands(e: Emitter, i: Insn, first: number, second: number, writes: boolean): void {
  const { body } = e;
  const form = formOf(i);
  const { width } = i;
  if (form === 'mr' || form === 'mi') {
    e.address(i);
    e.access(width, writes);
    e.load(width);
    body.set(first);
  } else if (form === 'rm') {
    pushRm(e, i, i.b, width);
    body.set(second);
    e.getReg(width, i.a);
    body.set(first);
    return;
  } else {
    e.getReg(width, i.a);
    body.set(first);
  }
  if (form === 'mi' || form === 'ri') body.i32(i.imm & mask(width));
  else e.getReg(width, i.b);
  body.set(second);
}

/** Pops nothing; writes the result of a two-operand instruction where its first operand is. */
function storeFirst(e: Emitter, i: Insn, local: number): void {
  if (formOf(i) === 'rm') {
    e.body.get(local);
    e.setReg(i.width, i.a);
  } else storeRm(e, i, i.width, local);
}

/** ADD, SUB, CMP: flags are deferred. */
function additive(base: number, operator: number, writes: boolean): Translate {
  return (e, i) => {
    const { body } = e;
    const [first, second] = e.flagsNeeded ? [L_FIRST, L_SECOND] : [L_VALUE, L_OTHER];
    // The access uses its own locals, so the flag operands change only when nothing can fail any more.
    loadOperands(e, i, first, second, writes);
    if (e.flagsNeeded) e.setDeferred(base, i.width);
    if (!writes) return;
    body.get(first);
    body.get(second);
    body.op(operator);
    body.set(L_THIRD);
    storeFirst(e, i, L_THIRD);
  };
}

/** AND, OR, XOR, TEST. */
function logical(operator: number, writes: boolean): Translate {
  return (e, i) => {
    const { body } = e;
    loadOperands(e, i, L_VALUE, L_OTHER, writes);
    body.get(L_VALUE);
    body.get(L_OTHER);
    body.op(operator);
    body.set(L_VALUE);
    if (e.flagsNeeded) {
      body.get(L_VALUE);
      e.setLogicFlags(i.width);
    }
    if (writes) storeFirst(e, i, L_VALUE);
  };
}

/** ADC and SBB: the carry vector is computed at once. */
function withCarry(isSub: boolean): Translate {
  return (e, i) => {
    const { body } = e;
    const { width } = i;
    e.pushCarry();
    body.set(L_SITE_TEMP);
    loadOperands(e, i, L_VALUE, L_OTHER, true);
    body.get(L_VALUE);
    body.get(L_OTHER);
    body.op(isSub ? OP.i32sub : OP.i32add);
    body.get(L_SITE_TEMP);
    body.op(isSub ? OP.i32sub : OP.i32add);
    body.set(L_THIRD);
    if (e.flagsNeeded) {
      // (a & b) | ((a | b) & ~r), and with ~a for the borrows of a subtraction (where r counts as it is).
      const a = (): void => {
        body.get(L_VALUE);
        if (isSub) body.with(-1, OP.i32xor);
      };
      a();
      body.get(L_OTHER);
      body.op(OP.i32and);
      a();
      body.get(L_OTHER);
      body.op(OP.i32or);
      body.get(L_THIRD);
      if (!isSub) body.with(-1, OP.i32xor);
      body.op(OP.i32and);
      body.op(OP.i32or);
      body.set(L_SECOND);
      narrowCarries(e, width);
      body.get(L_THIRD);
      signExtend(e, width);
      body.set(L_FIRST);
      e.setExplicit();
    }
    storeFirst(e, i, L_THIRD);
  };
}

/** Turns carries at their own width in L_SECOND into the carry vector of flags.ts. */
function narrowCarries(e: Emitter, width: number): void {
  const { body } = e;
  body.get(L_SECOND);
  if (width !== 32) body.with(32 - width, OP.i32shl);
  body.with(0xc0000000 | 0, OP.i32and);
  body.get(L_SECOND);
  body.with(8, OP.i32and);
  body.op(OP.i32or);
  body.set(L_SECOND);
}

/** Scratch that survives memory accesses and conditions: the counter of the wide locals is free there. */
const L_SITE_TEMP = 19;

// ---------------------------------------------------------------- one operand

/** Loads the operand of INC, DEC, NOT, NEG into a local, writable if in memory. */
function loadModify(e: Emitter, i: Insn, local: number): void {
  if (i.isMemory) {
    e.address(i);
    e.access(i.width, true);
    e.load(i.width);
  } else e.getReg(i.width, i.a);
  e.body.set(local);
}

function step(base: number, operator: number): Translate {
  return (e, i) => {
    const { body } = e;
    loadModify(e, i, L_VALUE);
    if (e.flagsNeeded) {
      e.pushKeptCarry();
      body.set(L_SECOND);
      body.copy(L_FIRST, L_VALUE);
      e.setDeferred(base, i.width);
    }
    body.get(L_VALUE);
    body.with(1, operator);
    body.set(L_VALUE);
    storeRm(e, i, i.width, L_VALUE);
  };
}

const not: Translate = (e, i) => {
  loadModify(e, i, L_VALUE);
  e.body.get(L_VALUE);
  e.body.with(-1, OP.i32xor);
  e.body.set(L_VALUE);
  storeRm(e, i, i.width, L_VALUE);
};

const neg: Translate = (e, i) => {
  const { body } = e;
  loadModify(e, i, L_VALUE);
  if (e.flagsNeeded) {
    body.i32(0);
    body.set(L_FIRST);
    body.copy(L_SECOND, L_VALUE);
    e.setDeferred(DEFERRED_SUB, i.width);
  }
  body.i32(0);
  body.get(L_VALUE);
  body.op(OP.i32sub);
  body.set(L_VALUE);
  storeRm(e, i, i.width, L_VALUE);
};

// ---------------------------------------------------------------- shifts

const isImmediateShift = (i: Insn): boolean => i.row.operands[1] !== 'CL';
const shiftCount = (i: Insn): number => i.imm & 31;

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

/** Computes deferred flags into result and carry vector. */
function materialize(e: Emitter): void {
  const { body } = e;
  e.pushCarries();
  body.set(L_OTHER);
  e.pushResult();
  body.set(L_FIRST);
  body.copy(L_SECOND, L_OTHER);
  e.setExplicit();
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

// ---------------------------------------------------------------- multiplication, division, bits

/** Low half of the product of two sign-extended operands on the 32-bit locals L_VALUE and L_OTHER, into L_THIRD. */
function multiplySigned(e: Emitter): void {
  const { body } = e;
  if (!e.flagsNeeded) {
    body.get(L_VALUE);
    body.get(L_OTHER);
    body.op(OP.i32mul);
    body.set(L_THIRD);
    return;
  }
  body.get(L_VALUE);
  body.op(OP.i64extendS);
  body.get(L_OTHER);
  body.op(OP.i64extendS);
  body.op(OP.i64mul);
  body.tee(L_WIDE);
  body.op(OP.i32wrap);
  body.tee(L_THIRD);
  body.op(OP.i64extendS);
  body.get(L_WIDE);
  body.op(OP.i64ne);
  body.with(31, OP.i32shl);
  body.set(L_SECOND);
  body.copy(L_FIRST, L_THIRD);
  e.setExplicit();
}

const imulTwo: Translate = (e, i) => {
  pushRm(e, i, i.b, 32);
  e.body.set(L_VALUE);
  if (i.row.operands.length === 3) e.body.i32(i.imm);
  else e.getReg(32, i.a);
  e.body.set(L_OTHER);
  multiplySigned(e);
  e.body.get(L_THIRD);
  e.setReg(32, i.a);
};

/** MUL and IMUL of EAX by the operand into EDX:EAX. */
function multiplyWide(signed: boolean): Translate {
  const extend = signed ? OP.i64extendS : OP.i64extendU;
  return (e, i) => {
    const { body } = e;
    pushRm(e, i, i.a, 32);
    body.op(extend);
    e.getReg(32, 0);
    body.op(extend);
    body.op(OP.i64mul);
    body.tee(L_WIDE);
    body.op(OP.i32wrap);
    e.setReg(32, 0);
    body.get(L_WIDE);
    body.i64(32n);
    body.op(OP.i64shrU);
    body.op(OP.i32wrap);
    e.setReg(32, 2);
    if (!e.flagsNeeded) return;
    body.get(L_WIDE);
    e.getReg(32, 0);
    body.op(extend);
    body.op(OP.i64ne);
    body.with(31, OP.i32shl);
    body.set(L_SECOND);
    e.getReg(32, 0);
    body.set(L_FIRST);
    e.setExplicit();
  };
}

/** DIV of EDX:EAX; quotients that do not fit, and zero, are left to the interpreter. */
const divide: Translate = (e, i) => {
  const { body } = e;
  pushRm(e, i, i.a, 32);
  body.tee(L_VALUE);
  // A zero divisor is not above any EDX either.
  e.getReg(32, 2);
  body.op(OP.i32leU);
  e.open('', 'if');
  e.exitHere();
  e.close();
  pushDividend(e);
  body.tee(L_WIDE);
  body.get(L_VALUE);
  body.op(OP.i64extendU);
  body.op(OP.i64divU);
  body.op(OP.i32wrap);
  e.setReg(32, 0);
  body.get(L_WIDE);
  body.get(L_VALUE);
  body.op(OP.i64extendU);
  body.op(OP.i64remU);
  body.op(OP.i32wrap);
  e.setReg(32, 2);
};

function pushDividend(e: Emitter): void {
  const { body } = e;
  e.getReg(32, 2);
  body.op(OP.i64extendU);
  body.i64(32n);
  body.op(OP.i64shl);
  e.getReg(32, 0);
  body.op(OP.i64extendU);
  body.op(OP.i64or);
}

/** IDIV; divisors 0 and -1 (the only one whose division can trap in WebAssembly) are left to the interpreter. */
const divideSigned: Translate = (e, i) => {
  const { body } = e;
  pushRm(e, i, i.a, 32);
  body.tee(L_VALUE);
  body.with(1, OP.i32add);
  body.with(1, OP.i32leU);
  e.open('', 'if');
  e.exitHere();
  e.close();
  pushDividend(e);
  body.tee(L_WIDE);
  body.get(L_VALUE);
  body.op(OP.i64extendS);
  body.op(OP.i64divS);
  body.tee(L_WIDE2);
  body.get(L_WIDE2);
  body.op(OP.i32wrap);
  body.op(OP.i64extendS);
  body.op(OP.i64ne);
  e.open('', 'if');
  e.exitHere();
  e.close();
  body.get(L_WIDE);
  body.get(L_VALUE);
  body.op(OP.i64extendS);
  body.op(OP.i64remS);
  body.op(OP.i32wrap);
  e.setReg(32, 2);
  body.get(L_WIDE2);
  body.op(OP.i32wrap);
  e.setReg(32, 0);
};

/** BT and its relatives on a register, or with a constant bit number. */
function bitTest(operator: number | null, invert: boolean): Translation {
  return {
    covers: (i) => i.width === 32 && (!i.isMemory || i.row.operands[1] === 'Ib'),
    reads: true,
    flags: () => DEFERRED_NONE,
    translate: (e, i) => {
      const { body } = e;
      const bit = (): void => {
        if (i.row.operands[1] === 'Ib') body.i32(i.imm & 31);
        else {
          e.getReg(32, i.b);
          body.with(31, OP.i32and);
        }
      };
      if (operator === null) {
        pushRm(e, i, i.a, 32);
        body.set(L_VALUE);
      } else loadModify(e, i, L_VALUE);
      if (e.flagsNeeded) {
        materialize(e);
        // CF = the bit, OF stays: the carry below the top changes as CF does.
        body.get(L_VALUE);
        bit();
        body.op(OP.i32shrU);
        body.with(31, OP.i32shl);
        body.set(L_OTHER);
        body.get(L_SECOND);
        body.get(L_SECOND);
        body.with(1, OP.i32shl);
        body.op(OP.i32xor);
        body.get(L_OTHER);
        body.op(OP.i32xor);
        body.with(1, OP.i32shrU);
        body.with(0x40000000, OP.i32and);
        body.get(L_SECOND);
        body.with(0x3fffffff, OP.i32and);
        body.op(OP.i32or);
        body.get(L_OTHER);
        body.op(OP.i32or);
        body.set(L_SECOND);
        e.setExplicit();
      }
      if (operator === null) return;
      body.get(L_VALUE);
      body.i32(1);
      bit();
      body.op(OP.i32shl);
      if (invert) body.with(-1, OP.i32xor);
      body.op(operator);
      body.set(L_VALUE);
      storeRm(e, i, 32, L_VALUE);
    },
  };
}

function scan(reverse: boolean): Translation {
  return {
    covers: (i) => i.width === 32,
    flags: () => FLAGS_LOGIC,
    translate: (e, i) => {
      const { body } = e;
      pushRm(e, i, i.b, 32);
      body.set(L_VALUE);
      if (e.flagsNeeded) {
        body.get(L_VALUE);
        e.setLogicFlags(32);
      }
      if (reverse) {
        body.i32(31);
        body.get(L_VALUE);
        body.op(OP.i32clz);
        body.op(OP.i32sub);
      } else {
        body.get(L_VALUE);
        body.op(OP.i32ctz);
      }
      e.getReg(32, i.a);
      body.get(L_VALUE);
      body.op(OP.select);
      e.setReg(32, i.a);
    },
  };
}

const bswap: Translate = (e, i) => {
  const { body } = e;
  e.getReg(32, i.a);
  body.with(0x00ff00ff, OP.i32and);
  body.with(8, OP.i32rotr);
  e.getReg(32, i.a);
  body.with(8, OP.i32rotl);
  body.with(0x00ff00ff, OP.i32and);
  body.op(OP.i32or);
  e.setReg(32, i.a);
};

// ---------------------------------------------------------------- data movement

const mov: Translate = (e, i) => {
  const form = formOf(i);
  const { width } = i;
  const source = (): void => {
    if (form === 'ri' || form === 'mi') e.body.i32(i.imm & mask(width));
    else e.getReg(width, i.b);
  };
  if (form === 'mr' || form === 'mi') {
    e.address(i);
    e.access(width, true);
    e.store(width, source);
    return;
  }
  if (form === 'rm') pushRm(e, i, i.b, width);
  else source();
  e.setReg(width, i.a);
};

function extend(signed: boolean): Translate {
  return (e, i) => {
    const from = i.row.operands[1] === 'Eb' ? 8 : 16;
    pushRm(e, i, i.b, from);
    if (signed) signExtend(e, from);
    e.setReg(i.width, i.a);
  };
}

const lea: Translate = (e, i) => {
  e.address(i);
  e.setReg(i.width, i.a);
};

const xchg: Translate = (e, i) => {
  const { body } = e;
  const { width } = i;
  if (i.row.operands[1] === 'eAX') {
    e.getReg(width, i.a);
    body.set(L_VALUE);
    e.getReg(width, 0);
    e.setReg(width, i.a);
    body.get(L_VALUE);
    e.setReg(width, 0);
    return;
  }
  loadModify(e, i, L_VALUE);
  e.getReg(width, i.b);
  body.set(L_OTHER);
  body.get(L_VALUE);
  e.setReg(width, i.b);
  storeRm(e, i, width, L_OTHER);
};

/** Makes the word below the stack writable; ESP is moved by commitPush(). */
function accessPush(e: Emitter): void {
  e.getReg(32, 4);
  e.body.with(4, OP.i32sub);
  e.access(32, true);
}

function commitPush(e: Emitter, value: () => void): void {
  e.store(32, value);
  e.lastAddress();
  e.setReg(32, 4);
}

/** Pushes `value` (a guest push). */
export function emitPush(e: Emitter, value: () => void): void {
  accessPush(e);
  commitPush(e, value);
}

const push: Translate = (e, i) => {
  const { body } = e;
  const operand = i.row.operands[0]!;
  if (operand.startsWith('I')) emitPush(e, () => body.i32(i.imm));
  else if (i.isMemory) {
    pushRm(e, i, i.a, 32);
    body.set(L_VALUE);
    emitPush(e, () => body.get(L_VALUE));
  } else emitPush(e, () => e.getReg(32, i.a));
};

const pop: Translate = (e, i) => {
  emitPop(e, 0);
  e.setReg(32, i.a);
};

/** Leaves the word on top of the guest's stack on the operand stack, and moves ESP over it and `extra` bytes. */
export function emitPop(e: Emitter, extra: number): void {
  const { body } = e;
  e.getReg(32, 4);
  e.access(32, false);
  e.load(32);
  e.lastAddress();
  body.with(4 + extra, OP.i32add);
  e.setReg(32, 4);
}

const leave: Translate = (e) => {
  const { body } = e;
  e.getReg(32, 5);
  e.access(32, false);
  e.load(32);
  e.setReg(32, 5);
  e.lastAddress();
  body.with(4, OP.i32add);
  e.setReg(32, 4);
};

const cbw: Translate = (e, i) => {
  e.getReg(32, 0);
  signExtend(e, i.width === 32 ? 16 : 8);
  e.setReg(i.width, 0);
};
const cdq: Translate = (e) => {
  e.getReg(32, 0);
  e.body.with(31, OP.i32shrS);
  e.setReg(32, 2);
};

const setcc =
  (cc: number): Translate =>
  (e, i) => {
    const { body } = e;
    e.condition(cc);
    body.set(L_VALUE);
    if (i.isMemory) {
      e.address(i);
      e.access(8, true);
    }
    storeRm(e, i, 8, L_VALUE);
  };

const cmov =
  (cc: number): Translate =>
  (e, i) => {
    const { body } = e;
    pushRm(e, i, i.b, i.width);
    body.set(L_VALUE);
    e.condition(cc);
    body.set(L_OTHER);
    body.get(L_VALUE);
    e.getReg(i.width, i.a);
    body.get(L_OTHER);
    body.op(OP.select);
    e.setReg(i.width, i.a);
  };

// ---------------------------------------------------------------- segment registers

const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];

/** Emits `fast` for the case that the row's guard lets everything through, and the interpreter otherwise. */
function unguarded(e: Emitter, guards: number, fast: () => void): void {
  const { body } = e;
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_GUARDED);
  body.with(guards, OP.i32and);
  e.open('', 'if');
  e.interpretHere();
  body.else();
  fast();
  e.close();
}

/** Pushes a segment selector. */
function pushSelector(e: Emitter, seg: number): void {
  e.body.get(L_BLOCK);
  e.body.memory(LOAD32, BLOCK_SELECTORS + 4 * seg);
}

const pushSegment: Translate = (e, i) => {
  unguarded(e, GUARDED_SENSITIVE, () => emitPush(e, () => pushSelector(e, SEGMENT_NAMES.indexOf(i.row.operands[0]!))));
};

const movFromSegment: Translate = (e, i) => {
  unguarded(e, GUARDED_SENSITIVE, () => {
    if (i.isMemory) {
      e.address(i);
      e.access(16, true);
      e.store(16, () => pushSelector(e, i.b));
    } else {
      pushSelector(e, i.b);
      e.setReg(i.width, i.a);
    }
  });
};

const movToSegment: Translate = (e, i) => {
  pushRm(e, i, i.b, 16);
  e.body.set(L_VALUE);
  loadSegment(e, i.a, () => {});
};

const popSegment: Translate = (e, i) => {
  const { body } = e;
  e.getReg(32, 4);
  e.access(32, false);
  e.load(32);
  body.with(0xffff, OP.i32and);
  body.set(L_VALUE);
  loadSegment(e, SEGMENT_NAMES.indexOf(i.row.operands[0]!), () => {
    e.getReg(32, 4);
    body.with(4, OP.i32add);
    e.setReg(32, 4);
  });
};

/** PUSHAD and POPAD inside one page. */
const pushAll: Translate = (e) => {
  const { body } = e;
  e.getReg(32, 4);
  body.with(32, OP.i32sub);
  e.access(256, true);
  for (let r = 0; r < 8; r++) e.storeAt(28 - 4 * r, () => e.getReg(32, r));
  e.lastAddress();
  e.setReg(32, 4);
};
const popAll: Translate = (e) => {
  const { body } = e;
  e.getReg(32, 4);
  e.access(256, false);
  for (let r = 0; r < 8; r++) {
    if (r === 4) continue;
    e.loadAt(28 - 4 * r);
    e.setReg(32, r);
  }
  e.lastAddress();
  body.with(32, OP.i32add);
  e.setReg(32, 4);
};

/** CLD: does nothing in the usual case that the flag is clear. */
const cld: Translate = (e) => {
  const { body } = e;
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_SYSTEM_FLAGS);
  body.with(FLAG_DF, OP.i32and);
  e.open('', 'if');
  e.interpretHere();
  e.close();
};

/** INVLPG in ring 0; behind it the instruction TLB may lack the page that is being executed. */
const invlpg: Translate = (e, i) => {
  const { body } = e;
  unguarded(e, GUARDED_PRIVILEGED, () => {
    e.address(i);
    body.call(CALL_INVALIDATE);
    e.open('', 'if');
    e.leaveBehind();
    e.close();
  });
};

/** MOV r32,CR2 in ring 0. */
const movFromCr2: Translate = (e, i) => {
  const { body } = e;
  unguarded(e, GUARDED_PRIVILEGED, () => {
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_CR2);
    e.setReg(32, i.a);
  });
};

/** A flat, writable, present, accessed data segment in words of its descriptor, whatever its DPL. */
const FLAT_LOW = 0x0000ffff;
const FLAT_HIGH = 0x00cf9300;
const DPL_BITS = 0x6000;

/**
 * Loads ES, DS, FS or GS from the selector in L_VALUE, then does `commit`: here if the descriptor is flat (or, for FS
 * and GS, the selector null) and in the system bank of the front table; otherwise by the interpreter.
 */
function loadSegment(e: Emitter, seg: number, commit: () => void): void {
  const { body } = e;
  const optional = seg === SEG_FS || seg === SEG_GS;
  const word = (at: number, value: () => void): void => {
    body.get(L_BLOCK);
    value();
    body.memory(STORE32, at);
  };
  const setParts = (base: number, limit: number, attributes: () => void): void => {
    word(BLOCK_SELECTORS + 4 * seg, () => body.get(L_VALUE));
    word(BLOCK_BASES + 4 * seg, () => body.i32(base));
    word(BLOCK_LIMITS + 4 * seg, () => body.i32(limit));
    word(BLOCK_ATTRIBUTES + 4 * seg, attributes);
    if (optional) word(AT_SEGMENTS, () => body.i32(1));
    commit();
    e.br('loaded');
  };
  const giveUpIf = (): void => body.brIf(e.depth('interpreted'));

  e.open('loaded', 'block');
  e.open('interpreted', 'block');
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_GUARDED);
  body.with(GUARDED_SENSITIVE, OP.i32and);
  giveUpIf();
  if (optional) {
    body.get(L_VALUE);
    body.with(0xfffc, OP.i32and);
    body.op(OP.i32eqz);
    e.open('', 'if');
    setParts(0, 0, () => body.i32(0));
    e.close();
  }
  // The descriptor is in the GDT, and its page in the front table.
  body.get(L_VALUE);
  body.with(4, OP.i32and);
  giveUpIf();
  body.get(L_VALUE);
  body.with(0xfff8, OP.i32and);
  body.tee(L_OTHER);
  body.with(7, OP.i32add);
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_GDT_LIMIT);
  body.op(OP.i32gtU);
  giveUpIf();
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_GDT_BASE);
  body.get(L_OTHER);
  body.op(OP.i32add);
  body.tee(L_OTHER);
  body.with(8, OP.i32shrU);
  body.with(0x3ff0, OP.i32and);
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_SYSTEM_FRONT);
  body.op(OP.i32add);
  body.tee(L_EIP);
  body.memory(LOAD32, 0);
  body.get(L_OTHER);
  body.with(7, OP.i32add);
  body.with(~0xfff, OP.i32and);
  body.op(OP.i32ne);
  giveUpIf();
  body.get(L_OTHER);
  body.get(L_EIP);
  body.memory(LOAD32, 8);
  body.op(OP.i32add);
  body.tee(L_OTHER);
  body.memory(LOAD32, 0);
  body.with(FLAT_LOW, OP.i32ne);
  giveUpIf();
  body.get(L_OTHER);
  body.memory(LOAD32, 4);
  body.tee(L_THIRD);
  body.with(~DPL_BITS, OP.i32and);
  body.with(FLAT_HIGH, OP.i32ne);
  giveUpIf();
  // Neither CPL nor RPL is above DPL.
  for (const level of [
    (): void => {
      body.get(L_BLOCK);
      body.memory(LOAD32, AT_CPL);
    },
    (): void => {
      body.get(L_VALUE);
      body.with(3, OP.i32and);
    },
  ]) {
    body.get(L_THIRD);
    body.with(13, OP.i32shrU);
    body.with(3, OP.i32and);
    level();
    body.op(OP.i32ltU);
    giveUpIf();
  }
  setParts(0, -1, () => {
    body.get(L_THIRD);
    body.with(8, OP.i32shrU);
    body.with(0xf0ff, OP.i32and);
  });
  e.close();
  e.interpretHere();
  e.close();
}

// ---------------------------------------------------------------- table

const deferred =
  (base: number) =>
  (i: Insn): number =>
    base + widthIndex(i.width);
const only32 = (i: Insn): boolean => i.width === 32;

const CONTROL_FORM: Translation = { translate: movFromCr2, mayLeave: true };

/** Forms of MOV, PUSH and POP that have a segment register for an operand. */
const SEGMENT_FORMS: Readonly<Record<string, Translation>> = {
  from: { covers: (i) => i.b <= SEG_GS, translate: movFromSegment, mayLeave: true },
  to: { covers: (i) => i.a !== SEG_CS && i.a !== SEG_SS && i.a <= SEG_GS, translate: movToSegment, mayLeave: true },
  push: { covers: only32, translate: pushSegment, mayLeave: true },
  pop: { covers: (i) => i.width === 32 && i.row.operands[0] !== 'SS', translate: popSegment, mayLeave: true },
};

function specialForm(i: Insn): Translation | null {
  const { mnemonic, operands } = i.row;
  if (mnemonic === 'MOV') {
    if (operands[1] === 'Cd') return i.b === 2 ? CONTROL_FORM : null;
    if (operands[0] === 'Sw') return SEGMENT_FORMS['to']!;
    return operands[1] === 'Sw' ? SEGMENT_FORMS['from']! : null;
  }
  if (!SEGMENT_NAMES.includes(operands[0]!)) return null;
  return mnemonic === 'PUSH' ? SEGMENT_FORMS['push']! : mnemonic === 'POP' ? SEGMENT_FORMS['pop']! : null;
}

const TRANSLATIONS: ReadonlyMap<string, Translation> = new Map<string, Translation>([
  ['ADD', { translate: additive(DEFERRED_ADD, OP.i32add, true), flags: deferred(DEFERRED_ADD) }],
  ['SUB', { translate: additive(DEFERRED_SUB, OP.i32sub, true), flags: deferred(DEFERRED_SUB) }],
  ['CMP', { translate: additive(DEFERRED_SUB, OP.i32sub, false), flags: deferred(DEFERRED_SUB) }],
  ['ADC', { translate: withCarry(false), reads: true, flags: () => DEFERRED_NONE }],
  ['SBB', { translate: withCarry(true), reads: true, flags: () => DEFERRED_NONE }],
  ['AND', { translate: logical(OP.i32and, true), flags: () => FLAGS_LOGIC }],
  ['OR', { translate: logical(OP.i32or, true), flags: () => FLAGS_LOGIC }],
  ['XOR', { translate: logical(OP.i32xor, true), flags: () => FLAGS_LOGIC }],
  ['TEST', { translate: logical(OP.i32and, false), flags: () => FLAGS_LOGIC }],
  ['INC', { translate: step(DEFERRED_INC, OP.i32add), reads: true, flags: deferred(DEFERRED_INC) }],
  ['DEC', { translate: step(DEFERRED_DEC, OP.i32sub), reads: true, flags: deferred(DEFERRED_DEC) }],
  ['NOT', { translate: not }],
  ['NEG', { translate: neg, flags: deferred(DEFERRED_SUB) }],
  ['SHL', shift('SHL')],
  ['SHR', shift('SHR')],
  ['SAR', shift('SAR')],
  ['ROL', rotate(true)],
  ['ROR', rotate(false)],
  ['SHLD', doubleShift(true)],
  ['SHRD', doubleShift(false)],
  [
    'IMUL',
    {
      covers: only32,
      translate: (e, i) => (i.row.operands.length === 1 ? multiplyWide(true)(e, i) : imulTwo(e, i)),
      flags: () => DEFERRED_NONE,
    },
  ],
  ['MUL', { covers: only32, translate: multiplyWide(false), flags: () => DEFERRED_NONE }],
  ['DIV', { covers: only32, translate: divide, mayLeave: true }],
  ['IDIV', { covers: only32, translate: divideSigned, mayLeave: true }],
  ['BT', bitTest(null, false)],
  ['BTS', bitTest(OP.i32or, false)],
  ['BTR', bitTest(OP.i32and, true)],
  ['BTC', bitTest(OP.i32xor, false)],
  ['BSF', scan(false)],
  ['BSR', scan(true)],
  ['BSWAP', { covers: only32, translate: bswap }],
  [
    'MOV',
    {
      covers: (i) => !/^[SCD][wd]$/.test(i.row.operands[0]!) && !/^[SCD][wd]$/.test(i.row.operands[1]!),
      translate: mov,
    },
  ],
  ['MOVZX', { translate: extend(false) }],
  ['MOVSX', { translate: extend(true) }],
  ['LEA', { translate: lea }],
  ['XCHG', { translate: xchg }],
  [
    'PUSH',
    {
      covers: (i) => i.width === 32 && /^[ZEI]/.test(i.row.operands[0]!) && i.row.operands[0] !== 'ES',
      translate: push,
      mayLeave: true,
    },
  ],
  ['POP', { covers: (i) => i.width === 32 && i.row.operands[0] === 'Zv', translate: pop, mayLeave: true }],
  ['PUSHA', { covers: only32, translate: pushAll, mayLeave: true }],
  ['POPA', { covers: only32, translate: popAll, mayLeave: true }],
  ['INVLPG', { translate: invlpg, mayLeave: true }],
  ['CLD', { translate: cld, mayLeave: true }],
  ['LEAVE', { covers: only32, translate: leave, mayLeave: true }],
  ['CBW', { translate: cbw }],
  ['CWD', { covers: only32, translate: cdq }],
  ['NOP', { translate: () => {} }],
  ...CONDITION_NAMES.flatMap((name, cc): [string, Translation][] => [
    [`SET${name}`, { translate: setcc(cc), reads: true }],
    [`CMOV${name}`, { translate: cmov(cc), reads: true }],
  ]),
]);

/** How compiled code executes an instruction that does not end a block, or null: the interpreter does it. */
export function translationOf(i: Insn): Translation | null {
  const found = specialForm(i) ?? TRANSLATIONS.get(i.row.mnemonic);
  if (found === undefined || found.covers?.(i) === false) return null;
  if (i.isMemory && i.row.mnemonic !== 'LEA' && i.row.mnemonic !== 'NOP' && !usesFlatSegment(i)) return null;
  return found;
}

/** The static knowledge of the flags behind an instruction. */
export function flagsAfter(i: Insn, before: number): number {
  const found = translationOf(i);
  if (found === null) return keepsFlags(i) ? before : DEFERRED_NONE;
  return found.flags?.(i) ?? before;
}

/** For each instruction of a block: whether somebody may look at the flags that it sets. */
export function neededFlags(insns: readonly Insn[]): boolean[] {
  const needed: boolean[] = [];
  let live = true;
  for (let n = insns.length - 1; n >= 0; n--) {
    const i = insns[n]!;
    needed[n] = live;
    const found = translationOf(i);
    const leaves =
      found === null || found.mayLeave === true || (i.isMemory && !['LEA', 'NOP'].includes(i.row.mnemonic));
    if (leaves || found.reads === true) live = true;
    else if (found.flags !== undefined) live = false;
  }
  return needed;
}

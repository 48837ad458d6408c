/**
 * Addition, subtraction, comparison and logic in compiled code.
 * Invariant: ADD, SUB, CMP, INC, DEC and NEG only record their operands (layout.ts); ADC and SBB, whose flags depend on
 * three values, compute their carry vector at once.
 */
import type { Insn } from '../../insn.ts';
import { type Emitter, FLAGS_LOGIC, L_FIRST, L_OTHER, L_SECOND, L_THIRD, L_VALUE } from '../emitter.ts';
import { DEFERRED_ADD, DEFERRED_DEC, DEFERRED_INC, DEFERRED_NONE, DEFERRED_SUB } from '../layout.ts';
import { OP } from '../wasm.ts';
import {
  deferred,
  formOf,
  L_SCRATCH,
  loadModify,
  mask,
  pushRm,
  signExtend,
  storeRm,
  type Translate,
  type TranslationRow,
} from './translation.ts';

/** Loads both operands into locals; a memory destination is made writable if it will be written. */
function loadOperands(e: Emitter, i: Insn, first: number, second: number, writes: boolean): void {
  const { body } = e;
  const form = formOf(i);
  const { width } = i;
  if (form === 'mr' || form === 'mi') {
    e.accessOperand(i, width, writes);
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
    body.set(L_SCRATCH);
    loadOperands(e, i, L_VALUE, L_OTHER, true);
    body.get(L_VALUE);
    body.get(L_OTHER);
    body.op(isSub ? OP.i32sub : OP.i32add);
    body.get(L_SCRATCH);
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

/** INC and DEC: the carry is kept in the operands of the deferred flags. */
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

/** Two-operand and one-operand arithmetic and logic, all widths. */
export const ARITHMETIC: readonly TranslationRow[] = [
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
];

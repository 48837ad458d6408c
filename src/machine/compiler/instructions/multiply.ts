/**
 * Multiplication and division in compiled code, 32 bits wide, on WebAssembly's 64-bit integers.
 * Invariant: a division that raises an exception (or may trap in WebAssembly) is left to the interpreter before
 * anything has changed.
 */
import { type Emitter, L_FIRST, L_OTHER, L_SECOND, L_THIRD, L_VALUE, L_WIDE, L_WIDE2 } from '../emitter.ts';
import { DEFERRED_NONE } from '../layout.ts';
import { OP } from '../wasm.ts';
import { only32, pushRm, type Translate, type TranslationRow } from './translation.ts';

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

/** Products and quotients. */
export const MULTIPLICATION: readonly TranslationRow[] = [
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
];

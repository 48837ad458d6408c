/**
 * System instructions that kernels execute all the time, in ring 0 and where no VMM intercepts them.
 * Invariant: whatever the row's guard would refuse or pass to a VMM is the interpreter's.
 */
import type { Insn } from '../../insn.ts';
import { CALL_INVALIDATE, L_BLOCK, L_WIDE } from '../emitter.ts';
import { AT_CR2, AT_TSC, GUARDED_INTERCEPTED, GUARDED_PRIVILEGED, GUARDED_TIME } from '../layout.ts';
import { LOAD32, LOAD64, OP } from '../wasm.ts';
import { type Translate, type Translation, type TranslationRow, unguarded } from './translation.ts';

/** INVLPG; behind it the instruction TLB may lack the page that is being executed. */
const invlpg: Translate = (e, i) => {
  const { body } = e;
  unguarded(e, GUARDED_PRIVILEGED, () => {
    e.address(i);
    body.call(CALL_INVALIDATE);
    e.forgetStack();
    e.open('', 'if');
    e.leaveBehind();
    e.close();
  });
};

const movFromCr2: Translate = (e, i) => {
  unguarded(e, GUARDED_PRIVILEGED, () => {
    e.body.get(L_BLOCK);
    e.body.memory(LOAD32, AT_CR2);
    e.setReg(32, i.a);
  });
};

/** RDTSC: time is what the budget says. */
const rdtsc: Translate = (e) => {
  const { body } = e;
  unguarded(e, GUARDED_TIME, () => {
    body.get(L_BLOCK);
    body.memory(LOAD64, AT_TSC);
    e.pushCyclesLeft();
    body.op(OP.i64sub);
    body.tee(L_WIDE);
    body.op(OP.i32wrap);
    e.setReg(32, 0);
    body.get(L_WIDE);
    body.i64(32n);
    body.op(OP.i64shrU);
    body.op(OP.i32wrap);
    e.setReg(32, 2);
  });
};

const pause: Translate = (e) => unguarded(e, GUARDED_INTERCEPTED, () => {});

const FROM_CR2: Translation = { translate: movFromCr2, mayLeave: true };

/** The translation of a MOV from a control register, if it has one. */
export const controlForm = (i: Insn): Translation | null =>
  i.row.mnemonic === 'MOV' && i.row.operands[1] === 'Cd' && i.b === 2 ? FROM_CR2 : null;

export const SYSTEM: readonly TranslationRow[] = [
  ['INVLPG', { translate: invlpg, mayLeave: true }],
  ['RDTSC', { translate: rdtsc, mayLeave: true }],
  ['PAUSE', { translate: pause, mayLeave: true }],
];

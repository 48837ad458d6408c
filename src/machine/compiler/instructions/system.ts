/**
 * System instructions in compiled code: those that kernels execute so often that leaving for the interpreter would show.
 * Invariant: compiled code executes a privileged instruction in ring 0 only, with no guard up; any other case is the
 * interpreter's, faults and intercepts included.
 */
import { FLAG_DF } from '../../flags.ts';
import { CALL_INVALIDATE, L_BLOCK } from '../emitter.ts';
import { AT_CR2, AT_SYSTEM_FLAGS, GUARDED_PRIVILEGED } from '../layout.ts';
import { LOAD32, OP } from '../wasm.ts';
import { type Translate, type Translation, type TranslationRow, unguarded } from './translation.ts';

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

/** MOV from CR2, the only move of a control register that compiled code makes. */
export const CONTROL_FORM: Translation = { translate: movFromCr2, mayLeave: true };

/** The direction flag and the TLB. */
export const SYSTEM: readonly TranslationRow[] = [
  ['CLD', { translate: cld, mayLeave: true }],
  ['INVLPG', { translate: invlpg, mayLeave: true }],
];

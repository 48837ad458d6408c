/**
 * System instructions that kernels execute all the time, in ring 0 and where no VMM intercepts them.
 * Invariant: whatever the row's guard would refuse or pass to a VMM is the interpreter's.
 */
import type { Insn } from '../../insn.ts';
import { CALL_INVALIDATE, L_BLOCK } from '../emitter.ts';
import { AT_CR2, GUARDED_PRIVILEGED } from '../layout.ts';
import { LOAD32 } from '../wasm.ts';
import { type Translate, type Translation, type TranslationRow, unguarded } from './translation.ts';

/** INVLPG; behind it the instruction TLB may lack the page that is being executed. */
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

const movFromCr2: Translate = (e, i) => {
  unguarded(e, GUARDED_PRIVILEGED, () => {
    e.body.get(L_BLOCK);
    e.body.memory(LOAD32, AT_CR2);
    e.setReg(32, i.a);
  });
};

const FROM_CR2: Translation = { translate: movFromCr2, mayLeave: true };

/** The translation of a MOV from a control register, if it has one. */
export const controlForm = (i: Insn): Translation | null =>
  i.row.mnemonic === 'MOV' && i.row.operands[1] === 'Cd' && i.b === 2 ? FROM_CR2 : null;

export const SYSTEM: readonly TranslationRow[] = [['INVLPG', { translate: invlpg, mayLeave: true }]];

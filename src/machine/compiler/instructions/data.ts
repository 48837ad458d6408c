/**
 * Data movement in compiled code: moves, extensions, exchanges, conditional moves and sets, and the direction flag.
 * Invariant: a conditional move reads its source, and may fault, whether or not the condition holds.
 */
import { CONDITION_NAMES, FLAG_DF } from '../../flags.ts';
import { L_BLOCK, L_OTHER, L_VALUE } from '../emitter.ts';
import { AT_SYSTEM_FLAGS } from '../layout.ts';
import { LOAD32, OP } from '../wasm.ts';
import {
  formOf,
  loadModify,
  mask,
  only32,
  pushRm,
  signExtend,
  storeRm,
  type Translate,
  type TranslationRow,
} from './translation.ts';

const mov: Translate = (e, i) => {
  const form = formOf(i);
  const { width } = i;
  const source = (): void => {
    if (form === 'ri' || form === 'mi') e.body.i32(i.imm & mask(width));
    else e.getReg(width, i.b);
  };
  if (form === 'mr' || form === 'mi') {
    e.accessOperand(i, width, true);
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
  e.offset(i);
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
      e.accessOperand(i, 8, true);
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

/** CLD: does nothing in the usual case that the flag is clear. */
const cld: Translate = (e) => {
  const { body } = e;
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_SYSTEM_FLAGS);
  body.with(FLAG_DF, OP.i32and);
  e.open('', 'unlikely');
  e.interpretHere();
  e.close();
};

/** Moves without segment registers, which segments.ts has. */
export const DATA: readonly TranslationRow[] = [
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
  ['CLD', { translate: cld, mayLeave: true }],
  ['CBW', { translate: cbw }],
  ['CWD', { covers: only32, translate: cdq }],
  ['NOP', { translate: () => {} }],
  ...CONDITION_NAMES.flatMap((name, cc): TranslationRow[] => [
    [`SET${name}`, { translate: setcc(cc), reads: true }],
    [`CMOV${name}`, { translate: cmov(cc), reads: true }],
  ]),
];

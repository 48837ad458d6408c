/**
 * The stack in compiled code: 32-bit pushes and pops on the flat stack segment.
 * Invariant: ESP moves only after the access that may fail.
 */
import { type Emitter, L_VALUE } from '../emitter.ts';
import { OP } from '../wasm.ts';
import { only32, pushRm, type Translate, type TranslationRow } from './translation.ts';

/** Makes the word below the stack writable; ESP is moved by commitPush(). */
function accessPush(e: Emitter): void {
  e.getReg(32, 4);
  e.body.with(4, OP.i32sub);
  e.accessStack(32, true);
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
  e.accessStack(32, false);
  e.load(32);
  e.lastAddress();
  body.with(4 + extra, OP.i32add);
  e.setReg(32, 4);
}

const leave: Translate = (e) => {
  const { body } = e;
  e.getReg(32, 5);
  e.accessStack(32, false);
  e.load(32);
  e.setReg(32, 5);
  e.lastAddress();
  body.with(4, OP.i32add);
  e.setReg(32, 4);
};

/** PUSHAD and POPAD inside one page. */
const pushAll: Translate = (e) => {
  const { body } = e;
  e.getReg(32, 4);
  body.with(32, OP.i32sub);
  e.accessStack(256, true);
  for (let r = 0; r < 8; r++) e.storeAt(28 - 4 * r, () => e.getReg(32, r));
  e.lastAddress();
  e.setReg(32, 4);
};

const popAll: Translate = (e) => {
  const { body } = e;
  e.getReg(32, 4);
  e.accessStack(256, false);
  for (let r = 0; r < 8; r++) {
    if (r === 4) continue;
    e.loadAt(28 - 4 * r);
    e.setReg(32, r);
  }
  e.lastAddress();
  body.with(32, OP.i32add);
  e.setReg(32, 4);
};

/** Pushes and pops without segment registers, which segments.ts has. */
export const STACK: readonly TranslationRow[] = [
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
  ['LEAVE', { covers: only32, translate: leave, mayLeave: true }],
];

/**
 * Single bits in compiled code: bit tests, scans, and the byte order.
 * Invariant: a bit test in memory whose bit number is in a register (which may address any byte) is the interpreter's.
 */
import { FLAGS_LOGIC, L_OTHER, L_SECOND, L_VALUE } from '../emitter.ts';
import { DEFERRED_NONE } from '../layout.ts';
import { OP } from '../wasm.ts';
import {
  loadModify,
  materialize,
  only32,
  pushRm,
  storeRm,
  type Translate,
  type Translation,
  type TranslationRow,
} from './translation.ts';

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
    covers: only32,
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

/** Bit tests, scans and BSWAP. */
export const BITS: readonly TranslationRow[] = [
  ['BT', bitTest(null, false)],
  ['BTS', bitTest(OP.i32or, false)],
  ['BTR', bitTest(OP.i32and, true)],
  ['BTC', bitTest(OP.i32xor, false)],
  ['BSF', scan(false)],
  ['BSR', scan(true)],
  ['BSWAP', { covers: only32, translate: bswap }],
];

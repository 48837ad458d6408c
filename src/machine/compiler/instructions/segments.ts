/**
 * Segment registers in compiled code: reading selectors, and loading flat data segments, which kernels do on every entry.
 * Invariants: compiled code runs with flat segments only, so a load of anything else is the interpreter's; an access
 * to the GDT that misses the front table is too, so that the modelled TLB sees the same accesses under both engines.
 */
import { BLOCK_ATTRIBUTES, BLOCK_BASES, BLOCK_LIMITS, BLOCK_SELECTORS } from '../../cpu-core.ts';
import { SEG_CS, SEG_FS, SEG_GS, SEG_SS } from '../../insn.ts';
import type { Row } from '../../isa/row.ts';
import { type Emitter, L_BLOCK, L_OTHER, L_THIRD, L_VALUE } from '../emitter.ts';
import {
  AT_BASED,
  AT_CPL,
  AT_GDT_BASE,
  AT_GDT_LIMIT,
  AT_GUARDED,
  AT_SEGMENTS,
  AT_SYSTEM_FRONT,
  GUARDED_SENSITIVE,
} from '../layout.ts';
import { LOAD32, OP, STORE32 } from '../wasm.ts';
import { emitPush } from './stack.ts';
import { L_SCRATCH, only32, pushRm, type Translate, type Translation, unguarded } from './translation.ts';

const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];

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
      e.accessOperand(i, 16, true);
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
  e.accessStack(32, false);
  e.load(32);
  body.with(0xffff, OP.i32and);
  body.set(L_VALUE);
  loadSegment(e, SEGMENT_NAMES.indexOf(i.row.operands[0]!), () => {
    e.getReg(32, 4);
    body.with(4, OP.i32add);
    e.setReg(32, 4);
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
    if (optional) {
      word(AT_SEGMENTS, () => body.i32(1));
      const bit = 1 << (seg - SEG_FS);
      word(AT_BASED, () => {
        body.get(L_BLOCK);
        body.memory(LOAD32, AT_BASED);
        body.with(limit === 0 ? ~bit : bit, limit === 0 ? OP.i32and : OP.i32or);
      });
    }
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
  body.tee(L_SCRATCH);
  body.memory(LOAD32, 0);
  body.get(L_OTHER);
  body.with(7, OP.i32add);
  body.with(~0xfff, OP.i32and);
  body.op(OP.i32ne);
  giveUpIf();
  body.get(L_OTHER);
  body.get(L_SCRATCH);
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

/** Forms of MOV, PUSH and POP that have a segment register for an operand. */
const SEGMENT_FORMS: Readonly<Record<string, Translation>> = {
  from: { covers: (i) => i.b <= SEG_GS, translate: movFromSegment, mayLeave: true },
  to: { covers: (i) => i.a !== SEG_CS && i.a !== SEG_SS && i.a <= SEG_GS, translate: movToSegment, mayLeave: true },
  push: { covers: only32, translate: pushSegment, mayLeave: true },
  pop: { covers: (i) => i.width === 32 && i.row.operands[0] !== 'SS', translate: popSegment, mayLeave: true },
};

/** The translation of a form with a segment register for an operand; null: the row has none. */
export function segmentForm({ mnemonic, operands }: Row): Translation | null {
  if (mnemonic === 'MOV') {
    if (operands[0] === 'Sw') return SEGMENT_FORMS['to']!;
    return operands[1] === 'Sw' ? SEGMENT_FORMS['from']! : null;
  }
  if (!SEGMENT_NAMES.includes(operands[0]!)) return null;
  return mnemonic === 'PUSH' ? SEGMENT_FORMS['push']! : mnemonic === 'POP' ? SEGMENT_FORMS['pop']! : null;
}

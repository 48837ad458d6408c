/**
 * SSE and SSE2 without arithmetic: moves, shuffles and logic of floats, the state of the unit, fences and caches.
 * Invariants: those of vector-base.ts; a state is stored whole or not at all.
 * Source: SDM vol 2, each instruction; FXSAVE: tables 3-43 and 3-46. Caches are not modelled, so what only steers them
 * does what is left of it.
 */
import type { Cpu } from '../cpu.ts';
import { VECTOR_GP, VECTOR_NM } from '../exits.ts';
import type { Fpu } from '../fpu/fpu.ts';
import { type Lanes, MXCSR_WRITABLE } from '../fpu/vector.ts';
import type { Handler } from '../insn.ts';
import { CR0_EM, CR0_TS } from '../paging.ts';
import { ATTR_CODE, ATTR_PRESENT } from '../segments.ts';
import { bitAnd, bitAndNot, bitOr, bitXor, loadXmm, packedOnXmm, storeXmm, unpackElements } from './mmx.ts';
import { type Row, row } from './row.ts';
import { readMemory, readSource, requireAligned, vectorReady, vectorRow, writeMemory } from './vector-base.ts';

// ---------------------------------------------------------------- moves

/** MOVSS, MOVSD: a load clears the rest of the register, a move between registers keeps it. */
const loadScalar =
  (words: number): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    if (i.isMemory) {
      v.b.i32.fill(0);
      readMemory(c, i, v.b, 4 * words, false);
      v.store(i.a, v.b, 4);
    } else {
      v.load(i.b, v.b);
      v.store(i.a, v.b, words);
    }
  };
const storeScalar =
  (words: number): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    v.load(i.b, v.b);
    if (i.isMemory) writeMemory(c, i, v.b, 4 * words, false);
    else v.store(i.a, v.b, words);
  };
/** Half `to` of register a = 8 bytes of memory, or half `from` of register b. */
const loadHalf =
  (to: 0 | 2, from: 0 | 2): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    v.load(i.a, v.a);
    if (i.isMemory) readMemory(c, i, v.b, 8, false);
    else v.load(i.b, v.b);
    const at = i.isMemory ? 0 : from;
    v.a.i32[to] = v.b.i32[at]!;
    v.a.i32[to + 1] = v.b.i32[at + 1]!;
    v.store(i.a, v.a, 4);
  };
const storeHalf =
  (from: 0 | 2): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    v.b.i32[0] = v.xmm[4 * i.b + from]!;
    v.b.i32[1] = v.xmm[4 * i.b + from + 1]!;
    writeMemory(c, i, v.b, 8, false);
  };
const movmskps: Handler = (c, i) => {
  const { xmm } = vectorReady(c);
  let mask = 0;
  for (let n = 0; n < 4; n++) mask |= (xmm[4 * i.b + n]! >>> 31) << n;
  c.regs[i.a] = mask;
};
const movmskpd: Handler = (c, i) => {
  const { xmm } = vectorReady(c);
  c.regs[i.a] = (xmm[4 * i.b + 1]! >>> 31) | ((xmm[4 * i.b + 3]! >>> 31) << 1);
};

const shuffled =
  (op: (a: Lanes, b: Lanes, order: number) => void): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    readSource(c, i, v);
    v.load(i.a, v.a);
    op(v.a, v.b, i.imm);
    v.store(i.a, v.a, 4);
  };
const shufps = shuffled((a, b, order) => {
  const [first, second] = [a.i32[order & 3]!, a.i32[(order >> 2) & 3]!];
  a.i32[2] = b.i32[(order >> 4) & 3]!;
  a.i32[3] = b.i32[(order >> 6) & 3]!;
  a.i32[0] = first;
  a.i32[1] = second;
});
const shufpd = shuffled((a, b, order) => {
  const first = 2 * (order & 1);
  const second = order & 2;
  a.i32[0] = a.i32[first]!;
  a.i32[1] = a.i32[first + 1]!;
  a.i32[2] = b.i32[second]!;
  a.i32[3] = b.i32[second + 1]!;
});

// ---------------------------------------------------------------- state

function loadControl(c: Cpu, value: number): void {
  if ((value & ~MXCSR_WRITABLE) !== 0) c.raise(VECTOR_GP, 0);
  c.fpu.vector.mxcsr = value;
}
const ldmxcsr: Handler = (c, i) => {
  vectorReady(c);
  loadControl(c, c.read32(c.readAddress(i, 4)));
};
const stmxcsr: Handler = (c, i) => {
  const v = vectorReady(c);
  c.write32(c.writeAddress(i, 4), v.mxcsr);
};

/** Bytes of the FXSAVE image, and the part of it that is used outside 64-bit mode. */
const STATE_BYTES = 512;
const REGISTERS_AT = 32;
const XMM_AT = 160;

/** The unit may be saved or loaded, whatever is pending. */
function stateReady(c: Cpu): Fpu {
  if ((c.cr0 & (CR0_EM | CR0_TS)) !== 0) c.raise(VECTOR_NM);
  return c.fpu;
}
const fxsave: Handler = (c, i) => {
  const f = stateReady(c);
  const lin = c.writeAddress(i, STATE_BYTES);
  requireAligned(c, i);
  c.prepareWrite(lin, 16);
  c.prepareWrite((lin + STATE_BYTES - 16) | 0, 16);
  const put = (at: number, value: number): void => c.write32((lin + at) | 0, value);
  put(0, f.controlWord | (f.statusWord << 16));
  put(4, (~f.empty & 0xff) | (f.opcode << 16));
  put(8, f.instructionOffset);
  put(12, f.instructionSelector);
  put(16, f.dataOffset);
  put(20, f.dataSelector);
  put(24, f.vector.mxcsr);
  put(28, MXCSR_WRITABLE);
  for (let n = 0; n < 8; n++) {
    const physical = (f.top + n) & 7;
    const at = REGISTERS_AT + 16 * n;
    put(at, f.low[physical]!);
    put(at + 4, f.high[physical]!);
    put(at + 8, f.signExp[physical]! & 0xffff);
    put(at + 12, 0);
  }
  for (let n = 0; n < 32; n++) put(XMM_AT + 4 * n, f.vector.xmm[n]!);
};

const fxrstor: Handler = (c, i) => {
  const f = stateReady(c);
  requireAligned(c, i);
  const lin = c.readAddress(i, STATE_BYTES);
  const words = Array.from({ length: STATE_BYTES >> 2 }, (_, n) => c.read32((lin + 4 * n) | 0));
  const word = (at: number): number => words[at >> 2]!;
  loadControl(c, word(24));
  f.controlWord = word(0);
  f.statusWord = word(0) >>> 16;
  f.empty = ~word(4) & 0xff;
  f.opcode = (word(4) >>> 16) & 0x7ff;
  f.instructionOffset = word(8);
  f.instructionSelector = word(12) & 0xffff;
  f.dataOffset = word(16);
  f.dataSelector = word(20) & 0xffff;
  for (let n = 0; n < 8; n++) {
    const physical = (f.top + n) & 7;
    const at = REGISTERS_AT + 16 * n;
    f.low[physical] = word(at);
    f.high[physical] = word(at + 4);
    f.signExp[physical] = word(at + 8) & 0xffff;
  }
  for (let n = 0; n < 32; n++) f.vector.xmm[n] = word(XMM_AT + 4 * n);
};

// ---------------------------------------------------------------- caches

const fence: Handler = () => {};
/** A line is flushed as it would be read, but that code segments need not be readable (SDM vol 2, CLFLUSH). */
const clflush: Handler = (c, i) => {
  const offset = c.offset(i);
  const isCode = (c.segAttributes[i.seg]! & (ATTR_PRESENT | ATTR_CODE)) === (ATTR_PRESENT | ATTR_CODE);
  if (isCode && offset >>> 0 > c.segLimit[i.seg]! >>> 0) c.raise(VECTOR_GP, 0);
  c.read8(isCode ? (c.segBase[i.seg]! + offset) | 0 : c.readAddress(i, 1));
};

// ---------------------------------------------------------------- rows

/** The same instruction on 32-bit and, with a 66 prefix, on 64-bit floats. */
const both = (code: string, name: string, operands: string, handler: Handler, stores = false): Row[] =>
  (
    [
      ['NP', 'PS'],
      ['66', 'PD'],
    ] as const
  ).map(([prefix, suffix]) =>
    vectorRow(`${prefix} 0F ${code}`, name + suffix, operands, handler, 'simple', stores ? 'store' : undefined),
  );

export const sseRows: readonly Row[] = [
  ...both('10', 'MOVU', 'Vdq,Wdq', loadXmm(false)),
  ...both('11', 'MOVU', 'Wdq,Vdq', storeXmm(false), true),
  ...both('28', 'MOVA', 'Vdq,Wdq', loadXmm(true)),
  ...both('29', 'MOVA', 'Wdq,Vdq', storeXmm(true), true),
  ...both('2B', 'MOVNT', 'Mdq,Vdq', storeXmm(true), true),
  vectorRow('F3 0F 10', 'MOVSS', 'Vd,Wd', loadScalar(1)),
  vectorRow('F3 0F 11', 'MOVSS', 'Wd,Vd', storeScalar(1), 'simple', 'store'),
  vectorRow('F2 0F 10', 'MOVSD', 'Vq,Wq', loadScalar(2)),
  vectorRow('F2 0F 11', 'MOVSD', 'Wq,Vq', storeScalar(2), 'simple', 'store'),
  vectorRow('NP 0F 12', 'MOVLPS', 'Vq,Mq', loadHalf(0, 2)),
  vectorRow('NP 0F 12', 'MOVHLPS', 'Vq,Uq', loadHalf(0, 2)),
  vectorRow('66 0F 12', 'MOVLPD', 'Vq,Mq', loadHalf(0, 2)),
  ...both('13', 'MOVL', 'Mq,Vq', storeHalf(0), true),
  vectorRow('NP 0F 16', 'MOVHPS', 'Vq,Mq', loadHalf(2, 0)),
  vectorRow('NP 0F 16', 'MOVLHPS', 'Vq,Uq', loadHalf(2, 0)),
  vectorRow('66 0F 16', 'MOVHPD', 'Vq,Mq', loadHalf(2, 0)),
  ...both('17', 'MOVH', 'Mq,Vq', storeHalf(2), true),
  vectorRow('NP 0F 50', 'MOVMSKPS', 'Gd,Udq', movmskps),
  vectorRow('66 0F 50', 'MOVMSKPD', 'Gd,Udq', movmskpd),
  vectorRow('NP 0F 14', 'UNPCKLPS', 'Vdq,Wdq', packedOnXmm(unpackElements(4, false))),
  vectorRow('66 0F 14', 'UNPCKLPD', 'Vdq,Wdq', packedOnXmm(unpackElements(8, false))),
  vectorRow('NP 0F 15', 'UNPCKHPS', 'Vdq,Wdq', packedOnXmm(unpackElements(4, true))),
  vectorRow('66 0F 15', 'UNPCKHPD', 'Vdq,Wdq', packedOnXmm(unpackElements(8, true))),
  vectorRow('NP 0F C6', 'SHUFPS', 'Vdq,Wdq,Ib', shufps),
  vectorRow('66 0F C6', 'SHUFPD', 'Vdq,Wdq,Ib', shufpd),
  ...both('54', 'AND', 'Vdq,Wdq', packedOnXmm(bitAnd)),
  ...both('55', 'ANDN', 'Vdq,Wdq', packedOnXmm(bitAndNot)),
  ...both('56', 'OR', 'Vdq,Wdq', packedOnXmm(bitOr)),
  ...both('57', 'XOR', 'Vdq,Wdq', packedOnXmm(bitXor)),
  row('NP 0F AE /0', 'FXSAVE', 'Mf', 'float-state', () => fxsave),
  row('NP 0F AE /1', 'FXRSTOR', 'Mf', 'float-state', () => fxrstor),
  vectorRow('NP 0F AE /2', 'LDMXCSR', 'Md', ldmxcsr, 'control'),
  vectorRow('NP 0F AE /3', 'STMXCSR', 'Md', stmxcsr, 'store'),
  vectorRow('NP 0F AE /7', 'CLFLUSH', 'Mb', clflush, 'load'),
  vectorRow('NP 0F AE E8+i', 'LFENCE', '', fence),
  vectorRow('NP 0F AE F0+i', 'MFENCE', '', fence),
  vectorRow('NP 0F AE F8+i', 'SFENCE', '', fence),
];

/**
 * Packed integers: MMX, its extensions by SSE and SSE2, and the same operations on XMM registers.
 * Invariant: an operation works in place on its first operand; the same function serves 8 and 16 bytes.
 * Source: SDM vol 2, each instruction.
 */
import type { CostClass } from '../costs.ts';
import type { Cpu } from '../cpu.ts';
import type { Lanes } from '../fpu/vector.ts';
import type { Handler, Insn } from '../insn.ts';
import { type Builder, type Row, row } from './row.ts';
import {
  loadMmx,
  mmxReady,
  readMemory,
  readMmxSource,
  readSource,
  storeMmx,
  vectorReady,
  vectorRow,
  writeMemory,
} from './vector-base.ts';

/** a = a op b over `bytes` bytes. */
type Operation = (a: Lanes, b: Lanes, bytes: number) => void;
type View = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32';

/** Element by element. */
const each =
  (view: View, op: (x: number, y: number) => number): Operation =>
  (a, b, bytes) => {
    const to = a[view];
    const from = b[view];
    const count = bytes / to.BYTES_PER_ELEMENT;
    for (let n = 0; n < count; n++) to[n] = op(to[n]!, from[n]!);
  };

// ---------------------------------------------------------------- arithmetic and comparison

const clamp = (value: number, least: number, most: number): number =>
  value < least ? least : value > most ? most : value;
const clampI8 = (value: number): number => clamp(value, -128, 127);
const clampI16 = (value: number): number => clamp(value, -32768, 32767);
const clampU8 = (value: number): number => clamp(value, 0, 255);
const clampU16 = (value: number): number => clamp(value, 0, 65535);

const plus = (x: number, y: number): number => x + y;
const minus = (x: number, y: number): number => x - y;
const equal = (x: number, y: number): number => (x === y ? -1 : 0);
const greater = (x: number, y: number): number => (x > y ? -1 : 0);
const average = (x: number, y: number): number => (x + y + 1) >> 1;
const smaller = (x: number, y: number): number => (x < y ? x : y);
const larger = (x: number, y: number): number => (x > y ? x : y);
const upperProduct = (x: number, y: number): number => Math.imul(x, y) >>> 16;

/** Adds, or with `sign` -1 subtracts, 64-bit elements. */
const quadwords =
  (sign: 1 | -1): Operation =>
  (a, b, bytes) => {
    for (let n = 0; n < bytes >> 2; n += 2) {
      const low = a.u32[n]! + sign * b.u32[n]!;
      a.i32[n] = low;
      a.i32[n + 1] = a.i32[n + 1]! + sign * b.i32[n + 1]! + Math.floor(low / 4294967296);
    }
  };

/** Products of the even 32-bit elements. */
const multiplyQuadwords: Operation = (a, b, bytes) => {
  for (let n = 0; n < bytes >> 2; n += 2) {
    const product = BigInt(a.u32[n]!) * BigInt(b.u32[n]!);
    a.i32[n] = Number(BigInt.asIntN(32, product));
    a.i32[n + 1] = Number(BigInt.asIntN(32, product >> 32n));
  }
};

/** Sums of neighbouring products; -32768 four times wraps, as it does on the real CPU. */
const multiplyAdd: Operation = (a, b, bytes) => {
  for (let n = 0; n < bytes >> 2; n++) {
    a.i32[n] = a.i16[2 * n]! * b.i16[2 * n]! + a.i16[2 * n + 1]! * b.i16[2 * n + 1]!;
  }
};

/** Sums of absolute differences, one for each eight bytes. */
const sumOfDifferences: Operation = (a, b, bytes) => {
  for (let at = 0; at < bytes; at += 8) {
    let sum = 0;
    for (let n = at; n < at + 8; n++) sum += Math.abs(a.u8[n]! - b.u8[n]!);
    a.i32[at >> 2] = sum;
    a.i32[(at >> 2) + 1] = 0;
  }
};

// ---------------------------------------------------------------- packing

/** Narrows the elements of a, then those of b. */
const pack =
  (from: 'i16' | 'i32', to: 'i8' | 'u8' | 'i16', narrow: (value: number) => number): Operation =>
  (a, b, bytes) => {
    const half = bytes / a[from].BYTES_PER_ELEMENT;
    for (let n = 0; n < half; n++) a[to][n] = narrow(a[from][n]!);
    for (let n = 0; n < half; n++) a[to][half + n] = narrow(b[from][n]!);
  };

/** Interleaves the lower (or upper) halves of a and b, in elements of `size` bytes. */
const unpack =
  (size: number, upper: boolean): Operation =>
  (a, b, bytes) => {
    const half = bytes >> 1;
    const start = upper ? half : 0;
    const from = a.u8.slice(start, start + half);
    for (let at = 0; at < half; at += size) {
      for (let n = 0; n < size; n++) {
        // Behind what is still to be read of b: they are different lanes.
        a.u8[2 * at + n] = from[at + n]!;
        a.u8[2 * at + size + n] = b.u8[start + at + n]!;
      }
    }
  };

// ---------------------------------------------------------------- shifts

type Shift = (a: Lanes, count: number, bytes: number) => void;

const shiftWords =
  (view: View, bits: number, op: (x: number, count: number) => number): Shift =>
  (a, count, bytes) => {
    const lanes = a[view];
    for (let n = 0; n < (bytes * 8) / bits; n++) lanes[n] = count < bits ? op(lanes[n]!, count) : 0;
  };
/** Arithmetic shifts fill with the sign, however far. */
const shiftSigned =
  (view: View, bits: number): Shift =>
  (a, count, bytes) => {
    const lanes = a[view];
    for (let n = 0; n < (bytes * 8) / bits; n++) lanes[n] = lanes[n]! >> Math.min(count, bits - 1);
  };
const left = (x: number, count: number): number => x << count;
const right = (x: number, count: number): number => x >>> count;

const shiftQuadwords =
  (toLeft: boolean): Shift =>
  (a, count, bytes) => {
    for (let n = 0; n < bytes >> 2; n += 2) {
      const value = (BigInt(a.u32[n + 1]!) << 32n) | BigInt(a.u32[n]!);
      const shifted = count > 63 ? 0n : toLeft ? value << BigInt(count) : value >> BigInt(count);
      a.i32[n] = Number(BigInt.asIntN(32, shifted));
      a.i32[n + 1] = Number(BigInt.asIntN(32, shifted >> 32n));
    }
  };

/** PSLLDQ and PSRLDQ: the whole register, by bytes. */
const shiftBytes =
  (toLeft: boolean): Shift =>
  (a, count) => {
    const by = Math.min(count, 16);
    const from = a.u8.slice();
    for (let n = 0; n < 16; n++) a.u8[n] = from[toLeft ? n - by : n + by] ?? 0;
  };

/** The count is the lower half of the operand; more than 32 bits of it only mean "far too much". */
const byOperand =
  (shift: Shift): Operation =>
  (a, b, bytes) =>
    shift(a, b.i32[1] !== 0 ? 255 : Math.min(b.u32[0]!, 255), bytes);

// ---------------------------------------------------------------- handlers

/** MMX register = register op register or memory. */
const onMmx =
  (op: Operation, bytes = 8): Handler =>
  (c, i) => {
    const f = mmxReady(c);
    const { a, b } = f.vector;
    readMmxSource(c, i, f, bytes);
    f.enterMmx();
    loadMmx(f, i.a, a);
    op(a, b, 8);
    storeMmx(f, i.a, a);
  };
const onXmm =
  (op: Operation): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    readSource(c, i, v);
    v.load(i.a, v.a);
    op(v.a, v.b, 16);
    v.store(i.a, v.a, 4);
  };
/** The same with an immediate that says which element goes where. */
const shuffle =
  (op: (from: Lanes, to: Lanes, order: number) => void): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    readSource(c, i, v);
    op(v.b, v.a, i.imm);
    v.store(i.a, v.a, 4);
  };
const shiftMmx =
  (shift: Shift): Handler =>
  (c, i) => {
    const f = mmxReady(c);
    const { a } = f.vector;
    f.enterMmx();
    loadMmx(f, i.a, a);
    shift(a, i.imm & 0xff, 8);
    storeMmx(f, i.a, a);
  };
const shiftXmm =
  (shift: Shift): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    v.load(i.a, v.a);
    shift(v.a, i.imm & 0xff, 16);
    v.store(i.a, v.a, 4);
  };

/** Four words from `at` on, each picked by two bits of `order`. */
function shuffleWords(from: Lanes, to: Lanes, at: number, order: number): void {
  for (let n = 0; n < 4; n++) to.u16[at + n] = from.u16[at + ((order >> (2 * n)) & 3)]!;
}
const copyHalf = (from: Lanes, to: Lanes, at: number): void => {
  to.i32[at] = from.i32[at]!;
  to.i32[at + 1] = from.i32[at + 1]!;
};
const pshufd = shuffle((from, to, order) => {
  for (let n = 0; n < 4; n++) to.i32[n] = from.i32[(order >> (2 * n)) & 3]!;
});
const pshuflw = shuffle((from, to, order) => {
  shuffleWords(from, to, 0, order);
  copyHalf(from, to, 2);
});
const pshufhw = shuffle((from, to, order) => {
  copyHalf(from, to, 0);
  shuffleWords(from, to, 4, order);
});
const pshufw: Handler = (c, i) => {
  const f = mmxReady(c);
  const { a, b } = f.vector;
  readMmxSource(c, i, f);
  f.enterMmx();
  shuffleWords(b, a, 0, i.imm);
  storeMmx(f, i.a, a);
};

const word = (c: Cpu, i: Insn): number => (i.isMemory ? c.read16(c.readAddress(i, 2)) : c.regs16[i.b]!);
const pinsrwMmx: Handler = (c, i) => {
  const f = mmxReady(c);
  const value = word(c, i);
  const { a } = f.vector;
  f.enterMmx();
  loadMmx(f, i.a, a);
  a.u16[i.imm & 3] = value;
  storeMmx(f, i.a, a);
};
const pinsrwXmm: Handler = (c, i) => {
  const v = vectorReady(c);
  const value = word(c, i);
  v.load(i.a, v.a);
  v.a.u16[i.imm & 7] = value;
  v.store(i.a, v.a, 4);
};
const pextrwMmx: Handler = (c, i) => {
  const f = mmxReady(c);
  f.enterMmx();
  loadMmx(f, i.b, f.vector.b);
  c.regs[i.a] = f.vector.b.u16[i.imm & 3]!;
};
const pextrwXmm: Handler = (c, i) => {
  const v = vectorReady(c);
  v.load(i.b, v.b);
  c.regs[i.a] = v.b.u16[i.imm & 7]!;
};

/** The sign bits of all bytes. */
function signs(lanes: Lanes, bytes: number): number {
  let mask = 0;
  for (let n = 0; n < bytes; n++) mask |= (lanes.u8[n]! >> 7) << n;
  return mask;
}
const pmovmskbMmx: Handler = (c, i) => {
  const f = mmxReady(c);
  f.enterMmx();
  loadMmx(f, i.b, f.vector.b);
  c.regs[i.a] = signs(f.vector.b, 8);
};
const pmovmskbXmm: Handler = (c, i) => {
  const v = vectorReady(c);
  v.load(i.b, v.b);
  c.regs[i.a] = signs(v.b, 16);
};

// ---------------------------------------------------------------- moves

const movdToMmx: Handler = (c, i) => {
  const f = mmxReady(c);
  const value = i.isMemory ? c.read32(c.readAddress(i, 4)) : c.regs[i.b]!;
  f.enterMmx();
  f.storeMmx(i.a, 0, value);
};
const movdFromMmx: Handler = (c, i) => {
  const f = mmxReady(c);
  const value = f.low[i.b]!;
  if (i.isMemory) c.write32(c.writeAddress(i, 4), value);
  else c.regs[i.a] = value;
  f.enterMmx();
};
const movqToMmx: Handler = (c, i) => {
  const f = mmxReady(c);
  readMmxSource(c, i, f);
  f.enterMmx();
  storeMmx(f, i.a, f.vector.b);
};
/** To memory or to another register. */
const movqFromMmx: Handler = (c, i) => {
  const f = mmxReady(c);
  loadMmx(f, i.b, f.vector.b);
  if (i.isMemory) writeMemory(c, i, f.vector.b, 8, false);
  else storeMmx(f, i.a, f.vector.b);
  f.enterMmx();
};
const maskmovq: Handler = (c, i) => {
  const f = mmxReady(c);
  const { a, b } = f.vector;
  loadMmx(f, i.a, a);
  loadMmx(f, i.b, b);
  writeMasked(c, i, a, b, 8);
  f.enterMmx();
};
const maskmovdqu: Handler = (c, i) => {
  const v = vectorReady(c);
  v.load(i.a, v.a);
  v.load(i.b, v.b);
  writeMasked(c, i, v.a, v.b, 16);
};

const EDI = 7;
/** The operand in memory is not in ModRM. */
const atEdi =
  (handler: Handler): Builder =>
  (insn) => {
    insn.base = EDI;
    return handler;
  };

/** Stores at DS:EDI those bytes of `data` whose mask byte is negative. */
function writeMasked(c: Cpu, i: Insn, data: Lanes, mask: Lanes, bytes: number): void {
  const marked = signs(mask, bytes);
  // An empty mask may or may not be checked for faults (SDM vol 2, MASKMOVQ): it is not.
  if (marked === 0) return;
  const lin = c.writeAddress(i, bytes);
  // The whole operand is, whatever its mask.
  c.checkAligned(lin, 8);
  c.prepareWrite(lin, 1);
  const lastPage = (lin + bytes - 1) & ~0xfff;
  if (lastPage !== (lin & ~0xfff)) c.prepareWrite(lastPage, 1);
  for (let n = 0; n < bytes; n++) if (((marked >> n) & 1) !== 0) c.write8((lin + n) | 0, data.u8[n]!);
}

const emms: Handler = (c) => {
  const f = mmxReady(c);
  f.top = 0;
  f.empty = 0xff;
};

const movdToXmm: Handler = (c, i) => {
  const v = vectorReady(c);
  v.b.i32.fill(0);
  v.b.i32[0] = i.isMemory ? c.read32(c.readAddress(i, 4)) : c.regs[i.b]!;
  v.store(i.a, v.b, 4);
};
const movdFromXmm: Handler = (c, i) => {
  const value = vectorReady(c).xmm[4 * i.b]!;
  if (i.isMemory) c.write32(c.writeAddress(i, 4), value);
  else c.regs[i.a] = value;
};
const movqToXmm: Handler = (c, i) => {
  const v = vectorReady(c);
  readSource(c, i, v, 8);
  v.b.i32.fill(0, 2);
  v.store(i.a, v.b, 4);
};
const movqFromXmm: Handler = (c, i) => {
  const v = vectorReady(c);
  v.load(i.b, v.b);
  v.b.i32.fill(0, 2);
  if (i.isMemory) writeMemory(c, i, v.b, 8, false);
  else v.store(i.a, v.b, 4);
};
const movq2dq: Handler = (c, i) => {
  vectorReady(c);
  const f = mmxReady(c);
  const { vector: v } = f;
  f.enterMmx();
  v.b.i32.fill(0);
  loadMmx(f, i.b, v.b);
  v.store(i.a, v.b, 4);
};
const movdq2q: Handler = (c, i) => {
  const v = vectorReady(c);
  const f = mmxReady(c);
  f.enterMmx();
  v.load(i.b, v.b);
  storeMmx(f, i.a, v.b);
};
/** Between XMM registers and 16 bytes of memory. */
export const loadXmm =
  (aligned: boolean): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    if (i.isMemory) readMemory(c, i, v.b, 16, aligned);
    else v.load(i.b, v.b);
    v.store(i.a, v.b, 4);
  };
export const storeXmm =
  (aligned: boolean): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    v.load(i.b, v.b);
    if (i.isMemory) writeMemory(c, i, v.b, 16, aligned);
    else v.store(i.a, v.b, 4);
  };
const movnti: Handler = (c, i) => c.write32(c.writeAddress(i, 4), c.regs[i.b]!);

// ---------------------------------------------------------------- rows

export const bitAnd: Operation = each('i32', (x, y) => x & y);
export const bitAndNot: Operation = each('i32', (x, y) => ~x & y);
export const bitOr: Operation = each('i32', (x, y) => x | y);
export const bitXor: Operation = each('i32', (x, y) => x ^ y);
export const packedOnXmm = onXmm;
export const unpackElements = unpack;

/** Operations that MMX has, and XMM registers with a 66 prefix. */
const BOTH: readonly (readonly [code: string, name: string, op: Operation, cost?: CostClass])[] = [
  ['63', 'PACKSSWB', pack('i16', 'i8', clampI8)],
  ['64', 'PCMPGTB', each('i8', greater)],
  ['65', 'PCMPGTW', each('i16', greater)],
  ['66', 'PCMPGTD', each('i32', greater)],
  ['67', 'PACKUSWB', pack('i16', 'u8', clampU8)],
  ['68', 'PUNPCKHBW', unpack(1, true)],
  ['69', 'PUNPCKHWD', unpack(2, true)],
  ['6A', 'PUNPCKHDQ', unpack(4, true)],
  ['6B', 'PACKSSDW', pack('i32', 'i16', clampI16)],
  ['74', 'PCMPEQB', each('i8', equal)],
  ['75', 'PCMPEQW', each('i16', equal)],
  ['76', 'PCMPEQD', each('i32', equal)],
  ['D1', 'PSRLW', byOperand(shiftWords('u16', 16, right))],
  ['D2', 'PSRLD', byOperand(shiftWords('u32', 32, right))],
  ['D3', 'PSRLQ', byOperand(shiftQuadwords(false))],
  ['D4', 'PADDQ', quadwords(1)],
  ['D5', 'PMULLW', each('i16', Math.imul), 'multiply'],
  ['D8', 'PSUBUSB', each('u8', (x, y) => clampU8(x - y))],
  ['D9', 'PSUBUSW', each('u16', (x, y) => clampU16(x - y))],
  ['DA', 'PMINUB', each('u8', smaller)],
  ['DB', 'PAND', bitAnd],
  ['DC', 'PADDUSB', each('u8', (x, y) => clampU8(x + y))],
  ['DD', 'PADDUSW', each('u16', (x, y) => clampU16(x + y))],
  ['DE', 'PMAXUB', each('u8', larger)],
  ['DF', 'PANDN', bitAndNot],
  ['E0', 'PAVGB', each('u8', average)],
  ['E1', 'PSRAW', byOperand(shiftSigned('i16', 16))],
  ['E2', 'PSRAD', byOperand(shiftSigned('i32', 32))],
  ['E3', 'PAVGW', each('u16', average)],
  ['E4', 'PMULHUW', each('u16', upperProduct), 'multiply'],
  ['E5', 'PMULHW', each('i16', upperProduct), 'multiply'],
  ['E8', 'PSUBSB', each('i8', (x, y) => clampI8(x - y))],
  ['E9', 'PSUBSW', each('i16', (x, y) => clampI16(x - y))],
  ['EA', 'PMINSW', each('i16', smaller)],
  ['EB', 'POR', bitOr],
  ['EC', 'PADDSB', each('i8', (x, y) => clampI8(x + y))],
  ['ED', 'PADDSW', each('i16', (x, y) => clampI16(x + y))],
  ['EE', 'PMAXSW', each('i16', larger)],
  ['EF', 'PXOR', bitXor],
  ['F1', 'PSLLW', byOperand(shiftWords('u16', 16, left))],
  ['F2', 'PSLLD', byOperand(shiftWords('u32', 32, left))],
  ['F3', 'PSLLQ', byOperand(shiftQuadwords(true))],
  ['F4', 'PMULUDQ', multiplyQuadwords, 'multiply'],
  ['F5', 'PMADDWD', multiplyAdd, 'multiply'],
  ['F6', 'PSADBW', sumOfDifferences],
  ['F8', 'PSUBB', each('i8', minus)],
  ['F9', 'PSUBW', each('i16', minus)],
  ['FA', 'PSUBD', each('i32', minus)],
  ['FB', 'PSUBQ', quadwords(-1)],
  ['FC', 'PADDB', each('i8', plus)],
  ['FD', 'PADDW', each('i16', plus)],
  ['FE', 'PADDD', each('i32', plus)],
];

/** These read only the lower half of an MMX memory operand. */
const LOWER: readonly (readonly [code: string, name: string, op: Operation])[] = [
  ['60', 'PUNPCKLBW', unpack(1, false)],
  ['61', 'PUNPCKLWD', unpack(2, false)],
  ['62', 'PUNPCKLDQ', unpack(4, false)],
];

const SHIFTS: readonly (readonly [code: string, name: string, shift: Shift])[] = [
  ['71 /2', 'PSRLW', shiftWords('u16', 16, right)],
  ['71 /4', 'PSRAW', shiftSigned('i16', 16)],
  ['71 /6', 'PSLLW', shiftWords('u16', 16, left)],
  ['72 /2', 'PSRLD', shiftWords('u32', 32, right)],
  ['72 /4', 'PSRAD', shiftSigned('i32', 32)],
  ['72 /6', 'PSLLD', shiftWords('u32', 32, left)],
  ['73 /2', 'PSRLQ', shiftQuadwords(false)],
  ['73 /6', 'PSLLQ', shiftQuadwords(true)],
];

export const mmxRows: readonly Row[] = [
  ...BOTH.flatMap(([code, name, op, cost]) => [
    vectorRow(`NP 0F ${code}`, name, 'Pq,Qq', onMmx(op), cost),
    vectorRow(`66 0F ${code}`, name, 'Vdq,Wdq', onXmm(op), cost),
  ]),
  ...LOWER.flatMap(([code, name, op]) => [
    vectorRow(`NP 0F ${code}`, name, 'Pq,Qd', onMmx(op, 4)),
    vectorRow(`66 0F ${code}`, name, 'Vdq,Wdq', onXmm(op)),
  ]),
  vectorRow('66 0F 6C', 'PUNPCKLQDQ', 'Vdq,Wdq', onXmm(unpack(8, false))),
  vectorRow('66 0F 6D', 'PUNPCKHQDQ', 'Vdq,Wdq', onXmm(unpack(8, true))),
  ...SHIFTS.flatMap(([code, name, shift]) => [
    vectorRow(`NP 0F ${code}`, name, 'Nq,Ib', shiftMmx(shift)),
    vectorRow(`66 0F ${code}`, name, 'Udq,Ib', shiftXmm(shift)),
  ]),
  vectorRow('66 0F 73 /3', 'PSRLDQ', 'Udq,Ib', shiftXmm(shiftBytes(false))),
  vectorRow('66 0F 73 /7', 'PSLLDQ', 'Udq,Ib', shiftXmm(shiftBytes(true))),
  vectorRow('NP 0F 70', 'PSHUFW', 'Pq,Qq,Ib', pshufw),
  vectorRow('66 0F 70', 'PSHUFD', 'Vdq,Wdq,Ib', pshufd),
  vectorRow('F3 0F 70', 'PSHUFHW', 'Vdq,Wdq,Ib', pshufhw),
  vectorRow('F2 0F 70', 'PSHUFLW', 'Vdq,Wdq,Ib', pshuflw),
  vectorRow('NP 0F C4', 'PINSRW', 'Pq,Ew,Ib', pinsrwMmx),
  vectorRow('66 0F C4', 'PINSRW', 'Vdq,Ew,Ib', pinsrwXmm),
  vectorRow('NP 0F C5', 'PEXTRW', 'Gd,Nq,Ib', pextrwMmx),
  vectorRow('66 0F C5', 'PEXTRW', 'Gd,Udq,Ib', pextrwXmm),
  vectorRow('NP 0F D7', 'PMOVMSKB', 'Gd,Nq', pmovmskbMmx),
  vectorRow('66 0F D7', 'PMOVMSKB', 'Gd,Udq', pmovmskbXmm),
  // Moves.
  vectorRow('NP 0F 6E', 'MOVD', 'Pd,Ed', movdToMmx),
  vectorRow('66 0F 6E', 'MOVD', 'Vd,Ed', movdToXmm),
  vectorRow('NP 0F 7E', 'MOVD', 'Ed,Pd', movdFromMmx, 'simple', 'store'),
  vectorRow('66 0F 7E', 'MOVD', 'Ed,Vd', movdFromXmm, 'simple', 'store'),
  vectorRow('NP 0F 6F', 'MOVQ', 'Pq,Qq', movqToMmx),
  vectorRow('NP 0F 7F', 'MOVQ', 'Qq,Pq', movqFromMmx, 'simple', 'store'),
  vectorRow('F3 0F 7E', 'MOVQ', 'Vq,Wq', movqToXmm),
  vectorRow('66 0F D6', 'MOVQ', 'Wq,Vq', movqFromXmm, 'simple', 'store'),
  vectorRow('F3 0F D6', 'MOVQ2DQ', 'Vdq,Nq', movq2dq),
  vectorRow('F2 0F D6', 'MOVDQ2Q', 'Pq,Udq', movdq2q),
  vectorRow('66 0F 6F', 'MOVDQA', 'Vdq,Wdq', loadXmm(true)),
  vectorRow('66 0F 7F', 'MOVDQA', 'Wdq,Vdq', storeXmm(true), 'simple', 'store'),
  vectorRow('F3 0F 6F', 'MOVDQU', 'Vdq,Wdq', loadXmm(false)),
  vectorRow('F3 0F 7F', 'MOVDQU', 'Wdq,Vdq', storeXmm(false), 'simple', 'store'),
  vectorRow('NP 0F E7', 'MOVNTQ', 'Mq,Pq', movqFromMmx, 'store'),
  vectorRow('66 0F E7', 'MOVNTDQ', 'Mdq,Vdq', storeXmm(true), 'store'),
  vectorRow('NP 0F C3', 'MOVNTI', 'Md,Gd', movnti, 'store'),
  row('NP 0F F7', 'MASKMOVQ', 'Pq,Nq', 'store', atEdi(maskmovq)),
  row('66 0F F7', 'MASKMOVDQU', 'Vdq,Udq', 'store', atEdi(maskmovdqu)),
  vectorRow('NP 0F 77', 'EMMS', '', emms),
];

/**
 * Integer arithmetic and logic: ADD to CMP, INC, DEC, NEG, NOT, TEST, shifts and rotates, MUL, DIV, BCD.
 * Flags are recorded as result and carry vector (flags.ts).
 * Source: SDM vol 2, operation section of each instruction.
 */
import type { Cpu } from '../cpu.ts';
import { VECTOR_DE } from '../exits.ts';
import {
  AUX_CARRIES,
  FLAG_AF,
  FLAG_CF,
  FLAG_OF,
  FLAG_PF,
  FLAG_SF,
  FLAG_ZF,
  getAF,
  getCF,
  getOF,
  setArithmeticFlags,
  setCarryOverflow,
} from '../flags.ts';
import type { Handler, Insn } from '../insn.ts';
import { type BinaryOp, binary, readReg, readRm, shift, test, type UnaryOp, unary, type Widths } from './forms.ts';
import { type Row, row } from './row.ts';

/** Records flags of an 8- or 16-bit operation: `up` is 32 - width. `carries` are valid in the low `width` bits. */
function setNarrow(c: Cpu, result: number, carries: number, up: number): number {
  c.flagRes = (result << up) >> up;
  c.flagAux = ((carries << up) & 0xc0000000) | (carries & 8);
  return result;
}

const addCarries = (a: number, b: number, r: number): number => (a & b) | ((a | b) & ~r);
const subCarries = (a: number, b: number, r: number): number => (~a & b) | ((~a | b) & r);

function narrow(up: number): Readonly<Record<'add' | 'adc' | 'sub' | 'sbb' | 'and' | 'or' | 'xor', BinaryOp>> {
  return {
    add: (c, a, b) => {
      const r = a + b;
      return setNarrow(c, r, addCarries(a, b, r), up);
    },
    adc: (c, a, b) => {
      const r = a + b + getCF(c);
      return setNarrow(c, r, addCarries(a, b, r), up);
    },
    sub: (c, a, b) => {
      const r = a - b;
      return setNarrow(c, r, subCarries(a, b, r), up);
    },
    sbb: (c, a, b) => {
      const r = a - b - getCF(c);
      return setNarrow(c, r, subCarries(a, b, r), up);
    },
    and: (c, a, b) => setNarrow(c, a & b, 0, up),
    or: (c, a, b) => setNarrow(c, a | b, 0, up),
    xor: (c, a, b) => setNarrow(c, a ^ b, 0, up),
  };
}

const n8 = narrow(24);
const n16 = narrow(16);

const add32: BinaryOp = (c, a, b) => {
  const r = (a + b) | 0;
  c.flagAux = addCarries(a, b, r) & AUX_CARRIES;
  c.flagRes = r;
  return r;
};
const adc32: BinaryOp = (c, a, b) => {
  const r = (a + b + getCF(c)) | 0;
  c.flagAux = addCarries(a, b, r) & AUX_CARRIES;
  c.flagRes = r;
  return r;
};
const sub32: BinaryOp = (c, a, b) => {
  const r = (a - b) | 0;
  c.flagAux = subCarries(a, b, r) & AUX_CARRIES;
  c.flagRes = r;
  return r;
};
const sbb32: BinaryOp = (c, a, b) => {
  const r = (a - b - getCF(c)) | 0;
  c.flagAux = subCarries(a, b, r) & AUX_CARRIES;
  c.flagRes = r;
  return r;
};
const and32: BinaryOp = (c, a, b) => {
  c.flagAux = 0;
  c.flagRes = a & b;
  return a & b;
};
const or32: BinaryOp = (c, a, b) => {
  c.flagAux = 0;
  c.flagRes = a | b;
  return a | b;
};
const xor32: BinaryOp = (c, a, b) => {
  c.flagAux = 0;
  c.flagRes = a ^ b;
  return a ^ b;
};

/** The operations other instruction groups reuse. */
export const SUB: Widths<BinaryOp> = { 8: n8.sub, 16: n16.sub, 32: sub32 };
export const ADD: Widths<BinaryOp> = { 8: n8.add, 16: n16.add, 32: add32 };
const OR: Widths<BinaryOp> = { 8: n8.or, 16: n16.or, 32: or32 };
const ADC: Widths<BinaryOp> = { 8: n8.adc, 16: n16.adc, 32: adc32 };
const SBB: Widths<BinaryOp> = { 8: n8.sbb, 16: n16.sbb, 32: sbb32 };
const AND: Widths<BinaryOp> = { 8: n8.and, 16: n16.and, 32: and32 };
const XOR: Widths<BinaryOp> = { 8: n8.xor, 16: n16.xor, 32: xor32 };

/** Records flags of INC and DEC: like ADD and SUB of one, but CF stays. `up` is 32 - width. */
function setStep(c: Cpu, result: number, carries: number, up: number): number {
  const keptCarry = c.flagAux & 0x80000000;
  const top = carries << up;
  const overflow = (top ^ (top << 1)) & 0x80000000;
  c.flagRes = (result << up) >> up;
  c.flagAux = keptCarry | ((keptCarry ^ overflow) >>> 1) | (carries & 8);
  return result;
}
const inc =
  (up: number): UnaryOp =>
  (c, a) =>
    setStep(c, (a + 1) | 0, addCarries(a, 1, (a + 1) | 0), up);
const dec =
  (up: number): UnaryOp =>
  (c, a) =>
    setStep(c, (a - 1) | 0, subCarries(a, 1, (a - 1) | 0), up);
const not: UnaryOp = (_c, a) => ~a;

const INC: Widths<UnaryOp> = { 8: inc(24), 16: inc(16), 32: inc(0) };
const DEC: Widths<UnaryOp> = { 8: dec(24), 16: dec(16), 32: dec(0) };
const NOT: Widths<UnaryOp> = { 8: not, 16: not, 32: not };
const NEG: Widths<UnaryOp> = {
  8: (c, a) => n8.sub(c, 0, a),
  16: (c, a) => n16.sub(c, 0, a),
  32: (c, a) => sub32(c, 0, a),
};

// ---------------------------------------------------------------- shifts and rotates (SDM vol 2, SAL/SAR/SHL/SHR, RCL/...)

/** Flags of a shift: result, last bit shifted out, and OF. AF is undefined; cleared here. */
function setShift(c: Cpu, result: number, cf: number, of: number, up: number): number {
  c.flagRes = (result << up) >> up;
  c.flagAux = (cf << 31) | ((cf ^ of) << 30);
  return result;
}

const shl = (width: number): BinaryOp => {
  const up = 32 - width;
  return (c, a, n) => {
    if (n === 0) return a;
    const cf = n > width ? 0 : (a >>> (width - n)) & 1;
    const r = n >= width ? 0 : a << n;
    const msb = (r >>> (width - 1)) & 1;
    return setShift(c, r, cf, msb ^ cf, up);
  };
};
const shr = (width: number): BinaryOp => {
  const up = 32 - width;
  return (c, a, n) => {
    if (n === 0) return a;
    const cf = n > width ? 0 : (a >>> (n - 1)) & 1;
    const r = n >= width ? 0 : a >>> n;
    // OF is the sign of the original for a count of one; afterwards it is undefined, and real CPUs give bit xor.
    const of = ((r >>> (width - 1)) ^ (r >>> (width - 2))) & 1;
    return setShift(c, r | 0, cf, of, up);
  };
};
const sar = (width: number): BinaryOp => {
  const up = 32 - width;
  return (c, a, n) => {
    if (n === 0) return a;
    const signed = (a << up) >> up;
    const cf = (signed >> Math.min(n - 1, 31)) & 1;
    return setShift(c, signed >> Math.min(n, 31), cf, 0, up);
  };
};
const rol = (width: number): BinaryOp => {
  const mask = width === 32 ? -1 : (1 << width) - 1;
  return (c, a, n) => {
    if (n === 0) return a;
    const k = n % width;
    const r = k === 0 ? a : ((a << k) | ((a & mask) >>> (width - k))) & mask;
    const cf = r & 1;
    setCarryOverflow(c, cf, ((r >>> (width - 1)) & 1) ^ cf);
    return r;
  };
};
const ror = (width: number): BinaryOp => {
  const mask = width === 32 ? -1 : (1 << width) - 1;
  return (c, a, n) => {
    if (n === 0) return a;
    const k = n % width;
    const r = k === 0 ? a : (((a & mask) >>> k) | (a << (width - k))) & mask;
    const cf = (r >>> (width - 1)) & 1;
    setCarryOverflow(c, cf, cf ^ ((r >>> (width - 2)) & 1));
    return r;
  };
};
/** Rotates through carry are done bit by bit: they are rare, and the count is below 32. */
const rcl = (width: number): BinaryOp => {
  return (c, a, n) => {
    const k = width === 32 ? n : n % (width + 1);
    if (k === 0) return a;
    let r = a;
    let cf = getCF(c);
    for (let i = 0; i < k; i++) {
      const out = (r >>> (width - 1)) & 1;
      r = (r << 1) | cf;
      cf = out;
    }
    setCarryOverflow(c, cf, ((r >>> (width - 1)) & 1) ^ cf);
    return r;
  };
};
const rcr = (width: number): BinaryOp => {
  const mask = width === 32 ? -1 : (1 << width) - 1;
  return (c, a, n) => {
    const k = width === 32 ? n : n % (width + 1);
    if (k === 0) return a;
    let r = a & mask;
    let cf = getCF(c);
    for (let i = 0; i < k; i++) {
      const out = r & 1;
      r = (r >>> 1) | (cf << (width - 1));
      cf = out;
    }
    setCarryOverflow(c, cf, ((r >>> (width - 1)) ^ (r >>> (width - 2))) & 1);
    return r | 0;
  };
};
const widths = (make: (width: number) => BinaryOp): Widths<BinaryOp> => ({ 8: make(8), 16: make(16), 32: make(32) });

// ---------------------------------------------------------------- multiplication and division

/** High 32 bits of an unsigned 32x32 product. */
export function mulHigh(a: number, b: number): number {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const low = al * bl;
  const middle = ah * bl + (low >>> 16);
  const cross = al * bh + (middle & 0xffff);
  return (ah * bh + Math.floor(middle / 65536) + Math.floor(cross / 65536)) | 0;
}

/** High 32 bits of a signed 32x32 product. */
export function imulHigh(a: number, b: number): number {
  return (mulHigh(a, b) - (a < 0 ? b : 0) - (b < 0 ? a : 0)) | 0;
}

/** CF = OF = the product did not fit; the others are undefined and follow the low half here. */
function setProduct(c: Cpu, low: number, overflowed: boolean): void {
  c.flagRes = low;
  c.flagAux = overflowed ? 0x80000000 | 0 : 0;
}

const mul: Handler = (c, i) => {
  const b = readRm(c, i, i.a, i.width);
  if (i.width === 32) {
    const a = c.regs[0]!;
    const high = mulHigh(a, b);
    c.regs[0] = Math.imul(a, b);
    c.regs[2] = high;
    setProduct(c, c.regs[0]!, high !== 0);
  } else if (i.width === 16) {
    const product = c.regs16[0]! * b;
    c.regs16[0] = product;
    c.regs16[4] = product >>> 16;
    setProduct(c, (product << 16) >> 16, product >>> 16 !== 0);
  } else {
    const product = c.regs8[0]! * b;
    c.regs16[0] = product;
    setProduct(c, (product << 24) >> 24, product >>> 8 !== 0);
  }
};

const imulAccumulator: Handler = (c, i) => {
  const b = readRm(c, i, i.a, i.width);
  if (i.width === 32) {
    const a = c.regs[0]!;
    const low = Math.imul(a, b);
    const high = imulHigh(a, b);
    c.regs[0] = low;
    c.regs[2] = high;
    setProduct(c, low, high !== low >> 31);
  } else if (i.width === 16) {
    const product = Math.imul((c.regs16[0]! << 16) >> 16, (b << 16) >> 16);
    c.regs16[0] = product;
    c.regs16[4] = product >> 16;
    setProduct(c, (product << 16) >> 16, product !== (product << 16) >> 16);
  } else {
    const product = Math.imul((c.regs8[0]! << 24) >> 24, (b << 24) >> 24);
    c.regs16[0] = product;
    setProduct(c, (product << 24) >> 24, product !== (product << 24) >> 24);
  }
};

function imulInto(c: Cpu, i: Insn, a: number, b: number): void {
  if (i.width === 32) {
    const low = Math.imul(a, b);
    c.regs[i.a] = low;
    // Exact whenever it fits: a product below 2^53 is exact in a double, and a larger one cannot round to `low`.
    setProduct(c, low, a * b !== low);
  } else {
    const product = Math.imul((a << 16) >> 16, (b << 16) >> 16);
    c.regs16[i.a] = product;
    setProduct(c, (product << 16) >> 16, product !== (product << 16) >> 16);
  }
}
const imul2: Handler = (c, i) => imulInto(c, i, readRm(c, i, i.b, i.width), readReg(c, i.a, i.width));
const imul3: Handler = (c, i) => imulInto(c, i, readRm(c, i, i.b, i.width), i.imm);

const div: Handler = (c, i) => {
  const d = readRm(c, i, i.a, i.width);
  if (d === 0) c.raise(VECTOR_DE);
  if (i.width === 32) {
    const high = c.regs[2]! >>> 0;
    const divisor = d >>> 0;
    if (high >= divisor) c.raise(VECTOR_DE);
    divide64(c, high, c.regs[0]! >>> 0, divisor);
  } else if (i.width === 16) {
    const dividend = c.regs16[4]! * 65536 + c.regs16[0]!;
    const quotient = Math.floor(dividend / d);
    if (quotient > 0xffff) c.raise(VECTOR_DE);
    c.regs16[0] = quotient;
    c.regs16[4] = dividend % d;
  } else {
    const dividend = c.regs16[0]!;
    const quotient = Math.floor(dividend / d);
    if (quotient > 0xff) c.raise(VECTOR_DE);
    c.regs16[0] = quotient | ((dividend % d) << 8);
  }
};

/** Unsigned 64 by 32 division with a quotient that fits: EAX = quotient, EDX = remainder. */
function divide64(c: Cpu, high: number, low: number, divisor: number): void {
  if (high < 0x200000) {
    // The dividend is below 2^53: doubles are exact.
    const dividend = high * 4294967296 + low;
    c.regs[0] = exactQuotient(dividend, divisor) | 0;
    c.regs[2] = (dividend % divisor) | 0;
    return;
  }
  const dividend = (BigInt(high) << 32n) | BigInt(low);
  c.regs[0] = Number(dividend / BigInt(divisor)) | 0;
  c.regs[2] = Number(dividend % BigInt(divisor)) | 0;
}

/** Floor of a quotient of integers below 2^53, immune to rounding of the division. */
function exactQuotient(dividend: number, divisor: number): number {
  return (dividend - (dividend % divisor)) / divisor;
}

const idiv: Handler = (c, i) => {
  const raw = readRm(c, i, i.a, i.width);
  if (raw === 0) c.raise(VECTOR_DE);
  if (i.width === 32) idiv64(c, raw);
  else if (i.width === 16) {
    const dividend = (c.regs16[4]! << 16) | c.regs16[0]!;
    const divisor = (raw << 16) >> 16;
    const quotient = Math.trunc(dividend / divisor);
    if (quotient > 0x7fff || quotient < -0x8000) c.raise(VECTOR_DE);
    c.regs16[0] = quotient;
    c.regs16[4] = dividend % divisor;
  } else {
    const dividend = (c.regs16[0]! << 16) >> 16;
    const divisor = (raw << 24) >> 24;
    const quotient = Math.trunc(dividend / divisor);
    if (quotient > 0x7f || quotient < -0x80) c.raise(VECTOR_DE);
    c.regs16[0] = (quotient & 0xff) | ((dividend % divisor) << 8);
  }
};

function idiv64(c: Cpu, divisor: number): void {
  const [low, high] = [c.regs[0]!, c.regs[2]!];
  if (high === low >> 31) {
    // The dividend fits in 32 bits: the usual case after CDQ.
    if (low === -0x80000000 && divisor === -1) c.raise(VECTOR_DE);
    c.regs[0] = (low / divisor) | 0;
    c.regs[2] = (low % divisor) | 0;
    return;
  }
  const dividend = (BigInt(high) << 32n) | BigInt(low >>> 0);
  const quotient = dividend / BigInt(divisor);
  if (quotient > 0x7fffffffn || quotient < -0x80000000n) c.raise(VECTOR_DE);
  c.regs[0] = Number(quotient);
  c.regs[2] = Number(dividend % BigInt(divisor));
}

// ---------------------------------------------------------------- conversions and BCD

const cbw: Handler = (c, i) => {
  if (i.width === 32) c.regs[0] = (c.regs[0]! << 16) >> 16;
  else c.regs16[0] = (c.regs8[0]! << 24) >> 24;
};
const cwd: Handler = (c, i) => {
  if (i.width === 32) c.regs[2] = c.regs[0]! >> 31;
  else c.regs16[4] = c.regs16[0]! & 0x8000 ? 0xffff : 0;
};

/** Sets SF, ZF, PF from a byte, and CF and AF as given; OF is undefined and cleared. */
function setDecimal(c: Cpu, al: number, cf: number, af: number): void {
  c.flagRes = (al << 24) >> 24;
  c.flagAux = (cf << 31) | (cf << 30) | (af << 3);
}
const daa: Handler = (c) => {
  const al = c.regs8[0]!;
  const cf = getCF(c);
  const af = (al & 15) > 9 || getAF(c) !== 0 ? 1 : 0;
  const high = al > 0x99 || cf !== 0 ? 1 : 0;
  const r = (al + (af ? 6 : 0) + (high ? 0x60 : 0)) & 0xff;
  c.regs8[0] = r;
  setDecimal(c, r, high, af);
};
const das: Handler = (c) => {
  const al = c.regs8[0]!;
  const cf = getCF(c);
  const af = (al & 15) > 9 || getAF(c) !== 0 ? 1 : 0;
  const high = al > 0x99 || cf !== 0 ? 1 : 0;
  const borrowed = af !== 0 && al < 6 ? 1 : 0;
  const r = (al - (af ? 6 : 0) - (high ? 0x60 : 0)) & 0xff;
  c.regs8[0] = r;
  setDecimal(c, r, high | (cf | borrowed), af);
};
const adjustAscii =
  (sign: 1 | -1): Handler =>
  (c) => {
    const adjust = (c.regs8[0]! & 15) > 9 || getAF(c) !== 0;
    if (adjust) {
      c.regs16[0] = c.regs16[0]! + sign * 6;
      c.regs8[1] = c.regs8[1]! + sign;
    }
    c.regs8[0] = c.regs8[0]! & 15;
    setDecimal(c, c.regs8[0]!, adjust ? 1 : 0, adjust ? 1 : 0);
  };
const aam: Handler = (c, i) => {
  const base = i.imm & 0xff;
  if (base === 0) c.raise(VECTOR_DE);
  const al = c.regs8[0]!;
  c.regs8[1] = Math.floor(al / base);
  c.regs8[0] = al % base;
  setDecimal(c, c.regs8[0]!, 0, 0);
};
const aad: Handler = (c, i) => {
  const al = (c.regs8[0]! + c.regs8[1]! * (i.imm & 0xff)) & 0xff;
  c.regs16[0] = al;
  setDecimal(c, al, 0, 0);
};

const lahf: Handler = (c) => {
  c.regs8[1] = c.getEflags() & 0xff;
};
const sahf: Handler = (c) => {
  setArithmeticFlags(c, (c.regs8[1]! & 0xd5) | (getOF(c) << 11));
};

// ---------------------------------------------------------------- rows

/** The eight operations that share one encoding pattern: opcode block, group-1 extension. */
const GROUP1: readonly (readonly [string, Widths<BinaryOp>, boolean])[] = [
  ['ADD', ADD, true],
  ['OR', OR, true],
  ['ADC', ADC, true],
  ['SBB', SBB, true],
  ['AND', AND, true],
  ['SUB', SUB, true],
  ['XOR', XOR, true],
  ['CMP', SUB, false],
];

function group1Rows(): Row[] {
  const rows: Row[] = [];
  GROUP1.forEach(([name, op, writes], n) => {
    const build = writes ? binary(op) : test(op);
    const undefinedFlags = ['OR', 'AND', 'XOR'].includes(name) ? FLAG_AF : 0;
    const toMemory = writes ? ({ memory: 'modify', lock: true, undefinedFlags } as const) : { undefinedFlags };
    const code = (k: number): string => (n * 8 + k).toString(16).padStart(2, '0').toUpperCase();
    rows.push(
      row(code(0), name, 'Eb,Gb', 'simple', build, toMemory),
      row(code(1), name, 'Ev,Gv', 'simple', build, toMemory),
      row(code(2), name, 'Gb,Eb', 'simple', build, { undefinedFlags }),
      row(code(3), name, 'Gv,Ev', 'simple', build, { undefinedFlags }),
      row(code(4), name, 'AL,Ib', 'simple', build, { undefinedFlags }),
      row(code(5), name, 'eAX,Iz', 'simple', build, { undefinedFlags }),
      row(`80 /${n}`, name, 'Eb,Ib', 'simple', build, toMemory),
      row(`81 /${n}`, name, 'Ev,Iz', 'simple', build, toMemory),
      row(`82 /${n}`, name, 'Eb,Ib', 'simple', build, toMemory),
      row(`83 /${n}`, name, 'Ev,Ib', 'simple', build, toMemory),
    );
  });
  return rows;
}

const SHIFTS: readonly (readonly [string, Widths<BinaryOp>])[] = [
  ['ROL', widths(rol)],
  ['ROR', widths(ror)],
  ['RCL', widths(rcl)],
  ['RCR', widths(rcr)],
  ['SHL', widths(shl)],
  ['SHR', widths(shr)],
  ['SHL', widths(shl)],
  ['SAR', widths(sar)],
];

function shiftRows(): Row[] {
  return SHIFTS.flatMap(([name, op], n) => {
    const build = shift(op);
    const byOne = { memory: 'modify', undefinedFlags: n < 4 ? 0 : FLAG_AF } as const;
    // The carry of SHL and SHR is undefined for counts of the width and more; that of SAR is the sign.
    const shifted = FLAG_AF | FLAG_OF | (name === 'SAR' ? 0 : FLAG_CF);
    const byMore = { memory: 'modify', undefinedFlags: n < 4 ? FLAG_OF : shifted } as const;
    return [
      row(`C0 /${n}`, name, 'Eb,Ib', 'simple', build, byMore),
      row(`C1 /${n}`, name, 'Ev,Ib', 'simple', build, byMore),
      row(`D0 /${n}`, name, 'Eb,1', 'simple', build, byOne),
      row(`D1 /${n}`, name, 'Ev,1', 'simple', build, byOne),
      row(`D2 /${n}`, name, 'Eb,CL', 'simple', build, byMore),
      row(`D3 /${n}`, name, 'Ev,CL', 'simple', build, byMore),
    ];
  });
}

const MUL_UNDEFINED = FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF;
const ALL_ARITHMETIC = MUL_UNDEFINED | FLAG_CF | FLAG_OF;

export const aluRows: readonly Row[] = [
  ...group1Rows(),
  ...shiftRows(),
  row('40+r', 'INC', 'Zv', 'simple', unary(INC)),
  row('48+r', 'DEC', 'Zv', 'simple', unary(DEC)),
  row('FE /0', 'INC', 'Eb', 'simple', unary(INC), { memory: 'modify', lock: true }),
  row('FE /1', 'DEC', 'Eb', 'simple', unary(DEC), { memory: 'modify', lock: true }),
  row('FF /0', 'INC', 'Ev', 'simple', unary(INC), { memory: 'modify', lock: true }),
  row('FF /1', 'DEC', 'Ev', 'simple', unary(DEC), { memory: 'modify', lock: true }),
  row('84', 'TEST', 'Eb,Gb', 'simple', test(AND), { undefinedFlags: FLAG_AF }),
  row('85', 'TEST', 'Ev,Gv', 'simple', test(AND), { undefinedFlags: FLAG_AF }),
  row('A8', 'TEST', 'AL,Ib', 'simple', test(AND), { undefinedFlags: FLAG_AF }),
  row('A9', 'TEST', 'eAX,Iz', 'simple', test(AND), { undefinedFlags: FLAG_AF }),
  row('F6 /0', 'TEST', 'Eb,Ib', 'simple', test(AND), { undefinedFlags: FLAG_AF }),
  row('F6 /1', 'TEST', 'Eb,Ib', 'simple', test(AND), { undefinedFlags: FLAG_AF }),
  row('F6 /2', 'NOT', 'Eb', 'simple', unary(NOT), { memory: 'modify', lock: true }),
  row('F6 /3', 'NEG', 'Eb', 'simple', unary(NEG), { memory: 'modify', lock: true }),
  row('F6 /4', 'MUL', 'Eb', 'multiply', () => mul, { undefinedFlags: MUL_UNDEFINED }),
  row('F6 /5', 'IMUL', 'Eb', 'multiply', () => imulAccumulator, { undefinedFlags: MUL_UNDEFINED }),
  row('F6 /6', 'DIV', 'Eb', 'divide', () => div, { undefinedFlags: ALL_ARITHMETIC }),
  row('F6 /7', 'IDIV', 'Eb', 'divide', () => idiv, { undefinedFlags: ALL_ARITHMETIC }),
  row('F7 /0', 'TEST', 'Ev,Iz', 'simple', test(AND), { undefinedFlags: FLAG_AF }),
  row('F7 /1', 'TEST', 'Ev,Iz', 'simple', test(AND), { undefinedFlags: FLAG_AF }),
  row('F7 /2', 'NOT', 'Ev', 'simple', unary(NOT), { memory: 'modify', lock: true }),
  row('F7 /3', 'NEG', 'Ev', 'simple', unary(NEG), { memory: 'modify', lock: true }),
  row('F7 /4', 'MUL', 'Ev', 'multiply', () => mul, { undefinedFlags: MUL_UNDEFINED }),
  row('F7 /5', 'IMUL', 'Ev', 'multiply', () => imulAccumulator, { undefinedFlags: MUL_UNDEFINED }),
  row('F7 /6', 'DIV', 'Ev', 'divide', () => div, { undefinedFlags: ALL_ARITHMETIC }),
  row('F7 /7', 'IDIV', 'Ev', 'divide', () => idiv, { undefinedFlags: ALL_ARITHMETIC }),
  row('0F AF', 'IMUL', 'Gv,Ev', 'multiply', () => imul2, { undefinedFlags: MUL_UNDEFINED }),
  row('69', 'IMUL', 'Gv,Ev,Iz', 'multiply', () => imul3, { undefinedFlags: MUL_UNDEFINED }),
  row('6B', 'IMUL', 'Gv,Ev,Ib', 'multiply', () => imul3, { undefinedFlags: MUL_UNDEFINED }),
  row('98', 'CBW', '', 'simple', () => cbw),
  row('99', 'CWD', '', 'simple', () => cwd),
  row('27', 'DAA', '', 'simple', () => daa, { undefinedFlags: FLAG_OF }),
  row('2F', 'DAS', '', 'simple', () => das, { undefinedFlags: FLAG_OF }),
  row('37', 'AAA', '', 'simple', () => adjustAscii(1), { undefinedFlags: FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF }),
  row('3F', 'AAS', '', 'simple', () => adjustAscii(-1), { undefinedFlags: FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF }),
  row('D4', 'AAM', 'Ib', 'divide', () => aam, { undefinedFlags: FLAG_OF | FLAG_AF | FLAG_CF }),
  row('D5', 'AAD', 'Ib', 'multiply', () => aad, { undefinedFlags: FLAG_OF | FLAG_AF | FLAG_CF }),
  row('9E', 'SAHF', '', 'simple', () => sahf),
  row('9F', 'LAHF', '', 'simple', () => lahf),
];

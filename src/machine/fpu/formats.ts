/**
 * The memory formats of the floating-point unit: to and from 32- and 64-bit floats, integers, and packed decimal.
 * Invariants: reading is exact; writing rounds operand `a` of the Calc, leaves the bytes in `r.hi` (upper word, for
 * formats above 32 bits) and `r.lo` (lower or only word), and notes exceptions in `ex`; it writes no memory.
 * Source: SDM vol 1, 4.2 (formats), 4.8.3.7 (integer indefinite), 8.1.2 and table 4-4 (packed decimal indefinite).
 */
import { C1, type Calc, IE, PE } from './calc.ts';
import { BIAS, EXP_MAX, type Extended, FINITE, INFINITE, QUIET, SIGNALLING, ZERO } from './number.ts';

const SINGLE_BIAS = 127;
const DOUBLE_BIAS = 1023;

/** Sets x from sign, exponent field, a fraction whose top bit is the integer bit's place, and the width of a format. */
function loadParts(x: Extended, sign: number, exp: number, hi: number, lo: number, bias: number): void {
  const isZero = ((hi << 1) | lo) === 0;
  x.load((sign << 15) | BIAS, 0x80000000 | hi, lo);
  if (exp === 0) {
    if (isZero) {
      x.setZero(sign);
      return;
    }
    // Below the smallest normal number: the integer bit is 0 and the exponent that of the smallest.
    x.hi &= 0x7fffffff;
    x.exp = BIAS - bias + 1;
    x.normalize();
    x.denormal = true;
  } else if (exp === 2 * bias + 1) {
    x.exp = EXP_MAX;
    x.kind = isZero ? INFINITE : (hi & 0x40000000) !== 0 ? QUIET : SIGNALLING;
  } else x.exp = exp - bias + BIAS;
}

export function loadSingle(x: Extended, bits: number): void {
  loadParts(x, bits >>> 31, (bits >>> 23) & 0xff, (bits << 8) & 0x7fffffff, 0, SINGLE_BIAS);
}

export function loadDouble(x: Extended, high: number, low: number): void {
  const hi = ((high << 11) & 0x7fffffff) | (low >>> 21);
  loadParts(x, high >>> 31, (high >>> 20) & 0x7ff, hi, low << 11, DOUBLE_BIAS);
}

/** A signed integer of 64 bits, or a shorter one that the caller has extended. */
export function loadInteger(x: Extended, high: number, low: number): void {
  if (high >= 0) x.setInteger(0, high, low);
  else x.setInteger(1, low === 0 ? -high | 0 : ~high, -low | 0);
}

/** 18 decimal digits, two a byte, and a byte with the sign. Digits above 9 count for what they are. */
export function loadDecimal(x: Extended, top: number, high: number, low: number): void {
  let magnitude = 0n;
  for (let digit = 17; digit >= 0; digit--) {
    const word = digit >= 16 ? top : digit >= 8 ? high : low;
    magnitude = magnitude * 10n + BigInt((word >>> ((digit & 7) * 4)) & 15);
  }
  x.setInteger((top >> 15) & 1, Number(BigInt.asIntN(32, magnitude >> 32n)), Number(BigInt.asIntN(32, magnitude)));
}

/** Rounds a to a format and reports its class: true if r holds a finite result. */
function narrow(calc: Calc, precision: number, bias: number): boolean {
  const { a, r } = calc;
  // A store never reports a denormal operand (SDM vol 2, FST).
  a.denormal = false;
  if (calc.unaryNan()) return false;
  r.copy(a);
  if (a.kind === FINITE) calc.round(precision, BIAS - bias + 1, BIAS + bias, false);
  return r.kind === FINITE;
}

/** r.lo = a as a 32-bit float. */
export function toSingle(calc: Calc): void {
  const { r } = calc;
  const finite = narrow(calc, 24, SINGLE_BIAS);
  const exp = finite ? (r.hi < 0 ? r.exp - BIAS + SINGLE_BIAS : 0) : r.kind === ZERO ? 0 : 0xff;
  r.lo = (r.sign << 31) | (exp << 23) | ((r.hi >>> 8) & 0x7fffff);
}

/** r.hi:r.lo = a as a 64-bit float. */
export function toDouble(calc: Calc): void {
  const { r } = calc;
  const finite = narrow(calc, 53, DOUBLE_BIAS);
  const exp = finite ? (r.hi < 0 ? r.exp - BIAS + DOUBLE_BIAS : 0) : r.kind === ZERO ? 0 : 0x7ff;
  const { hi, lo } = r;
  r.lo = (hi << 21) | (lo >>> 11);
  r.hi = (r.sign << 31) | (exp << 20) | ((hi >>> 11) & 0xfffff);
}

/** Rounds a to an integer magnitude in r.hi:r.lo; false if it is no number below 2^64. */
function integral(calc: Calc): boolean {
  const { a } = calc;
  if (a.kind > FINITE || (a.kind === FINITE && a.exp > BIAS + 63)) return false;
  calc.toInteger();
  return true;
}

/** What an integer that does not fit leaves: IE and nothing else. */
function integerIndefinite(calc: Calc, high: number, low: number): void {
  calc.ex = (calc.ex & ~(PE | C1)) | IE;
  calc.r.hi = high;
  calc.r.lo = low;
}

/** r.hi:r.lo = a as a signed integer of 16, 32 or 64 bits. */
export function toInteger(calc: Calc, bits: 16 | 32 | 64): void {
  const { r } = calc;
  const lowest = bits === 64 ? 0 : bits === 32 ? 0x80000000 | 0 : 0x8000;
  const highest = bits === 64 ? 0x80000000 | 0 : 0;
  if (!integral(calc) || !fits(r.sign, r.hi, r.lo, highest, lowest)) {
    integerIndefinite(calc, highest, lowest);
  } else if (r.sign === 1) {
    r.hi = r.lo === 0 ? -r.hi | 0 : ~r.hi;
    r.lo = -r.lo | 0;
  }
}

/** A magnitude is below the given power of two, or equal to it and negative. */
function fits(sign: number, hi: number, lo: number, limitHi: number, limitLo: number): boolean {
  const order = (hi >>> 0) - (limitHi >>> 0) || (lo >>> 0) - (limitLo >>> 0);
  return order < 0 || (order === 0 && sign === 1);
}

/** 10^18 as two words. */
const DECIMAL_END_HI = 0x0de0b6b3;
const DECIMAL_END_LO = 0xa7640000;

/** r.hi:r.lo = the lower 16 digits of a in packed decimal; returns the upper two bytes. */
export function toDecimal(calc: Calc): number {
  const { r } = calc;
  if (!integral(calc) || !fits(0, r.hi, r.lo, DECIMAL_END_HI, DECIMAL_END_LO)) {
    integerIndefinite(calc, 0xc0000000 | 0, 0);
    return 0xffff;
  }
  let rest = r.significand();
  const words = [0, 0, r.sign << 15];
  for (let digit = 0; digit < 18; digit++) {
    words[digit >> 3]! |= Number(rest % 10n) << ((digit & 7) * 4);
    rest /= 10n;
  }
  r.lo = words[0]!;
  r.hi = words[1]!;
  return words[2]!;
}

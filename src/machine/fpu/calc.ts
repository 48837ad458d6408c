/**
 * The arithmetic of the floating-point unit: operands `a` and `b`, result `r`, and the exceptions that came up.
 * Invariants: nothing here knows registers or memory; a result is what the masked responses of the control word make
 * of it (SDM vol 1, 8.5), with the wrapped exponent where overflow or underflow is not masked; a caller that finds an
 * unmasked IE, DE or ZE in `ex` throws the result away.
 * Source: SDM vol 1, chapters 4.8, 4.9 and 8; test/oracle has the real CPU's answers.
 */
import {
  BIAS,
  compare64,
  EXP_MAX,
  Extended,
  FINITE,
  INFINITE,
  multiplyHigh,
  QUIET,
  SIGNALLING,
  UNSUPPORTED,
  ZERO,
} from './number.ts';

/** Exception bits of status and control word (SDM vol 1, figures 8-4 and 8-6). */
export const IE = 1;
export const DE = 2;
export const ZE = 4;
export const OE = 8;
export const UE = 16;
export const PE = 32;
export const SF = 64;
export const C0 = 0x100;
export const C1 = 0x200;
export const C2 = 0x400;
export const C3 = 0x4000;

export const UNORDERED = C3 | C2 | C0;

/** Exceptions that are found before anything is computed: unmasked, they leave all operands as they were. */
export const BEFORE = IE | DE | ZE;

export const ROUND_NEAREST = 0;
export const ROUND_DOWN = 1;
export const ROUND_UP = 2;

/** By what an unmasked overflow or underflow moves the exponent of a result in a register (SDM vol 1, 8.5.4). */
const EXPONENT_WRAP = 24576;

/** Bits of significand by precision control; 1 is reserved and taken as 3 is. */
const PRECISIONS = [24, 64, 53, 64] as const;

export class Calc {
  /** The control word. */
  control = 0x40;
  /** Exceptions of the operation at hand, SF and C1 among them. */
  ex = 0;
  readonly a = new Extended();
  readonly b = new Extended();
  readonly r = new Extended();
  /** Quotient bits of the last remainder(), or -1 if there were no operands to divide. */
  quotient = 0;

  get rounding(): number {
    return (this.control >> 10) & 3;
  }

  /** Precision in force for the arithmetic that heeds it. */
  get precision(): number {
    return PRECISIONS[(this.control >> 8) & 3]!;
  }

  // ---------------------------------------------------------------- rounding

  /** Whether a magnitude goes up: `rest` is the part below its last bit, sticky in bit 0, and `odd` that bit. */
  private goesUp(sign: number, rest: number, odd: boolean): boolean {
    if (rest === 0) return false;
    switch (this.rounding) {
      case ROUND_NEAREST:
        return rest < 0 && (rest !== (0x80000000 | 0) || odd);
      case ROUND_DOWN:
        return sign === 1;
      case ROUND_UP:
        return sign === 0;
      default:
        return false;
    }
  }

  /** What is below the last bit of r at `precision`, as a word whose top bit is one half; bit 0 is sticky. */
  private restOf(precision: number): number {
    const { hi, lo, ext } = this.r;
    if (precision === 64) return ext;
    if (precision === 53) return ((lo & 0x7ff) << 21) | (ext !== 0 ? 1 : 0);
    return ((hi & 0xff) << 24) | ((lo | ext) !== 0 ? 1 : 0);
  }

  private isOdd(precision: number): boolean {
    const { hi, lo } = this.r;
    return (precision === 64 ? lo & 1 : precision === 53 ? lo & 0x800 : hi & 0x100) !== 0;
  }

  /** Rounds the fraction of r to `precision` bits; notes PE and C1. */
  cut(precision: number): void {
    const { r } = this;
    const rest = this.restOf(precision);
    const up = this.goesUp(r.sign, rest, this.isOdd(precision));
    r.ext = 0;
    if (precision === 53) r.lo &= ~0x7ff;
    else if (precision === 24) {
      r.hi &= ~0xff;
      r.lo = 0;
    }
    if (rest === 0) return;
    this.ex |= PE;
    if (!up) return;
    this.ex |= C1;
    const before = r.lo;
    if (precision === 24) r.hi = (r.hi + 0x100) | 0;
    else {
      r.lo = (before + (precision === 64 ? 1 : 0x800)) | 0;
      if (r.lo >>> 0 < before >>> 0) r.hi = (r.hi + 1) | 0;
      else return;
    }
    if (r.hi === 0) {
      r.hi = 0x80000000 | 0;
      r.exp++;
    }
  }

  /** Rounding to `precision` bits would reach the next power of two. */
  private carries(precision: number): boolean {
    const { hi, lo, sign } = this.r;
    const ones =
      precision === 24 ? (hi | 0xff) === -1 : hi === -1 && (precision === 53 ? (lo | 0x7ff) === -1 : lo === -1);
    return ones && this.goesUp(sign, this.restOf(precision), true);
  }

  /**
   * Rounds the normalized r to a format of `precision` bits whose exponents go from `least` to `greatest` (in the bias
   * of the 80-bit format), with the responses to overflow and underflow. `wraps`: the result goes to a register, so
   * that unmasked exceptions move its exponent; for a store they only mean that nothing is stored.
   */
  round(precision: number, least = 1, greatest = EXP_MAX - 1, wraps = true): void {
    const { r } = this;
    const lowest = r.exp < least;
    // Tiny after rounding, as if the exponent had no bound (SDM vol 1, 4.9.1.5).
    const tiny = lowest && (r.exp < least - 1 || !this.carries(precision));
    if (tiny && (this.control & UE) === 0) {
      this.ex |= UE;
      if (!wraps) return;
      r.exp += EXPONENT_WRAP;
    } else if (lowest) {
      r.shiftRight(least - r.exp);
      r.exp = least;
    }
    this.cut(precision);
    if (tiny && (this.ex & PE) !== 0) this.ex |= UE;
    if (r.exp > greatest) this.overflow(precision, greatest, wraps);
    // An exponent of `least` without the integer bit stands for a denormal or zero.
    else if (r.hi >= 0 && wraps) r.exp = 0;
  }

  private overflow(precision: number, greatest: number, wraps: boolean): void {
    const { r } = this;
    this.ex |= OE;
    if ((this.control & OE) === 0) {
      if (wraps) r.exp -= EXPONENT_WRAP;
      else this.ex &= ~(C1 | PE);
      return;
    }
    const { rounding } = this;
    this.ex |= PE;
    if (rounding === ROUND_NEAREST || rounding === (r.sign === 1 ? ROUND_DOWN : ROUND_UP)) {
      r.setInfinity(r.sign);
      this.ex |= C1;
      return;
    }
    this.ex &= ~C1;
    r.exp = greatest;
    r.hi = precision === 24 ? -256 : -1;
    r.lo = precision === 24 ? 0 : precision === 53 ? -2048 : -1;
  }

  // ---------------------------------------------------------------- operands that are no numbers

  /** An invalid operation; that one of its operands is a denormal is no longer reported. */
  invalid(): void {
    this.ex = (this.ex & ~DE) | IE;
    this.r.setIndefinite();
  }

  private static isNan(x: Extended): boolean {
    return x.kind === QUIET || x.kind === SIGNALLING;
  }

  /** r becomes the NaN `from`, made quiet. */
  private passNan(from: Extended): void {
    this.r.copy(from);
    this.r.kind = QUIET;
    this.r.hi |= 0x40000000;
  }

  /** Answers unsupported formats and NaNs in `a`; true if it did. */
  unaryNan(): boolean {
    const { a } = this;
    if (a.kind === UNSUPPORTED) this.invalid();
    else if (Calc.isNan(a)) {
      if (a.kind === SIGNALLING) this.ex |= IE;
      this.passNan(a);
    } else {
      if (a.denormal) this.ex |= DE;
      return false;
    }
    return true;
  }

  /** The same for `a` and `b` (SDM vol 1, table 4-7). */
  binaryNan(): boolean {
    const { a, b } = this;
    if (a.kind <= INFINITE && b.kind <= INFINITE) {
      if (a.denormal || b.denormal) this.ex |= DE;
      return false;
    }
    if (a.kind === UNSUPPORTED || b.kind === UNSUPPORTED) {
      this.invalid();
      return true;
    }
    if (a.kind === SIGNALLING || b.kind === SIGNALLING) this.ex |= IE;
    if (!Calc.isNan(b)) this.passNan(a);
    else if (!Calc.isNan(a)) this.passNan(b);
    else if (a.kind !== b.kind) this.passNan(a.kind === QUIET ? a : b);
    else {
      const order = compare64(a.hi, a.lo, b.hi, b.lo);
      this.passNan(order > 0 || (order === 0 && a.sign === 0) ? a : b);
    }
    return true;
  }

  // ---------------------------------------------------------------- add, multiply, divide, square root

  /** r = a + b, or a - b with `flip` 1. */
  add(flip: 0 | 1): void {
    const { a, b, r } = this;
    if (this.binaryNan()) return;
    const signB = b.sign ^ flip;
    if (a.kind === INFINITE) {
      if (b.kind === INFINITE && a.sign !== signB) this.invalid();
      else r.setInfinity(a.sign);
    } else if (b.kind === INFINITE) r.setInfinity(signB);
    else if (a.kind === ZERO && b.kind === ZERO) {
      r.setZero(a.sign === signB ? a.sign : this.rounding === ROUND_DOWN ? 1 : 0);
    } else if (a.kind === ZERO || b.kind === ZERO) {
      r.copy(a.kind === ZERO ? b : a);
      if (a.kind === ZERO) r.sign = signB;
      this.round(this.precision);
    } else if (a.sign === signB) this.addMagnitudes();
    else this.subtractMagnitudes(signB);
  }

  private addMagnitudes(): void {
    const { a, b, r } = this;
    const sign = a.sign;
    const [big, small] = a.exp >= b.exp ? [a, b] : [b, a];
    r.copy(small);
    r.shiftRight(big.exp - small.exp);
    const lo = (big.lo + r.lo) | 0;
    const carry = lo >>> 0 < r.lo >>> 0 ? 1 : 0;
    const sum = (big.hi >>> 0) + (r.hi >>> 0) + carry;
    r.hi = sum | 0;
    r.lo = lo;
    r.exp = big.exp;
    r.sign = sign;
    if (sum > 0xffffffff) {
      r.shiftRight(1);
      r.hi |= 0x80000000;
      r.exp++;
    }
    this.round(this.precision);
  }

  private subtractMagnitudes(signB: number): void {
    const { a, b, r } = this;
    const order = a.exp - b.exp || compare64(a.hi, a.lo, b.hi, b.lo);
    if (order === 0) {
      r.setZero(this.rounding === ROUND_DOWN ? 1 : 0);
      return;
    }
    const [big, small] = order > 0 ? [a, b] : [b, a];
    const sign = order > 0 ? a.sign : signB;
    r.copy(small);
    r.shiftRight(big.exp - small.exp);
    const borrow0 = r.ext !== 0 ? 1 : 0;
    const lo = (big.lo >>> 0) - (r.lo >>> 0) - borrow0;
    r.ext = -r.ext | 0;
    r.hi = (big.hi - r.hi - (lo < 0 ? 1 : 0)) | 0;
    r.lo = lo | 0;
    r.exp = big.exp;
    r.sign = sign;
    r.normalize();
    this.round(this.precision);
  }

  /** r = a x b. */
  multiply(): void {
    const { a, b, r } = this;
    if (this.binaryNan()) return;
    const sign = a.sign ^ b.sign;
    if (a.kind === INFINITE || b.kind === INFINITE) {
      if (a.kind === ZERO || b.kind === ZERO) this.invalid();
      else r.setInfinity(sign);
    } else if (a.kind === ZERO || b.kind === ZERO) r.setZero(sign);
    else {
      const low = (multiplyHigh(a.lo, b.lo) >>> 0) + (Math.imul(a.hi, b.lo) >>> 0) + (Math.imul(a.lo, b.hi) >>> 0);
      const middle =
        (multiplyHigh(a.hi, b.lo) >>> 0) +
        (multiplyHigh(a.lo, b.hi) >>> 0) +
        (Math.imul(a.hi, b.hi) >>> 0) +
        Math.floor(low / 4294967296);
      r.kind = FINITE;
      r.denormal = false;
      r.sign = sign;
      r.hi = (multiplyHigh(a.hi, b.hi) + Math.floor(middle / 4294967296)) | 0;
      r.lo = middle | 0;
      r.ext = low | 0 | (Math.imul(a.lo, b.lo) !== 0 ? 1 : 0);
      r.exp = a.exp + b.exp - BIAS + 1;
      r.normalize();
      this.round(this.precision);
    }
  }

  /** r = a / b. */
  divide(): void {
    const { a, b, r } = this;
    if (this.binaryNan()) return;
    const sign = a.sign ^ b.sign;
    if (a.kind === INFINITE) {
      if (b.kind === INFINITE) this.invalid();
      else r.setInfinity(sign);
    } else if (b.kind === INFINITE) r.setZero(sign);
    else if (b.kind === ZERO) {
      if (a.kind === ZERO) this.invalid();
      else {
        // Of a denormal divided by zero only the zero is reported.
        this.ex = (this.ex & ~DE) | ZE;
        r.setInfinity(sign);
      }
    } else if (a.kind === ZERO) r.setZero(sign);
    else {
      this.divideFractions();
      r.sign = sign;
      this.round(this.precision);
    }
  }

  /** r = fraction of a / fraction of b with its sticky bit: one quotient bit at a time. */
  private divideFractions(): void {
    const { a, b, r } = this;
    const bHi = b.hi >>> 0;
    const bLo = b.lo >>> 0;
    let hi = a.hi >>> 0;
    let lo = a.lo >>> 0;
    const words = [0, 0, 0];
    for (let word = 0; word < 3; word++) {
      let bits = 0;
      // The first word starts with the integer bit of the quotient, before the remainder is doubled.
      for (let n = 0; n < 32; n++) {
        if (word !== 0 || n !== 0) {
          hi = hi * 2 + (lo >= 0x80000000 ? 1 : 0);
          lo = (lo << 1) >>> 0;
        }
        bits <<= 1;
        if (hi > bHi || (hi === bHi && lo >= bLo)) {
          bits |= 1;
          hi -= bHi;
          lo -= bLo;
          if (lo < 0) {
            lo += 4294967296;
            hi--;
          }
        }
      }
      words[word] = bits;
    }
    r.kind = FINITE;
    r.denormal = false;
    r.hi = words[0]!;
    r.lo = words[1]!;
    r.ext = words[2]! | (hi !== 0 || lo !== 0 ? 1 : 0);
    r.exp = a.exp - b.exp + BIAS;
    r.normalize();
  }

  /** r = square root of a. */
  squareRoot(): void {
    const { a, r } = this;
    if (this.unaryNan()) return;
    if (a.kind === ZERO) r.setZero(a.sign);
    else if (a.sign === 1) this.invalid();
    else if (a.kind === INFINITE) r.setInfinity(0);
    else {
      const exponent = a.exp - BIAS - 63;
      const odd = exponent & 1;
      const square = a.significand() << BigInt(128 + odd);
      const root = integerRoot(square);
      r.setBig(0, root, (exponent - odd - 128) / 2, root * root !== square);
      this.round(this.precision);
    }
  }

  // ---------------------------------------------------------------- compare

  /** Compares a with b; returns C3, C2 and C0. `quiet`: a QNaN is no invalid operand. */
  compare(quiet: boolean): number {
    const { a, b } = this;
    if (a.kind > INFINITE || b.kind > INFINITE) {
      const bad = (x: Extended): boolean => (quiet ? x.kind > QUIET : x.kind > INFINITE);
      if (bad(a) || bad(b)) this.ex |= IE;
      return UNORDERED;
    }
    if (a.denormal || b.denormal) this.ex |= DE;
    const order = signedOrder(a, b);
    return order === 0 ? C3 : order < 0 ? C0 : 0;
  }

  // ---------------------------------------------------------------- integers, scales, remainders

  /** r = fraction of a as an integer in hi:lo, rounded; a is finite and below 2^64. Notes PE and C1. */
  toInteger(): void {
    const { a, r } = this;
    r.copy(a);
    if (a.kind === ZERO) return;
    r.shiftRight(BIAS + 63 - a.exp);
    this.cut(64);
  }

  /** r = a rounded to an integer. */
  roundToInteger(): void {
    const { a, r } = this;
    if (this.unaryNan()) return;
    if (a.kind !== FINITE || a.exp >= BIAS + 63) {
      r.copy(a);
      return;
    }
    this.toInteger();
    const { sign } = r;
    r.setInteger(sign, r.hi, r.lo);
  }

  /** r = a x 2^trunc(b). */
  scale(): void {
    const { a, b, r } = this;
    if (this.binaryNan()) return;
    if (b.kind === INFINITE) {
      const wrong = b.sign === 0 ? ZERO : INFINITE;
      if (a.kind === wrong) this.invalid();
      else if (b.sign === 0) r.setInfinity(a.sign);
      else r.setZero(a.sign);
      return;
    }
    r.copy(a);
    if (a.kind !== FINITE) return;
    r.exp += truncated(b);
    // Beyond what even the wrapped exponent reaches (SDM vol 1, 8.5.4 and 8.5.5: FSCALE alone can do that).
    if ((this.control & UE) === 0 && r.exp + EXPONENT_WRAP < 1) {
      this.ex |= UE | PE;
      r.setZero(r.sign);
    } else if ((this.control & OE) === 0 && r.exp - EXPONENT_WRAP >= EXP_MAX) {
      this.ex |= OE | PE | C1;
      r.setInfinity(r.sign);
    } else this.round(64);
  }

  /**
   * r = remainder of a / b: exact, by a quotient that is truncated or (`nearest`) rounded to even; `quotient` gets its
   * low bits. Returns false if the exponents are too far apart for one step: then r is a partial remainder.
   */
  remainder(nearest: boolean): boolean {
    const { a, b, r } = this;
    this.quotient = -1;
    if (this.binaryNan()) return true;
    if (a.kind === INFINITE || b.kind === ZERO) {
      this.invalid();
      return true;
    }
    this.quotient = 0;
    const apart = a.exp - b.exp;
    if (a.kind === ZERO || b.kind === INFINITE || apart < (nearest ? -1 : 0)) {
      r.copy(a);
      if (r.kind === FINITE) this.round(64);
      return true;
    }
    const complete = apart < 64;
    // A partial step brings the exponents closer by 32 to 63, which the manual leaves to the implementation.
    const shift = complete ? apart : 32 + (apart & 31);
    const divisor = b.significand() << (shift < 0 ? 1n : 0n);
    const dividend = a.significand() << BigInt(Math.max(shift, 0));
    let quotient = dividend / divisor;
    let rest = dividend - quotient * divisor;
    let { sign } = a;
    if (complete && nearest && (rest * 2n > divisor || (rest * 2n === divisor && (quotient & 1n) === 1n))) {
      quotient++;
      rest = divisor - rest;
      sign ^= 1;
    }
    this.quotient = complete ? Number(quotient & 7n) : 0;
    if (rest === 0n) r.setZero(a.sign);
    else {
      r.setBig(sign, rest, b.exp - BIAS - 63 + apart - Math.max(shift, 0), false);
      this.round(64);
    }
    return complete;
  }
}

/** Order of two values that are not NaN. */
function signedOrder(a: Extended, b: Extended): number {
  if (a.kind === ZERO && b.kind === ZERO) return 0;
  const signOf = (x: Extended): number => (x.kind === ZERO ? 0 : x.sign === 1 ? -1 : 1);
  const difference = signOf(a) - signOf(b);
  if (difference !== 0) return difference;
  const magnitude = a.exp - b.exp || compare64(a.hi, a.lo, b.hi, b.lo);
  return a.sign === 1 ? -magnitude : magnitude;
}

/** A finite number as a small integer, truncated; beyond every exponent if it is large. */
function truncated(b: Extended): number {
  if (b.kind === ZERO || b.exp < BIAS) return 0;
  const size = b.exp > BIAS + 16 ? 0x1ffff : b.hi >>> (31 - (b.exp - BIAS));
  return b.sign === 1 ? -size : size;
}

/** Square root of an integer below 2^1000, rounded down. */
export function integerRoot(square: bigint): bigint {
  let root = BigInt(Math.floor(Math.sqrt(Number(square)))) + 1n;
  for (let last = 0n; root !== last && root !== last + 1n && root !== last - 1n; ) {
    last = root;
    root = (root + square / root) >> 1n;
  }
  while (root * root > square) root--;
  while ((root + 1n) * (root + 1n) <= square) root++;
  return root;
}

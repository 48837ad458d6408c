/**
 * One 80-bit number taken apart for arithmetic, with 32 more bits below its significand, and the shifts on it.
 * Invariants: `hi`, `lo` and `ext` are int32 words of one 96-bit fraction whose top bit has the weight 2^(exp - BIAS);
 * bit 0 of `ext` is sticky: it stays set for whatever is shifted out below it; a FINITE number that load() made is
 * normalized (top bit of hi set), with an exponent below 1 if it was a denormal.
 * Source: SDM vol 1, 4.2.2 and table 8-3 (unsupported formats); the fraction and sticky bit are the usual technique.
 */

export const BIAS = 16383;
export const EXP_MAX = 0x7fff;

export const ZERO = 0;
export const FINITE = 1;
export const INFINITE = 2;
export const QUIET = 3;
export const SIGNALLING = 4;
/** Unnormals, pseudo-infinities and pseudo-NaNs: no processor since the 387 takes them. */
export const UNSUPPORTED = 5;

export class Extended {
  kind = ZERO;
  /** 0 or 1. */
  sign = 0;
  /** Biased exponent; outside 0..EXP_MAX only between operations. */
  exp = 0;
  hi = 0;
  lo = 0;
  ext = 0;
  /** The operand was a denormal, in the format that it came from. */
  denormal = false;

  /** Takes the three parts of the 80-bit format: 16 bits of sign and exponent, two words of significand. */
  load(signExp: number, hi: number, lo: number): void {
    this.sign = (signExp >> 15) & 1;
    this.exp = signExp & EXP_MAX;
    this.hi = hi;
    this.lo = lo;
    this.ext = 0;
    this.denormal = false;
    if (this.exp === 0) {
      if ((hi | lo) === 0) this.kind = ZERO;
      else {
        this.kind = FINITE;
        this.denormal = true;
        this.exp = 1;
        this.normalize();
      }
    } else if (hi >= 0) this.kind = UNSUPPORTED;
    else if (this.exp !== EXP_MAX) this.kind = FINITE;
    else if (hi << 1 === 0 && lo === 0) this.kind = INFINITE;
    else this.kind = (hi & 0x40000000) !== 0 ? QUIET : SIGNALLING;
  }

  copy(from: Extended): void {
    this.kind = from.kind;
    this.sign = from.sign;
    this.exp = from.exp;
    this.hi = from.hi;
    this.lo = from.lo;
    this.ext = from.ext;
    this.denormal = from.denormal;
  }

  private put(kind: number, sign: number, exp: number, hi: number): void {
    this.kind = kind;
    this.sign = sign;
    this.exp = exp;
    this.hi = hi;
    this.lo = 0;
    this.ext = 0;
    this.denormal = false;
  }

  setZero(sign: number): void {
    this.put(ZERO, sign, 0, 0);
  }

  setInfinity(sign: number): void {
    this.put(INFINITE, sign, EXP_MAX, 0x80000000 | 0);
  }

  /** The QNaN that answers an invalid operation: "real indefinite". */
  setIndefinite(): void {
    this.put(QUIET, 1, EXP_MAX, 0xc0000000 | 0);
  }

  setOne(sign: number): void {
    this.put(FINITE, sign, BIAS, 0x80000000 | 0);
  }

  /** A word of sign and magnitude, for FILD and integer operands; `high` and `low` are the magnitude. */
  setInteger(sign: number, high: number, low: number): void {
    this.put(FINITE, sign, BIAS + 63, high);
    this.lo = low;
    if ((high | low) === 0) this.setZero(sign);
    else this.normalize();
  }

  /**
   * Sets the value `magnitude` x 2^`scale`. Bits beyond 96 become sticky; `inexact` says that the magnitude itself is
   * truncated.
   */
  setBig(sign: number, magnitude: bigint, scale: number, inexact: boolean): void {
    const bits = bitLength(magnitude);
    const extra = bits - 96;
    const top = extra >= 0 ? magnitude >> BigInt(extra) : magnitude << BigInt(-extra);
    const isSticky = inexact || (extra > 0 && magnitude !== top << BigInt(extra));
    this.put(FINITE, sign, bits - 1 + scale + BIAS, Number(BigInt.asIntN(32, top >> 64n)));
    this.lo = Number(BigInt.asIntN(32, top >> 32n));
    this.ext = Number(BigInt.asIntN(32, top)) | (isSticky ? 1 : 0);
  }

  /** The significand as an integer of 64 bits. */
  significand(): bigint {
    return (BigInt(this.hi >>> 0) << 32n) | BigInt(this.lo >>> 0);
  }

  /** Shifts the fraction right; what leaves it stays in the sticky bit. The exponent stays. */
  shiftRight(count: number): void {
    let n = count;
    if (n >= 96) {
      this.ext = (this.hi | this.lo | this.ext) !== 0 ? 1 : 0;
      this.hi = this.lo = 0;
      return;
    }
    for (; n >= 32; n -= 32) {
      this.ext = this.lo | (this.ext !== 0 ? 1 : 0);
      this.lo = this.hi;
      this.hi = 0;
    }
    if (n === 0) return;
    const lost = this.ext << (32 - n);
    this.ext = (this.ext >>> n) | (this.lo << (32 - n)) | (lost !== 0 ? 1 : 0);
    this.lo = (this.lo >>> n) | (this.hi << (32 - n));
    this.hi >>>= n;
  }

  /** Shifts a fraction that is not 0 left until its top bit is set, and lowers the exponent by as much. */
  normalize(): void {
    while (this.hi === 0) {
      this.hi = this.lo;
      this.lo = this.ext;
      this.ext = 0;
      this.exp -= 32;
    }
    const n = Math.clz32(this.hi);
    if (n === 0) return;
    this.hi = (this.hi << n) | (this.lo >>> (32 - n));
    this.lo = (this.lo << n) | (this.ext >>> (32 - n));
    this.ext <<= n;
    this.exp -= n;
  }
}

/** Number of bits of a positive integer. */
export function bitLength(value: bigint): number {
  const digits = value.toString(16);
  return digits.length * 4 - (Math.clz32(Number.parseInt(digits[0]!, 16)) - 28);
}

/** Compares unsigned 64-bit words: negative, 0 or positive. */
export function compare64(aHi: number, aLo: number, bHi: number, bLo: number): number {
  return aHi === bHi ? (aLo >>> 0) - (bLo >>> 0) : (aHi >>> 0) - (bHi >>> 0);
}

/** Upper half of the product of two unsigned words. */
export function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const other = a0 * b1 + (middle & 0xffff);
  return (a1 * b1 + (middle >>> 16) + (other >>> 16)) | 0;
}

/**
 * The floating-point arithmetic of the vector unit: one operation on 32- or 64-bit floats given as integer words.
 * Invariants: a result is what MXCSR's rounding, masks, DAZ and FTZ make of it (SDM vol 1, 11.5); exceptions of all
 * elements of an instruction add up in `ex`; no NaN ever passes through a JavaScript number.
 * Where both operands and the result are normal numbers, rounding is to nearest and only inexactness, already noted,
 * could come up, JavaScript's own arithmetic is used: it is IEEE 754's, and a float32 result rounded from a float64 one
 * is the correctly rounded one for + - x / and square root (Figueroa 1995).
 */
import { Calc, DE, IE, OE, PE, UE, ZE } from './calc.ts';
import { loadDouble, loadInteger, loadSingle, toInteger } from './formats.ts';
import { BIAS, type Extended, FINITE, INFINITE, QUIET, SIGNALLING, ZERO } from './number.ts';

export const ADD = 0;
export const MULTIPLY = 1;
export const SUBTRACT = 2;
export const DIVIDE = 3;
export const MINIMUM = 4;
export const MAXIMUM = 5;
export const SQUARE_ROOT = 6;

const MASKS = IE | DE | ZE | OE | UE | PE;
const ROUNDING = 0x6000;
const DAZ = 0x40;
const FTZ = 0x8000;

const SINGLE_BIAS = 127;
const DOUBLE_BIAS = 1023;
const SINGLE_INDEFINITE = 0xffc00000 | 0;
const DOUBLE_INDEFINITE = 0xfff80000 | 0;
const QUIET_SINGLE = 0x00400000;
const QUIET_DOUBLE = 0x00080000;

/** Where every comparison is false: unordered. */
export const UNORDERED_RESULT = 2;

/** Rounds to the format at hand instead of the 80-bit one. */
class FormatCalc extends Calc {
  bits = 24;
  bias = SINGLE_BIAS;

  override get precision(): number {
    return this.bits;
  }

  override round(): void {
    const { r } = this;
    const tinyUnmasked = (this.control & UE) === 0;
    const { hi, lo, ext, exp } = r;
    super.round(this.bits, BIAS - this.bias + 1, BIAS + this.bias, false);
    // An unmasked overflow or underflow still says whether the result would have been exact.
    const left = (this.ex & UE) !== 0 && tinyUnmasked;
    const over = (this.ex & OE) !== 0 && (this.control & OE) === 0;
    if (!left && !over) return;
    [r.hi, r.lo, r.ext, r.exp] = [hi, lo, ext, exp];
    this.cut(this.bits);
  }
}

export class VectorCalc {
  private readonly calc = new FormatCalc();
  private mxcsr = 0;
  private isFast = false;
  /** Exceptions so far. */
  ex = 0;
  /** Result: the lower or only word, and the upper one of a double. */
  lo = 0;
  hi = 0;
  private readonly words = new Int32Array(4);
  private readonly singles = new Float32Array(this.words.buffer);
  private readonly doubles = new Float64Array(this.words.buffer);

  /** Takes over rounding, masks, DAZ and FTZ for the elements of one instruction. */
  begin(mxcsr: number): void {
    this.mxcsr = mxcsr;
    this.ex = 0;
    this.isFast = (mxcsr & (ROUNDING | PE)) === PE && (mxcsr & (PE << 7)) !== 0;
    this.calc.control = ((mxcsr >> 7) & MASKS) | ((mxcsr & ROUNDING) >> 3);
  }

  /** The same with truncation, for conversions that always truncate. */
  truncating(): void {
    this.calc.control |= 0xc00;
  }

  // ---------------------------------------------------------------- operands

  private single(): void {
    this.calc.bits = 24;
    this.calc.bias = SINGLE_BIAS;
  }

  private double(): void {
    this.calc.bits = 53;
    this.calc.bias = DOUBLE_BIAS;
  }

  private get denormalsAreZero(): boolean {
    return (this.mxcsr & DAZ) !== 0;
  }

  private flush32(bits: number): number {
    return this.denormalsAreZero && (bits & 0x7f800000) === 0 ? bits & 0x80000000 : bits;
  }

  private isTiny64(hi: number): boolean {
    return this.denormalsAreZero && (hi & 0x7ff00000) === 0;
  }

  private take32(x: Extended, bits: number): void {
    loadSingle(x, this.flush32(bits));
  }

  private take64(x: Extended, hi: number, lo: number): void {
    if (this.isTiny64(hi)) x.setZero(hi >>> 31);
    else loadDouble(x, hi, lo);
  }

  private note(): void {
    this.ex |= this.calc.ex & MASKS;
  }

  // ---------------------------------------------------------------- results

  /** Exponent field of a finite result in r. */
  private exponentField(): number {
    const { r, bias } = this.calc;
    return r.hi < 0 ? r.exp - BIAS + bias : 0;
  }

  /** With FTZ a masked underflow gives zero, also if it was exact, or would have been rounded to a normal number. */
  private isFlushed(exponent: number): boolean {
    const flushes = (this.mxcsr & (FTZ | (UE << 7))) === (FTZ | (UE << 7));
    if (!flushes || (exponent !== 0 && (this.calc.ex & UE) === 0)) return false;
    this.calc.ex |= UE | PE;
    return true;
  }

  private pack32(): void {
    const { r } = this.calc;
    const sign = r.sign << 31;
    if (r.kind === ZERO) this.lo = sign;
    else if (r.kind === INFINITE) this.lo = sign | 0x7f800000;
    else if (r.kind !== FINITE) this.lo = SINGLE_INDEFINITE;
    else {
      const exponent = this.exponentField();
      this.lo = this.isFlushed(exponent) ? sign : sign | (exponent << 23) | ((r.hi >>> 8) & 0x7fffff);
    }
  }

  private pack64(): void {
    const { r } = this.calc;
    const sign = r.sign << 31;
    this.lo = 0;
    if (r.kind === ZERO) this.hi = sign;
    else if (r.kind === INFINITE) this.hi = sign | 0x7ff00000;
    else if (r.kind !== FINITE) this.hi = DOUBLE_INDEFINITE;
    else {
      const exponent = this.exponentField();
      if (this.isFlushed(exponent)) {
        this.hi = sign;
        return;
      }
      this.hi = sign | (exponent << 20) | ((r.hi >>> 11) & 0xfffff);
      this.lo = (r.hi << 21) | (r.lo >>> 11);
    }
  }

  // ---------------------------------------------------------------- arithmetic

  /** calc.r = a op b, both numbers. */
  private operate(op: number): void {
    const { calc } = this;
    calc.ex = 0;
    if (op === ADD) calc.add(0);
    else if (op === SUBTRACT) calc.add(1);
    else if (op === MULTIPLY) calc.multiply();
    else if (op === DIVIDE) calc.divide();
    else calc.squareRoot();
  }

  /** The smaller or larger of a and b: true if it is a. Of two zeros, and where one is a NaN, it is b. */
  private picksFirst(op: number): boolean {
    const { calc } = this;
    calc.ex = 0;
    const order = calc.compare(false);
    this.note();
    if ((order & 0x4500) === 0x4500) return false;
    return op === MINIMUM ? (order & 0x100) !== 0 : (order & 0x4100) === 0;
  }

  /** lo = a op b for 32-bit floats; the operand of a square root is b. */
  op32(op: number, a: number, b: number): void {
    if (this.isFast && this.fast32(op, a, b)) return;
    const { calc } = this;
    this.single();
    this.take32(calc.a, op === SQUARE_ROOT ? b : a);
    this.take32(calc.b, b);
    if (op === MINIMUM || op === MAXIMUM) {
      this.lo = this.picksFirst(op) ? this.flush32(a) : this.flush32(b);
      return;
    }
    const kindA = calc.a.kind;
    const kindB = calc.b.kind;
    if (kindA > INFINITE || kindB > INFINITE) {
      if (kindA === SIGNALLING || kindB === SIGNALLING) this.ex |= IE;
      // The first operand if that is a NaN (SDM vol 1, table 4-7).
      this.lo = (kindA > INFINITE && op !== SQUARE_ROOT ? a : b) | QUIET_SINGLE;
      return;
    }
    this.operate(op);
    this.pack32();
    this.note();
  }

  /** hi:lo = a op b for 64-bit floats; the operand of a square root is b. */
  op64(op: number, aHi: number, aLo: number, bHi: number, bLo: number): void {
    if (this.isFast && this.fast64(op, aHi, aLo, bHi, bLo)) return;
    const { calc } = this;
    this.double();
    if (op === SQUARE_ROOT) this.take64(calc.a, bHi, bLo);
    else this.take64(calc.a, aHi, aLo);
    this.take64(calc.b, bHi, bLo);
    if (op === MINIMUM || op === MAXIMUM) {
      const first = this.picksFirst(op);
      const hi = first ? aHi : bHi;
      const tiny = this.isTiny64(hi);
      this.hi = tiny ? hi & 0x80000000 : hi;
      this.lo = tiny ? 0 : first ? aLo : bLo;
      return;
    }
    const kindA = calc.a.kind;
    const kindB = calc.b.kind;
    if (kindA > INFINITE || kindB > INFINITE) {
      if (kindA === SIGNALLING || kindB === SIGNALLING) this.ex |= IE;
      const first = kindA > INFINITE && op !== SQUARE_ROOT;
      this.hi = (first ? aHi : bHi) | QUIET_DOUBLE;
      this.lo = first ? aLo : bLo;
      return;
    }
    this.operate(op);
    this.pack64();
    this.note();
  }

  /** True if it answered: operands and result are normal numbers, so that only PE could come up, and that is set. */
  private fast32(op: number, a: number, b: number): boolean {
    const { words, singles } = this;
    const expA = a & 0x7f800000;
    const expB = b & 0x7f800000;
    if (expA === 0 || expA === 0x7f800000 || expB === 0 || expB === 0x7f800000) return false;
    words[0] = a;
    words[1] = b;
    const x = singles[0]!;
    const y = singles[1]!;
    if (op === ADD) singles[2] = x + y;
    else if (op === SUBTRACT) singles[2] = x - y;
    else if (op === MULTIPLY) singles[2] = x * y;
    else if (op === DIVIDE) singles[2] = x / y;
    else return false;
    const result = words[2]!;
    const exp = result & 0x7f800000;
    // The smallest exponent as well: a result may have been rounded up to it.
    if (exp <= 0x00800000 || exp === 0x7f800000) return false;
    this.lo = result;
    return true;
  }

  private fast64(op: number, aHi: number, aLo: number, bHi: number, bLo: number): boolean {
    const { words, doubles } = this;
    const expA = aHi & 0x7ff00000;
    const expB = bHi & 0x7ff00000;
    if (expA === 0 || expA === 0x7ff00000 || expB === 0 || expB === 0x7ff00000) return false;
    words[0] = aLo;
    words[1] = aHi;
    const x = doubles[0]!;
    words[0] = bLo;
    words[1] = bHi;
    const y = doubles[0]!;
    if (op === ADD) doubles[0] = x + y;
    else if (op === SUBTRACT) doubles[0] = x - y;
    else if (op === MULTIPLY) doubles[0] = x * y;
    else if (op === DIVIDE) doubles[0] = x / y;
    else return false;
    const hi = words[1]!;
    const exp = hi & 0x7ff00000;
    if (exp <= 0x00100000 || exp === 0x7ff00000) return false;
    this.hi = hi;
    this.lo = words[0]!;
    return true;
  }

  // ---------------------------------------------------------------- comparison

  /** Order of calc.a and calc.b: -1, 0, 1 or UNORDERED_RESULT. `quiet`: a QNaN is no invalid operand. */
  private order(quiet: boolean): number {
    const { calc } = this;
    calc.ex = 0;
    const codes = calc.compare(quiet);
    this.note();
    if ((codes & 0x4500) === 0x4500) return UNORDERED_RESULT;
    return (codes & 0x4000) !== 0 ? 0 : (codes & 0x100) !== 0 ? -1 : 1;
  }

  compare32(a: number, b: number, quiet: boolean): number {
    this.take32(this.calc.a, a);
    this.take32(this.calc.b, b);
    return this.order(quiet);
  }

  compare64(aHi: number, aLo: number, bHi: number, bLo: number, quiet: boolean): number {
    this.take64(this.calc.a, aHi, aLo);
    this.take64(this.calc.b, bHi, bLo);
    return this.order(quiet);
  }

  // ---------------------------------------------------------------- conversion

  /** lo = calc.a as a 32-bit integer. */
  private integer(): void {
    const { calc } = this;
    calc.ex = 0;
    toInteger(calc, 32);
    this.lo = calc.r.lo;
    this.note();
  }

  integerOf32(bits: number): void {
    this.take32(this.calc.a, bits);
    this.integer();
  }

  integerOf64(hi: number, lo: number): void {
    this.take64(this.calc.a, hi, lo);
    this.integer();
  }

  /** lo = a signed integer as a 32-bit float. */
  singleOfInteger(value: number): void {
    const { calc } = this;
    this.single();
    calc.ex = 0;
    loadInteger(calc.a, value >> 31, value);
    calc.r.copy(calc.a);
    if (calc.r.kind === FINITE) calc.round();
    this.pack32();
    this.note();
  }

  /** hi:lo = a signed integer as a 64-bit float: always exact. */
  doubleOfInteger(value: number): void {
    this.doubles[0] = value;
    this.lo = this.words[0]!;
    this.hi = this.words[1]!;
  }

  /** hi:lo = a 32-bit float as a 64-bit one. */
  doubleOf32(bits: number): void {
    const { calc } = this;
    this.double();
    this.take32(calc.a, bits);
    const { kind } = calc.a;
    if (kind > INFINITE) {
      if (kind === SIGNALLING) this.ex |= IE;
      this.hi = (bits & 0x80000000) | 0x7ff80000 | ((bits & 0x7fffff) >>> 3);
      this.lo = bits << 29;
      return;
    }
    calc.ex = calc.a.denormal ? DE : 0;
    calc.r.copy(calc.a);
    this.pack64();
    this.note();
  }

  /** lo = a 64-bit float as a 32-bit one. */
  singleOf64(hi: number, lo: number): void {
    const { calc } = this;
    this.single();
    this.take64(calc.a, hi, lo);
    const { kind } = calc.a;
    if (kind === QUIET || kind === SIGNALLING) {
      if (kind === SIGNALLING) this.ex |= IE;
      this.lo = (hi & 0x80000000) | 0x7fc00000 | ((hi & 0x7ffff) << 3) | (lo >>> 29);
      return;
    }
    calc.ex = calc.a.denormal ? DE : 0;
    calc.r.copy(calc.a);
    if (kind === FINITE) calc.round();
    this.pack32();
    this.note();
  }

  // ---------------------------------------------------------------- approximations

  /**
   * lo = an approximation of 1/b, or of 1/sqrt(b) with `root`. No exceptions; denormals count as zeros (SDM vol 2, RCPPS).
   * Ours is the correctly rounded value cut to 12 bits of fraction: within the 1.5 x 2^-12 that the manual promises.
   */
  approximate(bits: number, root: boolean): void {
    const exponent = bits & 0x7f800000;
    const sign = bits & 0x80000000;
    if (exponent === 0x7f800000 && (bits & 0x7fffff) !== 0) this.lo = bits | QUIET_SINGLE;
    else if (exponent === 0) this.lo = sign | 0x7f800000;
    else if (root && sign !== 0) this.lo = SINGLE_INDEFINITE;
    else if (exponent === 0x7f800000) this.lo = sign;
    else {
      this.words[0] = bits;
      const x = this.singles[0]!;
      this.singles[0] = root ? 1 / Math.sqrt(x) : 1 / x;
      const result = (this.words[0]! + 0x400) & ~0x7ff;
      this.lo = (result & 0x7f800000) === 0 ? sign : result;
    }
  }
}

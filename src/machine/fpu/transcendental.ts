/**
 * The transcendental instructions, in integer arithmetic with a fixed point: the same bits on every host.
 * Method: operands become integers with at least 192 bits below their leading one, series are summed until their terms
 * vanish, and the result is rounded once, so it is the correctly rounded one but for ties closer than 2^-100.
 * Deviation from real units: those may be off by one unit in the last place (SDM vol 1, 8.3.10); comparisons with them
 * allow that. The argument of FSIN, FCOS, FSINCOS and FPTAN is reduced by the 66-bit pi of real units.
 * Source: SDM vol 1, 8.3.8 to 8.3.10; SDM vol 2, tables of FYL2X, FYL2XP1, FPATAN, F2XM1.
 */
import { type Calc, DE, PE, ZE } from './calc.ts';
import { BIAS, type Extended, FINITE, INFINITE, ZERO } from './number.ts';

/** Fraction bits of the working precision. */
const POINT = 256;
const WIDE = BigInt(POINT);
const ONE = 1n << WIDE;

/** atanh(z) = z + z^3/3 + z^5/5 ..., or atan(z) with alternating signs; z has `point` fraction bits. */
function arcSeries(z: bigint, point: bigint, alternates: boolean): bigint {
  const square = (z * z) >> point;
  let power = z;
  let sum = z;
  for (let n = 3n, negative = alternates; ; n += 2n, negative = alternates && !negative) {
    power = (power * square) >> point;
    const term = power / n;
    if (term === 0n) return sum;
    sum = negative ? sum - term : sum + term;
  }
}

/** ln 2 = 2 atanh(1/3); pi by Machin's formula. Guard bits below POINT keep their last bits right. */
const GUARD = 32n;
const LN2 = (2n * arcSeries((ONE << GUARD) / 3n, WIDE + GUARD, false)) >> GUARD;
const PI =
  (16n * arcSeries((ONE << GUARD) / 5n, WIDE + GUARD, true) -
    4n * arcSeries((ONE << GUARD) / 239n, WIDE + GUARD, true)) >>
  GUARD;
/** Half of pi as units of the time hold it: pi to 66 bits, the last two of which are 0. */
const REDUCTION_BITS = 66;
const HALF_PI = (PI >> BigInt(POINT + 2 - REDUCTION_BITS)) << BigInt(POINT + 1 - REDUCTION_BITS);

/** Magnitude of x with `point` fraction bits; exact if `point` is large enough. */
function fixed(x: Extended, point: number): bigint {
  const shift = x.exp - BIAS - 63 + point;
  return shift >= 0 ? x.significand() << BigInt(shift) : x.significand() >> BigInt(-shift);
}

/** Fraction bits that leave 192 behind the leading one of a number with this exponent. */
const pointFor = (exp: number): number => POINT + Math.max(0, BIAS - exp);

/** r = a signed fixed-point number, rounded; always inexact. */
function conclude(calc: Calc, value: bigint, point: number): void {
  const sign = value < 0n ? 1 : 0;
  calc.r.setBig(sign, sign === 1 ? -value : value, -point, true);
  calc.round(64);
}

/** r = a 2^a - 1, for a from -1 to 1. */
export function exponential(calc: Calc): void {
  const { a, r } = calc;
  if (calc.unaryNan()) return;
  if (a.kind === INFINITE && a.sign === 1) r.setOne(1);
  else if (a.kind !== FINITE) r.copy(a);
  else if (a.exp >= BIAS) {
    // -1 is exact. What is beyond is undefined: the operand comes back.
    r.copy(a);
    if (a.exp === BIAS && a.significand() === 1n << 63n && a.sign === 1) r.exp--;
  } else if (a.exp < BIAS - 80) {
    r.setBig(a.sign, a.significand() * LN2, a.exp - BIAS - 63 - POINT, true);
    calc.round(64);
  } else {
    const point = pointFor(a.exp);
    const wide = BigInt(point);
    const x = (fixed(a, point) * LN2) >> WIDE;
    const t = a.sign === 1 ? -x : x;
    let term = t;
    let sum = t;
    for (let n = 2n; term !== 0n && term !== -1n; n++) {
      term = ((term * t) >> wide) / n;
      sum += term;
    }
    conclude(calc, sum, point);
  }
}

/** log2 of the significand of x in [sqrt(1/2), sqrt(2)), plus the exponent; POINT fraction bits. */
function logarithm(x: Extended): bigint {
  let exponent = x.exp - BIAS;
  let m = x.significand() << BigInt(POINT - 63);
  if (m > (ONE * 181n) / 128n) {
    m >>= 1n;
    exponent++;
  }
  const ln = 2n * arcSeries(((m - ONE) << WIDE) / (m + ONE), WIDE, false);
  return (BigInt(exponent) << WIDE) + (ln << WIDE) / LN2;
}

/** r = b x value, where value has POINT fraction bits and is a logarithm. */
function timesLogarithm(calc: Calc, value: bigint, scale: number, inexact: boolean): void {
  const { b, r } = calc;
  const magnitude = (value < 0n ? -value : value) * b.significand();
  r.setBig(b.sign ^ (value < 0n ? 1 : 0), magnitude, b.exp - BIAS - 63 + scale, inexact);
  calc.round(64);
}

/** r = b x log2(a). */
export function yLog2x(calc: Calc): void {
  const { a, b, r } = calc;
  if (calc.binaryNan()) return;
  if (a.kind === ZERO) {
    if (b.kind === ZERO) calc.invalid();
    else {
      if (b.kind === FINITE) calc.ex = (calc.ex & ~DE) | ZE;
      r.setInfinity(b.sign ^ 1);
    }
    return;
  }
  if (a.sign === 1) {
    calc.invalid();
    return;
  }
  const isOne = a.kind === FINITE && a.exp === BIAS && a.significand() === 1n << 63n;
  const below = a.kind === FINITE && a.exp < BIAS ? 1 : 0;
  if (b.kind === INFINITE) {
    if (isOne) calc.invalid();
    else r.setInfinity(b.sign ^ below);
  } else if (a.kind === INFINITE) {
    if (b.kind === ZERO) calc.invalid();
    else r.setInfinity(b.sign);
  } else if (b.kind === ZERO || isOne) r.setZero(b.sign ^ below);
  else {
    timesLogarithm(calc, logarithm(a), -POINT, a.significand() !== 1n << 63n);
    // Real units report even an exact product as inexact.
    calc.ex |= PE;
  }
}

/** r = b x log2(1 + a). */
export function yLog2xPlus1(calc: Calc): void {
  const { a, b, r } = calc;
  if (calc.binaryNan()) return;
  const sign = a.sign ^ b.sign;
  if (a.kind === INFINITE) {
    if (a.sign === 1 || b.kind === ZERO) calc.invalid();
    else r.setInfinity(b.sign);
  } else if (a.kind === ZERO) {
    if (b.kind === INFINITE) calc.invalid();
    else r.setZero(sign);
  } else if (a.sign === 1 && a.exp >= BIAS) calc.invalid();
  else if (b.kind === INFINITE) r.setInfinity(sign);
  else if (b.kind === ZERO) r.setZero(sign);
  else if (a.exp < BIAS - 80) {
    const value = (a.significand() << (2n * WIDE)) / LN2;
    timesLogarithm(calc, a.sign === 1 ? -value : value, a.exp - BIAS - 63 - POINT, true);
  } else {
    const point = Math.max(pointFor(a.exp), POINT);
    const wide = BigInt(point);
    const magnitude = fixed(a, point);
    const x = a.sign === 1 ? -magnitude : magnitude;
    const s = (x << wide) / ((2n << wide) + x);
    timesLogarithm(calc, ((2n * arcSeries(s, wide, false)) << WIDE) / LN2, -point, true);
  }
}

/** arctangent of z, 0 < z <= 1, with `point` fraction bits. */
function arctangent(z: bigint, point: number): bigint {
  const wide = BigInt(point);
  const one = 1n << wide;
  // Above tan(pi/8) the series is slow: the angle is pi/4 less that of (1 - z) / (1 + z).
  if (z * 64n > one * 27n) return (PI >> 2n) - arctangent(((one - z) << wide) / (one + z), point);
  const value = arcSeries(z, wide, true);
  return value === z ? value - 1n : value;
}

/** r = angle of the point (a, b): arctangent of b / a in its quadrant. */
export function angle(calc: Calc): void {
  const { a, b, r } = calc;
  if (calc.binaryNan()) return;
  const west = a.sign === 1;
  const finish = (value: bigint): void => conclude(calc, b.sign === 1 ? -value : value, POINT);
  if (b.kind === ZERO || (a.kind === INFINITE && b.kind !== INFINITE)) {
    if (west) finish(PI);
    else r.setZero(b.sign);
  } else if (b.kind === INFINITE) {
    finish(a.kind === INFINITE ? (west ? (3n * PI) >> 2n : PI >> 2n) : PI >> 1n);
  } else if (a.kind === ZERO) finish(PI >> 1n);
  else {
    const apart = b.exp - a.exp;
    const steep = apart > 0 || (apart === 0 && b.significand() > a.significand());
    const [small, large] = steep ? [a, b] : [b, a];
    const tiny = large.exp - small.exp;
    // In a quadrant or octant that adds a part of pi, the fixed point of pi is enough.
    const point = steep || west || tiny < 2 ? POINT : POINT + tiny;
    const shift = BigInt(Math.max(point - tiny, 0));
    let z = (small.significand() << shift) / large.significand();
    if (z === 0n) z = 1n;
    const value = point === POINT ? arctangent(z, POINT) : slimArctangent(z, point);
    if (steep) finish(west ? (PI >> 1n) + value : (PI >> 1n) - value);
    else if (west) finish(PI - value);
    else conclude(calc, b.sign === 1 ? -value : value, point);
  }
}

/** arctangent of a z below 1/2, whatever `point`. */
function slimArctangent(z: bigint, point: number): bigint {
  if (z * 64n > 27n << BigInt(point)) return arctangent(z >> BigInt(point - POINT), POINT) << BigInt(point - POINT);
  const value = arcSeries(z, BigInt(point), true);
  return value === z ? value - 1n : value;
}

/** sin and cos of an angle within pi/4 of 0, with `point` fraction bits. */
function sineSeries(x: bigint, point: bigint, first: bigint, from: bigint): bigint {
  const square = (x * x) >> point;
  let term = first;
  let sum = first;
  for (let n = from; ; n += 2n) {
    term = -((term * square) >> point) / (n * (n + 1n));
    if (term === 0n) return sum;
    sum += term;
  }
}

/** Sine and cosine of a finite number below 2^63, by reduction to an octant. */
function sineCosine(a: Extended): { sin: bigint; cos: bigint; point: number } {
  const point = pointFor(a.exp);
  const wide = BigInt(point);
  const x = fixed(a, point);
  const halfPi = HALF_PI << BigInt(point - POINT);
  const turns = (2n * x + halfPi) / (2n * halfPi);
  const rest = x - turns * halfPi;
  let s = sineSeries(rest, wide, rest, 2n);
  if (s === rest && s > 0n) s -= 1n;
  const c = sineSeries(rest, wide, 1n << wide, 1n);
  const quadrant = Number(turns & 3n);
  const sin = [s, c, -s, -c][quadrant]!;
  const cos = [c, -s, -c, s][quadrant]!;
  return { sin: a.sign === 1 ? -sin : sin, cos, point };
}

/** True if a trigonometric instruction leaves a as it is: it is out of range. */
export function outOfRange(a: Extended): boolean {
  return a.kind === FINITE && a.exp >= BIAS + 63;
}

/** r = sine of a, which is in range. */
export function sine(calc: Calc): void {
  const { a, r } = calc;
  if (calc.unaryNan()) return;
  if (a.kind === INFINITE) calc.invalid();
  else if (a.kind === ZERO) r.copy(a);
  else {
    const { sin, point } = sineCosine(a);
    conclude(calc, sin, point);
  }
}

/** r = cosine of a, which is in range. */
export function cosine(calc: Calc): void {
  const { a, r } = calc;
  if (calc.unaryNan()) return;
  if (a.kind === INFINITE) calc.invalid();
  else if (a.kind === ZERO || a.exp < BIAS - 70) {
    r.setOne(0);
    if (a.kind === ZERO) return;
    // A hair below 1.
    calc.ex |= PE;
    r.setBig(0, (1n << 128n) - 1n, -128, true);
    calc.round(64);
  } else {
    const { cos, point } = sineCosine(a);
    conclude(calc, cos, point);
  }
}

/** r = tangent of a, which is in range. */
export function tangent(calc: Calc): void {
  const { a, r } = calc;
  if (calc.unaryNan()) return;
  if (a.kind === INFINITE) calc.invalid();
  else if (a.kind === ZERO) r.copy(a);
  else if (a.exp < BIAS - 70) {
    // A hair above its argument.
    r.setBig(a.sign, a.significand(), a.exp - BIAS - 63, true);
    calc.round(64);
  } else {
    const { sin, cos, point } = sineCosine(a);
    conclude(calc, (sin << BigInt(point)) / cos, point);
  }
}

/**
 * Handlers of x87 instructions that compute: from decoded operands, stack checks and exceptions to the arithmetic of
 * ../fpu.
 * Invariants: those of x87-base.ts.
 * Source: SDM vol 2, each instruction; where it leaves something open, the real CPU of test/oracle.
 */
import { FLAG_CF, FLAG_PF, FLAG_ZF, setArithmeticFlags } from '../flags.ts';
import { BEFORE, C0, C1, C2, C3, type Calc, IE, UNORDERED, ZE } from '../fpu/calc.ts';
import { toDouble, toInteger, toSingle } from '../fpu/formats.ts';
import type { Fpu } from '../fpu/fpu.ts';
import { BIAS, EXP_MAX, Extended, FINITE, INFINITE, UNSUPPORTED, ZERO } from '../fpu/number.ts';
import { outOfRange } from '../fpu/transcendental.ts';
import type { Handler } from '../insn.ts';
import type { Builder } from './row.ts';
import {
  copyRegister,
  finish,
  finishPush,
  note,
  prepared,
  type Reader,
  ready,
  setCodes,
  write64,
  write80,
} from './x87-base.ts';

// ---------------------------------------------------------------- arithmetic

export type Operation = (calc: Calc) => void;

export const add: Operation = (k) => k.add(0);
export const subtract: Operation = (k) => k.add(1);
export const multiply: Operation = (k) => k.multiply();
export const divide: Operation = (k) => k.divide();

/** ST(0) = ST(0) op memory, or memory op ST(0). */
export function withMemory(op: Operation, read: Reader, reversed: boolean): Builder {
  const handler: Handler = (c, i) => {
    const f = ready(c);
    const { calc } = f;
    read(c, i, reversed ? calc.a : calc.b);
    note(c, i);
    if (f.isEmpty(0)) f.stackUnderflow();
    else {
      f.load(0, reversed ? calc.b : calc.a);
      op(calc);
    }
    finish(f, 0, 0);
  };
  return prepared(handler);
}

/** ST(to) = ST(a) op ST(b). `index` picks ST(i) by the operands of the row. */
export function withRegister(op: Operation, toStack: boolean, reversed: boolean, pops: number): Builder {
  const handler: Handler = (c, i) => {
    const f = ready(c);
    note(c, i);
    const to = toStack ? i.b : 0;
    const from = toStack ? 0 : i.b;
    if (f.isEmpty(to) || f.isEmpty(from)) f.stackUnderflow();
    else {
      f.load(reversed ? from : to, f.calc.a);
      f.load(reversed ? to : from, f.calc.b);
      op(f.calc);
    }
    finish(f, to, pops);
  };
  return prepared(handler);
}

/** ST(0) = op of ST(0) alone. */
export function unary(op: Operation): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    if (f.isEmpty(0)) f.stackUnderflow();
    else {
      f.load(0, f.calc.a);
      op(f.calc);
    }
    finish(f, 0, 0);
  });
}

/** ST(1) = op of a = ST(0) and b = ST(1), then pop. */
export function binaryPop(op: Operation): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    if (f.isEmpty(0) || f.isEmpty(1)) f.stackUnderflow();
    else {
      f.load(0, f.calc.a);
      f.load(1, f.calc.b);
      op(f.calc);
    }
    finish(f, 1, 1);
  });
}

// ---------------------------------------------------------------- comparisons

/** The outcome of a comparison is there even if it is invalid and that is not masked; only the pops are not. */
export function finishCompare(f: Fpu, codes: number, pops: number): void {
  setCodes(f, codes);
  if (f.mayWrite) for (let n = 0; n < pops; n++) f.pop();
  f.commit();
}

export function compareMemory(read: Reader, pops: number): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    read(c, i, f.calc.b);
    note(c, i);
    finishCompare(f, compareTop(f, false), pops);
  });
}

/** Compares ST(0) with calc.b. */
export function compareTop(f: Fpu, quiet: boolean): number {
  if (f.isEmpty(0)) {
    f.stackUnderflow();
    return UNORDERED;
  }
  f.load(0, f.calc.a);
  return f.calc.compare(quiet);
}

export function compareStack(f: Fpu, index: number, quiet: boolean): number {
  if (f.isEmpty(index)) {
    f.stackUnderflow();
    return UNORDERED;
  }
  f.load(index, f.calc.b);
  return compareTop(f, quiet);
}

export function compareRegister(pops: number, quiet: boolean): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    finishCompare(f, compareStack(f, i.b, quiet), pops);
  });
}

/** FCOMI and relatives: the outcome goes to EFLAGS. */
export function compareToFlags(pops: number, quiet: boolean): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    const codes = compareStack(f, i.b, quiet);
    const flags =
      ((codes & C0) !== 0 ? FLAG_CF : 0) | ((codes & C2) !== 0 ? FLAG_PF : 0) | ((codes & C3) !== 0 ? FLAG_ZF : 0);
    setArithmeticFlags(c, flags);
    if (f.mayWrite) for (let n = 0; n < pops; n++) f.pop();
    f.commit();
  });
}

export const ftst: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  f.calc.b.setZero(0);
  finishCompare(f, compareTop(f, false), 0);
};

export const fxam: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  const { a } = f.calc;
  f.load(0, a);
  let codes = C3 | C0;
  if (!f.isEmpty(0)) {
    if (a.kind === ZERO) codes = C3;
    else if (a.kind === FINITE) codes = a.denormal ? C3 | C2 : C2;
    else if (a.kind === INFINITE) codes = C2 | C0;
    else codes = a.kind === UNSUPPORTED ? 0 : C0;
  }
  setCodes(f, codes | (a.sign === 1 ? C1 : 0));
};

// ---------------------------------------------------------------- loads

export function loadMemory(read: Reader): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    const { calc } = f;
    read(c, i, calc.a);
    note(c, i);
    if (!f.isEmpty(7)) f.stackOverflow();
    else if (!calc.unaryNan()) calc.r.copy(calc.a);
    finishPush(f);
  });
}

export const loadExtended: Handler = (c, i) => {
  const f = ready(c);
  const lin = c.readAddress(i, 10);
  const low = c.read32(lin);
  const high = c.read32((lin + 4) | 0);
  const signExp = c.read16((lin + 8) | 0);
  note(c, i);
  pushBits(f, signExp, high, low);
};

/** Pushes a number bit by bit: no check of what it is. */
export function pushBits(f: Fpu, signExp: number, high: number, low: number): void {
  if (!f.isEmpty(7)) f.stackOverflow();
  else {
    const { r } = f.calc;
    r.sign = signExp >> 15;
    r.exp = signExp & EXP_MAX;
    r.hi = high;
    r.lo = low;
  }
  finishPush(f);
}

export const loadRegister: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  if (f.isEmpty(i.b)) {
    f.stackUnderflow();
    finishPush(f);
    return;
  }
  const n = (f.top + i.b) & 7;
  pushBits(f, f.signExp[n]!, f.high[n]!, f.low[n]!);
};

/**
 * FLD1 and relatives: the value truncated to 64 bits, and whether the next bit is 1 (a rounding up to nearest).
 * Source: SDM vol 2, FLD1; digits from the closed forms.
 */
export function loadConstant(signExp: number, high: number, low: number, nearestIsUp: boolean | null): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    const { rounding } = f.calc;
    const up = nearestIsUp !== null && (rounding === 2 || (rounding === 0 && nearestIsUp));
    pushBits(f, signExp, high | 0, (low + (up ? 1 : 0)) | 0);
  });
}

// ---------------------------------------------------------------- stores

/** Converts calc.a into calc.r; returns what goes above 64 bits. */
export type Converter = (calc: Calc) => number;
export type StoreWidth = 16 | 32 | 64 | 80;

/** Bits of the answer to an empty register. */
export function indefinite(calc: Calc, width: StoreWidth, integer: boolean): number {
  const { r } = calc;
  r.lo = width === 16 ? 0x8000 : width === 32 ? (integer ? 0x80000000 | 0 : 0xffc00000 | 0) : 0;
  r.hi = width === 80 ? 0xc0000000 | 0 : integer ? 0x80000000 | 0 : 0xfff80000 | 0;
  return 0xffff;
}

export function storeMemory(convert: Converter, width: StoreWidth, integer: boolean, pops: number): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    const { calc } = f;
    let top = 0;
    if (f.isEmpty(0)) {
      f.stackUnderflow();
      top = indefinite(calc, width, integer);
    } else {
      f.load(0, calc.a);
      top = convert(calc);
    }
    if (f.mayStore) {
      const { hi, lo } = calc.r;
      if (width === 80) write80(c, i, top, hi, lo);
      else if (width === 64) write64(c, i, hi, lo);
      else if (width === 32) c.write32(c.writeAddress(i, 4), lo);
      else c.write16(c.writeAddress(i, 2), lo & 0xffff);
      if (pops !== 0) f.pop();
    } else c.prepareWrite(c.writeAddress(i, width >> 3), width >> 3);
    note(c, i);
    f.commit();
  });
}

export const singleOf: Converter = (k) => {
  toSingle(k);
  return 0;
};
export const doubleOf: Converter = (k) => {
  toDouble(k);
  return 0;
};
export const integerOf =
  (bits: 16 | 32 | 64): Converter =>
  (k) => {
    toInteger(k, bits);
    return 0;
  };

export const storeExtended: Handler = (c, i) => {
  const f = ready(c);
  const n = f.top;
  if (f.isEmpty(0)) {
    f.stackUnderflow();
    if (f.mayStore) write80(c, i, 0xffff, 0xc0000000 | 0, 0);
    else c.prepareWrite(c.writeAddress(i, 10), 10);
  } else write80(c, i, f.signExp[n]!, f.high[n]!, f.low[n]!);
  note(c, i);
  if (f.mayWrite) f.pop();
  f.commit();
};

/** ST(i) = ST(0). */
export function storeRegister(pops: number): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    if (f.isEmpty(0)) f.stackUnderflow();
    else copyRegister(f, 0);
    finish(f, i.b, pops);
  });
}

// ---------------------------------------------------------------- moves in the stack

/** FSTPNCE: FSTP ST(i) that only pops an empty register, without an exception (AMD's name; not in the SDM). */
export const moveAndPop: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  if (!f.isEmpty(0)) {
    copyRegister(f, 0);
    f.store(i.b, f.calc.r);
  }
  f.pop();
  f.commit();
};

export const fxch: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  const { r } = f.calc;
  if (f.isEmpty(0) || f.isEmpty(i.b)) f.stackUnderflow();
  if (f.mayWrite) {
    if (f.isEmpty(0)) storeIndefinite(f, 0);
    if (f.isEmpty(i.b)) storeIndefinite(f, i.b);
    copyRegister(f, 0);
    const { sign, exp, hi, lo } = r;
    copyRegister(f, i.b);
    f.store(0, r);
    f.storeBits(i.b, (sign << 15) | exp, hi, lo);
  }
  f.commit();
};

export function storeIndefinite(f: Fpu, to: number): void {
  f.storeBits(to, 0xffff, 0xc0000000 | 0, 0);
}

/** FCMOVcc; `mask` of EFLAGS, taken if any is set, or none with `negated`. */
export function conditionalMove(mask: number, negated: boolean): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    // C1 keeps its value, unless a register is empty.
    const codes = f.status & C1;
    if (f.isEmpty(0) || f.isEmpty(i.b)) f.stackUnderflow();
    else copyRegister(f, ((c.getEflags() & mask) !== 0) !== negated ? i.b : 0);
    finish(f, 0, 0);
    if (f.calc.ex === 0) f.status |= codes;
  });
}

/** FCHS, FABS: only the sign changes, of whatever is there. */
export function signOnly(change: (sign: number) => number): Handler {
  return (c, i) => {
    const f = ready(c);
    note(c, i);
    if (f.isEmpty(0)) f.stackUnderflow();
    else {
      copyRegister(f, 0);
      f.calc.r.sign = change(f.calc.r.sign);
    }
    finish(f, 0, 0);
  };
}

/** FFREE, FFREEP. */
export function free(pops: number): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    f.setEmpty(i.b);
    if (pops !== 0) f.pop();
    f.status &= ~C1;
  });
}

/** FINCSTP, FDECSTP. */
export function rotate(by: number): Handler {
  return (c, i) => {
    const f = ready(c);
    note(c, i);
    f.rotate(by);
    f.status &= ~C1;
  };
}

export const fnop: Handler = (c, i) => {
  ready(c);
  note(c, i);
};

// ---------------------------------------------------------------- two results

/** FXTRACT: the exponent replaces the number, the significand is pushed. */
export const fxtract: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  const { calc } = f;
  const { a, b, r } = calc;
  if (f.isEmpty(0) || !f.isEmpty(7)) {
    if (f.isEmpty(0)) f.stackUnderflow();
    else f.stackOverflow();
    b.copy(r);
  } else {
    f.load(0, a);
    if (calc.unaryNan()) b.copy(r);
    else if (a.kind === ZERO) {
      calc.ex |= ZE;
      r.copy(a);
      b.setInfinity(1);
    } else if (a.kind === INFINITE) {
      r.copy(a);
      b.setInfinity(0);
    } else {
      r.copy(a);
      r.exp = BIAS;
      const exponent = a.exp - BIAS;
      b.setInteger(exponent < 0 ? 1 : 0, 0, Math.abs(exponent));
    }
  }
  finishTwo(f);
};

/** Puts b into ST(0) and pushes r. */
export function finishTwo(f: Fpu): void {
  const { calc } = f;
  if (f.mayWrite) {
    f.store(0, calc.b);
    f.rotate(-1);
    f.store(0, calc.r);
  }
  f.commit();
}

/** FPTAN (pushes 1) and FSINCOS (pushes the cosine); out of range, C2 says so and nothing changes. */
export function trigonometricPair(first: Operation, second: Operation): Handler {
  return (c, i) => {
    const f = ready(c);
    note(c, i);
    const { calc } = f;
    f.status &= ~C2;
    if (f.isEmpty(0) || !f.isEmpty(7)) {
      if (f.isEmpty(0)) f.stackUnderflow();
      else f.stackOverflow();
      calc.b.copy(calc.r);
    } else {
      f.load(0, calc.a);
      if (outOfRange(calc.a)) {
        f.status = (f.status & ~C1) | C2;
        return;
      }
      second(calc);
      const { ex } = calc;
      const pushed = new Extended();
      pushed.copy(calc.r);
      f.load(0, calc.a);
      calc.ex = 0;
      first(calc);
      calc.ex |= ex & ~C1;
      calc.b.copy(calc.r);
      calc.r.copy(pushed);
      if ((calc.ex & IE) !== 0 || calc.a.kind > INFINITE) calc.r.copy(calc.b);
    }
    finishTwo(f);
  };
}

/** FSIN, FCOS. */
export function trigonometric(op: Operation): Handler {
  return (c, i) => {
    const f = ready(c);
    note(c, i);
    f.status &= ~C2;
    if (f.isEmpty(0)) f.stackUnderflow();
    else {
      f.load(0, f.calc.a);
      if (outOfRange(f.calc.a)) {
        f.status = (f.status & ~C1) | C2;
        return;
      }
      op(f.calc);
    }
    finish(f, 0, 0);
  };
}

export const one: Operation = (k) => k.r.setOne(0);

/** FPREM, FPREM1. */
export function remainder(nearest: boolean): Handler {
  return (c, i) => {
    const f = ready(c);
    note(c, i);
    const { calc } = f;
    let complete = true;
    calc.quotient = -1;
    if (f.isEmpty(0) || f.isEmpty(1)) f.stackUnderflow();
    else {
      f.load(0, calc.a);
      f.load(1, calc.b);
      complete = calc.remainder(nearest);
    }
    finish(f, 0, 0);
    const q = calc.quotient;
    if (q < 0 || (calc.ex & ~calc.control & BEFORE) !== 0) {
      f.status &= ~C2;
      return;
    }
    setCodes(f, (complete ? 0 : C2) | ((q & 4) !== 0 ? C0 : 0) | ((q & 2) !== 0 ? C3 : 0) | ((q & 1) !== 0 ? C1 : 0));
  };
}

/** FSCALE keeps ST(1). */
export const fscale: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  if (f.isEmpty(0) || f.isEmpty(1)) f.stackUnderflow();
  else {
    f.load(0, f.calc.a);
    f.load(1, f.calc.b);
    f.calc.scale();
  }
  finish(f, 0, 0);
};

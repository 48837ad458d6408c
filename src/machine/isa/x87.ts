/**
 * x87 instructions: rows D8 to DF and WAIT, and what they do between decoding and arithmetic: operands, stack checks,
 * exceptions, the pointers to the last instruction.
 * Invariants: state of the unit changes only after the last access that can fault; an instruction with an unmasked
 * exception that is found beforehand leaves all operands as they were; the exception is reported by the next
 * instruction that waits.
 * Source: SDM vol 1, chapter 8; SDM vol 2, each instruction; register forms that the SDM leaves out (second encodings of
 * FCOM, FCOMP, FXCH, FSTP, and FFREEP) as real CPUs execute them.
 */
import type { Cpu } from '../cpu.ts';
import { VECTOR_MF, VECTOR_NM } from '../exits.ts';
import { FLAG_CF, FLAG_PF, FLAG_ZF, setArithmeticFlags } from '../flags.ts';
import { BEFORE, C0, C1, C2, C3, type Calc, IE, UNORDERED, ZE } from '../fpu/calc.ts';
import { environmentOf, type Layout, loadEnvironment } from '../fpu/environment.ts';
import {
  loadDecimal,
  loadDouble,
  loadInteger,
  loadSingle,
  toDecimal,
  toDouble,
  toInteger,
  toSingle,
} from '../fpu/formats.ts';
import type { Fpu } from '../fpu/fpu.ts';
import { BIAS, EXP_MAX, Extended, FINITE, INFINITE, UNSUPPORTED, ZERO } from '../fpu/number.ts';
import { angle, cosine, exponential, outOfRange, sine, tangent, yLog2x, yLog2xPlus1 } from '../fpu/transcendental.ts';
import { type Handler, type Insn, SEG_CS } from '../insn.ts';
import { CR0_EM, CR0_MP, CR0_NE, CR0_TS } from '../paging.ts';
import { isProtected } from '../segments.ts';
import { type Builder, type Row, row } from './row.ts';

// ---------------------------------------------------------------- before and after an instruction

/** The unit may be used. */
function available(c: Cpu): Fpu {
  if ((c.cr0 & (CR0_EM | CR0_TS)) !== 0) c.raise(VECTOR_NM);
  return c.fpu;
}

/** Reports an unmasked exception that an earlier instruction left (SDM vol 1, 8.7). */
function report(c: Cpu): never {
  if ((c.cr0 & CR0_NE) === 0) c.unimplemented('floating-point error reported through FERR and IRQ 13 (CR0.NE is 0)');
  return c.raise(VECTOR_MF);
}

/** The unit may be used, and nothing is left to report. */
function ready(c: Cpu): Fpu {
  const f = available(c);
  if (f.isPending) report(c);
  f.calc.ex = 0;
  return f;
}

/** Remembers the instruction, and its operand if that is in memory. */
function note(c: Cpu, i: Insn): void {
  const f = c.fpu;
  f.instructionOffset = (c.eip - i.length) | 0;
  f.instructionSelector = c.segSelector[SEG_CS]!;
  f.opcode = i.imm;
  if (i.isMemory) {
    f.dataOffset = c.offset(i);
    f.dataSelector = c.segSelector[i.seg]!;
  }
}

/** Ends an instruction that changes ST(to) and pops `pops` times. */
function finish(f: Fpu, to: number, pops: number): void {
  if (f.mayWrite) {
    f.store(to, f.calc.r);
    if (pops !== 0) f.pop();
  }
  f.commit();
}

/** Ends an instruction that pushes calc.r, or the answer to a full stack. */
function finishPush(f: Fpu): void {
  if (f.mayPush) {
    f.rotate(-1);
    f.store(0, f.calc.r);
  }
  f.commit();
}

function setCodes(f: Fpu, codes: number): void {
  f.status = (f.status & ~(C0 | C1 | C2 | C3)) | codes;
}

// ---------------------------------------------------------------- memory operands

/** Reads a memory operand into x. */
type Reader = (c: Cpu, i: Insn, x: Extended) => void;

const readSingle: Reader = (c, i, x) => loadSingle(x, c.read32(c.readAddress(i, 4)));
const readWord: Reader = (c, i, x) => {
  const value = (c.read16(c.readAddress(i, 2)) << 16) >> 16;
  loadInteger(x, value >> 31, value);
};
const readInt: Reader = (c, i, x) => {
  const value = c.read32(c.readAddress(i, 4));
  loadInteger(x, value >> 31, value);
};
const readDouble: Reader = (c, i, x) => {
  const lin = c.readAddress(i, 8);
  const low = c.read32(lin);
  loadDouble(x, c.read32((lin + 4) | 0), low);
};
const readLong: Reader = (c, i, x) => {
  const lin = c.readAddress(i, 8);
  const low = c.read32(lin);
  loadInteger(x, c.read32((lin + 4) | 0), low);
};
const readDecimal: Reader = (c, i, x) => {
  const lin = c.readAddress(i, 10);
  const low = c.read32(lin);
  const high = c.read32((lin + 4) | 0);
  loadDecimal(x, c.read16((lin + 8) | 0), high, low);
};

function write64(c: Cpu, i: Insn, high: number, low: number): void {
  const lin = c.writeAddress(i, 8);
  c.prepareWrite(lin, 8);
  c.write32(lin, low);
  c.write32((lin + 4) | 0, high);
}

function write80(c: Cpu, i: Insn, top: number, high: number, low: number): void {
  const lin = c.writeAddress(i, 10);
  c.prepareWrite(lin, 10);
  c.write32(lin, low);
  c.write32((lin + 4) | 0, high);
  c.write16((lin + 8) | 0, top);
}

// ---------------------------------------------------------------- arithmetic

type Operation = (calc: Calc) => void;

const add: Operation = (k) => k.add(0);
const subtract: Operation = (k) => k.add(1);
const multiply: Operation = (k) => k.multiply();
const divide: Operation = (k) => k.divide();

/** ST(0) = ST(0) op memory, or memory op ST(0). */
function withMemory(op: Operation, read: Reader, reversed: boolean): Builder {
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
function withRegister(op: Operation, toStack: boolean, reversed: boolean, pops: number): Builder {
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
function unary(op: Operation): Builder {
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
function binaryPop(op: Operation): Builder {
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

/** Every builder of this file: the opcode for the environment, and the register number, are read once. */
function prepared(handler: Handler): Builder {
  return (insn) => {
    insn.imm = ((Number.parseInt(insn.row.opcode.slice(0, 2), 16) & 7) << 8) | insn.modrm;
    insn.b = insn.modrm & 7;
    return handler;
  };
}

// ---------------------------------------------------------------- comparisons

/** The outcome of a comparison is there even if it is invalid and that is not masked; only the pops are not. */
function finishCompare(f: Fpu, codes: number, pops: number): void {
  setCodes(f, codes);
  if (f.mayWrite) for (let n = 0; n < pops; n++) f.pop();
  f.commit();
}

function compareMemory(read: Reader, pops: number): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    read(c, i, f.calc.b);
    note(c, i);
    finishCompare(f, compareTop(f, false), pops);
  });
}

/** Compares ST(0) with calc.b. */
function compareTop(f: Fpu, quiet: boolean): number {
  if (f.isEmpty(0)) {
    f.stackUnderflow();
    return UNORDERED;
  }
  f.load(0, f.calc.a);
  return f.calc.compare(quiet);
}

function compareStack(f: Fpu, index: number, quiet: boolean): number {
  if (f.isEmpty(index)) {
    f.stackUnderflow();
    return UNORDERED;
  }
  f.load(index, f.calc.b);
  return compareTop(f, quiet);
}

function compareRegister(pops: number, quiet: boolean): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    finishCompare(f, compareStack(f, i.b, quiet), pops);
  });
}

/** FCOMI and relatives: the outcome goes to EFLAGS. */
function compareToFlags(pops: number, quiet: boolean): Builder {
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

const ftst: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  f.calc.b.setZero(0);
  finishCompare(f, compareTop(f, false), 0);
};

const fxam: Handler = (c, i) => {
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

function loadMemory(read: Reader): Builder {
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

const loadExtended: Handler = (c, i) => {
  const f = ready(c);
  const lin = c.readAddress(i, 10);
  const low = c.read32(lin);
  const high = c.read32((lin + 4) | 0);
  const signExp = c.read16((lin + 8) | 0);
  note(c, i);
  pushBits(f, signExp, high, low);
};

/** Pushes a number bit by bit: no check of what it is. */
function pushBits(f: Fpu, signExp: number, high: number, low: number): void {
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

const loadRegister: Handler = (c, i) => {
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
function loadConstant(signExp: number, high: number, low: number, nearestIsUp: boolean | null): Builder {
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
type Converter = (calc: Calc) => number;
type StoreWidth = 16 | 32 | 64 | 80;

/** Bits of the answer to an empty register. */
function indefinite(calc: Calc, width: StoreWidth, integer: boolean): number {
  const { r } = calc;
  r.lo = width === 16 ? 0x8000 : width === 32 ? (integer ? 0x80000000 | 0 : 0xffc00000 | 0) : 0;
  r.hi = width === 80 ? 0xc0000000 | 0 : integer ? 0x80000000 | 0 : 0xfff80000 | 0;
  return 0xffff;
}

function storeMemory(convert: Converter, width: StoreWidth, integer: boolean, pops: number): Builder {
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

const singleOf: Converter = (k) => {
  toSingle(k);
  return 0;
};
const doubleOf: Converter = (k) => {
  toDouble(k);
  return 0;
};
const integerOf =
  (bits: 16 | 32 | 64): Converter =>
  (k) => {
    toInteger(k, bits);
    return 0;
  };

const storeExtended: Handler = (c, i) => {
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
function storeRegister(pops: number): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    if (f.isEmpty(0)) f.stackUnderflow();
    else copyRegister(f, 0);
    finish(f, i.b, pops);
  });
}

/** calc.r = the bits of ST(from). */
function copyRegister(f: Fpu, from: number): void {
  const n = (f.top + from) & 7;
  const { r } = f.calc;
  r.sign = (f.signExp[n]! >> 15) & 1;
  r.exp = f.signExp[n]! & EXP_MAX;
  r.hi = f.high[n]!;
  r.lo = f.low[n]!;
}

// ---------------------------------------------------------------- moves in the stack

/** FSTPNCE: FSTP ST(i) that only pops an empty register, without an exception (AMD's name; not in the SDM). */
const moveAndPop: Handler = (c, i) => {
  const f = ready(c);
  note(c, i);
  if (!f.isEmpty(0)) {
    copyRegister(f, 0);
    f.store(i.b, f.calc.r);
  }
  f.pop();
  f.commit();
};

const fxch: Handler = (c, i) => {
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

function storeIndefinite(f: Fpu, to: number): void {
  f.storeBits(to, 0xffff, 0xc0000000 | 0, 0);
}

/** FCMOVcc; `mask` of EFLAGS, taken if any is set, or none with `negated`. */
function conditionalMove(mask: number, negated: boolean): Builder {
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
function signOnly(change: (sign: number) => number): Handler {
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
function free(pops: number): Builder {
  return prepared((c, i) => {
    const f = ready(c);
    note(c, i);
    f.setEmpty(i.b);
    if (pops !== 0) f.pop();
    f.status &= ~C1;
  });
}

/** FINCSTP, FDECSTP. */
function rotate(by: number): Handler {
  return (c, i) => {
    const f = ready(c);
    note(c, i);
    f.rotate(by);
    f.status &= ~C1;
  };
}

const fnop: Handler = (c, i) => {
  ready(c);
  note(c, i);
};

// ---------------------------------------------------------------- two results

/** FXTRACT: the exponent replaces the number, the significand is pushed. */
const fxtract: Handler = (c, i) => {
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
function finishTwo(f: Fpu): void {
  const { calc } = f;
  if (f.mayWrite) {
    f.store(0, calc.b);
    f.rotate(-1);
    f.store(0, calc.r);
  }
  f.commit();
}

/** FPTAN (pushes 1) and FSINCOS (pushes the cosine); out of range, C2 says so and nothing changes. */
function trigonometricPair(first: Operation, second: Operation): Handler {
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
function trigonometric(op: Operation): Handler {
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

const one: Operation = (k) => k.r.setOne(0);

/** FPREM, FPREM1. */
function remainder(nearest: boolean): Handler {
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
const fscale: Handler = (c, i) => {
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

// ---------------------------------------------------------------- control

const fldcw: Handler = (c, i) => {
  const f = ready(c);
  f.controlWord = c.read16(c.readAddress(i, 2));
};
const fnstcw: Handler = (c, i) => c.write16(c.writeAddress(i, 2), available(c).controlWord);
const fnstsw: Handler = (c, i) => c.write16(c.writeAddress(i, 2), available(c).statusWord);
const fnstswAx: Handler = (c) => {
  c.regs16[0] = available(c).statusWord;
};
const fnclex: Handler = (c) => available(c).clearExceptions();
const fninit: Handler = (c) => available(c).initialize();
/** FENI, FDISI, FSETPM: meant something to the 8087 and the 287. */
const obsolete: Handler = (c) => void available(c);

/** Which of the four layouts of the environment is in force. */
const layoutOf = (c: Cpu, i: Insn): Layout => ({ is32: i.width === 32, isProtected: isProtected(c) });
const environmentBytes = (layout: Layout): number => (layout.is32 ? 28 : 14);
const REGISTER_BYTES = 80;

function writeWords(c: Cpu, lin: number, words: readonly number[], is32: boolean): void {
  words.forEach((word, n) => {
    if (is32) c.write32((lin + 4 * n) | 0, word);
    else c.write16((lin + 2 * n) | 0, word & 0xffff);
  });
}

const readWords = (c: Cpu, lin: number, is32: boolean): number[] =>
  Array.from({ length: 7 }, (_, n) => (is32 ? c.read32((lin + 4 * n) | 0) : c.read16((lin + 2 * n) | 0)));

const fnstenv: Handler = (c, i) => {
  const f = available(c);
  const layout = layoutOf(c, i);
  const bytes = environmentBytes(layout);
  const lin = c.writeAddress(i, bytes);
  c.prepareWrite(lin, bytes);
  writeWords(c, lin, environmentOf(f, layout), layout.is32);
  f.controlWord |= 0x3f;
};

const fldenv: Handler = (c, i) => {
  const f = ready(c);
  const layout = layoutOf(c, i);
  const words = readWords(c, c.readAddress(i, environmentBytes(layout)), layout.is32);
  loadEnvironment(f, layout, words);
};

const fnsave: Handler = (c, i) => {
  const f = available(c);
  const layout = layoutOf(c, i);
  const bytes = environmentBytes(layout);
  const lin = c.writeAddress(i, bytes + REGISTER_BYTES);
  c.prepareWrite(lin, bytes + REGISTER_BYTES);
  writeWords(c, lin, environmentOf(f, layout), layout.is32);
  for (let n = 0; n < 8; n++) {
    const at = (lin + bytes + 10 * n) | 0;
    const physical = (f.top + n) & 7;
    c.write32(at, f.low[physical]!);
    c.write32((at + 4) | 0, f.high[physical]!);
    c.write16((at + 8) | 0, f.signExp[physical]!);
  }
  f.initialize();
};

const frstor: Handler = (c, i) => {
  const f = ready(c);
  const layout = layoutOf(c, i);
  const bytes = environmentBytes(layout);
  const lin = c.readAddress(i, bytes + REGISTER_BYTES);
  const words = readWords(c, lin, layout.is32);
  const registers = Array.from({ length: 8 }, (_, n): [number, number, number] => {
    const at = (lin + bytes + 10 * n) | 0;
    return [c.read32(at), c.read32((at + 4) | 0), c.read16((at + 8) | 0)];
  });
  loadEnvironment(f, layout, words);
  registers.forEach(([low, high, signExp], n) => {
    const physical = (f.top + n) & 7;
    f.low[physical] = low;
    f.high[physical] = high;
    f.signExp[physical] = signExp;
  });
};

const wait: Handler = (c) => {
  if ((c.cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS)) c.raise(VECTOR_NM);
  if (c.fpu.isPending) report(c);
};

// ---------------------------------------------------------------- rows

/** ADD, MUL, SUB, SUBR, DIV, DIVR by their place in the groups D8, DA, DC, DE. */
const ARITHMETIC: readonly (readonly [place: number, name: string, op: Operation, reversed: boolean])[] = [
  [0, 'ADD', add, false],
  [1, 'MUL', multiply, false],
  [4, 'SUB', subtract, false],
  [5, 'SUBR', subtract, true],
  [6, 'DIV', divide, false],
  [7, 'DIVR', divide, true],
];
const costOf = (op: Operation): 'float' | 'float-divide' => (op === divide ? 'float-divide' : 'float');
const SOURCES: readonly (readonly [opcode: string, prefix: string, operand: string, read: Reader])[] = [
  ['D8', 'F', 'Md', readSingle],
  ['DC', 'F', 'Mq', readDouble],
  ['DA', 'FI', 'Md', readInt],
  ['DE', 'FI', 'Mw', readWord],
];
const hex = (value: number): string => value.toString(16).toUpperCase();

const memoryRows = SOURCES.flatMap(([opcode, prefix, operand, read]) => [
  ...ARITHMETIC.map(([place, name, op, reversed]) =>
    row(`${opcode} /${place}`, prefix + name, operand, costOf(op), withMemory(op, read, reversed)),
  ),
  row(`${opcode} /2`, `${prefix}COM`, operand, 'float', compareMemory(read, 0)),
  row(`${opcode} /3`, `${prefix}COMP`, operand, 'float', compareMemory(read, 1)),
]);

/** With ST(i) as the destination, the places of the reversed forms are swapped (SDM vol 2, table ). */
const registerRows = ARITHMETIC.flatMap(([place, name, op, reversed]) => {
  const at = hex(0xc0 + 8 * place);
  const atStack = hex(0xc0 + 8 * (place >= 4 ? place ^ 1 : place));
  const cost = costOf(op);
  return [
    row(`D8 ${at}+i`, `F${name}`, 'ST0,STi', cost, withRegister(op, false, reversed, 0)),
    row(`DC ${atStack}+i`, `F${name}`, 'STi,ST0', cost, withRegister(op, true, reversed, 0)),
    row(`DE ${atStack}+i`, `F${name}P`, 'STi,ST0', cost, withRegister(op, true, reversed, 1)),
  ];
});

const moves: readonly (readonly [at: string, name: string, mask: number, negated: boolean])[] = [
  ['DA C0', 'FCMOVB', FLAG_CF, false],
  ['DA C8', 'FCMOVE', FLAG_ZF, false],
  ['DA D0', 'FCMOVBE', FLAG_CF | FLAG_ZF, false],
  ['DA D8', 'FCMOVU', FLAG_PF, false],
  ['DB C0', 'FCMOVNB', FLAG_CF, true],
  ['DB C8', 'FCMOVNE', FLAG_ZF, true],
  ['DB D0', 'FCMOVNBE', FLAG_CF | FLAG_ZF, true],
  ['DB D8', 'FCMOVNU', FLAG_PF, true],
];

/** A row of the plain class; most are. */
const plain = (opcode: string, name: string, operands: string, build: Builder): Row =>
  row(opcode, name, operands, 'float', build);
const single = (opcode: string, name: string, handler: Handler): Row => plain(opcode, name, '', prepared(handler));
const slow = (opcode: string, name: string, handler: Handler): Row =>
  row(opcode, name, '', 'float-function', prepared(handler));
const divides = (opcode: string, name: string, handler: Handler): Row =>
  row(opcode, name, '', 'float-divide', prepared(handler));
const control = (opcode: string, name: string, operands: string, handler: Handler): Row =>
  plain(opcode, name, operands, prepared(handler));
const state = (opcode: string, name: string, operands: string, handler: Handler): Row =>
  row(opcode, name, operands, 'float-state', prepared(handler));

/** Builders that unary() and binaryPop() make carry their own preparation. */
const function1 = (opcode: string, name: string, op: Operation): Row =>
  row(opcode, name, '', 'float-function', unary(op));
const function2 = (opcode: string, name: string, op: Operation): Row =>
  row(opcode, name, '', 'float-function', binaryPop(op));

export const x87Rows: readonly Row[] = [
  ...memoryRows,
  ...registerRows,
  // Compare.
  ...['D8 D0', 'DC D0'].map((at) => plain(`${at}+i`, 'FCOM', 'STi', compareRegister(0, false))),
  ...['D8 D8', 'DC D8', 'DE D0'].map((at) => plain(`${at}+i`, 'FCOMP', 'STi', compareRegister(1, false))),
  plain('DE D9', 'FCOMPP', '', compareRegister(2, false)),
  plain('DD E0+i', 'FUCOM', 'STi', compareRegister(0, true)),
  plain('DD E8+i', 'FUCOMP', 'STi', compareRegister(1, true)),
  plain('DA E9', 'FUCOMPP', '', compareRegister(2, true)),
  plain('DB E8+i', 'FUCOMI', 'STi', compareToFlags(0, true)),
  plain('DB F0+i', 'FCOMI', 'STi', compareToFlags(0, false)),
  plain('DF E8+i', 'FUCOMIP', 'STi', compareToFlags(1, true)),
  plain('DF F0+i', 'FCOMIP', 'STi', compareToFlags(1, false)),
  single('D9 E4', 'FTST', ftst),
  single('D9 E5', 'FXAM', fxam),
  // Load.
  plain('D9 /0', 'FLD', 'Md', loadMemory(readSingle)),
  plain('DD /0', 'FLD', 'Mq', loadMemory(readDouble)),
  plain('DB /5', 'FLD', 'Mt', prepared(loadExtended)),
  plain('D9 C0+i', 'FLD', 'STi', prepared(loadRegister)),
  plain('DF /0', 'FILD', 'Mw', loadMemory(readWord)),
  plain('DB /0', 'FILD', 'Md', loadMemory(readInt)),
  plain('DF /5', 'FILD', 'Mq', loadMemory(readLong)),
  row('DF /4', 'FBLD', 'Mt', 'float-function', loadMemory(readDecimal)),
  plain('D9 E8', 'FLD1', '', loadConstant(0x3fff, 0x80000000, 0, null)),
  plain('D9 E9', 'FLDL2T', '', loadConstant(0x4000, 0xd49a784b, 0xcd1b8afe, false)),
  plain('D9 EA', 'FLDL2E', '', loadConstant(0x3fff, 0xb8aa3b29, 0x5c17f0bb, true)),
  plain('D9 EB', 'FLDPI', '', loadConstant(0x4000, 0xc90fdaa2, 0x2168c234, true)),
  plain('D9 EC', 'FLDLG2', '', loadConstant(0x3ffd, 0x9a209a84, 0xfbcff798, true)),
  plain('D9 ED', 'FLDLN2', '', loadConstant(0x3ffe, 0xb17217f7, 0xd1cf79ab, true)),
  plain('D9 EE', 'FLDZ', '', loadConstant(0, 0, 0, null)),
  // Store.
  plain('D9 /2', 'FST', 'Md', storeMemory(singleOf, 32, false, 0)),
  plain('D9 /3', 'FSTP', 'Md', storeMemory(singleOf, 32, false, 1)),
  plain('DD /2', 'FST', 'Mq', storeMemory(doubleOf, 64, false, 0)),
  plain('DD /3', 'FSTP', 'Mq', storeMemory(doubleOf, 64, false, 1)),
  plain('DB /7', 'FSTP', 'Mt', prepared(storeExtended)),
  plain('DF /2', 'FIST', 'Mw', storeMemory(integerOf(16), 16, true, 0)),
  plain('DF /3', 'FISTP', 'Mw', storeMemory(integerOf(16), 16, true, 1)),
  plain('DB /2', 'FIST', 'Md', storeMemory(integerOf(32), 32, true, 0)),
  plain('DB /3', 'FISTP', 'Md', storeMemory(integerOf(32), 32, true, 1)),
  plain('DF /7', 'FISTP', 'Mq', storeMemory(integerOf(64), 64, true, 1)),
  row('DF /6', 'FBSTP', 'Mt', 'float-function', storeMemory(toDecimal, 80, true, 1)),
  plain('DD D0+i', 'FST', 'STi', storeRegister(0)),
  ...['DD D8', 'DF D0', 'DF D8'].map((at) => plain(`${at}+i`, 'FSTP', 'STi', storeRegister(1))),
  plain('D9 D8+i', 'FSTPNCE', 'STi', prepared(moveAndPop)),
  // Move.
  ...['D9 C8', 'DD C8', 'DF C8'].map((at) => plain(`${at}+i`, 'FXCH', 'STi', prepared(fxch))),
  ...moves.map(([at, name, mask, negated]) => plain(`${at}+i`, name, 'ST0,STi', conditionalMove(mask, negated))),
  single(
    'D9 E0',
    'FCHS',
    signOnly((sign) => sign ^ 1),
  ),
  single(
    'D9 E1',
    'FABS',
    signOnly(() => 0),
  ),
  plain('DD C0+i', 'FFREE', 'STi', free(0)),
  plain('DF C0+i', 'FFREEP', 'STi', free(1)),
  single('D9 F6', 'FDECSTP', rotate(-1)),
  single('D9 F7', 'FINCSTP', rotate(1)),
  single('D9 D0', 'FNOP', fnop),
  // Functions.
  plain(
    'D9 FC',
    'FRNDINT',
    '',
    unary((k) => k.roundToInteger()),
  ),
  single('D9 FD', 'FSCALE', fscale),
  single('D9 F4', 'FXTRACT', fxtract),
  row(
    'D9 FA',
    'FSQRT',
    '',
    'float-divide',
    unary((k) => k.squareRoot()),
  ),
  divides('D9 F8', 'FPREM', remainder(false)),
  divides('D9 F5', 'FPREM1', remainder(true)),
  function1('D9 F0', 'F2XM1', exponential),
  function2('D9 F1', 'FYL2X', yLog2x),
  function2('D9 F9', 'FYL2XP1', yLog2xPlus1),
  function2('D9 F3', 'FPATAN', angle),
  slow('D9 F2', 'FPTAN', trigonometricPair(tangent, one)),
  slow('D9 FB', 'FSINCOS', trigonometricPair(sine, cosine)),
  slow('D9 FE', 'FSIN', trigonometric(sine)),
  slow('D9 FF', 'FCOS', trigonometric(cosine)),
  // Control.
  control('D9 /5', 'FLDCW', 'Mw', fldcw),
  control('D9 /7', 'FNSTCW', 'Mw', fnstcw),
  control('DD /7', 'FNSTSW', 'Mw', fnstsw),
  control('DF E0', 'FNSTSW', 'AX', fnstswAx),
  control('DB E2', 'FNCLEX', '', fnclex),
  state('DB E3', 'FNINIT', '', fninit),
  control('DB E0', 'FENI', '', obsolete),
  control('DB E1', 'FDISI', '', obsolete),
  control('DB E4', 'FSETPM', '', obsolete),
  state('D9 /4', 'FLDENV', 'Me', fldenv),
  state('D9 /6', 'FNSTENV', 'Me', fnstenv),
  state('DD /4', 'FRSTOR', 'Mf', frstor),
  state('DD /6', 'FNSAVE', 'Mf', fnsave),
  row('9B', 'WAIT', '', 'simple', () => wait),
];

/**
 * Floating-point arithmetic, comparison and conversion of SSE and SSE2.
 * Invariants: those of vector-base.ts; exceptions of all elements add up before any is reported.
 * Source: SDM vol 2, each instruction; SDM vol 1, 11.5.
 */

import type { CostClass } from '../costs.ts';
import type { Cpu } from '../cpu.ts';
import { FLAG_CF, FLAG_PF, FLAG_ZF, FLAGS_ARITHMETIC } from '../flags.ts';
import type { Lanes, VectorUnit } from '../fpu/vector.ts';
import {
  ADD,
  DIVIDE,
  MAXIMUM,
  MINIMUM,
  MULTIPLY,
  SQUARE_ROOT,
  SUBTRACT,
  UNORDERED_RESULT,
  type VectorCalc,
} from '../fpu/vector-calc.ts';
import type { Handler } from '../insn.ts';
import type { Row } from './row.ts';
import {
  conclude,
  loadMmx,
  mmxReady,
  readMemory,
  readSource,
  storeMmx,
  vectorReady,
  vectorRow,
} from './vector-base.ts';

/** The four kinds of operands: how many elements of how many words, by prefix. */
interface Kind {
  readonly prefix: string;
  readonly suffix: string;
  readonly count: number;
  /** Words of one element. */
  readonly words: 1 | 2;
  readonly operand: string;
}
const PS: Kind = { prefix: 'NP', suffix: 'PS', count: 4, words: 1, operand: 'dq' };
const PD: Kind = { prefix: '66', suffix: 'PD', count: 2, words: 2, operand: 'dq' };
const SS: Kind = { prefix: 'F3', suffix: 'SS', count: 1, words: 1, operand: 'd' };
const SD: Kind = { prefix: 'F2', suffix: 'SD', count: 1, words: 2, operand: 'q' };
const KINDS = [PS, PD, SS, SD] as const;

/** Bytes of all elements of an operand. */
const bytesOf = (kind: Kind): number => 4 * kind.words * kind.count;

/** Register a = op of register a and the source, element by element; the rest of a scalar's register stays. */
const elements =
  (kind: Kind, op: (k: VectorCalc, a: Int32Array, b: Int32Array, at: number) => void): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    readSource(c, i, v, bytesOf(kind));
    v.load(i.a, v.a);
    v.calc.begin(v.mxcsr);
    const { count, words } = kind;
    for (let n = 0; n < count; n++) op(v.calc, v.a.i32, v.b.i32, n * words);
    conclude(c, v);
    v.store(i.a, v.a, count * words);
  };

const arithmetic = (kind: Kind, operation: number): Handler =>
  kind.words === 1
    ? elements(kind, (k, a, b, at) => {
        k.op32(operation, a[at]!, b[at]!);
        a[at] = k.lo;
      })
    : elements(kind, (k, a, b, at) => {
        k.op64(operation, a[at + 1]!, a[at]!, b[at + 1]!, b[at]!);
        a[at] = k.lo;
        a[at + 1] = k.hi;
      });

const approximation = (kind: Kind, root: boolean): Handler =>
  elements(kind, (k, a, b, at) => {
    k.approximate(b[at]!, root);
    a[at] = k.lo;
  });

// ---------------------------------------------------------------- comparison

function orderOf(k: VectorCalc, kind: Kind, a: Int32Array, b: Int32Array, at: number, quiet: boolean): number {
  return kind.words === 1
    ? k.compare32(a[at]!, b[at]!, quiet)
    : k.compare64(a[at + 1]!, a[at]!, b[at + 1]!, b[at]!, quiet);
}

/** EQ, LT, LE, UNORD by the lower two bits of the predicate; bit 2 negates. */
function holds(predicate: number, order: number): boolean {
  const unordered = order === UNORDERED_RESULT;
  const plain = [order === 0, order === -1, order === -1 || order === 0, unordered][predicate & 3]!;
  return plain !== ((predicate & 4) !== 0);
}

const compare =
  (kind: Kind): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    readSource(c, i, v, bytesOf(kind));
    v.load(i.a, v.a);
    v.calc.begin(v.mxcsr);
    const predicate = i.imm & 7;
    // LT and LE, and their negations, take no QNaN.
    const quiet = (predicate & 3) === 0 || (predicate & 3) === 3;
    const { count, words } = kind;
    for (let n = 0; n < count; n++) {
      const answer = holds(predicate, orderOf(v.calc, kind, v.a.i32, v.b.i32, n * words, quiet)) ? -1 : 0;
      v.a.i32.fill(answer, n * words, (n + 1) * words);
    }
    conclude(c, v);
    v.store(i.a, v.a, count * words);
  };

const compareToFlags =
  (kind: Kind, quiet: boolean): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    readSource(c, i, v, bytesOf(kind));
    v.load(i.a, v.a);
    v.calc.begin(v.mxcsr);
    const order = orderOf(v.calc, kind, v.a.i32, v.b.i32, 0, quiet);
    conclude(c, v);
    const flags =
      order === UNORDERED_RESULT ? FLAG_ZF | FLAG_PF | FLAG_CF : order === 0 ? FLAG_ZF : order === -1 ? FLAG_CF : 0;
    c.setEflags(flags, FLAGS_ARITHMETIC);
  };

// ---------------------------------------------------------------- conversion

/** Converts from lanes to lanes. */
type Conversion = (k: VectorCalc, from: Lanes, to: Lanes) => void;

const each32 =
  (op: (k: VectorCalc, bits: number) => void, count: number): Conversion =>
  (k, from, to) => {
    for (let n = 0; n < count; n++) {
      op(k, from.i32[n]!);
      to.i32[n] = k.lo;
    }
  };
/** 32-bit elements to 64-bit ones. */
const widening =
  (op: (k: VectorCalc, bits: number) => void, count: number): Conversion =>
  (k, from, to) => {
    for (let n = 0; n < count; n++) {
      op(k, from.i32[n]!);
      to.i32[2 * n] = k.lo;
      to.i32[2 * n + 1] = k.hi;
    }
  };
/** 64-bit elements to 32-bit ones; what is left of the register becomes 0. */
const narrowing =
  (op: (k: VectorCalc, hi: number, lo: number) => void, count: number): Conversion =>
  (k, from, to) => {
    for (let n = 0; n < count; n++) {
      op(k, from.i32[2 * n + 1]!, from.i32[2 * n]!);
      to.i32[n] = k.lo;
    }
    to.i32.fill(0, count);
  };

const integerToSingle = (k: VectorCalc, value: number): void => k.singleOfInteger(value);
const integerToDouble = (k: VectorCalc, value: number): void => k.doubleOfInteger(value);
const singleToInteger = (k: VectorCalc, bits: number): void => k.integerOf32(bits);
const doubleToInteger = (k: VectorCalc, hi: number, lo: number): void => k.integerOf64(hi, lo);

function run(c: Cpu, v: VectorUnit, op: Conversion, truncates: boolean): void {
  v.calc.begin(v.mxcsr);
  if (truncates) v.calc.truncating();
  op(v.calc, v.b, v.r);
  conclude(c, v);
}

/** From `bytes` of register or memory to the first `words` of a register. */
const convert =
  (op: Conversion, bytes: number, words: number, truncates = false): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    readSource(c, i, v, bytes);
    run(c, v, op, truncates);
    v.store(i.a, v.r, words);
  };
/** From a general register or memory. */
const fromGeneral =
  (op: Conversion, words: number): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    v.b.i32[0] = i.isMemory ? c.read32(c.readAddress(i, 4)) : c.regs[i.b]!;
    run(c, v, op, false);
    v.store(i.a, v.r, words);
  };
const toGeneral =
  (op: Conversion, bytes: number, truncates: boolean): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    readSource(c, i, v, bytes);
    run(c, v, op, truncates);
    c.regs[i.a] = v.r.i32[0]!;
  };
/** From an MMX register, or from memory, which leaves the x87 stack alone on the CPU of the vectors. */
const fromMmx =
  (op: Conversion, words: number): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    if (i.isMemory) readMemory(c, i, v.b, 8, false);
    else {
      const f = mmxReady(c);
      loadMmx(f, i.b, v.b);
      f.enterMmx();
    }
    run(c, v, op, false);
    v.store(i.a, v.r, words);
  };
const toMmx =
  (op: Conversion, bytes: number, truncates: boolean): Handler =>
  (c, i) => {
    const v = vectorReady(c);
    const f = mmxReady(c);
    readSource(c, i, v, bytes);
    run(c, v, op, truncates);
    f.enterMmx();
    storeMmx(f, i.a, v.r);
  };

// ---------------------------------------------------------------- rows

const forKinds = (
  kinds: readonly Kind[],
  code: string,
  name: string,
  make: (kind: Kind) => Handler,
  cost: CostClass = 'float',
  extra = '',
): Row[] =>
  kinds.map((kind) =>
    vectorRow(
      `${kind.prefix} 0F ${code}`,
      name + kind.suffix,
      `V${kind.operand},W${kind.operand}${extra}`,
      make(kind),
      cost,
    ),
  );
const float = (opcode: string, name: string, operands: string, handler: Handler): Row =>
  vectorRow(opcode, name, operands, handler, 'float');

const ARITHMETIC: readonly (readonly [code: string, name: string, operation: number, cost: CostClass])[] = [
  ['51', 'SQRT', SQUARE_ROOT, 'float-divide'],
  ['58', 'ADD', ADD, 'float'],
  ['59', 'MUL', MULTIPLY, 'float'],
  ['5C', 'SUB', SUBTRACT, 'float'],
  ['5D', 'MIN', MINIMUM, 'float'],
  ['5E', 'DIV', DIVIDE, 'float-divide'],
  ['5F', 'MAX', MAXIMUM, 'float'],
];

/** Without and with truncation. */
const TO_INTEGER = [
  ['2D', 'CVT', false],
  ['2C', 'CVTT', true],
] as const;

export const sseFloatRows: readonly Row[] = [
  ...ARITHMETIC.flatMap(([code, name, operation, cost]) =>
    forKinds(KINDS, code, name, (kind) => arithmetic(kind, operation), cost),
  ),
  ...forKinds([PS, SS], '52', 'RSQRT', (kind) => approximation(kind, true)),
  ...forKinds([PS, SS], '53', 'RCP', (kind) => approximation(kind, false)),
  ...forKinds(KINDS, 'C2', 'CMP', compare, 'float', ',Ib'),
  float('NP 0F 2E', 'UCOMISS', 'Vd,Wd', compareToFlags(SS, true)),
  float('66 0F 2E', 'UCOMISD', 'Vq,Wq', compareToFlags(SD, true)),
  float('NP 0F 2F', 'COMISS', 'Vd,Wd', compareToFlags(SS, false)),
  float('66 0F 2F', 'COMISD', 'Vq,Wq', compareToFlags(SD, false)),
  // Integers to floats.
  float('NP 0F 2A', 'CVTPI2PS', 'Vq,Qq', fromMmx(each32(integerToSingle, 2), 2)),
  float('66 0F 2A', 'CVTPI2PD', 'Vdq,Qq', fromMmx(widening(integerToDouble, 2), 4)),
  float('F3 0F 2A', 'CVTSI2SS', 'Vd,Ed', fromGeneral(each32(integerToSingle, 1), 1)),
  float('F2 0F 2A', 'CVTSI2SD', 'Vq,Ed', fromGeneral(widening(integerToDouble, 1), 2)),
  float('NP 0F 5B', 'CVTDQ2PS', 'Vdq,Wdq', convert(each32(integerToSingle, 4), 16, 4)),
  float('F3 0F E6', 'CVTDQ2PD', 'Vdq,Wq', convert(widening(integerToDouble, 2), 8, 4)),
  // Floats to integers.
  ...TO_INTEGER.flatMap(([code, name, truncates]) => [
    float(`NP 0F ${code}`, `${name}PS2PI`, 'Pq,Wq', toMmx(each32(singleToInteger, 2), 8, truncates)),
    float(`66 0F ${code}`, `${name}PD2PI`, 'Pq,Wdq', toMmx(narrowing(doubleToInteger, 2), 16, truncates)),
    float(`F3 0F ${code}`, `${name}SS2SI`, 'Gd,Wd', toGeneral(each32(singleToInteger, 1), 4, truncates)),
    float(`F2 0F ${code}`, `${name}SD2SI`, 'Gd,Wq', toGeneral(narrowing(doubleToInteger, 1), 8, truncates)),
  ]),
  float('66 0F 5B', 'CVTPS2DQ', 'Vdq,Wdq', convert(each32(singleToInteger, 4), 16, 4)),
  float('F3 0F 5B', 'CVTTPS2DQ', 'Vdq,Wdq', convert(each32(singleToInteger, 4), 16, 4, true)),
  float('F2 0F E6', 'CVTPD2DQ', 'Vdq,Wdq', convert(narrowing(doubleToInteger, 2), 16, 4)),
  float('66 0F E6', 'CVTTPD2DQ', 'Vdq,Wdq', convert(narrowing(doubleToInteger, 2), 16, 4, true)),
  // Floats to floats.
  float(
    'NP 0F 5A',
    'CVTPS2PD',
    'Vdq,Wq',
    convert(
      widening((k, bits) => k.doubleOf32(bits), 2),
      8,
      4,
    ),
  ),
  float(
    '66 0F 5A',
    'CVTPD2PS',
    'Vdq,Wdq',
    convert(
      narrowing((k, hi, lo) => k.singleOf64(hi, lo), 2),
      16,
      4,
    ),
  ),
  float(
    'F3 0F 5A',
    'CVTSS2SD',
    'Vq,Wd',
    convert(
      widening((k, bits) => k.doubleOf32(bits), 1),
      4,
      2,
    ),
  ),
  float(
    'F2 0F 5A',
    'CVTSD2SS',
    'Vd,Wq',
    convert(
      narrowing((k, hi, lo) => k.singleOf64(hi, lo), 1),
      8,
      1,
    ),
  ),
];

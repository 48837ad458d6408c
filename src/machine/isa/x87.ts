/**
 * The rows of the x87 unit: D8 to DF, and WAIT.
 * Invariant: a register form without a row is undefined (#UD).
 * Source: SDM vol 2, appendix A.5. Register forms that it leaves out (second encodings of FCOM, FCOMP, FXCH and FSTP, and
 * FFREEP) are as real CPUs execute them.
 */
import { FLAG_CF, FLAG_PF, FLAG_ZF } from '../flags.ts';
import { toDecimal } from '../fpu/formats.ts';
import { angle, cosine, exponential, sine, tangent, yLog2x, yLog2xPlus1 } from '../fpu/transcendental.ts';
import type { Handler } from '../insn.ts';
import { type Builder, type Row, row } from './row.ts';
import { prepared, type Reader, readDecimal, readDouble, readInt, readLong, readSingle, readWord } from './x87-base.ts';
import {
  fldcw,
  fldenv,
  fnclex,
  fninit,
  fnsave,
  fnstcw,
  fnstenv,
  fnstsw,
  fnstswAx,
  frstor,
  obsolete,
  wait,
} from './x87-control.ts';
import {
  add,
  binaryPop,
  compareMemory,
  compareRegister,
  compareToFlags,
  conditionalMove,
  divide,
  doubleOf,
  fnop,
  free,
  fscale,
  ftst,
  fxam,
  fxch,
  fxtract,
  integerOf,
  loadConstant,
  loadExtended,
  loadMemory,
  loadRegister,
  moveAndPop,
  multiply,
  type Operation,
  one,
  remainder,
  rotate,
  signOnly,
  singleOf,
  storeExtended,
  storeMemory,
  storeRegister,
  subtract,
  trigonometric,
  trigonometricPair,
  unary,
  withMemory,
  withRegister,
} from './x87-handlers.ts';

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

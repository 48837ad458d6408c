/**
 * Test cases for every row of the ISA table, generated from the table itself: operand notation says which forms there
 * are, recipes.ts what makes them interesting.
 * Invariant: the cases of a row depend on the seed, on the row's opcode, mnemonic, operands and lockable columns, and
 * on nothing else; so adding a row leaves the stored vectors of the others valid.
 */
import { assert } from '../../src/core/errors.ts';
import { type RandomStream, Streams } from '../../src/core/rng.ts';
import { aluRows } from '../../src/machine/isa/alu.ts';
import { bitRows } from '../../src/machine/isa/bits.ts';
import { controlRows } from '../../src/machine/isa/control.ts';
import { dataRows } from '../../src/machine/isa/data.ts';
import { ioRows } from '../../src/machine/isa/io.ts';
import type { Row } from '../../src/machine/isa/row.ts';
import { stringRows } from '../../src/machine/isa/strings.ts';
import { systemRows } from '../../src/machine/isa/system.ts';
import { Draft, EAX, EDX, ESP, littleEndian, signed8, type Width } from './draft.ts';
import { exemption } from './exempt.ts';
import { type Case, CODE_AT, CODE_END } from './layout.ts';
import { nearTarget, RECIPES, RECIPES_BY_OPCODE, type Wishes } from './recipes.ts';
import { valueIn } from './values.ts';

/** Rows by the file that stores their vectors. */
export const ROW_GROUPS: Readonly<Record<string, readonly Row[]>> = {
  alu: aluRows,
  bits: bitRows,
  control: controlRows,
  data: dataRows,
  io: ioRows,
  strings: stringRows,
  system: systemRows,
};

/** Names a row, in vectors and in messages. */
export const rowKey = (row: Row): string => `${row.opcode} ${row.mnemonic} ${row.operands.join(',')}`.trim();

type Form = 'register' | 'memory' | 'none';

/** One kind of case of a row. */
interface Plan {
  readonly row: Row;
  readonly width: Width;
  readonly form: Form;
  readonly count: number;
  /** LOCK in front of what does not allow it. */
  readonly badLock?: boolean;
  readonly trap?: boolean;
}

const COUNT_REGISTER = 140;
const COUNT_MEMORY = 180;
const COUNT_NONE = 120;
const COUNT_STRING = 500;
const COUNT_PRIVILEGED = 12;
const COUNT_DECIMAL = 1024;
const COUNT_BAD_LOCK = 3;
const COUNT_TRAP = 4;
const COUNT_UNDEFINED = 4;

const hasModrm = (row: Row): boolean => row.opcode.includes('/') || row.operands.some((o) => MODRM.test(o));
const MODRM = /^([EGM][bwdvpasq]?|[SCDR][wd])$/;
const isModrmOperand = (notation: string): boolean => MODRM.test(notation);
const needsMemory = (row: Row): boolean => row.operands.some((o) => o[0] === 'M');
const needsRegister = (row: Row): boolean => row.operands.some((o) => o === 'Rd');

const JUMPS = ['FF /2', 'FF /4'];
/** The fault of UD1 comes before its operand is fetched. */
const withoutMemory = (row: Row): boolean => needsRegister(row) || row.mnemonic === 'UD1';
/** LOCK VERW is no fault on the CPU of the vectors, and LOCK MOV CR0 names CR8 there. */
const admitsLock = (row: Row, form: Form): boolean =>
  (form === 'memory' && (row.lockable || row.mnemonic === 'VERW')) || row.operands.includes('Cd');

/** Register forms of these are prefixes of vector instructions, or other instructions altogether. */
const OTHER_WITH_REGISTER = ['C4', 'C5', '62', '0F 01', '0F 18'];

function plansOf(row: Row): Plan[] {
  const plans: Plan[] = [];
  const widths: readonly Width[] = row.byte ? [8] : row.mnemonic === 'BSWAP' || isDecimal(row) ? [32] : [32, 16];
  const scale = (count: number): number =>
    row.rule !== null || row.cost === 'io' ? COUNT_PRIVILEGED : isDecimal(row) ? COUNT_DECIMAL : count;
  for (const width of widths) {
    const add = (form: Form, count: number): void => {
      plans.push({ row, width, form, count });
      if (width === widths[0]) {
        plans.push({ row, width, form, count: COUNT_BAD_LOCK, badLock: true });
        plans.push({ row, width, form, count: COUNT_TRAP, trap: true });
      }
    };
    if (!hasModrm(row)) add('none', scale(row.string ? COUNT_STRING : COUNT_NONE));
    else {
      if (!withoutMemory(row)) add('memory', scale(COUNT_MEMORY));
      const isOther = OTHER_WITH_REGISTER.some((code) => row.opcode.startsWith(code) && needsMemory(row));
      if (!isOther) add('register', needsMemory(row) ? COUNT_UNDEFINED : scale(COUNT_REGISTER));
    }
  }
  return plans.filter((plan) => !(plan.badLock && admitsLock(row, plan.form)));
}

/** All cases of a row. `times` multiplies their number, for campaigns. */
export function casesOf(row: Row, seed: number, times: number): Case[] {
  assert(exemption(row) === null, `${rowKey(row)} is exempt`);
  const rng = new Streams(seed).stream(rowKey(row));
  const cases: Case[] = [];
  for (const plan of plansOf(row)) {
    for (let n = 0; n < plan.count * times; n++) cases.push(build(plan, rng, n));
  }
  return cases;
}

/** Adjustments of AL by CF and AF are few enough to try them all. */
const isDecimal = (row: Row): boolean => ['DAA', 'DAS', 'AAA', 'AAS'].includes(row.mnemonic);
function everyDecimal(d: Draft, n: number): void {
  d.setReg(EAX, 8, n & 0xff);
  d.eflags = (d.eflags & ~0x11) | ((n >> 8) & 1) | (((n >> 9) & 1) << 4);
}

/** Prefixes that change nothing where they stand. */
function addUselessPrefix(d: Draft, row: Row): void {
  if (row.byte && d.rng.chance(1, 2)) d.prefixes.push(0x66);
  else if (!/^(LOOP|JCXZ)/.test(row.mnemonic) && d.rng.chance(1, 2)) d.prefixes.push(0x67);
  else d.override(d.rng.below(6));
}

function build(plan: Plan, rng: RandomStream, n: number): Case {
  const { row, form } = plan;
  const d = new Draft(rng);
  if (isDecimal(row)) everyDecimal(d, n);
  d.chooseCode();
  d.setWidth(plan.width);
  if (form === 'memory' && d.sometimes(12)) d.flipAddressSize();
  if (row.operands.some((o) => o[0] === 'O') && d.sometimes(12)) d.flipAddressSize();
  const recipe = RECIPES_BY_OPCODE[row.opcode] ?? RECIPES[row.mnemonic];
  const wishes = recipe?.(d) ?? {};
  encodeOpcode(d, row);
  encodeOperands(d, row, form, wishes);
  if (plan.badLock || (row.lockable && form === 'memory' && d.sometimes(15))) d.prefixes.push(0xf0);
  const usesAddress = form === 'memory' || row.operands.some((o) => 'XYOB'.includes(o[0]!));
  if (!usesAddress && d.sometimes(4)) addUselessPrefix(d, row);
  if (plan.trap) d.eflags |= 0x100;
  shuffle(d.prefixes, rng);
  // Relative targets come last: they need the length.
  for (const notation of row.operands) if (notation[0] === 'J') encodeRelative(d, notation);
  return d.finish();
}

function encodeOpcode(d: Draft, row: Row): void {
  const parts = row.opcode.split(' ').filter((part) => !part.startsWith('/'));
  const bytes = parts.map((part) => Number.parseInt(part, 16));
  if (parts.at(-1)!.endsWith('+r')) {
    const r = d.rng.below(8);
    // 90 without a prefix is another row.
    const register = row.opcode === '90+r' && r === 0 ? 1 : r;
    bytes[bytes.length - 1]! += register;
    const width = row.operands[0] === 'Zb' ? 8 : d.width;
    d.setReg(register, width, valueIn(d.rng, width));
  }
  d.opcode = bytes;
}

/** Width in bits of an operand by the second letter of its notation. */
function widthOf(d: Draft, notation: string): Width {
  const letter = notation[1];
  return letter === 'b' ? 8 : letter === 'w' ? 16 : letter === 'd' ? 32 : d.width;
}

/** Bytes behind a memory operand. */
function memoryBytes(d: Draft, row: Row, notation: string): number {
  const size = d.width >> 3;
  if (notation === 'Mp') return size + 2;
  if (notation === 'Ma') return 2 * size;
  if (notation === 'Mq') return 8;
  if (notation === 'Ms') return 6;
  if (notation === 'Mb') return 1;
  return row.operands.includes('Sw') ? 2 : widthOf(d, notation) >> 3;
}

function encodeOperands(d: Draft, row: Row, form: Form, wishes: Wishes): void {
  const extension = / \/(\d)/.exec(row.opcode)?.[1];
  let reg = extension === undefined ? d.rng.below(8) : Number(extension);
  for (const notation of row.operands) {
    if (notation[0] === 'G' && isModrmOperand(notation)) {
      const width = widthOf(d, notation);
      d.setReg(reg, width, wishes.reg ?? valueIn(d.rng, width));
    } else if (notation === 'Sw' && d.sometimes(80)) reg = d.pick([0, 2, 3, 4, 5]);
    else if (notation === 'AL') d.setReg(EAX, 8, valueIn(d.rng, 8));
    else if (notation === 'eAX') d.setReg(EAX, d.width, valueIn(d.rng, d.width));
    else if (notation === 'DX') d.setReg(EDX, 16, valueIn(d.rng, 16));
    else if (notation[0] === 'O') encodeOffset(d, wishes);
  }
  const rm = row.operands.find((o) => isModrmOperand(o) && 'EMR'.includes(o[0]!)) ?? (hasModrm(row) ? 'Ev' : '');
  if (rm !== '') encodeModrm(d, row, form, rm, reg, wishes);
  encodeImmediates(d, row, wishes);
}

function encodeModrm(d: Draft, row: Row, form: Form, notation: string, reg: number, wishes: Wishes): void {
  const width = widthOf(d, notation);
  if (form === 'register') {
    const drawn = d.rng.below(8);
    // The value of an ESP that a recipe has already placed is no jump target.
    const register = JUMPS.includes(row.opcode) && drawn === ESP ? EAX : drawn;
    d.setReg(register, width, wishes.rm ?? valueIn(d.rng, width));
    d.modrm = [0xc0 | (reg << 3) | register];
    return;
  }
  const bytes = memoryBytes(d, row, notation);
  const lin = wishes.lin === undefined ? d.memoryOperand(reg, bytes) : d.memoryOperand(reg, bytes, wishes.lin);
  if (wishes.memory !== undefined) for (const [at, count, value] of wishes.memory) d.store(lin + at, count, value);
  else if (wishes.rm !== undefined || d.sometimes(90))
    d.store(lin, Math.min(bytes, 4), wishes.rm ?? valueIn(d.rng, width));
}

/** A memory operand given by its offset alone (MOV AL,Ob and relatives). */
function encodeOffset(d: Draft, wishes: Wishes): void {
  const bytes = d.width >> 3;
  const seg = d.chooseSegment(3);
  const offset = d.offsetIn(seg, d.target(bytes), bytes);
  d.immediate.push(...littleEndian(offset, d.address16 ? 2 : 4));
  assert(wishes.rm === undefined, 'no recipe for offset operands');
}

function encodeImmediates(d: Draft, row: Row, wishes: Wishes): void {
  const second = row.operands[0] === 'Iw' && row.operands[1] === 'Ib';
  row.operands.forEach((notation, n) => {
    const wish = second && n === 1 ? wishes.imm2 : wishes.imm;
    if (notation === 'Ib') d.immediate.push((wish ?? valueIn(d.rng, 8)) & 0xff);
    else if (notation === 'Iw') d.immediate.push(...littleEndian(wish ?? valueIn(d.rng, 16), 2));
    else if (notation === 'Iz' || notation === 'Iv') {
      d.immediate.push(...littleEndian(wish ?? valueIn(d.rng, d.width), d.width >> 3));
    } else if (notation === 'Ap') {
      d.immediate.push(...littleEndian(wishes.imm ?? 0, d.width >> 3), ...littleEndian(wishes.imm2 ?? 0, 2));
    }
  });
}

function encodeRelative(d: Draft, notation: string): void {
  // A branch whose next instruction would begin behind the limit faults on some CPUs even if it is taken.
  const end = d.codeAt + d.length + (notation === 'Jb' ? 1 : d.width >> 3);
  if (end === CODE_AT + 0x1000 || end === CODE_END) d.codeAt--;
  if (notation === 'Jb') {
    // Not back into the instruction itself: it would run for ever.
    const distance = signed8(d.rng.below(256));
    d.immediate.push((distance < 0 && distance > -20 ? -20 : distance) & 0xff);
    return;
  }
  const bytes = d.width >> 3;
  const target = nearTarget(d, d.width);
  d.immediate.push(...littleEndian(target - (d.eip + d.length + bytes), bytes));
}

function shuffle(list: number[], rng: RandomStream): void {
  for (let n = list.length - 1; n > 0; n--) {
    const other = rng.below(n + 1);
    [list[n], list[other]] = [list[other]!, list[n]!];
  }
}

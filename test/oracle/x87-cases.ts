/**
 * Test cases for the rows of the x87 unit. A case is FNINIT, FRSTOR of an image, the instruction, FNSAVE over the image:
 * so the whole state of the unit before and after is memory, and what the instruction changed is a change of memory.
 * Invariants: cases depend on the seed and on the row's opcode, mnemonic and operands only; after FNINIT nothing is
 * pending, and FNSAVE does not wait, so what the instruction leaves unreported is seen as well.
 */
import { type RandomStream, Streams } from '../../src/core/rng.ts';
import type { Row } from '../../src/machine/isa/row.ts';
import { Draft, DS, ES, FS, GS, littleEndian, SS } from './draft.ts';
import { type Case, CODE_AT, DATA_AT, SEL_DATA } from './layout.ts';
import { valueIn } from './values.ts';

/** Where the image of the unit lies. */
export const IMAGE_AT = DATA_AT + 0x1e00;
export const REGISTERS_AT = IMAGE_AT + 28;

const COUNT_MEMORY = 150;
const COUNT_ARITHMETIC = 260;
const COUNT_REGISTER = 120;
const COUNT_PLAIN = 40;

/** Sign and exponent, upper and lower word of the significand. */
type Float = readonly [signExp: number, high: number, low: number];

/** Numbers at the edges of formats and rules; the sign is drawn. */
const EDGES: readonly Float[] = [
  [0, 0, 0],
  [0, 0, 0],
  [0, 0, 1],
  [0, 0x7fffffff, 0xffffffff],
  [0, 0x40000000, 0],
  [0, 0x80000000, 0], // pseudo-denormals
  [0, 0xc0000000, 5],
  [1, 0x80000000, 0],
  [1, 0xffffffff, 0xffffffff],
  [0x3fff, 0x80000000, 0],
  [0x3fff, 0x80000000, 0],
  [0x3fff, 0x80000000, 1],
  [0x3ffe, 0xffffffff, 0xffffffff],
  [0x3fff, 0xc0000000, 0],
  [0x4000, 0x80000000, 0],
  [0x4000, 0xc0000000, 0],
  [0x4000, 0xc90fdaa2, 0x2168c235],
  [0x3fff, 0xc90fdaa2, 0x2168c235],
  [0x3ffe, 0x80000000, 0],
  [0x3ffd, 0x80000000, 0],
  [0x3fbe, 0x80000000, 0],
  [0x400d, 0xffff0000, 0], // 32767.5
  [0x400e, 0x80000000, 0],
  [0x400d, 0xfffe0000, 0],
  [0x401d, 0xffffffff, 0], // 2147483647.5
  [0x401e, 0x80000000, 0],
  [0x401e, 0x80000000, 0x80000000],
  [0x403d, 0xffffffff, 0xffffffff],
  [0x403e, 0x80000000, 0],
  [0x403e, 0xffffffff, 0xffffffff],
  [0x403a, 0xde0b6b3a, 0x76400000], // 10^18
  [0x403a, 0xde0b6b3a, 0x763ffff0],
  [0x7ffe, 0xffffffff, 0xffffffff],
  [0x7ffe, 0x80000000, 0],
  [0x7fff, 0x80000000, 0],
  [0x7fff, 0x80000000, 0],
  [0x7fff, 0xc0000000, 0],
  [0x7fff, 0xffffffff, 0xffffffff],
  [0x7fff, 0xc0000000, 0x1234],
  [0x7fff, 0x80000000, 1], // signalling
  [0x7fff, 0xa0000000, 0],
  [0x7fff, 0xbfffffff, 0xffffffff],
  [0x7fff, 0, 0], // unsupported from here on
  [0x7fff, 0x40000000, 0],
  [0x4000, 0x7fffffff, 0xffffffff],
  [0x3fff, 0, 1],
  // Ends of the single and double formats.
  [0x407e, 0xffffff7f, 0xffffffff],
  [0x407e, 0xffffff80, 0],
  [0x3f81, 0x80000000, 0],
  [0x3f80, 0xffffffff, 0],
  [0x3f6a, 0x80000000, 0],
  [0x3f69, 0x80000000, 0],
  [0x3f69, 0x80000000, 1],
  [0x43fe, 0xffffffff, 0xfffffbff],
  [0x43fe, 0xffffffff, 0xfffffc00],
  [0x3c01, 0x80000000, 0],
  [0x3c00, 0xffffffff, 0xffffffff],
  [0x3bcd, 0x80000000, 0],
  [0x3bcc, 0x80000000, 1],
];

/** Significands that lie at or near ties of the shorter formats. */
const TIES: readonly (readonly [high: number, low: number])[] = [
  [0x80000080, 0],
  [0x80000180, 0],
  [0x8000007f, 0xffffffff],
  [0x80000080, 1],
  [0x80000000, 0x400],
  [0x80000000, 0xc00],
  [0x80000000, 0x3ff],
  [0x80000000, 0x401],
  [0xffffffff, 0xfffffc00],
  [0xffffff80, 0],
  [0xffffffff, 0xffffffff],
];

function floatIn(rng: RandomStream): Float {
  const sign = rng.below(2) << 15;
  const roll = rng.below(100);
  if (roll < 40) {
    const [signExp, high, low] = EDGES[rng.below(EDGES.length)]!;
    return [signExp | sign, high, low];
  }
  if (roll < 52) {
    const [high, low] = TIES[rng.below(TIES.length)]!;
    return [sign | (0x3fff - 4 + rng.below(9)), high, low];
  }
  if (roll < 62) return [sign | (0x3fff + rng.below(12)), (0x80000000 | (rng.below(128) << 24)) >>> 0, 0];
  const [high, low] = [(rng.uint32() | 0x80000000) >>> 0, rng.chance(1, 2) ? rng.uint32() : 0];
  if (roll < 85) return [sign | (0x3fff - 8 + rng.below(17)), high, low];
  if (roll < 94) return [sign | (0x3fff - 70 + rng.below(141)), high, low];
  if (roll < 97) return [sign | (1 + rng.below(0x7ffe)), high, low];
  // Near the ends of the exponent range.
  return [sign | (rng.chance(1, 2) ? 1 + rng.below(80) : 0x7ffe - rng.below(80)), high, low];
}

const SINGLES = [
  0, 1, 0x7fffff, 0x800000, 0x3f800000, 0x40000000, 0x40400000, 0x7f7fffff, 0x7f800000, 0x7fc00000, 0x7f800001,
  0x7fffffff, 0x7fbfffff, 0x4b000001, 0x3f000000, 0x4f000000,
] as const;
const DOUBLES: readonly (readonly [high: number, low: number])[] = [
  [0, 0],
  [0, 1],
  [0x000fffff, 0xffffffff],
  [0x00100000, 0],
  [0x3ff00000, 0],
  [0x40000000, 0],
  [0x40080000, 0],
  [0x7fefffff, 0xffffffff],
  [0x7ff00000, 0],
  [0x7ff80000, 0],
  [0x7ff00000, 1],
  [0x7fffffff, 0xffffffff],
  [0x7ff7ffff, 0xffffffff],
  [0x3fe00000, 0],
  [0x43e00000, 0],
  [0x3ff00000, 1],
];

/** Packed decimal, all digits valid. */
function decimalIn(rng: RandomStream): number[] {
  const digits = rng.below(5) === 0 ? 18 : rng.below(19);
  const bytes = Array.from({ length: 10 }, () => 0);
  for (let n = 0; n < digits; n++) bytes[n >> 1]! |= (rng.chance(1, 6) ? 9 : rng.below(10)) << ((n & 1) * 4);
  bytes[9] = rng.below(2) << 7;
  return bytes;
}

function imageBytes(rng: RandomStream, is32: boolean): number[] {
  const { words, registers } = imageOf(rng, 4);
  const environment = words.flatMap((word) => littleEndian(word, is32 ? 4 : 2));
  return [...environment, ...registers.flat()];
}

/** Bytes of a memory operand of a row. */
function operandBytes(d: Draft, row: Row): number[] {
  const { rng } = d;
  const isInteger = row.mnemonic.startsWith('FI');
  switch (row.operands[0]) {
    case 'Mw':
      if (row.mnemonic === 'FLDCW') return littleEndian(controlIn(rng), 2);
      return littleEndian(valueIn(rng, 16), 2);
    case 'Md': {
      const sign = rng.below(2) << 31;
      const near = (0x3f800000 - (4 << 23) + rng.below(8 << 23)) | sign;
      const single = rng.chance(1, 2)
        ? SINGLES[rng.below(SINGLES.length)]! | sign
        : rng.chance(1, 2)
          ? near
          : rng.uint32();
      return littleEndian(isInteger ? valueIn(rng, 32) : single, 4);
    }
    case 'Mq': {
      const [high, low] = DOUBLES[rng.below(DOUBLES.length)]!;
      const sign = rng.below(2) << 31;
      const near = (0x3ff00000 - (4 << 20) + rng.below(8 << 20)) | sign;
      if (isInteger) return [...littleEndian(valueIn(rng, 32), 4), ...littleEndian(valueIn(rng, 32), 4)];
      if (rng.chance(1, 2)) return [...littleEndian(low, 4), ...littleEndian(high | sign, 4)];
      return [...littleEndian(rng.uint32(), 4), ...littleEndian(rng.chance(1, 2) ? near : rng.uint32(), 4)];
    }
    case 'Mt': {
      if (row.mnemonic === 'FBLD') return decimalIn(rng);
      return bytesOfFloat(floatIn(rng));
    }
    default:
      return imageBytes(rng, d.width === 32).slice(0, operandSize(d, row));
  }
}

function operandSize(d: Draft, row: Row): number {
  const environment = d.width === 32 ? 28 : 14;
  return { Mw: 2, Md: 4, Mq: 8, Mt: 10, Me: environment, Mf: environment + 80 }[row.operands[0]!]!;
}

const bytesOfFloat = ([signExp, high, low]: Float): number[] => [
  ...littleEndian(low, 4),
  ...littleEndian(high, 4),
  ...littleEndian(signExp, 2),
];

/** A control word: mostly all exceptions masked, any rounding, mostly full precision. */
function controlIn(rng: RandomStream): number {
  const masks = rng.chance(3, 4) ? 0x3f : rng.below(64);
  const precision = [3, 3, 3, 2, 2, 0, 0, 1][rng.below(8)]!;
  return 0x40 | masks | (precision << 8) | (rng.below(4) << 10) | (rng.chance(1, 8) ? rng.uint32() & 0xf080 : 0);
}

/** A state of the unit with `depth` interesting registers. */
function imageOf(rng: RandomStream, depth: number): { words: number[]; registers: number[][] } {
  const control = controlIn(rng);
  const flags = rng.chance(2, 3) ? 0 : rng.chance(1, 4) ? rng.below(128) : rng.below(128) & control;
  const top = rng.below(8);
  const status = flags | (rng.uint32() & 0x4700) | (top << 11);
  let tags = 0;
  const holes = rng.chance(1, 6) ? rng.uint32() : 0;
  for (let n = 0; n < 8; n++) {
    const physical = (top + n) & 7;
    const isEmpty = n === 7 ? !rng.chance(1, 10) : ((holes >> n) & 1) !== 0;
    if (isEmpty) tags |= 3 << (2 * physical);
    else if (rng.chance(1, 4)) tags |= rng.below(3) << (2 * physical);
  }
  const words = [control, status, tags, rng.uint32(), rng.uint32(), rng.uint32(), rng.uint32() & 0xffff];
  const registers = Array.from({ length: 8 }, (_, n) =>
    n < depth ? bytesOfFloat(floatIn(rng)) : bytesOfFloat([0, 0, 0]),
  );
  return { words, registers };
}

/** Operands that keep an instruction busy where random ones would not. */
function adjust(d: Draft, row: Row, registers: number[][]): void {
  const { rng } = d;
  const draw = (least: number, most: number): number[] =>
    bytesOfFloat([
      (rng.below(2) << 15) | (0x3fff + least + rng.below(most - least + 1)),
      (rng.uint32() | 0x80000000) >>> 0,
      rng.uint32(),
    ]);
  if (rng.chance(1, 3)) return;
  switch (row.mnemonic) {
    case 'F2XM1':
      registers[0] = draw(rng.chance(1, 4) ? -90 : -6, -1);
      break;
    case 'FYL2XP1':
      registers[0] = draw(rng.chance(1, 4) ? -90 : -8, -2);
      break;
    case 'FYL2X':
      registers[0] = draw(-30, 30);
      registers[0]![9]! &= 0x7f;
      break;
    case 'FSIN':
    case 'FCOS':
    case 'FSINCOS':
    case 'FPTAN':
      registers[0] = rng.chance(1, 2) ? draw(-40, 2) : draw(0, 64);
      break;
    case 'FPREM':
    case 'FPREM1':
      registers[1] = draw(-3, 3);
      registers[0] = rng.chance(1, 2) ? draw(-3, 20) : draw(0, 200);
      break;
    case 'FSCALE':
      registers[1] = draw(-1, rng.chance(1, 2) ? 6 : 16);
      break;
    case 'FRNDINT':
    case 'FBSTP':
      registers[0] = draw(-3, 66);
      break;
    default:
      if (/^FISTP?$/.test(row.mnemonic)) registers[0] = draw(-3, row.operands[0] === 'Mw' ? 16 : 34);
  }
}

/** What is undefined, so that CPUs differ: left out. */
function isUndefined(row: Row, registers: readonly number[][]): boolean {
  const exp = registers[0]![8]! | ((registers[0]![9]! & 0x7f) << 8);
  const isInfinite = exp === 0x7fff;
  if (row.mnemonic === 'F2XM1') return exp >= 0x3fff && !isInfinite;
  if (row.mnemonic === 'FYL2XP1') return exp >= 0x3ffd && !isInfinite;
  return false;
}

function caseOf(rng: RandomStream, row: Row, n: number): Case {
  const d = new Draft(rng);
  d.segments[FS] = d.segments[GS] = SEL_DATA;
  d.chooseCode();
  d.codeAt = CODE_AT + 0x80 + rng.below(0xe00);
  const hasWidth = ['Me', 'Mf'].includes(row.operands[0] ?? '');
  d.setWidth(hasWidth ? (n % 2 === 0 ? 32 : 16) : d.code32 ? 32 : 16);
  const { words, registers } = imageOf(rng, 3);
  adjust(d, row, registers);
  while (isUndefined(row, registers)) {
    registers[0] = bytesOfFloat(floatIn(rng));
    adjust(d, row, registers);
  }

  const parts = row.opcode.split(' ');
  d.opcode = [Number.parseInt(parts[0]!, 16)];
  const isMemory = row.operands[0]?.[0] === 'M';
  if (isMemory) {
    if (d.sometimes(8)) d.flipAddressSize();
    const bytes = operandBytes(d, row);
    const lin = d.memoryOperand(Number(parts[1]![1]), bytes.length);
    for (const [at, byte] of bytes.entries()) d.store(lin + at, 1, byte);
  } else if (parts.length > 1) {
    const index = parts[1]!.endsWith('+i') ? (rng.chance(2, 3) ? rng.below(3) : rng.below(8)) : 0;
    d.modrm = [Number.parseInt(parts[1]!, 16) + index];
  }
  const image = [...words.flatMap((word) => littleEndian(word, 4)), ...registers.flat()];
  for (const [at, byte] of image.entries()) d.store(IMAGE_AT + at, 1, byte);
  return surround(d);
}

/** Puts the instruction of the draft between FNINIT, FRSTOR and FNSAVE. */
function surround(d: Draft): Case {
  const plain = d.finish();
  const seg = [FS, GS, ES, DS, SS].find((s) => d.segments[s] === SEL_DATA)!;
  const prefixes = [[0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65][seg]!, ...(d.code32 ? [] : [0x66, 0x67])];
  const on = (reg: number): number[] => [...prefixes, 0xdd, (reg << 3) | 5, ...littleEndian(IMAGE_AT, 4)];
  const before = [0xdb, 0xe3, ...on(4)];
  return { ...plain, code: Uint8Array.from([...before, ...plain.code, ...on(6)]) };
}

function countOf(row: Row): number {
  if (row.mnemonic === 'FNOP' || row.operands[0] === 'Me' || row.operands[0] === 'Mf') return COUNT_PLAIN;
  if (row.operands[0]?.[0] === 'M')
    return /^FI?(ADD|SUBR?|MUL|DIVR?)$/.test(row.mnemonic) ? COUNT_ARITHMETIC : COUNT_MEMORY;
  return /^F(ADD|SUBR?|MUL|DIVR?|SQRT|PREM1?|SCALE|RNDINT)P?$/.test(row.mnemonic) ? COUNT_ARITHMETIC : COUNT_REGISTER;
}

/** All cases of a row. `times` multiplies their number. */
export function x87Cases(row: Row, seed: number, times: number): Case[] {
  const rng = new Streams(seed).stream(`${row.opcode} ${row.mnemonic} ${row.operands.join(',')}`);
  return Array.from({ length: countOf(row) * times }, (_, n) => caseOf(rng, row, n));
}

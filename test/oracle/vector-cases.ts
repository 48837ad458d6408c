/**
 * Test cases for the rows of MMX, SSE and SSE2. A case is FXRSTOR of an image, the instruction, FXSAVE over the image: so
 * all registers, MXCSR and the x87 stack before and after are memory, and what the instruction changed is a change of
 * memory. After an exception of the unit MXCSR is the error code of the outcome (native/harness.c).
 * Invariant: cases depend on the seed and on the row's opcode, mnemonic and operands only.
 */
import { type RandomStream, Streams } from '../../src/core/rng.ts';
import { FLAG_AC } from '../../src/machine/flags.ts';
import type { Row } from '../../src/machine/isa/row.ts';
import { Draft, DS, EDI, ES, FS, GS, littleEndian, SS } from './draft.ts';
import { type Case, CODE_AT, DATA_AT, SEL_DATA } from './layout.ts';

/** Where the image lies: up to the end of what may be written. */
export const VECTOR_IMAGE_AT = DATA_AT + 0x1e00;
const IMAGE_BYTES = 512;
const MXCSR_AT = 24;
const MMX_AT = 32;
const XMM_AT = 160;

const COUNT_FLOAT = 300;
const COUNT_PLAIN = 60;
const COUNT_FEW = 30;

const SINGLES: readonly number[] = [
  0, 1, 0x7fffff, 0x400000, 0x800000, 0x800001, 0x3f800000, 0x3f800000, 0x3f800001, 0x3f7fffff, 0x40000000, 0x40400000,
  0x7f7fffff, 0x7f7ffffe, 0x7f000000, 0x7f800000, 0x7f800000, 0x7fc00000, 0x7fc12345, 0x7fffffff, 0x7f800001,
  0x7fa00000, 0x3f000000, 0x3effffff, 0x3fc00000, 0x40200000, 0x4effffff, 0x4f000000, 0x4f000001, 0x4b7fffff,
  0x4b000001, 0x33800000, 0x33800001, 0x34000000, 0x20000000, 0x1fffffff, 0x5f000000, 0x00ffffff, 0x01000000,
  0x0c000000,
];
const DOUBLES: readonly (readonly [high: number, low: number])[] = [
  [0, 0],
  [0, 0],
  [0, 1],
  [0xfffff, 0xffffffff],
  [0x80000, 0],
  [0x100000, 0],
  [0x100000, 1],
  [0x3ff00000, 0],
  [0x3ff00000, 0],
  [0x3ff00000, 1],
  [0x3fefffff, 0xffffffff],
  [0x40000000, 0],
  [0x7fefffff, 0xffffffff],
  [0x7ff00000, 0],
  [0x7ff80000, 0],
  [0x7ff80000, 0x12345678],
  [0x7fffffff, 0xffffffff],
  [0x7ff00000, 1],
  [0x7ff40000, 0],
  [0x3fe00000, 0],
  [0x3ff80000, 0],
  [0x40040000, 0],
  [0x41dfffff, 0xffc00000], // 2147483647
  [0x41dfffff, 0xffe00000], // 2147483647.5
  [0x41e00000, 0],
  [0x41e00000, 0x00100000], // 2147483648.5
  [0x41e00000, 0x00200000], // 2147483649
  [0x47efffff, 0xe0000000], // the greatest single, and where rounding to it ends
  [0x47efffff, 0xefffffff],
  [0x47efffff, 0xf0000000],
  [0x38100000, 0], // the smallest single that is not denormal, and below
  [0x380fffff, 0xffffffff],
  [0x380fffff, 0xe0000000],
  [0x36a00000, 0],
  [0x36900000, 0],
  [0x36900000, 1],
  [0x3ff00000, 0x10000000], // ties between singles
  [0x3ff00000, 0x30000000],
  [0x20000000, 0],
  [0x1fffffff, 0xffffffff],
];
const BYTES = [0, 1, 0x7f, 0x80, 0xff, 0x81, 0xfe];

/** A mode that only AMD's CPUs have. */
const MISALIGNED = 0x20000;

type Content = 'single' | 'double' | 'integer';

/** Sixteen bytes as words. */
function lanes(rng: RandomStream, content: Content): number[] {
  const words: number[] = [];
  if (content === 'double') {
    for (let n = 0; n < 2; n++) {
      const sign = rng.below(2) << 31;
      const roll = rng.below(100);
      const [high, low] = DOUBLES[rng.below(DOUBLES.length)]!;
      if (roll < 50) words.push(low, high | sign);
      else if (roll < 85) words.push(rng.uint32(), sign | ((0x3e0 + rng.below(0x40)) << 20) | rng.below(0x100000));
      else if (roll < 93) words.push(0, sign | ((0x3fd + rng.below(0x24)) << 20) | rng.below(0x100000));
      else words.push(rng.uint32(), rng.uint32());
    }
    return words;
  }
  for (let n = 0; n < 4; n++) {
    const roll = rng.below(100);
    if (content === 'single') {
      const sign = rng.below(2) << 31;
      if (roll < 50) words.push(SINGLES[rng.below(SINGLES.length)]! | sign);
      else if (roll < 90) words.push(sign | ((0x60 + rng.below(0x40)) << 23) | rng.below(0x800000));
      else words.push(rng.uint32());
    } else if (roll < 50) {
      const byte = (): number => BYTES[rng.below(BYTES.length)]!;
      words.push(byte() | (byte() << 8) | (byte() << 16) | (byte() << 24));
    } else if (roll < 60) words.push([0, -1, 0x7fffffff, 0x80000000, 0x80008000, 0x7fff7fff][rng.below(6)]! | 0);
    else words.push(rng.uint32());
  }
  return words;
}

const contentOf = (row: Row): Content => {
  const { mnemonic } = row;
  if (/(DQ2|PI2|SI2)/.test(mnemonic)) return 'integer';
  if (/^CVTT?(PS|SS)/.test(mnemonic)) return 'single';
  if (/^CVTT?(PD|SD)/.test(mnemonic)) return 'double';
  return /[PS]S$/.test(mnemonic) ? 'single' : /[PS]D$/.test(mnemonic) ? 'double' : 'integer';
};

const COMPUTES = /^(U?COMI|CMP|CVT|ADD|SUB|MUL|DIV|SQRT|MIN|MAX)/;

function mxcsrIn(rng: RandomStream): number {
  const flags = rng.chance(1, 2) ? 0 : rng.chance(1, 2) ? 0x20 : rng.below(64);
  const masks = rng.chance(3, 4) ? 0x3f : rng.chance(1, 2) ? 0x3f ^ (1 << rng.below(6)) : rng.below(64);
  const modes = (rng.chance(1, 5) ? 0x40 : 0) | (rng.chance(1, 5) ? 0x8000 : 0);
  return flags | (masks << 7) | modes | ((rng.chance(1, 2) ? 0 : rng.below(4)) << 13);
}

/** An FXSAVE image. */
function imageOf(rng: RandomStream, content: Content): Uint8Array {
  const image = new Uint8Array(IMAGE_BYTES);
  const words = new Int32Array(image.buffer);
  for (let n = 0; n < words.length; n++) words[n] = rng.uint32();
  const pending = rng.chance(1, 30);
  const control = pending ? 0x37e : 0x37f;
  const status = (pending ? 1 : 0) | (rng.below(8) << 11) | (rng.uint32() & 0x4700);
  words[0] = control | (status << 16);
  words[1] = rng.below(256) | (rng.below(0x800) << 16);
  for (let n = 2; n < 6; n++) words[n] = 0;
  words[MXCSR_AT >> 2] = rng.chance(19, 20) || content === 'integer' ? mxcsrIn(rng) : mxcsrIn(rng) | 0x1f80;
  for (let n = 0; n < 8; n++) {
    const value = lanes(rng, content);
    words.set(value.slice(0, 2), (MMX_AT >> 2) + 4 * n);
    words.set(lanes(rng, content), (XMM_AT >> 2) + 4 * n);
  }
  // Mostly what FXSAVE puts into the gaps: the less changes, the less is stored.
  if (!rng.chance(1, 12)) {
    words[1]! &= 0xff;
    words[(MXCSR_AT >> 2) + 1] = MISALIGNED | 0xffff;
    for (let n = 0; n < 8; n++) {
      words[(MMX_AT >> 2) + 4 * n + 2]! &= 0xffff;
      words[(MMX_AT >> 2) + 4 * n + 3] = 0;
    }
  }
  return image;
}

/** Bytes of a memory operand by its notation. */
function sizeOf(notation: string): number {
  const sizes: Readonly<Record<string, number>> = { dq: 16, q: 8, d: 4, w: 2, b: 1, f: IMAGE_BYTES };
  return sizes[notation.slice(1)]!;
}

/** A memory operand whose register form is undefined. Others are instructions of their own. */
const hasNoRegisterForm = (row: Row): boolean => !/^NP 0F (12|16|AE)/.test(row.opcode);

const isShiftByOperand = (row: Row): boolean => /^PS(LL|RL|RA)/.test(row.mnemonic) && row.operands[1] !== 'Ib';

function caseOf(rng: RandomStream, row: Row): Case {
  const d = new Draft(rng);
  // Alignment checks are on in some.
  d.eflags = (d.eflags & ~FLAG_AC) | (rng.chance(1, 10) ? FLAG_AC : 0);
  d.segments[FS] = d.segments[GS] = SEL_DATA;
  d.chooseCode();
  d.codeAt = CODE_AT + 0x80 + rng.below(0xe00);
  const parts = row.opcode.split(' ');
  const [prefix, ...codes] = parts as [string, ...string[]];
  if (prefix !== 'NP') d.prefixes.push(Number.parseInt(prefix, 16));
  if (prefix.startsWith('F') && rng.chance(1, 20)) d.prefixes.push(0x66);
  if (rng.chance(1, 60)) d.prefixes.push(0xf0);
  const content = contentOf(row);
  const image = imageOf(rng, content);
  const words = new Int32Array(image.buffer);
  if (/^(RCP|RSQRT)/.test(row.mnemonic)) words[MXCSR_AT >> 2]! |= 0x1f80;
  const extension = /^\/(\d)$/.exec(parts.at(-1)!)?.[1];
  const whole = /^[C-F][0-9A-F]\+i$/.test(parts.at(-1)!);
  d.opcode = codes.slice(0, 2).map((code) => Number.parseInt(code, 16));
  const rm = row.operands.find((o) => /^[EQWMNU]/.test(o));
  const reg = extension !== undefined ? Number(extension) : rng.below(8);
  if (whole) d.modrm = [Number.parseInt(parts.at(-1)!, 16) + rng.below(8)];
  else if (rm !== undefined) {
    const mayBeMemory = rm[0] === 'M' ? !hasNoRegisterForm(row) || !rng.chance(1, 30) : rng.chance(1, 2);
    if (mayBeMemory && !/^[NU]/.test(rm)) encodeMemory(d, row, rm, reg, content);
    else {
      const register = rng.below(8);
      d.modrm = [0xc0 | (reg << 3) | register];
      // A count that means something.
      if (isShiftByOperand(row) && rng.chance(4, 5)) {
        const at = (rm[0] === 'Q' ? MMX_AT + 16 * register : XMM_AT + 16 * register) >> 2;
        words[at] = rng.below(72);
        words[at + 1] = 0;
      }
      if (rm[0] === 'E' && rng.chance(1, 3)) d.regs[register] = rng.below(0x2000) - 0x1000;
    }
  }
  if (row.operands.at(-1) === 'Ib') d.immediate = [immediateOf(rng, row)];
  if (row.mnemonic.startsWith('MASKMOV')) {
    const seg = d.chooseSegment(DS);
    const size = row.mnemonic === 'MASKMOVQ' ? 8 : 16;
    d.setReg(EDI, d.address16 ? 16 : 32, d.offsetIn(seg, d.target(size), size));
  }
  for (const [at, byte] of image.entries()) d.store(VECTOR_IMAGE_AT + at, 1, byte);
  return surround(d);
}

function immediateOf(rng: RandomStream, row: Row): number {
  if (/^PS(LL|RL|RA)/.test(row.mnemonic)) return rng.chance(9, 10) ? rng.below(72) : rng.below(256);
  return row.mnemonic.startsWith('CMP') ? rng.below(8) : rng.below(256);
}

function encodeMemory(d: Draft, row: Row, rm: string, reg: number, content: Content): void {
  const { rng } = d;
  if (d.sometimes(6)) d.flipAddressSize();
  const size = sizeOf(rm);
  const drawn = d.target(size);
  const lin = d.memoryOperand(reg, size, size >= 16 && d.sometimes(85) ? drawn & ~15 : drawn);
  if (row.mnemonic === 'FXRSTOR') {
    const other = imageOf(rng, content);
    if (rng.chance(1, 8)) other[MXCSR_AT + 3] = 1 << rng.below(8);
    for (const [at, byte] of other.entries()) d.store(lin + at, 1, byte);
  } else if (row.mnemonic === 'LDMXCSR') d.store(lin, 4, rng.chance(7, 8) ? mxcsrIn(rng) : rng.uint32() & ~MISALIGNED);
  else if (row.operands[0] !== rm) {
    const words = lanes(rng, content);
    if (isShiftByOperand(row) && rng.chance(4, 5)) words.splice(0, 2, rng.below(72), 0);
    for (let at = 0; at < Math.min(size, 16); at++) d.store(lin + at, 1, words[at >> 2]! >> (8 * (at & 3)));
  }
}

/** Puts the instruction of the draft between FXRSTOR and FXSAVE. */
function surround(d: Draft): Case {
  const plain = d.finish();
  const seg = [FS, GS, ES, DS, SS].find((s) => d.segments[s] === SEL_DATA)!;
  const prefixes = [[0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65][seg]!, ...(d.code32 ? [] : [0x67])];
  const on = (reg: number): number[] => [...prefixes, 0x0f, 0xae, (reg << 3) | 5, ...littleEndian(VECTOR_IMAGE_AT, 4)];
  return { ...plain, code: Uint8Array.from([...on(1), ...plain.code, ...on(0)]) };
}

function countOf(row: Row): number {
  if (COMPUTES.test(row.mnemonic)) return COUNT_FLOAT;
  return row.operands.length === 0 ? COUNT_FEW : COUNT_PLAIN;
}

/** All cases of a row. `times` multiplies their number. */
export function vectorCases(row: Row, seed: number, times: number): Case[] {
  const rng = new Streams(seed).stream(`${row.opcode} ${row.mnemonic} ${row.operands.join(',')}`);
  return Array.from({ length: countOf(row) * times }, () => caseOf(rng, row));
}

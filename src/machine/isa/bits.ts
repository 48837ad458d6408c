/**
 * Bit instructions: BT, BTS, BTR, BTC, BSF, BSR, SHLD, SHRD.
 * Source: SDM vol 2, operation section of each instruction.
 */
import type { Cpu } from '../cpu.ts';
import { FLAG_AF, FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAGS_ARITHMETIC, setCarry } from '../flags.ts';
import type { Handler, Insn } from '../insn.ts';
import { segmentAddress } from '../segments.ts';
import { modify, readReg, readRm, writeReg } from './forms.ts';
import { type Row, row } from './row.ts';

type BitChange = (value: number, mask: number) => number;

const keep: BitChange = (value) => value;
const set: BitChange = (value, mask) => value | mask;
const reset: BitChange = (value, mask) => value & ~mask;
const complement: BitChange = (value, mask) => value ^ mask;

/** A bit number from a register addresses memory beyond the operand: the byte offset it adds, a multiple of the width. */
function bitBase(insn: Insn, bit: number): number {
  return insn.width === 32 ? (bit >> 5) << 2 : (((bit << 16) >> 20) << 1) | 0;
}

/** BT with a bit number from a register, in memory. */
function bitInMemory(c: Cpu, i: Insn, bit: number, change: BitChange): void {
  const size = i.width === 32 ? 4 : 2;
  const offset = (c.offset(i) + bitBase(i, bit)) & i.addressMask;
  const writes = change !== keep;
  const flat = (c.segFlat & (writes ? i.flatWrite : i.flatRead)) !== 0;
  const lin = flat ? offset : segmentAddress(c, i.seg, offset, size, writes);
  if (writes) c.prepareWrite(lin, size);
  const mask = 1 << (bit & (i.width - 1));
  const value = size === 4 ? c.read32(lin) : c.read16(lin);
  if (writes) {
    if (size === 4) c.write32(lin, change(value, mask));
    else c.write16(lin, change(value, mask));
  }
  setCarry(c, (value & mask) !== 0 ? 1 : 0);
}

const bitTest =
  (change: BitChange): Handler =>
  (c, i) => {
    const immediate = i.row.operands[1] === 'Ib';
    if (i.isMemory && !immediate) {
      bitInMemory(c, i, readReg(c, i.b, i.width), change);
      return;
    }
    const mask = 1 << ((immediate ? i.imm : readReg(c, i.b, i.width)) & (i.width - 1));
    let old = 0;
    if (i.isMemory && change !== keep) {
      modify(
        c,
        i,
        i.width,
        (_c, value) => {
          old = value;
          return change(value, mask);
        },
        0,
      );
    } else {
      old = readRm(c, i, i.a, i.width);
      if (change !== keep) writeReg(c, i.a, i.width, change(old, mask));
    }
    setCarry(c, (old & mask) !== 0 ? 1 : 0);
  };

/** The destination keeps its value for a zero source, as on every Intel and AMD CPU (the manual says undefined). */
const scan =
  (reverse: boolean): Handler =>
  (c, i) => {
    const value = readRm(c, i, i.b, i.width);
    c.flagAux = 0;
    c.flagRes = value;
    if (value === 0) return;
    writeReg(c, i.a, i.width, reverse ? 31 - Math.clz32(value) : 31 - Math.clz32(value & -value));
  };

const unchanged = (_cpu: Cpu, value: number): number => value;

/** SHLD and SHRD. Counts above the width, possible with 16-bit operands, give an undefined result: see shift16. */
const doubleShift =
  (left: boolean): Handler =>
  (c, i) => {
    const count = (i.row.operands[2] === 'CL' ? c.regs8[4]! : i.imm) & 31;
    if (count === 0) {
      // Memory is written back even so, and must be writable.
      if (i.isMemory) modify(c, i, i.width, unchanged, 0);
      return;
    }
    const filler = readReg(c, i.b, i.width);
    const operate = (cpu: Cpu, value: number): number =>
      i.width === 32 ? shift32(cpu, value, filler, count, left) : shift16(cpu, value, filler, count, left);
    if (i.isMemory) modify(c, i, i.width, operate, 0);
    else writeReg(c, i.a, i.width, operate(c, readReg(c, i.a, i.width)));
  };

function record(c: Cpu, before: number, result: number, cf: number, sign: number): number {
  c.flagRes = result;
  const of = ((before ^ result) & sign) !== 0 ? 1 : 0;
  c.flagAux = (cf << 31) | ((cf ^ of) << 30);
  return result;
}

function shift32(c: Cpu, value: number, filler: number, count: number, left: boolean): number {
  const result = left ? (value << count) | (filler >>> (32 - count)) : (value >>> count) | (filler << (32 - count));
  const cf = left ? (value >>> (32 - count)) & 1 : (value >>> (count - 1)) & 1;
  return record(c, value, result | 0, cf, 0x80000000);
}

/**
 * 16-bit operands shift inside the 48-bit string value:filler:value. Past a count of 16 that is undefined by the manual
 * and what Intel's processors do; AMD's (Zen 5) have value:filler:filler.
 */
function shift16(c: Cpu, value: number, filler: number, count: number, left: boolean): number {
  let result: number;
  let cf: number;
  if (count <= 16) {
    result = left ? (value << count) | (filler >>> (16 - count)) : (value >>> count) | (filler << (16 - count));
    cf = left ? (value >>> (16 - count)) & 1 : (value >>> (count - 1)) & 1;
  } else {
    const k = count - 16;
    result = left ? (filler << k) | (value >>> (16 - k)) : (filler >>> k) | (value << (16 - k));
    cf = left ? (filler >>> (16 - k)) & 1 : (filler >>> (k - 1)) & 1;
  }
  const sign = ((value ^ result) & 0x8000) !== 0 ? 0x80000000 : 0;
  const extended = (result << 16) >> 16;
  return record(c, sign !== 0 ? ~extended : extended, extended, cf, 0x80000000) & 0xffff;
}

const OTHERS = FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
const BT_OPTIONS = { undefinedFlags: OTHERS } as const;
const BTX_OPTIONS = { undefinedFlags: OTHERS, memory: 'modify', lock: true } as const;
const SCAN_OPTIONS = { undefinedFlags: OTHERS | FLAG_CF } as const;
// AF always, OF for counts above one, all of them for counts above the width.
const DOUBLE_OPTIONS = { undefinedFlags: FLAGS_ARITHMETIC, memory: 'modify' } as const;

export const bitRows: readonly Row[] = [
  row('0F A3', 'BT', 'Ev,Gv', 'simple', () => bitTest(keep), BT_OPTIONS),
  row('0F AB', 'BTS', 'Ev,Gv', 'simple', () => bitTest(set), BTX_OPTIONS),
  row('0F B3', 'BTR', 'Ev,Gv', 'simple', () => bitTest(reset), BTX_OPTIONS),
  row('0F BB', 'BTC', 'Ev,Gv', 'simple', () => bitTest(complement), BTX_OPTIONS),
  row('0F BA /4', 'BT', 'Ev,Ib', 'simple', () => bitTest(keep), BT_OPTIONS),
  row('0F BA /5', 'BTS', 'Ev,Ib', 'simple', () => bitTest(set), BTX_OPTIONS),
  row('0F BA /6', 'BTR', 'Ev,Ib', 'simple', () => bitTest(reset), BTX_OPTIONS),
  row('0F BA /7', 'BTC', 'Ev,Ib', 'simple', () => bitTest(complement), BTX_OPTIONS),
  row('0F BC', 'BSF', 'Gv,Ev', 'simple', () => scan(false), SCAN_OPTIONS),
  row('0F BD', 'BSR', 'Gv,Ev', 'simple', () => scan(true), SCAN_OPTIONS),
  row('0F A4', 'SHLD', 'Ev,Gv,Ib', 'simple', () => doubleShift(true), DOUBLE_OPTIONS),
  row('0F A5', 'SHLD', 'Ev,Gv,CL', 'simple', () => doubleShift(true), DOUBLE_OPTIONS),
  row('0F AC', 'SHRD', 'Ev,Gv,Ib', 'simple', () => doubleShift(false), DOUBLE_OPTIONS),
  row('0F AD', 'SHRD', 'Ev,Gv,CL', 'simple', () => doubleShift(false), DOUBLE_OPTIONS),
];

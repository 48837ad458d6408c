/**
 * String instructions and their REP forms. Each iteration is one instruction: it is charged and counted before it
 * runs, may fault by itself, and the loop gives up when the budget is used, with EIP back at the instruction.
 * Long forward MOVS and STOS inside one page are done in bulk with the same count and cost.
 * Source: SDM vol 2, MOVS, STOS, CMPS, SCAS, LODS, REP.
 */
import { SPECIAL_DATA_BREAKPOINT } from '../breakpoints.ts';
import type { Cpu } from '../cpu.ts';
import { FLAG_DF } from '../flags.ts';
import { type Handler, type Insn, SEG_ES } from '../insn.ts';
import { segmentAddress } from '../segments.ts';
import { SUB } from './alu.ts';
import { readReg, writeReg } from './forms.ts';
import { type Builder, type Row, row } from './row.ts';

const ESI = 6;
const EDI = 7;

/** +size or -size by the direction flag. */
const stride = (c: Cpu, i: Insn): number => ((c.systemFlags & FLAG_DF) !== 0 ? -(i.width >> 3) : i.width >> 3);

/** Advances an index register by `by` within the address size. */
export function advance(c: Cpu, i: Insn, register: number, by: number): void {
  const mask = i.addressMask;
  c.regs[register] = (c.regs[register]! & ~mask) | ((c.regs[register]! + by) & mask);
}

/** Linear address of the source operand (DS:ESI, segment may be overridden). */
export function sourceAddress(c: Cpu, i: Insn): number {
  const offset = c.regs[ESI]! & i.addressMask;
  return (c.segFlat & i.flatRead) !== 0 ? offset : segmentAddress(c, i.seg, offset, i.width >> 3, false);
}

/** Linear address of the destination operand (ES:EDI, never overridden). */
export function destinationAddress(c: Cpu, i: Insn, write: boolean): number {
  const offset = c.regs[EDI]! & i.addressMask;
  const flat = write ? 0x100 << SEG_ES : 1 << SEG_ES;
  return (c.segFlat & flat) !== 0 ? offset : segmentAddress(c, SEG_ES, offset, i.width >> 3, write);
}

export function readElement(c: Cpu, lin: number, width: number): number {
  return width === 32 ? c.read32(lin) : width === 16 ? c.read16(lin) : c.read8(lin);
}

export function writeElement(c: Cpu, lin: number, width: number, value: number): void {
  if (width === 32) c.write32(lin, value);
  else if (width === 16) c.write16(lin, value);
  else c.write8(lin, value);
}

const movs: Handler = (c, i) => {
  const value = readElement(c, sourceAddress(c, i), i.width);
  writeElement(c, destinationAddress(c, i, true), i.width, value);
  const by = stride(c, i);
  advance(c, i, ESI, by);
  advance(c, i, EDI, by);
};
const stos: Handler = (c, i) => {
  writeElement(c, destinationAddress(c, i, true), i.width, readReg(c, 0, i.width));
  advance(c, i, EDI, stride(c, i));
};
const lods: Handler = (c, i) => {
  writeReg(c, 0, i.width, readElement(c, sourceAddress(c, i), i.width));
  advance(c, i, ESI, stride(c, i));
};
const cmps: Handler = (c, i) => {
  const a = readElement(c, sourceAddress(c, i), i.width);
  const b = readElement(c, destinationAddress(c, i, false), i.width);
  SUB[i.width as 8 | 16 | 32](c, a, b);
  const by = stride(c, i);
  advance(c, i, ESI, by);
  advance(c, i, EDI, by);
};
const scas: Handler = (c, i) => {
  const b = readElement(c, destinationAddress(c, i, false), i.width);
  SUB[i.width as 8 | 16 | 32](c, readReg(c, 0, i.width), b);
  advance(c, i, EDI, stride(c, i));
};

/** Iterations after the one already charged that fit in the budget: one starts whenever cycles are left. */
const affordable = (c: Cpu, i: Insn): number => (c.left <= 0 ? 0 : Math.ceil(c.left / i.cycles));

/** Elements up to the end of the page of `lin`. */
const inPage = (lin: number, size: number): number => (0x1000 - (lin & 0xfff)) / size;

/**
 * Does up to `wanted` iterations of a forward, flat, 32-bit-addressed MOVS or STOS of bytes or words at once.
 * Returns how many were done (0 = use the plain path). Only pages that the front table holds qualify.
 */
function bulk(c: Cpu, i: Insn, wanted: number, copies: boolean): number {
  const size = i.width >> 3;
  if ((c.special & SPECIAL_DATA_BREAKPOINT) !== 0) return 0;
  if (i.width === 16 || i.addressMask !== -1 || (c.systemFlags & FLAG_DF) !== 0) return 0;
  // Only where offsets are linear addresses and no limit ends inside the page.
  if ((c.segFlat & (0x100 << SEG_ES)) === 0 || (copies && (c.segFlat & i.flatRead) === 0)) return 0;
  const to = destinationAddress(c, i, true);
  const toAt = size === 4 ? c.modify32(to) : c.modify8(to);
  if (toAt < 0) return 0;
  let n = Math.min(wanted, inPage(to, size), 1 + affordable(c, i));
  if (copies) {
    const from = sourceAddress(c, i);
    if (size === 4 && (from & 3) !== 0) return 0;
    // This makes sure that the page is mapped and readable, and may fault as the iteration would.
    const fromAt = c.translate(from, c.cpl === 3 ? 4 : 0) / size;
    if (fromAt < 0) return 0;
    n = Math.min(n, inPage(from, size));
    const view = size === 4 ? c.words32 : c.bytes;
    // Not copyWithin: an overlapping forward copy repeats the pattern.
    for (let k = 0; k < n; k++) view[toAt + k] = view[fromAt + k]!;
    c.regs[ESI] = (from + n * size) | 0;
  } else if (size === 4) c.words32.fill(c.regs[0]!, toAt, toAt + n);
  else c.bytes.fill(c.regs8[0]!, toAt, toAt + n);
  c.regs[EDI] = (to + n * size) | 0;
  c.left -= (n - 1) * i.cycles;
  c.count += n - 1;
  return n;
}

type BulkKind = 'copy' | 'fill' | null;

/** Wraps one iteration into the REP loop. `wantedZero`: ZF that lets REPE (1) or REPNE (0) go on, or null for REP. */
function repeat(body: Handler, wantedZero: 0 | 1 | null, bulkKind: BulkKind): Handler {
  return (c, i) => {
    const mask = i.addressMask;
    for (;;) {
      const counter = c.regs[1]! & mask;
      if (counter === 0) return;
      const done = bulkKind !== null && counter >>> 0 > 8 ? bulk(c, i, counter >>> 0, bulkKind === 'copy') : 0;
      if (done === 0) body(c, i);
      const rest = (counter - Math.max(done, 1)) & mask;
      c.regs[1] = (c.regs[1]! & ~mask) | rest;
      if (rest === 0) return;
      if (wantedZero !== null && (c.flagRes === 0 ? 1 : 0) !== wantedZero) return;
      if (c.left <= 0) {
        c.eip = (c.eip - i.length) | 0;
        c.continueRepeat();
        return;
      }
      c.left -= i.cycles;
      c.count++;
    }
  };
}

const plain = (body: Handler, bulkKind: BulkKind): Builder => {
  const repeated = repeat(body, null, bulkKind);
  return (i) => (i.rep !== 0 ? repeated : body);
};
const comparing = (body: Handler): Builder => {
  const whileEqual = repeat(body, 1, null);
  const whileUnequal = repeat(body, 0, null);
  return (i) => (i.rep === 0xf3 ? whileEqual : i.rep === 0xf2 ? whileUnequal : body);
};

export const stringRows: readonly Row[] = [
  row('A4', 'MOVS', 'Yb,Xb', 'string', plain(movs, 'copy')),
  row('A5', 'MOVS', 'Yv,Xv', 'string', plain(movs, 'copy')),
  row('A6', 'CMPS', 'Xb,Yb', 'string', comparing(cmps)),
  row('A7', 'CMPS', 'Xv,Yv', 'string', comparing(cmps)),
  row('AA', 'STOS', 'Yb,AL', 'string', plain(stos, 'fill')),
  row('AB', 'STOS', 'Yv,eAX', 'string', plain(stos, 'fill')),
  row('AC', 'LODS', 'AL,Xb', 'string', plain(lods, null)),
  row('AD', 'LODS', 'eAX,Xv', 'string', plain(lods, null)),
  row('AE', 'SCAS', 'AL,Yb', 'string', comparing(scas)),
  row('AF', 'SCAS', 'eAX,Yv', 'string', comparing(scas)),
];

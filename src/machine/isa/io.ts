/**
 * Port I/O: IN, OUT, INS, OUTS. The instruction does nothing by itself: it checks privilege, then exits before it
 * takes effect; whoever owns the bus answers with Cpu.completeIo, which retires it.
 * Source: SDM vol 2, IN, OUT, INS, OUTS; SDM vol 1, 18.5 (I/O permission bit map).
 */
import type { Cpu } from '../cpu.ts';
import { VECTOR_GP } from '../exits.ts';
import { FLAG_DF, FLAG_IOPL, FLAG_VM } from '../flags.ts';
import type { Handler, Insn } from '../insn.ts';
import { ATTR_PRESENT, isProtected, SEG_TR, TYPE_TSS32, TYPE_TSS32_BUSY } from '../segments.ts';
import { readReg, writeReg } from './forms.ts';
import { type Row, row } from './row.ts';
import { advance, destinationAddress, readElement, sourceAddress, writeElement } from './strings.ts';

const DX = 4; // index in regs16

/** #GP(0) unless CPL <= IOPL or the TSS bit map admits every port of the access. */
function checkPort(c: Cpu, port: number, bytes: number): void {
  if ((c.systemFlags & FLAG_VM) === 0 && (!isProtected(c) || c.cpl <= (c.systemFlags & FLAG_IOPL) >> 12)) return;
  const type = c.segAttributes[SEG_TR]! & 0x0f;
  const limit = c.segLimit[SEG_TR]! >>> 0;
  const usable = (c.segAttributes[SEG_TR]! & ATTR_PRESENT) !== 0 && (type === TYPE_TSS32 || type === TYPE_TSS32_BUSY);
  if (!usable || limit < 103) c.raise(VECTOR_GP, 0);
  const base = c.segBase[SEG_TR]!;
  const mapAt = c.readSystem16((base + 102) | 0) + (port >> 3);
  if (mapAt + 1 > limit) c.raise(VECTOR_GP, 0);
  const bits = c.readSystem16((base + mapAt) | 0) >> (port & 7);
  if ((bits & ((1 << bytes) - 1)) !== 0) c.raise(VECTOR_GP, 0);
}

const sizeOf = (i: Insn): 1 | 2 | 4 => (i.width === 32 ? 4 : i.width === 16 ? 2 : 1);
const portOf = (c: Cpu, i: Insn): number => (i.row.operands.includes('Ib') ? i.imm & 0xff : c.regs16[DX]!);

const ioIn: Handler = (c, i) => {
  const port = portOf(c, i);
  checkPort(c, port, sizeOf(i));
  c.requestIo(i, port, sizeOf(i), true, 0, false);
};
const ioOut: Handler = (c, i) => {
  const port = portOf(c, i);
  checkPort(c, port, sizeOf(i));
  c.requestIo(i, port, sizeOf(i), false, readReg(c, 0, i.width), false);
};

const counterIsZero = (c: Cpu, i: Insn): boolean => i.rep !== 0 && (c.regs[1]! & i.addressMask) === 0;

// The permission of the port is checked even when a REP has nothing to do (seen on AMD Zen 5).
const ins: Handler = (c, i) => {
  checkPort(c, c.regs16[DX]!, sizeOf(i));
  if (counterIsZero(c, i)) return;
  // The store must not be able to fail once the device has given up its data.
  c.prepareWrite(destinationAddress(c, i, true), sizeOf(i));
  c.requestIo(i, c.regs16[DX]!, sizeOf(i), true, 0, true);
};
const outs: Handler = (c, i) => {
  checkPort(c, c.regs16[DX]!, sizeOf(i));
  if (counterIsZero(c, i)) return;
  c.requestIo(i, c.regs16[DX]!, sizeOf(i), false, readElement(c, sourceAddress(c, i), i.width), true);
};

/** Second half of IN and OUT. EIP already points behind the instruction. */
export function finishIo(c: Cpu, i: Insn, value: number): void {
  if (c.ioIsIn) writeReg(c, 0, i.width, value);
}

/** Second half of one iteration of INS and OUTS. */
export function finishStringIo(c: Cpu, i: Insn, value: number): void {
  const by = (c.systemFlags & FLAG_DF) !== 0 ? -sizeOf(i) : sizeOf(i);
  if (c.ioIsIn) {
    writeElement(c, destinationAddress(c, i, true), i.width, value);
    advance(c, i, 7, by);
  } else advance(c, i, 6, by);
  if (i.rep === 0) return;
  advance(c, i, 1, -1);
  if ((c.regs[1]! & i.addressMask) === 0) return;
  c.eip = (c.eip - i.length) | 0;
  c.continueRepeat();
}

export const ioRows: readonly Row[] = [
  row('E4', 'IN', 'AL,Ib', 'io', () => ioIn, { class: 'privileged' }),
  row('E5', 'IN', 'eAX,Ib', 'io', () => ioIn, { class: 'privileged' }),
  row('EC', 'IN', 'AL,DX', 'io', () => ioIn, { class: 'privileged' }),
  row('ED', 'IN', 'eAX,DX', 'io', () => ioIn, { class: 'privileged' }),
  row('E6', 'OUT', 'Ib,AL', 'io', () => ioOut, { class: 'privileged' }),
  row('E7', 'OUT', 'Ib,eAX', 'io', () => ioOut, { class: 'privileged' }),
  row('EE', 'OUT', 'DX,AL', 'io', () => ioOut, { class: 'privileged' }),
  row('EF', 'OUT', 'DX,eAX', 'io', () => ioOut, { class: 'privileged' }),
  row('6C', 'INS', 'Yb,DX', 'io', () => ins, { class: 'privileged' }),
  row('6D', 'INS', 'Yv,DX', 'io', () => ins, { class: 'privileged' }),
  row('6E', 'OUTS', 'DX,Xb', 'io', () => outs, { class: 'privileged' }),
  row('6F', 'OUTS', 'DX,Xv', 'io', () => outs, { class: 'privileged' }),
];

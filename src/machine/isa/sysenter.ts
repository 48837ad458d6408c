/**
 * SYSENTER and SYSEXIT: calls to ring 0 and back through three MSRs, without a look at any table.
 * Source: SDM vol 2, SYSENTER and SYSEXIT; SDM vol 3, 5.8.7.
 */
import type { Cpu } from '../cpu.ts';
import { VECTOR_GP } from '../exits.ts';
import { FLAG_IF, FLAG_VM } from '../flags.ts';
import { type Handler, SEG_CS, SEG_SS } from '../insn.ts';
import { CR0_PE } from '../paging.ts';
import { setSegment } from '../segments.ts';
import { type Row, row } from './row.ts';

export const MSR_SYSENTER_CS = 0x174;
export const MSR_SYSENTER_ESP = 0x175;
export const MSR_SYSENTER_EIP = 0x176;

/** High words of flat 4 GiB descriptors of DPL 0: 32-bit code, and data. */
const FLAT_LOW = 0x0000ffff;
const CODE_HIGH = 0x00cf9b00;
const DATA_HIGH = 0x00cf9300;
const DPL3 = 0x6000;

const low = (c: Cpu, msr: number): number => c.msrs.get(msr)?.[0] ?? 0;

/** Base of the four selectors; #GP(0) where the pair cannot be used. */
function selectors(c: Cpu): number {
  const base = low(c, MSR_SYSENTER_CS) & 0xfffc;
  if ((c.cr0 & CR0_PE) === 0 || base === 0) c.raise(VECTOR_GP, 0);
  return base;
}

function enterFlat(c: Cpu, code: number, ring: 0 | 3): void {
  const dpl = ring === 3 ? DPL3 : 0;
  c.setCpl(ring);
  setSegment(c, SEG_CS, code | ring, FLAT_LOW, CODE_HIGH | dpl);
  setSegment(c, SEG_SS, (code + 8) | ring, FLAT_LOW, DATA_HIGH | dpl);
}

const sysenter: Handler = (c) => {
  const base = selectors(c);
  c.setEflags(0, FLAG_VM | FLAG_IF);
  enterFlat(c, base, 0);
  c.regs[4] = low(c, MSR_SYSENTER_ESP);
  c.eip = low(c, MSR_SYSENTER_EIP);
};

const sysexit: Handler = (c) => {
  const base = selectors(c);
  enterFlat(c, base + 16, 3);
  c.regs[4] = c.regs[1]!;
  c.eip = c.regs[2]!;
};

export const sysenterRows: readonly Row[] = [
  row('0F 34', 'SYSENTER', '', 'far', () => sysenter),
  row('0F 35', 'SYSEXIT', '', 'far', () => sysexit, { rule: 'ring0' }),
];

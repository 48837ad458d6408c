/**
 * Interrupt delivery and IRET for the case that nearly every kernel has nearly always: 32-bit gates, flat segments,
 * and descriptors, TSS and stack in pages that the front table holds. Everything else is left to interrupts.ts.
 * Invariants: either the whole transfer is made, with the effects of interrupts.ts in every bit, or nothing is touched;
 * nothing here can fault or miss a TLB.
 * The same on the words of a CPU's block, for compiled code: compiler/transfer.ts.
 * Source: SDM vol 3, 6.12; SDM vol 2, INT n and IRET.
 */
import type { Cpu } from './cpu.ts';
import type { CpuCore } from './cpu-core.ts';
import { NO_ERROR_CODE } from './exits.ts';
import { FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, FLAG_VM } from './flags.ts';
import { SEG_CS, SEG_SS } from './insn.ts';
import { CR0_PE } from './paging.ts';
import { dropInnerSegments, SEG_TR } from './segments.ts';

/** Descriptor words of flat segments that were accessed before, whatever their DPL. */
export const FLAT_LOW = 0x0000ffff;
export const FLAT_CODE_HIGH = 0x00cf9b00;
export const FLAT_DATA_HIGH = 0x00cf9300;
export const DPL_BITS = 0x6000;

/** Bits of a gate's high word: present, and 32-bit interrupt or trap gate. */
export const GATE_MASK = 0x9e00;
export const GATE_32 = 0x8e00;
export const GATE_IS_TRAP = 0x0100;

/** segFlat bits that a flat readable code segment and a flat stack give. */
const CODE_FLAT = 1 << SEG_CS;
const CODE_FLAT_WRITE = 0x100 << SEG_CS;
const STACK_FLAT = 0x101 << SEG_SS;

/** Index in words32 of `bytes` bytes at an aligned linear address in one page of a front-table bank, or -1. */
function find(cpu: CpuCore, bank: number, lin: number, bytes: number, write: 0 | 1): number {
  const { words32: words } = cpu;
  const at = bank + (((lin >>> 12) & cpu.mmu.frontMask) << 2);
  if ((lin & 3) !== 0 || words[at + write] !== ((lin + bytes - 1) & ~0xfff)) return -1;
  return (lin + words[at + 2]!) >>> 2;
}

/** High word of the flat GDT descriptor of a selector, or 0. `kind`: FLAT_CODE_HIGH or FLAT_DATA_HIGH. */
function flatDescriptor(cpu: CpuCore, selector: number, kind: number): number {
  const offset = selector & 0xfff8;
  if (offset === 0 || (selector & 4) !== 0 || offset + 7 > cpu.gdtLimit) return 0;
  const at = find(cpu, cpu.mmu.kernelBank, (cpu.gdtBase + offset) | 0, 8, 0);
  if (at < 0 || cpu.words32[at] !== FLAT_LOW) return 0;
  const high = cpu.words32[at + 1]!;
  return (high & ~DPL_BITS) === kind ? high : 0;
}

const dpl = (high: number): number => (high >>> 13) & 3;

/** None of the rare states in which an access or a transfer does more. */
const isPlain = (cpu: Cpu): boolean =>
  cpu.special === 0 && (cpu.cr0 & CR0_PE) !== 0 && cpu.undoLog === null && cpu.overrides.size === 0;

function setFlat(cpu: CpuCore, seg: number, selector: number, high: number): void {
  cpu.segSelector[seg] = selector;
  cpu.segBase[seg] = 0;
  cpu.segLimit[seg] = -1;
  cpu.segAttributes[seg] = (high >>> 8) & 0xf0ff;
}

function setFlatCode(cpu: Cpu, selector: number, ring: number, high: number): void {
  if (cpu.cpl === ring) cpu.dropCode();
  else cpu.setCpl(ring);
  setFlat(cpu, SEG_CS, (selector & 0xfffc) | ring, high);
  cpu.segFlat = (cpu.segFlat & ~CODE_FLAT_WRITE) | CODE_FLAT;
}

function setFlatStack(cpu: Cpu, selector: number, high: number): void {
  setFlat(cpu, SEG_SS, selector, high);
  cpu.segFlat |= STACK_FLAT;
  cpu.stackFlat = true;
}

/**
 * Delivers a vector; returns false if interrupts.ts must. `resumeFlag` is RF as the frame is to have it.
 * @param software INT n, INT3, INTO: the gate's DPL must admit CPL
 */
export function deliverFlat(
  cpu: Cpu,
  vector: number,
  errorCode: number,
  software: boolean,
  resumeFlag: boolean,
): boolean {
  if (!isPlain(cpu) || vector * 8 + 7 > cpu.idtLimit) return false;
  const words = cpu.words32;
  const { kernelBank } = cpu.mmu;
  const gate = find(cpu, kernelBank, (cpu.idtBase + vector * 8) | 0, 8, 0);
  if (gate < 0) return false;
  const low = words[gate]!;
  const high = words[gate + 1]!;
  if ((high & GATE_MASK) !== GATE_32 || (software && dpl(high) < cpu.cpl)) return false;
  const selector = low >>> 16;
  const code = flatDescriptor(cpu, selector, FLAT_CODE_HIGH);
  const ring = dpl(code);
  if (code === 0 || ring > cpu.cpl) return false;

  const inner = ring < cpu.cpl;
  let stackSelector = 0;
  let stack = 0;
  let sp = cpu.regs[4]!;
  if (inner) {
    const offset = 4 + ring * 8;
    if ((cpu.segAttributes[SEG_TR]! & 8) === 0 || offset + 5 > cpu.segLimit[SEG_TR]! >>> 0) return false;
    const task = find(cpu, kernelBank, (cpu.segBase[SEG_TR]! + offset) | 0, 8, 0);
    if (task < 0) return false;
    sp = words[task]!;
    stackSelector = words[task + 1]! & 0xffff;
    stack = flatDescriptor(cpu, stackSelector, FLAT_DATA_HIGH);
    if (stack === 0 || dpl(stack) !== ring || (stackSelector & 3) !== ring) return false;
  } else if (!cpu.stackFlat) return false;

  const count = (inner ? 5 : 3) + (errorCode === NO_ERROR_CODE ? 0 : 1);
  const bottom = (sp - 4 * count) | 0;
  let at = find(cpu, inner ? kernelBank : cpu.front, bottom, 4 * count, 1);
  if (at < 0) return false;
  if (errorCode !== NO_ERROR_CODE) words[at++] = errorCode;
  words[at] = cpu.eip;
  words[at + 1] = cpu.segSelector[SEG_CS]!;
  words[at + 2] = cpu.getEflags() | (resumeFlag ? FLAG_RF : 0);
  if (inner) {
    words[at + 3] = cpu.regs[4]!;
    words[at + 4] = cpu.segSelector[SEG_SS]!;
  }
  setFlatCode(cpu, selector, ring, code);
  if (inner) setFlatStack(cpu, stackSelector, stack);
  cpu.regs[4] = bottom;
  cpu.eip = (high & 0xffff0000) | (low & 0xffff);
  cpu.systemFlags &= ~(FLAG_TF | FLAG_NT | FLAG_VM | ((high & GATE_IS_TRAP) === 0 ? FLAG_IF : 0));
  cpu.charge(cpu.codeCache.timing.instructions.interrupt);
  return true;
}

/** IRETD; returns false if interrupts.ts must do it. `freeFlags`: EFLAGS bits that it may change at any privilege. */
export function returnFlat(cpu: Cpu, freeFlags: number): boolean {
  if (!isPlain(cpu) || !cpu.stackFlat || (cpu.systemFlags & FLAG_NT) !== 0) return false;
  const words = cpu.words32;
  const sp = cpu.regs[4]!;
  const at = find(cpu, cpu.front, sp, 12, 0);
  if (at < 0) return false;
  const eip = words[at]!;
  const selector = words[at + 1]! & 0xffff;
  const image = words[at + 2]!;
  if ((image & (FLAG_VM | FLAG_TF | FLAG_NT)) !== 0) return false;
  const ring = selector & 3;
  const code = flatDescriptor(cpu, selector, FLAT_CODE_HIGH);
  if (code === 0 || ring < cpu.cpl || dpl(code) !== ring) return false;
  let mask = freeFlags;
  if (cpu.cpl <= (cpu.systemFlags & FLAG_IOPL) >> 12) mask |= FLAG_IF;
  if (cpu.cpl === 0) mask |= FLAG_IOPL | FLAG_VIF | FLAG_VIP;
  if (ring === cpu.cpl) {
    setFlatCode(cpu, selector, ring, code);
    cpu.regs[4] = (sp + 12) | 0;
  } else {
    if (((sp + 19) & ~0xfff) !== (sp & ~0xfff)) return false;
    const esp = words[at + 3]!;
    const stackSelector = words[at + 4]! & 0xffff;
    const stack = flatDescriptor(cpu, stackSelector, FLAT_DATA_HIGH);
    if (stack === 0 || dpl(stack) !== ring || (stackSelector & 3) !== ring) return false;
    setFlatCode(cpu, selector, ring, code);
    setFlatStack(cpu, stackSelector, stack);
    cpu.regs[4] = esp;
    dropInnerSegments(cpu);
  }
  if ((image & FLAG_RF) !== 0) cpu.resumeAt = cpu.instructions;
  cpu.eip = eip;
  cpu.setEflags(image, mask);
  return true;
}

/**
 * Segmentation: checks of segmented accesses, descriptors, and loads of segment registers.
 * Invariant: hidden descriptor parts change only here; segFlat and stackFlat always agree with them.
 * Source: SDM vol 3, chapters 3 and 5; instruction pages of MOV (segment), LDS, LLDT, LTR.
 */
import type { Lin } from '../core/units.ts';
import type { CpuCore } from './cpu-core.ts';
import { VECTOR_GP, VECTOR_NP, VECTOR_SS } from './exits.ts';
import { FLAG_VM } from './flags.ts';
import { SEG_CS, SEG_SS } from './insn.ts';
import { ACCESS_IMPLICIT, CR0_PE } from './paging.ts';

export const SEG_LDTR = 6;
export const SEG_TR = 7;

/** Bits of Cpu.segAttributes. */
export const ATTR_TYPE = 0x0f;
export const ATTR_ACCESSED = 0x01;
/** Data: writable. Code: readable. */
export const ATTR_WRITABLE = 0x02;
/** Data: expand-down. Code: conforming. */
export const ATTR_EXPAND_DOWN = 0x04;
export const ATTR_CODE = 0x08;
export const ATTR_CODE_OR_DATA = 0x10;
export const ATTR_DPL = 0x60;
export const ATTR_PRESENT = 0x80;
export const ATTR_BIG = 0x4000;
export const ATTR_GRANULAR = 0x8000;

/** Types of system descriptors (SDM vol 3, table 3-2). */
export const TYPE_LDT = 2;
export const TYPE_TSS16 = 1;
export const TYPE_CALL_GATE16 = 4;
export const TYPE_TASK_GATE = 5;
export const TYPE_TSS32 = 9;
export const TYPE_TSS32_BUSY = 11;
export const TYPE_CALL_GATE32 = 12;

export const isProtected = (cpu: CpuCore): boolean => (cpu.cr0 & CR0_PE) !== 0 && (cpu.systemFlags & FLAG_VM) === 0;

/** Descriptor fields from its high word. */
export const dplOf = (high: number): number => (high >>> 13) & 3;
export const isPresent = (high: number): boolean => (high & 0x8000) !== 0;
export const isCodeOrData = (high: number): boolean => (high & 0x1000) !== 0;
export const isCode = (high: number): boolean => (high & 0x1800) === 0x1800;
export const isConforming = (high: number): boolean => (high & 0x1c00) === 0x1c00;
export const isWritableData = (high: number): boolean => (high & 0x1a00) === 0x1200;
export const isReadable = (high: number): boolean => (high & 0x1800) === 0x1000 || (high & 0x1a00) === 0x1a00;
export const systemType = (high: number): number => (high >>> 8) & 0x0f;

/** Base address that a descriptor gives. */
export function baseOf(low: number, high: number): number {
  return (low >>> 16) | ((high & 0xff) << 16) | (high & 0xff000000);
}

/** Limit in bytes (as int32) that a descriptor gives. */
export function limitOf(low: number, high: number): number {
  const limit = (low & 0xffff) | (high & 0xf0000);
  return (high & 0x800000) !== 0 ? (limit << 12) | 0xfff : limit;
}

/**
 * Linear address of `offset` in segment register `seg` after all checks of SDM vol 3, 5.3 to 5.5 for an access of
 * `count` bytes. Faults with #GP(0), or #SS(0) through SS.
 */
export function segmentAddress(cpu: CpuCore, seg: number, offset: number, count: number, write: boolean): Lin {
  const attributes = cpu.segAttributes[seg]!;
  const vector = seg === SEG_SS ? VECTOR_SS : VECTOR_GP;
  if ((attributes & ATTR_PRESENT) === 0) cpu.raise(VECTOR_GP, 0);
  if (isProtected(cpu)) {
    const code = (attributes & ATTR_CODE) !== 0;
    if (write ? code || (attributes & ATTR_WRITABLE) === 0 : code && (attributes & ATTR_WRITABLE) === 0) {
      cpu.raise(VECTOR_GP, 0);
    }
  }
  const first = offset >>> 0;
  const last = first + count - 1;
  const limit = cpu.segLimit[seg]! >>> 0;
  if ((attributes & (ATTR_CODE | ATTR_EXPAND_DOWN)) === ATTR_EXPAND_DOWN) {
    const top = (attributes & ATTR_BIG) !== 0 ? 0xffffffff : 0xffff;
    if (first <= limit || last > top) cpu.raise(vector, 0);
  } else if (last > limit) cpu.raise(vector, 0);
  const lin = (cpu.segBase[seg]! + offset) | 0;
  if (seg === cpu.ownerSegment) {
    cpu.ownerLin = lin;
    cpu.ownerEip = cpu.eip;
  }
  return lin;
}

/** CS is a flat code segment that reaches at least to the CPU's linear limit. */
export function isNearlyFlatCode(cpu: CpuCore): boolean {
  return cpu.segBase[SEG_CS] === 0 && cpu.segLimit[SEG_CS]! >>> 0 >= cpu.linearLimit;
}

/** Brings segFlat and stackFlat up to date after the hidden part of `seg` changed. */
export function updateFlat(cpu: CpuCore, seg: number): void {
  const attributes = cpu.segAttributes[seg]!;
  const needed = ATTR_PRESENT | ATTR_CODE_OR_DATA;
  const expandsDown = (attributes & (ATTR_CODE | ATTR_EXPAND_DOWN)) === ATTR_EXPAND_DOWN;
  const flat =
    isProtected(cpu) &&
    (attributes & needed) === needed &&
    !expandsDown &&
    cpu.segBase[seg] === 0 &&
    cpu.segLimit[seg]! >>> 0 >= cpu.linearLimit;
  const code = (attributes & ATTR_CODE) !== 0;
  const readable = flat && (!code || (attributes & ATTR_WRITABLE) !== 0);
  const writable = flat && !code && (attributes & ATTR_WRITABLE) !== 0;
  cpu.segFlat = (cpu.segFlat & ~(0x101 << seg)) | (readable ? 1 << seg : 0) | (writable ? 0x100 << seg : 0);
  if (seg === SEG_SS) cpu.stackFlat = writable && (attributes & ATTR_BIG) !== 0;
}

/** Sets a segment register from a selector and its descriptor, without any check. */
export function setSegment(cpu: CpuCore, seg: number, selector: number, low: number, high: number): void {
  cpu.segSelector[seg] = selector & 0xffff;
  cpu.segBase[seg] = baseOf(low, high);
  cpu.segLimit[seg] = limitOf(low, high);
  cpu.segAttributes[seg] = (high >>> 8) & 0xf0ff;
  if (seg < SEG_LDTR) updateFlat(cpu, seg);
  if (seg === SEG_CS) cpu.dropCode();
}

/** Makes a segment register unusable (null selector). */
export function setNull(cpu: CpuCore, seg: number, selector: number): void {
  cpu.segSelector[seg] = selector & 0xffff;
  cpu.segBase[seg] = 0;
  cpu.segLimit[seg] = 0;
  cpu.segAttributes[seg] = 0;
  if (seg < SEG_LDTR) updateFlat(cpu, seg);
}

/** Sets a segment register as real mode and virtual-8086 mode do: base = selector * 16. */
export function setRealSegment(cpu: CpuCore, seg: number, selector: number): void {
  cpu.segSelector[seg] = selector & 0xffff;
  cpu.segBase[seg] = (selector & 0xffff) << 4;
  // Limit and rights survive in real mode ("unreal mode"); after reset they are 64 KiB, writable.
  if ((cpu.systemFlags & FLAG_VM) !== 0) {
    cpu.segAttributes[seg] = ATTR_PRESENT | ATTR_DPL | ATTR_CODE_OR_DATA | ATTR_WRITABLE | ATTR_ACCESSED;
    cpu.segLimit[seg] = 0xffff;
  } else if (cpu.segAttributes[seg] === 0) {
    cpu.segAttributes[seg] = ATTR_PRESENT | ATTR_CODE_OR_DATA | ATTR_WRITABLE | ATTR_ACCESSED;
    cpu.segLimit[seg] = 0xffff;
  }
  updateFlat(cpu, seg);
  if (seg === SEG_CS) cpu.dropCode();
}

/** A descriptor read from GDT or LDT: where, and its two words. */
export interface Descriptor {
  lin: Lin;
  low: number;
  high: number;
}

/**
 * Reads the descriptor of a non-null selector, or returns null when it lies outside its table. May page-fault.
 */
export function findDescriptor(cpu: CpuCore, selector: number): Descriptor | null {
  const index = selector & 0xfff8;
  const local = (selector & 4) !== 0;
  if (local && (cpu.segAttributes[SEG_LDTR]! & ATTR_PRESENT) === 0) return null;
  const limit = local ? cpu.segLimit[SEG_LDTR]! >>> 0 : cpu.gdtLimit;
  if (index + 7 > limit) return null;
  const lin = ((local ? cpu.segBase[SEG_LDTR]! : cpu.gdtBase) + index) | 0;
  return { lin, low: cpu.readSystem32(lin), high: cpu.readSystem32((lin + 4) | 0) };
}

/** Reads a descriptor or faults with `vector`(selector). `external` sets the EXT bit of the error code. */
export function readDescriptor(cpu: CpuCore, selector: number, vector: number, external = 0): Descriptor {
  const descriptor = findDescriptor(cpu, selector);
  if (descriptor === null) return cpu.raise(vector, (selector & 0xfffc) | external);
  return descriptor;
}

/** Sets the accessed bit in the table if it is clear (SDM vol 3, 3.4.5.1). Returns the high word with it set. */
export function markAccessed(cpu: CpuCore, descriptor: Descriptor): number {
  if ((descriptor.high & 0x100) === 0) {
    cpu.writeSlow((descriptor.lin + 5) | 0, (descriptor.high >>> 8) | 1, 1, ACCESS_IMPLICIT);
  }
  return descriptor.high | 0x100;
}

/** Loads DS, ES, FS, GS or SS with all checks (SDM vol 2, MOV). */
export function loadSegment(cpu: CpuCore, seg: number, selector: number): void {
  if (!isProtected(cpu)) {
    setRealSegment(cpu, seg, selector);
    return;
  }
  if ((selector & 0xfffc) === 0) {
    if (seg === SEG_SS) cpu.raise(VECTOR_GP, 0);
    setNull(cpu, seg, selector);
    return;
  }
  if (seg === SEG_SS) {
    loadStackSegment(cpu, selector, cpu.cpl, VECTOR_GP);
    return;
  }
  const descriptor = readDescriptor(cpu, selector, VECTOR_GP);
  const { high } = descriptor;
  const error = selector & 0xfffc;
  if (!isCodeOrData(high) || !isReadable(high)) cpu.raise(VECTOR_GP, error);
  if (!isConforming(high) && dplOf(high) < Math.max(cpu.cpl, selector & 3)) cpu.raise(VECTOR_GP, error);
  if (!isPresent(high)) cpu.raise(VECTOR_NP, error);
  setSegment(cpu, seg, selector, descriptor.low, markAccessed(cpu, descriptor));
}

/** Loads SS for privilege level `cpl`; faults with `vector`(selector), #SS when not present. */
export function loadStackSegment(cpu: CpuCore, selector: number, cpl: number, vector: number, external = 0): void {
  const descriptor = checkStackSegment(cpu, selector, cpl, vector, external);
  setSegment(cpu, SEG_SS, selector, descriptor.low, markAccessed(cpu, descriptor));
}

/** The checks of loadStackSegment alone. */
export function checkStackSegment(
  cpu: CpuCore,
  selector: number,
  cpl: number,
  vector: number,
  external = 0,
): Descriptor {
  const error = (selector & 0xfffc) | external;
  if ((selector & 0xfffc) === 0) cpu.raise(vector, external);
  const descriptor = readDescriptor(cpu, selector, vector, external);
  const { high } = descriptor;
  if ((selector & 3) !== cpl || dplOf(high) !== cpl || !isWritableData(high)) cpu.raise(vector, error);
  if (!isPresent(high)) cpu.raise(VECTOR_SS, error);
  return descriptor;
}

/** LLDT. */
export function loadLdt(cpu: CpuCore, selector: number): void {
  if ((selector & 0xfffc) === 0) {
    setNull(cpu, SEG_LDTR, selector);
    return;
  }
  const error = selector & 0xfffc;
  if ((selector & 4) !== 0) cpu.raise(VECTOR_GP, error);
  const { low, high } = readDescriptor(cpu, selector, VECTOR_GP);
  if (isCodeOrData(high) || systemType(high) !== TYPE_LDT) cpu.raise(VECTOR_GP, error);
  if (!isPresent(high)) cpu.raise(VECTOR_NP, error);
  setSegment(cpu, SEG_LDTR, selector, low, high);
}

/** LTR: loads the task register and marks the TSS busy. */
export function loadTaskRegister(cpu: CpuCore, selector: number): void {
  const error = selector & 0xfffc;
  if (error === 0) cpu.raise(VECTOR_GP, 0);
  if ((selector & 4) !== 0) cpu.raise(VECTOR_GP, error);
  const { lin, low, high } = readDescriptor(cpu, selector, VECTOR_GP);
  const type = systemType(high);
  if (isCodeOrData(high) || (type !== TYPE_TSS32 && type !== TYPE_TSS16)) cpu.raise(VECTOR_GP, error);
  if (!isPresent(high)) cpu.raise(VECTOR_NP, error);
  cpu.writeSlow((lin + 5) | 0, (high >>> 8) | 2, 1, ACCESS_IMPLICIT);
  setSegment(cpu, SEG_TR, selector, low, high | 0x200);
}

/** Sets CS and CPL from a checked code descriptor; `rpl` becomes the selector's privilege and the CPL. */
export function setCode(cpu: CpuCore, selector: number, rpl: number, descriptor: Descriptor): void {
  const high = markAccessed(cpu, descriptor);
  if (cpu.cpl !== rpl) cpu.setCpl(rpl);
  setSegment(cpu, SEG_CS, (selector & 0xfffc) | rpl, descriptor.low, high);
}

/** After a return to an outer ring: null selectors, and those that the new CPL may not use, become 0 (SDM vol 2, IRET). */
export function dropInnerSegments(cpu: CpuCore): void {
  for (const seg of [0, 3, 4, 5]) {
    const attributes = cpu.segAttributes[seg]!;
    if (attributes === 0 && cpu.segSelector[seg] === 0) continue;
    const isNull = (attributes & ATTR_PRESENT) === 0;
    const conforming = (attributes & (ATTR_CODE | ATTR_EXPAND_DOWN)) === (ATTR_CODE | ATTR_EXPAND_DOWN);
    if (isNull || (!conforming && (attributes & ATTR_DPL) >> 5 < cpu.cpl)) setNull(cpu, seg, 0);
  }
}

/**
 * Hardware task switching: far JMP and CALL, IRET with NT, and interrupts, by way of TSS descriptors and task gates.
 * Invariants: up to the commit point nothing has changed but accessed and dirty bits, and a fault belongs to the old
 * task; from there on a fault belongs to the new one (Cpu.inNewTask), with CPL 3 until its stack is good, so that the
 * handler gets a stack of its own. A VMM that intercepts task switches sees them before anything else happens.
 * Source: SDM vol 3, chapter 7; order of checks: table 7-1; what changes: table 7-2.
 */
import { DR6_TASK, dropLocalBreakpoints } from './breakpoints.ts';
import type { Cpu } from './cpu.ts';
import { NO_ERROR_CODE, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS } from './exits.ts';
import { FLAG_NT, FLAG_RF, FLAG_VM } from './flags.ts';
import { SEG_CS, SEG_SS } from './insn.ts';
import { ACCESS_IMPLICIT, ACCESS_WRITE, CR0_PG, CR0_TS } from './paging.ts';
import {
  ATTR_PRESENT,
  baseOf,
  type Descriptor,
  dplOf,
  findDescriptor,
  isCode,
  isCodeOrData,
  isConforming,
  isPresent,
  isReadable,
  isWritableData,
  limitOf,
  markAccessed,
  SEG_LDTR,
  SEG_TR,
  setNull,
  setRealSegment,
  setSegment,
  systemType,
  TYPE_LDT,
  TYPE_TSS16,
  TYPE_TSS32,
} from './segments.ts';

/** What makes the switch: decides about busy bits, NT and the link to the old task. */
export type TaskCause = 'jump' | 'call' | 'interrupt' | 'return';

const BUSY = 2;
const LIMIT_TSS32 = 103;
const LIMIT_TSS16 = 43;

/** Offsets of the registers in a 32-bit TSS, and in a 16-bit one; selectors in the order ES CS SS DS FS GS. */
const TSS32 = { cr3: 0x1c, eip: 0x20, eflags: 0x24, regs: 0x28, segments: 0x48, count: 6, ldt: 0x60, trap: 0x64 };
const TSS16 = { eip: 0x0e, eflags: 0x10, regs: 0x12, segments: 0x22, count: 4, ldt: 0x2a };

/** Offset of the first and last byte that a switch away from a task writes. */
const SAVED32 = [TSS32.eip, TSS32.segments + 23] as const;
const SAVED16 = [TSS16.eip, TSS16.segments + 7] as const;

/** Everything that a TSS says about a task. */
interface TaskImage {
  readonly cr3: number;
  readonly eip: number;
  readonly eflags: number;
  readonly regs: readonly number[];
  readonly selectors: readonly number[];
  readonly ldt: number;
  readonly trap: boolean;
}

/** A TSS that a far transfer or a task gate names, checked. */
export interface Task {
  readonly selector: number;
  readonly descriptor: Descriptor;
}

/**
 * The TSS of `selector`, which must be in the GDT and available. `vector` is that of a bad selector or type (#GP, but
 * #TS for the way back), `ext` the EXT bit of error codes.
 */
export function readTask(cpu: Cpu, selector: number, vector: number, ext: number, busy = false): Task {
  const error = (selector & 0xfffc) | ext;
  if ((selector & 0xfffc) === 0 || (selector & 4) !== 0) cpu.raise(vector, error);
  const descriptor = findDescriptor(cpu, selector);
  if (descriptor === null) return cpu.raise(vector, error);
  const type = systemType(descriptor.high) & ~(busy ? BUSY : 0);
  const wrongBusy = busy && (systemType(descriptor.high) & BUSY) === 0;
  if (isCodeOrData(descriptor.high) || wrongBusy || (type !== TYPE_TSS16 && type !== TYPE_TSS32)) {
    cpu.raise(vector, error);
  }
  if (!isPresent(descriptor.high)) cpu.raise(VECTOR_NP, error);
  return { selector, descriptor };
}

/** The TSS behind a task gate whose own privilege and presence are already checked. */
export function readTaskGate(cpu: Cpu, gate: { readonly low: number }, ext: number): Task {
  return readTask(cpu, gate.low >>> 16, VECTOR_GP, ext);
}

/** IRET with NT set: back to the task that the link of the present TSS names. */
export function returnToTask(cpu: Cpu): void {
  const link = cpu.readSystem16(cpu.segBase[SEG_TR]!);
  switchTask(cpu, readTask(cpu, link, VECTOR_TS, 0, true), 'return');
}

/**
 * Leaves the present task for another. EIP must be where the old task goes on.
 * @param errorCode of the exception that causes the switch; goes to the new task's stack
 */
export function switchTask(cpu: Cpu, task: Task, cause: TaskCause, ext = 0, errorCode = NO_ERROR_CODE): void {
  if (cpu.interceptTaskSwitch) cpu.exitTaskSwitch(task.selector);
  const { selector, descriptor } = task;
  const { low, high } = descriptor;
  const base = baseOf(low, high);
  const limit = limitOf(low, high) >>> 0;
  const is32 = (systemType(high) & 8) !== 0;
  if (limit < (is32 ? LIMIT_TSS32 : LIMIT_TSS16)) cpu.raise(VECTOR_TS, (selector & 0xfffc) | ext);
  const links = cause === 'call' || cause === 'interrupt';
  const image = is32 ? readTask32(cpu, base) : readTask16(cpu, base);
  prepareOld(cpu, ext);
  if (links) prepare(cpu, base, base + 1);
  if (cause !== 'return') prepare(cpu, descriptor.lin + 5, descriptor.lin + 5);
  const old = cause === 'call' || cause === 'interrupt' ? null : findDescriptor(cpu, cpu.segSelector[SEG_TR]!);
  if (old !== null) prepare(cpu, old.lin + 5, old.lin + 5);

  // Nothing can fault until the commit point.
  saveOld(cpu, cause, ext);
  if (old !== null) cpu.writeSlow((old.lin + 5) | 0, (old.high >>> 8) & ~BUSY, 1, ACCESS_IMPLICIT);
  if (links) cpu.writeSlow(base, cpu.segSelector[SEG_TR]!, 2, ACCESS_IMPLICIT);
  if (cause !== 'return') cpu.writeSlow((descriptor.lin + 5) | 0, (high >>> 8) | BUSY, 1, ACCESS_IMPLICIT);
  setSegment(cpu, SEG_TR, selector, low, high | (BUSY << 8));
  cpu.cr0 |= CR0_TS;
  cpu.inNewTask = true;
  loadNew(cpu, image, links);
  if (is32 && (cpu.cr0 & CR0_PG) !== 0) {
    cpu.cr3 = image.cr3;
    cpu.flushTlb(false);
  }
  dropLocalBreakpoints(cpu);
  loadSegments(cpu, image, ext);
  if (image.trap) {
    cpu.pendingDebug |= DR6_TASK;
    cpu.breakLoop();
  }
  if (errorCode !== NO_ERROR_CODE) pushError(cpu, errorCode, is32);
  if (cpu.eip >>> 0 > cpu.segLimit[SEG_CS]! >>> 0) cpu.raise(VECTOR_GP, ext);
  cpu.inNewTask = false;
  // A step of the old task ends with it; the first one of the new task is its first instruction.
  cpu.suppressTrap();
  cpu.charge(cpu.codeCache.timing.instructions.interrupt);
}

function readTask32(cpu: Cpu, base: number): TaskImage {
  const word = (offset: number): number => cpu.readSystem32((base + offset) | 0);
  const half = (offset: number): number => cpu.readSystem16((base + offset) | 0);
  return {
    cr3: word(TSS32.cr3),
    eip: word(TSS32.eip),
    eflags: word(TSS32.eflags),
    regs: Array.from({ length: 8 }, (_, n) => word(TSS32.regs + 4 * n)),
    selectors: Array.from({ length: 6 }, (_, n) => half(TSS32.segments + 4 * n)),
    ldt: half(TSS32.ldt),
    trap: (half(TSS32.trap) & 1) !== 0,
  };
}

/** A 16-bit TSS knows half of each register; the rest becomes ones, as on the processors that emulators were compared with. */
function readTask16(cpu: Cpu, base: number): TaskImage {
  const half = (offset: number): number => cpu.readSystem16((base + offset) | 0);
  const selectors = Array.from({ length: TSS16.count }, (_, n) => half(TSS16.segments + 2 * n));
  return {
    cr3: 0,
    eip: half(TSS16.eip),
    eflags: half(TSS16.eflags),
    regs: Array.from({ length: 8 }, (_, n) => 0xffff0000 | half(TSS16.regs + 2 * n)),
    selectors: [...selectors, 0, 0],
    ldt: half(TSS16.ldt),
    trap: false,
  };
}

/** Raises the page faults that writes of these bytes would raise. */
function prepare(cpu: Cpu, first: number, last: number): void {
  cpu.translate(first | 0, ACCESS_WRITE | ACCESS_IMPLICIT);
  if (first >>> 12 !== last >>> 12) cpu.translate(last | 0, ACCESS_WRITE | ACCESS_IMPLICIT);
}

const isOld32 = (cpu: Cpu): boolean => (cpu.segAttributes[SEG_TR]! & 8) !== 0;

function prepareOld(cpu: Cpu, ext: number): void {
  const [first, last] = isOld32(cpu) ? SAVED32 : SAVED16;
  const usable = (cpu.segAttributes[SEG_TR]! & ATTR_PRESENT) !== 0;
  if (!usable || last > cpu.segLimit[SEG_TR]! >>> 0) cpu.raise(VECTOR_TS, (cpu.segSelector[SEG_TR]! & 0xfffc) | ext);
  const base = cpu.segBase[SEG_TR]!;
  prepare(cpu, base + first, base + last);
}

/** The state of the old task goes into its TSS: all but CR3 and LDT. */
function saveOld(cpu: Cpu, cause: TaskCause, ext: number): void {
  const base = cpu.segBase[SEG_TR]!;
  // A task that is left by IRET is no longer nested; one that is left by a fault skips its breakpoint when it goes on.
  const isFault = cause === 'interrupt' && ext !== 0 && cpu.restarts;
  const eflags = (cpu.getEflags() & ~(cause === 'return' ? FLAG_NT : 0)) | (isFault ? FLAG_RF : 0);
  if (isOld32(cpu)) {
    const word = (offset: number, value: number) => cpu.writeSlow((base + offset) | 0, value, 4, ACCESS_IMPLICIT);
    word(TSS32.eip, cpu.eip);
    word(TSS32.eflags, eflags);
    for (let n = 0; n < 8; n++) word(TSS32.regs + 4 * n, cpu.regs[n]!);
    for (let n = 0; n < TSS32.count; n++) {
      cpu.writeSlow((base + TSS32.segments + 4 * n) | 0, cpu.segSelector[n]!, 2, ACCESS_IMPLICIT);
    }
  } else {
    const half = (offset: number, value: number) => cpu.writeSlow((base + offset) | 0, value, 2, ACCESS_IMPLICIT);
    half(TSS16.eip, cpu.eip);
    half(TSS16.eflags, eflags);
    for (let n = 0; n < 8; n++) half(TSS16.regs + 2 * n, cpu.regs[n]!);
    for (let n = 0; n < TSS16.count; n++) half(TSS16.segments + 2 * n, cpu.segSelector[n]!);
  }
}

/** Registers, flags and visible selectors of the new task. Its segments are unusable until they are checked. */
function loadNew(cpu: Cpu, image: TaskImage, nested: boolean): void {
  for (let n = 0; n < 8; n++) cpu.regs[n] = image.regs[n]!;
  cpu.eip = image.eip;
  cpu.setEflags(image.eflags | (nested ? FLAG_NT : 0), -1);
  if ((image.eflags & FLAG_RF) !== 0) cpu.resumeAt = cpu.instructions;
  cpu.systemFlags &= ~FLAG_RF;
  for (let n = 0; n < 6; n++) setNull(cpu, n, image.selectors[n]!);
  setNull(cpu, SEG_LDTR, image.ldt);
  cpu.setCpl(3);
}

function loadSegments(cpu: Cpu, image: TaskImage, ext: number): void {
  loadLdtr(cpu, image.ldt, ext);
  if ((image.eflags & FLAG_VM) !== 0) {
    for (let n = 0; n < 6; n++) setRealSegment(cpu, n, image.selectors[n]!);
    return;
  }
  const cpl = image.selectors[SEG_CS]! & 3;
  loadStack(cpu, image.selectors[SEG_SS]!, cpl, ext);
  loadCode(cpu, image.selectors[SEG_CS]!, ext);
  cpu.setCpl(cpl);
  for (const n of [0, 3, 4, 5]) loadData(cpu, n, image.selectors[n]!, ext);
}

function loadLdtr(cpu: Cpu, selector: number, ext: number): void {
  if ((selector & 0xfffc) === 0) return;
  const error = (selector & 0xfffc) | ext;
  const found = (selector & 4) !== 0 ? null : findDescriptor(cpu, selector);
  if (found === null || isCodeOrData(found.high) || systemType(found.high) !== TYPE_LDT || !isPresent(found.high)) {
    cpu.raise(VECTOR_TS, error);
    return;
  }
  setSegment(cpu, SEG_LDTR, selector, found.low, found.high);
}

/** Descriptor of a segment register of the new task, or #TS. */
function find(cpu: Cpu, selector: number, ext: number): Descriptor {
  const found = (selector & 0xfffc) === 0 ? null : findDescriptor(cpu, selector);
  return found ?? cpu.raise(VECTOR_TS, (selector & 0xfffc) | ext);
}

function loadCode(cpu: Cpu, selector: number, ext: number): void {
  const error = (selector & 0xfffc) | ext;
  const found = find(cpu, selector, ext);
  const dpl = dplOf(found.high);
  const rpl = selector & 3;
  if (!isCode(found.high) || (isConforming(found.high) ? dpl > rpl : dpl !== rpl)) cpu.raise(VECTOR_TS, error);
  if (!isPresent(found.high)) cpu.raise(VECTOR_NP, error);
  setSegment(cpu, SEG_CS, selector, found.low, markAccessed(cpu, found));
}

function loadStack(cpu: Cpu, selector: number, cpl: number, ext: number): void {
  const error = (selector & 0xfffc) | ext;
  const found = find(cpu, selector, ext);
  if ((selector & 3) !== cpl || dplOf(found.high) !== cpl || !isWritableData(found.high)) cpu.raise(VECTOR_TS, error);
  if (!isPresent(found.high)) cpu.raise(VECTOR_SS, error);
  setSegment(cpu, SEG_SS, selector, found.low, markAccessed(cpu, found));
}

function loadData(cpu: Cpu, seg: number, selector: number, ext: number): void {
  if ((selector & 0xfffc) === 0) return;
  const error = (selector & 0xfffc) | ext;
  const found = find(cpu, selector, ext);
  const { high } = found;
  if (!isCodeOrData(high) || !isReadable(high)) cpu.raise(VECTOR_TS, error);
  if (!isConforming(high) && dplOf(high) < Math.max(cpu.cpl, selector & 3)) cpu.raise(VECTOR_TS, error);
  if (!isPresent(high)) cpu.raise(VECTOR_NP, error);
  setSegment(cpu, seg, selector, found.low, markAccessed(cpu, found));
}

/** The error code of the exception goes to the new task's stack, as wide as its TSS. */
function pushError(cpu: Cpu, errorCode: number, is32: boolean): void {
  if (is32) cpu.push32(errorCode);
  else cpu.push16(errorCode);
}

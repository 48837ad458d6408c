/**
 * Delivery of interrupts and exceptions through the IDT, and IRET.
 * Invariant: delivery changes nothing until the last access that can fault has been made (pushes below the stack
 * pointer excepted, which nobody may rely on), so a delivery that fails can be replaced by another exception.
 * Source: SDM vol 3, 6.12 to 6.15; SDM vol 2, INT n and IRET operation sections.
 */
import type { Cpu } from './cpu.ts';
import { NO_ERROR_CODE, VECTOR_DB, VECTOR_DF, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS } from './exits.ts';
import {
  FLAG_AC,
  FLAG_DF,
  FLAG_ID,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VIF,
  FLAG_VIP,
  FLAG_VM,
  FLAGS_ARITHMETIC,
} from './flags.ts';
import { deliverFlat, returnFlat } from './flat-transfer.ts';
import { SEG_CS, SEG_SS } from './insn.ts';
import { ACCESS_USER, CR0_PE } from './paging.ts';
import {
  baseOf,
  checkStackSegment,
  type Descriptor,
  dplOf,
  dropInnerSegments,
  isCode,
  isConforming,
  isPresent,
  isProtected,
  limitOf,
  markAccessed,
  readDescriptor,
  SEG_TR,
  setCode,
  setRealSegment,
  setSegment,
} from './segments.ts';
import { readTaskGate, returnToTask, switchTask } from './task-switch.ts';
import { leaveVirtual, requireVirtualIopl, returnToVirtual, virtualSegments } from './virtual8086.ts';

/** Flags that POPF and IRET load from the image whatever the privilege. */
export const FLAGS_FREE = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID;

const GATE_INTERRUPT16 = 6;
const GATE_TRAP16 = 7;
const GATE_TASK = 5;
const GATE_INTERRUPT32 = 14;
const GATE_TRAP32 = 15;

/**
 * Delivers vector through the IDT; EIP (and the stack) is what the frame saves.
 * @param external an external interrupt (EXT bit in error codes of faults during delivery, no gate privilege check)
 * @param software INT n, INT3, INTO: the gate's DPL must admit CPL
 */
export function deliver(cpu: Cpu, vector: number, errorCode: number, external: boolean, software = false): void {
  if ((cpu.cr0 & CR0_PE) === 0) {
    deliverReal(cpu, vector);
    return;
  }
  if (deliverFlat(cpu, vector, errorCode, software, resumes(cpu, vector, external, software))) return;
  const ext = software ? 0 : 1;
  const gateError = (vector * 8 + 2) | ext;
  if (vector * 8 + 7 > cpu.idtLimit) cpu.raise(VECTOR_GP, gateError);
  const gateAt = (cpu.idtBase + vector * 8) | 0;
  const low = cpu.readSystem32(gateAt);
  const high = cpu.readSystem32((gateAt + 4) | 0);
  const type = (high >>> 8) & 0x1f;
  if (
    type !== GATE_INTERRUPT32 &&
    type !== GATE_TRAP32 &&
    type !== GATE_INTERRUPT16 &&
    type !== GATE_TRAP16 &&
    type !== GATE_TASK
  ) {
    cpu.raise(VECTOR_GP, gateError);
  }
  if (software && dplOf(high) < cpu.cpl) cpu.raise(VECTOR_GP, vector * 8 + 2);
  if (!isPresent(high)) cpu.raise(VECTOR_NP, gateError);
  if (type === GATE_TASK) {
    cpu.restarts = !external && vector !== VECTOR_DB && vector !== VECTOR_DF;
    switchTask(cpu, readTaskGate(cpu, { low }, ext), 'interrupt', ext, errorCode);
    return;
  }
  const is32 = (type & 8) !== 0;
  const selector = low >>> 16;
  const target = is32 ? (high & 0xffff0000) | (low & 0xffff) : low & 0xffff;
  if ((selector & 0xfffc) === 0) cpu.raise(VECTOR_GP, ext);
  const code = readDescriptor(cpu, selector, VECTOR_GP, ext);
  if (!isCode(code.high) || dplOf(code.high) > cpu.cpl) cpu.raise(VECTOR_GP, (selector & 0xfffc) | ext);
  if (!isPresent(code.high)) cpu.raise(VECTOR_NP, (selector & 0xfffc) | ext);
  // Out of virtual-8086 mode only ring 0 is reached.
  const fromVirtual = (cpu.systemFlags & FLAG_VM) !== 0;
  if (fromVirtual && (isConforming(code.high) || dplOf(code.high) !== 0)) {
    cpu.raise(VECTOR_GP, (selector & 0xfffc) | ext);
  }
  if (target >>> 0 > limitOf(code.low, code.high) >>> 0) cpu.raise(VECTOR_GP, ext);

  const returnFlags = cpu.getEflags() | (resumes(cpu, vector, external, software) ? FLAG_RF : 0);
  if (!isConforming(code.high) && dplOf(code.high) < cpu.cpl) {
    enterInnerRing(cpu, selector, code, target, errorCode, returnFlags, is32, ext);
  } else enterSameRing(cpu, selector, code, target, errorCode, returnFlags, is32);

  const isInterruptGate = type === GATE_INTERRUPT32 || type === GATE_INTERRUPT16;
  const cleared = FLAG_TF | FLAG_NT | FLAG_VM | (isInterruptGate ? FLAG_IF : 0);
  cpu.setEflags(0, cleared);
  cpu.charge(cpu.codeCache.timing.instructions.interrupt);
}

/**
 * RF in the saved flags: set by faults, so that the restarted instruction skips its breakpoint; otherwise what the
 * flag was, which only an IRET just before can have set (SDM vol 3, 17.3.1.1).
 */
function resumes(cpu: Cpu, vector: number, external: boolean, software: boolean): boolean {
  if (software) return cpu.resumeAt === cpu.instructions - 1; // the INT n itself has been counted
  const isTrap = vector === VECTOR_DB || vector === VECTOR_DF;
  return external || isTrap ? cpu.resumeAt === cpu.instructions : true;
}

function deliverReal(cpu: Cpu, vector: number): void {
  if (vector * 4 + 3 > cpu.idtLimit) cpu.raise(VECTOR_GP);
  const entry = cpu.readSystem32((cpu.idtBase + vector * 4) | 0);
  const stack: StackPointer = currentStack(cpu);
  pushTo(cpu, stack, cpu.getEflags(), false);
  pushTo(cpu, stack, cpu.segSelector[SEG_CS]!, false);
  pushTo(cpu, stack, cpu.eip, false);
  cpu.regs[4] = (cpu.regs[4]! & ~stack.mask) | stack.sp;
  cpu.setEflags(0, FLAG_IF | FLAG_TF | FLAG_AC);
  setRealSegment(cpu, SEG_CS, entry >>> 16);
  cpu.eip = entry & 0xffff;
  cpu.charge(cpu.codeCache.timing.instructions.interrupt);
}

/** Where frames go: a stack that need not be the current one. */
interface StackPointer {
  base: number;
  mask: number;
  sp: number;
  limit: number;
  user: number;
  faultError: number;
}

/** Writes one frame word below the stack pointer; #SS when it leaves the segment. */
function pushTo(cpu: Cpu, stack: StackPointer, value: number, is32: boolean): void {
  const count = is32 ? 4 : 2;
  const sp = (stack.sp - count) & stack.mask;
  if ((sp >>> 0) + count - 1 > stack.limit) cpu.raise(VECTOR_SS, stack.faultError);
  cpu.writeSlow((stack.base + sp) | 0, value, count, stack.user);
  stack.sp = sp;
}

/** The stack in force. */
function currentStack(cpu: Cpu): StackPointer {
  const expandsDown = (cpu.segAttributes[SEG_SS]! & 4) !== 0;
  return {
    base: cpu.segBase[SEG_SS]!,
    mask: cpu.stackMask(),
    sp: cpu.regs[4]! & cpu.stackMask(),
    limit: expandsDown ? 0xffffffff : cpu.segLimit[SEG_SS]! >>> 0,
    user: cpu.cpl === 3 ? ACCESS_USER : 0,
    faultError: 0,
  };
}

function enterSameRing(
  cpu: Cpu,
  selector: number,
  code: Descriptor,
  target: number,
  errorCode: number,
  returnFlags: number,
  is32: boolean,
): void {
  const stack = currentStack(cpu);
  pushTo(cpu, stack, returnFlags, is32);
  pushTo(cpu, stack, cpu.segSelector[SEG_CS]!, is32);
  pushTo(cpu, stack, cpu.eip, is32);
  if (errorCode !== NO_ERROR_CODE) pushTo(cpu, stack, errorCode, is32);
  markAccessed(cpu, code);
  cpu.regs[4] = (cpu.regs[4]! & ~stack.mask) | stack.sp;
  setCode(cpu, selector, cpu.cpl, code);
  cpu.eip = target;
}

/** SS:ESP for an inner ring from the TSS (SDM vol 3, 7.2.1). */
export function innerStack(cpu: Cpu, ring: number, ext: number): { selector: number; esp: number } {
  const type = cpu.segAttributes[SEG_TR]! & 0x0f;
  const is32 = (type & 8) !== 0;
  const offset = is32 ? 4 + ring * 8 : 2 + ring * 4;
  const error = (cpu.segSelector[SEG_TR]! & 0xfffc) | ext;
  if (offset + (is32 ? 5 : 3) > cpu.segLimit[SEG_TR]! >>> 0) cpu.raise(VECTOR_TS, error);
  const at = (cpu.segBase[SEG_TR]! + offset) | 0;
  return is32
    ? { esp: cpu.readSystem32(at), selector: cpu.readSystem16((at + 4) | 0) }
    : { esp: cpu.readSystem16(at), selector: cpu.readSystem16((at + 2) | 0) };
}

function enterInnerRing(
  cpu: Cpu,
  selector: number,
  code: Descriptor,
  target: number,
  errorCode: number,
  returnFlags: number,
  is32: boolean,
  ext: number,
): void {
  const ring = dplOf(code.high);
  const inner = innerStack(cpu, ring, ext);
  const ss = checkStackSegment(cpu, inner.selector, ring, VECTOR_TS, ext);
  const mask = (ss.high & 0x400000) !== 0 ? -1 : 0xffff;
  const stack: StackPointer = {
    base: baseOf(ss.low, ss.high),
    mask,
    sp: inner.esp & mask,
    limit: (ss.high & 0x400) !== 0 ? 0xffffffff : limitOf(ss.low, ss.high) >>> 0,
    user: 0,
    faultError: (inner.selector & 0xfffc) | ext,
  };
  for (const dataSelector of virtualSegments(cpu)) pushTo(cpu, stack, dataSelector, is32);
  pushTo(cpu, stack, cpu.segSelector[SEG_SS]!, is32);
  pushTo(cpu, stack, cpu.regs[4]!, is32);
  pushTo(cpu, stack, returnFlags, is32);
  pushTo(cpu, stack, cpu.segSelector[SEG_CS]!, is32);
  pushTo(cpu, stack, cpu.eip, is32);
  if (errorCode !== NO_ERROR_CODE) pushTo(cpu, stack, errorCode, is32);
  const ssHigh = markAccessed(cpu, ss);
  leaveVirtual(cpu);
  setCode(cpu, selector, ring, code);
  setSegment(cpu, SEG_SS, inner.selector, ss.low, ssHigh);
  cpu.regs[4] = (inner.esp & ~mask) | stack.sp;
  cpu.eip = target;
}

/** IRET and IRETD. */
export function interruptReturn(cpu: Cpu, is32: boolean): void {
  cpu.unblockNmi();
  if (is32 && returnFlat(cpu, FLAGS_FREE)) return;
  if (!isProtected(cpu)) {
    requireVirtualIopl(cpu);
    returnReal(cpu, is32);
    return;
  }
  if ((cpu.systemFlags & FLAG_NT) !== 0) {
    returnToTask(cpu);
    return;
  }
  const size = is32 ? 4 : 2;
  // Read from the top down, which shows in the address of a page fault.
  const image = cpu.peekStack(2 * size, size);
  const selector = cpu.peekStack(size, size) & 0xffff;
  const eip = cpu.peekStack(0, size);
  if (is32 && (image & FLAG_VM) !== 0 && cpu.cpl === 0) {
    returnToVirtual(cpu, eip, selector, image);
    return;
  }
  const rpl = selector & 3;
  const error = selector & 0xfffc;
  if (error === 0) cpu.raise(VECTOR_GP, 0);
  if (rpl < cpu.cpl) cpu.raise(VECTOR_GP, error);
  const code = checkReturnCode(cpu, selector);
  if (eip >>> 0 > limitOf(code.low, code.high) >>> 0) cpu.raise(VECTOR_GP, 0);
  const mask = returnFlagsMask(cpu, is32);
  if (rpl === cpu.cpl) {
    setCode(cpu, selector, rpl, code);
    cpu.addStack(3 * size);
  } else returnOuter(cpu, selector, code, 3 * size, size, 0);
  if (is32 && (image & FLAG_RF) !== 0) cpu.resumeAt = cpu.instructions;
  cpu.eip = is32 ? eip : eip & 0xffff;
  cpu.setEflags(image, mask);
}

/** EFLAGS bits that IRET may change at the present CPL (SDM vol 2, IRET). */
function returnFlagsMask(cpu: Cpu, is32: boolean): number {
  let mask = FLAGS_FREE;
  if (cpu.cpl <= (cpu.systemFlags & FLAG_IOPL) >> 12) mask |= FLAG_IF;
  if (cpu.cpl === 0) mask |= FLAG_IOPL | FLAG_VIF | FLAG_VIP;
  return is32 ? mask : mask & 0xffff;
}

function returnReal(cpu: Cpu, is32: boolean): void {
  const size = is32 ? 4 : 2;
  const eip = cpu.peekStack(0, size);
  const selector = cpu.peekStack(size, size) & 0xffff;
  const image = cpu.peekStack(2 * size, size);
  if (eip >>> 0 > cpu.segLimit[SEG_CS]! >>> 0) cpu.raise(VECTOR_GP, 0);
  cpu.addStack(3 * size);
  setRealSegment(cpu, SEG_CS, selector);
  cpu.eip = is32 ? eip : eip & 0xffff;
  if (is32 && (image & FLAG_RF) !== 0) cpu.resumeAt = cpu.instructions;
  // In virtual-8086 mode IOPL stays.
  const mask = FLAGS_FREE | FLAG_IF | (cpu.cpl === 0 ? FLAG_IOPL : 0);
  cpu.setEflags(image, is32 ? mask : mask & 0xffff);
}

/** Checks that a far return may go to `selector` (SDM vol 2, RET and IRET). */
export function checkReturnCode(cpu: Cpu, selector: number): Descriptor {
  const error = selector & 0xfffc;
  const rpl = selector & 3;
  const code = readDescriptor(cpu, selector, VECTOR_GP);
  const dpl = dplOf(code.high);
  if (!isCode(code.high) || (isConforming(code.high) ? dpl > rpl : dpl !== rpl)) cpu.raise(VECTOR_GP, error);
  if (!isPresent(code.high)) cpu.raise(VECTOR_NP, error);
  return code;
}

/**
 * Return to an outer ring: takes ESP and SS from `offset` bytes up the stack, then releases `extra` bytes of the
 * outer stack (RET n).
 */
export function returnOuter(
  cpu: Cpu,
  selector: number,
  code: Descriptor,
  offset: number,
  size: 2 | 4,
  extra: number,
): void {
  const esp = cpu.peekStack(offset, size);
  const stackSelector = cpu.peekStack(offset + size, size) & 0xffff;
  const rpl = selector & 3;
  const ss = checkStackSegment(cpu, stackSelector, rpl, VECTOR_GP);
  const ssHigh = markAccessed(cpu, ss);
  setCode(cpu, selector, rpl, code);
  setSegment(cpu, SEG_SS, stackSelector, ss.low, ssHigh);
  const mask = cpu.stackMask();
  const sp = (size === 4 ? esp : esp & 0xffff) + extra;
  cpu.regs[4] = (cpu.regs[4]! & ~mask) | (sp & mask);
  dropInnerSegments(cpu);
}

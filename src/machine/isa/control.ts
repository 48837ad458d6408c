/**
 * Control transfer: jumps, calls, returns, loops, software interrupts, IRET, and their far forms.
 * Source: SDM vol 2, operation section of each instruction; SDM vol 3, 5.8 (privilege checks of transfers).
 */
import type { Cpu } from '../cpu.ts';
import {
  EXIT_EXCEPTION,
  NO_ERROR_CODE,
  VECTOR_BP,
  VECTOR_DB,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_OF,
  VECTOR_SS,
  VECTOR_TS,
} from '../exits.ts';
import { CONDITION_NAMES, CONDITIONS, getOF } from '../flags.ts';
import { type Handler, type Insn, SEG_CS, SEG_SS } from '../insn.ts';
import { checkReturnCode, deliver, innerStack, interruptReturn, returnOuter } from '../interrupts.ts';
import {
  baseOf,
  checkStackSegment,
  type Descriptor,
  dplOf,
  isCode,
  isCodeOrData,
  isConforming,
  isPresent,
  isProtected,
  limitOf,
  markAccessed,
  readDescriptor,
  setCode,
  setRealSegment,
  setSegment,
  systemType,
  TYPE_CALL_GATE16,
  TYPE_CALL_GATE32,
  TYPE_TASK_GATE,
  TYPE_TSS16,
  TYPE_TSS32,
} from '../segments.ts';
import { readTask, readTaskGate, switchTask, type TaskCause } from '../task-switch.ts';
import { requireVirtualIopl } from '../virtual8086.ts';
import { readPart, readRm } from './forms.ts';
import { type Row, row } from './row.ts';

/** #GP(0) if `target` is beyond the limit of the present code segment. */
function checkTarget(c: Cpu, target: number): void {
  const limit = c.segLimit[SEG_CS]!;
  if (limit !== -1 && target >>> 0 > limit >>> 0 && limit >>> 0 < c.linearLimit) c.raise(VECTOR_GP, 0);
}
/** Goes to `target` in the present code segment. */
function jumpTo(c: Cpu, target: number): void {
  checkTarget(c, target);
  c.eip = target;
}
const near = (i: Insn, target: number): number => (i.width === 32 ? target | 0 : target & 0xffff);

const jumpRelative: Handler = (c, i) => {
  jumpTo(c, near(i, c.eip + i.imm));
  c.warm(i);
};
const jcc = (cc: number): Handler => {
  const condition = CONDITIONS[cc]!;
  return (c: Cpu, i: Insn) => {
    if (!condition(c)) return;
    jumpTo(c, near(i, c.eip + i.imm));
    c.warm(i);
  };
};
const jumpRm: Handler = (c, i) => {
  i.target = readRm(c, i, i.a, i.width);
  jumpTo(c, i.target);
  c.warm(i);
};

function callTo(c: Cpu, i: Insn, target: number): void {
  checkTarget(c, target);
  if (i.width === 32) c.push32(c.eip);
  else c.push16(c.eip);
  c.eip = target;
  c.warm(i);
}
const callRelative: Handler = (c, i) => callTo(c, i, near(i, c.eip + i.imm));
const callRm: Handler = (c, i) => {
  i.target = readRm(c, i, i.a, i.width);
  callTo(c, i, i.target);
};
/** RET with or without operand (then imm is 0). The stack pointer moves only when the target is good. */
const retAny: Handler = (c, i) => {
  const size = i.width === 32 ? 4 : 2;
  jumpTo(c, c.peekStack(0, size));
  c.addStack(size + (i.imm & 0xffff));
  c.warm(i);
};
const ret: Handler = (c, i) => {
  if (!c.stackFlat || i.width !== 32) {
    retAny(c, i);
    return;
  }
  const esp = c.regs[4]!;
  jumpTo(c, c.read32(esp));
  c.regs[4] = (esp + 4) | 0;
  c.warm(i);
};

/** LOOP, LOOPE, LOOPNE, JCXZ: the counter is CX or ECX by address size. */
const loop =
  (wanted: 0 | 1 | null): Handler =>
  (c, i) => {
    const mask = i.addressMask;
    const counter = (c.regs[1]! - 1) & mask;
    const zero = c.flagRes === 0 ? 1 : 0;
    if (counter !== 0 && (wanted === null || zero === wanted)) jumpTo(c, near(i, c.eip + i.imm));
    c.regs[1] = (c.regs[1]! & ~mask) | counter;
    if (counter !== 0) c.warm(i);
  };
const jcxz: Handler = (c, i) => {
  if ((c.regs[1]! & i.addressMask) === 0) jumpTo(c, near(i, c.eip + i.imm));
};

// ---------------------------------------------------------------- software interrupts

function softwareInterrupt(c: Cpu, i: Insn, vector: number): void {
  if (c.interceptSoftwareInterrupts) {
    c.exitVector = vector;
    c.exitError = NO_ERROR_CODE;
    c.exitIsSoftware = true;
    c.stopBefore(i, EXIT_EXCEPTION);
    return;
  }
  deliver(c, vector, NO_ERROR_CODE, false, true);
  c.suppressTrap();
  c.warm(i);
}
/** INT1 is delivered as a debug exception: the privilege of its gate does not matter (SDM vol 2, INT n). */
const int1: Handler = (c, i) => {
  if (c.interceptSoftwareInterrupts) softwareInterrupt(c, i, VECTOR_DB);
  else {
    // One exception for both when a load of SS has kept a breakpoint waiting.
    const due = c.takePendingTrap();
    if (due !== 0) c.noteDebug(due);
    deliver(c, VECTOR_DB, NO_ERROR_CODE, false);
    c.suppressTrap();
  }
};
const intN: Handler = (c, i) => {
  requireVirtualIopl(c);
  softwareInterrupt(c, i, i.imm & 0xff);
};
const int3: Handler = (c, i) => softwareInterrupt(c, i, VECTOR_BP);
const into: Handler = (c, i) => {
  if (getOF(c) !== 0) softwareInterrupt(c, i, VECTOR_OF);
};
const iret: Handler = (c, i) => {
  interruptReturn(c, i.width === 32);
  c.warm(i);
};

// ---------------------------------------------------------------- far transfers

function farPointer(c: Cpu, i: Insn): { selector: number; offset: number } {
  if (!i.isMemory) return { selector: i.imm2, offset: i.imm };
  const size = i.width === 32 ? 4 : 2;
  const offset = readPart(c, i, 0, size);
  return { offset, selector: readPart(c, i, size, 2) };
}

/** Checks a code segment as the direct target of a far JMP or CALL: no change of privilege. */
function checkDirect(c: Cpu, selector: number, code: Descriptor): void {
  const error = selector & 0xfffc;
  const dpl = dplOf(code.high);
  const allowed = isConforming(code.high) ? dpl <= c.cpl : (selector & 3) <= c.cpl && dpl === c.cpl;
  if (!allowed) c.raise(VECTOR_GP, error);
  if (!isPresent(code.high)) c.raise(VECTOR_NP, error);
}

interface Gate {
  readonly selector: number;
  readonly offset: number;
  readonly is32: boolean;
  readonly parameters: number;
}

/** Checks and reads a call gate. A TSS or task gate switches the task, and null says that this is done. */
function readGate(c: Cpu, selector: number, descriptor: Descriptor, cause: TaskCause): Gate | null {
  const { low, high } = descriptor;
  const error = selector & 0xfffc;
  const type = systemType(high);
  if (isCodeOrData(high)) c.raise(VECTOR_GP, error);
  const isGate = type === TYPE_CALL_GATE32 || type === TYPE_CALL_GATE16;
  const isTask = type === TYPE_TSS16 || type === TYPE_TSS32 || type === TYPE_TASK_GATE;
  if (!isGate && !isTask) c.raise(VECTOR_GP, error);
  if (dplOf(high) < Math.max(c.cpl, selector & 3)) c.raise(VECTOR_GP, error);
  if (!isPresent(high)) c.raise(VECTOR_NP, error);
  if (isTask) {
    const task = type === TYPE_TASK_GATE ? readTaskGate(c, descriptor, 0) : readTask(c, selector, VECTOR_GP, 0);
    switchTask(c, task, cause);
    return null;
  }
  const is32 = type === TYPE_CALL_GATE32;
  return {
    selector: low >>> 16,
    offset: is32 ? (high & 0xffff0000) | (low & 0xffff) : low & 0xffff,
    is32,
    parameters: high & 31,
  };
}

function readGateTarget(c: Cpu, gate: Gate): Descriptor {
  if ((gate.selector & 0xfffc) === 0) c.raise(VECTOR_GP, 0);
  const code = readDescriptor(c, gate.selector, VECTOR_GP);
  const error = gate.selector & 0xfffc;
  if (!isCode(code.high) || dplOf(code.high) > c.cpl) c.raise(VECTOR_GP, error);
  if (!isPresent(code.high)) c.raise(VECTOR_NP, error);
  if (gate.offset >>> 0 > limitOf(code.low, code.high) >>> 0) c.raise(VECTOR_GP, 0);
  return code;
}

/** Descriptor that a far JMP or CALL names; if it is code, checked as a direct target with offset `target`. */
function readTarget(c: Cpu, selector: number, target: number): Descriptor {
  if ((selector & 0xfffc) === 0) c.raise(VECTOR_GP, 0);
  const descriptor = readDescriptor(c, selector, VECTOR_GP);
  if (isCode(descriptor.high)) {
    checkDirect(c, selector, descriptor);
    if (target >>> 0 > limitOf(descriptor.low, descriptor.high) >>> 0) c.raise(VECTOR_GP, 0);
  }
  return descriptor;
}

const jumpFar: Handler = (c, i) => {
  const { selector, offset } = farPointer(c, i);
  const target = near(i, offset);
  if (!isProtected(c)) {
    checkTarget(c, target);
    setRealSegment(c, SEG_CS, selector);
    c.eip = target;
    return;
  }
  const descriptor = readTarget(c, selector, target);
  if (isCode(descriptor.high)) {
    setCode(c, selector, c.cpl, descriptor);
    c.eip = target;
    return;
  }
  const gate = readGate(c, selector, descriptor, 'jump');
  if (gate === null) return;
  const code = readGateTarget(c, gate);
  if (!isConforming(code.high) && dplOf(code.high) !== c.cpl) c.raise(VECTOR_GP, gate.selector & 0xfffc);
  setCode(c, gate.selector, c.cpl, code);
  c.eip = gate.offset;
};

function pushFrame(c: Cpu, is32: boolean): void {
  const esp = c.regs[4]!;
  let done = false;
  try {
    if (is32) {
      c.push32(c.segSelector[SEG_CS]!);
      c.push32(c.eip);
    } else {
      c.push16(c.segSelector[SEG_CS]!);
      c.push16(c.eip);
    }
    done = true;
  } finally {
    if (!done) c.regs[4] = esp;
  }
}

const callFar: Handler = (c, i) => {
  const { selector, offset } = farPointer(c, i);
  const target = near(i, offset);
  if (!isProtected(c)) {
    checkTarget(c, target);
    pushFrame(c, i.width === 32);
    setRealSegment(c, SEG_CS, selector);
    c.eip = target;
    return;
  }
  const descriptor = readTarget(c, selector, target);
  if (isCode(descriptor.high)) {
    callCode(c, i.width === 32, selector, descriptor);
    c.eip = target;
    return;
  }
  const gate = readGate(c, selector, descriptor, 'call');
  if (gate === null) return;
  const code = readGateTarget(c, gate);
  if (!isConforming(code.high) && dplOf(code.high) < c.cpl) callInnerRing(c, gate, code);
  else callCode(c, gate.is32, gate.selector, code);
  c.eip = gate.offset;
};

/** Pushes the return address and enters a code segment of the same ring; ESP changes only when nothing can fault. */
function callCode(c: Cpu, is32: boolean, selector: number, code: Descriptor): void {
  const high = markAccessed(c, code);
  pushFrame(c, is32);
  setCode(c, selector, c.cpl, { ...code, high });
}

/** Call through a gate to an inner ring: new stack from the TSS, parameters copied (SDM vol 3, 5.8.5). */
function callInnerRing(c: Cpu, gate: Gate, code: Descriptor): void {
  const ring = dplOf(code.high);
  const inner = innerStack(c, ring, 0);
  const ss = checkStackSegment(c, inner.selector, ring, VECTOR_TS);
  const size = gate.is32 ? 4 : 2;
  const values = [c.segSelector[SEG_SS]!, c.regs[4]!];
  for (let n = gate.parameters - 1; n >= 0; n--) values.push(c.peekStack(n * size, size));
  values.push(c.segSelector[SEG_CS]!, c.eip);
  const mask = (ss.high & 0x400000) !== 0 ? -1 : 0xffff;
  const base = baseOf(ss.low, ss.high);
  const limit = (ss.high & 0x400) !== 0 ? 0xffffffff : limitOf(ss.low, ss.high) >>> 0;
  let sp = inner.esp & mask;
  for (const value of values) {
    sp = (sp - size) & mask;
    if ((sp >>> 0) + size - 1 > limit) c.raise(VECTOR_SS, inner.selector & 0xfffc);
    c.writeSlow((base + sp) | 0, value, size, 0);
  }
  const ssHigh = markAccessed(c, ss);
  setCode(c, gate.selector, ring, code);
  setSegment(c, SEG_SS, inner.selector, ss.low, ssHigh);
  c.regs[4] = (inner.esp & ~mask) | sp;
}

function returnFar(c: Cpu, i: Insn, release: number): void {
  const size = i.width === 32 ? 4 : 2;
  const selector = c.peekStack(size, size) & 0xffff;
  const eip = c.peekStack(0, size);
  if (!isProtected(c)) {
    checkTarget(c, near(i, eip));
    c.addStack(2 * size + release);
    setRealSegment(c, SEG_CS, selector);
    c.eip = near(i, eip);
    return;
  }
  const rpl = selector & 3;
  if ((selector & 0xfffc) === 0) c.raise(VECTOR_GP, 0);
  if (rpl < c.cpl) c.raise(VECTOR_GP, selector & 0xfffc);
  const code = checkReturnCode(c, selector);
  if (eip >>> 0 > limitOf(code.low, code.high) >>> 0) c.raise(VECTOR_GP, 0);
  if (rpl === c.cpl) {
    setCode(c, selector, rpl, code);
    c.addStack(2 * size + release);
  } else returnOuter(c, selector, code, 2 * size + release, size, release);
  c.eip = near(i, eip);
}
const retFar: Handler = (c, i) => returnFar(c, i, 0);
const retFarImm: Handler = (c, i) => returnFar(c, i, i.imm & 0xffff);

const hex = (n: number): string => n.toString(16).padStart(2, '0').toUpperCase();
const SENSITIVE = { class: 'sensitive' } as const;

export const controlRows: readonly Row[] = [
  ...CONDITION_NAMES.map((name, cc) => row(hex(0x70 + cc), `J${name}`, 'Jb', 'branch', () => jcc(cc))),
  ...CONDITION_NAMES.map((name, cc) => row(`0F ${hex(0x80 + cc)}`, `J${name}`, 'Jz', 'branch', () => jcc(cc))),
  row('EB', 'JMP', 'Jb', 'branch', () => jumpRelative),
  row('E9', 'JMP', 'Jz', 'branch', () => jumpRelative),
  row('FF /4', 'JMP', 'Ev', 'branch', () => jumpRm),
  row('E8', 'CALL', 'Jz', 'call', () => callRelative),
  row('FF /2', 'CALL', 'Ev', 'call', () => callRm),
  row('C3', 'RET', '', 'call', () => ret),
  row('C2', 'RET', 'Iw', 'call', () => retAny),
  row('E0', 'LOOPNE', 'Jb', 'branch', () => loop(0)),
  row('E1', 'LOOPE', 'Jb', 'branch', () => loop(1)),
  row('E2', 'LOOP', 'Jb', 'branch', () => loop(null)),
  row('E3', 'JCXZ', 'Jb', 'branch', () => jcxz),
  row('CD', 'INT', 'Ib', 'simple', () => intN, SENSITIVE),
  row('F1', 'INT1', '', 'simple', () => int1, SENSITIVE),
  row('CC', 'INT3', '', 'simple', () => int3, SENSITIVE),
  row('CE', 'INTO', '', 'simple', () => into, SENSITIVE),
  row('CF', 'IRET', '', 'iret', () => iret, SENSITIVE),
  row('EA', 'JMPF', 'Ap', 'far', () => jumpFar, SENSITIVE),
  row('FF /5', 'JMPF', 'Mp', 'far', () => jumpFar, SENSITIVE),
  row('9A', 'CALLF', 'Ap', 'far', () => callFar, SENSITIVE),
  row('FF /3', 'CALLF', 'Mp', 'far', () => callFar, SENSITIVE),
  row('CB', 'RETF', '', 'far', () => retFar, SENSITIVE),
  row('CA', 'RETF', 'Iw', 'far', () => retFarImm, SENSITIVE),
];

/**
 * The VMX unit of a CPU: VMX operation, the current control structure, entry into a guest and exit from it, as the manual
 * describes them. On the bare machine it is the processor's own; under a VMM that offers VMX to its guest it is the
 * virtual one, worked on by the same code when the VMM carries out the guest's instruction.
 *
 *   root ── VMLAUNCH, VMRESUME: enter() ──► guest ── what the controls ask for: wants(), leave() ──► root
 *
 * Invariants: everything that a guest's VMM could observe lies in the region in memory, so the bare machine and a VMM leave
 * the same bytes; the owner of the CPU puts `intercepts` and `exceptions` in force after enter() and takes them back
 * after leave(), because it may have intercepts of its own.
 * Source: SDM vol 3, chapters 23 to 27 and 30 (error numbers: 30.4). There is no VPID: both ways flush the TLB.
 */
import type { Cycles } from '../../core/units.ts';
import { followDebugRegisters } from '../breakpoints.ts';
import type { CodeCache } from '../code-cache.ts';
import type { Cpu } from '../cpu.ts';
import {
  EXIT_EXCEPTION,
  EXIT_INTERCEPT,
  EXIT_IO,
  EXIT_TASK_SWITCH,
  EXIT_TRIPLE_FAULT,
  NO_ERROR_CODE,
  VECTOR_NMI,
  VECTOR_PF,
} from '../exits.ts';
import { FLAG_IF, FLAG_ZF, FLAGS_ARITHMETIC, FLAGS_FIXED } from '../flags.ts';
import type { Insn } from '../insn.ts';
import {
  INTERCEPT_CPUID,
  INTERCEPT_CR_READ,
  INTERCEPT_CR_WRITE,
  INTERCEPT_DR,
  INTERCEPT_HLT,
  INTERCEPT_HYPERCALL,
  INTERCEPT_INVLPG,
  INTERCEPT_MSR,
  INTERCEPT_PAUSE,
  INTERCEPT_RDTSC,
  INTERCEPT_VMCS_ACCESS,
  INTERCEPT_VMX,
  INTERCEPT_WBINVD,
} from '../isa/row.ts';
import { MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP } from '../isa/sysenter.ts';
import { CR4_DEFINED } from '../isa/system.ts';
import { FRAME_CODE } from '../memory.ts';
import type { PhysMap } from '../physmap.ts';
import { SEG_LDTR, SEG_TR, TYPE_TSS16, TYPE_TSS32_BUSY, updateFlat } from '../segments.ts';
import * as field from './fields.ts';

/** What the unit's operations cost; by the Intel number of the exit reason. */
export interface VmxTiming {
  readonly vmread: Cycles;
  readonly vmwrite: Cycles;
  readonly vmclear: Cycles;
  readonly vmptrld: Cycles;
  readonly entry: Cycles;
  exit(reason: number): Cycles;
}

/** An exit as the control structure records it (SDM vol 3, 24.9). */
export interface VmxExit {
  /** Basic exit reason, the manual's number (appendix C). */
  readonly reason: number;
  readonly qualification?: number;
  /** Interruption information, with its valid bit. */
  readonly event?: number;
  readonly error?: number;
  /** Event whose delivery was under way. */
  readonly vectoring?: number;
  readonly vectoringError?: number;
  readonly length?: number;
}

/** Basic exit reasons that occur here (appendix C). */
export const REASON_EXCEPTION = 0;
export const REASON_EXTERNAL_INTERRUPT = 1;
export const REASON_TRIPLE_FAULT = 2;
export const REASON_TASK_SWITCH = 9;
export const REASON_INVALID_GUEST = 33;
const ENTRY_FAILED = 0x80000000 | 0;

/** Reasons of intercepted instructions, by mnemonic; those whose control must be set are in CONTROLLED. */
const REASONS: Readonly<Record<string, number>> = {
  CPUID: 10,
  HLT: 12,
  INVD: 13,
  INVLPG: 14,
  RDTSC: 16,
  VMCALL: 18,
  VMCLEAR: 19,
  VMLAUNCH: 20,
  VMPTRLD: 21,
  VMPTRST: 22,
  VMREAD: 23,
  VMRESUME: 24,
  VMWRITE: 25,
  VMXOFF: 26,
  VMXON: 27,
  RDMSR: 31,
  WRMSR: 32,
  PAUSE: 40,
};
const REASON_CR = 28;
const REASON_DR = 29;
const REASON_IO = 30;

/** Instruction intercepts that a processor-based control switches on. */
const CONTROLLED: readonly (readonly [control: number, intercept: number])[] = [
  [field.CPU_HLT, INTERCEPT_HLT],
  [field.CPU_INVLPG, INTERCEPT_INVLPG],
  [field.CPU_RDTSC, INTERCEPT_RDTSC],
  [field.CPU_MOV_DR, INTERCEPT_DR],
  [field.CPU_PAUSE, INTERCEPT_PAUSE],
];
/** Always on: INVD is one of INTERCEPT_WBINVD, MOV to and from CR3 are some of the CR intercepts. */
const ALWAYS =
  INTERCEPT_CPUID |
  INTERCEPT_MSR |
  INTERCEPT_HYPERCALL |
  INTERCEPT_VMX |
  INTERCEPT_VMCS_ACCESS |
  INTERCEPT_WBINVD |
  INTERCEPT_CR_READ |
  INTERCEPT_CR_WRITE;

// Interruption information (24.8.3): vector, type, error code, valid.
const EVENT_EXTERNAL = 0;
const EVENT_NMI = 2;
const EVENT_EXCEPTION = 3;
const EVENT_HAS_ERROR = 1 << 11;
const EVENT_VALID = 1 << 31;

const NONE = -1;
const SEGMENTS = 8;
const RIGHTS_UNUSABLE = 0x10000;
/** Access rights of host segments: flat code, flat data, busy TSS. */
const HOST_CODE = 0xc09b;
const HOST_DATA = 0xc093;
const HOST_TSS = 0x008b;

/** Blocking by STI, a bit of the interruptibility state. */
const BLOCKED_BY_STI = 1;

// Error numbers of VMfailValid (30.4).
export const ERROR_VMCALL_IN_ROOT = 1;
export const ERROR_VMCLEAR_ADDRESS = 2;
export const ERROR_VMCLEAR_VMXON = 3;
const ERROR_LAUNCH_NOT_CLEAR = 4;
const ERROR_RESUME_NOT_LAUNCHED = 5;
const ERROR_CONTROLS = 7;
const ERROR_HOST_STATE = 8;
export const ERROR_VMPTRLD_ADDRESS = 9;
export const ERROR_VMPTRLD_VMXON = 10;
export const ERROR_VMPTRLD_REVISION = 11;
const ERROR_NO_SUCH_FIELD = 12;
const ERROR_READ_ONLY = 13;
export const ERROR_VMXON_IN_ROOT = 15;

/** An event to deliver right after an entry. */
export interface EntryEvent {
  readonly vector: number;
  readonly errorCode: number;
  readonly external: boolean;
}

export class VmxUnit {
  readonly timing: VmxTiming;
  /** Between VMXON and VMXOFF. */
  on = false;
  /** In VMX non-root operation: the CPU executes a guest. */
  inGuest = false;
  /** Event that the last enter() asks for; the owner delivers it once. */
  entryEvent: EntryEvent | null = null;
  private readonly physmap: PhysMap;
  private readonly codeCache: CodeCache;
  private vmxonRegion = NONE;
  private current = NONE;

  constructor(physmap: PhysMap, codeCache: CodeCache, timing: VmxTiming) {
    this.physmap = physmap;
    this.codeCache = codeCache;
    this.timing = timing;
  }

  // ------------------------------------------------------------------ results of instructions (30.2)

  succeed(c: Cpu): void {
    c.setEflags(0, FLAGS_ARITHMETIC);
  }

  /** VMfailInvalid: there is no control structure to note the reason in. */
  failInvalid(c: Cpu): void {
    c.setEflags(1, FLAGS_ARITHMETIC);
  }

  fail(c: Cpu, error: number): void {
    if (this.current === NONE) {
      this.failInvalid(c);
      return;
    }
    this.put(field.INSTRUCTION_ERROR, error);
    c.setEflags(FLAG_ZF, FLAGS_ARITHMETIC);
  }

  // ------------------------------------------------------------------ instructions; operands are checked here

  vmxon(c: Cpu, low: number, high: number): void {
    if (!this.isRegion(low, high) || this.physmap.read32(low) !== field.REVISION) {
      this.failInvalid(c);
      return;
    }
    this.on = true;
    this.vmxonRegion = low;
    this.current = NONE;
    this.succeed(c);
  }

  vmxoff(c: Cpu): void {
    this.on = false;
    this.current = NONE;
    this.succeed(c);
  }

  vmclear(c: Cpu, low: number, high: number): void {
    if (!this.isRegion(low, high)) this.fail(c, ERROR_VMCLEAR_ADDRESS);
    else if (low === this.vmxonRegion) this.fail(c, ERROR_VMCLEAR_VMXON);
    else {
      this.store(low + field.LAUNCHED_AT, 0);
      if (this.current === low) this.current = NONE;
      this.succeed(c);
    }
  }

  vmptrld(c: Cpu, low: number, high: number): void {
    if (!this.isRegion(low, high)) this.fail(c, ERROR_VMPTRLD_ADDRESS);
    else if (low === this.vmxonRegion) this.fail(c, ERROR_VMPTRLD_VMXON);
    else if (this.physmap.read32(low) !== field.REVISION) this.fail(c, ERROR_VMPTRLD_REVISION);
    else {
      this.current = low;
      this.succeed(c);
    }
  }

  /** Address of the current structure: both words all ones if there is none. */
  get currentLow(): number {
    return this.current;
  }
  get currentHigh(): number {
    return this.current === NONE ? NONE : 0;
  }

  /** Value of a field, or undefined where VMREAD fails; the flags are set. */
  vmread(c: Cpu, encoding: number): number | undefined {
    if (this.current === NONE) {
      this.failInvalid(c);
      return undefined;
    }
    if (field.fieldPlace(encoding) === undefined) {
      this.fail(c, ERROR_NO_SUCH_FIELD);
      return undefined;
    }
    this.succeed(c);
    return this.get(encoding);
  }

  vmwrite(c: Cpu, encoding: number, value: number): void {
    if (this.current === NONE) this.failInvalid(c);
    else if (field.fieldPlace(encoding) === undefined) this.fail(c, ERROR_NO_SUCH_FIELD);
    else if (field.isReadOnly(encoding)) this.fail(c, ERROR_READ_ONLY);
    else {
      this.put(encoding, field.isNarrow(encoding) ? value & 0xffff : value);
      // 32 bits are too short for the whole field: the rest is cleared (VMWRITE).
      if (field.isLong(encoding)) this.put(encoding + 1, 0);
      this.succeed(c);
    }
  }

  /** VMLAUNCH or VMRESUME. True if the CPU has now the guest's state, or was thrown back to the host's by a failed entry. */
  enter(c: Cpu, launch: boolean): boolean {
    if (this.current === NONE) {
      this.failInvalid(c);
      return false;
    }
    const launched = this.physmap.read32(this.current + field.LAUNCHED_AT) !== 0;
    let error = 0;
    if (launch && launched) error = ERROR_LAUNCH_NOT_CLEAR;
    else if (!launch && !launched) error = ERROR_RESUME_NOT_LAUNCHED;
    else if (!this.controlsAllowed()) error = ERROR_CONTROLS;
    else if (!this.hostAllowed()) error = ERROR_HOST_STATE;
    if (error !== 0) {
      this.fail(c, error);
      return false;
    }
    c.charge(this.timing.entry);
    if (!this.guestAllowed()) {
      // The entry fails late: only the reason is recorded, then the host's state is loaded (26.7).
      this.put(field.EXIT_REASON, REASON_INVALID_GUEST | ENTRY_FAILED);
      this.put(field.EXIT_QUALIFICATION, 0);
      this.loadHost(c);
      return true;
    }
    this.loadGuest(c);
    this.store(this.current + field.LAUNCHED_AT, 1);
    this.inGuest = true;
    this.entryEvent = this.eventOf(this.get(field.ENTRY_EVENT));
    return true;
  }

  /** MSRs that the unit adds; undefined: not one of them. */
  readMsr(msr: number, cr4: number): readonly [low: number, high: number] | undefined {
    return field.vmxMsr(msr, cr4);
  }

  // ------------------------------------------------------------------ while a guest executes

  /** INTERCEPT_* bits that the guest's controls ask for. */
  get intercepts(): number {
    const controls = this.get(field.CPU_CONTROLS);
    return CONTROLLED.reduce((bits, [control, bit]) => ((controls & control) !== 0 ? bits | bit : bits), ALWAYS);
  }

  /** Exceptions that leave the guest, a bit per vector. */
  get exceptions(): number {
    return this.get(field.EXCEPTION_BITMAP);
  }

  /** An external interrupt leaves the guest, whatever its interrupt flag. */
  get exitsOnInterrupt(): boolean {
    return this.inGuest && (this.get(field.PIN_CONTROLS) & field.PIN_EXTERNAL_INTERRUPT) !== 0;
  }

  /** Turns an EXIT_* code of the CPU into the exit that the guest's controls ask for; null: they do not. */
  wants(c: Cpu, exit: number): VmxExit | null {
    switch (exit) {
      case EXIT_INTERCEPT:
        return this.wantsInstruction(c, c.exitInsn);
      case EXIT_IO:
        return (this.get(field.CPU_CONTROLS) & field.CPU_IO) === 0 ? null : ioExit(c);
      case EXIT_EXCEPTION:
        return ((this.exceptions >>> c.exitVector) & 1) === 0 ? null : exceptionExit(c);
      case EXIT_TRIPLE_FAULT:
        return { reason: REASON_TRIPLE_FAULT };
      case EXIT_TASK_SWITCH:
        return { reason: REASON_TASK_SWITCH };
      default:
        return null;
    }
  }

  /** The same for an instruction that is about to execute. */
  wantsInstruction(c: Cpu, insn: Insn): VmxExit | null {
    const { mnemonic, intercept } = insn.row;
    const { length } = insn;
    if ((this.intercepts & intercept) === 0) return null;
    if (intercept === INTERCEPT_CR_WRITE) {
      const isCr3 = mnemonic === 'MOV' && insn.a === 3;
      return isCr3 ? { reason: REASON_CR, qualification: 3 | (insn.b << 8), length } : null;
    }
    if (intercept === INTERCEPT_CR_READ) {
      return insn.b === 3 ? { reason: REASON_CR, qualification: 3 | (1 << 4) | (insn.a << 8), length } : null;
    }
    if (intercept === INTERCEPT_DR) {
      const isRead = insn.row.operands[1] === 'Dd';
      const [number, register] = isRead ? [insn.b, insn.a] : [insn.a, insn.b];
      return { reason: REASON_DR, qualification: number | (isRead ? 1 << 4 : 0) | (register << 8), length };
    }
    const reason = REASONS[mnemonic];
    if (reason === undefined) return null; // WBINVD and VMMCALL do not exit
    if (intercept !== INTERCEPT_INVLPG) return { reason, length };
    return { reason, length, qualification: (c.segBase[insn.seg]! + c.offset(insn)) | 0 };
  }

  /** Leaves the guest: saves its state and the reason, loads the host's state. */
  leave(c: Cpu, exit: VmxExit): void {
    c.charge(this.timing.exit(exit.reason));
    this.saveGuest(c);
    this.put(field.EXIT_REASON, exit.reason);
    this.put(field.EXIT_QUALIFICATION, exit.qualification ?? 0);
    this.put(field.EXIT_EVENT, exit.event ?? 0);
    this.put(field.EXIT_EVENT_ERROR, exit.error ?? 0);
    this.put(field.VECTORING_EVENT, exit.vectoring ?? 0);
    this.put(field.VECTORING_EVENT_ERROR, exit.vectoringError ?? 0);
    this.put(field.EXIT_INSTRUCTION_LENGTH, exit.length ?? 0);
    // The event was delivered, or is reported above: it is not to come again (27.2.1).
    this.put(field.ENTRY_EVENT, this.get(field.ENTRY_EVENT) & ~EVENT_VALID);
    this.loadHost(c);
  }

  // ------------------------------------------------------------------ checks (26.2, 26.3)

  private controlsAllowed(): boolean {
    const event = this.get(field.ENTRY_EVENT);
    const type = (event >>> 8) & 7;
    const types = [EVENT_EXTERNAL, EVENT_NMI, EVENT_EXCEPTION];
    const lists = [field.EXIT_MSR_STORE_COUNT, field.EXIT_MSR_LOAD_COUNT, field.ENTRY_MSR_LOAD_COUNT];
    return (
      field.isAllowed(this.get(field.PIN_CONTROLS), field.PIN_CAPABILITY) &&
      field.isAllowed(this.get(field.CPU_CONTROLS), field.CPU_CAPABILITY) &&
      field.isAllowed(this.get(field.EXIT_CONTROLS), field.EXIT_CAPABILITY) &&
      field.isAllowed(this.get(field.ENTRY_CONTROLS), field.ENTRY_CAPABILITY) &&
      // Not in our subset: guest/host masks of CR0 and CR4, lists of MSRs.
      this.get(field.CR0_MASK) === 0 &&
      this.get(field.CR4_MASK) === 0 &&
      lists.every((list) => this.get(list) === 0) &&
      ((event & EVENT_VALID) === 0 || (types.includes(type) && (type !== EVENT_NMI || (event & 0xff) === VECTOR_NMI)))
    );
  }

  private hostAllowed(): boolean {
    const selectors = Array.from({ length: 7 }, (_, n) => this.get(field.HOST_SELECTOR + 2 * n));
    const [, code, , , , , task] = selectors;
    return (
      (this.get(field.HOST_CR0) & field.CR0_FIXED) === field.CR0_FIXED &&
      (this.get(field.HOST_CR4) & field.CR4_VMXE) !== 0 &&
      selectors.every((selector) => (selector & 7) === 0) &&
      code !== 0 &&
      task !== 0
    );
  }

  private guestAllowed(): boolean {
    const flags = this.get(field.GUEST_RFLAGS);
    const code = this.get(field.GUEST_RIGHTS + 2);
    const task = this.get(field.GUEST_RIGHTS + 2 * SEG_TR);
    const taskType = task & 0xf;
    return (
      (this.get(field.GUEST_CR0) & field.CR0_FIXED) === field.CR0_FIXED &&
      (this.get(field.GUEST_CR4) & field.CR4_VMXE) !== 0 &&
      (this.get(field.GUEST_CR4) & ~(CR4_DEFINED | field.CR4_VMXE)) === 0 &&
      (flags & FLAGS_FIXED) !== 0 &&
      (flags & 0xffc08028) === 0 &&
      (code & 0x10098) === 0x98 &&
      (task & RIGHTS_UNUSABLE) === 0 &&
      (taskType === TYPE_TSS32_BUSY || taskType === (TYPE_TSS16 | 2)) &&
      (this.get(field.ENTRY_EVENT) >= 0 || this.acceptsEvent(flags)) &&
      this.get(field.GUEST_ACTIVITY) === 0 &&
      this.get(field.LINK_POINTER) === -1 &&
      this.get(field.LINK_POINTER + 1) === -1
    );
  }

  /** An external interrupt may be injected only where the guest would take one (26.3.1.4). */
  private acceptsEvent(flags: number): boolean {
    if (((this.get(field.ENTRY_EVENT) >>> 8) & 7) !== EVENT_EXTERNAL) return true;
    return (flags & FLAG_IF) !== 0 && this.get(field.GUEST_INTERRUPTIBILITY) === 0;
  }

  private eventOf(event: number): EntryEvent | null {
    if ((event & EVENT_VALID) === 0) return null;
    const hasError = (event & EVENT_HAS_ERROR) !== 0;
    return {
      vector: event & 0xff,
      errorCode: hasError ? this.get(field.ENTRY_EVENT_ERROR) : NO_ERROR_CODE,
      external: ((event >>> 8) & 7) !== EVENT_EXCEPTION,
    };
  }

  // ------------------------------------------------------------------ state (24.4, 24.5, 26.3.2, 27.3, 27.5)

  private loadGuest(c: Cpu): void {
    c.cr0 = this.get(field.GUEST_CR0);
    c.cr3 = this.get(field.GUEST_CR3);
    c.cr4 = this.get(field.GUEST_CR4);
    for (let seg = 0; seg < SEGMENTS; seg++) {
      const rights = this.get(field.GUEST_RIGHTS + 2 * seg);
      c.segSelector[seg] = this.get(field.GUEST_SELECTOR + 2 * seg);
      c.segBase[seg] = this.get(field.GUEST_BASE + 2 * seg);
      c.segLimit[seg] = this.get(field.GUEST_LIMIT + 2 * seg);
      c.segAttributes[seg] = (rights & RIGHTS_UNUSABLE) !== 0 ? 0 : rights & 0xf0ff;
    }
    c.gdtBase = this.get(field.GUEST_GDTR_BASE);
    c.gdtLimit = this.get(field.GUEST_GDTR_LIMIT);
    c.idtBase = this.get(field.GUEST_IDTR_BASE);
    c.idtLimit = this.get(field.GUEST_IDTR_LIMIT);
    this.loadSysenter(c, field.GUEST_SYSENTER_CS, field.GUEST_SYSENTER_ESP, field.GUEST_SYSENTER_EIP);
    c.debug[7] = this.get(field.GUEST_DR7);
    c.regs[4] = this.get(field.GUEST_RSP);
    c.eip = this.get(field.GUEST_RIP);
    // The privilege of a guest is that of its stack segment.
    this.settle(c, this.get(field.GUEST_RFLAGS), (c.segAttributes[2]! >> 5) & 3);
    if ((this.get(field.GUEST_INTERRUPTIBILITY) & BLOCKED_BY_STI) !== 0) c.beginInterruptShadow();
  }

  private saveGuest(c: Cpu): void {
    this.put(field.GUEST_CR0, c.cr0);
    this.put(field.GUEST_CR3, c.cr3);
    this.put(field.GUEST_CR4, c.cr4);
    for (let seg = 0; seg < SEGMENTS; seg++) {
      const attributes = c.segAttributes[seg]!;
      this.put(field.GUEST_SELECTOR + 2 * seg, c.segSelector[seg]!);
      this.put(field.GUEST_BASE + 2 * seg, c.segBase[seg]!);
      this.put(field.GUEST_LIMIT + 2 * seg, c.segLimit[seg]!);
      this.put(field.GUEST_RIGHTS + 2 * seg, (attributes & 0x80) === 0 ? RIGHTS_UNUSABLE : attributes & 0xf0ff);
    }
    this.put(field.GUEST_GDTR_BASE, c.gdtBase);
    this.put(field.GUEST_GDTR_LIMIT, c.gdtLimit);
    this.put(field.GUEST_IDTR_BASE, c.idtBase);
    this.put(field.GUEST_IDTR_LIMIT, c.idtLimit);
    this.put(field.GUEST_SYSENTER_CS, msrOf(c, MSR_SYSENTER_CS));
    this.put(field.GUEST_SYSENTER_ESP, msrOf(c, MSR_SYSENTER_ESP));
    this.put(field.GUEST_SYSENTER_EIP, msrOf(c, MSR_SYSENTER_EIP));
    this.put(field.GUEST_DR7, c.debug[7]!);
    this.put(field.GUEST_RSP, c.regs[4]!);
    this.put(field.GUEST_RIP, c.eip);
    this.put(field.GUEST_RFLAGS, c.getEflags());
    const isBlocked = c.interruptsEnabled() && c.pendingDebug === 0 && !c.interruptible();
    this.put(field.GUEST_INTERRUPTIBILITY, isBlocked ? BLOCKED_BY_STI : 0);
  }

  private loadHost(c: Cpu): void {
    this.inGuest = false;
    this.entryEvent = null;
    c.cr0 = this.get(field.HOST_CR0);
    c.cr3 = this.get(field.HOST_CR3);
    c.cr4 = this.get(field.HOST_CR4);
    for (let seg = 0; seg < 6; seg++) {
      const selector = this.get(field.HOST_SELECTOR + 2 * seg);
      c.segSelector[seg] = selector;
      c.segBase[seg] = seg === 4 ? this.get(field.HOST_FS_BASE) : seg === 5 ? this.get(field.HOST_GS_BASE) : 0;
      c.segLimit[seg] = -1;
      c.segAttributes[seg] = selector === 0 ? 0 : seg === 1 ? HOST_CODE : HOST_DATA;
    }
    setSystemSegment(c, SEG_LDTR, 0, 0, 0, 0);
    setSystemSegment(c, SEG_TR, this.get(field.HOST_SELECTOR + 12), this.get(field.HOST_TR_BASE), 0x67, HOST_TSS);
    c.gdtBase = this.get(field.HOST_GDTR_BASE);
    c.gdtLimit = 0xffff;
    c.idtBase = this.get(field.HOST_IDTR_BASE);
    c.idtLimit = 0xffff;
    this.loadSysenter(c, field.HOST_SYSENTER_CS, field.HOST_SYSENTER_ESP, field.HOST_SYSENTER_EIP);
    c.debug[7] = 0;
    c.regs[4] = this.get(field.HOST_RSP);
    c.eip = this.get(field.HOST_RIP);
    c.pendingDebug = 0;
    this.settle(c, FLAGS_FIXED, 0);
  }

  /** What follows from the registers loaded: flags, privilege, what the fast paths rely on, and the flush of the TLB. */
  private settle(c: Cpu, flags: number, cpl: number): void {
    c.setEflags(flags, -1);
    c.setCpl(cpl);
    followDebugRegisters(c);
    for (let seg = 0; seg < 6; seg++) updateFlat(c, seg);
    c.flushTlb(true);
    c.breakLoop();
  }

  private loadSysenter(c: Cpu, code: number, stack: number, entry: number): void {
    c.msrs.set(MSR_SYSENTER_CS, [this.get(code), 0]);
    c.msrs.set(MSR_SYSENTER_ESP, [this.get(stack), 0]);
    c.msrs.set(MSR_SYSENTER_EIP, [this.get(entry), 0]);
  }

  // ------------------------------------------------------------------ the region

  private isRegion(low: number, high: number): boolean {
    return high === 0 && (low & 0xfff) === 0 && low >>> 12 < this.physmap.ramFrames;
  }

  private get(encoding: number): number {
    return this.physmap.read32(this.current + field.fieldPlace(encoding)!);
  }

  private put(encoding: number, value: number): void {
    this.store(this.current + field.fieldPlace(encoding)!, value);
  }

  /** A guest may have put its structure where its code is: what is decoded there must go. */
  private store(gpa: number, value: number): void {
    const mfn = this.physmap.lookup(gpa >>> 12);
    if ((this.physmap.memory.frameFlags[mfn]! & FRAME_CODE) !== 0) this.codeCache.written(mfn, gpa & 0xfff, 4);
    this.physmap.write32(gpa, value);
  }
}

function setSystemSegment(c: Cpu, seg: number, selector: number, base: number, limit: number, rights: number): void {
  c.segSelector[seg] = selector;
  c.segBase[seg] = base;
  c.segLimit[seg] = limit;
  c.segAttributes[seg] = rights;
}

const msrOf = (c: Cpu, msr: number): number => c.msrs.get(msr)?.[0] ?? 0;

/** Size, direction, string, immediate, port (27.2.1, table 27-5). */
function ioExit(c: Cpu): VmxExit {
  const { row, rep, length } = c.exitInsn;
  const isImmediate = row.operands.includes('Ib');
  const qualification =
    (c.ioBytes - 1) |
    (c.ioIsIn ? 8 : 0) |
    (c.ioIsString ? 16 : 0) |
    (rep !== 0 ? 32 : 0) |
    (isImmediate ? 64 : 0) |
    (c.ioPort << 16);
  return { reason: REASON_IO, qualification, length };
}

function exceptionExit(c: Cpu): VmxExit {
  const vector = c.exitVector;
  const hasError = c.exitError !== NO_ERROR_CODE;
  const during = c.exitDuring;
  return {
    reason: REASON_EXCEPTION,
    qualification: vector === VECTOR_PF ? c.exitLin : 0,
    event: vector | (EVENT_EXCEPTION << 8) | (hasError ? EVENT_HAS_ERROR : 0) | EVENT_VALID,
    ...(hasError ? { error: c.exitError } : {}),
    ...(during < 0 ? {} : { vectoring: during | (EVENT_EXCEPTION << 8) | EVENT_VALID }),
  };
}

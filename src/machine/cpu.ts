/**
 * One IA-32 CPU: what it does with its registers and memory (cpu-core.ts): the interpreter loop, faults, exits.
 *
 * Invariants:
 *   - while a handler runs, EIP points behind its instruction; a fault or an exit puts it back, and a handler writes
 *     registers only after its last access that can fault, so every instruction can be restarted;
 *   - run() never calls into the engine: whatever needs the outside world is an exit, and exits that happen "before"
 *     an instruction leave no trace of it, not even in the instruction count;
 *   - an instruction is counted when it retires; each iteration of a REP string instruction counts as one.
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual (SDM), volumes 1 to 3.
 */
import { assert } from '../core/errors.ts';
import type { Cycles, Lin } from '../core/units.ts';
import {
  codeHits,
  codeMatches,
  DR6_BREAKPOINTS,
  DR6_SINGLE_STEP,
  DR7_GENERAL_DETECT,
  portHits,
  SPECIAL_CODE_BREAKPOINT,
  SPECIAL_PORT_BREAKPOINT,
} from './breakpoints.ts';
import { type CodePage, NO_CODE } from './code-cache.ts';
import { CpuCore, SPECIAL_STEP, UNWIND, UNWIND_EXIT, UNWIND_FAULT } from './cpu-core.ts';
import { decode } from './decode.ts';
import {
  EXIT_EXCEPTION,
  EXIT_FERR,
  EXIT_INTERRUPT_WINDOW,
  EXIT_IO,
  EXIT_TRIPLE_FAULT,
  escalates,
  NO_ERROR_CODE,
  VECTOR_DB,
  VECTOR_DE,
  VECTOR_DF,
  VECTOR_GP,
  VECTOR_MF,
  VECTOR_PF,
  VECTOR_UD,
} from './exits.ts';
import { arithmeticFlags, FLAG_IF, FLAG_TF, FLAGS_ARITHMETIC, FLAGS_FIXED, setArithmeticFlags } from './flags.ts';
import { Insn } from './insn.ts';
import { deliver } from './interrupts.ts';
import { finishIo, finishStringIo } from './isa/io.ts';
import { nop } from './isa/nop.ts';
import { FRONT_ENTRIES } from './mmu.ts';
import { ACCESS_FETCH, ACCESS_USER } from './paging.ts';
import { ABSENT } from './physmap.ts';
import { ATTR_BIG, isNearlyFlatCode } from './segments.ts';
import { TLB_USER } from './tlb.ts';

const BUDGET_MAX: Cycles = 2 ** 30;

/** segFlat bits of reads and writes through ES, SS and DS. */
const FLAT_SEGMENTS = 0x0d0d;

/** What makes the CPU run one instruction at a time. */
const SPECIAL_TRACED = SPECIAL_STEP | SPECIAL_CODE_BREAKPOINT;

/** Stands for "no instruction decoded yet" while a fetch may fault. */
const FETCHING = new Insn(nop, () => {});

export class Cpu extends CpuCore {
  // What leaves run(): set by the owner.
  /** Bit per exception vector that exits instead of being delivered. */
  interceptExceptions = 0;
  /** INT n, INT3 and INTO exit as exceptions instead of being delivered. */
  interceptSoftwareInterrupts = false;
  /** INTERCEPT_* bits of instructions that exit before they execute. */
  intercepts = 0;
  /** Asked about each instruction with such a bit, if not null: whether this one really exits (masks, bitmaps, loops). */
  interceptFilter: ((insn: Insn) => boolean) | null = null;
  /** Page faults whose error code, masked, is not the match exit iff bit 14 of interceptExceptions is clear (SDM vol 3, 25.2). */
  pageFaultMask = 0;
  pageFaultMatch = 0;
  /** Sensitive instructions exit before they execute, so that a VMM experiment can watch them. */
  observeSensitive = false;
  /** Task switches exit before they change anything: the VMM carries them out. */
  interceptTaskSwitch = false;
  /** An interrupt waits: exit as soon as it can be taken. */
  interruptPending = false;
  /** An NMI waits: exit as soon as an IRET ends the blocking. */
  nmiPending = false;
  /** From the delivery of an NMI to the next IRET (SDM vol 3, 6.7.1). */
  nmiBlocked = false;
  // Details of the last exit.
  /** Exception whose delivery led to an EXIT_EXCEPTION or EXIT_NESTED_FAULT, or -1. */
  exitDuring = -1;
  exitVector = 0;
  exitIsSoftware = false;
  exitInsn: Insn = FETCHING;
  ioPort = 0;
  ioBytes: 1 | 2 | 4 = 1;
  ioIsIn = false;
  ioIsString = false;
  ioValue = 0;

  // Accounting.
  /** Cycles set aside by breakLoop(). */
  private stolen = 0;
  private runBudget = 0;
  /** Instructions retired in the current run(). */
  count = 0;
  /** Instructions retired before the current run(). */
  private retiredBefore = 0;
  /** Cycles consumed before the current run(). */
  private cyclesBefore: Cycles = 0;
  /** Value of the time-stamp counter when `cycles` was 0; the owner adds time that passed outside run(). */
  tscOffset = 0;
  /** What the guest added by writing the time-stamp counter. */
  tscWritten = 0;
  /** `instructions` just after an STI or a load of SS: interrupts wait for one more instruction. */
  private shadowAt = -1;
  /** `instructions` just after an IRET that loaded RF = 1: the flag lasts until one more instruction has retired. */
  resumeAt = -1;
  /** `instructions` just after an instruction that no single-step trap follows. */
  private untrappedAt = -1;
  /** `instructions` just after a load of SS: debug exceptions wait for one more instruction. */
  private quietAt = -1;
  /** `instructions` just after an iteration that is not the last: an instruction breakpoint is for the first one. */
  private continuedAt = -1;
  /** A task switch is past the point of no return: a fault belongs to the new task, at the EIP that it has now. */
  inNewTask = false;
  /** The event that a task gate answers is a fault: its instruction runs again. */
  restarts = false;

  /** Instructions retired since the start. */
  get instructions(): number {
    return this.retiredBefore + this.count;
  }

  /** Cycles consumed since the start, walks included. */
  get cycles(): Cycles {
    return this.cyclesBefore + (this.runBudget - this.left - this.stolen);
  }

  // ------------------------------------------------------------------ flags

  getEflags(): number {
    return arithmeticFlags(this) | this.systemFlags | FLAGS_FIXED;
  }

  /** Loads EFLAGS bits selected by `mask`; other bits keep their values. */
  setEflags(value: number, mask: number): void {
    const merged = (this.getEflags() & ~mask) | (value & mask);
    setArithmeticFlags(this, merged);
    const before = this.systemFlags;
    this.systemFlags = merged & ~(FLAGS_ARITHMETIC | FLAGS_FIXED);
    if (this.systemFlags !== before) this.updateSpecial();
    const opened = (this.systemFlags & ~before & FLAG_IF) !== 0 && this.interruptPending;
    if (opened || (this.systemFlags & FLAG_TF) !== 0) this.breakLoop();
  }

  /** IF is set. */
  interruptsEnabled(): boolean {
    return (this.systemFlags & FLAG_IF) !== 0;
  }

  /** Blocks interrupts until one more instruction has retired (STI, load of SS). */
  beginInterruptShadow(): void {
    this.shadowAt = this.instructions;
    if (this.interruptPending) this.breakLoop();
  }

  /** The instruction before goes on with its next iteration. */
  continueRepeat(): void {
    this.continuedAt = this.instructions;
  }

  /** Holds debug exceptions back until one more instruction has retired: a load of SS (SDM vol 3, 6.8.3). */
  beginDebugShadow(): void {
    this.quietAt = this.instructions;
    this.suppressTrap();
  }

  /** No single-step trap follows this instruction: a load of SS, a software interrupt (SDM vol 3, 6.8.3 and 17.3.1.4). */
  suppressTrap(): void {
    this.untrappedAt = this.instructions;
  }

  /** The instruction before was an STI or a load of SS: interrupts wait for one more. */
  inInterruptShadow(): boolean {
    return this.shadowAt === this.instructions;
  }

  /** An external interrupt could be taken now. */
  interruptible(): boolean {
    return (this.systemFlags & FLAG_IF) !== 0 && this.shadowAt !== this.instructions && this.pendingDebug === 0;
  }

  /** A non-maskable interrupt could be taken now. */
  nmiAllowed(): boolean {
    return !this.nmiBlocked && this.shadowAt !== this.instructions && this.pendingDebug === 0;
  }

  /** IRET lets the next NMI in, whether or not it faults. */
  unblockNmi(): void {
    if (!this.nmiBlocked) return;
    this.nmiBlocked = false;
    if (this.nmiPending) this.requestStop(EXIT_INTERRUPT_WINDOW);
  }

  /** Leaves the current instruction to wait before it for an interrupt: what held interrupts back is over. */
  standStill(): never {
    this.shadowAt = -1;
    this.quietAt = -1;
    this.exitVector = VECTOR_MF;
    this.exitError = NO_ERROR_CODE;
    this.exitDuring = -1;
    return this.unwindExit(EXIT_FERR);
  }

  // ------------------------------------------------------------------ run loop

  /**
   * Executes for at most `budget` cycles (it may overshoot by the last instruction) and returns an EXIT_* code.
   * Consumed cycles and retired instructions are the growth of `cycles` and `instructions`.
   */
  run(budget: Cycles): number {
    assert(budget > 0 && budget <= BUDGET_MAX, `run budget of ${budget} cycles`);
    this.begin(budget);
    if (this.pendingDebug !== 0) this.deliverDebug();
    while (this.stopCode === 0 && this.left > 0) {
      if (this.interruptPending && (this.systemFlags & FLAG_IF) !== 0) {
        if (this.shadowAt !== this.instructions) {
          this.stopCode = EXIT_INTERRUPT_WINDOW;
          break;
        }
        if ((this.special & SPECIAL_TRACED) !== 0) this.executeTraced();
        else this.executeOne();
      } else if ((this.special & SPECIAL_TRACED) !== 0) this.executeTraced();
      else if (this.pendingDebug !== 0) this.executeOne();
      else this.execute();
      this.left += this.stolen;
      this.stolen = 0;
      if (this.pendingDebug !== 0) this.deliverDebug();
    }
    return this.finish();
  }

  /** Executes exactly one instruction (one iteration of a REP) with intercepts and observation off. */
  step(): number {
    const { intercepts, observeSensitive, interruptPending, nmiPending } = this;
    const traced = (this.systemFlags & FLAG_TF) !== 0;
    this.intercepts = 0;
    this.observeSensitive = false;
    this.interruptPending = false;
    this.nmiPending = false;
    this.begin(1);
    this.execute();
    this.left += this.stolen;
    this.stolen = 0;
    this.intercepts = intercepts;
    this.observeSensitive = observeSensitive;
    this.interruptPending = interruptPending;
    this.nmiPending = nmiPending;
    const retired = this.count !== 0 && this.stopCode === 0;
    if (traced && retired && this.untrappedAt !== this.instructions) this.pendingDebug |= DR6_SINGLE_STEP;
    return this.finish();
  }

  private begin(budget: Cycles): void {
    this.retiredBefore += this.count;
    this.cyclesBefore = this.cycles;
    this.count = 0;
    this.runBudget = budget;
    this.left = budget;
    this.stolen = 0;
    this.stopCode = 0;
    this.exitIsSoftware = false;
  }

  private finish(): number {
    return this.stopCode;
  }

  /** Runs until the budget is used up or somebody breaks the loop. */
  private execute(): void {
    let insn = FETCHING;
    let eip = this.eip;
    try {
      while (this.left > 0) {
        eip = this.eip;
        const found = ((eip ^ this.codeEipPage) & ~0xfff) === 0 ? this.codeInsns[eip & 0xfff] : undefined;
        if (found === undefined) {
          insn = FETCHING;
          insn = this.fetch();
        } else insn = found;
        this.eip = (eip + insn.length) | 0;
        this.left -= insn.cycles;
        this.count += insn.counts;
        insn.run(this, insn);
      }
    } catch (thrown) {
      if (thrown !== UNWIND) throw thrown;
      this.abandon(insn, eip);
    }
  }

  /** After a fault or exit in the middle of an instruction: as if it had not begun; then what it met is delivered. */
  private abandon(insn: Insn, eip: number): void {
    if (this.inNewTask) this.inNewTask = false;
    else {
      this.eip = eip;
      if (insn !== FETCHING) {
        this.unretire(insn);
        // The divider has run before it is known that the quotient does not fit.
        if (this.unwindKind === UNWIND_FAULT && this.faultVector === VECTOR_DE) this.charge(insn.cycles);
      }
    }
    this.exitInsn = insn;
    this.unwound();
  }

  // ------------------------------------------------------------------ services for compiled code

  /** Compiled code may run: it relies on 32-bit flat segments and on the front table. */
  isCompilable(): boolean {
    return (
      this.special === 0 &&
      (this.segFlat & FLAT_SEGMENTS) === FLAT_SEGMENTS &&
      this.stackFlat &&
      (this.segAttributes[1]! & ATTR_BIG) !== 0 &&
      isNearlyFlatCode(this) &&
      this.mmu.frontMask === FRONT_ENTRIES - 1
    );
  }

  /** Executes one instruction at EIP whatever its `run` handler is, faults included. */
  executePlain(insn: Insn): void {
    const { eip } = this;
    this.retire(insn);
    try {
      insn.plain(this, insn);
    } catch (thrown) {
      if (thrown !== UNWIND) throw thrown;
      this.abandon(insn, eip);
    }
  }

  /** Delivers the page fault that compiled code met at EIP in a plain operand of `insn` (fillFront). */
  deliverMissed(insn: Insn): void {
    this.missed = false;
    this.chargeWalk(this.missedReferences);
    this.faultVector = VECTOR_PF;
    this.faultIsFetch = false;
    this.unwindKind = UNWIND_FAULT;
    this.exitInsn = insn;
    this.unwound();
  }

  /** The interpreter loop is to return. */
  mustStop(): boolean {
    return this.stopCode !== 0 || this.left <= 0;
  }

  /** Notes that EIP is in a page, which the instruction TLB holds. */
  enterPage(eip: number, page: CodePage): void {
    this.codeEipPage = eip & ~0xfff;
    this.codeInsns = page.insns;
  }

  /** Nothing has happened since enterPage() that may map its page elsewhere. */
  isInPage(page: CodePage): boolean {
    return this.codeInsns === page.insns;
  }

  /** An instruction transferred control to EIP: asks for compiled code there when it has done so often enough. */
  warm(insn: Insn): void {
    if (++insn.heat < this.codeCache.hotAfter) return;
    insn.heat = 0;
    this.codeCache.compiler?.request(this);
  }

  private executeOne(): void {
    this.stolen = this.left - 1;
    this.left = 1;
    this.execute();
  }

  /** One instruction with TF set, which a debug trap follows (SDM vol 3, 17.3.1.4), or that a breakpoint may precede. */
  private executeTraced(): void {
    if ((this.special & SPECIAL_CODE_BREAKPOINT) !== 0 && this.stopAtBreakpoint()) return;
    const stepped = (this.special & SPECIAL_STEP) !== 0;
    const before = this.count;
    this.executeOne();
    const retired = this.stopCode === 0 && this.count !== before;
    if (stepped && retired && this.untrappedAt !== this.instructions) this.pendingDebug |= DR6_SINGLE_STEP;
  }

  /** Raises the fault of an instruction breakpoint at EIP, unless RF or a load of SS just before holds it back. */
  private stopAtBreakpoint(): boolean {
    const now = this.instructions;
    if (this.resumeAt === now || this.quietAt === now || this.continuedAt === now) return false;
    const found = codeHits(this, (this.eip + this.segBase[1]!) | 0);
    if (found !== 0) this.raiseDebug(found);
    return found !== 0;
  }

  /** The debug traps that are due, unless a load of SS holds them back. */
  private deliverDebug(): void {
    if (this.quietAt === this.instructions) return;
    const found = this.takePendingTrap();
    const next = (this.eip + this.segBase[1]!) | 0;
    // What comes next is reported as well, where processors look at both before they enter the handler.
    this.raiseDebug(found | ((this.special & SPECIAL_CODE_BREAKPOINT) === 0 ? 0 : codeMatches(this, next)));
    // The instruction has retired: if a VMM must repair something first, the trap itself is still due.
    if (this.stopCode !== 0 && this.exitDuring === VECTOR_DB) this.pendingDebug = found;
  }

  /** Puts the cause of a debug exception into DR6. Its handler may use the debug registers, whatever DR7.GD says. */
  noteDebug(found: number): void {
    this.debug[6] = (this.debug[6]! & ~DR6_BREAKPOINTS) | found;
    this.debug[7]! &= ~DR7_GENERAL_DETECT;
  }

  /** A debug exception between two instructions. */
  private raiseDebug(found: number): void {
    this.noteDebug(found);
    this.faultVector = VECTOR_DB;
    this.faultError = NO_ERROR_CODE;
    this.exitDuring = -1;
    if (!this.exitOnFault()) this.deliverFault();
  }

  /** DR6 bits of the debug trap that is due for what step() or completeIo() retired, or 0; the caller delivers it. */
  takePendingTrap(): number {
    const due = this.pendingDebug;
    this.pendingDebug = 0;
    return due;
  }

  /** Steps over an instruction, counts and charges it: before it is executed. */
  retire(insn: Insn): void {
    this.eip = (this.eip + insn.length) | 0;
    this.left -= insn.cycles;
    this.count += insn.counts;
  }

  /** Takes back the count and the cost of an instruction that did not complete. */
  unretire(insn: Insn): void {
    this.count -= insn.counts;
    this.left += insn.cycles;
  }

  /** Makes the loop return after this instruction, without being an exit by itself. */
  breakLoop(): void {
    if (this.left <= 0) return;
    this.stolen += this.left;
    this.left = 0;
  }

  /** Ends run() with an EXIT_* code after the current handler returns. */
  requestStop(code: number): void {
    this.stopCode = code;
    this.breakLoop();
  }

  /** Ends run() with EIP at `insn`, as if it had not been reached. */
  stopBefore(insn: Insn, code: number): void {
    this.eip = (this.eip - insn.length) | 0;
    this.unretire(insn);
    this.exitInsn = insn;
    this.requestStop(code);
  }

  /** Charges cycles beyond the static cost of the instruction. */
  charge(cycles: Cycles): void {
    this.left -= cycles;
  }

  /** Time-stamp counter, as a non-negative integer. */
  readTsc(): number {
    return this.tscOffset + this.tscWritten + this.cycles;
  }

  // ------------------------------------------------------------------ faults

  private unwound(): void {
    this.exitDuring = -1;
    // What the instruction touched before it faulted counts when it runs again.
    this.pendingDebug = 0;
    this.noteFirstFault(this.faultVector, this.faultError, this.faultLin);
    if (this.unwindKind === UNWIND_EXIT) this.breakLoop();
    else if (!this.exitOnFault()) this.deliverFault();
  }

  /** For compiled code: it delivered a page fault. */
  noteDelivered(error: number, lin: Lin): void {
    this.faultVector = VECTOR_PF;
    this.faultError = error;
    this.faultLin = lin;
    this.faultIsFetch = false;
    this.exitDuring = -1;
    this.cr2 = lin;
    this.noteFirstFault(VECTOR_PF, error, lin);
  }

  private noteFirstFault(vector: number, error: number, lin: Lin): void {
    this.firstFault.vector = vector;
    this.firstFault.error = error;
    this.firstFault.lin = lin;
  }

  /** Some page fault, by its error code, would exit instead of being delivered. */
  pageFaultMayExit(): boolean {
    const isAsked = ((this.interceptExceptions >>> VECTOR_PF) & 1) !== 0;
    return isAsked || this.pageFaultMask !== 0 || this.pageFaultMatch !== 0;
  }

  /** Turns the fault at hand into an exit if its vector is intercepted. */
  private exitOnFault(): boolean {
    let exits = ((this.interceptExceptions >>> this.faultVector) & 1) !== 0;
    if (this.faultVector === VECTOR_PF && (this.faultError & this.pageFaultMask) !== this.pageFaultMatch)
      exits = !exits;
    if (!exits) return false;
    this.exitVector = this.faultVector;
    this.exitError = this.faultError;
    this.exitLin = this.faultLin;
    this.requestStop(EXIT_EXCEPTION);
    return true;
  }

  /** Delivers the exception in fault*, turning failures of delivery into double and triple faults (SDM table 6-5). */
  private deliverFault(): void {
    for (;;) {
      const first = this.faultVector;
      try {
        if (first === VECTOR_PF) this.cr2 = this.faultLin;
        deliver(this, first, this.faultError, false);
        return;
      } catch (thrown) {
        if (thrown !== UNWIND) throw thrown;
        this.inNewTask = false;
        this.exitDuring = first;
        if (this.unwindKind === UNWIND_EXIT) {
          this.breakLoop();
          return;
        }
      }
      // A VMM that owns the second fault repairs it; the instruction then raises the first one again.
      if (this.exitOnFault()) return;
      if (first === VECTOR_DF) {
        this.requestStop(EXIT_TRIPLE_FAULT);
        return;
      }
      if (escalates(first, this.faultVector)) {
        this.faultVector = VECTOR_DF;
        this.faultError = 0;
      }
    }
  }

  /**
   * Delivers an external interrupt (`external`, any vector) or an exception through the IDT, outside run().
   * `lin` is the faulting address of a page fault. Returns EXIT_BUDGET when delivered, or the exit that prevented it
   * (nothing but CR2 has changed then; try again later).
   */
  inject(vector: number, errorCode = NO_ERROR_CODE, lin: Lin = 0, external = false): number {
    this.begin(1);
    this.shadowAt = -1;
    if (vector === VECTOR_PF && !external) this.cr2 = lin;
    this.faultVector = vector;
    this.faultError = errorCode;
    this.noteFirstFault(vector, errorCode, lin);
    try {
      deliver(this, vector, errorCode, external);
    } catch (thrown) {
      if (thrown !== UNWIND) throw thrown;
      this.inNewTask = false;
      // A fault met while an external interrupt is delivered stands alone, whatever vector that has.
      this.exitDuring = external ? -1 : vector;
      if (this.unwindKind === UNWIND_FAULT && !this.exitOnFault()) {
        if (!external && escalates(vector, this.faultVector)) {
          this.faultVector = VECTOR_DF;
          this.faultError = 0;
        }
        this.deliverFault();
      }
    }
    return this.finish();
  }

  // ------------------------------------------------------------------ instruction fetch

  /** Decoded instruction at EIP, by way of the instruction TLB; may fault. */
  private fetch(): Insn {
    const eip = this.eip;
    const limit = this.segLimit[1]! >>> 0;
    if (eip >>> 0 > limit) this.raise(VECTOR_GP, 0);
    const lin = (eip + this.segBase[1]!) | 0;
    const is32 = (this.segAttributes[1]! & 0x4000) !== 0;
    const mode = (this.cpl === 3 ? 1 : 0) | (is32 ? 2 : 0);
    this.codeCache.makeRoom();
    let page = this.mmu.findCode(lin, mode);
    if (page === null) {
      const mfn = this.codeFrame(lin);
      page = this.codeCache.page(mfn, is32);
      this.mmu.fillCode(lin, mode, page);
    }
    const aligned = (this.segBase[1]! & 0xfff) === 0 && ((eip | 0xfff) >>> 0 <= limit || isNearlyFlatCode(this));
    this.codeEipPage = eip & ~0xfff;
    this.codeInsns = aligned ? page.insns : NO_CODE.insns;
    const found = page.insns[lin & 0xfff];
    if (found !== undefined) {
      // It may have been decoded under another limit.
      if ((eip >>> 0) + found.length - 1 > limit) this.raise(VECTOR_GP, 0);
      return found;
    }
    const insn = decode(this, lin, page.mfn, is32);
    this.codeCache.remember(page, lin & 0xfff, insn);
    return insn;
  }

  /** Machine frame that instructions at `lin` are fetched from; may fault. */
  codeFrame(lin: Lin): number {
    const { mmu } = this;
    if (lin >>> 0 > this.codeLimit) this.raise(VECTOR_GP, 0);
    const page = lin >>> 12;
    let frame: number;
    const user = this.cpl === 3;
    if (mmu.itlb.lookup(page, mmu.asid) && (!user || (mmu.itlb.hitFlags & TLB_USER) !== 0)) frame = mmu.itlb.hitFrame;
    else {
      this.walk(lin, ACCESS_FETCH | (user ? ACCESS_USER : 0));
      frame = mmu.walker.frame;
      mmu.itlb.insert(page, mmu.asid, frame, mmu.walker.flags);
      mmu.itlb.misses++;
    }
    const mfn = mmu.walker.machineFrame(frame);
    // Nothing answers there: the bus reads all ones, and FF FF is an undefined opcode.
    if (mfn === ABSENT) this.raise(VECTOR_UD);
    return mfn;
  }

  /** Drops the decoded form of the instruction just entered and starts it again: its second page moved. */
  refetch(insn: Insn): void {
    this.eip = (this.eip - insn.length) | 0;
    this.unretire(insn);
    const lin = (this.eip + this.segBase[1]!) | 0;
    const is32 = (this.segAttributes[1]! & 0x4000) !== 0;
    this.codeCache.page(this.codeFrame(lin), is32).insns[lin & 0xfff] = undefined;
  }

  // ------------------------------------------------------------------ port I/O

  /** Asks the outside for a port access; EIP stays at the instruction until completeIo(). */
  requestIo(insn: Insn, port: number, bytes: 1 | 2 | 4, isIn: boolean, value: number, isString: boolean): void {
    this.ioPort = port & 0xffff;
    this.ioBytes = bytes;
    this.ioIsIn = isIn;
    this.ioIsString = isString;
    this.ioValue = value;
    this.stopBefore(insn, EXIT_IO);
  }

  /**
   * Retires the IN, OUT, INS or OUTS that exited with EXIT_IO; `value` is what the device answered to an IN.
   * Its static cost is charged to `cycles`. Returns EXIT_BUDGET, or the exit that the store of an INS met (its page
   * was unmapped meanwhile): then the instruction did not retire, and asks for its port again later.
   */
  completeIo(value: number): number {
    const insn = this.exitInsn;
    const { eip } = this;
    this.begin(insn.cycles);
    this.left = 0;
    this.count = 1;
    this.eip = (eip + insn.length) | 0;
    try {
      (insn.row.string ? finishStringIo : finishIo)(this, insn, value);
      if ((this.systemFlags & FLAG_TF) !== 0) this.pendingDebug |= DR6_SINGLE_STEP;
      if ((this.special & SPECIAL_PORT_BREAKPOINT) !== 0) {
        this.pendingDebug |= portHits(this, this.ioPort, this.ioBytes);
      }
    } catch (thrown) {
      if (thrown !== UNWIND) throw thrown;
      this.eip = eip;
      this.unretire(insn);
      this.unwound();
    }
    return this.finish();
  }
}

/**
 * One IA-32 CPU: architectural state, memory access, and the interpreter loop.
 *
 * Convention: every register, address and flag word is an int32; `>>> 0` appears only in comparisons and output.
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
import { type CodeCache, NO_CODE } from './code-cache.ts';
import { decode } from './decode.ts';
import {
  EXIT_EXCEPTION,
  EXIT_INTERRUPT_WINDOW,
  EXIT_IO,
  EXIT_NESTED_FAULT,
  EXIT_TRIPLE_FAULT,
  EXIT_UNIMPLEMENTED,
  escalates,
  VECTOR_DB,
  VECTOR_DF,
  VECTOR_GP,
  VECTOR_PF,
  VECTOR_UD,
} from './exits.ts';
import { arithmeticFlags, FLAG_IF, FLAG_TF, FLAGS_ARITHMETIC, FLAGS_FIXED, setArithmeticFlags } from './flags.ts';
import { Insn } from './insn.ts';
import { deliver, NO_ERROR_CODE } from './interrupts.ts';
import { finishIo, finishStringIo } from './isa/io.ts';
import { nop } from './isa/nop.ts';
import { FRAME_TRACED, type MachineMemory } from './memory.ts';
import type { Mmu } from './mmu.ts';
import {
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_USER,
  ACCESS_WRITE,
  CR0_ET,
  type PagingRegisters,
  tlbAllows,
  WALK_NESTED_FAULT,
  WALK_OK,
} from './paging.ts';
import { ABSENT } from './physmap.ts';
import { isNearlyFlatCode, segmentAddress } from './segments.ts';
import { TLB_USER } from './tlb.ts';

const UNWIND_FAULT = 1;
const UNWIND_EXIT = 2;
/** The one object that is thrown to leave an instruction: allocation would cost more than the rest of a fault. */
const UNWIND = new Error('a guest fault left the interpreter: this is a defect of hvsim');

const BUDGET_MAX: Cycles = 2 ** 30;

/** DR6.BS: a single step caused the debug exception (SDM vol 3, 17.2.3). */
export const DR6_SINGLE_STEP = 0x4000;

/** Stands for "no instruction decoded yet" while a fetch may fault. */
const FETCHING = new Insn(nop, () => {});

/** CPUID leaves by number: [eax, ebx, ecx, edx]. */
export type CpuidLeaves = Readonly<Record<number, readonly [number, number, number, number]>>;

export class Cpu implements PagingRegisters {
  // Registers: eax ecx edx ebx esp ebp esi edi, and one that is always zero (REG_NONE).
  readonly regs = new Int32Array(9);
  readonly regs16 = new Uint16Array(this.regs.buffer);
  readonly regs8 = new Uint8Array(this.regs.buffer);
  eip = 0;
  flagRes = 1;
  flagAux = 0;
  /** EFLAGS without the six arithmetic flags and without the fixed bit 1. */
  systemFlags = 0;

  // Segment registers es cs ss ds fs gs, then LDTR and TR: visible selector and hidden descriptor (SDM vol 3, 3.4.3).
  readonly segSelector = new Int32Array(8);
  readonly segBase = new Int32Array(8);
  /** Limit in bytes, unsigned value kept as int32. */
  readonly segLimit = new Int32Array(8);
  /** Descriptor bits 8-23 of the high word shifted down: type, S, DPL, P, AVL, D/B, G. 0 = unusable. */
  readonly segAttributes = new Int32Array(8);
  /** Bit s: segment s is flat and readable; bit 8+s: flat and writable. Such accesses skip the segment checks. */
  segFlat = 0;
  cpl = 0;
  /** Stack accesses use ESP (SS.B = 1) and SS is flat and writable. */
  stackFlat = false;

  gdtBase = 0;
  gdtLimit = 0xffff;
  idtBase = 0;
  idtLimit = 0xffff;
  cr0 = CR0_ET;
  cr2 = 0;
  cr3 = 0;
  cr4 = 0;
  readonly debug = new Int32Array(8);
  readonly msrs = new Map<number, readonly [low: number, high: number]>();
  cpuid: CpuidLeaves = {};

  // The world around.
  readonly memory: MachineMemory;
  readonly bytes: Uint8Array;
  readonly words16: Uint16Array;
  readonly words32: Int32Array;
  readonly codeCache: CodeCache;
  mmu: Mmu;
  /** Word index of the front-table bank in force (depends on CPL). */
  front = 0;
  private frontMask = 0;

  // Decoded code in force.
  private codeEipPage = 0;
  private codeInsns: (Insn | undefined)[] = NO_CODE.insns;

  // What leaves run(): set by the owner.
  /** Bit per exception vector that exits instead of being delivered. */
  interceptExceptions = 0;
  /** INT n, INT3 and INTO exit as exceptions instead of being delivered. */
  interceptSoftwareInterrupts = false;
  /** INTERCEPT_* bits of instructions that exit before they execute. */
  intercepts = 0;
  /** Sensitive instructions exit before they execute, so that a VMM experiment can watch them. */
  observeSensitive = false;
  /** An interrupt waits: exit as soon as it can be taken. */
  interruptPending = false;
  /** Highest linear address that segments reach; a VMM that truncates segments to protect itself lowers it. */
  linearLimit = 0xffffffff;
  /** Linear pages whose accesses go to a given machine frame with full rights: a VMM emulating one instruction. */
  readonly overrides = new Map<number, number>();
  /** Pairs (host byte address, bytes) of writes to traced frames since the owner cleared it. */
  readonly tracedWrites: number[] = [];

  /** While not null: pairs (host byte address, byte before) of every write through the slow path. */
  undoLog: number[] | null = null;

  // Details of the last exit.
  /** Exception whose delivery led to an EXIT_EXCEPTION or EXIT_NESTED_FAULT, or -1. */
  exitDuring = -1;
  exitVector = 0;
  exitError = NO_ERROR_CODE;
  exitLin = 0;
  exitGpa = 0;
  exitIsSoftware = false;
  exitInsn: Insn = FETCHING;
  exitText = '';
  ioPort = 0;
  ioBytes: 1 | 2 | 4 = 1;
  ioIsIn = false;
  ioIsString = false;
  ioValue = 0;

  // Accounting.
  /** Cycles left of the budget of the current run(). */
  left = 0;
  /** Cycles set aside by breakLoop(). */
  private stolen = 0;
  private stopCode = 0;
  private runBudget = 0;
  /** Instructions retired in the current run(). */
  count = 0;
  /** Instructions retired before the current run(). */
  private retiredBefore = 0;
  /** Cycles of page walks, part of all cycles. */
  walkCycles: Cycles = 0;
  walkReferences = 0;
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
  /** A single-step trap is due before the next instruction: the one before it was completed outside run(). */
  private trapPending = false;
  /** `instructions` just after an instruction that no single-step trap follows. */
  private untrappedAt = -1;

  private unwindKind = 0;
  /** The fault that an instruction raised, before any trouble in delivering it. */
  readonly firstFault = { vector: 0, error: NO_ERROR_CODE, lin: 0 };
  faultVector = 0;
  faultError = NO_ERROR_CODE;
  faultLin = 0;
  /** The last walk that failed was for an instruction. */
  faultIsFetch = false;

  constructor(memory: MachineMemory, mmu: Mmu, codeCache: CodeCache) {
    this.memory = memory;
    this.bytes = memory.bytes;
    this.words16 = memory.words16;
    this.words32 = memory.words32;
    this.codeCache = codeCache;
    this.mmu = mmu;
    this.attach(mmu);
  }

  /** Moves the CPU state onto another physical CPU's MMU. */
  attach(mmu: Mmu): void {
    this.mmu = mmu;
    this.frontMask = mmu.frontMask;
    this.setCpl(this.cpl);
  }

  /** Instructions retired since the start. */
  get instructions(): number {
    return this.retiredBefore + this.count;
  }

  /** Cycles consumed since the start, walks included. */
  get cycles(): Cycles {
    return this.cyclesBefore + (this.runBudget - this.left - this.stolen);
  }

  /** Forgets which decoded page EIP is in: after anything that may map it elsewhere. */
  dropCode(): void {
    this.codeInsns = NO_CODE.insns;
  }

  setCpl(cpl: number): void {
    this.cpl = cpl;
    this.front = cpl === 3 ? this.mmu.userBank : this.mmu.kernelBank;
    this.dropCode();
  }

  /** Flushes translations after a change of CR3 (keeps global ones) or of paging modes. */
  flushTlb(globalToo: boolean): void {
    this.mmu.flush(globalToo);
    this.dropCode();
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

  /** No single-step trap follows this instruction: a load of SS, a software interrupt (SDM vol 3, 6.8.3 and 17.3.1.4). */
  suppressTrap(): void {
    this.untrappedAt = this.instructions;
  }

  /** An external interrupt could be taken now. */
  interruptible(): boolean {
    return (this.systemFlags & FLAG_IF) !== 0 && this.shadowAt !== this.instructions && !this.trapPending;
  }

  // ------------------------------------------------------------------ run loop

  /**
   * Executes for at most `budget` cycles (it may overshoot by the last instruction) and returns an EXIT_* code.
   * Consumed cycles and retired instructions are the growth of `cycles` and `instructions`.
   */
  run(budget: Cycles): number {
    assert(budget > 0 && budget <= BUDGET_MAX, `run budget of ${budget} cycles`);
    this.begin(budget);
    if (this.takePendingTrap()) this.deliverTrap();
    while (this.stopCode === 0 && this.left > 0) {
      if (this.interruptPending && (this.systemFlags & FLAG_IF) !== 0) {
        if (this.shadowAt !== this.instructions) {
          this.stopCode = EXIT_INTERRUPT_WINDOW;
          break;
        }
        if ((this.systemFlags & FLAG_TF) !== 0) this.executeTraced();
        else this.executeOne();
      } else if ((this.systemFlags & FLAG_TF) !== 0) this.executeTraced();
      else this.execute();
      this.left += this.stolen;
      this.stolen = 0;
    }
    return this.finish();
  }

  /** Executes exactly one instruction (one iteration of a REP) with intercepts and observation off. */
  step(): number {
    const { intercepts, observeSensitive, interruptPending } = this;
    const traced = (this.systemFlags & FLAG_TF) !== 0;
    this.intercepts = 0;
    this.observeSensitive = false;
    this.interruptPending = false;
    this.begin(1);
    this.execute();
    this.left += this.stolen;
    this.stolen = 0;
    this.intercepts = intercepts;
    this.observeSensitive = observeSensitive;
    this.interruptPending = interruptPending;
    this.trapPending = traced && this.count !== 0 && this.stopCode === 0 && this.untrappedAt !== this.instructions;
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
        this.count++;
        insn.run(this, insn);
      }
    } catch (thrown) {
      if (thrown !== UNWIND) throw thrown;
      this.eip = eip;
      if (insn !== FETCHING) this.unretire(insn);
      this.exitInsn = insn;
      this.unwound();
    }
  }

  private executeOne(): void {
    this.stolen = this.left - 1;
    this.left = 1;
    this.execute();
  }

  /** One instruction with TF set: a debug trap follows it (SDM vol 3, 17.3.1.4). */
  private executeTraced(): void {
    const before = this.count;
    this.executeOne();
    if (this.stopCode === 0 && this.count !== before && this.untrappedAt !== this.instructions) this.deliverTrap();
  }

  /** The single-step trap. */
  private deliverTrap(): void {
    this.debug[6]! |= DR6_SINGLE_STEP;
    this.faultVector = VECTOR_DB;
    this.faultError = NO_ERROR_CODE;
    this.exitDuring = -1;
    if (!this.exitOnFault()) this.deliverFault();
    // The instruction has retired: if a VMM must repair something first, the trap itself is still due.
    if (this.stopCode !== 0 && this.exitDuring === VECTOR_DB) this.trapPending = true;
  }

  /** Whether a single-step trap is due for what step() or completeIo() retired; the caller delivers it. */
  takePendingTrap(): boolean {
    const due = this.trapPending;
    this.trapPending = false;
    return due;
  }

  /** Takes back the count and the cost of an instruction that did not complete. */
  unretire(insn: Insn): void {
    this.count--;
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

  /** Leaves the current instruction with an exception. */
  raise(vector: number, errorCode = NO_ERROR_CODE): never {
    this.faultVector = vector;
    this.faultError = errorCode;
    this.unwindKind = UNWIND_FAULT;
    throw UNWIND;
  }

  /** Leaves the current instruction because it needs something that is not implemented; ends the VM, by name. */
  unimplemented(text: string): never {
    this.exitText = text;
    return this.unwindExit(EXIT_UNIMPLEMENTED);
  }

  private unwindExit(code: number): never {
    this.stopCode = code;
    this.unwindKind = UNWIND_EXIT;
    throw UNWIND;
  }

  private unwound(): void {
    this.exitDuring = -1;
    this.noteFirstFault(this.faultVector, this.faultError, this.faultLin);
    if (this.unwindKind === UNWIND_EXIT) this.breakLoop();
    else if (!this.exitOnFault()) this.deliverFault();
  }

  private noteFirstFault(vector: number, error: number, lin: Lin): void {
    this.firstFault.vector = vector;
    this.firstFault.error = error;
    this.firstFault.lin = lin;
  }

  /** Turns the fault at hand into an exit if its vector is intercepted. */
  private exitOnFault(): boolean {
    if (((this.interceptExceptions >>> this.faultVector) & 1) === 0) return false;
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
    if (lin >>> 0 > this.linearLimit) this.raise(VECTOR_GP, 0);
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

  // ------------------------------------------------------------------ address translation

  private walk(lin: Lin, access: number): void {
    const { walker } = this.mmu;
    const result = walker.walk(this, lin, access);
    const { references } = walker;
    if (references !== 0) {
      const cycles = references * this.mmu.timing.walkReferenceCycles;
      this.left -= cycles;
      this.walkCycles += cycles;
      this.walkReferences += references;
    }
    if (result === WALK_OK) return;
    this.faultLin = lin;
    this.faultIsFetch = (access & ACCESS_FETCH) !== 0;
    if (result === WALK_NESTED_FAULT) {
      this.exitGpa = walker.faultGpa;
      this.exitLin = lin;
      this.exitError = access;
      this.unwindExit(EXIT_NESTED_FAULT);
    }
    this.raise(VECTOR_PF, walker.errorCode);
  }

  /**
   * Host byte address behind `lin` for an access (ACCESS_WRITE, ACCESS_USER, ACCESS_IMPLICIT), or -1 where nothing
   * answers; may fault.
   */
  translate(lin: Lin, kind: number): number {
    const access = kind & ~ACCESS_IMPLICIT;
    const page = lin >>> 12;
    if (this.overrides.size !== 0) {
      const mfn = this.overrides.get(page);
      if (mfn !== undefined) return mfn * 4096 + (lin & 0xfff);
    }
    if (lin >>> 0 > this.linearLimit && access === kind) this.raise(VECTOR_GP, 0);
    const { mmu } = this;
    let frame: number;
    let flags: number;
    if (mmu.dtlb.lookup(page, mmu.asid) && tlbAllows(mmu.dtlb.hitFlags, access)) {
      frame = mmu.dtlb.hitFrame;
      flags = mmu.dtlb.hitFlags;
    } else {
      this.walk(lin, access);
      ({ frame, flags } = mmu.walker);
      mmu.dtlb.insert(page, mmu.asid, frame, flags);
      mmu.dtlb.misses++;
    }
    const mfn = mmu.walker.machineFrame(frame);
    // Descriptor tables above the limit of all segments must not become reachable through the front table.
    if (lin >>> 0 <= this.linearLimit) mmu.fillFront(lin, mfn, flags, (access & ACCESS_USER) !== 0);
    return mfn === ABSENT ? -1 : mfn * 4096 + (lin & 0xfff);
  }

  private get userAccess(): number {
    return this.cpl === 3 ? ACCESS_USER : 0;
  }

  /** Must be called before bytes of a frame with FRAME_* flags change; harmless for others. */
  private beforeWrite(at: number, count: number): void {
    const mfn = Math.floor(at / 4096);
    if (this.memory.frameFlags[mfn] === 0) return;
    this.codeCache.written(mfn, at & 0xfff, count);
    if ((this.memory.frameFlags[mfn]! & FRAME_TRACED) !== 0) this.tracedWrites.push(at, count);
  }

  // ------------------------------------------------------------------ memory access by linear address

  read8(lin: Lin): number {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    if (words[at] === (lin & ~0xfff)) return this.bytes[(lin + words[at + 2]!) >>> 0]!;
    return this.readSlow(lin, 1, this.userAccess);
  }

  read16(lin: Lin): number {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    if (words[at] === (lin & ~0xffe)) return this.words16[(lin + words[at + 2]!) >>> 1]!;
    return this.readSlow(lin, 2, this.userAccess);
  }

  read32(lin: Lin): number {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    if (words[at] === (lin & ~0xffc)) return words[(lin + words[at + 2]!) >>> 2]!;
    return this.readSlow(lin, 4, this.userAccess);
  }

  write8(lin: Lin, value: number): void {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    if (words[at + 1] === (lin & ~0xfff)) this.bytes[(lin + words[at + 2]!) >>> 0] = value;
    else this.writeSlow(lin, value, 1, this.userAccess);
  }

  write16(lin: Lin, value: number): void {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    if (words[at + 1] === (lin & ~0xffe)) this.words16[(lin + words[at + 2]!) >>> 1] = value;
    else this.writeSlow(lin, value, 2, this.userAccess);
  }

  write32(lin: Lin, value: number): void {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    if (words[at + 1] === (lin & ~0xffc)) words[(lin + words[at + 2]!) >>> 2] = value;
    else this.writeSlow(lin, value, 4, this.userAccess);
  }

  /** Byte index of a byte that may be read and written directly, or -1 (use the slow path). */
  modify8(lin: Lin): number {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    return words[at + 1] === (lin & ~0xfff) ? (lin + words[at + 2]!) >>> 0 : -1;
  }

  /** Index in words16 of an aligned halfword that may be read and written directly, or -1. */
  modify16(lin: Lin): number {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    return words[at + 1] === (lin & ~0xffe) ? (lin + words[at + 2]!) >>> 1 : -1;
  }

  /** Index in words32 of an aligned word that may be read and written directly, or -1. */
  modify32(lin: Lin): number {
    const at = this.front + (((lin >>> 12) & this.frontMask) << 2);
    const words = this.words32;
    return words[at + 1] === (lin & ~0xffc) ? (lin + words[at + 2]!) >>> 2 : -1;
  }

  /** Raises whatever a write of `count` bytes would raise, and writes nothing. */
  prepareWrite(lin: Lin, count: number): void {
    const access = ACCESS_WRITE | this.userAccess;
    this.translate(lin, access);
    const lastPage = (lin + count - 1) & ~0xfff;
    if (lastPage !== (lin & ~0xfff)) this.translate(lastPage, access);
  }

  /** Little-endian read of 1, 2 or 4 bytes with explicit privilege (0, ACCESS_USER or ACCESS_IMPLICIT); signed for 4 bytes. */
  readSlow(lin: Lin, count: 1 | 2 | 4, user: number): number {
    const at = this.translate(lin, user);
    if ((lin & 0xfff) + count > 0x1000) return this.readSplit(lin, count, user, at);
    if (at < 0) return count === 4 ? -1 : (1 << (8 * count)) - 1;
    const { bytes } = this;
    if (count === 1) return bytes[at]!;
    if (count === 2) return bytes[at]! | (bytes[at + 1]! << 8);
    return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }

  private readSplit(lin: Lin, count: number, user: number, firstAt: number): number {
    const inFirst = 0x1000 - (lin & 0xfff);
    const secondAt = this.translate((lin + inFirst) | 0, user);
    let value = 0;
    for (let i = 0; i < count; i++) {
      const at = i < inFirst ? firstAt : secondAt;
      const offset = i < inFirst ? i : i - inFirst;
      value |= (at < 0 ? 0xff : this.bytes[at + offset]!) << (8 * i);
    }
    return value;
  }

  /** Little-endian write of 1, 2 or 4 bytes with explicit privilege. All or nothing. */
  writeSlow(lin: Lin, value: number, count: 1 | 2 | 4, user: number): void {
    const access = ACCESS_WRITE | user;
    const at = this.translate(lin, access);
    const inFirst = Math.min(count, 0x1000 - (lin & 0xfff));
    const secondAt = inFirst < count ? this.translate((lin + inFirst) | 0, access) : -1;
    if (at >= 0) this.beforeWrite(at, inFirst);
    if (secondAt >= 0) this.beforeWrite(secondAt, count - inFirst);
    if (this.undoLog !== null) {
      for (let i = 0; i < count; i++) {
        const byteAt = i < inFirst ? at + i : secondAt + i - inFirst;
        if ((i < inFirst ? at : secondAt) >= 0) this.undoLog.push(byteAt, this.bytes[byteAt]!);
      }
    }
    for (let i = 0; i < count; i++) {
      if (i < inFirst) {
        if (at >= 0) this.bytes[at + i] = value >> (8 * i);
      } else if (secondAt >= 0) this.bytes[secondAt + i - inFirst] = value >> (8 * i);
    }
  }

  /** Reads a descriptor-table or TSS word: always with supervisor rights (SDM vol 3, 4.6). */
  readSystem32(lin: Lin): number {
    const at = this.mmu.kernelBank + (((lin >>> 12) & this.frontMask) << 2);
    if (this.words32[at] === (lin & ~0xffc)) return this.words32[(lin + this.words32[at + 2]!) >>> 2]!;
    return this.readSlow(lin, 4, ACCESS_IMPLICIT);
  }

  readSystem16(lin: Lin): number {
    return this.readSlow(lin, 2, ACCESS_IMPLICIT);
  }

  // ------------------------------------------------------------------ memory access by decoded operand

  /** Offset of the ModRM memory operand inside its segment. */
  offset(insn: Insn): number {
    const { regs } = this;
    return (regs[insn.base]! + (regs[insn.index]! << insn.scale) + insn.disp) & insn.addressMask;
  }

  /** Linear address of the memory operand, checked for reading `count` bytes. */
  readAddress(insn: Insn, count: number): Lin {
    const offset = this.offset(insn);
    return (this.segFlat & insn.flatRead) !== 0 ? offset : segmentAddress(this, insn.seg, offset, count, false);
  }

  /** Linear address of the memory operand, checked for writing `count` bytes. */
  writeAddress(insn: Insn, count: number): Lin {
    const offset = this.offset(insn);
    return (this.segFlat & insn.flatWrite) !== 0 ? offset : segmentAddress(this, insn.seg, offset, count, true);
  }

  // ------------------------------------------------------------------ stack

  push32(value: number): void {
    if (this.stackFlat) {
      const esp = (this.regs[4]! - 4) | 0;
      this.write32(esp, value);
      this.regs[4] = esp;
    } else this.pushSlow(value, 4);
  }

  push16(value: number): void {
    this.pushSlow(value, 2);
  }

  pop32(): number {
    if (this.stackFlat) {
      const value = this.read32(this.regs[4]!);
      this.regs[4] = (this.regs[4]! + 4) | 0;
      return value;
    }
    const value = this.peekStack(0, 4);
    this.addStack(4);
    return value;
  }

  pop16(): number {
    const value = this.peekStack(0, 2);
    this.addStack(2);
    return value;
  }

  private pushSlow(value: number, count: 2 | 4): void {
    const mask = this.stackMask();
    const sp = (this.regs[4]! - count) & mask;
    const lin = segmentAddress(this, 2, sp, count, true);
    if (count === 4) this.write32(lin, value);
    else this.write16(lin, value);
    this.regs[4] = (this.regs[4]! & ~mask) | sp;
  }

  /** Reads the stack `offset` bytes above its top without popping. */
  peekStack(offset: number, count: 2 | 4): number {
    const sp = (this.regs[4]! + offset) & this.stackMask();
    const lin = segmentAddress(this, 2, sp, count, false);
    return count === 4 ? this.read32(lin) : this.read16(lin);
  }

  /** Adds to ESP or SP, whichever the stack segment uses. */
  addStack(count: number): void {
    const mask = this.stackMask();
    this.regs[4] = (this.regs[4]! & ~mask) | ((this.regs[4]! + count) & mask);
  }

  /** -1 or 0xffff: the bits of ESP that the stack uses (SS.B). */
  stackMask(): number {
    return (this.segAttributes[2]! & 0x4000) !== 0 ? -1 : 0xffff;
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
      this.trapPending = (this.systemFlags & FLAG_TF) !== 0;
    } catch (thrown) {
      if (thrown !== UNWIND) throw thrown;
      this.eip = eip;
      this.unretire(insn);
      this.unwound();
    }
    return this.finish();
  }
}

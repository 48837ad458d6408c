/**
 * The registers of one IA-32 CPU and its way to memory: translation, reads, writes, stack. What executes is in cpu.ts.
 *
 * Convention: every register, address and flag word is an int32; `>>> 0` appears only in comparisons and output.
 * Invariants:
 *   - an access that faults changes nothing, and leaves the instruction by throwing UNWIND;
 *   - a write that a VMM, the code cache or an undo log must know about never takes the fast path.
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual (SDM), volumes 1 to 3.
 */
import type { Cycles, Lin } from '../core/units.ts';
import { dataHits, isWatchedPage, SPECIAL_DATA_BREAKPOINT } from './breakpoints.ts';
import { type CodeCache, NO_CODE } from './code-cache.ts';
import type { ApicBase } from './devices/lapic.ts';
import {
  EXIT_MMIO,
  EXIT_NESTED_FAULT,
  EXIT_TASK_SWITCH,
  EXIT_UNIMPLEMENTED,
  NO_ERROR_CODE,
  VECTOR_AC,
  VECTOR_GP,
  VECTOR_PF,
} from './exits.ts';
import { FLAG_AC, FLAG_TF, FLAG_VM } from './flags.ts';
import { Fpu } from './fpu/fpu.ts';
import type { Insn } from './insn.ts';
import { FRAME_ROM, FRAME_TRACED, type MachineMemory } from './memory.ts';
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
  WALK_PAGE_FAULT,
} from './paging.ts';
import { ABSENT } from './physmap.ts';
import { segmentAddress } from './segments.ts';
import type { VmxUnit } from './vmx/unit.ts';

export const UNWIND_FAULT = 1;
export const UNWIND_EXIT = 2;
/** The one object that is thrown to leave an instruction: allocation would cost more than the rest of a fault. */
export const UNWIND = new Error('a guest fault left the interpreter: this is a defect of hvsim');

/** What carries out accesses to memory-mapped devices, by guest-physical address. */
export interface MmioHandler {
  read(gpa: number, bytes: 1 | 2 | 4): number;
  write(gpa: number, bytes: 1 | 2 | 4, value: number): void;
}

/** translate() answers device addresses below this: DEVICE_AT - gpa. */
const DEVICE_AT = -2;

/** CPUID leaves by number: [eax, ebx, ecx, edx]. */
export type CpuidLeaves = Readonly<Record<number, readonly [number, number, number, number]>>;

/** Bytes of one CPU's block, for sizing MachineMemory's table frames. */
export const CPU_BLOCK_BYTES = 384;
/** Where the hidden and visible parts of the segment registers lie in the block: eight words each. */
export const BLOCK_SELECTORS = 128;
export const BLOCK_BASES = 160;
export const BLOCK_LIMITS = 192;
export const BLOCK_ATTRIBUTES = 224;
/** The eight general registers and the one that is always zero. */
const REGISTERS = 9;

/**
 * Bits of CpuCore.special besides those of the debug registers (breakpoints.ts), where their EFLAGS bits are: single
 * step, virtual-8086 mode, alignment checks in force (EFLAGS.AC and CR0.AM are the same bit, and only ring 3 is checked).
 */
export const SPECIAL_STEP = FLAG_TF;
export const SPECIAL_V86 = FLAG_VM;
export const SPECIAL_ALIGNMENT = FLAG_AC;

export abstract class CpuCore implements PagingRegisters {
  // Registers: eax ecx edx ebx esp ebp esi edi, and one that is always zero (REG_NONE).
  // They lie in machine memory, where compiled code has them too.
  readonly regs: Int32Array;
  readonly regs16: Uint16Array;
  readonly regs8: Uint8Array;
  eip = 0;
  flagRes = 1;
  flagAux = 0;
  /** EFLAGS without the six arithmetic flags and without the fixed bit 1. */
  systemFlags = 0;

  // Segment registers es cs ss ds fs gs, then LDTR and TR: visible selector and hidden descriptor (SDM vol 3, 3.4.3).
  readonly segSelector: Int32Array;
  readonly segBase: Int32Array;
  /** Limit in bytes, unsigned value kept as int32. */
  readonly segLimit: Int32Array;
  /** Descriptor bits 8-23 of the high word shifted down: type, S, DPL, P, AVL, D/B, G. 0 = unusable. */
  readonly segAttributes: Int32Array;
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
  /** SPECIAL_* bits that the debug registers ask for (followDebugRegisters). */
  watching = 0;
  /**
   * SPECIAL_* bits of whatever keeps instructions off their fast paths: single step, breakpoints, alignment checks,
   * virtual-8086 mode. Nearly always 0, and then none of these needs a thought.
   */
  special = 0;
  /** DR6 bits of a debug trap that is due before the next instruction. */
  pendingDebug = 0;
  readonly msrs = new Map<number, readonly [low: number, high: number]>();
  cpuid: CpuidLeaves = {};
  /** A VMM lets the two views of one guest CPU share it. */
  fpu = new Fpu();
  /** Null: this CPU has no VMX. */
  vmx: VmxUnit | null = null;
  /** Low word of IA32_APIC_BASE; the owner puts that of the local APIC here. */
  apicBase: ApicBase = { low: 0 };

  // The world around.
  /** Byte offset of the CPU's block in machine memory: the registers, then what compiled code keeps there. */
  readonly block: number;
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
  protected codeEipPage = 0;
  protected codeInsns: (Insn | undefined)[] = NO_CODE.insns;

  /** Highest linear address that segments reach; a VMM that truncates segments to protect itself lowers it. */
  linearLimit = 0xffffffff;
  /** The same for instruction fetches. */
  codeLimit = 0xffffffff;
  /** A segment register that reaches beyond linearLimit all the same, because the VMM loaded it for itself; or -1. */
  ownerSegment = -1;
  /** The last access through ownerSegment: where it goes, and EIP behind the instruction that may make it. */
  ownerLin = 0;
  ownerEip = 0;
  /**
   * Linear pages whose accesses go to a given machine frame with full rights: a VMM emulating one instruction. The
   * complement of a guest frame (a negative number) is the page of a device.
   */
  readonly overrides = new Map<number, number>();
  /**
   * What answers accesses to device pages. Null while the owner must not be called: then they leave the CPU with
   * EXIT_MMIO before the instruction has any effect.
   */
  mmio: MmioHandler | null = null;
  /** Pairs (host byte address, bytes) of writes to traced frames since the owner cleared it. */
  readonly tracedWrites: number[] = [];

  /** While not null: pairs (host byte address, byte before) of every write through the slow path. */
  undoLog: number[] | null = null;

  // Details of the last exit.
  exitError = NO_ERROR_CODE;
  exitLin = 0;
  exitGpa = 0;
  /** Selector of the TSS that the guest switches to. */
  exitSelector = 0;
  exitText = '';

  // Accounting.
  /** Cycles left of the budget of the current run(). */
  left = 0;
  /** Cycles of page walks, part of all cycles. */
  walkCycles: Cycles = 0;
  walkReferences = 0;

  protected stopCode = 0;
  protected unwindKind = 0;
  /** The fault that an instruction raised, before any trouble in delivering it. */
  readonly firstFault = { vector: 0, error: NO_ERROR_CODE, lin: 0 };
  faultVector = 0;
  faultError = NO_ERROR_CODE;
  faultLin = 0;
  /** fillFront() met a page fault, described by faultLin and faultError; the walk is not charged yet. */
  missed = false;
  protected missedReferences = 0;
  /** The last walk that failed was for an instruction. */
  faultIsFetch = false;

  constructor(memory: MachineMemory, mmu: Mmu, codeCache: CodeCache) {
    this.memory = memory;
    this.block = memory.reserveTable(CPU_BLOCK_BYTES);
    const { buffer } = memory.wasm;
    this.regs = new Int32Array(buffer, this.block, REGISTERS);
    this.regs16 = new Uint16Array(buffer, this.block, 2 * REGISTERS);
    this.regs8 = new Uint8Array(buffer, this.block, 4 * REGISTERS);
    this.segSelector = new Int32Array(buffer, this.block + BLOCK_SELECTORS, 8);
    this.segBase = new Int32Array(buffer, this.block + BLOCK_BASES, 8);
    this.segLimit = new Int32Array(buffer, this.block + BLOCK_LIMITS, 8);
    this.segAttributes = new Int32Array(buffer, this.block + BLOCK_ATTRIBUTES, 8);
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
    // Another CPU may have filled it with pages that this one watches.
    if ((this.special & SPECIAL_DATA_BREAKPOINT) !== 0) mmu.clearFront();
    this.frontMask = mmu.frontMask;
    this.setCpl(this.cpl);
  }

  /** Forgets which decoded page EIP is in: after anything that may map it elsewhere. */
  dropCode(): void {
    this.codeInsns = NO_CODE.insns;
  }

  setCpl(cpl: number): void {
    this.cpl = cpl;
    this.front = cpl === 3 ? this.mmu.userBank : this.mmu.kernelBank;
    this.updateSpecial();
    this.dropCode();
  }

  /** Brings `special` up to date after a change of EFLAGS, CR0.AM, CPL or debug registers. */
  updateSpecial(): void {
    const flags = this.systemFlags;
    const checked = this.cpl === 3 ? flags & this.cr0 & SPECIAL_ALIGNMENT : 0;
    const next = this.watching | (flags & (FLAG_TF | FLAG_VM)) | checked;
    if (next === this.special) return;
    this.special = next;
    // Nobody on a fast path may go on as if nothing had happened.
    if (next !== 0) this.breakLoop();
  }

  /** Makes the interpreter loop return after this instruction. */
  abstract breakLoop(): void;

  /** Flushes translations after a change of CR3 (keeps global ones) or of paging modes. */
  flushTlb(globalToo: boolean): void {
    this.mmu.flush(globalToo);
    this.dropCode();
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

  /** Leaves the current instruction, or the delivery of an event, because a VMM must switch the task. */
  exitTaskSwitch(selector: number): never {
    this.exitSelector = selector;
    return this.unwindExit(EXIT_TASK_SWITCH);
  }

  protected unwindExit(code: number): never {
    this.stopCode = code;
    this.unwindKind = UNWIND_EXIT;
    throw UNWIND;
  }

  // ------------------------------------------------------------------ address translation

  protected chargeWalk(references: number): void {
    const cycles = references * this.mmu.timing.walkReferenceCycles;
    this.left -= cycles;
    this.walkCycles += cycles;
    this.walkReferences += references;
  }

  protected walk(lin: Lin, access: number): void {
    const { walker } = this.mmu;
    const result = walker.walk(this, lin, access);
    this.chargeWalk(walker.references);
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
   * Host byte address behind `lin` for an access (ACCESS_WRITE, ACCESS_USER, ACCESS_IMPLICIT), -1 where nothing
   * answers, or less for a device; may fault.
   */
  translate(lin: Lin, kind: number): number {
    const access = kind & ~ACCESS_IMPLICIT;
    const page = lin >>> 12;
    if (this.overrides.size !== 0) {
      const mfn = this.overrides.get(page);
      if (mfn !== undefined) return mfn >= 0 ? mfn * 4096 + (lin & 0xfff) : this.deviceAddress(~mfn, lin, access);
    }
    if (lin >>> 0 > this.linearLimit && access === kind && !this.isOwners(lin)) this.raise(VECTOR_GP, 0);
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
    if (mfn === ABSENT) {
      // The CPU itself decodes the page of its local APIC.
      const isDevice = mmu.walker.isDevice(frame) || frame === this.apicBase.low >>> 12;
      return isDevice ? this.deviceAddress(frame, lin, access) : -1;
    }
    // Descriptor tables above the limit of all segments must not become reachable through the front table.
    if (lin >>> 0 <= this.linearLimit && !this.isWatched(lin)) {
      mmu.fillFront(lin, mfn, flags, (access & ACCESS_USER) !== 0);
    }
    return mfn * 4096 + (lin & 0xfff);
  }

  private isOwners(lin: Lin): boolean {
    return this.ownerSegment >= 0 && lin === this.ownerLin && this.eip === this.ownerEip;
  }

  /** What translate() answers for a page of a device, if there is somebody to ask. */
  private deviceAddress(gfn: number, lin: Lin, access: number): number {
    const gpa = gfn * 4096 + (lin & 0xfff);
    if (this.mmio === null) {
      this.exitGpa = gpa;
      this.exitLin = lin;
      this.exitError = access;
      this.unwindExit(EXIT_MMIO);
    }
    return DEVICE_AT - gpa;
  }

  /**
   * For compiled code: enters the page of `lin` into the front table for an access of `bytes` bytes (`write`: 2 or 0)
   * and returns what the TLB miss, if any, leaves of `left` cycles. Returns -1, with nothing changed and nothing
   * charged, when the access is more than that: then the interpreter makes it.
   */
  fillFront(lin: Lin, write: number, bytes: number, left: Cycles): number {
    if ((lin & 0xfff) + bytes > 0x1000 || this.overrides.size !== 0 || lin >>> 0 > this.linearLimit) return -1;
    const { mmu } = this;
    const { dtlb, walker } = mmu;
    const access = write | this.userAccess;
    const page = lin >>> 12;
    let rest = left;
    let mfn: number;
    let flags: number;
    if (dtlb.lookup(page, mmu.asid) && tlbAllows(dtlb.hitFlags, access)) {
      flags = dtlb.hitFlags;
      mfn = walker.machineFrame(dtlb.hitFrame);
      if (mfn === ABSENT || (write !== 0 && this.memory.frameFlags[mfn] !== 0)) return -1;
    } else {
      const result = walker.walk(this, lin, access);
      const { references } = walker;
      if (result !== WALK_OK) {
        // An operand of one word is all that its instruction touches: the fault need not be found again.
        this.missed = result === WALK_PAGE_FAULT && bytes <= 4;
        this.missedReferences = references;
        this.faultLin = lin;
        this.faultError = walker.errorCode;
        return -1;
      }
      const cycles = references * mmu.timing.walkReferenceCycles;
      rest -= cycles;
      mfn = walker.machineFrame(walker.frame);
      if (rest < 0 || mfn === ABSENT || (write !== 0 && this.memory.frameFlags[mfn] !== 0)) return -1;
      this.walkCycles += cycles;
      this.walkReferences += references;
      flags = walker.flags;
      dtlb.insert(page, mmu.asid, walker.frame, flags);
      dtlb.misses++;
    }
    mmu.fillFront(lin, mfn, flags, access > 3);
    return rest;
  }

  /** For compiled code: whether what fillFront() does depends on the page tables and the TLB alone. */
  missesArePlain(): boolean {
    return this.overrides.size === 0 && this.linearLimit === 0xffffffff;
  }

  /** For compiled code: counts walks that it made, whose cycles are charged already. */
  noteWalks(references: number, misses: number): void {
    this.walkReferences += references;
    this.walkCycles += references * this.mmu.timing.walkReferenceCycles;
    this.mmu.dtlb.misses += misses;
  }

  /** For compiled code: a walk that it made met a page fault. */
  noteMissed(lin: Lin, error: number, references: number): void {
    this.missed = true;
    this.missedReferences = references;
    this.faultLin = lin;
    this.faultError = error;
  }

  private isWatched(lin: Lin): boolean {
    return (this.special & SPECIAL_DATA_BREAKPOINT) !== 0 && isWatchedPage(this, lin);
  }

  /** What alignment checks and data breakpoints make of an access; called on the slow paths while `special` is not 0. */
  private inspect(lin: Lin, count: number, access: number): void {
    this.checkAlignment(lin, count, access);
    if ((this.special & SPECIAL_DATA_BREAKPOINT) === 0) return;
    const found = dataHits(this, lin, count, (access & ACCESS_WRITE) !== 0);
    if (found === 0) return;
    this.pendingDebug |= found;
    this.breakLoop();
  }

  /** An access of `count` bytes that is made in parts is checked as a whole. */
  checkAligned(lin: Lin, count: number): void {
    if (this.special !== 0) this.checkAlignment(lin, count, this.userAccess);
  }

  private checkAlignment(lin: Lin, count: number, access: number): void {
    if ((this.special & SPECIAL_ALIGNMENT) === 0 || (access & ACCESS_USER) === 0) return;
    // An 80-bit number is aligned to 8 bytes; other sizes that are no power of two have parts with checks of their own.
    const unit = count === 10 ? 8 : count;
    if ((unit & (unit - 1)) === 0 && (lin & (unit - 1)) !== 0) this.raise(VECTOR_AC, 0);
  }

  private get userAccess(): number {
    return this.cpl === 3 ? ACCESS_USER : 0;
  }

  /** Must be called before bytes of a frame with FRAME_* flags change; harmless for others. False: they do not change. */
  private beforeWrite(at: number, count: number): boolean {
    const mfn = Math.floor(at / 4096);
    if (this.memory.frameFlags[mfn] === 0) return true;
    if ((this.memory.frameFlags[mfn]! & FRAME_ROM) !== 0) return false;
    this.codeCache.written(mfn, at & 0xfff, count);
    if ((this.memory.frameFlags[mfn]! & FRAME_TRACED) !== 0) this.tracedWrites.push(at, count);
    return true;
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
    if (this.special !== 0) this.checkAlignment(lin, count, access);
    this.translate(lin, access);
    const lastPage = (lin + count - 1) & ~0xfff;
    if (lastPage !== (lin & ~0xfff)) this.translate(lastPage, access);
  }

  /** Little-endian read of 1, 2 or 4 bytes with explicit privilege (0, ACCESS_USER or ACCESS_IMPLICIT); signed for 4 bytes. */
  readSlow(lin: Lin, count: 1 | 2 | 4, user: number): number {
    if (this.special !== 0) this.inspect(lin, count, user);
    const at = this.translate(lin, user);
    if ((lin & 0xfff) + count > 0x1000) return this.readSplit(lin, count, user, at);
    if (at < 0) {
      if (at <= DEVICE_AT) return this.readDevice(at, count);
      return count === 4 ? -1 : (1 << (8 * count)) - 1;
    }
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
      let byte = 0xff;
      if (at >= 0) byte = this.bytes[at + offset]!;
      else if (at <= DEVICE_AT) byte = this.readDevice(at - offset, 1);
      value |= byte << (8 * i);
    }
    return value;
  }

  private readDevice(at: number, count: 1 | 2 | 4): number {
    return this.mmio!.read(DEVICE_AT - at, count) | 0;
  }

  /** Little-endian write of 1, 2 or 4 bytes with explicit privilege. All or nothing. */
  writeSlow(lin: Lin, value: number, count: 1 | 2 | 4, user: number): void {
    const access = ACCESS_WRITE | user;
    if (this.special !== 0) this.inspect(lin, count, access);
    let at = this.translate(lin, access);
    const inFirst = Math.min(count, 0x1000 - (lin & 0xfff));
    let secondAt = inFirst < count ? this.translate((lin + inFirst) | 0, access) : -1;
    if (at >= 0 && !this.beforeWrite(at, inFirst)) at = -1;
    if (secondAt >= 0 && !this.beforeWrite(secondAt, count - inFirst)) secondAt = -1;
    if (this.undoLog !== null) {
      for (let i = 0; i < count; i++) {
        const byteAt = i < inFirst ? at + i : secondAt + i - inFirst;
        if ((i < inFirst ? at : secondAt) >= 0) this.undoLog.push(byteAt, this.bytes[byteAt]!);
      }
    }
    if (at <= DEVICE_AT && inFirst === count) {
      this.mmio!.write(DEVICE_AT - at, count, value);
      return;
    }
    for (let i = 0; i < count; i++) {
      const start = i < inFirst ? at : secondAt;
      const offset = i < inFirst ? i : i - inFirst;
      if (start >= 0) this.bytes[start + offset] = value >> (8 * i);
      else if (start <= DEVICE_AT) this.mmio!.write(DEVICE_AT - start + offset, 1, value >> (8 * i));
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
}

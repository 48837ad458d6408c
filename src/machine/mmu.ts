/**
 * The memory-management unit of one physical CPU: modelled instruction and data TLBs, the page walker in force, and
 * the front tables, which are direct-mapped caches that hold a subset of the TLBs and make hits cheap to emulate.
 * Invariants:
 *   - a front entry exists only while the TLB entry that it came from does, for the ASID in force;
 *   - its write tag is set only if the page is writable at that privilege, already dirty, and the frame has no
 *     FRAME_* flag; so a write through the front table can change nothing but plain memory;
 *   - because TLB replacement is FIFO, hits through the front change no count.
 * The data front table lies in machine memory (two banks: rings 0-2, ring 3), so compiled code can read it inline.
 */
import type { Lin, Mfn } from '../core/units.ts';
import type { CodeCache, CodePage } from './code-cache.ts';
import type { CpuTiming } from './costs.ts';
import type { MachineMemory } from './memory.ts';
import type { PageWalker } from './paging.ts';
import { ABSENT } from './physmap.ts';
import { TLB_DIRTY, TLB_KERNEL_WRITABLE, TLB_USER, TLB_WRITABLE, Tlb, tlbBytes } from './tlb.ts';

/** Words of one front entry: read tag, write tag, (host byte offset - linear address), unused. */
export const FRONT_ENTRY_WORDS = 4;
/** A tag that no access matches: accesses compare addresses with bits 2..11 cleared. Compiled code knows it too. */
export const NO_TAG = 4;

/** Bits of a code tag below the page number: user mode, 32-bit code. */
const CODE_MODE_BITS = 2;

/** Slots of the code front, each a tag and an id. */
const CODE_TAG_BYTES = 256 * 8;

/** Slot of a linear page number in the code front: user and kernel pages must not meet at the usual addresses. */
export const codeSlot = (page: number): number => (page ^ (page >>> 6)) & 0xff;

/** Entries of one bank, unless told. */
export const FRONT_ENTRIES = 1024;

/** Bytes of such a bank. */
export const FRONT_BANK_BYTES = FRONT_ENTRIES * FRONT_ENTRY_WORDS * 4;

/** Byte offsets in an MMU's record, which compiled code reads: what is in force, and where the tables are. */
export const MMU_ASID = 0;
/** Byte offset of the map from guest frames to machine frames if the walker is plain, or -1; and its length. */
export const MMU_MAP = 4;
export const MMU_MAP_FRAMES = 8;
export const MMU_KERNEL_BANK = 12;
/** Slots of the front tables that were filled since they were last empty: list, and count. */
export const MMU_FILLED = 16;
export const MMU_FILLED_COUNT = 20;
export const MMU_DTLB_SMALL = 24;
export const MMU_DTLB_LARGE = 28;
export const MMU_ITLB_SMALL = 32;
export const MMU_ITLB_LARGE = 36;
/** Cycles of one reference of a walk, and of the delivery of an interrupt. */
export const MMU_REFERENCE_CYCLES = 40;
export const MMU_INTERRUPT_CYCLES = 44;
const MMU_RECORD_BYTES = 48;

/** Bytes of tables in machine memory that one MMU takes, for sizing MachineMemory's table frames. */
export function mmuTableBytes(timing: CpuTiming, entries = FRONT_ENTRIES): number {
  const front = entries * FRONT_ENTRY_WORDS * 4 * 2 + CODE_TAG_BYTES;
  if (entries === 1) return front;
  return front + entries * 4 + MMU_RECORD_BYTES + tlbBytes(timing.itlb) + tlbBytes(timing.dtlb) + 4 * 16;
}

export class Mmu {
  readonly memory: MachineMemory;
  readonly timing: CpuTiming;
  readonly itlb: Tlb;
  readonly dtlb: Tlb;
  walker: PageWalker;
  /** Address-space tag of the entries in use. Change it with attach(). */
  asid = 0;

  readonly frontMask: number;
  /** Word index of the bank for rings 0-2, and for ring 3. */
  readonly kernelBank: number;
  readonly userBank: number;
  /** Byte offset of the record. */
  readonly recordAt: number;
  private readonly record: Int32Array;
  private readonly filledSlots: Int32Array;

  /** Byte offset of the code tags: pairs of a tag and the id of the decoded page. */
  readonly codeTagsAt: number;
  private readonly codeTags: Int32Array;
  private readonly codePages: (CodePage | null)[];

  /** Without a front every access takes the slow path: for CPUs that execute one instruction at a time. */
  private readonly hasFront: boolean;

  /** @param frontEntries size of the front tables, a power of two; 1 = no front at all */
  constructor(
    memory: MachineMemory,
    timing: CpuTiming,
    walker: PageWalker,
    codeCache: CodeCache,
    frontEntries = FRONT_ENTRIES,
  ) {
    this.hasFront = frontEntries > 1;
    this.memory = memory;
    this.timing = timing;
    this.walker = walker;
    // An MMU without a front is nothing to compiled code.
    const table = (bytes: number): Int32Array<ArrayBuffer> =>
      this.hasFront
        ? new Int32Array(memory.wasm.buffer, memory.reserveTable(bytes), bytes >> 2)
        : new Int32Array(bytes >> 2);
    this.itlb = new Tlb(timing.itlb, table(tlbBytes(timing.itlb)));
    this.dtlb = new Tlb(timing.dtlb, table(tlbBytes(timing.dtlb)));
    this.frontMask = frontEntries - 1;
    this.kernelBank = memory.reserveTable(frontEntries * FRONT_ENTRY_WORDS * 4 * 2) >> 2;
    this.userBank = this.kernelBank + frontEntries * FRONT_ENTRY_WORDS;
    this.filledSlots = table(4 * frontEntries);
    this.record = table(MMU_RECORD_BYTES);
    this.recordAt = this.record.byteOffset;
    this.setRecord(MMU_KERNEL_BANK, this.kernelBank * 4);
    this.setRecord(MMU_FILLED, this.filledSlots.byteOffset);
    this.setRecord(MMU_DTLB_SMALL, this.dtlb.smallAt);
    this.setRecord(MMU_DTLB_LARGE, this.dtlb.largeAt);
    this.setRecord(MMU_ITLB_SMALL, this.itlb.smallAt);
    this.setRecord(MMU_ITLB_LARGE, this.itlb.largeAt);
    this.setRecord(MMU_REFERENCE_CYCLES, timing.walkReferenceCycles);
    this.setRecord(MMU_INTERRUPT_CYCLES, timing.instructions.interrupt);
    this.setWalker();
    this.codeTagsAt = memory.reserveTable(CODE_TAG_BYTES);
    this.codeTags = new Int32Array(memory.wasm.buffer, this.codeTagsAt, CODE_TAG_BYTES >> 2).fill(-1);
    this.codePages = Array.from({ length: 256 }, () => null);
    this.clearEverySlot();
    this.dtlb.onEvict = (first, pages) => this.dropData(first, pages);
    this.itlb.onEvict = (first, pages) => this.dropCode(first, pages);
    codeCache.mmus.push(this);
  }

  /** Puts a vCPU's walker and address-space tag in force; entries of other tags stay but are invisible. */
  attach(walker: PageWalker, asid: number): void {
    if (this.walker === walker && this.asid === asid) return;
    this.walker = walker;
    this.asid = asid;
    this.setWalker();
    this.clearFront();
  }

  private setRecord(at: number, value: number): void {
    this.record[at >> 2] = value;
  }

  private setWalker(): void {
    const map = this.walker.plainMap;
    this.setRecord(MMU_ASID, this.asid);
    this.setRecord(MMU_MAP, map?.mapAt ?? -1);
    this.setRecord(MMU_MAP_FRAMES, map?.ramFrames ?? 0);
  }

  /** Empties the front tables (not the TLBs): after anything that changes rights without a TLB flush. */
  clearFront(): void {
    const count = this.record[MMU_FILLED_COUNT >> 2]!;
    if (count >= this.filledSlots.length) this.clearEverySlot();
    else for (let i = 0; i < count; i++) this.clearSlot(this.filledSlots[i]!);
    this.setRecord(MMU_FILLED_COUNT, 0);
    this.codeTags.fill(-1);
  }

  /** MOV to CR3: drops the address space's non-global translations; with `globalToo` those as well. */
  flush(globalToo: boolean): void {
    this.itlb.flushAsid(this.asid, globalToo);
    this.dtlb.flushAsid(this.asid, globalToo);
  }

  /** Drops everything of every address space: an untagged TLB at VM entry and exit. */
  flushAll(): void {
    this.itlb.flushAll();
    this.dtlb.flushAll();
  }

  /** INVLPG. Returns whether a translation of instructions went away. */
  invalidatePage(lin: Lin): boolean {
    this.dtlb.invalidatePage(lin >>> 12, this.asid);
    return this.itlb.invalidatePage(lin >>> 12, this.asid);
  }

  /** Enters a page that the data TLB holds into the front table of one privilege. */
  fillFront(lin: Lin, mfn: Mfn, flags: number, user: boolean): void {
    if (!this.hasFront || mfn === ABSENT || (user && (flags & TLB_USER) === 0)) return;
    const slot = (lin >>> 12) & this.frontMask;
    const at = (user ? this.userBank : this.kernelBank) + slot * FRONT_ENTRY_WORDS;
    const words = this.memory.words32;
    const page = lin & ~0xfff;
    const writable = (flags & (user ? TLB_WRITABLE : TLB_KERNEL_WRITABLE)) !== 0 && (flags & TLB_DIRTY) !== 0;
    words[at] = page;
    words[at + 1] = writable && this.memory.frameFlags[mfn] === 0 ? page : NO_TAG;
    words[at + 2] = (mfn << 12) - page;
    const count = this.record[MMU_FILLED_COUNT >> 2]!;
    // Beyond the list all slots will be cleared.
    if (count < this.filledSlots.length) {
      this.filledSlots[count] = slot;
      this.setRecord(MMU_FILLED_COUNT, count + 1);
    }
  }

  /** The decoded page that the instruction TLB holds for `lin`, if the front knows it. `mode`: privilege, code size. */
  findCode(lin: Lin, mode: number): CodePage | null {
    const page = lin >>> 12;
    const slot = codeSlot(page);
    return this.codeTags[2 * slot] === ((page << CODE_MODE_BITS) | mode) ? this.codePages[slot]! : null;
  }

  /** The code front knows the page: it was executed since its translation was last dropped. */
  executes(page: CodePage): boolean {
    for (let slot = 0; slot < this.codePages.length; slot++) {
      if (this.codePages[slot] === page && this.codeTags[2 * slot] !== -1) return true;
    }
    return false;
  }

  fillCode(lin: Lin, mode: number, code: CodePage): void {
    const page = lin >>> 12;
    const at = 2 * codeSlot(page);
    this.codeTags[at] = (page << CODE_MODE_BITS) | mode;
    this.codeTags[at + 1] = code.compiled.id;
    this.codePages[codeSlot(page)] = code;
  }

  /** Calls `action` for every page in the front tables: page number and machine frame. For audits. */
  forEachFront(action: (page: number, mfn: Mfn) => void): void {
    const words = this.memory.words32;
    for (const bank of [this.kernelBank, this.userBank]) {
      for (let slot = 0; slot <= this.frontMask; slot++) {
        const at = bank + slot * FRONT_ENTRY_WORDS;
        const tag = words[at]!;
        if (tag !== NO_TAG) action(tag >>> 12, (words[at + 2]! + tag) >>> 12);
      }
    }
  }

  private dropData(firstPage: number, pages: number): void {
    if (pages > this.frontMask) {
      this.clearFront();
      return;
    }
    const words = this.memory.words32;
    for (let page = firstPage; page < firstPage + pages; page++) {
      const offset = (page & this.frontMask) * FRONT_ENTRY_WORDS;
      const tag = page << 12;
      if (words[this.kernelBank + offset] === tag) this.clearBankSlot(this.kernelBank + offset);
      if (words[this.userBank + offset] === tag) this.clearBankSlot(this.userBank + offset);
    }
  }

  private dropCode(firstPage: number, pages: number): void {
    if (pages > 0xff) {
      this.codeTags.fill(-1);
      return;
    }
    for (let page = firstPage; page < firstPage + pages; page++) {
      const at = 2 * codeSlot(page);
      if (this.codeTags[at]! >> CODE_MODE_BITS === page) this.codeTags[at] = -1;
    }
  }

  private clearEverySlot(): void {
    for (let slot = 0; slot <= this.frontMask; slot++) this.clearSlot(slot);
  }

  private clearSlot(slot: number): void {
    this.clearBankSlot(this.kernelBank + slot * FRONT_ENTRY_WORDS);
    this.clearBankSlot(this.userBank + slot * FRONT_ENTRY_WORDS);
  }

  private clearBankSlot(at: number): void {
    this.memory.words32[at] = NO_TAG;
    this.memory.words32[at + 1] = NO_TAG;
  }
}

/**
 * The linear addresses that a deprivileging VMM keeps for itself: the top 4 MiB, with the GDT, IDT and TSS that the
 * real CPU uses while the guest runs. Mapped in every shadow root, supervisor only; guest segments end below it.
 * Invariants: a shadow descriptor is the guest's one at ring 1 instead of 0, truncated, and present only if the guest
 * has used it before (so the first load traps and the guest's accessed bit gets set) and, for user code, only in user
 * mode; gates and system descriptors are never present, so everything that goes through them traps; nor are those in a
 * frame whose trace was given up (a kernel's stack beside its GDT), so the VMM looks at the guest's own at each load.
 * Source: Bugnion et al., "Bringing Virtualization to the x86 Architecture with the Original VMware Workstation",
 * ACM TOCS 2012, section 4 (shadow descriptors, truncation, top 4 MiB); the not-present rules are our choice.
 */
import { UserError } from '../../core/errors.ts';
import { type Bytes, type Gfn, type Gpa, type Mfn, PAGE_BYTES, PAGE_SHIFT } from '../../core/units.ts';
import type { Cpu } from '../../machine/cpu.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import { CR0_PG, CR4_PSE, PDE_LARGE, PTE_PRESENT, PTE_WRITABLE } from '../../machine/paging.ts';
import { ABSENT, type PhysMap } from '../../machine/physmap.ts';
import { baseOf, isCode, isCodeOrData, limitOf, SEG_TR, setSegment } from '../../machine/segments.ts';
import type { ShadowPaging } from '../paging/shadow.ts';

/** First linear address of the region. */
export const VMM_BASE = 0xffc00000;
const GDT_PAGES = 16;
const IDT_PAGE = 16;
const TSS_PAGE = 17;
const PAGES = 18;
/** The VMM's own TSS is the last entry of its GDT. */
const TSS_SELECTOR = 0xfff8;
const GDT_ENTRIES = 8192;
/** Writes into a frame of the GDT, but beside it, after which the trace costs more than it saves. Our choice. */
const BESIDES_MAX = 4096;
const TSS_LIMIT = 103;
const TSS_IO_MAP = 102;

const ACCESSED = 0x100;
const PRESENT = 0x8000;
const DPL_SHIFT = 13;

export class VmmRegion {
  /** Directory entry that maps the region. */
  readonly pde: number;
  /** Guest frames that hold the guest's GDT, with the bytes of each that are GDT; they are write-traced. */
  readonly gdtFrames = new Map<Gfn, { first: number; end: number }>();
  /** Those of them that are not traced, because the guest wrote too often beside the GDT. Their entries stay hidden. */
  private readonly untraced = new Set<Gfn>();
  /** Writes beside the GDT, by frame. */
  private readonly besides = new Map<Gfn, number>();
  private readonly memory: MachineMemory;
  private readonly physmap: PhysMap;
  private readonly owner: number;
  private readonly table: Mfn;
  private readonly pages: Mfn[] = [];
  /** Entries of user code, whose present bit depends on the mode. */
  private readonly userCode: number[] = [];
  private userCodeShown = false;
  /** Entries of the guest's ring 0, which a kernel in ring 3 must have at DPL 3, and its user programs must not. */
  private readonly kernelEntries: number[] = [];
  private kernelShown = false;
  private entries = 0;
  /** Entries that are the VMM's: at the same place the guest's own are hidden. */
  private readonly own = new Set<number>([TSS_SELECTOR >> 3]);
  /** The guest's descriptors as the shadow was made from them: low and high words in turn. */
  private readonly guestWords = new Int32Array(GDT_ENTRIES * 2);

  /** @throws UserError when the machine has no frames left */
  constructor(memory: MachineMemory, physmap: PhysMap, owner: number, vmName: string) {
    this.memory = memory;
    this.physmap = physmap;
    this.owner = owner;
    this.table = this.take(vmName);
    for (let page = 0; page < PAGES; page++) {
      const mfn = this.take(vmName);
      this.pages.push(mfn);
      this.word(this.table, page * 4, (mfn << 12) | PTE_PRESENT | PTE_WRITABLE);
    }
    this.pde = (this.table << 12) | PTE_PRESENT | PTE_WRITABLE;
    // No I/O bit map: every port traps.
    memory.words16[(this.pages[TSS_PAGE]! * 4096 + TSS_IO_MAP) >> 1] = 0xffff;
  }

  /** Points the real CPU's descriptor-table registers and task register at the region. */
  loadInto(cpu: Cpu): void {
    cpu.gdtBase = VMM_BASE | 0;
    cpu.gdtLimit = 0xffff;
    cpu.idtBase = (VMM_BASE + IDT_PAGE * 4096) | 0;
    cpu.idtLimit = 0x7ff;
    const base = VMM_BASE + TSS_PAGE * 4096;
    const low = ((base & 0xffff) << 16) | TSS_LIMIT;
    const high = (base & 0xff000000) | ((base >>> 16) & 0xff) | 0x8b00;
    setSegment(cpu, SEG_TR, TSS_SELECTOR, low, high);
  }

  /** Puts a frame of the VMM's at a page of the region. */
  map(page: number, mfn: Mfn, isWritable: boolean): void {
    this.word(this.table, page * 4, (mfn << 12) | PTE_PRESENT | (isWritable ? PTE_WRITABLE : 0));
  }

  /** Takes an entry of the GDT for the VMM. Call it before the first syncGdt. */
  ownDescriptor(selector: number, low: number, high: number): void {
    this.own.add(selector >> 3);
    this.setEntry(selector >> 3, low, high);
  }

  /** Makes the shadow GDT from the guest's, and traces the frames that the guest's lies in. Returns descriptors read. */
  syncGdt(virtual: Cpu, shadow: ShadowPaging): number {
    this.removeTraces(shadow);
    this.gdtFrames.clear();
    this.userCode.length = 0;
    this.kernelEntries.length = 0;
    const count = Math.min((virtual.gdtLimit + 1) >> 3, GDT_ENTRIES - 1);
    for (let i = 0; i < Math.max(count, this.entries); i++) {
      if (this.own.has(i)) continue;
      const lin = (virtual.gdtBase + i * 8) | 0;
      const low = i < count ? this.guestWord(virtual, lin) : null;
      const high = i < count ? this.guestWord(virtual, (lin + 4) | 0) : null;
      const known = low !== null && high !== null;
      this.guestWords[2 * i] = known ? low : 0;
      this.guestWords[2 * i + 1] = known ? high : 0;
      if (known && this.isHidden(virtual, lin)) this.setEntry(i, low, high & ~PRESENT);
      else if (known) this.shadowEntry(i, low, high);
      else this.setEntry(i, 0, 0);
    }
    this.entries = count;
    this.userCodeShown = false;
    this.kernelShown = false;
    for (const gfn of this.gdtFrames.keys()) if (!this.untraced.has(gfn)) shadow.addTrace(gfn);
    return count;
  }

  /** The guest has another GDT: its frames are traced, whatever was given up before. Call before syncGdt. */
  traceAgain(shadow: ShadowPaging): void {
    this.besides.clear();
    if (this.untraced.size === 0) return;
    this.removeTraces(shadow);
    this.gdtFrames.clear();
    this.untraced.clear();
  }

  /**
   * The guest wrote to a traced frame. True if the shadow GDT is to be made anew: its frame holds descriptors (whether
   * or not one was hit; that is the price of traces by page).
   */
  written(gpa: Gpa, length: Bytes, shadow: ShadowPaging): boolean {
    const gfn = gpa >>> PAGE_SHIFT;
    const bytes = this.gdtFrames.get(gfn);
    if (bytes === undefined || this.untraced.has(gfn)) return false;
    const offset = gpa & (PAGE_BYTES - 1);
    if (offset < bytes.end && offset + length > bytes.first) return true;
    const count = (this.besides.get(gfn) ?? 0) + 1;
    this.besides.set(gfn, count);
    if (count === BESIDES_MAX) {
      shadow.removeTrace(gfn);
      this.untraced.add(gfn);
    }
    return true;
  }

  private removeTraces(shadow: ShadowPaging): void {
    for (const gfn of this.gdtFrames.keys()) if (!this.untraced.has(gfn)) shadow.removeTrace(gfn);
  }

  /** A part of the descriptor at `lin` is in a frame without trace. */
  private isHidden(virtual: Cpu, lin: number): boolean {
    if (this.untraced.size === 0) return false;
    return [lin, (lin + 7) | 0].some((at) => {
      const gpa = this.guestAddress(virtual, at);
      return gpa !== null && this.untraced.has(gpa >>> PAGE_SHIFT);
    });
  }

  /** The guest's descriptor behind a selector of its GDT, as it was when a segment was loaded from the shadow. */
  guestDescriptor(selector: number): { readonly low: number; readonly high: number } {
    const i = (selector & 0xfff8) >> 3;
    return { low: this.guestWords[2 * i]!, high: this.guestWords[2 * i + 1]! };
  }

  /** A word of the guest's memory by the guest's tables, however it is aligned; notes the frames as part of the GDT. */
  private guestWord(virtual: Cpu, lin: number): number | null {
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const gpa = this.guestAddress(virtual, (lin + i) | 0);
      if (gpa === null) return null;
      this.noteByte(gpa);
      value |= this.physmap.read8(gpa) << (8 * i);
    }
    return value;
  }

  private noteByte(gpa: Gpa): void {
    const offset = gpa & (PAGE_BYTES - 1);
    const bytes = this.gdtFrames.get(gpa >>> PAGE_SHIFT);
    if (bytes === undefined) this.gdtFrames.set(gpa >>> PAGE_SHIFT, { first: offset, end: offset + 1 });
    else {
      bytes.first = Math.min(bytes.first, offset);
      bytes.end = Math.max(bytes.end, offset + 1);
    }
  }

  /** The guest's GDT lies in other frames than when it was last synchronized: its page tables changed under it. */
  gdtMoved(virtual: Cpu): boolean {
    const frames = new Set<Gfn>();
    for (let at = 0; at <= virtual.gdtLimit; at += 4096) {
      const gpa = this.guestAddress(virtual, (virtual.gdtBase + at) | 0);
      if (gpa !== null) frames.add(gpa >>> 12);
    }
    const last = this.guestAddress(virtual, (virtual.gdtBase + virtual.gdtLimit) | 0);
    if (last !== null) frames.add(last >>> 12);
    return frames.size !== this.gdtFrames.size || [...frames].some((gfn) => !this.gdtFrames.has(gfn));
  }

  /** User code descriptors are present only while the guest is in user mode. */
  showUserCode(shown: boolean): void {
    if (shown === this.userCodeShown) return;
    this.userCodeShown = shown;
    for (const i of this.userCode) {
      const high = this.memory.words32[this.wordIndex(i) + 1]!;
      this.memory.words32[this.wordIndex(i) + 1] = shown ? high | PRESENT : high & ~PRESENT;
    }
  }

  /** The guest's descriptors of ring 0 are of ring 3 while its kernel is there; else of ring 1. */
  showKernel(shown: boolean): void {
    if (shown === this.kernelShown) return;
    this.kernelShown = shown;
    for (const i of this.kernelEntries) {
      const high = this.memory.words32[this.wordIndex(i) + 1]!;
      this.memory.words32[this.wordIndex(i) + 1] = (high & ~(3 << DPL_SHIFT)) | ((shown ? 3 : 1) << DPL_SHIFT);
    }
  }

  private shadowEntry(i: number, low: number, high: number): void {
    if (!isCodeOrData(high)) {
      this.setEntry(i, low, high & ~PRESENT);
      return;
    }
    let shadowHigh = high;
    if ((high >>> DPL_SHIFT) % 4 === 0) {
      shadowHigh |= 1 << DPL_SHIFT;
      this.kernelEntries.push(i);
    }
    if ((high & ACCESSED) === 0) shadowHigh &= ~PRESENT;
    if (isCode(high) && (high >>> DPL_SHIFT) % 4 === 3 && (shadowHigh & PRESENT) !== 0) {
      this.userCode.push(i);
      shadowHigh &= ~PRESENT;
    }
    this.setTruncated(i, low, shadowHigh);
  }

  /** Ends a segment below the region. An expand-down one cannot be cut there: the CPU's linear limit guards it. */
  private setTruncated(i: number, low: number, high: number): void {
    const expandsDown = (high & 0xc00) === 0x400;
    const end = (baseOf(low, high) >>> 0) + (limitOf(low, high) >>> 0);
    if (expandsDown || end < VMM_BASE) {
      this.setEntry(i, low, high);
      return;
    }
    const pages = Math.max(0, Math.floor((VMM_BASE - (baseOf(low, high) >>> 0)) / 4096) - 1);
    this.setEntry(i, (low & 0xffff0000) | (pages & 0xffff), (high & 0xfff0ffff) | (pages & 0xf0000) | 0x800000);
  }

  private setEntry(i: number, low: number, high: number): void {
    this.memory.words32[this.wordIndex(i)] = low;
    this.memory.words32[this.wordIndex(i) + 1] = high;
  }

  private wordIndex(i: number): number {
    const page = this.pages[Math.floor(i / 512) % GDT_PAGES]!;
    return (page * 4096 + (i % 512) * 8) / 4;
  }

  /** Guest-physical address behind a linear one by the guest's tables, without touching their accessed bits. */
  private guestAddress(virtual: Cpu, lin: number): number | null {
    if ((virtual.cr0 & CR0_PG) === 0) return this.ram(lin >>> 0);
    const pde = this.physmap.read32((virtual.cr3 & ~0xfff) | ((lin >>> 20) & 0xffc));
    if ((pde & PTE_PRESENT) === 0) return null;
    if ((pde & PDE_LARGE) !== 0 && (virtual.cr4 & CR4_PSE) !== 0) {
      return this.ram(((pde & 0xffc00000) | (lin & 0x3fffff)) >>> 0);
    }
    const pte = this.physmap.read32((pde & ~0xfff) | ((lin >>> 10) & 0xffc));
    return (pte & PTE_PRESENT) === 0 ? null : this.ram(((pte & ~0xfff) | (lin & 0xfff)) >>> 0);
  }

  private ram(gpa: number): number | null {
    return this.physmap.lookup(gpa >>> 12) === ABSENT ? null : gpa;
  }

  private take(vmName: string): Mfn {
    const mfn = this.memory.allocateFrame(this.owner);
    if (mfn < 0) throw new UserError(`VM ${vmName}: no machine frame left for the VMM's tables`);
    return mfn;
  }

  private word(mfn: Mfn, offset: number, value: number): void {
    this.memory.words32[(mfn * 4096 + offset) / 4] = value;
  }
}

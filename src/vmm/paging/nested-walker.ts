/**
 * The MMU's two-dimensional walk: guest tables in guest-physical memory, every step of which is translated by the
 * nested tables. References are counted as they are made; an optional walk cache leaves some out.
 * Invariants: a walk that fails changes nothing in guest memory; guest rights are checked before nested rights;
 * a page may be used as writable only if both dimensions allow it.
 * Source: SDM vol 3, 28.2; Bhargava et al., ASPLOS 2008 (nested TLB, walk caches).
 */
import { assert } from '../../core/errors.ts';
import type { Gfn, Gpa, Lin, Mfn } from '../../core/units.ts';
import { FRAME_ROM, type MachineMemory } from '../../machine/memory.ts';
import {
  ACCESS_FETCH,
  ACCESS_PRESENT,
  ACCESS_RESERVED,
  ACCESS_WRITE,
  CR0_PG,
  CR4_PSE,
  type PageWalker,
  type PagingRegisters,
  PDE_LARGE,
  PDE_LARGE_RESERVED,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  permits,
  tlbFlags,
  WALK_NESTED_FAULT,
  WALK_OK,
  WALK_PAGE_FAULT,
} from '../../machine/paging.ts';
import { TLB_DIRTY, TLB_KERNEL_WRITABLE, TLB_LARGE, TLB_USER, TLB_WRITABLE } from '../../machine/tlb.ts';
import { NESTED_EXECUTE, NESTED_READ, NESTED_WRITE, type NestedPaging } from './nested.ts';

/** Sizes of the optional walk caches, fully associative, first in first out. */
export interface WalkCacheSpec {
  /** Guest frames of page tables whose translation is remembered (a "nested TLB"): a hit makes no nested reference. */
  readonly nestedTlbEntries: number;
}

const NO_FRAME = -1;

export class NestedWalker implements PageWalker {
  // Results of walk(); see PageWalker.
  frame: Mfn = 0;
  flags = 0;
  references = 0;
  errorCode = 0;
  /** Guest-physical address without a nested mapping that allows the access (EPT violation). */
  faultGpa: Gpa = 0;
  /** NESTED_* right that was missing: the "access" bits of the exit qualification. */
  faultAccess = 0;
  /** The violation hit a guest page table, not the page itself. */
  faultOnTable = false;

  private readonly memory: MachineMemory;
  private readonly nested: NestedPaging;
  private readonly cachedGfn: Int32Array;
  private readonly cachedMfn: Int32Array;
  private readonly cachedRights: Uint8Array;
  private nextCached = 0;
  /** State of the nested tables that the cache belongs to. */
  private generation = 0;

  // Found by translateEntry and translatePage.
  private entryAt = 0;
  private entryWritable = false;
  private pageRights = 0;

  constructor(memory: MachineMemory, nested: NestedPaging, caches: WalkCacheSpec = { nestedTlbEntries: 0 }) {
    const entries = caches.nestedTlbEntries;
    assert(Number.isInteger(entries) && entries >= 0, 'the nested TLB needs a whole number of entries');
    this.memory = memory;
    this.nested = nested;
    this.cachedGfn = new Int32Array(entries).fill(NO_FRAME);
    this.cachedMfn = new Int32Array(entries);
    this.cachedRights = new Uint8Array(entries);
  }

  machineFrame(frame: number): Mfn {
    return frame;
  }

  /** No entry leads to a device: the VMM finds out from the fault. */
  isDevice(): boolean {
    return false;
  }

  walk(registers: PagingRegisters, lin: Lin, access: number): number {
    this.references = 0;
    if ((registers.cr0 & CR0_PG) === 0) {
      const gpa: Gpa = lin as number; // without paging they are the same
      if (!this.translatePage(gpa, access)) return WALK_NESTED_FAULT;
      this.accept(TLB_WRITABLE | TLB_KERNEL_WRITABLE | TLB_USER | TLB_DIRTY);
      return WALK_OK;
    }
    const pdeGpa = (registers.cr3 & ~0xfff) | ((lin >>> 20) & 0xffc);
    if (!this.translateEntry(pdeGpa)) return WALK_NESTED_FAULT;
    const pde = this.memory.words32[this.entryAt]!;
    this.references++;
    if ((pde & PTE_PRESENT) === 0) return this.pageFault(access);
    const isLarge = (pde & PDE_LARGE) !== 0 && (registers.cr4 & CR4_PSE) !== 0;
    return isLarge
      ? this.walkLarge(registers, lin, access, pdeGpa, pde)
      : this.walkSmall(registers, lin, access, pdeGpa, pde);
  }

  private walkLarge(registers: PagingRegisters, lin: Lin, access: number, pdeGpa: Gpa, pde: number): number {
    const pdeAt = this.entryAt;
    if ((pde & PDE_LARGE_RESERVED) !== 0) return this.pageFault(access | ACCESS_PRESENT | ACCESS_RESERVED);
    if (!permits(pde, access, registers.cr0)) return this.pageFault(access | ACCESS_PRESENT);
    const marked = pde | PTE_ACCESSED | ((access & ACCESS_WRITE) !== 0 ? PTE_DIRTY : 0);
    if (marked !== pde && !this.entryWritable) return this.violation(pdeGpa, NESTED_WRITE, true);
    const gpa = ((pde >>> 22) << 22) | (lin & 0x3fffff);
    if (!this.translatePage(gpa, access)) return WALK_NESTED_FAULT;
    if (marked !== pde) this.mark(pdeAt, marked);
    this.accept(tlbFlags(pde, marked, registers.cr0, registers.cr4));
    if (this.nested.isLargeRun(gpa >>> 12)) this.flags |= TLB_LARGE;
    return WALK_OK;
  }

  private walkSmall(registers: PagingRegisters, lin: Lin, access: number, pdeGpa: Gpa, pde: number): number {
    const pdeAt = this.entryAt;
    const pdeWritable = this.entryWritable;
    const pteGpa = (pde & ~0xfff) | ((lin >>> 10) & 0xffc);
    if (!this.translateEntry(pteGpa)) return WALK_NESTED_FAULT;
    const pteAt = this.entryAt;
    const pte = this.memory.words32[pteAt]!;
    this.references++;
    if ((pte & PTE_PRESENT) === 0) return this.pageFault(access);
    if (!permits(pde & pte, access, registers.cr0)) return this.pageFault(access | ACCESS_PRESENT);
    const marked = pte | PTE_ACCESSED | ((access & ACCESS_WRITE) !== 0 ? PTE_DIRTY : 0);
    if ((pde & PTE_ACCESSED) === 0 && !pdeWritable) return this.violation(pdeGpa, NESTED_WRITE, true);
    if (marked !== pte && !this.entryWritable) return this.violation(pteGpa, NESTED_WRITE, true);
    if (!this.translatePage((pte & ~0xfff) | (lin & 0xfff), access)) return WALK_NESTED_FAULT;
    if ((pde & PTE_ACCESSED) === 0) this.mark(pdeAt, pde | PTE_ACCESSED);
    if (marked !== pte) this.mark(pteAt, marked);
    this.accept(tlbFlags(pde & pte, marked, registers.cr0, registers.cr4));
    return WALK_OK;
  }

  /** Sets the accessed or dirty bit of a guest entry; one in ROM stays as it is. */
  private mark(at: number, entry: number): void {
    if ((this.memory.frameFlags[at >>> 10]! & FRAME_ROM) === 0) this.memory.words32[at] = entry;
  }

  /** Finds the machine word of a guest table entry, through the walk cache if there is one. */
  private translateEntry(gpa: Gpa): boolean {
    const gfn = gpa >>> 12;
    const cached = this.findCached(gfn);
    let mfn: Mfn;
    let rights: number;
    if (cached >= 0) {
      mfn = this.cachedMfn[cached]!;
      rights = this.cachedRights[cached]!;
    } else {
      const found = this.nested.lookup(gfn);
      this.references += this.nested.leafReferences;
      mfn = this.nested.leafMfn;
      rights = found ? this.nested.leafRights : 0;
    }
    if ((rights & NESTED_READ) === 0) {
      this.violation(gpa, NESTED_READ, true);
      return false;
    }
    if (cached < 0) this.remember(gfn, mfn, rights);
    this.entryAt = (mfn << 10) | ((gpa & 0xfff) >>> 2);
    this.entryWritable = (rights & NESTED_WRITE) !== 0;
    return true;
  }

  /** Translates the page itself; on success frame and pageRights are set. */
  private translatePage(gpa: Gpa, access: number): boolean {
    let needed = NESTED_READ;
    if ((access & ACCESS_FETCH) !== 0) needed = NESTED_EXECUTE;
    else if ((access & ACCESS_WRITE) !== 0) needed = NESTED_WRITE;
    const found = this.nested.lookup(gpa >>> 12);
    this.references += this.nested.leafReferences;
    if (!found || (this.nested.leafRights & needed) === 0) {
      this.violation(gpa, needed, false);
      return false;
    }
    this.frame = this.nested.leafMfn;
    this.pageRights = this.nested.leafRights;
    return true;
  }

  /** Sets flags: what the guest's tables allow, less what the nested tables forbid. */
  private accept(guestFlags: number): void {
    const writable = (this.pageRights & NESTED_WRITE) !== 0;
    this.flags = writable ? guestFlags : guestFlags & ~(TLB_WRITABLE | TLB_KERNEL_WRITABLE);
  }

  private pageFault(bits: number): number {
    this.errorCode = bits & ~ACCESS_FETCH;
    return WALK_PAGE_FAULT;
  }

  private violation(gpa: Gpa, access: number, onTable: boolean): number {
    // A violation also forgets what was cached for the address (SDM vol 3, 28.3.3.1), so new rights are seen.
    const cached = this.findCached(gpa >>> 12);
    if (cached >= 0) this.cachedGfn[cached] = NO_FRAME;
    this.faultGpa = gpa;
    this.faultAccess = access;
    this.faultOnTable = onTable;
    return WALK_NESTED_FAULT;
  }

  private findCached(gfn: Gfn): number {
    if (this.cachedGfn.length === 0) return -1;
    if (this.generation !== this.nested.generation) {
      this.generation = this.nested.generation;
      this.cachedGfn.fill(NO_FRAME);
    }
    return this.cachedGfn.indexOf(gfn);
  }

  private remember(gfn: Gfn, mfn: Mfn, rights: number): void {
    if (this.cachedGfn.length === 0) return;
    const i = this.nextCached;
    this.cachedGfn[i] = gfn;
    this.cachedMfn[i] = mfn;
    this.cachedRights[i] = rights;
    this.nextCached = (i + 1) % this.cachedGfn.length;
  }
}

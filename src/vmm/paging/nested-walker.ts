/**
 * The MMU's two-dimensional walk: guest tables in guest-physical memory, every step of which is translated by the
 * nested tables. References are counted as they are made; optional walk caches (walk-caches.ts) leave some out.
 * Invariants: a walk that fails changes nothing in guest memory; guest rights are checked before nested rights;
 * a page may be used as writable only if both dimensions allow it.
 * Source: SDM vol 3, 28.2; Bhargava et al., ASPLOS 2008 (nested TLB, walk caches).
 */
import type { Gpa, Lin, Mfn } from '../../core/units.ts';
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
import { NO_WALK_CACHES, type WalkCacheSpec } from '../vmx-options.ts';
import { NESTED_EXECUTE, NESTED_READ, NESTED_WRITE, type NestedPaging } from './nested.ts';
import { NestedTlb, PageWalkCache } from './walk-caches.ts';

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
  /** Rights of the nested entry that forbade it: the "readable, writable, executable" bits of the qualification. */
  faultRights = 0;
  /** The violation hit a guest page table, not the page itself. */
  faultOnTable = false;

  private readonly memory: MachineMemory;
  private readonly nested: NestedPaging;
  readonly nestedTlb: NestedTlb | null;
  readonly walkCache: PageWalkCache | null;

  // Found by translateEntry and translatePage.
  private entryAt = 0;
  private entryWritable = false;
  private pageRights = 0;

  constructor(memory: MachineMemory, nested: NestedPaging, caches: Partial<WalkCacheSpec> = NO_WALK_CACHES) {
    const { nestedTlbEntries = 0, pageWalkEntries = 0 } = caches;
    this.memory = memory;
    this.nested = nested;
    this.nestedTlb = nestedTlbEntries === 0 ? null : new NestedTlb(nestedTlbEntries);
    this.walkCache = pageWalkEntries === 0 ? null : new PageWalkCache(pageWalkEntries);
  }

  /** Empties the walk caches: entries and exits without a tagged TLB, and a change of pCPU. */
  flushCaches(): void {
    this.nestedTlb?.flush();
    this.walkCache?.flush();
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
    const isLarge = (pde & PDE_LARGE) !== 0 && (registers.cr4 & CR4_PSE) !== 0;
    const leadsOn = (pde & PTE_PRESENT) !== 0 && !isLarge;
    if (!leadsOn || this.walkCache === null || !this.walkCache.knows(this.entryAt, pde)) this.references++;
    if ((pde & PTE_PRESENT) === 0) return this.pageFault(access);
    return isLarge
      ? this.walkLarge(registers, lin, access, pdeGpa, pde)
      : this.walkSmall(registers, lin, access, pdeGpa, pde);
  }

  private walkLarge(registers: PagingRegisters, lin: Lin, access: number, pdeGpa: Gpa, pde: number): number {
    const pdeAt = this.entryAt;
    if ((pde & PDE_LARGE_RESERVED) !== 0) return this.pageFault(access | ACCESS_PRESENT | ACCESS_RESERVED);
    if (!permits(pde, access, registers.cr0)) return this.pageFault(access | ACCESS_PRESENT);
    const marked = pde | PTE_ACCESSED | ((access & ACCESS_WRITE) !== 0 ? PTE_DIRTY : 0);
    if (marked !== pde && !this.entryWritable) return this.readOnlyTable(pdeGpa);
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
    if ((pde & PTE_ACCESSED) === 0 && !pdeWritable) return this.readOnlyTable(pdeGpa);
    if (marked !== pte && !this.entryWritable) return this.readOnlyTable(pteGpa);
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
    const { nested, nestedTlb } = this;
    const gfn = gpa >>> 12;
    const isKnown = nestedTlb?.find(gfn, nested.generation) ?? false;
    let mfn: Mfn;
    let rights: number;
    if (isKnown) {
      mfn = nestedTlb!.mfn;
      rights = nestedTlb!.rights;
    } else {
      const found = nested.lookup(gfn, this.walkCache, true);
      this.references += nested.leafReferences;
      mfn = nested.leafMfn;
      rights = found ? nested.leafRights : 0;
    }
    if ((rights & NESTED_READ) === 0) {
      this.faultRights = rights;
      this.violation(gpa, NESTED_READ, true);
      return false;
    }
    if (!isKnown) nestedTlb?.remember(gfn, mfn, rights);
    this.entryAt = (mfn << 10) | ((gpa & 0xfff) >>> 2);
    this.entryWritable = (rights & NESTED_WRITE) !== 0;
    return true;
  }

  /** Translates the page itself; on success frame and pageRights are set. */
  private translatePage(gpa: Gpa, access: number): boolean {
    let needed = NESTED_READ;
    if ((access & ACCESS_FETCH) !== 0) needed = NESTED_EXECUTE;
    else if ((access & ACCESS_WRITE) !== 0) needed = NESTED_WRITE;
    const found = this.nested.lookup(gpa >>> 12, this.walkCache);
    this.references += this.nested.leafReferences;
    if (!found || (this.nested.leafRights & needed) === 0) {
      this.faultRights = found ? this.nested.leafRights : 0;
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

  /** The processor cannot mark a guest entry, because the nested tables let it only read it. */
  private readOnlyTable(gpa: Gpa): number {
    this.faultRights = NESTED_READ;
    return this.violation(gpa, NESTED_WRITE, true);
  }

  private violation(gpa: Gpa, access: number, onTable: boolean): number {
    this.nestedTlb?.forget(gpa >>> 12);
    this.faultGpa = gpa;
    this.faultAccess = access;
    this.faultOnTable = onTable;
    return WALK_NESTED_FAULT;
  }
}

/**
 * What happens on a TLB miss: a page walker finds the frame behind a linear address and counts the table
 * references that it really made. The bare machine's walker is here (32-bit two-level paging with 4 KiB and 4 MiB
 * pages, SDM vol 3, 4.3); walkers over shadow and nested tables implement the same interface elsewhere.
 * Invariants: a walk that fails changes nothing; a walk that succeeds has set the accessed bit of every entry used,
 * and the dirty bit of the last one if the access was a write (SDM vol 3, 4.8).
 */
import { type Lin, type Mfn, PAGE_SHIFT } from '../core/units.ts';
import type { PhysMap } from './physmap.ts';
import { TLB_DIRTY, TLB_GLOBAL, TLB_KERNEL_WRITABLE, TLB_LARGE, TLB_USER, TLB_WRITABLE } from './tlb.ts';

/** Access bits, and bits of a page-fault error code (SDM vol 3, 4.7). */
export const ACCESS_PRESENT = 1;
export const ACCESS_WRITE = 2;
export const ACCESS_USER = 4;
export const ACCESS_RESERVED = 8;
export const ACCESS_FETCH = 16;
/** Not of the error code: an access to a descriptor table or TSS, which no segment limits (Cpu.translate only). */
export const ACCESS_IMPLICIT = 32;

/** Bits of a page-directory or page-table entry (SDM vol 3, tables 4-5 and 4-6). */
export const PTE_PRESENT = 1;
export const PTE_WRITABLE = 2;
export const PTE_USER = 4;
export const PTE_ACCESSED = 0x20;
export const PTE_DIRTY = 0x40;
export const PDE_LARGE = 0x80;
/** Must be 0 in an entry that maps 4 MiB: this CPU has no PSE-36 (SDM vol 3, table 4-4). */
export const PDE_LARGE_RESERVED = 0x3fe000;
export const PTE_GLOBAL = 0x100;

export const CR0_PE = 1;
export const CR0_MP = 2;
export const CR0_EM = 4;
export const CR0_TS = 8;
export const CR0_ET = 0x10;
export const CR0_NE = 0x20;
export const CR0_WP = 0x10000;
export const CR0_AM = 0x40000;
export const CR0_NW = 0x20000000;
export const CR0_CD = 0x40000000;
export const CR0_PG = 0x80000000 | 0;
export const CR4_TSD = 4;
export const CR4_PSE = 0x10;
export const CR4_PGE = 0x80;
export const CR4_OSFXSR = 0x200;
export const CR4_OSXMMEXCPT = 0x400;

/** The walk found a translation. */
export const WALK_OK = 0;
/** The tables forbid the access: a page fault with `errorCode`. */
export const WALK_PAGE_FAULT = 1;
/** A second-level table has no mapping for guest-physical `faultGpa`: leaves the guest (EPT violation). */
export const WALK_NESTED_FAULT = 2;

/** The control registers that steer a walk. The CPU implements this. */
export interface PagingRegisters {
  cr0: number;
  cr3: number;
  cr4: number;
}

/** Finds translations. Results are in fields, so that a walk allocates nothing. */
export interface PageWalker {
  /**
   * Walks for linear address `lin` with ACCESS_* bits (WRITE, USER, FETCH). Returns a WALK_* code.
   * On WALK_OK: frame, flags and references are set. Otherwise errorCode, or faultGpa, and references.
   */
  walk(registers: PagingRegisters, lin: Lin, access: number): number;
  /** Machine frame of a frame that walk() found, or ABSENT. */
  machineFrame(frame: number): Mfn;
  /** A frame without machine frame is the page of a memory-mapped device; its number is then the guest frame's. */
  isDevice(frame: number): boolean;
  /** Guest memory whose two-level tables a walk is nothing but a walk of; compiled code can then make it by itself. */
  readonly plainMap?: PhysMap;
  readonly frame: number;
  /** TLB_* rights and attributes, valid for a page of 4 KiB, or of 4 MiB when TLB_LARGE is set. */
  readonly flags: number;
  /** Page-table entries read by the last walk. */
  readonly references: number;
  readonly errorCode: number;
  readonly faultGpa: number;
}

/**
 * Whether the combined (ANDed) bits of the directory and table entry allow an access.
 * Supervisor writes ignore the writable bit unless CR0.WP is set (SDM vol 3, 4.6.1).
 */
export function permits(entryBits: number, access: number, cr0: number): boolean {
  if ((access & ACCESS_USER) !== 0 && (entryBits & PTE_USER) === 0) return false;
  if ((access & ACCESS_WRITE) === 0) return true;
  if ((entryBits & PTE_WRITABLE) !== 0) return true;
  return (access & ACCESS_USER) === 0 && (cr0 & CR0_WP) === 0;
}

/** TLB flags for combined entry bits: who may do what, under the present CR0.WP. */
export function tlbFlags(combined: number, leaf: number, cr0: number, cr4: number): number {
  let flags = (cr0 & CR0_WP) === 0 ? TLB_KERNEL_WRITABLE : 0;
  if ((combined & PTE_WRITABLE) !== 0) flags |= TLB_WRITABLE | TLB_KERNEL_WRITABLE;
  if ((combined & PTE_USER) !== 0) flags |= TLB_USER;
  if ((leaf & PTE_DIRTY) !== 0) flags |= TLB_DIRTY;
  if ((leaf & PTE_GLOBAL) !== 0 && (cr4 & CR4_PGE) !== 0) flags |= TLB_GLOBAL;
  return flags;
}

/** Whether the rights of a TLB entry allow an access; a write needs a dirty entry too, so that the walk marks the page. */
export function tlbAllows(flags: number, access: number): boolean {
  if ((access & ACCESS_USER) !== 0) {
    if ((flags & TLB_USER) === 0) return false;
    return (access & ACCESS_WRITE) === 0 || (flags & (TLB_WRITABLE | TLB_DIRTY)) === (TLB_WRITABLE | TLB_DIRTY);
  }
  return (
    (access & ACCESS_WRITE) === 0 || (flags & (TLB_KERNEL_WRITABLE | TLB_DIRTY)) === (TLB_KERNEL_WRITABLE | TLB_DIRTY)
  );
}

/** Walks the guest's own tables in guest-physical memory: the bare machine. */
export class GuestWalker implements PageWalker {
  frame = 0;
  flags = 0;
  references = 0;
  errorCode = 0;
  readonly faultGpa = 0;
  private readonly physmap: PhysMap;

  constructor(physmap: PhysMap) {
    this.physmap = physmap;
  }

  get plainMap(): PhysMap {
    return this.physmap;
  }

  machineFrame(frame: number): Mfn {
    return this.physmap.lookup(frame);
  }

  isDevice(frame: number): boolean {
    return this.physmap.deviceFrames.has(frame);
  }

  /** How many entries a walk to an address that is mapped reads. Leaves no trace. */
  levelsAt(registers: PagingRegisters, lin: Lin): number {
    if ((registers.cr0 & CR0_PG) === 0) return 0;
    const pde = this.physmap.read32((registers.cr3 & ~0xfff) | ((lin >>> 20) & 0xffc));
    return (pde & PDE_LARGE) !== 0 && (registers.cr4 & CR4_PSE) !== 0 ? 1 : 2;
  }

  walk(registers: PagingRegisters, lin: Lin, access: number): number {
    this.references = 0;
    if ((registers.cr0 & CR0_PG) === 0) {
      this.frame = lin >>> PAGE_SHIFT;
      this.flags = TLB_WRITABLE | TLB_KERNEL_WRITABLE | TLB_USER | TLB_DIRTY;
      return WALK_OK;
    }
    const physmap = this.physmap;
    const pdeAt = (registers.cr3 & ~0xfff) | ((lin >>> 20) & 0xffc);
    const pde = physmap.read32(pdeAt);
    this.references = 1;
    if ((pde & PTE_PRESENT) === 0) return this.fault(access);

    if ((pde & PDE_LARGE) !== 0 && (registers.cr4 & CR4_PSE) !== 0) {
      if ((pde & PDE_LARGE_RESERVED) !== 0) return this.fault(access | ACCESS_PRESENT | ACCESS_RESERVED);
      if (!permits(pde, access, registers.cr0)) return this.fault(access | ACCESS_PRESENT);
      const marked = pde | PTE_ACCESSED | ((access & ACCESS_WRITE) !== 0 ? PTE_DIRTY : 0);
      if (marked !== pde) physmap.write32(pdeAt, marked);
      this.frame = ((pde >>> 22) << 10) | ((lin >>> PAGE_SHIFT) & 0x3ff);
      this.flags = tlbFlags(pde, marked, registers.cr0, registers.cr4) | TLB_LARGE;
      return WALK_OK;
    }

    const pteAt = (pde & ~0xfff) | ((lin >>> 10) & 0xffc);
    const pte = physmap.read32(pteAt);
    this.references = 2;
    if ((pte & PTE_PRESENT) === 0) return this.fault(access);
    if (!permits(pde & pte, access, registers.cr0)) return this.fault(access | ACCESS_PRESENT);
    if ((pde & PTE_ACCESSED) === 0) physmap.write32(pdeAt, pde | PTE_ACCESSED);
    const marked = pte | PTE_ACCESSED | ((access & ACCESS_WRITE) !== 0 ? PTE_DIRTY : 0);
    if (marked !== pte) physmap.write32(pteAt, marked);
    this.frame = pte >>> PAGE_SHIFT;
    this.flags = tlbFlags(pde & pte, marked, registers.cr0, registers.cr4);
    return WALK_OK;
  }

  private fault(bits: number): number {
    // The instruction-fetch bit is reported only with execute-disable, which 32-bit two-level paging lacks (SDM 4.7).
    this.errorCode = bits & ~ACCESS_FETCH;
    return WALK_PAGE_FAULT;
  }
}

/**
 * Direct paging: the MMU walks the guest's own tables, which hold machine frame numbers and which only the VMM writes.
 * Invariant: every table that can be reached was validated (paravirtual/frame-types.ts), so a walk needs no check.
 * Source: Barham et al., SOSP 2003, 3.3.3; SDM vol 3, 4.3 (two levels, 4 KiB pages only).
 */
import type { Lin, Mfn } from '../../core/units.ts';
import { FRAME_CODE, type MachineMemory } from '../../machine/memory.ts';
import {
  ACCESS_FETCH,
  ACCESS_PRESENT,
  ACCESS_WRITE,
  type PageWalker,
  type PagingRegisters,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  permits,
  tlbFlags,
  WALK_OK,
  WALK_PAGE_FAULT,
} from '../../machine/paging.ts';

export class DirectWalker implements PageWalker {
  frame = 0;
  flags = 0;
  references = 0;
  errorCode = 0;
  readonly faultGpa = 0;
  private readonly memory: MachineMemory;

  constructor(memory: MachineMemory) {
    this.memory = memory;
  }

  machineFrame(frame: number): Mfn {
    return frame;
  }

  isDevice(): boolean {
    return false;
  }

  walk(registers: PagingRegisters, lin: Lin, access: number): number {
    const { words32 } = this.memory;
    const pdeAt = ((registers.cr3 & ~0xfff) >>> 2) | (lin >>> 22);
    const pde = words32[pdeAt]!;
    this.references = 1;
    if ((pde & PTE_PRESENT) === 0) return this.fault(access);
    const pteAt = ((pde & ~0xfff) >>> 2) | ((lin >>> 12) & 0x3ff);
    const pte = words32[pteAt]!;
    this.references = 2;
    if ((pte & PTE_PRESENT) === 0) return this.fault(access);
    if (!permits(pde & pte, access, registers.cr0)) return this.fault(access | ACCESS_PRESENT);
    this.mark(pdeAt, pde, pde | PTE_ACCESSED);
    const marked = pte | PTE_ACCESSED | ((access & ACCESS_WRITE) !== 0 ? PTE_DIRTY : 0);
    this.mark(pteAt, pte, marked);
    this.frame = pte >>> 12;
    this.flags = tlbFlags(pde & pte, marked, registers.cr0, registers.cr4);
    return WALK_OK;
  }

  /** Sets the accessed and dirty bits of an entry. Its frame may hold code: a kernel may execute its page tables. */
  mark(at: number, entry: number, marked: number): void {
    if (entry === marked) return;
    const { memory } = this;
    if ((memory.frameFlags[at >>> 10]! & FRAME_CODE) !== 0) memory.onCodeWrite?.(at >>> 10, (at << 2) & 0xfff, 4);
    memory.words32[at] = marked;
  }

  private fault(bits: number): number {
    this.errorCode = bits & ~ACCESS_FETCH;
    return WALK_PAGE_FAULT;
  }
}

/**
 * What the real CPU uses while a paravirtual guest runs: GDT, IDT and TSS, in the 4 MiB at the top that belong to the
 * VMM. Paging keeps ring 3 out of there, the limit of every segment keeps ring 1 out.
 * Invariants: the GDT holds flat segments of ring 1 and ring 3 that end below the VMM, nothing else; the IDT has present
 * gates only for what ring 3 may enter without the VMM (the guest's system calls); all other vectors stop at the VMM.
 * Source: Barham et al., SOSP 2003, 3.1 (segments, fast handlers) and 3.3.1; SDM vol 3, 3.4.5, 6.11, 7.2.1.
 */
import { UserError } from '../../core/errors.ts';
import { type Mfn, PAGE_BYTES } from '../../core/units.ts';
import type { Cpu } from '../../machine/cpu.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import { PTE_PRESENT, PTE_WRITABLE } from '../../machine/paging.ts';
import { SEG_LDTR, SEG_TR, setNull, setSegment } from '../../machine/segments.ts';
import { SEL_KERNEL_CODE, SEL_KERNEL_DATA, SEL_USER_CODE, SEL_USER_DATA, VECTOR_HYPERCALL } from './abi.ts';

/** First linear address of the VMM. */
export const VMM_BASE = 0xffc00000;
export const LINEAR_LIMIT = VMM_BASE - 1;

const [GDT_PAGE, IDT_PAGE, TSS_PAGE, PAGES] = [0, 1, 2, 3];
const TSS_SELECTOR = 0x28;
const GDT_ENTRIES = 6;
const TSS_LIMIT = 103;
const TSS_IO_MAP = 102;

/** Halves of a flat segment of 4 KiB units that ends below VMM_BASE; accessed, so that the CPU never writes here. */
const FLAT_LOW = (VMM_BASE >>> 12) - 1;
const flatHigh = (access: number): number => 0x00c0_0000 | ((FLAT_LOW >>> 16) << 16) | (access << 8);
const CODE = 0x9b;
const DATA = 0x93;
const GATE_INTERRUPT32 = 0x0e00;
const PRESENT = 0x8000;

export class HostTables {
  /** Entry for the last slot of each of the guest's L2 tables. */
  readonly entry: number;
  private readonly memory: MachineMemory;
  private readonly pages: readonly Mfn[];

  /** @throws UserError when the machine has no frames left */
  constructor(memory: MachineMemory, owner: number, vmName: string) {
    const take = (): Mfn => {
      const mfn = memory.allocateFrame(owner);
      if (mfn < 0) throw new UserError(`VM ${vmName}: no machine frame left for the VMM's tables`);
      return mfn;
    };
    this.memory = memory;
    const table = take();
    this.pages = Array.from({ length: PAGES! }, take);
    this.pages.forEach((mfn, page) => {
      memory.words32[table * 1024 + page] = (mfn << 12) | PTE_PRESENT | PTE_WRITABLE;
    });
    this.entry = (table << 12) | PTE_PRESENT | PTE_WRITABLE;
    this.setDescriptor(SEL_KERNEL_CODE, flatHigh(CODE | 0x20));
    this.setDescriptor(SEL_KERNEL_DATA, flatHigh(DATA | 0x20));
    this.setDescriptor(SEL_USER_CODE, flatHigh(CODE | 0x60));
    this.setDescriptor(SEL_USER_DATA, flatHigh(DATA | 0x60));
    // Kernels may call the VMM, user programs may not. Not present: the CPU stops there, as at a gate to ring 0.
    this.setGate(VECTOR_HYPERCALL, 0, 1, false);
    // No I/O bit map: every port is refused.
    memory.words16[(this.pages[TSS_PAGE!]! * PAGE_BYTES + TSS_IO_MAP) >> 1] = 0xffff;
  }

  /** Points the CPU's descriptor-table and task registers here, and its segments at the guest kernel's. */
  loadInto(cpu: Cpu): void {
    cpu.gdtBase = (VMM_BASE + GDT_PAGE! * PAGE_BYTES) | 0;
    cpu.gdtLimit = GDT_ENTRIES * 8 - 1;
    cpu.idtBase = (VMM_BASE + IDT_PAGE! * PAGE_BYTES) | 0;
    cpu.idtLimit = 0x7ff;
    const base = VMM_BASE + TSS_PAGE! * PAGE_BYTES;
    const high = (base & 0xff000000) | ((base >>> 16) & 0xff) | 0x8b00;
    setSegment(cpu, SEG_TR, TSS_SELECTOR, ((base & 0xffff) << 16) | TSS_LIMIT, high);
    setNull(cpu, SEG_LDTR, 0);
    this.loadKernelSegments(cpu);
    for (const seg of [0, 3, 4, 5])
      setSegment(cpu, seg, SEL_KERNEL_DATA & ~3, FLAT_LOW & 0xffff, flatHigh(DATA | 0x20));
  }

  /** CS and SS of the guest kernel; the caller sets the ring. */
  loadKernelSegments(cpu: Cpu): void {
    setSegment(cpu, 1, SEL_KERNEL_CODE, FLAT_LOW & 0xffff, flatHigh(CODE | 0x20));
    setSegment(cpu, 2, SEL_KERNEL_DATA, FLAT_LOW & 0xffff, flatHigh(DATA | 0x20));
  }

  /** Stack that the CPU takes when ring 3 enters the guest kernel. */
  setKernelStack(selector: number, esp: number): void {
    const at = this.pages[TSS_PAGE!]! * 1024;
    this.memory.words32[at + 3] = esp;
    this.memory.words32[at + 4] = selector;
  }

  /** A gate to the guest kernel. `present`: the CPU goes there by itself; otherwise it stops at the VMM. */
  setGate(vector: number, address: number, dpl: number, present: boolean): void {
    const at = this.pages[IDT_PAGE!]! * 1024 + vector * 2;
    this.memory.words32[at] = (SEL_KERNEL_CODE << 16) | (address & 0xffff);
    this.memory.words32[at + 1] =
      (address & 0xffff0000) | GATE_INTERRUPT32 | 0x100 | (dpl << 13) | (present ? PRESENT : 0);
  }

  private setDescriptor(selector: number, high: number): void {
    const at = this.pages[GDT_PAGE!]! * 1024 + (selector >> 3) * 2;
    this.memory.words32[at] = FLAT_LOW & 0xffff;
    this.memory.words32[at + 1] = high;
  }
}

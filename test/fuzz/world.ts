/**
 * The machine in which random programs run: one CPU with paging on, a kernel that answers every exception and
 * interrupt by going on somewhere, and memory of every kind that an access can meet.
 * Two of them are built alike, one with a compiler (twin.ts).
 * Invariant: everything that a program can observe is a function of the program and of the calls made on the world.
 */
import { CodeCache } from '../../src/machine/code-cache.ts';
import { COMPILER_TABLE_BYTES, Compiler } from '../../src/machine/compiler/compiler.ts';

import { COST_CLASSES, type CpuTiming, type InstructionCosts } from '../../src/machine/costs.ts';
import { Cpu } from '../../src/machine/cpu.ts';
import { CPU_BLOCK_BYTES } from '../../src/machine/cpu-core.ts';
import { FRAME_TRACED, MachineMemory } from '../../src/machine/memory.ts';
import { Mmu, mmuTableBytes } from '../../src/machine/mmu.ts';
import {
  CR0_AM,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_PGE,
  CR4_PSE,
  GuestWalker,
  PDE_LARGE,
  PTE_GLOBAL,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITABLE,
} from '../../src/machine/paging.ts';
import { PhysMap } from '../../src/machine/physmap.ts';
import { SEG_TR, setSegment } from '../../src/machine/segments.ts';

const FRAMES = 64;

// Linear addresses. Everything is below 4 MiB but the large page.
/** Data pages for 16-bit addressing: the same frames as DATA_AT. */
export const LOW_AT = 0x8000;
export const DATA_AT = 0x0010_0000;
/** Pages that may be written; then one to read, one of the kernel, one that is absent. */
export const DATA_RW_PAGES = 5;
export const DATA_PAGES = 8;
/** The same frames again. */
export const DATA_ALIAS = 0x0018_0000;
export const CODE_AT = 0x0020_0000;
const CODE_PAGES = 4;
export const CODE_BYTES = CODE_PAGES * 4096;
/** The same frames again, to write or to execute. */
export const CODE_ALIAS = 0x0024_0000;
export const STACK_AT = 0x0030_0000;
export const STACK_PAGES = 2;
export const STACK_MIDDLE = STACK_AT + 0x1000;
export const KERNEL_AT = 0x0038_0000;
/** Page tables, writable by the kernel: the page table of everything, then the two page directories. */
export const TABLES_AT = 0x003c_0000;
/** 4 MiB that begin at physical 0; most of it is not there. */
export const LARGE_AT = 0x0080_0000;

// Guest frames.
const GFN_DIRECTORY = 0;
/** Another address space: the data pages in another order, and a page of code twice. */
const GFN_DIRECTORY2 = 1;
/** Two page tables. */
const GFN_TABLE = 2;
const GFN_DATA = 4;
const GFN_CODE = 16;
const GFN_CODE_COPY = 20;
const GFN_STACK = 24;
const GFN_KERNEL = 28;
export const DIRECTORIES = [GFN_DIRECTORY << 12, GFN_DIRECTORY2 << 12] as const;

// The kernel's pages: code and variables; tables; stack.
const HANDLERS_AT = KERNEL_AT;
const COUNTERS_AT = KERNEL_AT + 0x800;
const GDT_AT = KERNEL_AT + 0x1000;
const TSS_AT = KERNEL_AT + 0x1400;
const IDT_AT = KERNEL_AT + 0x1800;
const KERNEL_STACK = KERNEL_AT + 0x3000;
const KERNEL_PAGES = 3;

/** Selectors of flat code and data by ring 0, 1, 3. */
export const SEL_CODE: Readonly<Record<number, number>> = { 0: 0x08, 1: 0x31, 3: 0x1b };
export const SEL_DATA: Readonly<Record<number, number>> = { 0: 0x10, 1: 0x39, 3: 0x23 };
const SEL_TSS = 0x28;
/** Data segments that are not flat: based, limited, read-only; null. All of ring 3. */
export const SEL_ODD = [0x4b, 0x4b, 0x43, 0x5b, 0] as const;
export const SEL_ABSENT = 0x63;
export const SEL_CODE16 = 0x53;

const GATE_INTERRUPT = 0x8e00;
const GATE_TRAP = 0x8f00;
const GATE_USER = 0x6000;

export const VECTOR_TICK = 0x20;
/** Interrupt whose handler goes on at the program's landing. */
export const VECTOR_KICK = 0x21;
export const VECTOR_CALL = 0x80;
/** Its handler calls the program's first block in ring 0. */
export const VECTOR_INNER = 0x81;
const VECTORS_WITH_ERROR = [8, 10, 11, 12, 13, 14, 17];

const COSTS = Object.fromEntries(
  COST_CLASSES.map((name, n) => [name, 1 + ((n * 7) % 5)]),
) as unknown as InstructionCosts;
const TIMING: CpuTiming = {
  instructions: COSTS,
  walkReferenceCycles: 3,
  itlb: { small: { sets: 2, ways: 2 }, large: { sets: 1, ways: 2 } },
  dtlb: { small: { sets: 4, ways: 2 }, large: { sets: 1, ways: 2 } },
};

const word = (value: number): number[] => [value, value >> 8, value >> 16, value >> 24].map((b) => b & 0xff);

/** What a program wants of its world. */
export interface WorldOptions {
  /** Ring that the program runs in. */
  readonly ring: number;
  /** A VMM keeps the topmost 4 MiB of the linear address space for itself. */
  readonly truncated: boolean;
  /** CR0.AM is set: ring 3 can ask for alignment checks. */
  readonly alignment: boolean;
  /** Exceptions by number that leave run(). */
  readonly intercepts: number;
  /** Where a handler goes on. */
  readonly landing: number;
  readonly compiled: boolean;
  /** Units that the compiler keeps at most. */
  readonly unitsMax?: number;
}

export class World {
  readonly memory: MachineMemory;
  readonly physmap: PhysMap;
  readonly codeCache: CodeCache;
  /** Two physical CPUs; the CPU runs on the first unless moved. */
  readonly mmus: readonly Mmu[];
  readonly walker: GuestWalker;
  readonly cpu: Cpu;
  private readonly options: WorldOptions;

  constructor(options: WorldOptions) {
    this.options = options;
    const tables = 2 * mmuTableBytes(TIMING) + CPU_BLOCK_BYTES + COMPILER_TABLE_BYTES;
    this.memory = new MachineMemory(FRAMES, Math.ceil(tables / 4096) + 1, 1);
    this.physmap = new PhysMap(this.memory, FRAMES);
    for (let gfn = FRAMES - 1; gfn >= 0; gfn--) this.physmap.mfnOf[gfn] = this.memory.allocateFrame(0);
    this.codeCache = new CodeCache(this.memory, TIMING);
    if (options.compiled) new Compiler(this.memory, this.codeCache, options.unitsMax);
    this.walker = new GuestWalker(this.physmap);
    this.mmus = [0, 1].map(() => new Mmu(this.memory, TIMING, this.walker, this.codeCache));
    this.cpu = new Cpu(this.memory, this.mmus[0]!, this.codeCache);
    this.writePageTables();
    this.writeKernel();
    this.fillData();
    this.startCpu();
  }

  // ------------------------------------------------------------------ memory

  private writePageTables(): void {
    const user = PTE_PRESENT | PTE_WRITABLE | PTE_USER;
    for (const [n, directory] of DIRECTORIES.entries()) {
      const table = (GFN_TABLE + n) << 12;
      this.physmap.write32(directory, table | user);
      this.physmap.write32(directory + ((LARGE_AT >>> 22) << 2), PDE_LARGE | user);
      const map = (lin: number, gfn: number, bits: number): void =>
        this.physmap.write32(table + ((lin >>> 10) & 0xffc), (gfn << 12) | bits);
      for (let p = 0; p < DATA_PAGES; p++) {
        const gfn = GFN_DATA + (n === 1 && p < DATA_RW_PAGES ? DATA_RW_PAGES - 1 - p : p);
        const kind = [user, PTE_PRESENT | PTE_USER, PTE_PRESENT | PTE_WRITABLE, 0][Math.max(0, p - DATA_RW_PAGES + 1)]!;
        map(DATA_AT + p * 4096, gfn, kind);
        map(DATA_ALIAS + p * 4096, gfn, kind);
        if (p < DATA_RW_PAGES) map(LOW_AT + p * 4096, gfn, kind);
      }
      for (let p = 0; p < CODE_PAGES; p++) {
        // Page 2 can be written through its alias only. The other address space has copies of pages 0 and 1, and
        // other code in page 3.
        const gfn = n === 0 || p === 2 ? GFN_CODE + p : p === 3 ? GFN_CODE + 1 : GFN_CODE_COPY + p;
        map(CODE_AT + p * 4096, gfn, p === 2 ? PTE_PRESENT | PTE_USER : user);
        map(CODE_ALIAS + p * 4096, GFN_CODE + p, user);
      }
      for (let p = 0; p < STACK_PAGES; p++) map(STACK_AT + p * 4096, GFN_STACK + p, user);
      for (let p = 0; p < KERNEL_PAGES; p++) {
        map(KERNEL_AT + p * 4096, GFN_KERNEL + p, PTE_PRESENT | PTE_WRITABLE | PTE_GLOBAL);
      }
      for (let p = 0; p < 4; p++) map(TABLES_AT + p * 4096, GFN_TABLE + ((p + 2) % 4) - 2, PTE_PRESENT | PTE_WRITABLE);
    }
  }

  private fillData(): void {
    let x = 0x2545f491;
    for (let at = GFN_DATA << 12; at < (GFN_DATA + DATA_PAGES) << 12; at += 4) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      // Small values, pointers to data and anything at all.
      this.physmap.write32(at, x % 4 === 0 ? x & 0x1f : x % 4 === 1 ? DATA_AT + (x & 0x3ffc) : x);
    }
  }

  private poke(lin: number, bytes: readonly number[]): void {
    this.physmap.write((GFN_KERNEL << 12) + (lin - KERNEL_AT), Uint8Array.from(bytes));
  }

  /** Machine code of the handlers, one after the other; the gates point at them. */
  private writeKernel(): void {
    const { landing } = this.options;
    let at = HANDLERS_AT;
    const emit = (bytes: readonly number[]): number => {
      const start = at;
      this.poke(at, bytes);
      at += bytes.length;
      return start;
    };
    const count = (n: number): number[] => [0xff, 0x05, ...word(COUNTERS_AT + 4 * n)]; // inc dword [..]
    const land = [0xc7, 0x04, 0x24, ...word(landing)]; // mov dword [esp], landing
    const iret = [0xcf];
    const plain = emit([...count(0), ...land, ...iret]);
    const withError = emit([0x83, 0xc4, 4, ...count(1), ...land, ...iret]);
    const back = emit([...count(2), ...iret]);
    const tick = emit([...count(3), ...iret]);
    const call = emit([...count(4), 0x40, ...iret]); // inc eax
    const inner = emit([0xff, 0x15, ...word(CODE_AT), ...iret]); // call [..]
    // Every eighth debug trap switches TF off.
    const testByte = [0xf6, 0x05, ...word(COUNTERS_AT + 20), 7]; // test byte [..], 7
    const clearTf = [0x81, 0x64, 0x24, 8, ...word(~0x100)]; // and dword [esp+8], ~TF
    const debug = emit([...count(5), ...testByte, 0x75, clearTf.length, ...clearTf, ...iret]); // jne
    const gates = (vector: number): [number, number] => {
      if (vector === 1) return [debug, GATE_INTERRUPT];
      if (vector === 3 || vector === 4) return [back, GATE_TRAP | GATE_USER];
      if (vector === VECTOR_TICK) return [tick, GATE_INTERRUPT];
      if (vector === VECTOR_CALL) return [call, GATE_TRAP | GATE_USER];
      if (vector === VECTOR_INNER) return [inner, GATE_TRAP | GATE_USER];
      return VECTORS_WITH_ERROR.includes(vector) ? [withError, GATE_TRAP] : [plain, GATE_INTERRUPT];
    };
    for (let vector = 0; vector < 256; vector++) {
      const [handler, kind] = gates(vector);
      this.poke(IDT_AT + vector * 8, [
        ...word((SEL_CODE[0]! << 16) | (handler & 0xffff)),
        ...word((handler & 0xffff0000) | kind),
      ]);
    }
    const limit = this.options.truncated ? 0x000f_fbff : 0x000f_ffff;
    const segment = (base: number, pages: number, access: number): number[] => [
      ...word(((base & 0xffff) << 16) | (pages & 0xffff)),
      ...word((base & 0xff000000) | ((base >>> 16) & 0xff) | (pages & 0xf0000) | (access << 8)),
    ];
    const flat = (access: number): number[] => segment(0, limit, 0xc000 | access);
    this.poke(GDT_AT, [
      ...word(0),
      ...word(0),
      ...flat(0x9b),
      ...flat(0x93),
      ...flat(0xfb),
      ...flat(0xf3),
      ...segment(TSS_AT, 103, 0x008b),
      ...flat(0xbb),
      ...flat(0xb3),
      ...segment(DATA_AT, 0x1fff, 0x40f3),
      ...segment(DATA_AT, limit, 0xc0f2),
      ...segment(0, 0xffff, 0x80fb),
      ...flat(0xf1),
      ...flat(0x73),
    ]);
    this.poke(TSS_AT + 4, word(KERNEL_STACK));
    this.poke(TSS_AT + 8, word(SEL_DATA[0]!));
    this.poke(TSS_AT + 12, word(KERNEL_STACK - 0x400));
    this.poke(TSS_AT + 100, word(104 << 16));
  }

  /** Puts machine code there, and into the copies of its pages. */
  loadCode(lin: number, bytes: Uint8Array): void {
    this.writeCode(lin, bytes, GFN_CODE);
    this.writeCode(lin, bytes, GFN_CODE_COPY);
  }

  /** Writes machine code to the code pages at `gfn`, as a device does. */
  writeCode(lin: number, bytes: Uint8Array, gfn = GFN_CODE): void {
    bytes.forEach((byte, n) => {
      const at = lin - CODE_AT + n;
      const mfn = this.physmap.lookup(gfn + (at >> 12));
      this.codeCache.written(mfn, at & 0xfff, 1);
      this.memory.bytes[mfn * 4096 + (at & 0xfff)] = byte;
    });
  }

  /** Traces writes to a data page, or does not. */
  toggleTrace(page: number): void {
    this.memory.frameFlags[this.physmap.lookup(GFN_DATA + page)]! ^= FRAME_TRACED;
    for (const mmu of this.mmus) mmu.clearFront();
  }

  // ------------------------------------------------------------------ CPU

  private startCpu(): void {
    const { cpu } = this;
    const { ring, landing } = this.options;
    const peek = (lin: number): number => this.physmap.read32((GFN_KERNEL << 12) + (lin - KERNEL_AT));
    cpu.cr0 |= CR0_PE | CR0_PG | CR0_WP | (this.options.alignment ? CR0_AM : 0);
    cpu.cr4 = CR4_PSE | CR4_PGE;
    cpu.cr3 = DIRECTORIES[0];
    [cpu.gdtBase, cpu.gdtLimit, cpu.idtBase, cpu.idtLimit] = [GDT_AT, 13 * 8 - 1, IDT_AT, 0x7ff];
    if (this.options.truncated) cpu.linearLimit = 0xffbfffff;
    cpu.setCpl(ring);
    for (let seg = 0; seg < 6; seg++) {
      const selector = (seg === 1 ? SEL_CODE : SEL_DATA)[ring]!;
      setSegment(cpu, seg, selector, peek(GDT_AT + (selector & ~7)), peek(GDT_AT + (selector & ~7) + 4));
    }
    setSegment(cpu, SEG_TR, SEL_TSS, peek(GDT_AT + SEL_TSS), peek(GDT_AT + SEL_TSS + 4));
    cpu.regs[4] = STACK_MIDDLE;
    cpu.eip = landing;
    cpu.setEflags(0x202, -1);
    cpu.interceptExceptions = this.options.intercepts;
  }
}

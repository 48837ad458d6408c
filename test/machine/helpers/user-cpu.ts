/**
 * The emulated counterpart of the oracle's harness: one CPU in ring 3 behind guest page tables, with the segments and
 * the memory of ../../oracle/layout.ts and a kernel of one HLT per exception vector.
 * Exceptions are delivered through the IDT for real; what the frame on the ring-0 stack says is the outcome.
 * Invariant: between cases the data area holds its image, the code area HLT, and the kernel its tables.
 */
import { assert } from '../../../src/core/errors.ts';
import { CodeCache } from '../../../src/machine/code-cache.ts';
import { COMPILER_TABLE_BYTES, Compiler } from '../../../src/machine/compiler/compiler.ts';
import { COST_CLASSES, type CpuTiming, type InstructionCosts } from '../../../src/machine/costs.ts';
import { Cpu } from '../../../src/machine/cpu.ts';
import { CPU_BLOCK_BYTES } from '../../../src/machine/cpu-core.ts';
import {
  EXIT_BUDGET,
  EXIT_EXCEPTION,
  EXIT_HALT,
  NO_ERROR_CODE,
  VECTOR_PF,
  VECTOR_XM,
} from '../../../src/machine/exits.ts';
import { MachineMemory } from '../../../src/machine/memory.ts';
import { Mmu, mmuTableBytes } from '../../../src/machine/mmu.ts';
import {
  CR0_AM,
  CR0_MP,
  CR0_NE,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_OSFXSR,
  CR4_OSXMMEXCPT,
  GuestWalker,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITABLE,
} from '../../../src/machine/paging.ts';
import { PhysMap } from '../../../src/machine/physmap.ts';
import { SEG_LDTR, SEG_TR, setNull, setSegment } from '../../../src/machine/segments.ts';
import {
  type Case,
  CODE_AT,
  CODE_BYTES,
  DATA_AT,
  DATA_BYTES,
  DATA_RW_BYTES,
  dataImage,
  descriptorOf,
  FLAGS_ALWAYS,
  FLAGS_COMPARED,
  GDT,
  GDT_ENTRIES,
  HLT,
  LDT,
  type Outcome,
  type Patch,
  VECTOR_TIMEOUT,
} from '../../oracle/layout.ts';
import { Coverage } from './coverage.ts';

const FRAMES = 16;
const PAGE_DIRECTORY = 0x0000;
const TABLE_DATA = 0x1000;
const TABLE_CODE = 0x2000;
const TABLE_KERNEL = 0x3000;
const FRAME_DATA = 4;
const FRAME_CODE = 7;
const FRAME_KERNEL = 9;

export const CODE_ALIAS = CODE_AT + 0x0010_0000;
const KERNEL_AT = 0xc000_0000 | 0;
const HANDLERS = KERNEL_AT;
const GDT_AT = KERNEL_AT + 0x1000;
const LDT_AT = GDT_AT + 0x200;
const TSS_AT = GDT_AT + 0x400;
const IDT_AT = KERNEL_AT + 0x2000;
const STACK_TOP = KERNEL_AT + 0x4000;
const KERNEL_PAGES = 4;

const SEL_KERNEL_CODE = 0x08;
const SEL_KERNEL_DATA = 0x18;
const SEL_TSS = 0x40;
const SEL_LDT = 0x50;
const TSS_LIMIT = 103;

const VECTORS_WITH_ERROR = [8, 10, 11, 12, 13, 14, 17];
const CASE_CYCLES_MAX = 1_000_000;

const FLAT_COSTS = Object.fromEntries(COST_CLASSES.map((name) => [name, 1])) as unknown as InstructionCosts;
export const FLAT_TIMING: CpuTiming = {
  instructions: FLAT_COSTS,
  walkReferenceCycles: 1,
  itlb: { small: { sets: 4, ways: 4 }, large: { sets: 1, ways: 4 } },
  dtlb: { small: { sets: 4, ways: 4 }, large: { sets: 1, ways: 4 } },
};
const TABLE_FRAMES = Math.ceil((mmuTableBytes(FLAT_TIMING) + CPU_BLOCK_BYTES + COMPILER_TABLE_BYTES) / 4096);

export interface UserCpuOptions {
  /** Without it every access takes the slow path. */
  readonly front?: boolean;
  /** Exceptions leave run() instead of being delivered, as they do under a VMM. Software interrupts are delivered. */
  readonly intercepts?: boolean;
  /** The code area may be written, and appears at CODE_ALIAS as well. */
  readonly writableCode?: boolean;
  /** There is a compiler: runCompiled() works. */
  readonly compiler?: boolean;
}

export class UserCpu {
  readonly cpu: Cpu;
  readonly mmu: Mmu;
  readonly memory = new MachineMemory(FRAMES, TABLE_FRAMES, 1);
  readonly physmap = new PhysMap(this.memory, FRAMES);
  /** Instructions retired by the last case, without the HLT of the kernel. */
  retired = 0;
  /** Cycles consumed by the last case. */
  cycles = 0;
  private readonly coverage: Coverage | null = null;
  private readonly codeCache = new CodeCache(this.memory, FLAT_TIMING);
  private readonly pristine = dataImage();
  /** What the data area holds before the case at hand runs: the image and the patches. */
  private readonly image = dataImage();
  private readonly image32 = new Int32Array(this.image.buffer);
  private readonly dataAt: number;
  private readonly codeAt: number;

  constructor(options: UserCpuOptions = {}) {
    // Backed in descending order, so that guest frames and machine frames never agree.
    for (let gfn = FRAMES - 1; gfn >= 0; gfn--) this.physmap.mfnOf[gfn] = this.memory.allocateFrame(0);
    // The harness reads words of two pages as one array: keep data frames adjacent, and code frames as well.
    this.makeAdjacent(FRAME_DATA, DATA_BYTES >> 12);
    this.makeAdjacent(FRAME_CODE, CODE_BYTES >> 12);
    this.dataAt = this.physmap.lookup(FRAME_DATA) * 4096;
    this.codeAt = this.physmap.lookup(FRAME_CODE) * 4096;
    const walker = new GuestWalker(this.physmap);
    this.mmu = new Mmu(this.memory, FLAT_TIMING, walker, this.codeCache, options.front === false ? 1 : undefined);
    this.cpu = new Cpu(this.memory, this.mmu, this.codeCache);
    this.writePageTables(options.writableCode === true);
    this.writeKernel();
    this.memory.bytes.set(this.image, this.dataAt);
    this.memory.bytes.fill(HLT, this.codeAt, this.codeAt + CODE_BYTES);
    this.cpu.cr0 |= CR0_PE | CR0_PG | CR0_WP | CR0_AM | CR0_MP | CR0_NE;
    this.cpu.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    this.cpu.cr3 = PAGE_DIRECTORY;
    if (options.intercepts === true) this.cpu.interceptExceptions = -1;
    if (options.compiler === true) {
      new Compiler(this.memory, this.codeCache);
      this.coverage = new Coverage(this.cpu);
    }
  }

  private makeAdjacent(firstGfn: number, count: number): void {
    const frames = Array.from(this.physmap.mfnOf.subarray(firstGfn, firstGfn + count)).sort((a, b) => a - b);
    this.physmap.mfnOf.set(frames, firstGfn);
    assert(frames[count - 1]! - frames[0]! === count - 1, 'frames are not adjacent');
  }

  private writePageTables(writableCode: boolean): void {
    const user = PTE_PRESENT | PTE_WRITABLE | PTE_USER;
    const map = (table: number, lin: number, gfn: number, bits: number): void => {
      this.physmap.write32(PAGE_DIRECTORY + ((lin >>> 22) << 2), table | user);
      this.physmap.write32(table + ((lin >>> 10) & 0xffc), (gfn << 12) | bits);
    };
    for (let n = 0; n < DATA_BYTES >> 12; n++) {
      const bits = n < DATA_RW_BYTES >> 12 ? user : PTE_PRESENT | PTE_USER;
      map(TABLE_DATA, DATA_AT + n * 4096, FRAME_DATA + n, bits);
    }
    for (let n = 0; n < CODE_BYTES >> 12; n++) {
      const bits = writableCode ? user : PTE_PRESENT | PTE_USER;
      map(TABLE_CODE, CODE_AT + n * 4096, FRAME_CODE + n, bits);
      if (writableCode) map(TABLE_CODE, CODE_ALIAS + n * 4096, FRAME_CODE + n, bits);
    }
    for (let n = 0; n < KERNEL_PAGES; n++) {
      map(TABLE_KERNEL, KERNEL_AT + n * 4096, FRAME_KERNEL + n, PTE_PRESENT | PTE_WRITABLE);
    }
  }

  private poke(lin: number, value: number): void {
    this.physmap.write32((FRAME_KERNEL << 12) + (lin - KERNEL_AT), value);
  }

  private peek(lin: number): number {
    return this.physmap.read32((FRAME_KERNEL << 12) + (lin - KERNEL_AT));
  }

  /** GDT, LDT, TSS and IDT; one HLT per vector as its handler. */
  private writeKernel(): void {
    const pair = (at: number, [low, high]: readonly [number, number]): void => {
      this.poke(at, low);
      this.poke(at + 4, high);
    };
    const system = (base: number, limit: number, type: number): readonly [number, number] => [
      ((base & 0xffff) << 16) | limit,
      (base & 0xff000000) | ((base >>> 16) & 0xff) | type,
    ];
    for (const [n, words] of GDT.entries()) pair(GDT_AT + n * 8, words);
    pair(GDT_AT + SEL_TSS, system(TSS_AT, TSS_LIMIT, 0x8b00));
    pair(GDT_AT + SEL_LDT, system(LDT_AT, LDT.length * 8 - 1, 0x8200));
    for (const [n, entry] of LDT.entries()) pair(LDT_AT + n * 8, descriptorOf(entry));
    this.poke(TSS_AT + 4, STACK_TOP);
    this.poke(TSS_AT + 8, SEL_KERNEL_DATA);
    // The I/O permission map begins behind the limit: no port is allowed.
    this.poke(TSS_AT + 100, (TSS_LIMIT + 1) << 16);
    for (let vector = 0; vector < 256; vector++) {
      const handler = HANDLERS + vector;
      const fromUser = vector === 3 || vector === 4 || vector === 0x80;
      const low = (SEL_KERNEL_CODE << 16) | (handler & 0xffff);
      pair(IDT_AT + vector * 8, [low, (handler & 0xffff0000) | (fromUser ? 0xee00 : 0x8e00)]);
    }
    for (let word = 0; word < 64; word++) this.poke(HANDLERS + word * 4, 0xf4f4f4f4);
    const { cpu } = this;
    [cpu.gdtBase, cpu.gdtLimit, cpu.idtBase, cpu.idtLimit] = [GDT_AT, GDT_ENTRIES * 8 - 1, IDT_AT, 0x7ff];
    setSegment(cpu, SEG_TR, SEL_TSS, this.peek(GDT_AT + SEL_TSS), this.peek(GDT_AT + SEL_TSS + 4));
    setSegment(cpu, SEG_LDTR, SEL_LDT, this.peek(GDT_AT + SEL_LDT), this.peek(GDT_AT + SEL_LDT + 4));
  }

  /** Writes guest memory from outside, the way a device does: decoded instructions are dropped. */
  private store(at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const mfn = (at + done) >> 12;
      const count = Math.min(bytes.length - done, 4096 - ((at + done) & 0xfff));
      this.codeCache.written(mfn, (at + done) & 0xfff, count);
      this.memory.bytes.set(bytes.subarray(done, done + count), at + done);
      done += count;
    }
  }

  /** Machine frame behind a linear address of the code area, for tests that decode without running. */
  codeFrame(lin: number): number {
    return (this.codeAt + lin - CODE_AT) >> 12;
  }

  /** How often compiled code was entered, and the instructions that it retired itself. */
  get compiledCases(): number {
    return this.coverage?.entries ?? 0;
  }
  get compiledInstructions(): number {
    return this.coverage?.instructions ?? 0;
  }

  /** Brings CPU and memory to the start of a case. */
  load(c: Case): void {
    this.store(this.codeAt + c.codeAt - CODE_AT, c.code);
    for (const patch of c.patches) {
      this.memory.bytes.set(patch.bytes, this.dataAt + patch.at - DATA_AT);
      this.image.set(patch.bytes, patch.at - DATA_AT);
    }
    this.loadRegisters(c);
  }

  private loadRegisters(c: Case): void {
    const { cpu } = this;
    cpu.setCpl(3);
    cpu.regs.set(c.regs);
    for (let seg = 0; seg < 6; seg++) {
      const selector = c.segments[seg]!;
      if ((selector & 0xfffc) === 0) setNull(cpu, seg, selector);
      else {
        const at = ((selector & 4) !== 0 ? LDT_AT : GDT_AT) + (selector & 0xfff8);
        setSegment(cpu, seg, selector, this.peek(at), this.peek(at + 4));
      }
    }
    cpu.eip = c.eip;
    cpu.cr2 = 0;
    cpu.setEflags(c.eflags | FLAGS_ALWAYS, -1);
  }

  /** Runs a case to its exception, `slice` cycles at a time. */
  run(c: Case, slice = CASE_CYCLES_MAX): Outcome {
    this.load(c);
    const outcome = this.finish(slice);
    this.unload(c);
    return outcome;
  }

  /**
   * Runs a case twice: by the interpreter, and then by code compiled from what the first run has decoded, if that can
   * be compiled. Both must retire the same instructions in the same time.
   */
  runCompiled(c: Case): Outcome {
    this.load(c);
    this.finish(CASE_CYCLES_MAX);
    const first = [this.retired, this.cycles];
    this.loadRegisters(c);
    this.forgive();
    this.codeCache.compiler!.request(this.cpu);
    const outcome = this.finish(CASE_CYCLES_MAX);
    this.unload(c);
    const text = `${first.join(' instructions, ')} cycles`;
    assert(text === `${this.retired} instructions, ${this.cycles} cycles`, `the interpreter took ${text}`);
    return outcome;
  }

  /** Lets pages be compiled however often the cases before have changed them. */
  private forgive(): void {
    for (let at = this.codeAt; at < this.codeAt + CODE_BYTES; at += 4096) {
      const { compiled } = this.codeCache.page(at >> 12, true);
      compiled.kills = 0;
      compiled.banned = false;
    }
  }

  private finish(slice: number): Outcome {
    const { cpu } = this;
    const before = cpu.instructions;
    const start = cpu.cycles;
    const walksBefore = cpu.walkCycles;
    const end = start + CASE_CYCLES_MAX;
    let exit = EXIT_BUDGET;
    while (exit === EXIT_BUDGET && cpu.cycles < end) exit = cpu.run(slice);
    assert(exit === EXIT_HALT || exit === EXIT_BUDGET || exit === EXIT_EXCEPTION, `exit ${exit} ${cpu.exitText}`);
    this.retired = cpu.instructions - before - (exit === EXIT_HALT ? 1 : 0);
    this.cycles = cpu.cycles - start - (cpu.walkCycles - walksBefore);
    return exit === EXIT_HALT ? this.readFrame() : this.readRegisters(exit);
  }

  /** Takes the code and the patches of a case out again. */
  unload(c: Case): void {
    this.store(this.codeAt + c.codeAt - CODE_AT, new Uint8Array(c.code.length).fill(HLT));
    for (const { at, bytes } of c.patches) {
      const start = at - DATA_AT;
      const plain = this.pristine.subarray(start, start + bytes.length);
      this.image.set(plain, start);
      this.memory.bytes.set(plain, this.dataAt + start);
    }
  }

  /** The outcome of a case that left run() in ring 3: by an intercepted exception, or because its time is up. */
  private readRegisters(exit: number): Outcome {
    const { cpu } = this;
    const isException = exit === EXIT_EXCEPTION;
    const vector = isException ? cpu.exitVector : VECTOR_TIMEOUT;
    const hasError = isException && cpu.exitError !== NO_ERROR_CODE;
    return {
      regs: cpu.regs.slice(0, 8),
      eflags: cpu.getEflags() & FLAGS_COMPARED,
      eip: cpu.eip,
      segments: [...cpu.segSelector.subarray(0, 6)],
      vector,
      error: vector === VECTOR_XM ? cpu.fpu.vector.mxcsr : hasError ? cpu.exitError : 0,
      cr2: vector === VECTOR_PF ? cpu.exitLin : 0,
      changes: this.collect(),
    };
  }

  /** The outcome from what exception delivery left: the frame, and registers it does not touch. */
  private readFrame(): Outcome {
    const { cpu } = this;
    const vector = cpu.eip - 1 - HANDLERS;
    assert(vector >= 0 && vector < 256 && cpu.cpl === 0, `the case halted at ${(cpu.eip >>> 0).toString(16)}`);
    let at = cpu.regs[4]!;
    const pop = (): number => {
      at += 4;
      return this.peek(at - 4);
    };
    const error = VECTORS_WITH_ERROR.includes(vector) ? pop() : vector === VECTOR_XM ? cpu.fpu.vector.mxcsr : 0;
    const [eip, cs, eflags, esp, ss] = [pop(), pop(), pop(), pop(), pop()];
    assert(at === STACK_TOP, 'the frame is not at the top of the ring-0 stack');
    const regs = cpu.regs.slice(0, 8);
    regs[4] = esp!;
    const segments = [...cpu.segSelector.subarray(0, 6)];
    segments[1] = cs!;
    segments[2] = ss!;
    const cr2 = vector === VECTOR_PF ? cpu.cr2 : 0;
    return { regs, eflags: eflags! & FLAGS_COMPARED, eip: eip!, segments, vector, error, cr2, changes: this.collect() };
  }

  /** Runs of data bytes that differ from the image and patches; puts the image back. */
  private collect(): Patch[] {
    const { words32, bytes } = this.memory;
    const changes: Patch[] = [];
    const word = this.dataAt >> 2;
    for (let n = 0; n < DATA_BYTES >> 2; ) {
      if (words32[word + n] === this.image32[n]) {
        n++;
        continue;
      }
      let start = n * 4;
      while (bytes[this.dataAt + start] === this.image[start]) start++;
      let end = start + 1;
      while (end < DATA_BYTES && bytes[this.dataAt + end] !== this.image[end]) end++;
      changes.push({ at: DATA_AT + start, bytes: bytes.slice(this.dataAt + start, this.dataAt + end) });
      bytes.set(this.image.subarray(start, end), this.dataAt + start);
      n = end >> 2;
    }
    return changes;
  }
}

/**
 * The compiler's run time: turns hot code into WebAssembly, enters it, serves its calls, and forgets it when the bytes
 * it was made from change. The interpreter stays the reference: compiled code executes only what it can complete, and
 * hands every other instruction back, so both engines give the same registers, memory, counts, cycles and exits.
 *
 *   interpreter ── entry instruction ──► run (dispatcher, in WebAssembly) ──► region functions
 *                                          ▲  interpret(site): one instruction, within the function
 *                                          └─ slow(site): one instruction before which a function gave up
 *
 * Invariants:
 *   - compiled code runs only in 32-bit flat segments, and only while the instruction TLB's front holds its page;
 *   - it starts a block only if the budget covers all of it, so it never runs beyond what the interpreter would;
 *   - a unit is dropped before any instruction executes whose bytes differ from those that it was compiled from;
 *   - when something is compiled depends on execution counts only, and changes no result.
 * Modules hold no address of a machine, so machines (and VMs that run the same bytes at the same addresses) share them.
 */
import { newHash } from '../../core/hash.ts';
import { PAGE_BYTES } from '../../core/units.ts';
import type { CodeCache, CodePage, CompiledUnit } from '../code-cache.ts';
import type { Cpu } from '../cpu.ts';
import { VECTOR_PF } from '../exits.ts';
import { type Handler, type Insn, SEG_CS, SEG_FS, SEG_GS, SEG_SS } from '../insn.ts';
import type { MachineMemory } from '../memory.ts';
import { CR0_PE, CR4_TSD } from '../paging.ts';
import {
  ATTR_CODE,
  ATTR_CODE_OR_DATA,
  ATTR_EXPAND_DOWN,
  ATTR_PRESENT,
  ATTR_WRITABLE,
  updateFlat,
} from '../segments.ts';
import type { Site } from './emitter.ts';
import { emitRegion, GLOBAL_JUMP_TABLE, LOCALS } from './function.ts';
import {
  AT_BASED,
  AT_CODE_TAGS,
  AT_COUNT,
  AT_CPL,
  AT_CR0,
  AT_CR2,
  AT_CR3,
  AT_CR4,
  AT_EIP,
  AT_FILLS,
  AT_FIRST,
  AT_FRONT,
  AT_GDT_BASE,
  AT_GDT_LIMIT,
  AT_GUARDED,
  AT_GUARDED_OUTER,
  AT_GUARDED_RING0,
  AT_IDT_BASE,
  AT_IDT_LIMIT,
  AT_KIND,
  AT_LEFT,
  AT_MISSED,
  AT_MISSED_ERROR,
  AT_MISSED_LIN,
  AT_MISSED_REFERENCES,
  AT_MISSES,
  AT_MMU,
  AT_MODE,
  AT_PENDING,
  AT_REFERENCES,
  AT_RESUME,
  AT_SECOND,
  AT_SEGMENTS,
  AT_SYSTEM_FLAGS,
  AT_SYSTEM_FRONT,
  AT_TRANSFERRED,
  AT_TRANSFERS,
  AT_TSC,
  AT_UNIT,
  carriesOf,
  DEFERRED_NONE,
  GUARDED_INTERCEPTED,
  GUARDED_PRIVILEGED,
  GUARDED_SENSITIVE,
  GUARDED_TIME,
  JUMP_TABLE_BYTES,
  jumpSlot,
  RECORD_BYTES,
  RECORD_PAGES,
  resultOf,
  TRANSFER_INT,
  TRANSFER_IRET,
  TRANSFER_PAGE_FAULT,
} from './layout.ts';
import { findRegion, type Region } from './region.ts';
import { buildRuntime, type Runtime, TYPES } from './runtime.ts';
import { buildModule, type Import, Instance, Module, Table, type WasmTable } from './wasm.ts';

/** Functions that live at once; beyond it everything is forgotten (each module costs the process some 20 kB). */
const UNITS_MAX = 4096;
/** Table space that a compiler takes. */
export const COMPILER_TABLE_BYTES = JUMP_TABLE_BYTES + UNITS_MAX * RECORD_BYTES + 16;
/** Modules kept for machines to share. */
const MODULES_MAX = 8192;
/** A page whose compiled code was written this often in a row, each time soon after, is not compiled any more. */
const KILLS_MAX = 16;
const YOUNG_INSTRUCTIONS = 1_000_000;
/** A site that gave up this often gets a function that starts behind it. */
const SITE_HITS = 500;

/**
 * Bytes of code executed before V8 optimises a function. Its own default suits modules that live long: here it would
 * spend more time on optimising what runs for a moment than that takes to run. Only speed depends on it.
 */
const V8_TIERING_BUDGET = 200_000_000;

/** Last major version of V8 in which branch hints are known to have a flag (Node 22). */
const V8_WITH_HINT_FLAG = 12;

const INTERPRETED = 0;
const CONTINUE = 1;
const STOP = 2;

/** GUARDED_* bits: which instructions must ask the guard of their row. */
function guardsOf(cpu: Cpu, isRing0: boolean): number {
  const sensitive = cpu.observeSensitive ? GUARDED_SENSITIVE : 0;
  if (cpu.intercepts !== 0) return sensitive | GUARDED_PRIVILEGED | GUARDED_INTERCEPTED | GUARDED_TIME;
  if (isRing0) return sensitive;
  return sensitive | GUARDED_PRIVILEGED | ((cpu.cr4 & CR4_TSD) !== 0 ? GUARDED_TIME : 0);
}

/** TRANSFER_* bits: which transfers no VMM must see, and no rare state changes. */
function transfersOf(cpu: Cpu): number {
  const isPlain = (cpu.cr0 & CR0_PE) !== 0 && cpu.undoLog === null && cpu.overrides.size === 0;
  if (!isPlain || cpu.observeSensitive) return 0;
  return (
    (cpu.interceptSoftwareInterrupts ? 0 : TRANSFER_INT) |
    (cpu.nmiBlocked ? 0 : TRANSFER_IRET) |
    (cpu.pageFaultMayExit() ? 0 : TRANSFER_PAGE_FAULT)
  );
}

/** Whether a segment is writable data without a limit, as 0 or 1. */
function isUnlimited(cpu: Cpu, seg: number): number {
  const kind =
    cpu.segAttributes[seg]! & (ATTR_PRESENT | ATTR_CODE_OR_DATA | ATTR_CODE | ATTR_EXPAND_DOWN | ATTR_WRITABLE);
  return kind === (ATTR_PRESENT | ATTR_CODE_OR_DATA | ATTR_WRITABLE) && cpu.segLimit[seg] === -1 ? 1 : 0;
}

/** One compiled region. */
class Unit implements CompiledUnit {
  dead = false;
  readonly index: number;
  readonly sites: readonly Site[];
  readonly region: Region;
  /** Instructions that the CPU had retired when it was made. */
  readonly bornAt: number;
  private readonly pageOfBlock: readonly CodePage[];
  private readonly compiler: Compiler;

  constructor(compiler: Compiler, index: number, sites: readonly Site[], region: Region, bornAt: number) {
    this.compiler = compiler;
    this.index = index;
    this.sites = sites;
    this.region = region;
    this.bornAt = bornAt;
    this.pageOfBlock = region.blocks.map(({ start }) => region.pages.get(start >>> 12)!);
  }

  pageOf(site: Site): CodePage {
    return this.pageOfBlock[site.block]!;
  }

  insnOf(site: Site): Insn {
    return this.region.blocks[site.block]!.insns[site.position]!;
  }

  overlaps(page: CodePage, offset: number, count: number): boolean {
    for (const { start, end } of this.region.blocks) {
      if (this.region.pages.get(start >>> 12) !== page) continue;
      const first = start & 0xfff;
      if (first < offset + count && first + (end - start) > offset) return true;
    }
    return false;
  }

  kill(): void {
    if (!this.dead) this.compiler.drop(this, this.compiler.now());
  }
}

/** Where the interpreter enters a unit. */
export interface CompiledEntry {
  readonly unit: Unit;
  readonly eip: number;
  readonly number: number;
}

/** A function of one machine, and what its users need to know. Shared by all frames that hold the same code. */
interface SharedCode {
  /** Where it is in the machine's function table. */
  readonly slot: number;
  readonly sites: readonly Site[];
  readonly pages: readonly number[];
}

/** The functions of a machine, and what enters them. */
interface Started {
  readonly table: WasmTable;
  readonly runtime: Runtime;
}

const digest = (data: Uint8Array): string => newHash('sha1').update(data).digest('base64');

const modules = new Map<string, object>();

/** The module of these bytes; machines in one process share it. */
function moduleOf(bytes: Uint8Array): object {
  const key = digest(bytes);
  let module = modules.get(key);
  if (module === undefined) {
    if (modules.size >= MODULES_MAX) modules.clear();
    module = new Module(bytes);
    modules.set(key, module);
  }
  return module;
}

const REGION_TYPE = 0;

export class Compiler {
  private readonly memory: MachineMemory;
  private readonly words: Int32Array;
  private readonly jumpTableAt: number;
  private readonly recordsAt: number;
  private readonly currentAt: number;
  /** Made when the first code is compiled: many machines never have any. */
  private started: Started | null = null;
  private readonly codes = new Map<string, SharedCode>();
  private readonly units: Unit[] = [];
  private free: number[] = [];
  /** The CPU that is executing compiled code. */
  private cpu: Cpu | null = null;
  private readonly unitsMax: number;

  /**
   * @param codeCache whose instructions are compiled; takes COMPILER_TABLE_BYTES of table space
   * @param unitsMax functions and units that live at once
   */
  constructor(memory: MachineMemory, codeCache: CodeCache, unitsMax = UNITS_MAX) {
    this.unitsMax = unitsMax;
    this.memory = memory;
    this.words = memory.words32;
    this.jumpTableAt = memory.reserveTable(JUMP_TABLE_BYTES);
    this.recordsAt = memory.reserveTable(unitsMax * RECORD_BYTES);
    this.currentAt = memory.reserveTable(4);
    codeCache.compiler = this;
  }

  private start(): Started {
    // Not an import: a process that compiles nothing shall not load it.
    const { setFlagsFromString } = process.getBuiltinModule('node:v8');
    setFlagsFromString(`--wasm-tiering-budget=${V8_TIERING_BUDGET}`);
    // A V8 that does not know a flag complains on stderr; without this one it ignores the hints.
    if (Number.parseInt(process.versions.v8, 10) <= V8_WITH_HINT_FLAG) {
      setFlagsFromString('--experimental-wasm-branch-hinting');
    }
    const table = new Table({ element: 'anyfunc', initial: this.unitsMax, maximum: this.unitsMax });
    const runtime = buildRuntime({
      memory: this.memory.wasm,
      table,
      jumpTableAt: this.jumpTableAt,
      recordsAt: this.recordsAt,
      currentAt: this.currentAt,
      frameFlagsAt: this.memory.frameFlagsAt,
      slow: (site) => this.slow(site),
      fill: this.fill,
      interpret: this.interpret,
      invalidate: this.invalidate,
    });
    return { table, runtime };
  }

  // ------------------------------------------------------------------ compiling

  /** Compiles what starts at EIP, if that is possible and has not been done. */
  request(cpu: Cpu): void {
    if (!cpu.isCompilable()) return;
    const { eip } = cpu;
    const page = cpu.mmu.findCode(eip, (cpu.cpl === 3 ? 1 : 0) | 2);
    const insn = page?.insns[eip & 0xfff];
    if (page === null || insn === undefined || insn.entry?.eip === eip) return;
    const known = entryOf(page, eip);
    if (known !== null) {
      // The same frame was entered at another address meanwhile.
      setEntry(insn, known);
      return;
    }
    const region = findRegion(cpu, eip);
    if (region === null) return;
    const full = this.free.length === 0 && this.units.length === this.unitsMax;
    if (full || this.codes.size === this.unitsMax) this.reset();
    this.install(region, cpu.cpl === 3, cpu.instructions);
  }

  private install(region: Region, isUser: boolean, bornAt: number): void {
    const { slot, sites, pages } = this.codeOf(region, isUser);
    const index = this.free.pop() ?? this.units.length;
    const unit = new Unit(this, index, sites, region, bornAt);
    this.units[index] = unit;
    const record = (this.recordsAt + index * RECORD_BYTES) >> 2;
    this.words[record] = slot;
    pages.forEach((page, n) => {
      this.words[record + (RECORD_PAGES >> 2) + n] = region.pages.get(page)!.compiled.id;
    });
    for (const page of new Set(region.pages.values())) page.compiled.units.push(unit);
    region.entries.forEach((block, number) => {
      const insn = block.insns[0]!;
      if (insn.entry?.eip !== block.start) setEntry(insn, { unit, eip: block.start, number });
      this.setJump(block.start, region.pages.get(block.start >>> 12)!.compiled.id, index, number);
    });
  }

  /** The function for a region: one that was made from the same bytes at the same addresses, or a new one. */
  private codeOf(region: Region, isUser: boolean): SharedCode {
    const key = this.contentOf(region);
    let code = this.codes.get(key);
    if (code === undefined) {
      code = this.compile(region, isUser);
      this.codes.set(key, code);
    }
    return code;
  }

  /** Names everything that the function of a region depends on: where its blocks are, which are entries, their bytes. */
  private contentOf(region: Region): string {
    const { blocks, entries, pages } = region;
    const numbers = [blocks.length, ...entries.map(({ node }) => node)];
    let length = 0;
    for (const { start, end, guesses, insns } of blocks) {
      numbers.push(start, end, guesses.length, ...guesses);
      for (const { counts } of insns) numbers.push(counts);
      length += end - start;
    }
    const words = Int32Array.from(numbers);
    const all = new Uint8Array(words.byteLength + length);
    all.set(new Uint8Array(words.buffer));
    let at = words.byteLength;
    for (const { start, end } of blocks) {
      const from = pages.get(start >>> 12)!.mfn * PAGE_BYTES + (start & 0xfff);
      all.set(this.memory.bytes.subarray(from, from + (end - start)), at);
      at += end - start;
    }
    return digest(all);
  }

  private compile(region: Region, isUser: boolean): SharedCode {
    const { body, sites, pages } = emitRegion(region, isUser);
    const imports: Import[] = [
      { kind: 'function', name: 'fill', type: 1 },
      { kind: 'function', name: 'interpret', type: 2 },
      { kind: 'function', name: 'carries', type: 1 },
      { kind: 'function', name: 'result', type: 1 },
      { kind: 'function', name: 'invalidate', type: 2 },
      { kind: 'function', name: 'deliver', type: 1 },
      { kind: 'function', name: 'leave', type: 2 },
      { kind: 'function', name: 'stack', type: 3 },
      { kind: 'memory', name: 'memory', pages: 1 },
      { kind: 'global', name: `g${GLOBAL_JUMP_TABLE}` },
    ];
    const functions = [{ name: 'region', type: REGION_TYPE, locals: LOCALS, body }];
    const bytes = buildModule(TYPES, imports, functions);
    this.started ??= this.start();
    const { table, runtime } = this.started;
    const { fill, interpret, carries, result, invalidate, deliver, leave, stack } = runtime;
    const slot = this.codes.size;
    // The table is not imported: V8 would give each instance a copy of it to keep up to date.
    const { exports } = new Instance(moduleOf(bytes), {
      m: {
        fill,
        interpret,
        carries,
        result,
        invalidate,
        deliver,
        leave,
        stack,
        memory: this.memory.wasm,
        [`g${GLOBAL_JUMP_TABLE}`]: this.jumpTableAt,
      },
    });
    table.set(slot, exports['region']);
    return { slot, sites, pages };
  }

  private setJump(eip: number, page: number, index: number, number: number): void {
    const at = (this.jumpTableAt + jumpSlot(eip)) >> 2;
    this.words[at] = eip;
    this.words[at + 1] = page;
    this.words[at + 2] = index;
    this.words[at + 3] = number;
  }

  private clearJumps(): void {
    // No page has the id 0.
    this.words.fill(0, this.jumpTableAt >> 2, (this.jumpTableAt + JUMP_TABLE_BYTES) >> 2);
  }

  /** Forgets a unit. It may be executing: then it returns at its next call. */
  drop(unit: Unit, now = Number.POSITIVE_INFINITY): void {
    unit.dead = true;
    const young = now - unit.bornAt < YOUNG_INSTRUCTIONS;
    for (const block of unit.region.entries) {
      const insn = block.insns[0]!;
      if (insn.entry?.unit === unit) {
        insn.entry = null;
        insn.run = insn.plain;
      }
      const at = (this.jumpTableAt + jumpSlot(block.start)) >> 2;
      if (this.words[at] === block.start && this.words[at + 2] === unit.index) this.words[at + 1] = 0;
    }
    for (const page of new Set(unit.region.pages.values())) {
      const { compiled } = page;
      compiled.units.splice(compiled.units.indexOf(unit), 1);
      compiled.kills = young ? compiled.kills + 1 : 0;
      if (compiled.kills >= KILLS_MAX) compiled.banned = true;
    }
    // It stays in its place until that is needed: what runs finds its sites there.
    this.free.push(unit.index);
  }

  /** Forgets everything. */
  reset(): void {
    for (const unit of this.units) if (!unit.dead) this.drop(unit);
    this.units.length = 0;
    this.free = [];
    for (let slot = 0; slot < this.codes.size; slot++) this.started?.table.set(slot, null);
    this.codes.clear();
    this.clearJumps();
  }

  /** Instructions that the CPU at work has retired: a clock of the guest's own. */
  now(): number {
    return this.cpu?.instructions ?? 0;
  }

  // ------------------------------------------------------------------ running

  /**
   * Runs compiled code from `entry`, which is at EIP, until it must stop or reaches code that is not compiled.
   * Returns false, with nothing done, if the dispatcher would not find the entry.
   */
  run(cpu: Cpu, { unit, eip, number }: CompiledEntry): boolean {
    const page = unit.region.pages.get(eip >>> 12)!;
    if (cpu.mmu.findCode(eip, (cpu.cpl === 3 ? 1 : 0) | 2) !== page) return false;
    this.setJump(eip, page.compiled.id, unit.index, number);
    this.cpu = cpu;
    this.putState(cpu);
    this.started!.runtime.run(cpu.block);
    const at = cpu.block >> 2;
    const { words } = this;
    this.takeResume(cpu);
    cpu.left = words[at + (AT_LEFT >> 2)]!;
    cpu.count += words[at + (AT_COUNT >> 2)]!;
    cpu.eip = words[at + (AT_EIP >> 2)]!;
    this.takeState(cpu);
    cpu.dropCode();
    if (!cpu.mustStop()) this.warmTarget(cpu);
    return true;
  }

  private putState(cpu: Cpu): void {
    const at = cpu.block >> 2;
    const { words } = this;
    words[at + (AT_LEFT >> 2)] = cpu.left;
    words[at + (AT_COUNT >> 2)] = 0;
    words[at + (AT_KIND >> 2)] = DEFERRED_NONE;
    words[at + (AT_FIRST >> 2)] = cpu.flagRes;
    words[at + (AT_SECOND >> 2)] = cpu.flagAux;
    words[at + (AT_EIP >> 2)] = cpu.eip;
    words[at + (AT_FRONT >> 2)] = cpu.front << 2;
    words[at + (AT_CODE_TAGS >> 2)] = cpu.mmu.codeTagsAt;
    words[at + (AT_MODE >> 2)] = (cpu.cpl === 3 ? 1 : 0) | 2;
    words[at + (AT_SYSTEM_FRONT >> 2)] = cpu.mmu.kernelBank << 2;
    words[at + (AT_CPL >> 2)] = cpu.cpl;
    words[at + (AT_MMU >> 2)] = cpu.mmu.recordAt;
    words[at + (AT_MISSED >> 2)] = 0;
    words[at + (AT_SEGMENTS >> 2)] = 0;
    words[at + (AT_TRANSFERRED >> 2)] = 0;
    this.putResume(cpu);
    words[at + (AT_BASED >> 2)] = isUnlimited(cpu, SEG_FS) | (isUnlimited(cpu, SEG_GS) << 1);
    words[at + (AT_SYSTEM_FLAGS >> 2)] = cpu.systemFlags;
    words[at + (AT_CR2 >> 2)] = cpu.cr2;
    this.putTime(cpu);
    this.putSystem(cpu);
  }

  /** What only privileged and sensitive instructions change, and what happens between runs. */
  private putSystem(cpu: Cpu): void {
    const at = cpu.block >> 2;
    const { words } = this;
    words[at + (AT_GDT_BASE >> 2)] = cpu.gdtBase;
    words[at + (AT_GDT_LIMIT >> 2)] = cpu.gdtLimit;
    words[at + (AT_IDT_BASE >> 2)] = cpu.idtBase;
    words[at + (AT_IDT_LIMIT >> 2)] = cpu.idtLimit;
    words[at + (AT_CR0 >> 2)] = cpu.cr0;
    words[at + (AT_CR3 >> 2)] = cpu.cr3;
    words[at + (AT_CR4 >> 2)] = cpu.cr4;
    const ring0 = guardsOf(cpu, true);
    const outer = guardsOf(cpu, false);
    words[at + (AT_GUARDED_RING0 >> 2)] = ring0;
    words[at + (AT_GUARDED_OUTER >> 2)] = outer;
    words[at + (AT_GUARDED >> 2)] = cpu.cpl === 0 ? ring0 : outer;
    words[at + (AT_PENDING >> 2)] = cpu.interruptPending ? 1 : 0;
    words[at + (AT_FILLS >> 2)] = cpu.missesArePlain() ? 1 : 0;
    words[at + (AT_TRANSFERS >> 2)] = transfersOf(cpu);
  }

  private putResume(cpu: Cpu): void {
    this.words[(cpu.block + AT_RESUME) >> 2] = cpu.resumeAt === cpu.instructions ? 0 : -1;
  }

  /** An IRET loaded RF; must come before the instructions since putState() are counted. */
  private takeResume(cpu: Cpu): void {
    const resume = this.words[(cpu.block + AT_RESUME) >> 2]!;
    if (resume > 0) cpu.resumeAt = cpu.instructions + resume;
  }

  /** TypeScript is called without the rest of the state: privilege decides what it may access. */
  private takeRing(cpu: Cpu): void {
    const cpl = this.words[(cpu.block + AT_CPL) >> 2]!;
    if (cpu.cpl !== cpl) cpu.setCpl(cpl);
  }

  private putTime(cpu: Cpu): void {
    const time = cpu.readTsc() + cpu.left;
    const at = (cpu.block + AT_TSC) >> 2;
    this.words[at] = (time % 4294967296) | 0;
    this.words[at + 1] = Math.floor(time / 4294967296);
  }

  /** Takes over what compiled code keeps in another form: flags, and which segments are flat. */
  private takeState(cpu: Cpu): void {
    const at = cpu.block >> 2;
    const { words } = this;
    cpu.systemFlags = words[at + (AT_SYSTEM_FLAGS >> 2)]!;
    const references = words[at + (AT_REFERENCES >> 2)]!;
    if (references !== 0) {
      cpu.noteWalks(references, words[at + (AT_MISSES >> 2)]!);
      words[at + (AT_REFERENCES >> 2)] = 0;
      words[at + (AT_MISSES >> 2)] = 0;
    }
    if (words[at + (AT_TRANSFERRED >> 2)] !== 0) {
      words[at + (AT_TRANSFERRED >> 2)] = 0;
      this.takeRing(cpu);
      updateFlat(cpu, SEG_CS);
      updateFlat(cpu, SEG_SS);
    }
    if (words[at + (AT_SEGMENTS >> 2)] !== 0) {
      words[at + (AT_SEGMENTS >> 2)] = 0;
      updateFlat(cpu, SEG_FS);
      updateFlat(cpu, SEG_GS);
    }
    const kind = words[at + (AT_KIND >> 2)]!;
    const first = words[at + (AT_FIRST >> 2)]!;
    const second = words[at + (AT_SECOND >> 2)]!;
    cpu.flagRes = resultOf(kind, first, second);
    cpu.flagAux = carriesOf(kind, first, second);
  }

  /** Control left a function at `site` and is at EIP: when that happens often, there should be a function for it. */
  private warm(cpu: Cpu, site: Site): void {
    if (++site.hits < SITE_HITS) return;
    site.hits = 0;
    this.request(cpu);
  }

  /** Compiled code went to EIP, where there is none: when that happens often, there should be some. */
  private warmTarget(cpu: Cpu): void {
    const page = cpu.mmu.findCode(cpu.eip, (cpu.cpl === 3 ? 1 : 0) | 2);
    const insn = page?.insns[cpu.eip & 0xfff];
    if (insn === undefined || ++insn.missed < SITE_HITS) return;
    insn.missed = 0;
    this.request(cpu);
  }

  /** Makes the CPU object stand before the instruction of a site, with nothing charged for it. */
  private standBefore(cpu: Cpu, site: Site): void {
    const at = cpu.block >> 2;
    const { words } = this;
    this.takeResume(cpu);
    const left = words[at + (AT_LEFT >> 2)]!;
    cpu.left = left + site.cycles;
    // A budget that does not cover the block went below zero and borrowed one from the count beside it.
    cpu.count += words[at + (AT_COUNT >> 2)]! - site.count + (left < 0 ? 1 : 0);
    cpu.eip = site.eip;
    this.takeState(cpu);
  }

  private readonly fill = (lin: number, access: number, left: number): number => {
    const cpu = this.cpu!;
    this.takeRing(cpu);
    const rest = cpu.fillFront(lin, access & 0xff, access >>> 11, left);
    // The walk marked a table that is code as well: what runs may not be what is there any more.
    return this.units[this.words[(cpu.block + AT_UNIT) >> 2]!]!.dead ? -1 : rest;
  };

  /** INVLPG; returns 1 if it dropped a translation of instructions. */
  private readonly invalidate = (lin: number): number => (this.cpu!.mmu.invalidatePage(lin) ? 1 : 0);

  private readonly interpret = (number: number): number => {
    const cpu = this.cpu!;
    const { words } = this;
    const at = cpu.block >> 2;
    const unit = this.units[words[at + (AT_UNIT >> 2)]!]!;
    const site = unit.sites[number]!;
    const insn = unit.insnOf(site);
    this.standBefore(cpu, site);
    const page = unit.pageOf(site);
    cpu.enterPage(site.eip, page);
    const { segFlat } = cpu;
    cpu.executePlain(insn);
    if (cpu.mustStop()) {
      this.putState(cpu);
      return STOP;
    }
    const left = cpu.left - (site.cycles - insn.cycles);
    if (
      left >= 0 &&
      !unit.dead &&
      cpu.eip === ((site.eip + insn.length) | 0) &&
      cpu.segFlat === segFlat &&
      cpu.isInPage(page)
    ) {
      words[at + (AT_LEFT >> 2)] = left;
      words[at + (AT_COUNT >> 2)] = site.count - insn.counts;
      words[at + (AT_SYSTEM_FLAGS >> 2)] = cpu.systemFlags;
      words[at + (AT_CR2 >> 2)] = cpu.cr2;
      this.putResume(cpu);
      if (insn.row.mnemonic === 'WRMSR') this.putTime(cpu);
      if (insn.row.class !== 'user') this.putSystem(cpu);
      words[at + (AT_BASED >> 2)] = isUnlimited(cpu, SEG_FS) | (isUnlimited(cpu, SEG_GS) << 1);
      // An instruction without flags leaves them in their deferred form, which the function knows.
      if (!site.keepsFlags) {
        words[at + (AT_KIND >> 2)] = DEFERRED_NONE;
        words[at + (AT_FIRST >> 2)] = cpu.flagRes;
        words[at + (AT_SECOND >> 2)] = cpu.flagAux;
      }
      return INTERPRETED;
    }
    if (!cpu.isCompilable()) {
      this.putState(cpu);
      return STOP;
    }
    this.warm(cpu, site);
    this.putState(cpu);
    return CONTINUE;
  };

  /**
   * Delivers the page fault that the instruction of a site met (AT_MISSED*) without leaving compiled code for long.
   * Returns false, with the fault noted in the CPU object, if that must.
   */
  private deliverMissed(cpu: Cpu, site: Site): boolean {
    const at = cpu.block >> 2;
    const { words } = this;
    words[at + (AT_MISSED >> 2)] = 0;
    const lin = words[at + (AT_MISSED_LIN >> 2)]!;
    const error = words[at + (AT_MISSED_ERROR >> 2)]!;
    const references = words[at + (AT_MISSED_REFERENCES >> 2)]!;
    const left = words[at + (AT_LEFT >> 2)]!;
    const rest = left + site.cycles - references * cpu.mmu.timing.walkReferenceCycles;
    if (rest > 0 && (words[at + (AT_TRANSFERS >> 2)]! & TRANSFER_PAGE_FAULT) !== 0) {
      const count = words[at + (AT_COUNT >> 2)]!;
      words[at + (AT_LEFT >> 2)] = rest;
      words[at + (AT_COUNT >> 2)] = count - site.count;
      words[at + (AT_EIP >> 2)] = site.eip;
      if (this.started!.runtime.deliver(VECTOR_PF, error, 0) !== 0) {
        words[at + (AT_REFERENCES >> 2)]! += references;
        words[at + (AT_CR2 >> 2)] = lin;
        cpu.noteDelivered(error, lin);
        return true;
      }
      words[at + (AT_LEFT >> 2)] = left;
      words[at + (AT_COUNT >> 2)] = count;
    }
    cpu.noteMissed(lin, error, references);
    return false;
  }

  /** A function gave up before the instruction of a site: executes that. Returns 0 to go on at EIP. */
  private slow(number: number): number {
    const cpu = this.cpu!;
    const unit = this.units[this.words[(cpu.block + AT_UNIT) >> 2]!]!;
    const site = unit.sites[number - 1]!;
    if (this.words[(cpu.block + AT_MISSED) >> 2] !== 0 && this.deliverMissed(cpu, site)) return 0;
    this.standBefore(cpu, site);
    if (cpu.missed) cpu.deliverMissed(unit.insnOf(site));
    else if (cpu.left > 0) {
      cpu.enterPage(site.eip, unit.pageOf(site));
      cpu.executePlain(unit.insnOf(site));
    }
    const stop = cpu.mustStop() || !cpu.isCompilable();
    if (!stop) this.warm(cpu, site);
    this.putState(cpu);
    return stop ? 1 : 0;
  }
}

/** A way into compiled code for `eip`, which is in this page. */
function entryOf(page: CodePage, eip: number): CompiledEntry | null {
  for (const unit of page.compiled.units) {
    if (!(unit instanceof Unit) || unit.region.pages.get(eip >>> 12) !== page) continue;
    const number = unit.region.entries.findIndex(({ start }) => start === eip);
    if (number >= 0) return { unit, eip, number };
  }
  return null;
}

function setEntry(insn: Insn, entry: CompiledEntry): void {
  insn.entry = entry;
  insn.run = enterCompiled;
}

/** Handler of an instruction at which compiled code can be entered. */
const enterCompiled: Handler = (cpu: Cpu, insn: Insn) => {
  const eip = (cpu.eip - insn.length) | 0;
  const entry = insn.entry!;
  // An instruction whose fetch used the budget up is executed all the same, and then nothing more.
  if (entry.eip === eip && cpu.left > 0 && cpu.isCompilable()) {
    cpu.eip = eip;
    cpu.unretire(insn);
    if (cpu.codeCache.compiler!.run(cpu, entry)) return;
    cpu.retire(insn);
  }
  insn.plain(cpu, insn);
};

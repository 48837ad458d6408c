/**
 * The translation cache: frames of the VMM that hold translated code, which the CPU really executes, and what the VMM
 * knows about it. Units are written upwards, stubs of branches that were never taken downwards.
 * Invariants: a unit is entered at its start only, by jumps in the cache, so when it dies a call-out written over its
 * start reaches everybody who still jumps there; the VMM itself may also go to the start of any instruction of a live
 * unit; bytes are changed only here, and the decoded form of what changes is dropped.
 * Source: Adams & Agesen, ASPLOS 2006, section 3.1 (chaining, elision, forwarding); jumps through a table whose targets
 * check themselves are theirs too, the rest is our own.
 */
import { assert, UserError } from '../../core/errors.ts';
import { type Mfn, PAGE_BYTES } from '../../core/units.ts';
import type { CodeCache } from '../../machine/code-cache.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import type { VmmRegion } from '../techniques/vmm-region.ts';
import { Assembler, CALL_OUT_BYTES, callOutBytes, displacement, ECX, jumpBytes } from './assembler.ts';
import {
  AT_ECX,
  AT_POPF_FLAGS,
  AT_POPF_NEEDS_VMM,
  AT_SELECTOR_HIGH,
  AT_SELECTOR_LOW,
  AT_TARGET,
  AT_TARGETS,
  CACHE_BASE,
  CACHE_PAGE,
  CACHE_PAGES_MAX,
  CODE_DESCRIPTOR,
  DATA_DESCRIPTOR,
  GATE_DESCRIPTOR,
  OWN_SELECTORS_HIGH,
  POPF_PAGE,
  SELECTOR_CODE,
  SELECTOR_DATA,
  SELECTOR_GATE,
  TARGETS,
  TARGETS_PAGE,
  TARGETS_PAGES,
  targetSlot,
  WORDS_PAGE,
} from './layout.ts';
import { CALL_OUT_NUMBERS, type CallOut, SAVED_ECX, type Site, type State, type Unit } from './site.ts';

/** Stubs take this much, so that none crosses a page. */
const STUB_BYTES = 8;
/** More than an entry for indirect jumps takes. */
const ENTRY_BYTES_MAX = 64;
const FLAG_IF_HIGH = 0x02;
const FLAG_TF_HIGH = 0x01;
const FLAG_IOPL_HIGH = 0x30;

/** State before code that knows the guest's EIP from the word of the target. */
const targetState = (start: number, saved: number, esp = 0): State => ({
  eip: 0,
  isTarget: true,
  start,
  saved,
  esp,
  isBetween: false,
  afterSti: false,
  insn: null,
});

/** What a cache holds and did, for tests and people. */
export interface CacheCounts {
  units: number;
  instructions: number;
  continuations: number;
  elided: number;
  chained: number;
  flushes: number;
  invalidated: number;
}

export class TranslationCache {
  readonly counts: CacheCounts = {
    units: 0,
    instructions: 0,
    continuations: 0,
    elided: 0,
    chained: 0,
    flushes: 0,
    invalidated: 0,
  };
  /** Where an indirect jump starts again: the target is in its word, ECX in its register. */
  lookup = 0;
  private readonly memory: MachineMemory;
  private readonly codeCache: CodeCache;
  /** Frames of the words and tables, and of the cache. */
  private readonly frames = new Map<number, Mfn>();
  private readonly end: number;
  private readonly sites = new Map<number, Site>();
  /** Live units by the guest's EIP. */
  private readonly units = new Map<number, Unit>();
  /** Instructions of live units by the guest's EIP: where the VMM may go. */
  private readonly starts = new Map<number, number>();
  /** Addresses at which a call-out was turned into a jump to a unit. */
  private readonly forwards = new Map<Unit, number[]>();
  /** Where indirect jumps enter a unit. Several targets may share a slot of the table in turn: each has its entry once. */
  private readonly entries = new Map<Unit, number>();
  private next = 0;
  private stubs = 0;
  /** Where the last unit starts. */
  private lastStart = 0;
  private missStub = 0;

  /**
   * Takes its frames and maps them into the region.
   * @param pages size of the cache
   * @throws UserError when the machine has no frames left
   */
  constructor(
    memory: MachineMemory,
    codeCache: CodeCache,
    region: VmmRegion,
    owner: number,
    vmName: string,
    pages: number,
  ) {
    assert(pages >= 2 && pages <= CACHE_PAGES_MAX, `a translation cache of ${pages} pages`);
    this.memory = memory;
    this.codeCache = codeCache;
    this.end = CACHE_BASE + pages * PAGE_BYTES;
    const take = (page: number, isWritable: boolean): Mfn => {
      const mfn = memory.allocateFrame(owner);
      if (mfn < 0) throw new UserError(`VM ${vmName}: no machine frame left for the translation cache`);
      this.frames.set(page, mfn);
      region.map(page, mfn, isWritable);
      return mfn;
    };
    take(WORDS_PAGE, true);
    take(POPF_PAGE, false);
    for (let page = 0; page < TARGETS_PAGES; page++) take(TARGETS_PAGE + page, false);
    for (let page = 0; page < pages; page++) {
      // Nothing that is written here is an instruction of the guest's unless somebody says so.
      codeCache.counts.set(take(CACHE_PAGE + page, false), new Uint8Array(PAGE_BYTES));
    }
    region.ownDescriptor(SELECTOR_CODE, CODE_DESCRIPTOR.low, CODE_DESCRIPTOR.high);
    region.ownDescriptor(SELECTOR_DATA, DATA_DESCRIPTOR.low, DATA_DESCRIPTOR.high);
    region.ownDescriptor(SELECTOR_GATE, GATE_DESCRIPTOR.low, GATE_DESCRIPTOR.high);
    memory.bytes[this.hostAddress(AT_SELECTOR_HIGH + OWN_SELECTORS_HIGH)] = 1;
    // RPL 1 where DPL 0 is 1.
    for (let low = 1; low < 256; low += 4) memory.bytes[this.hostAddress(AT_SELECTOR_LOW + low)] = 1;
    this.reset();
    this.counts.flushes = 0;
  }

  // ------------------------------------------------------------------ words and tables

  /** A word of the region, by its offset. */
  word(at: number): number {
    return this.memory.words32[this.hostAddress(at) >> 2]!;
  }

  setWord(at: number, value: number): void {
    this.memory.words32[this.hostAddress(at) >> 2] = value;
  }

  /** Makes the tables of POPF for a guest's IOPL: what changes that, or sets TF, goes to the VMM. */
  setIopl(iopl: number): void {
    for (let high = 0; high < 256; high++) {
      const needsVmm = (high & FLAG_TF_HIGH) !== 0 || (high & FLAG_IOPL_HIGH) !== iopl >>> 8;
      this.memory.bytes[this.hostAddress(AT_POPF_NEEDS_VMM + high)] = needsVmm ? 1 : 0;
      this.setWord(AT_POPF_FLAGS + 4 * high, ((high & FLAG_IF_HIGH) << 8) | iopl);
    }
  }

  private hostAddress(at: number): number {
    return this.frames.get(at >>> 12)! * PAGE_BYTES + (at & (PAGE_BYTES - 1));
  }

  // ------------------------------------------------------------------ finding

  isInside(address: number): boolean {
    return address >>> 0 >= CACHE_BASE >>> 0 && address >>> 0 < this.end >>> 0;
  }

  /** The state before the instruction at an address in the cache. */
  siteAt(address: number): Site {
    const site = this.sites.get(address);
    assert(site !== undefined, `nothing is known of ${(address >>> 0).toString(16)} in the translation cache`);
    return site;
  }

  /** An instruction starts at an address: not so in what is left of a continuation that became a jump. */
  knows(address: number): boolean {
    return this.sites.has(address);
  }

  /** The live unit that starts at a guest address. */
  unitAt(eip: number): Unit | undefined {
    return this.units.get(eip);
  }

  /** Where the VMM can let the CPU go on for a guest address: the start of any instruction of a live unit. */
  startOf(eip: number): number | undefined {
    return this.starts.get(eip);
  }

  liveUnits(): Iterable<Unit> {
    return this.units.values();
  }

  // ------------------------------------------------------------------ room

  /** Whether a unit of at most `bytes` bytes fits. */
  hasRoom(bytes: number): boolean {
    return this.next + bytes <= this.stubs;
  }

  /** Where the next unit will be written. */
  get free(): number {
    return this.next | 0;
  }

  /** Forgets everything. */
  reset(): void {
    this.sites.clear();
    this.units.clear();
    this.starts.clear();
    this.forwards.clear();
    this.entries.clear();
    this.counts.flushes++;
    this.next = CACHE_BASE;
    this.stubs = this.end;
    this.writeShared();
    for (let slot = 0; slot < TARGETS; slot++) this.setWord(AT_TARGETS + slot * 8, this.missStub);
  }

  /** The lookup of indirect targets for when it has to start again, and what the table's empty entries lead to. */
  private writeShared(): void {
    const lookup = this.next | 0;
    this.lookup = lookup;
    let saved = 0;
    const asm = new Assembler(lookup, (offset) => this.setSite(lookup + offset, targetState(lookup, saved)));
    emitLookup(asm, (bits) => {
      saved = bits;
    });
    this.missStub = asm.address;
    saved = SAVED_ECX;
    asm.load(ECX, AT_ECX);
    saved = 0;
    asm.alignFor(CALL_OUT_BYTES);
    const at = asm.address;
    asm.bytes.push(...callOutBytes(CALL_OUT_NUMBERS.miss));
    this.setSite(at, { ...targetState(lookup, 0), callOut: 'miss' });
    this.write(lookup, asm.bytes);
    this.next = lookup + asm.bytes.length;
  }

  // ------------------------------------------------------------------ writing

  /** Says what the state is before the instruction at an address. */
  setSite(address: number, state: State & { callOut?: CallOut | null; jumpEnd?: number }): void {
    this.sites.set(address | 0, { callOut: null, jumpEnd: -1, ...state });
  }

  /** Writes a unit and enters it. `counts`: guest instructions that the one at an offset counts as. */
  add(unit: Unit, at: number, bytes: readonly number[], counts: ReadonlyMap<number, number>): void {
    this.write(at, bytes);
    for (const [offset, count] of counts) this.setCount(at + offset, count);
    this.next = at + bytes.length;
    this.lastStart = unit.start;
    this.units.set(unit.eip, unit);
    for (const { eip, start } of unit.insns) {
      if (start !== 0 && !this.starts.has(eip)) this.starts.set(eip, start);
    }
    this.counts.units++;
    this.counts.instructions += unit.insns.length;
  }

  /** A stub for a branch that is not taken yet: a call-out. Returns its address; name the jump to it with linkStub. */
  addStub(state: State): number {
    this.stubs -= STUB_BYTES;
    const at = this.stubs | 0;
    this.write(at, callOutBytes(CALL_OUT_NUMBERS.continue));
    this.setSite(at, { ...state, start: at, callOut: 'continue' });
    this.counts.continuations++;
    return at;
  }

  /** The jump whose displacement ends at `jumpEnd` leads to a stub. */
  linkStub(stub: number, jumpEnd: number): void {
    this.setSite(stub, { ...this.siteAt(stub), jumpEnd });
  }

  /** Lets a continuation lead to a unit from now on: its jump goes there, or it becomes one. */
  chain(address: number, unit: Unit): void {
    const { jumpEnd } = this.siteAt(address);
    this.counts.chained++;
    if (jumpEnd !== -1) {
      this.write(jumpEnd - 4, displacement(jumpEnd, unit.start));
      return;
    }
    this.write(address, jumpBytes(address, unit.start));
    this.setSite(address, { ...this.siteAt(address), callOut: null });
    const known = this.forwards.get(unit);
    if (known === undefined) this.forwards.set(unit, [address]);
    else known.push(address);
  }

  /**
   * The next unit will take the place of the continuation at `address`, if that is the last thing written and leaves
   * the unit before it room for a call-out of its own.
   */
  elide(address: number): boolean {
    const { jumpEnd } = this.siteAt(address);
    if (jumpEnd !== -1 || address + CALL_OUT_BYTES !== (this.next | 0)) return false;
    if (address - this.lastStart < CALL_OUT_BYTES) return false;
    this.next -= CALL_OUT_BYTES;
    this.counts.elided++;
    return true;
  }

  /** Lets indirect jumps to a unit find it, by way of `entry`, which checks the target. */
  enterTarget(unit: Unit, entry: number): void {
    this.entries.set(unit, entry);
    this.setWord(AT_TARGETS + targetSlot(unit.eip), entry);
  }

  /** Whether indirect jumps to a unit that exists have an entry, or there is room for one. */
  canEnter(unit: Unit): boolean {
    return this.entries.has(unit) || this.hasRoom(ENTRY_BYTES_MAX);
  }

  /** The entry that indirect jumps use for a unit that exists: it checks the target, and jumps there. */
  entryOf(unit: Unit): number {
    const known = this.entries.get(unit);
    if (known !== undefined) return known;
    assert(this.hasRoom(ENTRY_BYTES_MAX), 'an entry lies outside the free part of the translation cache');
    const at = this.next | 0;
    const asm = this.entryAssembler(at);
    emitEntry(asm, unit.eip, this.missStub, (saved) => this.entrySaved(saved));
    const entry = asm.base;
    asm.jump(unit.start);
    this.write(at, asm.bytes);
    this.next = at + asm.bytes.length;
    return entry;
  }

  /** The same in front of a unit that is about to be written. Returns the address behind it. */
  writeEntryBefore(eip: number): number {
    const at = this.next | 0;
    const asm = this.entryAssembler(at);
    emitEntry(asm, eip, this.missStub, (saved) => this.entrySaved(saved));
    this.write(at, asm.bytes);
    this.next = at + asm.bytes.length;
    return at;
  }

  private savedInEntry = 0;

  private entrySaved(saved: number): void {
    this.savedInEntry = saved;
  }

  private entryAssembler(at: number): Assembler {
    this.savedInEntry = SAVED_ECX;
    return new Assembler(at, (offset) => this.setSite(at + offset, targetState(this.lookup, this.savedInEntry)));
  }

  /** A unit's bytes or mapping changed, or it is translated anew: nobody executes it any more. */
  kill(unit: Unit): void {
    if (unit.isDead) return;
    unit.isDead = true;
    this.counts.invalidated++;
    this.units.delete(unit.eip);
    for (const { eip, start } of unit.insns) if (this.starts.get(eip) === start) this.starts.delete(eip);
    // What was turned into a jump here asks again, or those jumps would become a longer chain with every new translation.
    for (const stub of this.forwards.get(unit) ?? []) {
      this.write(stub, callOutBytes(CALL_OUT_NUMBERS.continue));
      this.setSite(stub, { ...this.siteAt(stub), callOut: 'continue' });
    }
    this.forwards.delete(unit);
    this.entries.delete(unit);
    this.write(unit.start, callOutBytes(CALL_OUT_NUMBERS.continue));
    this.setCount(unit.start, 0);
    this.setSite(unit.start, {
      ...this.siteAt(unit.start),
      eip: unit.eip,
      isTarget: false,
      start: unit.start,
      saved: 0,
      esp: 0,
      isBetween: false,
      insn: null,
      callOut: 'continue',
      jumpEnd: -1,
    });
  }

  private setCount(address: number, count: number): void {
    const page = ((address - CACHE_BASE) >>> 12) + CACHE_PAGE;
    this.codeCache.counts.get(this.frames.get(page)!)![address & (PAGE_BYTES - 1)] = count;
  }

  /** Changes bytes of the cache; what they begin counts as no instruction of the guest's. */
  private write(address: number, bytes: readonly number[]): void {
    const { memory, codeCache } = this;
    for (let done = 0; done < bytes.length; ) {
      const at = address + done;
      const offset = at & (PAGE_BYTES - 1);
      const count = Math.min(bytes.length - done, PAGE_BYTES - offset);
      const mfn = this.frames.get(((at - CACHE_BASE) >>> 12) + CACHE_PAGE);
      assert(mfn !== undefined, 'a translation lies outside the cache');
      codeCache.written(mfn, offset, count);
      for (let i = 0; i < count; i++) memory.bytes[mfn * PAGE_BYTES + offset + i] = bytes[done + i]!;
      codeCache.counts.get(mfn)!.fill(0, offset, offset + count);
      done += count;
    }
  }

  /** The frame that an address in the cache lies in. */
  frameOf(address: number): Mfn {
    return this.frames.get(((address - CACHE_BASE) >>> 12) + CACHE_PAGE)!;
  }

  /** Translated bytes at an address, for people. */
  read(address: number, count: number): number[] {
    return Array.from({ length: count }, (_, n) => {
      const at = address + n;
      return this.memory.bytes[this.frameOf(at) * PAGE_BYTES + (at & (PAGE_BYTES - 1))]!;
    });
  }
}

/** Jumps to where the hash table says for the target in its word: five instructions, and no flags. */
export function emitLookup(asm: Assembler, saved: (bits: number) => void): void {
  asm.store(AT_ECX, ECX);
  saved(SAVED_ECX);
  asm.load(ECX, AT_TARGET);
  emitLookupOfEcx(asm);
}

/** The end of the lookup: the target is in ECX, whose value is saved. */
export function emitLookupOfEcx(asm: Assembler): void {
  // LEA ECX, [ECX*8]; MOVZX ECX, CX; JMP [GS:ECX + table]
  asm.emit(0x8d, 0x0c, 0xcd, 0, 0, 0, 0);
  asm.emit(0x0f, 0xb7, 0xc9);
  asm.emit(0x65, 0xff, 0xa1, AT_TARGETS & 0xff, (AT_TARGETS >> 8) & 0xff, (AT_TARGETS >> 16) & 0xff, AT_TARGETS >>> 24);
}

/** The check at the target of an indirect jump: another address with the same hash goes to the VMM. */
function emitEntry(asm: Assembler, eip: number, missStub: number, saved: (bits: number) => void): void {
  saved(SAVED_ECX);
  asm.load(ECX, AT_TARGET);
  asm.addEcx(-eip | 0);
  asm.alignFor(7);
  const found = asm.jumpIfEcxZero();
  asm.jump(missStub);
  asm.bind(found);
  asm.load(ECX, AT_ECX);
  saved(0);
}

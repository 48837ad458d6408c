/**
 * Binary translation: the guest's user programs execute directly at ring 3; its kernel never executes as it is, but as
 * translated code in a cache of the VMM's at ring 1, on the shadow paging and virtual CPU of deprivileged.ts.
 *
 *   direct (ring 3)  <-- traps, IRET -->  VMM  <-- call-outs, faults -->  translated (ring 1, CS and GS are the VMM's)
 *                                          |
 *                                          +-- interpreted: real mode, 16-bit code, single steps; one at a time
 *
 * Sensitive instructions of the kernel therefore do what they do at CPL 0, whatever IA-32 makes of them at ring 1.
 * Invariants: the guest never sees an address in the cache: whatever stops the CPU there, its registers are put back to
 * those of an instruction boundary of the guest first; an interrupt comes between two of its instructions.
 * User programs execute directly, so those of their sensitive instructions that do not trap see the VMM's tables, as
 * on any VMM of this kind; each is watched and reported.
 * Sources: Adams & Agesen, ASPLOS 2006, section 3; Bugnion et al., ACM TOCS 2012, sections 4 and 5.
 */

import { assert, UserError } from '../../core/errors.ts';
import { ACCOUNT_GUEST, ACCOUNT_TRANSLATED, type Account } from '../../core/runnable.ts';
import { EXIT_BUDGET, EXIT_EXCEPTION, EXIT_SENSITIVE, EXIT_UNIMPLEMENTED, VECTOR_PF } from '../../machine/exits.ts';
import { FLAG_IF, FLAG_IOPL, FLAG_TF, FLAG_VM } from '../../machine/flags.ts';
import { type Insn, SEG_CS, SEG_GS, SEG_SS } from '../../machine/insn.ts';
import { INTERCEPT_INVLPG } from '../../machine/isa/row.ts';
import { CR0_PE } from '../../machine/paging.ts';
import { ATTR_BIG, setSegment } from '../../machine/segments.ts';
import { devicePath } from '../paths.ts';
import { TRANSLATION_CACHE_PAGES } from '../table-frames.ts';
import type { Disposition, Preparation, Technique } from '../technique.ts';
import { Adaptation } from '../translator/adaptation.ts';
import { TranslationCache } from '../translator/cache.ts';
import { CodePages, type Span } from '../translator/code-pages.ts';
import { type Fetched, fetchUnit } from '../translator/fetch.ts';
import {
  AT_BEFORE_STI,
  AT_CONTROL,
  AT_EAX,
  AT_ECX,
  AT_PENDING,
  AT_POST,
  AT_TARGET,
  AT_TSC_OFFSET,
  AT_VIRTUAL_FLAGS,
  CODE_DESCRIPTOR,
  DATA_DESCRIPTOR,
  SELECTOR_CODE,
  SELECTOR_DATA,
} from '../translator/layout.ts';
import { listUnits } from '../translator/listing.ts';
import { SAVED_EAX, SAVED_ECX, type Site, type Unit } from '../translator/site.ts';
import { UNIT_BYTES_MAX, writeUnit } from '../translator/unit.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { DeprivilegedExecutor, FAULT_NAMES, LINEAR_LIMIT } from './deprivileged.ts';

/** Bits of DR7 that make a breakpoint active. */
const DR7_ENABLES = 0xff;
const WORD = 0x100000000;

/** What a new unit takes the place of, or is entered by. */
interface Wanted {
  /** Address of the continuation that asks for it, or -1. */
  readonly continuation: number;
  /** Indirect jumps look for it. */
  readonly isTarget: boolean;
}

const NOBODY: Wanted = { continuation: -1, isTarget: false };

class TranslationExecutor extends DeprivilegedExecutor {
  readonly cache: TranslationCache;
  private readonly pages: CodePages;
  private readonly adaptation = new Adaptation();
  /** The real CPU, when loaded, executes in the cache. */
  private inCache = false;
  /** Code segment and IOPL that the translations were made for. */
  private context = { base: 0, limit: 0, iopl: -1 };
  /** Frames that other vCPUs wrote to. */
  private readonly foreign = new Set<number>();
  /** The last emulated instruction hit a traced page or a device. */
  private hitTrace = false;
  /** Guest address of the simulated instruction that is being carried out. */
  private simulating: number | null = null;
  private isBoot: boolean;

  constructor(vcpu: ExecutedVcpu, cachePages: number) {
    super(vcpu);
    const { vm } = vcpu;
    const { machine } = vm;
    this.cache = new TranslationCache(
      machine.memory,
      machine.codeCache,
      this.region,
      vm.vmmOwner,
      vm.spec.name,
      cachePages,
    );
    this.pages = new CodePages(vm.physmap, this.shadow, this.virtual, (unit) => this.forget(unit));
    this.virtual.mmio = vcpu.deviceMemory((device) => {
      this.hitTrace = true;
      vcpu.vmm(devicePath(device));
    });
    const { onForeignWrite } = this.shadow;
    this.shadow.onForeignWrite = (gfn) => {
      onForeignWrite?.(gfn);
      this.foreign.add(gfn);
    };
    vm.tables.translators.push({
      list: (first, end) => listUnits(this.cache, this.cpu, first, end),
      counts: this.cache.counts,
    });
    this.configure();
    this.isBoot = vcpu.index === 0;
  }

  /** Before its first entry, which translates: that takes time, and a vCPU has time only while it runs. */
  override prepare(wasRunning: boolean): Preparation {
    if (this.isBoot) {
      this.isBoot = false;
      this.finish();
    }
    return super.prepare(wasRunning);
  }

  get account(): Account {
    return this.inCache ? ACCOUNT_TRANSLATED : ACCOUNT_GUEST;
  }

  // ------------------------------------------------------------------ which of the three ways

  /** Neither ring 3 with interrupts on and IOPL 0 nor a 32-bit kernel: single steps, 16-bit code, rings in between. */
  protected override mustInterpret(): boolean {
    const { virtual } = this;
    const flags = virtual.systemFlags;
    if ((virtual.cr0 & CR0_PE) === 0 || (flags & FLAG_VM) !== 0) return true;
    if (virtual.cpl === 3) return (flags & FLAG_IF) === 0 || (flags & FLAG_IOPL) !== 0;
    const is32 = (virtual.segAttributes[SEG_CS]! & virtual.segAttributes[SEG_SS]! & ATTR_BIG) !== 0;
    const isWatched = (flags & FLAG_TF) !== 0 || (virtual.debug[7]! & DR7_ENABLES) !== 0;
    return virtual.cpl !== 0 || !is32 || isWatched;
  }

  protected override load(): void {
    const { virtual, cpu } = this;
    this.noteSimulated();
    this.inCache = virtual.cpl !== 3;
    cpu.observeSensitive = !this.inCache;
    cpu.codeLimit = this.inCache ? 0xffffffff : LINEAR_LIMIT;
    cpu.ownerSegment = this.inCache ? SEG_GS : -1;
    if (!this.inCache) {
      super.load();
      return;
    }
    this.useContext();
    const start = this.cache.startOf(virtual.eip) ?? this.translate(virtual.eip, NOBODY)?.start;
    if (start === undefined) {
      this.isInterpreted = true;
      return;
    }
    super.load();
    setSegment(cpu, SEG_CS, SELECTOR_CODE, CODE_DESCRIPTOR.low, CODE_DESCRIPTOR.high);
    setSegment(cpu, SEG_GS, SELECTOR_DATA, DATA_DESCRIPTOR.low, DATA_DESCRIPTOR.high);
    this.remember(SEG_CS);
    this.remember(SEG_GS);
    this.loadWords();
    cpu.eip = start;
  }

  private loadWords(): void {
    const { cache, virtual, cpu } = this;
    cache.setWord(AT_VIRTUAL_FLAGS, virtual.systemFlags & (FLAG_IF | FLAG_IOPL));
    for (const [n, value] of [virtual.cr0, 0, virtual.cr2, virtual.cr3, virtual.cr4].entries()) {
      cache.setWord(AT_CONTROL + 4 * n, value);
    }
    const offset = virtual.tscWritten;
    cache.setWord(AT_TSC_OFFSET, (offset % WORD) | 0);
    cache.setWord(AT_TSC_OFFSET + 4, Math.floor(offset / WORD));
    cpu.tscWritten = 0;
  }

  protected override unload(): void {
    if (!this.isLoaded || !this.inCache) {
      super.unload();
      return;
    }
    const { virtual, cache, cpu } = this;
    const eip = this.settle();
    super.unload();
    virtual.eip = eip;
    virtual.setEflags(cache.word(AT_VIRTUAL_FLAGS), FLAG_IF);
    cpu.tscWritten = virtual.tscWritten;
    this.hideInstructionPointer();
  }

  override guestView(): ReturnType<DeprivilegedExecutor['guestView']> {
    if (!this.isLoaded || !this.inCache) return super.guestView();
    // Only looked at: the CPU goes on from where it is.
    const { cpu } = this;
    this.leaveBetween();
    const { eip } = cpu;
    const registers = cpu.regs.slice();
    const view = super.guestView();
    cpu.eip = eip;
    cpu.regs.set(registers);
    cpu.tscWritten = 0;
    return view;
  }

  /** Translations hold for one code segment and one IOPL; others are rare. */
  private useContext(): void {
    const { virtual, context } = this;
    const base = virtual.segBase[SEG_CS]!;
    const limit = virtual.segLimit[SEG_CS]!;
    const iopl = virtual.systemFlags & FLAG_IOPL;
    if (base === context.base && limit === context.limit && iopl === context.iopl) return;
    if (context.iopl !== -1) this.flush();
    this.context = { base, limit, iopl };
    this.cache.setIopl(iopl);
  }

  // ------------------------------------------------------------------ precise state

  /**
   * Puts the guest's registers in their places, as of an instruction boundary, and the CPU where it can go on from
   * there. Returns the guest's EIP.
   */
  private settle(): number {
    const { cpu, cache } = this;
    this.leaveBetween();
    const site = cache.siteAt(cpu.eip);
    if ((site.saved & SAVED_ECX) !== 0) cpu.regs[1] = cache.word(AT_ECX);
    if ((site.saved & SAVED_EAX) !== 0) cpu.regs[0] = cache.word(AT_EAX);
    cpu.regs[4] = (cpu.regs[4]! + site.esp) | 0;
    assert(site.start !== 0, 'a place in the cache from which the guest cannot go on');
    cpu.eip = site.start;
    return site.isTarget ? cache.word(AT_TARGET) : site.eip;
  }

  /** Executes on, where an instruction is half done and its other half cannot fault. */
  private leaveBetween(): void {
    const { cpu, cache } = this;
    while (cache.siteAt(cpu.eip).isBetween) {
      const exit = cpu.step();
      assert(exit === EXIT_BUDGET, 'a translation faulted where it must not');
    }
  }

  /** The last x87 instruction may have executed in the cache: the guest sees where its own is. */
  private hideInstructionPointer(): void {
    const { fpu } = this.virtual;
    if (!this.cache.isInside(fpu.instructionOffset)) return;
    fpu.instructionOffset = this.cache.siteAt(fpu.instructionOffset).eip;
    fpu.instructionSelector = this.virtual.segSelector[SEG_CS]!;
  }

  protected override endShadow(): void {
    super.endShadow();
    this.cache.setWord(AT_BEFORE_STI, FLAG_IF);
  }

  protected override deliverWaiting(wasRunning: boolean): Disposition {
    const { vcpu, virtual, cache } = this;
    if (this.foreign.size > 0) this.followForeign();
    if (!this.isLoaded || !this.inCache) return super.deliverWaiting(wasRunning);
    if (vcpu.interruptWaiting || vcpu.nmiWaiting) {
      this.leaveBetween();
      vcpu.spendGuest();
      virtual.setEflags(cache.word(AT_VIRTUAL_FLAGS), FLAG_IF);
      const opened = (cache.word(AT_BEFORE_STI) & FLAG_IF) === 0;
      if (opened && cache.siteAt(this.cpu.eip).afterSti) this.shadowAt = this.instructions;
    }
    const result = super.deliverWaiting(wasRunning);
    const isPending = vcpu.interruptWaiting && (cache.word(AT_VIRTUAL_FLAGS) & FLAG_IF) === 0;
    cache.setWord(AT_PENDING, isPending ? 1 : 0);
    cache.setWord(AT_POST, vcpu.vm.pc.post.state.code);
    return result;
  }

  // ------------------------------------------------------------------ exits

  override handle(exit: number): Disposition {
    if (exit === EXIT_SENSITIVE) return this.observe();
    if (!this.inCache) return super.handle(exit);
    const { cpu, virtual } = this;
    if (exit !== EXIT_EXCEPTION) {
      assert(exit === EXIT_UNIMPLEMENTED, `exit ${exit} cannot come from translated code`);
      this.unload();
      virtual.exitText = cpu.exitText;
      return this.vcpu.crashed(exit, virtual);
    }
    const site = this.cache.siteAt(cpu.eip);
    switch (site.callOut) {
      case 'continue':
        return this.goOn(site, 'call-out-continue');
      case 'miss':
        return this.goOn(site, 'call-out-target');
      case 'emulate':
        return this.carryOut(site.insn!);
      case 'simulate':
        return this.simulate(site);
      case null:
        return cpu.exitVector === VECTOR_PF ? this.handleFault(site) : this.handleException(site.insn!);
    }
  }

  private handleException(insn: Insn): Disposition {
    this.unload();
    return this.handleTrap(insn);
  }

  /** A page fault of translated code: as of any guest code, but the instruction may be adapted. */
  private handleFault(site: Site): Disposition {
    const { cpu, vcpu, shadow } = this;
    const lin = cpu.exitLin;
    const insn = site.insn!;
    const fault = shadow.handleFault(lin, cpu.exitError);
    this.trap(fault.unsynced ? 'out-of-sync' : FAULT_NAMES[fault.kind], 'shadow-fault');
    this.chargeWork();
    switch (fault.kind) {
      case 'filled':
        vcpu.vmm('shadow-fill');
        this.settle();
        return 'resume';
      case 'guest':
        this.unload();
        return this.reflect(VECTOR_PF, fault.errorCode, lin);
      case 'traced-write':
      case 'absent':
      case 'reserved':
        this.unload();
        vcpu.vmm(fault.kind === 'traced-write' ? 'traced-write' : 'mmio-decode');
        // A repeated instruction goes over many pages, most of which are plain memory.
        if (insn.rep === 0 && this.adaptation.faulted(site.eip)) this.retranslate(site.eip);
        return this.emulate(insn);
    }
  }

  /** A call-out: through the gate to ring 0, and back. */
  private callOut(reason: string): void {
    this.vcpu.exit(reason, 2 * this.vcpu.vm.machine.preset.timing.instructions.far);
    this.vcpu.vmm('call-out');
  }

  private carryOut(insn: Insn): Disposition {
    this.callOut(`call-out-${insn.row.mnemonic.toLowerCase()}`);
    this.unload();
    const { virtual } = this;
    const page =
      insn.row.intercept === INTERCEPT_INVLPG ? (virtual.offset(insn) + virtual.segBase[insn.seg]!) | 0 : null;
    const result = this.emulate(insn, 'decoded');
    if (page !== null) this.pages.invalidated(page);
    return result;
  }

  private simulate(site: Site): Disposition {
    this.vcpu.exit('simulate', 0);
    this.unload();
    this.simulating = site.eip;
    return this.emulate(site.insn!, 'simulated');
  }

  /** After a simulated access, before the guest goes on: was it worth it? */
  private noteSimulated(): void {
    const eip = this.simulating;
    if (eip !== null) {
      this.simulating = null;
      if (this.adaptation.accessed(eip, this.hitTrace)) this.retranslate(eip);
    }
    this.hitTrace = false;
  }

  /** Jumps in the cache asked where to go on. */
  private goOn(site: Site, reason: string): Disposition {
    const { cache, cpu, vcpu } = this;
    this.callOut(reason);
    const eip = site.isTarget ? cache.word(AT_TARGET) : site.eip;
    const isTarget = site.callOut === 'miss';
    const from = cpu.eip;
    const flushes = cache.counts.flushes;
    let unit = cache.unitAt(eip);
    if (isTarget && unit !== undefined && !cache.canEnter(unit)) {
      this.flush();
      unit = undefined;
    }
    const isNew = unit === undefined;
    unit ??= this.translate(eip, { continuation: isTarget ? -1 : from, isTarget }) ?? undefined;
    if (unit === undefined) {
      // Its own CPU finds out what is wrong with that address.
      this.unload();
      this.isInterpreted = true;
      return 'resume';
    }
    const isSame = flushes === cache.counts.flushes;
    if (isTarget && !isNew) cache.enterTarget(unit, cache.entryOf(unit));
    else if (!isTarget && isSame && unit.start !== from) cache.chain(from, unit);
    vcpu.vmm('chain');
    cpu.eip = unit.start;
    return 'resume';
  }

  // ------------------------------------------------------------------ translating

  /** Translates the unit at a guest address. Null: its first instruction cannot be fetched or decoded. */
  private translate(eip: number, wanted: Wanted): Unit | null {
    const { cache, virtual, vcpu, openMmu } = this;
    openMmu.flushAll();
    virtual.dropCode();
    const references = virtual.walkReferences;
    const fetched = fetchUnit(virtual, eip);
    this.chargeReferences(virtual.walkReferences - references);
    if (fetched.length === 0) return null;
    if (!cache.hasRoom(UNIT_BYTES_MAX)) this.flush();
    else if (wanted.continuation !== -1) cache.elide(wanted.continuation);
    const entry = wanted.isTarget ? cache.writeEntryBefore(eip) : 0;
    const { iopl } = this.context;
    const unit = writeUnit(cache, { eip, fetched, iopl, simulated: this.adaptation.simulated });
    if (wanted.isTarget) cache.enterTarget(unit, entry);
    this.pages.add(unit, this.spansOf(fetched));
    this.chargeWork();
    this.chargePages();
    vcpu.vmm('translate-unit');
    vcpu.vmmCycles(fetched.length * vcpu.vm.machine.preset.vmm['translate-instruction']);
    return unit;
  }

  private spansOf(fetched: readonly Fetched[]): Span[] {
    const { vm } = this.vcpu;
    return fetched.flatMap(({ eip, insn, mfn }) => {
      const lin = (eip + this.virtual.segBase[SEG_CS]!) | 0;
      const first = lin & 0xfff;
      const end = first + insn.length;
      const span = { gfn: vm.gfnOf(mfn), first, end: Math.min(end, 4096), page: lin >>> 12 };
      if (insn.secondFrame < 0) return [span];
      return [span, { gfn: vm.gfnOf(insn.secondFrame), first: 0, end: end - 4096, page: ((lin >>> 12) + 1) & 0xfffff }];
    });
  }

  private chargeReferences(references: number): void {
    this.vcpu.vmmCycles(references * this.vcpu.vm.machine.preset.vmm['guest-walk-reference']);
  }

  private chargePages(): void {
    this.chargeReferences(this.pages.references);
    this.pages.references = 0;
  }

  /** The cache is full, or nothing in it holds any more. */
  private flush(): void {
    this.hideInstructionPointer();
    this.pages.clear();
    this.cache.reset();
    this.adaptation.forget();
    this.vcpu.vmm('cache-flush');
  }

  /** A unit's bytes or mapping changed. */
  private forget(unit: Unit): void {
    this.pages.remove(unit);
    this.cache.kill(unit);
  }

  /** The instruction at a guest address is to be translated in another way. */
  private retranslate(eip: number): void {
    const units = [...this.cache.liveUnits()].filter(({ insns }) => insns.some((one) => one.eip === eip));
    for (const unit of units) this.forget(unit);
  }

  // ------------------------------------------------------------------ what the guest changes

  protected override follow(): void {
    const { cr0, cr3, cr4 } = this.seen;
    super.follow();
    const { seen } = this;
    if (cr0 !== seen.cr0 || cr3 !== seen.cr3 || cr4 !== seen.cr4) {
      this.pages.recheck();
      this.chargePages();
    }
  }

  protected override flushed(): void {
    this.pages.recheck();
    this.chargePages();
  }

  protected override followWrites(): boolean {
    const writes = this.virtual.tracedWrites;
    for (let i = 0; i < writes.length; i += 2) {
      this.hitTrace = true;
      const at = writes[i]!;
      this.pages.written(this.vcpu.vm.gfnOf(Math.floor(at / 4096)) * 4096 + (at % 4096), writes[i + 1]!);
    }
    this.chargePages();
    return super.followWrites();
  }

  private followForeign(): void {
    const wasLoaded = this.isLoaded;
    this.unload();
    for (const gfn of this.foreign) this.pages.frameWritten(gfn);
    this.foreign.clear();
    if (wasLoaded) this.load();
  }
}

/** The technique with a cache of a given size. */
export function translationWith(cachePages: number): Technique {
  return {
    name: 'binary-translation',
    summary: 'the guest kernel as translated code at ring 1, its user programs directly, shadow paging',
    pagings: ['shadow'],
    make(vcpu) {
      const { name, paging } = vcpu.vm.spec;
      if (paging !== 'shadow') {
        throw new UserError(`VM ${name}: technique binary-translation has paging shadow, not ${paging}`);
      }
      return new TranslationExecutor(vcpu, cachePages);
    },
  };
}

export const binaryTranslation = translationWith(TRANSLATION_CACHE_PAGES);

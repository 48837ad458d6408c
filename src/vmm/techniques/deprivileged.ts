/**
 * What every technique that runs the guest's kernel at a lower ring has in common: the guest kernel does not have ring
 * 0, its user programs are in ring 3, on shadow page tables, with truncated segments, the VMM's own GDT, IDT and TSS,
 * and IOPL 0. Every exception and software interrupt comes to the VMM, which emulates the instruction on a virtual CPU
 * that holds the guest's view (CPL 0, virtual IF, its own tables). The virtual CPU is the same Cpu class, one
 * instruction at a time, so emulation has the architecture's full semantics.
 *
 *   real CPU: executes, ring 1 or 3   -- unload -->   virtual CPU: guest's view   -- load -->   real CPU
 *
 * A technique extends DeprivilegedExecutor, sets its CPU up in configure(), answers its own exits before handle() of
 * this class gets the rest, and calls begin() at the end of its constructor.
 * The VMM lives in the guest's address space: what it reads of the guest while it emulates it reads at the guest's own linear
 * address, through the shadow tables in use, so nothing but a page fault makes it walk the guest's tables.
 * SYSENTER enters the VMM as the MSRs say, which are its own; on the emulated CPU, where entering the VMM is leaving run(), they
 * are empty and it leaves as #GP. They are the guest's business once that has set its own; before, #GP is what it is.
 * Invariants: the guest's GDT and page tables are write-traced, so the shadows never lag behind; a user code
 * descriptor is present in the shadow GDT only while the guest is in user mode, so that IRET to user mode traps
 * (#NP) and the VMM sees the virtual IF come back; the guest never reaches the VMM's 4 MiB at the top.
 * Real mode cannot be deprivileged. The VMM carries out the start-up code of an application processor by itself, one
 * instruction after the other, until that has a code segment of protected mode; real mode later on ends the VM.
 * Sources: Popek & Goldberg 1974; Robin & Irvine 2000; SDM vol 3, chapters 5 and 6. See docs/decisions.md.
 */
import { assert } from '../../core/errors.ts';
import type { Lin } from '../../core/units.ts';
import { DR6_BREAKPOINTS, DR6_SINGLE_STEP, followDebugRegisters } from '../../machine/breakpoints.ts';
import { Cpu } from '../../machine/cpu.ts';
import { newCpuState, restoreCpu, saveCpu } from '../../machine/cpu-state.ts';
import {
  EXIT_BUDGET,
  EXIT_EXCEPTION,
  EXIT_FERR,
  EXIT_HALT,
  EXIT_IO,
  EXIT_UNIMPLEMENTED,
  NO_ERROR_CODE,
  VECTOR_AC,
  VECTOR_BR,
  VECTOR_DB,
  VECTOR_DE,
  VECTOR_GP,
  VECTOR_NM,
  VECTOR_NMI,
  VECTOR_PF,
  VECTOR_XM,
} from '../../machine/exits.ts';
import { FLAG_IF, FLAG_IOPL, FLAG_VM } from '../../machine/flags.ts';
import { type Insn, SEG_CS } from '../../machine/insn.ts';
import { INTERCEPT_INVLPG } from '../../machine/isa/row.ts';
import { MSR_SYSENTER_CS } from '../../machine/isa/sysenter.ts';
import type { Mmu } from '../../machine/mmu.ts';
import {
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_OSFXSR,
  CR4_OSXMMEXCPT,
  GuestWalker,
} from '../../machine/paging.ts';
import { resetCpu, startCpu } from '../../machine/reset.ts';
import {
  ATTR_CODE,
  ATTR_CODE_OR_DATA,
  ATTR_DPL,
  ATTR_EXPAND_DOWN,
  setNull,
  setSegment,
  updateFlat,
} from '../../machine/segments.ts';
import { OUT_OF_SYNC_MAX, type ShadowFaultKind, ShadowPaging } from '../paging/shadow.ts';
import { ShadowGroup } from '../paging/shadow-group.ts';
import { tableWorkCycles } from '../paging/work.ts';
import type { VmmOperation } from '../paths.ts';
import { shadowFrames } from '../table-frames.ts';
import { BUDGET_UNLIMITED, type Disposition, type Executor, type Preparation } from '../technique.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { bootCpu, identifyCpu } from '../vm.ts';
import { findDivergence } from './divergence.ts';
import { VMM_BASE, VmmRegion } from './vmm-region.ts';

/** Highest linear address that guest segments reach. */
export const LINEAR_LIMIT = VMM_BASE - 1;
/**
 * What SMSW shows: the VMM's own CR0. With TS and MP set, everything about the coprocessor traps. The first trap gives
 * the guest the unit, unless the guest itself has closed it (EM, TS).
 */
const VMM_CR0 = CR0_PE | CR0_MP | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
/** What the guest has switched on of the vector unit is what it gets. */
const CR4_VECTOR = CR4_OSFXSR | CR4_OSXMMEXCPT;

/** What the real CPU can report in DR6: breakpoints and single steps. */
const DR6_CAUSES = DR6_BREAKPOINTS | DR6_SINGLE_STEP;

/** Path of the VMM that emulates an instruction, by its cost class; others take only decode and emulate. */
const OPERATIONS: Readonly<Record<string, VmmOperation>> = {
  flags: 'flags',
  control: 'control-register',
  descriptor: 'descriptor-table',
  halt: 'hlt',
  iret: 'iret',
  segment: 'segment-load',
  far: 'segment-load',
  invlpg: 'invlpg',
  cpuid: 'cpuid',
  rdtsc: 'rdtsc',
  msr: 'msr',
};

const EXCEPTION_NAMES: Readonly<Record<number, string>> = {
  0: 'divide-error',
  1: 'debug',
  3: 'breakpoint',
  4: 'overflow',
  5: 'bound-range',
  6: 'invalid-opcode',
  7: 'device-not-available',
  10: 'invalid-tss',
  11: 'segment-not-present',
  12: 'stack-fault',
  13: 'general-protection',
  14: 'page-fault',
  16: 'floating-point-error',
  17: 'alignment-check',
};

/** What a page fault turned out to be, as exits.csv has it. */
export const FAULT_NAMES: Readonly<Record<ShadowFaultKind, string>> = {
  filled: 'hidden-fault',
  guest: 'true-fault',
  'traced-write': 'trace',
  absent: 'mmio',
  reserved: 'vmm-region',
};

/**
 * Exceptions that mean the same at any ring, so they are the guest's own and the VMM has nothing to decode. The others may
 * come of the ring, of the VMM's tables, or of CR0 (#NM, #MF).
 */
const REPORTED = new Set([VECTOR_DE, VECTOR_BR, VECTOR_AC, VECTOR_XM]);

const isSysenter = (insn: Insn): boolean => insn.row.mnemonic === 'SYSENTER';
const isFastCall = (insn: Insn): boolean => isSysenter(insn) || insn.row.mnemonic === 'SYSEXIT';

const isSoftwareInterrupt = (insn: Insn | null): boolean => insn?.row.mnemonic.startsWith('INT') === true;

export abstract class DeprivilegedExecutor implements Executor {
  /** Deprivileged: executes. */
  readonly cpu: Cpu;
  /** The guest's view. Up to date only while unloaded. */
  protected readonly virtual: Cpu;
  protected readonly vcpu: ExecutedVcpu;
  protected readonly shadow: ShadowPaging;
  protected readonly region: VmmRegion;
  protected readonly openMmu: Mmu;
  /** Where the guest's kernel really runs. */
  protected readonly kernelRing: 1 | 3;
  /** Segment registers as load() set them: what differs was loaded by the guest without a trap. */
  protected readonly loaded = newCpuState();
  protected isLoaded = false;
  /** Instructions of the real CPU at the last load(). */
  protected loadedAt = 0;
  /** Control registers and GDTR that the shadows were made for. */
  protected seen = { cr0: 0, cr3: 0, cr4: 0, gdtBase: 0, gdtLimit: -1 };
  emulated = 0;
  /** Flushes of openMmu before the last emulated instruction: a further one is the guest's own. */
  private flushesBefore = 0;
  /** The pending interrupt was already noticed by the VMM. */
  protected noticed = false;
  /** The VMM carries out one instruction after the other: the real CPU cannot run what comes now. */
  protected isInterpreted = false;
  /** Another vCPU wrote to this one's GDT, or to page tables that may map it. */
  protected gdtTouched = false;
  protected tablesTouched = false;
  /** `instructions` just after a virtual STI or MOV SS was emulated: one must retire before an interrupt. */
  protected shadowAt = -1;
  budgetMax = BUDGET_UNLIMITED;

  constructor(vcpu: ExecutedVcpu) {
    const { vm } = vcpu;
    const { machine } = vm;
    this.vcpu = vcpu;
    this.kernelRing = vm.spec.ring ?? 1;
    this.openMmu = machine.helperMmu(new GuestWalker(vm.physmap));
    this.virtual = new Cpu(machine.memory, this.openMmu, machine.codeCache);
    identifyCpu(this.virtual, vcpu.lapic);
    bootCpu(this.virtual, vm.boot);
    this.virtual.mmio = vcpu.deviceMemory();
    this.cpu = new Cpu(machine.memory, machine.mmus[0]!, machine.codeCache);
    identifyCpu(this.cpu, vcpu.lapic);
    this.cpu.fpu = this.virtual.fpu;
    this.region = new VmmRegion(machine.memory, vm.physmap, vm.vmmOwner, vm.spec.name);
    vm.tables.shadows ??= new ShadowGroup(machine.memory);
    this.shadow = new ShadowPaging(machine.memory, vm.physmap, this.virtual, {
      owner: vm.vmmOwner,
      group: vm.tables.shadows,
      maxFrames: shadowFrames(vm.physmap.ramFrames),
      outOfSyncMax: vm.spec.outOfSync === true ? OUT_OF_SYNC_MAX : 0,
      caching: vm.spec.keepShadows ?? true,
      reserved: { pdeIndex: VMM_BASE >>> 22, pde: this.region.pde },
    });
    this.shadow.kernelView = this.kernelRing === 3;
    this.shadow.invalidate = (first, pages) => this.invalidate(first, pages);
    this.shadow.onForeignWrite = (gfn) => {
      this.tablesTouched = true;
      this.gdtTouched ||= this.region.gdtFrames.has(gfn);
    };
  }

  /** Sets the real CPU up, and loads the guest if this is the boot CPU. Called once, when the technique is complete. */
  protected begin(): void {
    this.configure();
    if (this.vcpu.index === 0) this.finish();
  }

  /** What stays the same whenever the guest runs. */
  protected configure(): void {
    const { cpu, region } = this;
    cpu.linearLimit = LINEAR_LIMIT;
    cpu.codeLimit = LINEAR_LIMIT;
    cpu.interceptExceptions = -1;
    cpu.interceptSoftwareInterrupts = true;
    cpu.cr0 = VMM_CR0;
    region.loadInto(cpu);
  }

  get instructions(): number {
    return this.cpu.instructions + this.emulated;
  }

  /** The guest changes its level by way of the VMM alone. */
  get guestCpl(): number {
    return this.virtual.cpl;
  }

  interrupted(): void {
    this.trap('external-interrupt', 'external-interrupt');
  }

  dispatched(mmu: Mmu): void {
    // Loading another CR3 flushes; there is no tag.
    mmu.flushAll();
    mmu.attach(this.shadow, this.vcpu.addressSpaceTag);
    this.cpu.attach(mmu);
  }

  start(vector: number): void {
    this.unload();
    resetCpu(this.virtual);
    startCpu(this.virtual, vector);
    this.cpu.exitIsSoftware = false;
    this.isInterpreted = true;
  }

  prepare(wasRunning: boolean): Preparation {
    if (this.tablesTouched) this.followOthers();
    const result = this.deliverWaiting(wasRunning);
    if (result !== 'resume' || !this.isInterpreted) return result;
    this.cpu.exitIsSoftware = false;
    this.vcpu.exit(this.interpretedReason(), 0);
    const after = this.emulate(null);
    return after === 'resume' ? 'emulated' : after;
  }

  /** Delivers an NMI or an interrupt, if one waits and the guest takes it. */
  protected deliverWaiting(wasRunning: boolean): Disposition {
    const { vcpu, virtual } = this;
    this.budgetMax = BUDGET_UNLIMITED;
    const inShadow = this.shadowAt === this.instructions;
    if (inShadow && (vcpu.nmiWaiting || vcpu.interruptWaiting)) this.budgetMax = 1;
    if (vcpu.nmiWaiting && !inShadow && !this.nmiBlocked) {
      if (wasRunning) this.trap('external-interrupt', 'external-interrupt');
      this.unload();
      vcpu.acknowledgeNmi();
      virtual.nmiBlocked = true;
      return this.reflect(VECTOR_NMI, NO_ERROR_CODE, 0, true);
    }
    if (!vcpu.interruptWaiting) {
      this.noticed = false;
      return 'resume';
    }
    if (wasRunning && !this.noticed) this.trap('external-interrupt', 'external-interrupt');
    this.noticed = true;
    if (!virtual.interruptsEnabled() || inShadow) return 'resume';
    this.unload();
    vcpu.vmm('interrupt-accept');
    const result = this.reflect(vcpu.acknowledgeInterrupt(), NO_ERROR_CODE, 0, true);
    this.noticed = false;
    return result;
  }

  protected get nmiBlocked(): boolean {
    return (this.isLoaded ? this.cpu : this.virtual).nmiBlocked;
  }

  handle(exit: number): Disposition {
    if (exit !== EXIT_EXCEPTION) {
      assert(exit === EXIT_UNIMPLEMENTED, `exit ${exit} cannot come from a deprivileged guest`);
      return this.vcpu.crashed(exit, this.cpu);
    }
    const { cpu } = this;
    if (cpu.exitVector === VECTOR_PF && !cpu.exitIsSoftware) return this.handlePageFault();
    this.unload();
    if (cpu.exitVector === VECTOR_DB && !cpu.exitIsSoftware) return this.reflectStep();
    return this.handleTrap(cpu.exitInsn);
  }

  /** An exception other than a page fault, or a software interrupt, of an instruction of the guest's; unloaded. */
  protected handleTrap(insn: Insn): Disposition {
    const { cpu, virtual } = this;
    const { exitVector: vector, exitIsSoftware } = cpu;
    if (vector === VECTOR_GP && isSysenter(insn) && this.ownsSysenter()) {
      const { timing, deprivileged } = this.vcpu.vm.machine.preset;
      this.vcpu.exit('sysenter', timing.instructions[insn.row.cost] + deprivileged.returnCycles);
      this.vcpu.vmm('trap-dispatch');
      return this.emulate(insn, 'decoded');
    }
    this.trap(this.reasonOf(insn));
    if (exitIsSoftware) return this.emulate(insn);
    if (vector === VECTOR_NM && (virtual.cr0 & (CR0_EM | CR0_TS)) === 0) return this.grantFpu();
    if (REPORTED.has(vector)) return this.reflect(vector, cpu.exitError, 0);
    return this.emulate(insn);
  }

  /** The guest has set its MSRs, so the VMM has set the real ones to its own entry. */
  private ownsSysenter(): boolean {
    return ((this.virtual.msrs.get(MSR_SYSENTER_CS)?.[0] ?? 0) & 0xfffc) !== 0;
  }

  guestView(): Cpu {
    const wasLoaded = this.isLoaded;
    this.unload();
    // Only looked at: the real CPU still holds the guest, and what it does next must be copied again.
    this.isLoaded = wasLoaded;
    return this.virtual;
  }

  // ------------------------------------------------------------------ exits

  /** Charges one exception to ring 0 and the return from it. */
  protected trap(reason: string, operation: VmmOperation | null = null): void {
    const { trapCycles, returnCycles } = this.vcpu.vm.machine.preset.deprivileged;
    this.vcpu.exit(reason, trapCycles + returnCycles);
    this.vcpu.vmm('trap-dispatch');
    if (operation !== null) this.vcpu.vmm(operation);
  }

  protected reasonOf(insn: Insn): string {
    if (this.cpu.exitIsSoftware) return 'software-interrupt';
    const { class: kind, mnemonic } = insn.row;
    if (kind === 'privileged') return `privileged-${mnemonic.toLowerCase()}`;
    if (kind === 'sensitive') return `trapped-${mnemonic.toLowerCase()}`;
    return EXCEPTION_NAMES[this.cpu.exitVector] ?? `exception-${this.cpu.exitVector}`;
  }

  protected handlePageFault(): Disposition {
    const { cpu, vcpu, shadow } = this;
    const lin = cpu.exitLin;
    const insn = cpu.exitInsn;
    const fault = shadow.handleFault(lin, cpu.exitError);
    this.trap(fault.unsynced ? 'out-of-sync' : FAULT_NAMES[fault.kind], 'shadow-fault');
    this.chargeWork();
    switch (fault.kind) {
      case 'filled':
        vcpu.vmm('shadow-fill');
        return 'resume';
      case 'guest':
        this.unload();
        return this.reflect(VECTOR_PF, fault.errorCode, lin);
      case 'traced-write':
        this.unload();
        vcpu.vmm('traced-write');
        return this.emulate(insn);
      case 'absent':
      case 'reserved':
        this.unload();
        vcpu.vmm('mmio-decode');
        return this.emulate(insn);
    }
  }

  /** The VMM carries out the instruction at EIP on the virtual CPU; a fault of the guest's own is delivered there too. */
  protected emulate(insn: Insn | null, how: 'trapped' | 'decoded' | 'simulated' = 'trapped'): Disposition {
    const { virtual, vcpu } = this;
    // Of INT n the processor has told the number, and where it ends.
    const isSoftware = this.cpu.exitIsSoftware && how === 'trapped' && !this.isInterpreted;
    if (how === 'trapped' && !isSoftware) vcpu.vmm('decode');
    const before = virtual.instructions;
    const invalidated = insn?.row.intercept === INTERCEPT_INVLPG ? this.pageOf(insn) : null;
    const exit = this.stepVirtual();
    if (this.vcpu.vm.spec.outOfSync === true && !this.isInterpreted) this.syncTables(invalidated);
    if (this.hasFlushed && !this.isInterpreted) this.flushed();
    let result: Disposition = 'resume';
    if (exit === EXIT_IO) {
      vcpu.chargeDevice(virtual);
      const end = virtual.completeIo(vcpu.accessPort(virtual));
      if (end !== EXIT_BUDGET) return vcpu.crashed(end, virtual);
    } else if (exit === EXIT_HALT) {
      vcpu.vmm('hlt');
      result = vcpu.halted(virtual);
    } else if (exit === EXIT_FERR) {
      this.endShadow();
      result = vcpu.stoodStill(virtual);
    } else if (exit !== EXIT_BUDGET) return vcpu.crashed(exit, virtual);
    const retired = virtual.instructions - before;
    this.emulated += retired;
    if (retired === 0 || this.cpu.exitIsSoftware || (how === 'decoded' && isSoftwareInterrupt(insn))) {
      vcpu.vmm('reflect');
    } else if (how === 'simulated') vcpu.vmm('simulate');
    else if (insn !== null && isFastCall(insn)) vcpu.vmm('fast-call');
    else {
      vcpu.vmm('emulate');
      const operation = OPERATIONS[insn?.row.cost ?? ''];
      if (operation !== undefined && exit === EXIT_BUDGET) vcpu.vmm(operation);
    }
    if (virtual.interruptsEnabled() && !virtual.interruptible()) this.shadowAt = this.instructions;
    // Interpreted code meets its own debug exceptions.
    const trap = this.isInterpreted ? 0 : virtual.takePendingTrap();
    if (trap !== 0) {
      virtual.noteDebug(trap);
      return this.reflect(VECTOR_DB, NO_ERROR_CODE, 0);
    }
    this.finish();
    return result;
  }

  /** The guest's CPU stands still: no instruction of its retires before the next interrupt. */
  protected endShadow(): void {
    this.shadowAt = -1;
  }

  /** Linear address that the guest's INVLPG names. */
  private pageOf(insn: Insn): Lin {
    return (this.virtual.segBase[insn.seg]! + this.virtual.offset(insn)) | 0;
  }

  /** The instruction just emulated flushed the guest's translations, and left its CR3 as it was. */
  private get hasFlushed(): boolean {
    return this.openMmu.dtlb.flushes !== this.flushesBefore && this.virtual.cr3 === this.seen.cr3;
  }

  /** The guest has flushed translations: what was out of sync follows. A new CR3 has it done by loadRoot(). */
  private syncTables(invalidated: Lin | null): void {
    const { shadow, virtual } = this;
    if (invalidated !== null) shadow.invalidatePage(invalidated);
    else if (this.hasFlushed) shadow.sync();
    else return;
    this.chargeWork();
    if (this.region.gdtMoved(virtual)) this.syncGdt();
  }

  /** The guest flushed its translations and kept its CR3: for what else is made from its page tables. */
  protected flushed(): void {}

  /** The guest uses the floating-point unit for the first time since it opened it. */
  protected grantFpu(): Disposition {
    this.vcpu.vmm('emulate');
    this.cpu.cr0 &= ~CR0_TS;
    this.load();
    return 'resume';
  }

  /** A single step of the guest's ended on the real CPU, or it hit a breakpoint there. */
  protected reflectStep(): Disposition {
    this.trap('debug');
    this.virtual.noteDebug(this.cpu.debug[6]! & DR6_CAUSES);
    this.cpu.debug[6] = 0;
    return this.reflect(VECTOR_DB, NO_ERROR_CODE, 0);
  }

  /** Delivers an event through the guest's IDT, in software. */
  protected reflect(vector: number, errorCode: number, lin: Lin, external = false): Disposition {
    const { virtual, vcpu } = this;
    vcpu.vmm('reflect');
    this.openMmu.flushAll();
    virtual.dropCode();
    const exit = virtual.inject(vector, errorCode, lin, external);
    if (exit !== EXIT_BUDGET) return vcpu.crashed(exit, virtual);
    this.finish();
    return 'resume';
  }

  /** One instruction on the virtual CPU, whose TLB starts empty: its walks stand for the shadow's, which are there already. */
  protected stepVirtual(): number {
    const { virtual } = this;
    this.openMmu.flushAll();
    virtual.dropCode();
    this.flushesBefore = this.openMmu.dtlb.flushes;
    virtual.tscOffset = this.cpu.tscOffset + this.cpu.cycles - virtual.cycles;
    virtual.tscWritten = this.cpu.tscWritten;
    const exit = this.isInterpreted ? virtual.run(1) : virtual.step();
    this.cpu.tscWritten = virtual.tscWritten;
    return exit;
  }

  /** After a change of the guest's view: bring the shadows up to date, and go back to the real CPU. */
  protected finish(): void {
    this.isInterpreted = this.mustInterpret();
    if (this.isInterpreted) {
      this.followWrites();
      return;
    }
    this.follow();
    this.load();
  }

  /** Why the VMM carries out the guest's next instruction by itself, as exits.csv has it. */
  protected interpretedReason(): string {
    const { virtual } = this;
    if ((virtual.cr0 & CR0_PE) === 0) return 'real-mode';
    if ((virtual.systemFlags & FLAG_VM) !== 0) return 'virtual-8086-mode';
    return virtual.cpl === 3 ? 'interpreted-user' : 'interpreted-kernel';
  }

  /** The real CPU cannot run what the guest's view shows: here, start-up code before its first code segment. */
  protected mustInterpret(): boolean {
    const { virtual } = this;
    const isCode =
      (virtual.segAttributes[SEG_CS]! & (ATTR_CODE | ATTR_CODE_OR_DATA)) === (ATTR_CODE | ATTR_CODE_OR_DATA);
    return this.isInterpreted && ((virtual.cr0 & CR0_PE) === 0 || !isCode);
  }

  // ------------------------------------------------------------------ the guest's tables

  /** Follows what the guest did to its page tables, control registers and GDT. */
  protected follow(): void {
    const { virtual, seen, vcpu, shadow } = this;
    const wrote = virtual.tracedWrites.length > 0;
    const gdtTouched = this.followWrites();
    const paging = virtual.cr0 !== seen.cr0 || virtual.cr3 !== seen.cr3 || virtual.cr4 !== seen.cr4;
    if (paging || shadow.rootMfn < 0) {
      shadow.loadRoot();
      if (this.isLoaded || seen.gdtLimit >= 0) {
        vcpu.vmm('root-switch');
        this.chargeWork();
      }
      this.cpu.flushTlb(true);
    }
    if (virtual.cr3 !== seen.cr3) vcpu.switchedTo(virtual.cr3);
    const tables = virtual.gdtBase !== seen.gdtBase || virtual.gdtLimit !== seen.gdtLimit;
    if (tables) this.region.traceAgain(shadow);
    if (tables || gdtTouched || ((paging || wrote) && this.region.gdtMoved(virtual))) this.syncGdt();
    this.seen = {
      cr0: virtual.cr0,
      cr3: virtual.cr3,
      cr4: virtual.cr4,
      gdtBase: virtual.gdtBase,
      gdtLimit: virtual.gdtLimit,
    };
  }

  /** Brings the shadows up to date with the last emulated instruction's writes. True if one hit the GDT. */
  protected followWrites(): boolean {
    const { vcpu, shadow } = this;
    const writes = this.virtual.tracedWrites;
    let gdtTouched = false;
    for (let i = 0; i < writes.length; i += 2) {
      const at = writes[i]!;
      const gfn = vcpu.vm.gfnOf(Math.floor(at / 4096));
      shadow.guestTableWritten(gfn * 4096 + (at % 4096), writes[i + 1]!);
      this.chargeWork();
      if (this.region.written(gfn * 4096 + (at % 4096), writes[i + 1]!, shadow)) gdtTouched = true;
    }
    writes.length = 0;
    return gdtTouched;
  }

  /** Another vCPU changed tables: the shadow GDT may be made from what is no longer there. */
  protected followOthers(): void {
    const needsSync = this.gdtTouched || this.region.gdtMoved(this.virtual);
    this.tablesTouched = false;
    this.gdtTouched = false;
    if (!needsSync || this.isInterpreted || !this.isLoaded) return;
    this.unload();
    this.syncGdt();
    this.load();
  }

  protected syncGdt(): void {
    const { region, shadow, virtual, vcpu } = this;
    const descriptors = region.syncGdt(virtual, shadow);
    if (this.seen.gdtLimit >= 0) vcpu.vmmCycles(descriptors * vcpu.vm.machine.preset.vmm['descriptor-sync']);
  }

  protected invalidate(firstPage: number, pages: number): void {
    const { cpu } = this;
    // Another context is loaded there: when this one comes back, everything is flushed.
    if (cpu.mmu.walker !== this.shadow) return;
    if (pages > 64) cpu.flushTlb(true);
    else for (let page = firstPage; page < firstPage + pages; page++) cpu.mmu.invalidatePage(page << 12);
    cpu.dropCode();
  }

  protected chargeWork(): void {
    const { vcpu, shadow } = this;
    const cycles = tableWorkCycles(vcpu.vm.machine.preset.vmm, shadow.work);
    if (cycles > 0) vcpu.vmmCycles(cycles);
  }

  // ------------------------------------------------------------------ between the two CPUs

  /** Ring that guest code of virtual privilege `cpl` runs at. */
  protected realRing(cpl: number): number {
    return cpl === 0 ? this.kernelRing : cpl;
  }

  /** Guest's view to real CPU. */
  protected load(): void {
    const { cpu, virtual } = this;
    if ((virtual.cr0 & CR0_PE) === 0 || (virtual.systemFlags & FLAG_VM) !== 0) {
      this.vcpu.vm.end('unimplemented', `real mode or virtual-8086 mode under ${this.vcpu.vm.spec.technique}`);
      return;
    }
    for (let r = 0; r < 8; r++) cpu.regs[r] = virtual.regs[r]!;
    cpu.eip = virtual.eip;
    cpu.setEflags((virtual.getEflags() & ~FLAG_IOPL) | FLAG_IF, -1);
    cpu.cr2 = virtual.cr2;
    cpu.nmiBlocked = virtual.nmiBlocked;
    this.loadDebugRegisters();
    if (virtual.resumeAt === virtual.instructions) cpu.resumeAt = cpu.instructions;
    cpu.cr4 = (cpu.cr4 & ~CR4_VECTOR) | (virtual.cr4 & CR4_VECTOR);
    if ((virtual.cr0 & (CR0_EM | CR0_TS)) !== 0) cpu.cr0 |= CR0_TS;
    const ring = this.realRing(virtual.cpl);
    this.region.showUserCode(virtual.cpl === 3);
    if (this.kernelRing === 3) this.switchView(virtual.cpl === 0);
    cpu.setCpl(ring);
    for (let seg = 0; seg < 6; seg++) {
      this.loadSegment(seg, ring);
      this.remember(seg);
    }
    this.loadedAt = cpu.instructions;
    this.isLoaded = true;
  }

  /**
   * Kernel and user programs of the guest are in the same ring: each has page tables and descriptors of its own, so that the
   * user programs cannot reach the kernel. Loading another root flushes the TLB.
   */
  protected switchView(isKernel: boolean): void {
    const { shadow, vcpu, cpu } = this;
    this.region.showKernel(isKernel);
    if (shadow.kernelView === isKernel) return;
    shadow.show(isKernel);
    vcpu.vmm('root-switch');
    this.chargeWork();
    cpu.flushTlb(true);
  }

  /** The guest's breakpoints work on the real CPU: linear addresses are the same there. */
  protected loadDebugRegisters(): void {
    const { cpu, virtual } = this;
    const same = virtual.debug.every((value, n) => n === 6 || value === cpu.debug[n]);
    if (same) return;
    for (let n = 0; n < 8; n++) if (n !== 6) cpu.debug[n] = virtual.debug[n]!;
    followDebugRegisters(cpu);
  }

  /** Notes what a real segment register holds that the guest's view agrees with. */
  protected remember(seg: number): void {
    const { cpu, loaded } = this;
    loaded.segSelector[seg] = cpu.segSelector[seg]!;
    loaded.segBase[seg] = cpu.segBase[seg]!;
    loaded.segLimit[seg] = cpu.segLimit[seg]!;
    loaded.segAttributes[seg] = cpu.segAttributes[seg]!;
  }

  protected loadSegment(seg: number, ring: number): void {
    const { cpu, virtual } = this;
    let selector = virtual.segSelector[seg]!;
    let attributes = virtual.segAttributes[seg]!;
    const isKernel = virtual.cpl === 0;
    if ((attributes & ATTR_CODE_OR_DATA) !== 0 && (attributes & ATTR_DPL) === 0)
      attributes |= (isKernel ? ring : 1) << 5;
    if (isKernel && (seg === 1 || seg === 2)) selector |= ring;
    const expandsDown = (attributes & (ATTR_CODE | ATTR_EXPAND_DOWN)) === ATTR_EXPAND_DOWN;
    const limit = virtual.segLimit[seg]! >>> 0;
    cpu.segSelector[seg] = selector;
    cpu.segBase[seg] = virtual.segBase[seg]!;
    cpu.segLimit[seg] = expandsDown ? limit : Math.min(limit, LINEAR_LIMIT);
    cpu.segAttributes[seg] = attributes;
    updateFlat(cpu, seg);
  }

  /** Real CPU to guest's view. */
  protected unload(): void {
    if (!this.isLoaded) return;
    this.isLoaded = false;
    const { cpu, virtual } = this;
    if (cpu.instructions !== this.loadedAt) {
      virtual.resumeAt = cpu.resumeAt === cpu.instructions ? virtual.instructions : -1;
    }
    for (let r = 0; r < 8; r++) virtual.regs[r] = cpu.regs[r]!;
    virtual.eip = cpu.eip;
    virtual.nmiBlocked = cpu.nmiBlocked;
    virtual.setEflags(cpu.getEflags(), ~(FLAG_IF | FLAG_IOPL | FLAG_VM));
    for (let seg = 0; seg < 6; seg++) if (this.segmentChanged(seg)) this.unloadSegment(seg);
    virtual.dropCode();
  }

  protected segmentChanged(seg: number): boolean {
    const { cpu, loaded } = this;
    return (
      cpu.segSelector[seg] !== loaded.segSelector[seg] ||
      cpu.segBase[seg] !== loaded.segBase[seg] ||
      cpu.segLimit[seg] !== loaded.segLimit[seg] ||
      cpu.segAttributes[seg] !== loaded.segAttributes[seg]
    );
  }

  /** The guest loaded a segment register without a trap: its view comes from the guest's own descriptor. */
  protected unloadSegment(seg: number): void {
    const { cpu, virtual } = this;
    this.remember(seg);
    let selector = cpu.segSelector[seg]!;
    if (virtual.cpl === 0 && (seg === 1 || seg === 2)) selector &= ~3;
    if ((selector & 0xfffc) === 0) {
      setNull(virtual, seg, selector);
      return;
    }
    const { low, high } = this.region.guestDescriptor(selector);
    setSegment(virtual, seg, selector, low, high | 0x100);
  }

  // ------------------------------------------------------------------ watching sensitive instructions

  /**
   * A sensitive instruction is about to execute. Lets it do what it does at this ring, then runs it on the guest's
   * view as of before, undoes that, and compares. Costs nothing: it is the experimenter who looks, not the VMM.
   */
  protected observe(): Disposition {
    const { cpu, virtual, vcpu } = this;
    const insn = cpu.exitInsn;
    this.unload();
    const before = newCpuState();
    saveCpu(virtual, before);
    this.isLoaded = true;
    const exit = cpu.step();
    vcpu.spendGuest();
    if (exit !== EXIT_BUDGET) return this.handle(exit);
    const name = insn.row.mnemonic.toLowerCase();
    vcpu.vm.unseen.set(name, (vcpu.vm.unseen.get(name) ?? 0) + 1);

    const log: number[] = [];
    virtual.undoLog = log;
    this.openMmu.flushAll();
    virtual.dropCode();
    virtual.step();
    virtual.takePendingTrap();
    virtual.undoLog = null;
    virtual.tracedWrites.length = 0;
    const expected = newCpuState();
    saveCpu(virtual, expected);
    restoreCpu(virtual, before);
    this.unload();
    const seen = newCpuState();
    saveCpu(virtual, seen);
    this.isLoaded = true;
    const found = findDivergence(insn, before, expected, seen, log, cpu, this.openMmu);
    if (found !== null) {
      vcpu.vm.recordDivergence(found);
    }
    return 'resume';
  }
}

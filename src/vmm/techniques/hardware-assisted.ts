/**
 * Hardware-assisted virtualization (VT-x): the guest kernel runs at ring 0 in guest mode; a control block (vmcs/) says
 * which events exit, what an entry injects, and what the last exit was. With shadow paging every page fault, INVLPG and
 * control-register access exits (first-generation VT-x); with nested paging the MMU walks guest and nested tables and only a
 * missing nested entry exits. Without a tagged TLB (VPID) each exit and entry flushes everything.
 * Invariants: the VMM learns about an exit by VMREAD and changes controls by VMWRITE, and each of them is charged; an event
 * goes into the guest through the control block alone.
 * Sources: SDM vol 3, chapters 24 to 28; Adams & Agesen, ASPLOS 2006, section 4.
 */
import { assert, UserError } from '../../core/errors.ts';
import { PauseWindow } from '../../core/pause-window.ts';
import type { Lin } from '../../core/units.ts';
import { Cpu } from '../../machine/cpu.ts';
import {
  EXIT_BUDGET,
  EXIT_EXCEPTION,
  EXIT_FERR,
  EXIT_HALT,
  EXIT_INTERCEPT,
  EXIT_INTERRUPT_WINDOW,
  EXIT_IO,
  EXIT_NESTED_FAULT,
  EXIT_TASK_SWITCH,
  EXIT_TRIPLE_FAULT,
  escalates,
  NO_ERROR_CODE,
  VECTOR_DF,
  VECTOR_NMI,
  VECTOR_PF,
  VECTOR_UD,
} from '../../machine/exits.ts';
import { type Insn, SEG_CS } from '../../machine/insn.ts';
import {
  INTERCEPT_CPUID,
  INTERCEPT_CR_READ,
  INTERCEPT_CR_WRITE,
  INTERCEPT_DESCRIPTOR_TABLE,
  INTERCEPT_DR,
  INTERCEPT_HLT,
  INTERCEPT_HYPERCALL,
  INTERCEPT_INVLPG,
  INTERCEPT_MSR,
  INTERCEPT_PAUSE,
  INTERCEPT_RDTSC,
  INTERCEPT_WBINVD,
} from '../../machine/isa/row.ts';
import type { Mmu } from '../../machine/mmu.ts';
import { GuestWalker, type PageWalker, WALK_OK } from '../../machine/paging.ts';
import { resetCpu, startCpu } from '../../machine/reset.ts';
import type { VmxExitReason } from '../costs.ts';
import { VirtualVmx } from '../nested-vmx/virtual-vmx.ts';
import { NestedPaging } from '../paging/nested.ts';
import { NestedWalker } from '../paging/nested-walker.ts';
import { OUT_OF_SYNC_MAX, type ShadowFault, ShadowPaging } from '../paging/shadow.ts';
import { ShadowGroup } from '../paging/shadow-group.ts';
import { PageWalkCache } from '../paging/walk-caches.ts';
import { tableWorkCycles } from '../paging/work.ts';
import type { VmmOperation } from '../paths.ts';
import { shadowFrames } from '../table-frames.ts';
import { BUDGET_UNLIMITED, type Disposition, type Executor, type Preparation, type Technique } from '../technique.ts';
import { type ExecutedVcpu, hex32 } from '../vcpu.ts';
import { bootCpu, identifyCpu } from '../vm.ts';
import {
  ControlBlock,
  interruptionInformation,
  TYPE_EXTERNAL,
  TYPE_HARDWARE_EXCEPTION,
  TYPE_NMI,
} from '../vmcs/control-block.ts';
import {
  CPU_CR3_LOAD_EXITING,
  CPU_CR3_STORE_EXITING,
  CPU_HLT_EXITING,
  CPU_INTERRUPT_WINDOW_EXITING,
  CPU_INVLPG_EXITING,
  CPU_NMI_WINDOW_EXITING,
  CPU_SECONDARY_CONTROLS,
  CPU_TSC_OFFSETTING,
  CPU_USE_IO_BITMAPS,
  CPU2_ENABLE_EPT,
  CPU2_ENABLE_VPID,
  CPU2_PAUSE_LOOP_EXITING,
  CPU2_UNRESTRICTED_GUEST,
  CPU2_WBINVD_EXITING,
  IO_BITMAP_BITS,
  instructionExits,
  interceptsOf,
  PIN_EXTERNAL_INTERRUPT_EXITING,
  PIN_NMI_EXITING,
  PIN_PREEMPTION_TIMER,
  PIN_VIRTUAL_NMIS,
  portExits,
} from '../vmcs/controls.ts';
import { type ExitDetails, recordExit } from '../vmcs/exit-record.ts';
import { type Field, VMCS } from '../vmcs/fields.ts';
import { DEFAULT_VMX, type VmxOptions } from '../vmx-options.ts';
import { type TaskEvent, TaskSwitcher } from './task-switcher.ts';

/** Exit reason and VMM path of each intercepted instruction, by its INTERCEPT_* bit. */
const INTERCEPTS: Readonly<Record<number, readonly [VmxExitReason, VmmOperation]>> = {
  [INTERCEPT_HLT]: ['hlt', 'hlt'],
  [INTERCEPT_CPUID]: ['cpuid', 'cpuid'],
  [INTERCEPT_MSR]: ['msr', 'msr'],
  [INTERCEPT_INVLPG]: ['invlpg', 'invlpg'],
  [INTERCEPT_CR_WRITE]: ['control-register', 'control-register'],
  [INTERCEPT_CR_READ]: ['control-register', 'control-register'],
  [INTERCEPT_WBINVD]: ['wbinvd', 'emulate'],
  [INTERCEPT_HYPERCALL]: ['vmcall', 'hypercall'],
  [INTERCEPT_RDTSC]: ['rdtsc', 'rdtsc'],
  [INTERCEPT_DR]: ['debug-register', 'emulate'],
  [INTERCEPT_DESCRIPTOR_TABLE]: ['descriptor-table', 'descriptor-table'],
  [INTERCEPT_PAUSE]: ['pause', 'pause'],
};

/** What the VMM reads at every exit; more by reason below. A typical exit comes to about 10 (Adams & Agesen 2006). */
const READ_AT_EXIT: readonly Field[] = [
  VMCS.EXIT_REASON,
  VMCS.EXIT_QUALIFICATION,
  VMCS.VM_EXIT_INSTRUCTION_LENGTH,
  VMCS.IDT_VECTORING_INFORMATION,
  VMCS.GUEST_RIP,
  VMCS.GUEST_RSP,
  VMCS.GUEST_RFLAGS,
  VMCS.GUEST_INTERRUPTIBILITY_STATE,
];
const READ_BY_REASON: Readonly<Partial<Record<VmxExitReason, readonly Field[]>>> = {
  'page-fault': [VMCS.VM_EXIT_INTERRUPTION_INFORMATION, VMCS.VM_EXIT_INTERRUPTION_ERROR_CODE],
  exception: [VMCS.VM_EXIT_INTERRUPTION_INFORMATION, VMCS.VM_EXIT_INTERRUPTION_ERROR_CODE],
  'nested-violation': [VMCS.GUEST_PHYSICAL_ADDRESS, VMCS.GUEST_LINEAR_ADDRESS],
  'external-interrupt': [VMCS.VM_EXIT_INTERRUPTION_INFORMATION],
};
/** What decoding an instruction needs besides: where the code is, and the segment of its operand. */
const READ_TO_DECODE: readonly Field[] = [VMCS.GUEST_CS_BASE, VMCS.GUEST_CS_ACCESS_RIGHTS, VMCS.GUEST_DS_BASE];
/** And the mode and the tables; a VMM with shadow page tables has the guest's own, for it intercepts their changes. */
const READ_PAGING_TO_DECODE: readonly Field[] = [VMCS.GUEST_CR0, VMCS.GUEST_CR3];

/** Pages that one delivery can touch: gate, descriptors, TSS, stack, each with its tables; generously rounded up. */
const DELIVERY_ATTEMPTS_MAX = 64;

class HardwareExecutor implements Executor {
  readonly cpu: Cpu;
  readonly budgetMax = BUDGET_UNLIMITED;
  emulated = 0;
  private readonly vcpu: ExecutedVcpu;
  private readonly walker: PageWalker;
  private readonly nestedWalker: NestedWalker | null;
  /** Walks the guest's tables in software. */
  private readonly guestTables: GuestWalker;
  private readonly shadow: ShadowPaging | null;
  private readonly nested: NestedPaging | null;
  private readonly tagged: boolean;
  private readonly options: VmxOptions;
  private readonly block: ControlBlock;
  /** Of pause-loop exits, where it changes. */
  private readonly pauseWindow: PauseWindow | null;
  /** The guest executed HLT without leaving guest mode, and waits there. */
  private isHaltedInside = false;
  /** MMU of the pCPU where this vCPU ran last. */
  private lastMmu: Mmu | null = null;
  /** The shadow lost entries while no MMU was at hand to forget them. */
  private isStale = false;
  /** A frame of all ones, shown where nothing answers. */
  private readonly openBusMfn: number;
  /** Made when the guest first switches tasks. */
  private tasks: TaskSwitcher | null = null;
  /** VMX for a guest that is a VMM itself. */
  private readonly vmx: VirtualVmx | null;

  constructor(vcpu: ExecutedVcpu) {
    const { vm } = vcpu;
    const { machine } = vm;
    this.vcpu = vcpu;
    this.cpu = new Cpu(machine.memory, machine.mmus[0]!, machine.codeCache);
    identifyCpu(this.cpu, vcpu.lapic);
    bootCpu(this.cpu, vm.boot);
    // Nothing but an override leads to a device, and that means that the VMM is carrying the instruction out.
    this.cpu.mmio = vcpu.deviceMemory();
    this.guestTables = new GuestWalker(vm.physmap);
    this.tagged = vm.spec.taggedTlb;
    this.openBusMfn = machine.memory.allocateFrame(vm.vmmOwner);
    if (this.openBusMfn < 0) throw new UserError(`VM ${vm.spec.name}: no machine frame left for the VMM`);
    this.cpu.interceptTaskSwitch = true;
    this.options = vm.spec.vmx ?? DEFAULT_VMX;
    this.block = new ControlBlock(this.cpu, machine.preset.vmx);
    const window = this.options.pauseLoop?.window;
    this.pauseWindow = window !== undefined && window.grow > 1 ? new PauseWindow(window) : null;
    if (vm.spec.paging === 'shadow') {
      vm.tables.shadows ??= new ShadowGroup(machine.memory);
      this.shadow = new ShadowPaging(machine.memory, vm.physmap, this.cpu, {
        owner: vm.vmmOwner,
        group: vm.tables.shadows,
        maxFrames: shadowFrames(vm.physmap.ramFrames),
        outOfSyncMax: vm.spec.outOfSync === true ? OUT_OF_SYNC_MAX : 0,
        caching: vm.spec.keepShadows ?? true,
      });
      this.shadow.invalidate = (first, pages) => this.invalidate(first, pages);
      this.nested = null;
      this.nestedWalker = null;
      this.walker = this.shadow;
      const { pageWalkEntries } = this.options.walkCaches;
      if (pageWalkEntries > 0) this.shadow.walkCache = new PageWalkCache(pageWalkEntries);
      this.shadow.loadRoot();
    } else {
      this.shadow = null;
      vm.tables.nested ??= new NestedPaging(machine.memory, vm.physmap, {
        owner: vm.vmmOwner,
        levels: this.options.nestedLevels,
        largeLeaves: this.options.nestedLargePages,
      });
      this.nested = vm.tables.nested;
      this.nestedWalker = new NestedWalker(machine.memory, this.nested, this.options.walkCaches);
      this.walker = this.nestedWalker;
      // A partition has all of its memory from the start.
      if (vcpu.ownsDevices) for (let gfn = 0; gfn < vm.physmap.ramFrames; gfn++) this.nested.handleViolation(gfn << 12);
    }
    this.isStale = false;
    this.setControls();
    this.options.tune?.(this.block);
    // All of this happened before the VM's time began.
    this.block.takeDue();
    this.vmx = vm.spec.guestVmx === undefined ? null : this.virtualVmx(vm.spec.guestVmx === 'shadowing');
  }

  private virtualVmx(shadowing: boolean): VirtualVmx {
    const host = {
      leave: (name: string, price: VmxExitReason) => this.leave(price, null, {}, name),
      deliver: (vector: number, errorCode: number, lin: Lin, external: boolean) =>
        this.deliver(vector, errorCode, lin, external),
      handle: (exit: number) => this.handle(exit),
      controls: () => ({ intercepts: interceptsOf(this.block), exceptions: this.block.peek(VMCS.EXCEPTION_BITMAP) }),
      exits: (insn: Insn) => instructionExits(this.block, this.cpu, insn),
    };
    return new VirtualVmx(this.vcpu, this.cpu, host, shadowing);
  }

  /** The controls as this VMM wants them. */
  private setControls(): void {
    const { block, options, shadow, tagged, vcpu } = this;
    const { pauseLoop } = options;
    const timer = options.preemptionTimer ? PIN_PREEMPTION_TIMER : 0;
    // In a partition interrupts are the guest's own, and it idles on a CPU that nobody else wants.
    const interrupts = vcpu.ownsDevices ? 0 : PIN_EXTERNAL_INTERRUPT_EXITING;
    block.write(VMCS.PIN_BASED_CONTROLS, interrupts | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS | timer);
    const cr3Loads = options.cr3LoadExiting ? CPU_CR3_LOAD_EXITING : 0;
    const paging = shadow === null ? cr3Loads : CPU_INVLPG_EXITING | CPU_CR3_LOAD_EXITING | CPU_CR3_STORE_EXITING;
    const hlt = options.hltExiting && !vcpu.ownsDevices ? CPU_HLT_EXITING : 0;
    const primary = CPU_TSC_OFFSETTING | CPU_USE_IO_BITMAPS | CPU_SECONDARY_CONTROLS;
    block.write(VMCS.PRIMARY_CONTROLS, primary | paging | hlt);
    const nested = shadow === null ? CPU2_ENABLE_EPT | CPU2_UNRESTRICTED_GUEST : 0;
    const vpid = tagged ? CPU2_ENABLE_VPID : 0;
    const loops = pauseLoop === null ? 0 : CPU2_PAUSE_LOOP_EXITING;
    block.write(VMCS.SECONDARY_CONTROLS, CPU2_WBINVD_EXITING | nested | vpid | loops);
    if (tagged) block.write(VMCS.VIRTUAL_PROCESSOR_IDENTIFIER, vcpu.addressSpaceTag);
    block.write(VMCS.PLE_GAP, pauseLoop?.gapCycles ?? 0);
    block.write(VMCS.PLE_WINDOW, pauseLoop?.window.first ?? 0);
    if (vcpu.ownsDevices) for (let port = 0; port < IO_BITMAP_BITS; port++) block.ioBitmap.set(port, false);
    for (const port of options.directPorts) block.ioBitmap.set(port, false);
    if (shadow === null) return;
    block.write(VMCS.EXCEPTION_BITMAP, 1 << VECTOR_PF);
    // Every bit of both registers steers the shadow, or might.
    for (const mask of [VMCS.CR0_GUEST_HOST_MASK, VMCS.CR4_GUEST_HOST_MASK]) block.write(mask, -1);
    block.write(VMCS.CR0_READ_SHADOW, this.cpu.cr0);
    block.write(VMCS.CR4_READ_SHADOW, this.cpu.cr4);
  }

  get instructions(): number {
    return this.cpu.instructions + (this.tasks?.retired ?? 0);
  }

  dispatched(mmu: Mmu): void {
    if (!this.tagged) mmu.flushAll();
    mmu.attach(this.walker, this.vcpu.addressSpaceTag);
    // What this vCPU flushed on other pCPUs meanwhile is still here under its tag.
    if (this.tagged && (this.lastMmu !== mmu || this.isStale)) mmu.flush(true);
    if (!this.tagged || this.lastMmu !== mmu) this.flushWalkCaches();
    this.isStale = false;
    this.lastMmu = mmu;
    this.cpu.attach(mmu);
    this.block.pauses.entered();
    this.pauseWindow?.returned();
  }

  prepare(wasRunning: boolean): Preparation {
    const { cpu, vcpu, block } = this;
    // A device's timer ran out, or another vCPU sent something, while the guest was running: a physical interrupt
    // brings the VMM in.
    const isNew = (vcpu.interruptWaiting && !cpu.interruptPending) || (vcpu.nmiWaiting && !cpu.nmiPending);
    const reflected = vcpu.interruptWaiting && this.vmx?.interrupted() === true;
    const owns = vcpu.ownsDevices;
    if (wasRunning && isNew && !reflected && !owns) this.leave('external-interrupt', 'external-interrupt');
    if (this.isHaltedInside) {
      if (!vcpu.interruptWaiting && !vcpu.nmiWaiting) {
        vcpu.waitInside();
        return 'emulated';
      }
      this.isHaltedInside = false;
    }
    if (vcpu.nmiWaiting && cpu.nmiAllowed()) {
      vcpu.acknowledgeNmi();
      const result = this.deliver(VECTOR_NMI, NO_ERROR_CODE, 0, true);
      if (result !== 'resume') return result;
      cpu.nmiBlocked = true;
    }
    this.setWindow(CPU_NMI_WINDOW_EXITING, vcpu.nmiWaiting);
    if (vcpu.interruptWaiting && cpu.interruptible()) {
      if (!owns) vcpu.vmm('interrupt-accept');
      const result = this.deliver(vcpu.acknowledgeInterrupt(), NO_ERROR_CODE, 0, true);
      if (result !== 'resume') return result;
    }
    if (!owns) this.setWindow(CPU_INTERRUPT_WINDOW_EXITING, vcpu.interruptWaiting);
    this.setPauseWindow();
    block.enter();
    this.vmx?.control();
    // What waits for a guest with devices of its own needs no exit: the hardware waits for its flag.
    if (owns) cpu.interruptPending = vcpu.interruptWaiting;
    return 'resume';
  }

  interrupted(): void {
    this.leave('external-interrupt', 'external-interrupt');
  }

  /** The window of pause-loop exits as it is by now. */
  private setPauseWindow(): void {
    const { block, pauseWindow } = this;
    if (pauseWindow === null || block.peek(VMCS.PLE_WINDOW) === pauseWindow.length) return;
    block.write(VMCS.PLE_WINDOW, pauseWindow.length);
    this.pay();
  }

  /** Asks for an exit as soon as the guest can take what waits, or no longer asks. */
  private setWindow(control: number, isWanted: boolean): void {
    const { block, vcpu } = this;
    if (((block.peek(VMCS.PRIMARY_CONTROLS) & control) !== 0) === isWanted) return;
    vcpu.vmm('interrupt-window');
    const controls = block.read(VMCS.PRIMARY_CONTROLS);
    block.write(VMCS.PRIMARY_CONTROLS, isWanted ? controls | control : controls & ~control);
    this.pay();
  }

  /** Needs a CPU whose guest mode includes real mode ("unrestricted guest"), or an emulator for the start-up code. */
  start(vector: number): void {
    resetCpu(this.cpu);
    startCpu(this.cpu, vector);
    this.isHaltedInside = false;
    this.writeControlRegisters();
    if (this.shadow !== null) this.switchRoot();
  }

  sliceOver(): boolean {
    if (!this.options.preemptionTimer) return false;
    this.leave('preemption-timer', 'preemption-timer');
    this.block.write(VMCS.VMX_PREEMPTION_TIMER_VALUE, 0);
    this.pay();
    return true;
  }

  handle(exit: number): Disposition {
    const { cpu, vcpu } = this;
    const nested = this.vmx?.handle(exit) ?? null;
    if (nested !== null) return nested;
    switch (exit) {
      case EXIT_IO:
        return this.handleIo();
      case EXIT_INTERCEPT:
        return this.handleIntercept();
      case EXIT_EXCEPTION:
        return cpu.exitVector === VECTOR_PF && this.shadow !== null ? this.handlePageFault() : this.reflect();
      case EXIT_NESTED_FAULT:
        return this.handleNestedFault();
      case EXIT_INTERRUPT_WINDOW:
        if (vcpu.ownsDevices && !(cpu.nmiPending && cpu.nmiAllowed())) return 'resume';
        this.leave(cpu.nmiPending && cpu.nmiAllowed() ? 'nmi-window' : 'interrupt-window');
        return 'resume';
      case EXIT_HALT:
        return this.handleHalt();
      case EXIT_FERR:
        // CR0.NE is always set in guest mode (SDM vol 3, 23.8): for a guest that has it clear the VMM intercepts #MF.
        this.leave('exception');
        return vcpu.stoodStill(cpu);
      case EXIT_TASK_SWITCH: {
        const during = cpu.exitDuring;
        const event = { vector: during, errorCode: cpu.faultError, lin: cpu.cr2, external: false };
        return this.switchTask(during < 0 ? null : event);
      }
      default:
        if (exit === EXIT_TRIPLE_FAULT) this.leave('triple-fault');
        return vcpu.crashed(exit, cpu);
    }
  }

  guestView(): Cpu {
    return this.cpu;
  }

  get guestCpl(): number {
    return this.cpu.cpl;
  }

  // ------------------------------------------------------------------ exits

  /** Charges one exit: hardware out and in, what the VMM reads, its dispatch, and the path of the reason; `name` is where it is counted. */
  private leave(
    reason: VmxExitReason,
    operation: VmmOperation | null = null,
    details: ExitDetails = {},
    name: string = reason,
  ): void {
    const { block, cpu, vcpu } = this;
    const { vmx } = vcpu.vm.machine.preset;
    recordExit(block, cpu, reason, details);
    vcpu.exit(name, vmx.exitCycles[reason] + vmx.entryCycles);
    for (const field of READ_AT_EXIT) block.read(field);
    for (const field of READ_BY_REASON[reason] ?? []) block.read(field);
    this.pay();
    vcpu.vmm('vmx-dispatch');
    if (operation !== null) vcpu.vmm(operation);
    // What follows sooner or later is an entry.
    block.pauses.entered();
    if (!this.tagged) {
      vcpu.vmmCycles(vmx.coldDispatchCycles);
      cpu.mmu.flushAll();
      cpu.dropCode();
      this.flushWalkCaches();
    }
  }

  /** Charges the VMREADs and VMWRITEs since the last call. */
  private pay(): void {
    const cycles = this.block.takeDue();
    if (cycles > 0) this.vcpu.vmmCycles(cycles);
  }

  private flushWalkCaches(): void {
    this.nestedWalker?.flushCaches();
    this.shadow?.walkCache?.flush();
  }

  private handleIo(): Disposition {
    const { block, cpu, vcpu } = this;
    if (!portExits(block, cpu.ioPort, cpu.ioBytes)) {
      // The device itself answers, at the price of the bus.
      const exit = cpu.completeIo(vcpu.accessPort(cpu));
      vcpu.spendGuest();
      return exit === EXIT_BUDGET ? 'resume' : this.handle(exit);
    }
    this.leave('io');
    vcpu.chargeDevice(cpu);
    const exit = cpu.completeIo(vcpu.accessPort(cpu));
    if (exit === EXIT_BUDGET) this.emulated++;
    vcpu.discardGuest();
    if (exit !== EXIT_BUDGET) return this.handle(exit);
    this.advance();
    return 'resume';
  }

  /** HLT retired: after its exit, or inside the guest. */
  private handleHalt(): Disposition {
    const { cpu, vcpu } = this;
    // A partition's CPU that waits is idle: there is nobody to keep it for.
    if (this.options.hltExiting || vcpu.ownsDevices || !cpu.interruptsEnabled()) {
      const result = vcpu.halted(cpu);
      // It will have been out, even if nobody else runs there meanwhile.
      if (result === 'block') this.pauseWindow?.returned();
      return result;
    }
    this.isHaltedInside = true;
    return 'resume';
  }

  private handleIntercept(): Disposition {
    const { cpu, vcpu } = this;
    const insn = cpu.exitInsn;
    const { intercept } = insn.row;
    const [reason, operation] = INTERCEPTS[intercept]!;
    this.leave(reason, operation);
    if (intercept === INTERCEPT_HYPERCALL) return this.deliver(VECTOR_UD, NO_ERROR_CODE, 0);
    const lin = insn.isMemory ? (cpu.segBase[insn.seg]! + cpu.offset(insn)) | 0 : 0;
    const { cr0, cr3, cr4 } = cpu;
    const result = this.emulate();
    if (intercept === INTERCEPT_CR_WRITE) this.writeControlRegisters();
    if (cpu.cr3 !== cr3) vcpu.switchedTo(cpu.cr3);
    if (this.shadow !== null) {
      if (intercept === INTERCEPT_INVLPG) this.shadow.invalidatePage(lin);
      // Even the same CR3 again is a new root to load: the guest asked for a flush.
      else if (intercept === INTERCEPT_CR_WRITE && this.steersPaging(cr0, cr3, cr4, insn.a)) this.switchRoot();
    }
    // Only a loop that lasts makes PAUSE exit: whoever holds the lock needs the CPU more.
    if (intercept !== INTERCEPT_PAUSE || result !== 'resume') return result;
    this.pauseWindow?.exited();
    return 'spin';
  }

  /** After an instruction was carried out for the guest: its successor is where it goes on. */
  private advance(): void {
    this.block.write(VMCS.GUEST_RIP, this.cpu.eip);
    this.pay();
  }

  /** Brings the control registers of the control block up to date with what the VMM did to them. */
  private writeControlRegisters(): void {
    const { block, cpu } = this;
    for (const [mask, shadow, register, value] of [
      [VMCS.CR0_GUEST_HOST_MASK, VMCS.CR0_READ_SHADOW, VMCS.GUEST_CR0, cpu.cr0],
      [VMCS.CR4_GUEST_HOST_MASK, VMCS.CR4_READ_SHADOW, VMCS.GUEST_CR4, cpu.cr4],
    ] as const) {
      if (block.peek(mask) === 0 || block.peek(shadow) === value) continue;
      block.write(shadow, value);
      block.write(register, value);
    }
    this.pay();
  }

  private steersPaging(cr0: number, cr3: number, cr4: number, register: number): boolean {
    const { cpu } = this;
    return register === 3 || cpu.cr0 !== cr0 || cpu.cr3 !== cr3 || cpu.cr4 !== cr4;
  }

  private switchRoot(): void {
    this.vcpu.vmm('root-switch');
    this.shadow!.loadRoot();
    this.block.write(VMCS.GUEST_CR3, this.cpu.cr3);
    this.pay();
    this.chargeWork(this.shadow!);
  }

  /** The VMM carries out the instruction at EIP. */
  private emulate(): Disposition {
    const { cpu, vcpu } = this;
    const before = cpu.instructions;
    const exit = cpu.step();
    this.emulated += cpu.instructions - before;
    vcpu.discardGuest();
    if (exit === EXIT_BUDGET || exit === EXIT_HALT) this.advance();
    if (exit === EXIT_BUDGET) return 'resume';
    // A fault of its own while it was emulated: answer that first, then the instruction runs again.
    return this.handle(exit);
  }

  /** An exception that only the exception bitmap asked for: it is the guest's. */
  private reflect(): Disposition {
    const { cpu } = this;
    const { exitVector: vector, exitError, exitLin, exitDuring: during } = cpu;
    this.leave(vector === VECTOR_PF ? 'page-fault' : 'exception');
    if (during === VECTOR_DF) return this.shutDown();
    if (during >= 0 && escalates(during, vector)) return this.deliver(VECTOR_DF, 0, 0);
    return this.deliver(vector, exitError, exitLin);
  }

  /** A fault while a double fault was delivered. */
  private shutDown(): Disposition {
    const { cpu, vcpu } = this;
    vcpu.vm.end('triple-fault', `at ${hex32(cpu.eip)}: page fault while a double fault was delivered`);
    return 'end';
  }

  private handlePageFault(): Disposition {
    const { cpu } = this;
    const during = cpu.exitDuring;
    const lin = cpu.exitLin;
    const fault = this.classify();
    if (fault.kind === 'filled') return 'resume';
    if (fault.kind === 'absent' && cpu.faultIsFetch) return this.deliver(VECTOR_UD, NO_ERROR_CODE, 0);
    if (fault.kind === 'guest' && during === VECTOR_DF) return this.shutDown();
    if (fault.kind === 'guest') {
      const doubles = during >= 0 && escalates(during, VECTOR_PF);
      return doubles ? this.deliver(VECTOR_DF, 0, 0) : this.deliver(VECTOR_PF, fault.errorCode, lin);
    }
    this.decode();
    return this.emulateOverridden();
  }

  private handleNestedFault(): Disposition {
    const { cpu } = this;
    if (this.fillNested()) return 'resume';
    // As on the bare machine the walk marks A and D first; where not even a page table is, what is read may forbid the access.
    if (this.guestTables.walk(cpu, cpu.exitLin, cpu.exitError) !== WALK_OK) {
      this.dropOverrides();
      return this.deliver(VECTOR_PF, this.guestTables.errorCode, cpu.exitLin);
    }
    if (cpu.faultIsFetch) return this.deliver(VECTOR_UD, NO_ERROR_CODE, 0);
    this.decode();
    return this.emulateOverridden();
  }

  /** Fetches and decodes the instruction at EIP: the VMM has an address space of its own, so it walks the guest's tables for it. */
  private decode(): void {
    const { cpu, vcpu } = this;
    vcpu.vmm('decode');
    const references = this.guestTables.levelsAt(cpu, (cpu.eip + cpu.segBase[SEG_CS]!) | 0);
    vcpu.vmmCycles(references * vcpu.vm.machine.preset.vmm['guest-walk-reference']);
    for (const field of READ_TO_DECODE) this.block.read(field);
    if (this.shadow === null) for (const field of READ_PAGING_TO_DECODE) this.block.read(field);
    this.pay();
  }

  /** Answers a page-fault exit as far as the shadow is concerned; accesses that the VMM must do itself get an override. */
  private classify(): ShadowFault {
    const { cpu, vcpu } = this;
    const shadow = this.shadow;
    assert(cpu.exitVector === VECTOR_PF && shadow !== null, 'an exception exit that was not asked for');
    const lin = cpu.exitLin;
    this.leave('page-fault', 'shadow-fault');
    const fault = shadow.handleFault(lin, cpu.exitError);
    this.chargeWork(shadow);
    if (fault.kind === 'filled') vcpu.vmm('shadow-fill');
    else if (fault.kind === 'traced-write') {
      vcpu.vmm('traced-write');
      cpu.overrides.set(lin >>> 12, vcpu.vm.physmap.lookup(fault.gpa >>> 12));
    } else if (fault.kind === 'absent') this.showAbsent(lin, fault.gpa >>> 12);
    else assert(fault.kind === 'guest', 'a hardware-assisted VMM reserves no linear addresses');
    return fault;
  }

  /** Answers an EPT violation. False if nothing answers there: the access gets an override. */
  private fillNested(): boolean {
    const { cpu } = this;
    const nested = this.nested!;
    const { faultRights, faultOnTable } = this.nestedWalker!;
    this.leave('nested-violation', 'nested-fill', { nestedRights: faultRights, onTable: faultOnTable });
    const answer = nested.handleViolation(cpu.exitGpa);
    this.chargeWork(nested);
    // A page table there reads as all ones, device or not.
    if (answer === 'absent') this.showAbsent(cpu.exitLin, faultOnTable ? -1 : cpu.exitGpa >>> 12);
    return answer === 'filled';
  }

  /**
   * There is no RAM in guest frame `gfn`. A device answers the instruction that the VMM carries out next; where there is none, reads
   * give all ones. As an instruction that is undefined, so for a fetch there is nothing to emulate.
   */
  private showAbsent(lin: Lin, gfn: number): void {
    const { cpu } = this;
    if (cpu.faultIsFetch) return;
    if (this.vcpu.isDevice(gfn)) {
      this.vcpu.vmm('mmio-decode');
      cpu.overrides.set(lin >>> 12, ~gfn);
      return;
    }
    const at = this.openBusMfn * 4096;
    cpu.bytes.fill(0xff, at, at + 4096);
    this.vcpu.vmm('mmio-decode');
    cpu.overrides.set(lin >>> 12, this.openBusMfn);
  }

  private emulateOverridden(): Disposition {
    this.vcpu.vmm('emulate');
    const result = this.emulate();
    this.dropOverrides();
    return result;
  }

  /** Takes overrides back and brings the shadow up to date with what was written to traced frames under them. */
  private dropOverrides(): void {
    const { cpu, vcpu } = this;
    cpu.overrides.clear();
    const writes = cpu.tracedWrites;
    for (let i = 0; i < writes.length; i += 2) {
      const at = writes[i]!;
      const gpa = vcpu.vm.gfnOf(Math.floor(at / 4096)) * 4096 + (at % 4096);
      this.shadow?.guestTableWritten(gpa, writes[i + 1]!);
      if (this.shadow !== null) this.chargeWork(this.shadow);
    }
    writes.length = 0;
  }

  /** The guest switches tasks, by the instruction at EIP or to deliver an event: the VMM does it. */
  private switchTask(event: TaskEvent | null): Disposition {
    const { cpu, vcpu } = this;
    const { cr3 } = cpu;
    this.leave('task-switch', 'emulate');
    this.tasks ??= new TaskSwitcher(vcpu.vm);
    const exit = this.tasks.run(cpu, event);
    this.dropOverrides();
    if (exit !== EXIT_BUDGET) return vcpu.crashed(exit, cpu);
    if (cpu.cr3 !== cr3) vcpu.switchedTo(cpu.cr3);
    this.advance();
    this.writeControlRegisters();
    if (this.shadow !== null) this.switchRoot();
    return 'resume';
  }

  /** Writes an event into the control block: the next entry injects it. */
  private inject(event: TaskEvent): void {
    const { block } = this;
    const { vector, errorCode, external } = event;
    const type = !external ? TYPE_HARDWARE_EXCEPTION : vector === VECTOR_NMI ? TYPE_NMI : TYPE_EXTERNAL;
    block.write(VMCS.VM_ENTRY_INTERRUPTION_INFORMATION, interruptionInformation(vector, type, errorCode));
    if (errorCode !== NO_ERROR_CODE) block.write(VMCS.VM_ENTRY_EXCEPTION_ERROR_CODE, errorCode);
    this.pay();
    // CR2 is not in the control block.
    const { preset } = this.vcpu.vm.machine;
    if (vector === VECTOR_PF && !external) this.vcpu.vmmCycles(preset.timing.instructions.control);
    block.checkInjection();
    block.injected();
  }

  /** Injects an event at entry. Faults of shadow or nested tables on the way are repaired, and delivery starts again. */
  private deliver(vector: number, errorCode: number, lin: Lin, external = false): Disposition {
    const { cpu, vcpu } = this;
    // What comes from a device of the guest's own needs nobody to inject it.
    const own = external && vcpu.ownsDevices;
    if (!own) vcpu.vmm('inject');
    let event: TaskEvent = { vector, errorCode, lin, external };
    for (let attempt = 0; ; attempt++) {
      assert(attempt < DELIVERY_ATTEMPTS_MAX, 'event delivery does not come to an end');
      if (!own || !event.external) this.inject(event);
      const exit = cpu.inject(event.vector, event.errorCode, event.lin, event.external);
      vcpu.spendGuest();
      if (exit === EXIT_BUDGET) break;
      if (exit === EXIT_TASK_SWITCH) return this.switchTask(event);
      // A guest of the guest whose VMM wants the exception that the delivery met.
      const nested = this.vmx?.handle(exit) ?? null;
      if (nested !== null) return nested;
      if (exit === EXIT_NESTED_FAULT) this.fillNested();
      else if (exit === EXIT_EXCEPTION) {
        const { exitVector: met, exitLin } = cpu;
        let { exitError } = cpu;
        if (met === VECTOR_PF && this.shadow !== null) {
          const fault = this.classify();
          if (fault.kind !== 'guest') continue;
          exitError = fault.errorCode;
        } else this.leave(met === VECTOR_PF ? 'page-fault' : 'exception');
        if (event.vector === VECTOR_DF && !event.external) return this.shutDown();
        event =
          !event.external && escalates(event.vector, met)
            ? { vector: VECTOR_DF, errorCode: 0, lin: 0, external: false }
            : { vector: met, errorCode: exitError, lin: exitLin, external: false };
      } else return vcpu.crashed(exit, cpu);
    }
    this.dropOverrides();
    return 'resume';
  }

  /** Drops stale translations after the shadow lost an entry. */
  private invalidate(firstPage: number, pages: number): void {
    const { cpu } = this;
    if (cpu.mmu.walker !== this.walker) {
      this.isStale = true;
      return;
    }
    if (pages > 64) cpu.flushTlb(true);
    else for (let page = firstPage; page < firstPage + pages; page++) cpu.mmu.invalidatePage(page << 12);
    cpu.dropCode();
  }

  private chargeWork(tables: ShadowPaging | NestedPaging): void {
    const { preset } = this.vcpu.vm.machine;
    const cycles = tableWorkCycles(preset.vmm, tables.work);
    if (cycles > 0) this.vcpu.vmmCycles(cycles);
  }
}

export const hardwareAssisted: Technique = {
  name: 'hardware-assisted',
  summary: 'VT-x: guest mode with intercepts and injection, shadow or nested paging',
  pagings: ['nested', 'shadow'],
  make(vcpu) {
    const { name, paging, taggedTlb } = vcpu.vm.spec;
    const { preset } = vcpu.vm.machine;
    if (!preset.vmx.available) {
      throw new UserError(`VM ${name}: ${preset.name} has no VT-x; allowed: techniques that need none`);
    }
    if (paging !== 'shadow' && paging !== 'nested') {
      throw new UserError(`VM ${name}: technique hardware-assisted has paging shadow or nested, not ${paging}`);
    }
    if (paging === 'nested' && !preset.vmx.nestedPaging) {
      throw new UserError(`VM ${name}: ${preset.name} has no nested paging (EPT); allowed: paging shadow`);
    }
    if (taggedTlb && !preset.vmx.taggedTlb) {
      throw new UserError(`VM ${name}: ${preset.name} has no tagged TLB (VPID); allowed: tagged_tlb false`);
    }
    if (preset.vmx.vendor === 'AMD' && vcpu.vm.spec.vmx?.preemptionTimer === true) {
      throw new UserError(`VM ${name}: ${preset.name} has SVM, which has no preemption timer; allowed: false`);
    }
    return new HardwareExecutor(vcpu);
  },
};

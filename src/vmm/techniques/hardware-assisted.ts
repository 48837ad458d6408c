/**
 * Hardware-assisted virtualization (VT-x): the guest kernel runs at ring 0 in guest mode; a control block says which
 * events exit. With shadow paging every page fault, INVLPG and control-register access exits (first-generation VT-x);
 * with nested paging the MMU walks guest and nested tables and only a missing nested entry exits.
 * Without a tagged TLB (VPID) each exit and entry flushes everything.
 * Sources: SDM vol 3, chapters 24 to 28; Adams & Agesen, ASPLOS 2006, section 4.
 */
import { assert, UserError } from '../../core/errors.ts';
import type { Lin } from '../../core/units.ts';
import { Cpu } from '../../machine/cpu.ts';
import {
  EXIT_BUDGET,
  EXIT_EXCEPTION,
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
import {
  INTERCEPT_CPUID,
  INTERCEPT_CR_WRITE,
  INTERCEPT_HLT,
  INTERCEPT_HYPERCALL,
  INTERCEPT_INVLPG,
  INTERCEPT_MSR,
  INTERCEPT_WBINVD,
} from '../../machine/isa/row.ts';
import type { Mmu } from '../../machine/mmu.ts';
import type { PageWalker } from '../../machine/paging.ts';
import { resetCpu, startCpu } from '../../machine/reset.ts';
import type { VmxExitReason } from '../costs.ts';
import { NestedPaging } from '../paging/nested.ts';
import { NestedWalker } from '../paging/nested-walker.ts';
import { type ShadowFault, ShadowPaging } from '../paging/shadow.ts';
import { ShadowGroup } from '../paging/shadow-group.ts';
import { tableWorkCycles } from '../paging/work.ts';
import type { VmmOperation } from '../paths.ts';
import { shadowFrames } from '../table-frames.ts';
import { BUDGET_UNLIMITED, type Disposition, type Executor, type Technique } from '../technique.ts';
import { type ExecutedVcpu, hex32 } from '../vcpu.ts';
import { bootCpu, identifyCpu } from '../vm.ts';
import { type TaskEvent, TaskSwitcher } from './task-switcher.ts';

/** Exit reason and VMM path of each intercepted instruction, by its INTERCEPT_* bit. */
const INTERCEPTS: Readonly<Record<number, readonly [VmxExitReason, VmmOperation]>> = {
  [INTERCEPT_HLT]: ['hlt', 'hlt'],
  [INTERCEPT_CPUID]: ['cpuid', 'cpuid'],
  [INTERCEPT_MSR]: ['msr', 'msr'],
  [INTERCEPT_INVLPG]: ['invlpg', 'invlpg'],
  [INTERCEPT_CR_WRITE]: ['control-register', 'control-register'],
  [INTERCEPT_WBINVD]: ['wbinvd', 'emulate'],
  [INTERCEPT_HYPERCALL]: ['vmcall', 'hypercall'],
};

/** Always intercepted: CPUID and VMCALL by the architecture, the others as VMMs usually set them. */
const COMMON_INTERCEPTS = INTERCEPT_HLT | INTERCEPT_CPUID | INTERCEPT_MSR | INTERCEPT_WBINVD | INTERCEPT_HYPERCALL;

/** Pages that one delivery can touch: gate, descriptors, TSS, stack, each with its tables; generously rounded up. */
const DELIVERY_ATTEMPTS_MAX = 64;

class HardwareExecutor implements Executor {
  readonly cpu: Cpu;
  readonly budgetMax = BUDGET_UNLIMITED;
  private readonly vcpu: ExecutedVcpu;
  private readonly walker: PageWalker;
  private readonly nestedWalker: NestedWalker | null;
  private readonly shadow: ShadowPaging | null;
  private readonly nested: NestedPaging | null;
  private readonly tagged: boolean;
  /** MMU of the pCPU where this vCPU ran last. */
  private lastMmu: Mmu | null = null;
  /** The shadow lost entries while no MMU was at hand to forget them. */
  private isStale = false;
  /** A frame of all ones, shown where nothing answers. */
  private readonly openBusMfn: number;
  /** Made when the guest first switches tasks. */
  private tasks: TaskSwitcher | null = null;

  constructor(vcpu: ExecutedVcpu) {
    const { vm } = vcpu;
    const { machine } = vm;
    this.vcpu = vcpu;
    this.cpu = new Cpu(machine.memory, machine.mmus[0]!, machine.codeCache);
    identifyCpu(this.cpu, vcpu.lapic);
    bootCpu(this.cpu, vm.boot);
    // Nothing but an override leads to a device, and that means that the VMM is carrying the instruction out.
    this.cpu.mmio = vcpu.deviceMemory();
    this.tagged = vm.spec.taggedTlb;
    this.openBusMfn = machine.memory.allocateFrame(vm.vmmOwner);
    if (this.openBusMfn < 0) throw new UserError(`VM ${vm.spec.name}: no machine frame left for the VMM`);
    this.cpu.intercepts = COMMON_INTERCEPTS;
    this.cpu.interceptTaskSwitch = true;
    if (vm.spec.paging === 'shadow') {
      vm.tables.shadows ??= new ShadowGroup(machine.memory);
      this.shadow = new ShadowPaging(machine.memory, vm.physmap, this.cpu, {
        owner: vm.vmmOwner,
        group: vm.tables.shadows,
        maxFrames: shadowFrames(vm.physmap.ramFrames),
      });
      this.shadow.invalidate = (first, pages) => this.invalidate(first, pages);
      this.nested = null;
      this.nestedWalker = null;
      this.walker = this.shadow;
      this.cpu.interceptExceptions = 1 << VECTOR_PF;
      this.cpu.intercepts |= INTERCEPT_INVLPG | INTERCEPT_CR_WRITE;
      this.shadow.loadRoot();
    } else {
      this.shadow = null;
      vm.tables.nested ??= new NestedPaging(machine.memory, vm.physmap, { owner: vm.vmmOwner });
      this.nested = vm.tables.nested;
      this.nestedWalker = new NestedWalker(machine.memory, this.nested);
      this.walker = this.nestedWalker;
    }
    this.isStale = false;
  }

  get instructions(): number {
    return this.cpu.instructions + (this.tasks?.retired ?? 0);
  }

  dispatched(mmu: Mmu): void {
    if (!this.tagged) mmu.flushAll();
    mmu.attach(this.walker, this.vcpu.addressSpaceTag);
    // What this vCPU flushed on other pCPUs meanwhile is still here under its tag.
    if (this.tagged && (this.lastMmu !== mmu || this.isStale)) mmu.flush(true);
    this.isStale = false;
    this.lastMmu = mmu;
    this.cpu.attach(mmu);
  }

  prepare(wasRunning: boolean): Disposition {
    const { cpu, vcpu } = this;
    // A device's timer ran out, or another vCPU sent something, while the guest was running: a physical interrupt
    // brings the VMM in.
    const isNew = (vcpu.interruptWaiting && !cpu.interruptPending) || (vcpu.nmiWaiting && !cpu.nmiPending);
    if (wasRunning && isNew) this.leave('external-interrupt', 'external-interrupt');
    if (vcpu.nmiWaiting && cpu.nmiAllowed()) {
      vcpu.acknowledgeNmi();
      const result = this.deliver(VECTOR_NMI, NO_ERROR_CODE, 0, true);
      if (result !== 'resume') return result;
      cpu.nmiBlocked = true;
    }
    cpu.nmiPending = vcpu.nmiWaiting;
    if (vcpu.interruptWaiting && cpu.interruptible()) {
      vcpu.vmm('interrupt-accept');
      const result = this.deliver(vcpu.acknowledgeInterrupt(), NO_ERROR_CODE, 0, true);
      if (result !== 'resume') return result;
    }
    if (vcpu.interruptWaiting && !cpu.interruptPending) vcpu.vmm('interrupt-window');
    cpu.interruptPending = vcpu.interruptWaiting;
    return 'resume';
  }

  /** Needs a CPU whose guest mode includes real mode ("unrestricted guest"), or an emulator for the start-up code. */
  start(vector: number): void {
    resetCpu(this.cpu);
    startCpu(this.cpu, vector);
    if (this.shadow !== null) this.switchRoot();
  }

  handle(exit: number): Disposition {
    const { cpu, vcpu } = this;
    switch (exit) {
      case EXIT_IO:
        return this.handleIo();
      case EXIT_INTERCEPT:
        return this.handleIntercept();
      case EXIT_EXCEPTION:
        return this.handlePageFault();
      case EXIT_NESTED_FAULT:
        return this.handleNestedFault();
      case EXIT_INTERRUPT_WINDOW:
        this.leave('interrupt-window', 'interrupt-window');
        return 'resume';
      case EXIT_HALT:
        return vcpu.halted(cpu);
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

  // ------------------------------------------------------------------ exits

  /** Charges one exit: hardware out and in, dispatch in the VMM, and the path of the reason. */
  private leave(reason: VmxExitReason, operation: VmmOperation | null = null): void {
    const { vmx } = this.vcpu.vm.machine.preset;
    this.vcpu.exit(reason, vmx.exitCycles[reason] + vmx.entryCycles);
    this.vcpu.vmm('vmx-dispatch');
    if (operation !== null) this.vcpu.vmm(operation);
    if (!this.tagged) {
      this.cpu.mmu.flushAll();
      this.cpu.dropCode();
    }
  }

  private handleIo(): Disposition {
    const { cpu, vcpu } = this;
    this.leave('io');
    vcpu.chargeDevice(cpu);
    const exit = cpu.completeIo(vcpu.accessPort(cpu));
    vcpu.discardGuest();
    return exit === EXIT_BUDGET ? 'resume' : this.handle(exit);
  }

  private handleIntercept(): Disposition {
    const { cpu } = this;
    const insn = cpu.exitInsn;
    const [reason, operation] = INTERCEPTS[insn.row.intercept]!;
    this.leave(reason, operation);
    if (insn.row.intercept === INTERCEPT_HYPERCALL) return this.deliver(VECTOR_UD, NO_ERROR_CODE, 0);
    const lin = insn.isMemory ? (cpu.segBase[insn.seg]! + cpu.offset(insn)) | 0 : 0;
    const { cr0, cr3, cr4 } = cpu;
    const result = this.emulate();
    if (this.shadow !== null) {
      if (insn.row.intercept === INTERCEPT_INVLPG) this.shadow.invalidatePage(lin);
      // Even the same CR3 again is a new root to load: the guest asked for a flush.
      else if (insn.row.intercept === INTERCEPT_CR_WRITE && this.steersPaging(cr0, cr3, cr4, insn.a)) this.switchRoot();
    }
    return result;
  }

  private steersPaging(cr0: number, cr3: number, cr4: number, register: number): boolean {
    const { cpu } = this;
    return register === 3 || cpu.cr0 !== cr0 || cpu.cr3 !== cr3 || cpu.cr4 !== cr4;
  }

  private switchRoot(): void {
    this.vcpu.vmm('root-switch');
    this.shadow!.loadRoot();
    this.chargeWork(this.shadow!);
  }

  /** The VMM carries out the instruction at EIP. */
  private emulate(): Disposition {
    const { cpu, vcpu } = this;
    const exit = cpu.step();
    vcpu.discardGuest();
    if (exit === EXIT_BUDGET) return 'resume';
    // A fault of its own while it was emulated: answer that first, then the instruction runs again.
    return this.handle(exit);
  }

  private handlePageFault(): Disposition {
    const { cpu } = this;
    const during = cpu.exitDuring;
    const lin = cpu.exitLin;
    const fault = this.classify();
    if (fault.kind === 'filled') return 'resume';
    if (fault.kind === 'absent' && cpu.faultIsFetch) return this.deliver(VECTOR_UD, NO_ERROR_CODE, 0);
    if (fault.kind === 'guest' && during === VECTOR_DF) {
      this.vcpu.vm.end('triple-fault', `at ${hex32(cpu.eip)}: page fault while a double fault was delivered`);
      return 'end';
    }
    if (fault.kind === 'guest') {
      const doubles = during >= 0 && escalates(during, VECTOR_PF);
      return doubles ? this.deliver(VECTOR_DF, 0, 0) : this.deliver(VECTOR_PF, fault.errorCode, lin);
    }
    this.vcpu.vmm('decode');
    return this.emulateOverridden();
  }

  private handleNestedFault(): Disposition {
    if (this.fillNested()) return 'resume';
    if (this.cpu.faultIsFetch) return this.deliver(VECTOR_UD, NO_ERROR_CODE, 0);
    this.vcpu.vmm('decode');
    return this.emulateOverridden();
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
    this.leave('nested-violation', 'nested-fill');
    const answer = nested.handleViolation(cpu.exitGpa);
    this.chargeWork(nested);
    // A page table there reads as all ones, device or not.
    if (answer === 'absent') this.showAbsent(cpu.exitLin, this.nestedWalker!.faultOnTable ? -1 : cpu.exitGpa >>> 12);
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
    this.leave('task-switch', 'emulate');
    this.tasks ??= new TaskSwitcher(vcpu.vm);
    const exit = this.tasks.run(cpu, event);
    this.dropOverrides();
    if (exit !== EXIT_BUDGET) return vcpu.crashed(exit, cpu);
    if (this.shadow !== null) this.switchRoot();
    return 'resume';
  }

  /** Injects an event at entry. Faults of shadow or nested tables on the way are repaired, and delivery starts again. */
  private deliver(vector: number, errorCode: number, lin: Lin, external = false): Disposition {
    const { cpu, vcpu } = this;
    vcpu.vmm('inject');
    let event = { vector, errorCode, lin, external };
    for (let attempt = 0; ; attempt++) {
      assert(attempt < DELIVERY_ATTEMPTS_MAX, 'event delivery does not come to an end');
      const exit = cpu.inject(event.vector, event.errorCode, event.lin, event.external);
      vcpu.spendGuest();
      if (exit === EXIT_BUDGET) break;
      if (exit === EXIT_TASK_SWITCH) return this.switchTask(event);
      if (exit === EXIT_NESTED_FAULT) this.fillNested();
      else if (exit === EXIT_EXCEPTION) {
        const faultLin = cpu.exitLin;
        const fault = this.classify();
        if (fault.kind !== 'guest') continue;
        if (event.vector === VECTOR_DF && !event.external) {
          this.vcpu.vm.end('triple-fault', `at ${hex32(cpu.eip)}: page fault while a double fault was delivered`);
          return 'end';
        }
        event =
          !event.external && escalates(event.vector, VECTOR_PF)
            ? { vector: VECTOR_DF, errorCode: 0, lin: 0, external: false }
            : { vector: VECTOR_PF, errorCode: fault.errorCode, lin: faultLin, external: false };
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
      throw new UserError(`VM ${name}: technique hardware-assisted needs VT-x, which ${preset.id} has not`);
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
    return new HardwareExecutor(vcpu);
  },
};

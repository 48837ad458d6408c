/**
 * Native execution: the guest has the machine to itself. No controls, no exits, no VMM cycles: port accesses go
 * straight to the devices at bus speed, interrupts straight to the CPU. The baseline of every comparison.
 * An access to the local APIC, which is on the CPU's chip, costs what an access to a model-specific register costs; one to
 * the I/O APIC what a port access costs.
 */
import { UserError } from '../../core/errors.ts';
import { Cpu } from '../../machine/cpu.ts';
import {
  EXIT_BUDGET,
  EXIT_FERR,
  EXIT_HALT,
  EXIT_INTERRUPT_WINDOW,
  EXIT_IO,
  EXIT_MMIO,
  NO_ERROR_CODE,
  VECTOR_DB,
  VECTOR_NMI,
} from '../../machine/exits.ts';
import type { Mmu } from '../../machine/mmu.ts';
import { GuestWalker } from '../../machine/paging.ts';
import { resetCpu, startCpu } from '../../machine/reset.ts';
import type { DeviceMemory } from '../device-memory.ts';
import { BareVmx } from '../nested-vmx/bare-vmx.ts';
import { BUDGET_UNLIMITED, type Disposition, type Executor, type Technique } from '../technique.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { bootCpu, identifyCpu } from '../vm.ts';

export class NativeExecutor implements Executor {
  readonly cpu: Cpu;
  readonly budgetMax = BUDGET_UNLIMITED;
  protected readonly vcpu: ExecutedVcpu;
  private readonly walker: GuestWalker;
  private readonly devices: DeviceMemory;
  private readonly vmx: BareVmx | null;

  constructor(vcpu: ExecutedVcpu) {
    const { vm } = vcpu;
    this.vcpu = vcpu;
    this.walker = new GuestWalker(vm.physmap);
    this.cpu = new Cpu(vm.machine.memory, vm.machine.mmus[0]!, vm.machine.codeCache);
    identifyCpu(this.cpu, vcpu.lapic);
    bootCpu(this.cpu, vm.boot);
    this.vmx = vm.spec.guestVmx === undefined ? null : new BareVmx(vcpu, this.cpu);
    const { msr, io } = vm.machine.preset.timing.instructions;
    this.devices = vcpu.deviceMemory((device) => this.cpu.charge(device === vcpu.lapic.name ? msr : io));
  }

  get instructions(): number {
    return this.cpu.instructions;
  }

  dispatched(mmu: Mmu): void {
    mmu.flushAll();
    mmu.attach(this.walker, 0);
    this.cpu.attach(mmu);
  }

  start(vector: number): void {
    resetCpu(this.cpu);
    startCpu(this.cpu, vector);
  }

  prepare(): Disposition {
    const { cpu, vcpu } = this;
    if (vcpu.nmiWaiting && cpu.nmiAllowed()) {
      vcpu.acknowledgeNmi();
      const exit = this.withDevices(() => cpu.inject(VECTOR_NMI, NO_ERROR_CODE, 0, true));
      if (exit !== EXIT_BUDGET) return this.handle(exit);
      cpu.nmiBlocked = true;
    }
    if (vcpu.interruptWaiting) this.vmx?.interrupted();
    if (vcpu.interruptWaiting && cpu.interruptible()) {
      const vector = vcpu.acknowledgeInterrupt();
      const exit = this.withDevices(() => cpu.inject(vector, NO_ERROR_CODE, 0, true));
      if (exit !== EXIT_BUDGET) return this.handle(exit);
    }
    cpu.nmiPending = vcpu.nmiWaiting;
    cpu.interruptPending = vcpu.interruptWaiting;
    return 'resume';
  }

  handle(exit: number): Disposition {
    const { cpu, vcpu } = this;
    const nested = this.vmx?.handle(exit) ?? null;
    if (nested !== null) return nested;
    if (exit === EXIT_IO) {
      const value = vcpu.accessPort(cpu);
      const end = this.withDevices(() => cpu.completeIo(value));
      return end === EXIT_BUDGET ? 'resume' : this.handle(end);
    }
    if (exit === EXIT_MMIO) {
      // A debug trap of the instruction before may be what touches the device: it comes first.
      const trap = cpu.takePendingTrap();
      if (trap !== 0) cpu.noteDebug(trap);
      const end = this.withDevices(() => (trap !== 0 ? cpu.inject(VECTOR_DB) : cpu.step()));
      return end === EXIT_BUDGET ? 'resume' : this.handle(end);
    }
    if (exit === EXIT_HALT) return vcpu.halted(cpu);
    if (exit === EXIT_FERR) return vcpu.stoodStill(cpu);
    if (exit === EXIT_INTERRUPT_WINDOW) return 'resume';
    return vcpu.crashed(exit, cpu);
  }

  /** Does something on the CPU while the devices in memory answer, and passes its cycles on. */
  private withDevices(action: () => number): number {
    this.cpu.mmio = this.devices;
    const exit = action();
    this.cpu.mmio = null;
    this.vcpu.spendGuest();
    return exit;
  }

  guestView(): Cpu {
    return this.cpu;
  }
}

export const native: Technique = {
  name: 'native',
  summary: 'the bare machine: no VMM, the baseline',
  pagings: ['native'],
  make(vcpu) {
    const { paging, name } = vcpu.vm.spec;
    if (paging !== 'native') throw new UserError(`VM ${name}: technique native has paging native, not ${paging}`);
    return new NativeExecutor(vcpu);
  },
};

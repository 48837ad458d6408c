/**
 * Native execution: the guest has the machine to itself. No controls, no exits, no VMM cycles: port accesses go
 * straight to the devices at bus speed, interrupts straight to the CPU. The baseline of every comparison.
 */
import { UserError } from '../../core/errors.ts';
import { Cpu } from '../../machine/cpu.ts';
import { EXIT_BUDGET, EXIT_HALT, EXIT_INTERRUPT_WINDOW, EXIT_IO, NO_ERROR_CODE } from '../../machine/exits.ts';
import type { Mmu } from '../../machine/mmu.ts';
import { GuestWalker } from '../../machine/paging.ts';
import { BUDGET_UNLIMITED, type Disposition, type Executor, type Technique } from '../technique.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { bootCpu } from '../vm.ts';

class NativeExecutor implements Executor {
  readonly cpu: Cpu;
  readonly budgetMax = BUDGET_UNLIMITED;
  private readonly vcpu: ExecutedVcpu;
  private readonly walker: GuestWalker;

  constructor(vcpu: ExecutedVcpu) {
    const { vm } = vcpu;
    this.vcpu = vcpu;
    this.walker = new GuestWalker(vm.physmap);
    this.cpu = new Cpu(vm.machine.memory, vm.machine.mmus[0]!, vm.machine.codeCache);
    bootCpu(this.cpu, vm.boot);
  }

  get instructions(): number {
    return this.cpu.instructions;
  }

  dispatched(mmu: Mmu): void {
    mmu.flushAll();
    mmu.attach(this.walker, 0);
    this.cpu.attach(mmu);
  }

  prepare(): Disposition {
    const { cpu, vcpu } = this;
    const { pic } = vcpu.vm.pc;
    if (pic.intr && cpu.interruptible()) {
      const exit = cpu.inject(vcpu.acknowledgeInterrupt(), NO_ERROR_CODE, 0, true);
      vcpu.spendGuest();
      if (exit !== 0) return vcpu.crashed(exit, cpu);
    }
    cpu.interruptPending = pic.intr;
    return 'resume';
  }

  handle(exit: number): Disposition {
    const { cpu, vcpu } = this;
    if (exit === EXIT_IO) {
      const end = cpu.completeIo(vcpu.accessPort(cpu));
      vcpu.spendGuest();
      return end === EXIT_BUDGET ? 'resume' : vcpu.crashed(end, cpu);
    }
    if (exit === EXIT_HALT) return vcpu.halted(cpu);
    if (exit === EXIT_INTERRUPT_WINDOW) return 'resume';
    return vcpu.crashed(exit, cpu);
  }

  guestView(): Cpu {
    return this.cpu;
  }

  release(): void {
    // holds nothing
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

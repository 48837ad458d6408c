/**
 * Hardware task switches of a guest in guest mode: they always exit (SDM vol 3, 25.4.2), and the VMM carries them out.
 * It does so on a CPU object of its own that walks the guest's own page tables, so a switch that loads CR3 in its middle
 * meets neither shadow nor nested tables.
 * Invariant: outside run() the helper holds nothing that matters.
 */
import { Cpu } from '../../machine/cpu.ts';
import { newCpuState, restoreCpu, saveCpu } from '../../machine/cpu-state.ts';
import type { Mmu } from '../../machine/mmu.ts';
import { GuestWalker } from '../../machine/paging.ts';
import type { ExecutedVm } from '../vm.ts';

/** An event whose delivery goes through a task gate. */
export interface TaskEvent {
  readonly vector: number;
  readonly errorCode: number;
  readonly lin: number;
  readonly external: boolean;
}

export class TaskSwitcher {
  /** Instructions retired by the helper. */
  retired = 0;
  private readonly helper: Cpu;
  private readonly mmu: Mmu;
  private readonly state = newCpuState();

  constructor(vm: ExecutedVm) {
    const { machine } = vm;
    this.mmu = machine.helperMmu(new GuestWalker(vm.physmap));
    this.helper = new Cpu(machine.memory, this.mmu, machine.codeCache);
  }

  /**
   * Carries out the instruction at EIP of `cpu` (`event` null), or the delivery of an event, and gives `cpu` the result.
   * What it wrote to traced frames is added to cpu.tracedWrites. Returns an EXIT_* code: EXIT_BUDGET, or the crash.
   */
  run(cpu: Cpu, event: TaskEvent | null): number {
    const { helper, state } = this;
    saveCpu(cpu, state);
    restoreCpu(helper, state);
    helper.resumeAt = cpu.resumeAt === cpu.instructions ? helper.instructions : -1;
    this.mmu.flushAll();
    helper.dropCode();
    const before = helper.instructions;
    const exit =
      event === null ? helper.step() : helper.inject(event.vector, event.errorCode, event.lin, event.external);
    this.retired += helper.instructions - before;
    saveCpu(helper, state);
    restoreCpu(cpu, state);
    cpu.resumeAt = helper.resumeAt === helper.instructions ? cpu.instructions : -1;
    cpu.pendingDebug = helper.takePendingTrap();
    for (const write of helper.tracedWrites) cpu.tracedWrites.push(write);
    helper.tracedWrites.length = 0;
    cpu.flushTlb(false);
    return exit;
  }
}

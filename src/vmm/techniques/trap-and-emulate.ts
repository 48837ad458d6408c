/**
 * Trap-and-emulate, the classic technique: guest kernel code executes as it is at ring 1, on what deprivileged.ts sets
 * up, and the VMM emulates what traps.
 *
 * What IA-32's sensitive instructions do without trapping is left as it is on hardware: an unmodified kernel
 * misbehaves. Each of them is also run on a copy of the guest's view to find the first one that went wrong.
 * Sources: Popek & Goldberg 1974; Robin & Irvine 2000.
 */
import { UserError } from '../../core/errors.ts';
import { newCpuState, restoreCpu, saveCpu } from '../../machine/cpu-state.ts';
import { EXIT_BUDGET, EXIT_SENSITIVE } from '../../machine/exits.ts';
import type { Disposition, Technique } from '../technique.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { DeprivilegedExecutor } from './deprivileged.ts';
import { findDivergence } from './divergence.ts';

class TrapExecutor extends DeprivilegedExecutor {
  constructor(vcpu: ExecutedVcpu) {
    super(vcpu);
    this.begin();
  }

  protected override configure(): void {
    super.configure();
    this.cpu.observeSensitive = true;
  }

  override handle(exit: number): Disposition {
    return exit === EXIT_SENSITIVE ? this.observe() : super.handle(exit);
  }

  /**
   * A sensitive instruction is about to execute. Lets it do what it does at this ring, then runs it on the guest's
   * view as of before, undoes that, and compares. Costs nothing: it is the experimenter who looks, not the VMM.
   */
  private observe(): Disposition {
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

export const trapAndEmulate: Technique = {
  name: 'trap-and-emulate',
  summary: 'classic: the guest kernel at ring 1, privileged instructions trap and are emulated, shadow paging',
  pagings: ['shadow'],
  make(vcpu) {
    const { name, paging } = vcpu.vm.spec;
    if (paging !== 'shadow') {
      throw new UserError(`VM ${name}: technique trap-and-emulate has paging shadow, not ${paging}`);
    }
    return new TrapExecutor(vcpu);
  },
};

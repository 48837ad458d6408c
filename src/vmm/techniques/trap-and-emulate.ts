/**
 * Trap-and-emulate, the classic technique: guest kernel code executes as it is at ring 1, on what deprivileged.ts sets
 * up, and the VMM emulates what traps.
 *
 * What IA-32's sensitive instructions do without trapping is left as it is on hardware: an unmodified kernel
 * misbehaves. Each of them is also run on a copy of the guest's view to find the first one that went wrong.
 * Sources: Popek & Goldberg 1974; Robin & Irvine 2000.
 */
import { UserError } from '../../core/errors.ts';
import { EXIT_SENSITIVE } from '../../machine/exits.ts';
import type { Disposition, Technique } from '../technique.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { DeprivilegedExecutor } from './deprivileged.ts';

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

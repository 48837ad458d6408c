/**
 * VMX on the bare machine: a guest that is a VMM has the CPU's own VMX unit. Its exits are hardware alone, charged by the
 * unit; nobody else is in between.
 * Invariant: the CPU's intercepts are the unit's while its guest executes, and none otherwise.
 */
import type { Cpu } from '../../machine/cpu.ts';
import { EXIT_BUDGET, EXIT_VMX } from '../../machine/exits.ts';
import { REASON_EXTERNAL_INTERRUPT, REASON_TASK_SWITCH, VmxUnit } from '../../machine/vmx/unit.ts';
import type { Disposition } from '../technique.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { vmxTiming } from './reasons.ts';

export class BareVmx {
  private readonly vcpu: ExecutedVcpu;
  private readonly cpu: Cpu;
  private readonly unit: VmxUnit;

  constructor(vcpu: ExecutedVcpu, cpu: Cpu) {
    this.vcpu = vcpu;
    this.cpu = cpu;
    this.unit = new VmxUnit(vcpu.vm.physmap, vcpu.vm.machine.codeCache, vmxTiming(vcpu.vm.machine.preset.vmx));
    cpu.vmx = this.unit;
  }

  /** An interrupt waits: it leaves a guest that its controls ask to, and waits for the VMM to take it. */
  interrupted(): void {
    if (!this.unit.exitsOnInterrupt) return;
    this.unit.leave(this.cpu, { reason: REASON_EXTERNAL_INTERRUPT });
    this.control();
    this.vcpu.spendGuest();
  }

  /** Answers an exit of the CPU that VMX explains; null: none of its business. */
  handle(exit: number): Disposition | null {
    const { cpu, unit, vcpu } = this;
    if (exit === EXIT_VMX) {
      const event = unit.entryEvent;
      unit.entryEvent = null;
      this.control();
      if (event === null) return 'resume';
      const end = cpu.inject(event.vector, event.errorCode, cpu.cr2, event.external);
      vcpu.spendGuest();
      return end === EXIT_BUDGET ? 'resume' : this.handle(end);
    }
    if (!unit.inGuest) return null;
    const record = unit.wants(cpu, exit);
    if (record !== null) {
      if (record.reason === REASON_TASK_SWITCH) return endTaskSwitch(vcpu);
      unit.leave(cpu, record);
      this.control();
      vcpu.spendGuest();
      return 'resume';
    }
    return null;
  }

  private control(): void {
    const { cpu, unit } = this;
    cpu.intercepts = unit.inGuest ? unit.intercepts : 0;
    cpu.interceptExceptions = unit.inGuest ? unit.exceptions : 0;
    cpu.interceptTaskSwitch = unit.inGuest;
    // Of several instructions behind one intercept the controls may ask for some only.
    cpu.interceptFilter = unit.inGuest ? (insn) => unit.wantsInstruction(cpu, insn) !== null : null;
  }
}

/** A guest's guest that switches tasks by hardware: its VMM would need a field that our exits do not have. */
export function endTaskSwitch(vcpu: ExecutedVcpu): Disposition {
  vcpu.vm.end('unimplemented', 'a task switch in the guest of a guest');
  return 'end';
}

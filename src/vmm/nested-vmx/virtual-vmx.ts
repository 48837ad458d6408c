/**
 * VMX for a guest of ours that is a VMM itself (L1), by trap and reflect: every VMX instruction of L1 exits to us (L0) and
 * works on L1's control structure in L1's memory; its entry runs L2 on the real CPU under merged controls; every exit
 * of L2 comes to us, and those that L1 asked for are reflected into it. L1 then reads and writes its control structure, and each
 * of these accesses exits again, unless hardware answers them (VMCS shadowing).
 * L1 has no nested paging to offer: it gives L2 page tables of its own making, and our nested tables translate below them.
 * Invariants: L1 sees what the bare machine would show it, because the same unit works for both; an exit is counted once,
 * under `l2-` and its reason if L2 left.
 * Source: Ben-Yehuda et al., "The Turtles Project", OSDI 2010, sections 3.2 to 3.4.
 */
import type { Cycles } from '../../core/units.ts';
import type { Cpu } from '../../machine/cpu.ts';
import { EXIT_BUDGET, EXIT_INTERCEPT, EXIT_VMX } from '../../machine/exits.ts';
import type { Insn } from '../../machine/insn.ts';
import { INTERCEPT_VMCS_ACCESS, INTERCEPT_VMX } from '../../machine/isa/row.ts';
import { REASON_EXTERNAL_INTERRUPT, REASON_TASK_SWITCH, type VmxExit, VmxUnit } from '../../machine/vmx/unit.ts';
import type { VmxExitReason } from '../costs.ts';
import { partPathCycles } from '../part-path.ts';
import type { Disposition } from '../technique.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { endTaskSwitch } from './bare-vmx.ts';
import { NESTED_PATHS, type NestedOperation } from './paths.ts';
import { exitReason, vmxTiming } from './reasons.ts';

const VMX_INTERCEPTS = INTERCEPT_VMX | INTERCEPT_VMCS_ACCESS;

/** What the technique below does for us. */
export interface VmxHost {
  /** Charges an exit under a name of its own: hardware out and in, dispatch. */
  leave(name: string, price: VmxExitReason): void;
  /** Injects an event, whatever its delivery meets. */
  deliver(vector: number, errorCode: number, lin: number, external: boolean): Disposition;
  /** Answers any other exit. */
  handle(exit: number): Disposition;
  /** Its own controls, which hold for L1 and L2 alike. */
  controls(): { readonly intercepts: number; readonly exceptions: number };
  /** Its own controls make this instruction leave. */
  exits(insn: Insn): boolean;
}

export class VirtualVmx {
  private readonly vcpu: ExecutedVcpu;
  private readonly cpu: Cpu;
  private readonly host: VmxHost;
  private readonly unit: VmxUnit;
  private readonly shadowing: boolean;
  private readonly cycles: Readonly<Record<NestedOperation, Cycles>>;
  constructor(vcpu: ExecutedVcpu, cpu: Cpu, host: VmxHost, shadowing: boolean) {
    const { preset } = vcpu.vm.machine;
    this.vcpu = vcpu;
    this.cpu = cpu;
    this.host = host;
    this.shadowing = shadowing;
    this.unit = new VmxUnit(vcpu.vm.physmap, vcpu.vm.machine.codeCache, vmxTiming(preset.vmx));
    const priced = Object.entries(NESTED_PATHS).map(([name, path]) => [name, partPathCycles(path, preset)]);
    this.cycles = Object.fromEntries(priced) as Record<NestedOperation, Cycles>;
    cpu.vmx = this.unit;
    this.control();
  }

  /** A physical interrupt for the guest came. True if L1 asked that its guest leaves for it: then it has left. */
  interrupted(): boolean {
    if (!this.unit.exitsOnInterrupt) return false;
    this.reflect({ reason: REASON_EXTERNAL_INTERRUPT });
    return true;
  }

  /** Answers an exit that VMX explains; null: the technique's own business. */
  handle(exit: number): Disposition | null {
    const { cpu, unit } = this;
    if (exit === EXIT_VMX) return this.entered();
    if (unit.inGuest) {
      const record = unit.wants(cpu, exit);
      if (record !== null) {
        if (record.reason === REASON_TASK_SWITCH) return endTaskSwitch(this.vcpu);
        this.reflect(record);
        return 'resume';
      }
      return null;
    }
    if (exit !== EXIT_INTERCEPT) return null;
    const { intercept, mnemonic } = cpu.exitInsn.row;
    if (intercept !== INTERCEPT_VMX && intercept !== INTERCEPT_VMCS_ACCESS) return null;
    this.host.leave(mnemonic.toLowerCase(), 'vmcall');
    return this.carryOut(intercept === INTERCEPT_VMCS_ACCESS ? 'vmcs-access' : this.pathOf(mnemonic));
  }

  private pathOf(mnemonic: string): NestedOperation {
    return mnemonic === 'VMLAUNCH' || mnemonic === 'VMRESUME' ? 'nested-entry' : 'vmcs-pointer';
  }

  /** Executes the VMX instruction of L1 on its virtual unit. */
  private carryOut(operation: NestedOperation): Disposition {
    const { cpu, vcpu } = this;
    vcpu.vmmCycles(this.cycles[operation]);
    if (operation === 'nested-entry' && this.shadowing) vcpu.vmmCycles(this.cycles['shadow-sync']);
    const exit = cpu.step();
    vcpu.discardGuest();
    return exit === EXIT_BUDGET ? 'resume' : this.host.handle(exit);
  }

  /** L1's entry has loaded another state: that of L2, or its own again if L2's was not valid. */
  private entered(): Disposition {
    const { cpu, unit, host } = this;
    const event = unit.entryEvent;
    unit.entryEvent = null;
    this.control();
    return event === null ? 'resume' : host.deliver(event.vector, event.errorCode, cpu.cr2, event.external);
  }

  /** Gives an exit of L2 to L1. */
  private reflect(record: VmxExit): void {
    const { cpu, unit, vcpu, host } = this;
    const [name, price] = exitReason(record.reason);
    host.leave(`l2-${name}`, price);
    vcpu.vmmCycles(this.cycles['nested-reflect']);
    if (this.shadowing) vcpu.vmmCycles(this.cycles['shadow-sync']);
    unit.leave(cpu, record);
    // The unit's own price is that of the bare machine; here software did it.
    vcpu.discardGuest();
    this.control();
  }

  /** Puts the merged controls in force: before every entry, and after every change between L1 and L2. */
  control(): void {
    const { cpu, unit, host } = this;
    const { intercepts, exceptions } = host.controls();
    const virtual = this.shadowing ? INTERCEPT_VMX : INTERCEPT_VMX | INTERCEPT_VMCS_ACCESS;
    cpu.intercepts = intercepts | (unit.inGuest ? unit.intercepts : virtual);
    cpu.interceptExceptions = exceptions | (unit.inGuest ? unit.exceptions : 0);
    cpu.interceptFilter = this.leaves;
  }

  /** Of several instructions behind one intercept: whether L1's controls, or ours, ask for this one. */
  private readonly leaves = (insn: Insn): boolean => {
    const { cpu, unit, host } = this;
    if (unit.inGuest ? unit.wantsInstruction(cpu, insn) !== null : (insn.row.intercept & VMX_INTERCEPTS) !== 0)
      return true;
    return (host.controls().intercepts & insn.row.intercept) !== 0 && host.exits(insn);
  };
}

/**
 * Intel's exit reasons by number: the name that tables of exits use, and which measured exit of a preset prices it.
 * Source: SDM vol 3, appendix C.
 */
import type { VmxTiming } from '../../machine/vmx/unit.ts';
import type { VmxCosts, VmxExitReason } from '../costs.ts';

const REASONS: Readonly<Record<number, readonly [name: string, cost: VmxExitReason]>> = {
  0: ['exception', 'exception'],
  1: ['external-interrupt', 'external-interrupt'],
  2: ['triple-fault', 'triple-fault'],
  10: ['cpuid', 'cpuid'],
  12: ['hlt', 'hlt'],
  13: ['invd', 'wbinvd'],
  14: ['invlpg', 'invlpg'],
  16: ['rdtsc', 'rdtsc'],
  18: ['vmcall', 'vmcall'],
  19: ['vmclear', 'vmcall'],
  20: ['vmlaunch', 'vmcall'],
  21: ['vmptrld', 'vmcall'],
  22: ['vmptrst', 'vmcall'],
  23: ['vmread', 'vmcall'],
  24: ['vmresume', 'vmcall'],
  25: ['vmwrite', 'vmcall'],
  26: ['vmxoff', 'vmcall'],
  27: ['vmxon', 'vmcall'],
  28: ['control-register', 'control-register'],
  29: ['debug-register', 'debug-register'],
  30: ['io', 'io'],
  31: ['rdmsr', 'msr'],
  32: ['wrmsr', 'msr'],
  33: ['invalid-guest-state', 'vmcall'],
  40: ['pause', 'pause'],
};

/** Name and price of an exit reason. */
export function exitReason(number: number): readonly [name: string, cost: VmxExitReason] {
  return REASONS[number] ?? [`reason-${number}`, 'vmcall'];
}

/** What the unit of a machine's CPU costs. VMXON and VMXOFF, which a VMM executes once, are priced as VMPTRLD and VMCLEAR. */
export function vmxTiming(vmx: VmxCosts): VmxTiming {
  return {
    vmread: vmx.vmreadCycles,
    vmwrite: vmx.vmwriteCycles,
    vmclear: vmx.vmclearCycles,
    vmptrld: vmx.vmptrldCycles,
    entry: vmx.entryCycles,
    exit: (reason) => vmx.exitCycles[exitReason(reason)[1]],
  };
}

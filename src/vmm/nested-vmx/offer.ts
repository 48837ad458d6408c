/**
 * Where a guest can have VMX: on the bare machine, and with hardware assistance over nested paging. One rule, asked when a
 * scenario is checked and again when the VM is made.
 */
import type { MachinePreset } from '../costs.ts';

export interface VmxWish {
  readonly technique: string;
  readonly paging: string;
  readonly shadowing: boolean;
}

/** VMCS shadowing came with Haswell. */
const SHADOWING_SINCE = 2013;

/** Why this VM cannot have VMX; null if it can. */
export function vmxObstacle({ technique, paging, shadowing }: VmxWish, preset: MachinePreset): string | null {
  if (technique !== 'native' && technique !== 'hardware-assisted') {
    return `technique ${technique} offers no VMX to its guest; allowed: native, hardware-assisted`;
  }
  if (technique === 'hardware-assisted' && paging !== 'nested') {
    return 'VMX for a guest under hardware-assisted needs nested paging: the guest has only page tables to separate its own guest by';
  }
  if (technique === 'hardware-assisted' && preset.vmx.vendor === 'AMD') {
    return `${preset.name} has SVM, and guests are offered VMX, which needs a VMX processor below`;
  }
  if (shadowing && preset.year < SHADOWING_SINCE) {
    return `${preset.name} has no VMCS shadowing, which came in ${SHADOWING_SINCE}`;
  }
  return null;
}

/**
 * Below the VMM of a partition (type 0): the partition's own devices, which the firmware gave it for good. A technique that
 * cannot let the guest reach them directly carries the access out on the real device, at the price of the bus.
 * The local APIC's page is still emulated: it belongs to the CPU's virtualization, not to the partition.
 * Invariant: nobody else uses the CPU or the devices, so there is nothing to pay for when the vCPU comes and goes.
 */
import type { HostSide } from './host-side.ts';
import { devicePath } from './paths.ts';
import type { ExecutedVcpu } from './vcpu.ts';

export class DedicatedSide implements HostSide {
  readonly ownDevices = true;
  readonly nextInterrupt = Infinity;
  private readonly vcpu: ExecutedVcpu;

  constructor(vcpu: ExecutedVcpu) {
    this.vcpu = vcpu;
  }

  device(name: string | undefined): void {
    const { vcpu } = this;
    if (name === vcpu.lapic.name) vcpu.vmm(devicePath(name));
    else vcpu.vmmCycles(vcpu.vm.machine.preset.timing.instructions.io);
  }

  resumed(): void {}
  blocked(): void {}
  unloaded(): void {}
  interrupt(): void {}
}

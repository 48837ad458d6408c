/**
 * Below a hosted VMM: a host OS, of which the VM is a process. Devices with a back end outside are emulated by that process,
 * behind a world switch and back; the virtual chipset (interrupt controllers, timers) stays in the VMM, because guests
 * touch it at every interrupt. A physical interrupt belongs to the host: world switch, handler, world switch back. An idle guest
 * is a sleeping process.
 * Invariant: the CPU is either in the host's world or in the VMM's, and every change between them is one `world-switch`.
 * Source: Sugerman, Venkitachalam & Lim, USENIX 2001, sections 2.2 and 3.
 */
import type { Cycles, Ns } from '../../core/units.ts';
import type { HostSide } from '../host-side.ts';
import { devicePath } from '../paths.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { HOSTED_OPERATIONS, type HostedOperation, hostedCycles } from './paths.ts';

/** Devices that the VMM emulates by itself. */
export const IN_VMM: ReadonlySet<string> = new Set(['pic', 'pit', 'lapic', 'ioapic']);

/** The host's own timer: 100 Hz, as Linux and Windows NT had on PCs. */
export const HOST_TICK_NS: Ns = 10_000_000;

export class HostedSide implements HostSide {
  readonly ownDevices = false;
  nextInterrupt: Ns = Infinity;
  private readonly vcpu: ExecutedVcpu;
  private readonly cycles: Readonly<Record<HostedOperation, Cycles>>;
  private world: 'host' | 'vmm' = 'host';
  /** Why the host has the CPU. */
  private away: 'new' | 'asleep' | 'preempted' | null = 'new';

  constructor(vcpu: ExecutedVcpu) {
    const { preset } = vcpu.vm.machine;
    this.vcpu = vcpu;
    const priced = HOSTED_OPERATIONS.map((operation) => [operation, hostedCycles(operation, preset)]);
    this.cycles = Object.fromEntries(priced) as Record<HostedOperation, Cycles>;
  }

  resumed(now: Ns): void {
    this.nextInterrupt = (Math.floor(now / HOST_TICK_NS) + 1) * HOST_TICK_NS;
    const { away } = this;
    if (away === null) return;
    this.away = null;
    // It was the host's timer that took the CPU away; that could not be paid for then.
    if (away === 'preempted') {
      this.switchWorld();
      this.host('host-interrupt', ['host-interrupt']);
    } else if (away === 'asleep') this.host('host-process', ['process-wake', 'process-call']);
    this.switchWorld();
  }

  blocked(): void {
    this.switchWorld();
    this.host('host-process', ['process-return', 'process-block']);
    this.away = 'asleep';
    this.nextInterrupt = Infinity;
  }

  unloaded(): void {
    if (this.world === 'vmm') this.away = 'preempted';
  }

  device(name: string | undefined): void {
    const { vcpu } = this;
    if (name !== undefined && IN_VMM.has(name)) {
      vcpu.vmm(devicePath(name));
      return;
    }
    this.switchWorld();
    const own = vcpu.vm.machine.preset.vmm[devicePath(name)];
    this.host('host-process', ['process-return', 'process-dispatch', 'process-call'], own);
    this.switchWorld();
  }

  interrupt(): void {
    this.switchWorld();
    this.host('host-interrupt', ['host-interrupt']);
    this.switchWorld();
  }

  private switchWorld(): void {
    this.world = this.world === 'host' ? 'vmm' : 'host';
    this.vcpu.chargeApart('world-switch', this.cycles['world-switch']);
    this.vcpu.flushUntagged();
  }

  private host(reason: string, operations: readonly HostedOperation[], own: Cycles = 0): void {
    this.vcpu.chargeApart(
      reason,
      operations.reduce((sum, operation) => sum + this.cycles[operation], own),
    );
  }
}

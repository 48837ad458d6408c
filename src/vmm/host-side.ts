/**
 * What is below the VMM of one vCPU, as far as the hypervisor's kind decides it: who emulates devices, and whom physical
 * interrupts go to. Null in a vCPU is a VMM on bare hardware that emulates devices by itself (type 1).
 * Order of calls: ( resumed -> (device | interrupt)* -> blocked | unloaded )*
 * Invariant: it charges through the vCPU, so every cycle has an account; it changes nothing that the guest could tell, but time.
 */
import type { Ns } from '../core/units.ts';

export interface HostSide {
  /** The guest has the devices to itself: a technique that can lets it reach them, and them interrupt it, without an exit. */
  readonly ownDevices: boolean;
  /** When the host itself is interrupted next, on the pCPU where this vCPU runs; Infinity: never. */
  readonly nextInterrupt: Ns;
  /** The vCPU goes on: for the first time, after it was blocked, or after something else was on its pCPU. */
  resumed(now: Ns): void;
  /** The vCPU has nothing to do: its host may sleep. */
  blocked(): void;
  /** Its context left the pCPU. Must not spend cycles. */
  unloaded(): void;
  /** An access to the named device is emulated (undefined: nobody answers): pays for all of it. */
  device(name: string | undefined): void;
  /** A physical interrupt stopped the guest; its exit is paid for. */
  interrupt(): void;
}

/**
 * Type 2: a host OS owns the hardware, and a VM is one of its processes. Each vCPU is a thread that the host's scheduler runs
 * beside other processes; devices are emulated in the process, behind a world switch; physical interrupts are the host's.
 */
import { HostedSide } from '../../vmm/hosted/hosted-side.ts';
import type { HypervisorKind } from './kind.ts';
import { type1 } from './type-1.ts';

export const type2: HypervisorKind = {
  name: 'type-2',
  summary: 'a process of a host OS: host scheduler and processes, devices behind a world switch',
  hasProcesses: true,
  policy: null,
  admit: (host, asks) => type1.admit(host, asks),
  // Between threads of the host; the way into the VMM's world comes on top, when the thread goes on.
  switchCycles: (preset) => type1.switchCycles(preset),
  hostSide: (vcpu) => new HostedSide(vcpu),
};

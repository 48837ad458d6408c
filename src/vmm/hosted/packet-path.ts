/**
 * The way of one packet out of a guest under a hosted hypervisor, as the sum of named steps: from the OUT that tells the
 * emulated network card to send, through the VMM, the world switch, the process and the host's network, and back.
 * Each step is a path of the VMM or of the host; the same paths are charged when an executed guest touches a device.
 * Source of the steps: Sugerman, Venkitachalam & Lim, USENIX 2001, figure 5.
 */
import type { Cycles } from '../../core/units.ts';
import type { MachinePreset } from '../costs.ts';
import { hostedCycles } from './paths.ts';

export interface PacketStep {
  readonly name: string;
  /** Paths that it consists of. */
  readonly of: string;
  readonly cycles: Cycles;
}

/** The steps in the order of time, for a VMM that runs a deprivileged guest: the OUT traps. */
export function packetPath(preset: MachinePreset): PacketStep[] {
  const { trapCycles, returnCycles } = preset.deprivileged;
  const { vmm } = preset;
  const host = (operation: Parameters<typeof hostedCycles>[0]): Cycles => hostedCycles(operation, preset);
  return [
    {
      name: 'OUT in the VMM',
      of: 'trap, trap-dispatch, decode, io-decode',
      cycles: trapCycles + vmm['trap-dispatch'] + vmm.decode + vmm['io-decode'],
    },
    { name: 'world switch to the host', of: 'world-switch', cycles: host('world-switch') },
    {
      name: 'the process emulates the card',
      of: 'process-return, process-dispatch, a device of 150 instructions',
      cycles: host('process-return') + host('process-dispatch') + vmm['device-ide'],
    },
    { name: 'the host sends', of: 'host-send', cycles: host('host-send') },
    { name: 'back to the driver', of: 'process-call', cycles: host('process-call') },
    { name: 'world switch to the VMM', of: 'world-switch', cycles: host('world-switch') },
    { name: 'OUT completed', of: 'emulate, return', cycles: vmm.emulate + returnCycles },
  ];
}

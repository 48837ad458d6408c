/**
 * Type 1: the hypervisor owns the hardware. Its scheduler shares the physical CPUs, its VMM emulates the devices, and
 * physical interrupts are its own.
 */
import type { HypervisorKind } from './kind.ts';

export const type1: HypervisorKind = {
  name: 'type-1',
  summary: 'on the bare hardware: its own scheduler, devices emulated in the VMM',
  hasProcesses: false,
  policy: null,
  admit: (_host, asks) => asks.map(() => ({ firstPcpu: -1 })),
  switchCycles: (preset) => preset.contextSwitchCycles,
  hostSide: null,
};

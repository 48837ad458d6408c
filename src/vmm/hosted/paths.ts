/**
 * The paths of a hosted (type 2) hypervisor outside of its VMM: the world switch to the host OS, the process that emulates
 * devices, and what the host does for it. Lengths are our choice, from what the code must do, made once and before any
 * comparison, for every machine alike; the hardware operations in them are counted and priced by the preset.
 * Invariant: a path never includes what is charged apart (exit, dispatch in the VMM, the device's own path).
 * Source of the structure: Sugerman, Venkitachalam & Lim, "Virtualizing I/O Devices on VMware Workstation's Hosted Virtual
 * Machine Monitor", USENIX 2001, sections 2 and 3. None of its times is an input.
 */
import type { Cycles } from '../../core/units.ts';
import type { MachinePreset } from '../costs.ts';
import { type PartPath, partPathCycles } from '../part-path.ts';

export const HOSTED_OPERATIONS = [
  'world-switch',
  'process-return',
  'process-call',
  'process-dispatch',
  'process-block',
  'process-wake',
  'host-interrupt',
  'host-send',
] as const;
export type HostedOperation = (typeof HOSTED_OPERATIONS)[number];

/** Full-size frame on the wire, in words of four bytes. */
const PACKET_WORDS = 380;

export const HOSTED_PATHS: Readonly<Record<HostedOperation, PartPath>> = {
  'world-switch': {
    instructions: 200,
    hardware: { flags: 2, descriptor: 8, control: 8, segment: 6, far: 1, msr: 3 },
    flushedPages: 14,
    why: 'one way between VMM and host: interrupts off, save all registers and tables (SGDT, SIDT, SLDT, STR; CR0, CR2, CR3, CR4, DR7), jump through a page that both address spaces map, load those of the other side (LGDT, LIDT, LLDT, LTR; CR3, CR0, CR4; 6 segments; SYSENTER MSRs), call the other side; its first 14 pages of code, stack and data miss the TLB',
  },
  'process-return': {
    instructions: 150,
    hardware: { iret: 1, segment: 4 },
    why: "from the VMM's driver back to the process: end of the ioctl, test for signals and rescheduling, return to user mode",
  },
  'process-call': {
    instructions: 150,
    hardware: { interrupt: 1, segment: 4 },
    why: "the process calls the VMM's driver: system call, file and ioctl number looked up",
  },
  'process-dispatch': {
    instructions: 250,
    why: 'the process reads the request from a page shared with the VMM, jumps by its kind, finds the device, writes the answer',
  },
  'process-block': {
    instructions: 900,
    hardware: { interrupt: 1, iret: 1, segment: 4 },
    why: 'the process has nothing to do: select on its files and timers, sleep (the switch to another process is charged apart)',
  },
  'process-wake': {
    instructions: 600,
    hardware: { iret: 1, segment: 2 },
    why: 'the process wakes up: dequeue, find the file or timer that is ready, return to user mode',
  },
  'host-interrupt': {
    instructions: 500,
    hardware: { interrupt: 2, iret: 2, io: 1, segment: 4 },
    why: "a physical interrupt in the host: the driver raises its vector again, the host's handler runs with one access to the interrupt controller, timers and soft interrupts are looked at",
  },
  'host-send': {
    instructions: 3000,
    hardware: { interrupt: 1, iret: 1, string: 2 * PACKET_WORDS, io: 3 },
    why: 'a packet leaves through the host: write system call, copy from user memory and into a network buffer (1520 bytes each), bridge, queue, native network driver with three accesses to its registers',
  },
};

/** Cycles of a path on a machine. */
export function hostedCycles(operation: HostedOperation, preset: MachinePreset): Cycles {
  return partPathCycles(HOSTED_PATHS[operation], preset);
}

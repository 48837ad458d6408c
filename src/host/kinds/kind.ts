/**
 * A kind of hypervisor: who owns the machine that the VMs run on, orthogonal to the technique of each VM.
 *
 *   admit: may this VM be created, and on which pCPUs?  ->  hostSide: what is below its VMM  ->  policy: who schedules
 *
 * Invariant: a kind only says how; the dispatcher, the VMs and the techniques do it.
 */
import type { Bytes, Cycles } from '../../core/units.ts';
import type { MachinePreset } from '../../vmm/costs.ts';
import type { HostSide } from '../../vmm/host-side.ts';
import type { ExecutedVcpu } from '../../vmm/vcpu.ts';
import type { SchedulerPolicy } from '../scheduler.ts';

/** What a host has to give, or a VM asks for. */
export interface Resources {
  readonly pcpus: number;
  /** Guest memory and the VMM's tables for it. */
  readonly memoryBytes: Bytes;
  /** Sets of PC devices: interrupt controllers, timer, serial port, disk controller. */
  readonly ioUnits: number;
}

/** A VM that may be created: the first pCPU that is its own, or -1 when it shares all of them. */
export interface Admitted {
  readonly firstPcpu: number;
}

/** Why it cannot be created. */
export interface Refused {
  readonly resource: keyof Resources;
  readonly asked: number;
  readonly left: number;
}

export type Admission = Admitted | Refused;

export const isRefused = (admission: Admission): admission is Refused => 'resource' in admission;

export interface HypervisorKind {
  readonly name: string;
  /** One line for `hvsim list hypervisors`. */
  readonly summary: string;
  /** Processes of a host OS run beside the VMs. */
  readonly hasProcesses: boolean;
  /** Takes the place of the scenario's scheduler; null: there is one to choose. */
  readonly policy: SchedulerPolicy | null;
  /** Answers for every VM, in the order of their creation. */
  admit(host: Resources, asks: readonly Resources[]): Admission[];
  /** Loading another context on a pCPU. */
  switchCycles(preset: MachinePreset): Cycles;
  /** What is below the VMM of a vCPU; null: the bare hardware. */
  readonly hostSide: ((vcpu: ExecutedVcpu) => HostSide) | null;
}

const WORDS: Readonly<Record<keyof Resources, readonly [one: string, many: string, where: string]>> = {
  pcpus: ['physical CPU', 'physical CPUs', 'host.pcpus'],
  memoryBytes: ['byte of memory', 'bytes of memory', 'host.memory'],
  ioUnits: ['I/O unit', 'I/O units', 'host.io_units'],
};

/** A refusal for people: what was asked, what is left, where to give more. */
export function refusalText({ resource, asked, left }: Refused): string {
  const [one, many, where] = WORDS[resource];
  const count = (n: number): string => `${n} ${n === 1 ? one : many}`;
  return `needs ${count(asked)} of its own, but ${count(left)} ${left === 1 ? 'is' : 'are'} left (${where})`;
}

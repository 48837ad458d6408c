/**
 * What a run leaves behind, as plain data that can pass between threads. The tables of metrics/ are folded from this.
 * Invariant: every number is an integer; nothing here depends on wall time, on paths, or on the number of workers.
 */

import type { Cycles, Ns } from '../core/units.ts';
import type { Timeline } from '../host/timeline.ts';
import type { EngineName } from '../vmm/machine.ts';
import type { Divergence, OutcomeKind, Section } from '../vmm/vm.ts';
import type { ResolvedRun } from './plan.ts';
import type { SchedulingRecord } from './scheduling/rows.ts';

/** How a VM ended; explained where they are made, in vmm/vm.ts. */
export type VmOutcome = OutcomeKind;

export interface ExitRecord {
  readonly reason: string;
  readonly count: number;
  readonly cycles: Cycles;
}

/** Times between becoming ready and running. */
export interface LatencyRecord {
  readonly p50Ns: Ns;
  readonly p95Ns: Ns;
  readonly p99Ns: Ns;
  readonly maxNs: Ns;
}

export interface VcpuRecord {
  readonly vcpu: number;
  readonly runningNs: Ns;
  readonly readyNs: Ns;
  readonly blockedNs: Ns;
  readonly parkedNs: Ns;
  readonly costoppedNs: Ns;
  readonly wakeups: number;
  /** Null when it never woke up. */
  readonly wakeToRun: LatencyRecord | null;
  readonly switchesVoluntary: number;
  readonly switchesInvoluntary: number;
  readonly migrations: number;
  /** Only where vCPUs poll before they block. */
  readonly haltPolling?: HaltPollingRecord;
}

/** Blocks that began with a poll; those that were woken during it; wake-ups for nothing. */
export interface HaltPollingRecord {
  readonly attempted: number;
  readonly successful: number;
  readonly invalid: number;
  readonly successNs: Ns;
  readonly failNs: Ns;
}

export interface VmRecord {
  readonly name: string;
  readonly outcome: VmOutcome;
  /** Address, bytes or reason, for people; empty when there is nothing to say. */
  readonly detail: string;
  /** What was written to the exit port; null when nothing was. */
  readonly exitCode: number | null;
  /** Everything it wrote to its console. */
  readonly console: string;
  readonly instructions: number;
  readonly guestCycles: Cycles;
  readonly translatedCycles: Cycles;
  readonly walkCycles: Cycles;
  readonly exitCycles: Cycles;
  readonly vmmCycles: Cycles;
  /** Progress that the guest reported, in units of its workload. */
  readonly workUnits: number;
  /** From power-on to its end, or to the end of the run. */
  readonly elapsedNs: Ns;
  readonly exits: readonly ExitRecord[];
  /** Instructions that did something else than on the bare machine: the first of each kind, in the order of execution. */
  readonly divergences: readonly Divergence[];
  /** Parts of the run of an emulated or interpreted program; empty for kernels. */
  readonly sections: readonly Section[];
  readonly vcpus: readonly VcpuRecord[];
  readonly memory: MemoryRecord;
  /** Only where the scenario asks for it. */
  readonly requirements?: RequirementsRecord;
}

/** What Popek and Goldberg ask of a VMM, as far as the end of a run can tell. */
export interface RequirementsRecord {
  /** Final registers of each vCPU, by name. */
  readonly registers: readonly Readonly<Record<string, string>>[];
  /** SHA-256 of guest memory. */
  readonly memoryHash: string;
  /** Instructions that the CPU executed as they are in guest memory. */
  readonly direct: number;
  /** Sensitive instructions that executed without the VMM's knowledge. */
  readonly unseen: readonly { readonly mnemonic: string; readonly count: number }[];
  /** Translations that led to a frame of somebody else, over all looks at the TLBs. */
  readonly escapes: number;
}

export interface MemoryRecord {
  readonly guestPages: number;
  /** Guest pages that have a machine frame of their own. */
  readonly residentPages: number;
  /** Frames that hold shadow or nested page tables. */
  readonly tablePages: number;
}

/** Cycles of one physical CPU by account. */
export interface PcpuRecord {
  readonly pcpu: number;
  readonly guestCycles: Cycles;
  readonly translatedCycles: Cycles;
  readonly walkCycles: Cycles;
  readonly exitCycles: Cycles;
  readonly vmmCycles: Cycles;
  readonly switchCycles: Cycles;
  readonly threadCycles: Cycles;
  readonly idleCycles: Cycles;
  /** Lookups that needed a page walk, and how often the TLBs were flushed. */
  readonly tlbMisses: number;
  readonly tlbFlushes: number;
}

export interface RunRecord {
  readonly run: ResolvedRun;
  /** `finished`: every VM ended by itself. `failed`: hvsim could not carry the run out, see `detail`. */
  readonly outcome: 'finished' | 'time-limit' | 'failed';
  readonly detail: string;
  readonly simulatedNs: Ns;
  readonly instructions: number;
  /** Events in the trace. */
  readonly events: number;
  /** Fingerprint of the whole history of the run. */
  readonly digest: string;
  readonly vms: readonly VmRecord[];
  readonly pcpus: readonly PcpuRecord[];
  /** Only where the scenario asks for it. */
  readonly timeline?: Timeline;
  /** Only where the scenario asks for it. */
  readonly scheduling?: SchedulingRecord;
}

/** Carries out one run. The one implementation is build.ts; tests have their own. */
export type WorldRunner = (run: ResolvedRun, options: { readonly engine: EngineName }) => RunRecord;

/** The record of a run that could not be carried out. */
export function failedRun(run: ResolvedRun, detail: string): RunRecord {
  const nothing = { simulatedNs: 0, instructions: 0, events: 0, digest: '', vms: [], pcpus: [] };
  return { run, outcome: 'failed', detail, ...nothing };
}

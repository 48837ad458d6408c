/**
 * What a run leaves behind about scheduling, for scenarios that ask for it with `metrics: [scheduling]`.
 * Invariants: plain integers, as all records; times of vCPUs that came late count from their coming.
 */
import type { Cycles, Ns } from '../../core/units.ts';
import type { Throttling } from '../../host/scheduler.ts';

/** Nearest-rank quantiles of a set of times. */
export interface TimesRecord {
  readonly count: number;
  readonly p50Ns: Ns;
  readonly p95Ns: Ns;
  readonly p99Ns: Ns;
  readonly p999Ns: Ns;
  readonly maxNs: Ns;
}

/** What vCPUs got done, as far as it is known. */
export interface WorkRecord {
  readonly units: number;
  readonly jobs: number;
  readonly missed: number;
  /** By how much the worst job was late. */
  readonly tardinessNs: Ns;
  /** From the release of a job to its end. Null: there were none. */
  readonly responses: TimesRecord | null;
  readonly spunCycles: Cycles;
}

/** The tasks of a vCPU, of a VM, or of all VMs together. */
export interface TasksRecord {
  readonly runningNs: Ns;
  readonly readyNs: Ns;
  readonly blockedNs: Ns;
  readonly parkedNs: Ns;
  readonly costoppedNs: Ns;
  readonly pausedNs: Ns;
  readonly dispatches: number;
  readonly switchesVoluntary: number;
  readonly switchesInvoluntary: number;
  readonly migrations: number;
  /** From each wake-up to running. Null: there were none. */
  readonly wakeToRun: TimesRecord | null;
  /** From each preemption to running. */
  readonly preemptToRun: TimesRecord | null;
  /** Of the migrations: to another thread of the core, another core of the socket, another socket. */
  readonly migrationsCore: number;
  readonly migrationsSocket: number;
  readonly migrationsOther: number;
  readonly lockHolderPreemptions: number;
  readonly lockWaiterPreemptions: number;
  /** Null where it is not known: executed VMs with several vCPUs. */
  readonly work: WorkRecord | null;
}

export interface VcpuSchedulingRecord extends TasksRecord {
  readonly vcpu: number;
}

export interface VmSchedulingRecord extends TasksRecord {
  readonly name: string;
  /** What its vCPUs did together; one time per state of a VM (host/monitor.ts). */
  readonly statesNs: readonly Ns[];
  /** What a fluid scheduler would have given it, and by how much it was behind and ahead of that (host/fluid-shares.ts). */
  readonly entitledNs: Ns;
  readonly lagMaxNs: Ns;
  readonly lagMinNs: Ns;
  /** Of the error of allocation over periods, in millionths; null when no period was over. */
  readonly errorMeanPpm: number | null;
  readonly errorMaxPpm: number | null;
  /** What its limit per period did; null without one. */
  readonly throttling: Throttling | null;
  readonly vcpus: readonly VcpuSchedulingRecord[];
}

/** Of a whole run. The tasks are those of VMs; threads of the hypervisor are in the times of pCPUs only. */
export interface SchedulingRecord extends TasksRecord {
  readonly vms: readonly VmSchedulingRecord[];
  readonly pcpus: number;
  /** Of all pCPUs: time with a task, for switches, with nothing to run, and the number of switches. */
  readonly busyNs: Ns;
  readonly switchNs: Ns;
  readonly idleNs: Ns;
  readonly switches: number;
  /** Time of pCPUs that idled while they could have run a vCPU or thread that waited. */
  readonly wastedIdleNs: Ns;
}

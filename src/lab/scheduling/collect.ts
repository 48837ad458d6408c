/**
 * Reads what scheduling did to the vCPUs of a finished world.
 * Invariant: it only reads. Quantiles of a VM or a run are those of all samples of its vCPUs together.
 */
import { Samples } from '../../core/samples.ts';
import type { Ns } from '../../core/units.ts';
import type { Dispatcher } from '../../host/dispatch.ts';
import type { ModelledVcpu } from '../../host/modelled/demand.ts';
import type { Monitor } from '../../host/monitor.ts';
import {
  STATE_BLOCKED,
  STATE_COSTOPPED,
  STATE_PARKED,
  STATE_PAUSED,
  STATE_READY,
  STATE_RUNNING,
  type TaskState,
  type Throttling,
} from '../../host/scheduler.ts';
import type { HostTask, HostVm } from '../../host/task.ts';
import type { SchedulingRecord, TasksRecord, TimesRecord, WorkRecord } from './rows.ts';

/** What a vCPU got done, where that is known: of an executed VM only if it has one vCPU. */
export type Worker = Pick<ModelledVcpu, 'completed' | 'jobs' | 'missed' | 'tardiness' | 'responseTimes' | 'spun'>;

/** A vCPU with the dispatcher's record of it, and what it got done. */
export interface Scheduled {
  readonly task: HostTask;
  readonly worker: Worker | null;
}

export interface ScheduledVm {
  readonly name: string;
  readonly tasks: readonly Scheduled[];
}

export function schedulingRecord(
  dispatcher: Dispatcher,
  monitor: Monitor,
  vms: readonly ScheduledVm[],
): SchedulingRecord {
  const { pcpus } = dispatcher;
  return {
    ...tasksRecord(
      monitor,
      vms.flatMap(({ tasks }) => tasks),
    ),
    vms: vms.map(({ name, tasks }) => ({
      name,
      ...tasksRecord(monitor, tasks),
      ...vmRecord(monitor, tasks[0]!.task.vm),
      throttling: throttlingRecord(dispatcher, tasks[0]!.task.vm),
      vcpus: tasks.map((vcpu) => ({ vcpu: vcpu.task.index, ...tasksRecord(monitor, [vcpu]) })),
    })),
    pcpus: pcpus.length,
    busyNs: sum(pcpus, ({ busyNs }) => busyNs),
    switchNs: sum(pcpus, ({ switchNs }) => switchNs),
    idleNs: sum(pcpus, ({ idleNs }) => idleNs),
    switches: sum(pcpus, ({ switches }) => switches),
    wastedIdleNs: monitor.wastedIdleNs,
  };
}

function vmRecord(monitor: Monitor, vm: HostVm) {
  const { entitledNs, lagMaxNs, lagMinNs, errorSum, errorMax, periods } = monitor.fluid.ofVm(vm);
  return {
    statesNs: [...monitor.ofVm(vm).times],
    entitledNs: Math.round(entitledNs),
    lagMaxNs: Math.round(lagMaxNs),
    lagMinNs: Math.round(lagMinNs),
    errorMeanPpm: periods === 0 ? null : Math.round((errorSum / periods) * 1e6),
    errorMaxPpm: periods === 0 ? null : Math.round(errorMax * 1e6),
  };
}

/** A copy: the policy goes on counting in its own. */
function throttlingRecord(dispatcher: Dispatcher, vm: HostVm): Throttling | null {
  const counted = dispatcher.throttling(vm);
  if (counted === null) return null;
  const { periods, throttledPeriods, throttledNs, bursts, burstNs } = counted;
  return { periods, throttledPeriods, throttledNs, bursts, burstNs };
}

function tasksRecord(monitor: Monitor, vcpus: readonly Scheduled[]): TasksRecord {
  const watches = vcpus.map(({ task }) => monitor.ofTask(task));
  const time = (state: TaskState): Ns => sum(vcpus, ({ task }) => task.times[state]!);
  return {
    runningNs: time(STATE_RUNNING),
    readyNs: time(STATE_READY),
    blockedNs: time(STATE_BLOCKED),
    parkedNs: time(STATE_PARKED),
    costoppedNs: time(STATE_COSTOPPED),
    pausedNs: time(STATE_PAUSED),
    dispatches: sum(vcpus, ({ task }) => task.dispatches),
    switchesVoluntary: sum(vcpus, ({ task }) => task.voluntary),
    switchesInvoluntary: sum(vcpus, ({ task }) => task.involuntary),
    migrations: sum(vcpus, ({ task }) => task.migrations),
    migrationsCore: sum(watches, (watch) => watch.migrations[0]),
    migrationsSocket: sum(watches, (watch) => watch.migrations[1]),
    migrationsOther: sum(watches, (watch) => watch.migrations[2]),
    lockHolderPreemptions: sum(watches, (watch) => watch.lockHolderPreemptions),
    lockWaiterPreemptions: sum(watches, (watch) => watch.lockWaiterPreemptions),
    preemptToRun: timesRecord(watches.map(({ preemptToRun }) => preemptToRun)),
    wakeToRun: timesRecord(vcpus.map(({ task }) => task.wakeToRun)),
    work: workRecord(vcpus.flatMap(({ worker }) => (worker === null ? [] : [worker]))),
  };
}

function workRecord(workers: readonly Worker[]): WorkRecord | null {
  if (workers.length === 0) return null;
  return {
    units: sum(workers, ({ completed }) => completed),
    jobs: sum(workers, ({ jobs }) => jobs),
    missed: sum(workers, ({ missed }) => missed),
    tardinessNs: workers.reduce((worst, { tardiness }) => Math.max(worst, tardiness), 0),
    responses: timesRecord(workers.map(({ responseTimes }) => responseTimes)),
    spunCycles: sum(workers, ({ spun }) => spun),
  };
}

function timesRecord(sets: readonly Samples[]): TimesRecord | null {
  const found = Samples.quantiles(sets, [500, 950, 990, 999]);
  if (found === null) return null;
  const [p50Ns, p95Ns, p99Ns, p999Ns] = found as [Ns, Ns, Ns, Ns];
  const maxNs = sets.reduce((longest, { max }) => Math.max(longest, max), 0);
  return { count: sum(sets, ({ count }) => count), p50Ns, p95Ns, p99Ns, p999Ns, maxNs };
}

function sum<T>(list: readonly T[], of: (item: T) => number): number {
  return list.reduce((total, item) => total + of(item), 0);
}

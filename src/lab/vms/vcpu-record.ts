/** The ledger of one vCPU as a record. */
import { Samples } from '../../core/samples.ts';
import type { Ns } from '../../core/units.ts';
import { HaltPolling } from '../../host/halt-polling.ts';
import { STATE_BLOCKED, STATE_COSTOPPED, STATE_PARKED, STATE_READY, STATE_RUNNING } from '../../host/scheduler.ts';
import type { HostTask } from '../../host/task.ts';
import type { HaltPollingRecord, LatencyRecord, VcpuRecord } from '../rows.ts';

export function vcpuRecord(vcpu: number, task: HostTask): VcpuRecord {
  return {
    vcpu,
    runningNs: task.times[STATE_RUNNING]!,
    readyNs: task.times[STATE_READY]!,
    blockedNs: task.times[STATE_BLOCKED]!,
    parkedNs: task.times[STATE_PARKED]!,
    costoppedNs: task.times[STATE_COSTOPPED]!,
    wakeups: task.wakes,
    wakeToRun: latency(task.wakeToRun),
    switchesVoluntary: task.voluntary,
    switchesInvoluntary: task.involuntary,
    migrations: task.migrations,
    ...(task.runnable instanceof HaltPolling ? { haltPolling: pollingRecord(task.runnable) } : {}),
  };
}

function pollingRecord({ attempted, successful, invalid, successNs, failNs }: HaltPolling): HaltPollingRecord {
  return { attempted, successful, invalid, successNs, failNs };
}

function latency(samples: Samples): LatencyRecord | null {
  const found = Samples.quantiles([samples], [500, 950, 990]);
  if (found === null) return null;
  const [p50Ns, p95Ns, p99Ns] = found as [Ns, Ns, Ns];
  return { p50Ns, p95Ns, p99Ns, maxNs: samples.max };
}

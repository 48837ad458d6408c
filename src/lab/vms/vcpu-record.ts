/** The ledger of one vCPU as a record. */
import { quantile, sorted } from '../../core/stats.ts';
import { STATE_BLOCKED, STATE_COSTOPPED, STATE_PARKED, STATE_READY, STATE_RUNNING } from '../../host/scheduler.ts';
import type { HostTask } from '../../host/task.ts';
import type { LatencyRecord, VcpuRecord } from '../rows.ts';

export function vcpuRecord(vcpu: number, task: HostTask): VcpuRecord {
  return {
    vcpu,
    runningNs: task.times[STATE_RUNNING]!,
    readyNs: task.times[STATE_READY]!,
    blockedNs: task.times[STATE_BLOCKED]!,
    parkedNs: task.times[STATE_PARKED]!,
    costoppedNs: task.times[STATE_COSTOPPED]!,
    wakeups: task.wakes,
    wakeToRun: latency(task.wakeLatencies),
    switchesVoluntary: task.voluntary,
    switchesInvoluntary: task.involuntary,
    migrations: task.migrations,
  };
}

function latency(samples: readonly number[]): LatencyRecord | null {
  if (samples.length === 0) return null;
  const ascending = sorted(samples);
  const at = (permille: number): number => quantile(ascending, permille);
  return { p50Ns: at(500), p95Ns: at(950), p99Ns: at(990), maxNs: at(1000) };
}

/**
 * vcpus.csv: where the time of each vCPU went, and how long it waited after each wake-up.
 * Invariant: running + ready + blocked + parked + costopped is the time the vCPU existed, to the nanosecond.
 */
import type { VcpuRecord } from '../rows.ts';
import { metric, type VmRow, vmKey, vmRows } from './metric.ts';

interface VcpuRow extends VmRow {
  readonly vcpu: VcpuRecord;
}

export const vcpus = metric<VcpuRow>({
  name: 'vcpus',
  doc: 'One row per virtual CPU and run.',
  rows: (records) => vmRows(records).flatMap((row) => row.vm.vcpus.map((vcpu) => ({ ...row, vcpu }))),
  columns: [
    ...vmKey<VcpuRow>(),
    { name: 'vcpu', doc: 'Number of the virtual CPU in its VM, from 0.', of: ({ vcpu }) => vcpu.vcpu },
    { name: 'running_ns', doc: 'Time on a physical CPU.', of: ({ vcpu }) => vcpu.runningNs },
    {
      name: 'ready_ns',
      doc: 'Time it could have run but had no physical CPU (steal time).',
      of: ({ vcpu }) => vcpu.readyNs,
    },
    { name: 'blocked_ns', doc: 'Time it had nothing to do.', of: ({ vcpu }) => vcpu.blockedNs },
    { name: 'parked_ns', doc: 'Time its cap forbade it to run.', of: ({ vcpu }) => vcpu.parkedNs },
    { name: 'costopped_ns', doc: 'Time it waited for its sibling vCPUs.', of: ({ vcpu }) => vcpu.costoppedNs },
    { name: 'wakeups', doc: 'How often it became ready after it was blocked.', of: ({ vcpu }) => vcpu.wakeups },
    {
      name: 'wake_to_run_p50_ns',
      doc: 'Median time from a wake-up to running. Empty: it never woke up.',
      of: ({ vcpu }) => vcpu.wakeToRun?.p50Ns ?? null,
    },
    {
      name: 'wake_to_run_p95_ns',
      doc: '95 % of the wake-ups waited at most this long.',
      of: ({ vcpu }) => vcpu.wakeToRun?.p95Ns ?? null,
    },
    {
      name: 'wake_to_run_p99_ns',
      doc: '99 % of the wake-ups waited at most this long.',
      of: ({ vcpu }) => vcpu.wakeToRun?.p99Ns ?? null,
    },
    {
      name: 'wake_to_run_max_ns',
      doc: 'The longest wait after a wake-up.',
      of: ({ vcpu }) => vcpu.wakeToRun?.maxNs ?? null,
    },
    {
      name: 'switches_voluntary',
      doc: 'How often it left a physical CPU because it blocked or yielded.',
      of: ({ vcpu }) => vcpu.switchesVoluntary,
    },
    { name: 'switches_involuntary', doc: 'How often it was preempted.', of: ({ vcpu }) => vcpu.switchesInvoluntary },
    { name: 'migrations', doc: 'How often it continued on another physical CPU.', of: ({ vcpu }) => vcpu.migrations },
  ],
});

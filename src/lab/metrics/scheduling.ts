/**
 * scheduling-runs.csv, scheduling-vms.csv, scheduling-vcpus.csv: what scheduling did, at three levels of detail, for
 * scenarios with `metrics: [scheduling]`. The three have the same columns for times, switches and work.
 * Invariant: counts and times of a VM are the sums of those of its vCPUs; quantiles are over all their samples.
 */
import type { Cycles, Hz, Ns } from '../../core/units.ts';
import type { RunRecord } from '../rows.ts';
import type {
  SchedulingRecord,
  TasksRecord,
  TimesRecord,
  VcpuSchedulingRecord,
  VmSchedulingRecord,
} from '../scheduling/rows.ts';
import { type Cell, type Column, metric, ratio } from './metric.ts';

interface RunRow {
  readonly record: RunRecord;
  readonly run: SchedulingRecord;
  readonly tasks: TasksRecord;
}

interface VmRow extends RunRow {
  readonly vm: VmSchedulingRecord;
}

interface VcpuRow extends VmRow {
  readonly vcpu: VcpuSchedulingRecord;
}

const runRows = (records: readonly RunRecord[]): RunRow[] =>
  records.flatMap((record) => {
    const { scheduling: run } = record;
    return run === undefined || record.run.role === 'baseline' ? [] : [{ record, run, tasks: run }];
  });

const vmRows = (records: readonly RunRecord[]): VmRow[] =>
  runRows(records).flatMap((row) => row.run.vms.map((vm) => ({ ...row, vm, tasks: vm })));

const vcpuRows = (records: readonly RunRecord[]): VcpuRow[] =>
  vmRows(records).flatMap((row) => row.vm.vcpus.map((vcpu) => ({ ...row, vcpu, tasks: vcpu })));

const RUN: Column<RunRow> = {
  name: 'run_id',
  doc: 'Number of the run; see runs.csv.',
  of: ({ record }) => record.run.runId,
};
const VM: Column<VmRow> = { name: 'vm', doc: 'Name of the virtual machine.', of: ({ vm }) => vm.name };

/** A time of the record, as a column. */
function time(name: string, doc: string, of: (tasks: TasksRecord) => Cell): Column<RunRow> {
  return { name, doc, of: ({ tasks }) => of(tasks) };
}

const TIMES: readonly Column<RunRow>[] = [
  time('running_ns', 'Time on a physical CPU.', ({ runningNs }) => runningNs),
  time('ready_ns', 'Time it could have run but had no physical CPU (steal time).', ({ readyNs }) => readyNs),
  time('blocked_ns', 'Time it had nothing to do.', ({ blockedNs }) => blockedNs),
  time('parked_ns', 'Time its cap forbade it to run.', ({ parkedNs }) => parkedNs),
  time('costopped_ns', 'Time it waited for its sibling vCPUs.', ({ costoppedNs }) => costoppedNs),
  time('paused_ns', 'Time it was paused from outside.', ({ pausedNs }) => pausedNs),
  {
    name: 'share_ratio',
    doc: 'Running time, divided by the time of all physical CPUs of the host over the whole run.',
    of: ({ tasks, run }) => ratio(tasks.runningNs, run.busyNs + run.switchNs + run.idleNs),
  },
  time('dispatches', 'How often it was put on a physical CPU.', ({ dispatches }) => dispatches),
  time(
    'switches_voluntary',
    'How often it left a physical CPU because it blocked, yielded or ended.',
    ({ switchesVoluntary }) => switchesVoluntary,
  ),
  time('switches_involuntary', 'How often it was preempted.', ({ switchesInvoluntary }) => switchesInvoluntary),
  time('migrations', 'How often it continued on another physical CPU.', ({ migrations }) => migrations),
  ...distribution('wake_to_run', 'waits from a wake-up to running', ({ wakeToRun }) => wakeToRun),
];

const WORK: readonly Column<RunRow>[] = [
  time(
    'units',
    'Units of work that modelled vCPUs completed. Empty: none is modelled.',
    ({ work }) => work?.units ?? null,
  ),
  time('jobs', 'Jobs that were finished: requests, periods, interrupts.', ({ work }) => work?.jobs ?? null),
  time('deadline_misses', 'Jobs that were finished after their deadline.', ({ work }) => work?.missed ?? null),
  time('tardiness_max_ns', 'By how much the worst job missed its deadline.', ({ work }) => work?.tardinessNs ?? null),
  ...distribution('response', 'times from the release of a job to its end', ({ work }) => work?.responses ?? null),
  {
    name: 'spin_ns',
    doc: 'Running time spent on waiting for other vCPUs, at locks and barriers.',
    of: ({ tasks, record }) =>
      tasks.work === null ? null : timeOf(tasks.work.spunCycles, record.run.host.frequencyHz),
  },
];

/** The quantiles of a set of times. */
function distribution(
  prefix: string,
  what: string,
  of: (tasks: TasksRecord) => TimesRecord | null,
): readonly Column<RunRow>[] {
  const at = (name: string, part: string, key: keyof TimesRecord): Column<RunRow> =>
    time(
      `${prefix}_${name}_ns`,
      `Of all ${what}: ${part}. Empty: there were none.`,
      (tasks) => of(tasks)?.[key] ?? null,
    );
  return [
    time(`${prefix}_count`, `Number of ${what}.`, (tasks) => of(tasks)?.count ?? 0),
    at('p50', 'the median', 'p50Ns'),
    at('p95', '95 % are at most this long', 'p95Ns'),
    at('p99', '99 % are at most this long', 'p99Ns'),
    at('p999', '99.9 % are at most this long', 'p999Ns'),
    at('max', 'the longest', 'maxNs'),
  ];
}

/** Rounded down to a nanosecond, like the clock of a pCPU. */
function timeOf(cycles: Cycles, hz: Hz): Ns {
  return Number((BigInt(cycles) * 1_000_000_000n) / BigInt(hz));
}

export const schedulingRuns = metric<RunRow>({
  name: 'scheduling-runs',
  doc: 'One row per run of a scenario with metrics: [scheduling]: all VMs together, without threads of the hypervisor.',
  isOptional: true,
  isPerRun: true,
  rows: runRows,
  columns: [
    RUN,
    {
      name: 'scheduler',
      doc: 'Policy that the host was given.',
      of: ({ record }) => record.run.host.scheduler.policy,
    },
    { name: 'pcpus', doc: 'Physical CPUs of the host.', of: ({ run }) => run.pcpus },
    {
      name: 'vcpus',
      doc: 'Virtual CPUs that ever were.',
      of: ({ run }) => run.vms.reduce((n, vm) => n + vm.vcpus.length, 0),
    },
    { name: 'pcpu_busy_ns', doc: 'Time of physical CPUs with a vCPU or thread on them.', of: ({ run }) => run.busyNs },
    { name: 'pcpu_switch_ns', doc: 'Time of physical CPUs for switching contexts.', of: ({ run }) => run.switchNs },
    { name: 'pcpu_idle_ns', doc: 'Time of physical CPUs with nothing to run.', of: ({ run }) => run.idleNs },
    { name: 'pcpu_switches', doc: 'Contexts that physical CPUs loaded.', of: ({ run }) => run.switches },
    {
      name: 'utilization_ratio',
      doc: 'Time of physical CPUs with something on them, divided by all of their time.',
      of: ({ run }) => ratio(run.busyNs, run.busyNs + run.switchNs + run.idleNs),
    },
    ...TIMES,
    ...WORK,
  ],
});

export const schedulingVms = metric<VmRow>({
  name: 'scheduling-vms',
  doc: 'One row per VM and run of a scenario with metrics: [scheduling].',
  isOptional: true,
  rows: vmRows,
  columns: [
    RUN,
    VM,
    {
      name: 'weight',
      doc: 'Weight of the VM at the start.',
      of: ({ record, vm }) => record.run.vms.find(({ name }) => name === vm.name)?.weight ?? null,
    },
    {
      name: 'cap_percent',
      doc: 'Cap of the VM at the start, in percent of a physical CPU; 0: none.',
      of: ({ record, vm }) => record.run.vms.find(({ name }) => name === vm.name)?.capPercent ?? null,
    },
    ...TIMES,
    ...WORK,
  ],
});

export const schedulingVcpus = metric<VcpuRow>({
  name: 'scheduling-vcpus',
  doc: 'One row per virtual CPU and run of a scenario with metrics: [scheduling].',
  isOptional: true,
  rows: vcpuRows,
  columns: [
    RUN,
    VM,
    { name: 'vcpu', doc: 'Number of the virtual CPU in its VM, from 0.', of: ({ vcpu }) => vcpu.vcpu },
    ...TIMES,
    ...WORK,
  ],
});

/**
 * scheduling-runs.csv, scheduling-vms.csv, scheduling-vcpus.csv: what scheduling did, at three levels of detail, for
 * scenarios with `metrics: [scheduling]`. The three have the same columns for times, switches and work.
 * Invariant: counts and times of a VM are the sums of those of its vCPUs; quantiles are over all their samples.
 */
import { jainIndex } from '../../core/stats.ts';
import type { Cycles, Hz, Ns } from '../../core/units.ts';
import { VM_STATES } from '../../host/monitor.ts';
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
  /** Of the VMs of the run. */
  readonly speedups: readonly (number | null)[];
}

interface VmRow extends RunRow {
  readonly vm: VmSchedulingRecord;
  readonly speedup: number | null;
}

interface VcpuRow extends VmRow {
  readonly vcpu: VcpuSchedulingRecord;
}

const runRows = (records: readonly RunRecord[]): RunRow[] => {
  const byId = new Map(records.map((record) => [record.run.runId, record]));
  return records.flatMap((record) => {
    const { scheduling: run } = record;
    if (run === undefined || record.run.role === 'baseline') return [];
    return [{ record, run, tasks: run, speedups: speedupsOf(record, byId) }];
  });
};

const vmRows = (records: readonly RunRecord[]): VmRow[] =>
  runRows(records).flatMap((row) => row.run.vms.map((vm, i) => ({ ...row, vm, tasks: vm, speedup: row.speedups[i]! })));

/** How fast each VM of a run went, in terms of how fast it goes alone; null: not known. */
function speedupsOf({ run, vms, scheduling }: RunRecord, byId: ReadonlyMap<number, RunRecord>): (number | null)[] {
  return vms.map(({ name }, i) => {
    const id = run.vms.find((vm) => vm.name === name)?.aloneRun;
    const alone = id === undefined ? undefined : byId.get(id);
    const [own, other] = [scheduling?.vms[i], alone?.scheduling?.vms[0]];
    const [shared, single] = [vms[i]!, alone?.vms[0]];
    if (own === undefined || other === undefined || single === undefined) return null;
    // A VM that reports no units, such as a hog, works for as long as it runs.
    const done = single.workUnits > 0 ? [shared.workUnits, single.workUnits] : [own.runningNs, other.runningNs];
    if (done[1] === 0 || shared.elapsedNs === 0 || single.elapsedNs === 0) return null;
    return (done[0]! / done[1]!) * (single.elapsedNs / shared.elapsedNs);
  });
}

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
  time('migrations_core', 'Of these, to another thread of the same core.', ({ migrationsCore }) => migrationsCore),
  time(
    'migrations_socket',
    'Of these, to another core of the same socket.',
    ({ migrationsSocket }) => migrationsSocket,
  ),
  time('migrations_other', 'Of these, to another socket.', ({ migrationsOther }) => migrationsOther),
  time(
    'lock_holder_preemptions',
    'How often it was preempted while it held a lock, as far as the guest is modelled.',
    ({ lockHolderPreemptions }) => lockHolderPreemptions,
  ),
  time(
    'lock_waiter_preemptions',
    'How often it was preempted while it was the next to get a lock.',
    ({ lockWaiterPreemptions }) => lockWaiterPreemptions,
  ),
  ...distribution('wake_to_run', 'waits from a wake-up to running', ({ wakeToRun }) => wakeToRun),
  ...distribution('preempt_to_run', 'waits from a preemption to running again', ({ preemptToRun }) => preemptToRun),
];

/** Executed guests report units for the VM as a whole. */
const UNITS_DOC = 'Units of work that were completed.';

const WORK: readonly Column<RunRow>[] = [
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

const STATE_DOCS: Readonly<Record<(typeof VM_STATES)[number], string>> = {
  absent: 'Time without a vCPU.',
  blocked: 'Part of the time of the VM in which none of its vCPUs wanted to run.',
  'partial run': 'Part of its time in which some vCPUs ran and the others did not want to.',
  'full run': 'Part of its time in which all vCPUs ran.',
  'partial contention': 'Part of its time in which some vCPUs waited, none ran, and the others did not want to.',
  'concurrency hazard': 'Part of its time in which some vCPUs ran while others waited.',
  'full contention': 'Part of its time in which all vCPUs waited.',
};

/** Of the time in which the VM had vCPUs. */
function stateRatio({ statesNs }: VmSchedulingRecord, state: number): Cell {
  return ratio(
    statesNs[state]!,
    statesNs.slice(1).reduce((sum, time) => sum + time, 0),
  );
}

function skewOf(times: readonly Ns[]): Ns {
  return times.reduce((most, time) => Math.max(most, time), 0) - times.reduce((least, time) => Math.min(least, time));
}

function ratioOfPpm(ppm: number | null): Cell {
  return ppm === null ? null : ratio(ppm, 1e6);
}

/** Of all VMs, or null when one is not known; a VM that stands still makes slowdowns infinite. */
function overAll(speedups: readonly (number | null)[], of: (speedups: readonly number[]) => number): Cell {
  const known = speedups.filter((one) => one !== null);
  const result = of(known);
  return known.length < speedups.length || !Number.isFinite(result) ? null : ratio(result, 1);
}

function fairness({ vms }: SchedulingRecord): Cell {
  const entitled = vms.filter(({ entitledNs }) => entitledNs > 0);
  const index = jainIndex(entitled.map(({ runningNs, entitledNs }) => runningNs / entitledNs));
  return Number.isNaN(index) ? null : ratio(index, 1);
}

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
    {
      name: 'wasted_idle_ns',
      doc: 'Time of physical CPUs that idled although they could have run somebody who waited.',
      of: ({ run }) => run.wastedIdleNs,
    },
    {
      name: 'jain_index',
      doc: "Jain's fairness index of running / entitled time of the VMs: 1 is fair, 1 / VMs the worst.",
      of: ({ run }) => fairness(run),
    },
    {
      name: 'stp_ratio',
      doc: 'Weighted speed-up: sum over the VMs of their speed divided by their speed alone. Empty: not run alone.',
      of: ({ speedups }) => overAll(speedups, (all) => all.reduce((sum, one) => sum + one, 0)),
    },
    {
      name: 'antt_ratio',
      doc: 'Average normalized turnaround time: mean over the VMs of their speed alone divided by their speed here.',
      of: ({ speedups }) => overAll(speedups, (all) => all.reduce((sum, one) => sum + 1 / one, 0) / all.length),
    },
    {
      name: 'unfairness_ratio',
      doc: 'Slowdown of the VM that suffers most, divided by that of the VM that suffers least.',
      of: ({ speedups }) => overAll(speedups, (all) => Math.max(...all) / Math.min(...all)),
    },
    ...TIMES,
    { name: 'units', doc: UNITS_DOC, of: ({ record }) => record.vms.reduce((sum, vm) => sum + vm.workUnits, 0) },
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
    {
      name: 'entitled_ns',
      doc: 'Running time that a fluid scheduler would have given it, by weight, cap, reservation and demand.',
      of: ({ vm }) => vm.entitledNs,
    },
    {
      name: 'allocation_ratio',
      doc: 'Running time divided by entitled time: 1 is exactly its due. Empty: it was entitled to nothing.',
      of: ({ vm }) => ratio(vm.runningNs, vm.entitledNs),
    },
    {
      name: 'allocation_error_mean_ratio',
      doc: 'Mean over periods of 100 ms of |running - entitled| / entitled. Empty: the run was shorter.',
      of: ({ vm }) => ratioOfPpm(vm.errorMeanPpm),
    },
    {
      name: 'allocation_error_max_ratio',
      doc: 'The largest of these errors.',
      of: ({ vm }) => ratioOfPpm(vm.errorMaxPpm),
    },
    {
      name: 'lag_max_ns',
      doc: 'By how much it was behind a fluid scheduler at most, looked at every 10 ms.',
      of: ({ vm }) => vm.lagMaxNs,
    },
    {
      name: 'lag_min_ns',
      doc: 'By how much it was ahead of a fluid scheduler at most, as a negative number.',
      of: ({ vm }) => vm.lagMinNs,
    },
    {
      name: 'speedup_ratio',
      doc: 'Speed of its work divided by that of the same VM alone on the host. Empty: not run alone.',
      of: ({ speedup }) => (speedup === null ? null : ratio(speedup, 1)),
    },
    {
      name: 'skew_ns',
      doc: 'Running time of its vCPU that ran most minus that of the one that ran least.',
      of: ({ vm }) => skewOf(vm.vcpus.map(({ runningNs }) => runningNs)),
    },
    ...VM_STATES.flatMap((state, i): Column<VmRow>[] =>
      i === 0
        ? []
        : [{ name: `${state.replace(' ', '_')}_ratio`, doc: STATE_DOCS[state], of: ({ vm }) => stateRatio(vm, i) }],
    ),
    ...TIMES,
    {
      name: 'units',
      doc: UNITS_DOC,
      of: ({ record, vm }) => record.vms.find(({ name }) => name === vm.name)?.workUnits ?? null,
    },
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
    {
      name: 'units',
      doc: `${UNITS_DOC} Empty: only the VM as a whole reports them.`,
      of: ({ tasks }) => tasks.work?.units ?? null,
    },
    ...WORK,
  ],
});

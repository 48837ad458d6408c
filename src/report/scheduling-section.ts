/**
 * The part of report.html on what scheduling did: a row per run, so that schedulers can be compared without a chart made
 * for the question.
 * Invariants: empty without scheduling-runs.csv; columns that are the same nothing everywhere are left out.
 */
import { grouped, percent, short, time } from './format.ts';
import { num, type Row, text } from './frame.ts';
import { details, element, type Html, paragraph, type TableCell, type TableColumn, table } from './html.ts';
import { frame, isPoint, type Results, runOf } from './results.ts';

interface Figure {
  readonly title: string;
  readonly doc: string;
  readonly of: (row: Row) => number | null;
  readonly shown: (value: number) => string;
  /** It says something although it is 0 everywhere. */
  readonly always?: boolean;
}

const column =
  (name: string): Figure['of'] =>
  (row) =>
    num(row, name);

const sumOf = (row: Row, columns: readonly string[]): number =>
  columns.reduce((sum, name) => sum + (num(row, name) ?? 0), 0);

/** A time of tasks, of all their time but that in which they had nothing to do. */
function partOf(name: string): Figure['of'] {
  return (row) => {
    const wanted = sumOf(row, ['running_ns', 'ready_ns', 'parked_ns', 'costopped_ns']);
    return wanted === 0 ? null : (num(row, name) ?? 0) / wanted;
  };
}

const FIGURES: readonly Figure[] = [
  {
    title: 'utilization',
    doc: 'Time of physical CPUs with something on them',
    of: column('utilization_ratio'),
    shown: percent,
    always: true,
  },
  {
    title: 'wasted idle',
    doc: 'Time in which physical CPUs idled although somebody waited who could have run there, of all their time',
    of: (row) => {
      const all = sumOf(row, ['pcpu_busy_ns', 'pcpu_switch_ns', 'pcpu_idle_ns']);
      return all === 0 ? null : (num(row, 'wasted_idle_ns') ?? 0) / all;
    },
    shown: percent,
  },
  {
    title: 'fairness',
    doc: "Jain's index of received / entitled time of the VMs: 1 is fair, 1 / VMs the worst",
    of: column('jain_index'),
    shown: (value) => value.toFixed(3),
  },
  { title: 'ready', doc: 'Waiting for a CPU, of the time of wanting to run', of: partOf('ready_ns'), shown: percent },
  { title: 'parked', doc: 'Kept off by a cap, of the time of wanting to run', of: partOf('parked_ns'), shown: percent },
  {
    title: 'co-stopped',
    doc: 'Waiting for siblings, of the time of wanting to run',
    of: partOf('costopped_ns'),
    shown: percent,
  },
  {
    title: 'wake p99',
    doc: 'From a wake-up to running: 99 % are at most this long',
    of: column('wake_to_run_p99_ns'),
    shown: time,
  },
  {
    title: 'wake max',
    doc: 'The longest time from a wake-up to running',
    of: column('wake_to_run_max_ns'),
    shown: time,
  },
  {
    title: 'preempted p99',
    doc: 'From a preemption to running again: 99 % are at most this long',
    of: column('preempt_to_run_p99_ns'),
    shown: time,
  },
  {
    title: 'response p99',
    doc: 'From the release of a job to its end: 99 % are at most this long',
    of: column('response_p99_ns'),
    shown: time,
  },
  { title: 'misses', doc: 'Jobs finished after their deadline, of all finished', of: missRatio, shown: percent },
  { title: 'switches', doc: 'Contexts that physical CPUs loaded', of: column('pcpu_switches'), shown: grouped },
  {
    title: 'migrations',
    doc: 'Times a vCPU continued on another physical CPU',
    of: column('migrations'),
    shown: grouped,
  },
  {
    title: 'spinning',
    doc: 'Running time of modelled vCPUs that wait for others, of all running time',
    of: (row) => {
      const running = num(row, 'running_ns') ?? 0;
      return running === 0 ? null : (num(row, 'spin_ns') ?? 0) / running;
    },
    shown: percent,
  },
  { title: 'units', doc: 'Units of work completed', of: column('units'), shown: grouped },
  {
    title: 'speed-up',
    doc: 'Weighted speed-up (STP): sum of speeds, each in terms of the VM alone',
    of: column('stp_ratio'),
    shown: short,
  },
  { title: 'slowdown', doc: 'Average normalized turnaround time (ANTT)', of: column('antt_ratio'), shown: short },
];

function missRatio(row: Row): number | null {
  const jobs = num(row, 'jobs') ?? 0;
  return jobs === 0 ? null : (num(row, 'deadline_misses') ?? 0) / jobs;
}

/** Longer tables are folded. */
const OPEN_ROWS_MAX = 60;

/** What scheduling did in every run of the sweep. */
export function schedulingSection(results: Results): Html {
  const run = runOf(results);
  const rows = frame(results, 'scheduling-runs').rows.filter((row) => isPoint(run(row)));
  if (rows.length === 0) return '';
  const { axes, doc } = results.scenario;
  const labels = [...axes, ...(doc.seeds.length > 1 ? ['seed'] : [])];
  // Where no axis is about the scheduler, its name tells nothing that the section on the machine does not.
  const named = axes.length === 0 ? ['scheduler'] : [];
  const figures = FIGURES.filter(({ of, always }) => always === true || rows.some((row) => (of(row) ?? 0) !== 0));
  const columns: TableColumn[] = [
    { title: 'run', numeric: true },
    ...[...labels, ...named].map((title) => ({ title: title.replaceAll('_', ' ') })),
    ...figures.map(({ title, doc: meaning }) => ({ title, doc: meaning, numeric: true })),
  ];
  const cells = rows.map((row): TableCell[] => [
    { text: text(row, 'run_id') },
    ...labels.map((name) => ({ text: text(run(row), name) })),
    ...named.map((name) => ({ text: text(row, name) })),
    ...figures.map(({ of, shown }) => {
      const value = of(row);
      return value === null ? { text: '' } : { text: shown(value), value: String(value) };
    }),
  ]);
  const all = table(columns, cells);
  return [
    element('h2', 'What scheduling did'),
    paragraph(
      'All VMs of a run together; titles explain themselves under the pointer. By VM and by vCPU: scheduling-vms.csv, scheduling-vcpus.csv.',
    ),
    rows.length <= OPEN_ROWS_MAX ? all : details(`All ${rows.length} runs`, all),
  ].join('\n');
}

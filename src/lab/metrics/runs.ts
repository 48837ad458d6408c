/** runs.csv: one row per run, with the values of the axes. */
import type { RunRecord } from '../rows.ts';
import { type Column, metric } from './metric.ts';

function columns(axes: readonly string[]): readonly Column<RunRecord>[] {
  return [
    {
      name: 'run_id',
      doc: 'Number of the run: points of the sweep first, baselines after them.',
      of: ({ run }) => run.runId,
    },
    {
      name: 'role',
      doc: 'point: asked for by the scenario; baseline: the native twin of a VM, added by hvsim.',
      of: ({ run }) => run.role,
    },
    { name: 'seed', doc: 'Seed of all random streams of the run.', of: ({ run }) => run.seed },
    ...axes.map((axis) => ({
      name: axis,
      doc: `Axis "${axis}" of the scenario: the label of the value that was used.`,
      of: ({ run }: RunRecord) => run.axes[axis] ?? null,
    })),
    {
      name: 'outcome',
      doc: 'finished: every VM ended by itself; time-limit: the bound of simulated time came first; failed: see detail.',
      of: ({ outcome }) => outcome,
    },
    { name: 'detail', doc: 'What went wrong, for each VM that did not simply complete.', of: detailOf },
    { name: 'simulated_ns', doc: 'Simulated time at the end of the run.', of: ({ simulatedNs }) => simulatedNs },
    {
      name: 'instructions',
      doc: 'Guest instructions retired by all VMs; each iteration of a repeated string instruction counts as one.',
      of: ({ instructions }) => instructions,
    },
    { name: 'events', doc: 'Events in the trace of the run.', of: ({ events }) => events },
    {
      name: 'digest',
      doc: 'Fingerprint of the whole history of the run: equal digests, equal histories.',
      of: ({ digest }) => digest,
    },
  ];
}

/** The run's own trouble, or that of its VMs, in one line. */
function detailOf({ detail, vms }: RunRecord): string {
  const troubled = vms.filter((vm) => vm.detail !== '').map((vm) => `${vm.name}: ${vm.detail}`);
  return [...(detail === '' ? [] : [detail]), ...troubled].join('; ');
}

export const runs = metric<RunRecord>({
  name: 'runs',
  doc: 'One row per run.',
  isPerRun: true,
  columns,
  rows: (records) => records,
});

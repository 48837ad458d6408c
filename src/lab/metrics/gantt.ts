/** gantt.csv: what every vCPU did in the window that the scenario names. Written only where it names one. */
import type { Segment, Timeline } from '../../host/timeline.ts';
import type { RunRecord } from '../rows.ts';
import { metric } from './metric.ts';

interface GanttRow {
  readonly record: RunRecord;
  readonly timeline: Timeline;
  readonly segment: Segment;
}

function rowsOf(record: RunRecord): GanttRow[] {
  const { timeline } = record;
  if (timeline === undefined) return [];
  const ordered = timeline.segments.toSorted((a, b) => a.fromNs - b.fromNs || a.task - b.task);
  return ordered.map((segment) => ({ record, timeline, segment }));
}

export const gantt = metric<GanttRow>({
  name: 'gantt',
  doc: 'One row per time that a vCPU spent in one state, within the window of the scenario.',
  isOptional: true,
  rows: (records) => records.flatMap(rowsOf),
  columns: [
    { name: 'run_id', doc: 'Number of the run; see runs.csv.', of: ({ record }) => record.run.runId },
    {
      name: 'vm',
      doc: 'Name of the VM, or of the process or thread of the host.',
      of: ({ timeline, segment }) => timeline.tasks[segment.task]!.vm,
    },
    {
      name: 'vcpu',
      doc: 'Number of the vCPU in it.',
      of: ({ timeline, segment }) => timeline.tasks[segment.task]!.vcpu,
    },
    {
      name: 'state',
      doc: 'running, ready (it could run and does not), blocked, parked (by its cap), costopped or paused.',
      of: ({ segment }) => segment.state,
    },
    {
      name: 'pcpu',
      doc: 'Where it runs; empty in other states.',
      of: ({ segment }) => (segment.pcpu < 0 ? null : segment.pcpu),
    },
    {
      name: 'from_ns',
      doc: 'When that began, at the earliest the start of the window.',
      of: ({ segment }) => segment.fromNs,
    },
    { name: 'to_ns', doc: 'When it ended, at the latest the end of the window.', of: ({ segment }) => segment.toNs },
  ],
});

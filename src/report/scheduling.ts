/**
 * Rows of the scheduling tables with the run they belong to.
 * Invariant: only points of the sweep, in the order of the file.
 */
import { seriesName, setsDensity } from './density.ts';
import { distinct, num, type Row } from './frame.ts';
import { frame, isPoint, type Results, runOf } from './results.ts';

/** A run of scheduling-runs.csv by how many vCPUs share a physical CPU. */
export interface SharedRun {
  readonly run: Row;
  readonly row: Row;
  /** vCPUs divided by physical CPUs. */
  readonly density: number;
  /** What else varies, in words; empty when nothing does. */
  readonly series: string;
}

/** All points of the sweep. */
export function pointRuns(results: Results): Omit<SharedRun, 'series'>[] {
  const run = runOf(results);
  return frame(results, 'scheduling-runs')
    .rows.filter((row) => isPoint(run(row)))
    .map((row) => ({
      run: run(row),
      row,
      density: (num(row, 'vcpus') ?? 0) / Math.max(1, num(row, 'pcpus') ?? 1),
    }));
}

/** The points of the sweep, or an empty list when the number of vCPUs per CPU never changes. */
export function sharedRuns(results: Results): SharedRun[] {
  const runs = pointRuns(results);
  if (distinct(runs.map(({ density }) => String(density))).length < 2) return [];
  const others = results.scenario.axes.filter((axis) => !setsDensity(runs, axis));
  return runs.map((item) => ({ ...item, series: seriesName(item.run, others) }));
}

/** A VM of scheduling-vms.csv, with its run. */
export interface SharedVm {
  readonly run: Row;
  readonly row: Row;
}

export function sharedVms(results: Results): SharedVm[] {
  const run = runOf(results);
  return frame(results, 'scheduling-vms').rows.flatMap((row) => (isPoint(run(row)) ? [{ run: run(row), row }] : []));
}

/**
 * Runs arranged by how many VMs share a physical CPU: the abscissa of the consolidation charts.
 * Invariant: runs that differ in anything but the number of VMs and the seed are in different series.
 */
import { distinct, groupBy, num, type Row, text } from './frame.ts';
import { frame, isPoint, type Results } from './results.ts';

export interface DensityRun {
  readonly run: Row;
  /** VMs divided by physical CPUs. */
  readonly density: number;
  /** What else varies, in words; empty when nothing does. */
  readonly series: string;
  readonly vms: readonly Row[];
  readonly vcpus: readonly Row[];
  readonly pcpus: readonly Row[];
}

/** The points of the sweep, or an empty list when the number of VMs per CPU never changes. */
export function densityRuns(results: Results): DensityRun[] {
  const of = (name: string) => groupBy(frame(results, name).rows, (row) => text(row, 'run_id'));
  const [vms, vcpus, pcpus] = [of('vms'), of('vcpus'), of('pcpus')];
  const runs = frame(results, 'runs')
    .rows.filter((run) => isPoint(run) && text(run, 'outcome') !== 'failed')
    .map((run) => {
      const id = text(run, 'run_id');
      const own = { vms: vms.get(id) ?? [], vcpus: vcpus.get(id) ?? [], pcpus: pcpus.get(id) ?? [] };
      return { run, density: own.vms.length / Math.max(1, own.pcpus.length), series: '', ...own };
    });
  if (distinct(runs.map((run) => String(run.density))).length < 2) return [];
  const others = results.scenario.axes.filter((axis) => !setsDensity(runs, axis));
  return runs.map((run) => ({ ...run, series: seriesName(run.run, others) }));
}

/** The labels of a run on some axes. A bare number says what it counts: `vcpus 2`. */
export function seriesName(run: Row, axes: readonly string[]): string {
  const labels = axes.map((axis) =>
    num(run, axis) === null ? text(run, axis) : `${axis.replaceAll('_', ' ')} ${text(run, axis)}`,
  );
  return labels.join(' \u00b7 ');
}

/** An axis is about the number of VMs when each of its labels goes with one density, and they are not all the same. */
export function setsDensity(runs: readonly Pick<DensityRun, 'run' | 'density'>[], axis: string): boolean {
  const groups = [...groupBy(runs, (run) => text(run.run, axis)).values()];
  const densities = groups.map((group) => distinct(group.map((run) => String(run.density))));
  return densities.every((values) => values.length === 1) && distinct(densities.flat()).length > 1;
}

/** Mean utilization of the physical CPUs of a run. */
export function utilization(run: DensityRun): number {
  const values = run.pcpus.map((row) => num(row, 'utilization_ratio') ?? 0);
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** How long a VM existed: the states of its first vCPU sum to that. */
export function elapsedNs(run: DensityRun, vm: string): number {
  const row = run.vcpus.find((vcpu) => text(vcpu, 'vm') === vm);
  if (row === undefined) return 0;
  const states = ['running_ns', 'ready_ns', 'blocked_ns', 'parked_ns', 'costopped_ns'];
  return states.reduce((sum, state) => sum + (num(row, state) ?? 0), 0);
}

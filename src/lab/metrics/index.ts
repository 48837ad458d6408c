/**
 * All tables of the results, in the order of the documentation. A new metric is one file and one line here.
 * Invariant: names are unique; each becomes the file `<name>.csv`.
 */
import type { RunRecord } from '../rows.ts';
import { divergences } from './divergences.ts';
import { exits } from './exits.ts';
import { holes } from './holes.ts';
import { memory } from './memory.ts';
import type { Metric, Table } from './metric.ts';
import { pcpus } from './pcpus.ts';
import { requirements } from './requirements.ts';
import { runs } from './runs.ts';
import { vcpus } from './vcpus.ts';
import { vms } from './vms.ts';

export const METRICS: readonly Metric[] = [runs, vms, vcpus, pcpus, exits, memory, divergences, requirements, holes];

/** All tables of some records; those that are optional only where they have rows. */
export function tablesOf(records: readonly RunRecord[], axes: readonly string[]): Table[] {
  return METRICS.flatMap((metric) => {
    const table = metric.fold(records, axes);
    return metric.optional && table.rows.length === 0 ? [] : [table];
  });
}

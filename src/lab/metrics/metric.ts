/**
 * What a metric is: a table of the results, folded from the records of all runs.
 * To add one: copy a file of this folder, change its columns, and add one line to index.ts.
 * Invariants: rows come in the order of run ids; a column's name ends in its unit; a fold never changes the records.
 */
import type { RunRecord, VmRecord } from '../rows.ts';

/** What a cell of a table may hold. Null is written as nothing: "not applicable". */
export type Cell = string | number | boolean | null;

export interface Column<Row> {
  readonly name: string;
  /** One sentence for the glossary of the report. */
  readonly doc: string;
  readonly of: (row: Row) => Cell;
}

/** A table as data. */
export interface Table {
  /** Name of the file without `.csv`. */
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

export interface Metric {
  readonly name: string;
  /** What one row is. */
  readonly doc: string;
  /** Written only where it has rows. */
  readonly isOptional: boolean;
  /** Has one row per run, and is written even where the scenario says `tables: runs`. */
  readonly isPerRun: boolean;
  /** Columns with their explanations; `axes` are those of the scenario. */
  columns(axes: readonly string[]): readonly { readonly name: string; readonly doc: string }[];
  fold(records: readonly RunRecord[], axes: readonly string[]): Table;
}

/** Is the table written, where a scenario says so of its `tables`? */
export function isWanted({ name, isPerRun }: Metric, tables: 'runs' | readonly string[] | undefined): boolean {
  if (tables === undefined) return true;
  return tables === 'runs' ? isPerRun : name === 'runs' || tables.includes(name);
}

/** A metric from its rows and columns. */
export function metric<Row>(spec: {
  readonly name: string;
  readonly doc: string;
  readonly isOptional?: boolean;
  readonly isPerRun?: boolean;
  readonly columns: readonly Column<Row>[] | ((axes: readonly string[]) => readonly Column<Row>[]);
  readonly rows: (records: readonly RunRecord[]) => readonly Row[];
}): Metric {
  const columnsOf = (axes: readonly string[]) =>
    typeof spec.columns === 'function' ? spec.columns(axes) : spec.columns;
  return {
    name: spec.name,
    doc: spec.doc,
    isOptional: spec.isOptional ?? false,
    isPerRun: spec.isPerRun ?? false,
    columns: (axes) => columnsOf(axes).map(({ name, doc }) => ({ name, doc })),
    fold: (records, axes) => {
      const columns = columnsOf(axes);
      return {
        name: spec.name,
        columns: columns.map(({ name }) => name),
        rows: spec.rows(records).map((row) => columns.map((column) => column.of(row))),
      };
    },
  };
}

/** The tables of some records: one per metric, but for optional ones without rows. */
export function foldAll(metrics: readonly Metric[], records: readonly RunRecord[], axes: readonly string[]): Table[] {
  return metrics.flatMap((one) => {
    const table = one.fold(records, axes);
    return one.isOptional && table.rows.length === 0 ? [] : [table];
  });
}

/** A VM with the run it was in. */
export interface VmRow {
  readonly record: RunRecord;
  readonly vm: VmRecord;
}

/** All VMs of all runs, in order. */
export function vmRows(records: readonly RunRecord[]): VmRow[] {
  return records.flatMap((record) => record.vms.map((vm) => ({ record, vm })));
}

/** The two columns that name a VM in every table. */
export function vmKey<Row extends VmRow>(): readonly Column<Row>[] {
  return [
    { name: 'run_id', doc: 'Number of the run; see runs.csv.', of: ({ record }) => record.run.runId },
    { name: 'vm', doc: 'Name of the virtual machine.', of: ({ vm }) => vm.name },
  ];
}

/** A ratio rounded to six decimals, or null when there is nothing to divide by. */
export function ratio(dividend: number, divisor: number): number | null {
  return divisor > 0 ? Number((dividend / divisor).toFixed(6)) : null;
}

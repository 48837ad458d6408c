/**
 * A table as it stands in a CSV file: columns, and rows of text by column name.
 * Charts and the report read frames only, so that they come out the same from memory and from files.
 * Invariant: `frameOf(table)` equals `parseCsv(csvText(table))`.
 */
import { UserError } from '../core/errors.ts';
import type { Cell, Table } from '../lab/metrics/metric.ts';

export type Row = Readonly<Record<string, string>>;

export interface Frame {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

export const NO_FRAME: Frame = { columns: [], rows: [] };

/** How a cell is written: null as nothing, everything else as JavaScript prints it. */
export function cellText(cell: Cell): string {
  return cell === null ? '' : String(cell);
}

export function frameOf(table: Table): Frame {
  return frame(
    table.columns,
    table.rows.map((row) => row.map(cellText)),
  );
}

/** The number in a column, or null where the cell is empty or no number. */
export function num(row: Row, column: string): number | null {
  const text = row[column];
  if (text === undefined || text === '') return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

/** The text in a column; empty where there is none. */
export function text(row: Row, column: string): string {
  return row[column] ?? '';
}

/** Rows by the text that `key` makes of them, in the order of first appearance. */
export function groupBy<T>(rows: readonly T[], key: (row: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const name = key(row);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [row]);
    else group.push(row);
  }
  return groups;
}

/** Distinct values in the order of first appearance. */
export function distinct(values: Iterable<string>): string[] {
  return [...new Set(values)];
}

/** Reads a CSV file with a header (RFC 4180). `name` is for messages. */
export function parseCsv(content: string, name: string): Frame {
  const records = splitRecords(content, name);
  const [header, ...rows] = records;
  if (header === undefined) throw new UserError(`${name}: is empty, expected a line of column names`);
  const bad = rows.findIndex((row) => row.length !== header.length);
  if (bad >= 0) {
    const found = `${rows[bad]?.length} cells, expected ${header.length}`;
    throw new UserError(`${name}: row ${bad + 1} has ${found}`);
  }
  return frame(header, rows);
}

function frame(columns: readonly string[], rows: readonly (readonly string[])[]): Frame {
  return {
    columns,
    rows: rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index] ?? '']))),
  };
}

function splitRecords(content: string, name: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  // One cell and the character after it: quoted with doubled quotes, or plain.
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  while (cell.lastIndex < content.length) {
    const match = cell.exec(content);
    if (match === null) throw new UserError(`${name}: is not CSV: row ${records.length} has a stray quote`);
    record.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    if (match[3] === ',') {
      // A comma at the very end is followed by one more, empty cell.
      if (cell.lastIndex === content.length) record.push('');
      else continue;
    }
    records.push(record);
    record = [];
  }
  if (record.length > 0) records.push(record);
  return records;
}

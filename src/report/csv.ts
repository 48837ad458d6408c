/**
 * Tables as CSV files: comma, line feed, quotes only where needed, header always.
 * Invariant: the same table gives the same bytes, on every system.
 */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { stringify } from 'csv-stringify';
import type { Table } from '../lab/metrics/metric.ts';
import { cellText } from './frame.ts';

/** Writes a table to a new file, row by row. */
export async function writeCsv(table: Table, file: string): Promise<void> {
  await pipeline(Readable.from(linesOf(table)), stringify({ record_delimiter: '\n' }), createWriteStream(file));
}

/** The same as text. */
export async function csvText(table: Table): Promise<string> {
  const parts: string[] = [];
  await pipeline(Readable.from(linesOf(table)), stringify({ record_delimiter: '\n' }), async (chunks) => {
    for await (const chunk of chunks) parts.push(String(chunk));
  });
  return parts.join('');
}

function* linesOf(table: Table): Generator<string[]> {
  yield [...table.columns];
  for (const row of table.rows) yield row.map(cellText);
}

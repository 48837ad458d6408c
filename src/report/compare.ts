/**
 * Two folders of results side by side: which rows and files differ.
 * Invariant: the answer is empty exactly when all files that hvsim writes are equal, byte for byte.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { filesOf, isResultFile } from './folder.ts';
import { type Frame, parseCsv, type Row, text } from './frame.ts';

/** Differences that are listed per file; the rest is counted. */
const LISTED_MAX = 20;

/** Columns that together name a row, in the tables that have them. */
const KEY_COLUMNS = ['run_id', 'vm', 'vcpu', 'pcpu', 'reason', 'address'];

export function compareFolders(left: string, right: string): string[] {
  const [mine, theirs] = [left, right].map(listing) as [string[], string[]];
  const names = [...new Set([...mine, ...theirs])].sort((a, b) => (a < b ? -1 : 1));
  return names.flatMap((name) => {
    if (!theirs.includes(name)) return [`${name}: only in ${left}`];
    if (!mine.includes(name)) return [`${name}: only in ${right}`];
    const [before, after] = [left, right].map((folder) => readFileSync(join(folder, name))) as [Buffer, Buffer];
    if (before.equals(after)) return [];
    return name.endsWith('.csv')
      ? compareCsv(name, before.toString('utf8'), after.toString('utf8'))
      : [`${name}: differs`];
  });
}

function listing(folder: string): string[] {
  if (!existsSync(folder)) throw new UserError(`${folder}: no such folder of results`);
  if (!statSync(folder).isDirectory()) throw new UserError(`${folder}: is not a folder of results`);
  const names = filesOf(folder).filter(isResultFile);
  if (!names.includes('runs.csv')) throw new UserError(`${folder}: has no runs.csv, so it is not a folder of results`);
  return names;
}

function compareCsv(name: string, before: string, after: string): string[] {
  const [left, right] = [parseCsv(before, name), parseCsv(after, name)];
  if (left.columns.join() !== right.columns.join()) return [`${name}: other columns`];
  const differences = rowDifferences(left, right);
  const more = differences.length - LISTED_MAX;
  const lines = differences.slice(0, LISTED_MAX).map((line) => `${name}: ${line}`);
  if (differences.length === 0) return [`${name}: same rows, other order or spelling`];
  return more > 0 ? [...lines, `${name}: and ${more} more`] : lines;
}

function rowDifferences(left: Frame, right: Frame): string[] {
  const keys = KEY_COLUMNS.filter((column) => left.columns.includes(column));
  const [mine, theirs] = [keyed(left.rows, keys), keyed(right.rows, keys)];
  const names = [...new Set([...mine.keys(), ...theirs.keys()])];
  return names.flatMap((key) => {
    const [row, other] = [mine.get(key), theirs.get(key)];
    if (row === undefined) return [`${key}: only in the second`];
    if (other === undefined) return [`${key}: only in the first`];
    return left.columns
      .filter((column) => row[column] !== other[column])
      .map((column) => `${key}: ${column}: ${text(row, column) || 'nothing'} -> ${text(other, column) || 'nothing'}`);
  });
}

/** Rows by their key; rows with the same key are numbered. */
function keyed(rows: readonly Row[], keys: readonly string[]): Map<string, Row> {
  const map = new Map<string, Row>();
  for (const row of rows) {
    const key = keys.map((column) => `${column}=${text(row, column)}`).join(' ');
    let unique = key;
    for (let turn = 2; map.has(unique); turn++) unique = `${key} (${turn})`;
    map.set(unique, row);
  }
  return map;
}

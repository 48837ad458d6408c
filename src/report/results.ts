/**
 * The results of a scenario as charts and the report see them: the resolved scenario and one frame per CSV file.
 * Invariant: `loadResults` of a folder equals `resultsOf` of what was written there.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { METRICS } from '../lab/metrics/index.ts';
import { isWanted, type Table } from '../lab/metrics/metric.ts';
import { parseScenario, type Scenario } from '../lab/scenario.ts';
import { readTextFile } from '../lab/source.ts';
import { type Frame, frameOf, NO_FRAME, parseCsv, type Row, text } from './frame.ts';

/** Larger CSV files are for other tools. */
const CSV_BYTES_MAX = 512 * 1024 * 1024;
const SCENARIO_BYTES_MAX = 16 * 1024 * 1024;

export interface Results {
  readonly scenario: Scenario;
  /** By the name of the metric. */
  readonly frames: Readonly<Record<string, Frame>>;
}

export function resultsOf(scenario: Scenario, tables: readonly Table[]): Results {
  return { scenario, frames: Object.fromEntries(tables.map((table) => [table.name, frameOf(table)])) };
}

/** Reads a folder that `hvsim run` has written. */
export function loadResults(folder: string): Results {
  if (!existsSync(folder)) throw new UserError(`${folder}: no such folder of results`);
  if (!statSync(folder).isDirectory()) throw new UserError(`${folder}: is not a folder of results`);
  const file = join(folder, 'scenario.yaml');
  if (!existsSync(file)) throw new UserError(`${folder}: has no scenario.yaml, so it is not a folder of results`);
  const scenario = parseScenario(readTextFile(file, 'a scenario', SCENARIO_BYTES_MAX), file);
  const frames = METRICS.flatMap((metric) => {
    const { name } = metric;
    const csv = join(folder, `${name}.csv`);
    const mayLack = metric.isOptional || !isWanted(metric, scenario.doc.tables);
    if (mayLack && !existsSync(csv)) return [];
    return [[name, parseCsv(readTextFile(csv, 'a CSV file', CSV_BYTES_MAX), csv)] as const];
  });
  return { scenario, frames: Object.fromEntries(frames) };
}

export function frame(results: Results, name: string): Frame {
  return results.frames[name] ?? NO_FRAME;
}

/** The row of runs.csv for a row of another table. */
export function runOf(results: Results): (row: Row) => Row {
  const byId = new Map(frame(results, 'runs').rows.map((run) => [text(run, 'run_id'), run]));
  return (row) => byId.get(text(row, 'run_id')) ?? {};
}

/** Does the row belong to a point of the sweep, and not to a baseline that hvsim added? */
export function isPoint(run: Row): boolean {
  return text(run, 'role') === 'point';
}

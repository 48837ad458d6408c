/**
 * What a published number is here: theirs, how ours is computed from the results of a scenario, how near it is claimed to
 * come, what ours rests on, and why it misses where it does.
 * To add a paper: copy a file of this folder, change it, and add one line to index.ts. Its scenario, if something is to be run,
 * is scenarios/papers/<id>.yaml and its results are in results/<id>.
 * Invariants: a result of a paper is never an input of what is compared with it; a row that claims nothing says why.
 */
import { assert } from '../../core/errors.ts';

/** Names a run: its labels on the axes of the scenario, `{ technique: 'native', n: '200' }`. */
export type Labels = Readonly<Record<string, string>>;

/** The results that the numbers of a paper are computed from. */
export interface Measured {
  /** A number of the one run with these labels: a column of vms.csv, for its only VM, or of runs.csv. */
  value(labels: Labels, column: string): number;
  /** Cycles of that run's VM: guest, page walks, exits and the VMM's software. */
  cycles(labels: Labels): number;
  /**
   * Cycles of one operation: the scenario has an axis `n` of two numbers, how often it is done; the difference of the two
   * runs by that of their n. What happens once, such as booting, falls out. Of a column, if one is named, instead.
   */
  perOperation(labels: Labels, column?: string): number;
  /** Of one VM of that run: a column of scheduling-vms.csv. */
  ofVm(labels: Labels, vm: string, column: string): number;
  /** Of that run: a column of scheduling-runs.csv. */
  ofRun(labels: Labels, column: string): number;
}

/** A finding without a number of its own, as a row: 1 where ours shows it, else 0. */
export function finding(row: string, holds: (measured: Measured) => boolean): PaperRow {
  return { row, theirs: 1, unit: 'direction', tolerance: 0, claimed: true, ours: (m) => (holds(m) ? 1 : 0) };
}

/** A number in a paper, and ours. */
export interface PaperRow {
  /** What it is; unique in the paper. */
  readonly row: string;
  readonly theirs: number;
  /** `cycles`, `us`, `ratio`, `references` ... */
  readonly unit: string;
  /** May be computed from functions alone, if nothing is run. */
  readonly ours: (measured: Measured) => number;
  /** Share of theirs by which ours may differ; 0: exactly equal. */
  readonly tolerance: number;
  /** Ours is said to agree: a validation fails if it does not. */
  readonly claimed: boolean;
  /** What ours rests on, beside the inputs of the paper's file. */
  readonly inputs?: string;
  /** Why it misses, or what is not comparable. Rows without a claim need it. */
  readonly cause?: string;
}

export interface Paper {
  /** Also the name of its scenario and results. */
  readonly id: string;
  /** Authors and year. */
  readonly short: string;
  /** Authors, title, place, year. */
  readonly title: string;
  /** Whether scenarios/papers/<id>.yaml is run for it. */
  readonly hasScenario: boolean;
  /** What all its rows rest on, and what of the paper itself is among it. */
  readonly inputs: string;
  readonly rows: readonly PaperRow[];
}

/** A row with what came out. */
export interface JudgedRow extends PaperRow {
  readonly value: number;
  /** (ours - theirs) / theirs. */
  readonly error: number;
  readonly verdict: Verdict;
}

/** `fails` is the only one that is wrong; `open` and `near` claim nothing, and are out of tolerance or within it. */
export type Verdict = 'agrees' | 'fails' | 'near' | 'open';

/** Checks what a file says; a mistake is a defect of ours. */
export function definePaper(paper: Paper): Paper {
  const seen = new Set<string>();
  assert(paper.rows.length > 0, `${paper.id}: has no rows`);
  for (const { row, theirs, tolerance, claimed, cause } of paper.rows) {
    const where = `${paper.id}, ${row}`;
    assert(!seen.has(row), `${where}: stands there twice`);
    assert(Number.isFinite(theirs) && theirs !== 0, `${where}: theirs must be a number other than 0`);
    assert(tolerance >= 0 && tolerance < 1, `${where}: the tolerance is a share below 1`);
    assert(claimed || (cause ?? '') !== '', `${where}: claims nothing and does not say why`);
    seen.add(row);
  }
  return paper;
}

/** Computes ours for each row and compares. */
export function judge(paper: Paper, measured: Measured): JudgedRow[] {
  return paper.rows.map((row) => {
    const value = row.ours(measured);
    assert(Number.isFinite(value), `${paper.id}, ${row.row}: ours is not a number`);
    const error = (value - row.theirs) / row.theirs;
    const isNear = Math.abs(error) <= row.tolerance;
    const verdict = row.claimed ? (isNear ? 'agrees' : 'fails') : isNear ? 'near' : 'open';
    return { ...row, value, error, verdict };
  });
}

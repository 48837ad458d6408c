/**
 * The user's mistakes in a scenario: collected, placed, and reported together.
 * Invariant: a ScenarioError holds at least one problem, sorted by place; no two are equal.
 */
import { UserError } from '../core/errors.ts';
import { formatPath, type Path } from './paths.ts';

/** Where something stands: a place in a file, or an option of the command line. Lines and columns start at 1. */
export interface Place {
  readonly source: string;
  readonly line?: number;
  readonly column?: number;
}

export interface Problem {
  readonly place: Place;
  /** What it is about, as `vms[0].memory`; empty for the document as a whole. */
  readonly path: string;
  /** What was found and what is allowed. */
  readonly message: string;
}

/** A mistake whose place is not known yet: only the part of the scenario that it is about. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** Points at the key instead of the value (an unknown key has no useful value). */
  readonly atKey?: boolean;
  /** Nothing stands at `path`. */
  readonly missing?: boolean;
}

/** Thrown once per scenario, with every mistake in it. */
export class ScenarioError extends UserError {
  override readonly name = 'ScenarioError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const sorted = uniqueSorted(problems);
    super(sorted.map(formatProblem).join('\n'));
    this.problems = sorted;
  }
}

/** `file.yaml:4:11: host.preset: found "x", expected ...` */
export function formatProblem(problem: Problem): string {
  const { source, line, column } = problem.place;
  const place = line === undefined ? source : `${source}:${line}:${column}`;
  return problem.path === '' ? `${place}: ${problem.message}` : `${place}: ${problem.path}: ${problem.message}`;
}

/** A short, one-line rendering of a value that was found. */
export function found(value: unknown): string {
  if (typeof value === 'string') return `"${clip(value)}"`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'a mapping';
  return value === undefined || value === null ? 'nothing' : JSON.stringify(value);
}

export function finding(path: Path, message: string): Finding {
  return { path, message };
}

/** A finding as a problem at `place`. */
export function placed(item: Finding, place: Place): Problem {
  return { place, path: formatPath(item.path), message: item.message };
}

function clip(text: string): string {
  // Control characters would move the terminal's cursor; a long text would bury the message.
  const clean = Array.from(text, (char) => (char < ' ' || char === '\u007f' ? '\ufffd' : char)).join('');
  return clean.length > 60 ? `${clean.slice(0, 57)}...` : clean;
}

function uniqueSorted(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems
    .filter((problem) => {
      const text = formatProblem(problem);
      if (seen.has(text)) return false;
      seen.add(text);
      return true;
    })
    .sort(
      (a, b) =>
        compareText(a.place.source, b.place.source) ||
        (a.place.line ?? 0) - (b.place.line ?? 0) ||
        (a.place.column ?? 0) - (b.place.column ?? 0) ||
        compareText(a.path, b.path) ||
        compareText(a.message, b.message),
    );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

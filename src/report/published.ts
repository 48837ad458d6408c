/**
 * Published numbers beside ours: the results of a scenario as a paper's file sees them, and the table as text and as
 * Markdown. docs/validation.md holds the Markdown of the committed results.
 * Invariant: the table depends on the results and the papers only; the same from memory and from files.
 */
import { UserError } from '../core/errors.ts';
import { type JudgedRow, judge, type Labels, type Measured, type Paper } from '../lab/papers/paper.ts';
import { distinct, num, type Row, text } from './frame.ts';
import { frame, isPoint, type Results, runOf } from './results.ts';

const CYCLES = ['guest_cycles', 'walk_cycles', 'exit_cycles', 'vmm_cycles'];

/** A VM and its run: axes are columns of the run, and a column of the VM may have the same name. */
interface Pair {
  readonly run: Row;
  readonly vm: Row;
}

/** Reads numbers out of the results of a paper's scenario. Labels that name no run, or two, are an error. */
export class MeasuredResults implements Measured {
  private readonly pairs: readonly Pair[];
  private readonly results: Results;
  private readonly name: string;

  constructor(results: Results) {
    const run = runOf(results);
    this.results = results;
    this.name = results.scenario.doc.name;
    const pairs = frame(results, 'vms').rows.map((vm) => ({ run: run(vm), vm }));
    this.pairs = pairs.filter((pair) => isPoint(pair.run));
  }

  value(labels: Labels, column: string): number {
    const found = this.with(labels);
    const said = Object.entries(labels)
      .map(([axis, label]) => `${axis}=${label}`)
      .join(', ');
    if (found.length !== 1) throw new UserError(`${this.name}: ${found.length} runs with ${said}, expected one`);
    const { run, vm } = found[0]!;
    const where = `${this.name}: run ${text(run, 'run_id')} (${said})`;
    if (text(vm, 'outcome') !== 'completed') throw new UserError(`${where} ended with ${text(vm, 'outcome')}`);
    const value = num(vm, column) ?? num(run, column);
    if (value === null) throw new UserError(`${where} has no ${column}`);
    return value;
  }

  cycles(labels: Labels): number {
    return CYCLES.reduce((sum, column) => sum + this.value(labels, column), 0);
  }

  perOperation(labels: Labels, column?: string): number {
    const counts = distinct(this.with(labels).map(({ run }) => text(run, 'n'))).sort((a, b) => Number(a) - Number(b));
    if (counts.length !== 2) throw new UserError(`${this.name}: axis n has ${counts.length} values, expected two`);
    const [few, many] = counts as [string, string];
    const of = (n: string): number =>
      column === undefined ? this.cycles({ ...labels, n }) : this.value({ ...labels, n }, column);
    return (of(many) - of(few)) / (Number(many) - Number(few));
  }

  ofVm(labels: Labels, vm: string, column: string): number {
    return this.scheduling('scheduling-vms', labels, column, (row) => text(row, 'vm') === vm);
  }

  ofRun(labels: Labels, column: string): number {
    return this.scheduling('scheduling-runs', labels, column, () => true);
  }

  private scheduling(table: string, labels: Labels, column: string, isMeant: (row: Row) => boolean): number {
    const run = runOf(this.results);
    const wanted = Object.entries(labels);
    const found = frame(this.results, table).rows.filter(
      (row) => isMeant(row) && wanted.every(([axis, label]) => run(row)[axis] === label),
    );
    const value = found.length === 1 ? num(found[0]!, column) : null;
    if (value === null) {
      const said = wanted.map(([axis, label]) => `${axis}=${label}`).join(', ');
      throw new UserError(`${this.name}: ${found.length} rows of ${table} with ${said}, expected one with ${column}`);
    }
    return value;
  }

  private with(labels: Labels): readonly Pair[] {
    const wanted = Object.entries(labels);
    return this.pairs.filter(({ run }) => wanted.every(([axis, label]) => run[axis] === label));
  }
}

/** For papers that nothing is run for. */
const NOTHING: Measured = {
  value: () => refuse(),
  cycles: () => refuse(),
  perOperation: () => refuse(),
  ofVm: () => refuse(),
  ofRun: () => refuse(),
};
function refuse(): never {
  throw new UserError('this paper has no scenario, so nothing was measured for it');
}

export interface JudgedPaper {
  readonly paper: Paper;
  readonly rows: readonly JudgedRow[];
}

/** @param results of the paper's scenario; null if it has none */
export function judgePaper(paper: Paper, results: Results | null): JudgedPaper {
  return { paper, rows: judge(paper, results === null ? NOTHING : new MeasuredResults(results)) };
}

/** Three digits, or all of a whole number. */
export function figure(value: number): string {
  if (Number.isInteger(value)) return String(value);
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}

export function percent(share: number): string {
  const points = Math.round(share * 100);
  return `${points > 0 ? '+' : ''}${points} %`;
}

const tolerance = (row: JudgedRow): string => (row.tolerance === 0 ? 'exact' : percent(row.tolerance).slice(1));

/** What a verdict means, for a table. */
const SAYS: Readonly<Record<JudgedRow['verdict'], string>> = {
  agrees: 'agrees',
  fails: 'FAILS',
  near: 'not claimed',
  open: 'misses',
};

/** The whole table of a paper for a terminal: causes and inputs below the rows they belong to. */
export function paperText({ paper, rows }: JudgedPaper): string {
  const cells = rows.map((row) => [
    row.row,
    `${figure(row.theirs)} ${row.unit}`,
    figure(row.value),
    percent(row.error),
    tolerance(row),
    SAYS[row.verdict],
  ]);
  const header = ['row', 'theirs', 'ours', 'error', 'tolerance', ''];
  const widths = header.map((_, i) => Math.max(...[header, ...cells].map((line) => line[i]!.length)));
  const line = (columns: readonly string[]): string =>
    `  ${columns.map((cell, i) => (i === 0 || i === 5 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}`.trimEnd();
  const notes = (row: JudgedRow): string[] => [
    ...(row.inputs === undefined ? [] : [`      inputs: ${row.inputs}`]),
    ...(row.cause === undefined ? [] : [`      ${row.cause}`]),
  ];
  const body = rows.flatMap((row, i) => [line(cells[i]!), ...notes(row)]);
  return [`${paper.id}: ${paper.title}`, `  inputs: ${paper.inputs}`, line(header), ...body].join('\n');
}

/** The same as a section of docs/validation.md: one table, and the causes below it, each once. */
export function paperMarkdown({ paper, rows }: JudgedPaper): string {
  const causes = [...new Set(rows.flatMap(({ cause }) => (cause === undefined ? [] : [cause])))];
  const remark = (row: JudgedRow): string => {
    const note = row.cause === undefined ? '' : ` (${causes.indexOf(row.cause) + 1})`;
    return `${row.verdict === 'fails' ? '**fails**' : SAYS[row.verdict]}${note}`;
  };
  const escaped = (cell: string): string => cell.replaceAll('|', '\\|');
  const lines = rows.map((row) => {
    const inputs = row.inputs === undefined ? '' : `; ${row.inputs}`;
    const cells = [
      row.row,
      `${figure(row.theirs)} ${row.unit}`,
      figure(row.value),
      percent(row.error),
      tolerance(row),
      `${remark(row)}${inputs}`,
    ];
    return `| ${cells.map(escaped).join(' | ')} |`;
  });
  const head = [`### ${paper.id}`, '', `${paper.title}.`, `Inputs: ${paper.inputs}.`, ''];
  const table = ['| row | theirs | ours | error | tolerance | |', '|---|---|---|---|---|---|', ...lines];
  const list = causes.map((cause, i) => `${i + 1}. ${sentence(cause)}`);
  return [...head, ...table, ...(list.length === 0 ? [] : ['', ...list])].join('\n');
}

function sentence(phrase: string): string {
  return `${phrase[0]!.toUpperCase()}${phrase.slice(1)}.`;
}

/** One line for all papers: how many rows claim agreement, and how many of them fail. */
export function summaryText(papers: readonly JudgedPaper[]): string {
  const rows = papers.flatMap((one) => one.rows);
  const of = (...verdicts: JudgedRow['verdict'][]): number =>
    rows.filter(({ verdict }) => verdicts.includes(verdict)).length;
  return `${rows.length} rows: ${of('agrees', 'fails')} claim agreement, ${of('fails')} of them fail; ${of('near')} others are within tolerance, ${of('open')} miss`;
}

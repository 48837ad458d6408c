/** Numbers out of committed results, by the label of a run; test/results.test.ts makes sure that the scenario gives them today. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from '../../src/core/errors.ts';
import { type Interval, interval95 } from '../../src/report/confidence.ts';

export type Row = Readonly<Record<string, string>>;

export class StudyResults {
  private readonly folder: string;
  private readonly runs: readonly Row[];

  constructor(study: string) {
    this.folder = join(new URL('../..', import.meta.url).pathname, 'results', study);
    this.runs = this.read('runs');
  }

  /** Of the run with these labels. */
  ofRun(labels: Row, column: string): number {
    return this.one('scheduling-runs', labels, {}, column);
  }

  ofVm(labels: Row, vm: string, column: string): number {
    return this.one('scheduling-vms', labels, { vm }, column);
  }

  /** A quantity of a VM with its 95 % interval, from its rows in the runs with these labels, one for each seed. */
  overSeeds(labels: Row, vm: string, of: (row: Row, run: Row) => number): Interval {
    const runs = this.runs.filter((row) => matches(row, labels));
    assert(runs.length === new Set(runs.map(({ seed }) => seed)).size, `one run a seed with ${JSON.stringify(labels)}`);
    const rows = this.read('scheduling-vms').filter((row) => row['vm'] === vm);
    return interval95(runs.map((run) => of(rows.find(({ run_id }) => run_id === run['run_id'])!, run)));
  }

  ofVcpu(labels: Row, vm: string, vcpu: number, column: string): number {
    return this.one('scheduling-vcpus', labels, { vm, vcpu: String(vcpu) }, column);
  }

  /** Of a table with several rows for a run. */
  ofTable(file: string, labels: Row, key: Row, column: string): number {
    return this.one(file, labels, key, column);
  }

  private one(file: string, labels: Row, key: Row, column: string): number {
    const run = this.runs.filter((row) => matches(row, labels));
    assert(run.length === 1, `one run with ${JSON.stringify(labels)}`);
    const rows = this.read(file).filter((row) => row['run_id'] === run[0]!['run_id'] && matches(row, key));
    assert(rows.length === 1, `${file}: one row with ${JSON.stringify(key)}`);
    const text = rows[0]![column];
    assert(text !== undefined && /^-?[0-9.]+$/.test(text), `${file} has no ${column}`);
    return Number(text);
  }

  private readonly files = new Map<string, Row[]>();

  private read(file: string): Row[] {
    const known = this.files.get(file) ?? this.parse(file);
    this.files.set(file, known);
    return known;
  }

  /** No cell of these files has a comma in it, except for texts in quotation marks in runs.csv. */
  private parse(file: string): Row[] {
    const [head, ...lines] = readFileSync(join(this.folder, `${file}.csv`), 'utf8')
      .trim()
      .split('\n')
      .map(cells);
    return lines.map((line) => Object.fromEntries(head!.map((name, i) => [name, line[i]!])));
  }
}

const matches = (row: Row, wanted: Row): boolean => Object.entries(wanted).every(([key, value]) => row[key] === value);

function cells(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"([^"]*)"|([^,]*))/g)].map(([, quoted, plain]) => quoted ?? plain!);
}

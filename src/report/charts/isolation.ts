/**
 * What a VM called "neighbour" takes from all others: a matrix. The first axis of the scenario is the rows, the second one the columns; its
 * first value is the neighbour at rest, its second one a neighbour that takes its fair share.
 */
import { listed, short, time } from '../format.ts';
import { distinct, groupBy, num, text } from '../frame.ts';
import type { Results } from '../results.ts';
import { type SharedVm, sharedVms } from '../scheduling.ts';
import type { Chart, Drawing } from './chart.ts';
import { type MatrixCell, matrix } from './matrix.ts';

const NEIGHBOUR = 'neighbour';
type Verdict = 'fair' | 'some' | 'much';
const COLOURS: Readonly<Record<Verdict, string>> = { fair: '#1a9e77', some: '#b9770e', much: '#d5602a' };
/** Of what the others have beside a neighbour that takes its fair share: below that they lose some, or much (our choice). */
const SOME = 0.95;
const MUCH = 0.7;
/** The same for the time that requests take. */
const LATER = 2;
const MUCH_LATER = 5;

interface Others {
  readonly row: string;
  readonly column: string;
  /** Running time of those who always have work. */
  readonly batchNs: number;
  /** 99 of 100 requests of the worst server are answered within that; null: there are no servers. */
  readonly p99Ns: number | null;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const [rows, columns] = results.scenario.axes;
  const vms = sharedVms(results);
  if (rows === undefined || columns === undefined || !vms.some(isNeighbour)) return null;
  const others = vms.filter((vm) => !isNeighbour(vm));
  const groups = groupBy(others, ({ run }) => `${text(run, rows)}\n${text(run, columns)}`);
  const all = [...groups.values()].map((group) => othersOf(group, rows, columns));
  const kinds = distinct(all.map(({ column }) => column));
  const [rest, fair] = kinds;
  if (rest === undefined || fair === undefined) return null;
  const at = (row: string, column: string) => all.find((item) => item.row === row && item.column === column) ?? null;
  const cells = all.flatMap((item): MatrixCell<Verdict>[] => {
    const [idle, just] = [at(item.row, rest), at(item.row, fair)];
    return idle === null || just === null ? [] : [cellOf(item, idle, just)];
  });
  return {
    spec: matrix(cells, {
      title: title ?? 'What can one VM take from the others?',
      subtitle: `Work of the batch VMs, of that beside "${rest}"; and the 99th percentile of the worst server`,
      colours: COLOURS,
      cellWidth: 112,
      cellHeight: 40,
    }),
    sentences: sentencesOf(cells, kinds.slice(1)),
    caption:
      `Green: the batch VMs have at least ${short(SOME * 100)} % of what they have beside "${fair}", and servers answer in less than ${LATER} times ` +
      `that time. Red: less than ${short(MUCH * 100)} %, or more than ${MUCH_LATER} times (our choice of limits). All numbers are in scheduling-vms.csv.`,
  };
}

function isNeighbour({ row }: SharedVm): boolean {
  return text(row, 'vm') === NEIGHBOUR;
}

function othersOf(group: readonly SharedVm[], rows: string, columns: string): Others {
  const { run } = group[0]!;
  const batch = group.filter(({ row }) => num(row, 'response_p99_ns') === null);
  const tails = group.flatMap(({ row }) => num(row, 'response_p99_ns') ?? []);
  return {
    row: text(run, rows),
    column: text(run, columns),
    batchNs: batch.reduce((sum, { row }) => sum + (num(row, 'running_ns') ?? 0), 0),
    p99Ns: tails.length === 0 ? null : Math.max(...tails),
  };
}

function cellOf(item: Others, rest: Others, fair: Others): MatrixCell<Verdict> {
  const work = item.batchNs / Math.max(1, fair.batchNs);
  const late = (item.p99Ns ?? 0) / Math.max(1, fair.p99Ns ?? 1);
  const verdict = work < MUCH || late > MUCH_LATER ? 'much' : work < SOME || late > LATER ? 'some' : 'fair';
  return {
    row: item.row,
    column: item.column,
    verdict,
    headline: `${short((item.batchNs / Math.max(1, rest.batchNs)) * 100)} %`,
    reason: item.p99Ns === null ? '' : `p99 ${time(item.p99Ns)}`,
  };
}

function sentencesOf(cells: readonly MatrixCell<Verdict>[], columns: readonly string[]): string[] {
  return columns.map((column) => {
    const own = cells.filter((cell) => cell.column === column);
    const much = own.filter(({ verdict }) => verdict === 'much');
    if (much.length === 0) return `${column}: no scheduler lets the others lose much beyond the fair share.`;
    const who = much.map(({ row, headline, reason }) => `${row} (${headline}${reason === '' ? '' : `, ${reason}`})`);
    return `${column}: the others lose much under ${listed(who)}.`;
  });
}

export const isolation: Chart = {
  name: 'isolation',
  summary: 'what a VM called neighbour takes from the others (matrix); needs metrics: [scheduling]',
  draw,
};

/** The three requirements of Popek and Goldberg: a matrix of guests and techniques. */
import { techniqueLabels } from '../cases.ts';
import { grouped, percent } from '../format.ts';
import { distinct, groupBy, num, type Row, text } from '../frame.ts';
import { frame, type Results, runOf } from '../results.ts';
import type { Chart, Drawing } from './chart.ts';
import { type MatrixCell, matrix } from './matrix.ts';

type Verdict = 'kept' | 'differs' | 'broken';

const COLOURS: Readonly<Record<Verdict, string>> = { kept: '#1a9e77', differs: '#d5602a', broken: '#a31f34' };

function draw(results: Results, title: string | undefined): Drawing | null {
  const rows = frame(results, 'requirements').rows.filter((row) => text(row, 'technique') !== 'native');
  if (rows.length === 0) return null;
  const run = runOf(results);
  const label = techniqueLabels(results);
  const nameOf = (row: Row): string => {
    const [first = ''] = text(row, 'workload').split(' ');
    return `${text(row, 'guest')} ${first}`.trim();
  };
  // The neighbours of the first VM are the same in every run: one row for all of them, at the end.
  const main = text(rows[0]!, 'vm');
  const rowOf = (row: Row): string => (text(row, 'vm') === main ? nameOf(row) : `its ${text(row, 'vm')}, every run`);
  const kinds = groupBy(rows, (row) => `${rowOf(row)}\n${label(row)}`);
  const isNeighbour = (group: readonly Row[]): boolean => text(group[0]!, 'vm') !== main;
  const groups = [...kinds.values()];
  const cells = [...groups.filter((group) => !isNeighbour(group)), ...groups.filter(isNeighbour)].map((group) =>
    cellOf(group, rowOf(group[0]!), label(group[0]!)),
  );
  const attempts = rows.reduce((sum, row) => sum + (num(row, 'attempts') ?? 0), 0);
  const escapes = rows.reduce((sum, row) => sum + (num(row, 'escapes') ?? 0), 0);
  const hostile = rows.filter((row) => text(row, 'attempts') !== '').length;
  const runs = distinct(rows.map((row) => text(run(row), 'run_id'))).length;
  return {
    spec: matrix(cells, {
      title: title ?? 'Does each technique keep its promise?',
      subtitle:
        'Equivalence with the bare machine; share of instructions executed directly; what happened unseen by the VMM',
      colours: COLOURS,
      cellWidth: 345,
      cellHeight: 40,
    }),
    sentences: [
      ...(hostile === 0
        ? []
        : [
            `${hostile} hostile guests made ${grouped(attempts)} attempts in ${runs} runs; ${escapes === 0 ? 'no translation ever' : `${grouped(escapes)} translations`} led out of a VM.`,
          ]),
      ...sentencesOf(rows, label),
    ],
    caption:
      'The same: registers, memory, console and exit code are those of the bare machine at the end (of a guest that never ends: ' +
      'its console). Unseen: sensitive instructions that executed without a trap. All numbers are in requirements.csv.',
  };
}

function isSame(row: Row): boolean {
  return text(row, 'first_difference') === '';
}

function cellOf(group: readonly Row[], row: string, column: string): MatrixCell<Verdict> {
  const [one] = group as [Row];
  const worst = group.find((item) => !isSame(item)) ?? one;
  const escapes = group.reduce((sum, item) => sum + (num(item, 'escapes') ?? 0), 0);
  const direct = num(worst, 'direct_ratio');
  const cycles = num(worst, 'cycles_ratio');
  const unseen = num(worst, 'unseen_count') ?? 0;
  const wrong = num(worst, 'wrong_count') ?? 0;
  const verdict: Verdict = escapes > 0 ? 'broken' : isSame(worst) ? 'kept' : 'differs';
  return {
    row,
    column,
    verdict,
    headline: { kept: 'the same', differs: `differs: ${headOf(worst)}`, broken: `${escapes} escapes` }[verdict],
    reason: [
      ...(direct === null ? [] : [`direct ${percent(direct)}`]),
      ...(cycles === null ? [] : [`cycles \u00d7 ${cycles.toFixed(2)}`]),
      ...(unseen === 0 ? [] : [`unseen ${grouped(unseen)}${wrong === 0 ? '' : `, wrong ${grouped(wrong)}`}`]),
      ...(text(worst, 'attempts') === '' ? [] : [`${grouped(num(worst, 'attempts') ?? 0)} attempts`]),
    ].join(', '),
  };
}

function headOf(row: Row): string {
  const [head = ''] = text(row, 'first_difference').split(/ at |:/);
  return head;
}

function sentencesOf(rows: readonly Row[], label: (row: Row) => string): string[] {
  return [...groupBy(rows, label)].map(([technique, group]) => {
    const same = group.filter(isSame).length;
    const unseen = group.reduce((sum, row) => sum + (num(row, 'unseen_count') ?? 0), 0);
    const wrong = group.reduce((sum, row) => sum + (num(row, 'wrong_count') ?? 0), 0);
    const control =
      unseen === 0
        ? 'no sensitive instruction executed unseen'
        : `${grouped(unseen)} sensitive instructions executed unseen, ${grouped(wrong)} of them wrongly`;
    return `${technique}: ${same} of ${group.length} VMs ended as on the bare machine; ${control}.`;
  });
}

export const requirements: Chart = {
  name: 'requirements',
  summary: 'equivalence, efficiency and control of each guest under each technique (matrix)',
  draw,
};

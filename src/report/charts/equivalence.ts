/** Who could tell that the machine is virtual: a matrix of guests and techniques. */
import { type Case, casesOf } from '../cases.ts';
import { listed } from '../format.ts';
import { distinct, groupBy, text } from '../frame.ts';
import { frame, type Results } from '../results.ts';
import { page } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const CELL_WIDTH = 190;
const CELL_HEIGHT = 46;
const LIST_CHARACTERS = 17;

const VERDICTS = ['same', 'other', 'unknown'] as const;
type Verdict = (typeof VERDICTS)[number];

const COLOURS: Readonly<Record<Verdict, string>> = { same: '#1a9e77', other: '#d5602a', unknown: '#8b929c' };

interface Cell {
  readonly guest: string;
  readonly technique: string;
  readonly verdict: Verdict;
  readonly headline: string;
  readonly reason: string;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const cases = casesOf(results).filter((item) => text(item.vm, 'technique') !== 'native');
  const cells = cellsOf(results, cases);
  if (!cells.some((cell) => cell.verdict !== 'unknown')) return null;
  const techniques = distinct(cells.map((cell) => cell.technique));
  const guests = distinct(cells.map((cell) => cell.guest));
  const place = {
    x: {
      field: 'technique',
      type: 'nominal',
      sort: techniques,
      title: null,
      axis: { orient: 'top', labelAngle: 0, labelFontSize: 13, ticks: false, domain: false, labelLimit: 240 },
    },
    y: {
      field: 'guest',
      type: 'nominal',
      sort: guests,
      title: null,
      axis: { labelFontSize: 13, ticks: false, domain: false, labelLimit: 240 },
    },
  };
  return {
    spec: page(
      title ?? 'Who can tell that the machine is virtual?',
      'Result of the guest compared with its own on the bare machine',
      {
        data: { values: cells },
        width: { step: CELL_WIDTH },
        height: { step: CELL_HEIGHT },
        encoding: place,
        layer: [
          {
            mark: { type: 'rect', cornerRadius: 4, width: { band: 0.96 }, height: { band: 0.9 } },
            encoding: {
              color: {
                field: 'verdict',
                type: 'nominal',
                scale: { domain: VERDICTS, range: VERDICTS.map((verdict) => COLOURS[verdict]) },
                legend: null,
              },
            },
          },
          {
            mark: { type: 'text', dy: -8, fontSize: 13, fontWeight: 600, color: '#ffffff' },
            encoding: { text: { field: 'headline' } },
          },
          { mark: { type: 'text', dy: 9, fontSize: 11.5, color: '#ffffff' }, encoding: { text: { field: 'reason' } } },
        ],
      },
    ),
    sentences: sentencesOf(cells),
    caption:
      'The same: outcome, exit code and console text are those of the bare machine, and no instruction behaved differently. ' +
      'Otherwise: the instructions that did something else, in the order of their first time.',
  };
}

function cellsOf(results: Results, cases: readonly Case[]): Cell[] {
  const divergences = groupBy(frame(results, 'divergences').rows, (row) => `${text(row, 'run_id')} ${text(row, 'vm')}`);
  const workloads = distinct(cases.map((item) => item.workload));
  const nameOf = ({ vm, workload }: Case): string =>
    workloads.length > 1 ? `${text(vm, 'guest')}, ${workload}` : text(vm, 'guest');
  const groups = groupBy(cases, (item) => `${nameOf(item)}\n${item.technique}`);
  return [...groups.values()].map((group) => {
    const [first] = group as [Case];
    const known = group.map((item) => text(item.vm, 'equivalent')).filter((answer) => answer !== '');
    const bad = group.find((item) => text(item.vm, 'equivalent') === 'false');
    const verdict = bad !== undefined ? 'other' : known.length > 0 ? 'same' : 'unknown';
    const culprits = bad === undefined ? undefined : divergences.get(`${text(bad.vm, 'run_id')} ${text(bad.vm, 'vm')}`);
    const ending = text((bad ?? first).vm, 'outcome');
    return {
      guest: nameOf(first),
      technique: first.technique,
      verdict,
      headline: { same: 'the same', other: 'something else', unknown: 'not known' }[verdict],
      reason: culprits === undefined ? ending : shortList(culprits.map((row) => text(row, 'mnemonic'))),
    };
  });
}

/** As many names as fit into a cell. */
function shortList(names: readonly string[]): string {
  const shown: string[] = [];
  for (const name of names) {
    if (shown.join(', ').length + name.length > LIST_CHARACTERS)
      return `${shown.join(', ')} and ${names.length - shown.length} more`;
    shown.push(name);
  }
  return shown.join(', ');
}

function sentencesOf(cells: readonly Cell[]): string[] {
  return cells
    .filter((cell) => cell.verdict === 'other')
    .map(({ guest, technique, reason }) => `${guest} behaves differently under ${technique}: ${reason}.`)
    .concat(
      [
        ...groupBy(
          cells.filter((cell) => cell.verdict === 'same'),
          (cell) => cell.guest,
        ),
      ].map(
        ([guest, group]) => `${guest} cannot tell the difference under ${listed(group.map((cell) => cell.technique))}.`,
      ),
    );
}

export const equivalence: Chart = {
  name: 'equivalence',
  summary: 'which guest behaves differently under which technique, and by which instruction first (matrix)',
  draw,
};

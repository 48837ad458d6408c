/**
 * A paper's numbers beside ours, one line for each, on logarithmic scales: where the two marks lie apart, ours misses.
 * Only for the scenario of a paper (lab/papers); the axes must be as its file expects them.
 */
import { UserError } from '../../core/errors.ts';
import { PAPERS } from '../../lab/papers/index.ts';
import type { JudgedRow } from '../../lab/papers/paper.ts';
import { distinct } from '../frame.ts';
import { figure, judgePaper, percent, summaryText } from '../published.ts';
import type { Results } from '../results.ts';
import { page } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const WIDTH = 430;
const ROW_HEIGHT = 19;
const NAMES = ['theirs', 'ours, claimed to agree', 'ours'];
const COLOURS = ['#8b929c', '#1a9e77', '#d5602a'];

function judged(results: Results): readonly JudgedRow[] {
  const paper = PAPERS.find(({ id, hasScenario }) => hasScenario && id === results.scenario.doc.name);
  if (paper === undefined) return [];
  try {
    return judgePaper(paper, results).rows;
  } catch (error) {
    // Other axes than the paper's: there is nothing to compare.
    if (error instanceof UserError) return [];
    throw error;
  }
}

/** One panel: rows of one unit. */
function panel(rows: readonly JudgedRow[], unit: string): object {
  const all = rows.filter((row) => row.unit === unit);
  const order = all.map(({ row }) => row);
  const marks = all.flatMap((row) => [
    { row: row.row, who: NAMES[0], value: row.theirs },
    { row: row.row, who: row.claimed ? NAMES[1] : NAMES[2], value: row.value },
  ]);
  const spans = all.map(({ row, theirs, value, error }) => ({ row, from: theirs, to: value, error: percent(error) }));
  const y = {
    field: 'row',
    type: 'nominal',
    sort: order,
    title: null,
    axis: { ticks: false, domain: false, labelLimit: 900, grid: true },
  };
  const scale = { type: 'log', nice: true };
  // A claim without a number holds or not: its scale says nothing.
  const isClaim = unit === 'direction';
  const axis = isClaim ? { labels: false, ticks: false, grid: false } : { format: '~g' };
  const title = isClaim ? 'claims without a number, those that hold' : unit === 'of 1' ? 'ratio' : unit;
  const x = { type: 'quantitative', scale, title, axis };
  return {
    width: WIDTH,
    height: ROW_HEIGHT * all.length,
    layer: [
      {
        data: { values: spans },
        mark: { type: 'rule', color: 'currentColor', opacity: 0.45, strokeWidth: 1.5 },
        encoding: { y, x: { ...x, field: 'from' }, x2: { field: 'to' } },
      },
      {
        data: { values: marks },
        mark: { type: 'point', filled: true, size: 75, opacity: 1 },
        encoding: {
          y,
          x: { ...x, field: 'value' },
          color: {
            field: 'who',
            type: 'nominal',
            scale: { domain: NAMES, range: COLOURS },
            legend: { title: null, orient: 'top' },
          },
          shape: {
            field: 'who',
            type: 'nominal',
            scale: { domain: NAMES, range: ['diamond', 'circle', 'circle'] },
            legend: { title: null, orient: 'top' },
          },
        },
      },
    ],
  };
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const all = judged(results);
  if (all.length === 0) return null;
  // Logarithmic scales have no place for the others.
  const rows = all.filter(({ theirs, value }) => theirs > 0 && value > 0);
  const paper = PAPERS.find(({ id }) => id === results.scenario.doc.name)!;
  const units = distinct(rows.map(({ unit }) => unit));
  return {
    spec: page(title ?? 'Theirs and ours', paper.short, {
      vconcat: units.map((unit) => panel(rows, unit)),
      spacing: 22,
      resolve: { scale: { color: 'shared', shape: 'shared' } },
    }),
    sentences: [
      `${summaryText([{ paper, rows: all }])}.`,
      ...all.map(
        (row) =>
          `${row.row}: ${figure(row.theirs)} ${row.unit} theirs, ${figure(row.value)} ours, ${percent(row.error)}.`,
      ),
    ],
    caption:
      'Logarithmic scales. Green rows claim agreement within their tolerance; the others do not, and docs/validation.md says why.',
  };
}

export const published: Chart = {
  name: 'published',
  summary: "a paper's numbers beside ours, for its scenario (points on logarithmic scales)",
  draw,
};

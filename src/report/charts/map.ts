/**
 * Who wins where: over two axes with numbers, which of two variants takes less time; a heat map for each pair of variants.
 * The first two axes of the scenario whose labels are all numbers span the map; the next axis has the variants, of which the
 * first is compared with each of the others; the labels of any further axis get maps of their own.
 */
import { short, times } from '../format.ts';
import { distinct, groupBy, num, text } from '../frame.ts';
import { frame, isPoint, type Results, runOf } from '../results.ts';
import { page } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const CELL_WIDTH = 54;
const CELL_HEIGHT = 30;

interface Axes {
  readonly x: string;
  readonly y: string;
  readonly variant: string;
  readonly others: readonly string[];
}

interface Cell {
  readonly x: string;
  readonly y: string;
  readonly panel: string;
  readonly rival: string;
  /** Time of the first variant divided by that of the rival, as a power of two. */
  readonly advantage: number;
  readonly label: string;
}

function axesOf(results: Results): Axes | null {
  const runs = frame(results, 'runs').rows.filter(isPoint);
  const labels = (axis: string) => distinct(runs.map((run) => text(run, axis)));
  const { axes } = results.scenario;
  const numeric = axes.filter((axis) => labels(axis).length > 1 && labels(axis).every((label) => /^\d+$/.test(label)));
  const [x, y] = numeric;
  if (x === undefined || y === undefined) return null;
  const [variant, ...others] = axes.filter((axis) => axis !== x && axis !== y && labels(axis).length > 1);
  return variant === undefined ? null : { x, y, variant, others };
}

function cellsOf(results: Results, axes: Axes): Cell[] {
  const run = runOf(results);
  const rows = frame(results, 'vms').rows.filter((row) => isPoint(run(row)) && num(row, 'slowdown_ratio') !== null);
  const [first] = distinct(rows.map((row) => text(run(row), axes.variant)));
  const panelOf = (row: Parameters<typeof run>[0]) => axes.others.map((axis) => text(run(row), axis)).join(', ');
  const places = groupBy(rows, (row) => [text(run(row), axes.x), text(run(row), axes.y), panelOf(row)].join('\n'));
  return [...places.values()].flatMap((group) => {
    const base = group.find((row) => text(run(row), axes.variant) === first);
    if (base === undefined) return [];
    return group
      .filter((row) => row !== base)
      .map((row) => {
        const ratio = num(base, 'slowdown_ratio')! / num(row, 'slowdown_ratio')!;
        return {
          x: text(run(row), axes.x),
          y: text(run(row), axes.y),
          panel: [`${first} against ${text(run(row), axes.variant)}`, panelOf(row)]
            .filter((part) => part !== '')
            .join('; '),
          rival: text(run(row), axes.variant),
          advantage: Number(Math.log2(ratio).toFixed(4)),
          label: ratioText(ratio),
        };
      });
  });
}

/** Who is faster, and how much: above 1 the rival. */
function ratioText(ratio: number): string {
  return ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2);
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const axes = axesOf(results);
  if (axes === null) return null;
  const cells = cellsOf(results, axes);
  if (cells.length === 0) return null;
  const panels = distinct(cells.map((cell) => cell.panel));
  const xs = numbers(cells.map((cell) => cell.x));
  const ys = numbers(cells.map((cell) => cell.y));
  const first = panels[0]!.split(' against ')[0]!;
  const bound = Math.max(1, ...cells.map((cell) => Math.abs(cell.advantage)));
  return {
    spec: page(
      title ?? `Where is ${first} faster?`,
      `Time of ${first} divided by that of the other: above 1 (blue) the other is faster, below 1 (orange) ${first}`,
      {
        columns: 2,
        concat: panels.map((panel) => ({
          title: { text: panel, fontSize: 13, anchor: 'start', frame: 'group', offset: 8 },
          data: { values: cells.filter((cell) => cell.panel === panel) },
          width: CELL_WIDTH * xs.length,
          height: CELL_HEIGHT * ys.length,
          encoding: {
            x: { field: 'x', type: 'ordinal', sort: xs, title: axes.x, axis: { labelAngle: 0 } },
            y: { field: 'y', type: 'ordinal', sort: [...ys].reverse(), title: axes.y },
          },
          layer: [
            {
              mark: { type: 'rect', cornerRadius: 2, stroke: null, width: { band: 0.95 }, height: { band: 0.93 } },
              encoding: {
                color: {
                  field: 'advantage',
                  type: 'quantitative',
                  scale: { domain: [-bound, 0, bound], range: ['#d98a1f', '#f4f1ea', '#1f6fb0'], interpolate: 'lab' },
                  legend: null,
                },
              },
            },
            {
              mark: { type: 'text', fontSize: 11 },
              encoding: {
                text: { field: 'label' },
                color: {
                  condition: { test: `datum.advantage > ${0.6 * bound}`, value: '#ffffff' },
                  value: '#1d2733',
                },
              },
            },
          ],
        })),
        spacing: 28,
        resolve: { scale: { color: 'shared' } },
      },
    ),
    sentences: panels.flatMap((panel) => sentencesOf(panel, cells, axes, xs, ys)),
    caption:
      `Each cell is one program run under both, with ${axes.x} and ${axes.y} as its two rates. ` +
      'The crossover lies where the colour changes.',
  };
}

function numbers(labels: readonly string[]): string[] {
  return distinct(labels).sort((a, b) => Number(a) - Number(b));
}

/** For each column, from which row on the first variant wins. */
function sentencesOf(
  panel: string,
  cells: readonly Cell[],
  axes: Axes,
  xs: readonly string[],
  ys: readonly string[],
): string[] {
  const mine = cells.filter((cell) => cell.panel === panel);
  const [first] = panel.split(' against ') as [string];
  const from = xs.map((x) => {
    const wins = ys.filter((y) => mine.some((cell) => cell.x === x && cell.y === y && cell.advantage < 0));
    return { x, least: wins.map(Number).filter((y) => y > 0)[0] };
  });
  const known = from.filter(({ least }) => least !== undefined);
  const never = from.filter(({ least }) => least === undefined).map(({ x }) => x);
  const best = [...mine].sort((a, b) => a.advantage - b.advantage || Number(a.x) - Number(b.x))[0]!;
  const worst = [...mine].sort((a, b) => b.advantage - a.advantage || Number(a.x) - Number(b.x))[0]!;
  const crossover =
    known.length === 0
      ? `${first} wins nowhere`
      : `${first} wins from ${known.map(({ x, least }) => `${axes.y} ${short(least!)} at ${axes.x} ${x}`).join(', ')}` +
        (never.length === 0 ? '' : `, and nowhere at ${axes.x} ${never.join(', ')}`);
  const extremes = [best, worst].map(
    ({ advantage, x, y }) => `${times(2 ** advantage)} at ${axes.x} ${x}, ${axes.y} ${y}`,
  );
  return [`${panel}: ${crossover}; ratio from ${extremes.join(' to ')}.`];
}

export const map: Chart = {
  name: 'map',
  summary: 'who wins where: time of one variant against others over two axes with numbers (heat maps)',
  draw,
};

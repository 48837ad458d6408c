/**
 * A matrix of coloured cells, each with a headline and a line below it: the shape of charts that say who keeps a promise.
 * Invariant: rows and columns stand in the order in which the cells first name them.
 */
import { distinct } from '../frame.ts';
import { page } from '../theme.ts';
import type { Drawing } from './chart.ts';

export interface MatrixCell<Verdict extends string> {
  readonly row: string;
  readonly column: string;
  readonly verdict: Verdict;
  readonly headline: string;
  readonly reason: string;
}

export interface MatrixShape<Verdict extends string> {
  readonly title: string;
  readonly subtitle: string;
  readonly colours: Readonly<Record<Verdict, string>>;
  readonly cellWidth: number;
  readonly cellHeight: number;
}

/** The specification of a matrix. */
export function matrix<Verdict extends string>(
  cells: readonly MatrixCell<Verdict>[],
  shape: MatrixShape<Verdict>,
): Drawing['spec'] {
  const verdicts = Object.keys(shape.colours) as Verdict[];
  const axis = { ticks: false, domain: false, labelFontSize: 13, labelLimit: 260 };
  return page(shape.title, shape.subtitle, {
    data: { values: [...cells] },
    width: { step: shape.cellWidth },
    height: { step: shape.cellHeight },
    encoding: {
      x: {
        field: 'column',
        type: 'nominal',
        sort: distinct(cells.map(({ column }) => column)),
        title: null,
        axis: { ...axis, orient: 'top', labelAngle: 0 },
      },
      y: { field: 'row', type: 'nominal', sort: distinct(cells.map(({ row }) => row)), title: null, axis },
    },
    layer: [
      {
        mark: { type: 'rect', cornerRadius: 4, width: { band: 0.97 }, height: { band: 0.92 } },
        encoding: {
          color: {
            field: 'verdict',
            type: 'nominal',
            scale: { domain: verdicts, range: verdicts.map((verdict) => shape.colours[verdict]) },
            legend: null,
          },
        },
      },
      {
        mark: { type: 'text', dy: -7, fontSize: 12.5, fontWeight: 600, color: '#ffffff' },
        encoding: { text: { field: 'headline' } },
      },
      { mark: { type: 'text', dy: 8, fontSize: 11, color: '#ffffff' }, encoding: { text: { field: 'reason' } } },
    ],
  });
}

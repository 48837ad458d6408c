/** Exits by reason: one heat map per technique, in exits per million guest instructions. */
import { type Case, casesOf } from '../cases.ts';
import { amount, percent, short } from '../format.ts';
import { distinct, groupBy, num, text } from '../frame.ts';
import { frame, type Results } from '../results.ts';
import { page } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const CELL_WIDTH = 54;
const CELL_HEIGHT = 22;

interface Cell {
  readonly workload: string;
  readonly variant: string;
  readonly reason: string;
  readonly count: number;
  readonly cycles: number;
  /** Exits per million guest instructions. */
  readonly rate: number;
  readonly label: string;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const cells = cellsOf(results, casesOf(results));
  if (cells.length === 0) return null;
  const workloads = distinct(cells.map((cell) => cell.workload));
  const variants = distinct(cells.map((cell) => cell.variant));
  const low = Math.min(...cells.map((cell) => cell.rate));
  const high = Math.max(...cells.map((cell) => cell.rate));
  return {
    spec: page(title ?? 'What makes a guest leave for the VMM?', 'Exits per million guest instructions', {
      vconcat: variants.map((variant, index) => ({
        title: { text: variant, fontSize: 13, anchor: 'start', frame: 'group', offset: 8 },
        data: { values: cells.filter((cell) => cell.variant === variant) },
        width: CELL_WIDTH * workloads.length,
        height: { step: CELL_HEIGHT },
        encoding: {
          x: {
            field: 'workload',
            type: 'nominal',
            sort: workloads,
            scale: { domain: workloads },
            title: null,
            axis: index === 0 ? { orient: 'top', labelAngle: -35, ticks: false, domain: false, labelLimit: 160 } : null,
          },
          y: {
            field: 'reason',
            type: 'nominal',
            sort: { field: 'count', op: 'sum', order: 'descending' },
            title: null,
            axis: { ticks: false, domain: false },
          },
        },
        layer: [
          {
            mark: { type: 'rect', cornerRadius: 2, stroke: null, width: { band: 0.94 }, height: { band: 0.9 } },
            encoding: {
              color: {
                field: 'rate',
                type: 'quantitative',
                scale: {
                  type: 'log',
                  domain: [Math.max(low, high / 1e6), high],
                  range: ['#dbe9f6', '#1f5f99'],
                  interpolate: 'lab',
                  clamp: true,
                },
                legend: null,
              },
            },
          },
          {
            mark: { type: 'text', fontSize: 11 },
            encoding: {
              text: { field: 'label' },
              color: {
                condition: { test: `datum.rate > ${Math.sqrt(Math.max(low, high / 1e6) * high)}`, value: '#ffffff' },
                value: '#14293d',
              },
            },
          },
        ],
      })),
      spacing: 18,
      resolve: { scale: { color: 'shared', x: 'shared' } },
    }),
    sentences: sentencesOf(cells, variants),
    caption: 'A reason is missing where it never occurred. Sorted by number of exits, most frequent first.',
  };
}

function cellsOf(results: Results, cases: readonly Case[]): Cell[] {
  const byVm = new Map(cases.map((item) => [`${text(item.vm, 'run_id')}\n${text(item.vm, 'vm')}`, item]));
  const instructions = new Map<string, number>();
  for (const item of cases) {
    const key = `${item.workload}\n${item.variant}`;
    instructions.set(key, (instructions.get(key) ?? 0) + (num(item.vm, 'instructions') ?? 0));
  }
  const rows = frame(results, 'exits').rows.flatMap((row) => {
    const item = byVm.get(`${text(row, 'run_id')}\n${text(row, 'vm')}`);
    return item === undefined ? [] : [{ row, item }];
  });
  const groups = groupBy(rows, ({ row, item }) => `${item.workload}\n${item.variant}\n${text(row, 'reason')}`);
  return [...groups.values()].flatMap((group) => {
    const { row, item } = group[0]!;
    const { workload, variant } = item;
    const count = group.reduce((sum, entry) => sum + (num(entry.row, 'count') ?? 0), 0);
    const cycles = group.reduce((sum, entry) => sum + (num(entry.row, 'cycles') ?? 0), 0);
    const total = instructions.get(`${workload}\n${variant}`) ?? 0;
    if (count === 0 || total === 0) return [];
    const rate = (count / total) * 1e6;
    return [
      {
        workload,
        variant,
        reason: text(row, 'reason'),
        count,
        cycles,
        rate: Number(rate.toPrecision(4)),
        label: rateText(rate),
      },
    ];
  });
}

function rateText(rate: number): string {
  return rate < 0.01
    ? '<0.01'
    : rate < 1
      ? String(Number(rate.toFixed(2)))
      : amount(rate < 10 ? Number(short(rate)) : Math.round(rate));
}

function sentencesOf(cells: readonly Cell[], variants: readonly string[]): string[] {
  return variants.flatMap((variant) => {
    const mine = cells.filter((cell) => cell.variant === variant);
    const total = mine.reduce((sum, cell) => sum + cell.cycles, 0);
    const byReason = [...groupBy(mine, (cell) => cell.reason)]
      .map(([reason, group]) => ({ reason, cycles: group.reduce((sum, cell) => sum + cell.cycles, 0) }))
      .sort((a, b) => b.cycles - a.cycles || (a.reason < b.reason ? -1 : 1));
    const top = byReason[0];
    if (top === undefined || total === 0) return [];
    return [`${variant}: ${percent(top.cycles / total)} of the cost of all exits comes from "${top.reason}".`];
  });
}

export const exits: Chart = {
  name: 'exits',
  summary: 'exits per million guest instructions, by reason and workload (heat maps)',
  draw,
};

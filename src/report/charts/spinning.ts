/**
 * What VMs whose vCPUs wait for each other waste on spinning: bars, in a grid. The first axis of the scenario is the bars, the last one
 * the columns, those in between the rows.
 */
import { grouped, mean, percent } from '../format.ts';
import { distinct, groupBy, num, text } from '../frame.ts';
import type { Results } from '../results.ts';
import { type SharedVm, sharedVms } from '../scheduling.ts';
import type { Spec } from '../svg.ts';
import { page } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const PANEL_PIXELS = 165;
const BAR_PIXELS = 19;
const MS_PER_S = 1000;
const NS_PER_MS = 1_000_000;

interface Bar {
  readonly bar: string;
  readonly row: string;
  readonly column: string;
  /** Part of its running time that the VM spends on spinning. */
  readonly spin: number;
  readonly label: string;
  readonly perSecond: number;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const { axes } = results.scenario;
  const vms = sharedVms(results);
  const spinners = new Set(vms.flatMap(({ row }) => ((num(row, 'spin_ns') ?? 0) > 0 ? [text(row, 'vm')] : [])));
  if (spinners.size === 0 || axes.length < 2) return null;
  const own = vms.filter(({ row }) => spinners.has(text(row, 'vm')));
  const bars = [...groupBy(own, ({ run }) => axes.map((axis) => text(run, axis)).join('\n')).values()].map((group) =>
    barOf(group, axes),
  );
  const order = (of: (bar: Bar) => string): string[] => distinct(bars.map(of));
  const header = { title: null, labelOrient: 'top', labelAnchor: 'start' };
  const y = {
    field: 'bar',
    type: 'nominal',
    sort: order(({ bar }) => bar),
    title: null,
    axis: { ticks: false, domain: false, labelLimit: 160 },
  };
  const x: Spec = {
    field: 'spin',
    type: 'quantitative',
    title: null,
    scale: { domain: [0, 1] },
    axis: { format: '.0%', values: [0, 0.5, 1] },
  };
  return {
    spec: page(
      title ?? 'How much of its CPU time does the VM spend on spinning?',
      'Bars: spinning, of all time on a CPU; numbers: units of work per second',
      {
        data: { values: bars },
        facet: {
          row: {
            field: 'row',
            type: 'nominal',
            sort: order(({ row }) => row),
            title: null,
            header: { ...header, labelAngle: 0 },
          },
          column: { field: 'column', type: 'nominal', sort: order(({ column }) => column), title: null, header },
        },
        spec: {
          width: PANEL_PIXELS,
          height: { step: BAR_PIXELS },
          layer: [
            { mark: { type: 'bar', cornerRadiusEnd: 2, color: '#d5602a' }, encoding: { x, y } },
            {
              mark: { type: 'text', align: 'right', baseline: 'middle', fontSize: 11 },
              encoding: { x: { value: PANEL_PIXELS - 2 }, y, text: { field: 'label' } },
            },
          ],
        },
      },
    ),
    sentences: sentencesOf(bars),
    caption:
      'A vCPU that waits for a lock spins while it has a CPU. It spins in vain when the holder of the lock, or who is next in line, ' +
      'has none. All numbers are in scheduling-vms.csv.',
  };
}

function barOf(group: readonly SharedVm[], axes: readonly string[]): Bar {
  const { run } = group[0]!;
  const sum = (column: string): number => group.reduce((total, { row }) => total + (num(row, column) ?? 0), 0);
  const perSecond = mean(
    group.map(
      ({ row, run: of }) =>
        ((num(row, 'units') ?? 0) * MS_PER_S * NS_PER_MS) / Math.max(1, num(of, 'simulated_ns') ?? 1),
    ),
  );
  return {
    bar: text(run, axes[0]!),
    row: axes
      .slice(1, -1)
      .map((axis) => text(run, axis))
      .join(' \u00b7 '),
    column: text(run, axes.at(-1)!),
    spin: Number((sum('spin_ns') / Math.max(1, sum('running_ns'))).toFixed(4)),
    label: grouped(Math.round(perSecond)),
    perSecond: Math.round(perSecond),
  };
}

function sentencesOf(bars: readonly Bar[]): string[] {
  return [...groupBy(bars, ({ row, column }) => `${row}\n${column}`).values()].map((group) => {
    const sorted = [...group].sort((a, b) => a.spin - b.spin);
    const [best, worst] = [sorted[0]!, sorted.at(-1)!];
    const place = [worst.row, worst.column].filter((part) => part !== '').join(', ');
    return (
      `${place}: from ${percent(best.spin)} of its time on spinning under ${best.bar} (${best.label} units of work per second) to ` +
      `${percent(worst.spin)} under ${worst.bar} (${worst.label}).`
    );
  });
}

export const spinning: Chart = {
  name: 'spinning',
  summary: 'time wasted on spinning, and units of work per second (bars in a grid); needs metrics: [scheduling]',
  draw,
};

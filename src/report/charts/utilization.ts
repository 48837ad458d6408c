/** How busy the physical CPUs are, against the number of VMs on each. */
import { type DensityRun, densityRuns, utilization as utilizationOf } from '../density.ts';
import { mean, percent } from '../format.ts';
import { distinct, groupBy } from '../frame.ts';
import type { Results } from '../results.ts';
import { page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';
import { densityAxis, seriesLayers } from './density-axis.ts';

/** The claim this chart is held against: "server use could be increased from 5-15 % to 60-80 %". */
const BANDS = [
  { from: 0.05, to: 0.15, label: '5\u201315 %: one server, one machine' },
  { from: 0.6, to: 0.8, label: '60\u201380 %: consolidated' },
];

interface Point {
  readonly density: number;
  readonly series: string;
  readonly utilization: number;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const runs = densityRuns(results);
  if (runs.length === 0) return null;
  const points = pointsOf(runs);
  const series = distinct(points.map((point) => point.series));
  const x = densityAxis(runs);
  const y = {
    field: 'utilization',
    type: 'quantitative',
    title: 'utilization of the physical CPUs',
    scale: { domain: [0, 1] },
    axis: { format: '.0%', values: [0, 0.2, 0.4, 0.6, 0.8, 1] },
  };
  return {
    spec: page(title ?? 'How busy is the machine?', 'Share of the cycles of the physical CPUs that were not idle', {
      width: WIDTH,
      height: 320,
      data: { values: points },
      layer: [
        {
          data: { values: BANDS },
          mark: { type: 'rect', color: '#e39a1b', opacity: 0.16 },
          encoding: { y: { field: 'from', type: 'quantitative' }, y2: { field: 'to' } },
        },
        {
          data: { values: BANDS },
          mark: { type: 'text', align: 'right', baseline: 'middle', dx: -6, opacity: 0.8 },
          encoding: {
            x: { value: WIDTH },
            y: { field: 'from', type: 'quantitative' },
            yOffset: { value: -9 },
            text: { field: 'label' },
          },
        },
        ...seriesLayers(series, x, y),
      ],
    }),
    sentences: sentencesOf(points, series),
    caption: 'The bands are the claim that consolidation is sold with: from 5\u201315 % to 60\u201380 %.',
  };
}

function pointsOf(runs: readonly DensityRun[]): Point[] {
  return [...groupBy(runs, (run) => `${run.density}\n${run.series}`).values()].map((group) => {
    const { density, series } = group[0]!;
    return { density, series, utilization: Number(mean(group.map(utilizationOf)).toFixed(6)) };
  });
}

function sentencesOf(points: readonly Point[], series: readonly string[]): string[] {
  return series.flatMap((name) => {
    const mine = points.filter((point) => point.series === name).sort((a, b) => a.density - b.density);
    const first = mine[0];
    const last = mine.at(-1);
    const target = mine.find((point) => point.utilization >= 0.6);
    if (first === undefined || last === undefined) return [];
    const who = name === '' ? '' : `${name}: `;
    const reach = target === undefined ? '' : `; 60 % is passed at ${target.density} VMs per CPU`;
    return [
      `${who}utilization grows from ${percent(first.utilization)} with ${vms(first.density)} to ` +
        `${percent(last.utilization)} with ${vms(last.density)} per CPU${reach}.`,
    ];
  });
}

function vms(count: number): string {
  return `${count} VM${count === 1 ? '' : 's'}`;
}

export const utilization: Chart = {
  name: 'utilization',
  summary: 'utilization of the physical CPUs against VMs per CPU (lines)',
  draw,
};

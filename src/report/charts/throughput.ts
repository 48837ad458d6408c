/** How much work each VM gets done, against the number of VMs per CPU. */
import { type DensityRun, densityRuns, elapsedNs } from '../density.ts';
import { mean, percent, short } from '../format.ts';
import { distinct, groupBy, num, text } from '../frame.ts';
import type { Results } from '../results.ts';
import { page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';
import { densityAxis, rangeLayer, seriesLayers } from './density-axis.ts';

interface Point {
  readonly density: number;
  readonly series: string;
  /** Work units per simulated second: the mean VM, the slowest and the fastest. */
  readonly rate: number;
  readonly low: number;
  readonly high: number;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const runs = densityRuns(results);
  const points = pointsOf(runs);
  if (points.length === 0) return null;
  const series = distinct(points.map((point) => point.series));
  const x = densityAxis(runs);
  const y = {
    field: 'rate',
    type: 'quantitative',
    title: 'work units per second and VM',
    scale: { zero: true },
    axis: { tickCount: 6 },
  };
  return {
    spec: page(
      title ?? 'How much work does each VM get done?',
      'Lines: the mean VM; shaded: from the slowest to the fastest',
      {
        width: WIDTH,
        height: 300,
        data: { values: points },
        layer: [rangeLayer(series, x, y), ...seriesLayers(series, x, y)],
      },
    ),
    sentences: sentencesOf(points, series),
    caption: 'Work units are what the guest itself reports as done, such as requests served.',
  };
}

function pointsOf(runs: readonly DensityRun[]): Point[] {
  return [...groupBy(runs, (run) => `${run.density}\n${run.series}`).values()].flatMap((group) => {
    const rates = group.flatMap((run) =>
      run.vms.flatMap((vm) => {
        const elapsed = elapsedNs(run, text(vm, 'vm'));
        return elapsed === 0 ? [] : [((num(vm, 'work_units') ?? 0) * 1e9) / elapsed];
      }),
    );
    if (rates.length === 0 || rates.every((rate) => rate === 0)) return [];
    const { density, series } = group[0]!;
    const rounded = (value: number) => Number(value.toFixed(4));
    const [low, high] = [rounded(Math.min(...rates)), rounded(Math.max(...rates))];
    return [{ density, series, rate: rounded(mean(rates)), low, high }];
  });
}

function sentencesOf(points: readonly Point[], series: readonly string[]): string[] {
  return series.flatMap((name) => {
    const mine = points.filter((point) => point.series === name).sort((a, b) => a.density - b.density);
    const first = mine[0];
    const last = mine.at(-1);
    if (first === undefined || last === undefined || first.rate === 0) return [];
    const who = name === '' ? '' : `${name}: `;
    return [
      `${who}with ${last.density} VMs per CPU, each VM does ${short(last.rate)} work units per second, ` +
        `${percent(last.rate / first.rate)} of what it does with ${first.density}.`,
    ];
  });
}

export const throughput: Chart = {
  name: 'throughput',
  summary: 'work done per second and VM against VMs per CPU (lines)',
  draw,
};

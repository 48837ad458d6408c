/** How much work each VM gets done, against the number of VMs per CPU. */
import { type DensityRun, densityRuns, elapsedNs } from '../density.ts';
import { mean, percent, short } from '../format.ts';
import { distinct, groupBy, num, type Row, text } from '../frame.ts';
import type { Results } from '../results.ts';
import { page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';
import { densityAxis, rangeLayer, seriesLayers } from './density-axis.ts';

interface Point {
  readonly density: number;
  readonly series: string;
  /** Work per VM: the mean VM, the slowest and the fastest. */
  readonly rate: number;
  readonly low: number;
  readonly high: number;
}

/** Of what the rates are: shares of the native rate where all are known, else work units per second. */
interface Measure {
  readonly title: string;
  readonly format: string | undefined;
  readonly caption: string;
  readonly of: (run: DensityRun, vm: Row) => number | null;
}

const SHARE: Measure = {
  title: 'work per VM, native = 100 %',
  format: '.0%',
  caption:
    'Work units per simulated second of each VM, divided by those of the same guest with the bare machine for itself. ' +
    'A server that is late serves its requests later: less than 100 % means a queue that grows.',
  of: (_run, vm) => {
    const slowdown = num(vm, 'slowdown_ratio');
    return slowdown === null ? null : 1 / slowdown;
  },
};

const RATE: Measure = {
  title: 'work units per second and VM',
  format: undefined,
  caption: 'Work units are what the guest itself reports as done, such as requests served.',
  of: (run, vm) => {
    const elapsed = elapsedNs(run, text(vm, 'vm'));
    return elapsed === 0 ? null : ((num(vm, 'work_units') ?? 0) * 1e9) / elapsed;
  },
};

function draw(results: Results, title: string | undefined): Drawing | null {
  const runs = densityRuns(results);
  const measure = runs.every((run) => run.vms.every((vm) => SHARE.of(run, vm) !== null)) ? SHARE : RATE;
  const points = pointsOf(runs, measure);
  if (points.length === 0) return null;
  const series = distinct(points.map((point) => point.series));
  const x = densityAxis(runs);
  const axis = measure.format === undefined ? { tickCount: 6 } : { tickCount: 6, format: measure.format };
  const y = { field: 'rate', type: 'quantitative', title: measure.title, scale: { zero: true }, axis };
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
    sentences: sentencesOf(points, series, measure),
    caption: measure.caption,
  };
}

function pointsOf(runs: readonly DensityRun[], measure: Measure): Point[] {
  return [...groupBy(runs, (run) => `${run.density}\n${run.series}`).values()].flatMap((group) => {
    const rates = group.flatMap((run) => run.vms.flatMap((vm) => measure.of(run, vm) ?? []));
    if (rates.every((rate) => rate === 0)) return [];
    const { density, series } = group[0]!;
    const rounded = (value: number) => Number(value.toFixed(4));
    const [low, high] = [rounded(Math.min(...rates)), rounded(Math.max(...rates))];
    return [{ density, series, rate: rounded(mean(rates)), low, high }];
  });
}

function sentencesOf(points: readonly Point[], series: readonly string[], measure: Measure): string[] {
  return series.flatMap((name) => {
    const last = points.filter((point) => point.series === name).reduce<Point | undefined>(densest, undefined);
    if (last === undefined) return [];
    const who = name === '' ? '' : `${name}: `;
    const [work, slowest] =
      measure === SHARE
        ? [`${percent(last.rate)} of the work it would do alone`, percent(last.low)]
        : [`${short(last.rate)} work units per second`, short(last.low)];
    return [`${who}with ${last.density} VMs per CPU, a VM does ${work} on average, and the slowest ${slowest}.`];
  });
}

function densest(best: Point | undefined, point: Point): Point {
  return best === undefined || point.density > best.density ? point : best;
}

export const throughput: Chart = {
  name: 'throughput',
  summary: 'work done per VM, compared with the bare machine, against VMs per CPU (lines)',
  draw,
};

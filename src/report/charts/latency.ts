/** How long a vCPU waits after a wake-up until it runs, against the number of VMs per CPU. */
import { type DensityRun, densityRuns } from '../density.ts';
import { median, time } from '../format.ts';
import { distinct, groupBy, num } from '../frame.ts';
import type { Results } from '../results.ts';
import { page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';
import { densityAxis } from './density-axis.ts';

const QUANTILES = [
  { name: 'p50', column: 'wake_to_run_p50_ns', colour: '#56b4e9' },
  { name: 'p95', column: 'wake_to_run_p95_ns', colour: '#2f7fc1' },
  { name: 'p99', column: 'wake_to_run_p99_ns', colour: '#d5602a' },
] as const;

/** A logarithmic scale has no zero: shorter waits are drawn here. */
const SHORTEST_NS = 1_000;

interface Point {
  readonly density: number;
  readonly series: string;
  readonly quantile: string;
  /** The median over the vCPUs, and the range it is taken from. */
  readonly wait: number;
  readonly low: number;
  readonly high: number;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const runs = densityRuns(results);
  const points = pointsOf(runs);
  if (points.length === 0) return null;
  const series = distinct(points.map((point) => point.series));
  const width = series.length > 1 ? Math.floor((WIDTH + 20) / Math.min(series.length, 3)) - 20 : WIDTH;
  const highest = Math.max(...points.map((point) => point.high));
  const x = densityAxis(runs);
  const y = {
    field: 'wait',
    type: 'quantitative',
    title: 'time from wake-up to running (logarithmic)',
    scale: { type: 'log', domain: [SHORTEST_NS, Math.max(highest * 1.5, 10 * SHORTEST_NS)], nice: false, clamp: true },
    axis: { values: powers(highest), labelExpr: TIME_LABEL },
  };
  const colour = {
    field: 'quantile',
    type: 'nominal',
    title: null,
    scale: { domain: QUANTILES.map(({ name }) => name), range: QUANTILES.map((item) => item.colour) },
    legend: { orient: 'top', symbolType: 'circle' },
  };
  const panel = {
    width,
    height: 300,
    layer: [
      {
        transform: [{ filter: "datum.quantile === 'p99'" }],
        mark: { type: 'area', opacity: 0.15 },
        encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color: colour },
      },
      {
        mark: { type: 'line', strokeWidth: 2.5, point: { filled: true, size: 45 } },
        encoding: { x, y, color: colour },
      },
    ],
  };
  const layout =
    series.length > 1
      ? { facet: { field: 'series', type: 'nominal', title: null, sort: series }, columns: 3, spec: panel }
      : panel;
  return {
    spec: page(title ?? 'How long does a woken VM wait for a CPU?', subtitle(), {
      data: { values: points },
      ...layout,
    }),
    sentences: sentencesOf(points, series),
    caption:
      'Half of the wake-ups wait at most p50, 95 of 100 at most p95, 99 of 100 at most p99. ' +
      `Waits below ${time(SHORTEST_NS)} are drawn at ${time(SHORTEST_NS)}.`,
  };
}

function subtitle(): string {
  return 'Lines: the median VM; shaded: p99 from the luckiest to the unluckiest VM';
}

const TIME_LABEL =
  "datum.value >= 1e9 ? datum.value / 1e9 + ' s' : datum.value >= 1e6 ? datum.value / 1e6 + ' ms' : datum.value / 1e3 + ' \u00b5s'";

function powers(highest: number): number[] {
  const values: number[] = [];
  for (let value = SHORTEST_NS; value <= highest * 1.5 || value <= 10 * SHORTEST_NS; value *= 10) values.push(value);
  return values;
}

function pointsOf(runs: readonly DensityRun[]): Point[] {
  const groups = groupBy(runs, (run) => `${run.density}\n${run.series}`);
  return [...groups.values()].flatMap((group) =>
    QUANTILES.flatMap(({ name, column }) => {
      const waits = group.flatMap((run) => run.vcpus.flatMap((row) => num(row, column) ?? []));
      if (waits.length === 0) return [];
      const { density, series } = group[0]!;
      const drawn = (value: number) => Math.max(SHORTEST_NS, value);
      const [low, high] = [drawn(Math.min(...waits)), drawn(Math.max(...waits))];
      return [{ density, series, quantile: name, wait: drawn(median(waits)), low, high }];
    }),
  );
}

function sentencesOf(points: readonly Point[], series: readonly string[]): string[] {
  return series.flatMap((name) => {
    const tail = points.filter((point) => point.series === name && point.quantile === 'p99');
    const sorted = [...tail].sort((a, b) => a.density - b.density);
    const first = sorted[0];
    const last = sorted.at(-1);
    if (first === undefined || last === undefined) return [];
    const who = name === '' ? '' : `${name}: `;
    const from = first.wait <= SHORTEST_NS ? `at most ${time(SHORTEST_NS)}` : time(first.wait);
    return [
      `${who}of 100 wake-ups, 99 run within ${from} with ${first.density} VM${first.density === 1 ? '' : 's'} per CPU, ` +
        `and within ${time(last.wait)} with ${last.density}.`,
    ];
  });
}

export const latency: Chart = {
  name: 'latency',
  summary: 'time from wake-up to running, p50, p95 and p99, against VMs per CPU (logarithmic lines)',
  draw,
};

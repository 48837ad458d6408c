/**
 * What consolidation gives and costs: time of response, utilization and throughput against VMs per CPU, a line per series, with 95 %
 * confidence intervals over the seeds. A series leaves the target when the upper end of the interval of its 99th percentile does.
 */
import { NS_PER_MS } from '../../core/units.ts';
import { type Interval, interval95 } from '../confidence.ts';
import { listed, percent, time } from '../format.ts';
import { distinct, groupBy, num } from '../frame.ts';
import type { Results } from '../results.ts';
import { type SharedRun, sharedRuns } from '../scheduling.ts';
import type { Spec } from '../svg.ts';
import { colourScale, page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

/** The target is this many times what a VM has with the fewest others (our choice). */
const TARGET_TIMES = 10;
/** The claim that the chart is held against. */
const CLAIM = [
  { from: 0.05, to: 0.15, label: '5\u201315 %' },
  { from: 0.6, to: 0.8, label: '60\u201380 %' },
];

interface Point {
  readonly density: number;
  readonly series: string;
  readonly response: Interval;
  readonly utilization: Interval;
  readonly throughput: Interval;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const points = pointsOf(sharedRuns(results));
  if (points.length === 0) return null;
  const series = distinct(points.map((point) => point.series));
  const densities = [...new Set(points.map(({ density }) => density))].sort((a, b) => a - b);
  const fewest = points.filter(({ density }) => density === densities[0]);
  const targetMs = TARGET_TIMES * Math.min(...fewest.map(({ response }) => response.mean));
  const highest = Math.max(targetMs, ...points.map(({ response }) => response.high));
  const least = Math.min(...points.map(({ response }) => Math.max(response.low, LEAST_MS)));
  // One label below all that is drawn.
  const lowest = POWERS.findLast((value) => value <= least) ?? least;
  const x = {
    field: 'density',
    type: 'quantitative',
    title: 'VMs per physical CPU',
    scale: { domain: [densities[0], densities.at(-1)], nice: false, zero: false },
    axis: { values: densities, format: 'd', grid: false },
  };
  const colour = {
    field: 'series',
    type: 'nominal',
    title: null,
    scale: colourScale(series),
    legend: series.length > 1 ? { orient: 'top', symbolType: 'circle', columns: 4 } : null,
  };
  const panel = (key: 'response' | 'utilization' | 'throughput', height: number, y: Spec, behind: Spec[]): Spec => ({
    width: WIDTH,
    height,
    data: { values: points.map((point) => flat(point, key)) },
    layer: [
      ...behind,
      {
        mark: { type: 'area', opacity: 0.15 },
        encoding: { x, y: { ...y, field: 'low', type: 'quantitative' }, y2: { field: 'high' }, color: colour },
      },
      {
        mark: { type: 'line', strokeWidth: 2, point: { filled: true, size: 30 } },
        encoding: { x, y: { ...y, field: 'mean', type: 'quantitative' }, color: colour },
      },
    ],
  });
  const responseAxis = {
    title: 'p99 of responses (log.)',
    scale: { type: 'log', nice: false, domain: [lowest, highest] },
    axis: {
      labelExpr: "datum.value >= 1000 ? datum.value / 1000 + ' s' : datum.value + ' ms'",
      values: POWERS.filter((value) => value >= lowest && value <= highest),
    },
  };
  const share = (what: string) => ({
    title: what,
    scale: { domain: [0, 1] },
    axis: { format: '.0%', values: [0, 0.2, 0.4, 0.6, 0.8, 1] },
  });
  return {
    spec: page(title ?? 'What does it cost to fill a machine?', subtitleOf(points, series, targetMs), {
      vconcat: [
        panel('response', 300, responseAxis, [line(targetMs, `target: ${time(targetMs * NS_PER_MS)}`)]),
        panel('utilization', 170, share('utilization of the CPUs'), bands()),
        panel('throughput', 130, share('requests answered'), []),
      ],
    }),
    sentences: sentencesOf(points, series, targetMs),
    caption:
      'Lines are means over the seeds, shaded are 95 % confidence intervals. Requests answered: those finished until the end, of those ' +
      `that the same VMs answer where there are fewest of them. The target is ${TARGET_TIMES} times the 99th percentile with the fewest VMs ` +
      '(our choice); a scheduler leaves it when the upper end of the interval does.',
  };
}

/** A logarithmic scale has no zero. */
const LEAST_MS = 0.001;
const POWERS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000];

const rounded = (value: number): number => Number(value.toFixed(6));

function flat(point: Point, key: 'response' | 'utilization' | 'throughput') {
  const { mean, low, high } = point[key];
  const { density, series } = point;
  // Nobody's share is negative or above one.
  const [least, most] = key === 'response' ? [LEAST_MS, Infinity] : [0, 1];
  const drawn = (value: number): number => rounded(Math.min(Math.max(value, least), most));
  return { density, series, mean: drawn(mean), low: drawn(low), high: drawn(high) };
}

function line(value: number, label: string): Spec {
  return {
    data: { values: [{ value: rounded(value), label }] },
    layer: [
      {
        mark: { type: 'rule', strokeDash: [6, 4], color: 'currentColor', opacity: 0.7 },
        encoding: { y: { field: 'value', type: 'quantitative' } },
      },
      {
        mark: { type: 'text', align: 'left', baseline: 'bottom', dx: 6, dy: -3 },
        encoding: { x: { value: 0 }, y: { field: 'value', type: 'quantitative' }, text: { field: 'label' } },
      },
    ],
  };
}

function bands(): Spec[] {
  return [
    {
      data: { values: CLAIM },
      mark: { type: 'rect', color: '#e39a1b', opacity: 0.16 },
      encoding: { y: { field: 'from', type: 'quantitative' }, y2: { field: 'to' } },
    },
    {
      data: { values: CLAIM },
      mark: { type: 'text', align: 'right', baseline: 'bottom', dx: -6, dy: -1, opacity: 0.8 },
      encoding: { x: { value: WIDTH }, y: { field: 'from', type: 'quantitative' }, text: { field: 'label' } },
    },
  ];
}

function pointsOf(runs: readonly SharedRun[]): Point[] {
  const answered = (run: SharedRun): number => (num(run.row, 'units') ?? 0) / run.density;
  const least = Math.min(...runs.map(({ density }) => density));
  const aloneRuns = runs.filter(({ density }) => density === least).map(answered);
  const alone = aloneRuns.reduce((sum, value) => sum + value, 0) / Math.max(1, aloneRuns.length);
  return [...groupBy(runs, (run) => `${run.density}\n${run.series}`).values()].flatMap((group) => {
    const responses = group.flatMap(({ row }) => num(row, 'response_p99_ns') ?? []);
    if (responses.length === 0 || alone === 0) return [];
    const { density, series } = group[0]!;
    return [
      {
        density,
        series,
        response: interval95(responses.map((ns) => ns / NS_PER_MS)),
        utilization: interval95(group.map(({ row }) => num(row, 'utilization_ratio') ?? 0)),
        throughput: interval95(group.map((run) => answered(run) / alone)),
      },
    ];
  });
}

/** What it gives, and what it costs. */
function subtitleOf(points: readonly Point[], series: readonly string[], targetMs: number): string[] {
  const from = Math.min(...points.map(({ utilization }) => utilization.mean));
  const to = Math.max(...points.map(({ utilization }) => utilization.mean));
  const gives = `Utilization from ${percent(from)} to ${percent(to)}`;
  const tails = claimedTails(points);
  const left = [...lastWithin(points, series, targetMs).values()].map((point) => point?.density ?? 0);
  const [fewest, most] = [Math.min(...left), Math.max(...left)];
  const kept = fewest === most ? String(fewest) : `${fewest} or ${most}`;
  return [
    gives,
    ...(tails === null ? [] : [`p99 at 60\u201380 %: ${tails} times that of the fewest VMs`]),
    `${TARGET_TIMES} times, the target, is kept up to ${kept} per CPU`,
  ];
}

/** The last point of each series before it leaves the target. */
function lastWithin(
  points: readonly Point[],
  series: readonly string[],
  targetMs: number,
): ReadonlyMap<string, Point | undefined> {
  return new Map(
    series.map((name) => {
      const own = points.filter((point) => point.series === name).sort((a, b) => a.density - b.density);
      const out = own.findIndex(({ response }) => response.high > targetMs);
      return [name, out < 0 ? own.at(-1) : own[out - 1]];
    }),
  );
}

function sentencesOf(points: readonly Point[], series: readonly string[], targetMs: number): string[] {
  const last = lastWithin(points, series, targetMs);
  const byDensity = [...groupBy(series, (name) => String(last.get(name)?.density ?? 0)).values()];
  const leaving = byDensity.map((names) => {
    const kept = names.map((name) => last.get(name)!);
    const who = listed(names.map((name) => (name === '' ? 'The scheduler' : name)));
    if (kept[0] === undefined) return `${who}: never within the target.`;
    const busy = Math.min(...kept.map(({ utilization }) => utilization.mean));
    const tails = kept.map(({ response }) => response.mean * NS_PER_MS);
    const [low, high] = [time(Math.min(...tails)), time(Math.max(...tails))];
    return (
      `${who}: within the target of ${time(targetMs * NS_PER_MS)} up to ${kept[0].density} VMs per CPU, with the CPUs at ` +
      `${percent(busy)} and 99 of 100 requests answered within ${low === high ? low : `${low} to ${high}`}.`
    );
  });
  return [...claimSentence(points), ...leaving.sort((a, b) => a.localeCompare(b, 'en'))];
}

/** How many times the tail with the fewest VMs it is where utilization is within the claimed 60 to 80 %. */
function claimedTails(points: readonly Point[]): string | null {
  const reached = points.filter(({ utilization }) => utilization.mean >= 0.595 && utilization.mean <= 0.805);
  if (reached.length === 0) return null;
  const first = Math.min(...points.map(({ response }) => response.mean));
  const tails = reached.map(({ response }) => response.mean / first);
  return `${Math.min(...tails).toFixed(1)} to ${Math.max(...tails).toFixed(1)}`;
}

function claimSentence(points: readonly Point[]): string[] {
  const tails = claimedTails(points);
  if (tails === null) return [];
  return [
    `Between 60 and 80 % utilization the slowest of 100 requests take ${tails} times as long as with the fewest VMs, depending on the ` +
      'scheduler and on how full the machine is.',
  ];
}

export const consolidation: Chart = {
  name: 'consolidation',
  summary:
    'response, utilization and throughput against VMs per CPU with confidence intervals; needs metrics: [scheduling]',
  draw,
};

/**
 * How far the three kinds of VM agree: utilization, requests answered and their times, a panel each, of VMs that are executed, replayed and
 * modelled under otherwise equal conditions. A line for each series, a row of panels for each number of VMs per CPU.
 * Invariant: the kind of a run is what its VMs are in vms.csv, so nothing has to be said twice.
 */
import { NS_PER_MS, NS_PER_SECOND } from '../../core/units.ts';
import { interval95 } from '../confidence.ts';
import { percent } from '../format.ts';
import { distinct, groupBy, num, type Row, text } from '../frame.ts';
import { frame, type Results } from '../results.ts';
import { pointRuns } from '../scheduling.ts';
import type { Spec } from '../svg.ts';
import { page } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const KINDS = ['executed', 'replayed', 'modelled'] as const;
type Kind = (typeof KINDS)[number];

const PANEL_PIXELS = 138;
const LINE_PIXELS = 19;
const NAMES_PIXELS = 130;

interface Quantity {
  readonly title: string;
  readonly of: (row: Row, run: Row) => number;
  readonly format: string;
  /** Difference of `value` and the same of executed VMs, in words. */
  readonly phrase: string;
}

const ms = (row: Row, column: string): number => (num(row, column) ?? 0) / NS_PER_MS;

const QUANTITIES: readonly Quantity[] = [
  { title: 'utilization', of: (row) => num(row, 'utilization_ratio') ?? 0, format: '.0%', phrase: 'utilization' },
  {
    title: 'requests / s',
    of: (row, run) => ((num(row, 'units') ?? 0) * NS_PER_SECOND) / Math.max(1, num(run, 'simulated_ns') ?? 1),
    format: 'd',
    phrase: 'requests answered',
  },
  { title: 'median, ms', of: (row) => ms(row, 'response_p50_ns'), format: 'd', phrase: 'the median response' },
  {
    title: 'p99, ms',
    of: (row) => ms(row, 'response_p99_ns'),
    format: 'd',
    phrase: 'the 99th percentile',
  },
];

/** All runs of one kind under one series with as many VMs per CPU. */
interface Point {
  readonly kind: Kind;
  readonly series: string;
  readonly density: number;
  /** One for each quantity. */
  readonly values: readonly number[];
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const points = pointsOf(results);
  const kinds = KINDS.filter((kind) => points.some((point) => point.kind === kind));
  if (kinds.length < 2) return null;
  const densities = [...new Set(points.map(({ density }) => density))].sort((a, b) => a - b);
  const seriesNames = distinct(points.map(({ series }) => series));
  const kind = {
    field: 'kind',
    type: 'nominal',
    title: null,
    scale: { domain: kinds, range: kinds.map((name) => LOOK[name].colour) },
    legend: { orient: 'top', symbolStrokeWidth: 2 },
  };
  const panel = (quantity: Quantity, at: number, density: number, isFirst: boolean, isTop: boolean): Spec => {
    const own = points.filter((point) => point.density === density);
    const x = {
      field: 'value',
      type: 'quantitative',
      title: null,
      scale: { zero: true, nice: true },
      axis: { format: quantity.format, tickCount: 3 },
    };
    return {
      width: PANEL_PIXELS,
      height: { step: LINE_PIXELS },
      ...(isTop
        ? {
            title: {
              text: quantity.title,
              fontSize: 12,
              fontWeight: 'normal',
              anchor: 'middle',
              frame: 'group',
              offset: 8,
            },
          }
        : {}),
      layer: kinds.map((name) => ({
        data: {
          values: own
            .filter((point) => point.kind === name)
            .map(({ series, values }) => ({ series, kind: name, value: Number(values[at]!.toFixed(6)) })),
        },
        mark: { type: 'point', opacity: 1, ...LOOK[name].mark },
        encoding: {
          x,
          y: {
            field: 'series',
            type: 'nominal',
            sort: seriesNames,
            title: isFirst ? `${density} per CPU` : null,
            axis: { grid: true, ticks: false, domain: false, labels: isFirst, labelLimit: NAMES_PIXELS },
          },
          color: kind,
          shape: {
            field: 'kind',
            type: 'nominal',
            title: null,
            scale: { domain: kinds, range: kinds.map((one) => LOOK[one].mark.shape) },
          },
        },
      })),
    };
  };
  return {
    spec: page(
      title ?? 'Are replayed and modelled VMs as good as executed ones?',
      'The same servers; median and p99 of times of response',
      {
        vconcat: densities.map((density, row) => ({
          spacing: 14,
          hconcat: QUANTITIES.map((quantity, at) => panel(quantity, at, density, at === 0, row === 0)),
        })),
      },
    ),
    sentences: densities.flatMap((density) => sentencesOf(points, density)),
    caption:
      'All numbers are in runs.csv and scheduling-runs.csv. Alone, a replay has the cycles of the executed guest. Among others it is what the guest ' +
      'would do if its timer waited for it; a real guest loses ticks while it has no CPU, and so gets its later requests later.',
  };
}

/** Rings, dots in them, and crosses. */
const LOOK: Readonly<Record<Kind, { readonly colour: string; readonly mark: Spec & { readonly shape: string } }>> = {
  executed: { colour: '#2f7fc1', mark: { shape: 'circle', filled: false, size: 110, strokeWidth: 2 } },
  replayed: { colour: '#d5602a', mark: { shape: 'circle', filled: true, size: 34 } },
  modelled: { colour: '#1a9e77', mark: { shape: 'cross', filled: false, size: 60, strokeWidth: 1.6 } },
};

function pointsOf(results: Results): Point[] {
  const kinds = new Map(frame(results, 'vms').rows.map((vm) => [text(vm, 'run_id'), kindOf(vm)]));
  const items = pointRuns(results).flatMap((point) => {
    const kind = kinds.get(text(point.row, 'run_id'));
    return kind === undefined ? [] : [{ ...point, kind }];
  });
  // An axis that says what the VMs are is not part of a series.
  const axes = results.scenario.axes.filter((axis) =>
    [...groupBy(items, ({ run }) => text(run, axis)).values()].every(
      (group) => distinct(group.map(({ kind }) => kind)).length > 1,
    ),
  );
  const keyed = items.map((item) => ({ ...item, series: axes.map((axis) => text(item.run, axis)).join(' \u00b7 ') }));
  return [...groupBy(keyed, ({ kind, series, density }) => `${kind}\n${density}\n${series}`).values()].map((group) => {
    const { kind, series, density } = group[0]!;
    return {
      kind,
      series,
      density,
      values: QUANTITIES.map(({ of }) => interval95(group.map(({ row, run }) => of(row, run))).mean),
    };
  });
}

function kindOf(vm: Row): Kind {
  if (text(vm, 'technique') === 'modelled') return 'modelled';
  return text(vm, 'guest').startsWith('recordings/') || text(vm, 'guest').endsWith('.hvrec') ? 'replayed' : 'executed';
}

function sentencesOf(points: readonly Point[], density: number): string[] {
  const of = (kind: Kind): Map<string, Point> =>
    new Map(
      points.flatMap((point) => (point.kind === kind && point.density === density ? [[point.series, point]] : [])),
    );
  const executed = of('executed');
  return (['replayed', 'modelled'] as const).flatMap((kind) => {
    const pairs = [...of(kind)].flatMap(([series, point]) => {
      const other = executed.get(series);
      return other === undefined ? [] : [{ series, point, other }];
    });
    if (pairs.length === 0) return [];
    const parts = QUANTITIES.map(({ phrase }, at) => {
      const ratios = pairs.map(({ point, other }) => (point.values[at]! - other.values[at]!) / other.values[at]!);
      const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
      return low === 0 && high === 0 ? '' : `${phrase} ${between(low, high)}`;
    }).filter((part) => part !== '');
    const where = `${density} per CPU, ${kind} against executed`;
    return [parts.length === 0 ? `${where}: no difference in any of them.` : `${where}: ${parts.join(', ')}.`];
  });
}

function between(low: number, high: number): string {
  const signed = (ratio: number): string => `${ratio < 0 ? '\u2212' : '+'}${percent(Math.abs(ratio))}`;
  return signed(low) === signed(high) ? signed(low) : `${signed(low)} to ${signed(high)}`;
}

export const agreement: Chart = {
  name: 'agreement',
  summary:
    'executed, replayed and modelled VMs side by side: utilization, requests and their times; needs metrics: [scheduling]',
  draw,
};

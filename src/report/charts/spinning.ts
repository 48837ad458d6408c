/**
 * What VMs whose vCPUs wait for each other waste: bars, in a grid. Modelled ones say how long they spin. Of executed ones it is the CPU time of a
 * unit of work beyond that of the same VM in the first column, where nothing disturbs it. The first axis of the scenario is the bars, the last one
 * the columns, those in between the rows. With several seeds,
 * means and 95 % confidence intervals.
 */
import { NS_PER_SECOND } from '../../core/units.ts';
import { interval95 } from '../confidence.ts';
import { grouped, percent } from '../format.ts';
import { distinct, groupBy, num, text } from '../frame.ts';
import type { Results } from '../results.ts';
import { type SharedVm, sharedVms } from '../scheduling.ts';
import type { Spec } from '../svg.ts';
import { page } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const PANEL_PIXELS = 110;
const BAR_PIXELS = 19;
/** Room for the names of the bars. */
const LABEL_PIXELS = 300;

/** What is known of the waste. */
interface Measure {
  readonly title: string;
  readonly bars: string;
  /** After `of its time`. */
  readonly phrase: string;
  readonly caption: string;
  readonly of: (vms: readonly SharedVm[], axes: readonly string[]) => Sample[];
}

interface Bar {
  readonly bar: string;
  readonly row: string;
  readonly column: string;
  /** Part of its running time that the VM wastes: mean over the seeds, and 95 % confidence interval. */
  readonly waste: number;
  readonly low: number;
  readonly high: number;
  readonly label: string;
  readonly perSecond: number;
}

/** A VM of one run. */
interface Sample {
  /** One value of each axis. */
  readonly labels: readonly string[];
  readonly waste: number;
  readonly perSecond: number;
}

const SPINNING: Measure = {
  title: 'How much of its CPU time does the VM spend on spinning?',
  bars: 'spinning, of all time on a CPU',
  phrase: 'on spinning',
  caption:
    'A vCPU that waits for a lock spins while it has a CPU. It spins in vain when the holder of the lock, or who is next in line, ' +
    'has none. All numbers are in scheduling-vms.csv.',
  of: (vms, axes) => {
    const spinners = new Set(vms.flatMap(({ row }) => ((num(row, 'spin_ns') ?? 0) > 0 ? [text(row, 'vm')] : [])));
    return vms.flatMap((vm) =>
      spinners.has(text(vm.row, 'vm')) ? [sample(vm, axes, (num(vm.row, 'spin_ns') ?? 0) / running(vm))] : [],
    );
  },
};

const LOSS: Measure = {
  title: 'How much of its CPU time does the VM lose?',
  bars: 'CPU time of a unit of work beyond that in the first column',
  phrase: 'lost',
  caption:
    'An executed guest does not say how long it spins: spinning, exits that others caused, and what is left of the time to start show as ' +
    'CPU time that its work takes beyond that of the undisturbed VM. All numbers are in scheduling-vms.csv.',
  of: (vms, axes) => {
    const own = vms.filter(({ row }) => num(row, 'spin_ns') === null && (num(row, 'units') ?? 0) > 0);
    const perUnit = (vm: SharedVm): number => running(vm) / num(vm.row, 'units')!;
    const key = ({ run, row }: SharedVm): string =>
      [...axes.slice(0, -1), 'seed'].map((axis) => text(run, axis)).join('\n') + text(row, 'vm');
    const undisturbed = new Map<string, number>();
    for (const vm of own) if (!undisturbed.has(key(vm))) undisturbed.set(key(vm), perUnit(vm));
    return own.map((vm) => sample(vm, axes, 1 - undisturbed.get(key(vm))! / perUnit(vm)));
  },
};

const running = ({ row }: SharedVm): number => Math.max(1, num(row, 'running_ns') ?? 0);

function sample({ run, row }: SharedVm, axes: readonly string[], waste: number): Sample {
  const seconds = Math.max(1, num(run, 'simulated_ns') ?? 1) / NS_PER_SECOND;
  return {
    labels: axes.map((axis) => text(run, axis)),
    waste,
    perSecond: (num(row, 'units') ?? 0) / seconds,
  };
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const { axes } = results.scenario;
  const vms = sharedVms(results);
  const [measure, samples] = [SPINNING, LOSS]
    .map((one) => [one, one.of(vms, axes)] as const)
    .find(([, found]) => found.length > 0) ?? [SPINNING, []];
  if (samples.length === 0 || axes.length < 2) return null;
  const bars = [...groupBy(samples, ({ labels }) => labels.join('\n')).values()].map(barOf);
  const hasIntervals = bars.some(({ low, high }) => high > low);
  const order = (of: (bar: Bar) => string): string[] => distinct(bars.map(of));
  const rows = order((bar) => bar.row);
  const header = { title: null, labelOrient: 'top', labelAnchor: 'start' };
  const y = {
    field: 'bar',
    type: 'nominal',
    sort: order(({ bar }) => bar),
    title: null,
    axis: { ticks: false, domain: false, labelLimit: LABEL_PIXELS },
  };
  const x: Spec = {
    field: 'waste',
    type: 'quantitative',
    title: null,
    stack: null,
    scale: { domain: [0, 1] },
    axis: { format: '.0%', values: [0, 0.5, 1] },
  };
  const row = { field: 'row', type: 'nominal', sort: rows, title: null, header: { ...header, labelAngle: 0 } };
  const interval = {
    mark: { type: 'rule', strokeWidth: 1.5 },
    encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' }, y },
  };
  return {
    spec: page(
      title ?? measure.title,
      `Bars: ${measure.bars}; numbers: units of work per second${hasIntervals ? '; means and 95 % intervals' : ''}`,
      {
        data: { values: bars },
        spacing: { column: 18, row: 12 },
        facet: {
          ...(rows.length === 1 ? {} : { row }),
          column: { field: 'column', type: 'nominal', sort: order(({ column }) => column), title: null, header },
        },
        spec: {
          width: PANEL_PIXELS,
          height: { step: BAR_PIXELS },
          layer: [
            { mark: { type: 'bar', cornerRadiusEnd: 2, color: '#d5602a' }, encoding: { x, y } },
            ...(hasIntervals ? [interval] : []),
            {
              mark: { type: 'text', align: 'left', baseline: 'middle', fontSize: 11 },
              encoding: { x: { value: PANEL_PIXELS + 6 }, y, text: { field: 'label' } },
            },
          ],
        },
      },
    ),
    sentences: sentencesOf(bars, measure.phrase),
    caption: measure.caption,
  };
}

function barOf(group: readonly Sample[]): Bar {
  const { labels } = group[0]!;
  const waste = interval95(group.map((one) => one.waste));
  const rate = interval95(group.map((one) => one.perSecond));
  const within = (value: number): number => Number(Math.min(1, Math.max(0, value)).toFixed(4));
  const spread = Math.round(rate.high - rate.mean);
  return {
    bar: labels[0]!,
    row: labels.slice(1, -1).join(' \u00b7 '),
    column: labels.at(-1)!,
    waste: within(waste.mean),
    low: within(waste.low),
    high: within(waste.high),
    label: grouped(Math.round(rate.mean)) + (spread === 0 ? '' : ` \u00b1 ${grouped(spread)}`),
    perSecond: Math.round(rate.mean),
  };
}

function sentencesOf(bars: readonly Bar[], phrase: string): string[] {
  return [...groupBy(bars, ({ row, column }) => `${row}\n${column}`).values()].flatMap((group) => {
    const sorted = [...group].sort((a, b) => a.waste - b.waste);
    const [best, worst] = [sorted[0]!, sorted.at(-1)!];
    if (worst.waste === 0) return [];
    const place = [worst.row, worst.column].filter((part) => part !== '').join(', ');
    return [
      `${place}: from ${percent(best.waste)} of its time ${phrase} under ${best.bar} (${best.label} units of work per second) to ` +
        `${percent(worst.waste)} under ${worst.bar} (${worst.label}).`,
    ];
  });
}

export const spinning: Chart = {
  name: 'spinning',
  summary: 'time wasted on spinning, and units of work per second (bars in a grid); needs metrics: [scheduling]',
  draw,
};

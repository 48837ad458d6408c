/** How much slower each workload is than on the bare machine: grouped bars on a logarithmic scale. */
import { type Case, casesOf } from '../cases.ts';
import { mean, median, times } from '../format.ts';
import { distinct, groupBy, num, text } from '../frame.ts';
import type { Results } from '../results.ts';
import { colourScale, page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const BAR_PIXELS = 15;

interface Bar {
  readonly workload: string;
  readonly variant: string;
  /** Null when there is nothing to compare. */
  readonly slowdown: number | null;
  readonly label: string;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const cases = casesOf(results).filter((item) => text(item.vm, 'technique') !== 'native');
  const bars = barsOf(cases);
  if (!bars.some((bar) => bar.slowdown !== null)) return null;
  const variants = distinct(bars.map((bar) => bar.variant));
  const largest = Math.max(...bars.map((bar) => bar.slowdown ?? 1));
  const place = {
    y: {
      field: 'workload',
      type: 'nominal',
      sort: null,
      title: null,
      axis: { labelFontSize: 13, ticks: false, domain: false, labelLimit: 320 },
    },
    yOffset: { field: 'variant', type: 'nominal', sort: variants },
  };
  const x = {
    field: 'slowdown',
    type: 'quantitative',
    title: 'times as long as on the bare machine (logarithmic)',
    scale: {
      type: 'log',
      domain: [Math.min(0.8, ...bars.map((bar) => (bar.slowdown ?? 1) * 0.9)), largest * 2.2],
      nice: false,
    },
    axis: { values: ticks(largest), labelExpr: "datum.label + '\u00d7'" },
  };
  return {
    spec: page(
      title ?? 'How much slower than on the bare machine?',
      'Simulated time per unit of work, native = 1; shorter is better',
      {
        data: { values: bars },
        width: WIDTH,
        height: { step: BAR_PIXELS },
        layer: [
          {
            transform: [{ filter: 'isValid(datum.slowdown)' }],
            mark: { type: 'bar', cornerRadiusEnd: 2 },
            encoding: {
              ...place,
              x,
              x2: { datum: 1 },
              color: {
                field: 'variant',
                type: 'nominal',
                title: null,
                scale: colourScale(variants),
                legend: {
                  orient: 'top',
                  columns: variants.some((name) => name.length > 24) ? 2 : 3,
                  symbolType: 'square',
                },
              },
            },
          },
          {
            transform: [{ calculate: 'max(1, isValid(datum.slowdown) ? datum.slowdown : 1)', as: 'end' }],
            mark: { type: 'text', align: 'left', dx: 5, baseline: 'middle' },
            encoding: { ...place, x: { field: 'end', type: 'quantitative' }, text: { field: 'label' } },
          },
          {
            data: { values: [{ one: 1 }] },
            mark: { type: 'rule', color: 'currentColor', opacity: 0.6 },
            encoding: { x: { field: 'one', type: 'quantitative' } },
          },
        ],
      },
    ),
    sentences: sentencesOf(bars, variants),
    caption:
      'Each bar is the simulated time per work unit, divided by that of the same guest on the bare machine. ' +
      'A workload that waits for the clock takes the same time everywhere; what it costs shows in its cycles. ' +
      '\u2260: the guest did not behave as on the bare machine, so its time means little.',
  };
}

function barsOf(cases: readonly Case[]): Bar[] {
  const groups = groupBy(cases, (item) => `${item.workload}\n${item.variant}`);
  return [...groups.values()].map((group) => {
    const [first] = group as [Case];
    const ratios = group.flatMap((item) => num(item.vm, 'slowdown_ratio') ?? []);
    const slowdown = ratios.length > 0 ? mean(ratios) : null;
    const differs = group.some((item) => text(item.vm, 'equivalent') === 'false');
    const value = slowdown === null ? ending(first) : times(slowdown);
    return { workload: first.workload, variant: first.variant, slowdown, label: differs ? `${value}  \u2260` : value };
  });
}

/** What stands in the place of a number that could not be had. */
function ending({ vm }: Case): string {
  const outcome = text(vm, 'outcome');
  return outcome === 'completed' ? 'did other work' : outcome;
}

/** 1, 2, 5, 10, ... as far as the bars go; only powers of ten when they go far. */
function ticks(largest: number): number[] {
  const steps = largest > 300 ? [1] : [1, 2, 5];
  const values = [0.1, 0.2, 0.5];
  for (let power = 1; power <= largest * 2; power *= 10) values.push(...steps.map((step) => step * power));
  return values;
}

function sentencesOf(bars: readonly Bar[], variants: readonly string[]): string[] {
  return variants.flatMap((variant) => {
    const measured = bars.filter((bar) => bar.variant === variant && bar.slowdown !== null);
    const worst = [...measured].sort((a, b) => b.slowdown! - a.slowdown!)[0];
    if (worst === undefined) return [];
    if (measured.length === 1)
      return [`${variant}: ${worst.workload} takes ${times(worst.slowdown!)} the native time.`];
    const middle = median(measured.map((bar) => bar.slowdown!));
    const best = [...measured].sort((a, b) => a.slowdown! - b.slowdown!)[0]!;
    return [
      `${variant}: from ${times(best.slowdown!)} (${best.workload}) to ${times(worst.slowdown!)} (${worst.workload}) ` +
        `of the native time, median ${times(middle)} over ${measured.length} workloads.`,
    ];
  });
}

export const slowdown: Chart = {
  name: 'slowdown',
  summary: 'slowdown against the bare machine, by workload and technique (logarithmic bars)',
  draw,
};

/** Where the cycles of each VM went: bars of equal length, parted into accounts. */
import { type Case, casesOf } from '../cases.ts';
import { amount, percent } from '../format.ts';
import { distinct, groupBy, num } from '../frame.ts';
import type { Results } from '../results.ts';
import type { Spec } from '../svg.ts';
import { ACCOUNT_COLOURS, page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const ACCOUNTS = [
  ['guest', 'guest_cycles'],
  ['page walks', 'walk_cycles'],
  ['exits (hardware)', 'exit_cycles'],
  ['VMM software', 'vmm_cycles'],
] as const;

interface Stack {
  readonly workload: string;
  readonly variant: string;
  readonly total: number;
  readonly shares: readonly { readonly account: string; readonly share: number }[];
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const stacks = stacksOf(casesOf(results)).filter((stack) => stack.total > 0);
  if (stacks.length === 0) return null;
  const workloads = distinct(stacks.map((stack) => stack.workload));
  const variants = distinct(stacks.map((stack) => stack.variant));
  const parts = stacks.flatMap(({ workload, variant, total, shares }) =>
    shares.map(({ account, share }, order) => ({
      row: rowOf(workload, variant),
      account,
      share,
      order,
      total: amount(total),
    })),
  );
  // Each workload has a row with its name, then one row per variant that ran.
  const rows = [...groupBy(stacks, (stack) => stack.workload)].flatMap(([workload, group]) => [
    rowOf(workload, ''),
    ...group.map((stack) => rowOf(workload, stack.variant)),
  ]);
  const headings = workloads.map((workload) => ({ row: rowOf(workload, ''), workload }));
  return {
    spec: page(title ?? 'Where do the cycles go?', 'Share of the cycles of the VM; their number on the right', {
      data: { values: parts },
      width: WIDTH - 60,
      height: { step: 16 },
      layer: [barLayer(rows), totalLayer(rows), headingLayer(rows, headings)],
    }),
    sentences: sentencesOf(stacks, variants),
    caption:
      'Every cycle goes to one account: guest code, page walks after TLB misses, the hardware part of exits and entries, ' +
      'and VMM software. The totals differ: the bars say where a VM spends its cycles, not how many it needs.',
  };
}

/** Key of a row of the chart; the label shows the part after the bar. */
function rowOf(workload: string, variant: string): string {
  return `${workload}|${variant}`;
}

function yOf(rows: readonly string[]): Spec {
  return {
    field: 'row',
    type: 'nominal',
    sort: null,
    scale: { domain: rows },
    title: null,
    axis: {
      ticks: false,
      domain: false,
      labelLimit: 260,
      labelFontSize: 11.5,
      labelExpr: "slice(datum.value, indexof(datum.value, '|') + 1)",
    },
  };
}

function barLayer(rows: readonly string[]): Spec {
  const names = ACCOUNTS.map(([name]) => name);
  return {
    mark: { type: 'bar', height: { band: 0.84 } },
    encoding: {
      y: yOf(rows),
      x: {
        field: 'share',
        type: 'quantitative',
        stack: 'zero',
        title: null,
        scale: { domain: [0, 1] },
        axis: { format: '.0%', values: [0, 0.25, 0.5, 0.75, 1], grid: false },
      },
      color: {
        field: 'account',
        type: 'nominal',
        title: null,
        sort: names,
        scale: { domain: names, range: names.map((name) => ACCOUNT_COLOURS[name]) },
        legend: { orient: 'top', symbolType: 'square' },
      },
      order: { field: 'order', type: 'quantitative' },
    },
  };
}

function totalLayer(rows: readonly string[]): Spec {
  return {
    transform: [{ filter: 'datum.order === 0' }],
    mark: { type: 'text', align: 'left', dx: 6, opacity: 0.75 },
    encoding: { y: yOf(rows), x: { datum: 1 }, text: { field: 'total' } },
  };
}

function headingLayer(rows: readonly string[], headings: readonly Spec[]): Spec {
  return {
    data: { values: headings },
    mark: { type: 'text', align: 'left', baseline: 'middle', dy: 1, fontSize: 13, fontWeight: 600 },
    encoding: { y: yOf(rows), x: { datum: 0 }, text: { field: 'workload' } },
  };
}

function stacksOf(cases: readonly Case[]): Stack[] {
  const groups = groupBy(cases, (item) => `${item.workload}\n${item.variant}`);
  return [...groups.values()].map((group) => {
    const [first] = group as [Case];
    const sums = ACCOUNTS.map(([account, column]) => ({
      account,
      cycles: group.reduce((sum, item) => sum + (num(item.vm, column) ?? 0), 0),
    }));
    const total = sums.reduce((sum, { cycles }) => sum + cycles, 0);
    const shares = sums.map(({ account, cycles }) => ({ account, share: Number((cycles / total).toFixed(6)) }));
    return { workload: first.workload, variant: first.variant, total: total / group.length, shares };
  });
}

function sentencesOf(stacks: readonly Stack[], variants: readonly string[]): string[] {
  return variants.flatMap((variant) => {
    if (variant.startsWith('native')) return [];
    const mine = stacks.filter((stack) => stack.variant === variant);
    const least = [...mine].sort((a, b) => a.shares[0]!.share - b.shares[0]!.share)[0];
    const most = [...mine].sort((a, b) => b.shares[0]!.share - a.shares[0]!.share)[0];
    if (least === undefined || most === undefined) return [];
    const best = `${variant}: guest code gets ${percent(most.shares[0]!.share)} of the cycles in ${most.workload}`;
    return [
      mine.length === 1 ? `${best}.` : `${best}, but only ${percent(least.shares[0]!.share)} in ${least.workload}.`,
    ];
  });
}

export const cycles: Chart = {
  name: 'cycles',
  summary: 'where the cycles went: guest code, page walks, exits, VMM software (stacked bars)',
  draw,
};

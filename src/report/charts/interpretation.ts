/** What one instruction of an emulated or interpreted program takes: host instructions and cycles, as grouped bars. */
import { casesOf } from '../cases.ts';
import { short } from '../format.ts';
import { distinct, groupBy, num, text } from '../frame.ts';
import { frame, type Results } from '../results.ts';
import { colourScale, page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const BAR_PIXELS = 15;
/** Parts of every run that the runtime names itself. */
const OWN_SECTIONS = ['load', 'translate', 'run'];

interface Bar {
  /** The class of instructions, or the workload. */
  readonly what: string;
  readonly series: string;
  readonly perInstruction: number;
  readonly label: string;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const bars = barsOf(results);
  if (bars.length === 0) return null;
  const series = distinct(bars.map((bar) => bar.series));
  const largest = Math.max(...bars.map((bar) => bar.perInstruction));
  const x = {
    field: 'perInstruction',
    type: 'quantitative',
    title: 'for one instruction of the program',
    scale: { domain: [0, largest * 1.12], nice: false },
  };
  const place = {
    y: {
      field: 'what',
      type: 'nominal',
      sort: null,
      title: null,
      axis: { labelFontSize: 13, ticks: false, domain: false, labelLimit: 320 },
    },
    yOffset: { field: 'series', type: 'nominal', sort: series },
  };
  const legend = { orient: 'top', columns: 2, symbolType: 'square' };
  return {
    spec: page(
      title ?? 'What does one interpreted instruction cost?',
      'Instructions and cycles of this machine for one of the program',
      {
        data: { values: bars },
        width: WIDTH,
        height: { step: BAR_PIXELS },
        layer: [
          {
            mark: { type: 'bar', cornerRadiusEnd: 2 },
            encoding: {
              ...place,
              x,
              color: { field: 'series', type: 'nominal', title: null, scale: colourScale(series), legend },
            },
          },
          {
            mark: { type: 'text', align: 'left', dx: 5, baseline: 'middle' },
            encoding: { ...place, x, text: { field: 'label' } },
          },
        ],
      },
    ),
    sentences: sentencesOf(bars),
    caption:
      'Counted where the emulated CPU executed the emulator or the interpreter, between its first and its last ' +
      'instruction of the program; loading the program is not part of it.',
  };
}

function barsOf(results: Results): Bar[] {
  const cases = casesOf(results);
  return cases.flatMap(({ vm, workload, variant }) => {
    const own = frame(results, 'sections').rows.filter(
      (row) => text(row, 'run_id') === text(vm, 'run_id') && text(row, 'vm') === text(vm, 'vm'),
    );
    const named = own.filter((row) => !OWN_SECTIONS.includes(text(row, 'section')));
    const shown = named.length > 0 ? named : own.filter((row) => text(row, 'section') === 'run');
    return shown.flatMap((row) =>
      (['instructions', 'cycles'] as const).flatMap((unit) => {
        const value = num(row, `host_${unit}_per_guest_instruction_ratio`);
        if (value === null) return [];
        const what = named.length > 0 ? text(row, 'section') : workload;
        return [{ what, series: `${variant}: ${unit}`, perInstruction: value, label: short(value) }];
      }),
    );
  });
}

function sentencesOf(bars: readonly Bar[]): string[] {
  return [...groupBy(bars, (bar) => bar.series).values()].map((group) => {
    const ascending = [...group].sort((a, b) => a.perInstruction - b.perInstruction);
    const [least, most] = [ascending[0]!, ascending.at(-1)!];
    return `${least.series} from ${short(least.perInstruction)} (${least.what}) to ${short(most.perInstruction)} (${most.what}).`;
  });
}

export const interpretation: Chart = {
  name: 'interpretation',
  summary: 'host instructions and cycles for one instruction of an emulated or interpreted program',
  draw,
};

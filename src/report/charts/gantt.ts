/** What ran where, and what every vCPU did meanwhile: a Gantt chart of the window that the scenario names. */
import { STATE_NAMES } from '../../host/scheduler.ts';
import { distinct, num, type Row, text } from '../frame.ts';
import { frame, type Results } from '../results.ts';
import { colourScale, page, WIDTH } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

/** Runs that are drawn, one below the other. */
const RUNS_MAX = 4;
const ROW_HEIGHT = 16;

const STATE_COLOURS: Readonly<Record<string, string>> = {
  running: '#1a9e77',
  ready: '#e39a1b',
  blocked: '#c9ced6',
  parked: '#c774a6',
  costopped: '#7d6cc4',
  paused: '#8b929c',
};

interface Bar {
  readonly track: string;
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

function draw(results: Results, title: string | undefined): Drawing | null {
  const { rows } = frame(results, 'gantt');
  if (rows.length === 0) return null;
  const runs = new Map(frame(results, 'runs').rows.map((run) => [text(run, 'run_id'), run]));
  const ids = distinct(rows.map((row) => text(row, 'run_id'))).slice(0, RUNS_MAX);
  const vms = distinct(rows.map((row) => text(row, 'vm')));
  const panels = ids.flatMap((id) => {
    const own = rows.filter((row) => text(row, 'run_id') === id);
    const name = nameOf(results, id, runs.get(id));
    const running = own.filter((row) => text(row, 'state') === 'running');
    const vcpus = own.filter((row) => STATE_NAMES.some((state) => state === text(row, 'state')));
    return [
      panel(
        running.map((row) => bar(row, `pCPU ${text(row, 'pcpu')}`, text(row, 'vm'))),
        `${name}: who runs`,
        {
          title: 'VM',
          scale: colourScale(vms),
        },
      ),
      panel(
        vcpus.map((row) => bar(row, vcpuOf(row), text(row, 'state'))),
        `${name}: what every vCPU does`,
        {
          title: 'state',
          scale: { domain: Object.keys(STATE_COLOURS), range: Object.values(STATE_COLOURS) },
        },
      ),
    ];
  });
  return {
    spec: page(title ?? 'Who runs where', 'Time on the physical CPUs, and states of the virtual CPUs', {
      vconcat: panels,
      resolve: { scale: { color: 'independent' } },
    }),
    sentences: ids.map((id) =>
      sentence(
        rows.filter((row) => text(row, 'run_id') === id),
        nameOf(results, id, runs.get(id)),
      ),
    ),
    caption:
      'Ready: the vCPU could run, and another one does. ' +
      (runs.size > RUNS_MAX ? `The first ${RUNS_MAX} runs; gantt.csv has all of them.` : 'gantt.csv has the figures.'),
  };
}

const ms = (row: Row, column: string): number => (num(row, column) ?? 0) / 1e6;
const vcpuOf = (row: Row): string => `${text(row, 'vm')}.${text(row, 'vcpu')}`;
const bar = (row: Row, track: string, what: string): Bar => {
  return { track, what, from: ms(row, 'from_ns'), to: ms(row, 'to_ns') };
};

/** `run 3, scheduler credit`. */
function nameOf(results: Results, id: string, run: Row | undefined): string {
  const axes = results.scenario.axes
    .map((axis) => (run === undefined ? '' : text(run, axis)))
    .filter((label) => label !== '');
  return [`run ${id}`, ...axes].join(', ');
}

function panel(
  bars: readonly Bar[],
  title: string,
  colour: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const tracks = distinct(bars.map(({ track }) => track)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return {
    title: { text: title, fontSize: 12, anchor: 'start' },
    width: WIDTH - 60,
    height: { step: ROW_HEIGHT },
    data: { values: bars },
    mark: { type: 'bar', height: ROW_HEIGHT - 4 },
    encoding: {
      x: { field: 'from', type: 'quantitative', title: 'time (ms)', scale: { zero: false, nice: false } },
      x2: { field: 'to' },
      y: { field: 'track', type: 'nominal', title: null, sort: tracks },
      color: { field: 'what', type: 'nominal', ...colour },
    },
  };
}

function sentence(rows: readonly Row[], name: string): string {
  const total = (state: string): number => {
    return rows
      .filter((row) => text(row, 'state') === state)
      .reduce((sum, row) => sum + ms(row, 'to_ns') - ms(row, 'from_ns'), 0);
  };
  return `${name}: vCPUs run for ${total('running').toFixed(1)} ms and are ready for ${total('ready').toFixed(1)} ms.`;
}

export const gantt: Chart = {
  name: 'gantt',
  summary: 'who runs on which physical CPU, and what every vCPU does, over a window of time (bars)',
  draw,
};

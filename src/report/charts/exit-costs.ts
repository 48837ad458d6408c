/**
 * What one exit costs on each model of machine: the hardware's round trip, and with the software of the VMM, as two heat
 * maps of cycles. The guest executed the exits (guest `probe`): the whole is its cycles by its count in exits.csv.
 */
import { findPreset, presets } from '../../vmm/presets/index.ts';
import { grouped, times } from '../format.ts';
import { distinct, groupBy, num, type Row, text } from '../frame.ts';
import { frame, isPoint, type Results, runOf } from '../results.ts';
import { page } from '../theme.ts';
import type { Chart, Drawing } from './chart.ts';

const CELL_WIDTH = 62;
const CELL_HEIGHT = 26;

interface Cell {
  readonly preset: string;
  readonly exit: string;
  readonly part: 'hardware' | 'all';
  readonly cycles: number;
  readonly label: string;
}

/** The axis whose labels are machines. */
function machineAxis(results: Results): string | undefined {
  const ids = presets.map((preset) => preset.id);
  const runs = frame(results, 'runs').rows.filter(isPoint);
  return results.scenario.axes.find((axis) => {
    const labels = distinct(runs.map((run) => text(run, axis)));
    return labels.length > 1 && labels.every((label) => ids.includes(label));
  });
}

function cellsOf(results: Results, axis: string): Cell[] {
  const run = runOf(results);
  const workloads = new Map(
    frame(results, 'vms').rows.map((vm) => [text(vm, 'run_id'), text(vm, 'workload').split(' ')[0] ?? '']),
  );
  const rows = frame(results, 'exits').rows.filter((row) => isPoint(run(row)));
  const byRun = [...groupBy(rows, (row) => text(row, 'run_id')).entries()];
  return byRun.flatMap(([id, exits]) => {
    const workload = workloads.get(id) ?? '';
    const row = mainExit(workload, exits);
    const count = num(row, 'count') ?? 0;
    const preset = text(run(row), axis);
    const reason = text(row, 'reason');
    const { vmx } = findPreset(preset);
    const hardware = vmx.exitCycles[reason as keyof typeof vmx.exitCycles];
    if (count === 0 || hardware === undefined) return [];
    const exit = reason === workload ? reason : `${reason} (${workload})`;
    const cell = (part: Cell['part'], cycles: number): Cell => ({
      preset,
      exit,
      part,
      cycles,
      label: grouped(cycles),
    });
    const all = Math.round((num(row, 'cycles') ?? 0) / count);
    return [cell('hardware', hardware + vmx.entryCycles), cell('all', all)];
  });
}

/** The exit that the workload is about: of its name, or else the most frequent one. */
function mainExit(workload: string, exits: readonly Row[]): Row {
  const named = exits.find((row) => text(row, 'reason') === workload);
  const ordered = [...exits].sort((a, b) => (num(b, 'count') ?? 0) - (num(a, 'count') ?? 0));
  return named ?? ordered[0]!;
}

const TITLES = {
  hardware: 'Hardware: exit and entry',
  all: 'With the software of the VMM, its VMREADs and VMWRITEs, and page walks after a flush',
} as const;

function draw(results: Results, title: string | undefined): Drawing | null {
  const axis = machineAxis(results);
  if (axis === undefined) return null;
  const cells = cellsOf(results, axis);
  if (cells.length === 0) return null;
  const machines = presets.map(({ id }) => id).filter((id) => cells.some((cell) => cell.preset === id));
  const exits = distinct(cells.map((cell) => cell.exit));
  const low = Math.min(...cells.map((cell) => cell.cycles));
  const high = Math.max(...cells.map((cell) => cell.cycles));
  return {
    spec: page(title ?? 'What does one exit cost?', 'Cycles from the guest to the VMM and back, by model of machine', {
      vconcat: (['hardware', 'all'] as const).map((part) => ({
        title: { text: TITLES[part], fontSize: 13, anchor: 'start', frame: 'group', offset: 8 },
        data: { values: cells.filter((cell) => cell.part === part) },
        width: CELL_WIDTH * machines.length,
        height: CELL_HEIGHT * exits.length,
        encoding: {
          x: {
            field: 'preset',
            type: 'nominal',
            sort: machines,
            scale: { domain: machines },
            title: null,
            axis: { orient: 'top', labelAngle: -25, ticks: false, domain: false },
          },
          y: {
            field: 'exit',
            type: 'nominal',
            sort: exits,
            title: null,
            axis: { ticks: false, domain: false, labelLimit: 220 },
          },
        },
        layer: [
          {
            mark: { type: 'rect', cornerRadius: 2, stroke: null, width: { band: 0.95 }, height: { band: 0.92 } },
            encoding: {
              color: {
                field: 'cycles',
                type: 'quantitative',
                scale: { type: 'log', domain: [low, high], range: ['#fdf0d8', '#b5541c'], interpolate: 'lab' },
                legend: null,
              },
            },
          },
          {
            mark: { type: 'text', fontSize: 11 },
            encoding: {
              text: { field: 'label' },
              color: {
                condition: { test: `datum.cycles > ${Math.round(Math.sqrt(low * high))}`, value: '#ffffff' },
                value: '#3a2413',
              },
            },
          },
        ],
      })),
      spacing: 26,
      resolve: { scale: { color: 'shared' } },
    }),
    sentences: sentencesOf(cells, machines, exits),
    caption:
      'The round trip of the hardware is an input of each preset (measured where its source says so); what the VMM adds is ' +
      'executed: its paths, VMREADs and VMWRITEs, and without a tagged TLB the page walks of the VMM itself.',
  };
}

function sentencesOf(cells: readonly Cell[], machines: readonly string[], exits: readonly string[]): string[] {
  const [oldest] = machines as [string];
  const newest = machines.at(-1)!;
  return exits.flatMap((exit) => {
    const of = (preset: string, part: Cell['part']) =>
      cells.find((cell) => cell.exit === exit && cell.preset === preset && cell.part === part)?.cycles;
    const [before, after] = [of(oldest, 'all'), of(newest, 'all')];
    if (before === undefined || after === undefined || oldest === newest) return [];
    return [
      `${exit}: ${grouped(before)} cycles on ${oldest}, ${grouped(after)} on ${newest}, ${times(before / after)} less.`,
    ];
  });
}

export const exitCosts: Chart = {
  name: 'exit-costs',
  summary: 'cycles of one exit by reason and model of machine, hardware alone and with the VMM (heat maps)',
  draw,
};

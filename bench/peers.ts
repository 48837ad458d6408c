/**
 * hvsim beside its peers: the same seven kernels on v86, QEMU and Bochs in the same run, interleaved.
 * Prints million guest instructions per second of wall time (or of CPU time, for a busy machine) and, in brackets, how many times faster than v86 that is by
 * wall time and by CPU time (v86 compiles on threads of its own, so that its CPU time is higher than its wall time).
 */
import { figure, geometricMean, table } from './harness.ts';
import type { Bench, BenchOptions, Section } from './options.ts';
import { KERNELS, type Kernel } from './peers/kernels.ts';
import { presentPeers } from './peers/machines/index.ts';
import { type Cell, type Measured, measure } from './peers/measure.ts';

const REFERENCE = 'v86';

/** Kernels by name; throws for a name that is none. */
function wantedKernels(names: readonly string[]): readonly Kernel[] {
  for (const name of names) {
    if (KERNELS.some((kernel) => kernel.name === name)) continue;
    throw new Error(`no kernel "${name}", expected ${KERNELS.map((kernel) => kernel.name).join(', ')}`);
  }
  return names.length === 0 ? KERNELS : KERNELS.filter(({ name }) => names.includes(name));
}

interface Ratio {
  readonly kernel: string;
  readonly machine: string;
  readonly wall: number;
  readonly cpu: number;
}

/** How many times faster than the reference each cell is. */
function ratiosOf(cells: readonly Cell[]): Ratio[] {
  return cells.map(({ kernel, machine, wallSeconds, cpuSeconds }) => {
    const reference = cells.find((cell) => cell.kernel === kernel && cell.machine === REFERENCE);
    return {
      kernel,
      machine,
      wall: (reference?.wallSeconds ?? Number.NaN) / wallSeconds,
      cpu: (reference?.cpuSeconds ?? Number.NaN) / cpuSeconds,
    };
  });
}

function bracket(wall: number, cpu: number): string {
  return `(${figure(wall, 3)}x, ${figure(cpu, 3)}x)`;
}

function speedTable(
  measured: Measured,
  ratios: readonly Ratio[],
  machines: readonly string[],
  by: 'wall' | 'cpu',
): string {
  const kernels = [...new Set(measured.cells.map(({ kernel }) => kernel))];
  const rows = kernels.map((kernel) => [
    kernel,
    ...machines.map((machine) => {
      const cell = measured.cells.find((each) => each.kernel === kernel && each.machine === machine)!;
      const ratio = ratios.find((each) => each.kernel === kernel && each.machine === machine)!;
      const mips = figure(by === 'wall' ? cell.wallMips : cell.cpuMips);
      return machine === REFERENCE ? mips : `${mips} ${bracket(ratio.wall, ratio.cpu)}`;
    }),
  ]);
  const means = machines.map((machine) => {
    const own = ratios.filter((ratio) => ratio.machine === machine);
    const wall = geometricMean(own.map((ratio) => ratio.wall));
    return machine === REFERENCE ? '1' : bracket(wall, geometricMean(own.map((ratio) => ratio.cpu)));
  });
  return table(
    [by === 'wall' ? 'M instructions/s' : 'M instructions/CPU s', ...machines],
    [...rows, ['geometric mean', ...means]],
  );
}

function secondsTable(measured: Measured, machines: readonly string[]): string {
  const kernels = [...new Set(measured.cells.map(({ kernel }) => kernel))];
  const rows = kernels.map((kernel) => [
    kernel,
    ...machines.map((machine) => {
      const cell = measured.cells.find((each) => each.kernel === kernel && each.machine === machine)!;
      return `${figure(cell.wallSeconds)} / ${figure(cell.cpuSeconds)}`;
    }),
  ]);
  const empty = machines.map((machine) => {
    const { wallSeconds, cpuSeconds } = measured.baselines[machine];
    return `${figure(wallSeconds)} / ${figure(cpuSeconds)}`;
  });
  return table(['wall / CPU seconds', ...machines], [...rows, ['empty run, taken off', ...empty]]);
}

async function run(options: BenchOptions): Promise<Section> {
  const { peers, skipped } = presentPeers(options);
  if (peers.length === 0) throw new Error(`nothing to measure. ${skipped.join('. ')}`);
  const { repeat, scale } = options;
  const measured = await measure({
    peers,
    kernels: wantedKernels(options.kernels),
    repeat,
    scale,
    progress: (text) => process.stderr.write(`${text}\n`),
  });
  const machines = peers.map(({ title }) => title);
  const versions = Object.fromEntries(peers.map((peer) => [peer.title, peer.version()]));
  const ratios = ratiosOf(measured.cells);
  const text = [
    ...skipped.map((line) => `${line}\n`),
    `${machines.map((machine) => `${machine} ${versions[machine]}`).join(', ')}; scale ${scale}, medians of ${repeat}\n\n`,
    speedTable(measured, ratios, machines, options.by),
    `(a, b): times faster than ${REFERENCE}, by wall time and by CPU time. All answers were the same.\n\n`,
    secondsTable(measured, machines),
  ].join('');
  return { text, data: { versions, skipped, repeat, scale, ...measured, ratios } };
}

export const bench: Bench = { name: 'peers: the same kernels on other machines', run };

/**
 * The measurement: every kernel on every machine, in turns, each run in a process of its own.
 * Invariant: all machines print the same lines for the same run, or the benchmark fails. Wall time counts from the
 *            guest's first line to its answer, CPU time from the first line to the end of the process; of both, the
 *            median of the same machine's empty runs is taken off.
 */
import { figure, median } from '../harness.ts';
import { type ChildResult, runChild } from './child.ts';
import { EMPTY_RUN, guestLines, instructionsOf, KERNEL_FILE, type Kernel, MARKERS, unitsAt } from './kernels.ts';
import type { Peer } from './machines/peer.ts';

const MEMORY_MIB = 128;
const TIMEOUT_SECONDS = 900;
/** Boot and console differ by some instructions with the digits of n; more than this is a wrong count. */
const COUNT_TOLERANCE = 5000;

export interface Sample {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

/** One kernel on one machine. */
export interface Cell {
  readonly kernel: string;
  readonly machine: string;
  readonly n: number;
  readonly instructions: number;
  /** Medians of the work alone. */
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** Million instructions per second of wall and of CPU time. */
  readonly wallMips: number;
  readonly cpuMips: number;
  readonly samples: readonly Sample[];
}

export interface Measured {
  readonly cells: readonly Cell[];
  /** Of each machine, by title: medians of the empty run. */
  readonly baselines: Readonly<Record<string, Sample>>;
}

export interface Job {
  readonly peers: readonly Peer[];
  readonly kernels: readonly Kernel[];
  readonly repeat: number;
  readonly scale: number;
  readonly progress: (text: string) => void;
}

/** Runs everything; throws when a machine gives another answer than the first, or none. */
export async function measure(job: Job): Promise<Measured> {
  const bench = new Measurement(job);
  for (let round = 0; round < job.repeat; round++) {
    // Each round starts with another machine, so that none always follows the same one.
    const order = job.peers.map((_, i) => job.peers[(i + round) % job.peers.length]);
    for (const peer of order) await bench.empty(peer, round);
    for (const kernel of job.kernels) for (const peer of order) await bench.work(peer, kernel, round);
  }
  return bench.result();
}

class Measurement {
  private readonly job: Job;
  private readonly answers = new Map<string, { readonly lines: string; readonly machine: string }>();
  private readonly samples = new Map<string, Sample[]>();
  private readonly emptyCounts = new Map<string, number>();

  constructor(job: Job) {
    this.job = job;
  }

  async empty(peer: Peer, round: number): Promise<void> {
    const result = await this.run(peer, EMPTY_RUN, round);
    const count = peer.instructions?.(result.stderr);
    if (count !== undefined) this.emptyCounts.set(peer.title, count);
  }

  async work(peer: Peer, kernel: Kernel, round: number): Promise<void> {
    const n = unitsAt(kernel, this.job.scale);
    const result = await this.run(peer, `${kernel.name} n=${n}`, round);
    const count = peer.instructions?.(result.stderr);
    const empty = this.emptyCounts.get(peer.title);
    if (count === undefined || empty === undefined) return;
    const expected = instructionsOf(kernel, n);
    if (Math.abs(count - empty - expected) > COUNT_TOLERANCE)
      throw new Error(`${peer.title} counted ${count - empty} instructions for ${kernel.name}, expected ${expected}`);
  }

  private async run(peer: Peer, append: string, round: number): Promise<ChildResult> {
    const result = await runKernel(peer, append);
    const lines = guestLines(result.stdout);
    const before = this.answers.get(append);
    if (before === undefined) this.answers.set(append, { lines, machine: peer.title });
    else if (before.lines !== lines)
      throw new Error(`"${append}": ${before.machine} printed\n${before.lines}\nbut ${peer.title} printed\n${lines}`);
    const samples = this.samples.get(keyOf(peer.title, append)) ?? [];
    const sample = sampleOf(result);
    samples.push(sample);
    this.samples.set(keyOf(peer.title, append), samples);
    const seconds = `${figure(sample.wallSeconds)} s wall, ${figure(sample.cpuSeconds)} s CPU`;
    this.job.progress(`round ${round + 1} of ${this.job.repeat}: ${append} on ${peer.title}: ${seconds}`);
    return result;
  }

  result(): Measured {
    const { peers, kernels, scale } = this.job;
    const baselines = Object.fromEntries(peers.map(({ title }) => [title, this.medianOf(title, EMPTY_RUN)]));
    const cells = kernels.flatMap((kernel) =>
      peers.map(({ title }): Cell => {
        const n = unitsAt(kernel, scale);
        const append = `${kernel.name} n=${n}`;
        const total = this.medianOf(title, append);
        const wallSeconds = positive(total.wallSeconds - baselines[title].wallSeconds);
        const cpuSeconds = positive(total.cpuSeconds - baselines[title].cpuSeconds);
        const instructions = instructionsOf(kernel, n);
        return {
          kernel: kernel.name,
          machine: title,
          n,
          instructions,
          wallSeconds,
          cpuSeconds,
          wallMips: instructions / 1e6 / wallSeconds,
          cpuMips: instructions / 1e6 / cpuSeconds,
          samples: this.samples.get(keyOf(title, append)) ?? [],
        };
      }),
    );
    return { cells, baselines };
  }

  private medianOf(machine: string, append: string): Sample {
    const samples = this.samples.get(keyOf(machine, append)) ?? [];
    return {
      wallSeconds: median(samples.map(({ wallSeconds }) => wallSeconds)),
      cpuSeconds: median(samples.map(({ cpuSeconds }) => cpuSeconds)),
    };
  }
}

function sampleOf({ markerSeconds: [first, answer], markerCpuSeconds, cpuSeconds }: ChildResult): Sample {
  const before = markerCpuSeconds[0];
  return { wallSeconds: answer - first, cpuSeconds: Number.isNaN(before) ? cpuSeconds : cpuSeconds - before };
}

function keyOf(machine: string, append: string): string {
  return `${machine}\n${append}`;
}

/** A run that drowned in the noise of the start-up says nothing. */
function positive(seconds: number): number {
  return seconds > 0 ? seconds : Number.NaN;
}

/** Runs one kernel to its end; throws when it prints no result. */
export async function runKernel(peer: Peer, append: string, direct = false): Promise<ChildResult> {
  const command = peer.boot({ kernel: KERNEL_FILE, append, memoryMib: MEMORY_MIB });
  try {
    const cwd = command.cwd === undefined ? {} : { cwd: command.cwd };
    const result = await runChild(command.words, { ...cwd, timeoutSeconds: TIMEOUT_SECONDS, markers: MARKERS, direct });
    if (result.timedOut) throw new Error(`"${append}" on ${peer.title}: no end after ${TIMEOUT_SECONDS} s`);
    if (!/^bench: \w+ n=\d+ checksum=/m.test(result.stdout)) {
      const said = `${result.stdout}\n${result.stderr}`.trim().slice(-2000);
      throw new Error(`"${append}" on ${peer.title} gave no result (status ${result.status}):\n${said}`);
    }
    return result;
  } finally {
    command.dispose?.();
  }
}

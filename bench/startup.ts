/**
 * Time from the start of a process to the first thing its guest says: the guest's first instructions print a line.
 * For Bochs this includes the BIOS and GRUB, for QEMU the BIOS; hvsim and v86 load the kernel themselves.
 */
import { figure, median, table } from './harness.ts';
import type { Bench, BenchOptions, Section } from './options.ts';
import { runChild } from './peers/child.ts';
import { EMPTY_RUN } from './peers/kernels.ts';
import { presentPeers } from './peers/machines/index.ts';
import { runKernel } from './peers/measure.ts';

/** Starts are short: more of them than of the kernels. */
const FACTOR = 3;

async function run(options: BenchOptions): Promise<Section> {
  const { peers, skipped } = presentPeers(options);
  const names = ['node alone', ...peers.map(({ title }) => title)];
  const samples = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < options.repeat * FACTOR; round++) {
    const options = { timeoutSeconds: 60, markers: ['x'], direct: true };
    const node = await runChild([process.execPath, '-e', 'process.stdout.write("x")'], options);
    samples.get('node alone')!.push(node.markerSeconds[0]);
    for (const peer of peers) {
      const { markerSeconds } = await runKernel(peer, EMPTY_RUN, true);
      samples.get(peer.title)!.push(markerSeconds[0]);
    }
  }
  const rows = names.map((name) => {
    const own = samples.get(name)!.map((seconds) => seconds * 1000);
    return { name, medianMs: median(own), minMs: Math.min(...own), samples: own };
  });
  const lines = rows.map(({ name, medianMs, minMs }) => [name, figure(medianMs), figure(minMs)]);
  return {
    text: `${skipped.map((line) => `${line}\n`).join('')}${table(['start to first instruction', 'median ms', 'best ms'], lines)}`,
    data: rows,
  };
}

export const bench: Bench = { name: 'start-up: process start to first guest instruction', run };

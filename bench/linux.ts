/**
 * Boot of a Linux kernel to texts on its serial console, on hvsim, v86 and QEMU. Kernel and initial RAM disk are the
 * user's: none comes with the project. A machine that gets nowhere is reported and does not stop the others.
 */
import { existsSync } from 'node:fs';
import { figure, median, table } from './harness.ts';
import type { Bench, BenchOptions, LinuxOptions, Section } from './options.ts';
import { type ChildResult, runChild } from './peers/child.ts';
import { presentPeers } from './peers/machines/index.ts';
import type { Peer } from './peers/machines/peer.ts';

const TIMEOUT_SECONDS = 300;

async function boot(peer: Peer, kernel: string, linux: LinuxOptions): Promise<ChildResult> {
  const { append, initrd, memoryMib, markers } = linux;
  const command = peer.bootLinux!({ kernel, append, initrd, memoryMib });
  return await runChild(command.words, { timeoutSeconds: TIMEOUT_SECONDS, markers, stopAtLastMarker: true });
}

async function run(options: BenchOptions): Promise<Section> {
  const { linux } = options;
  const { kernel } = linux;
  if (kernel === undefined) throw new Error('linux needs --kernel FILE (a bzImage), and mostly --initrd FILE');
  for (const file of [kernel, ...(linux.initrd === undefined ? [] : [linux.initrd])])
    if (!existsSync(file)) throw new Error(`no file ${file}`);
  const { peers, skipped } = presentPeers(options);
  const able = peers.filter((peer) => peer.bootLinux !== undefined && peer.missingForLinux?.() === undefined);
  const results = new Map<string, ChildResult[]>(able.map(({ title }) => [title, []]));
  const failed = peers.flatMap((peer) => {
    const reason = peer.bootLinux === undefined ? 'boots no Linux by itself' : peer.missingForLinux?.();
    return reason === undefined ? [] : [`${peer.title}: ${reason}`];
  });
  for (let round = 0; round < options.repeat; round++) {
    for (const peer of able) {
      if (failed.some((line) => line.startsWith(`${peer.title}:`))) continue;
      const result = await boot(peer, kernel, linux);
      const reached = result.markerSeconds.every((seconds) => !Number.isNaN(seconds));
      if (reached) results.get(peer.title)!.push(result);
      else failed.push(`${peer.title}: "${linux.markers.at(-1)}" never came. Last words: ${lastWords(result)}`);
      process.stderr.write(
        `round ${round + 1}: ${peer.title}: ${result.markerSeconds.map((s) => figure(s)).join(' ')}\n`,
      );
    }
  }
  const done = able.filter(({ title }) => results.get(title)!.length > 0);
  const rows = done.map(({ title }) => {
    const own = results.get(title)!;
    const markers = linux.markers.map((_, i) => median(own.map(({ markerSeconds }) => markerSeconds[i])));
    return { machine: title, markers, cpuSeconds: median(own.map(({ cpuSeconds }) => cpuSeconds)), runs: own.length };
  });
  const lines = rows.map(({ machine, markers, cpuSeconds }) => [
    machine,
    ...markers.map((seconds) => figure(seconds)),
    figure(cpuSeconds),
  ]);
  const head = ['wall seconds to', ...linux.markers, 'CPU seconds to the end'];
  const notes = [...skipped, ...failed].map((line) => `${line}\n`).join('');
  return { text: `${notes}${table(head, lines)}`, data: { rows, failed, skipped, options: linux } };
}

function lastWords({ stdout, stderr }: ChildResult): string {
  return `${stdout}${stderr}`.trim().slice(-300).replaceAll(/\s+/g, ' ');
}

export const bench: Bench = { name: 'linux: boot to a text on the serial console', onlyOnRequest: true, run };

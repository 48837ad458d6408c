/**
 * Peak resident memory of a process with one VM of 64 MiB, and with 32 of them, when the guest has only booted and when
 * it has written to every page. QEMU holds one machine in a process. Needs Linux (/proc).
 */
import { figure, table } from './harness.ts';
import type { Bench, BenchOptions, Section } from './options.ts';
import { runChild } from './peers/child.ts';
import { KERNEL_FILE } from './peers/kernels.ts';
import { presentPeers } from './peers/machines/index.ts';
import type { Peer } from './peers/machines/peer.ts';

const MIB = 2 ** 20;
const MEMORY_MIB = 64;
const MANY = 32;
const TIMEOUT_SECONDS = 300;
/** The kernel writes to every page from 4 MiB on; below lies the kernel itself. */
const GUESTS = [
  { name: 'booted', append: 'sieve n=0' },
  { name: 'all pages written', append: `touch n=${MEMORY_MIB}` },
];

/** Mebibytes, or NaN when the process did not get that far. */
async function peakMib(peer: Peer, append: string, machines: number): Promise<number> {
  const command = peer.hold!({ kernel: KERNEL_FILE, append, memoryMib: MEMORY_MIB }, machines);
  const markers = Array.from({ length: machines }, () => 'bench: ticks=');
  const options = { timeoutSeconds: TIMEOUT_SECONDS, markers, stopAtLastMarker: true, direct: true };
  const result = await runChild(command.words, options);
  if (Number.isNaN(result.peakBytes)) process.stderr.write(`${peer.title}: ${result.stderr.trim().slice(-500)}\n`);
  return result.peakBytes / MIB;
}

async function run(options: BenchOptions): Promise<Section> {
  const { peers } = presentPeers(options);
  const rows: { machine: string; guest: string; machines: number; peakMib: number }[] = [];
  for (const peer of peers) {
    if (peer.hold === undefined) continue;
    for (const { name, append } of GUESTS) {
      for (const machines of peer.id.startsWith('qemu') ? [1] : [1, MANY]) {
        const measured = await peakMib(peer, append, machines);
        rows.push({ machine: peer.title, guest: name, machines, peakMib: measured });
      }
    }
  }
  const lines = rows.map(({ machine, guest, machines, peakMib: mib }) => {
    const one = rows.find((row) => row.machine === machine && row.guest === guest && row.machines === 1)!;
    const each = machines === 1 ? '' : figure((mib - one.peakMib) / (machines - 1));
    return [`${machine}, ${guest}`, `${machines}`, figure(mib, 4), each];
  });
  return { text: table(['peak resident memory', 'VMs of 64 MiB', 'MiB', 'MiB per further VM'], lines), data: rows };
}

export const bench: Bench = { name: 'memory: VMs of 64 MiB in one process', run };

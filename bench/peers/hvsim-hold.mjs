/**
 * A process with several VMs of hvsim, to look at its memory: runs them to their end, then waits to be killed. Loads what
 * `hvsim boot` loads, and nothing of the scenarios and reports.
 *
 *   node hvsim-hold.mjs '{"kernel": FILE, "append": TEXT, "memoryMib": 64, "machines": 32}'
 */
import { writeSync } from 'node:fs';
import { buildWorld, finishWorld } from '../../dist/lab/build.js';

const MIB = 2 ** 20;
const HOLD_MS = 600_000;

const { kernel, append, memoryMib, machines, engine } = JSON.parse(process.argv[2]);
const run = {
  runId: 1,
  role: 'point',
  seed: 1,
  axes: {},
  durationNs: 60_000_000_000,
  host: {
    preset: 'broadwell',
    frequencyHz: 2_600_000_000,
    pcpus: 1,
    memoryBytes: machines * memoryMib * MIB + 64 * MIB,
    quantumNs: 20_000,
    scheduler: { policy: 'round-robin', params: {} },
  },
  vms: Array.from({ length: machines }, (_, i) => ({
    name: `vm${i}`,
    guest: kernel,
    imageFile: kernel,
    workload: append,
    technique: 'native',
    paging: 'native',
    taggedTlb: false,
    memoryBytes: memoryMib * MIB,
    vcpus: 1,
    weight: 256,
    capPercent: 0,
    baselineRun: null,
  })),
};

let text = '';
const world = buildWorld(run, {
  ...(engine === undefined ? {} : { engine }),
  onConsole: (byte) => {
    text += String.fromCharCode(byte);
  },
});
finishWorld(world);
writeSync(1, text);
const failed = world.vms.filter(({ vm }) => vm.outcome?.kind !== 'completed');
if (failed.length > 0) writeSync(2, `not completed: ${failed.length} of ${machines}\n`);
setTimeout(() => {}, HOLD_MS);

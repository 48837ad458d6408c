/**
 * How much faster a recording is played than its guest is executed, for the same simulated time and the same ledger.
 * Both are timed from the first event to the last, without reading files and loading guests, which would favour replay.
 */
import type { World } from '../src/lab/build.ts';
import type { ResolvedRun } from '../src/lab/plan.ts';
import { built } from './built.ts';
import { median } from './harness.ts';
import { type Bench, type BenchRow, rowsOnly } from './options.ts';

const { decodeRecording, encodeRecording } =
  await built<typeof import('../src/host/replay/recording.ts')>('host/replay/recording');
const { Score } = await built<typeof import('../src/host/replay/replayed.ts')>('host/replay/replayed');
const { buildWorld, finishWorld } = await built<typeof import('../src/lab/build.ts')>('lab/build');
const { collect } = await built<typeof import('../src/lab/collect.ts')>('lab/collect');
const { planRuns } = await built<typeof import('../src/lab/plan.ts')>('lab/plan');
const { recordRun } = await built<typeof import('../src/lab/record.ts')>('lab/record');
const { defineScenario } = await built<typeof import('../src/lab/scenario.ts')>('lab/scenario');

/** Rounds before the measured ones: until then both sides mostly wait for the compiler of JavaScript. */
const WARM_UP = 3;

const WORKLOADS = [
  // Five per cent of the CPU; one per cent, almost all of it ticks; and a busy one.
  'web requests=500 gap=10 work=800000 hz=100',
  'web requests=2000 gap=10 work=15000 hz=1000',
  'web requests=5000 hz=1000',
  'sieve n=20000 rounds=20',
  'mix tasks=8 work=300000 hz=100',
  'syscall n=20000',
  'forkwait n=40',
  'idle ticks=2000 hz=1000',
];

function planOf(workload: string): ResolvedRun {
  const vms = [{ name: 'vm', guest: 'nano', workload }];
  const scenario = defineScenario({ name: 'bench', duration: '60 s', host: { scheduler: 'credit' }, vms });
  return planRuns(scenario, (file) => file).runs[0];
}

/** Nanoseconds that the rest of a world's run takes. */
function finish(world: World): number {
  const before = process.hrtime.bigint();
  finishWorld(world);
  return Number(process.hrtime.bigint() - before);
}

export const bench: Bench = {
  name: 'replay: playing a recording against executing its guest (nano, hardware-assisted, alone under credit)',
  run({ repeat }) {
    const rows: BenchRow[] = [];
    for (const workload of WORKLOADS) {
      const run = planOf(workload);
      const { recording } = recordRun(run);
      const bytes = encodeRecording(recording);
      const score = new Score(decodeRecording(workload, bytes));
      const [vm] = run.vms;
      const replay: ResolvedRun = {
        ...run,
        vms: [{ ...vm, replay: { file: workload, shown: workload, startNs: 0 } }],
      };
      const executing: number[] = [];
      const playing: number[] = [];
      for (let round = -WARM_UP; round < repeat; round++) {
        const executed = buildWorld(run);
        const replayed = buildWorld(replay, { scores: () => score });
        const executingNs = finish(executed);
        const playingNs = finish(replayed);
        const cycles = (world: World): number => collect(world, 'ended').vms[0].guestCycles;
        if (cycles(executed) !== cycles(replayed)) throw new Error(`${workload}: the replay has another ledger`);
        if (round < 0) continue;
        executing.push(executingNs);
        playing.push(playingNs);
      }
      rows.push({ name: workload, value: median(executing) / median(playing), unit: 'times as fast' });
      rows.push({ name: `  executed`, value: median(executing) / 1e6, unit: 'ms' });
      rows.push({ name: `  replayed, ${bytes.length} bytes`, value: median(playing) / 1e6, unit: 'ms' });
    }
    return rowsOnly(rows);
  },
};

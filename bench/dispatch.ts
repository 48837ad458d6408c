/** Cost of one dispatcher window and of one scheduling decision, without the work of the guests. */
import type { Dispatcher } from '../src/host/dispatch.ts';
import { built } from './built.ts';
import { median } from './harness.ts';
import { type Bench, type BenchRow, rowsOnly } from './options.ts';

const { Engine } = await built<typeof import('../src/core/engine.ts')>('core/engine');
const { Streams } = await built<typeof import('../src/core/rng.ts')>('core/rng');
const { Trace } = await built<typeof import('../src/core/trace.ts')>('core/trace');
const { NS_PER_MS } = await built<typeof import('../src/core/units.ts')>('core/units');
const dispatch = await built<typeof import('../src/host/dispatch.ts')>('host/dispatch');
const { ModelledVcpu } = await built<typeof import('../src/host/modelled/demand.ts')>('host/modelled/demand');
const { hog, io } = await built<typeof import('../src/host/modelled/index.ts')>('host/modelled/index');
const { cfs, credit, eevdf } = await built<typeof import('../src/host/sched/index.ts')>('host/sched/index');
const { makeTopology } = await built<typeof import('../src/host/topology.ts')>('host/topology');

const WARM_UP = 2;

/** A host with `hogs` and `ios` modelled vCPUs. */
function makeHost(pcpus: number, hogs: number, ios: number, policy = credit): Dispatcher {
  const engine = new Engine();
  const streams = new Streams(1);
  const coresPerSocket = Math.min(pcpus, 16);
  const topology = makeTopology({ sockets: pcpus / coresPerSocket, coresPerSocket, threadsPerCore: 1 });
  const parts = { engine, trace: new Trace(), random: streams.stream('scheduler'), policy };
  const host = new dispatch.Dispatcher({ topology, hz: 2_400_000_000 }, parts);
  for (let i = 0; i < hogs + ios; i++) {
    // All differ, or they would go on in step for ever.
    const work = { work_us: 900 + ((i * 37) % 200), wait_us: 3_900 + ((i * 53) % 200) };
    const demand = i < hogs ? hog.make({}, streams.stream(`vm${i}`)) : io.make(work, streams.stream(`vm${i}`));
    host.start(host.attach(host.addVm({ name: `vm${i}` }), new ModelledVcpu(engine, demand)));
  }
  return host;
}

/** What happened to tasks: wake-ups, starts and stops. */
function eventsOf(host: Dispatcher): number {
  return host.tasks.reduce((sum, task) => sum + task.wakes + task.dispatches + task.voluntary + task.involuntary, 0);
}

export const bench: Bench = {
  name: 'dispatcher: modelled vCPUs, under credit unless said; an event is a wake-up, a start or a stop of a vCPU (CPU time)',
  run() {
    const rows: BenchRow[] = [];
    const sizes = [
      [1, 3, 20, credit],
      [64, 0, 256, credit],
      [256, 0, 1_024, credit],
      [1_024, 0, 4_096, credit],
      [4_096, 0, 16_384, credit],
      [64, 0, 256, cfs],
      [64, 0, 256, eevdf],
    ] as const;
    for (const [pcpus, hogs, ios, policy] of sizes) {
      const host = makeHost(pcpus, hogs, ios, policy);
      // About half a million events a round for each size: fewer measure the compiler of JavaScript. Two rounds warm up.
      const step = Math.ceil(256_000 / pcpus) * NS_PER_MS;
      const costs = Array.from({ length: WARM_UP + 5 }, () => {
        const before = eventsOf(host);
        const start = process.cpuUsage();
        host.runUntil(host.now + step);
        const { user, system } = process.cpuUsage(start);
        return ((user + system) * 1000) / (eventsOf(host) - before);
      });
      const ns = median(costs.slice(WARM_UP));
      const under = policy === credit ? '' : `, ${policy.name}`;
      const name = `${pcpus} pCPUs, ${hogs} hogs, ${ios} I/O${under}`;
      rows.push({ name, value: ns, unit: 'ns/event' });
      rows.push({ name, value: 1000 / ns, unit: 'M events/s' });
    }
    return rowsOnly(rows);
  },
};

/** Cost of one dispatcher window and of one scheduling decision, without the work of the guests. */
import { Engine } from '../src/core/engine.ts';
import { Streams } from '../src/core/rng.ts';
import { Trace } from '../src/core/trace.ts';
import { NS_PER_MS } from '../src/core/units.ts';
import { Dispatcher } from '../src/host/dispatch.ts';
import { ModelledVcpu } from '../src/host/modelled/demand.ts';
import { hog, io } from '../src/host/modelled/index.ts';
import { credit } from '../src/host/sched/index.ts';
import { makeTopology } from '../src/host/topology.ts';
import { interleave } from './harness.ts';
import { type Bench, type BenchRow, rowsOnly } from './options.ts';

/** A host with `hogs` and `ios` modelled vCPUs under credit. */
function makeHost(pcpus: number, hogs: number, ios: number): Dispatcher {
  const engine = new Engine();
  const streams = new Streams(1);
  const coresPerSocket = Math.min(pcpus, 16);
  const topology = makeTopology({ sockets: pcpus / coresPerSocket, coresPerSocket, threadsPerCore: 1 });
  const parts = { engine, trace: new Trace(), random: streams.stream('scheduler'), policy: credit };
  const host = new Dispatcher({ topology, hz: 2_400_000_000 }, parts);
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
  name: 'dispatcher: modelled vCPUs under credit; an event is a wake-up, a start or a stop of a vCPU',
  run() {
    const rows: BenchRow[] = [];
    const sizes = [
      [2, 3, 0],
      [64, 96, 0],
      [1, 3, 20],
      [64, 0, 256],
      [256, 0, 1_024],
      [1_024, 0, 4_096],
      [4_096, 0, 16_384],
    ] as const;
    for (const [pcpus, hogs, ios] of sizes) {
      const host = makeHost(pcpus, hogs, ios);
      // About as many events for each size.
      const step = Math.max(Math.ceil((ios === 0 ? 12_000 : 3_200) / pcpus), 25) * NS_PER_MS;
      let events = 0;
      const [ns] = interleave(
        [
          () => {
            const before = eventsOf(host);
            host.runUntil(host.now + step);
            events = eventsOf(host) - before;
          },
        ],
        11,
      );
      const name = `${pcpus} pCPUs, ${hogs} hogs, ${ios} I/O`;
      rows.push({ name, value: ns! / events, unit: 'ns/event' });
      rows.push({ name, value: (1000 * events) / ns!, unit: 'M events/s' });
    }
    return rowsOnly(rows);
  },
};

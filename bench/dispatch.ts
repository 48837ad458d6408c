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
  const topology = makeTopology({ sockets: 1, coresPerSocket: pcpus, threadsPerCore: 1 });
  const parts = { engine, trace: new Trace(), random: streams.stream('scheduler'), policy: credit };
  const host = new Dispatcher({ topology, hz: 2_400_000_000 }, parts);
  for (let i = 0; i < hogs + ios; i++) {
    const demand = (i < hogs ? hog : io).make({}, streams.stream(`vm${i}`));
    host.start(host.attach(host.addVm({ name: `vm${i}` }), new ModelledVcpu(engine, demand)));
  }
  return host;
}

export const bench: Bench = {
  name: 'dispatcher: modelled vCPUs under credit',
  run() {
    const rows: BenchRow[] = [];
    for (const [pcpus, hogs, ios] of [
      [2, 3, 0],
      [8, 12, 0],
      [64, 96, 0],
      [1, 3, 20],
    ] as const) {
      const host = makeHost(pcpus, hogs, ios);
      const step = (pcpus === 1 ? 5000 : 200) * NS_PER_MS;
      let windows = 0;
      const [ns] = interleave(
        [
          () => {
            const before = host.windows;
            host.runUntil(host.now + step);
            windows = host.windows - before;
          },
        ],
        11,
      );
      rows.push({ name: `${pcpus} pCPUs, ${hogs} hogs, ${ios} I/O`, value: ns! / windows, unit: 'ns/window' });
    }
    return rowsOnly(rows);
  },
};

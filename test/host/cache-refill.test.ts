/** Cold caches: amounts by distance and by time away, worked out by hand. */
import { expect, test } from 'vitest';
import { NS_PER_MS } from '../../src/core/units.ts';
import { refillCycles } from '../../src/host/cache-refill.ts';
import { hog } from '../../src/host/modelled/index.ts';
import { roundRobin } from '../../src/host/sched/index.ts';
import { makeTopology } from '../../src/host/topology.ts';
import { Lab } from './lab.ts';

const COST = { core: 100, socket: 2000, other: 30_000, same: 1000, fullAfter: 20 * NS_PER_MS };
const HOG = { demand: hog };

test('the cost is that of the distance, or of the time away', () => {
  // Threads 0 1 | 2 3 are two cores of the first socket, 4 5 | 6 7 of the second.
  const topology = makeTopology({ sockets: 2, coresPerSocket: 2, threadsPerCore: 2 });
  const cost = (from: number, to: number, away: number): number => refillCycles(COST, topology, from, to, away);
  expect(cost(-1, 3, 1e9)).toBe(0);
  expect([cost(0, 1, 0), cost(1, 2, 0), cost(3, 4, 0), cost(7, 0, 1e12)]).toEqual([100, 2000, 30_000, 30_000]);
  const away = [0, 1, 20_000, 5 * NS_PER_MS, 20 * NS_PER_MS - 1, 20 * NS_PER_MS, 1e12];
  expect(away.map((ns) => cost(5, 5, ns))).toEqual([0, 0, 1, 250, 999, 1000, 1000]);
  const huge = { ...COST, same: 1e9, fullAfter: 1e12 };
  expect(refillCycles(huge, topology, 2, 2, 999_999_999_999)).toBe(999_999_999);
});

test('two hogs take turns of 10 ms: half of the amount each time, all of it if 5 ms are enough', () => {
  const switchNs = (fullAfter: number): number => {
    const policy = { policy: roundRobin, params: { quantum_ms: 10 }, hz: 1_000_000_000 };
    const lab = new Lab({ ...policy, cacheRefill: { ...COST, fullAfter }, vms: [HOG, HOG] });
    lab.runMs(100);
    return lab.host.pcpus[0]!.switchNs;
  };
  // At 0 and 10 ms they start cold for free; at 20, 30.0005, ..., 90.0035 ms each was away for 10.0005 ms at most.
  expect(switchNs(20 * NS_PER_MS)).toBe(8 * 500);
  expect(switchNs(5 * NS_PER_MS)).toBe(8 * 1000);
});

test('three hogs on two sockets: each move pays, whoever stays or returns to a warm cache does not', () => {
  const lab = new Lab({
    policy: roundRobin,
    params: { quantum_ms: 10 },
    topology: { sockets: 2, coresPerSocket: 1, threadsPerCore: 1 },
    switchCycles: 7,
    cacheRefill: { ...COST, same: 0 },
    vms: [HOG, HOG, HOG],
  });
  lab.runMs(1000);
  const moves = lab.host.tasks.reduce((sum, { migrations }) => sum + migrations, 0);
  const switches = lab.host.pcpus.reduce((sum, pcpu) => sum + pcpu.switches, 0);
  expect(moves).toBeGreaterThan(10);
  expect(lab.host.pcpus.reduce((sum, { switchNs }) => sum + switchNs, 0)).toBe(moves * 30_000 + switches * 7);
});

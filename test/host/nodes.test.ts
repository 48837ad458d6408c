/** Memory nodes within a socket: the topology, and the policies that look at nodes. Expected values follow from their rules by hand. */
import { expect, test } from 'vitest';
import { hog } from '../../src/host/modelled/index.ts';
import { runQueues } from '../../src/host/sched/credit2-queues.ts';
import { credit, esx } from '../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../src/host/scheduler.ts';
import { makeTopology } from '../../src/host/topology.ts';
import { parseScenario } from '../../src/lab/scenario.ts';
import { Lab, type LabVm } from './lab.ts';

test('a node has equal parts of the cores of its socket; one node for each socket unless told', () => {
  const spec = { sockets: 2, coresPerSocket: 4, threadsPerCore: 2 };
  const nodes = (nodesPerSocket?: number) =>
    makeTopology(nodesPerSocket === undefined ? spec : { ...spec, nodesPerSocket }).map(({ node }) => node);
  expect(nodes()).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  expect(nodes(2)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
  expect(() => nodes(3)).toThrow(/equal numbers of cores/);
});

test('credit2: a run queue for each node', () => {
  const topology = makeTopology({ sockets: 2, coresPerSocket: 2, threadsPerCore: 2, nodesPerSocket: 2 });
  expect(runQueues(topology, 'node', 16)).toEqual([
    [0, 1],
    [2, 3],
    [4, 5],
    [6, 7],
  ]);
  expect(runQueues(topology, 'socket', 16)).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ]);
});

test.each([
  [1, 'far'],
  [2, 'near'],
])('credit steals from its own node first (%i nodes)', (nodesPerSocket, winner) => {
  // From 1 ms on two share pCPU 1 and two share pCPU 2, one of each free to go to 3, and these wait from 30 to 60 ms. At 40 ms
  // pCPU 3 becomes idle. One node: it looks at those after itself, cyclic, so at 1. Two nodes, 0-1 and 2-3: at 2.
  const on = (hard: number[], name: string, startMs: number): LabVm => ({ demand: hog, name, task: { hard }, startMs });
  const lab = new Lab({
    policy: credit,
    params: { load_balance_ratelimit_us: 0 },
    topology: { sockets: 1, coresPerSocket: 4, threadsPerCore: 1, nodesPerSocket },
    vms: [
      on([1, 3], 'far', 0),
      on([2, 3], 'near', 0),
      on([1], 'one', 1),
      on([2], 'two', 1),
      { ...on([3], 'short', 20), with: { work_us: 20_000 } },
    ],
  });
  lab.runMs(20);
  expect(lab.host.tasks.map(({ pcpu }) => pcpu).slice(0, 2)).toEqual([1, 2]);
  lab.runMs(41);
  const there = lab.host.tasks.find(({ state, pcpu }) => state === STATE_RUNNING && pcpu === 3);
  expect(there?.vm.name).toBe(winner);
});

test('esx: VMs live on their nodes, two in one socket', () => {
  const lab = new Lab({
    policy: esx,
    topology: { sockets: 1, coresPerSocket: 4, threadsPerCore: 1, nodesPerSocket: 2 },
    vms: [
      { demand: hog, vcpus: 2 },
      { demand: hog, vcpus: 2 },
    ],
  });
  lab.runMs(3000);
  expect(lab.host.tasks.map(({ pcpu }) => pcpu >> 1)).toEqual([0, 0, 1, 1]);
  for (const share of lab.shares()) expect(share).toBe(1);
});

test('in scenarios: nodes_per_socket, a divisor of cores_per_socket', () => {
  const text = (nodes: number): string =>
    `name: a\nhost: { topology: { cores_per_socket: 4, nodes_per_socket: ${nodes} } }\nvms: [{ name: v, demand: hog }]`;
  expect(parseScenario(text(2), 'a.yaml').doc.host.topology?.nodes_per_socket).toBe(2);
  expect(() => parseScenario(text(3), 'a.yaml')).toThrow(
    /host\.topology\.nodes_per_socket: found 3, expected a divisor of cores_per_socket, 4/,
  );
});

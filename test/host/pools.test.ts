/** CPU pools: the parts of a host do not touch each other, and one pool of all pCPUs is as if there were none. */
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { Streams } from '../../src/core/rng.ts';
import { hog, interactive, periodic, spinlock } from '../../src/host/modelled/index.ts';
import { type PoolSpec, partOf, poolsPolicy } from '../../src/host/pools.ts';
import { cfs, credit, esx, lottery, roundRobin, schedulers } from '../../src/host/sched/index.ts';
import type { SchedulerPolicy } from '../../src/host/scheduler.ts';
import { makeTopology, type TopologySpec } from '../../src/host/topology.ts';
import { Lab, type LabVm } from './lab.ts';

const MIX: readonly LabVm[] = [
  { demand: interactive, vcpus: 3 },
  { demand: periodic, with: { work_us: 700, period_us: 7_300 }, weight: 512 },
  { demand: hog, capPercent: 40 },
  { demand: spinlock, vcpus: 2, with: { pause_loop_us: 20 } },
  { demand: hog, vcpus: 2, task: { hard: [2, 3] } },
];

const history = (lab: Lab): unknown => [
  lab.trace.digest.hex(),
  lab.host.tasks.map((task) => [...task.times, task.migrations, task.dispatches]),
  lab.host.pcpus.map((entry) => [...entry.pcpu.spent, entry.switches]),
];

const pool = (name: string, pcpus: readonly number[], policy: SchedulerPolicy): PoolSpec => ({ name, pcpus, policy });

test.each(schedulers.map((policy) => [policy.name, policy] as const))('%s in one pool', (_name, policy) => {
  const spec = { topology: { sockets: 2, coresPerSocket: 1, threadsPerCore: 2 }, vms: MIX, switchCycles: 3000 };
  const run = (one: SchedulerPolicy): unknown => {
    const lab = new Lab({ ...spec, policy: one });
    lab.runMs(300);
    return history(lab);
  };
  expect(run(poolsPolicy([pool('all', [0, 1, 2, 3], policy)]))).toEqual(run(policy));
});

test('a part of a host keeps who shares what, numbered anew', () => {
  const whole = makeTopology({ sockets: 2, coresPerSocket: 2, threadsPerCore: 2, nodesPerSocket: 2 });
  const places = partOf(whole, [1, 4, 5, 7]).map(({ id, core, node, socket, thread }) => [
    id,
    core,
    node,
    socket,
    thread,
  ]);
  expect(places).toEqual([
    [0, 0, 0, 0, 0],
    [1, 1, 1, 1, 0],
    [2, 1, 1, 1, 1],
    [3, 2, 2, 1, 0],
  ]);
});

describe('two pools', () => {
  const topology: TopologySpec = { sockets: 2, coresPerSocket: 2, threadsPerCore: 1 };
  const left: readonly LabVm[] = [
    { demand: hog, vcpus: 2, weight: 512 },
    { demand: interactive, vcpus: 3 },
  ];
  const right: readonly LabVm[] = [{ demand: hog }, { demand: hog, weight: 768, capPercent: 130, vcpus: 2 }];
  const inPool = (name: string) => (vm: LabVm) => ({ ...vm, params: { ...vm.params, cpu_pool: name } });

  test.each([
    [credit, roundRobin],
    [cfs, esx],
    [lottery, credit],
  ])('%#: each as on a host of its own', (a, b) => {
    // A random stream of its own for each, as each host has one.
    const pools = poolsPolicy([
      { ...pool('left', [0, 1], a), random: new Streams(1).stream('scheduler') },
      { ...pool('right', [2, 3], b), random: new Streams(1).stream('scheduler') },
    ]);
    const both = new Lab({
      policy: pools,
      topology,
      vms: [...left.map(inPool('left')), ...right.map(inPool('right'))],
    });
    both.runMs(2000);
    // The demands of the right host draw nothing, so they do not depend on the numbers of their VMs.
    const half = { ...topology, sockets: 1 };
    const hosts = [
      new Lab({ policy: a, topology: half, vms: left }),
      new Lab({ policy: b, topology: half, vms: right }),
    ];
    for (const host of hosts) host.runMs(2000);
    const times = (lab: Lab) => lab.host.tasks.map((task) => [...task.times, task.migrations, task.dispatches]);
    expect(times(both)).toEqual(hosts.flatMap(times));
    const spent = (lab: Lab) => lab.host.pcpus.map((entry) => [entry.busyNs, entry.idleNs, entry.switches]);
    expect(spent(both)).toEqual(hosts.flatMap(spent));
  });

  test('hogs of one pool leave the other to itself', () => {
    const policy = poolsPolicy([pool('a', [0, 2, 3], credit), pool('b', [1], credit)]);
    const vms = [
      { demand: hog, vcpus: 9 },
      { demand: hog, params: { cpu_pool: 'b' } },
    ];
    const lab = new Lab({ policy, topology, vms });
    lab.runMs(3000);
    const shares = lab.shares();
    expect(shares.at(-1)).toBe(1);
    for (const share of shares.slice(0, 9)) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.05);
    expect(lab.host.tasks.at(-1)!.pcpu).toBe(1);
  });

  test('an affinity outside of the pool is a mistake', () => {
    const policy = poolsPolicy([pool('a', [0, 1], credit), pool('b', [2, 3], cfs)]);
    const vms = [{ demand: hog, task: { hard: [2] } }];
    expect(() => new Lab({ policy, topology, vms })).toThrow(UserError);
    expect(() => new Lab({ policy, topology, vms })).toThrow('vCPU vm0.0: its affinity has no physical CPU of pool a');
  });

  test('soft affinity and parameters of the policies count within a pool', () => {
    const policy = poolsPolicy([pool('a', [0, 1], roundRobin), pool('b', [2, 3], credit)]);
    const task = { soft: [0, 3] };
    const lab = new Lab({ policy, topology, vms: [{ demand: hog, task, params: { cpu_pool: 'b' } }] });
    lab.runMs(200);
    expect(lab.host.tasks[0]!.pcpu).toBe(3);
    const wrong = { demand: hog, params: { cpu_pool: 'c' } };
    expect(() => new Lab({ policy, topology, vms: [wrong] })).toThrow(/cpu_pool: found "c", expected one of a, b/);
  });
});

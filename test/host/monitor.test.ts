/** What the monitor sees, against schedules that can be drawn by hand. */
import { describe, expect, test } from 'vitest';
import { DOING_LOCKED, DOING_NEXT } from '../../src/core/runnable.ts';
import { NS_PER_MS } from '../../src/core/units.ts';
import { largestMatching } from '../../src/host/match.ts';
import { defineDemand, ModelledVcpu } from '../../src/host/modelled/demand.ts';
import { hog, interactive, spinlock } from '../../src/host/modelled/index.ts';
import { Monitor, VM_STATES } from '../../src/host/monitor.ts';
import { roundRobin } from '../../src/host/sched/index.ts';
import { definePolicy, type Task } from '../../src/host/scheduler.ts';
import { makeTopology } from '../../src/host/topology.ts';
import { Lab, type LabSpec } from './lab.ts';

const HOG = { demand: hog };
const TURNS = { quantum_ms: 10 };

function watched(spec: Omit<LabSpec, 'monitor'>): { readonly lab: Lab; readonly monitor: Monitor } {
  const size = spec.topology ?? { sockets: 1, coresPerSocket: spec.pcpus ?? 1, threadsPerCore: 1 };
  const monitor = new Monitor(makeTopology(size));
  return { lab: new Lab({ ...spec, monitor }), monitor };
}

function run(spec: Omit<LabSpec, 'monitor'>, ms: number) {
  const { lab, monitor } = watched(spec);
  lab.runMs(ms);
  monitor.finish();
  const { vms, tasks } = lab.host;
  return {
    lab,
    monitor,
    tasks: tasks.map((task) => monitor.ofTask(task)),
    fluids: vms.map((vm) => monitor.fluid.ofVm(vm)),
    states: vms.map((vm) =>
      Object.fromEntries(
        VM_STATES.map((name, i) => [name, monitor.ofVm(vm).times[i]! / NS_PER_MS]).filter((e) => e[1] !== 0),
      ),
    ),
  };
}

/** Leaves every task to pCPU 0, in turns of 10 ms. */
const lazy = definePolicy({
  name: 'lazy',
  summary: 'uses one pCPU only',
  make(host) {
    const queue: Task[] = [];
    return {
      wake(task) {
        queue.push(task);
        host.resched(0);
      },
      sleep(task) {
        const at = queue.indexOf(task);
        if (at >= 0) queue.splice(at, 1);
      },
      pick(pcpu, _now, current) {
        if (pcpu !== 0) return { task: null, slice: Infinity };
        if (current !== null) queue.push(current);
        return { task: queue.shift() ?? null, slice: 10 * NS_PER_MS };
      },
    };
  },
});

/** Its only task goes round all pCPUs. */
const tour = definePolicy({
  name: 'tour',
  summary: 'moves its task on after each millisecond',
  make(host) {
    let only: Task | null = null;
    let at = 0;
    return {
      wake(task) {
        only = task;
        host.resched(at);
      },
      sleep() {},
      pick(pcpu, _now, current) {
        if (current !== null) {
          at = (at + 1) % host.topology.length;
          host.resched(at);
        }
        return { task: pcpu === at ? only : null, slice: NS_PER_MS };
      },
    };
  },
});

const steady = defineDemand({
  name: 'steady',
  summary: 'does the same for ever',
  params: { doing: { kind: 'integer', min: 0, default: 0, meaning: 'bits DOING_*' } },
  make: ({ doing }) => ({ next: () => ({ kind: 'compute', time: Infinity, doing }) }),
});

describe('two hogs in turns of 10 ms', () => {
  const { tasks, states, fluids } = run({ policy: roundRobin, params: TURNS, vms: [HOG, HOG] }, 200);

  test('each waits for 10 ms after each preemption', () => {
    // The first turn of the second was no preemption.
    expect(tasks.map((task) => [...new Set(task.preemptToRun.values)])).toEqual([[10 * NS_PER_MS], [10 * NS_PER_MS]]);
    expect(tasks.map((task) => task.preemptToRun.count)).toEqual([9, 9]);
    expect(tasks.map((task) => task.lockHolderPreemptions)).toEqual([0, 0]);
  });

  test('their VMs run or wait as a whole', () => {
    expect(states).toEqual([
      { 'full run': 100, 'full contention': 100 },
      { 'full run': 100, 'full contention': 100 },
    ]);
  });

  test('after each turn one is 5 ms ahead and the other behind; over 100 ms both have their half', () => {
    expect(fluids.map(({ lagMinNs, lagMaxNs }) => [lagMinNs / NS_PER_MS, lagMaxNs / NS_PER_MS])).toEqual([
      [-5, 0],
      [0, 5],
    ]);
    for (const fluid of fluids) {
      expect(fluid).toMatchObject({ entitledNs: 100 * NS_PER_MS, periods: 2, errorSum: 0, errorMax: 0 });
    }
  });
});

test('entitlement follows weights and caps, whatever the policy does', () => {
  const capped = { demand: hog, capPercent: 25 };
  const { fluids } = run({ policy: roundRobin, params: TURNS, vms: [capped, HOG] }, 200);
  expect(fluids.map(({ entitledNs }) => entitledNs / NS_PER_MS)).toEqual([50, 150]);
  // Both received 100 ms of 200: twice as much as was due, and two thirds.
  expect(fluids[0]!.errorMax).toBe(1);
  expect(fluids[1]!.errorMax).toBeCloseTo(1 / 3, 12);
  const weights = [512, 256, 256].map((weight) => ({ demand: hog, weight }));
  expect(run({ policy: roundRobin, vms: weights }, 100).fluids.map((fluid) => fluid.entitledNs / NS_PER_MS)).toEqual([
    50, 25, 25,
  ]);
});

test('a VM of two with one pCPU alone and one shared: full run and concurrency hazard in turn', () => {
  const { lab, monitor } = watched({
    policy: roundRobin,
    params: TURNS,
    pcpus: 2,
    vms: [{ ...HOG, task: { hard: [1] } }],
  });
  const vm = lab.host.addVm({ name: 'pair' });
  for (const pcpu of [0, 1]) {
    lab.add(vm, new ModelledVcpu(lab.engine, hog.make({}, lab.streams.stream(`pair ${pcpu}`))), { hard: [pcpu] });
  }
  lab.runMs(100);
  monitor.finish();
  const times = [...monitor.ofVm(vm).times].map((ns) => ns / NS_PER_MS);
  expect(VM_STATES.map((name, i) => `${name} ${times[i]}`).filter((text) => !text.endsWith(' 0'))).toEqual([
    'full run 50',
    'concurrency hazard 50',
  ]);
  expect(monitor.wastedIdleNs).toBe(0);
});

describe('wasted idle time', () => {
  const wasted = (vms: LabSpec['vms'], pcpus = 2) =>
    run({ policy: lazy, pcpus, vms }, 100).monitor.wastedIdleNs / NS_PER_MS;

  test('as many pCPUs as idle while tasks wait for others', () => {
    expect(wasted([HOG])).toBe(0);
    expect(wasted([HOG, HOG])).toBe(100);
    expect(wasted([HOG, HOG, HOG])).toBe(100);
    expect(wasted([HOG, HOG, HOG], 3)).toBe(200);
  });

  test('not by those that may not run elsewhere', () => {
    const here = { ...HOG, task: { hard: [0] } };
    expect(wasted([here, here, here])).toBe(0);
    // Half of the time it is the free one that waits.
    expect(wasted([here, HOG])).toBe(50);
    // Two of three pCPUs idle; what waits is in turn two free ones, and one of them with one that may run on 0 and 1.
    const both = { ...HOG, task: { hard: [0, 1] } };
    expect(wasted([both, both, both], 3)).toBe(100);
  });

  test('the largest matching moves whoever is in the way', () => {
    const edges = [[0, 1], [0], [1, 2], [1]];
    expect(largestMatching(4, 3, (task, place) => edges[task]!.includes(place))).toBe(3);
    expect(largestMatching(2, 3, (task, place) => edges[task]!.includes(place))).toBe(2);
    expect(largestMatching(0, 3, () => true)).toBe(0);
  });
});

test('migrations by distance: a tour of 2 sockets with 2 cores with 2 threads', () => {
  const topology = { sockets: 2, coresPerSocket: 2, threadsPerCore: 2 };
  const { tasks, lab } = run({ policy: tour, topology, vms: [HOG] }, 81);
  // Ten times round: 0-1 core, 1-2 socket, 2-3 core, 3-4 other, 4-5 core, 5-6 socket, 6-7 core, 7-0 other.
  expect(tasks[0]!.migrations).toEqual([40, 20, 20]);
  expect(lab.host.tasks[0]!.migrations).toBe(80);
});

test('lock-holder and lock-waiter preemptions are counted where the guest says that it holds or is the next', () => {
  const vms = [DOING_LOCKED, DOING_NEXT, 0].map((doing) => ({ demand: steady, with: { doing } }));
  const { tasks } = run({ policy: roundRobin, params: TURNS, vms }, 305);
  // Thirty turns are over, ten of each.
  expect(tasks.map((task) => [task.lockHolderPreemptions, task.lockWaiterPreemptions])).toEqual([
    [10, 0],
    [0, 10],
    [0, 0],
  ]);
  const waiters = (lock: string): number =>
    run(
      { policy: roundRobin, params: TURNS, vms: [{ demand: spinlock, vcpus: 3, with: { lock, hold_us: 50 } }] },
      2_000,
    ).tasks.reduce((sum, task) => sum + task.lockWaiterPreemptions, 0);
  // A test-and-set lock has no next one.
  expect(waiters('ticket')).toBeGreaterThan(0);
  expect(waiters('tas')).toBe(0);
});

test('with context switches that take time, the books are those of the dispatcher', () => {
  const vms = [
    { demand: interactive, vcpus: 3 },
    { demand: hog, vcpus: 2 },
    { demand: hog, startMs: 33 },
  ];
  const spec: LabSpec = { policy: roundRobin, pcpus: 2, switchCycles: 7_000, keepMax: 0, vms };
  const { lab, monitor } = run(spec, 500);
  const plain = new Lab(spec);
  plain.runMs(500);
  expect(lab.trace.digest.hex()).toBe(plain.trace.digest.hex());
  for (const vm of lab.host.vms) {
    const watch = monitor.ofVm(vm);
    const times = vm.tasks.map((task) => [...task.times] as number[]);
    const inState = (...states: number[]) =>
      times.flatMap((own) => states.map((s) => own[s]!)).reduce((a, b) => a + b, 0);
    expect(watch.runNs).toBe(inState(1));
    expect(watch.wantNs).toBe(inState(1, 2, 4, 5));
    expect(watch.times.reduce((a, b) => a + b, 0)).toBe(500 * NS_PER_MS);
  }
});

/**
 * Memory with a distance: work takes so many percent longer on pCPUs of another node, however often it moves; and mistakes. Expected times are
 * arithmetic on the percentage.
 */
import { expect, test } from 'vitest';
import { rescaled } from '../../src/host/modelled/far-memory.ts';
import { TimelineRecorder } from '../../src/host/timeline.ts';
import { buildWorld, finishWorld, runWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario, parseScenario } from '../../src/lab/scenario.ts';
import type { ScenarioInput } from '../../src/lab/schema.ts';

const HOST = {
  topology: { sockets: 2, cores_per_socket: 1, threads_per_core: 1 },
  frequency: '1 GHz',
  scheduler: 'round-robin',
} as const satisfies ScenarioInput['host'];
const WORK_NS = 50_000_000;
const WORK = { model: 'hog', work_us: WORK_NS / 1000 };

const firstRun = (vms: ScenarioInput['vms']) =>
  planRuns(defineScenario({ name: 'far', duration: '2 s', baseline: 'none', host: HOST, vms }), (file) => file)
    .runs[0]!;

test('on the other node work takes that much longer, on its own it does not', () => {
  const place = { node: 1, far_percent: 40 };
  const { vms } = runWorld(
    firstRun([
      { name: 'far', demand: WORK, memory_place: place, affinity: { hard: [0] } },
      { name: 'near', demand: WORK, memory_place: place, affinity: { hard: [1] } },
    ]),
  );
  expect(vms.map(({ vcpus }) => vcpus[0]!.runningNs)).toEqual([1.4 * WORK_NS, WORK_NS]);
});

test('work that moves to and fro is done when near time and far time / 1.3 are enough', () => {
  const run = firstRun([{ name: 'vm', count: 3, demand: WORK, memory_place: { node: 0 } }]);
  const recorder = new TimelineRecorder({ fromNs: 0, toNs: Infinity, keepMax: 10_000 });
  const world = buildWorld(run, { observer: recorder });
  expect(finishWorld(world)).toBe('ended');
  const { segments } = recorder.finish(world.dispatcher);
  for (const { id, migrations } of world.dispatcher.tasks) {
    const [near, far] = [0, 1].map((pcpu) =>
      segments
        .filter((segment) => segment.task === id && segment.pcpu === pcpu)
        .reduce((sum, { fromNs, toNs }) => sum + toNs - fromNs, 0),
    );
    expect(migrations).toBeGreaterThan(2);
    expect(Math.min(near!, far!)).toBeGreaterThan(WORK_NS / 10);
    const done = near! + far! / 1.3;
    // A cycle, here a nanosecond, for each move.
    expect(done).toBeGreaterThanOrEqual(WORK_NS - 0.001);
    expect(done).toBeLessThan(WORK_NS + migrations + 1);
  }
});

test('cycles are rounded up, exactly for long work, and endless work has no end', () => {
  expect(rescaled(10, 0, 25)).toBe(13);
  expect(rescaled(13, 25, 0)).toBe(11);
  expect(rescaled(9_000_000_000_000_001, 300, 0)).toBe(2_250_000_000_000_001);
  expect(rescaled(Infinity, 0, 25)).toBe(Infinity);
});

test('a node that is not there is a mistake with its place', () => {
  const text = (topology: string): string =>
    `name: a\nhost: { topology: ${topology} }\nvms: [{ name: v, demand: hog, memory_place: { node: 2 } }]`;
  expect(() => parseScenario(text('{ sockets: 2, cores_per_socket: 2, threads_per_core: 1 }'), 'a.yaml')).toThrow(
    /a\.yaml:3:\d+.*memory_place.*found 2, expected a memory node from 0 to 1/s,
  );
  const cut = '{ sockets: 2, cores_per_socket: 2, threads_per_core: 1, nodes_per_socket: 2 }';
  expect(() => parseScenario(text(cut), 'a.yaml')).not.toThrow();
});

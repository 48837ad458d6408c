/** The small parts of the host layer: topology and masks, policy timers, parameters, modelled demands, the ledger. */
import { expect, test } from 'vitest';
import { Streams } from '../../src/core/rng.ts';
import { NS_PER_MS } from '../../src/core/units.ts';
import { assertBalanced, totalCycles } from '../../src/host/ledger.ts';
import { demands, hog, interactive, io, periodic } from '../../src/host/modelled/index.ts';
import { credit, roundRobin } from '../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../src/host/scheduler.ts';
import { Timers } from '../../src/host/timers.ts';
import { cpuMask, intersect, makeTopology, nextCpu } from '../../src/host/topology.ts';
import { Lab } from './lab.ts';

test('threads of a core are neighbours, cores count over sockets', () => {
  const places = makeTopology({ sockets: 2, coresPerSocket: 2, threadsPerCore: 2 });
  expect(places.map(({ id, socket, core, thread }) => [id, socket, core, thread].join(''))).toEqual([
    '0000',
    '1001',
    '2010',
    '3011',
    '4120',
    '5121',
    '6130',
    '7131',
  ]);
});

test('masks', () => {
  const mask = cpuMask(5, [1, 3]);
  expect([0, 1, 2, 3, 4].map((from) => nextCpu(mask, from))).toEqual([1, 3, 3, 1, 1]);
  expect(nextCpu(cpuMask(5, [2]), 2)).toBe(2);
  expect(nextCpu(cpuMask(5, []), 2)).toBe(-1);
  expect([...intersect(mask, cpuMask(5, [3, 4]))]).toEqual([0, 0, 0, 1, 0]);
});

test('policy timers: earliest first, lowest id at equal times, one time per id', () => {
  const timers = new Timers();
  const fired: string[] = [];
  const fire = (): void => {
    fired.push(`${timers.nextId}@${timers.nextTime}`);
    timers.disarm(timers.nextId);
  };
  timers.arm(3, 10);
  timers.arm(1, 20);
  timers.arm(2, 10);
  timers.arm(0, 30);
  timers.arm(1, 5);
  timers.arm(1, 40);
  while (timers.nextTime < Infinity) fire();
  expect(fired).toEqual(['2@10', '3@10', '0@30', '1@40']);
  expect(() => timers.arm(-1, 0)).toThrow(/timer ids/);
});

test('parameters have names with units, defaults and meanings', () => {
  const info = Object.entries(credit.params);
  expect(info.slice(0, 2).map(([name, { default: value }]) => [name, value])).toEqual([
    ['tslice_ms', 30],
    ['ratelimit_us', 1000],
  ]);
  for (const model of demands) for (const { meaning } of Object.values(model.params)) expect(meaning).not.toBe('');
});

test('periodic demands: a late request is skipped, or queued', () => {
  // 15 ms of work every 10 ms on an idle host: skipping serves every second request, queueing never rests.
  const run = (late: string) => {
    const spec = { demand: periodic, with: { work_us: 15_000, late } };
    const lab = new Lab({ policy: roundRobin, vms: [spec] });
    lab.runMs(3000);
    return lab.shares()[0];
  };
  expect(run('skip')).toBe(0.75);
  expect(run('queue')).toBe(1);
});

test('io demands: work and wait in turn; interactive ones follow their means', () => {
  const lab = new Lab({ policy: roundRobin, pcpus: 2, vms: [{ demand: io }, { demand: interactive }] });
  lab.runMs(60_000);
  expect(lab.shares()[0]).toBeCloseTo(0.01, 10);
  expect(lab.shares()[1]).toBeCloseTo(2 / 22, 1.7);
  const again = demands.find(({ name }) => name === 'interactive')!.make({}, new Streams(1).stream('x'));
  expect(again.next(0).kind).toBe('sleep-until');
});

test('the ledger notices a nanosecond and a cycle that are missing', () => {
  const lab = new Lab({ policy: credit, pcpus: 2, vms: [{ demand: hog }, { demand: io }], switchCycles: 100 });
  lab.runMs(100);
  const { pcpus, tasks } = lab.host;
  expect(() => assertBalanced(pcpus, tasks)).not.toThrow();
  expect(totalCycles(pcpus).reduce((sum, cycles) => sum + cycles, 0)).toBe(200 * NS_PER_MS);
  tasks[0].times[STATE_RUNNING] += 1;
  expect(() => assertBalanced(pcpus, tasks)).toThrow(/states of vm0.0/);
  tasks[0].times[STATE_RUNNING] -= 1;
  pcpus[0].pcpu.spent[0] -= 1;
  expect(() => assertBalanced(pcpus, tasks)).toThrow(/pCPU 0/);
});

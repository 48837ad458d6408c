/** The small parts of the host layer: topology and masks, policy timers, parameters, modelled demands, the ledger. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Streams } from '../../src/core/rng.ts';
import { NS_PER_MS } from '../../src/core/units.ts';
import { assertBalanced, totalCycles } from '../../src/host/ledger.ts';
import { demands, hog, interactive, io, periodic } from '../../src/host/modelled/index.ts';
import { OrderedQueue } from '../../src/host/ordered-queue.ts';
import { credit, roundRobin } from '../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../src/host/scheduler.ts';
import { Timers } from '../../src/host/timers.ts';
import { CountedCpuSet, CpuSet, makeTopology } from '../../src/host/topology.ts';
import { Tournament } from '../../src/host/tournament.ts';
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

test('sets of pCPUs', () => {
  const set = new CpuSet(5, [1, 3]);
  expect([0, 1, 2, 3, 4].map((from) => set.next(from))).toEqual([1, 3, 3, 1, 1]);
  expect(new CpuSet(5, [2]).next(2)).toBe(2);
  expect(new CpuSet(5).next(2)).toBe(-1);
  expect([...set.intersect(new CpuSet(5, [3, 4]))]).toEqual([3]);
  expect(() => set.add(5)).toThrow(/no pCPU 5/);
});

test('sets of thousands of pCPUs agree with plain arrays', () => {
  const ids = fc.array(fc.nat({ max: 4095 }), { maxLength: 60 });
  fc.assert(
    fc.property(ids, ids, ids, fc.nat({ max: 4095 }), (first, second, gone, from) => {
      const a = new CpuSet(4096, first);
      const b = new CpuSet(4096, second);
      for (const id of gone.concat(first.slice(0, 5))) a.delete(id);
      const left = [...new Set(first)].filter((id) => !gone.includes(id) && !first.slice(0, 5).includes(id));
      left.sort((x, y) => x - y);
      const both = left.filter((id) => second.includes(id));
      expect([...a]).toEqual(left);
      expect(a.count).toBe(left.length);
      expect(a.first()).toBe(left[0] ?? -1);
      expect(a.next(from)).toBe(left.find((id) => id > from) ?? left[0] ?? -1);
      expect(a.nextIn(b, from)).toBe(both.find((id) => id > from) ?? both[0] ?? -1);
      expect(a.meets(b)).toBe(both.length > 0);
      expect(a.within(b)).toBe(both.length === left.length);
      expect([...a.intersect(b)]).toEqual(both);
      expect([...a.without(b)]).toEqual(left.filter((id) => !second.includes(id)));
      expect([...a.clone()]).toEqual(left);
    }),
  );
});

test('an ordered queue sorts by its keys, first in first out among equals', () => {
  const keys = fc.array(fc.nat({ max: 9 }), { maxLength: 40 });
  fc.assert(
    fc.property(keys, fc.array(fc.nat({ max: 39 }), { maxLength: 10 }), (values, gone) => {
      const queue = new OrderedQueue<{ key: number; seq: number }>((a, b) => a.key - b.key);
      const items = values.map((key, seq) => ({ key, seq }));
      for (const item of items) queue.add(item);
      const left = items.filter(({ seq }) => !gone.includes(seq));
      for (const item of items) if (gone.includes(item.seq)) queue.delete(item);
      const sorted = left.toSorted((a, b) => a.key - b.key || a.seq - b.seq);
      expect([...queue]).toEqual(sorted);
      expect(queue.head).toBe(sorted[0] ?? null);
      expect(queue.find(({ seq }) => seq % 2 === 1)).toBe(sorted.find(({ seq }) => seq % 2 === 1) ?? null);
      expect(queue.shift()).toBe(sorted[0] ?? null);
    }),
  );
});

test('the order of pCPUs: smallest key, lowest id among equals', () => {
  const changes = fc.array(fc.tuple(fc.nat({ max: 9 }), fc.oneof(fc.nat({ max: 5 }), fc.constant(Infinity))));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 }), changes, (size, script) => {
      const order = new Tournament(size);
      const keys = Array.from<number>({ length: size }).fill(Infinity);
      for (const [id, key] of script) {
        keys[id % size] = key;
        order.set(id % size, key);
        expect(order.key).toBe(Math.min(...keys));
        expect(order.id).toBe(keys.indexOf(Math.min(...keys)));
      }
    }),
  );
});

test('any sequence of arming and disarming leaves the earliest timer in front', () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 12 }), fc.option(fc.nat({ max: 9 }))), { maxLength: 80 });
  fc.assert(
    fc.property(steps, (script) => {
      const timers = new Timers();
      const armed = new Map<number, number>();
      for (const [id, at] of script) {
        if (at === null) {
          timers.disarm(id);
          armed.delete(id);
        } else {
          timers.arm(id, at);
          armed.set(id, at);
        }
        const [first] = [...armed].toSorted((a, b) => a[1] - b[1] || a[0] - b[0]);
        expect([timers.nextId, timers.nextTime]).toEqual(first ?? [-1, Infinity]);
      }
    }),
  );
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

test('a counted set knows its members by core and socket, whatever is done to it', () => {
  const topology = makeTopology({ sockets: 3, coresPerSocket: 2, threadsPerCore: 2 });
  const ids = fc.array(fc.nat({ max: 11 }));
  const steps = fc.array(fc.tuple(fc.constantFrom('add', 'delete', 'assign', 'deleteAll'), ids));
  fc.assert(
    fc.property(steps, (script) => {
      const set = new CountedCpuSet(topology);
      let model = new Set<number>();
      for (const [what, members] of script) {
        if (what === 'add') for (const id of members) model.add(id);
        if (what === 'assign') model = new Set(members);
        if (what === 'delete' || what === 'deleteAll') for (const id of members) model.delete(id);
        if (what === 'add' || what === 'delete') for (const id of members) set[what](id);
        if (what === 'assign') set.assign(new CpuSet(12, members), CpuSet.all(12));
        if (what === 'deleteAll') set.deleteAll(new CpuSet(12, members));
        expect([...set]).toEqual([...model].sort((a, b) => a - b));
        const count = (of: (id: number) => boolean): number => [...model].filter(of).length;
        for (let core = 0; core < 6; core++) expect(set.inCore[core]).toBe(count((id) => topology[id]!.core === core));
        for (let socket = 0; socket < 3; socket++) {
          expect(set.inSocket[socket]).toBe(count((id) => topology[id]!.socket === socket));
        }
      }
    }),
    { numRuns: 50 },
  );
});

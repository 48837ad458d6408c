/** CPU pools in scenarios: who runs where, that all time is accounted for, and mistakes with their places. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { runWorld } from '../../src/lab/build.ts';
import { withGuestCopies } from '../../src/lab/guest-files.ts';
import { planRuns } from '../../src/lab/plan.ts';
import type { RunRecord, VmRecord } from '../../src/lab/rows.ts';
import { parseScenario, scenarioText } from '../../src/lab/scenario.ts';

const MS = 1_000_000;

function run(text: string): RunRecord {
  const scenario = parseScenario(text, 'a.yaml');
  expect(parseScenario(scenarioText(scenario.doc), 'b.yaml').points).toEqual(scenario.points);
  return runWorld(planRuns(scenario, (guest) => guest).runs[0]!);
}

function problems(text: string): string {
  try {
    parseScenario(text, 'a.yaml');
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the scenario has no mistake');
}

const running = ({ vcpus }: VmRecord): number => vcpus.reduce((sum, { runningNs }) => sum + runningNs, 0);

test('two pools with different schedulers, and the rest of the host', () => {
  const record = run(`
name: a
duration: 3 s
host:
  pcpus: 4
  frequency: 1 GHz
  scheduler: round-robin
  pools:
    - { name: real-time, pcpus: 3, scheduler: rtds }
    - { name: batch, pcpus: [1, "2-2"], scheduler: { policy: cfs } }
  threads: [{ name: device, demand: { model: io, work_us: 100, wait_us: 900 } }]
vms:
  - { name: rt, demand: hog, pool: real-time, scheduling: { rtds: {} }, vcpu_scheduling: { rtds: { budget_us: 4000, extratime: false } } }
  - { name: heavy, demand: hog, vcpus: 2, pool: batch, weight: 512 }
  - { name: light, demand: hog, vcpus: 2, pool: batch, affinity: { hard: ["0-2"] } }
  - { name: plain, demand: hog }
`);
  const [rt, heavy, light, plain] = record.vms.map(running) as [number, number, number, number];
  // A budget of 4 ms in each period of 10 ms.
  expect(Math.abs(rt / (1200 * MS) - 1)).toBeLessThan(0.01);
  // Two pCPUs by weight, 2:1; the pool is theirs.
  expect(Math.abs(heavy / (4000 * MS) - 1)).toBeLessThan(0.03);
  expect(Math.abs(light / (2000 * MS) - 1)).toBeLessThan(0.05);
  // pCPU 0, which the thread uses as well; round robin makes it wait for the slices of the hog.
  expect(plain).toBeGreaterThan(2500 * MS);
  expect(plain).toBeLessThan(3000 * MS);
  // Everything is in an account: each pCPU's cycles are its 3 s, less the part of a slice that is under way.
  for (const pcpu of record.pcpus) {
    const { guestCycles, switchCycles, threadCycles, idleCycles } = pcpu;
    const sum = guestCycles + switchCycles + threadCycles + idleCycles;
    expect(Math.abs(sum - 3000 * MS)).toBeLessThan(20_000);
  }
  const idle = record.pcpus.map(({ idleCycles }) => Math.round(idleCycles / (30 * MS)));
  expect(idle).toEqual([0, 0, 0, 60]);
});

test('an executed guest in a pool, with its native twin', () => {
  const scenario = parseScenario(
    'name: a\nhost: { pcpus: 2, pools: [{ name: p, pcpus: 1, scheduler: credit2 }] }\nvms: [{ name: v, guest: hello, pool: p }]',
    'a.yaml',
  );
  const records = planRuns(scenario, (guest) => guest).runs.map((one) => runWorld(one));
  expect(records.map(({ outcome }) => outcome)).toEqual(['finished', 'finished']);
  expect(records[0]!.vms[0]!.console).toBe(records[1]!.vms[0]!.console);
  expect(records[0]!.pcpus.map(({ guestCycles }) => guestCycles > 0)).toEqual([false, true]);
});

const POOLS = (pools: string, vm = '', more = ''): string => `
name: a
host: { pcpus: 4${more}, pools: [${pools}] }
vms: [{ name: v, demand: hog${vm} }]
`;

test.each([
  [
    POOLS('{ name: x, pcpus: "0-1" }, { name: y, pcpus: [3, 1] }'),
    /a\.yaml:3:\d+: host\.pools\[1\]\.pcpus\[1\]: found 1, but physical CPU 1 is in pool x/,
  ],
  [POOLS('{ name: x, pcpus: [] }'), /host\.pools\[0\]\.pcpus/],
  [POOLS('{ name: x, pcpus: "2-1" }'), /host\.pools\[0\]\.pcpus: found "2-1", expected physical CPUs from 0 to 3/],
  [POOLS('{ name: x, pcpus: 4 }'), /host\.pools\[0\]\.pcpus: found 4, expected physical CPUs from 0 to 3/],
  [
    POOLS('{ name: x, pcpus: 1 }, { name: x, pcpus: 2 }'),
    /pools\[1\]\.name: found "x", but another pool has that name/,
  ],
  [POOLS('{ name: default, pcpus: 1 }'), /pools\[0\]\.name: found "default", but that is the pool of/],
  [
    POOLS('{ name: batch, pcpus: 1 }', ', pool: bath'),
    /vms\[0\]\.pool: found "bath", expected one of default, batch\. Did you mean "batch"\?/,
  ],
  [
    POOLS('{ name: x, pcpus: "0-3" }'),
    /vms\[0\]\.pool: missing: no physical CPU is outside of host\.pools, expected one of x/,
  ],
  [
    POOLS('{ name: x, pcpus: 1 }', ', pool: x, affinity: { hard: [0, 2] }'),
    /affinity\.hard: found .*, but pool x has none/,
  ],
  [POOLS('{ name: x, pcpus: 1, scheduler: credits }'), /pools\[0\]\.scheduler.*credits/],
  [POOLS('{ name: x, pcpus: 1, scheduler: rtds }', ', pool: x, scheduling: { nice: 3 }'), /scheduling/],
  [
    POOLS('{ name: x, pcpus: "0-3" }', ', pool: x', ', threads: [{ name: t, demand: hog }]'),
    /host\.threads: found 1, but they run in the pool default/,
  ],
  [POOLS('{ name: x, pcpus: 0 }', '', ', hypervisor: type-0'), /host\.pools: found 1, but type-0 gives/],
  ['name: a\nvms: [{ name: v, demand: hog, pool: x }]', /vms\[0\]\.pool: found "x", but there is no host\.pools/],
])('%# mistakes have a place', (text, message) => {
  expect(problems(text)).toMatch(message);
});

describe('a pool with a scheduler that is a file of the user', () => {
  const FILE = './scenarios/custom/shortest-first.js';
  const text = (scheduler: string): string => `
name: a
duration: 40 ms
host: { pcpus: 2, pools: [{ name: mine, pcpus: 1, scheduler: ${scheduler} }] }
vms:
  - { name: in, count: 2, demand: hog, pool: mine }
  - { name: out, demand: hog }
`;

  test('runs there, and a copy of the scenario has the hash of its text, which no other file passes', () => {
    const scenario = parseScenario(text(`{ module: ${FILE}, slice_us: 500 }`), 'a.yaml');
    // Two hogs share the pool's pCPU, but for what switching costs.
    const shares = run(text(`{ module: ${FILE}, slice_us: 500 }`)).vms.map(running);
    for (const share of shares.slice(0, 2)) expect(Math.abs(share - 20 * MS)).toBeLessThan(0.5 * MS);
    const hash = createHash('sha256').update(readFileSync(FILE)).digest('hex');
    const copy = scenarioText(withGuestCopies(scenario, (file) => file).scenario.doc);
    expect(copy).toContain(`module: schedulers/shortest-first.js\n        export: default\n        sha256: ${hash}\n`);
    const back = copy.replace('schedulers/shortest-first.js', FILE);
    expect(() => parseScenario(back, 'a.yaml')).not.toThrow();
    expect(() => parseScenario(back.replace(hash, 'a'.repeat(64)), 'a.yaml')).toThrow(
      new RegExp(`host.pools\\[0\\].scheduler.module: .*its SHA-256 is ${hash}, not that of the scenario`),
    );
  });

  test('its parameters are checked, with their place', () => {
    expect(() => parseScenario(text(`{ module: ${FILE}, slice: 500 }`), 'a.yaml')).toThrow(
      /host.pools\[0\].scheduler.slice: unknown key. Did you mean "slice_us"/,
    );
  });
});

/** Cold caches and halt polling in scenarios, up to the tables; expected values are worked out by hand. */
import { expect, test } from 'vitest';
import { runWorld } from '../../src/lab/build.ts';
import { METRICS } from '../../src/lab/metrics/index.ts';
import { foldAll } from '../../src/lab/metrics/metric.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { parseScenario, scenarioText } from '../../src/lab/scenario.ts';
import { type Frame, frameOf, num } from '../../src/report/frame.ts';

/** The tables of a scenario by name. */
function tablesOf(text: string): Record<string, Frame> {
  const scenario = parseScenario(text, 'a.yaml');
  const again = parseScenario(scenarioText(scenario.doc), 'b.yaml');
  expect(again.points).toEqual(scenario.points);
  const records = planRuns(scenario, (guest) => guest).runs.map((run) => runWorld(run));
  return Object.fromEntries(foldAll(METRICS, records, scenario.axes).map((table) => [table.name, frameOf(table)]));
}

function problems(text: string): string {
  try {
    parseScenario(text, 'a.yaml');
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the scenario has no mistake');
}

const HOGS = (refill: string): string => `
name: a
duration: 100 ms
host: { frequency: 2 GHz, scheduler: { policy: round-robin, quantum_ms: 10 }${refill} }
vms: [{ name: h, count: 2, demand: hog }]
`;

test('a refill in cycles or as a duration is in switch_cycles', () => {
  const cycles = (refill: string): number => num(tablesOf(HOGS(refill))['pcpus']!.rows[0]!, 'switch_cycles')!;
  const none = cycles('');
  // Eight switches after the first two, each after 10 ms or more away; 1 us is 2000 cycles at 2 GHz.
  expect(cycles(', cache_refill: { same: 1 us }') - none).toBe(8 * 2000);
  expect(cycles(', cache_refill: { same: 2001 }') - none).toBe(8 * 2001);
  expect(cycles(', cache_refill: { core: 1 ms, socket: 1 ms, other: 1 ms }') - none).toBe(0);
});

const IO = (host: string, vm: string): string => `
name: a
duration: 100 ms
host: { frequency: 1 GHz${host} }
vms:
  - { name: a, demand: { model: periodic, work_us: 50, period_us: 100 }${vm} }
  - { name: b, vcpus: 1, affinity: { hard: [0] }, demand: { model: periodic, work_us: 10, period_us: 100000 } }
`;

test('polls and their times are in a table of their own, only where there are some', () => {
  expect(tablesOf(IO('', ''))['halt-polling']).toBeUndefined();
  const own = tablesOf(IO('', ', halt_polling: {}'))['halt-polling']!.rows;
  expect(own.map((row) => row['vm'])).toEqual(['a']);
  const [row] = own;
  // Blocks of about 50 us: windows of 10, 20 and 40 us are too short, one of 80 us always long enough.
  expect(num(row!, 'fail_ns')).toBeLessThanOrEqual(80_000);
  expect(num(row!, 'successful')).toBeGreaterThan(980);
  expect(num(row!, 'attempted')! - num(row!, 'successful')!).toBeLessThanOrEqual(5);
  const all = tablesOf(IO(', halt_polling: { max: 40 us }', ', halt_polling: { max: 0 ns }'))['halt-polling']!.rows;
  expect(all.map((one) => [one['vm'], num(one, 'attempted')])).toEqual([
    ['a', 0],
    ['b', 0],
  ]);
});

const PIPELINE = (polling: string): string => `
name: a
duration: 10 s
baseline: none
host: { pcpus: 2${polling} }
vms: [{ name: p, guest: nano-smp, vcpus: 2, workload: "pipeline n=50 work=200" }]
`;

test('an executed guest computes the same, and its IPIs come during polls', () => {
  const run = (text: string) => runWorld(planRuns(parseScenario(text, 'a.yaml'), (guest) => guest).runs[0]!).vms[0]!;
  const [plain, polls] = [run(PIPELINE('')), run(PIPELINE(', halt_polling: {}'))];
  expect(plain.outcome).toBe('completed');
  expect([polls.outcome, polls.console]).toEqual([plain.outcome, plain.console]);
  const successful = polls.vcpus.reduce((sum, { haltPolling }) => sum + haltPolling!.successful, 0);
  expect(successful).toBeGreaterThan(10);
});

test.each([
  [
    HOGS(', cache_refill: { same: 2 s }'),
    /host\.cache_refill\.same: found "2 s", expected a duration from 0 ns to 1 s/,
  ],
  [HOGS(', cache_refill: { full_after: 0 ns }'), /full_after: found "0 ns", expected a duration from 1 ns/],
  [HOGS(', cache_refill: { node: 3 }'), /cache_refill\.node: unknown key/],
  [IO('', ', halt_polling: { grow_start: 0 ns }'), /vms\[0\]\.halt_polling\.grow_start: found "0 ns"/],
])('%# mistakes have a place', (text, message) => {
  expect(problems(text)).toMatch(message);
});

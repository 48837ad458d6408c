/** Tables of scheduling, against examples that can be worked out by hand. */
import { describe, expect, test } from 'vitest';
import { runWorld } from '../../src/lab/build.ts';
import { METRICS } from '../../src/lab/metrics/index.ts';
import { foldAll } from '../../src/lab/metrics/metric.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { parseScenario } from '../../src/lab/scenario.ts';
import { isResultFile } from '../../src/report/folder.ts';
import { type Frame, frameOf, num, type Row } from '../../src/report/frame.ts';

const MS = 1_000_000;

/** The tables of a scenario by name. */
function tablesOf(text: string): Record<string, Frame> {
  const scenario = parseScenario(`name: a\n${text}`, 'a.yaml');
  const records = planRuns(scenario, (guest) => guest).runs.map((run) => runWorld(run));
  return Object.fromEntries(foldAll(METRICS, records, scenario.axes).map((table) => [table.name, frameOf(table)]));
}

const row = (frame: Frame | undefined, vm: string): Row => frame!.rows.find((one) => one['vm'] === vm)!;

const TWO_HOGS = `
duration: 1 s
host: { pcpus: 1, frequency: 1 GHz, scheduler: { policy: round-robin, quantum_ms: 10 } }
vms:
  - { name: a, demand: hog }
  - { name: b, demand: hog, weight: 512, cap: 50 }
`;

test('they are written where they are asked for only, and recognised as results', () => {
  const names = ['scheduling-runs', 'scheduling-vms', 'scheduling-vcpus'];
  expect(Object.keys(tablesOf(TWO_HOGS)).filter((name) => names.includes(name))).toEqual([]);
  expect(Object.keys(tablesOf(`metrics: [scheduling]${TWO_HOGS}`)).filter((name) => names.includes(name))).toEqual(
    names,
  );
  for (const name of names) expect(isResultFile(`${name}.csv`)).toBe(true);
});

test('round robin: equal shares, 50 turns of 10 ms each', () => {
  const tables = tablesOf(`metrics: [scheduling]${TWO_HOGS}`);
  const a = row(tables['scheduling-vms'], 'a');
  expect(Math.abs(num(a, 'running_ns')! + num(a, 'ready_ns')! - 1000 * MS)).toBe(0);
  expect(Math.abs(num(a, 'share_ratio')! - 0.5)).toBeLessThan(0.001);
  expect(Math.abs(num(a, 'dispatches')! - 50)).toBeLessThanOrEqual(1);
  expect(Math.abs(num(a, 'switches_involuntary')! - 50)).toBeLessThanOrEqual(1);
  expect(num(a, 'wake_to_run_count')).toBe(0);
  expect(a['wake_to_run_max_ns']).toBe('');
  expect(row(tables['scheduling-vms'], 'b')).toMatchObject({ weight: '512', cap_percent: '50' });
  const [run] = tables['scheduling-runs']!.rows;
  expect(run).toMatchObject({ scheduler: 'round-robin', pcpus: '1', vcpus: '2', pcpu_idle_ns: '0', jobs: '0' });
  const pcpu = ['pcpu_busy_ns', 'pcpu_switch_ns', 'pcpu_idle_ns'].map((name) => num(run!, name)!);
  expect(pcpu[0]! + pcpu[1]! + pcpu[2]!).toBe(1000 * MS);
});

test('a period of 10 ms with 4 ms of work, alone: no wait, each response 4 ms, no miss', () => {
  const tables = tablesOf(`metrics: [scheduling]
duration: 1 s
host: { pcpus: 1, frequency: 1 GHz }
vms: [{ name: rt, vcpus: 1, demand: { model: periodic, work_us: 4000, period_us: 10000 } }]
`);
  const rt = row(tables['scheduling-vcpus'], 'rt');
  expect(num(rt, 'jobs')).toBe(100);
  expect(num(rt, 'units')).toBe(100);
  expect(num(rt, 'deadline_misses')).toBe(0);
  expect(num(rt, 'tardiness_max_ns')).toBe(0);
  expect(num(rt, 'response_count')).toBe(100);
  // Only the first context switch can add to a response.
  for (const name of ['p50', 'p95', 'p99']) expect(num(rt, `response_${name}_ns`)).toBe(4 * MS);
  expect(Math.abs(num(rt, 'response_max_ns')! - 4 * MS)).toBeLessThan(0.01 * MS);
  expect(num(rt, 'running_ns')).toBe(400 * MS);
  expect(num(rt, 'wake_to_run_p50_ns')).toBe(0);
});

test('what the monitor saw: turns of 10 ms, the cap that round robin does not know', () => {
  const tables = tablesOf(`metrics: [scheduling]${TWO_HOGS}`);
  const a = row(tables['scheduling-vms'], 'a');
  const b = row(tables['scheduling-vms'], 'b');
  // b is entitled to 50 % of the pCPU by its cap, although its weight is twice that of a.
  for (const vm of [a, b]) {
    expect(Math.abs(num(vm, 'entitled_ns')! - 500 * MS)).toBeLessThan(MS);
    expect(Math.abs(num(vm, 'allocation_ratio')! - 1)).toBeLessThan(0.01);
    expect(Math.abs(num(vm, 'full_run_ratio')! - 0.5)).toBeLessThan(0.01);
    expect(Math.abs(num(vm, 'full_run_ratio')! + num(vm, 'full_contention_ratio')! - 1)).toBeLessThan(2e-6);
    expect(Math.abs(num(vm, 'preempt_to_run_p50_ns')! - 10 * MS)).toBeLessThan(0.1 * MS);
    expect(num(vm, 'preempt_to_run_count')).toBeGreaterThanOrEqual(48);
    expect(vm).toMatchObject({
      migrations_core: '0',
      migrations_socket: '0',
      migrations_other: '0',
      speedup_ratio: '',
    });
  }
  const [run] = tables['scheduling-runs']!.rows;
  expect(run).toMatchObject({ wasted_idle_ns: '0', stp_ratio: '', antt_ratio: '' });
  expect(num(run!, 'jain_index')!).toBeGreaterThan(0.9999);
});

test('one vCPU of two shares its pCPU: half a second of skew, and a concurrency hazard half of the time', () => {
  const tables = tablesOf(`metrics: [scheduling]
duration: 1 s
host: { pcpus: 2, frequency: 1 GHz, scheduler: { policy: round-robin, quantum_ms: 10 } }
vms:
  - { name: pair, vcpus: 2, demand: hog, affinity: [{ hard: [0] }, { hard: [1] }] }
  - { name: other, demand: hog, affinity: { hard: [1] } }
`);
  const pair = row(tables['scheduling-vms'], 'pair');
  expect(Math.abs(num(pair, 'skew_ns')! - 500 * MS)).toBeLessThan(MS);
  expect(Math.abs(num(pair, 'full_run_ratio')! - 0.5)).toBeLessThan(0.01);
  expect(Math.abs(num(pair, 'concurrency_hazard_ratio')! - 0.5)).toBeLessThan(0.01);
  // Equal weights: a pCPU for each VM, of which the pair has half a pCPU more than its due.
  expect(Math.abs(num(pair, 'allocation_ratio')! - 1.5)).toBeLessThan(0.01);
  expect(Math.abs(num(pair, 'lag_min_ns')! + 500 * MS)).toBeLessThan(6 * MS);
  const [run] = tables['scheduling-runs']!.rows;
  // Normalised shares 1.5 and 0.5: (1.5 + 0.5)^2 / (2 (1.5^2 + 0.5^2)) = 0.8.
  expect(Math.abs(num(run!, 'jain_index')! - 0.8)).toBeLessThan(0.005);
  expect(run).toMatchObject({ wasted_idle_ns: '0' });
});

describe('baseline: alone', () => {
  const text = (vms: string): string => `
metrics: [scheduling]
baseline: alone
duration: 1 s
host: { pcpus: 1, frequency: 1 GHz, scheduler: { policy: round-robin, quantum_ms: 10 } }
sweep: { cpus: { path: host.pcpus, values: [1, 2] } }
vms: ${vms}
`;

  test('two hogs on one pCPU go half as fast as alone, on two pCPUs as fast; a demand that fits loses nothing', () => {
    const tables = tablesOf(text('[{ name: a, demand: hog }, { name: b, demand: { model: hog, work_us: 100000 } }]'));
    const runs = tables['scheduling-runs']!.rows;
    // Each of the two points has two VMs to run alone.
    expect(tables['runs']!.rows.map((run) => run['role'])).toEqual(['point', 'point', ...Array(4).fill('baseline')]);
    expect(runs).toHaveLength(2);
    const speedups = tables['scheduling-vms']!.rows.map((vm) => num(vm, 'speedup_ratio')!);
    // b does its 100 ms of work in 200 ms; a has half of 200 ms and all of the other 800 ms.
    for (const [i, expected] of [0.9, 0.5, 1, 1].entries())
      expect(Math.abs(speedups[i]! - expected)).toBeLessThan(0.03);
    const [one, two] = runs.map((run) =>
      ['stp_ratio', 'antt_ratio', 'unfairness_ratio'].map((name) => num(run, name)!),
    );
    for (const [i, expected] of [1.4, (1 / 0.9 + 2) / 2, 1.8].entries()) {
      expect(Math.abs(one![i]! / expected - 1)).toBeLessThan(0.05);
    }
    for (const [i, expected] of [2, 1, 1].entries()) expect(Math.abs(two![i]! - expected)).toBeLessThan(0.01);
  });

  test('a point with one VM is its own', () => {
    const tables = tablesOf(text('[{ name: a, demand: hog }]'));
    expect(tables['runs']!.rows).toHaveLength(2);
    expect(tables['scheduling-vms']!.rows.map((vm) => vm['speedup_ratio'])).toEqual(['1', '1']);
  });
});

test('throttling.csv: cpu.max in the terms of cpu.stat, where there is a limit', () => {
  const text = (cap: string): string => `metrics: [scheduling]
duration: 1005 ms
host: { pcpus: 1, frequency: 1 GHz, scheduler: { policy: cfs, hrtick: true } }
vms: [{ name: a, demand: hog${cap} }]
`;
  expect(tablesOf(text(''))['throttling']).toBeUndefined();
  const [row] = tablesOf(text(', cap: 25'))['throttling']!.rows;
  expect(row).toMatchObject({ vm: 'a', periods: '10', throttled_periods: '10', throttled_ratio: '1', bursts: '0' });
  // 75 ms in each of ten periods.
  expect(Math.abs(num(row!, 'throttled_ns')! - 750 * MS)).toBeLessThan(MS);
});

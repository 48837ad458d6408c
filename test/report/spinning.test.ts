/** Chart `spinning`: what executed guests lose, who do not say how long they spin, by hand; and a choice of tables. */
import { expect, test } from 'vitest';
import { METRICS } from '../../src/lab/metrics/index.ts';
import { isWanted, type Table } from '../../src/lab/metrics/metric.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import { spinning } from '../../src/report/charts/spinning.ts';
import { resultsOf } from '../../src/report/results.ts';

const COLUMNS = ['run_id', 'vm', 'running_ns', 'units', 'spin_ns'];

/** Two cases, two columns, two seeds; `spin` is what the VM says of itself. */
function bars(spin: number | null): { bar: string; column: string; waste: number; low: number; high: number }[] {
  const scenario = defineScenario({
    name: 'losses',
    vms: [{ name: 'locks', demand: 'hog' }],
    sweep: {
      case: { path: 'host.scheduler', values: ['credit', 'cfs'] },
      pcpus: { path: 'host.pcpus', values: [1, 2] },
    },
    seeds: [1, 2],
    baseline: 'none',
    tables: ['scheduling-vms'],
  });
  // CPU time of ten units: 100 alone, with neighbours 200 and 400 under credit, 125 under cfs.
  const times = { credit: [100, 100, 200, 400], cfs: [100, 100, 125, 125] };
  const runs: (string | number)[][] = [];
  const vms: (string | number | null)[][] = [];
  for (const [name, [a, b, c, d]] of Object.entries(times)) {
    for (const [column, seed, running] of [
      [1, 1, a],
      [1, 2, b],
      [2, 1, c],
      [2, 2, d],
    ] as const) {
      runs.push([runs.length + 1, 'point', seed, name, column, 1_000_000_000]);
      vms.push([runs.length, 'locks', running!, 10, spin]);
    }
  }
  const tables: Table[] = [
    { name: 'runs', columns: ['run_id', 'role', 'seed', 'case', 'pcpus', 'simulated_ns'], rows: runs },
    { name: 'scheduling-vms', columns: COLUMNS, rows: vms },
  ];
  const drawing = spinning.draw(resultsOf(scenario, tables), undefined);
  return (drawing!.spec['data'] as { values: ReturnType<typeof bars> }).values;
}

test('an executed VM loses what its work takes beyond that in the first column, seed by seed', () => {
  const found = bars(null);
  const of = (bar: string, column: string) => found.find((one) => one.bar === bar && one.column === column)!;
  expect(of('credit', '1')).toMatchObject({ waste: 0, low: 0, high: 0 });
  // 1 - 100/200 and 1 - 100/400: mean 0.625, and with two seeds the interval is all there is.
  expect(of('credit', '2')).toMatchObject({ waste: 0.625, low: 0, high: 1 });
  expect(of('cfs', '2')).toMatchObject({ waste: 0.2, low: 0.2, high: 0.2 });
});

test('one that says how long it spins is believed', () => {
  expect(bars(50).find(({ bar, column }) => bar === 'cfs' && column === '2')).toMatchObject({ waste: 0.4, low: 0.4 });
});

test('tables: all, those of one row per run, or a list beside runs', () => {
  const names = (tables: 'runs' | string[] | undefined): string[] =>
    METRICS.filter((metric) => isWanted(metric, tables)).map(({ name }) => name);
  expect(names(undefined)).toEqual(METRICS.map(({ name }) => name));
  expect(names('runs')).toEqual(['runs', 'scheduling-runs']);
  expect(names(['vms', 'exits'])).toEqual(['runs', 'vms', 'exits']);
  const vms = [{ name: 'a', demand: 'hog' as const }];
  expect(() => defineScenario({ name: 'x', vms, tables: ['rows'] as never })).toThrow('scheduling-vms');
});

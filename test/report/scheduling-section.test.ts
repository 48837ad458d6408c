/** The table of scheduling in the report, and charts that had nothing to show, on rows written by hand. */
import { expect, test } from 'vitest';
import { parseScenario } from '../../src/lab/scenario.ts';
import { CHART_NAMES } from '../../src/report/charts/index.ts';
import { seriesName } from '../../src/report/density.ts';
import { reportPage } from '../../src/report/page.ts';
import { resultsOf } from '../../src/report/results.ts';
import { schedulingSection } from '../../src/report/scheduling-section.ts';

const scenario = parseScenario(
  `
name: a
vms: [{ name: a, demand: hog }]
sweep: { scheduler: { path: host.scheduler, values: [credit, cfs] }, cpus: { path: host.pcpus, values: [4, 2] } }
charts: [latency, gantt, latency]
`,
  'a.yaml',
  { charts: CHART_NAMES },
);
const COLUMNS = ['run_id', 'utilization_ratio', 'wasted_idle_ns', 'pcpu_busy_ns', 'pcpu_switch_ns', 'pcpu_idle_ns'];
const TIMES = ['running_ns', 'ready_ns', 'parked_ns', 'costopped_ns', 'wake_to_run_p99_ns', 'jobs', 'deadline_misses'];
const results = resultsOf(scenario, [
  {
    name: 'runs',
    columns: ['run_id', 'role', 'scheduler', 'cpus'],
    rows: [
      [1, 'point', 'credit', '4'],
      [2, 'point', 'cfs', '4'],
      [3, 'baseline', '', ''],
    ],
  },
  {
    name: 'scheduling-runs',
    columns: [...COLUMNS, ...TIMES],
    rows: [
      [1, 0.75, 50, 300, 0, 100, 300, 100, 0, 0, 1500, 8, 2],
      [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, null, 0, 0],
      [3, 1, 0, 400, 0, 0, 400, 0, 0, 0, null, 0, 0],
    ],
  },
]);

test('a row per point of the sweep, with parts of the time that they are parts of', () => {
  const html = schedulingSection(results);
  const rows = [...html.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row]) =>
    row!.replace(/<[^>]+>/g, '|').replace(/\|+/g, '|'),
  );
  expect(rows).toEqual([
    '|run|scheduler|cpus|utilization|wasted idle|ready|wake p99|misses|',
    // 50 of 400 ns wasted, 100 of 400 ns waiting, 2 of 8 jobs late.
    '|1|credit|4|75 %|12.5 %|25 %|1.5 \u00b5s|25 %|',
    '|2|cfs|4|0 %|',
  ]);
  expect(schedulingSection(resultsOf(scenario, []))).toBe('');
});

test('the page names charts that had nothing to show, once, and all numbers of physical CPUs', () => {
  const page = reportPage(results, [], '9.9.9');
  expect(page).toContain('Not drawn, because the results have not what they show: latency and gantt.');
  expect(page).toContain('2 or 4 physical CPUs');
  expect(page).toContain('schedulers credit and cfs.');
});

test('a bare number in the name of a series says what it counts', () => {
  expect(seriesName({ vcpus: '2', lock_kind: 'tas' }, ['vcpus', 'lock_kind'])).toBe('vcpus 2 \u00b7 tas');
});

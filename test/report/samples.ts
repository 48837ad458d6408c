/** Results of the scenarios that come with hvsim, from the fake world: plausible, and made in milliseconds. */
import { readFileSync } from 'node:fs';
import { tablesOf } from '../../src/lab/metrics/index.ts';
import type { Table } from '../../src/lab/metrics/metric.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { parseScenario, type Scenario } from '../../src/lab/scenario.ts';
import { CHART_NAMES } from '../../src/report/charts/index.ts';
import { type Results, resultsOf } from '../../src/report/results.ts';
import { runWorld } from '../lab/fake-world.ts';

export interface Sample {
  readonly scenario: Scenario;
  readonly tables: readonly Table[];
  readonly results: Results;
}

/** All charts are asked for, also those that the scenario does without. */
export function sample(name: string): Sample {
  const text = readFileSync(`scenarios/${name}.yaml`, 'utf8').replace(
    /^charts: .*$/m,
    `charts: [${CHART_NAMES.join(', ')}]`,
  );
  const scenario = parseScenario(text, `${name}.yaml`, { charts: CHART_NAMES });
  const records = planRuns(scenario, (guest) => guest).runs.map(runWorld);
  const tables = tablesOf(records, scenario.axes);
  return { scenario, tables, results: resultsOf(scenario, tables) };
}

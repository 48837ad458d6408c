/**
 * A scenario from plan to tables: what `hvsim run` and programs that use hvsim as a library have in common.
 * Invariant: the tables depend on the scenario only.
 */
import { METRICS } from './metrics/index.ts';
import { foldAll, isWanted, type Table } from './metrics/metric.ts';
import { planRuns } from './plan.ts';
import type { RunRecord } from './rows.ts';
import { type Defect, type RunOptions, runAll } from './run.ts';
import type { Scenario } from './scenario.ts';

export interface ExperimentOptions extends RunOptions {
  /** Absolute path of a guest that the scenario names by a path; as it is written, by default. */
  readonly fileOf?: (guest: string) => string;
  /** Called with the number of runs before the first starts. */
  readonly onPlan?: (runs: number) => void;
}

export interface Experiment {
  readonly scenario: Scenario;
  readonly records: readonly RunRecord[];
  /** One per CSV file, in order. */
  readonly tables: readonly Table[];
  readonly defects: readonly Defect[];
}

export async function runScenario(scenario: Scenario, options: ExperimentOptions): Promise<Experiment> {
  const plan = planRuns(scenario, options.fileOf ?? ((guest) => guest));
  options.onPlan?.(plan.runs.length);
  const { records, defects } = await runAll(plan, options);
  const metrics = METRICS.filter((metric) => isWanted(metric, scenario.doc.tables));
  const tables = foldAll(metrics, records, scenario.axes);
  return { scenario, records, tables, defects };
}

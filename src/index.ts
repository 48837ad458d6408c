/**
 * hvsim as a library: scenarios as data, runs, tables, charts.
 *
 *   const scenario = defineScenario({ name: 'mine', vms: [{ name: 'vm', guest: 'nano', workload: 'sieve n=10000' }] });
 *   const { tables } = await runScenario(scenario, { jobs: 2 });
 *
 * Importing this loads neither Vega nor a native module; they come with the first chart.
 */
export { assert, Bug, UserError } from './core/errors.ts';
export type { Param, ParamSet } from './host/params.ts';
export {
  definePolicy,
  type PolicyDescription,
  type Scheduler,
  type SchedulerHost,
  type SchedulerPolicy,
} from './host/scheduler.ts';
export { buildWorld, finishWorld, runWorld, type World } from './lab/build.ts';
export { type Experiment, type ExperimentOptions, runScenario } from './lab/experiment.ts';
export { METRICS } from './lab/metrics/index.ts';
export type { Cell, Metric, Table } from './lab/metrics/metric.ts';
export { type Plan, planRuns, type ResolvedRun, type ResolvedVm } from './lab/plan.ts';
export { type Problem, ScenarioError } from './lab/problems.ts';
export type { RunRecord, VmOutcome, VmRecord } from './lab/rows.ts';
export { type RunOptions, runAll } from './lab/run.ts';
export {
  defineScenario,
  type ParseOptions,
  type Point,
  parseScenario,
  type Scenario,
  scenarioText,
} from './lab/scenario.ts';
export type { ScenarioDoc, ScenarioInput } from './lab/schema.ts';
export type { Chart, Drawing } from './report/charts/chart.ts';
export { CHARTS } from './report/charts/index.ts';
export { compareFolders } from './report/compare.ts';
export { csvText } from './report/csv.ts';
export { reportPage } from './report/page.ts';
export { renderPng } from './report/png.ts';
export { loadResults, type Results, resultsOf } from './report/results.ts';
export { renderSvg, type Spec } from './report/svg.ts';
export { drawAll, writeCharts, writeResults } from './report/write.ts';

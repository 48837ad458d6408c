/**
 * hvsim run: scenarios in, folders of results out.
 * Invariant: nothing is run unless every scenario is right; what is written does not depend on `--jobs`.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { runScenario } from '../lab/experiment.ts';
import { withGuestCopies } from '../lab/guest-files.ts';
import type { RunRecord } from '../lab/rows.ts';
import { jobsOf } from '../lab/run.ts';
import { ResultFolder } from '../report/folder.ts';
import { writeResults } from '../report/write.ts';
import type { EngineName } from '../vmm/machine.ts';
import { type LoadedScenario, loadScenarios } from './load.ts';
import { packageVersion } from './package.ts';
import { Progress } from './progress.ts';
import { note, print } from './terminal.ts';

export interface RunCommandOptions {
  readonly out: string;
  readonly set?: readonly string[];
  readonly seed?: string;
  readonly jobs?: string;
  readonly engine: EngineName;
  readonly quiet?: boolean;
}

/** Answers the exit code. */
export async function runCommand(files: readonly string[], options: RunCommandOptions): Promise<number> {
  const jobs = jobsOf(options.jobs, availableParallelism());
  const seed = options.seed === undefined ? {} : { seed: seedOf(options.seed) };
  const scenarios = loadScenarios(files, { ...seed, set: options.set ?? [] });
  refuseSameName(scenarios);
  // Fails now, and not after minutes of simulation, when nothing can be written there.
  for (const { scenario } of scenarios) new ResultFolder(join(options.out, scenario.doc.name)).discard();
  let code = 0;
  for (const loaded of scenarios) code = Math.max(code, await runOne(loaded, jobs, options));
  return code;
}

async function runOne(loaded: LoadedScenario, jobs: number, options: RunCommandOptions): Promise<number> {
  const { scenario, files } = withGuestCopies(loaded.scenario, loaded.fileOf);
  const { name } = scenario.doc;
  const quiet = options.quiet === true;
  const progress = new Progress(name, quiet);
  const { records, tables, defects } = await runScenario(scenario, {
    jobs,
    engine: options.engine,
    fileOf: (guest) => files.get(guest) ?? guest,
    onPlan: (runs) => progress.start(runs),
    onDone: () => progress.done(),
  }).finally(() => progress.stop());
  const folder = join(options.out, name);
  await writeResults(folder, scenario, tables, files, { version: packageVersion() });
  for (const record of records) report(name, record, quiet);
  for (const { runId, stack } of defects) note(`${name}: run ${runId}: this is a defect of hvsim:\n${stack}`);
  const failed = records.filter((record) => record.outcome === 'failed').length;
  print(`${name}: ${records.length} runs${failed > 0 ? `, ${failed} failed` : ''}; ${join(folder, 'report.html')}`);
  return defects.length > 0 ? 70 : failed > 0 ? 1 : 0;
}

/** Runs that failed, and guests that crashed. */
function report(name: string, { run, outcome, detail, vms }: RunRecord, quiet: boolean): void {
  if (outcome === 'failed') note(`${name}: run ${run.runId} failed: ${detail}`);
  if (quiet) return;
  for (const vm of vms) {
    if (vm.detail !== '') note(`${name}: run ${run.runId}: ${vm.name}: ${vm.outcome}: ${vm.detail}`);
  }
}

function refuseSameName(scenarios: readonly LoadedScenario[]): void {
  const files = new Map<string, string>();
  for (const { file, scenario } of scenarios) {
    const before = files.get(scenario.doc.name);
    if (before !== undefined) {
      throw new UserError(
        `${file}: has the name "${scenario.doc.name}" as ${before}; their results would overwrite each other`,
      );
    }
    files.set(scenario.doc.name, file);
  }
}

function seedOf(text: string): number {
  const seed = Number(text);
  if (!/^\d{1,10}$/.test(text) || seed > 4294967295) {
    throw new UserError(`--seed: found "${text}", expected a whole number from 0 to 4294967295`);
  }
  return seed;
}

/**
 * hvsim published: runs the scenarios of papers and prints their numbers beside ours.
 * Exit code 1: a row that claims agreement is outside its tolerance.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { runScenario } from '../lab/experiment.ts';
import { PAPERS } from '../lab/papers/index.ts';
import type { Paper } from '../lab/papers/paper.ts';
import { jobsOf } from '../lab/run.ts';
import { didYouMean } from '../lab/suggest.ts';
import { type JudgedPaper, judgePaper, paperMarkdown, paperText, summaryText } from '../report/published.ts';
import { loadResults, type Results, resultsOf } from '../report/results.ts';
import type { EngineName } from '../vmm/machine.ts';
import { loadScenarios } from './load.ts';
import { packageFile } from './package.ts';
import { Progress } from './progress.ts';
import { note, print } from './terminal.ts';

export interface PublishedOptions {
  readonly results?: string;
  readonly markdown?: boolean;
  readonly jobs?: string;
  readonly engine: EngineName;
  readonly quiet?: boolean;
}

export async function publishedCommand(ids: readonly string[], options: PublishedOptions): Promise<number> {
  const judged: JudgedPaper[] = [];
  for (const paper of papersOf(ids)) judged.push(judgePaper(paper, await resultsFor(paper, options)));
  const toText = options.markdown === true ? paperMarkdown : paperText;
  print(judged.map(toText).join('\n\n'));
  if (options.markdown !== true) print(`\n${summaryText(judged)}`);
  const failed = judged.flatMap(({ paper, rows }) =>
    rows.filter(({ verdict }) => verdict === 'fails').map(({ row }) => `${paper.id}: ${row}`),
  );
  for (const row of failed) note(`${row}: claims agreement, but is outside its tolerance`);
  return failed.length > 0 ? 1 : 0;
}

function papersOf(ids: readonly string[]): readonly Paper[] {
  const known = PAPERS.map(({ id }) => id);
  for (const id of ids) {
    if (known.includes(id)) continue;
    const message = `published: found "${id}", expected one of ${known.join(', ')}.${didYouMean(id, known)}`;
    throw new UserError(message.replace(/\.$/, ''));
  }
  return ids.length === 0 ? PAPERS : PAPERS.filter(({ id }) => ids.includes(id));
}

/** From a folder, or by running the scenario now. */
async function resultsFor({ id, hasScenario }: Paper, options: PublishedOptions): Promise<Results | null> {
  if (!hasScenario) return null;
  if (options.results !== undefined) return loadResults(join(options.results, id));
  const jobs = jobsOf(options.jobs, availableParallelism());
  const [loaded] = loadScenarios([packageFile(`scenarios/papers/${id}.yaml`)], {});
  const { scenario, fileOf } = loaded!;
  const progress = new Progress(id, options.quiet === true);
  const { records, tables } = await runScenario(scenario, {
    jobs,
    engine: options.engine,
    fileOf,
    onPlan: (runs) => progress.start(runs),
    onDone: () => progress.done(),
  }).finally(() => progress.stop());
  for (const { run, outcome, detail } of records) {
    if (outcome === 'failed') throw new UserError(`${id}: run ${run.runId} failed: ${detail}`);
  }
  return resultsOf(scenario, tables);
}

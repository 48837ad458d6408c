/**
 * hvsim run: scenarios in, folders of results out.
 * Invariant: nothing is run unless every scenario is right; what is written does not depend on `--jobs`.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { assert, UserError } from '../core/errors.ts';
import type { Ns } from '../core/units.ts';
import type { TimelineWindow } from '../host/timeline.ts';
import { timelineOf } from '../lab/build.ts';
import { runScenario } from '../lab/experiment.ts';
import { withGuestCopies } from '../lab/guest-files.ts';
import type { RunRecord } from '../lab/rows.ts';
import { jobsOf } from '../lab/run.ts';
import { parseQuantity } from '../lab/units.ts';
import { ResultFolder } from '../report/folder.ts';
import { ftraceText } from '../report/ftrace.ts';
import { chromeTrace } from '../report/timeline.ts';
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
  /** True, or the number of the run. */
  readonly timeline?: boolean | string;
  readonly timelineMax?: string;
  /** Simulated times. */
  readonly timelineFrom?: string;
  readonly timelineTo?: string;
  /** One of TIMELINE_FORMATS. */
  readonly timelineFormat?: string;
}

/** How a timeline is written: the name of the file, and what makes its text. */
const TIMELINE_FORMATS = {
  chrome: { file: 'timeline.json', textOf: chromeTrace },
  ftrace: { file: 'timeline.ftrace', textOf: ftraceText },
} as const;
type TimelineFormat = keyof typeof TIMELINE_FORMATS;

/** Segments of a timeline that are kept unless told otherwise: about 50 MB of file. */
const TIMELINE_MAX = 200_000;

/** Answers the exit code. */
export async function runCommand(files: readonly string[], options: RunCommandOptions): Promise<number> {
  const jobs = jobsOf(options.jobs, availableParallelism());
  const timeline = timelineWish(options);
  const seed = options.seed === undefined ? {} : { seed: seedOf(options.seed) };
  const scenarios = loadScenarios(files, { ...seed, set: options.set ?? [] });
  refuseSameName(scenarios);
  // Fails now, and not after minutes of simulation, when nothing can be written there.
  for (const { scenario } of scenarios) new ResultFolder(join(options.out, scenario.doc.name)).discard();
  let code = 0;
  for (const loaded of scenarios) code = Math.max(code, await runOne(loaded, jobs, options, timeline));
  return code;
}

async function runOne(
  loaded: LoadedScenario,
  jobs: number,
  options: RunCommandOptions,
  timeline: TimelineWish | null,
): Promise<number> {
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
  const { notDrawn } = await writeResults(folder, scenario, tables, files, { version: packageVersion() });
  if (notDrawn.length > 0)
    note(`${name}: nothing to show in ${notDrawn.join(', ')} (hvsim list charts says what they need)`);
  if (timeline !== null) writeTimeline(folder, name, records, timeline, options.engine);
  for (const record of records) report(name, record, quiet);
  for (const { runId, stack } of defects) note(`${name}: run ${runId}: this is a defect of hvsim:\n${stack}`);
  const failed = records.filter((record) => record.outcome === 'failed').length;
  print(`${name}: ${records.length} runs${failed > 0 ? `, ${failed} failed` : ''}; ${join(folder, 'report.html')}`);
  return defects.length > 0 ? 70 : failed > 0 ? 1 : 0;
}

interface TimelineWish {
  readonly runId: number;
  readonly window: TimelineWindow;
  readonly format: TimelineFormat;
}

function timelineWish(options: RunCommandOptions): TimelineWish | null {
  const { timeline, timelineMax, timelineFrom, timelineTo, timelineFormat } = options;
  if (timeline === undefined || timeline === false) {
    const more = { max: timelineMax, from: timelineFrom, to: timelineTo, format: timelineFormat };
    const lost = Object.entries(more).find(([, value]) => value !== undefined);
    if (lost !== undefined) throw new UserError(`--timeline-${lost[0]}: needs --timeline`);
    return null;
  }
  const runId = timeline === true ? 1 : wholeNumber('--timeline', timeline);
  const keepMax = timelineMax === undefined ? TIMELINE_MAX : wholeNumber('--timeline-max', timelineMax);
  const fromNs = timelineFrom === undefined ? 0 : timeOf('--timeline-from', timelineFrom);
  const toNs = timelineTo === undefined ? Infinity : timeOf('--timeline-to', timelineTo);
  if (toNs <= fromNs)
    throw new UserError(`--timeline-to: found "${timelineTo}", expected a time after --timeline-from`);
  return { runId, window: { fromNs, toNs, keepMax }, format: formatOf(timelineFormat ?? 'chrome') };
}

function timeOf(option: string, text: string): Ns {
  const value = parseQuantity('duration', text);
  if (typeof value === 'string') throw new UserError(`${option}: found "${text}": ${value}`);
  return value;
}

function formatOf(text: string): TimelineFormat {
  if (Object.hasOwn(TIMELINE_FORMATS, text)) return text as TimelineFormat;
  const allowed = Object.keys(TIMELINE_FORMATS).join(' or ');
  throw new UserError(`--timeline-format: found "${text}", expected ${allowed}`);
}

/** Carries out the run once more, watched, and writes what was seen: the workers need not carry it around. */
function writeTimeline(
  folder: string,
  name: string,
  records: readonly RunRecord[],
  { runId, window, format }: TimelineWish,
  engine: EngineName,
): void {
  const record = records.find(({ run }) => run.runId === runId);
  if (record === undefined) throw new UserError(`--timeline: ${name} has runs 1 to ${records.length}, found ${runId}`);
  if (record.outcome === 'failed') return;
  const { timeline, digest } = timelineOf(record.run, { engine, ...window });
  assert(digest === record.digest, `${name}: run ${runId} took another course when it was watched`);
  const results = new ResultFolder(folder);
  const { file, textOf } = TIMELINE_FORMATS[format];
  results.add(file, textOf(timeline, { scenario: name, run: runId, ...record.run.axes }));
  results.commit(false);
  const dropped = timeline.dropped === 0 ? '' : `; ${timeline.dropped} later entries did not fit (--timeline-max)`;
  print(`${name}: timeline of run ${runId}: ${join(folder, file)} (open in ui.perfetto.dev)${dropped}`);
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

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UserError(`${option}: found "${text}", expected a whole number from 1`);
  return Number(text);
}

function seedOf(text: string): number {
  const seed = Number(text);
  if (!/^\d{1,10}$/.test(text) || seed > 4294967295) {
    throw new UserError(`--seed: found "${text}", expected a whole number from 0 to 4294967295`);
  }
  return seed;
}

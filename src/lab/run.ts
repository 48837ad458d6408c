/**
 * Carries out the runs of a plan, on as many workers as asked for.
 * Invariants: records come in the order of the plan, and are the same for any number of workers; a run that fails does
 * not keep the others from running.
 */
import { UserError } from '../core/errors.ts';
import type { EngineName } from '../vmm/machine.ts';
import type { Plan, ResolvedRun } from './plan.ts';
import { failedRun, type RunRecord } from './rows.ts';
import { type Assignment, type Attempt, attempt, type WorldModule } from './worker.ts';

export interface RunOptions {
  /** Number of workers; 1 runs everything in this thread. */
  readonly jobs: number;
  /** Who executes guest code; changes no result. */
  readonly engine?: EngineName;
  /** Called when a run is done, in the order in which they finish. */
  readonly onDone?: (record: RunRecord) => void;
  /** The module that carries out runs; the real one unless a test says otherwise. */
  readonly world?: WorldModule;
}

/** A defect of hvsim that a run has met. Not part of the results: a stack trace has paths in it. */
export interface Defect {
  readonly runId: number;
  readonly stack: string;
}

export interface RunAllResult {
  readonly records: readonly RunRecord[];
  readonly defects: readonly Defect[];
}

/** The module that wires and runs real worlds. */
export function realWorld(): WorldModule {
  return { url: new URL(isSource() ? './build.ts' : './build.js', import.meta.url).href, name: 'runWorld' };
}

export async function runAll(plan: Plan, options: RunOptions): Promise<RunAllResult> {
  const common = { world: options.world ?? realWorld(), engine: options.engine ?? 'compiled' } as const;
  const jobs = Math.min(options.jobs, plan.runs.length);
  const defects: Defect[] = [];
  const settle = (run: ResolvedRun, result: Attempt): RunRecord => {
    if (result.defect !== undefined) defects.push({ runId: run.runId, stack: result.defect });
    const record = result.record ?? failedRun(run, result.problem ?? 'unknown');
    options.onDone?.(record);
    return record;
  };
  const records =
    jobs > 1 ? await runInPool(plan.runs, jobs, common, settle) : await runHere(plan.runs, common, settle);
  return { records, defects: defects.sort((a, b) => a.runId - b.runId) };
}

/** What all runs of a plan share. */
type Common = Omit<Assignment, 'run'>;

type Settle = (run: ResolvedRun, result: Attempt) => RunRecord;

async function runHere(runs: readonly ResolvedRun[], common: Common, settle: Settle): Promise<RunRecord[]> {
  const records: RunRecord[] = [];
  for (const run of runs) {
    records.push(settle(run, await attempt({ run, ...common })));
    // Lets the progress bar draw itself and an interrupt through.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return records;
}

async function runInPool(
  runs: readonly ResolvedRun[],
  jobs: number,
  common: Common,
  settle: Settle,
): Promise<RunRecord[]> {
  const { Piscina } = await import('piscina');
  const pool = new Piscina({
    filename: new URL(isSource() ? './worker.ts' : './worker.js', import.meta.url).href,
    name: 'attempt',
    minThreads: jobs,
    maxThreads: jobs,
    ...(isSource() ? { execArgv: ['--import', sourceLoader()] } : {}),
  });
  // A worker that cannot even start belongs to no run: give up on all that still wait.
  pool.on('error', () => void pool.destroy());
  try {
    return await Promise.all(
      runs.map(async (run) => {
        const result: Attempt = await pool.run({ run, ...common }).catch((error: unknown) => lost(error));
        return settle(run, result);
      }),
    );
  } finally {
    await pool.destroy();
  }
}

/** The worker itself died, for example because memory ran out. */
function lost(error: unknown): Attempt {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { problem: 'the worker that ran it died', defect: text };
}

/** A module that teaches a worker to load TypeScript: needed during development only, where nothing is compiled. */
function sourceLoader(): string {
  const code = `import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))}; register();`;
  return `data:text/javascript,${encodeURIComponent(code)}`;
}

/** Is this the source, or what the compiler made of it? */
function isSource(): boolean {
  return import.meta.url.endsWith('.ts');
}

/** How many workers to use: `jobs` as typed, or one per core. */
export function jobsOf(text: string | undefined, cores: number): number {
  if (text === undefined) return Math.max(1, cores);
  const jobs = Number(text);
  if (!/^\d{1,4}$/.test(text) || jobs < 1 || jobs > 256) {
    throw new UserError(`--jobs: found "${text}", expected a whole number from 1 to 256`);
  }
  return jobs;
}

/**
 * One run, in this thread; the function that workers of the pool call.
 * Invariant: it never throws. What goes wrong comes back as text, because classes do not survive between threads.
 */
import { UserError } from '../core/errors.ts';
import type { EngineName } from '../vmm/machine.ts';
import type { ResolvedRun } from './plan.ts';
import type { RunRecord, WorldRunner } from './rows.ts';

/** Where the function is that carries out a run: an importable module, and the name of its export. */
export interface WorldModule {
  readonly url: string;
  readonly name: string;
}

/** What came of a run: a record, or a problem; with a stack trace when the problem is a defect of hvsim. */
export interface Attempt {
  readonly record?: RunRecord;
  readonly problem?: string;
  readonly defect?: string;
}

/** What a worker gets. */
export interface Assignment {
  readonly run: ResolvedRun;
  readonly world: WorldModule;
  readonly engine: EngineName;
}

export async function attempt({ run, world, engine }: Assignment): Promise<Attempt> {
  try {
    const module: Readonly<Record<string, unknown>> = await import(world.url);
    const runner = module[world.name] as WorldRunner;
    return { record: runner(run, { engine }) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof UserError) return { problem: message };
    const stack = error instanceof Error ? (error.stack ?? message) : message;
    return { problem: `hvsim failed: ${message.split('\n')[0]}`, defect: stack };
  }
}

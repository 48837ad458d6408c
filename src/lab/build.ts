/**
 * The only file that wires objects: from the plain data of a run to a world, and from the finished world to a record.
 * Invariant: two calls share nothing.
 */
import { UserError } from '../core/errors.ts';
import type { ResolvedRun } from './plan.ts';
import type { RunRecord } from './rows.ts';

export function runWorld(run: ResolvedRun): RunRecord {
  throw new UserError(`run ${run.runId}: no world yet`);
}

/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { cfs } from './cfs.ts';
import { credit } from './credit.ts';
import { eevdf } from './eevdf.ts';
import { roundRobin } from './round-robin.ts';

export const schedulers: readonly SchedulerPolicy[] = [credit, roundRobin, cfs, eevdf];

export { cfs, credit, eevdf, roundRobin };

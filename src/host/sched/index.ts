/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { credit } from './credit.ts';
import { nullScheduler } from './null.ts';
import { roundRobin } from './round-robin.ts';

export const schedulers: readonly SchedulerPolicy[] = [credit, roundRobin, nullScheduler];

export { credit, nullScheduler, roundRobin };

/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { credit } from './credit.ts';
import { lottery } from './lottery.ts';
import { nullScheduler } from './null.ts';
import { roundRobin } from './round-robin.ts';
import { stride } from './stride.ts';

export const schedulers: readonly SchedulerPolicy[] = [credit, lottery, nullScheduler, roundRobin, stride];

export { credit, lottery, nullScheduler, roundRobin, stride };

/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { credit } from './credit.ts';
import { esx } from './esx.ts';
import { hypervClassic } from './hyperv-classic.ts';
import { roundRobin } from './round-robin.ts';

export const schedulers: readonly SchedulerPolicy[] = [credit, esx, hypervClassic, roundRobin];

export { credit, esx, hypervClassic, roundRobin };

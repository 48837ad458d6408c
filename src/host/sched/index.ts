/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { cfs } from './cfs.ts';
import { credit } from './credit.ts';
import { eevdf } from './eevdf.ts';
import { lottery } from './lottery.ts';
import { nullScheduler } from './null.ts';
import { roundRobin } from './round-robin.ts';
import { rtds } from './rtds.ts';
import { stride } from './stride.ts';

export const schedulers: readonly SchedulerPolicy[] = [
  credit,
  roundRobin,
  cfs,
  eevdf,
  lottery,
  nullScheduler,
  stride,
  rtds,
];

export { cfs, credit, eevdf, lottery, nullScheduler, roundRobin, rtds, stride };

/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { cfs } from './cfs.ts';
import { credit } from './credit.ts';
import { credit2 } from './credit2.ts';
import { eevdf } from './eevdf.ts';
import { lottery } from './lottery.ts';
import { nullScheduler } from './null.ts';
import { roundRobin } from './round-robin.ts';
import { rtds } from './rtds.ts';
import { stride } from './stride.ts';

export const schedulers: readonly SchedulerPolicy[] = [
  cfs,
  credit,
  credit2,
  eevdf,
  lottery,
  nullScheduler,
  roundRobin,
  rtds,
  stride,
];

export { cfs, credit, credit2, eevdf, lottery, nullScheduler, roundRobin, rtds, stride };

/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { arinc653 } from './arinc653.ts';
import { bvt } from './bvt.ts';
import { cfs } from './cfs.ts';
import { credit } from './credit.ts';
import { credit2 } from './credit2.ts';
import { eevdf } from './eevdf.ts';
import { esx } from './esx.ts';
import { gang } from './gang.ts';
import { hypervClassic } from './hyperv-classic.ts';
import { lottery } from './lottery.ts';
import { nullScheduler } from './null.ts';
import { roundRobin } from './round-robin.ts';
import { rtds } from './rtds.ts';
import { sedf } from './sedf.ts';
import { stride } from './stride.ts';

export const schedulers: readonly SchedulerPolicy[] = [
  arinc653,
  bvt,
  cfs,
  credit,
  credit2,
  eevdf,
  esx,
  gang,
  hypervClassic,
  lottery,
  nullScheduler,
  roundRobin,
  rtds,
  sedf,
  stride,
];

export {
  arinc653,
  bvt,
  cfs,
  credit,
  credit2,
  eevdf,
  esx,
  gang,
  hypervClassic,
  lottery,
  nullScheduler,
  roundRobin,
  rtds,
  sedf,
  stride,
};

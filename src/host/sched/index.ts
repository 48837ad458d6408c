/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { arinc653 } from './arinc653.ts';
import { balanceOver } from './balance.ts';
import { bvt } from './bvt.ts';
import { cfs } from './cfs.ts';
import { coreSchedulingOver } from './core-scheduling.ts';
import { credit } from './credit.ts';
import { eevdf } from './eevdf.ts';
import { gang } from './gang.ts';
import { lottery } from './lottery.ts';
import { nullScheduler } from './null.ts';
import { roundRobin } from './round-robin.ts';
import { rtds } from './rtds.ts';
import { sedf } from './sedf.ts';
import { stride } from './stride.ts';

/** Policies that stand for themselves. */
const plain: readonly SchedulerPolicy[] = [
  arinc653,
  bvt,
  cfs,
  credit,
  eevdf,
  gang,
  lottery,
  nullScheduler,
  roundRobin,
  rtds,
  sedf,
  stride,
];

/** Policies over one of those. */
const balance = balanceOver(plain);
const coreScheduling = coreSchedulingOver(plain);

export const schedulers: readonly SchedulerPolicy[] = [...plain, balance, coreScheduling];

export {
  arinc653,
  balance,
  bvt,
  cfs,
  coreScheduling,
  credit,
  eevdf,
  gang,
  lottery,
  nullScheduler,
  roundRobin,
  rtds,
  sedf,
  stride,
};

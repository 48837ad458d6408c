/** The scheduling policies, one line each. To add one: copy round-robin.ts, and name yours here. */
import type { SchedulerPolicy } from '../scheduler.ts';
import { arinc653 } from './arinc653.ts';
import { balanceOver } from './balance.ts';
import { bvt } from './bvt.ts';
import { cfs } from './cfs.ts';
import { coreSchedulingOver } from './core-scheduling.ts';
import { credit } from './credit.ts';
import { credit2 } from './credit2.ts';
import { demandCoordinated } from './demand-coordinated.ts';
import { eevdf } from './eevdf.ts';
import { esx } from './esx.ts';
import { gang } from './gang.ts';
import { hybrid } from './hybrid.ts';
import { hypervClassic } from './hyperv-classic.ts';
import { hypervCore } from './hyperv-core.ts';
import { hypervRoot } from './hyperv-root.ts';
import { lottery } from './lottery.ts';
import { microSliced } from './micro-sliced.ts';
import { nullScheduler } from './null.ts';
import { partialBoost } from './partial-boost.ts';
import { roundRobin } from './round-robin.ts';
import { rtds } from './rtds.ts';
import { sedf } from './sedf.ts';
import { stride } from './stride.ts';
import { vslicer } from './vslicer.ts';

/** Policies that stand for themselves. */
const plain: readonly SchedulerPolicy[] = [
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

/** Policies over one of those. */
const balance = balanceOver(plain);
const coreScheduling = coreSchedulingOver(plain);

export const schedulers: readonly SchedulerPolicy[] = [
  ...plain,
  balance,
  coreScheduling,
  hypervCore,
  hypervRoot,
  vslicer,
  microSliced,
  partialBoost,
  demandCoordinated,
  hybrid,
];

export {
  arinc653,
  balance,
  bvt,
  cfs,
  coreScheduling,
  credit,
  credit2,
  demandCoordinated,
  eevdf,
  esx,
  gang,
  hybrid,
  hypervClassic,
  hypervCore,
  hypervRoot,
  lottery,
  microSliced,
  nullScheduler,
  partialBoost,
  roundRobin,
  rtds,
  sedf,
  stride,
  vslicer,
};

/**
 * All papers that hvsim is compared with, in the order of `hvsim published`. A new one is one file and one line here.
 * Invariant: ids are unique.
 */
import { adamsAgesen2006 } from './adams-agesen-2006.ts';
import { balance2011 } from './balance-2011.ts';
import { bhargava2008 } from './bhargava-2008.ts';
import { bvt2003 } from './bvt-2003.ts';
import { cherkasova2007 } from './cherkasova-2007.ts';
import { creditBoost } from './credit-boost.ts';
import { creditRatelimit } from './credit-ratelimit.ts';
import { credit2Default } from './credit2-default.ts';
import { credit2Runqueue } from './credit2-runqueue.ts';
import { lockHolders } from './lock-holders.ts';
import { matthews2007 } from './matthews-2007.ts';
import { nodeAffinity } from './node-affinity.ts';
import { ongaro2008 } from './ongaro-2008.ts';
import type { Paper } from './paper.ts';
import { pleCandidates } from './ple-candidates.ts';
import { relaxedCoscheduling } from './relaxed-coscheduling.ts';
import { rtXen2011 } from './rt-xen-2011.ts';
import { rtdsBudget } from './rtds-budget.ts';
import { sugerman2001 } from './sugerman-2001.ts';
import { tickEvasion } from './tick-evasion.ts';
import { xen2003 } from './xen-2003.ts';

export const PAPERS: readonly Paper[] = [
  adamsAgesen2006,
  bhargava2008,
  xen2003,
  sugerman2001,
  bvt2003,
  tickEvasion,
  creditBoost,
  relaxedCoscheduling,
  cherkasova2007,
  ongaro2008,
  creditRatelimit,
  nodeAffinity,
  credit2Runqueue,
  credit2Default,
  rtdsBudget,
  rtXen2011,
  balance2011,
  lockHolders,
  pleCandidates,
  matthews2007,
];

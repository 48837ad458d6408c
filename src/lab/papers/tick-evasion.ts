/**
 * Theft of CPU time from the credit scheduler, which until 2009 charged whoever ran at the tick: Xen's commit 78c9b2a64b, with the attack
 * that it fixed and that Zhou et al. (2011) describe.
 * Invariant: the attacker's habit, 9.5 ms of each 10 ms, is the setup; what it gets in the company of a hog is not.
 */
import { definePaper, type Measured } from './paper.ts';

const share = (m: Measured, accounting: string): number => m.ofVm({ accounting }, 'attacker', 'share_ratio');

export const tickEvasion = definePaper({
  id: 'tick-evasion',
  short: 'Xen 2009, theft by tick evasion',
  title:
    'Dunlap, Xen commit 78c9b2a64b (2009): credit scheduler, an attacker that sleeps at each tick, and accounting by time instead',
  hasScenario: true,
  inputs: 'the habit of the attacker; one victim, a hog of the same weight',
  rows: [
    {
      row: 'share of the attacker, ticks counted',
      theirs: 0.95,
      unit: 'of 1',
      tolerance: 0.03,
      claimed: true,
      ours: (m) => share(m, 'ticks'),
    },
    {
      row: 'share of the attacker, time counted, as today',
      theirs: 0.5,
      unit: 'of 1',
      tolerance: 0.06,
      claimed: true,
      inputs: 'theirs is "fair": half; with the rate limit of 1 ms that came later',
      ours: (m) => share(m, 'exact with a rate limit'),
    },
    {
      row: 'share of the attacker, time counted, no rate limit',
      theirs: 0.5,
      unit: 'of 1',
      tolerance: 0.06,
      claimed: false,
      cause:
        'only a tick makes a vCPU active, and only active ones have their priority reckoned; the rate limit of the victim delays the attacker past a tick, without it no tick ever finds it. By the rules of the source as we read them; not checked on Xen of 2009',
      ours: (m) => share(m, 'exact'),
    },
  ],
});

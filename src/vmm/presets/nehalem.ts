/**
 * Intel Xeon 5500 (Nehalem, 2009): the first core with nested paging and a tagged TLB.
 * Only the round trip of an exit was published for it (BNT17 Table 4.2, see intel-core.ts): 1009 cycles, a calibration
 * input. How it splits, and every other exit, is our choice: the middle of Penryn and Westmere.
 */
import { from } from '../costs.ts';
import { intelCore, NEHALEM_FAMILY } from './intel-core.ts';

const ROUND_TRIP = 'BNT17 Table 4.2, Nehalem: 1009 for exit and entry; the split is our choice';
const MIDDLE = 'our choice: the middle of Penryn and Westmere in BNT17 Table 4.3';

export const nehalem = intelCore({
  id: 'nehalem',
  name: 'Intel Xeon 5500 (Nehalem)',
  year: 2009,
  frequencyHz: from(2_930_000_000, 'our choice: base clock of a Xeon X5570'),
  family: NEHALEM_FAMILY,
  vmx: {
    entryCycles: from(523, ROUND_TRIP),
    exitCycles: {
      'page-fault': from(714, MIDDLE),
      exception: from(714, `${MIDDLE}, #PF, for every exception`),
      cpuid: from(500, MIDDLE),
      vmcall: from(486, ROUND_TRIP),
      io: from(568, MIDDLE),
      'nested-violation': from(724, 'our choice: 546 of Westmere, longer in proportion to the round trip'),
    },
    defaultExitCycles: from(486, `${ROUND_TRIP}; for every reason without a number`),
    vmreadCycles: from(16, MIDDLE),
    vmwriteCycles: from(16, MIDDLE),
    vmclearCycles: from(78, MIDDLE),
    vmptrldCycles: from(77, MIDDLE),
    taggedTlb: true,
    nestedPaging: true,
    featuresSource: 'EPT and VPID came with Nehalem',
  },
});

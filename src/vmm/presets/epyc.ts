/**
 * AMD EPYC (Zen 2 class, 2020), with the mitigations of that year's kernel: the one processor with SVM for which a round trip
 * was to be had. It is a measurement of KVM around VMRUN, so it holds more than the hardware's part: VMLOAD, saving and
 * loading registers, a moment in the guest. Read its exits as an upper bound, and do not set them beside single instructions
 * of Intel's as if they were the same; scenarios/exits.yaml leaves it out for that reason.
 * Calibration input, therefore not validation: that round trip.
 */
import { COST_CLASSES, type CostClass } from '../../machine/costs.ts';
import { definePreset, from, type Sourced } from '../costs.ts';
import { NEHALEM_COSTS, PORT_NS } from './intel-core.ts';

const FREQUENCY_HZ = 2_250_000_000;
const ROUND_TRIP =
  'half of 1360 cycles from before VMRUN to behind #VMEXIT in KVM (1344 to 1376, M. Roth, linux-kernel 2020-12-15, vmsave/vmload patches); that the halves are equal is our choice';
const IN_MEMORY = 'the VMCB is plain memory: an access in the L1 cache';
const NO_COUNTERPART = 'SVM has no such instruction: VMRUN names its VMCB';
const SECOND_LEVEL =
  'our choice: the second level of the core, one for code and one for data, 4 KiB and 2 MiB pages alike';
const io = from(
  Math.round((PORT_NS * FREQUENCY_HZ) / 1_000_000_000),
  'our choice: the legacy bus is as fast as in 2005: 3200 cycles at 3.8 GHz are 0.842 us',
);

export const epyc = definePreset({
  id: 'epyc',
  name: 'AMD EPYC (Zen 2 class)',
  year: 2020,
  frequencyHz: from(FREQUENCY_HZ, 'our choice: base clock of an EPYC 7742'),
  instructions: Object.fromEntries(
    COST_CLASSES.map((c) => [
      c,
      c === 'io' ? io : from(NEHALEM_COSTS[c], "our choice: as a four-wide core of Intel's, caches warm"),
    ]),
  ) as Record<CostClass, Sourced>,
  walkReferenceCycles: from(12, 'our choice: the walker reads the L2 cache, latency 12'),
  itlb: { small: { sets: 128, ways: 8 }, large: { sets: 128, ways: 8 }, source: SECOND_LEVEL },
  dtlb: { small: { sets: 128, ways: 16 }, large: { sets: 128, ways: 16 }, source: SECOND_LEVEL },
  vmx: {
    vendor: 'AMD',
    entryCycles: from(680, ROUND_TRIP),
    exitCycles: {},
    defaultExitCycles: from(680, `${ROUND_TRIP}; for every reason`),
    vmreadCycles: from(1, IN_MEMORY),
    vmwriteCycles: from(1, IN_MEMORY),
    vmclearCycles: from(0, NO_COUNTERPART),
    vmptrldCycles: from(0, NO_COUNTERPART),
    taggedTlb: true,
    nestedPaging: true,
    featuresSource: 'AMD64 manual, vol 2, chapter 15: ASIDs tag the TLB; nested paging since 2007',
  },
  vmmCyclesPer100Instructions: from(100, 'our choice: as the preset of Broadwell has it'),
});

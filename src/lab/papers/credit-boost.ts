/**
 * Xen's commit f02a5760c7 (Faggioli 2015): throughput of a VM that receives by TCP, pinned to a pCPU with and without a hog there,
 * before and after BOOST worked for it.
 * Invariant: the throughput alone is the setup; what is left of it beside the hog is measured.
 */
import { definePaper, finding, type Measured } from './paper.ts';

const left = (m: Measured, boost: string): number =>
  m.ofVm({ company: 'hog', boost }, 'receiver', 'units') / m.ofVm({ company: 'alone', boost }, 'receiver', 'units');

const WINDOW =
  'how much waits in buffers for a VM that is not running: ours is a window of 64 KiB at a time, theirs is not known';

export const creditBoost = definePaper({
  id: 'credit-boost',
  short: 'Xen 2015, boost of a VM that receives',
  title:
    'Faggioli, Xen commit f02a5760c7 (2015): TCP into a VM beside a hog, 166.50 of 806.64 Mb/s without boost, 731.66 of 807.18 with it',
  hasScenario: true,
  inputs: '64 KiB at a time at 1 Gb/s, and the CPU time that makes it 807 Mb/s alone (our choice)',
  rows: [
    finding('with boost more than twice as much is left as without', (m) => left(m, 'boost') > 2 * left(m, 'none')),
    {
      row: 'left beside a hog, no boost',
      theirs: 166.5 / 806.64,
      unit: 'of 1',
      tolerance: 0.48,
      claimed: false,
      cause: WINDOW,
      ours: (m) => left(m, 'none'),
    },
    {
      row: 'left beside a hog, boost',
      theirs: 731.66 / 807.18,
      unit: 'of 1',
      tolerance: 0.11,
      claimed: false,
      cause: `the hog runs for 1 ms before it is replaced (rate limit), in which a window of 64 KiB waits; ${WINDOW}`,
      ours: (m) => left(m, 'boost'),
    },
    {
      row: 'left beside a hog, boost, no rate limit',
      theirs: 731.66 / 807.18,
      unit: 'of 1',
      tolerance: 0.11,
      claimed: false,
      cause: 'switches between the two cost little here: there are no caches to refill',
      ours: (m) => left(m, 'boost without a rate limit'),
    },
  ],
});

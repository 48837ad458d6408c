/**
 * Xen's commit dafd936ddd (2018), which makes credit2 the default: what it says of programs that only compute. Its other measurements are of
 * desktops and videos.
 * Invariant: what a cold cache costs is our choice; how often who pays for it is measured.
 */
import { definePaper, finding, type Measured, type PaperRow } from './paper.ts';

const SOON = 'lost after 50 us';
const LATE = 'lost after 10 ms';

/** Under credit2, of that under credit. */
const ratio = (m: Measured, caches: string, load: string, column: string): number =>
  m.ofRun({ caches, load, scheduler: 'credit2' }, column) / m.ofRun({ caches, load, scheduler: 'credit' }, column);

const overload = (caches: string): PaperRow => ({
  row: `twice as many vCPUs as CPUs, caches ${caches}: work under credit2, of that under credit`,
  theirs: 0.9,
  unit: 'of 1',
  tolerance: 0.06,
  claimed: false,
  inputs: 'theirs is the middle of 5 to 15 %',
  cause: `a hog runs for 1 ms under credit2 and for 30 ms under credit, so that thirty times as many switches pay what our choice says that one costs; caches ${caches}`,
  ours: (m) => ratio(m, caches, 'overload', 'running_ns'),
});

export const credit2Default = definePaper({
  id: 'credit2-default',
  short: 'Xen 2018, credit2 as default',
  title:
    'Xen commit dafd936ddd (2018): programs that only compute are as fast under credit2 as under credit, or 5 to 15 % slower',
  hasScenario: true,
  inputs: '50 us to refill a cache that others have used up (our choice)',
  rows: [
    {
      row: 'with CPUs to spare: work under credit2, of that under credit',
      theirs: 1,
      unit: 'of 1',
      tolerance: 0.01,
      claimed: true,
      inputs: 'theirs is "equal"; it does not say at which load',
      ours: (m) => ratio(m, SOON, 'underload', 'running_ns'),
    },
    finding('with twice as many vCPUs as CPUs less is done under credit2, whatever caches keep', (m) =>
      [SOON, LATE].every((caches) => ratio(m, caches, 'overload', 'running_ns') < 1),
    ),
    overload(LATE),
    overload(SOON),
  ],
});

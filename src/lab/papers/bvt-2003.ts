/**
 * Barham et al., "Xen and the Art of Virtualization", SOSP 2003: eight domains with weights 1 to 8 under borrowed virtual time, each
 * within 4 % of its share.
 * Invariant: the shares follow from the weights; how near each domain comes is measured.
 */
import { definePaper, type PaperRow } from './paper.ts';

const WEIGHTS = [1, 2, 3, 4, 5, 6, 7, 8];
const TOTAL = WEIGHTS.reduce((sum, weight) => sum + weight, 0);

const rows: readonly PaperRow[] = WEIGHTS.map((weight) => ({
  row: `share of weight ${weight}`,
  theirs: weight / TOTAL,
  unit: 'of 1',
  tolerance: 0.04,
  claimed: true,
  ours: (m) => m.ofVm({}, `w${weight}`, 'share_ratio'),
}));

export const bvt2003 = definePaper({
  id: 'bvt-2003',
  short: 'Barham et al. 2003, weights under BVT',
  title:
    'Barham et al., Xen and the Art of Virtualization, SOSP 2003: eight domains of different weights, each within 4 % of its share',
  hasScenario: true,
  inputs: 'the weights; hogs instead of a database (OSDB-IR), one CPU',
  rows,
});

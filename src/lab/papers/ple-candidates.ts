/**
 * Raghavendra K T, "Improving directed yield in PLE handler", linux-kernel, July 2012: to whom a vCPU yields that was caught spinning.
 * Invariant: locks and lengths are our choice and not fitted; theirs and ours are ratios of after and before.
 */
import { definePaper, type Measured, type PaperRow } from './paper.ts';

/** Speed with the choice, of that without. */
const gain = (m: Measured, locks: string, overcommit: string): number => {
  const units = (choice: string): number => m.ofRun({ locks, overcommit, choice }, 'units');
  return units('not a spinner') / units('any');
};

const ALONE =
  'with a CPU for each vCPU nobody waits to whom one could yield, and trying costs nothing here; on theirs each try took the locks of run queues, and other threads of the host took CPUs';
const FEW = 'a lock is hardly ever found taken; on theirs a build has other reasons to spin than its locks';
const MANY =
  'with the choice 51 % of the yields find nobody, without it 45 %, and who finds nobody goes on spinning; a sibling that spins is worth a CPU as well here, since it may be the next in line and the guest gets more done when its vCPUs run together. What theirs saved, the price of a yield that was in vain, is nothing here';

const row = (
  name: string,
  locks: string,
  overcommit: string,
  theirs: number,
  cause: string | null,
  tolerance = 0.02,
): PaperRow => ({
  row: `${name}, ${overcommit}: speed with the choice, of that without`,
  theirs,
  unit: 'of 1',
  tolerance,
  claimed: cause === null,
  ...(cause === null ? {} : { cause }),
  ours: (m) => gain(m, locks, overcommit),
});

export const pleCandidates = definePaper({
  id: 'ple-candidates',
  short: 'Raghavendra 2012, directed yield',
  title:
    'Raghavendra K T, Improving directed yield in PLE handler, linux-kernel 2012: sysbench, kernbench and ebizzy before and after',
  hasScenario: true,
  inputs: 'guests with few, some and many locks in place of the three (our choice); 8 vCPUs on 8 CPUs, one VM or two',
  rows: [
    row('sysbench (few locks)', 'few', '1x', 0.9996, null),
    row('sysbench (few locks)', 'few', '2x', 1.0083, null),
    row('kernbench (some locks)', 'some', '1x', 1.28, ALONE),
    row('kernbench (some locks)', 'some', '2x', 1.07, FEW),
    row('ebizzy (many locks)', 'many', '1x', 2.05, ALONE),
    row('ebizzy (many locks)', 'many', '2x', 1.26, MANY),
  ],
});

/**
 * Adams & Agesen, "A Comparison of Software and Hardware Techniques for x86 Virtualization", ASPLOS 2006: figure 4 with the
 * numbers of its appendix, forkwait, and what the second machine changes.
 * Invariants: rows whose native column calibrated the preset claim nothing natively; every cause was read off exits.csv of
 * results/adams-agesen-2006. Path lengths were chosen before the first comparison.
 */
import { definePaper, type Measured, type PaperRow } from './paper.ts';

type Way = 'native' | 'binary-translation' | 'hardware-assisted';
type Triple = readonly [native: number, bt: number, vt: number];

const WAYS: readonly { readonly way: Way; readonly name: string; readonly tolerance: number }[] = [
  { way: 'native', name: 'native', tolerance: 0.25 },
  { way: 'binary-translation', name: 'BT', tolerance: 0.25 },
  { way: 'hardware-assisted', name: 'VT', tolerance: 0.15 },
];

/** One operation of figure 4: workload of ours, theirs, and why which column claims nothing. */
interface Operation {
  readonly name: string;
  readonly workload: string;
  readonly theirs: Triple;
  /** By column; a column without a cause is claimed. */
  readonly causes: Readonly<Partial<Record<Way, string>>>;
}

/**
 * Cherkasova, Gupta & Vahdat, "Comparison of the Three CPU Schedulers in Xen", PER 2007: allocation error of one domain that is given a
 * part of a CPU. Its tables were not at hand: directions only, as the thread of xen-devel of April 2007 gives them.
 * Invariant: no number of theirs is cited.
 */
import { definePaper, finding, type Measured } from './paper.ts';

const PARTS = ['10 %', '20 %', '40 %', '80 %'];
const error = (m: Measured, scheduler: string, allocation: string): number =>
  m.ofVm({ scheduler, allocation }, 'domain', 'allocation_error_mean_ratio');

export const cherkasova2007 = definePaper({
  id: 'cherkasova-2007',
  short: 'Cherkasova et al. 2007, allocation error',
  title:
    'Cherkasova, Gupta & Vahdat, Comparison of the Three CPU Schedulers in Xen, PER 2007: allocation error; directions only',
  hasScenario: true,
  inputs: 'periods of 10 ms for SEDF; error in windows of 100 ms',
  rows: [
    ...PARTS.map((part) =>
      finding(
        `${part}: the error of credit is larger than that of SEDF`,
        (m) => error(m, 'credit', part) > error(m, 'sedf', part),
      ),
    ),
    finding('the error of credit falls as the allocation grows', (m) =>
      PARTS.every((part, i) => i === 0 || error(m, 'credit', part) < error(m, 'credit', PARTS[i - 1]!)),
    ),
  ],
});

/**
 * Sukwong & Kim, "Is co-scheduling too expensive for SMP VMs?", EuroSys 2011: balance scheduling beside co-scheduling and CFS. Only the
 * abstract was at hand: two bounds ("up to") and directions.
 * Invariant: programs are our choice; neither bound is an input.
 */
import { definePaper, finding, type Measured } from './paper.ts';

const CASES = ['barrier', 'spin lock'].flatMap((program) => ['2', '4'].map((hogs) => ({ program, hogs })));
type Case = (typeof CASES)[number];

const done = (m: Measured, one: Case, scheduler: string): number => m.ofVm({ ...one, scheduler }, 'parallel', 'units');
/** Of balance over another one, the largest. */
const best = (m: Measured, scheduler: string, cases: readonly Case[]): number =>
  cases.reduce((most, one) => Math.max(most, done(m, one, 'balance') / done(m, one, scheduler)), 0);
const BARRIERS = CASES.filter(({ program }) => program === 'barrier');

export const balance2011 = definePaper({
  id: 'balance-2011',
  short: 'Sukwong & Kim 2011, balance scheduling',
  title:
    'Sukwong & Kim, Is Co-scheduling Too Expensive for SMP VMs?, EuroSys 2011: similar to co-scheduling or up to 8 % better, responses up to 85 % sooner than under CFS',
  hasScenario: true,
  inputs:
    'a program with barriers and one with a spin lock on four vCPUs (our choice); co-scheduling is esx strict, our reconstruction',
  rows: [
    finding('balance is never slower than co-scheduling', (m) =>
      CASES.every((one) => done(m, one, 'balance') >= done(m, one, 'co-scheduling')),
    ),
    finding('balance is faster than CFS', (m) => CASES.every((one) => done(m, one, 'balance') > done(m, one, 'cfs'))),
    {
      row: 'speed of balance, of that of co-scheduling: best case, barriers',
      theirs: 1.08,
      unit: 'of 1',
      tolerance: 0.05,
      claimed: false,
      cause: 'as near by chance: their best case is of other programs',
      ours: (m) => best(m, 'co-scheduling', BARRIERS),
    },
    {
      row: 'speed of balance, of that of co-scheduling: best case',
      theirs: 1.08,
      unit: 'of 1',
      tolerance: 0.05,
      claimed: false,
      cause:
        'with two hogs on four pCPUs strict co-scheduling leaves pCPUs idle, which balance gives to the parallel VM; where CPUs are full (four hogs) the two are equal. How full theirs were is not known',
      ours: (m) => best(m, 'co-scheduling', CASES),
    },
    {
      row: 'time of a step that balance saves against CFS: best case',
      theirs: 0.85,
      unit: 'of 1',
      tolerance: 0.1,
      claimed: false,
      cause:
        'theirs is the response of TPC-W; ours is a ticket lock without pause-loop exits, which CFS brings nearly to a stop when as many hogs as CPUs are there',
      ours: (m) => 1 - 1 / best(m, 'cfs', CASES),
    },
  ],
});

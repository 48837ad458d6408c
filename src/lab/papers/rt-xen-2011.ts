/**
 * Xi et al., RT-Xen, EMSOFT 2011 and 2014: deadline misses of periodic guests. Its tables were not at hand: what is claimed are
 * theorems on earliest deadline first, and a direction; the one number is from memory and says so.
 * Invariant: periods and work are our choice; misses are measured.
 */
import { definePaper, finding, type Measured } from './paper.ts';

const UTILIZATIONS = ['22 %', '50 %', '80 %', '95 %'];
const misses = (m: Measured, utilization: string, scheduler: string): number =>
  m.ofRun({ utilization, scheduler }, 'deadline_misses');

export const rtXen2011 = definePaper({
  id: 'rt-xen-2011',
  short: 'Xi et al. 2011, deadlines of guests',
  title:
    'Xi et al., RT-Xen, EMSOFT 2011 and 2014: deadlines under credit and under earliest deadline first; theorems and directions',
  hasScenario: true,
  inputs:
    'five guests with periods of 20 to 100 ms on one CPU, twelve on four; budgets are the work and 20 us for switches (our choice)',
  rows: [
    finding('earliest deadline first misses none on one CPU up to 95 % (theory: up to 100 %)', (m) =>
      UTILIZATIONS.every((utilization) => misses(m, utilization, 'rtds') === 0),
    ),
    finding('nor on four CPUs at 2.4 CPUs of tasks of 0.2 (theory: up to 4 - 3 x 0.2)', (m) => {
      return misses(m, '4 pCPUs, 60 %', 'rtds') === 0;
    }),
    finding('credit misses deadlines where earliest deadline first meets them all', (m) =>
      ['50 %', '80 %', '95 %', '4 pCPUs, 60 %'].every((utilization) => misses(m, utilization, 'credit') > 0),
    ),
    finding('the more the CPU is used, the more credit misses', (m) =>
      UTILIZATIONS.every((one, i) => i < 2 || misses(m, one, 'credit') > misses(m, UTILIZATIONS[i - 1]!, 'credit')),
    ),
    {
      row: 'credit misses deadlines at 22 % already',
      theirs: 1,
      unit: 'direction',
      tolerance: 0,
      claimed: false,
      inputs: 'theirs from memory, not verified',
      cause:
        'at 22 % no guest of ours works for longer than 4.4 ms, all together for 11 ms, and the shortest period is 20 ms, so that no order can miss; their guests are not known to us',
      ours: (m) => (misses(m, '22 %', 'credit') > 0 ? 1 : 0),
    },
  ],
});

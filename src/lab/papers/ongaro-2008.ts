/**
 * Ongaro, Cox & Rixner, "Scheduling I/O in Virtual Machine Monitors", VEE 2008: whom the boost of the credit scheduler helps. Its figures
 * were not at hand: directions only.
 * Invariant: no number of theirs is cited.
 */
import { definePaper, finding, type Measured } from './paper.ts';

const wait = (m: Measured, load: string, scheduler: string): number =>
  m.ofVm({ load, scheduler }, 'ping', 'response_p50_ns');

/** How many times shorter the median answer is with boost. */
const gain = (m: Measured, load: string): number => wait(m, load, 'no boost') / wait(m, load, 'boost');

export const ongaro2008 = definePaper({
  id: 'ongaro-2008',
  short: 'Ongaro et al. 2008, I/O under credit',
  title:
    'Ongaro, Cox & Rixner, Scheduling I/O in Virtual Machine Monitors, VEE 2008: variants of the credit scheduler; directions only',
  hasScenario: true,
  inputs: 'a ping takes 0.5 ms of CPU and comes every 10 ms on average (our choice)',
  rows: [
    finding('boost helps when one of seven pings', (m) => gain(m, 'one pings') > 2),
    finding('it helps much less when six ping', (m) => gain(m, 'six ping') < gain(m, 'one pings') / 2),
    finding('it does not help one that also computes', (m) => gain(m, 'pings and computes') === 1),
    finding(
      'without tickling on events pings wait longer',
      (m) => wait(m, 'one pings', 'boost without tickling') > 2 * wait(m, 'one pings', 'boost'),
    ),
    finding('one that also computes waits long under all variants', (m) =>
      ['no boost', 'boost', 'boost without tickling', 'boost and sorting'].every(
        (scheduler) => wait(m, 'pings and computes', scheduler) > 10 * wait(m, 'one pings', 'boost'),
      ),
    ),
  ],
});

/** SEDF on one pCPU that is reserved in full at most: earliest deadline first is optimal (Liu and Layland, 1973). */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NS_PER_US } from '../../../src/core/units.ts';
import { hog } from '../../../src/host/modelled/index.ts';
import { sedf } from '../../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab } from '../lab.ts';

test('every VM has its slice in every period, beside others that take extra time', () => {
  const reservation = fc.record({ period: fc.integer({ min: 1, max: 40 }), part: fc.integer({ min: 1, max: 100 }) });
  fc.assert(
    fc.property(fc.array(reservation, { minLength: 1, maxLength: 5 }), fc.boolean(), (wishes, bestEffort) => {
      const parts = wishes.reduce((sum, { part }) => sum + part, 0);
      const servers = wishes.map(({ period, part }) => ({
        period_us: period * 1000,
        slice_us: Math.max(Math.floor((period * 1000 * part) / parts), 5),
        extratime: false,
      }));
      const vms = servers.map((params) => ({ demand: hog, params }));
      const lab = new Lab({ policy: sedf, vms: bestEffort ? [...vms, { demand: hog }] : vms });
      for (let ms = 1; ms <= 120; ms++) {
        lab.runMs(ms);
        for (const [i, { period_us, slice_us }] of servers.entries()) {
          if ((ms * 1000) % period_us !== 0) continue;
          const periods = (ms * 1000) / period_us;
          expect(lab.host.tasks[i]!.times[STATE_RUNNING]).toBe(periods * slice_us * NS_PER_US);
        }
      }
      expect(lab.note('missed-deadline')).toBe(0);
    }),
    { numRuns: 40, seed: 13 },
  );
});

/**
 * Shares and caps of hogs at drawn weights, caps and numbers of pCPUs, for every policy whose traits promise them. The
 * expected values are water filling by weight up to one pCPU per vCPU, and the cap itself.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hog } from '../../../src/host/modelled/index.ts';
import { schedulers } from '../../../src/host/sched/index.ts';
import { waterFill } from '../../../src/host/water-filling.ts';
import { Lab } from '../lab.ts';
import { REPLACED_DEFAULTS } from '../variants.ts';

const SETTLE_MS = 3_000;
const RUN_MS = 15_000;

/** Percent of a pCPU that each VM has, once it has settled. */
function percents(lab: Lab): number[] {
  const running = (ms: number): number[] => {
    lab.runMs(ms);
    const shares = lab.shares();
    return lab.host.vms.map(({ tasks }) => tasks.reduce((sum, { id }) => sum + shares[id]! * ms, 0));
  };
  const before = running(SETTLE_MS);
  return running(SETTLE_MS + RUN_MS).map((time, i) => (100 * (time - before[i]!)) / RUN_MS);
}

/**
 * Percent of a pCPU that a share may be off, besides 4 % of itself; a slice in 15 s and the first seconds are 1.5. Credit
 * forgives debts over 300 credits and halves savings over 300, which favours light VMs (credit-model.test.ts).
 */
const toleranceOf = (name: string): number => (name === 'credit' ? 4 : 1.5);

const weights = fc.array(fc.integer({ min: 100, max: 1000 }), { minLength: 2, maxLength: 5 });

describe.each(schedulers.filter(({ traits }) => traits.weights !== null))('$name', (policy) => {
  test('shares of drawn weights on drawn pCPUs', () => {
    const params = { ...REPLACED_DEFAULTS[policy.name], ...policy.traits.weights };
    // A pCPU that does not help others has shares of its own.
    const pcpusMax = policy.traits.workConserving ? 3 : 1;
    fc.assert(
      fc.property(
        weights,
        fc.integer({ min: 1, max: pcpusMax }),
        fc.integer({ min: 1, max: 99 }),
        (list, pcpus, seed) => {
          const lab = new Lab({ policy, params, pcpus, seed, vms: list.map((weight) => ({ demand: hog, weight })) });
          const expected = waterFill(
            list.map((weight) => ({ weight, min: 0, max: 100 })),
            100 * pcpus,
          );
          for (const [i, percent] of percents(lab).entries()) {
            expect(Math.abs(percent - expected[i]!)).toBeLessThan(toleranceOf(policy.name) + 0.04 * expected[i]!);
          }
        },
      ),
      { numRuns: 6, seed: 5 },
    );
  });
});

describe.each(schedulers.filter(({ traits }) => traits.caps !== null))('$name', (policy) => {
  test('drawn caps of VMs of several vCPUs on idle pCPUs are what they get', () => {
    const params = { ...REPLACED_DEFAULTS[policy.name], ...policy.traits.caps };
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 5, max: 500 }), (vcpus, capPercent) => {
        const lab = new Lab({ policy, params, pcpus: 4, vms: [{ demand: hog, vcpus, capPercent }] });
        const [percent] = percents(lab);
        const expected = Math.min(capPercent, 100 * vcpus);
        expect(Math.abs(percent! - expected)).toBeLessThan(1 + 0.02 * expected);
      }),
      { numRuns: 8, seed: 5 },
    );
  });
});

/**
 * Credit on one pCPU with hogs at weights where its rules do not give weight / sum of weights. The expected shares are those of
 * a second implementation, written apart in another language from the rules of the reference alone (ticks of 10 ms,
 * accounting of 30 ms, ticks before the accounting before slices at equal times), over 60 s.
 */
import { describe, expect, test } from 'vitest';
import { hog } from '../../../src/host/modelled/index.ts';
import type { Params } from '../../../src/host/params.ts';
import { credit } from '../../../src/host/sched/index.ts';
import { Lab } from '../lab.ts';

type Vm = readonly [weight: number, vcpus: number];

function sharesOf(vms: readonly Vm[], params: Params = {}): number[] {
  const lab = new Lab({ policy: credit, params, vms: vms.map(([weight, vcpus]) => ({ demand: hog, weight, vcpus })) });
  lab.runMs(60_000);
  const shares = lab.shares();
  return lab.host.vms.map(({ tasks }) => 100 * tasks.reduce((sum, { id }) => sum + shares[id]!, 0));
}

const expectShares = (found: readonly number[], expected: readonly number[]): void => {
  // To one slice of 30 ms in 60 s.
  for (const [i, share] of found.entries()) expect(Math.abs(share - expected[i]!)).toBeLessThan(0.051);
};

describe('weights', () => {
  const rows: readonly (readonly [readonly Vm[], readonly number[]])[] = [
    [
      [
        [256, 1],
        [512, 1],
      ],
      [33.4, 66.6],
    ],
    [
      [
        [256, 1],
        [1024, 1],
      ],
      [20.05, 79.95],
    ],
    [
      [
        [256, 1],
        [2048, 1],
      ],
      [11.45, 88.55],
    ],
    [
      [
        [64, 1],
        [1024, 1],
      ],
      [6.15, 93.85],
    ],
    [
      [
        [128, 1],
        [1024, 3],
      ],
      [4.1, 95.9],
    ],
    [
      [
        [1, 1],
        [10, 1],
        [100, 1],
      ],
      [1.3, 10.9, 87.8],
    ],
    [
      [
        [256, 1],
        [256, 2],
        [256, 3],
      ],
      [16.7, 33.35, 49.95],
    ],
    [
      [
        [100, 1],
        [200, 1],
        [300, 1],
        [400, 1],
      ],
      [10.1, 20.05, 29.95, 39.9],
    ],
    // By weight it would be 66.7, 12.5, 16.7, 4.2: many light ones, whose debts over 300 credits are forgiven.
    [
      [
        [1024, 2],
        [128, 3],
        [512, 1],
        [64, 2],
      ],
      [46.15, 25.25, 19.95, 8.65],
    ],
  ];
  test.each(rows)('%j', (vms, expected) => expectShares(sharesOf(vms), expected));
});

test('the weight of a VM counted once (until 2010): one vCPU against four is not 1:1, whatever becomes of savings', () => {
  const vms: Vm[] = [
    [256, 1],
    [256, 4],
  ];
  expectShares(sharesOf(vms, { weight_per: 'vm' }), [42.75, 57.25]);
  expectShares(sharesOf(vms, { weight_per: 'vm', deactivation: 'zero' }), [29.4, 70.6]);
});

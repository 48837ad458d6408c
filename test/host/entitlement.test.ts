/**
 * Entitlements along a tree and under affinity: hand-worked examples, and the definition of fairness as a property, with
 * what a set of VMs can have together from the formula of the minimum cut, over all sets of pCPUs.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Claimant, entitle } from '../../src/host/entitlement.ts';
import { CpuSet } from '../../src/host/topology.ts';

const on = (pcpus: number, ...ids: number[]): CpuSet => new CpuSet(pcpus, ids);
const vcpu = (mask: CpuSet | null, demand = 1): Claimant =>
  new Claimant({ weight: 1, min: 0, max: demand }, mask === null ? {} : { mask });
const vm = (weight: number, children: Claimant[], { min = 0, max = Infinity } = {}): Claimant => {
  const demand = children.reduce((sum, child) => sum + child.max, 0);
  return new Claimant({ weight, min, max: Math.min(max, demand) }, { children });
};
const sharesOf = (roots: readonly Claimant[]): number[] => roots.map(({ share }) => share);
const expectShares = (roots: readonly Claimant[], expected: readonly number[]): void => {
  for (const [i, share] of sharesOf(roots).entries()) expect(share).toBeCloseTo(expected[i], 6);
};

describe('affinity', () => {
  test('1:3 pinned to one pCPU, 1:1 to another: their weights count there only', () => {
    const pinned = (weight: number, id: number): Claimant => vm(weight, [vcpu(on(2, id))]);
    const roots = [pinned(1, 0), pinned(3, 0), pinned(1, 1), pinned(1, 1)];
    entitle(roots, 2, 2);
    expectShares(roots, [0.25, 0.75, 0.5, 0.5]);
  });

  test('a heavy one beside those pinned to one pCPU takes what they cannot have', () => {
    // Three pinned to pCPU 0 have a third each, whatever the weights of the two that may go anywhere: 2 of the other 3 each
    // want one only, so the pinned ones keep pCPU 0.
    const roots = [
      ...[1, 1, 1].map((weight) => vm(weight, [vcpu(on(4, 0))])),
      vm(9, [vcpu(null)]),
      vm(9, [vcpu(null)]),
    ];
    entitle(roots, 4, 4);
    expectShares(roots, [1 / 3, 1 / 3, 1 / 3, 1, 1]);
  });

  test('a wide VM leaves a crowded pCPU to those that have no other', () => {
    // Equal weights, 2 pCPUs: the wide VM and two pinned to pCPU 0. By weight 2/3 each, but the two have one pCPU: 1/2 each, and
    // the wide one has pCPU 1: its vCPU 0, which is pinned as well, gets nothing, vCPU 1 all.
    const wide = vm(1, [vcpu(on(2, 0)), vcpu(on(2, 1))]);
    const roots = [wide, vm(1, [vcpu(on(2, 0))]), vm(1, [vcpu(on(2, 0))])];
    entitle(roots, 2, 2);
    expectShares(roots, [1, 0.5, 0.5]);
    expectShares(wide.children, [0, 1]);
  });

  test('a chain: {0}, {0,1}, {1,2}, {2} with equal weights on three pCPUs are 3/4 each', () => {
    const roots = [[0], [0, 1], [1, 2], [2]].map((ids) => vm(1, [vcpu(on(3, ...ids))]));
    entitle(roots, 3, 3);
    expectShares(roots, [0.75, 0.75, 0.75, 0.75]);
  });

  test('a reservation holds within the pCPUs allowed', () => {
    const roots = [vm(1, [vcpu(on(2, 0))], { min: 0.6 }), vm(9, [vcpu(on(2, 0))]), vm(1, [vcpu(on(2, 1))])];
    entitle(roots, 2, 2);
    expectShares(roots, [0.6, 0.4, 1]);
  });
});

describe('trees', () => {
  test('groups divide by their weights, members what their group has', () => {
    // 4 pCPUs, groups 3:1. The first has two members 1:1, the second has 1:2 of its one pCPU.
    const group = (weight: number, members: Claimant[]): Claimant => vm(weight, members);
    const first = [vm(1, [vcpu(null), vcpu(null)]), vm(1, [vcpu(null), vcpu(null)])];
    const second = [vm(1, [vcpu(null)]), vm(2, [vcpu(null)])];
    const roots = [group(3, first), group(1, second)];
    entitle(roots, 4, 4);
    expectShares(roots, [3, 1]);
    expectShares(first, [1.5, 1.5]);
    expectShares(second, [1 / 3, 2 / 3]);
  });

  test('a member pinned inside its group leaves the rest to the others of the group', () => {
    // Group of weight 1 beside an outsider of weight 1 on two pCPUs: one pCPU each. Both members could have a half, but pCPU 0
    // belongs to the outsider, who is pinned there; the member on pCPU 0 gets nothing.
    const members = [vm(1, [vcpu(on(2, 0))]), vm(1, [vcpu(on(2, 1))])];
    const roots = [vm(1, members), vm(1, [vcpu(on(2, 0))])];
    entitle(roots, 2, 2);
    expectShares(roots, [1, 1]);
    expectShares(members, [0, 1]);
  });

  test('a ceiling for several, with and without affinity', () => {
    const ceiling = { rate: 1.2 };
    const build = (mask: CpuSet | null): Claimant[] => [
      ...[1, 1, 1].map((weight) => new Claimant({ weight, min: 0, max: 1 }, { children: [vcpu(mask)], ceiling })),
      ...[1, 1, 1, 1].map((weight) => vm(weight, [vcpu(null)])),
    ];
    for (const roots of [build(null), build(on(4, 0, 1))]) {
      entitle(roots, 4, 4);
      expectShares(roots, [0.4, 0.4, 0.4, 0.7, 0.7, 0.7, 0.7]);
    }
  });
});

test('no VM could have more at the cost of one above it', () => {
  const PCPUS = 4;
  const spec = fc.array(
    fc.record({
      weight: fc.integer({ min: 1, max: 9 }),
      vcpus: fc.array(fc.tuple(fc.integer({ min: 1, max: 15 }), fc.integer({ min: 1, max: 4 })), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(spec, (list) => {
      const roots = list.map(({ weight, vcpus }) => {
        const children = vcpus.map(([bits, quarters]) =>
          vcpu(on(PCPUS, ...[0, 1, 2, 3].filter((id) => (bits & (1 << id)) !== 0)), quarters / 4),
        );
        return vm(weight, children);
      });
      entitle(roots, PCPUS, PCPUS);
      /** The minimum cut: some pCPUs are full; who has others is held back by its share or its vCPUs' demand. */
      const carried = (shares: readonly number[]): number => {
        let least = Infinity;
        for (let full = 0; full < 1 << PCPUS; full++) {
          let cut = [0, 1, 2, 3].filter((id) => (full & (1 << id)) !== 0).length;
          for (const [i, { vcpus }] of list.entries()) {
            const outside = vcpus.reduce((sum, [bits, quarters]) => sum + ((bits & ~full) === 0 ? 0 : quarters / 4), 0);
            cut += Math.min(shares[i]!, outside);
          }
          least = Math.min(least, cut);
        }
        return least;
      };
      const shares = sharesOf(roots);
      const total = shares.reduce((sum, share) => sum + share, 0);
      expect(carried(shares)).toBeGreaterThan(total - 1e-6);
      const step = 1e-3;
      for (const [i, low] of roots.entries()) {
        // Nobody can have more as it is ...
        const more = shares.with(i, Math.min(shares[i]! + step, low.max));
        const gain = more[i]! - shares[i]!;
        expect(carried(more)).toBeLessThan(total + 1e-6);
        if (gain < step / 2) continue;
        // ... nor at the cost of one that stands higher.
        for (const [j, high] of roots.entries()) {
          if (i === j || shares[j]! < step) continue;
          const above = shares[j]! / high.weight - shares[i]! / low.weight;
          if (above <= 2 * step) continue;
          expect(carried(more.with(j, shares[j]! - step))).toBeLessThan(total - gain / 2);
        }
      }
      for (const root of roots) {
        const inner = root.children.reduce((sum, { share }) => sum + share, 0);
        expect(inner).toBeCloseTo(root.share, 6);
        for (const child of root.children) expect(child.share).toBeLessThanOrEqual(child.max + 1e-9);
      }
    }),
    { numRuns: 150 },
  );
});

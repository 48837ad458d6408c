/** Water filling and homes on memory nodes: hand-worked examples, and the definition as a property. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NumaHomes } from '../../src/host/numa-homes.ts';
import { type Claim, waterFill } from '../../src/host/water-filling.ts';

const claim = (weight: number, min = 0, max = Infinity): Claim => ({ weight, min, max });

describe('water filling', () => {
  const rows: [string, number, Claim[], number[]][] = [
    ['by weight', 6, [claim(1), claim(2), claim(3)], [1, 2, 3]],
    // 100 each of 300; the first wants 40 only, so 260 are left for two.
    ['what one does not want goes to the others', 300, [claim(1, 0, 40), claim(1), claim(1)], [40, 130, 130]],
    // The first is promised 200; 100 are left for 1:3.
    ['a reservation is kept', 300, [claim(1, 200), claim(1), claim(3)], [200, 25, 75]],
    // By weight 30:60:210; the last is limited to 120, 180 are left for 1:2.
    ['a limit is kept', 300, [claim(1), claim(2), claim(7, 0, 120)], [60, 120, 120]],
    ['more than everybody wants', 300, [claim(1, 0, 50), claim(1, 0, 100)], [50, 100]],
    ['promises beyond the capacity are scaled down', 100, [claim(1, 150), claim(1, 50)], [75, 25]],
  ];
  test.each(rows)('%s', (_name, capacity, claims, expected) => {
    const shares = waterFill(claims, capacity);
    for (const [i, share] of shares.entries()) expect(share).toBeCloseTo(expected[i], 9);
  });

  test('one level fits all, between their bounds', () => {
    const claims = fc.array(
      fc.record({ weight: fc.integer({ min: 1, max: 1000 }), min: fc.nat({ max: 50 }), room: fc.nat({ max: 100 }) }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(claims, fc.integer({ min: 1, max: 1000 }), (raw, capacity) => {
        const list = raw.map(({ weight, min, room }) => ({ weight, min, max: min + room }));
        const floor = list.reduce((sum, { min }) => sum + min, 0);
        if (floor > capacity) return;
        const shares = waterFill(list, capacity);
        const total = shares.reduce((sum, share) => sum + share, 0);
        const most = list.reduce((sum, { max }) => sum + max, 0);
        expect(total).toBeCloseTo(Math.min(capacity, most), 6);
        for (const [i, a] of list.entries()) {
          expect(shares[i]).toBeGreaterThanOrEqual(a.min - 1e-9);
          expect(shares[i]).toBeLessThanOrEqual(a.max + 1e-9);
          // Nobody who could take more stands lower than one who could give some away.
          for (const [j, b] of list.entries()) {
            if (shares[i] > a.max - 1e-6 || shares[j] < b.min + 1e-6) continue;
            expect(shares[i] / a.weight).toBeGreaterThan(shares[j] / b.weight - 1e-6);
          }
        }
      }),
    );
  });
});

describe('homes on memory nodes', () => {
  const vcpu = (demand: number, ...nodes: number[]) => ({
    demand,
    mayLiveOn: (node: number) => nodes.length === 0 || nodes.includes(node),
  });

  test('a VM wider than a node has several clients, each on the emptiest node', () => {
    const homes = new NumaHomes(2, 4);
    const nodes = Array.from({ length: 6 }, () => homes.add(0, vcpu(1)).node);
    expect(nodes).toEqual([0, 0, 0, 0, 1, 1]);
    expect(homes.add(1, vcpu(1)).node).toBe(1);
  });

  test('a client moves when the gap is above a tenth of a node and shrinks; not twice in a row', () => {
    const homes = new NumaHomes(2, 4);
    // Node 0: 3 and 1 busy, node 1: nothing to do. Moving the 1 leaves 3:1, moving the 3 leaves 1:3. The first found wins.
    const big = [vcpu(1), vcpu(1), vcpu(1)].map((member) => homes.add(0, member));
    const idle = Array.from({ length: 3 }, () => homes.add(1, vcpu(0)));
    const small = homes.add(2, vcpu(1));
    expect([big[0].node, idle[0].node, small.node]).toEqual([0, 1, 0]);
    expect(homes.balance()).toEqual([big[0]]);
    expect([big[0].node, small.node]).toEqual([1, 0]);
    expect(homes.balance()).toEqual([]);
  });

  test('a gap of a tenth is left alone', () => {
    const homes = new NumaHomes(2, 4);
    homes.add(0, vcpu(0.4));
    homes.add(1, vcpu(0.0));
    expect(homes.balance()).toEqual([]);
  });

  test('two clients swap where no move helps', () => {
    const homes = new NumaHomes(2, 4);
    const first = homes.add(0, vcpu(0.9));
    const second = homes.add(1, vcpu(0.5));
    const third = homes.add(2, vcpu(0.9));
    const fourth = homes.add(3, vcpu(0.5));
    expect([first.node, second.node, third.node, fourth.node]).toEqual([0, 1, 0, 1]);
    // 1.8 : 1.0 of four cores is a gap of 0.2. A move leaves |0.2 - 2 x 0.9 / 4| = 0.25, a swap |0.2 - 2 x 0.4 / 4| = 0.
    expect(homes.balance()).toEqual([first, second]);
    expect([first.node, second.node, third.node, fourth.node]).toEqual([1, 0, 0, 1]);
    expect(homes.balance()).toEqual([]);
  });

  test('nobody lives where it may not run', () => {
    const homes = new NumaHomes(2, 4);
    const pinned = [0, 1, 2].map((vm) => homes.add(vm, vcpu(1, 0)));
    expect(pinned.map(({ node }) => node)).toEqual([0, 0, 0]);
    expect(homes.balance()).toEqual([]);
    // A VM with vCPUs on both nodes has a client on each.
    expect([homes.add(3, vcpu(1, 0)).node, homes.add(3, vcpu(1, 1)).node]).toEqual([0, 1]);
  });
});

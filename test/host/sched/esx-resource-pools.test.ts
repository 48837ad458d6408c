/** Resource pools of the ESX-like scheduler: shares by level, reservations lent and borrowed, limits; worked out by hand. */
import { describe, expect, test } from 'vitest';
import { hog } from '../../../src/host/modelled/index.ts';
import { esx } from '../../../src/host/sched/index.ts';
import { Lab, type LabVm } from '../lab.ts';

/** A hog in a pool. */
const vm = (resource_pool: string, more: Partial<LabVm> = {}): LabVm => ({
  demand: hog,
  weight: 1000,
  ...more,
  params: { ...more.params, resource_pool },
});
const reserves = (resource_pool: string, reservation_percent: number): LabVm =>
  vm(resource_pool, { name: 'db', params: { reservation_percent } });
const build = (resource_pools: string, vms: LabVm[], pcpus = 1): Lab =>
  new Lab({ policy: esx, params: { resource_pools }, pcpus, vms });

function expectPercent(lab: Lab, expected: readonly number[]): void {
  lab.runMs(20_000);
  const shares = lab.shares();
  for (const [i, { tasks }] of lab.host.vms.entries()) {
    const percent = 100 * tasks.reduce((sum, { id }) => sum + shares[id]!, 0);
    expect(Math.abs(percent - expected[i]!)).toBeLessThan(1);
  }
}

describe('shares', () => {
  test('pools 2:1 divide the host, whatever the number of their VMs', () => {
    // 2/3 for one VM, 1/3 for four.
    const vms = [vm('a'), vm('b'), vm('b'), vm('b'), vm('b')];
    expectPercent(build('a shares=2000, b shares=1000', vms), [200 / 3, ...Array(4).fill(25 / 3)]);
  });

  test('a pool is a sibling of VMs, and of four vCPUs of normal shares unless told', () => {
    // 4000 beside a VM of 1000: 80 : 20.
    expectPercent(build('a', [vm(''), vm('a'), vm('a')]), [20, 40, 40]);
  });

  test('three levels: 1/2, of that 3/4, of that 1/2', () => {
    const pools = 'top shares=1000, top/left shares=3000, top/left/leaf shares=1000, top/right shares=1000';
    const vms = [vm(''), vm('top/right'), vm('top/left'), vm('top/left/leaf')];
    expectPercent(build(pools, vms), [50, 12.5, 18.75, 18.75]);
  });

  test('a pool that nobody uses, and what a pool cannot use, is for the others', () => {
    // Two pCPUs. Pool a could have 1.6 and has one vCPU.
    expectPercent(
      build('a shares=8000, idle shares=9000, b shares=2000', [vm('a'), vm('b'), vm('b')], 2),
      [100, 50, 50],
    );
  });
});

describe('reservation and limit', () => {
  test('a pool has its reservation against any shares, and divides it by theirs', () => {
    const vms = [vm('', { weight: 60_000 }), vm('a', { weight: 100 }), vm('a', { weight: 300 })];
    expectPercent(build('a shares=1 reservation=60', vms), [40, 15, 45]);
  });

  test('a limit is for all VMs below, also on an idle host', () => {
    expectPercent(build('a limit=90, a/b', [vm('a/b'), vm('a/b'), vm('a')], 4), [36, 36, 18]);
    // 90 : the pool a/b counts as 4000 beside a VM of 1000: 72 : 18.
  });

  test('a limit inside a limit', () => {
    expectPercent(build('a limit=150, a/b limit=40', [vm('a'), vm('a/b')], 2), [100, 40]);
  });
});

describe('admission', () => {
  test('an expandable pool borrows of its parent what it lacks, a fixed one does not', () => {
    const both = [reserves('a', 60), reserves('a', 60)];
    expect(() => build('a reservation=100', both, 2)).not.toThrow();
    expect(() => build('a reservation=100 fixed', both, 2)).toThrow(
      'VM db: reservation_percent: found 60 %, but resource pool a is fixed at 100 %, with 120 % reserved in all',
    );
  });

  test('what is borrowed is borrowed along the tree, up to a fixed pool or the host', () => {
    const pools = 'a reservation=100 fixed, a/b';
    expect(() => build(pools, [reserves('a/b', 90)], 4)).not.toThrow();
    expect(() => build(pools, [reserves('a/b', 90), reserves('a', 20)], 4)).toThrow(
      /resource pool a is fixed at 100 %/,
    );
    expect(() => build('a, a/b', [reserves('a/b', 90), reserves('a', 20)])).toThrow(/the host has 100 %, with 110 %/);
  });

  test('a reservation of a pool is taken whether it is used or not', () => {
    expect(() => build('a reservation=80', [reserves('', 30)])).toThrow(/the host has 100 %, with 110 %/);
    expect(() => build('a reservation=80', [reserves('', 20), reserves('a', 80)])).not.toThrow();
  });

  test('a VM that ends gives its reservation back', () => {
    const lab = build('a reservation=60 fixed', [{ ...reserves('a', 60), with: { work_us: 1000 } }]);
    lab.runMs(100);
    const next = lab.host.addVm({ name: 'next', params: { resource_pool: 'a', reservation_percent: 50 } });
    expect(() => lab.add(next, lab.vcpus[0]!)).not.toThrow();
  });

  test.each([
    ['a/b', /found a\/b, but its parent does not stand before it/],
    ['a, a', /found a twice/],
    ['a reservation=90 limit=80', /a: its reservation is above its limit/],
    ['a reservation=60, b reservation=60', /the host has 100 %, with 120 % reserved in all/],
    ['a reservation=50 fixed, a/b reservation=60', /resource pool a is fixed at 50 %/],
    ['a shares=0', /found shares=0, expected at least 1/],
    ['a share=5', /resource_pools: found "a share=5", expected pools separated by commas/],
  ])('%s', (pools, message) => {
    expect(() => build(pools, [vm('')])).toThrow(message);
  });

  test('a pool that is none', () => {
    expect(() => build('a, a/b', [vm('b')])).toThrow('VM vm0: resource_pool: found b, expected one of a, a/b');
    expect(() => build('', [vm('b')])).toThrow(/found b, but there are no resource_pools/);
  });
});

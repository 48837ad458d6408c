/**
 * Hyper-V's classic scheduler, as far as it is documented: weights, reserves, limits, groups. What each VM is to get is
 * worked out by hand; the tolerance is that of a run of 30 s with slices of 10 ms.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog } from '../../../src/host/modelled/index.ts';
import { hypervClassic } from '../../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };

/** Percent of a pCPU for each VM, in 30 s. */
function percent(spec: Omit<LabSpec, 'policy'>): number[] {
  const lab = new Lab({ policy: hypervClassic, ...spec });
  lab.runMs(30_000);
  const shares = lab.shares();
  return lab.host.vms.map(({ tasks }) => 100 * tasks.reduce((sum, { id }) => sum + shares[id], 0));
}

function expectPercent(found: readonly number[], expected: readonly number[]): void {
  for (const [i, share] of expected.entries()) expect(Math.abs(found[i] - share)).toBeLessThan(1);
}

describe('shares', () => {
  test('weights 100 : 300', () => {
    const vms = [
      { ...A, weight: 100 },
      { ...A, weight: 300 },
    ];
    expectPercent(percent({ vms }), [25, 75]);
  });

  test('a weight is that of the VM, however many VPs it has', () => {
    // Two VMs of equal weight on one pCPU: a half each, though one has four VPs.
    expectPercent(percent({ vms: [A, { ...A, vcpus: 4 }] }), [50, 50]);
  });

  test('three VMs on two processors get two thirds each; a weight too large for one VP counts as much as it can use', () => {
    expectPercent(percent({ pcpus: 2, vms: [A, A, A] }), [66.7, 66.7, 66.7]);
    expectPercent(percent({ pcpus: 2, vms: [{ ...A, weight: 5000 }, A, A] }), [100, 50, 50]);
  });

  test('a reserve is kept against any weight, and unused reserve is lent', () => {
    const reserved = { ...A, weight: 1, params: { reserve_percent: 40 } };
    expectPercent(percent({ vms: [reserved, { ...A, weight: 10_000 }] }), [40, 60]);
    const asleep = { ...reserved, demand: hog, with: { work_us: 1000 } };
    expectPercent(percent({ vms: [asleep, A, A] }), [0, 50, 50]);
  });

  test('a limit is that of its VPs: 25 % of two are half a processor, also on an idle host', () => {
    expectPercent(percent({ pcpus: 2, vms: [{ ...A, vcpus: 2, params: { limit_percent: 25 } }] }), [50]);
  });
});

describe('CPU groups', () => {
  const inGroup = (limit: number): LabVm => ({ ...A, params: { cpu_group: 7, group_limit_percent: limit } });

  test('three VMs in a group of 30 % of the host, four outside, four processors', () => {
    // The group has 1.2 processors for three: 40 each. The others share 2.8 among four: 70 each. Without it 57.1 each.
    const members = [inGroup(30), inGroup(30), inGroup(30)];
    expectPercent(percent({ pcpus: 4, vms: [...members, A, A, A, A] }), [40, 40, 40, 70, 70, 70, 70]);
    expectPercent(percent({ pcpus: 4, vms: [A, A, A, A, A, A, A] }), Array(7).fill(57.1));
  });

  test('the limit holds on an idle host', () => {
    expectPercent(percent({ pcpus: 4, vms: [inGroup(25), inGroup(25)] }), [50, 50]);
  });

  test('members divide it by weight also where processors idle: 1:3 of 100 % on four', () => {
    const vms = [
      { ...inGroup(25), weight: 100 },
      { ...inGroup(25), weight: 300 },
    ];
    expectPercent(percent({ pcpus: 4, vms }), [25, 75]);
  });

  test('members must agree', () => {
    expect(() => new Lab({ policy: hypervClassic, vms: [inGroup(25), inGroup(30)] })).toThrow(/CPU group 7/);
  });
});

test('a reserve above the limit is an error', () => {
  const params = { reserve_percent: 50, limit_percent: 40 };
  expect(() => new Lab({ policy: hypervClassic, vms: [{ ...A, params }] })).toThrow(/reserve_percent/);
});

test('weights count among those who can have the same processors: 1:3 pinned to one, 1:1 to another', () => {
  const pinned = (weight: number, id: number): LabVm => ({ ...A, weight, task: { hard: [id] } });
  const vms = [pinned(100, 0), pinned(300, 0), pinned(100, 1), pinned(100, 1)];
  expectPercent(percent({ pcpus: 2, vms }), [25, 75, 50, 50]);
});

test('a limit goes by the VPs that there are: 50 % of two, then of the one that is left', () => {
  const lab = new Lab({
    policy: hypervClassic,
    pcpus: 2,
    vms: [{ ...A, vcpus: 2, params: { limit_percent: 50 } }],
  });
  lab.runMs(3000);
  lab.host.end(lab.host.tasks[1]!);
  const before = lab.host.tasks[0]!.times[STATE_RUNNING];
  lab.runMs(9000);
  const share = (lab.host.tasks[0]!.times[STATE_RUNNING] - before) / (6000 * NS_PER_MS);
  expect(Math.abs(share - 0.5)).toBeLessThan(0.01);
});

test('reserves beyond the host are not admitted', () => {
  const db = { ...A, name: 'db', vcpus: 2, params: { reserve_percent: 60 } };
  expect(() => new Lab({ policy: hypervClassic, pcpus: 2, vms: [db, db] })).toThrow(
    'VM db: reserve_percent: found 60 for one more VP, but of 200 % only 20 % are not reserved yet',
  );
  expect(() => new Lab({ policy: hypervClassic, pcpus: 3, vms: [db, db] })).not.toThrow();
});

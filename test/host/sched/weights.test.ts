/**
 * Policies that divide the host by water filling (share-scheduler.ts), with hogs of uneven weights, numbers of vCPUs and
 * physical CPUs. The expected shares are water filling done by hand, in percent of a physical CPU for each VM.
 */
import { describe, expect, test } from 'vitest';
import { hog } from '../../../src/host/modelled/index.ts';
import {
  demandCoordinated,
  esx,
  hybrid,
  hypervClassic,
  hypervCore,
  microSliced,
  partialBoost,
  vslicer,
} from '../../../src/host/sched/index.ts';
import { Lab, type LabVm } from '../lab.ts';

type Row = readonly [what: string, pcpus: number, vms: readonly (readonly [number, number?])[], expected: number[]];

const eight = [1, 2, 4, 8].map((weight) => (100 * weight) / 15);
const rows: readonly Row[] = [
  ['1:10:100 on 1', 1, [[1], [10], [100]], [100 / 111, 1000 / 111, 10_000 / 111]],
  ['1:2:4:8 twice on 2', 2, [[1], [2], [4], [8], [1], [2], [4], [8]], [...eight, ...eight]],
  // 100/31 and 16 times that: a round of the queue is long, and one of sixteen is due half of the time.
  ['15 times 1 and 16 on 1', 1, [...Array(15).fill([1]), [16]], [...Array(15).fill(100 / 31), 1600 / 31]],
  // The first would have 3/5 of 2 and can have 1.
  ['3:1:1 on 2', 2, [[3], [1], [1]], [100, 50, 50]],
  ['3:2:2 on 2', 2, [[3], [2], [2]], [600 / 7, 400 / 7, 400 / 7]],
  // VMs of several vCPUs: the weight is that of the VM. The second one's two vCPUs must run all the time.
  [
    '7 vCPUs : 2 vCPUs, equal weights on 4',
    4,
    [
      [1, 7],
      [1, 2],
    ],
    [200, 200],
  ],
  [
    '5 vCPUs : 3 vCPUs, 1:2 on 3',
    3,
    [
      [1, 5],
      [2, 3],
    ],
    [100, 200],
  ],
  ['2 vCPUs of weight 3, four of 1 on 3', 3, [[3, 2], [1], [1], [1], [1]], [900 / 7, ...Array(4).fill(300 / 7)]],
];

describe.each([esx, hybrid, hypervClassic, hypervCore, vslicer, microSliced, partialBoost, demandCoordinated])(
  '$name',
  (policy) => {
    test.each(rows)('%s', (_what, pcpus, vms, expected) => {
      const list = vms.map(([weight, vcpus = 1]): LabVm => ({ demand: hog, weight: 10 * weight, vcpus }));
      const lab = new Lab({ policy, pcpus, vms: list });
      lab.runMs(30_000);
      const shares = lab.shares();
      for (const [i, { tasks }] of lab.host.vms.entries()) {
        const percent = 100 * tasks.reduce((sum, { id }) => sum + shares[id]!, 0);
        // A slice more or less in 30 s, and the first seconds; within a fiftieth where shares are large.
        expect(Math.abs(percent - expected[i]!)).toBeLessThan(Math.max(0.5, expected[i]! / 50));
      }
    });
  },
);

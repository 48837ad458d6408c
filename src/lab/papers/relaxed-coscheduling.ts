/**
 * VMware's co-scheduling, strict (ESX 2) and relaxed (ESX 3, ESX 4): what the descriptions in its papers imply for utilization. The plots
 * of "The CPU Scheduler in VMware vSphere" have no digits, so theirs is arithmetic on the description.
 * Invariant: thresholds of skew are published settings and inputs; utilization and shares are measured.
 */
import { definePaper, type PaperRow } from './paper.ts';

const utilization = (
  row: string,
  load: string,
  scheduling: string,
  theirs: number,
  more: Partial<PaperRow> = {},
): PaperRow => ({
  row,
  theirs,
  unit: 'of 1',
  tolerance: 0.01,
  claimed: true,
  ours: (m) => m.ofRun({ load, scheduling }, 'utilization_ratio'),
  ...more,
});

const RUNS_ON: Partial<PaperRow> = {
  tolerance: 0.05,
  inputs: 'ours differs by what runs on until the skew is noticed, and by pCPUs that wait for the whole VM',
};

const HOGS = '4 + 1 hogs';
const LAZY = 'two of 1 busy and 3 idle';

export const relaxedCoscheduling = definePaper({
  id: 'relaxed-coscheduling',
  short: 'VMware, strict and relaxed co-scheduling',
  title:
    'VMware, The CPU Scheduler in VMware ESX 4 and vSphere 5.1: strict and relaxed co-scheduling; theirs is arithmetic on the description',
  hasScenario: true,
  inputs: 'esx is our reconstruction; thresholds of 3 ms and 2 ms and looks every 1 ms are its published settings',
  rows: [
    utilization('strict, 4 + 1 hogs on 4 pCPUs: utilization', HOGS, 'strict', 0.625, RUNS_ON),
    utilization('gang, the same', HOGS, 'gang', 0.625),
    utilization('relaxed as in ESX 3', HOGS, 'relaxed-3', 1),
    utilization('relaxed as in ESX 4', HOGS, 'relaxed-4', 1),
    {
      row: 'relaxed as in ESX 4, a hog of its own, share of a pCPU',
      theirs: 0.8,
      unit: 'of 1',
      tolerance: 0.01,
      claimed: true,
      ours: (m) => 4 * m.ofVm({ load: HOGS, scheduling: 'relaxed-4' }, 'narrow', 'share_ratio'),
    },
    utilization(
      'strict without idle detection, 1 of 4 busy, two VMs',
      LAZY,
      'strict without idle detection',
      0.25,
      RUNS_ON,
    ),
    {
      row: 'of that, time of the first VM',
      theirs: 0.5,
      unit: 'of 1',
      tolerance: 0.03,
      claimed: true,
      ours: (m) => 4 * m.ofVm({ load: LAZY, scheduling: 'strict without idle detection' }, 'wide', 'share_ratio'),
    },
    utilization('strict with idle detection, the same', LAZY, 'strict', 0.5),
    utilization('relaxed as in ESX 4, the same', LAZY, 'relaxed-4', 0.5),
  ],
});

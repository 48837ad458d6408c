/**
 * The example in Xen's documentation of RTDS: budget 50 ms, period 100 ms.
 * Invariant: shares follow from budgets by arithmetic; what each vCPU gets is measured.
 */
import { definePaper, type Measured } from './paper.ts';

const share = (m: Measured, company: string, vm = 'limited'): number => m.ofVm({ company }, vm, 'share_ratio');

export const rtdsBudget = definePaper({
  id: 'rtds-budget',
  short: 'Xen documentation, budgets of RTDS',
  title: 'Xen, documentation of RTDS: a vCPU with a budget of 50 ms in 100 ms uses at most half of a pCPU',
  hasScenario: true,
  inputs: 'budgets and periods; hogs',
  rows: [
    {
      row: '50 ms in 100 ms, alone',
      theirs: 0.5,
      unit: 'of 1',
      tolerance: 0.01,
      claimed: true,
      ours: (m) => share(m, 'alone'),
    },
    {
      row: '50 ms in 100 ms, beside 4 ms in 10 ms',
      theirs: 0.5,
      unit: 'of 1',
      tolerance: 0.01,
      claimed: true,
      ours: (m) => share(m, 'one more'),
    },
    {
      row: '4 ms in 10 ms, beside 50 ms in 100 ms',
      theirs: 0.4,
      unit: 'of 1',
      tolerance: 0.01,
      claimed: true,
      ours: (m) => share(m, 'one more', 'other'),
    },
    {
      row: 'alone with extra time',
      theirs: 1,
      unit: 'of 1',
      tolerance: 0.01,
      claimed: true,
      inputs: 'theirs is what extra time means, not a measurement',
      ours: (m) => share(m, 'extra time'),
    },
  ],
});

/**
 * Matthews et al., "Quantifying the Performance Isolation Properties of Virtualization Systems", ExpCS 2007: what web servers lose to a
 * neighbour under stress. Only the CPU stress: schedulers of CPUs do not share out memory, disks or networks.
 * Invariant: load and servers are our choice; requests answered are measured.
 */
import { definePaper, finding, type Measured } from './paper.ts';

/** Part of the requests that VMs lose to the stress. */
const loss = (m: Measured, scheduler: string, vms: readonly string[]): number => {
  const jobs = (stress: string): number => vms.reduce((sum, vm) => sum + m.ofVm({ stress, scheduler }, vm, 'jobs'), 0);
  return 1 - jobs('CPU bomb') / jobs('none');
};
const GOOD = ['good-1', 'good-2', 'good-3'];
const BOUND = 0.001;

export const matthews2007 = definePaper({
  id: 'matthews-2007',
  short: 'Matthews et al. 2007, isolation',
  title:
    'Matthews et al., Quantifying the Performance Isolation Properties of Virtualization Systems, 2007: CPU stress; Xen 3.0 loses 0.01 % of the well-behaved and nothing of the misbehaving VM, VMware Workstation nothing of either',
  hasScenario: true,
  inputs: 'four servers that want 10 % of one CPU each, in place of SPECweb (our choice)',
  rows: [
    finding('Xen, then (sedf): the well-behaved lose at most 0.1 %', (m) => loss(m, 'sedf', GOOD) <= BOUND),
    finding('Xen, a little later (credit): the same', (m) => loss(m, 'credit', GOOD) <= BOUND),
    finding('the server of the misbehaving VM loses nothing under either', (m) =>
      ['sedf', 'credit'].every((scheduler) => loss(m, scheduler, ['bad']) === 0),
    ),
    finding('a hosted VMM (cfs): nobody loses anything', (m) => loss(m, 'cfs', [...GOOD, 'bad']) === 0),
  ],
});

/**
 * Xen's commit ebce2d836c (2012): node affinity of the credit scheduler on a NUMA machine of 16 CPUs, by sysbench and SPECjbb.
 * Invariant: times of theirs are never inputs; the speed of memory, which theirs is about, is not modelled.
 */
import { definePaper, finding, type Measured, type PaperRow } from './paper.ts';

const done = (m: Measured, n: string, affinity: string): number => m.ofRun({ n, affinity }, 'running_ns');
const moves = (m: Measured, n: string, affinity: string): number => m.ofRun({ n, affinity }, 'migrations_other');

const IDLE =
  'with fewer vCPUs than CPUs nobody is ever moved here; what theirs gains is memory that is near, and memory has no distance here';
const BUSY =
  'a vCPU that is far from its node is fetched back as soon as a CPU there is idle, and each such move refills a cache; that its memory is near then is not counted here';

/** Seconds of sysbench's CPU test: by number of VMs, without affinity, with it, pinned. */
const SYSBENCH: readonly (readonly [string, number, number, number])[] = [
  ['2', 50.08, 49.67, 47.82],
  ['6', 63.26, 61.68, 62.69],
  ['10', 91.25, 90.4, 90.32],
];

const rows = SYSBENCH.flatMap(([n, none, node, pinned]): PaperRow[] => {
  const cause = n === '10' ? BUSY : IDLE;
  const row = (name: string, theirs: number, affinity: string): PaperRow => ({
    row: `sysbench CPU, ${n} VMs: speed ${name}, of that without affinity`,
    theirs,
    unit: 'of 1',
    tolerance: 0.02,
    claimed: false,
    cause,
    ours: (m) => done(m, n, affinity) / done(m, n, 'none'),
  });
  return [row('with node affinity', none / node, 'node'), row('pinned', none / pinned, 'pinned')];
});

export const nodeAffinity = definePaper({
  id: 'node-affinity',
  short: 'Xen 2012, node affinity of credit',
  title:
    'Faggioli, Xen commit ebce2d836c (2012): node affinity on 16 CPUs, 2, 6 and 10 VMs of two vCPUs; pinned, preferred, or neither',
  hasScenario: true,
  inputs: 'threads that compute; 1 ms for the caches after a move to the other socket (our choice); no memory',
  rows: [
    ...rows,
    finding('10 VMs, pinned: nobody changes nodes, and more is done than without affinity', (m) => {
      return moves(m, '10', 'pinned') === 0 && done(m, '10', 'pinned') > done(m, '10', 'none');
    }),
    {
      row: '10 VMs: node affinity is faster than none',
      theirs: 1,
      unit: 'direction',
      tolerance: 0,
      claimed: false,
      cause: BUSY,
      ours: (m) => (done(m, '10', 'node') > done(m, '10', 'none') ? 1 : 0),
    },
    {
      row: 'sysbench memory, 10 VMs: speed pinned, of that without affinity',
      theirs: 314 / 294.4,
      unit: 'of 1',
      tolerance: 0.02,
      claimed: false,
      cause: 'memory has no distance here',
      ours: (m) => done(m, '10', 'pinned') / done(m, '10', 'none'),
    },
  ],
});

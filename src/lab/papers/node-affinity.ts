/**
 * Xen's commit ebce2d836c (2012): node affinity of the credit scheduler on a NUMA machine of 16 CPUs, by sysbench and SPECjbb.
 * Invariant: times of theirs are never inputs; how much slower far memory is, is our choice for all rows.
 */
import { definePaper, finding, type Measured, type PaperRow } from './paper.ts';

const NS = ['2', '6', '10'] as const;
type N = (typeof NS)[number];

const done = (m: Measured, program: string, n: string, affinity: string): number =>
  m.ofRun({ program, n, affinity }, 'units');
const gain = (m: Measured, program: string, n: string, affinity: string): number =>
  done(m, program, n, affinity) / done(m, program, n, 'none');

/** What theirs did without affinity, with node affinity, and pinned: seconds, MB/s, operations. By number of VMs. */
const CPU_S = { '2': [50.08, 49.67, 47.82], '6': [63.26, 61.68, 62.69], '10': [91.25, 90.4, 90.32] } as const;
const MEMORY_MBPS = { '2': [485.6, 487.8, 551], '6': [401.4, 410, 443], '10': [294.4, 302.5, 314] } as const;
const JBB = { '2': [43150, 43275, 49591], '6': [29274, 29716, 33538], '10': [19061, 19193, 21928] } as const;

const CACHES =
  'a program in caches has no node here; with 10 VMs those that are fetched back to their node pay for the caches they left, and who is pinned does not';
const NODE =
  'here every vCPU comes up on its node and stays there while CPUs are free, so that affinity gives nearly what pinning gives; what kept theirs from that is not known to us';
const PINNED =
  'far memory is 30 % slower by our choice, and who is far without affinity depends on who came first where; theirs also gets slower together, by the bandwidth of its memory';

const row = (name: string, program: string, n: N, affinity: 'node' | 'pinned', theirs: number): PaperRow => ({
  row: `${name}, ${n} VMs: speed ${affinity === 'node' ? 'with node affinity' : 'pinned'}, of that without`,
  theirs,
  unit: 'of 1',
  tolerance: 0.02,
  claimed: false,
  cause: program === 'in caches' ? CACHES : affinity === 'node' ? NODE : PINNED,
  ours: (m) => gain(m, program, n, affinity),
});

const rows = NS.flatMap((n) => [
  row('sysbench CPU', 'in caches', n, 'node', CPU_S[n][0] / CPU_S[n][1]),
  row('sysbench CPU', 'in caches', n, 'pinned', CPU_S[n][0] / CPU_S[n][2]),
  row('sysbench memory', 'in memory', n, 'node', MEMORY_MBPS[n][1] / MEMORY_MBPS[n][0]),
  row('sysbench memory', 'in memory', n, 'pinned', MEMORY_MBPS[n][2] / MEMORY_MBPS[n][0]),
  row('SPECjbb', 'in memory', n, 'node', JBB[n][1] / JBB[n][0]),
  row('SPECjbb', 'in memory', n, 'pinned', JBB[n][2] / JBB[n][0]),
]);

export const nodeAffinity = definePaper({
  id: 'node-affinity',
  short: 'Xen 2012, node affinity of credit',
  title:
    'Faggioli, Xen commit ebce2d836c (2012): node affinity on 16 CPUs, 2, 6 and 10 VMs of two vCPUs; pinned, preferred, or neither',
  hasScenario: true,
  inputs:
    'two programs, one of which takes 30 % longer with far memory; 1 ms for caches after a move to the other socket (our choice)',
  rows: [
    finding('in memory: node affinity is faster than none, with 2, 6 and 10 VMs', (m) =>
      NS.every((n) => gain(m, 'in memory', n, 'node') > 1),
    ),
    finding('in memory: pinned is as fast or faster than node affinity', (m) =>
      NS.every((n) => done(m, 'in memory', n, 'pinned') >= done(m, 'in memory', n, 'node')),
    ),
    finding('in caches: affinity of either kind makes less than 5 % of a difference', (m) =>
      NS.every((n) => ['node', 'pinned'].every((affinity) => Math.abs(gain(m, 'in caches', n, affinity) - 1) < 0.05)),
    ),
    ...rows,
    {
      row: 'in caches, 10 VMs: node affinity is faster than none',
      theirs: 1,
      unit: 'direction',
      tolerance: 0,
      claimed: false,
      cause: CACHES,
      ours: (m) => (gain(m, 'in caches', '10', 'node') > 1 ? 1 : 0),
    },
  ],
});

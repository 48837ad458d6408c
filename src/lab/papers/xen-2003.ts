/**
 * Barham et al., "Xen and the Art of Virtualization", SOSP 2003, tables 3 to 5: lmbench on L-UP, Xen and VMware Workstation.
 * Compared are ratios to the bare machine: the kernel and the programs are ours, so absolute times are not Linux's.
 * Invariants: preset xeon-2400 uses no number of this paper; as in lmbench, a context switch is without pipe and array, and a
 * protection fault without its signal.
 */
import { definePaper, type Measured, type PaperRow } from './paper.ts';

const MHZ = 2400;
const WAYS = ['native', 'paravirtual', 'binary-translation'] as const;

/** Microseconds of one repetition. */
function us(m: Measured, workload: string, technique: string): number {
  return m.perOperation({ workload, technique }) / MHZ;
}

/** One switch in a ring of tasks: a hop of the ring, less that of a ring of one, which has the same pipe and array. */
function ring(tasks: number, kib: number): (m: Measured, technique: string) => number {
  const each = (m: Measured, count: number, technique: string): number =>
    us(m, `ctx tasks=${count} kib=${kib}`, technique) / count;
  return (m, technique) => each(m, tasks, technique) - each(m, 1, technique);
}

const plain =
  (workload: string) =>
  (m: Measured, technique: string): number =>
    us(m, workload, technique);

interface Service {
  readonly name: string;
  readonly of: (m: Measured, technique: string) => number;
  /** Microseconds: L-UP, Xen, VMware Workstation 3.2. */
  readonly theirs: readonly [native: number, xen: number, vmware: number];
  readonly cause?: string;
}

const CONTEXT =
  "our scheduler and pipes do less than Linux's, so the same two hypercalls weigh more; what they add agrees. With many tasks theirs is mostly cache misses, and there is no cache here";

const SERVICES: readonly Service[] = [
  { name: 'null call', of: plain('null'), theirs: [0.45, 0.46, 0.73] },
  { name: 'null I/O', of: plain('nullio'), theirs: [0.5, 0.5, 0.83] },
  { name: 'signal install', of: plain('siginst'), theirs: [0.68, 0.69, 1.02] },
  {
    name: 'signal handling',
    of: plain('sighndl'),
    theirs: [2.49, 1.75, 4.63],
    cause:
      'theirs is faster under Xen than without, which nothing in the mechanism explains; a signal does not concern our VMM at all',
  },
  { name: 'fork', of: plain('fork'), theirs: [110, 198, 874] },
  { name: 'exec', of: plain('exec'), theirs: [530, 768, 2300] },
  {
    name: 'sh',
    of: plain('sh'),
    theirs: [4000, 4800, 10000],
    cause: "Linux's 4 ms are spent in a shell and its libraries, ours in fork and exec alone",
  },
  { name: 'mmap', of: plain('mmap'), theirs: [68, 139, 620] },
  { name: 'page fault', of: plain('fault'), theirs: [1.42, 2.73, 12.4] },
  {
    name: 'protection fault',
    of: (m, technique) => us(m, 'prot', technique) - us(m, 'sighndl', technique),
    theirs: [1.06, 1.4, 7.53],
    cause:
      'lmbench subtracts the signal, which leaves Linux 1 us of handling a fault and us 0.1 us, the difference of two short paths',
  },
  { name: 'switch 2p/0K', of: ring(2, 0), theirs: [0.77, 1.97, 18.1], cause: CONTEXT },
  { name: 'switch 2p/16K', of: ring(2, 16), theirs: [0.91, 2.22, 17.6], cause: CONTEXT },
  { name: 'switch 16p/16K', of: ring(16, 16), theirs: [3.61, 7.08, 41.7], cause: CONTEXT },
];

const VMWARE =
  'VMware Workstation 3.2 against the binary translation of hvsim, two translators of other make: their system calls are far cheaper than ours, which trap, decode and emulate INT and IRET; their page-table work is dearer';

function ratios({ name, of, theirs, cause }: Service): PaperRow[] {
  const [native, xen, vmware] = theirs;
  const over = (technique: string) => (m: Measured) => of(m, technique) / of(m, 'native');
  const row = { unit: 'ratio', tolerance: 0.25 };
  return [
    {
      ...row,
      row: `${name}, Xen : native`,
      theirs: xen / native,
      claimed: cause === undefined,
      ours: over('paravirtual'),
      ...(cause === undefined ? {} : { cause }),
    },
    {
      ...row,
      row: `${name}, VMware : native`,
      theirs: vmware / native,
      claimed: false,
      cause: VMWARE,
      ours: over('binary-translation'),
    },
  ];
}

/** What Xen adds to a context switch: two hypercalls. */
function added(kib: number, theirs: number): PaperRow {
  const one = ring(2, kib);
  return {
    row: `switch 2p/${kib}K, what Xen adds`,
    theirs,
    unit: 'us',
    tolerance: 0.25,
    claimed: true,
    ours: (m) => one(m, 'paravirtual') - one(m, 'native'),
  };
}

/** Services that cost the more, the more a VMM has to do with them; within 1 % counts as equal. */
function inOrder(costs: readonly (readonly number[])[]): number {
  return costs.filter(([native, xen, vmware]) => native! <= xen! * 1.01 && xen! <= vmware! * 1.01).length;
}

export const xen2003 = definePaper({
  id: 'xen-2003',
  short: 'Barham et al. 2003, tables 3 to 5',
  title: 'Barham et al., Xen and the Art of Virtualization, SOSP 2003: tables 3 to 5, L-UP, Xen and VMware Workstation',
  hasScenario: true,
  inputs:
    'preset xeon-2400, which has no number of this paper (exceptions, IRET, CLI and control registers are those of the Pentium 4 of Adams & Agesen 2006, native; the rest is our choice row by row), and src/vmm/paths.ts; 128 pages are forked, our choice',
  rows: [
    ...SERVICES.flatMap(ratios),
    added(0, 1.2),
    added(16, 1.31),
    {
      row: 'services in the order native, Xen, VMware',
      theirs: inOrder(SERVICES.map(({ theirs }) => theirs)),
      unit: 'services',
      tolerance: 0,
      claimed: false,
      cause:
        'of ours the three context switches, which our binary translation does with shadow page tables that it kept, for less than two hypercalls, and the protection fault, where the signal that is subtracted costs it more than the fault',
      ours: (m) => inOrder(SERVICES.map(({ of }) => WAYS.map((way) => of(m, way)))),
    },
  ],
});

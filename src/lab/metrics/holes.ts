/**
 * holes.csv: what the demonstrations of IA-32's holes (guests `hole-*`) printed, beside what they print on the bare machine.
 * Their lines read `instruction: what: expected a, seen b, verdict`; expected here is what the native twin saw.
 */
import { type Cell, metric, vmKey } from './metric.ts';
import { planned, type TwinRow, twinRows } from './vms.ts';

interface Row extends TwinRow {
  readonly instruction: string;
  readonly what: string;
  readonly expected: string;
  readonly seen: string;
}

const LINE = /^([a-z-]+): (.+): expected [0-9a-f]+, seen ([0-9a-f]+), (?:same|differs)$/gm;

interface Line {
  readonly instruction: string;
  readonly what: string;
  readonly seen: string;
}

function linesOf(text: string): Line[] {
  return [...text.matchAll(LINE)].map(([, instruction = '', what = '', seen = '']) => ({ instruction, what, seen }));
}

function rows(records: Parameters<typeof twinRows>[0]): Row[] {
  return twinRows(records).flatMap((row) => {
    const plan = planned(row);
    if (plan?.guest.startsWith('hole-') !== true || row.record.run.role === 'baseline') return [];
    const own = linesOf(row.vm.console);
    return linesOf(row.twin?.console ?? row.vm.console).map(({ instruction, what, seen }, n) => ({
      ...row,
      instruction,
      what,
      expected: seen,
      seen: own[n]?.seen ?? row.vm.outcome,
    }));
  });
}

/** How often the instruction trapped, by the names that exits have. */
function traps({ vm, instruction }: Row): number {
  const [mnemonic] = instruction.split('-');
  const reason = instruction === 'int' ? 'software-interrupt' : `trapped-${mnemonic}`;
  return vm.exits.find((exit) => exit.reason === reason)?.count ?? 0;
}

function verdict(row: Row): Cell {
  if (row.seen !== row.expected) return 'differs';
  return traps(row) > 0 ? 'trapped' : 'same';
}

export const holes = metric<Row>({
  name: 'holes',
  doc: 'One row per question that a demonstration of a hole asks, VM and run.',
  isOptional: true,
  rows,
  columns: [
    ...vmKey<Row>(),
    { name: 'instruction', doc: 'The instruction that is tried.', of: ({ instruction }) => instruction },
    { name: 'what', doc: 'What is looked at.', of: ({ what }) => what },
    { name: 'technique', doc: 'How the VM was virtualized.', of: (row) => planned(row)?.technique ?? null },
    { name: 'paging', doc: 'Whose page tables the MMU walked.', of: (row) => planned(row)?.paging ?? null },
    { name: 'expected', doc: 'What the bare machine shows, in hex.', of: ({ expected }) => expected },
    {
      name: 'seen',
      doc: 'What is seen here, in hex; or how the guest ended before it saw anything.',
      of: ({ seen }) => seen,
    },
    {
      name: 'verdict',
      doc: 'differs; same; or trapped: the same, and the VMM had the chance, because the instruction trapped in this guest.',
      of: verdict,
    },
    { name: 'traps', doc: 'How often the instruction trapped to the VMM in this guest.', of: traps },
  ],
});

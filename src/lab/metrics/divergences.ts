/** divergences.csv: instructions that did something else than on the bare machine, the first of each kind, in order. */
import type { Divergence } from '../../vmm/vm.ts';
import { metric, type VmRow, vmKey, vmRows } from './metric.ts';

interface DivergenceRow extends VmRow {
  readonly divergence: Divergence;
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;

export const divergences = metric<DivergenceRow>({
  name: 'divergences',
  doc: 'One row per VM, run and kind of instruction that misbehaved without a trap; the first comes first.',
  rows: (records) => vmRows(records).flatMap((row) => row.vm.divergences.map((divergence) => ({ ...row, divergence }))),
  columns: [
    ...vmKey<DivergenceRow>(),
    {
      name: 'address',
      doc: 'Linear address of the instruction.',
      of: ({ divergence }) => hex(divergence.address),
    },
    {
      name: 'bytes',
      doc: 'Its machine code.',
      of: ({ divergence }) => divergence.bytes,
    },
    { name: 'mnemonic', doc: 'Its name.', of: ({ divergence }) => divergence.mnemonic },
    { name: 'expected', doc: 'What it does at CPL 0 on a real machine.', of: ({ divergence }) => divergence.expected },
    { name: 'seen', doc: 'What it did here.', of: ({ divergence }) => divergence.seen },
    {
      name: 'count',
      doc: 'How often an instruction of this kind went wrong.',
      of: ({ divergence }) => divergence.count,
    },
  ],
});

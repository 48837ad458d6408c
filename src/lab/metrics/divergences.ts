/** divergences.csv: instructions that did something else than they do on the bare machine, in the order first seen. */
import type { DivergenceRecord } from '../rows.ts';
import { metric, type VmRow, vmKey, vmRows } from './metric.ts';

interface DivergenceRow extends VmRow {
  readonly divergence: DivergenceRecord;
}

const hex = (value: number, digits: number): string => (value >>> 0).toString(16).padStart(digits, '0');

export const divergences = metric<DivergenceRow>({
  name: 'divergences',
  doc: 'One row per VM, run and instruction that misbehaved without a trap.',
  rows: (records) => vmRows(records).flatMap((row) => row.vm.divergences.map((divergence) => ({ ...row, divergence }))),
  columns: [
    ...vmKey<DivergenceRow>(),
    {
      name: 'address',
      doc: 'Linear address of the instruction.',
      of: ({ divergence }) => `0x${hex(divergence.address, 8)}`,
    },
    {
      name: 'bytes',
      doc: 'Its machine code.',
      of: ({ divergence }) => divergence.bytes.map((byte) => hex(byte, 2)).join(' '),
    },
    { name: 'mnemonic', doc: 'Its name.', of: ({ divergence }) => divergence.mnemonic },
    { name: 'expected', doc: 'What it does at CPL 0 on a real machine.', of: ({ divergence }) => divergence.expected },
    { name: 'seen', doc: 'What it did here.', of: ({ divergence }) => divergence.seen },
  ],
});

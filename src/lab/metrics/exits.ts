/** exits.csv: how often each VM left guest code for each reason, and what that cost. */
import type { ExitRecord } from '../rows.ts';
import { metric, type VmRow, vmKey, vmRows } from './metric.ts';

interface ExitRow extends VmRow {
  readonly exit: ExitRecord;
}

export const exits = metric<ExitRow>({
  name: 'exits',
  doc: 'One row per VM, run and exit reason that occurred.',
  rows: (records) => vmRows(records).flatMap((row) => row.vm.exits.map((exit) => ({ ...row, exit }))),
  columns: [
    ...vmKey<ExitRow>(),
    { name: 'reason', doc: 'Why guest code was left.', of: ({ exit }) => exit.reason },
    { name: 'count', doc: 'How often.', of: ({ exit }) => exit.count },
    { name: 'cycles', doc: 'Cycles of these exits in hardware and in VMM software.', of: ({ exit }) => exit.cycles },
  ],
});

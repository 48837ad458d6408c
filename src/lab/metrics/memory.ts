/** memory.csv: the pages of each VM at the end of the run. */
import { metric, type VmRow, vmKey, vmRows } from './metric.ts';

export const memory = metric<VmRow>({
  name: 'memory',
  doc: 'One row per VM and run, at the end of the run.',
  rows: vmRows,
  columns: [
    ...vmKey<VmRow>(),
    { name: 'guest_pages', doc: 'Pages of 4 KiB of guest-physical memory.', of: ({ vm }) => vm.memory.guestPages },
    { name: 'resident_pages', doc: 'Guest pages that have a machine frame.', of: ({ vm }) => vm.memory.residentPages },
    {
      name: 'table_pages',
      doc: 'Machine frames that hold shadow or nested page tables.',
      of: ({ vm }) => vm.memory.tablePages,
    },
  ],
});

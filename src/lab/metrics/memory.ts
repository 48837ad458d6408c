/** memory.csv: the pages of each VM at its end, and what its TLB saw. */
import { metric, type VmRow, vmKey, vmRows } from './metric.ts';

export const memory = metric<VmRow>({
  name: 'memory',
  doc: 'One row per VM and run, at its end.',
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
    { name: 'tlb_hits', doc: 'Translations found in the TLB.', of: ({ vm }) => vm.memory.tlbHits },
    { name: 'tlb_misses', doc: 'Translations that needed a page walk.', of: ({ vm }) => vm.memory.tlbMisses },
    { name: 'tlb_flushes', doc: 'How often all entries of the VM were dropped.', of: ({ vm }) => vm.memory.tlbFlushes },
  ],
});

/**
 * pcpus.csv: where the cycles of each physical CPU went.
 * Invariant: the columns in cycles sum to the clock of the CPU; utilization_ratio is the part that was not idle.
 */
import type { PcpuRecord, RunRecord } from '../rows.ts';
import { metric, ratio } from './metric.ts';

interface PcpuRow {
  readonly record: RunRecord;
  readonly pcpu: PcpuRecord;
}

function busy(pcpu: PcpuRecord): number {
  const { guestCycles, translatedCycles, walkCycles, exitCycles, vmmCycles, switchCycles, threadCycles } = pcpu;
  return guestCycles + translatedCycles + walkCycles + exitCycles + vmmCycles + switchCycles + threadCycles;
}

export const pcpus = metric<PcpuRow>({
  name: 'pcpus',
  doc: 'One row per physical CPU and run.',
  rows: (records) => records.flatMap((record) => record.pcpus.map((pcpu) => ({ record, pcpu }))),
  columns: [
    { name: 'run_id', doc: 'Number of the run; see runs.csv.', of: ({ record }) => record.run.runId },
    { name: 'pcpu', doc: 'Number of the physical CPU, from 0.', of: ({ pcpu }) => pcpu.pcpu },
    { name: 'guest_cycles', doc: 'Guest code executed directly.', of: ({ pcpu }) => pcpu.guestCycles },
    {
      name: 'translated_cycles',
      doc: 'Guest code executed from a translation cache.',
      of: ({ pcpu }) => pcpu.translatedCycles,
    },
    { name: 'walk_cycles', doc: 'Page walks after TLB misses.', of: ({ pcpu }) => pcpu.walkCycles },
    { name: 'exit_cycles', doc: 'Exits and entries, in hardware.', of: ({ pcpu }) => pcpu.exitCycles },
    { name: 'vmm_cycles', doc: 'VMM software on behalf of a VM.', of: ({ pcpu }) => pcpu.vmmCycles },
    { name: 'switch_cycles', doc: 'Context switches between vCPUs.', of: ({ pcpu }) => pcpu.switchCycles },
    { name: 'thread_cycles', doc: 'Threads of the VMM itself.', of: ({ pcpu }) => pcpu.threadCycles },
    { name: 'idle_cycles', doc: 'Nothing to run.', of: ({ pcpu }) => pcpu.idleCycles },
    {
      name: 'utilization_ratio',
      doc: 'Cycles that were not idle, divided by all cycles.',
      of: ({ pcpu }) => ratio(busy(pcpu), busy(pcpu) + pcpu.idleCycles),
    },
    { name: 'tlb_misses', doc: 'Lookups in its TLBs that needed a page walk.', of: ({ pcpu }) => pcpu.tlbMisses },
    { name: 'tlb_flushes', doc: 'How often its TLBs were flushed.', of: ({ pcpu }) => pcpu.tlbFlushes },
  ],
});

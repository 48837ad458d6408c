/**
 * vms.csv: one row per VM and run, with what virtualization cost it.
 *
 * slowdown_ratio is simulated time per work unit, divided by the same of the native twin:
 *   (elapsed / work_units) / (native elapsed / native work_units)
 * where elapsed runs from power-on to the end of the VM (or of the run). With equal work it is simply the ratio of the
 * times to completion. It is empty when either did no work, crashed, or reached its end having done different work.
 */
import type { RunRecord, VmRecord } from '../rows.ts';
import { type Cell, metric, ratio, type VmRow, vmKey, vmRows } from './metric.ts';

export interface TwinRow extends VmRow {
  readonly twin: VmRecord | undefined;
}

/** Every VM with its native twin. */
export function twinRows(records: readonly RunRecord[]): TwinRow[] {
  const byId = new Map(records.map((record) => [record.run.runId, record]));
  return vmRows(records).map((row) => ({ ...row, twin: twinOf(row, byId) }));
}

function twinOf({ record, vm }: VmRow, byId: ReadonlyMap<number, RunRecord>): VmRecord | undefined {
  const twinRun = planned({ record, vm })?.baselineRun;
  return typeof twinRun === 'number' ? byId.get(twinRun)?.vms[0] : undefined;
}

/** What was asked of a VM. */
export function planned({ record, vm }: VmRow) {
  return record.run.vms.find((item) => item.name === vm.name);
}

/** Empty: not known, because there is no twin to compare with or because time ran out before either was done. */
function equivalent({ vm, twin }: TwinRow): Cell {
  if (vm.divergences.length > 0) return false;
  if (twin === undefined) return null;
  if (vm.outcome === 'time-limit' || twin.outcome === 'time-limit') {
    const [shorter, longer] = [vm.console, twin.console].sort((a, b) => a.length - b.length) as [string, string];
    return longer.startsWith(shorter) ? null : false;
  }
  return vm.outcome === twin.outcome && vm.exitCode === twin.exitCode && vm.console === twin.console;
}

export function slowdown({ vm, twin }: TwinRow): Cell {
  if (twin === undefined || !isDone(vm) || !isDone(twin)) return null;
  const bothEnded = vm.outcome !== 'time-limit' && twin.outcome !== 'time-limit';
  if (bothEnded && vm.workUnits !== twin.workUnits) return null;
  if (vm.workUnits === 0 || twin.workUnits === 0) return null;
  return ratio(vm.elapsedNs / vm.workUnits, twin.elapsedNs / twin.workUnits);
}

function isDone(vm: VmRecord): boolean {
  return vm.outcome === 'completed' || vm.outcome === 'halted' || vm.outcome === 'time-limit';
}

export const vms = metric<TwinRow>({
  name: 'vms',
  doc: 'One row per VM and run.',
  rows: twinRows,
  columns: [
    ...vmKey<TwinRow>(),
    { name: 'guest', doc: 'Guest kernel.', of: (row) => planned(row)?.guest ?? null },
    { name: 'workload', doc: 'Kernel command line.', of: (row) => planned(row)?.workload ?? null },
    { name: 'technique', doc: 'How the VM was virtualized.', of: (row) => planned(row)?.technique ?? null },
    { name: 'paging', doc: 'Whose page tables the MMU walked.', of: (row) => planned(row)?.paging ?? null },
    { name: 'outcome', doc: 'How the VM ended; see the list of outcomes.', of: ({ vm }) => vm.outcome },
    {
      name: 'equivalent',
      doc: 'Same outcome, exit code and console text as on the bare machine, and no instruction behaved differently. Empty: not known.',
      of: equivalent,
    },
    { name: 'instructions', doc: 'Guest instructions retired.', of: ({ vm }) => vm.instructions },
    {
      name: 'guest_cycles',
      doc: 'Cycles of guest code executed directly or from a translation cache, without page walks.',
      of: ({ vm }) => vm.guestCycles + vm.translatedCycles,
    },
    { name: 'walk_cycles', doc: 'Cycles of page walks after TLB misses.', of: ({ vm }) => vm.walkCycles },
    { name: 'exit_cycles', doc: 'Cycles that hardware spent on exits and entries.', of: ({ vm }) => vm.exitCycles },
    { name: 'vmm_cycles', doc: 'Cycles that VMM software spent for this VM.', of: ({ vm }) => vm.vmmCycles },
    { name: 'exits', doc: 'Exits to the VMM.', of: ({ vm }) => vm.exits.reduce((sum, exit) => sum + exit.count, 0) },
    {
      name: 'work_units',
      doc: 'Progress that the guest reported, in units of its workload.',
      of: ({ vm }) => vm.workUnits,
    },
    {
      name: 'slowdown_ratio',
      doc: 'Simulated time per work unit, divided by that of the same guest on the bare machine. Empty: not comparable.',
      of: slowdown,
    },
  ],
});

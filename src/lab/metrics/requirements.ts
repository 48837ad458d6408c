/**
 * requirements.csv: what Popek and Goldberg ask of a VMM, as numbers, for scenarios with `compare: state`.
 *
 *   equivalence  the final state is that of the same guest on the bare machine; if not, the first difference
 *   efficiency   most instructions are executed by the CPU itself, without the VMM
 *   control      nothing that is sensitive happens without the VMM, and no translation leads out of the VM
 *
 * A VM that was stopped by the bound of time is compared by its console only: the two were not stopped at one place.
 * Source: Popek & Goldberg, CACM 17(7), 1974, section 4.
 */
import type { RequirementsRecord, VmRecord } from '../rows.ts';
import { type Cell, metric, ratio, vmKey } from './metric.ts';
import { planned, type TwinRow, twinRows } from './vms.ts';

interface Row extends TwinRow {
  readonly own: RequirementsRecord;
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;

function rows(records: Parameters<typeof twinRows>[0]): Row[] {
  return twinRows(records).flatMap((row) =>
    row.vm.requirements === undefined || row.record.run.role === 'baseline'
      ? []
      : [{ ...row, own: row.vm.requirements }],
  );
}

/** Both ended by themselves, so that their ends can be compared. */
function ended({ vm, twin }: Row): boolean {
  return twin !== undefined && vm.outcome !== 'time-limit' && twin.outcome !== 'time-limit';
}

function sameConsole(row: Row): Cell {
  const { vm, twin } = row;
  if (twin === undefined) return null;
  if (ended(row)) return vm.console === twin.console && vm.exitCode === twin.exitCode;
  const [shorter, longer] = [vm.console, twin.console].sort((a, b) => a.length - b.length) as [string, string];
  return longer.startsWith(shorter);
}

/** Name of the first register that ended differently, or null. */
function otherRegister({ own, twin }: Row): string | null {
  for (const [n, registers] of own.registers.entries()) {
    const wanted = twin?.requirements?.registers[n];
    const name = Object.keys(registers).find((key) => registers[key] !== wanted?.[key]);
    if (name !== undefined) return `${name} ${wanted?.[name] ?? ''} became ${registers[name]}`;
  }
  return null;
}

function sameRegisters(row: Row): Cell {
  return ended(row) ? otherRegister(row) === null : null;
}

function sameMemory(row: Row): Cell {
  return ended(row) ? row.own.memoryHash === row.twin?.requirements?.memoryHash : null;
}

function cyclesRatio(row: Row): Cell {
  const { vm, twin } = row;
  if (twin === undefined || !ended(row) || vm.outcome !== twin.outcome) return null;
  return ratio(cyclesOf(vm), cyclesOf(twin));
}

function cyclesOf(vm: VmRecord): number {
  return vm.guestCycles + vm.translatedCycles + vm.walkCycles + vm.exitCycles + vm.vmmCycles;
}

/** In the order in which people would look for it. */
function firstDifference(row: Row): Cell {
  const { vm, twin } = row;
  const [first] = vm.divergences;
  if (first !== undefined) {
    return `${first.mnemonic} at ${hex(first.address)}: ${first.expected} became ${first.seen}`;
  }
  if (twin === undefined) return null;
  if (ended(row) && vm.outcome !== twin.outcome) return `ended as ${vm.outcome}, not ${twin.outcome}`;
  if (sameConsole(row) === false) {
    const [own, wanted] = [vm, twin].map(({ console: text }) => text.split('\n')) as [string[], string[]];
    const line = own.findIndex((text, n) => text !== wanted[n]);
    return `line ${line + 1} that it printed: ${own[line] ?? 'missing'}`;
  }
  if (!ended(row)) return null;
  return otherRegister(row) ?? (sameMemory(row) === false ? 'memory' : null);
}

export const requirements = metric<Row>({
  name: 'requirements',
  doc: 'One row per VM and run of a scenario that compares final states.',
  isOptional: true,
  rows,
  columns: [
    ...vmKey<Row>(),
    { name: 'guest', doc: 'Guest kernel.', of: (row) => planned(row)?.guest ?? null },
    { name: 'workload', doc: 'Kernel command line.', of: (row) => planned(row)?.workload ?? null },
    { name: 'technique', doc: 'How the VM was virtualized.', of: (row) => planned(row)?.technique ?? null },
    { name: 'paging', doc: 'Whose page tables the MMU walked.', of: (row) => planned(row)?.paging ?? null },
    { name: 'outcome', doc: 'How the VM ended.', of: ({ vm }) => vm.outcome },
    { name: 'console_same', doc: 'Console text and exit code are those of the bare machine.', of: sameConsole },
    { name: 'registers_same', doc: 'Every final register is that of the bare machine.', of: sameRegisters },
    { name: 'memory_same', doc: 'Final memory is that of the bare machine, byte for byte.', of: sameMemory },
    { name: 'first_difference', doc: 'What differed first; empty: nothing did.', of: firstDifference },
    {
      name: 'direct_ratio',
      doc: 'Share of the guest instructions that the CPU executed as they are in guest memory.',
      of: ({ vm, own }) => ratio(own.direct, vm.instructions),
    },
    {
      name: 'cycles_ratio',
      doc: 'Cycles that CPUs spent on the VM, VMM included, divided by those of its native twin. Empty: not the same work.',
      of: cyclesRatio,
    },
    {
      name: 'unseen_count',
      doc: "Sensitive instructions that executed without the VMM's knowledge.",
      of: ({ own }) => own.unseen.reduce((sum, { count }) => sum + count, 0),
    },
    {
      name: 'unseen',
      doc: 'Which, and how often each.',
      of: ({ own }) => own.unseen.map(({ mnemonic, count }) => `${mnemonic} ${count}`).join('; '),
    },
    {
      name: 'wrong_count',
      doc: 'Of them, those that did something else than at CPL 0.',
      of: ({ vm }) => vm.divergences.reduce((sum, { count }) => sum + count, 0),
    },
    {
      name: 'attempts',
      doc: 'What a hostile guest tried, as it counted itself.',
      of: (row) => (planned(row)?.guest.startsWith('hostile-') === true ? row.vm.workUnits : null),
    },
    {
      name: 'escapes',
      doc: 'Translations in TLBs that led to a frame of another VM or of the VMM, looked for after each run of a vCPU.',
      of: ({ own }) => own.escapes,
    },
  ],
});

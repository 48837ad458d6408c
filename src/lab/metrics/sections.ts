/**
 * sections.csv: what each part of the run of an emulated or interpreted program took, in its own instructions and in those
 * that the CPU executed for them. Written only where such a program ran.
 */
import type { Section } from '../../vmm/vm.ts';
import { metric, ratio, type VmRow, vmKey, vmRows } from './metric.ts';

interface SectionRow extends VmRow {
  readonly section: Section;
}

export const sections = metric<SectionRow>({
  name: 'sections',
  doc: 'One row per VM, run and part of the run of an emulated or interpreted program.',
  isOptional: true,
  rows: (records) => vmRows(records).flatMap((row) => row.vm.sections.map((section) => ({ ...row, section }))),
  columns: [
    ...vmKey<SectionRow>(),
    {
      name: 'section',
      doc: 'Part of the run: load (what the runtime does first), translate, run, or what the program calls it.',
      of: ({ section }) => section.name,
    },
    {
      name: 'guest_instructions',
      doc: 'Instructions of the program. Empty: translated code, where nobody counts them.',
      of: ({ section }) => section.guestInstructions,
    },
    {
      name: 'host_instructions',
      doc: 'Instructions that the CPU executed for them.',
      of: ({ section }) => section.hostInstructions,
    },
    { name: 'host_cycles', doc: 'Cycles that these took.', of: ({ section }) => section.hostCycles },
    {
      name: 'host_instructions_per_guest_instruction_ratio',
      doc: 'Executed by the CPU for one instruction of the program.',
      of: ({ section }) => ratio(section.hostInstructions, section.guestInstructions ?? 0),
    },
    {
      name: 'host_cycles_per_guest_instruction_ratio',
      doc: 'Cycles for one instruction of the program.',
      of: ({ section }) => ratio(section.hostCycles, section.guestInstructions ?? 0),
    },
  ],
});

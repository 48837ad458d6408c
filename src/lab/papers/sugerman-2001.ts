/**
 * Sugerman, Venkitachalam & Lim, "Virtualizing I/O Devices on VMware Workstation's Hosted Virtual Machine Monitor", USENIX 2001, figure 5:
 * the way of one packet out of a guest, on a Pentium III of 733 MHz.
 * Invariant: none of the paper's times is an input; the order of its steps is inferred from its text.
 */
import { packetPath } from '../../vmm/hosted/packet-path.ts';
import { findPreset } from '../../vmm/presets/index.ts';
import { definePaper, type PaperRow } from './paper.ts';

const PC733 = 'pentium3-733';
const COLD = 'steps that run on caches which the other world has just used take longer there; there are no caches here';

/** Theirs in the order of `packetPath`, in microseconds. */
const STEPS: readonly (readonly [name: string, us: number, cause: string])[] = [
  ['OUT in the VMM', 0.57, 'ours traps, decodes and dispatches; theirs has translated the OUT into a call'],
  ['world switch to the host', 4.45, COLD],
  ['the process emulates the card', 1.23, 'as near as 11 %, but of a device of another make'],
  ['the host sends', 17.55, COLD],
  ['back to the driver', 2.97, COLD],
  ['world switch to the VMM', 4.45, COLD],
  ['OUT completed', 0.41, 'to the digit, by chance: two paths of other make'],
];

function stepsUs(): number[] {
  const preset = findPreset(PC733);
  return packetPath(preset).map(({ cycles }) => (cycles * 1e6) / preset.frequencyHz);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

const rows: readonly PaperRow[] = STEPS.map(([row, theirs, cause], i) => ({
  row,
  theirs,
  unit: 'us',
  tolerance: 0.25,
  claimed: false,
  cause,
  ours: () => stepsUs()[i]!,
}));

export const sugerman2001 = definePaper({
  id: 'sugerman-2001',
  short: 'Sugerman et al. 2001, figure 5',
  title:
    "Sugerman, Venkitachalam & Lim, Virtualizing I/O Devices on VMware Workstation's Hosted Virtual Machine Monitor, USENIX 2001: figure 5",
  hasScenario: false,
  inputs: 'preset pentium3-733, src/vmm/paths.ts and src/vmm/hosted/paths.ts',
  rows: [
    ...rows,
    {
      row: 'the whole way',
      theirs: 31.63,
      unit: 'us',
      tolerance: 0.02,
      claimed: false,
      cause: COLD,
      ours: () => sum(stepsUs()),
    },
    {
      row: 'share outside of the VMM',
      theirs: 0.969,
      unit: 'of 1',
      tolerance: 0.1,
      claimed: true,
      ours: () => sum(stepsUs().slice(1, -1)) / sum(stepsUs()),
    },
  ],
});

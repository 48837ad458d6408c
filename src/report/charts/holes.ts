/** Which instruction deceives a deprivileged kernel: a matrix of instructions and techniques. */
import { techniqueLabels } from '../cases.ts';
import { listed } from '../format.ts';
import { distinct, groupBy, num, type Row, text } from '../frame.ts';
import { frame, type Results } from '../results.ts';
import type { Chart, Drawing } from './chart.ts';
import { type MatrixCell, matrix } from './matrix.ts';

type Verdict = 'same' | 'trapped' | 'differs';

const COLOURS: Readonly<Record<Verdict, string>> = { same: '#1a9e77', trapped: '#2f7fb8', differs: '#d5602a' };
const REASON_CHARACTERS = 52;

function draw(results: Results, title: string | undefined): Drawing | null {
  const rows = frame(results, 'holes').rows;
  if (rows.length === 0) return null;
  const label = techniqueLabels(results);
  const groups = groupBy(rows, (row) => `${text(row, 'instruction')}\n${label(row)}`);
  const cells = [...groups.values()].map((group) => cellOf(group, label(group[0]!)));
  return {
    spec: matrix(cells, {
      title: title ?? 'What does a sensitive instruction show?',
      subtitle: 'What a small kernel sees, compared with the bare machine: the first thing that differs, in hex',
      colours: COLOURS,
      cellWidth: 310,
      cellHeight: 40,
    }),
    sentences: sentencesOf(cells),
    caption:
      'The same: as on the bare machine. Trapped: the same, because the instruction came to the VMM. Otherwise: what the bare ' +
      'machine shows, and what the guest saw instead. All questions are in holes.csv.',
  };
}

function cellOf(group: readonly Row[], column: string): MatrixCell<Verdict> {
  const [first] = group as [Row];
  const bad = group.filter((row) => text(row, 'verdict') === 'differs');
  const traps = num(first, 'traps') ?? 0;
  const place = { row: text(first, 'instruction'), column };
  const [worst] = bad;
  if (worst !== undefined) {
    const reason = `${text(worst, 'what')}: ${text(worst, 'expected')}, seen ${text(worst, 'seen')}`;
    const short = reason.length > REASON_CHARACTERS ? `${reason.slice(0, REASON_CHARACTERS - 1)}\u2026` : reason;
    return { ...place, verdict: 'differs', headline: `${bad.length} of ${group.length} differ`, reason: short };
  }
  return traps > 0
    ? { ...place, verdict: 'trapped', headline: 'the same', reason: `trapped ${traps} times` }
    : { ...place, verdict: 'same', headline: 'the same', reason: '' };
}

function sentencesOf(cells: readonly MatrixCell<Verdict>[]): string[] {
  return distinct(cells.map(({ column }) => column)).map((column) => {
    const own = cells.filter((cell) => cell.column === column);
    const bad = own.filter(({ verdict }) => verdict === 'differs').map(({ row }) => row);
    return bad.length === 0
      ? `Under ${column} none of ${own.length} instructions shows anything else than the bare machine.`
      : `Under ${column} ${bad.length} of ${own.length} instructions deceive the guest: ${listed(bad)}.`;
  });
}

export const holes: Chart = {
  name: 'holes',
  summary: 'which sensitive instruction shows a deprivileged kernel something else (matrix)',
  draw,
};

/**
 * What the results say, in sentences; each number in them is computed from the rows.
 * Invariant: bad news comes first: runs that failed, guests that crashed, results that differ from the bare machine.
 */
import { techniqueName } from './cases.ts';
import type { Drawing } from './charts/chart.ts';
import { listed } from './format.ts';
import { distinct, groupBy, type Row, text } from './frame.ts';
import { frame, isPoint, type Results, runOf } from './results.ts';

/** Sentences per chart that go to the top of the report; the others stand beside the chart. */
const PER_CHART = 3;

export function findings(results: Results, drawings: readonly Drawing[]): string[] {
  return [
    ...failures(results),
    ...endings(results),
    ...equivalence(results),
    ...drawings.flatMap((drawing) => drawing.sentences.slice(0, PER_CHART)),
  ];
}

function failures(results: Results): string[] {
  const runs = frame(results, 'runs').rows;
  const failed = runs.filter((run) => text(run, 'outcome') === 'failed');
  if (failed.length === 0) return [];
  const ids = failed.map((run) => text(run, 'run_id'));
  return [
    `${failed.length} of ${runs.length} runs could not be carried out (${numbered(ids)}); the tables below lack them.`,
  ];
}

/** VMs that neither completed nor simply ran until the end of the experiment. */
function endings(results: Results): string[] {
  const rows = pointRows(results);
  const troubled = rows.filter((row) => !['completed', 'halted', 'time-limit'].includes(text(row, 'outcome')));
  return [...groupBy(troubled, (row) => `${techniqueName(row)}\n${text(row, 'outcome')}`).values()].map((group) => {
    const [first] = group as [Row];
    const ids = distinct(group.map((row) => text(row, 'run_id')));
    const vms = group.length === 1 ? '1 VM' : `${group.length} VMs`;
    return `${vms} under ${techniqueName(first)} ended as "${text(first, 'outcome')}" (${numbered(ids)}).`;
  });
}

function equivalence(results: Results): string[] {
  const compared = pointRows(results).filter(
    (row) => text(row, 'technique') !== 'native' && text(row, 'equivalent') !== '',
  );
  if (compared.length === 0) return [];
  const different = compared.filter((row) => text(row, 'equivalent') === 'false');
  if (different.length === 0) {
    const all = compared.length === 1 ? 'The VM' : `All ${compared.length} VMs that could be compared`;
    return [`${all} gave the same result as on the bare machine.`];
  }
  const kinds = distinct(different.map((row) => `${text(row, 'guest')} under ${techniqueName(row)}`));
  return [
    `${different.length} of ${compared.length} VMs did not behave as on the bare machine: ${listed(kinds)}. The other ` +
      `${compared.length - different.length} gave the same result.`,
  ];
}

function pointRows(results: Results): Row[] {
  const run = runOf(results);
  return frame(results, 'vms').rows.filter((row) => isPoint(run(row)));
}

function numbered(ids: readonly string[]): string {
  const shown = ids.slice(0, 8);
  const more = ids.length > shown.length ? `, and ${ids.length - shown.length} more` : '';
  return `${ids.length === 1 ? 'run' : 'runs'} ${shown.join(', ')}${more}`;
}

/**
 * Fair timing: the candidates take turns, so that a busy machine disturbs them alike. Also medians and tables.
 * This folder may read the wall clock; src/ may not.
 */

export function median(samples: readonly number[]): number {
  const ascending = samples.toSorted((a, b) => a - b);
  const middle = ascending.length >> 1;
  return ascending.length % 2 === 1 ? ascending[middle] : (ascending[middle - 1] + ascending[middle]) / 2;
}

/** Of positive factors; NaN where one is missing. */
export function geometricMean(factors: readonly number[]): number {
  return Math.exp(factors.reduce((sum, factor) => sum + Math.log(factor), 0) / factors.length);
}

/** Runs every candidate `rounds` times in turn; answers the median nanoseconds of each, after one round of warm-up. */
export function interleave(candidates: readonly (() => void)[], rounds: number): number[] {
  const times: number[][] = candidates.map(() => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, candidate] of candidates.entries()) {
      const before = process.hrtime.bigint();
      candidate();
      const spent = Number(process.hrtime.bigint() - before);
      if (round >= 0) times[i].push(spent);
    }
  }
  return times.map(median);
}

/** A table in Markdown whose columns are aligned, the first to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, 3, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].map((text) => `${text}\n`).join('');
}

/** At most `digits` digits that mean something; a dash for what is not known. */
export function figure(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return '-';
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.max(Math.abs(value), 1e-3))));
  return value.toFixed(Math.min(places, digits - 1));
}

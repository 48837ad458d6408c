/**
 * "Did you mean": the allowed name that is closest to what was typed.
 * Invariant: the same input gives the same suggestion; ties go to the name listed first.
 */

/** The closest candidate within a third of the typed length (at least 1, at most 3 edits), or undefined. */
export function closest(found: string, candidates: readonly string[]): string | undefined {
  const limit = Math.min(3, Math.max(1, Math.ceil(found.length / 3)));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - found.length) > limit) continue;
    const distance = editDistance(found.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  if (best !== undefined || found.length < 3) return best;
  return candidates.find((candidate) => candidate.includes(found)) ?? sharingStart(found, candidates);
}

/** The candidate that begins like `found` for longest, at least four characters. */
function sharingStart(found: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestLength = 3;
  for (const candidate of candidates) {
    let length = 0;
    while (length < found.length && found[length] === candidate[length]) length++;
    if (length > bestLength) {
      best = candidate;
      bestLength = length;
    }
  }
  return best;
}

/** ` Did you mean "x"?` or an empty text, to be appended to a sentence. */
export function didYouMean(found: string, candidates: readonly string[]): string {
  const name = closest(found.slice(0, 80), candidates);
  return name === undefined ? '' : ` Did you mean "${name}"?`;
}

/** Edits (insert, delete, replace, swap of neighbours) that turn one text into the other. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [];
  for (let i = 0; i <= a.length; i++) {
    const row: number[] = [i];
    for (let j = 1; j <= b.length; j++) {
      if (i === 0) {
        row.push(j);
        continue;
      }
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const above = rows[i - 1]!;
      let best = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      }
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

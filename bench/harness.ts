/**
 * What a bench file exports, and fair timing: the candidates take turns, so that a busy machine disturbs them alike.
 * This folder may read the wall clock; src/ may not.
 */

/** One measured figure. */
export interface BenchRow {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** A bench file exports one of these under the name `bench`. */
export interface Bench {
  readonly name: string;
  run(): BenchRow[];
}

export function median(samples: readonly number[]): number {
  const ascending = samples.toSorted((a, b) => a - b);
  return ascending[ascending.length >> 1];
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

/**
 * Exact statistics of integer samples.
 * Quantiles are nearest-rank: the q-quantile of n sorted samples is sample number ceil(q n), counted from 1.
 * So every answer is one of the samples, and q is given in thousandths to keep the rank an exact integer.
 */
import { assert } from './errors.ts';
import { divCeil } from './units.ts';

/** Ascending copy. */
export function sorted(samples: Iterable<number>): Float64Array {
  return Float64Array.from(samples).sort();
}

/** Nearest-rank quantile of ascending samples; `permille` from 0 (minimum) to 1000 (maximum). NaN without samples. */
export function quantile(ascending: ArrayLike<number>, permille: number): number {
  assert(Number.isInteger(permille) && permille >= 0 && permille <= 1000, 'a quantile is given in thousandths');
  const n = ascending.length;
  if (n === 0) return Number.NaN;
  return ascending[Math.max(divCeil(permille * n, 1000), 1) - 1];
}

export interface Summary {
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  /** sum / count, the only field that is not an integer. */
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
}

/** The usual figures of a set of samples; NaN where there is nothing to say. */
export function summarize(samples: Iterable<number>): Summary {
  const ascending = sorted(samples);
  let sum = 0;
  for (const sample of ascending) sum += sample;
  return {
    count: ascending.length,
    sum,
    min: quantile(ascending, 0),
    max: quantile(ascending, 1000),
    mean: sum / ascending.length,
    p50: quantile(ascending, 500),
    p95: quantile(ascending, 950),
    p99: quantile(ascending, 990),
    p999: quantile(ascending, 999),
  };
}

/** Jain's fairness index of normalised shares: 1 when all are equal, 1/n when one has everything (Jain et al., 1984). */
export function jainIndex(shares: readonly number[]): number {
  let sum = 0;
  let squares = 0;
  for (const share of shares) {
    sum += share;
    squares += share * share;
  }
  return squares === 0 ? Number.NaN : (sum * sum) / (shares.length * squares);
}

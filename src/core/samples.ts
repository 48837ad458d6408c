/**
 * A set of non-negative integer samples of which quantiles are wanted, in bounded memory.
 * Up to `EXACT_MAX` samples are kept as they are. Then they go into a histogram with buckets whose width is at most 1/128
 * of their values: from there on a quantile is never too small, and too large by less than 0.8 %. Count, sum and maximum
 * are exact for ever.
 * Invariant: the answers depend on the samples only, not on their order.
 * Source: the buckets are those of Tene's HdrHistogram with 7 bits of precision; the limit is our choice (512 KiB a set).
 */
import { assert } from './errors.ts';
import { quantile, sorted } from './stats.ts';
import { divCeil } from './units.ts';

export const EXACT_MAX = 65_536;

/** Values below this have a bucket each; above it, each power of two has half as many. */
const LINEAR = 256;
const HALF = LINEAR / 2;
const BUCKETS = LINEAR + (53 - 8) * HALF;

export class Samples {
  count = 0;
  sum = 0;
  max = 0;
  private exact: number[] | null = [];
  private buckets: Float64Array | null = null;

  push(sample: number): void {
    assert(sample >= 0 && sample <= Number.MAX_SAFE_INTEGER, 'a sample is a non-negative integer');
    this.count++;
    this.sum += sample;
    if (sample > this.max) this.max = sample;
    if (this.exact !== null && this.count > EXACT_MAX) this.spill();
    if (this.exact === null) this.buckets![bucketOf(sample)]!++;
    else this.exact.push(sample);
  }

  /** All samples in the order of their coming. An error when there were too many to keep. */
  get values(): readonly number[] {
    assert(this.exact !== null, `more than ${EXACT_MAX} samples are not kept one by one`);
    return this.exact;
  }

  /** The quantiles, in thousandths, of all samples of several sets together; null without samples. */
  static quantiles(sets: readonly Samples[], permilles: readonly number[]): number[] | null {
    if (sets.every(({ count }) => count === 0)) return null;
    const lists = sets.map(({ exact }) => exact);
    if (lists.every((list) => list !== null)) {
      const ascending = sorted(lists.flat());
      return permilles.map((permille) => quantile(ascending, permille));
    }
    const all = new Samples();
    all.spill();
    for (const set of sets) all.take(set);
    return permilles.map((permille) => all.estimate(permille));
  }

  private spill(): void {
    const buckets = new Float64Array(BUCKETS);
    for (const sample of this.exact ?? []) buckets[bucketOf(sample)]!++;
    this.buckets = buckets;
    this.exact = null;
  }

  private take(set: Samples): void {
    const buckets = this.buckets!;
    this.count += set.count;
    this.max = Math.max(this.max, set.max);
    for (const sample of set.exact ?? []) buckets[bucketOf(sample)]!++;
    for (const [bucket, count] of set.buckets?.entries() ?? []) buckets[bucket]! += count;
  }

  /** The highest value of the bucket that has the sample of that rank. */
  private estimate(permille: number): number {
    let left = Math.max(divCeil(permille * this.count, 1000), 1);
    for (const [bucket, count] of this.buckets!.entries()) {
      left -= count;
      if (left <= 0) return Math.min(highestOf(bucket), this.max);
    }
    return this.max;
  }
}

function bucketOf(sample: number): number {
  if (sample < LINEAR) return sample;
  const high = Math.floor(sample / 2 ** 32);
  const bits = high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(sample);
  const shift = bits - 8;
  return LINEAR + (shift - 1) * HALF + Math.floor(sample / 2 ** shift) - HALF;
}

function highestOf(bucket: number): number {
  if (bucket < LINEAR) return bucket;
  const shift = Math.floor((bucket - LINEAR) / HALF) + 1;
  const mantissa = ((bucket - LINEAR) % HALF) + HALF;
  return (mantissa + 1) * 2 ** shift - 1;
}

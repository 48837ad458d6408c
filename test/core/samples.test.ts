/** Sets of samples: exact while they are few, then within the promised error. */
import { expect, test } from 'vitest';
import { Streams } from '../../src/core/rng.ts';
import { EXACT_MAX, Samples } from '../../src/core/samples.ts';

const of = (values: Iterable<number>): Samples => {
  const samples = new Samples();
  for (const value of values) samples.push(value);
  return samples;
};
const ALL = [0, 500, 950, 990, 999, 1000];

test('few samples: nearest rank, over several sets together', () => {
  const odd = of([1, 3, 5, 7, 9]);
  const even = of([10, 8, 6, 4, 2]);
  expect(Samples.quantiles([odd, even, new Samples()], [0, 500, 910, 1000])).toEqual([1, 5, 10, 10]);
  expect(Samples.quantiles([new Samples()], [500])).toBeNull();
  expect(odd.values).toEqual([1, 3, 5, 7, 9]);
  expect([odd.count, odd.sum, odd.max]).toEqual([5, 25, 9]);
});

test('as many as are kept are exact, one more is not', () => {
  const samples = of(Array.from({ length: EXACT_MAX }, (_, i) => 1_000_000 + i));
  expect(Samples.quantiles([samples], [500])).toEqual([1_000_000 + EXACT_MAX / 2 - 1]);
  samples.push(1);
  expect(() => samples.values).toThrow(/not kept/);
  expect(samples.count).toBe(EXACT_MAX + 1);
});

test('many samples of every size: never too small, less than 0.8 % too large, maximum exact', () => {
  const random = new Streams(7).stream('sizes');
  const values = Array.from({ length: 100_000 }, () => Math.floor(random.uint32() * 2 ** (random.below(52) - 31)));
  const ascending = values.toSorted((a, b) => a - b);
  const answers = Samples.quantiles([of(values), of([])], ALL)!;
  for (const [i, permille] of ALL.entries()) {
    const exact = ascending[Math.max(Math.ceil((permille * values.length) / 1000), 1) - 1]!;
    expect(answers[i]).toBeGreaterThanOrEqual(exact);
    expect(answers[i]).toBeLessThanOrEqual(exact * (1 + 1 / 128));
  }
  expect(answers[5]).toBe(Math.max(...values.slice(0, 50_000), ...values.slice(50_000)));
});

test('small values stay exact, and the order does not matter', () => {
  const values = Array.from({ length: 70_000 }, (_, i) => i % 200);
  expect(Samples.quantiles([of(values)], [0, 500, 1000])).toEqual([0, 99, 199]);
  expect(Samples.quantiles([of(values.toReversed())], ALL)).toEqual(Samples.quantiles([of(values)], ALL));
  expect(Samples.quantiles([of([Number.MAX_SAFE_INTEGER]), of(values)], [1000])).toEqual([Number.MAX_SAFE_INTEGER]);
});

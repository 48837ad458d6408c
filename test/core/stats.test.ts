/** Nearest-rank quantiles and Jain's index on cases worked out by hand. */
import { expect, test } from 'vitest';
import { jainIndex, quantile, sorted, summarize } from '../../src/core/stats.ts';

test('nearest rank answers one of the samples', () => {
  // The textbook example of the nearest-rank method.
  const samples = sorted([15, 50, 20, 40, 35]);
  expect([50, 300, 400, 500, 1000].map((q) => quantile(samples, q))).toEqual([15, 20, 20, 35, 50]);
  expect(quantile(samples, 0)).toBe(15);
  expect(quantile([], 500)).toBeNaN();
  expect(() => quantile(samples, 0.5)).toThrow(/thousandths/);
});

test('the rank is exact where a float product is not', () => {
  // 0.07 x 100 is 7.000000000000001 in floating point; the rank is 7, not 8.
  expect(quantile(sorted(Array.from({ length: 100 }, (_, i) => i + 1)), 70)).toBe(7);
});

test('summary', () => {
  const s = summarize([4, 1, 3, 2]);
  expect(s).toMatchObject({ count: 4, sum: 10, min: 1, max: 4, mean: 2.5, p50: 2, p95: 4 });
  expect(summarize([]).mean).toBeNaN();
});

test("Jain's index runs from 1/n to 1", () => {
  expect(jainIndex([5, 5, 5])).toBe(1);
  expect(jainIndex([1, 0, 0, 0])).toBe(0.25);
});

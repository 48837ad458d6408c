/** Confidence intervals against worked examples: the first by hand, the second of Student 1908 (his table of additional sleep). */
import { expect, test } from 'vitest';
import { interval95 } from '../../src/report/confidence.ts';

test('1 to 5: mean 3, variance 2.5, half width 2.776 times the root of 0.5', () => {
  const { mean, low, high } = interval95([1, 2, 3, 4, 5]);
  expect(mean).toBe(3);
  expect(low).toBeCloseTo(1.037, 3);
  expect(high).toBeCloseTo(4.963, 3);
});

test("Student's data: 10 differences of sleep, mean 1.58, interval 0.70 to 2.46", () => {
  const { mean, low, high } = interval95([1.2, 2.4, 1.3, 1.3, 0, 1, 1.8, 0.8, 4.6, 1.4]);
  expect(mean).toBeCloseTo(1.58, 10);
  expect(low).toBeCloseTo(0.7, 2);
  expect(high).toBeCloseTo(2.46, 2);
});

test('equal samples are certain, one sample says nothing of its spread', () => {
  expect(interval95([7, 7, 7])).toEqual({ mean: 7, low: 7, high: 7 });
  expect(interval95([7])).toEqual({ mean: 7, low: 7, high: 7 });
});

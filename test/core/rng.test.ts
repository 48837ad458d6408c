/** Independence of the named streams, and the exactness of the derived draws. */
import { expect, test } from 'vitest';
import { type RandomStream, Streams } from '../../src/core/rng.ts';

const draws = (stream: RandomStream, n: number): number[] => Array.from({ length: n }, () => stream.uint32());

test('a stream depends on seed and name only', () => {
  const one = new Streams(7);
  const a = draws(one.stream('vm0/web'), 5);
  const b = draws(one.stream('vm1/web'), 5);
  const other = new Streams(7);
  expect(draws(other.stream('vm1/web'), 5)).toEqual(b);
  expect(draws(other.stream('vm0/web'), 5)).toEqual(a);
  expect(a).not.toEqual(b);
  expect(draws(new Streams(8).stream('vm0/web'), 5)).not.toEqual(a);
  expect(draws(new Streams('7').stream('vm0/web'), 5)).toEqual(a);
});

test('two consumers cannot share a stream', () => {
  const streams = new Streams(1);
  streams.stream('x');
  expect(() => streams.stream('x')).toThrow(/taken/);
});

test('below is uniform and in range, also for awkward bounds', () => {
  const stream = new Streams(1).stream('below');
  const counts = Array.from({ length: 6 }, () => 0);
  for (let i = 0; i < 60_000; i++) counts[stream.below(6)]++;
  // 10 000 expected in each, standard deviation 91.
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * 91);
  for (let i = 0; i < 100; i++) expect(stream.below(2 ** 31 + 1)).toBeLessThanOrEqual(2 ** 31);
  expect(stream.below(1)).toBe(0);
  expect(() => stream.below(0)).toThrow(/below/);
  expect(() => stream.below(2.5)).toThrow(/below/);
});

test('exponential draws have mean 1, variance 1 and the right median', () => {
  const stream = new Streams(1).stream('exp');
  const n = 100_000;
  let sum = 0;
  let squares = 0;
  let belowMedian = 0;
  for (let i = 0; i < n; i++) {
    const x = stream.exponential01();
    sum += x;
    squares += x * x;
    if (x < Math.LN2) belowMedian++;
  }
  expect(sum / n).toBeCloseTo(1, 1.7);
  expect(squares / n - (sum / n) ** 2).toBeCloseTo(1, 1);
  expect(Math.abs(belowMedian - n / 2)).toBeLessThan(5 * Math.sqrt(n / 4));
  expect(Number.isInteger(stream.exponential(10_000))).toBe(true);
});

test('geometric draws count failures', () => {
  const stream = new Streams(1).stream('geo');
  let sum = 0;
  for (let i = 0; i < 20_000; i++) sum += stream.geometric(1, 4);
  expect(sum / 20_000).toBeCloseTo(3, 0.8);
  expect(stream.geometric(1, 1)).toBe(0);
});

test('float01 stays below 1', () => {
  const stream = new Streams(1).stream('f');
  for (let i = 0; i < 10_000; i++) {
    const x = stream.float01();
    expect(x >= 0 && x < 1).toBe(true);
  }
});

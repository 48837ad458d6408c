/** Numbers for people: three digits, the right unit, the same text everywhere. */
import { expect, test } from 'vitest';
import { amount, grouped, listed, median, percent, short, time, times } from '../../src/report/format.ts';

test.each([
  [short(0), '0'],
  [short(0.1234), '0.123'],
  [short(1.005), '1'],
  [short(12.34), '12.3'],
  [short(123.4), '123'],
  [times(1.0249), '1.02\u00d7'],
  [times(9.999), '10\u00d7'],
  [times(22.37), '22.4\u00d7'],
  [times(12345), '12\u202f345\u00d7'],
  [percent(0.0743), '7.43 %'],
  [percent(1), '100 %'],
  [time(870), '870 ns'],
  [time(14_165), '14.2 \u00b5s'],
  [time(999_600), '1 ms'],
  [time(1_500_000_000), '1.5 s'],
  [amount(950), '950'],
  [amount(12_345), '12.3 k'],
  [amount(2_600_000_000), '2.6 G'],
  [grouped(1234567), '1\u202f234\u202f567'],
  [grouped(999), '999'],
  [listed(['a']), 'a'],
  [listed(['a', 'b', 'c']), 'a, b and c'],
])('%s', (text, expected) => expect(text).toBe(expected));

test('median takes the lower of two', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2);
});

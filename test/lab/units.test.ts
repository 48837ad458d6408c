/** Quantities: exact, with a unit, or refused with a reason. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatQuantity, parseQuantity, type QuantityKind, quantityPattern } from '../../src/lab/units.ts';

test.each([
  ['duration', '30 ms', 30_000_000],
  ['duration', '30ms', 30_000_000],
  ['duration', '0.5 us', 500],
  ['duration', '20 µs', 20_000],
  ['duration', '2 min', 120_000_000_000],
  ['size', '64 MiB', 67_108_864],
  ['size', '1.5 GiB', 1_610_612_736],
  ['frequency', '2.4 GHz', 2_400_000_000],
  ['frequency', '0.1 Hz', 'not a whole number of Hz'],
  ['duration', '1.5 ns', 'not a whole number of ns'],
  ['duration', '60', 'expected a duration with its unit, such as "30 ms" (units: ns, us, ms, s, min)'],
  ['duration', '-1 s', 'expected a duration with its unit, such as "30 ms" (units: ns, us, ms, s, min)'],
  ['duration', '1e3 s', 'expected a duration with its unit, such as "30 ms" (units: ns, us, ms, s, min)'],
  ['size', '64 MB', 'unknown unit "MB"; did you mean "MiB"? allowed: B, KiB, MiB, GiB'],
  ['size', '64 M', 'unknown unit "M"; did you mean "MiB"? allowed: B, KiB, MiB, GiB'],
  ['frequency', '2 ghz', 'unknown unit "ghz"; did you mean "GHz"? allowed: Hz, kHz, MHz, GHz'],
  ['duration', '3 parsec', 'unknown unit "parsec"; allowed: ns, us, ms, s, min'],
  ['duration', '999999999999 min', 'too large: more than 2^53 ns'],
] as const)('%s "%s"', (kind, text, expected) => {
  expect(parseQuantity(kind, text)).toBe(expected);
});

test('what is printed reads back as the same value', () => {
  const kind = fc.constantFrom<QuantityKind>('duration', 'size', 'frequency');
  fc.assert(
    fc.property(kind, fc.integer({ min: 1, max: 2 ** 42 }), (name, value) => {
      const text = formatQuantity(name, value);
      expect(parseQuantity(name, text)).toBe(value);
      expect(text).toMatch(new RegExp(quantityPattern(name)));
    }),
  );
});

test('the largest unit that is exact is chosen', () => {
  expect(formatQuantity('duration', 20_000)).toBe('20 us');
  expect(formatQuantity('duration', 60_000_000_000)).toBe('60 s');
  expect(formatQuantity('frequency', 2_400_000_000)).toBe('2.4 GHz');
  expect(formatQuantity('size', 4096)).toBe('4 KiB');
  expect(formatQuantity('size', 1)).toBe('1 B');
  expect(formatQuantity('duration', 0)).toBe('0 ns');
});

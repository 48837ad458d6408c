/** Cycles to nanoseconds and back, against BigInt arithmetic. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CpuClock, gcd, HZ_MAX } from '../../src/core/clock.ts';

const frequencies = fc.oneof(
  fc.constantFrom(1, 3, 32_768, 1_000_000_000, 2_400_000_000, 3_800_000_000, 2_399_999_999, 999_999_937, HZ_MAX - 31),
  fc.integer({ min: 1, max: HZ_MAX }),
);
const spans = fc.array(fc.oneof(fc.nat({ max: 1000 }), fc.nat({ max: 10 ** 9 }), fc.nat({ max: 10 ** 12 })), {
  minLength: 1,
  maxLength: 30,
});

const nsOf = (cycles: number, hz: number): number => Number((BigInt(cycles) * 1_000_000_000n) / BigInt(hz));

test('now is the exact quotient after any sequence of advances, looked at or not', () => {
  fc.assert(
    fc.property(frequencies, spans, fc.boolean(), (hz, advances, look) => {
      const clock = new CpuClock(hz);
      let total = 0;
      for (const cycles of advances) {
        if (nsOf(total + cycles, hz) > 2 ** 52) break;
        clock.advance(cycles);
        total += cycles;
        expect(look ? clock.now : nsOf(total, hz)).toBe(nsOf(total, hz));
        if (look) clock.cyclesUntil(clock.now + cycles); // moves the base; must not move the time
      }
      expect(clock.cycles).toBe(total);
      expect(clock.now).toBe(nsOf(total, hz));
    }),
    { numRuns: 1000 },
  );
});

test('cyclesUntil is the smallest budget that reaches the time', () => {
  fc.assert(
    fc.property(frequencies, fc.nat({ max: 10 ** 12 }), fc.nat({ max: 10 ** 12 }), (hz, start, distance) => {
      if (nsOf(start, hz) > 2 ** 51) return;
      const clock = new CpuClock(hz);
      clock.advance(start);
      const target = clock.now + distance;
      if (BigInt(target) * BigInt(hz) > 2n ** 52n * 1_000_000_000n) return;
      const cycles = clock.cyclesUntil(target);
      expect(nsOf(start + cycles, hz)).toBeGreaterThanOrEqual(target);
      expect(cycles === 0 || nsOf(start + cycles - 1, hz) < target).toBe(true);
      expect(clock.advanceTo(target)).toBe(cycles);
      expect(clock.now).toBe(nsOf(start + cycles, hz));
    }),
    { numRuns: 1000 },
  );
});

test('timeAfter is the time that the clock shows after those cycles', () => {
  fc.assert(
    fc.property(frequencies, fc.nat({ max: 10 ** 12 }), fc.nat({ max: 10 ** 11 }), (hz, start, cycles) => {
      if (nsOf(start + cycles, hz) > 2 ** 51) return;
      const clock = new CpuClock(hz);
      clock.advance(start);
      expect(clock.timeAfter(cycles)).toBe(nsOf(start + cycles, hz));
      clock.advance(cycles);
      expect(clock.now).toBe(nsOf(start + cycles, hz));
      expect(clock.timeAfter(Infinity)).toBe(Infinity);
    }),
    { numRuns: 1000 },
  );
});

test('cyclesIn is the quotient rounded up, wherever the clock stands', () => {
  fc.assert(
    fc.property(frequencies, fc.nat({ max: 10 ** 12 }), fc.nat({ max: 10 ** 10 }), (hz, duration, start) => {
      const exact = BigInt(duration) * BigInt(hz);
      if (exact > 2n ** 52n * 1_000_000_000n) return;
      const clock = new CpuClock(hz);
      clock.advance(start);
      expect(clock.cyclesIn(duration)).toBe(Number((exact + 999_999_999n) / 1_000_000_000n));
    }),
    { numRuns: 1000 },
  );
});

test('time never moves back: reaching a time of the past costs nothing', () => {
  const clock = new CpuClock(2_400_000_000);
  clock.advance(24_000);
  expect(clock.now).toBe(10_000);
  expect(clock.advanceTo(9_999)).toBe(0);
  expect(clock.advanceTo(10_001)).toBe(3);
  expect(clock.now).toBe(10_001);
});

test('a frequency must be a positive integer in range', () => {
  for (const hz of [0, -1, 1.5, HZ_MAX + 1]) expect(() => new CpuClock(hz)).toThrow(/frequency/);
  expect(gcd(1_000_000_000, 2_400_000_000)).toBe(200_000_000);
});

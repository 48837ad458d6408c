/** Order and time of events. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Engine } from '../../src/core/engine.ts';
import { Bug } from '../../src/core/errors.ts';

test('equal times run in the order scheduled, also when scheduled from an event of that time', () => {
  const engine = new Engine();
  const log: string[] = [];
  engine.at(5, () => {
    log.push('a');
    engine.at(5, () => log.push('d'));
  });
  engine.at(5, () => log.push('b'));
  engine.at(3, () => log.push('first'));
  engine.at(5, () => log.push('c'));
  engine.runUntil(5);
  expect(log).toEqual(['first', 'a', 'b', 'c', 'd']);
  expect(engine.now).toBe(5);
});

test('events that do nothing do not change the order of the others', () => {
  const times = fc.array(fc.nat({ max: 30 }), { maxLength: 40 });
  fc.assert(
    fc.property(times, times, (work, noise) => {
      const history = (withNoise: boolean): string[] => {
        const engine = new Engine();
        const log: string[] = [];
        for (const [i, time] of work.entries()) {
          if (withNoise) for (const t of noise) engine.at(t, () => undefined);
          engine.at(time, () => {
            log.push(`${i}@${engine.now}`);
            if (i % 3 === 0) engine.at(engine.now + (i % 5), () => log.push(`${i}'@${engine.now}`));
          });
        }
        engine.runUntil(100);
        return log;
      };
      expect(history(true)).toEqual(history(false));
    }),
  );
});

test('the past and fractions of a nanosecond are bugs', () => {
  const engine = new Engine();
  engine.runUntil(100);
  const nothing = (): void => undefined;
  expect(() => engine.at(99, nothing)).toThrow(Bug);
  expect(() => engine.at(100.5, nothing)).toThrow(Bug);
  expect(() => engine.at(Number.NaN, nothing)).toThrow(Bug);
  expect(() => engine.at(Infinity, nothing)).toThrow(Bug);
  expect(() => engine.runUntil(99)).toThrow(Bug);
});

test('a cancelled event does not run; cancelling twice or late answers false', () => {
  const engine = new Engine();
  let ran = 0;
  const first = engine.at(1, () => ran++);
  const second = engine.at(2, () => ran++);
  expect(engine.cancel(first)).toBe(true);
  expect(engine.cancel(first)).toBe(false);
  expect(engine.pending).toBe(1);
  expect(engine.peekTime()).toBe(2);
  expect(engine.runNext()).toBe(true);
  expect(engine.cancel(second)).toBe(false);
  expect(engine.runNext()).toBe(false);
  expect(engine.peekTime()).toBe(Infinity);
  expect([ran, engine.now]).toEqual([1, 2]);
});

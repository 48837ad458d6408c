/** The future-event list against a sorted array, and its bound on cancelled events. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventQueue, type QueuedEvent } from '../../src/core/queue.ts';

type Step = { readonly push: number } | { readonly pop: true } | { readonly cancel: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ push: fc.nat({ max: 20 }) }),
    fc.record({ pop: fc.constant(true as const) }),
    fc.record({ cancel: fc.nat({ max: 50 }) }),
  ),
  { maxLength: 300 },
);

test('behaves as a sorted array with the order (time, order of arrival)', () => {
  fc.assert(
    fc.property(steps, (script) => {
      const queue = new EventQueue();
      const handles: QueuedEvent[] = [];
      let model: { time: number; id: number }[] = [];
      const answers: unknown[] = [];
      const expected: unknown[] = [];
      for (const step of script) {
        if ('push' in step) {
          const id = handles.length;
          handles.push(queue.push(step.push, () => undefined));
          model.push({ time: step.push, id });
          model.sort((a, b) => a.time - b.time || a.id - b.id);
        } else if ('cancel' in step) {
          if (step.cancel >= handles.length) continue;
          const known = model.some((entry) => entry.id === step.cancel);
          answers.push(queue.cancel(handles[step.cancel]));
          expected.push(known);
          model = model.filter((entry) => entry.id !== step.cancel);
        } else {
          const event = queue.pop();
          answers.push(event === undefined ? undefined : handles.indexOf(event));
          expected.push(model.shift()?.id);
          if (event !== undefined) event.action = null;
        }
        expect(queue.size).toBe(model.length);
        expect(queue.peekTime()).toBe(model[0]?.time ?? Infinity);
      }
      expect(answers).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test('a mass of cancelled events does not pile up', () => {
  const queue = new EventQueue();
  queue.push(1e9, () => undefined);
  for (let i = 0; i < 100_000; i++) {
    queue.cancel(queue.push(1e9 + i, () => undefined));
    expect(queue.slots).toBeLessThan(200);
  }
  expect(queue.size).toBe(1);
  expect(queue.pop()!.time).toBe(1e9);
});

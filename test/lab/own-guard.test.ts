/** The guard of a user's scheduler passes on every method that the interface has, and adds none. */
import { expect, test } from 'vitest';
import type { Scheduler, SchedulerHost } from '../../src/host/scheduler.ts';
import { makeTopology } from '../../src/host/topology.ts';
import { guarded } from '../../src/lab/own-guard.ts';

const host = {
  topology: makeTopology({ sockets: 1, coresPerSocket: 2, threadsPerCore: 1 }),
} as unknown as SchedulerHost;

/** Every member of the interface; the compiler says when one is missing here. */
const METHODS: Record<Exclude<keyof Scheduler, 'heeds' | 'pick'>, true> = {
  add: true,
  wake: true,
  sleep: true,
  remove: true,
  charge: true,
  yield: true,
  signal: true,
  event: true,
  timer: true,
  waits: true,
  affinity: true,
  change: true,
  throttling: true,
};

test('calls of every method arrive with their arguments, and answers come back', () => {
  const calls: unknown[] = [];
  const own: Record<string, unknown> = { heeds: ['ipi'], pick: () => ({ task: null, slice: 1 }) };
  for (const name of Object.keys(METHODS)) {
    own[name] = (task: unknown, now: unknown) => {
      calls.push([name, task, now]);
      return `answer of ${name}`;
    };
  }
  const guard = guarded(() => own, host) as unknown as Record<string, (...args: unknown[]) => unknown>;
  expect(guard['heeds']).toEqual(['ipi']);
  const task = {};
  for (const name of Object.keys(METHODS)) guard[name]!(task, 7);
  expect(calls).toEqual(Object.keys(METHODS).map((name) => [name, task, 7]));
  expect(guard['throttling']!(task)).toBe('answer of throttling');
  expect(guard['waits']!(1)).toBe('answer of waits');
});

test('what a scheduler does not have its guard has not either', () => {
  const guard = guarded(() => ({ wake() {}, sleep() {}, pick: () => ({ task: null, slice: 1 }) }), host);
  expect(Object.keys(guard).sort()).toEqual(['add', 'pick', 'sleep', 'wake']);
});

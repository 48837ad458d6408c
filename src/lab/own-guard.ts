/**
 * Stands between the dispatcher and a scheduler of the user: what the file answers or asks for that cannot be is refused
 * here, in words for its author, before it does harm or goes unnoticed.
 * Invariants: a scheduler without mistakes runs as it would without the guard; everything that leaves here by a throw is an
 * Error, whatever the file threw.
 */
import { SIGNAL_KINDS } from '../core/runnable.ts';
import { NS_PER_MS, type Ns } from '../core/units.ts';
import type { Decision, Scheduler, SchedulerHost, Task } from '../host/scheduler.ts';
import { isPlainObject } from './paths.ts';

/** A scheduler of the user answered or asked for something that cannot be. */
export class PolicyMistake extends Error {
  override readonly name = 'PolicyMistake';
}

const NEEDED = ['wake', 'sleep', 'pick'] as const;
/** Passed on as they are; `timer` has a guard of its own. */
const OPTIONAL = ['remove', 'charge', 'yield', 'signal', 'event', 'waits', 'affinity', 'change', 'throttling'] as const;

/** So many calls in so short a time, by physical CPU, are a loop: one in 100 ns, where a slice of 100 us is a short one. */
const CALLS_MAX = 1_000_000;
const CALLS_WITHIN: Ns = 100 * NS_PER_MS;

/** Notices a scheduler that asks to be called again at once, for ever: its run would take a lifetime. */
class Pace {
  private readonly method: string;
  private readonly callsMax: number;
  private calls = 0;
  private since: Ns = 0;

  constructor(method: string, pcpus: number) {
    this.method = method;
    this.callsMax = CALLS_MAX * pcpus;
  }

  /** @throws PolicyMistake */
  call(now: Ns): void {
    if (this.calls++ < this.callsMax) return;
    const span = now - this.since;
    if (span < CALLS_WITHIN) {
      const often = `${this.callsMax} times within ${span} ns`;
      throw new PolicyMistake(`${this.method}() was called ${often}, up to ${now} ns: an endless loop?`);
    }
    this.calls = 1;
    this.since = now;
  }
}

/** What `make` answers, checked and guarded. @throws PolicyMistake */
export function guarded(make: (host: SchedulerHost) => unknown, host: SchedulerHost): Scheduler {
  const known = new WeakSet<object>();
  // The file may ask for timers while it is made, before there is an object to look for `timer` on.
  let inner: Scheduler | null = null;
  const answer = call(() => make(guardedHost(host, known, () => inner)));
  inner = methodsOf(answer);
  const policy = inner;
  const pcpus = host.topology.length;
  const [picks, timers] = [new Pace('pick', pcpus), new Pace('timer', pcpus)];
  const all: Scheduler = {
    add(task, now) {
      known.add(task);
      call(() => policy.add?.(task, now));
    },
    wake(task, now, reason) {
      known.add(task);
      call(() => policy.wake(task, now, reason));
    },
    sleep: (task, now) => call(() => policy.sleep(task, now)),
    pick(pcpu, now, current) {
      picks.call(now);
      const answer = call(() => policy.pick(pcpu, now, current));
      return decisionOf(answer, pcpu, known);
    },
  };
  if (policy.timer !== undefined) {
    all.timer = (timer, now) => {
      timers.call(now);
      call(() => policy.timer!(timer, now));
    };
  }
  const passed = OPTIONAL.flatMap((method) => {
    const own = policy[method] as ((...args: unknown[]) => unknown) | undefined;
    return own === undefined ? [] : [[method, (...args: unknown[]) => call(() => own.apply(policy, args))]];
  });
  const heeds = policy.heeds === undefined ? {} : { heeds: policy.heeds };
  return { ...all, ...heeds, ...Object.fromEntries(passed) };
}

/** Whatever is thrown is an Error from here on. */
function call<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof Error ? error : new PolicyMistake(`it threw ${shown(error)}, which is no Error`);
  }
}

function methodsOf(answer: unknown): Scheduler {
  const object = answer as Readonly<Record<string, unknown>> | null | undefined;
  for (const method of NEEDED) {
    if (typeof object?.[method] !== 'function') {
      throw new PolicyMistake(`make answered nothing with ${method}(); expected an object with ${NEEDED.join(', ')}`);
    }
  }
  for (const method of ['add', 'timer', ...OPTIONAL]) {
    const value = object![method];
    if (value !== undefined && typeof value !== 'function') {
      throw new PolicyMistake(`${method} is ${shown(value)}, expected a function`);
    }
  }
  const { heeds } = object!;
  if (heeds !== undefined && !(Array.isArray(heeds) && heeds.every((kind) => SIGNAL_KINDS.includes(kind)))) {
    throw new PolicyMistake(`heeds is ${shown(heeds)}, expected a list of ${SIGNAL_KINDS.join(', ')}`);
  }
  return object as unknown as Scheduler;
}

function decisionOf(answer: unknown, pcpu: number, known: WeakSet<object>): Decision {
  const wrong = (what: string): PolicyMistake => new PolicyMistake(`pick(${pcpu}) answered ${what}`);
  if (typeof answer !== 'object' || answer === null || !('task' in answer) || !('slice' in answer)) {
    throw wrong(`${shown(answer)}, expected { task, slice }`);
  }
  const { task, slice } = answer;
  if (task !== null && !(typeof task === 'object' && known.has(task))) {
    throw wrong(`task ${shown(task)}, expected null or a task that wake() was called with`);
  }
  if (slice !== Infinity && !(Number.isSafeInteger(slice) && (slice as number) > 0)) {
    throw wrong(`a slice of ${shown(slice)}, expected a whole number of nanoseconds from 1, or Infinity`);
  }
  return answer as Decision;
}

function guardedHost(host: SchedulerHost, known: WeakSet<object>, policy: () => Scheduler | null): SchedulerHost {
  const ids = new Set(host.topology.map(({ id }) => id));
  const pcpuOf = (id: number, asked: string): number => {
    if (ids.has(id)) return id;
    throw new PolicyMistake(`${asked}(${shown(id)}): no such pCPU, expected one of ${rangeOf([...ids])}`);
  };
  const taskOf = (task: Task, asked: string): Task => {
    if (typeof task === 'object' && task !== null && known.has(task)) return task;
    throw new PolicyMistake(`${asked}: ${shown(task)} is not a task that wake() was called with`);
  };
  const holdOf = <T>(why: T, asked: string): T => {
    if (why === 'park' || why === 'costop') return why;
    throw new PolicyMistake(`${asked}(task, ${shown(why)}): expected 'park' or 'costop'`);
  };
  return {
    topology: host.topology,
    random: host.random,
    current: (pcpu) => host.current(pcpuOf(pcpu, 'current')),
    resched: (pcpu) => host.resched(pcpuOf(pcpu, 'resched')),
    settle: (pcpu) => host.settle(pcpuOf(pcpu, 'settle')),
    hold: (task, why) => host.hold(taskOf(task, 'hold'), holdOf(why, 'hold')),
    release: (task, why) => host.release(taskOf(task, 'release'), holdOf(why, 'release')),
    arm(timer, at) {
      const made = policy();
      if (made !== null && made.timer === undefined) {
        throw new PolicyMistake(`arm(${shown(timer)}, ...): it has no method timer() to be called`);
      }
      if (!Number.isSafeInteger(at)) {
        throw new PolicyMistake(`arm(${shown(timer)}, ${shown(at)}): expected a time, a whole number of nanoseconds`);
      }
      host.arm(timer, at);
    },
    disarm: (timer) => host.disarm(timer),
    note(kind, task, pcpu) {
      if (typeof kind !== 'string') throw new PolicyMistake(`note(${shown(kind)}, ...): expected a text`);
      host.note(kind, taskOf(task, 'note'), pcpu === -1 ? -1 : pcpuOf(pcpu, 'note'));
    },
  };
}

/** `0 to 7`, or the numbers where some are missing. */
function rangeOf(ids: readonly number[]): string {
  const first = ids[0]!;
  return ids.every((id, at) => id === first + at) ? `${first} to ${first + ids.length - 1}` : ids.join(', ');
}

/** A value in a message: short, and never a whole object. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  if (Array.isArray(value)) return `[${value.slice(0, 5).map(shown).join(', ')}]`;
  if (value instanceof Promise) return 'a promise';
  if (isPlainObject(value)) return `{ ${Object.keys(value).slice(0, 5).join(', ')} }`;
  return typeof value === 'function'
    ? 'a function'
    : typeof value === 'object' && value !== null
      ? 'an object'
      : String(value);
}

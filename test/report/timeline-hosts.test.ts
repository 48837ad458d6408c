/**
 * Timelines of hosts that are not plain: processes beside VMs of the same name, hundreds of vCPUs, vCPUs that come and go, pools, short slices.
 * Both formats are read back and must give the dispatcher's own books: times by state, starts, waits after wake-ups.
 * The lines of ftrace are those of the schedulers' reference, 8.2 and 8.3 B; the small timeline was drawn by hand.
 */
import { describe, expect, test } from 'vitest';
import { assert } from '../../src/core/errors.ts';
import {
  STATE_BLOCKED,
  STATE_COSTOPPED,
  STATE_PARKED,
  STATE_PAUSED,
  STATE_READY,
  STATE_RUNNING,
} from '../../src/host/scheduler.ts';
import { type Timeline, TimelineRecorder } from '../../src/host/timeline.ts';
import { buildWorld, finishWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import type { ScenarioInput } from '../../src/lab/schema.ts';
import { ftraceText } from '../../src/report/ftrace.ts';
import { chromeTrace } from '../../src/report/timeline.ts';

const PERIODIC = { model: 'io', work_us: 300, wait_us: 2000 };
const BURSTS = { model: 'interactive', burst_us: 500, think_us: 1000 };
const LOCK = { model: 'spinlock', lock: 'tas' };
const GANGS = { policy: 'esx', coscheduling: 'strict' };

const HOSTS: Record<string, Pick<ScenarioInput, 'host' | 'vms'>> = {
  'type-2 with a process of the name of a VM': {
    host: {
      pcpus: 2,
      hypervisor: 'type-2',
      scheduler: 'cfs',
      processes: [
        { name: 'web', demand: 'hog' },
        { name: 'editor', count: 2, demand: BURSTS },
      ],
    },
    vms: [{ name: 'web', demand: PERIODIC, vcpus: 3 }],
  },
  'hundreds of vCPUs': {
    host: { pcpus: 16, scheduler: 'credit' },
    vms: [
      { name: 'wide', demand: PERIODIC, vcpus: 300 },
      { name: 'narrow', count: 40, demand: BURSTS },
    ],
  },
  'vCPUs that come and go': {
    host: { pcpus: 3, scheduler: 'credit2' },
    vms: [
      { name: 'hog', demand: 'hog', count: 3 },
      {
        name: 'elastic',
        demand: PERIODIC,
        vcpus: 2,
        start: '3 ms',
        stop: '90 ms',
        changes: [
          { at: '10 ms', vcpus: 6 },
          { at: '30 ms', vcpus: 1 },
          { at: '50 ms', vcpus: 4 },
        ],
      },
    ],
  },
  'pools, caps and co-scheduling': {
    host: {
      pcpus: 6,
      scheduler: 'credit',
      pools: [
        { name: 'gangs', pcpus: [1, 3], scheduler: GANGS },
        { name: 'shares', pcpus: [2, 5], scheduler: { policy: 'cfs' } },
      ],
    },
    vms: [
      { name: 'pair', count: 2, vcpus: 2, demand: LOCK, pool: 'gangs' },
      { name: 'share', count: 5, demand: PERIODIC, pool: 'shares' },
      { name: 'capped', demand: 'hog', cap: 30 },
      { name: 'io', count: 4, demand: PERIODIC },
    ],
  },
};

interface Event {
  readonly ph: string;
  readonly ts: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  readonly id?: number;
  readonly args?: { readonly pcpu?: number };
}

const ns = (us: number): number => Math.round(us * 1000);

describe.each(Object.entries(HOSTS))('%s', (_name, parts) => {
  const scenario = defineScenario({ name: 'watched', duration: '120 ms', baseline: 'none', ...parts });
  const recorder = new TimelineRecorder({ fromNs: 0, toNs: Infinity, keepMax: 1_000_000 });
  const world = buildWorld(planRuns(scenario, (file) => file).runs[0]!, { observer: recorder });
  finishWorld(world);
  const { tasks } = world.dispatcher;
  const timeline = recorder.finish(world.dispatcher);

  describe('as Chrome trace', () => {
    const { traceEvents: events } = JSON.parse(chromeTrace(timeline, {})) as { traceEvents: Event[] };
    const slices = events.filter(({ ph }) => ph === 'X');

    test('every task has a track of its own, every process a name', () => {
      const named = events.filter(({ name }) => name === 'thread_name').map(({ pid, tid }) => `${pid} ${tid}`);
      expect(new Set(named).size).toBe(timeline.pcpus + tasks.length);
      const processes = events.filter(({ name }) => name === 'process_name').map(({ pid }) => pid);
      expect(new Set(processes).size).toBe(1 + world.dispatcher.vms.length);
      expect(processes.length).toBe(1 + world.dispatcher.vms.length);
    });

    test('slices of a track are disjoint, those of a task are its books', () => {
      const tracks = new Map<string, Event[]>();
      for (const slice of slices) {
        const key = `${slice.pid} ${slice.tid}`;
        tracks.set(key, [...(tracks.get(key) ?? []), slice]);
      }
      for (const track of tracks.values()) {
        for (const [i, { ts }] of track.entries()) {
          const before = track[i - 1] ?? { ts: 0, dur: 0 };
          expect(ns(before.ts) + ns(before.dur!)).toBeLessThanOrEqual(ns(ts));
        }
      }
      for (const task of tasks) {
        const own = tracks.get(`${100 + task.vm.id} ${task.index + 1}`) ?? [];
        const total = (state: string): number =>
          own.filter(({ name }) => name === state).reduce((sum, { dur }) => sum + ns(dur!), 0);
        expect([total('running'), total('ready'), total('blocked')]).toEqual(
          [STATE_RUNNING, STATE_READY, STATE_BLOCKED].map((state) => task.times[state]),
        );
      }
      const running = slices.filter(({ pid }) => pid === 1).reduce((sum, { dur }) => sum + ns(dur!), 0);
      expect(running).toBe(tasks.reduce((sum, task) => sum + task.times[STATE_RUNNING]!, 0));
    });

    test('an arrow for every wait after a wake-up, as long as that, from the track of the vCPU to its slice on the pCPU', () => {
      const ends = new Map(events.filter(({ ph }) => ph === 'f').map((event) => [event.id!, event]));
      const starts = events.filter(({ ph }) => ph === 's');
      const all = new Set(slices.map(({ pid, tid, ts }) => `${pid} ${tid} ${ns(ts)}`));
      for (const { id, pid, tid, ts } of starts) {
        const end = ends.get(id!)!;
        expect(all.has(`${pid} ${tid} ${ns(ts)}`)).toBe(true);
        expect(end.pid).toBe(1);
        expect(all.has(`${end.pid} ${end.tid} ${ns(end.ts)}`)).toBe(true);
      }
      for (const task of tasks) {
        const own = starts.filter(({ pid, tid }) => pid === 100 + task.vm.id && tid === task.index + 1);
        const waits = own.map(({ id, ts }) => ns(ends.get(id!)!.ts) - ns(ts));
        expect(waits).toEqual(task.wakeToRun.values);
      }
      expect(starts.length).toBeGreaterThan(50);
    });

    test('incidents are of the pCPUs of the host', () => {
      for (const { args } of events.filter(({ ph }) => ph === 'i')) expect(args!.pcpu).toBeLessThan(timeline.pcpus);
    });
  });

  test('as ftrace: read back, the times and waits of every task', () => {
    const seen = readFtrace(ftraceText(timeline, { scenario: 'watched' }), timeline);
    for (const task of tasks) {
      const own = seen.get(1000 * (task.vm.id + 1) + task.index + 1) ?? NEVER_SEEN;
      const last = timeline.segments.findLast((segment) => segment.task === task.id);
      // No line says that somebody ended who did not run: it stays as it was.
      const left = last === undefined || last.state === 'running' ? 0 : timeline.toNs - last.toNs;
      const ready = task.times[STATE_READY]! + (last?.state === 'ready' ? left : 0);
      expect([own.running, own.ready], task.label).toEqual([task.times[STATE_RUNNING], ready]);
      const slept = [STATE_BLOCKED, STATE_PARKED, STATE_COSTOPPED, STATE_PAUSED].reduce(
        (sum, state) => sum + task.times[state]!,
        0,
      );
      expect(own.asleep, task.label).toBe(slept + (last?.state === 'ready' ? 0 : left));
      expect(own.migrations, task.label).toBe(task.migrations);
    }
  });
});

interface Seen {
  state: string;
  since: number;
  pcpu: number;
  running: number;
  ready: number;
  asleep: number;
  migrations: number;
}
const NEVER_SEEN: Seen = { state: 'X', since: 0, pcpu: -1, running: 0, ready: 0, asleep: 0, migrations: 0 };

const LINE = /^(\S+)-(\d+) \((\d+|-+)\) \[(\d{3})\] [a-zA-Z0-9.]{0,4} (\d+)\.(\d{9}): (\w+): (.*)$/;
const SWITCH =
  /^prev_comm=\S+ prev_pid=\d+ prev_prio=\d+ prev_state=[RSTX] ==> next_comm=\S+ next_pid=\d+ next_prio=\d+$/;

/** Reads lines as Perfetto's importer does, and plays the states of the threads. */
function readFtrace(text: string, timeline: Timeline): Map<number, Seen> {
  const threads = new Map<number, Seen>();
  const current = Array.from({ length: timeline.pcpus }, () => 0);
  let time = 0;
  const enter = (pid: number, state: string, pcpu = -1): void => {
    const thread = threads.get(pid) ?? { ...NEVER_SEEN };
    const span = time - thread.since;
    if (thread.state === 'running') thread.running += span;
    else if (thread.state === 'R') thread.ready += span;
    else if (thread.state !== 'X') thread.asleep += span;
    Object.assign(thread, { state, since: time, pcpu });
    threads.set(pid, thread);
  };
  const stateOf = (pid: number): string => threads.get(pid)?.state ?? 'X';
  for (const line of text.trimEnd().split('\n')) {
    if (line.startsWith('#')) continue;
    const must = (holds: boolean): void => assert(holds, line);
    const parsed = LINE.exec(line);
    must(parsed !== null);
    const [, , by, , cpu, s, fraction, event, rest] = parsed!;
    const at = Number(s) * 1e9 + Number(fraction);
    must(at >= time);
    time = at;
    const args = Object.fromEntries([...rest!.matchAll(/(\w+)=(\S+)/g)].map(([, key, value]) => [key!, value!]));
    const pcpu = Number(cpu);
    const pid = Number(args['pid']);
    must(Number(by) === current[pcpu]);
    switch (event) {
      case 'sched_switch': {
        must(SWITCH.test(rest!));
        const [prev, next] = [Number(args['prev_pid']), Number(args['next_pid'])];
        must(prev === current[pcpu] && next !== prev);
        if (prev !== 0) enter(prev, args['prev_state']!);
        must(next === 0 || stateOf(next) === 'R');
        if (next !== 0) enter(next, 'running', pcpu);
        current[pcpu] = next;
        break;
      }
      case 'sched_migrate_task':
        must(args['orig_cpu'] !== args['dest_cpu']);
        threads.get(pid)!.migrations++;
        break;
      case 'sched_waking':
      case 'sched_wakeup_new':
        must(stateOf(pid) !== 'running' && stateOf(pid) !== 'R');
        enter(pid, 'R');
        break;
      default:
        must(event === 'sched_wakeup' && stateOf(pid) === 'R');
    }
  }
  time = timeline.toNs;
  for (const [pid, { state }] of threads) enter(pid, state);
  return threads;
}

test('ftrace: a timeline drawn by hand', () => {
  const timeline: Timeline = {
    fromNs: 0,
    toNs: 10_000,
    pcpus: 2,
    tasks: [
      { owner: 0, vm: 'a', vcpu: 0 },
      { owner: 2, vm: 'b', vcpu: 1 },
    ],
    segments: [
      { task: 0, state: 'ready', pcpu: -1, fromNs: 0, toNs: 500 },
      { task: 0, state: 'running', pcpu: 0, fromNs: 500, toNs: 4000 },
      { task: 1, state: 'blocked', pcpu: -1, fromNs: 0, toNs: 3000 },
      { task: 1, state: 'ready', pcpu: -1, fromNs: 3000, toNs: 4000 },
      { task: 0, state: 'parked', pcpu: -1, fromNs: 4000, toNs: 6000 },
      { task: 1, state: 'running', pcpu: 0, fromNs: 4000, toNs: 7000 },
      { task: 0, state: 'ready', pcpu: -1, fromNs: 6000, toNs: 6500 },
      { task: 1, state: 'blocked', pcpu: -1, fromNs: 7000, toNs: 10_000 },
      { task: 0, state: 'running', pcpu: 1, fromNs: 6500, toNs: 10_000 },
    ],
    incidents: [],
    dropped: 0,
  };
  expect(ftraceText(timeline, { run: 1 }).split('\n')).toEqual([
    '# tracer: nop',
    '#',
    '# run: 1',
    '# dropped: 0',
    '#',
    '<idle>-0 (-----) [000] d..2 0.000000000: sched_wakeup_new: comm=a.0 pid=1001 prio=120 target_cpu=000',
    '<idle>-0 (-----) [000] d..2 0.000000500: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a.0 next_pid=1001 next_prio=120',
    'a.0-1001 (1000) [000] d..2 0.000003000: sched_waking: comm=b.1 pid=3002 prio=120 target_cpu=000',
    'a.0-1001 (1000) [000] d..2 0.000003000: sched_wakeup: comm=b.1 pid=3002 prio=120 target_cpu=000',
    'a.0-1001 (1000) [000] d..2 0.000004000: sched_switch: prev_comm=a.0 prev_pid=1001 prev_prio=120 prev_state=T ==> next_comm=b.1 next_pid=3002 next_prio=120',
    '<idle>-0 (-----) [001] d..2 0.000006000: sched_waking: comm=a.0 pid=1001 prio=120 target_cpu=001',
    '<idle>-0 (-----) [001] d..2 0.000006000: sched_wakeup: comm=a.0 pid=1001 prio=120 target_cpu=001',
    '<idle>-0 (-----) [001] d..2 0.000006500: sched_migrate_task: comm=a.0 pid=1001 prio=120 orig_cpu=0 dest_cpu=1',
    '<idle>-0 (-----) [001] d..2 0.000006500: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a.0 next_pid=1001 next_prio=120',
    'b.1-3002 (3000) [000] d..2 0.000007000: sched_switch: prev_comm=b.1 prev_pid=3002 prev_prio=120 prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120',
    '',
  ]);
});

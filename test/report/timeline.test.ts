/**
 * Timelines: their slices sum to the ledger, tracks are well formed, watching changes nothing, and the options of the
 * command line are checked. Format: schedulers' reference, 8.3 (Chrome trace events as Perfetto's importer wants them).
 */
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCommand } from '../../src/commands/run.ts';
import { runWorld, timelineOf } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import type { ScenarioInput } from '../../src/lab/schema.ts';
import { chromeTrace } from '../../src/report/timeline.ts';

const MODELLED = {
  name: 'watched',
  duration: '500 ms',
  baseline: 'none',
  host: { pcpus: 2, scheduler: 'credit' },
  vms: [
    { name: 'hog', demand: 'hog', count: 2 },
    { name: 'io', demand: 'io', count: 3 },
    { name: 'lock', demand: 'spinlock', vcpus: 2, cap: 60 },
  ],
} as const satisfies ScenarioInput;

const EXECUTED = {
  name: 'executed',
  duration: '200 ms',
  baseline: 'none',
  host: { pcpus: 1, frequency: '100 MHz', memory: '128 MiB', scheduler: 'round-robin' },
  vms: [{ name: 'web', guest: 'nano-clean', workload: 'web requests=100 gap=1 work=1000', memory: '16 MiB', count: 3 }],
} as const satisfies ScenarioInput;

const firstRun = (scenario: ScenarioInput) => planRuns(defineScenario(scenario), (file) => file).runs[0]!;

interface Event {
  readonly ph: string;
  readonly ts: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  readonly id?: number;
  readonly cat?: string;
}

describe.each([
  ['modelled', MODELLED],
  ['executed', EXECUTED],
] as const)('%s VMs', (_name, scenario) => {
  const run = firstRun(scenario);
  const record = runWorld(run);
  const { timeline, digest } = timelineOf(run, { keepMax: 1_000_000 });
  const text = chromeTrace(timeline, { scenario: scenario.name });
  const events = (JSON.parse(text) as { traceEvents: Event[] }).traceEvents;

  test('watching changes nothing', () => {
    expect(digest).toBe(record.digest);
    expect(timeline.dropped).toBe(0);
  });

  test('the slices of each vCPU sum to its ledger, to the nanosecond', () => {
    for (const vm of record.vms) {
      for (const vcpu of vm.vcpus) {
        const id = timeline.tasks.findIndex((task) => task.vm === vm.name && task.vcpu === vcpu.vcpu);
        const total = (state: string): number =>
          timeline.segments
            .filter((segment) => segment.task === id && segment.state === state)
            .reduce((sum, { fromNs, toNs }) => sum + toNs - fromNs, 0);
        expect([total('running'), total('ready'), total('blocked'), total('parked')]).toEqual([
          vcpu.runningNs,
          vcpu.readyNs,
          vcpu.blockedNs,
          vcpu.parkedNs,
        ]);
      }
    }
  });

  test('the file begins as importers expect, with whole numbers for tracks, sorted by time', () => {
    expect(text).toMatch(/^\{"traceEvents":\[/);
    for (const { pid, tid } of events) expect(Number.isInteger(pid) && Number.isInteger(tid)).toBe(true);
    expect(events.every(({ ts }, i) => i === 0 || events[i - 1]!.ts <= ts)).toBe(true);
    expect(events.filter(({ name }) => name === 'thread_name').length).toBe(timeline.pcpus + timeline.tasks.length);
  });

  test('slices of one track are disjoint', () => {
    const tracks = new Map<string, Event[]>();
    for (const event of events) {
      if (event.ph !== 'X') continue;
      const key = `${event.pid} ${event.tid}`;
      tracks.set(key, [...(tracks.get(key) ?? []), event]);
    }
    expect(tracks.size).toBe(timeline.pcpus + timeline.tasks.length);
    for (const track of tracks.values()) {
      for (const [i, { ts }] of track.entries()) {
        const before = track[i - 1];
        // In nanoseconds: microseconds have fractions.
        const end = before === undefined ? 0 : Math.round((before.ts + before.dur!) * 1000);
        expect(end).toBeLessThanOrEqual(Math.round(ts * 1000));
      }
    }
  });

  test('every arrow goes from a wake-up to a start', () => {
    const starts = events.filter(({ ph }) => ph === 's');
    const ends = new Map(events.filter(({ ph }) => ph === 'f').map((event) => [event.id, event]));
    expect(starts.length).toBeGreaterThan(5);
    expect(ends.size).toBe(starts.length);
    for (const { id, ts } of starts) expect(ends.get(id)!.ts).toBeGreaterThanOrEqual(ts);
  });
});

test('what does not fit is counted', () => {
  const { timeline } = timelineOf(firstRun(MODELLED), { keepMax: 10 });
  expect(timeline.segments.length).toBe(10);
  expect(timeline.dropped).toBeGreaterThan(100);
});

test('a window clips what goes beyond it, and fills it without a gap', () => {
  const run = firstRun({ ...MODELLED, timeline: { from: '100 ms', to: '150 ms' } });
  const { timeline } = runWorld(run);
  for (const id of timeline!.tasks.keys()) {
    const own = timeline!.segments.filter(({ task }) => task === id).toSorted((a, b) => a.fromNs - b.fromNs);
    expect(own[0]!.fromNs).toBe(100e6);
    expect(own.at(-1)!.toNs).toBe(150e6);
    for (const [i, segment] of own.slice(1).entries()) expect(segment.fromNs).toBe(own[i]!.toNs);
  }
});

describe('hvsim run --timeline', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hvsim-timeline-'));
  const file = join(folder, 'watched.yaml');
  writeFileSync(file, JSON.stringify(MODELLED));
  const common = { out: folder, jobs: '1', engine: 'compiled', quiet: true } as const;

  test('writes the file beside the results, and removes it when it is not asked for', async () => {
    expect(await runCommand([file], { ...common, timeline: true })).toBe(0);
    const path = join(folder, 'watched', 'timeline.json');
    const { otherData } = JSON.parse(readFileSync(path, 'utf8')) as { otherData: unknown };
    expect(otherData).toEqual({ scenario: 'watched', run: 1, dropped: 0 });
    expect(await runCommand([file], common)).toBe(0);
    expect(() => readFileSync(path)).toThrow(/no such file/);
  });

  test('writes the text of ftrace instead, of executed guests too', async () => {
    const executed = join(folder, 'executed.yaml');
    writeFileSync(executed, JSON.stringify(EXECUTED));
    expect(await runCommand([executed], { ...common, timeline: true, timelineFormat: 'ftrace' })).toBe(0);
    const lines = readFileSync(join(folder, 'executed', 'timeline.ftrace'), 'utf8').split('\n');
    expect(lines.slice(0, 5)).toEqual(['# tracer: nop', '#', '# scenario: executed', '# run: 1', '# dropped: 0']);
    expect(
      lines.filter((line) => line.includes('sched_switch: prev_comm=web-2.0 prev_pid=2001')).length,
    ).toBeGreaterThan(5);
    expect(existsSync(join(folder, 'executed', 'timeline.json'))).toBe(false);
  });

  test('of a window: what there was before it is not told as if it had begun there', async () => {
    const window = { timelineFrom: '100 ms', timelineTo: '140 ms', timelineFormat: 'ftrace' };
    expect(await runCommand([file], { ...common, timeline: true, ...window })).toBe(0);
    const lines = readFileSync(join(folder, 'watched', 'timeline.ftrace'), 'utf8').split('\n');
    const times = lines.flatMap((line) => /d\.\.2 ([\d.]+):/.exec(line)?.[1] ?? []).map(Number);
    expect(times[0]).toBe(0.1);
    expect(times.at(-1)).toBeLessThan(0.14);
    expect(times.at(-1)).toBeGreaterThan(0.13);
    expect(lines.filter((line) => line.includes('sched_wakeup_new'))).toEqual([]);
  });

  test('mistakes are named', async () => {
    const watched = { ...common, timeline: true };
    const unit = runCommand([file], { ...watched, timelineFrom: '5' });
    await expect(unit).rejects.toThrow(/--timeline-from: found "5": expected a duration/);
    const empty = runCommand([file], { ...watched, timelineFrom: '5 ms', timelineTo: '5 ms' });
    await expect(empty).rejects.toThrow(/--timeline-to: found "5 ms", expected a time after/);
    await expect(runCommand([file], { ...common, timelineTo: '5 ms' })).rejects.toThrow(
      /--timeline-to: needs --timeline/,
    );
    const needs = runCommand([file], { ...common, timelineFormat: 'ftrace' });
    await expect(needs).rejects.toThrow(/--timeline-format: needs --timeline/);
    const unknown = runCommand([file], { ...common, timeline: true, timelineFormat: 'vcd' });
    await expect(unknown).rejects.toThrow(/--timeline-format: found "vcd", expected chrome or ftrace/);
    await expect(runCommand([file], { ...common, timeline: '7' })).rejects.toThrow(/has runs 1 to 1, found 7/);
    await expect(runCommand([file], { ...common, timeline: 'x' })).rejects.toThrow(/--timeline: found "x"/);
    await expect(runCommand([file], { ...common, timelineMax: '7' })).rejects.toThrow(/needs --timeline/);
  });
});

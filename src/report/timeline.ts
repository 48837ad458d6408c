/**
 * A timeline as Chrome trace events, which ui.perfetto.dev and chrome://tracing open.
 *   process 1 "pCPUs"      one track per pCPU, a slice for each time that a vCPU ran there
 *   process 100 + VM       one track per vCPU, a slice for each state, an arrow from its waking up to its running; processes and
 *                          threads of the host are as VMs with one vCPU
 *   counters               vCPUs that run, and that are ready
 * Invariants: slices of a track are disjoint; events are sorted by time; process and thread numbers are integers.
 * Source: Trace Event Format (Google, 2016), and what the importer of Perfetto wants of it.
 */
import type { Segment, Timeline, TimelineTask } from '../host/timeline.ts';

const PCPUS = 1;
const FIRST_VM = 100;
const NS_PER_US = 1000;

interface TraceEvent {
  readonly ph: 'X' | 'M' | 'C' | 'i' | 's' | 'f';
  readonly ts: number;
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  readonly [key: string]: unknown;
}

/** @param about what the file says about itself, such as the scenario and the run */
export function chromeTrace(timeline: Timeline, about: Readonly<Record<string, unknown>>): string {
  const events = [
    ...metadata(timeline),
    ...slices(timeline),
    ...arrows(timeline),
    ...counters(timeline),
    ...incidents(timeline),
  ];
  // Stable: at equal times, in the order in which they were made.
  events.sort((a, b) => a.ts - b.ts);
  const lines = events.map((event) => JSON.stringify(event)).join(',\n');
  const otherData = JSON.stringify({ ...about, dropped: timeline.dropped });
  return `{"traceEvents":[\n${lines}\n],\n"displayTimeUnit":"ns",\n"otherData":${otherData}}\n`;
}

const us = (ns: number): number => ns / NS_PER_US;
const label = ({ vm, vcpu }: TimelineTask): string => `${vm}.${vcpu}`;

/** Process and thread of each task's own track. */
function tracksOf({ tasks }: Timeline): { pid: number; tid: number }[] {
  return tasks.map(({ owner, vcpu }) => ({ pid: FIRST_VM + owner, tid: vcpu + 1 }));
}

function metadata(timeline: Timeline): TraceEvent[] {
  const tracks = tracksOf(timeline);
  const entry = (name: string, pid: number, tid: number, args: unknown): TraceEvent => {
    return { ph: 'M', ts: 0, pid, tid, name, args };
  };
  const named = (kind: 'process' | 'thread', pid: number, tid: number, name: string, order: number): TraceEvent[] => [
    entry(`${kind}_name`, pid, tid, { name }),
    entry(`${kind}_sort_index`, pid, tid, { sort_index: order }),
  ];
  const seen = new Set<number>();
  return [
    ...named('process', PCPUS, 0, 'pCPUs', 0),
    ...Array.from({ length: timeline.pcpus }, (_, id) => named('thread', PCPUS, id + 1, `pCPU ${id}`, id)).flat(),
    ...timeline.tasks.flatMap((task, id) => {
      const { pid, tid } = tracks[id]!;
      const process = seen.has(pid) ? [] : named('process', pid, 0, task.vm, pid);
      seen.add(pid);
      return [...process, ...named('thread', pid, tid, label(task), tid)];
    }),
  ];
}

function slices(timeline: Timeline): TraceEvent[] {
  const tracks = tracksOf(timeline);
  return timeline.segments.flatMap(({ task, state, pcpu, fromNs, toNs }): TraceEvent[] => {
    const time = { ts: us(fromNs), dur: us(toNs - fromNs) };
    const own: TraceEvent = { ph: 'X', ...time, ...tracks[task]!, name: state, cat: 'state' };
    if (pcpu < 0) return [own];
    const name = label(timeline.tasks[task]!);
    return [
      { ...own, args: { pcpu } },
      { ph: 'X', ...time, pid: PCPUS, tid: pcpu + 1, name, cat: 'run' },
    ];
  });
}

/** From each end of a block to the start of running that follows it. */
function arrows(timeline: Timeline): TraceEvent[] {
  const tracks = tracksOf(timeline);
  const events: TraceEvent[] = [];
  const blocked = new Map<number, Segment>();
  for (const segment of timeline.segments) {
    const { task, state, pcpu, fromNs } = segment;
    if (state === 'blocked') blocked.set(task, segment);
    if (state !== 'running') continue;
    const before = blocked.get(task);
    blocked.delete(task);
    if (before === undefined) continue;
    const flow = { name: 'wake', cat: 'wake', id: events.length / 2 + 1 };
    events.push({ ph: 's', ts: us(before.toNs), ...tracks[task]!, ...flow });
    events.push({ ph: 'f', bp: 'e', ts: us(fromNs), pid: PCPUS, tid: pcpu + 1, ...flow });
  }
  return events;
}

/** How many vCPUs run and are ready, whenever that changes. */
function counters(timeline: Timeline): TraceEvent[] {
  const changes = new Map<number, { running: number; ready: number }>();
  const add = (at: number, state: 'running' | 'ready', by: number): void => {
    const change = changes.get(at) ?? { running: 0, ready: 0 };
    change[state] += by;
    changes.set(at, change);
  };
  for (const { state, fromNs, toNs } of timeline.segments) {
    if (state !== 'running' && state !== 'ready') continue;
    add(fromNs, state, 1);
    add(toNs, state, -1);
  }
  let running = 0;
  let ready = 0;
  return [...changes]
    .filter(([, change]) => change.running !== 0 || change.ready !== 0)
    .sort(([a], [b]) => a - b)
    .map(([at, change]) => {
      running += change.running;
      ready += change.ready;
      return { ph: 'C', ts: us(at), pid: PCPUS, tid: 0, name: 'vCPUs', args: { running, ready } };
    });
}

function incidents(timeline: Timeline): TraceEvent[] {
  const tracks = tracksOf(timeline);
  return timeline.incidents.map(({ kind, task, pcpu, atNs }) => {
    return { ph: 'i', s: 't', ts: us(atNs), ...tracks[task]!, name: kind, cat: 'scheduler', args: { pcpu } };
  });
}

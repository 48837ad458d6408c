/**
 * A timeline as the text of Linux's ftrace, as if vCPUs were threads of a Linux host: ui.perfetto.dev, trace-cmd's viewers and scripts for
 * `perf sched` read it, with tracks of CPUs, states of threads and waits after wake-ups of their own making.
 *   sched_switch        a pCPU goes from one vCPU to another, or to or from nobody (pid 0)
 *   sched_waking, sched_wakeup   a vCPU that was blocked, or was kept off the pCPUs, may run; sched_wakeup_new: for the first time
 *   sched_migrate_task  it goes on on another pCPU, just before it does
 * vCPU v of the VM (process, thread) d is pid 1000 (d + 1) + v + 1, its thread group 1000 (d + 1), its command `vm.v`.
 * States after a switch: R could run, S blocked, T kept off by its cap, its siblings or an operator, X ended.
 * Invariants: lines are sorted by time; on each pCPU the one that a switch takes off is the one that the switch before put on; what the
 * context switch itself takes is nobody's. There is no line for incidents of policies, and wake-ups are on the pCPU where the vCPU will run.
 * Source: the format of the kernel's trace file and its sched events (facts only); what Perfetto's importer wants of it.
 */
import type { Segment, Timeline, TimelineTask } from '../host/timeline.ts';

const NS_PER_S = 1_000_000_000;
/** Of a thread with nice 0; nobody else is here, so it says nothing about weights. */
const PRIORITY = 120;
const IDLE = -1;

interface Event {
  readonly atNs: number;
  readonly pcpu: number;
  /** Who is on the pCPU: a task, or IDLE. */
  readonly by: number;
  readonly text: string;
}

/** A segment with those of the same task before and after it; null for none. */
interface Linked {
  readonly segment: Segment;
  readonly before: Segment | null;
  readonly after: Segment | null;
}

/** @param about what the file says about itself, such as the scenario and the run */
export function ftraceText(timeline: Timeline, about: Readonly<Record<string, unknown>>): string {
  const names = new Names(timeline.tasks);
  const linked = link(timeline);
  const events = [...wakeUps(timeline, linked, names), ...switches(timeline, linked, names)];
  // Stable: at equal times wake-ups come first, and switches of one pCPU stay in their order.
  events.sort((a, b) => a.atNs - b.atNs);
  const remarks = Object.entries({ ...about, dropped: timeline.dropped });
  const head = ['# tracer: nop', '#', ...remarks.map(([key, value]) => `# ${key}: ${String(value)}`), '#'];
  const lines = events.map(
    ({ atNs, pcpu, by, text }) => `${names.prefix(by)} [${padded(pcpu, 3)}] d..2 ${seconds(atNs)}: ${text}`,
  );
  return `${[...head, ...lines].join('\n')}\n`;
}

const padded = (value: number, digits: number): string => String(value).padStart(digits, '0');
const seconds = (ns: number): string => `${Math.floor(ns / NS_PER_S)}.${padded(ns % NS_PER_S, 9)}`;

/** Commands and process ids. */
class Names {
  private readonly tasks: readonly TimelineTask[];
  /** Ids of each VM. */
  private readonly stride: number;

  constructor(tasks: readonly TimelineTask[]) {
    this.tasks = tasks;
    let stride = 1000;
    while (tasks.some(({ vcpu }) => vcpu + 1 >= stride)) stride *= 10;
    this.stride = stride;
  }

  /** @param pcpu each has an idle task of its own */
  comm(task: number, pcpu: number): string {
    if (task === IDLE) return `swapper/${pcpu}`;
    const { vm, vcpu } = this.tasks[task]!;
    return `${vm}.${vcpu}`;
  }

  pid(task: number): number {
    return task === IDLE ? 0 : this.group(task) + this.tasks[task]!.vcpu + 1;
  }

  /** The beginning of a line. */
  prefix(task: number): string {
    return task === IDLE ? '<idle>-0 (-----)' : `${this.comm(task, 0)}-${this.pid(task)} (${this.group(task)})`;
  }

  /** Arguments of an event about `task`. */
  of(task: number): string {
    return `comm=${this.comm(task, 0)} pid=${this.pid(task)} prio=${PRIORITY}`;
  }

  private group(task: number): number {
    return this.stride * (this.tasks[task]!.owner + 1);
  }
}

function link({ segments, tasks }: Timeline): Linked[] {
  const own: Segment[][] = tasks.map(() => []);
  for (const segment of segments) own[segment.task]!.push(segment);
  return own.flatMap((list) =>
    list.map((segment, i) => ({ segment, before: list[i - 1] ?? null, after: list[i + 1] ?? null })),
  );
}

function switches(timeline: Timeline, linked: readonly Linked[], names: Names): Event[] {
  const tracks: Linked[][] = Array.from({ length: timeline.pcpus }, () => []);
  for (const one of linked) if (one.segment.pcpu >= 0) tracks[one.segment.pcpu]!.push(one);
  return tracks.flatMap((track, pcpu) => {
    const events: Event[] = [];
    /** Who runs; null: nobody. */
    let current: Linked | null = null;
    const change = (atNs: number, next: Linked | null): void => {
      const [from, to] = [current?.segment.task ?? IDLE, next?.segment.task ?? IDLE];
      const state = current === null ? 'R' : stateAfter(current, timeline);
      const before = `prev_comm=${names.comm(from, pcpu)} prev_pid=${names.pid(from)} prev_prio=${PRIORITY} prev_state=${state}`;
      const after = `next_comm=${names.comm(to, pcpu)} next_pid=${names.pid(to)} next_prio=${PRIORITY}`;
      events.push({ atNs, pcpu, by: from, text: `sched_switch: ${before} ==> ${after}` });
      current = next;
    };
    track.sort((a, b) => inOrder(a.segment, b.segment));
    for (const [i, one] of track.entries()) {
      const { fromNs, toNs, task } = one.segment;
      // It was not taken off in between, or only for no time at all.
      if (current !== null && (current as Linked).segment.task === task) current = one;
      else change(fromNs, one);
      const next = track[i + 1]?.segment.fromNs ?? Infinity;
      if (toNs < next && toNs < timeline.toNs) change(toNs, null);
    }
    return events;
  });
}

/** The letter for what a task does that ceases to run. */
function stateAfter({ after }: Linked, { dropped }: Timeline): string {
  // Without a successor it has ended, unless that was one too many to be kept.
  if (after === null) return dropped > 0 ? 'R' : 'X';
  if (after.state === 'blocked') return 'S';
  return after.state === 'ready' || after.state === 'running' ? 'R' : 'T';
}

function wakeUps(timeline: Timeline, linked: readonly Linked[], names: Names): Event[] {
  const running = new Occupants(timeline);
  const events: Event[] = [];
  /** Where each task ran last. */
  const last: number[] = timeline.tasks.map(() => -1);
  for (const [i, { segment, before }] of linked.entries()) {
    const { task, state, pcpu, fromNs } = segment;
    if (state !== 'ready' && state !== 'running') continue;
    const where = pcpu >= 0 ? pcpu : nextPlace(linked, i, last[task]!);
    const by = running.at(where, fromNs);
    const emit = (text: string): void => void events.push({ atNs: fromNs, pcpu: where, by, text });
    const target = `${names.of(task)} target_cpu=${padded(where, 3)}`;
    if (before === null) {
      if (fromNs > timeline.fromNs || timeline.fromNs === 0) emit(`sched_wakeup_new: ${target}`);
    } else if (before.state !== 'ready' && before.state !== 'running') {
      emit(`sched_waking: ${target}`);
      emit(`sched_wakeup: ${target}`);
    }
    if (state !== 'running') continue;
    const orig = last[task]!;
    if (orig >= 0 && orig !== pcpu) {
      emit(`sched_migrate_task: ${names.of(task)} orig_cpu=${orig} dest_cpu=${pcpu}`);
    }
    last[task] = pcpu;
  }
  return events;
}

/** The pCPU where the task of a segment runs next, or `otherwise`, or 0. */
function nextPlace(linked: readonly Linked[], at: number, otherwise: number): number {
  const { task } = linked[at]!.segment;
  for (let i = at + 1; i < linked.length && linked[i]!.segment.task === task; i++) {
    if (linked[i]!.segment.pcpu >= 0) return linked[i]!.segment.pcpu;
  }
  return Math.max(otherwise, 0);
}

/** Who is on a pCPU at a time, by bisection. */
class Occupants {
  private readonly tracks: readonly Segment[][];

  constructor({ segments, pcpus }: Timeline) {
    const tracks: Segment[][] = Array.from({ length: pcpus }, () => []);
    for (const segment of segments) if (segment.pcpu >= 0) tracks[segment.pcpu]!.push(segment);
    for (const track of tracks) track.sort(inOrder);
    this.tracks = tracks;
  }

  /** Who is there at that time, before anything happens then. */
  at(pcpu: number, ns: number): number {
    const track = this.tracks[pcpu]!;
    let low = 0;
    let high = track.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (track[middle]!.fromNs < ns) low = middle + 1;
      else high = middle;
    }
    const candidate = track[low - 1];
    return candidate === undefined || candidate.toNs < ns ? IDLE : candidate.task;
  }
}

/** Of one pCPU: who ran for no time comes before who starts then. */
function inOrder(a: Segment, b: Segment): number {
  return a.fromNs - b.fromNs || a.toNs - b.toNs;
}

/**
 * ARINC 653: a table of windows, repeated in every major frame. A vCPU runs in its windows and nowhere else.
 * Invariants: the windows of a table do not overlap and end within the frame; who runs depends on the time and on who is
 * awake, not on history, so the phase is kept whatever happens; a window whose vCPU sleeps stays empty.
 * Source: xen/common/sched/arinc653.c as of 2026 (facts only; own code). There the table lists windows back to back; here
 * each vCPU names its own, with an offset and a repetition if it needs them, which describes the same tables. One table per
 * pCPU (`table: pcpu`) is our extension.
 */
import { UserError } from '../../core/errors.ts';
import { NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { type Decision, definePolicy, type Scheduler, type SchedulerHost, type Task } from '../scheduler.ts';

const HOUR_US = 3_600_000_000;

const params = {
  major_frame_us: {
    kind: 'integer',
    min: 1,
    max: HOUR_US,
    meaning: 'period of the table; default: up to the end of its last window',
  },
  table: {
    kind: 'choice',
    of: ['host', 'pcpu'],
    default: 'host',
    meaning: 'one table for all pCPUs (as Xen: one window at a time on the whole host), or one each',
  },
} as const satisfies ParamSet;

const vcpuParams = {
  window_us: {
    kind: 'integer',
    min: 1,
    max: HOUR_US,
    meaning:
      'length of its window; if no vCPU has one, each gets 10 ms; beside others that have, a vCPU without never runs',
  },
  offset_us: {
    kind: 'integer',
    min: 0,
    max: HOUR_US,
    meaning: 'start of its window in the frame; default: the end of the window of the vCPU before',
  },
  every_us: {
    kind: 'integer',
    min: 1,
    max: HOUR_US,
    meaning: 'the window comes again after that time, inside the frame; needs major_frame_us',
  },
} as const satisfies ParamSet;

const ENTRIES_MAX = 64;
const DEFAULT_WINDOW: Ns = 10_000 * NS_PER_US;

interface Window {
  readonly start: Ns;
  readonly end: Ns;
  readonly task: Task;
}

/** A table: windows in the order of time, the frame that they repeat in, and when the first frame began. */
interface Table {
  readonly tasks: Task[];
  windows: readonly Window[];
  frame: Ns;
  epoch: Ns;
}

class Arinc653 implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly settings: ValuesOf<typeof params>;
  private readonly tables: Table[];
  /** The pCPU of each task, and whether it is awake. */
  private readonly home: number[] = [];
  private readonly awake: boolean[] = [];

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    this.host = host;
    this.settings = settings;
    const tables = settings.table === 'host' ? 1 : host.topology.length;
    this.tables = Array.from({ length: tables }, () => ({ tasks: [], windows: [], frame: 0, epoch: 0 }));
  }

  add(task: Task, now: Ns): void {
    this.home[task.id] = this.settings.table === 'host' ? task.hard.first() : this.leastUsed(task);
    this.awake[task.id] = false;
    const table = this.tableOf(this.home[task.id]);
    table.tasks.push(task);
    this.set(table, now);
  }

  /** A window that was asked for stays reserved; a default one goes with its vCPU. */
  remove(task: Task, now: Ns): void {
    const table = this.tableOf(this.home[task.id]);
    if (isConfigured(table.tasks)) return;
    table.tasks.splice(table.tasks.indexOf(task), 1);
    this.set(table, now);
  }

  wake(task: Task): void {
    this.awake[task.id] = true;
    this.host.resched(this.home[task.id]);
  }

  sleep(task: Task): void {
    this.awake[task.id] = false;
  }

  timer(pcpu: number): void {
    this.host.resched(pcpu);
  }

  pick(pcpu: number, now: Ns): Decision {
    const { task, until } = this.at(this.tableOf(pcpu), now);
    // A timer, not the length of a slice: the cost of a switch comes out of the window and does not move the next one.
    if (until < Infinity) this.host.arm(pcpu, until);
    else this.host.disarm(pcpu);
    const runs = task !== null && this.home[task.id] === pcpu && this.awake[task.id];
    return { task: runs ? task : null, slice: Infinity };
  }

  /** Whose window it is, and when that changes. */
  private at({ windows, frame, epoch }: Table, now: Ns): { readonly task: Task | null; readonly until: Ns } {
    if (windows.length === 0) return { task: null, until: Infinity };
    const frameStart = now - ((now - epoch) % frame);
    const phase = now - frameStart;
    const next = windows.find(({ end }) => end > phase);
    if (next === undefined) return { task: null, until: frameStart + frame };
    if (next.start > phase) return { task: null, until: frameStart + next.start };
    return { task: next.task, until: frameStart + next.end };
  }

  private tableOf(pcpu: number): Table {
    return this.tables[this.settings.table === 'host' ? 0 : pcpu];
  }

  /** A new table is in force at once: its first frame begins now. */
  private set(table: Table, now: Ns): void {
    table.windows = windowsOf(table.tasks, this.settings.major_frame_us);
    table.frame = (this.settings.major_frame_us ?? 0) * NS_PER_US || (table.windows.at(-1)?.end ?? 0);
    table.epoch = now;
    for (const { id } of this.host.topology) if (this.tableOf(id) === table) this.host.resched(id);
  }

  /** Of the pCPUs that it may have, the one with least time in windows, then with the lowest number. */
  private leastUsed(task: Task): number {
    let best = task.hard.first();
    for (const id of task.hard) if (reserved(this.tables[id]) < reserved(this.tables[best])) best = id;
    return best;
  }
}

function reserved({ windows }: Table): Ns {
  return windows.reduce((sum, { start, end }) => sum + end - start, 0);
}

function isConfigured(tasks: readonly Task[]): boolean {
  return tasks.some(({ params: { window_us } }) => window_us !== undefined);
}

/** The windows of one frame in the order of time. @throws UserError for a table that cannot be kept */
export function windowsOf(tasks: readonly Task[], major_frame_us: number | undefined): Window[] {
  const configured = isConfigured(tasks);
  const frame = major_frame_us === undefined ? Infinity : major_frame_us * NS_PER_US;
  const windows: Window[] = [];
  let cursor: Ns = 0;
  for (const task of tasks) {
    const own = task.params as ValuesOf<typeof vcpuParams>;
    if (configured && own.window_us === undefined) continue;
    const length = own.window_us === undefined ? DEFAULT_WINDOW : own.window_us * NS_PER_US;
    const first = own.offset_us === undefined ? cursor : own.offset_us * NS_PER_US;
    if (own.every_us !== undefined && major_frame_us === undefined) {
      throw fault(task, 'every_us needs major_frame_us, the period of the whole table');
    }
    const every = own.every_us === undefined ? frame : own.every_us * NS_PER_US;
    let start = first;
    do {
      if (start + length > frame)
        throw fault(task, `its window of ${length} ns at ${start} ns ends after the major frame of ${frame} ns`);
      windows.push({ start, end: start + length, task });
      if (windows.length > ENTRIES_MAX) throw fault(task, `a table has at most ${ENTRIES_MAX} windows`);
      start += every;
    } while (start < frame);
    cursor = first + length;
  }
  windows.sort((a, b) => a.start - b.start || a.task.id - b.task.id);
  for (const [i, { start, task }] of windows.entries()) {
    const before = windows[i - 1];
    if (before !== undefined && start < before.end) {
      throw fault(
        task,
        `its window at ${start} ns overlaps that of ${labelOf(before.task)}, which ends at ${before.end} ns`,
      );
    }
  }
  return windows;
}

function labelOf(task: Task): string {
  return `vCPU ${task.vm.name}.${task.index}`;
}

function fault(task: Task, text: string): UserError {
  return new UserError(`${labelOf(task)} under arinc653: ${text}`);
}

export const arinc653 = definePolicy({
  name: 'arinc653',
  summary: 'fixed windows in a major frame, whether they are used or not',
  origin: 'Xen 4.1 to now',
  basis: 'source',
  traits: { workConserving: false },
  params,
  vcpuParams,
  make: (host, settings) => new Arinc653(host, settings),
});

/**
 * Like Hyper-V's root scheduler: virtual processors are threads of the root's operating system, which schedules them as it
 * does all threads: by priority, round robin inside one, with a boost for those that wake up.
 *   boost        a thread that wakes up gets `boost` levels more; each quantum it uses up takes one away
 *   preempted    to the head of its priority, with what is left of its quantum
 *   starvation   who waited for 4 s runs at priority 15 for two quanta
 * Invariants: no weights, caps and reserves (the documentation says so); priorities stay below 16, where real time begins.
 * Source: Microsoft's "Hyper-V scheduler types"; Russinovich, Solomon, Ionescu, Windows Internals, on priorities and quanta. How
 * threads find a processor is our reconstruction.
 */
import { NS_PER_MS, NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { QueueScheduler, QueueUnit } from '../queue-scheduler.ts';
import { definePolicy, type SchedulerHost, type Task, type WakeReason } from '../scheduler.ts';

const params = {
  quantum_us: {
    kind: 'integer',
    min: 1000,
    max: 1_000_000,
    default: 31_250,
    meaning: 'quantum: two clock intervals of 15.625 ms on clients, twelve (187500) on servers',
  },
  boost: { kind: 'integer', min: 0, max: 15, default: 1, meaning: 'priority levels for a thread that wakes up' },
  starvation_ms: {
    kind: 'integer',
    min: 100,
    max: 60_000,
    default: 4000,
    meaning: 'wait after which a thread is rescued',
  },
} as const satisfies ParamSet;

const vmParams = {
  priority: { kind: 'integer', min: 1, max: 15, default: 8, meaning: 'base priority of the threads' },
} as const satisfies ParamSet;

const HIGHEST = 15;
const RESCUE_TIMER = 0;
const RESCUE_PERIOD: Ns = 1000 * NS_PER_MS;

class Thread extends QueueUnit {
  readonly base: number;
  priority: number;
  /** Place in the queue of its priority. */
  turn = 0;
  rescued = false;
  /** What is left of its quantum after it was preempted. */
  kept: Ns = 0;
  waitsSince: Ns = 0;

  constructor(task: Task) {
    super(task);
    this.base = task.vm.params['priority'] as number;
    this.priority = this.base;
    this.rank = -this.base;
  }
}

class HyperVRoot extends QueueScheduler<Thread> {
  private readonly params: ValuesOf<typeof params>;
  private readonly quantum: Ns;
  private readonly waiting = new Set<Thread>();
  private tail = 0;
  private front = 0;
  private now: Ns = 0;

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    super(host);
    this.params = settings;
    this.quantum = settings.quantum_us * NS_PER_US;
    host.arm(RESCUE_TIMER, RESCUE_PERIOD);
  }

  protected override makeUnit(task: Task): Thread {
    return new Thread(task);
  }

  protected override order(a: Thread, b: Thread): number {
    return a.rank - b.rank || a.turn - b.turn;
  }

  protected override sliceOf(thread: Thread): Ns {
    const slice = thread.kept > 0 ? thread.kept : (thread.rescued ? 2 : 1) * this.quantum;
    thread.kept = 0;
    return slice;
  }

  override wake(task: Task, now: Ns, reason: WakeReason): void {
    this.now = now;
    super.wake(task, now, reason);
  }

  protected override woken(thread: Thread, _now: Ns, reason: WakeReason): void {
    thread.kept = 0;
    if (reason === 'wake') this.setPriority(thread, Math.max(thread.priority, thread.base + this.params.boost));
  }

  protected override stopping(thread: Thread, now: Ns): void {
    this.now = now;
    if (thread.sliceLeft > 0 && !thread.yielding) {
      thread.kept = thread.sliceLeft;
      return;
    }
    thread.kept = 0;
    this.setPriority(thread, thread.rescued ? thread.base : Math.max(thread.priority - 1, thread.base));
    thread.rescued = false;
  }

  protected override enqueue(thread: Thread, pcpu: number): void {
    thread.turn = thread.kept > 0 ? --this.front : ++this.tail;
    thread.waitsSince = this.now;
    this.waiting.add(thread);
    super.enqueue(thread, pcpu);
  }

  protected override dequeue(thread: Thread): void {
    this.waiting.delete(thread);
    super.dequeue(thread);
  }

  /** Those that wait for too long go first, once. */
  timer(_timer: number, now: Ns): void {
    this.now = now;
    this.host.arm(RESCUE_TIMER, now + RESCUE_PERIOD);
    const starving = [...this.waiting].filter(
      ({ waitsSince }) => now - waitsSince >= this.params.starvation_ms * NS_PER_MS,
    );
    for (const thread of starving) {
      this.dequeue(thread);
      thread.rescued = true;
      thread.kept = 0;
      this.setPriority(thread, HIGHEST);
      this.host.note('rescue', thread.task, thread.home);
      this.place(thread, now);
    }
  }

  private setPriority(thread: Thread, priority: number): void {
    thread.priority = Math.min(priority, HIGHEST);
    thread.rank = -thread.priority;
  }
}

export const hypervRoot = definePolicy({
  name: 'hyperv-root',
  summary: "like Hyper-V root: virtual processors are threads of the root's system, by priority",
  origin: 'Hyper-V, default on Windows clients since 2018',
  basis: 'our reconstruction',
  params,
  vmParams,
  make: (host, settings) => new HyperVRoot(host, settings),
});

/**
 * The dispatcher: puts tasks on physical CPUs as the policy says, and keeps the time between CPUs.
 *
 *   lowest time first:  engine events  ─►  policy timers  ─►  decisions by pCPU id  ─►  windows by pCPU id
 *
 * Time. Every pCPU has its own local time. The one that is furthest behind runs next, up to the end of its window: the
 * next multiple of the quantum, the next event or timer, or the end of its slice. When only one pCPU is busy there is
 * nobody to wait for and the window is not cut at the quantum. Decisions (slice over, blocked, resched) are taken when
 * their pCPU is the earliest, so the policy sees time in order. Whatever one pCPU does to another that is running
 * - preempting it, waking something by an inter-processor interrupt - takes effect at a multiple of the quantum.
 * An idle pCPU costs nothing: it is moved forward when it is needed. Neither does one with a foreseeable task
 * (`cyclesToStop`): it is moved forward when something happens to it, at that exact time, without windows.
 *
 * Invariants: no event or timer due before the earliest busy pCPU is left waiting; every nanosecond of every pCPU and
 * of every task is in one account (ledger.ts, asserted at the end of every `runUntil`).
 */
import type { Engine } from '../core/engine.ts';
import { assert, Bug } from '../core/errors.ts';
import type { RandomStream } from '../core/rng.ts';
import type { GuestSignal, Runnable, RunnableHost } from '../core/runnable.ts';
import type { Trace } from '../core/trace.ts';
import type { Cycles, Hz, Ns } from '../core/units.ts';
import { type CacheRefill, refillCycles } from './cache-refill.ts';
import { assertBalanced, type PcpuLedger } from './ledger.ts';
import type { DispatchObserver } from './observer.ts';
import { type Params, parseParams } from './params.ts';
import {
  type Hold,
  heededBy,
  type Scheduler,
  type SchedulerHost,
  type SchedulerPolicy,
  STATE_BLOCKED,
  STATE_COSTOPPED,
  STATE_ENDED,
  STATE_NAMES,
  STATE_NEW,
  STATE_PARKED,
  STATE_PAUSED,
  STATE_READY,
  STATE_RUNNING,
  STATES,
  type Task,
  type TaskState,
  type Throttling,
  type WakeReason,
} from './scheduler.ts';
import { Slot } from './slot.ts';
import { HOLD_COSTOP, HOLD_PARK, HOLD_PAUSE, HostTask, HostVm } from './task.ts';
import { Timers } from './timers.ts';
import { CpuSet, type Topology } from './topology.ts';
import { Tournament } from './tournament.ts';

export interface DispatcherSpec {
  readonly topology: Topology;
  readonly hz: Hz;
  /** Length of a window, and bound of the timing error between pCPUs. Default 20 us. */
  readonly quantum?: Ns;
  /** Cost of loading another task's context. Default 0. */
  readonly switchCycles?: Cycles;
  /** Cost of a cold cache on top of that. Default none. */
  readonly cacheRefill?: CacheRefill;
}

export interface DispatcherParts {
  readonly engine: Engine;
  readonly trace: Trace;
  readonly random: RandomStream;
  readonly policy: SchedulerPolicy;
  readonly policyParams?: Params;
  /** Is told of every change; nobody by default. */
  readonly observer?: DispatchObserver | null;
}

export interface VmSpec {
  readonly name: string;
  readonly weight?: number;
  readonly capPercent?: number;
  readonly params?: Params;
}

export interface TaskSpec {
  /** pCPU ids it may run on; default all. */
  readonly hard?: readonly number[];
  /** pCPU ids it prefers; default none. */
  readonly soft?: readonly number[];
  readonly params?: Params;
}

/**
 * Why `runUntil` came back.
 *   limit  the time is over
 *   ended  every task has ended
 *   stuck  tasks remain, but nothing can ever happen again
 */
export type RunOutcome = 'limit' | 'ended' | 'stuck';

const QUANTUM_NS: Ns = 20_000;

/** So many steps without time passing are a livelock. */
const STEPS_AT_ONE_TIME_MAX = 1_000_000;

interface HoldRequest {
  readonly task: HostTask;
  readonly bit: number;
  readonly on: boolean;
}

export class Dispatcher {
  readonly vms: HostVm[] = [];
  readonly tasks: HostTask[] = [];
  /** Incidents the policy has noted, by kind. */
  readonly notes = new Map<string, number>();
  /** Time up to which everything has been simulated. */
  now: Ns = 0;
  /** Windows run; a measure of the work of the simulator, not of the simulated host. */
  windows = 0;

  private readonly slots: Slot[];
  /** Shared by all tasks that may run everywhere. */
  private readonly allPcpus: CpuSet;
  private readonly quantum: Ns;
  private readonly switchCycles: Cycles;
  private readonly cacheRefill: CacheRefill | null;
  readonly topology: Topology;
  private readonly engine: Engine;
  private readonly trace: Trace;
  private readonly policy: SchedulerPolicy;
  private readonly observer: DispatchObserver | null;
  private readonly scheduler: Scheduler;
  private readonly heeded: readonly GuestSignal['kind'][];
  private readonly timers = new Timers();
  private readonly holdRequests: HoldRequest[] = [];
  /** The slot inside `run`, the slot a decision is taken for; null outside. */
  private running: Slot | null = null;
  private deciding: Slot | null = null;
  /** True while the policy is being asked: its requests wait until the answer is carried out. */
  private asking = false;
  /** True while acting for a pCPU: running others see the effect at a multiple of the quantum only. */
  private crossing = false;
  private readonly inState = Array.from<number>({ length: STATES }).fill(0);
  private readonly order: Tournament;
  /** pCPUs that have something to run or to decide. */
  private busy = 0;
  private stepsAtOneTime = 0;

  constructor(spec: DispatcherSpec, parts: DispatcherParts) {
    const { topology, hz, quantum = QUANTUM_NS, switchCycles = 0, cacheRefill = null } = spec;
    assert(Number.isInteger(quantum) && quantum > 0, 'the quantum must be a positive number of nanoseconds');
    assert(Number.isInteger(switchCycles) && switchCycles >= 0, 'a context switch costs a whole number of cycles');
    this.slots = topology.map((place) => new Slot(place.id, hz));
    this.allPcpus = CpuSet.all(topology.length);
    this.order = new Tournament(this.slots.length);
    for (const slot of this.slots) this.touch(slot);
    this.quantum = quantum;
    this.switchCycles = switchCycles;
    this.cacheRefill = cacheRefill;
    this.topology = topology;
    this.engine = parts.engine;
    this.trace = parts.trace;
    this.policy = parts.policy;
    this.observer = parts.observer ?? null;
    this.scheduler = parts.policy.make(this.hostFor(topology, parts.random), parts.policyParams);
    this.heeded = heededBy(this.scheduler);
  }

  /** The pCPUs with their accounts. */
  get pcpus(): readonly PcpuLedger[] {
    return this.slots;
  }

  addVm(spec: VmSpec): HostVm {
    const { name, weight = 256, capPercent = 0, params = {} } = spec;
    assert(weight > 0 && capPercent >= 0, `VM ${name}: a weight is positive, a cap is not negative`);
    const checked = parseParams(`VM ${name} under ${this.policy.name}`, this.policy.vmParams, params) as Params;
    const vm = new HostVm(this.vms.length, name, weight, capPercent, checked);
    this.vms.push(vm);
    return vm;
  }

  /** Creates a task. It does nothing before `start`. */
  attach(vm: HostVm, runnable: Runnable, spec: TaskSpec = {}): HostTask {
    const hard = spec.hard === undefined ? this.allPcpus : new CpuSet(this.slots.length, spec.hard);
    assert(hard.count > 0, `VM ${vm.name}: a task needs at least one pCPU to run on`);
    const wish = spec.soft === undefined ? hard : hard.intersect(new CpuSet(this.slots.length, spec.soft));
    const soft = wish.count === 0 || wish.count === hard.count ? null : wish;
    const owner = `vCPU ${vm.name}.${vm.tasks.length} under ${this.policy.name}`;
    const params = parseParams(owner, this.policy.vcpuParams, spec.params ?? {}) as Params;
    const task = new HostTask({ id: this.tasks.length, vm, createdAt: this.present() }, runnable, hard, soft, params);
    this.tasks.push(task);
    vm.tasks.push(task);
    this.inState[STATE_NEW]++;
    runnable.onAttach(new TaskHost(this, task));
    return task;
  }

  /** Makes a new task runnable. */
  start(task: HostTask): void {
    assert(task.state === STATE_NEW, `${task.label} was started before`);
    const now = this.present();
    this.scheduler.add?.(task, now);
    if (task.holds !== 0) this.enter(task, heldState(task.holds), now);
    else this.becomeRunnable(task, now, 'start');
  }

  /** Keeps a task off the CPUs, on top of what the policy does. */
  pause(task: HostTask): void {
    this.applyHold(task, HOLD_PAUSE);
    this.settleRequests();
  }

  resume(task: HostTask): void {
    this.applyRelease(task, HOLD_PAUSE);
    this.settleRequests();
  }

  /** Ends a task from outside. */
  end(task: HostTask): void {
    const now = this.present();
    if (task.state === STATE_ENDED) return;
    if (task.state === STATE_RUNNING) {
      const slot = this.slots[task.pcpu];
      this.catchUp(slot, now);
      slot.stop = 'end';
      this.touch(slot);
      return;
    }
    const { state } = task;
    this.finish(task, now);
    if (state === STATE_READY) this.scheduler.sleep(task, now);
    if (state !== STATE_NEW) this.scheduler.remove?.(task, now);
    this.settleRequests();
  }

  /** Does another task wait for this pCPU? Policies that cannot tell: does any task wait? */
  waits(pcpu: number): boolean {
    const slot = this.slots[pcpu];
    if (slot.resched || slot.preemptAt < Infinity) return true;
    return this.scheduler.waits?.(pcpu) ?? this.inState[STATE_READY] > 0;
  }

  /** What a limit per period has done to a VM; null without one, or if the policy does not count it. */
  throttling(vm: HostVm): Throttling | null {
    return this.scheduler.throttling?.(vm) ?? null;
  }

  /** Changes a VM's share while it runs. */
  change(vm: HostVm, share: { readonly weight?: number; readonly capPercent?: number }): void {
    vm.weight = share.weight ?? vm.weight;
    vm.capPercent = share.capPercent ?? vm.capPercent;
    this.scheduler.change?.(vm, this.present());
    this.settleRequests();
  }

  /** Simulates up to `limit` (events at the limit itself wait for the next call), or until nothing is left to do. */
  runUntil(limit: Ns): RunOutcome {
    assert(Number.isSafeInteger(limit) && limit >= this.now, 'runUntil needs an integer time that is not in the past');
    let outcome: RunOutcome | null = null;
    while (outcome === null) outcome = this.step(limit);
    this.close(outcome === 'limit' ? limit : this.now);
    return outcome;
  }

  /** Does the earliest thing there is to do; answers null when there may be more. */
  private step(limit: Ns): RunOutcome | null {
    const { engine, timers } = this;
    const slot = this.slots[this.order.id];
    const key = this.order.key === Infinity ? Infinity : Math.floor(this.order.key / 2);
    const eventTime = engine.peekTime();
    const timerTime = timers.nextTime;
    const next = Math.min(key, eventTime, timerTime);
    if (eventTime === Infinity && this.nobodyWantsToRun()) {
      return this.tasks.length > 0 && this.inState[STATE_ENDED] === this.tasks.length ? 'ended' : 'stuck';
    }
    if (this.tasks.length > 0 && this.inState[STATE_ENDED] === this.tasks.length) return 'ended';
    if (next === Infinity && this.busy === 0) return 'stuck';
    if (next >= limit) return 'limit';
    this.watch(next);
    if (eventTime === next) {
      engine.runNext();
    } else if (timerTime <= next) {
      const id = timers.nextId;
      timers.disarm(id);
      this.scheduler.timer?.(id, this.now);
      this.settleRequests();
    } else {
      if (slot.mustDecide) {
        slot.idleUntil(next);
        this.decide(slot);
      } else if (slot.foreseeable) {
        this.running = slot;
        slot.catchUp(next);
        this.running = null;
        // Unless that has an effect elsewhere at this very moment, it is still the first to be looked at.
        const first = engine.peekTime() > next && timers.nextTime > next;
        if (first && slot.mustDecide && slot.time === next) this.decide(slot);
      } else {
        this.runWindow(slot, this.busy === 1, Math.min(eventTime, timerTime, limit));
      }
      this.touch(slot);
    }
    return null;
  }

  /** Puts a pCPU in its place after anything about it changed. */
  private touch(slot: Slot): void {
    const busy = slot.current !== null || slot.resched;
    if (busy !== slot.counted) {
      slot.counted = busy;
      this.busy += busy ? 1 : -1;
    }
    this.order.set(slot.pcpu.id, slot.order);
  }

  /** Brings a foreseeable task up to `time`; what it does on the way happens at its pCPU's local time. */
  private catchUp(slot: Slot, time: Ns): void {
    const { running } = this;
    this.running = slot;
    slot.catchUp(time);
    this.running = running;
    if (running !== slot) this.touch(slot);
  }

  /** Moves the time forward, and catches policies and guests that keep it from moving. */
  private watch(next: Ns): void {
    this.stepsAtOneTime = next > this.now ? 0 : this.stepsAtOneTime + 1;
    if (this.stepsAtOneTime > STEPS_AT_ONE_TIME_MAX) {
      throw new Bug(`time stands still at ${this.now} ns under scheduler ${this.policy.name}`);
    }
    this.now = Math.max(this.now, next);
  }

  private nobodyWantsToRun(): boolean {
    const idle = this.inState[STATE_BLOCKED] + this.inState[STATE_ENDED] + this.inState[STATE_NEW];
    return idle === this.tasks.length;
  }

  /** Runs the task on `slot` until something else may have to happen. */
  private runWindow(slot: Slot, alone: boolean, bound: Ns): void {
    const { pcpu } = slot;
    const task = slot.current!;
    const start = slot.time;
    const edge = alone ? Infinity : (Math.floor(start / this.quantum) + 1) * this.quantum;
    const end = Math.min(edge, bound, slot.sliceEnd, slot.preemptAt);
    const before = pcpu.clock.cycles;
    this.windows++;
    this.running = slot;
    pcpu.payer = task.spent;
    pcpu.sliceEnd = slot.sliceEnd;
    slot.stop = task.runnable.run(pcpu, pcpu.clock.cyclesUntil(end));
    this.running = null;
    if (pcpu.clock.cycles === before && slot.stop !== 'block' && slot.stop !== 'end') {
      throw new Bug(`${task.label} answered '${slot.stop}' without using its pCPU`);
    }
    slot.time = pcpu.clock.now;
    slot.busyNs += slot.time - start;
  }

  /** Settles with the task that was on `slot`, asks the policy, and carries out its answer. */
  private decide(slot: Slot): void {
    const { scheduler } = this;
    const now = slot.time;
    this.deciding = slot;
    this.asking = true;
    this.crossing = true;
    const { stop } = slot;
    const again = this.stopCurrent(slot);
    slot.stop = 'budget';
    slot.resched = false;
    slot.preemptAt = Infinity;
    const decision = scheduler.pick(slot.pcpu.id, now, again);
    const next = decision.task as HostTask | null;
    this.checkDecision(slot, decision.slice, next, again);
    if (next !== again || next === null) this.changeTask(slot, again, next, stop);
    slot.sliceEnd = slot.time + decision.slice;
    slot.foresee();
    this.asking = false;
    this.settleRequests();
    this.deciding = null;
    this.crossing = false;
  }

  /** Charges the current task and takes note of why it stopped; answers it if it could go on. */
  private stopCurrent(slot: Slot): HostTask | null {
    const task = slot.current;
    if (task === null) return null;
    const { stop, time: now } = slot;
    this.charge(slot);
    if (stop === 'end' || stop === 'block' || task.holds !== 0) {
      if (stop !== 'end' && stop !== 'block') this.observer?.taken?.(task);
      if (stop === 'end') this.finish(task, now);
      else this.enter(task, stop === 'block' ? STATE_BLOCKED : heldState(task.holds), now);
      if (task.state === STATE_PARKED || task.state === STATE_COSTOPPED || task.state === STATE_PAUSED) {
        task.involuntary++;
      } else task.voluntary++;
      this.trace.emit(now, STATE_NAMES[task.state], slot.pcpu.id, task.id);
      slot.current = null;
      this.scheduler.sleep(task, now);
      if (stop === 'end') this.scheduler.remove?.(task, now);
      return null;
    }
    if (stop !== 'budget') this.scheduler.yield?.(task, now, stop);
    return task;
  }

  /** Replaces the task on `slot`; `again` is the one that could have gone on. */
  private changeTask(slot: Slot, again: HostTask | null, next: HostTask | null, stop: string): void {
    const { pcpu } = slot;
    if (again !== null) {
      if (stop === 'budget') {
        again.involuntary++;
        this.observer?.taken?.(again);
      } else again.voluntary++;
      this.enter(again, STATE_READY, slot.time);
      this.trace.emit(slot.time, stop === 'budget' ? 'preempted' : 'yielded', pcpu.id, again.id);
    }
    slot.current = next;
    this.observer?.picked?.(pcpu.id, next, slot.time, this.now);
    if (next === null) {
      this.trace.emit(slot.time, 'idle', pcpu.id, -1);
      return;
    }
    if (slot.resident !== next) this.load(slot, next);
    if (next.pcpu !== -1 && next.pcpu !== pcpu.id) next.migrations++;
    next.pcpu = pcpu.id;
    next.dispatches++;
    this.enter(next, STATE_RUNNING, slot.time);
    next.chargedUntil = slot.time;
    if (next.wokenAt >= 0) next.wakeToRun.push(slot.time - next.wokenAt);
    next.wokenAt = -1;
    this.trace.emit(slot.time, 'running', pcpu.id, next.id);
  }

  /** Loads the context of `task` and pays for it. */
  private load(slot: Slot, task: HostTask): void {
    const { pcpu, resident } = slot;
    if (resident !== null) unload(resident, pcpu);
    if (task.loadedOn !== null) {
      this.slots[task.loadedOn.id].resident = null;
      unload(task, task.loadedOn);
    }
    slot.resident = task;
    task.loadedOn = pcpu;
    slot.switchFor(this.switchCycles + this.refill(slot, task));
    const { cycles } = pcpu.clock;
    task.runnable.onDispatch(pcpu);
    if (pcpu.clock.cycles !== cycles) throw new Bug(`${task.label} spent cycles in onDispatch`);
  }

  private refill(slot: Slot, task: HostTask): Cycles {
    if (this.cacheRefill === null) return 0;
    return refillCycles(this.cacheRefill, this.topology, task.pcpu, slot.pcpu.id, slot.time - task.leftAt);
  }

  private checkDecision(slot: Slot, slice: Ns, next: HostTask | null, again: HostTask | null): void {
    if (!(slice > 0)) throw this.wrongDecision(slot, `a slice of ${slice} ns`);
    if (next === null || next === again) return;
    if (next.state !== STATE_READY) {
      throw this.wrongDecision(slot, `picked ${next.label}, which is ${STATE_NAMES[next.state]}`);
    }
    if (!next.hard.has(slot.pcpu.id)) throw this.wrongDecision(slot, `${next.label} may not run here`);
  }

  private wrongDecision(slot: Slot, text: string): Bug {
    return new Bug(`scheduler ${this.policy.name}, pCPU ${slot.pcpu.id}: ${text}`);
  }

  private charge(slot: Slot): void {
    const task = slot.current!;
    const ran = slot.time - task.chargedUntil;
    if (ran <= 0) return;
    task.chargedUntil = slot.time;
    this.scheduler.charge?.(task, ran);
  }

  /** Does `action` at the present of whoever acts. For `TaskHost`. */
  across(action: () => void): void {
    if (this.running === null) {
      action();
      return;
    }
    // Inside a run the other pCPUs may be behind or ahead: come back when all have reached this moment.
    this.engine.at(this.running.pcpu.clock.now, () => {
      this.crossing = true;
      action();
      this.crossing = false;
    });
  }

  /** For `TaskHost`. */
  wake(task: HostTask): void {
    if (this.running === null) this.wakeNow(task);
    else this.across(() => this.wakeNow(task));
  }

  /** What a task does next is no longer what it told. For `TaskHost`. */
  changed(task: HostTask, apply?: () => void): void {
    if (task.state !== STATE_RUNNING) {
      apply?.();
      return;
    }
    const slot = this.slots[task.pcpu];
    this.catchUp(slot, this.present());
    apply?.();
    slot.foresee();
    this.touch(slot);
  }

  /** Does the policy want to know? For `TaskHost`. */
  heeds(signal: GuestSignal): boolean {
    return this.heeded.includes(signal.kind);
  }

  /** For `TaskHost`. */
  signal(task: HostTask, signal: GuestSignal): void {
    this.scheduler.signal?.(task, this.present(), signal);
    this.settleRequests();
  }

  /** An interrupt for `task` came. */
  private wakeNow(task: HostTask): void {
    const now = this.present();
    if (task.state !== STATE_BLOCKED && task.runnable.onWake !== undefined) this.tellWoken(task, now);
    if (task.state === STATE_RUNNING) {
      // It answered 'block' in a window that went past this moment: no lost wake-up.
      const slot = this.slots[task.pcpu];
      if (slot.stop === 'block') {
        slot.stop = 'budget';
        slot.foresee();
      }
      this.touch(slot);
      return;
    }
    if (task.state === STATE_READY) {
      this.scheduler.event?.(task, now);
      this.settleRequests();
    }
    if (task.state !== STATE_BLOCKED) return;
    task.wakes++;
    task.wokenAt = now;
    if (task.holds !== 0) this.enter(task, heldState(task.holds), now);
    else this.becomeRunnable(task, now, 'wake');
  }

  /** Tells a task that has not blocked, because it wants to know. */
  private tellWoken(task: HostTask, now: Ns): void {
    const slot = task.state === STATE_RUNNING ? this.slots[task.pcpu] : null;
    if (slot !== null) this.catchUp(slot, now);
    task.runnable.onWake!();
    slot?.foresee();
  }

  private becomeRunnable(task: HostTask, now: Ns, reason: WakeReason): void {
    this.enter(task, STATE_READY, now);
    this.trace.emit(now, reason, task.pcpu, task.id);
    this.scheduler.wake(task, now, reason);
    this.settleRequests();
  }

  private applyHold(task: HostTask, bit: number): void {
    task.holds |= bit;
    if (task.state === STATE_RUNNING) this.requestResched(task.pcpu);
    else if (task.state !== STATE_READY) this.refreshHeld(task);
    else {
      const now = this.present();
      this.enter(task, heldState(task.holds), now);
      this.trace.emit(now, STATE_NAMES[task.state], task.pcpu, task.id);
      this.scheduler.sleep(task, now);
    }
  }

  private applyRelease(task: HostTask, bit: number): void {
    task.holds &= ~bit;
    if (task.holds !== 0) this.refreshHeld(task);
    else if (task.state === STATE_PARKED || task.state === STATE_COSTOPPED || task.state === STATE_PAUSED) {
      this.becomeRunnable(task, this.present(), 'release');
    }
  }

  /** Keeps the state of a held task in step with its holds. */
  private refreshHeld(task: HostTask): void {
    if (task.state !== STATE_PARKED && task.state !== STATE_COSTOPPED && task.state !== STATE_PAUSED) return;
    const state = heldState(task.holds);
    if (state !== task.state) this.enter(task, state, this.present());
  }

  /** Carries out what the policy asked for during its last call; that may make it ask for more. */
  private settleRequests(): void {
    const { holdRequests } = this;
    if (holdRequests.length === 0 || this.asking) return;
    const requests = holdRequests.splice(0);
    for (const { task, bit, on } of requests) {
      if (on) this.applyHold(task, bit);
      else this.applyRelease(task, bit);
    }
    this.settleRequests();
  }

  private requestResched(id: number): void {
    const slot = this.slots[id];
    if (slot === this.deciding) {
      slot.resched = true;
    } else if (slot.current === null) {
      slot.idleUntil(this.now);
      slot.resched = true;
    } else if (this.crossing && !slot.foreseeable) {
      slot.preemptAt = Math.min(slot.preemptAt, Math.ceil(this.now / this.quantum) * this.quantum);
    } else {
      this.catchUp(slot, this.present());
      slot.resched = true;
    }
    this.touch(slot);
  }

  private enter(task: HostTask, state: TaskState, now: Ns): void {
    this.observer?.entering(task, state, now, this.now);
    this.inState[task.state]--;
    this.inState[state]++;
    task.enter(state, now);
  }

  private finish(task: HostTask, now: Ns): void {
    this.enter(task, STATE_ENDED, now);
    if (task.loadedOn === null) return;
    this.slots[task.loadedOn.id].resident = null;
    unload(task, task.loadedOn);
  }

  /** The time of an action from outside or from an event. */
  private present(): Ns {
    return Math.max(this.now, this.engine.now);
  }

  /** Brings every account up to `end` and checks the books. */
  private close(end: Ns): void {
    this.now = end;
    this.engine.advanceTo(Math.max(end, this.engine.now));
    for (const slot of this.slots) {
      if (slot.current === null) slot.idleUntil(end);
      else this.catchUp(slot, end);
      this.touch(slot);
    }
    for (const task of this.tasks) {
      const until = task.state === STATE_RUNNING ? this.slots[task.pcpu].time : end;
      task.account(Math.max(until, task.accountedUntil));
    }
    this.observer?.until?.(end);
    assertBalanced(this.slots, this.tasks);
  }

  private hostFor(topology: Topology, random: RandomStream): SchedulerHost {
    const bitOf = (why: Hold): number => (why === 'park' ? HOLD_PARK : HOLD_COSTOP);
    const request = (task: Task, why: Hold, on: boolean): void => {
      this.holdRequests.push({ task: task as HostTask, bit: bitOf(why), on });
    };
    return {
      topology,
      random,
      current: (pcpu) => this.slots[pcpu].current,
      resched: (pcpu) => this.requestResched(pcpu),
      hold: (task, why) => request(task, why, true),
      release: (task, why) => request(task, why, false),
      arm: (timer, at) => this.timers.arm(timer, Math.max(at, this.now)),
      disarm: (timer) => this.timers.disarm(timer),
      settle: (pcpu) => {
        const slot = this.slots[pcpu];
        if (slot.current === null) return;
        if (slot !== this.deciding) this.catchUp(slot, this.present());
        this.charge(slot);
      },
      note: (kind, task, pcpu) => {
        this.notes.set(kind, (this.notes.get(kind) ?? 0) + 1);
        this.trace.emit(this.present(), kind, pcpu, task.id);
        this.observer?.noted?.(kind, task.id, pcpu, this.present());
      },
    };
  }
}

/** The dispatcher as one task sees it. */
class TaskHost implements RunnableHost {
  private readonly dispatcher: Dispatcher;
  private readonly task: HostTask;

  constructor(dispatcher: Dispatcher, task: HostTask) {
    this.dispatcher = dispatcher;
    this.task = task;
  }

  wake(): void {
    this.dispatcher.wake(this.task);
  }

  waitedNs(): Ns {
    const { times } = this.task;
    return times[STATE_READY] + times[STATE_PARKED] + times[STATE_COSTOPPED];
  }

  isRunning(): boolean {
    return this.task.state === STATE_RUNNING;
  }

  changed(apply?: () => void): void {
    this.dispatcher.across(() => this.dispatcher.changed(this.task, apply));
  }

  signal(signal: GuestSignal): void {
    const { dispatcher, task } = this;
    if (dispatcher.heeds(signal)) dispatcher.across(() => dispatcher.signal(task, signal));
  }
}

/** The account of waiting of a held task, when several holds apply: the operator's first, then the cap's. */
function heldState(holds: number): TaskState {
  if ((holds & HOLD_PAUSE) !== 0) return STATE_PAUSED;
  return (holds & HOLD_PARK) !== 0 ? STATE_PARKED : STATE_COSTOPPED;
}

function unload(task: HostTask, pcpu: Slot['pcpu']): void {
  task.loadedOn = null;
  task.runnable.onDeschedule(pcpu);
}

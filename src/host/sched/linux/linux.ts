/**
 * The scheduler of Linux as a KVM host has it: every vCPU is a thread of the deadline, the real-time or the fair class, and
 * a pCPU runs the highest class that has anything to run. The fair class is CFS or EEVDF, by the kind of its queues; here
 * is what both share: groups (one per VM), ticks, wake-up placement, bandwidth control, directed yield.
 * Invariants: a thread is queued on one pCPU; a group is in the queue of a pCPU exactly while it has threads queued there;
 * `idle` and `overloaded` are true after every call.
 * Source: kernel/sched of Linux 5.6 and 6.12, KVM's directed yield (facts only; own code). Our simplifications: load is the
 * weight of queued threads, not an average over time; ticks are skipped where they could do nothing.
 */
import { assert, UserError } from '../../../core/errors.ts';
import { DOING_KERNEL, DOING_SPIN, type GuestSignal } from '../../../core/runnable.ts';
import { NS_PER_MS, NS_PER_US, type Ns } from '../../../core/units.ts';
import {
  type Decision,
  type Scheduler,
  type SchedulerHost,
  type SchedVm,
  STATE_PARKED,
  STATE_READY,
  type Task,
  type Throttling,
  type WakeReason,
} from '../../scheduler.ts';
import { CpuSet } from '../../topology.ts';
import { Balancer } from './balance.ts';
import { Bandwidth } from './bandwidth.ts';
import { Deadline } from './deadline.ts';
import type { EevdfQueue } from './eevdf-queue.ts';
import { Entity, type Entry, type FairQueue, type Leave } from './fair-queue.ts';
import type { LinuxSettings } from './params.ts';
import { Placement } from './placement.ts';
import { Realtime } from './realtime.ts';
import { type GroupQueue, Rq, type SchedClass, type Thread, type VmGroup } from './rq.ts';
import { groupWeight, IDLE_WEIGHT, NICE_0, niceWeight, scaledByVm } from './weights.ts';

/** What a thread of a higher class weighs against fair ones in balancing: nice -20 (our choice). */
const URGENT_LOAD = niceWeight(-20);
/** The least quota of cpu.max. */
const QUOTA_MIN_NS: Ns = NS_PER_MS;
/** Directed yield gives up after so many refusals. */
const YIELD_TRIES = 3;

export class Linux implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly params: LinuxSettings;
  private readonly makeQueue: () => FairQueue;
  private readonly tick: Ns;
  private readonly migrationCost: Ns;
  private readonly rqs: readonly Rq[];
  private readonly threads: Thread[] = [];
  private readonly groups: VmGroup[] = [];
  /** pCPUs with nothing to run; with fair threads that wait. */
  private readonly idle: CpuSet;
  private readonly overloaded: CpuSet;
  private readonly placement: Placement;
  private readonly balancer: Balancer;
  private readonly realtime: Realtime;
  private readonly deadline: Deadline;
  private readonly yielding = new Set<Thread>();
  /** Timers: ticks by pCPU, replenishments of the deadline class, then two per VM. */
  private readonly firstVmTimer: number;
  private now: Ns = 0;
  /** The pCPU whose next thread is being chosen: it need not be told to look. */
  private picking: Rq | null = null;

  constructor(host: SchedulerHost, params: LinuxSettings, makeQueue: () => FairQueue) {
    const size = host.topology.length;
    // The same host, but pCPUs remember that they were told to look.
    const told = Object.assign(Object.create(host) as SchedulerHost, {
      resched: (id: number): void => {
        this.rqs[id].wanted = true;
        host.resched(id);
      },
    });
    this.host = told;
    this.params = params;
    this.makeQueue = makeQueue;
    this.tick = Math.round(1_000_000_000 / params.hz);
    this.migrationCost = params.migration_cost_us * NS_PER_US;
    this.rqs = host.topology.map(({ id }) => new Rq(id, makeQueue(), 2 * this.migrationCost));
    this.idle = CpuSet.all(size);
    this.overloaded = new CpuSet(size);
    this.placement = new Placement(host.topology, this.idle, (id) => this.loadOfRq(this.rqs[id]));
    this.balancer = new Balancer(
      told,
      {
        rqs: this.rqs,
        idle: this.idle,
        overloaded: this.overloaded,
        idleCore: (pcpu) => this.placement.idleCore(pcpu),
        threads: (rq) => threadsOf(rq),
        load: (rq) => this.loadOfRq(rq),
        loadOf: (thread) => this.loadOf(thread),
        isHot: (thread, now) => this.isHot(thread, now),
        move: (thread, to, now) => this.move(thread, to, now),
        push: (thread, to) => this.push(thread, to),
      },
      this.migrationCost,
      this.tick,
    );
    this.realtime = new Realtime(told, this.rqs, this.idle, {
      quantum: params.rr_timeslice_ms * NS_PER_MS,
      protection: params.rt_protection,
      runtime: params.rt_runtime_us * NS_PER_US,
      period: params.rt_period_us * NS_PER_US,
    });
    this.deadline = new Deadline(told, this.rqs, this.idle, size);
    this.firstVmTimer = size + 1;
  }

  add(task: Task): void {
    this.groups[task.vm.id] ??= this.makeGroup(task.vm);
    const thread = this.makeThread(task, this.groups[task.vm.id]);
    if (thread.cls === 'deadline') this.deadline.admit(thread);
    this.threads[task.id] = thread;
  }

  remove(task: Task): void {
    const thread = this.threads[task.id];
    if (thread.cls === 'deadline') this.deadline.leave(thread);
    if (thread.entity.queued) this.dequeue(thread, 'sleep');
    this.unpark(thread);
    this.yielding.delete(thread);
  }

  affinity(task: Task, now: Ns): void {
    this.now = now;
    const thread = this.threads[task.id];
    // Masks are read at every wake-up, but a delayed sleeper is still queued, and one that was throttled returns to its pCPU.
    if (thread.entity.queued) this.dequeue(thread, 'sleep');
    if (!task.hard.has(thread.backTo)) thread.backTo = -1;
  }

  change(vm: SchedVm, now: Ns): void {
    this.now = now;
    const group = this.groups[vm.id];
    if (group === undefined) return;
    const parts = group.queues.filter((part) => part?.entity.queued);
    // Up to now the old limits count.
    for (const { pcpu } of parts) this.host.settle(pcpu);
    const limited = this.limit(group);
    for (const part of parts) {
      this.reweigh(part);
      if (limited) this.relimit(part);
    }
    if (this.params.groups) return;
    for (const task of vm.tasks) {
      const thread = this.threads[task.id];
      if (thread === undefined) continue;
      const { entity } = thread;
      const weight = this.weightOf(task);
      if (entity.queue === null) entity.weight = weight;
      else entity.queue.reweight(entity, weight);
    }
  }

  throttling(vm: SchedVm): Throttling | null {
    const bandwidth = this.groups[vm.id]?.bandwidth;
    return bandwidth === undefined || (!bandwidth.limited && bandwidth.periods === 0) ? null : bandwidth;
  }

  wake(task: Task, now: Ns, reason: WakeReason): void {
    this.now = now;
    const thread = this.threads[task.id];
    if (reason === 'wake') thread.interrupted = true;
    if (thread.cls === 'deadline') this.deadline.wake(thread, now);
    else if (thread.cls !== 'fair') this.refresh(this.realtime.wake(thread));
    else if (thread.entity.delayed) this.revive(thread);
    else {
      const back = thread.backTo;
      thread.backTo = -1;
      const unparked = reason === 'release' && back >= 0;
      thread.pcpu = unparked ? back : this.pcpuFor(thread, reason);
      this.enter(thread, unparked ? 'move' : reason === 'start' ? 'new' : 'wake');
    }
    thread.wakerAt = -1;
  }

  event(task: Task): void {
    this.threads[task.id].interrupted = true;
  }

  sleep(task: Task, now: Ns): void {
    this.now = now;
    const thread = this.threads[task.id];
    const rq = this.rqs[thread.pcpu];
    const ran = rq.running === thread;
    if (ran) {
      rq.running = null;
      thread.entity.lastRan = now;
      if (thread.cls === 'deadline') this.deadline.stopped(rq, thread);
      // Its group was throttled when the time was charged; it has run up to now.
      if (thread.parkedBy !== null) thread.parkedBy.throttledAt = now;
    }
    this.yielding.delete(thread);
    thread.pushTo = -1;
    if (thread.cls === 'deadline') this.deadline.sleep(thread);
    else if (thread.cls !== 'fair') this.realtime.sleep(thread);
    else if (thread.active) {
      if (!ran) this.host.settle(rq.id);
      this.dequeue(thread, task.state === STATE_PARKED ? 'move' : 'sleep');
    }
    this.refresh(rq);
  }

  yield(task: Task, now: Ns, why: 'yield' | 'spin'): void {
    this.now = now;
    const thread = this.threads[task.id];
    if (why === 'spin') {
      if (this.params.ple === 'none') {
        // The guest just goes on: this is no occasion to choose another.
        this.rqs[thread.pcpu].undisturbed = thread.cls === 'fair';
        return;
      }
      if (this.params.ple !== 'yield') {
        this.yieldToSibling(thread);
        return;
      }
    }
    this.yieldAny(thread);
  }

  readonly heeds = ['ipi'] as const;

  signal(task: Task, now: Ns, signal: GuestSignal): void {
    if (signal.kind !== 'ipi') return;
    const target = task.vm.tasks.at(signal.to);
    const thread = target === undefined ? undefined : this.threads[target.id];
    if (thread === undefined) return;
    thread.wakerPcpu = task.pcpu;
    thread.wakerAt = now;
  }

  charge(task: Task, ran: Ns): void {
    const thread = this.threads[task.id];
    if (thread.cls === 'deadline') this.deadline.charge(thread, ran);
    else if (thread.cls !== 'fair') this.realtime.charge(thread, ran);
    else {
      const rq = this.rqs[task.pcpu];
      rq.serverLeft = Math.max(rq.serverLeft - ran, 0);
      const { queue } = thread.entity;
      queue!.charge(ran);
      if (queue === rq.root) return;
      rq.root.charge(ran);
      thread.vm.bandwidth.account(thread.vm.queues[rq.id], ran, this.now);
    }
  }

  waits(pcpu: number): boolean {
    return threadsOf(this.rqs[pcpu]) > 1;
  }

  timer(id: number, now: Ns): void {
    this.now = now;
    if (id < this.rqs.length) this.atTick(this.rqs[id]);
    else if (id < this.firstVmTimer) this.deadline.replenish(now);
    else {
      const { bandwidth } = this.groups[Math.floor((id - this.firstVmTimer) / 2)];
      if ((id - this.firstVmTimer) % 2 === 0) bandwidth.refill(now);
      else bandwidth.handOut(now);
    }
  }

  pick(pcpu: number, now: Ns, current: Task | null): Decision {
    this.now = now;
    const rq = this.rqs[pcpu];
    const previous = current === null ? null : this.threads[current.id];
    const goesOn = previous !== null && rq.undisturbed && !rq.wanted;
    rq.undisturbed = false;
    rq.wanted = false;
    if (goesOn) return { task: current, slice: this.sliceOf(rq, previous) };
    this.picking = rq;
    const group = this.put(rq, previous);
    const decision = this.choose(rq, previous, group);
    this.setRunning(rq, decision.thread);
    this.picking = null;
    this.deadline.spread(pcpu);
    this.realtime.spread(rq);
    return { task: decision.thread?.task ?? null, slice: decision.slice };
  }

  // ---- who runs

  /** Puts back who ran; answers the group that was the current one of the fair class. */
  private put(rq: Rq, previous: Thread | null): Entity | null {
    if (previous !== null) this.putThread(rq, previous);
    const top = rq.root.current;
    if (top === null) return null;
    rq.root.put();
    top.group?.put();
    return top;
  }

  private putThread(rq: Rq, previous: Thread): void {
    previous.entity.lastRan = this.now;
    const yields = this.yielding.delete(previous);
    if (previous.cls === 'deadline') {
      this.deadline.stopped(rq, previous);
      this.deadline.put(previous, this.now);
    } else if (previous.cls !== 'fair') this.realtime.put(rq, previous, yields);
    else if (previous.pushTo >= 0) {
      const to = this.rqs[previous.pushTo];
      previous.pushTo = -1;
      this.move(previous, to, this.now);
    }
  }

  /** The highest class that has something to run. */
  private choose(rq: Rq, previous: Thread | null, top: Entity | null): { thread: Thread | null; slice: Ns } {
    const now = this.now;
    const urgent = this.deadline.take(rq);
    if (urgent !== null) {
      this.leaveFair(rq, top);
      return { thread: urgent, slice: this.deadline.sliceOf(urgent) };
    }
    const realtime = this.realtime.take(rq);
    if (realtime === null) {
      rq.starvingSince = -1;
      rq.serverLeft = 0;
      rq.running = previous;
      return this.chooseFair(rq, top);
    }
    const allowance = this.realtime.allowance(rq, now, rq.root.count > 0);
    if (allowance > 0) {
      this.leaveFair(rq, top);
      return { thread: realtime, slice: Math.min(this.realtime.sliceOf(realtime), allowance) };
    }
    this.realtime.put(rq, realtime, false);
    const fair = this.chooseFair(rq, top);
    return { thread: fair.thread, slice: Math.min(fair.slice, this.realtime.untilNext(rq, now)) };
  }

  private chooseFair(rq: Rq, top: Entity | null): { thread: Thread | null; slice: Ns } {
    let thread = this.pickFair(rq, top);
    if (thread === null && rq.realtime.length === 0 && this.balancer.newlyIdle(rq, this.now)) {
      thread = this.pickFair(rq, null);
    }
    if (thread === null) return { thread, slice: Infinity };
    // Those that ran longest ago come first in the list, for the balancer.
    rq.fair.splice(rq.fair.indexOf(thread), 1);
    rq.fair.push(thread);
    return { thread, slice: this.sliceOf(rq, thread) };
  }

  private pickFair(rq: Rq, top: Entity | null): Thread | null {
    for (;;) {
      const first = rq.root.pick();
      if (first !== top && top?.group) top.group.current = null;
      if (first === null) return null;
      if (first.delayed) {
        rq.root.dequeue(first, 'sleep');
        continue;
      }
      if (first.group === null) return this.threads[first.task!.id];
      const second = first.group.pick();
      assert(second !== null, 'an empty group was queued');
      if (!second.delayed) return this.threads[second.task!.id];
      this.dequeue(this.threads[second.task!.id], 'sleep');
      if (first.queued && rq.root.current === first) rq.root.put();
    }
  }

  /** A higher class runs: nobody of the fair class is current. */
  private leaveFair(rq: Rq, top: Entity | null): void {
    rq.root.current = null;
    if (top?.group) top.group.current = null;
  }

  private sliceOf(rq: Rq, { entity, vm }: Thread): Ns {
    if (!this.params.hrtick) return Infinity;
    const part = entity.queue === rq.root ? null : vm.queues[rq.id];
    const left = Math.min(entity.queue!.left(), part === null ? Infinity : rq.root.left());
    return Math.max(Math.min(left, part !== null && vm.bandwidth.limited ? part.remaining : Infinity), 1);
  }

  private setRunning(rq: Rq, thread: Thread | null): void {
    const now = this.now;
    const wasIdle = this.idle.has(rq.id);
    if (thread === null && !wasIdle) rq.idleSince = now;
    rq.running = thread;
    if (thread !== null) thread.interrupted = false;
    this.realtime.noteRunning(rq);
    this.refresh(rq);
    this.armTick(rq);
  }

  // ---- ticks

  private atTick(rq: Rq): void {
    rq.tickAt = Infinity;
    this.host.settle(rq.id);
    const { running } = rq;
    if (running?.cls === 'fair') {
      const { queue } = running.entity;
      const inGroup = queue !== rq.root && queue!.tick();
      const onTop = rq.root.tick();
      if (inGroup || onTop) this.host.resched(rq.id);
      if (queue !== rq.root && queue!.owner!.queued) this.reweigh(running.vm.queues[rq.id]);
    }
    if (running !== null) this.balancer.periodic(rq, this.now);
    this.armTick(rq);
  }

  /** Ticks come at multiples of 1/HZ; where nobody waits and nothing is limited, only those that balance. */
  private armTick(rq: Rq): void {
    const { running } = rq;
    if (running === null) {
      this.setTick(rq, Infinity);
      return;
    }
    const needed = rq.fair.length > 1 || (running.cls === 'fair' && running.vm.bandwidth.limited);
    const at = needed ? this.now + 1 : Math.max(this.balancer.nextAt(rq), this.now + 1);
    this.setTick(rq, Math.ceil(at / this.tick) * this.tick);
  }

  private setTick(rq: Rq, at: Ns): void {
    if (at === rq.tickAt) return;
    rq.tickAt = at;
    if (at === Infinity) this.host.disarm(rq.id);
    else this.host.arm(rq.id, at);
  }

  // ---- queues of the fair class

  /** A runnable thread enters the queue of its pCPU, and may preempt. */
  private enter(thread: Thread, how: Entry): void {
    const rq = this.rqs[thread.pcpu];
    this.host.settle(rq.id);
    const part = this.params.groups ? this.partOf(thread.vm, rq) : null;
    if (part !== null && part.queue.count === 0) thread.vm.bandwidth.account(part, 0, this.now);
    if (part?.throttled === true) {
      this.park(thread, part);
      return;
    }
    this.enqueue(thread, rq, part, how);
    this.refresh(rq);
    this.preempt(rq, thread);
  }

  private enqueue(thread: Thread, rq: Rq, part: GroupQueue | null, how: Entry): void {
    const { entity } = thread;
    thread.active = true;
    rq.fair.push(thread);
    if (part === null) {
      rq.root.enqueue(entity, how, this.now);
      return;
    }
    part.queue.enqueue(entity, how, this.now);
    part.group.load += entity.weight;
    this.queueGroup(part, rq);
  }

  private queueGroup(part: GroupQueue, rq: Rq): void {
    this.reweigh(part);
    if (part.entity.delayed) (rq.root as EevdfQueue).revive(part.entity);
    else if (!part.entity.queued) rq.root.enqueue(part.entity, 'wake', this.now);
  }

  private dequeue(thread: Thread, how: Leave): void {
    const { entity } = thread;
    const rq = this.rqs[thread.pcpu];
    const { queue } = entity;
    const left = queue!.dequeue(entity, how);
    const at = rq.fair.indexOf(thread);
    if (at >= 0) rq.fair.splice(at, 1);
    thread.active = false;
    if (queue === rq.root || !left) return;
    const part = thread.vm.queues[rq.id];
    part.group.load -= entity.weight;
    if (part.queue.count > 0) {
      this.reweigh(part);
      return;
    }
    if (!part.entity.delayed) {
      part.entity.lastRan = this.now;
      rq.root.dequeue(part.entity, how);
    }
    thread.vm.bandwidth.idle(part, this.now);
  }

  /** A sleeper that is still queued wakes up. */
  private revive(thread: Thread): void {
    const { entity } = thread;
    const rq = this.rqs[thread.pcpu];
    this.host.settle(rq.id);
    const part = entity.queue === rq.root ? null : thread.vm.queues[rq.id];
    if (part?.throttled === true) {
      this.dequeue(thread, 'sleep');
      this.park(thread, part);
      return;
    }
    (entity.queue as EevdfQueue).revive(entity);
    if (part?.entity.delayed) (rq.root as EevdfQueue).revive(part.entity);
    thread.active = true;
    rq.fair.push(thread);
    this.refresh(rq);
    this.preempt(rq, thread);
  }

  /** A thread has been queued: shall it run at once? */
  private preempt(rq: Rq, thread: Thread): void {
    if (rq === this.picking) return;
    const { running } = rq;
    this.armTick(rq);
    if (running === null) this.host.resched(rq.id);
    else if (running.cls !== 'fair') {
      // The pick reckons from now on with a fair thread that waits.
      if (running.cls !== 'deadline' && rq.starvingSince < 0) this.host.resched(rq.id);
    } else if (running.entity.queue !== null) {
      const same = running.entity.queue === thread.entity.queue;
      const wakee = same || thread.entity.queue === rq.root ? thread.entity : thread.vm.queues[rq.id].entity;
      const queue = same ? thread.entity.queue! : rq.root;
      if (queue.preempts(wakee)) this.host.resched(rq.id);
    }
  }

  /** Moves a thread that waits, or that has just stopped running. */
  private move(thread: Thread, to: Rq, now: Ns): void {
    const from = this.rqs[thread.pcpu];
    this.host.settle(from.id);
    if (!thread.active) return;
    this.dequeue(thread, 'move');
    this.refresh(from);
    thread.pcpu = to.id;
    this.now = now;
    this.enter(thread, 'move');
  }

  private push(thread: Thread, to: Rq): void {
    thread.pushTo = to.id;
    this.host.resched(thread.pcpu);
  }

  // ---- groups

  /** A group's weight is divided among the pCPUs by the weight of its threads there. */
  private reweigh(part: GroupQueue): void {
    const { group, entity, queue } = part;
    const shares = scaledByVm(NICE_0, group.vm.weight);
    this.rqs[part.pcpu].root.reweight(entity, groupWeight(shares, queue.load, group.load));
  }

  private makeGroup(vm: SchedVm): VmGroup {
    const timer = this.firstVmTimer + 2 * vm.id;
    const bandwidth = new Bandwidth<GroupQueue>(this.params.bandwidth_slice_us * NS_PER_US, {
      throttle: (part) => this.throttle(part),
      unthrottle: (part) => this.unthrottle(part),
      armRefill: (at) => this.host.arm(timer, at),
      armHandOut: (at) => this.host.arm(timer + 1, at),
    });
    const group: VmGroup = { vm, queues: [], load: 0, bandwidth, lastBoosted: -1 };
    this.limit(group);
    return group;
  }

  private limit({ vm, bandwidth, queues }: VmGroup): boolean {
    const period = (vm.params['cpu_max_period_us'] as number) * NS_PER_US;
    const burst = (vm.params['cpu_max_burst_us'] as number) * NS_PER_US;
    const quota = this.params.groups ? Math.round((period * vm.capPercent) / 100) : 0;
    if (quota > 0 && quota < QUOTA_MIN_NS) {
      throw new UserError(
        `VM ${vm.name}: cpu.max allows ${quota / NS_PER_MS} ms in ${period / NS_PER_MS} ms, the kernel takes at least 1 ms: ` +
          `raise the cap (${vm.capPercent} %) or cpu_max_period_us`,
      );
    }
    return bandwidth.limit(quota, period, Math.min(burst, quota), queues, this.now);
  }

  /** The limits of the group have changed while it has threads here. */
  private relimit(part: GroupQueue): void {
    const rq = this.rqs[part.pcpu];
    part.group.bandwidth.account(part, 0, this.now);
    this.armTick(rq);
    if (this.params.hrtick) this.host.resched(rq.id);
  }

  private partOf(group: VmGroup, rq: Rq): GroupQueue {
    const known = group.queues[rq.id];
    if (known !== undefined) return known;
    const queue = this.makeQueue();
    const entity = new Entity(null, queue, NICE_0);
    queue.owner = entity;
    const part: GroupQueue = {
      group,
      queue,
      entity,
      parked: [],
      pcpu: rq.id,
      remaining: 0,
      throttled: false,
      throttledAt: 0,
    };
    group.queues[rq.id] = part;
    return part;
  }

  /** The group leaves this pCPU: its threads are parked. */
  private throttle(part: GroupQueue): void {
    const rq = this.rqs[part.pcpu];
    for (const thread of rq.fair) if (thread.vm === part.group) this.park(thread, part);
  }

  private park(thread: Thread, part: GroupQueue): void {
    thread.parkedBy = part;
    part.parked.push(thread);
    this.host.note('throttle', thread.task, part.pcpu);
    this.host.hold(thread.task, 'park');
  }

  private unthrottle(part: GroupQueue): void {
    for (const thread of part.parked.slice()) {
      this.unpark(thread);
      thread.backTo = part.pcpu;
      this.host.release(thread.task, 'park');
    }
  }

  private unpark(thread: Thread): void {
    const part = thread.parkedBy;
    if (part === null) return;
    part.parked.splice(part.parked.indexOf(thread), 1);
    thread.parkedBy = null;
  }

  // ---- yield

  private yieldAny(thread: Thread): void {
    this.yielding.add(thread);
    if (thread.cls === 'deadline') this.deadline.yield(thread);
    else if (thread.cls === 'fair' && this.rqs[thread.pcpu].fair.length > 1) {
      const { queue } = thread.entity;
      queue!.yield();
      if (queue!.owner !== null && queue!.count === 1) this.rqs[thread.pcpu].root.yield();
    }
  }

  /** Directed yield: helps the next vCPU of the VM that wants to run, in turn. */
  private yieldToSibling(thread: Thread): void {
    const { tasks } = thread.task.vm;
    const group = thread.vm;
    const start = group.lastBoosted;
    let tries = YIELD_TRIES;
    for (let step = 1; step <= tasks.length && tries > 0; step++) {
      const index = (start + step + tasks.length) % tasks.length;
      const sibling = this.threads[tasks[index].id];
      if (sibling === undefined || sibling === thread || !this.mayBeHelped(thread, sibling)) continue;
      if (!this.yieldTo(thread, sibling)) {
        tries--;
        continue;
      }
      group.lastBoosted = index;
      this.host.note('yield-to', sibling.task, sibling.pcpu);
      return;
    }
    this.host.note('yield-to-failed', thread.task, thread.pcpu);
    // Nobody was helped: the guest goes on.
    this.rqs[thread.pcpu].undisturbed = thread.cls === 'fair';
  }

  private mayBeHelped(spinner: Thread, { task }: Thread): boolean {
    if (task.state !== STATE_READY) return false;
    const inKernel = (spinner.task.doing & DOING_KERNEL) !== 0;
    const sibling = this.threads[task.id];
    if (inKernel && (task.doing & DOING_KERNEL) === 0 && !sibling.interrupted) return false;
    if ((task.doing & DOING_SPIN) === 0 || this.params.ple === 'any') return true;
    sibling.candidate = !sibling.candidate;
    return !sibling.candidate;
  }

  /** Makes `target` the next of its pCPU, and gives way. Refused when nobody would gain. */
  private yieldTo(thread: Thread, target: Thread): boolean {
    if (thread.cls !== 'fair' || target.cls !== 'fair' || !target.active) return false;
    const from = this.rqs[thread.pcpu];
    const to = this.rqs[target.pcpu];
    if (threadsOf(from) === 1 && threadsOf(to) === 1) return false;
    const { queue } = target.entity;
    queue!.next = target.entity;
    if (queue!.owner !== null) to.root.next = queue!.owner;
    if (to !== from) this.host.resched(to.id);
    this.yieldAny(thread);
    return true;
  }

  // ---- placement

  /**
   * Linux has no soft affinity. Ours: as long as there is room on the pCPUs that the thread prefers, or nowhere, they are all
   * that it may use when it starts or wakes up. A balancer takes it elsewhere only to a pCPU that would idle.
   */
  private pcpuFor(thread: Thread, reason: WakeReason): number {
    const { task } = thread;
    if (task.hard.count === 1) return task.hard.first();
    if (task.soft === null) return this.pcpuIn(task.hard, thread, reason);
    const room = this.idle.meets(task.soft);
    if (!room && this.idle.meets(task.hard)) return this.pcpuIn(task.hard, thread, reason);
    const near = this.pcpuIn(task.soft, thread, reason);
    return room && !this.idle.has(near) ? this.idle.nextIn(task.soft, near) : near;
  }

  /** By the rules of the kernel, as if `mask` were all that the thread may use. */
  private pcpuIn(mask: CpuSet, thread: Thread, reason: WakeReason): number {
    if (mask.count === 1) return mask.first();
    if (reason === 'start') return this.placement.forNew(mask);
    const previous = mask.has(thread.pcpu) ? thread.pcpu : mask.next(thread.pcpu);
    const waker = thread.wakerAt === this.now ? thread.wakerPcpu : previous;
    return this.placement.forWake(mask, previous, waker, thread.entity.weight);
  }

  private isHot({ entity, task }: Thread, now: Ns): boolean {
    if (entity.queue?.next === entity) return true;
    return task.pcpu >= 0 && now - entity.lastRan < this.migrationCost;
  }

  private loadOf({ entity, vm, pcpu }: Thread): number {
    if (entity.queue === this.rqs[pcpu].root) return entity.weight;
    const part = vm.queues[pcpu];
    return (entity.weight * part.entity.weight) / part.queue.load;
  }

  private loadOfRq(rq: Rq): number {
    return rq.root.load + (rq.running === null || rq.running.cls === 'fair' ? 0 : URGENT_LOAD);
  }

  private refresh(rq: Rq): void {
    const waiting = rq.fair.length - (rq.running?.cls === 'fair' ? 1 : 0);
    const idle = rq.running === null && rq.fair.length === 0 && rq.realtime.length === 0;
    if (!idle && this.idle.has(rq.id)) {
      // As the kernel: a moving average over eight, at most twice what a migration costs.
      const average = rq.averageIdle + (Math.max(this.now - rq.idleSince, 0) - rq.averageIdle) / 8;
      rq.averageIdle = Math.min(Math.round(average), 2 * this.migrationCost);
    } else if (idle && !this.idle.has(rq.id)) rq.idleSince = this.now;
    this.placement.setIdle(rq.id, idle);
    this.overloaded.put(rq.id, rq.running === null ? waiting > 1 : waiting > 0);
  }

  // ---- threads

  private makeThread(task: Task, vm: VmGroup): Thread {
    const { params } = task;
    const name = params['class'] as string;
    const cls: SchedClass = name === 'fifo' || name === 'rr' || name === 'deadline' ? name : 'fair';
    const us = (key: string): Ns => ((params[key] as number | undefined) ?? 0) * NS_PER_US;
    const kind = name === 'batch' || name === 'idle' ? name : 'normal';
    const entity = new Entity(task, null, this.weightOf(task), kind);
    entity.slice = us('slice_us');
    const runtime = us('runtime_us');
    const period = us('period_us') || us('deadline_us');
    return {
      task,
      vm,
      cls,
      entity,
      pcpu: task.hard.next(task.id % this.rqs.length),
      active: false,
      parkedBy: null,
      backTo: -1,
      pushTo: -1,
      wakerPcpu: -1,
      wakerAt: -1,
      candidate: false,
      interrupted: false,
      priority: params['priority'] as number,
      quantumLeft: this.params.rr_timeslice_ms * NS_PER_MS,
      runtime,
      relativeDeadline: us('deadline_us') || period,
      period,
      reclaims: params['reclaim'] as boolean,
      budget: 0,
      // Long over, so that it starts with a whole budget.
      deadline: 0 - period,
      throttled: false,
      zeroLagAt: 0,
      inactive: false,
    };
  }

  private weightOf({ params, vm }: Task): number {
    const own = params['class'] === 'idle' ? IDLE_WEIGHT : niceWeight(params['nice'] as number);
    return this.params.groups ? own : scaledByVm(own, vm.weight);
  }
}

/** Threads that are awake on a pCPU, of all classes. */
function threadsOf(rq: Rq): number {
  const urgent = rq.running === null || rq.running.cls === 'fair' ? 0 : 1;
  return rq.fair.length + rq.realtime.length + urgent;
}

/**
 * Core scheduling: a policy schedules cores (or sockets) instead of pCPUs, and groups of consecutive vCPUs of one VM instead
 * of vCPUs. The threads of a core never run two VMs at the same time.
 * Invariants: the members of a unit run on the pCPUs of one group, or none does; a thread whose member sleeps, or that has
 * no member, stays idle (incident `waste`, at each decision); a group decides once, when all its pCPUs have stopped, and
 * leaves together. A unit is runnable while any member is.
 * Source: option sched-gran of Xen 4.13 and later (facts only; own code). What the rendezvous takes is a parameter, 0
 * unless told; pCPUs wait for it idle. The time until a running sibling notices is that of the dispatcher: its quantum.
 */

import { UserError } from '../../core/errors.ts';
import type { GuestSignal } from '../../core/runnable.ts';
import type { Ns } from '../../core/units.ts';
import { matchPlaces } from '../match.ts';
import { type Base, definePolicyOver, hostBelow, TaskView, VmView } from '../over.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  type Decision,
  heededBy,
  type Scheduler,
  type SchedulerHost,
  type SchedulerPolicy,
  type SchedVm,
  STATE_BLOCKED,
  STATE_READY,
  STATE_RUNNING,
  type Task,
  type TaskState,
  type Throttling,
  type WakeReason,
} from '../scheduler.ts';
import { CpuSet, type PcpuPlace, type Topology } from '../topology.ts';

const params = {
  granularity: {
    kind: 'choice',
    of: ['core', 'cpu', 'socket'],
    default: 'core',
    meaning: 'what is scheduled as one: the threads of a core, each pCPU by itself, or all of a socket',
  },
  rendezvous_ns: {
    kind: 'integer',
    min: 0,
    max: 1_000_000_000,
    default: 0,
    meaning: 'time that the pCPUs of a group lose at each decision to wait for each other',
  },
} as const satisfies ParamSet;

/** A group of vCPUs that is scheduled as one. */
class Unit extends TaskView {
  readonly members: Task[] = [];
  readonly runnable = new Set<Task>();
  readonly soft = null;
  hard: CpuSet;
  /** Where it runs. */
  on: Group | null = null;
  since: Ns = 0;
  pcpu = -1;

  constructor(id: number, vm: VmView, first: Task, base: SchedulerPolicy) {
    super(id, vm, first, base);
    this.hard = first.hard;
  }

  get state(): TaskState {
    if (this.on !== null) return STATE_RUNNING;
    return this.runnable.size > 0 ? STATE_READY : STATE_BLOCKED;
  }

  get doing(): number {
    return this.members.reduce((bits, member) => bits | member.doing, 0);
  }
}

/** pCPUs that are scheduled as one. */
class Group {
  readonly id: number;
  readonly pcpus: readonly number[];
  unit: Unit | null = null;
  /** Who sits where, by place in `pcpus`. */
  seats: (Task | null)[];
  /** A decision is due, and who has stopped for it. */
  pending = false;
  readonly arrived = new Set<number>();
  /** When its unit begins, after the rendezvous; charged up to `chargedUntil`. */
  startAt: Ns = 0;
  chargedUntil: Ns = 0;

  constructor(id: number, pcpus: readonly number[]) {
    this.id = id;
    this.pcpus = pcpus;
    this.seats = pcpus.map(() => null);
  }
}

export class CoreScheduling implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly policy: SchedulerPolicy;
  private readonly base: Scheduler;
  private readonly rendezvous: Ns;
  private readonly groups: readonly Group[];
  private readonly groupOf: readonly Group[];
  private readonly size: number;
  private readonly sizeOf: (vm: SchedVm, pcpus: number) => number;
  private readonly vms: VmView[] = [];
  private readonly units: Unit[] = [];
  private readonly unitOf: Unit[] = [];
  private now: Ns = 0;

  /** @param sizeOf how many vCPUs of a VM make a unit, at most as many as a group has pCPUs; default: all of those */
  constructor(
    host: SchedulerHost,
    settings: ValuesOf<typeof params>,
    base: Base,
    sizeOf: (vm: SchedVm, pcpus: number) => number = (_vm, pcpus) => pcpus,
  ) {
    this.host = host;
    this.sizeOf = sizeOf;
    this.policy = base.policy;
    const { topology } = host;
    const places = placesOf(topology, settings.granularity);
    this.groups = places.map(({ id }) => new Group(id, membersOf(topology, settings.granularity, id)));
    const byPcpu: Group[] = [];
    for (const group of this.groups) for (const pcpu of group.pcpus) byPcpu[pcpu] = group;
    this.groupOf = byPcpu;
    this.size = this.groups[0]!.pcpus.length;
    this.rendezvous = this.size > 1 ? settings.rendezvous_ns : 0;
    this.base = base.make(
      hostBelow(host, {
        topology: places,
        timers: this.groups.length,
        current: (id) => this.groups[id]!.unit,
        resched: (id) => this.request(this.groups[id]!),
        settle: (id) => this.settle(this.groups[id]!),
        placeOf: (id) => this.groups[id]!.pcpus[0]!,
      }),
    );
  }

  add(task: Task, now: Ns): void {
    this.now = now;
    this.vms[task.vm.id] ??= new VmView(task.vm, this.policy);
    const vm = this.vms[task.vm.id];
    const size = this.sizeOf(task.vm, this.size);
    const number = Math.floor(task.index / size);
    const known = this.units.find(
      (unit) => unit.vm === vm && unit.members.some((member) => Math.floor(member.index / size) === number),
    );
    const unit = known ?? new Unit(this.units.length, vm, task, this.policy);
    unit.members.push(task);
    this.unitOf[task.id] = unit;
    const before = unit.hard;
    unit.hard = this.groupsFor(unit);
    if (known === undefined) {
      this.units.push(unit);
      this.base.add?.(unit, now);
    } else if (!before.within(unit.hard)) this.refit(unit);
    if (unit.on !== null) this.request(unit.on);
  }

  remove(task: Task, now: Ns): void {
    this.now = now;
    const unit = this.unitOf[task.id];
    unit.members.splice(unit.members.indexOf(task), 1);
    if (unit.members.length === 0) this.base.remove?.(unit, now);
    else if (unit.on !== null) this.request(unit.on);
  }

  wake(task: Task, now: Ns, reason: WakeReason): void {
    this.now = now;
    const unit = this.unitOf[task.id];
    unit.runnable.add(task);
    if (unit.runnable.size === 1) {
      unit.since = now;
      this.base.wake(unit, now, reason);
    } else if (unit.on !== null) this.callSeat(unit.on, task);
  }

  sleep(task: Task, now: Ns): void {
    this.now = now;
    const unit = this.unitOf[task.id];
    unit.runnable.delete(task);
    if (unit.runnable.size > 0) return;
    const { on } = unit;
    if (on !== null) {
      this.settle(on);
      on.unit = null;
      unit.on = null;
      this.request(on);
    }
    unit.since = now;
    this.base.sleep(unit, now);
  }

  yield(task: Task, now: Ns, why: 'yield' | 'spin'): void {
    this.now = now;
    const { on } = this.unitOf[task.id];
    if (on === null) return;
    this.settle(on);
    this.base.yield?.(this.unitOf[task.id], now, why);
    this.request(on);
  }

  get heeds(): readonly GuestSignal['kind'][] {
    return heededBy(this.base);
  }

  signal(task: Task, now: Ns, signal: GuestSignal): void {
    this.now = now;
    this.base.signal?.(this.unitOf[task.id], now, signal);
  }

  change(vm: SchedVm, now: Ns): void {
    this.now = now;
    if (this.vms[vm.id] !== undefined) this.base.change?.(this.vms[vm.id], now);
  }

  throttling(vm: SchedVm): Throttling | null {
    return this.base.throttling?.(this.vms[vm.id]) ?? null;
  }

  timer(id: number, now: Ns): void {
    this.now = now;
    if (id < this.groups.length) this.request(this.groups[id]!);
    else this.base.timer?.(id - this.groups.length, now);
  }

  pick(pcpu: number, now: Ns, current: Task | null): Decision {
    this.now = now;
    const group = this.groupOf[pcpu]!;
    if (group.pending) {
      group.arrived.add(pcpu);
      const missing = group.pcpus.some((other) => !group.arrived.has(other) && this.host.current(other) !== null);
      if (missing) return { task: null, slice: Infinity };
      this.decide(group, pcpu);
    }
    if (now < group.startAt) return { task: null, slice: group.startAt - now };
    const seat = group.seats[group.pcpus.indexOf(pcpu)] ?? null;
    const task = seat !== null && group.unit?.runnable.has(seat) === true ? seat : null;
    // After a change of seats the new pCPU waits until the old one has let go, and is asked again.
    if (current !== null && current !== task) this.callSeat(group, current);
    const elsewhere = task !== null && task !== current && task.state === STATE_RUNNING;
    return { task: elsewhere ? null : task, slice: Infinity };
  }

  // ---- decisions

  /** All pCPUs of the group shall stop; the last of them decides. */
  private request(group: Group): void {
    group.pending = true;
    for (const pcpu of group.pcpus) this.host.resched(pcpu);
  }

  private decide(group: Group, decider: number): void {
    const { now } = this;
    this.settle(group);
    group.pending = false;
    group.arrived.clear();
    this.host.disarm(group.id);
    if (group.unit !== null && !group.unit.hard.has(group.id)) this.evict(group, group.unit);
    const before = group.unit;
    const decision = this.base.pick(group.id, now, before);
    const next = decision.task as Unit | null;
    if (before !== null && before !== next) {
      before.on = null;
      before.since = now;
    }
    group.unit = next;
    group.startAt = next === null ? now : now + this.rendezvous;
    group.chargedUntil = group.startAt;
    group.seats = next === null ? group.pcpus.map(() => null) : this.seat(next, group)!;
    if (next !== null) {
      if (next !== before) next.since = group.startAt;
      next.on = group;
      next.pcpu = group.id;
      for (const [place, seat] of group.seats.entries()) {
        if (seat === null || !next.runnable.has(seat)) this.host.note('waste', next.members[0]!, group.pcpus[place]!);
      }
    }
    if (decision.slice < Infinity) this.host.arm(group.id, group.startAt + decision.slice);
    for (const pcpu of group.pcpus) if (pcpu !== decider) this.host.resched(pcpu);
  }

  /** Charges the unit of a group up to now: for the time it had the group, however many of its members ran. */
  private settle(group: Group): void {
    const ran = this.now - group.chargedUntil;
    if (group.unit === null || ran <= 0) return;
    group.chargedUntil = this.now;
    this.base.charge?.(group.unit, ran);
  }

  private callSeat(group: Group, task: Task): void {
    const place = group.seats.indexOf(task);
    if (place >= 0) this.host.resched(group.pcpus[place]!);
  }

  // ---- affinity

  /** The groups in which every member finds a pCPU of its own. @throws UserError when there is none */
  private groupsFor(unit: Unit): CpuSet {
    const ids = this.groups.filter((group) => this.seat(unit, group) !== null).map(({ id }) => id);
    if (ids.length > 0) return new CpuSet(this.groups.length, ids);
    const names = unit.members.map((member) => member.index).join(', ');
    throw new UserError(
      `VM ${unit.vm.name}: core scheduling runs vCPUs ${names} at the same time on one group of ${this.size} pCPUs, and ` +
        'there is none in which the affinity of each leaves it a pCPU of its own',
    );
  }

  /** Who of the unit gets which pCPU of the group; null if they do not fit. */
  private seat({ members }: Unit, { pcpus }: Group): (Task | null)[] | null {
    const places = matchPlaces(members.length, pcpus.length, (m, place) => members[m]!.hard.has(pcpus[place]!));
    if (places === null) return null;
    return pcpus.map((_, place) => members[places.indexOf(place)] ?? null);
  }

  /** The affinity of a unit became narrower: the base places it anew. */
  private refit(unit: Unit): void {
    if (unit.on !== null) return;
    const queued = unit.runnable.size > 0;
    if (queued) this.base.sleep(unit, this.now);
    this.moved(unit);
    if (queued) this.base.wake(unit, this.now, 'release');
  }

  /** Its unit may not stay on this group. */
  private evict(group: Group, unit: Unit): void {
    group.unit = null;
    unit.on = null;
    this.refit(unit);
  }

  private moved(unit: Unit): void {
    if (this.base.affinity !== undefined) this.base.affinity(unit, this.now);
    else {
      this.base.remove?.(unit, this.now);
      this.base.add?.(unit, this.now);
    }
  }
}

type Granularity = ValuesOf<typeof params>['granularity'];

function groupIdOf({ id, core, socket }: PcpuPlace, granularity: Granularity): number {
  if (granularity === 'cpu') return id;
  return granularity === 'core' ? core : socket;
}

/** The groups as the base takes them for pCPUs. */
function placesOf(topology: Topology, granularity: Granularity): Topology {
  if (granularity === 'cpu') return topology;
  const places: PcpuPlace[] = [];
  for (const place of topology) {
    const id = groupIdOf(place, granularity);
    places[id] ??= {
      id,
      socket: place.socket,
      node: granularity === 'core' ? place.node : place.socket,
      core: id,
      thread: 0,
    };
  }
  return places;
}

function membersOf(topology: Topology, granularity: Granularity, group: number): number[] {
  return topology.filter((place) => groupIdOf(place, granularity) === group).map(({ id }) => id);
}

/** Core scheduling over any of these. */
export function coreSchedulingOver(policies: readonly SchedulerPolicy[]): SchedulerPolicy {
  return definePolicyOver({
    name: 'core-scheduling',
    summary: 'cores or sockets as a whole for groups of vCPUs of one VM; over a base policy that decides which',
    origin: 'Xen 4.13 to now',
    basis: 'source',
    // What becomes of weights and caps is up to the base.
    traits: { workConserving: false, weights: null, caps: null },
    bases: policies,
    params,
    make: (host, settings, base) => new CoreScheduling(host, settings, base),
  });
}

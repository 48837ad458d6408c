/**
 * Borrowed virtual time, Xen's first scheduler (to 3.0.2): least effective virtual time runs; a VM may warp, that is run
 * ahead of its time for a while, and pays for it later.
 * Invariants: actual virtual time grows with CPU time only, by `mcu_advance` per minimum charging unit (100 us) or part of
 * one; who wakes up is not behind the others on its pCPU; queues are per pCPU and vCPUs never leave theirs.
 * Source: Duda and Cheriton, SOSP 1999, and sched_bvt.c of Xen 3.0.2 (facts only; own code). `slices: as-coded` repeats its
 * mistake of adding a number of charging units as nanoseconds. Rebasing of virtual time is not needed: it does not overflow.
 * Our choices: a new vCPU goes where fewest are; without `mcu_advance` it is 10 at the usual weight of 256, and inverse
 * to the weight; the warp limit counts CPU time, and warping starts again when the time without is over.
 */
import { divCeil, NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  type Decision,
  definePolicy,
  type Scheduler,
  type SchedulerHost,
  type SchedVm,
  type Task,
  type WakeReason,
} from '../scheduler.ts';

const params = {
  mcu_us: {
    kind: 'integer',
    min: 1,
    max: 1_000_000,
    default: 100,
    meaning: 'minimum charging unit: CPU time is counted in these',
  },
  context_allow_us: {
    kind: 'integer',
    min: 10,
    max: 1_000_000,
    default: 5_000,
    meaning: 'how far one may run past the point where another one would be due',
  },
  slices: {
    kind: 'choice',
    of: ['paper', 'as-coded'],
    default: 'paper',
    meaning: 'length of a slice: by the formula of the paper, or as Xen computed it (the allowance and little more)',
  },
} as const satisfies ParamSet;

const vmParams = {
  mcu_advance: {
    kind: 'integer',
    min: 1,
    max: 1_000_000,
    meaning: 'virtual time per charging unit, the inverse of a weight; default: 10 x 256 / weight',
  },
  warp: { kind: 'flag', default: false, meaning: 'the VM may run ahead of its virtual time' },
  warp_value: { kind: 'integer', min: 0, max: 1_000_000_000, default: 0, meaning: 'how far ahead, in virtual time' },
  warp_limit_us: {
    kind: 'integer',
    min: 0,
    max: 3_600_000_000,
    default: 2_000_000,
    meaning: 'CPU time that it may use warped; 0: no limit',
  },
  unwarp_us: {
    kind: 'integer',
    min: 0,
    max: 3_600_000_000,
    default: 1_000_000,
    meaning: 'time without warp after that',
  },
} as const satisfies ParamSet;

const DEFAULT_ADVANCE = 10;
const DEFAULT_WEIGHT = 256;
/** A vCPU that has its pCPU for itself is asked again after so many allowances. */
const ALONE = 10;

class Domain {
  readonly vm: SchedVm;
  readonly units: Unit[] = [];
  advance = 0;
  readonly warpValue: number;
  readonly warpLimit: Ns;
  readonly unwarp: Ns;
  warped: boolean;
  /** CPU time used since it began to warp. */
  warpUsed: Ns = 0;

  constructor(vm: SchedVm) {
    const own = vm.params as ValuesOf<typeof vmParams>;
    this.vm = vm;
    this.warped = own.warp;
    this.warpValue = own.warp_value;
    this.warpLimit = own.warp_limit_us === 0 ? Infinity : own.warp_limit_us * NS_PER_US;
    this.unwarp = own.unwarp_us * NS_PER_US;
    this.refresh();
  }

  refresh(): void {
    const { mcu_advance } = this.vm.params as ValuesOf<typeof vmParams>;
    this.advance = mcu_advance ?? (DEFAULT_ADVANCE * DEFAULT_WEIGHT) / this.vm.weight;
  }
}

class Unit {
  readonly task: Task;
  readonly domain: Domain;
  readonly pcpu: number;
  /** Actual virtual time when it last started to run, and CPU time since: counted in whole units only when it stops. */
  base = 0;
  ran: Ns = 0;

  constructor(task: Task, domain: Domain, pcpu: number) {
    this.task = task;
    this.domain = domain;
    this.pcpu = pcpu;
  }
}

class Bvt implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly mcu: Ns;
  private readonly allowance: Ns;
  /** Nanoseconds that a charging unit counts in the length of a slice. */
  private readonly mcuInSlice: Ns;
  private readonly units: Unit[] = [];
  private readonly domains: Domain[] = [];
  private readonly queues: Unit[][];
  private readonly running: (Unit | null)[];
  /** Virtual time of each pCPU, as of the last time somebody was runnable there. */
  private readonly svt: number[];
  private readonly population: number[];
  private readonly sliceEnd: Ns[];

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    this.host = host;
    this.mcu = settings.mcu_us * NS_PER_US;
    this.allowance = settings.context_allow_us * NS_PER_US;
    this.mcuInSlice = settings.slices === 'paper' ? this.mcu : 1;
    this.queues = host.topology.map(() => []);
    this.running = host.topology.map(() => null);
    this.svt = host.topology.map(() => 0);
    this.population = host.topology.map(() => 0);
    this.sliceEnd = host.topology.map(() => Infinity);
  }

  add(task: Task): void {
    this.domains[task.vm.id] ??= new Domain(task.vm);
    const domain = this.domains[task.vm.id];
    let pcpu = task.hard.first();
    for (const id of task.hard) if (this.population[id] < this.population[pcpu]) pcpu = id;
    this.population[pcpu]++;
    this.units[task.id] = new Unit(task, domain, pcpu);
    domain.units.push(this.units[task.id]);
  }

  remove(task: Task): void {
    const { pcpu, domain } = this.units[task.id];
    this.population[pcpu]--;
    domain.units.splice(domain.units.indexOf(this.units[task.id]), 1);
  }

  change(vm: SchedVm): void {
    const domain = this.domains[vm.id];
    if (domain === undefined) return;
    for (const unit of domain.units) this.settle(unit);
    domain.refresh();
  }

  wake(task: Task, now: Ns, reason: WakeReason): void {
    const unit = this.units[task.id];
    const { pcpu } = unit;
    const current = this.running[pcpu];
    if (current !== null) this.host.settle(pcpu);
    unit.base = Math.max(unit.base, this.virtualTime(pcpu));
    // Who wakes up goes first among equals, new ones in the order of their creation.
    if (reason === 'start') this.queues[pcpu].push(unit);
    else this.queues[pcpu].unshift(unit);
    const preempts = current !== null && this.evt(unit) <= this.evt(current) && reason !== 'start';
    if (current === null || preempts) this.host.resched(pcpu);
    else this.shorten(pcpu, now);
  }

  sleep(task: Task): void {
    const unit = this.units[task.id];
    const { pcpu } = unit;
    this.virtualTime(pcpu);
    const queue = this.queues[pcpu];
    if (this.running[pcpu] === unit) {
      this.settle(unit);
      this.running[pcpu] = null;
    } else queue.splice(queue.indexOf(unit), 1);
  }

  charge(task: Task, ran: Ns): void {
    const unit = this.units[task.id];
    unit.ran += ran;
    const { domain } = unit;
    if (domain.warped) domain.warpUsed += ran;
  }

  /** The lower ids are those of shortened slices, one per pCPU; the others end the time without warp, one per VM. */
  timer(id: number): void {
    const pcpus = this.queues.length;
    if (id < pcpus) {
      this.host.resched(id);
      return;
    }
    const domain = this.domains[id - pcpus];
    domain.warped = true;
    domain.warpUsed = 0;
    for (const { pcpu } of domain.units) this.host.resched(pcpu);
  }

  pick(pcpu: number, now: Ns, current: Task | null): Decision {
    this.host.disarm(pcpu);
    const queue = this.queues[pcpu];
    const before = this.running[pcpu];
    if (before !== null) this.endWarp(before.domain, now);
    if (current !== null) {
      const unit = this.units[current.id];
      this.settle(unit);
      queue.push(unit);
    }
    this.running[pcpu] = null;
    this.virtualTime(pcpu);
    const first = this.takeLeast(queue);
    this.running[pcpu] = first;
    if (first === null) return { task: null, slice: Infinity };
    // A VM that gave up its warp by blocking is looked at again when it runs.
    this.endWarp(first.domain, now);
    const slice = Math.min(this.sliceOf(first, queue), this.warpLeft(first.domain));
    this.sliceEnd[pcpu] = now + slice;
    return { task: first.task, slice };
  }

  // ---- virtual time

  private avt({ base, ran, domain }: Unit): number {
    return base + divCeil(ran, this.mcu) * domain.advance;
  }

  private evt(unit: Unit): number {
    return this.avt(unit) - (unit.domain.warped ? unit.domain.warpValue : 0);
  }

  private settle(unit: Unit): void {
    unit.base = this.avt(unit);
    unit.ran = 0;
  }

  /** Least actual virtual time of the runnable ones; where there are none, that of the last who was. */
  private virtualTime(pcpu: number): number {
    const current = this.running[pcpu];
    let least = current === null ? Infinity : this.avt(current);
    for (const unit of this.queues[pcpu]) least = Math.min(least, this.avt(unit));
    if (least < Infinity) this.svt[pcpu] = least;
    return this.svt[pcpu];
  }

  // ---- choice and slices

  /** The first in the queue of those with least effective virtual time. */
  private takeLeast(queue: Unit[]): Unit | null {
    const least = leastOf(queue, (unit) => this.evt(unit));
    if (least !== null) queue.splice(queue.indexOf(least), 1);
    return least;
  }

  /** Up to the point where the next one is due, and the allowance on top. */
  private sliceOf(first: Unit, queue: readonly Unit[]): Ns {
    const second = leastOf(queue, (unit) => this.evt(unit));
    if (second === null) return ALONE * this.allowance;
    const mcus = Math.max(this.evt(second) - this.evt(first), 0) / first.domain.advance;
    return Math.floor(mcus * this.mcuInSlice) + this.allowance;
  }

  /** Somebody has joined the queue who is due later: the present slice ends an allowance after that point at the latest. */
  private shorten(pcpu: number, now: Ns): void {
    const end = now + this.sliceOf(this.running[pcpu]!, this.queues[pcpu]);
    if (end < this.sliceEnd[pcpu]) this.host.arm(pcpu, end);
  }

  // ---- warp

  private warpLeft({ warped, warpValue, warpLimit, warpUsed }: Domain): Ns {
    return warped && warpValue > 0 ? Math.max(warpLimit - warpUsed, 1) : Infinity;
  }

  private endWarp(domain: Domain, now: Ns): void {
    if (!domain.warped || domain.warpUsed < domain.warpLimit) return;
    domain.warped = false;
    this.host.arm(this.queues.length + domain.vm.id, now + domain.unwarp);
  }
}

function leastOf(units: readonly Unit[], key: (unit: Unit) => number): Unit | null {
  let least: Unit | null = null;
  for (const unit of units) if (least === null || key(unit) < key(least)) least = unit;
  return least;
}

export const bvt = definePolicy({
  name: 'bvt',
  summary: 'borrowed virtual time: least virtual time first, which a VM may warp for a while',
  origin: 'Xen to 3.0.2; Duda and Cheriton, SOSP 1999',
  basis: 'source',
  // A pCPU never takes over what waits for another one.
  traits: { workConserving: false, weights: {} },
  params,
  vmParams,
  make: (host, settings) => new Bvt(host, settings),
});

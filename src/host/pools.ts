/**
 * CPU pools: parts of the host, each with a scheduler of its own, as Xen's cpupools. A policy over policies: it sends every
 * call to the policy of the pool that the pCPU or the task belongs to.
 * Invariants: each pCPU is in exactly one pool; a task stays in the pool of its VM; the policy of a pool sees a host of its
 * own, with dense numbers of pCPUs, cores, sockets, nodes, VMs and tasks in the order of the real ones or of their coming, and no
 * task of another pool; one pool of all pCPUs schedules as its policy does without pools.
 * Source: the documentation of Xen's cpupools (facts only). Pools do not change while the host runs.
 */
import { assert, UserError } from '../core/errors.ts';
import type { RandomStream } from '../core/rng.ts';
import type { GuestSignal } from '../core/runnable.ts';
import type { Ns } from '../core/units.ts';
import { hostBelow, mergedParams, SingleView, VmView } from './over.ts';
import type { Param, Params } from './params.ts';
import {
  type Decision,
  heededBy,
  type Scheduler,
  type SchedulerHost,
  type SchedulerPolicy,
  type SchedVm,
  STATE_READY,
  type Task,
  type Throttling,
  type WakeReason,
} from './scheduler.ts';
import { CpuSet, type Topology } from './topology.ts';

/** One pool: at least one pCPU, in ascending order. */
export interface PoolSpec {
  readonly name: string;
  readonly pcpus: readonly number[];
  readonly policy: SchedulerPolicy;
  readonly params?: Params;
  /** The random stream of its policy; that of the host unless told. */
  readonly random?: RandomStream;
}

/** The parameter of a VM that says where it belongs; the first pool unless told. */
export const POOL_PARAM = 'cpu_pool';

/** The part of a host with these pCPUs, numbered anew; who shared a core, socket or node still does. */
export function partOf(topology: Topology, pcpus: readonly number[]): Topology {
  const dense = (numbers: readonly number[]): Map<number, number> =>
    new Map([...new Set(numbers)].map((number, index) => [number, index]));
  const places = pcpus.map((id) => topology[id]!);
  const cores = dense(places.map(({ core }) => core));
  const sockets = dense(places.map(({ socket }) => socket));
  const nodes = dense(places.map(({ node }) => node));
  const nextThread = new Map<number, number>();
  return places.map((place, id) => {
    const thread = nextThread.get(place.core) ?? 0;
    nextThread.set(place.core, thread + 1);
    const [socket, node] = [sockets.get(place.socket)!, nodes.get(place.node)!];
    return { id, socket, node, core: cores.get(place.core)!, thread };
  });
}

/** A task as its pool sees it: where it may run, in the pool's numbers. */
class PoolTask extends SingleView {
  readonly hard: CpuSet;
  readonly soft: CpuSet | null;
  readonly pool: Pool;

  constructor(real: Task, id: number, vm: VmView, pool: Pool) {
    super(id, vm, real, pool.spec.policy);
    this.pool = pool;
    this.hard = pool.setOf(real.hard);
    if (this.hard.count === 0) {
      throw new UserError(
        `vCPU ${real.vm.name}.${real.index}: its affinity has no physical CPU of pool ${pool.spec.name}`,
      );
    }
    const soft = real.soft === null ? null : pool.setOf(real.soft).intersect(this.hard);
    this.soft = soft === null || soft.count === 0 || soft.count === this.hard.count ? null : soft;
  }

  get pcpu(): number {
    return this.real.pcpu < 0 ? -1 : this.pool.localOf(this.real.pcpu);
  }
}

/** A pool with its policy. */
class Pool {
  readonly spec: PoolSpec;
  readonly scheduler: Scheduler;
  readonly tasks = new Set<PoolTask>();
  readonly vms = new Map<number, VmView>();
  private readonly local = new Map<number, number>();
  private nextTask = 0;

  /** @param timers how timers of this pool are numbered among those of all */
  constructor(
    spec: PoolSpec,
    host: SchedulerHost,
    viewOf: (task: Task) => PoolTask,
    timers: (timer: number) => number,
  ) {
    this.spec = spec;
    for (const [index, id] of spec.pcpus.entries()) this.local.set(id, index);
    const real = (pcpu: number): number => spec.pcpus[pcpu]!;
    const numbered: SchedulerHost = {
      ...host,
      random: spec.random ?? host.random,
      arm: (timer, at) => host.arm(timers(timer), at),
      disarm: (timer) => host.disarm(timers(timer)),
    };
    this.scheduler = spec.policy.make(
      hostBelow(numbered, {
        topology: partOf(host.topology, spec.pcpus),
        timers: 0,
        current: (pcpu) => {
          const task = host.current(real(pcpu));
          return task === null ? null : viewOf(task);
        },
        resched: (pcpu) => host.resched(real(pcpu)),
        settle: (pcpu) => host.settle(real(pcpu)),
        placeOf: (pcpu) => (pcpu < 0 ? pcpu : real(pcpu)),
      }),
      spec.params,
    );
  }

  localOf(pcpu: number): number {
    return this.local.get(pcpu)!;
  }

  /** The members of a set of real pCPUs that are in this pool, in its numbers. */
  setOf(set: CpuSet): CpuSet {
    const { pcpus } = this.spec;
    return new CpuSet(
      pcpus.length,
      pcpus.flatMap((id, index) => (set.has(id) ? [index] : [])),
    );
  }

  add(real: Task): PoolTask {
    const { policy } = this.spec;
    const values = Object.entries(real.vm.params).filter(([name]) => name !== POOL_PARAM);
    const vm = this.vms.get(real.vm.id) ?? new VmView(real.vm, policy, this.vms.size, Object.fromEntries(values));
    this.vms.set(real.vm.id, vm);
    const view = new PoolTask(real, this.nextTask++, vm, this);
    this.tasks.add(view);
    return view;
  }
}

class Pools implements Scheduler {
  private readonly pools: readonly Pool[];
  private readonly poolAt: Pool[] = [];
  private readonly views: PoolTask[] = [];

  constructor(host: SchedulerHost, specs: readonly PoolSpec[]) {
    const viewOf = (task: Task): PoolTask => this.views[task.id]!;
    this.pools = specs.map((spec, index) => new Pool(spec, host, viewOf, (timer) => timer * specs.length + index));
    for (const pool of this.pools) for (const id of pool.spec.pcpus) this.poolAt[id] = pool;
  }

  add(task: Task, now: Ns): void {
    const pool = this.poolOf(task.vm);
    const view = pool.add(task);
    this.views[task.id] = view;
    pool.scheduler.add?.(view, now);
  }

  wake(task: Task, now: Ns, reason: WakeReason): void {
    const view = this.views[task.id]!;
    view.pool.scheduler.wake(view, now, reason);
  }

  sleep(task: Task, now: Ns): void {
    const view = this.views[task.id]!;
    view.pool.scheduler.sleep(view, now);
  }

  remove(task: Task, now: Ns): void {
    const view = this.views[task.id]!;
    view.pool.scheduler.remove?.(view, now);
    view.pool.tasks.delete(view);
  }

  pick(pcpu: number, now: Ns, current: Task | null): Decision {
    const pool = this.poolAt[pcpu]!;
    const view = current === null ? null : this.views[current.id]!;
    const { task, slice } = pool.scheduler.pick(pool.localOf(pcpu), now, view);
    return { task: task === null ? null : (task as PoolTask).real, slice };
  }

  charge(task: Task, ran: Ns): void {
    const view = this.views[task.id]!;
    view.pool.scheduler.charge?.(view, ran);
  }

  yield(task: Task, now: Ns, why: 'yield' | 'spin'): void {
    const view = this.views[task.id]!;
    view.pool.scheduler.yield?.(view, now, why);
  }

  get heeds(): readonly GuestSignal['kind'][] {
    return this.pools.flatMap(({ scheduler }) => heededBy(scheduler));
  }

  signal(task: Task, now: Ns, signal: GuestSignal): void {
    const view = this.views[task.id];
    view?.pool.scheduler.signal?.(view, now, signal);
  }

  event(task: Task, now: Ns): void {
    const view = this.views[task.id]!;
    view.pool.scheduler.event?.(view, now);
  }

  timer(timer: number, now: Ns): void {
    const { length } = this.pools;
    this.pools[timer % length]!.scheduler.timer?.(Math.floor(timer / length), now);
  }

  waits(pcpu: number): boolean {
    const pool = this.poolAt[pcpu]!;
    if (pool.scheduler.waits !== undefined) return pool.scheduler.waits(pool.localOf(pcpu));
    for (const { state } of pool.tasks) if (state === STATE_READY) return true;
    return false;
  }

  change(vm: SchedVm, now: Ns): void {
    const pool = this.poolOf(vm);
    const view = pool.vms.get(vm.id);
    if (view !== undefined) pool.scheduler.change?.(view, now);
  }

  throttling(vm: SchedVm): Throttling | null {
    const pool = this.poolOf(vm);
    const view = pool.vms.get(vm.id);
    return view === undefined ? null : (pool.scheduler.throttling?.(view) ?? null);
  }

  private poolOf(vm: SchedVm): Pool {
    const name = vm.params[POOL_PARAM];
    return this.pools.find(({ spec }) => spec.name === name)!;
  }
}

/** The policy of a host with these pools, which share out all its pCPUs. @throws UserError by the policies of the pools */
export function poolsPolicy(pools: readonly [PoolSpec, ...PoolSpec[]]): SchedulerPolicy {
  const policies = [...new Set(pools.map(({ policy }) => policy))];
  const names = pools.map(({ name }) => name);
  assert(new Set(names).size === names.length, 'pools have different names');
  const which: Param = { kind: 'choice', of: names, default: names[0]!, meaning: 'the pool that the VM belongs to' };
  return {
    name: 'pools',
    summary: 'CPU pools, each with a scheduler of its own',
    origin: 'Xen: cpupools',
    basis: 'documentation',
    traits: { workConserving: false, weights: null, caps: null },
    params: {},
    vmParams: { ...mergedParams(policies, 'vmParams'), [POOL_PARAM]: which },
    vcpuParams: mergedParams(policies, 'vcpuParams'),
    make: (host) => {
      const owned = pools.flatMap(({ pcpus }) => pcpus).toSorted((a, b) => a - b);
      const whole = owned.length === host.topology.length && owned.every((id, index) => id === index);
      assert(whole && pools.every(({ pcpus }) => pcpus.length > 0), 'each pCPU is in one pool, and no pool is empty');
      return new Pools(host, pools);
    },
  };
}

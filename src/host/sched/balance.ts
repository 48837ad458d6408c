/**
 * Balance scheduling: vCPUs of one VM never wait for each other in the queue of one pCPU; nothing else is coordinated. A
 * constraint over a base policy, which keeps its order, slices and accounts.
 * Invariants: each runnable task belongs to one pCPU, and the base sees that one as its whole affinity; a task is placed on
 * a pCPU with a sibling only if every pCPU that it may have holds one (incident `stacked`), and never pulled there.
 * Source: Sukwong and Kim, "Is co-scheduling too expensive for SMP VMs?", EuroSys 2011 (abstract and common knowledge).
 * Our reconstruction: of the allowed pCPUs the one with fewest runnable tasks, the present one among equals, then those it
 * prefers, then the lowest; an idle pCPU pulls from the fullest; once per period the fullest gives one to the emptiest.
 */

import type { GuestSignal } from '../../core/runnable.ts';
import { NS_PER_MS, type Ns } from '../../core/units.ts';
import { type Base, definePolicyOver, hostBelow, SingleView, VmView } from '../over.ts';
import type { ParamSet } from '../params.ts';
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
} from '../scheduler.ts';
import { CpuSet } from '../topology.ts';

const params = {
  balance_ms: {
    kind: 'integer',
    min: 0,
    max: 100_000,
    default: 30,
    meaning: 'the fullest pCPU gives one that waits to the emptiest after each such period; 0: only idle ones pull',
  },
} as const satisfies ParamSet;

/** A task that may run on one pCPU only, as far as the base knows. */
class Pinned extends SingleView {
  readonly soft = null;
  hard: CpuSet;
  home = -1;
  /** When it came to its present pCPU. */
  enteredAt: Ns = 0;

  constructor(real: Task, vm: VmView, base: SchedulerPolicy) {
    super(real.id, vm, real, base);
    this.hard = real.hard;
  }

  /** A move starts its wait anew: otherwise the one that waits for longest would be handed round for ever. */
  get waitsSince(): Ns {
    return Math.max(this.since, this.enteredAt);
  }

  get pcpu(): number {
    return this.home;
  }
}

const BALANCE_TIMER = 0;
const OWN_TIMERS = 1;

class Balance implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly policy: SchedulerPolicy;
  private readonly base: Scheduler;
  private readonly period: Ns;
  private readonly views: Pinned[] = [];
  private readonly vms: VmView[] = [];
  /** The runnable tasks of each pCPU in the order of their arrival, running ones among them. */
  private readonly residents: Pinned[][];
  private readonly sets: readonly CpuSet[];

  constructor(host: SchedulerHost, period: Ns, base: Base) {
    this.host = host;
    this.period = period;
    this.policy = base.policy;
    this.residents = host.topology.map(() => []);
    this.sets = host.topology.map(({ id }) => new CpuSet(host.topology.length, [id]));
    this.base = base.make(
      hostBelow(host, {
        topology: host.topology,
        timers: OWN_TIMERS,
        current: (pcpu) => this.viewOf(host.current(pcpu)),
        resched: (pcpu) => host.resched(pcpu),
        settle: (pcpu) => host.settle(pcpu),
        placeOf: (pcpu) => pcpu,
      }),
    );
    if (period > 0) host.arm(BALANCE_TIMER, period);
  }

  add(task: Task, now: Ns): void {
    this.vms[task.vm.id] ??= new VmView(task.vm, this.policy);
    const view = new Pinned(task, this.vms[task.vm.id], this.policy);
    this.views[task.id] = view;
    this.settleAt(view, this.placeFor(view));
    this.base.add?.(view, now);
  }

  remove(task: Task, now: Ns): void {
    this.base.remove?.(this.views[task.id], now);
  }

  wake(task: Task, now: Ns, reason: WakeReason): void {
    const view = this.views[task.id];
    this.enter(view, this.placeFor(view), now, reason);
  }

  sleep(task: Task, now: Ns): void {
    const view = this.views[task.id];
    this.leave(view, now);
  }

  pick(pcpu: number, now: Ns, current: Task | null): Decision {
    let decision = this.base.pick(pcpu, now, this.viewOf(current));
    if (decision.task === null && this.pull(pcpu, now)) decision = this.base.pick(pcpu, now, null);
    const { task, slice } = decision;
    return { task: task === null ? null : (task as Pinned).real, slice };
  }

  charge(task: Task, ran: Ns): void {
    this.base.charge?.(this.views[task.id], ran);
  }

  yield(task: Task, now: Ns, why: 'yield' | 'spin'): void {
    this.base.yield?.(this.views[task.id], now, why);
  }

  get heeds(): readonly GuestSignal['kind'][] {
    return heededBy(this.base);
  }

  signal(task: Task, now: Ns, signal: GuestSignal): void {
    this.base.signal?.(this.views[task.id], now, signal);
  }

  change(vm: SchedVm, now: Ns): void {
    if (this.vms[vm.id] !== undefined) this.base.change?.(this.vms[vm.id], now);
  }

  throttling(vm: SchedVm): Throttling | null {
    return this.base.throttling?.(this.vms[vm.id]) ?? null;
  }

  timer(id: number, now: Ns): void {
    if (id !== BALANCE_TIMER) {
      this.base.timer?.(id - OWN_TIMERS, now);
      return;
    }
    this.host.arm(BALANCE_TIMER, now + this.period);
    let emptiest = 0;
    for (const pcpu of this.residents.keys()) {
      if (this.residents[pcpu].length < this.residents[emptiest].length) emptiest = pcpu;
    }
    this.pull(emptiest, now);
  }

  // ---- where tasks are

  private viewOf(task: Task | null): Pinned | null {
    return task === null ? null : this.views[task.id];
  }

  private enter(view: Pinned, home: number, now: Ns, reason: WakeReason): void {
    if (home !== view.home) {
      this.settleAt(view, home);
      if (this.base.affinity !== undefined) this.base.affinity(view, now);
      else {
        this.base.remove?.(view, now);
        this.base.add?.(view, now);
      }
    }
    if (this.holdsSibling(home, view)) this.host.note('stacked', view.real, home);
    view.enteredAt = now;
    this.residents[home].push(view);
    this.base.wake(view, now, reason);
  }

  private leave(view: Pinned, now: Ns): void {
    const residents = this.residents[view.home];
    residents.splice(residents.indexOf(view), 1);
    this.base.sleep(view, now);
  }

  private settleAt(view: Pinned, home: number): void {
    view.home = home;
    view.hard = this.sets[home];
  }

  private holdsSibling(pcpu: number, view: Pinned): boolean {
    return this.residents[pcpu].some((other) => other !== view && other.vm === view.vm);
  }

  /** Fewest runnable ones, without siblings if there is any such pCPU; then the present one, then a preferred one. */
  private placeFor(view: Pinned): number {
    const { hard, soft } = view.real;
    const rank = (pcpu: number): readonly number[] => [
      this.holdsSibling(pcpu, view) ? 1 : 0,
      this.residents[pcpu].length,
      pcpu === view.home ? 0 : 1,
      soft === null || soft.has(pcpu) ? 0 : 1,
    ];
    let best = hard.first();
    let bestRank = rank(best);
    for (const pcpu of hard) {
      const own = rank(pcpu);
      const differs = own.findIndex((value, i) => value !== bestRank[i]);
      if (differs < 0 || own[differs]! > bestRank[differs]!) continue;
      best = pcpu;
      bestRank = own;
    }
    return best;
  }

  /** Takes the one that has waited for longest from the fullest other pCPU that has one to give; true if there was one. */
  private pull(pcpu: number, now: Ns): boolean {
    const own = this.residents[pcpu].length;
    const order = [...this.residents.keys()]
      .filter(
        (other) => this.residents[other].length > Math.max(own, 1) || (own === 0 && this.residents[other].length > 0),
      )
      .sort((a, b) => this.residents[b].length - this.residents[a].length || a - b);
    for (const other of order) {
      let chosen: Pinned | null = null;
      for (const view of this.residents[other]) {
        const may = view.state === STATE_READY && view.real.hard.has(pcpu) && !this.holdsSibling(pcpu, view);
        if (may && (chosen === null || view.waitsSince < chosen.waitsSince)) chosen = view;
      }
      if (chosen === null) continue;
      this.leave(chosen, now);
      this.enter(chosen, pcpu, now, 'release');
      this.host.note('pull', chosen.real, pcpu);
      return true;
    }
    return false;
  }
}

/** The policy over any of these. */
export function balanceOver(policies: readonly SchedulerPolicy[]): SchedulerPolicy {
  return definePolicyOver({
    name: 'balance',
    summary: 'vCPUs of one VM never share the queue of a pCPU; over a base policy that does the rest',
    origin: 'Sukwong and Kim, EuroSys 2011',
    basis: 'our reconstruction',
    // What becomes of weights and caps is up to the base.
    traits: { workConserving: true, weights: null, caps: null },
    // Those that give each vCPU a place of its own by other rules have no queues to balance.
    bases: policies.filter(({ traits }) => traits.workConserving || traits.weights !== null),
    params,
    make: (host, { balance_ms }, base) => new Balance(host, balance_ms * NS_PER_MS, base),
  });
}

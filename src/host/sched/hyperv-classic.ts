/**
 * Like Hyper-V's classic scheduler: fair share with preemptive round robin of virtual processors (VPs) over all logical
 * ones; per VM a weight, a reserve and a limit; CPU groups with a common limit.
 * Invariants of queues and accounts: queue-scheduler.ts, share-scheduler.ts.
 * Source: Microsoft's "Hyper-V scheduler types" and the settings of VMs (weight, reserve and limit, CPU groups). Slices,
 * accounting and placement are not published: our reconstruction.
 */
import { UserError } from '../../core/errors.ts';
import { NS_PER_MS, NS_PER_US, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { definePolicy, type SchedulerHost, type SchedVm, type Task } from '../scheduler.ts';
import { BOUND_PERIODS, type Limit, ShareScheduler, ShareUnit, UNDER, type VmShare } from '../share-scheduler.ts';

export const hypervParams = {
  slice_ms: { kind: 'integer', min: 1, max: 1000, default: 10, meaning: 'longest slice (not published; our choice)' },
  period_ms: { kind: 'integer', min: 1, max: 1000, default: 30, meaning: 'period of the accounting (our choice)' },
  ratelimit_us: {
    kind: 'integer',
    min: 0,
    max: 500_000,
    default: 1000,
    meaning: 'a running VP is not preempted before it ran that long (our choice)',
  },
} as const satisfies ParamSet;
export type HypervParams = ValuesOf<typeof hypervParams>;

export const hypervVmParams = {
  reserve_percent: {
    kind: 'integer',
    min: 0,
    max: 100,
    default: 0,
    meaning: 'share of its VPs that the VM is promised',
  },
  limit_percent: { kind: 'integer', min: 1, max: 100, default: 100, meaning: 'share of its VPs that the VM may use' },
  cpu_group: { kind: 'integer', min: 0, max: 65_535, default: 0, meaning: 'CPU group it belongs to; 0 for none' },
  group_limit_percent: {
    kind: 'integer',
    min: 1,
    max: 100,
    default: 100,
    meaning: 'share of the host that its CPU group may use; the same for all members',
  },
} as const satisfies ParamSet;

/** Weights, reserves, limits and groups; `HyperVCore` schedules the same VPs by cores. */
export class HyperV extends ShareScheduler {
  private readonly slice: Ns;
  private readonly groups = new Map<number, Limit>();

  constructor(host: SchedulerHost, { slice_ms, period_ms, ratelimit_us }: HypervParams) {
    const period = period_ms * NS_PER_MS;
    const most = Math.max(period, slice_ms * NS_PER_MS);
    super(host, { period, bound: BOUND_PERIODS * most });
    this.slice = slice_ms * NS_PER_MS;
    this.ratelimit = ratelimit_us * NS_PER_US;
  }

  protected override makeShareUnit(task: Task, owner: VmShare): ShareUnit {
    this.admit(owner);
    return new ShareUnit(task, owner);
  }

  /** One more VP of a VM: a VM whose reserve cannot be kept does not start. */
  private admit({ vm }: VmShare): void {
    const asked = this.percent(vm, 'reserve_percent');
    if (asked === 0) return;
    const host = 100 * this.host.topology.length;
    const taken = this.shares.reduce(
      (sum, share) => sum + (share === undefined ? 0 : this.percent(share.vm, 'reserve_percent') * share.units.length),
      0,
    );
    if (taken + asked <= host) return;
    throw new UserError(
      `VM ${vm.name}: reserve_percent: found ${asked} for one more VP, but of ${host} % only ${host - taken} % are not reserved yet`,
    );
  }

  protected override sliceOf(): Ns {
    return this.slice;
  }

  /** One with credit that had to make way goes where one without runs, rather than wait. */
  protected override offer(unit: ShareUnit): void {
    super.offer(unit);
    if (unit.rank > UNDER || this.idleFor(unit) >= 0) return;
    for (const pcpu of unit.task.hard) {
      const running = this.onPcpu[pcpu];
      if (running === null || running.rank <= UNDER) continue;
      this.dequeue(unit);
      this.enqueue(unit, pcpu);
      this.host.resched(pcpu);
      return;
    }
  }

  protected override reservationOf({ vm, units }: VmShare): number {
    return (this.percent(vm, 'reserve_percent') * units.length) / 100;
  }

  protected override limitOf(share: VmShare): number {
    const percent = this.percent(share.vm, 'limit_percent');
    const own = percent === 100 ? Infinity : (percent * share.units.length) / 100;
    return Math.min(own, super.limitOf(share));
  }

  protected override addVm(share: VmShare): void {
    const { vm } = share;
    if (this.percent(vm, 'reserve_percent') > this.percent(vm, 'limit_percent')) {
      throw new UserError(`VM ${vm.name}: reserve_percent must not be above limit_percent`);
    }
    const id = this.percent(vm, 'cpu_group');
    if (id === 0) return;
    const rate = (this.percent(vm, 'group_limit_percent') * this.host.topology.length) / 100;
    let group = this.groups.get(id);
    if (group === undefined) {
      group = this.newLimit(rate);
      this.groups.set(id, group);
    }
    if (group.rate !== rate) {
      throw new UserError(`VM ${vm.name}: group_limit_percent differs from that of other VMs of CPU group ${id}`);
    }
    this.putUnder(share, group);
    share.ceiling = group;
  }

  private percent(vm: SchedVm, name: keyof typeof hypervVmParams): number {
    return vm.params[name] as number;
  }
}

export const hypervClassic = definePolicy({
  name: 'hyperv-classic',
  summary: 'like Hyper-V classic: fair share, weight, reserve, limit and CPU groups',
  origin: 'Hyper-V, default until Windows Server 2016',
  basis: 'our reconstruction',
  traits: { weights: {}, caps: {} },
  params: hypervParams,
  vmParams: hypervVmParams,
  make: (host, settings) => new HyperV(host, settings),
});

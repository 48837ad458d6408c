/**
 * A policy over a policy: the upper one shows the lower one (the base) a host and tasks of its own making.
 * Invariants: the base never sees a real task or VM, only views of them, one for each; its parameters are those of the
 * base itself, checked by it; its timers come after those of the upper policy.
 */
import { UserError } from '../core/errors.ts';
import type { Ns } from '../core/units.ts';
import { type Param, type ParamSet, type Params, parseParams, type ValuesOf } from './params.ts';
import type {
  Basis,
  Scheduler,
  SchedulerHost,
  SchedulerPolicy,
  SchedVm,
  Task,
  TaskState,
  Traits,
} from './scheduler.ts';
import type { CpuSet } from './topology.ts';

/** A VM as the base sees it. */
export class VmView implements SchedVm {
  readonly real: SchedVm;
  readonly id: number;
  readonly params: Params;
  readonly tasks: TaskView[] = [];

  /** @param id as the base is to know it, `real.id` unless told; @param values those for the base, `real.params` unless told */
  constructor(real: SchedVm, base: SchedulerPolicy, id = real.id, values = real.params) {
    this.real = real;
    this.id = id;
    this.params = parseParams(`VM ${real.name} under ${base.name}`, base.vmParams, values) as Params;
  }

  get name(): string {
    return this.real.name;
  }

  get weight(): number {
    return this.real.weight;
  }

  get capPercent(): number {
    return this.real.capPercent;
  }
}

/** What the base takes for a task: one or several real ones. The upper policy says where it may run and in which state it is. */
export abstract class TaskView implements Task {
  readonly id: number;
  readonly vm: VmView;
  readonly index: number;
  readonly params: Params;
  abstract readonly members: readonly Task[];
  abstract readonly hard: CpuSet;
  abstract readonly soft: CpuSet | null;
  abstract readonly state: TaskState;
  abstract readonly since: Ns;
  abstract readonly pcpu: number;
  abstract readonly doing: number;

  /** @param first the real task whose parameters count */
  constructor(id: number, vm: VmView, first: Task, base: SchedulerPolicy) {
    this.id = id;
    this.vm = vm;
    this.index = vm.tasks.length;
    const owner = `vCPU ${vm.name}.${first.index} under ${base.name}`;
    this.params = parseParams(owner, base.vcpuParams, first.params) as Params;
    vm.tasks.push(this);
  }
}

/** A view of one real task, which is what that one is and does; where, and where it may run, the upper policy says. */
export abstract class SingleView extends TaskView {
  readonly members: readonly [Task];
  readonly real: Task;

  constructor(id: number, vm: VmView, real: Task, base: SchedulerPolicy) {
    super(id, vm, real, base);
    this.real = real;
    this.members = [real];
  }

  get state(): TaskState {
    return this.real.state;
  }

  get since(): Ns {
    return this.real.since;
  }

  get doing(): number {
    return this.real.doing;
  }
}

/** What the upper policy translates for the base; all the rest is passed on. */
export interface BelowHost {
  readonly topology: SchedulerHost['topology'];
  /** So many timers are the upper policy's own; those of the base follow. */
  readonly timers: number;
  current(pcpu: number): TaskView | null;
  resched(pcpu: number): void;
  settle(pcpu: number): void;
  /** The real pCPU that an incident is noted for. */
  placeOf(pcpu: number): number;
}

/** The host that a base gets to see. */
export function hostBelow(host: SchedulerHost, below: BelowHost): SchedulerHost {
  return {
    topology: below.topology,
    random: host.random,
    current: (pcpu) => below.current(pcpu),
    resched: (pcpu) => below.resched(pcpu),
    settle: (pcpu) => below.settle(pcpu),
    hold: (view, why) => {
      for (const task of (view as TaskView).members) host.hold(task, why);
    },
    release: (view, why) => {
      for (const task of (view as TaskView).members) host.release(task, why);
    },
    arm: (timer, at) => host.arm(timer + below.timers, at),
    disarm: (timer) => host.disarm(timer + below.timers),
    note: (kind, view, pcpu) => host.note(kind, (view as TaskView).members[0]!, below.placeOf(pcpu)),
  };
}

/** A base that was chosen: its policy, and how to make it for a host. */
export interface Base {
  readonly policy: SchedulerPolicy;
  make(host: SchedulerHost): Scheduler;
}

/** As `definePolicy`, for a policy over one of `bases`: parameter `base` names it, and its own parameters may be given as well. */
export function definePolicyOver<const P extends ParamSet>(description: {
  readonly name: string;
  readonly summary: string;
  readonly origin: string;
  readonly basis: Basis;
  readonly traits: Traits;
  readonly bases: readonly SchedulerPolicy[];
  readonly params: P;
  readonly make: (host: SchedulerHost, params: ValuesOf<P>, base: Base) => Scheduler;
}): SchedulerPolicy {
  const { name, summary, origin, basis, traits, bases, make } = description;
  const baseParam: Param = {
    kind: 'choice',
    of: bases.map((policy) => policy.name),
    default: bases.some((policy) => policy.name === 'credit') ? 'credit' : bases[0]!.name,
    meaning: 'the policy below; its own parameters may be given beside this one',
  };
  const own: ParamSet = { base: baseParam, ...description.params };
  return {
    name,
    summary,
    origin,
    basis,
    traits,
    params: { ...mergedParams(bases, 'params'), ...own },
    vmParams: mergedParams(bases, 'vmParams'),
    vcpuParams: mergedParams(bases, 'vcpuParams'),
    make: (host, values = {}) => {
      const given = Object.entries(values).filter(([, value]) => value !== undefined);
      const mine = Object.fromEntries(given.filter(([key]) => Object.hasOwn(own, key)));
      const { base: chosen, ...settings } = parseParams(`scheduler ${name}`, own, mine);
      const policy = bases.find((entry) => entry.name === chosen);
      if (policy === undefined) throw new UserError(`scheduler ${name}: unknown base ${String(chosen)}`);
      const below = Object.fromEntries(given.filter(([key]) => !Object.hasOwn(own, key)));
      return make(host, settings as ValuesOf<P>, { policy, make: (lower) => policy.make(lower, below) });
    },
  };
}

/** Parameters of all bases together, none with a default: the base that is chosen fills in its own and checks them. */
export function mergedParams(bases: readonly SchedulerPolicy[], set: 'params' | 'vmParams' | 'vcpuParams'): ParamSet {
  const merged: Record<string, Param> = {};
  for (const policy of bases) {
    for (const [key, param] of Object.entries(policy[set])) {
      const before = merged[key];
      const meaning = `${before === undefined ? '' : `${before.meaning}; `}${policy.name}: ${param.meaning}`;
      merged[key] = { ...widened(before, param), meaning };
    }
  }
  return merged;
}

/** A parameter that allows what either does. Where the kinds differ the later one counts. */
function widened(a: Param | undefined, b: Param): Param {
  const { meaning } = b;
  switch (b.kind) {
    case 'text':
      return { kind: 'text', pattern: b.pattern, form: b.form, meaning };
    case 'flag':
      return { kind: 'flag', meaning };
    case 'choice': {
      const others = a?.kind === 'choice' ? a.of : [];
      return { kind: 'choice', of: [...new Set([...others, ...b.of])], meaning };
    }
    case 'integer': {
      const least = Math.min(b.min, b.also ?? b.min);
      const most = b.max === undefined ? undefined : Math.max(b.max, b.also ?? b.max);
      if (a?.kind !== 'integer')
        return { kind: 'integer', min: least, ...(most === undefined ? {} : { max: most }), meaning };
      const max = most === undefined || a.max === undefined ? undefined : Math.max(a.max, most);
      return { kind: 'integer', min: Math.min(a.min, least), ...(max === undefined ? {} : { max }), meaning };
    }
  }
}

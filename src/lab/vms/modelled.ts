/**
 * A VM without a guest: each vCPU is a model of what it wants of the CPUs. It may come, change and go while the run lasts.
 * Invariant: a vCPU's demand draws from a stream named after VM and vCPU, so no other VM changes what it does.
 */
import type { Digest } from '../../core/digest.ts';
import { UserError } from '../../core/errors.ts';
import { Streams } from '../../core/rng.ts';
import { ACCOUNT_GUEST } from '../../core/runnable.ts';
import type { Ns } from '../../core/units.ts';
import type { RunOutcome } from '../../host/dispatch.ts';
import { type Demand, DemandVm, ModelledVcpu } from '../../host/modelled/demand.ts';
import { slownessOf } from '../../host/modelled/far-memory.ts';
import { demands } from '../../host/modelled/index.ts';
import { STATE_ENDED } from '../../host/scheduler.ts';
import type { HostTask, HostVm } from '../../host/task.ts';
import type { ResolvedChange, ResolvedDemand, ResolvedLoad, ResolvedVm } from '../plan.ts';
import type { VmOutcome, VmRecord } from '../rows.ts';
import type { Scheduled } from '../scheduling/collect.ts';
import { addHostVm, type BuiltVm, outcomeAtEnd, runnableFor, type Site, taskSpec } from './kind.ts';
import { vcpuRecord } from './vcpu-record.ts';

interface Member {
  readonly vcpu: ModelledVcpu;
  readonly task: HostTask;
}

/** The demand of that name. `owner` names both its random stream and who asks, in messages. */
export function makeDemand({ model, params }: ResolvedDemand, streams: Streams, owner: string, vm?: DemandVm): Demand {
  const found = demands.find(({ name }) => name === model);
  if (found === undefined) throw new UserError(`${owner}: unknown demand ${model}`);
  return found.make(params, streams.stream(owner), vm);
}

export class ModelledWorldVm implements BuiltVm {
  private readonly site: Site;
  private readonly plan: ResolvedVm;
  private readonly load: ResolvedLoad;
  private readonly streams: Streams;
  private readonly hostVm: HostVm;
  /** What its vCPUs have in common, such as locks. */
  private readonly shared: DemandVm;
  /** All it ever had; those that were taken away have ended. */
  private readonly members: Member[] = [];
  /** Of all its vCPUs; see ModelledVcpu. */
  private readonly slowness: readonly number[] | null;
  private outcome: readonly [VmOutcome, string] | null = null;
  private endedAt: Ns = 0;

  constructor(site: Site, plan: ResolvedVm, load: ResolvedLoad) {
    this.site = site;
    this.plan = plan;
    this.load = load;
    this.streams = new Streams(site.run.seed);
    this.hostVm = addHostVm(site, plan);
    this.shared = new DemandVm(plan.vcpus);
    const { memoryPlace } = load;
    this.slowness = memoryPlace === undefined ? null : slownessOf(memoryPlace, site.dispatcher.topology);
    for (let number = 0; number < plan.vcpus; number++) this.addVcpu();
  }

  get name(): string {
    return this.plan.name;
  }

  get tasks(): readonly Scheduled[] {
    return this.members.map(({ vcpu, task }) => ({ task, worker: vcpu }));
  }

  start(): void {
    const { engine } = this.site;
    const { startNs, stopNs, changes } = this.load;
    if (startNs === 0) this.come();
    else engine.at(startNs, () => this.come());
    for (const change of changes) engine.at(change.atNs, () => this.change(change));
    if (stopNs !== null) engine.at(stopNs, () => this.go());
  }

  finish(outcome: RunOutcome): void {
    this.outcome ??= outcomeAtEnd(outcome, this.hostVm.tasks);
    if (this.endedAt === 0) this.endedAt = this.site.dispatcher.now;
  }

  addTo(digest: Digest): void {
    digest.text(this.outcome?.[0] ?? '');
    digest.integer(this.endedAt);
    for (const { vcpu, task } of this.members) {
      digest.integer(vcpu.completed);
      for (const cycles of task.spent) digest.integer(cycles);
    }
  }

  record(): VmRecord {
    const [outcome, detail] = this.outcome ?? outcomeAtEnd('limit', []);
    return {
      name: this.plan.name,
      outcome,
      detail,
      exitCode: null,
      console: '',
      instructions: 0,
      guestCycles: this.members.reduce((sum, { task }) => sum + task.spent[ACCOUNT_GUEST]!, 0),
      translatedCycles: 0,
      walkCycles: 0,
      exitCycles: 0,
      vmmCycles: 0,
      workUnits: this.members.reduce((sum, { vcpu }) => sum + vcpu.completed, 0),
      elapsedNs: Math.max(0, this.endedAt - this.load.startNs),
      exits: [],
      divergences: [],
      sections: [],
      vcpus: this.members.map(({ task }) => vcpuRecord(task.index, task)),
      memory: { guestPages: 0, residentPages: 0, tablePages: 0 },
    };
  }

  private addVcpu(): HostTask {
    const { engine, dispatcher, firstPcpu } = this.site;
    const number = this.members.length;
    const wanted = this.load.demands[number % this.load.demands.length]!;
    const demand = makeDemand(wanted, this.streams, `VM ${this.plan.name}, vCPU ${number}`, this.shared);
    const vcpu = new ModelledVcpu(engine, demand);
    vcpu.slowness = this.slowness;
    vcpu.onEnd = () => this.vcpuEnded();
    const own = firstPcpu < 0 ? -1 : firstPcpu + number;
    const task = dispatcher.attach(
      this.hostVm,
      runnableFor(this.site, this.plan, vcpu),
      taskSpec(this.plan, number, own),
    );
    this.members.push({ vcpu, task });
    return task;
  }

  private come(): void {
    for (const { task } of this.members) this.site.dispatcher.start(task);
  }

  private change({ vcpus, weight, capPercent }: ResolvedChange): void {
    if (this.outcome !== null) return;
    const { dispatcher } = this.site;
    if (weight !== undefined || capPercent !== undefined) {
      dispatcher.change(this.hostVm, {
        ...(weight === undefined ? {} : { weight }),
        ...(capPercent === undefined ? {} : { capPercent }),
      });
    }
    if (vcpus === undefined) return;
    const present = this.members.filter(({ vcpu, task }) => !vcpu.hasEnded && task.state !== STATE_ENDED);
    for (const { vcpu, task } of present.slice(vcpus)) {
      vcpu.hasEnded = true;
      dispatcher.end(task);
    }
    for (let count = present.length; count < vcpus; count++) dispatcher.start(this.addVcpu());
  }

  private go(): void {
    if (this.outcome !== null) return;
    for (const { task } of this.members) this.site.dispatcher.end(task);
    this.end();
  }

  /** A vCPU has done all it wanted; the VM ends with the last one. */
  private vcpuEnded(): void {
    if (this.outcome === null && this.members.every(({ vcpu }) => vcpu.hasEnded)) this.end();
  }

  private end(): void {
    this.outcome = ['completed', ''];
    this.endedAt = Math.max(this.site.engine.now, this.site.dispatcher.now);
    this.site.endOfVm();
  }
}

/** A small host for scheduler tests: a few lines say who competes, and what came of it can be asked for. */
import { Engine } from '../../src/core/engine.ts';
import { Streams } from '../../src/core/rng.ts';
import type { Runnable } from '../../src/core/runnable.ts';
import { Trace, type TraceEvent } from '../../src/core/trace.ts';
import { NS_PER_MS, type Ns } from '../../src/core/units.ts';
import type { CacheRefill } from '../../src/host/cache-refill.ts';
import { Dispatcher, type RunOutcome, type TaskSpec, type VmSpec } from '../../src/host/dispatch.ts';
import { type DemandModel, DemandVm, ModelledVcpu } from '../../src/host/modelled/demand.ts';
import type { Monitor } from '../../src/host/monitor.ts';
import type { Params } from '../../src/host/params.ts';
import { type SchedulerPolicy, STATE_NEW, STATE_RUNNING } from '../../src/host/scheduler.ts';
import type { HostTask } from '../../src/host/task.ts';
import { makeTopology, type TopologySpec } from '../../src/host/topology.ts';

export interface LabVm extends Partial<VmSpec> {
  readonly demand: DemandModel;
  readonly with?: Params;
  readonly vcpus?: number;
  readonly task?: TaskSpec;
  /** When it is started; default 0. */
  readonly startMs?: number;
}

export interface LabSpec {
  readonly monitor?: Monitor;
  readonly policy: SchedulerPolicy;
  readonly params?: Params;
  readonly pcpus?: number;
  readonly topology?: TopologySpec;
  readonly hz?: number;
  readonly quantumNs?: Ns;
  readonly switchCycles?: number;
  readonly cacheRefill?: CacheRefill;
  readonly seed?: number;
  readonly keepMax?: number;
  readonly vms: readonly LabVm[];
}

export class Lab {
  readonly engine = new Engine();
  readonly trace: Trace;
  readonly streams: Streams;
  readonly host: Dispatcher;
  readonly events: TraceEvent[] = [];
  /** The modelled vCPUs of `spec.vms`, by task id. */
  readonly vcpus: ModelledVcpu[] = [];

  constructor(spec: LabSpec) {
    this.trace = new Trace({ keepMax: spec.keepMax ?? 0 });
    this.streams = new Streams(spec.seed ?? 1);
    const size = spec.topology ?? { sockets: 1, coresPerSocket: spec.pcpus ?? 1, threadsPerCore: 1 };
    this.host = new Dispatcher(
      {
        topology: makeTopology(size),
        hz: spec.hz ?? 1_000_000_000,
        ...(spec.quantumNs === undefined ? {} : { quantum: spec.quantumNs }),
        switchCycles: spec.switchCycles ?? 0,
        ...(spec.cacheRefill === undefined ? {} : { cacheRefill: spec.cacheRefill }),
      },
      {
        engine: this.engine,
        trace: this.trace,
        random: this.streams.stream('scheduler'),
        policy: spec.policy,
        observer: spec.monitor ?? null,
        ...(spec.params === undefined ? {} : { policyParams: spec.params }),
      },
    );
    for (const [i, { demand, with: params = {}, vcpus = 1, task = {}, startMs = 0, ...vm }] of spec.vms.entries()) {
      const owner = this.host.addVm({ name: `vm${i}`, ...vm });
      const place = new DemandVm(vcpus);
      for (let k = 0; k < vcpus; k++) {
        const random = this.streams.stream(`vm${i}.${k}`);
        const vcpu = new ModelledVcpu(this.engine, demand.make(params, random, place));
        this.vcpus.push(vcpu);
        this.add(owner, vcpu, task, startMs);
      }
    }
  }

  add(vm: Parameters<Dispatcher['attach']>[0], runnable: Runnable, spec: TaskSpec = {}, startMs = 0): HostTask {
    const task = this.host.attach(vm, runnable, spec);
    if (startMs === 0) this.host.start(task);
    else this.engine.at(startMs * NS_PER_MS, () => task.state === STATE_NEW && this.host.start(task));
    return task;
  }

  runMs(ms: number): RunOutcome {
    return this.host.runUntil(ms * NS_PER_MS);
  }

  /** Running time of each task over the time of the run. */
  shares(): number[] {
    return this.host.tasks.map((task) => task.times[STATE_RUNNING] / this.host.now);
  }

  note(kind: string): number {
    return this.host.notes.get(kind) ?? 0;
  }
}

/** Wake-up latencies in ms, ascending. */
export function latenciesMs(task: HostTask): number[] {
  return task.wakeLatencies.map((ns) => ns / NS_PER_MS).toSorted((a, b) => a - b);
}

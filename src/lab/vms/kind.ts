/**
 * A kind of VM by what its vCPUs are: one builder each. The rest of the lab knows only this interface.
 * Invariant: a VM is built, started, run by the dispatcher, finished, and only then read.
 */
import type { Digest } from '../../core/digest.ts';
import type { Engine } from '../../core/engine.ts';
import type { Runnable } from '../../core/runnable.ts';
import type { Dispatcher, RunOutcome, TaskSpec } from '../../host/dispatch.ts';
import { HaltPolling } from '../../host/halt-polling.ts';
import type { HypervisorKind } from '../../host/kinds/kind.ts';
import { POOL_PARAM } from '../../host/pools.ts';
import { STATE_BLOCKED, STATE_ENDED, STATE_NEW, type Task } from '../../host/scheduler.ts';
import type { HostVm } from '../../host/task.ts';
import type { PhysicalMachine } from '../../vmm/machine.ts';
import type { ResolvedRun, ResolvedVm } from '../plan.ts';
import type { VmRecord } from '../rows.ts';
import type { ScheduledVm } from '../scheduling/collect.ts';

/** What a VM is built into. */
export interface Site {
  readonly run: ResolvedRun;
  readonly engine: Engine;
  readonly machine: PhysicalMachine;
  readonly dispatcher: Dispatcher;
  readonly kind: HypervisorKind;
  /** Number of the VM in the run, from 0. */
  readonly index: number;
  /** The first pCPU that is its own, or -1. */
  readonly firstPcpu: number;
  /** To be called once, when it has ended by itself or gone. */
  readonly endOfVm: () => void;
}

export interface BuiltVm extends ScheduledVm {
  /** Makes its vCPUs runnable, now or when their time comes. */
  start(): void;
  /** The run is over: a VM that has not ended gets its outcome. */
  finish(outcome: RunOutcome): void;
  record(): VmRecord;
  /** Adds what distinguishes its history beyond the trace. */
  addTo(digest: Digest): void;
}

/** The host's record of a VM, with its share and what it asks of the scheduler. */
export function addHostVm({ dispatcher }: Site, { name, weight, capPercent, scheduling, pool }: ResolvedVm): HostVm {
  const params = { ...scheduling?.params, ...(pool === undefined ? {} : { [POOL_PARAM]: pool }) };
  return dispatcher.addVm({
    name,
    weight,
    capPercent,
    params,
  });
}

/** What the dispatcher runs for a vCPU: itself, or with polling before it blocks. */
export function runnableFor({ dispatcher }: Site, { haltPolling }: ResolvedVm, vcpu: Runnable): Runnable {
  if (haltPolling === undefined) return vcpu;
  return new HaltPolling(vcpu, { ...haltPolling }, (pcpu) => dispatcher.waits(pcpu.id));
}

/** Where vCPU `number` may run, and its parameters. `own`: the pCPU that is its own, or -1. */
export function taskSpec({ scheduling }: ResolvedVm, number: number, own: number): TaskSpec {
  if (own >= 0) return { hard: [own], ...paramsOf(scheduling, number) };
  return { ...elementOf(scheduling?.affinity ?? {}, number), ...paramsOf(scheduling, number) };
}

function paramsOf(scheduling: ResolvedVm['scheduling'], number: number): Pick<TaskSpec, 'params'> {
  return scheduling === undefined ? {} : { params: elementOf(scheduling.vcpuParams, number) };
}

function elementOf<T extends object>(list: T | readonly T[], number: number): T {
  return Array.isArray(list) ? (list[number] as T) : (list as T);
}

/** The end of a run in words, for a VM that had not ended. */
export function outcomeAtEnd(outcome: RunOutcome, tasks: readonly Task[]): readonly ['stalled' | 'time-limit', string] {
  if (outcome !== 'stuck') return ['time-limit', ''];
  const waits = tasks.some(({ state }) => state !== STATE_BLOCKED && state !== STATE_ENDED && state !== STATE_NEW);
  if (!waits) return ['stalled', 'it waits, and no event can ever wake it'];
  return ['stalled', 'it could run, but the scheduler leaves the physical CPUs idle and asks for no timer'];
}

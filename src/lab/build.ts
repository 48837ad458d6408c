/**
 * The only file that wires objects: from the plain data of a run to a world, and from the finished world to a record.
 *
 *   ResolvedRun ── buildWorld ──► World ── runUntil ──► ledgers ── recordOf ──► RunRecord
 *
 * Invariant: two calls share nothing; a record depends on the run alone.
 */
import { Engine } from '../core/engine.ts';
import { Bug, UserError } from '../core/errors.ts';
import { Streams } from '../core/rng.ts';
import { ACCOUNT_THREAD } from '../core/runnable.ts';
import { Trace } from '../core/trace.ts';
import { PAGE_BYTES } from '../core/units.ts';
import { Dispatcher, type RunOutcome } from '../host/dispatch.ts';
import { findKind } from '../host/kinds/index.ts';
import { type HypervisorKind, isRefused, type Resources, refusalText } from '../host/kinds/kind.ts';
import { ModelledVcpu } from '../host/modelled/demand.ts';
import { Monitor } from '../host/monitor.ts';
import { type DispatchObserver, together } from '../host/observer.ts';
import { poolsPolicy } from '../host/pools.ts';
import type { Recorder } from '../host/replay/recorder.ts';
import type { Score } from '../host/replay/replayed.ts';
import { schedulers } from '../host/sched/index.ts';
import type { SchedulerPolicy } from '../host/scheduler.ts';
import type { HostTask } from '../host/task.ts';
import { type Timeline, TimelineRecorder, type TimelineWindow } from '../host/timeline.ts';
import { makeTopology } from '../host/topology.ts';
import type { MachinePreset } from '../vmm/costs.ts';
import { type EngineName, PhysicalMachine } from '../vmm/machine.ts';
import { findPreset } from '../vmm/presets/index.ts';
import { tableFrames } from '../vmm/table-frames.ts';
import { isBare, type PagingName, type TechniqueName } from '../vmm/technique.ts';
import type { VmSpec } from '../vmm/vm.ts';
import { collect } from './collect.ts';
import { PolicyMistake } from './own-guard.ts';
import { lineIn, loadPolicy } from './own-policy.ts';
import type { ResolvedHost, ResolvedReplay, ResolvedRun, ResolvedVm } from './plan.ts';
import { Recordings } from './recordings.ts';
import type { RunRecord } from './rows.ts';
import { auditAll, ExecutedWorldVm, type WorldVm } from './vms/executed.ts';
import type { BuiltVm, Site } from './vms/kind.ts';
import { ModelledWorldVm, makeDemand } from './vms/modelled.ts';
import { ReplayedWorldVm } from './vms/replayed.ts';

export interface World {
  readonly run: ResolvedRun;
  readonly engine: Engine;
  readonly trace: Trace;
  readonly machine: PhysicalMachine;
  readonly dispatcher: Dispatcher;
  /** Where the scenario asks for metrics of scheduling. */
  readonly monitor: Monitor | null;
  /** Those with guests. */
  readonly vms: readonly WorldVm[];
  /** All, in the order of the plan. */
  readonly all: readonly BuiltVm[];
  /** By VM: translations found that led out of it. Null: nobody looks. */
  readonly escapes: Map<string, number> | null;
}

export interface BuildOptions {
  /** Takes the console of all VMs as it comes. */
  readonly onConsole?: (byte: number) => void;
  /** Who executes guest code; changes no result. The compiler unless told. */
  readonly engine?: EngineName;
  /** Watches what the dispatcher does. */
  readonly observer?: DispatchObserver;
  /** More about the first VM than a scenario can say: how it is loaded, its disks, what is typed. */
  readonly guest?: Pick<VmSpec, 'load' | 'disks' | 'serialInput' | 'keyboardInput' | 'portLogs'>;
  /** Writes down what the only vCPU does. */
  readonly recorder?: Recorder;
  /** Where recordings come from; their files unless told. */
  readonly scores?: (replay: ResolvedReplay) => Score;
}

/** Segments of one run that a chart can show. */
const GANTT_SEGMENTS_MAX = 5_000;

/** Carries out a run for its timeline only, of the whole run unless told, and answers that and the fingerprint of the run's history. */
export function timelineOf(
  run: ResolvedRun,
  options: { readonly engine?: EngineName } & Partial<TimelineWindow> & Pick<TimelineWindow, 'keepMax'>,
): { readonly timeline: Timeline; readonly digest: string } {
  const { keepMax, fromNs = 0, toNs = Infinity, ...build } = options;
  const recorder = new TimelineRecorder({ fromNs, toNs, keepMax });
  const world = buildWorld(run, { ...build, observer: recorder });
  const outcome = finishWorld(world);
  return { timeline: recorder.finish(world.dispatcher), digest: collect(world, outcome).digest };
}

/** Carries out one run. */
export function runWorld(run: ResolvedRun, options: BuildOptions = {}): RunRecord {
  try {
    const { timeline } = run;
    const recorder = timeline === undefined ? null : new TimelineRecorder({ ...timeline, keepMax: GANTT_SEGMENTS_MAX });
    const world = buildWorld(run, recorder === null ? options : { ...options, observer: recorder });
    const outcome = finishWorld(world);
    const record = collect(world, outcome);
    return recorder === null ? record : { ...record, timeline: recorder.finish(world.dispatcher) };
  } catch (error) {
    // Under a scheduler of the user, what goes wrong while it is asked is most likely its own fault.
    const { own } = run.host.scheduler;
    if (own === undefined || !(error instanceof Error) || error instanceof UserError) throw error;
    const kind = error instanceof PolicyMistake || error instanceof Bug ? '' : `${error.name}: `;
    throw new UserError(`${own.shown}: ${kind}${error.message}${lineIn(error, own.file)}`);
  }
}

/** Makes everything that a run needs, and starts its VMs; no time has passed yet. */
export function buildWorld(run: ResolvedRun, options: BuildOptions = {}): World {
  const { host } = run;
  const preset = findPreset(host.preset);
  const engine = new Engine();
  const trace = new Trace();
  const machine = machineFor(run, preset, options.engine);
  // The bare machine has no hypervisor: nobody switches contexts, and what it touches is the hardware.
  const allBare = run.vms.every((vm) => isBare(vm.technique));
  const kind = findKind(allBare ? undefined : host.hypervisor);
  const pools = kind.policy === null && !allBare ? poolsOf(run) : null;
  const chosen = pools ?? chosenPolicy(host.scheduler);
  const policy = kind.policy ?? chosen;
  if (policy === undefined) throw new UserError(`unknown scheduler ${host.scheduler.policy}`);
  const switchCycles = allBare ? 0 : kind.switchCycles(preset);
  const policyParams = kind.policy === null && pools === null ? host.scheduler.params : {};
  const topology = makeTopology(host.topology ?? { sockets: 1, coresPerSocket: host.pcpus, threadsPerCore: 1 });
  const monitor = run.scheduling === true ? new Monitor(topology) : null;
  const dispatcher = new Dispatcher(
    {
      topology,
      hz: host.frequencyHz,
      quantum: host.quantumNs,
      switchCycles,
      ...(host.cacheRefill === undefined || allBare ? {} : { cacheRefill: host.cacheRefill }),
    },
    {
      engine,
      trace,
      random: new Streams(run.seed).stream('scheduler'),
      policy,
      policyParams,
      observer: together([monitor, options.observer ?? null].filter((one) => one !== null)),
    },
  );
  const escapes = run.compare === 'state' ? new Map<string, number>() : null;
  const world = { run, engine, trace, machine, dispatcher, monitor, escapes };
  const places = admitAll(run, kind);
  const threads = allBare ? [] : startThreads(world, kind);
  let left = run.vms.length;
  // When the last VM has ended nobody is left to share the host with.
  const endOfVm = (): void => {
    left--;
    if (left > 0 || threads.length === 0) return;
    engine.at(engine.now, () => {
      for (const task of threads) dispatcher.end(task);
    });
  };
  const vms: ExecutedWorldVm[] = [];
  const recordings = new Recordings();
  const { recorder, scores = ({ file, shown }) => recordings.score(file, shown) } = options;
  const all = run.vms.map((vm, index): BuiltVm => {
    const site: Site = { run, engine, machine, dispatcher, kind, index, firstPcpu: places[index]!, endOfVm };
    if (vm.load !== undefined) return new ModelledWorldVm(site, vm, vm.load);
    if (vm.replay !== undefined) return new ReplayedWorldVm(site, vm, vm.replay, scores(vm.replay));
    const built = new ExecutedWorldVm(site, vm, extrasFor(index, options), escapes, recorder);
    vms.push(built);
    return built;
  });
  if (escapes !== null) auditAll(machine, vms, escapes);
  for (const vm of all) vm.start();
  return { ...world, vms, all };
}

/** The policy of a host with pools; null when it has none. */
function poolsOf({ host, seed }: ResolvedRun): SchedulerPolicy | null {
  const streams = new Streams(seed);
  const [first, ...more] = (host.pools ?? []).map(({ name, pcpus, scheduler }) => {
    const policy = chosenPolicy(scheduler);
    if (policy === undefined) throw new UserError(`pool ${name}: unknown scheduler ${scheduler.policy}`);
    return { name, pcpus, policy, params: scheduler.params, random: streams.stream(`scheduler of pool ${name}`) };
  });
  return first === undefined ? null : poolsPolicy([first, ...more]);
}

function chosenPolicy({ policy, own }: ResolvedHost['scheduler']): SchedulerPolicy | undefined {
  if (own !== undefined) return loadPolicy(own.file, own.exportName, own.shown);
  return schedulers.find(({ name }) => name === policy);
}

/** The machine under the guests; where there are none, next to nothing. */
function machineFor({ host, vms }: ResolvedRun, preset: MachinePreset, engine?: EngineName): PhysicalMachine {
  const executed = vms.filter((vm) => vm.load === undefined && vm.replay === undefined);
  if (executed.length === 0) return new PhysicalMachine(preset, 1, 1, 1, 'interpreter');
  const vcpus = executed.reduce((sum, vm) => sum + vm.vcpus, 0);
  return new PhysicalMachine(preset, host.memoryBytes / PAGE_BYTES, host.pcpus, vcpus, engine);
}

/** What a caller adds to the first VM, and to all. */
function extrasFor(index: number, { guest, onConsole }: BuildOptions): Partial<VmSpec> {
  return { ...(index === 0 ? guest : {}), ...(onConsole === undefined ? {} : { onConsole }) };
}

/** First pCPU of each VM, or -1. @throws UserError for the first VM that does not fit */
function admitAll({ host, vms }: ResolvedRun, kind: HypervisorKind): number[] {
  const { pcpus, memoryBytes, ioUnits = pcpus } = host;
  return kind.admit({ pcpus, memoryBytes, ioUnits }, vms.map(resourcesOf)).map((admission, index) => {
    if (isRefused(admission)) throw new UserError(`VM ${vms[index]!.name}: ${refusalText(admission)}`);
    return admission.firstPcpu;
  });
}

function resourcesOf({ technique, paging, memoryBytes, vcpus, load, replay }: ResolvedVm): Resources {
  if (load !== undefined || replay !== undefined) return { pcpus: vcpus, memoryBytes: 0, ioUnits: 0 };
  const frames = tableFrames(technique as TechniqueName, paging as PagingName, memoryBytes / PAGE_BYTES, vcpus);
  return { pcpus: vcpus, memoryBytes: memoryBytes + frames * PAGE_BYTES, ioUnits: 1 };
}

/** The processes of the host OS and the threads of the hypervisor, each a task beside the vCPUs. */
function startThreads({ run, engine, dispatcher }: Omit<World, 'vms' | 'all'>, kind: HypervisorKind): HostTask[] {
  const streams = new Streams(run.seed);
  const { processes = [], threads = [] } = run.host;
  const all = [
    ...processes.map((thread) => ({ thread, owner: `process ${thread.name}`, allowed: kind.hasProcesses })),
    ...threads.map((thread) => ({ thread, owner: `thread ${thread.name}`, allowed: !kind.hasProcesses })),
  ];
  return all.map(({ thread, owner, allowed }) => {
    if (!allowed) throw new UserError(`${owner}: hypervisor ${kind.name} has no host OS to run it`);
    const runnable = new ModelledVcpu(engine, makeDemand(thread, streams, owner), ACCOUNT_THREAD);
    const task = dispatcher.attach(dispatcher.addVm({ name: thread.name, weight: thread.weight }), runnable);
    dispatcher.start(task);
    return task;
  });
}

/** Runs a world to its end or its bound; afterwards every VM has an outcome. `before`: called before VMs are told. */
export function finishWorld(world: World, before?: (outcome: RunOutcome) => void): RunOutcome {
  const outcome = world.dispatcher.runUntil(world.run.durationNs);
  before?.(outcome);
  for (const vm of world.all) vm.finish(outcome);
  world.monitor?.finish();
  return outcome;
}

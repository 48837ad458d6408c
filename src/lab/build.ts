/**
 * The only file that wires objects: from the plain data of a run to a world, and from the finished world to a record.
 *
 *   ResolvedRun ── buildWorld ──► World ── runUntil ──► ledgers ── recordOf ──► RunRecord
 *
 * Invariant: two calls share nothing; a record depends on the run alone.
 */
import { Engine } from '../core/engine.ts';
import { UserError } from '../core/errors.ts';
import { Streams } from '../core/rng.ts';
import { ACCOUNT_THREAD } from '../core/runnable.ts';
import { Trace } from '../core/trace.ts';
import { PAGE_BYTES } from '../core/units.ts';
import { Dispatcher, type RunOutcome } from '../host/dispatch.ts';
import { findKind } from '../host/kinds/index.ts';
import { type HypervisorKind, isRefused, type Resources, refusalText } from '../host/kinds/kind.ts';
import { ModelledVcpu } from '../host/modelled/demand.ts';
import { demands } from '../host/modelled/index.ts';
import { schedulers } from '../host/sched/index.ts';
import type { HostTask } from '../host/task.ts';
import { makeTopology } from '../host/topology.ts';
import { findEscapes } from '../vmm/audit.ts';
import { type EngineName, PhysicalMachine } from '../vmm/machine.ts';
import { findPreset } from '../vmm/presets/index.ts';
import { tableFrames } from '../vmm/table-frames.ts';
import { isBare, type PagingName, type TechniqueName } from '../vmm/technique.ts';
import { findTechnique } from '../vmm/techniques/index.ts';
import { ExecutedVcpu } from '../vmm/vcpu.ts';
import { ExecutedVm, type VmSpec } from '../vmm/vm.ts';
import { collect } from './collect.ts';
import { guestFor } from './guests.ts';
import type { ResolvedRun, ResolvedVm } from './plan.ts';
import type { RunRecord } from './rows.ts';

/** A VM with its vCPUs, each with the dispatcher's task for it. */
export interface WorldVm {
  readonly vm: ExecutedVm;
  readonly vcpus: readonly { readonly vcpu: ExecutedVcpu; readonly task: HostTask }[];
}

export interface World {
  readonly run: ResolvedRun;
  readonly engine: Engine;
  readonly trace: Trace;
  readonly machine: PhysicalMachine;
  readonly dispatcher: Dispatcher;
  readonly vms: readonly WorldVm[];
  /** By VM: translations found that led out of it. Null: nobody looks. */
  readonly escapes: Map<string, number> | null;
}

export interface BuildOptions {
  /** Takes the console of all VMs as it comes. */
  readonly onConsole?: (byte: number) => void;
  /** Who executes guest code; changes no result. The compiler unless told. */
  readonly engine?: EngineName;
  /** More about the first VM than a scenario can say: how it is loaded, its disks, what is typed. */
  readonly guest?: Pick<VmSpec, 'load' | 'disks' | 'serialInput' | 'keyboardInput' | 'portLogs'>;
}

/** Carries out one run. */
export function runWorld(run: ResolvedRun, options: BuildOptions = {}): RunRecord {
  const world = buildWorld(run, options);
  const outcome = finishWorld(world);
  return collect(world, outcome);
}

/** Makes everything that a run needs, and starts its VMs; no time has passed yet. */
export function buildWorld(run: ResolvedRun, options: BuildOptions = {}): World {
  const { host } = run;
  const preset = findPreset(host.preset);
  const engine = new Engine();
  const trace = new Trace();
  const vcpus = run.vms.reduce((sum, vm) => sum + vm.vcpus, 0);
  const machine = new PhysicalMachine(preset, host.memoryBytes / PAGE_BYTES, host.pcpus, vcpus, options.engine);
  // The bare machine has no hypervisor: nobody switches contexts, and what it touches is the hardware.
  const allBare = run.vms.every((vm) => isBare(vm.technique));
  const kind = findKind(allBare ? undefined : host.hypervisor);
  const chosen = schedulers.find(({ name }) => name === host.scheduler.policy);
  const policy = kind.policy ?? chosen;
  if (policy === undefined) throw new UserError(`unknown scheduler ${host.scheduler.policy}`);
  const switchCycles = allBare ? 0 : kind.switchCycles(preset);
  const policyParams = kind.policy === null ? host.scheduler.params : {};
  const dispatcher = new Dispatcher(
    {
      topology: makeTopology({ sockets: 1, coresPerSocket: host.pcpus, threadsPerCore: 1 }),
      hz: host.frequencyHz,
      quantum: host.quantumNs,
      switchCycles,
    },
    { engine, trace, random: new Streams(run.seed).stream('scheduler'), policy, policyParams },
  );
  const escapes = run.compare === 'state' ? new Map<string, number>() : null;
  const world = { run, engine, trace, machine, dispatcher, escapes };
  const places = admitAll(run, kind);
  const processes = allBare ? [] : startProcesses(world, kind);
  let left = run.vms.length;
  // When the last VM has ended nobody is left to share the host with.
  const endOfVm = (): void => {
    left--;
    if (left > 0 || processes.length === 0) return;
    engine.at(engine.now, () => {
      for (const task of processes) dispatcher.end(task);
    });
  };
  const vms = run.vms.map((vm, index) =>
    buildVm(world, vm, { index, kind, firstPcpu: places[index]!, endOfVm }, options),
  );
  if (escapes !== null) audit(machine, vms, escapes);
  for (const { vcpus: own } of vms) for (const { task } of own) dispatcher.start(task);
  return { ...world, vms };
}

/** First pCPU of each VM, or -1. @throws UserError for the first VM that does not fit */
function admitAll({ host, vms }: ResolvedRun, kind: HypervisorKind): number[] {
  const { pcpus, memoryBytes, ioUnits = pcpus } = host;
  return kind.admit({ pcpus, memoryBytes, ioUnits }, vms.map(resourcesOf)).map((admission, index) => {
    if (isRefused(admission)) throw new UserError(`VM ${vms[index]!.name}: ${refusalText(admission)}`);
    return admission.firstPcpu;
  });
}

function resourcesOf({ technique, paging, memoryBytes, vcpus }: ResolvedVm): Resources {
  const frames = tableFrames(technique as TechniqueName, paging as PagingName, memoryBytes / PAGE_BYTES, vcpus);
  return { pcpus: vcpus, memoryBytes: memoryBytes + frames * PAGE_BYTES, ioUnits: 1 };
}

/** The processes of the host OS, each a task beside the vCPUs. */
function startProcesses({ run, engine, dispatcher }: Omit<World, 'vms'>, kind: HypervisorKind): HostTask[] {
  const streams = new Streams(run.seed);
  return (run.host.processes ?? []).map(({ name, model, params, weight }) => {
    if (!kind.hasProcesses) throw new UserError(`process ${name}: hypervisor ${kind.name} has no host OS to run it`);
    const demand = demands.find((entry) => entry.name === model);
    if (demand === undefined) throw new UserError(`process ${name}: unknown demand ${model}`);
    const runnable = new ModelledVcpu(engine, demand.make(params, streams.stream(`process ${name}`)), ACCOUNT_THREAD);
    const task = dispatcher.attach(dispatcher.addVm({ name, weight }), runnable);
    dispatcher.start(task);
    return task;
  });
}

/** What a VM is built into. */
interface Site {
  readonly index: number;
  readonly kind: HypervisorKind;
  /** The first pCPU that is its own, or -1. */
  readonly firstPcpu: number;
  readonly endOfVm: () => void;
}

function buildVm(world: Omit<World, 'vms'>, plan: ResolvedVm, site: Site, options: BuildOptions): WorldVm {
  const { index, kind, firstPcpu } = site;
  const { machine, engine, dispatcher } = world;
  const technique = findTechnique(plan.technique);
  const vm = new ExecutedVm(index, machine, engine, {
    name: plan.name,
    image: guestFor(technique, plan.guest, plan.imageFile),
    append: plan.workload,
    memoryBytes: plan.memoryBytes,
    technique: plan.technique as TechniqueName,
    paging: plan.paging as PagingName,
    taggedTlb: plan.taggedTlb,
    ...(plan.vmx === undefined ? {} : { vmx: plan.vmx }),
    vcpus: plan.vcpus,
    ...(plan.guestVmx === undefined ? {} : { guestVmx: plan.guestVmx }),
    ...(kind.hostSide === null ? {} : { hostSide: kind.hostSide }),
    onEnd: site.endOfVm,
    ...(plan.ring === undefined ? {} : { ring: plan.ring }),
    ...(plan.outOfSync === undefined ? {} : { outOfSync: plan.outOfSync }),
    ...(plan.keepShadows === undefined ? {} : { keepShadows: plan.keepShadows }),
    ...(index === 0 ? options.guest : {}),
    ...(options.onConsole === undefined ? {} : { onConsole: options.onConsole }),
  });
  const hostVm = dispatcher.addVm({ name: plan.name, weight: plan.weight, capPercent: plan.capPercent });
  const vcpus = Array.from({ length: plan.vcpus }, (_, number) => {
    const vcpu = new ExecutedVcpu(vm, number, technique);
    // The CPUs of the bare machine are what the guest takes them for.
    const own = plan.technique === 'native' && plan.vcpus > 1 ? number : firstPcpu < 0 ? -1 : firstPcpu + number;
    const spec = own < 0 ? {} : { hard: [own] };
    return { vcpu, task: dispatcher.attach(hostVm, vcpu, spec) };
  });
  return { vm, vcpus };
}

/** Has every run of a vCPU followed by a look at the translations of all CPUs. */
function audit(machine: PhysicalMachine, vms: readonly WorldVm[], escapes: Map<string, number>): void {
  const all = vms.map(({ vm }) => vm);
  const look = (): void => {
    for (const { vm } of findEscapes(machine, all)) escapes.set(vm, (escapes.get(vm) ?? 0) + 1);
  };
  for (const { vcpus } of vms) {
    for (const { vcpu } of vcpus) vcpu.afterRun = look;
  }
}

/** Runs a world to its end or its bound; afterwards every VM has an outcome. */
export function finishWorld(world: World): RunOutcome {
  const outcome = world.dispatcher.runUntil(world.run.durationNs);
  for (const { vm } of world.vms) {
    if (outcome === 'stuck') vm.end('stalled', 'it waits, and no event can ever wake it');
    else vm.end('time-limit', '');
  }
  return outcome;
}

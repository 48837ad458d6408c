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
import { Trace } from '../core/trace.ts';
import { PAGE_BYTES } from '../core/units.ts';
import { readCatalogue, resolveGuest } from '../guest/catalogue.ts';
import { type GuestImage, readGuestImage } from '../guest/image.ts';
import { Dispatcher, type RunOutcome } from '../host/dispatch.ts';
import { schedulers } from '../host/sched/index.ts';
import type { HostTask } from '../host/task.ts';
import { makeTopology } from '../host/topology.ts';
import { findEscapes } from '../vmm/audit.ts';
import { type EngineName, PhysicalMachine } from '../vmm/machine.ts';
import { findPreset } from '../vmm/presets/index.ts';
import type { PagingName, TechniqueName } from '../vmm/technique.ts';
import { findTechnique } from '../vmm/techniques/index.ts';
import { ExecutedVcpu } from '../vmm/vcpu.ts';
import { ExecutedVm, type VmSpec } from '../vmm/vm.ts';
import { collect } from './collect.ts';
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
  const policy = schedulers.find(({ name }) => name === host.scheduler.policy);
  if (policy === undefined) throw new UserError(`unknown scheduler ${host.scheduler.policy}`);
  // The bare machine has no hypervisor that could switch contexts.
  const switchCycles = run.vms.every((vm) => vm.technique === 'native') ? 0 : preset.contextSwitchCycles;
  const dispatcher = new Dispatcher(
    {
      topology: makeTopology({ sockets: 1, coresPerSocket: host.pcpus, threadsPerCore: 1 }),
      hz: host.frequencyHz,
      quantum: host.quantumNs,
      switchCycles,
    },
    { engine, trace, random: new Streams(run.seed).stream('scheduler'), policy, policyParams: host.scheduler.params },
  );
  const escapes = run.compare === 'state' ? new Map<string, number>() : null;
  const world = { run, engine, trace, machine, dispatcher, escapes };
  const vms = run.vms.map((vm, index) => buildVm(world, vm, index, options));
  if (escapes !== null) audit(machine, vms, escapes);
  for (const { vcpus: own } of vms) for (const { task } of own) dispatcher.start(task);
  return { ...world, vms };
}

function buildVm(world: Omit<World, 'vms'>, plan: ResolvedVm, index: number, options: BuildOptions): WorldVm {
  const { machine, engine, dispatcher } = world;
  const technique = findTechnique(plan.technique);
  const vm = new ExecutedVm(index, machine, engine, {
    name: plan.name,
    image: imageOf(plan),
    append: plan.workload,
    memoryBytes: plan.memoryBytes,
    technique: plan.technique as TechniqueName,
    paging: plan.paging as PagingName,
    taggedTlb: plan.taggedTlb,
    vcpus: plan.vcpus,
    ...(plan.ring === undefined ? {} : { ring: plan.ring }),
    ...(plan.outOfSync === undefined ? {} : { outOfSync: plan.outOfSync }),
    ...(index === 0 ? options.guest : {}),
    ...(options.onConsole === undefined ? {} : { onConsole: options.onConsole }),
  });
  const hostVm = dispatcher.addVm({ name: plan.name, weight: plan.weight, capPercent: plan.capPercent });
  const vcpus = Array.from({ length: plan.vcpus }, (_, number) => {
    const vcpu = new ExecutedVcpu(vm, number, technique);
    // The CPUs of the bare machine are what the guest takes them for.
    const spec = plan.technique === 'native' && plan.vcpus > 1 ? { hard: [number] } : {};
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

function imageOf(plan: ResolvedVm): GuestImage {
  return plan.imageFile === null
    ? resolveGuest(readCatalogue(), plan.guest)
    : readGuestImage(plan.imageFile, plan.guest);
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

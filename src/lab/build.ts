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
import { Dispatcher, type RunOutcome } from '../host/dispatch.ts';
import { schedulers } from '../host/sched/index.ts';
import type { HostTask } from '../host/task.ts';
import { makeTopology } from '../host/topology.ts';
import { type EngineName, PhysicalMachine } from '../vmm/machine.ts';
import { findPreset } from '../vmm/presets/index.ts';
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
  const switchCycles = run.vms.every((vm) => isBare(vm.technique)) ? 0 : preset.contextSwitchCycles;
  const dispatcher = new Dispatcher(
    {
      topology: makeTopology({ sockets: 1, coresPerSocket: host.pcpus, threadsPerCore: 1 }),
      hz: host.frequencyHz,
      quantum: host.quantumNs,
      switchCycles,
    },
    { engine, trace, random: new Streams(run.seed).stream('scheduler'), policy, policyParams: host.scheduler.params },
  );
  const world = { run, engine, trace, machine, dispatcher };
  const vms = run.vms.map((vm, index) => buildVm(world, vm, index, options));
  for (const { vcpus: own } of vms) for (const { task } of own) dispatcher.start(task);
  return { ...world, vms };
}

function buildVm(world: Omit<World, 'vms'>, plan: ResolvedVm, index: number, options: BuildOptions): WorldVm {
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

/** Runs a world to its end or its bound; afterwards every VM has an outcome. */
export function finishWorld(world: World): RunOutcome {
  const outcome = world.dispatcher.runUntil(world.run.durationNs);
  for (const { vm } of world.vms) {
    if (outcome === 'stuck') vm.end('stalled', 'it waits, and no event can ever wake it');
    else vm.end('time-limit', '');
  }
  return outcome;
}

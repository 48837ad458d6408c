/**
 * From a scenario to the numbered list of runs: every point with every seed, then the native twins they are compared with.
 * Invariants: run ids are 1, 2, ... in that order and depend on the scenario only; a run is plain data that says
 * everything about it, with units converted and placeholders filled in.
 */
import { resolve } from 'node:path';
import { Streams } from '../core/rng.ts';
import type { Bytes, Hz, Ns } from '../core/units.ts';
import type { CacheRefill } from '../host/cache-refill.ts';
import type { HaltPollingSettings } from '../host/halt-polling.ts';
import type { MemoryPlace } from '../host/modelled/far-memory.ts';
import type { Params } from '../host/params.ts';
import type { TopologySpec } from '../host/topology.ts';
import type { VmxOptions } from '../vmm/vmx-options.ts';
import { parsePcpus } from './affinity.ts';
import { GUESTS, PRESETS, TECHNIQUES } from './catalog.ts';
import { vmNames } from './checks.ts';
import { isGuestPath } from './guests.ts';
import { haltPollingOf, refillOf } from './host-options.ts';
import { loadPolicy } from './own-policy.ts';
import { paramsFor } from './policies.ts';
import { policyFor, poolParts } from './pools.ts';
import { Recordings } from './recordings.ts';
import type { Point, Scenario } from './scenario.ts';
import { isOwn, type Scheduler, type World } from './schema.ts';
import {
  type AffinityInput,
  type DemandInput,
  type ExecutedVmInput,
  type HostThread,
  isExecuted,
  isModelled,
  isReplayed,
  type ModelledVmInput,
  type ReplayedVmInput,
  type VmInput,
} from './schema-vms.ts';
import { quantity } from './units.ts';

export interface ResolvedHost {
  readonly preset: string;
  readonly frequencyHz: Hz;
  readonly pcpus: number;
  /** One socket of cores with one thread each when it is not there. */
  readonly topology?: TopologySpec;
  /** All pools, which share out the pCPUs; the first is that of threads and processes. */
  readonly pools?: readonly ResolvedPool[];
  /** No cost when it is not there. */
  readonly cacheRefill?: CacheRefill;
  readonly memoryBytes: Bytes;
  readonly quantumNs: Ns;
  readonly scheduler: {
    readonly policy: string;
    readonly params: Params;
    /** It is a file of the user: absolute path, the path as it was written, and the export. */
    readonly own?: { readonly file: string; readonly shown: string; readonly exportName: string };
  };
  /** Kind of hypervisor; type 1 when it is not there. */
  readonly hypervisor?: string;
  /** As many as pCPUs when it is not there. */
  readonly ioUnits?: number;
  readonly processes?: readonly ResolvedThread[];
  /** Of the hypervisor itself. */
  readonly threads?: readonly ResolvedThread[];
}

/** A part of the pCPUs with its scheduler. */
export interface ResolvedPool {
  readonly name: string;
  readonly pcpus: readonly number[];
  readonly scheduler: ResolvedHost['scheduler'];
}

/** A model of what a vCPU or thread wants of the CPUs. */
export interface ResolvedDemand {
  readonly model: string;
  readonly params: Params;
}

/** One process of the host OS, or thread of the hypervisor. */
export interface ResolvedThread extends ResolvedDemand {
  readonly name: string;
  readonly weight: number;
}

/** What changes while a modelled VM runs. */
export interface ResolvedChange {
  readonly atNs: Ns;
  readonly vcpus?: number;
  readonly weight?: number;
  readonly capPercent?: number;
}

/** What the vCPUs of a VM do that has no guest. */
export interface ResolvedLoad {
  /** Of vCPU 0, 1, ...; vCPUs beyond the list start again at its beginning. */
  readonly demands: readonly ResolvedDemand[];
  readonly startNs: Ns;
  /** Null: it stays to the end. */
  readonly stopNs: Ns | null;
  readonly changes: readonly ResolvedChange[];
  /** Where its memory lies; it has no distance if that is not there. */
  readonly memoryPlace?: MemoryPlace;
}

/** What the vCPU of a VM plays that does not execute. */
export interface ResolvedReplay {
  /** Absolute path of the recording; never part of results. */
  readonly file: string;
  /** As it was written. */
  readonly shown: string;
  readonly startNs: Ns;
  /** Where in it the VM begins, and goes on round and round; absent: it plays it once. */
  readonly offset?: Ns | 'random';
}

/** What a VM asks of the scheduler beyond weight and cap. Lists have one element for each vCPU, others are for all. */
export interface ResolvedScheduling {
  readonly params: Params;
  readonly vcpuParams: Params | readonly Params[];
  readonly affinity: ResolvedAffinity | readonly ResolvedAffinity[];
}

export interface ResolvedAffinity {
  readonly hard?: readonly number[];
  readonly soft?: readonly number[];
}

/**
 * A VM. One that has a `load` is modelled: it has no guest, no memory, and `modelled` for a technique. One that has a
 * `replay` plays what a guest did: its guest is the recording, and its technique that of the recording; no memory.
 */
export interface ResolvedVm {
  readonly name: string;
  readonly load?: ResolvedLoad;
  readonly replay?: ResolvedReplay;
  readonly scheduling?: ResolvedScheduling;
  /** Name of one of our guests, or the path of an ELF file as it was written. */
  readonly guest: string;
  /** Absolute path when `guest` is a file; never part of results. */
  readonly imageFile: string | null;
  /** Kernel command line. */
  readonly workload: string;
  readonly technique: string;
  readonly paging: string;
  readonly taggedTlb: boolean;
  readonly ring?: 1 | 3;
  readonly outOfSync?: boolean;
  readonly keepShadows?: boolean;
  readonly memoryBytes: Bytes;
  readonly vcpus: number;
  readonly weight: number;
  readonly capPercent: number;
  /** Its pool; the first one when it is not there. */
  readonly pool?: string;
  /** Its vCPUs poll before they block. */
  readonly haltPolling?: HaltPollingSettings;
  /** The guest's CPU has VMX. */
  readonly guestVmx?: 'plain' | 'shadowing';
  /** Options of hardware assistance; absent: the usual ones. */
  readonly vmx?: VmxOptions;
  /** Id of the run in which the same guest has the bare machine for itself; its own for a native VM. */
  readonly baselineRun: number | null;
  /** Id of the run in which the same VM has the same host for itself, under the same hypervisor. */
  readonly aloneRun?: number;
}

/** One simulation. */
export interface ResolvedRun {
  readonly runId: number;
  /** `baseline` runs were added by hvsim. */
  readonly role: 'point' | 'baseline';
  readonly seed: number;
  /** Axis name -> label; empty for baselines. */
  readonly axes: Readonly<Record<string, string>>;
  readonly durationNs: Ns;
  readonly host: ResolvedHost;
  readonly vms: readonly ResolvedVm[];
  /** The final state of its VMs is recorded, for comparison. */
  readonly compare?: 'state';
  /** What every vCPU did in this window is recorded. */
  readonly timeline?: { readonly fromNs: Ns; readonly toNs: Ns };
  /** What scheduling did is recorded. */
  readonly scheduling?: true;
}

export interface Plan {
  readonly scenario: Scenario;
  readonly runs: readonly ResolvedRun[];
}

const BASELINES: Readonly<
  Record<Scenario['doc']['baseline'], (points: readonly ResolvedRun[]) => readonly ResolvedRun[]>
> = { native: withBaselines, alone: withAlone, none: (points) => points };

/** Numbers the runs. `fileOf` turns the path of a guest, as written, into an absolute one. */
export function planRuns(scenario: Scenario, fileOf: FileOf): Plan {
  const { doc, points } = scenario;
  const recordings = new Recordings();
  const runs: ResolvedRun[] = points.flatMap((point, index) =>
    doc.seeds.map((seed, turn) => resolveRun(point, index * doc.seeds.length + turn + 1, seed, fileOf, recordings)),
  );
  const asked = {
    ...(doc.compare === undefined ? {} : { compare: doc.compare }),
    ...(doc.timeline === undefined ? {} : { timeline: windowOf(doc.timeline) }),
    ...(doc.metrics?.includes('scheduling') === true ? { scheduling: true as const } : {}),
  };
  const compared = runs.map((run) => ({ ...run, ...asked }));
  return { scenario, runs: BASELINES[doc.baseline](compared) };
}

function windowOf({ from, to }: NonNullable<Scenario['doc']['timeline']>): { fromNs: Ns; toNs: Ns } {
  return { fromNs: quantity('duration', from), toNs: quantity('duration', to) };
}

function resolveRun(point: Point, runId: number, seed: number, fileOf: FileOf, recordings: Recordings): ResolvedRun {
  const { world, axes } = point;
  const all = world.vms.flatMap((vm) => vmNames(vm).map((name, member) => ({ vm, name, member })));
  return {
    runId,
    role: 'point',
    seed,
    axes,
    durationNs: quantity('duration', world.duration),
    host: resolveHost(world, fileOf),
    vms: all.map(({ vm, name, member }, index) => {
      if (isModelled(vm)) return resolveModelled(world, vm, name, fileOf);
      if (isReplayed(vm)) return resolveReplayed(world, vm, name, member, fileOf, recordings);
      // The seed of a member does not depend on how many others there are.
      const ownSeed = new Streams(seed).stream(`workload of ${vm.name}, member ${member + 1}`).uint32() >>> 1;
      const workload = vm.workload.replaceAll('{seed}', String(ownSeed)).replaceAll('{vm}', String(index + 1));
      return resolveExecuted(world, vm, name, workload, fileOf);
    }),
  };
}

function resolveHost({ host }: World, fileOf: FileOf): ResolvedHost {
  const preset = PRESETS.find((entry) => entry.id === host.preset)!;
  const frequencyHz = host.frequency === 'auto' ? preset.frequencyHz : quantity('frequency', host.frequency);
  return {
    preset: host.preset,
    frequencyHz,
    pcpus: host.pcpus,
    ...(host.topology === undefined ? {} : { topology: topologyOf(host.topology) }),
    ...(host.pools === undefined ? {} : { pools: resolvePools(host, fileOf) }),
    ...(host.cache_refill === undefined ? {} : { cacheRefill: refillOf(host.cache_refill, frequencyHz) }),
    memoryBytes: quantity('size', host.memory),
    quantumNs: quantity('duration', host.quantum),
    scheduler: resolveScheduler(host.scheduler, fileOf),
    ...(host.hypervisor === undefined ? {} : { hypervisor: host.hypervisor }),
    ...(host.io_units === undefined ? {} : { ioUnits: host.io_units }),
    ...(host.processes === undefined ? {} : { processes: host.processes.flatMap(resolveThread) }),
    ...(host.threads === undefined ? {} : { threads: host.threads.flatMap(resolveThread) }),
  };
}

function resolvePools(host: World['host'], fileOf: FileOf): ResolvedPool[] {
  return poolParts(host).map(({ name, pcpus, scheduler }) => ({
    name,
    pcpus,
    scheduler: resolveScheduler(scheduler ?? host.scheduler, fileOf),
  }));
}

/** The absolute path of a file, given as the scenario has it. */
type FileOf = (written: string) => string;

function resolveScheduler(scheduler: Scheduler, fileOf: FileOf): ResolvedHost['scheduler'] {
  if (isOwn(scheduler)) {
    const { module: shown, export: exportName, sha256: _checked, ...params } = scheduler;
    const file = resolve(fileOf(shown));
    const { name } = loadPolicy(file, exportName, shown);
    return { policy: name, params: params as Params, own: { file, shown, exportName } };
  }
  const { policy, ...params } = typeof scheduler === 'string' ? { policy: scheduler } : scheduler;
  return { policy, params: params as Params };
}

function topologyOf(spec: NonNullable<World['host']['topology']>): TopologySpec {
  const { sockets, cores_per_socket: coresPerSocket, threads_per_core: threadsPerCore, nodes_per_socket: nodes } = spec;
  return {
    sockets,
    coresPerSocket,
    threadsPerCore,
    ...(nodes === undefined ? {} : { nodesPerSocket: nodes }),
  };
}

function resolveThread(thread: HostThread): ResolvedThread[] {
  return vmNames(thread).map((name) => ({ name, ...resolveDemand(thread.demand), weight: thread.weight }));
}

function resolveDemand(demand: DemandInput): ResolvedDemand {
  const { model, ...params } = typeof demand === 'string' ? { model: demand } : demand;
  return { model, params: params as Params };
}

/** What a VM asks of the scheduler that will run it; nothing when it asks for nothing. */
function schedulingOf({ host }: World, vm: VmInput, fileOf: FileOf): { readonly scheduling?: ResolvedScheduling } {
  const { scheduling, vcpu_scheduling: perVcpu, affinity = {} } = vm;
  if (scheduling === undefined && perVcpu === undefined && vm.affinity === undefined) return {};
  const policy = policyFor(host, vm, (module, name) => loadPolicy(resolve(fileOf(module)), name, module))!;
  return {
    scheduling: {
      params: paramsFor(policy, scheduling),
      vcpuParams: Array.isArray(perVcpu)
        ? perVcpu.map((values) => paramsFor(policy, values))
        : paramsFor(policy, perVcpu),
      affinity: Array.isArray(affinity) ? affinity.map(masksOf) : masksOf(affinity),
    },
  };
}

/** A VM's own settings win over those of the host. Nobody polls on the bare machine. */
function pollingOf({ host }: World, vm: VmInput): { readonly haltPolling?: HaltPollingSettings } {
  const input = vm.halt_polling ?? host.halt_polling;
  if (input === undefined || (isExecuted(vm) && vm.technique === 'native')) return {};
  return { haltPolling: haltPollingOf(input) };
}

function poolOf({ pool }: VmInput): { readonly pool?: string } {
  return pool === undefined ? {} : { pool };
}

function masksOf({ hard, soft }: AffinityInput): ResolvedAffinity {
  return {
    ...(hard === undefined ? {} : { hard: parsePcpus(hard) }),
    ...(soft === undefined ? {} : { soft: parsePcpus(soft) }),
  };
}

function resolveModelled(world: World, vm: ModelledVmInput, name: string, fileOf: FileOf): ResolvedVm {
  const demands = (Array.isArray(vm.demand) ? vm.demand : [vm.demand]).map(resolveDemand);
  return {
    name,
    load: {
      demands,
      startNs: quantity('duration', vm.start),
      stopNs: vm.stop === undefined ? null : quantity('duration', vm.stop),
      changes: (vm.changes ?? []).map((change) => ({
        atNs: quantity('duration', change.at),
        ...(change.vcpus === undefined ? {} : { vcpus: change.vcpus }),
        ...(change.weight === undefined ? {} : { weight: change.weight }),
        ...(change.cap === undefined ? {} : { capPercent: change.cap }),
      })),
      ...(vm.memory_place === undefined
        ? {}
        : { memoryPlace: { node: vm.memory_place.node, farPercent: vm.memory_place.far_percent } }),
    },
    ...schedulingOf(world, vm, fileOf),
    ...poolOf(vm),
    ...pollingOf(world, vm),
    guest: '',
    imageFile: null,
    workload: [...new Set(demands.map(({ model }) => model))].join(' '),
    technique: 'modelled',
    paging: '',
    taggedTlb: false,
    memoryBytes: 0,
    vcpus: vm.vcpus,
    weight: vm.weight,
    capPercent: vm.cap,
    baselineRun: null,
  };
}

function resolveReplayed(
  world: World,
  vm: ReplayedVmInput,
  name: string,
  member: number,
  fileOf: FileOf,
  recordings: Recordings,
): ResolvedVm {
  const file = resolve(fileOf(vm.replay));
  const { workload, technique, paging } = recordings.header(file, vm.replay, vm.offset !== undefined);
  const startNs = quantity('duration', vm.start) + member * quantity('duration', vm.stagger);
  return {
    name,
    replay: {
      file,
      shown: vm.replay,
      startNs,
      ...(vm.offset === undefined
        ? {}
        : { offset: vm.offset === 'random' ? vm.offset : quantity('duration', vm.offset) }),
    },
    ...schedulingOf(world, vm, fileOf),
    ...poolOf(vm),
    ...pollingOf(world, vm),
    guest: vm.replay,
    imageFile: null,
    workload,
    technique,
    paging,
    taggedTlb: false,
    memoryBytes: 0,
    vcpus: 1,
    weight: vm.weight,
    capPercent: vm.cap,
    baselineRun: null,
  };
}

function resolveExecuted(
  world: World,
  vm: ExecutedVmInput,
  name: string,
  workload: string,
  fileOf: FileOf,
): ResolvedVm {
  const technique = TECHNIQUES.find((entry) => entry.name === vm.technique)!;
  const preset = PRESETS.find((entry) => entry.id === world.host.preset)!;
  const usual =
    technique.pagings.find((paging) => paging !== 'nested' || preset.vmx.nestedPaging) ?? technique.pagings[0]!;
  return {
    name,
    ...schedulingOf(world, vm, fileOf),
    ...poolOf(vm),
    ...pollingOf(world, vm),
    guest: vm.guest,
    imageFile: isGuestPath(vm.guest) ? fileOf(vm.guest) : null,
    workload,
    technique: vm.technique,
    paging: vm.paging === 'auto' ? usual : vm.paging,
    taggedTlb:
      vm.technique === 'hardware-assisted' && (vm.tagged_tlb === 'auto' ? preset.vmx.taggedTlb : vm.tagged_tlb),
    ...(vm.ring === undefined ? {} : { ring: vm.ring }),
    ...(vm.out_of_sync === undefined ? {} : { outOfSync: vm.out_of_sync }),
    ...(vm.keep_shadows === undefined ? {} : { keepShadows: vm.keep_shadows }),
    memoryBytes: quantity('size', vm.memory),
    vcpus: vm.vcpus,
    weight: vm.weight,
    capPercent: vm.cap,
    ...(vm.guest_vmx === true
      ? { guestVmx: vm.vmcs_shadowing === true ? ('shadowing' as const) : ('plain' as const) }
      : {}),
    ...(vm.vmx === undefined || vm.technique !== 'hardware-assisted' ? {} : { vmx: vmxOptions(vm.vmx) }),
    baselineRun: null,
  };
}

function pauseLoopOf(vmx: NonNullable<ExecutedVmInput['vmx']>): VmxOptions['pauseLoop'] {
  const { pause_loop_gap: gapCycles, pause_loop_window: first, pause_loop_window_max: max } = vmx;
  const { pause_loop_window_grow: grow, pause_loop_window_shrink: shrink } = vmx;
  return { gapCycles, window: { first, grow, shrink, longest: Math.max(max, first) } };
}

function vmxOptions(vmx: NonNullable<ExecutedVmInput['vmx']>): VmxOptions {
  return {
    hltExiting: vmx.hlt_exiting,
    pauseLoop: vmx.pause_loop_exiting ? pauseLoopOf(vmx) : null,
    preemptionTimer: vmx.preemption_timer,
    cr3LoadExiting: vmx.cr3_load_exiting,
    nestedLevels: vmx.nested_levels,
    nestedLargePages: vmx.nested_large_pages,
    walkCaches: { pageWalkEntries: vmx.page_walk_cache, nestedTlbEntries: vmx.nested_tlb },
    directPorts: vmx.direct_ports,
  };
}

/** Gives every VM its native twin: a native point of the sweep where there is one, else a run of its own. */
function withBaselines(points: readonly ResolvedRun[]): ResolvedRun[] {
  const twins = new Map<string, number>();
  for (const run of points) {
    const [vm] = run.vms;
    if (vm === undefined || vm.technique !== 'native' || vm.replay !== undefined || twins.has(twinKey(run, vm)))
      continue;
    twins.set(twinKey(run, vm), run.runId);
  }
  const baselines: ResolvedRun[] = [];
  for (const run of points) {
    for (const vm of run.vms) {
      if (twins.has(twinKey(run, vm)) || !hasNativeBuild(vm)) continue;
      const twin = nativeTwin(run, vm, points.length + baselines.length + 1);
      twins.set(twinKey(run, vm), twin.runId);
      baselines.push(twin);
    }
  }
  return [...points, ...baselines].map((run) => ({
    ...run,
    vms: run.vms.map((vm) => ({
      ...vm,
      baselineRun: vm.technique === 'native' ? run.runId : (twins.get(twinKey(run, vm)) ?? null),
    })),
  }));
}

/** Has every VM run alone on its host too: in a point of the sweep that has only this VM, else in a run of its own. */
function withAlone(points: readonly ResolvedRun[]): ResolvedRun[] {
  const ids = new Map<string, number>();
  const key = ({ host, durationNs, seed }: ResolvedRun, vm: ResolvedVm): string =>
    JSON.stringify([host, vm, durationNs, seed]);
  for (const run of points) {
    const [vm] = run.vms;
    if (run.vms.length === 1 && !ids.has(key(run, vm!))) ids.set(key(run, vm!), run.runId);
  }
  const added: ResolvedRun[] = [];
  for (const run of points) {
    for (const vm of run.vms) {
      if (ids.has(key(run, vm))) continue;
      const runId = points.length + added.length + 1;
      ids.set(key(run, vm), runId);
      added.push({ ...run, runId, role: 'baseline', axes: {}, vms: [vm] });
    }
  }
  return [...points, ...added].map((run) => ({
    ...run,
    vms: run.vms.map((vm) => ({ ...vm, aloneRun: ids.get(key(run, vm))! })),
  }));
}

/** A foreign program that is a file of the user has no build for the bare machine; other VMs may have nothing to execute. */
function hasNativeBuild({ technique, imageFile, load, replay }: ResolvedVm): boolean {
  if (load !== undefined || replay !== undefined) return false;
  return imageFile === null || TECHNIQUES.find(({ name }) => name === technique)?.program === undefined;
}

/** Two VMs with the same key have the same native run. */
function twinKey(run: ResolvedRun, vm: ResolvedVm): string {
  const { preset, frequencyHz } = run.host;
  const { workload, memoryBytes, vcpus } = vm;
  const hasVmx = vm.guestVmx !== undefined;
  const guest = nativeGuest(vm.guest);
  return JSON.stringify([guest, workload, memoryBytes, vcpus, hasVmx, preset, frequencyHz, run.durationNs, run.seed]);
}

/** Without what only a VMM can be asked. */
function withoutVmm(vm: ResolvedVm): ResolvedVm {
  const {
    ring: _ring,
    outOfSync: _outOfSync,
    keepShadows: _keepShadows,
    scheduling: _asks,
    haltPolling: _polling,
    pool: _pool,
    ...rest
  } = vm;
  return rest;
}

/** What runs on the bare machine in place of a guest: a paravirtual kernel cannot. */
function nativeGuest(guest: string): string {
  return GUESTS.find((entry) => entry.name === guest)?.native_guest ?? guest;
}

function nativeTwin(run: ResolvedRun, vm: ResolvedVm, runId: number): ResolvedRun {
  const own = Object.fromEntries(Object.entries(vm).filter(([key]) => key !== 'vmx')) as unknown as ResolvedVm;
  const {
    hypervisor: _kind,
    ioUnits: _units,
    processes: _processes,
    threads: _threads,
    topology: _topology,
    cacheRefill: _refill,
    pools: _pools,
    ...host
  } = run.host;
  return {
    ...run,
    runId,
    role: 'baseline',
    axes: {},
    host: { ...host, pcpus: vm.vcpus },
    vms: [
      {
        ...withoutVmm(own),
        ...(vm.guestVmx === undefined ? {} : { guestVmx: 'plain' }),
        guest: nativeGuest(vm.guest),
        technique: 'native',
        paging: 'native',
        taggedTlb: false,
        weight: 256,
        capPercent: 0,
      },
    ],
  };
}

/**
 * Reads the ledgers of a finished world into a record.
 * Invariant: it only reads; calling it twice gives equal records.
 */
import { Digest } from '../core/digest.ts';
import {
  ACCOUNT_EXIT,
  ACCOUNT_GUEST,
  ACCOUNT_IDLE,
  ACCOUNT_SWITCH,
  ACCOUNT_THREAD,
  ACCOUNT_TRANSLATED,
  ACCOUNT_VMM,
  ACCOUNT_WALK,
  type Account,
} from '../core/runnable.ts';
import { quantile, sorted } from '../core/stats.ts';
import type { RunOutcome } from '../host/dispatch.ts';
import { STATE_BLOCKED, STATE_COSTOPPED, STATE_PARKED, STATE_READY, STATE_RUNNING } from '../host/scheduler.ts';
import type { HostTask } from '../host/task.ts';
import { newCpuState, saveCpu } from '../machine/cpu-state.ts';
import type { PhysicalMachine } from '../vmm/machine.ts';
import type { ExecutedVcpu } from '../vmm/vcpu.ts';
import type { World, WorldVm } from './build.ts';
import type { LatencyRecord, PcpuRecord, RequirementsRecord, RunRecord, VcpuRecord, VmRecord } from './rows.ts';

export function collect(world: World, outcome: RunOutcome): RunRecord {
  const vms = world.vms.map((entry) => vmRecord(world, entry));
  return {
    run: world.run,
    outcome: outcome === 'limit' ? 'time-limit' : 'finished',
    detail: '',
    simulatedNs: world.dispatcher.now,
    instructions: vms.reduce((sum, vm) => sum + vm.instructions, 0),
    events: world.trace.count,
    digest: digestOf(world),
    vms,
    pcpus: world.dispatcher.pcpus.map(({ pcpu }) => pcpuRecord(world.machine, pcpu.id, pcpu.spent)),
  };
}

function vmRecord(world: World, entry: WorldVm): VmRecord {
  const { vm, vcpus } = entry;
  const { outcome } = vm;
  const cycles = (account: Account): number => vcpus.reduce((sum, { task }) => sum + task.spent[account]!, 0);
  return {
    name: vm.spec.name,
    outcome: outcome?.kind ?? 'time-limit',
    detail: outcome?.detail ?? '',
    exitCode: outcome?.exitCode ?? null,
    console: vm.consoleText(),
    instructions: vcpus.reduce((sum, { vcpu }) => sum + vcpu.instructions, 0),
    guestCycles: cycles(ACCOUNT_GUEST),
    translatedCycles: cycles(ACCOUNT_TRANSLATED),
    walkCycles: cycles(ACCOUNT_WALK),
    exitCycles: cycles(ACCOUNT_EXIT),
    vmmCycles: cycles(ACCOUNT_VMM),
    workUnits: vm.workUnits,
    elapsedNs: vm.endedAt,
    exits: vm.exits.sorted().map(({ reason, count, cycles: cost }) => ({ reason, count, cycles: cost })),
    divergences: vm.divergences.map((divergence) => ({ ...divergence })),
    sections: vm.sections.map((section) => ({ ...section })),
    vcpus: vcpus.map(({ vcpu, task }) => vcpuRecord(vcpu.index, task)),
    memory: {
      guestPages: vm.physmap.ramFrames,
      residentPages: framesOf(world.machine, vm.owner),
      tablePages: framesOf(world.machine, vm.vmmOwner),
    },
    ...(world.escapes === null ? {} : { requirements: requirementsRecord(entry, world.escapes) }),
  };
}

function requirementsRecord({ vm, vcpus }: WorldVm, escapes: ReadonlyMap<string, number>): RequirementsRecord {
  return {
    registers: vcpus.map(({ vcpu }) => registersOf(vcpu)),
    memoryHash: vm.memoryHash(),
    direct: vcpus.reduce((sum, { vcpu }) => sum + vcpu.direct, 0),
    unseen: [...vm.unseen].map(([mnemonic, count]) => ({ mnemonic, count })),
    escapes: escapes.get(vm.spec.name) ?? 0,
  };
}

function registersOf(vcpu: ExecutedVcpu): Record<string, string> {
  const state = newCpuState();
  saveCpu(vcpu.guestView(), state);
  const hex = (value: number): string => (value >>> 0).toString(16);
  return Object.fromEntries(
    Object.entries(state).map(([name, value]) => [
      name,
      typeof value === 'number' ? hex(value) : [...(value as Int32Array)].map(hex).join(' '),
    ]),
  );
}

function vcpuRecord(vcpu: number, task: HostTask): VcpuRecord {
  return {
    vcpu,
    runningNs: task.times[STATE_RUNNING]!,
    readyNs: task.times[STATE_READY]!,
    blockedNs: task.times[STATE_BLOCKED]!,
    parkedNs: task.times[STATE_PARKED]!,
    costoppedNs: task.times[STATE_COSTOPPED]!,
    wakeups: task.wakes,
    wakeToRun: latency(task.wakeLatencies),
    switchesVoluntary: task.voluntary,
    switchesInvoluntary: task.involuntary,
    migrations: task.migrations,
  };
}

function latency(samples: readonly number[]): LatencyRecord | null {
  if (samples.length === 0) return null;
  const ascending = sorted(samples);
  const at = (permille: number): number => quantile(ascending, permille);
  return { p50Ns: at(500), p95Ns: at(950), p99Ns: at(990), maxNs: at(1000) };
}

function pcpuRecord(machine: PhysicalMachine, pcpu: number, spent: Float64Array): PcpuRecord {
  const { itlb, dtlb } = machine.mmus[pcpu]!;
  return {
    pcpu,
    guestCycles: spent[ACCOUNT_GUEST]!,
    translatedCycles: spent[ACCOUNT_TRANSLATED]!,
    walkCycles: spent[ACCOUNT_WALK]!,
    exitCycles: spent[ACCOUNT_EXIT]!,
    vmmCycles: spent[ACCOUNT_VMM]!,
    switchCycles: spent[ACCOUNT_SWITCH]!,
    threadCycles: spent[ACCOUNT_THREAD]!,
    idleCycles: spent[ACCOUNT_IDLE]!,
    tlbMisses: itlb.misses + dtlb.misses,
    tlbFlushes: itlb.flushes + dtlb.flushes,
  };
}

/** Machine frames of one owner. */
function framesOf({ memory }: PhysicalMachine, owner: number): number {
  let count = 0;
  for (let mfn = 0; mfn < memory.frameFlags.length; mfn++) if (memory.ownerOf(mfn) === owner) count++;
  return count;
}

/** Fingerprint of the history of a world and of what its guests made of it. */
export function digestOf(world: World): string {
  const digest = new Digest();
  digest.text(world.trace.digest.hex());
  for (const { vm, vcpus } of world.vms) {
    digest.text(vm.outcome?.kind ?? '');
    digest.text(vm.consoleText());
    digest.integer(vm.endedAt);
    digest.integer(vm.workUnits);
    for (const { vcpu, task } of vcpus) {
      digest.integer(vcpu.instructions);
      for (const cycles of task.spent) digest.integer(cycles);
    }
  }
  return digest.hex();
}

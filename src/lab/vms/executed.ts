/**
 * A VM whose vCPUs execute a guest kernel on the emulated machine.
 * Invariant: its record is read from the ledgers of the VM and of its tasks, and changes nothing.
 */
import type { Digest } from '../../core/digest.ts';
import {
  ACCOUNT_EXIT,
  ACCOUNT_GUEST,
  ACCOUNT_TRANSLATED,
  ACCOUNT_VMM,
  ACCOUNT_WALK,
  type Account,
} from '../../core/runnable.ts';
import type { RunOutcome } from '../../host/dispatch.ts';
import { JobWatch } from '../../host/job-watch.ts';
import type { Recorder } from '../../host/replay/recorder.ts';
import type { HostTask } from '../../host/task.ts';
import { newCpuState, saveCpu } from '../../machine/cpu-state.ts';
import { findEscapes } from '../../vmm/audit.ts';
import type { PhysicalMachine } from '../../vmm/machine.ts';
import type { PagingName, TechniqueName } from '../../vmm/technique.ts';
import { findTechnique } from '../../vmm/techniques/index.ts';
import { ExecutedVcpu } from '../../vmm/vcpu.ts';
import { ExecutedVm, type VmSpec } from '../../vmm/vm.ts';
import { GUESTS } from '../catalog.ts';
import { guestFor } from '../guests.ts';
import type { ResolvedVm } from '../plan.ts';
import type { RequirementsRecord, VmRecord } from '../rows.ts';
import type { Scheduled } from '../scheduling/collect.ts';
import { addHostVm, type BuiltVm, outcomeAtEnd, runnableFor, type Site, taskSpec } from './kind.ts';
import { vcpuRecord } from './vcpu-record.ts';

/** A VM with its vCPUs, each with the dispatcher's task for it. */
export interface WorldVm {
  readonly vm: ExecutedVm;
  readonly vcpus: readonly { readonly vcpu: ExecutedVcpu; readonly task: HostTask }[];
}

export class ExecutedWorldVm implements WorldVm, BuiltVm {
  readonly vm: ExecutedVm;
  readonly vcpus: readonly { readonly vcpu: ExecutedVcpu; readonly task: HostTask }[];
  private readonly site: Site;
  /** By VM: translations found that led out of it. Null: nobody looks. */
  private readonly escapes: Map<string, number> | null;
  /** Where scheduling is measured: what its vCPU gets done. With several, nobody knows which of them did it. */
  private watch: JobWatch | null = null;
  private runIsOver = false;

  constructor(
    site: Site,
    plan: ResolvedVm,
    extras: Partial<VmSpec>,
    escapes: Map<string, number> | null,
    recorder?: Recorder,
  ) {
    const { index, kind, firstPcpu, machine, engine, dispatcher } = site;
    const technique = findTechnique(plan.technique);
    this.site = site;
    this.escapes = escapes;
    this.vm = new ExecutedVm(index, machine, engine, {
      name: plan.name,
      image: guestFor(technique, plan.guest, plan.imageFile),
      append: plan.workload,
      memoryBytes: plan.memoryBytes,
      technique: plan.technique as TechniqueName,
      paging: plan.paging as PagingName,
      taggedTlb: plan.taggedTlb,
      ...(plan.vmx === undefined ? {} : { vmx: plan.vmx }),
      vcpus: plan.vcpus,
      shootdownVectors: GUESTS.find(({ name }) => name === plan.guest)?.shootdown_vectors ?? [],
      ...(plan.guestVmx === undefined ? {} : { guestVmx: plan.guestVmx }),
      ...(kind.hostSide === null ? {} : { hostSide: kind.hostSide }),
      onEnd: () => {
        recorder?.vmEnded();
        if (!this.runIsOver) this.watch?.endJob(this.vm.endedAt);
        site.endOfVm();
      },
      ...(plan.ring === undefined ? {} : { ring: plan.ring }),
      ...(plan.outOfSync === undefined ? {} : { outOfSync: plan.outOfSync }),
      ...(plan.keepShadows === undefined ? {} : { keepShadows: plan.keepShadows }),
      ...extras,
    });
    const hostVm = addHostVm(site, plan);
    this.vcpus = Array.from({ length: plan.vcpus }, (_, number) => {
      const vcpu = new ExecutedVcpu(this.vm, number, technique);
      // The CPUs of the bare machine are what the guest takes them for.
      const own = plan.technique === 'native' && plan.vcpus > 1 ? number : firstPcpu < 0 ? -1 : firstPcpu + number;
      const plain = recorder?.attach(vcpu) ?? vcpu;
      if (site.run.scheduling === true && plan.vcpus === 1) this.watch = new JobWatch(plain, this.vm);
      const runnable = runnableFor(site, plan, this.watch ?? plain);
      return { vcpu, task: dispatcher.attach(hostVm, runnable, taskSpec(plan, number, own)) };
    });
  }

  get name(): string {
    return this.vm.spec.name;
  }

  get tasks(): readonly Scheduled[] {
    return this.vcpus.map(({ task }) => ({ task, worker: this.watch }));
  }

  start(): void {
    for (const { task } of this.vcpus) this.site.dispatcher.start(task);
  }

  finish(outcome: RunOutcome): void {
    this.runIsOver = true;
    const tasks = this.vcpus.map(({ task }) => task);
    this.vm.end(...outcomeAtEnd(outcome, tasks));
  }

  addTo(digest: Digest): void {
    const { vm, vcpus } = this;
    digest.text(vm.outcome?.kind ?? '');
    digest.text(vm.consoleText());
    digest.integer(vm.endedAt);
    digest.integer(vm.workUnits);
    for (const { vcpu, task } of vcpus) {
      digest.integer(vcpu.instructions);
      for (const cycles of task.spent) digest.integer(cycles);
    }
  }

  record(): VmRecord {
    const { vm, vcpus } = this;
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
        residentPages: framesOf(this.site.machine, vm.owner),
        tablePages: framesOf(this.site.machine, vm.vmmOwner),
      },
      ...(this.escapes === null ? {} : { requirements: requirementsRecord(this, this.escapes) }),
    };
  }
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

/** Machine frames of one owner. */
function framesOf({ memory }: PhysicalMachine, owner: number): number {
  let count = 0;
  for (let mfn = 0; mfn < memory.frameFlags.length; mfn++) if (memory.ownerOf(mfn) === owner) count++;
  return count;
}

/** Has every run of a vCPU followed by a look at the translations of all CPUs. */
export function auditAll(machine: PhysicalMachine, vms: readonly WorldVm[], escapes: Map<string, number>): void {
  const all = vms.map(({ vm }) => vm);
  const look = (): void => {
    for (const { vm } of findEscapes(machine, all)) escapes.set(vm, (escapes.get(vm) ?? 0) + 1);
  };
  for (const { vcpus } of vms) {
    for (const { vcpu } of vcpus) vcpu.afterRun = look;
  }
}

/** Runs one guest on one VM and one physical CPU to its end, for tests. */
import { Engine } from '../../src/core/engine.ts';
import { Streams } from '../../src/core/rng.ts';
import { Trace } from '../../src/core/trace.ts';
import { type Bytes, NS_PER_SECOND } from '../../src/core/units.ts';
import { type GuestImage, readGuestImage } from '../../src/guest/image.ts';
import { Dispatcher } from '../../src/host/dispatch.ts';
import { assertBalanced } from '../../src/host/ledger.ts';
import { roundRobin } from '../../src/host/sched/index.ts';
import { makeTopology } from '../../src/host/topology.ts';
import { type CpuState, newCpuState, saveCpu } from '../../src/machine/cpu-state.ts';
import { type EngineName, PhysicalMachine } from '../../src/vmm/machine.ts';
import { findPreset } from '../../src/vmm/presets/index.ts';
import type { PagingName, TechniqueName } from '../../src/vmm/technique.ts';
import { translationWith } from '../../src/vmm/techniques/binary-translation.ts';
import { findTechnique } from '../../src/vmm/techniques/index.ts';
import { ExecutedVcpu } from '../../src/vmm/vcpu.ts';
import { ExecutedVm } from '../../src/vmm/vm.ts';
import { DEFAULT_VMX, type VmxOptions } from '../../src/vmm/vmx-options.ts';

export interface RunOptions {
  readonly image: GuestImage;
  readonly append?: string;
  readonly memoryBytes?: Bytes;
  readonly technique: TechniqueName;
  readonly paging: PagingName;
  readonly taggedTlb?: boolean;
  readonly guestVmx?: 'plain' | 'shadowing';
  readonly ring?: 1 | 3;
  readonly outOfSync?: boolean;
  readonly keepShadows?: boolean;
  readonly preset?: string;
  readonly vmx?: Partial<VmxOptions>;
  readonly seconds?: number;
  readonly cpuEngine?: EngineName;
  /** Transfers of control before their target is compiled; the code cache's own number unless told. */
  readonly hotAfter?: number;
  /** Pages of the translation cache, under binary translation; the technique's own number unless told. */
  readonly translationPages?: number;
}

export interface RunEnd {
  readonly vm: ExecutedVm;
  readonly instructions: number;
  readonly state: CpuState;
  readonly memoryHash: string;
  readonly simulatedNs: number;
  readonly digest: string;
  /** Cycles of the physical CPU, by account. */
  readonly spent: Float64Array;
}

/** A guest of ours by name. */
export function guest(name: string): GuestImage {
  return readGuestImage(new URL(`../../guests/bin/${name}.elf`, import.meta.url).pathname, name);
}

/** Runs until the guest ends, nothing can happen any more, or simulated `seconds` are over; books must balance. */
export function runVm(options: RunOptions): RunEnd {
  const preset = findPreset(options.preset ?? 'broadwell');
  const memoryBytes = options.memoryBytes ?? 16 * 2 ** 20;
  const engine = new Engine();
  const trace = new Trace({ keepMax: 0 });
  const machine = new PhysicalMachine(preset, memoryBytes / 4096 + 4096, 1, 1, options.cpuEngine);
  if (options.hotAfter !== undefined) machine.codeCache.hotAfter = options.hotAfter;
  const vm = new ExecutedVm(0, machine, engine, {
    name: 'vm',
    image: options.image,
    append: options.append ?? '',
    memoryBytes,
    technique: options.technique,
    paging: options.paging,
    taggedTlb: options.taggedTlb ?? false,
    ...(options.guestVmx === undefined ? {} : { guestVmx: options.guestVmx }),
    ...(options.vmx === undefined ? {} : { vmx: { ...DEFAULT_VMX, ...options.vmx } }),
    ...(options.ring === undefined ? {} : { ring: options.ring }),
    ...(options.outOfSync === undefined ? {} : { outOfSync: options.outOfSync }),
    ...(options.keepShadows === undefined ? {} : { keepShadows: options.keepShadows }),
  });
  const { translationPages } = options;
  const technique =
    translationPages === undefined ? findTechnique(options.technique) : translationWith(translationPages);
  const vcpu = new ExecutedVcpu(vm, 0, technique);
  const dispatcher = new Dispatcher(
    {
      topology: makeTopology({ sockets: 1, coresPerSocket: 1, threadsPerCore: 1 }),
      hz: preset.frequencyHz,
      switchCycles: 0,
    },
    { engine, trace, random: new Streams(1).stream('scheduler'), policy: roundRobin },
  );
  const handle = dispatcher.addVm({ name: 'vm' });
  dispatcher.start(dispatcher.attach(handle, vcpu, {}));
  const why = dispatcher.runUntil((options.seconds ?? 5) * NS_PER_SECOND);
  if (why !== 'ended') vm.end(why === 'stuck' ? 'stalled' : 'time-limit', '');
  assertBalanced(dispatcher.pcpus, dispatcher.tasks);
  const state = newCpuState();
  saveCpu(vcpu.guestView(), state);
  return {
    vm,
    instructions: vcpu.instructions,
    state,
    memoryHash: vm.memoryHash(),
    simulatedNs: engine.now,
    digest: trace.digest.hex(),
    spent: dispatcher.pcpus[0]!.pcpu.spent,
  };
}

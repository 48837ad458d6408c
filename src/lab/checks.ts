/**
 * Rules of a scenario that concern several values at once; the schema has already checked each alone.
 * Invariant: a world without findings can be built, if the files of its guests were looked at (`guestProblem`).
 */
import { type Bytes, divCeil, PAGE_BYTES } from '../core/units.ts';
import { findKind } from '../host/kinds/index.ts';
import { isRefused, refusalText } from '../host/kinds/kind.ts';
import type { MachinePreset } from '../vmm/costs.ts';
import { vmxObstacle } from '../vmm/nested-vmx/offer.ts';
import { PV_MEMORY_MAX_BYTES } from '../vmm/paravirtual/abi.ts';
import { tableFrames } from '../vmm/table-frames.ts';
import { isBare, type PagingName, type TechniqueName } from '../vmm/technique.ts';
import { GUESTS, namesOf, PRESETS, TECHNIQUES } from './catalog.ts';
import { checkReplays } from './checks-replay.ts';
import { checkScheduling } from './checks-scheduling.ts';
import { guestMismatch, isGuestPath } from './guests.ts';
import type { PolicyLoader } from './own-policy.ts';
import { type Finding, finding, found } from './problems.ts';
import type { RecordingLoader } from './recordings.ts';
import type { World } from './schema.ts';
import { type ExecutedVmInput, isExecuted, isModelled, type VmInput } from './schema-vms.ts';
import { didYouMean } from './suggest.ts';
import { formatQuantity, quantity } from './units.ts';

const MIB = 1024 * 1024;
const GUEST_MEMORY_MIN = 4 * MIB;
const GUEST_MEMORY_MAX = 2048 * MIB;
const HOST_MEMORY_MAX = 3584 * MIB;
const FREQUENCY_MIN = 1_000_000;
const FREQUENCY_MAX = 10_000_000_000;
const QUANTUM_MIN = 1_000;
const QUANTUM_MAX = 10_000_000;
/** Physical CPUs of a host that executes guests. */
const EXECUTING_PCPUS_MAX = 64;
const DURATION_MAX = 3_600_000_000_000;

/** Opens the file of a guest, given as it is written, and answers why it cannot be booted, if it cannot. */
export type GuestProblem = (guest: string, memoryBytes: number, technique: string) => string | undefined;

/** Everything that is wrong with a world as a whole. */
export function checkWorld(
  world: World,
  guestProblem: GuestProblem = () => undefined,
  load: PolicyLoader,
  recordingFrom?: RecordingLoader,
): Finding[] {
  const files = world.vms.flatMap((vm, index) => {
    if (!isExecuted(vm)) return [];
    const problem = isGuestPath(vm.guest)
      ? guestProblem(vm.guest, quantity('size', vm.memory), vm.technique)
      : undefined;
    return problem === undefined ? [] : [finding(['vms', index, 'guest'], problem)];
  });
  return [
    ...files,
    ...checkHost(world),
    ...checkNames(world),
    ...world.vms.flatMap((vm, index) => (isExecuted(vm) ? checkVm(world, vm, index) : [])),
    ...world.vms.flatMap(checkCap),
    ...checkHypervisor(world),
    ...checkScheduling(world, load),
    ...checkReplays(world, recordingFrom),
  ];
}

function checkHost({ host, duration, vms }: World): Finding[] {
  const findings: Finding[] = [
    ...within(['duration'], 'duration', duration, 1, DURATION_MAX),
    ...within(['host', 'quantum'], 'duration', host.quantum, QUANTUM_MIN, QUANTUM_MAX),
    ...memorySize(['host', 'memory'], host.memory, MIB, HOST_MEMORY_MAX),
  ];
  if (host.frequency !== 'auto') {
    findings.push(...within(['host', 'frequency'], 'frequency', host.frequency, FREQUENCY_MIN, FREQUENCY_MAX));
  }
  if (host.pcpus > EXECUTING_PCPUS_MAX && vms.some(isExecuted)) {
    const message = `found ${host.pcpus}, expected at most ${EXECUTING_PCPUS_MAX} where guests are executed`;
    findings.push(finding(['host', host.topology === undefined ? 'pcpus' : 'topology'], message));
  }
  return findings;
}

function checkNames({ vms }: World): Finding[] {
  const taken = new Map<string, number>();
  return vms.flatMap((vm, index) =>
    vmNames(vm).flatMap((name) => {
      const first = taken.get(name);
      if (first === undefined) taken.set(name, index);
      return first === undefined || first === index
        ? []
        : [
            finding(
              ['vms', index, 'name'],
              `found ${found(vm.name)}, but vms[${first}] has a VM named "${name}" already`,
            ),
          ];
    }),
  );
}

/** Names of the VMs of a group. */
export function vmNames(vm: Pick<VmInput, 'name' | 'count'>): string[] {
  return vm.count === 1 ? [vm.name] : Array.from({ length: vm.count }, (_, i) => `${vm.name}-${i + 1}`);
}

function checkVm(world: World, vm: ExecutedVmInput, index: number): Finding[] {
  const at = (key: string) => ['vms', index, key];
  const findings: Finding[] = [
    ...memorySize(at('memory'), vm.memory, GUEST_MEMORY_MIN, GUEST_MEMORY_MAX),
    ...checkTechnique(world, vm, index),
  ];
  const guests = namesOf(GUESTS);
  if (!isGuestPath(vm.guest) && !guests.includes(vm.guest)) {
    const expected = `expected one of ${guests.join(', ')}, or the path of a multiboot ELF file`;
    findings.push(
      finding(at('guest'), `found ${found(vm.guest)}, ${expected}.${didYouMean(vm.guest, guests)}`.replace(/\.$/, '')),
    );
  }
  findings.push(...checkWorkload(vm, at('workload')));
  return findings;
}

function checkCap(vm: VmInput, index: number): Finding[] {
  // The number of vCPUs of a modelled VM may change.
  const vcpus = Math.max(vm.vcpus, ...(isModelled(vm) ? (vm.changes ?? []).map((change) => change.vcpus ?? 1) : []));
  if (vm.cap <= vcpus * 100) return [];
  return [finding(['vms', index, 'cap'], `found ${vm.cap}, expected at most ${vcpus * 100} (100 per vCPU)`)];
}

/** The command line: its characters, its placeholders, and for our own guests every word of it. */
function checkWorkload(vm: ExecutedVmInput, path: readonly (string | number)[]): Finding[] {
  if (/[^\x20-\x7e]/.test(vm.workload)) return [finding(path, 'a command line is one line of plain ASCII characters')];
  const findings: Finding[] = [];
  for (const [placeholder] of vm.workload.matchAll(/\{[^{}]*\}/g)) {
    if (placeholder === '{seed}' || placeholder === '{vm}') continue;
    findings.push(finding(path, `found ${found(placeholder)}, expected {seed} or {vm}`));
  }
  const guest = GUESTS.find((entry) => entry.name === vm.guest);
  const workloads = Object.keys(guest?.workloads ?? {});
  if (guest === undefined || workloads.length === 0) return findings;
  const words = vm.workload.split(' ').filter((word) => word !== '');
  const [name, second] = words.filter((word) => !word.includes('='));
  const known = name === undefined ? undefined : guest.workloads[name];
  const expected = `expected one of ${workloads.join(', ')}`;
  if (name === undefined) findings.push(finding(path, `found no workload for ${guest.name}, ${expected}`));
  else if (known === undefined) {
    findings.push(finding(path, `found ${found(name)}, ${expected}.${didYouMean(name, workloads)}`.replace(/\.$/, '')));
  }
  if (second !== undefined)
    findings.push(finding(path, `found ${found(second)} after ${found(name)}, expected name=value`));
  const options = [...Object.keys(known?.options ?? {}), ...Object.keys(guest.kernel_options)];
  for (const word of words) {
    const option = word.split('=')[0] ?? '';
    if (known === undefined || !word.includes('=') || options.includes(option)) continue;
    const message = `unknown option ${found(option)} of ${name}, expected one of ${options.join(', ')}.${didYouMean(option, options)}`;
    findings.push(finding(path, message.replace(/\.$/, '')));
  }
  return findings;
}

/** What paging auto will be, as far as VMX cares. */
function usualPaging(vm: ExecutedVmInput, preset: MachinePreset): string {
  if (vm.paging !== 'auto' || vm.technique !== 'hardware-assisted') return vm.paging;
  return preset.vmx.nestedPaging ? 'nested' : 'shadow';
}

function checkTechnique(world: World, vm: ExecutedVmInput, index: number): Finding[] {
  const at = (key: string) => ['vms', index, key];
  const technique = TECHNIQUES.find((entry) => entry.name === vm.technique);
  const preset = PRESETS.find((entry) => entry.id === world.host.preset);
  if (technique === undefined || preset === undefined) return [];
  const findings: Finding[] = [];
  if (vm.paging !== 'auto' && !technique.pagings.includes(vm.paging)) {
    const allowed = ['auto', ...technique.pagings].join(' or ');
    findings.push(finding(at('paging'), `found ${found(vm.paging)}, but ${vm.technique} needs ${allowed}`));
  }
  if (vm.technique === 'hardware-assisted' && !preset.vmx.available) {
    const message = `found ${found(vm.technique)}, but the preset ${preset.id} has no VT-x`;
    findings.push(finding(at('technique'), message));
  }
  if (vm.paging === 'nested' && vm.technique === 'hardware-assisted' && !preset.vmx.nestedPaging) {
    findings.push(
      finding(at('paging'), `found "nested", but the preset ${preset.id} has no nested paging; use shadow`),
    );
  }
  if (vm.tagged_tlb === true && !preset.vmx.taggedTlb) {
    findings.push(
      finding(at('tagged_tlb'), `found true, but the preset ${preset.id} has no tagged TLB; use auto or false`),
    );
  }
  if (vm.vmx?.preemption_timer === true && preset.vmx.vendor === 'AMD') {
    const message = `found true, but the preset ${preset.id} has SVM, which has no preemption timer`;
    findings.push(finding([...at('vmx'), 'preemption_timer'], message));
  }
  if (vm.guest_vmx === true) {
    const obstacle = vmxObstacle(
      { technique: vm.technique, paging: usualPaging(vm, preset), shadowing: vm.vmcs_shadowing === true },
      preset,
    );
    if (obstacle !== null) findings.push(finding(at('guest_vmx'), obstacle));
  } else if (vm.vmcs_shadowing === true) {
    findings.push(finding(at('vmcs_shadowing'), 'found true, but the guest has no VMX; set guest_vmx: true'));
  }
  if (vm.ring !== undefined && vm.technique !== 'trap-and-emulate') {
    const message = `found ${vm.ring}, but under ${vm.technique} the ring of the guest's kernel is no choice; expected nothing`;
    findings.push(finding(at('ring'), message));
  }
  if (vm.out_of_sync === true && vm.technique !== 'trap-and-emulate' && vm.paging !== 'shadow') {
    findings.push(
      finding(at('out_of_sync'), 'found true, but only shadow paging has page tables that can be out of sync'),
    );
  }
  if (
    vm.keep_shadows === false &&
    vm.technique !== 'trap-and-emulate' &&
    vm.technique !== 'binary-translation' &&
    vm.paging !== 'shadow'
  ) {
    findings.push(finding(at('keep_shadows'), 'found false, but only shadow paging has shadows that can be dropped'));
  }
  if (vm.out_of_sync === true && vm.vcpus > 1) {
    findings.push(finding(at('out_of_sync'), `found true, but the VM has ${vm.vcpus} vCPUs; expected one`));
  }
  const others = world.vms.reduce((sum, other) => sum + other.count, 0) - 1;
  if (isBare(vm.technique) && others > 0) {
    const count = others === 1 ? 'one more VM is' : `${others} more VMs are`;
    findings.push(
      finding(at('technique'), `${vm.technique} is the bare machine for one guest, but ${count} on this host`),
    );
  }
  findings.push(...checkParavirtual(vm, at));
  if (isBare(vm.technique) && vm.cap > 0) {
    findings.push(finding(at('cap'), `found ${vm.cap}, but a native guest has no hypervisor that could enforce it`));
  }
  if (technique.program !== undefined && vm.vcpus > 1) {
    findings.push(finding(at('vcpus'), `found ${vm.vcpus}, but the runtime of ${vm.technique} uses one CPU`));
  }
  const wrong = guestMismatch(technique, vm.guest);
  if (wrong !== undefined) findings.push(finding(at('technique'), wrong));
  if (vm.technique === 'native' && vm.vcpus > world.host.pcpus) {
    const pcpus = `${world.host.pcpus} physical CPU${world.host.pcpus === 1 ? '' : 's'}`;
    findings.push(finding(at('vcpus'), `found ${vm.vcpus}, but a native guest runs on the host's own ${pcpus}`));
  }
  return findings;
}

/** Rules of the hypervisor's kind: who may be there, and whether each VM gets what it asks for. */
function checkHypervisor(world: World): Finding[] {
  const { host, vms } = world;
  const kind = findKind(host.hypervisor);
  const findings: Finding[] = [];
  if (host.processes !== undefined && host.processes.length > 0 && !kind.hasProcesses) {
    const message = `found ${host.processes.length}, but ${kind.name} has no host OS to run processes; only type-2 has`;
    findings.push(finding(['host', 'processes'], message));
  }
  if (host.io_units !== undefined && kind.name !== 'type-0') {
    findings.push(finding(['host', 'io_units'], `found ${host.io_units}, but only type-0 gives devices away`));
  }
  const asks = vms.flatMap((vm, index) =>
    vmNames(vm).map((name) => ({
      name,
      index,
      need: {
        pcpus: vm.vcpus,
        ...(isExecuted(vm) ? { memoryBytes: bytesOf(vm) + tableBytes(vm), ioUnits: 1 } : NOTHING),
      },
    })),
  );
  const { pcpus, io_units: ioUnits = pcpus } = host;
  const has = { pcpus, memoryBytes: quantity('size', host.memory), ioUnits };
  const admissions = kind.admit(
    has,
    asks.map(({ need }) => need),
  );
  const refused = admissions.flatMap((admission, at) => {
    if (!isRefused(admission)) return [];
    const { name, index } = asks[at]!;
    const key = { pcpus: 'vcpus', memoryBytes: 'memory', ioUnits: 'name' }[admission.resource];
    return [finding(['vms', index, key], `${name} ${refusalText(admission)}`)];
  });
  // One that does not fit says why; that the sum is too much says nothing more.
  return [...findings, ...(refused.length > 0 ? refused.slice(0, 1) : checkMemory(world))];
}

/** A paravirtual kernel and its VMM belong together; guests that are files are looked at when they are loaded. */
function checkParavirtual(vm: ExecutedVmInput, at: (key: string) => (string | number)[]): Finding[] {
  const guest = GUESTS.find((entry) => entry.name === vm.guest);
  const kernels = GUESTS.filter((entry) => entry.native_guest !== undefined);
  if (vm.technique !== 'paravirtual') {
    if (guest?.native_guest === undefined) return [];
    const message = `found ${found(vm.technique)}, but ${guest.name} is a paravirtual kernel and needs paravirtual; ${guest.native_guest} is the same kernel for a machine of its own`;
    return [finding(at('technique'), message)];
  }
  const findings: Finding[] = [];
  if (guest !== undefined && guest.native_guest === undefined) {
    const other = kernels.find((entry) => entry.native_guest === guest.name)?.name;
    const allowed = other ?? `one of ${namesOf(kernels).join(', ')}`;
    const message = `found ${found(vm.guest)}, which is not a paravirtual kernel; paravirtual needs ${allowed}`;
    findings.push(finding(at('guest'), message));
  }
  if (vm.vcpus !== 1) findings.push(finding(at('vcpus'), `found ${vm.vcpus}, but a paravirtual guest has 1`));
  return [...findings, ...memorySize(at('memory'), vm.memory, GUEST_MEMORY_MIN, PV_MEMORY_MAX_BYTES)];
}

function checkMemory({ host, vms }: World): Finding[] {
  const executed = vms.filter(isExecuted);
  const perVm = executed.map((vm) => vm.count * bytesOf(vm));
  const guests = perVm.reduce((sum, bytes) => sum + bytes, 0);
  const tables = executed.reduce((sum, vm) => sum + vm.count * tableBytes(vm), 0);
  const available = quantity('size', host.memory);
  if (guests + tables <= available) return [];
  const more = tables > 0 ? `, and the VMM needs ${formatQuantity('size', tables)} for its tables` : '';
  const message = `found ${found(host.memory)}, but the VMs together have ${formatQuantity('size', guests)}${more}`;
  return [finding(['host', 'memory'], message)];
}

/** What a VM that does not execute needs beside pCPUs. */
const NOTHING = { memoryBytes: 0, ioUnits: 0 } as const;

const bytesOf = (vm: ExecutedVmInput): Bytes => quantity('size', vm.memory);

/** What the VMM reserves for one VM, in whole MiB; with paging auto, for the hungrier of the two. */
function tableBytes(vm: ExecutedVmInput): Bytes {
  const pages = bytesOf(vm) / PAGE_BYTES;
  const technique = vm.technique as TechniqueName;
  const pagings: readonly PagingName[] = vm.paging === 'nested' ? ['nested'] : ['shadow', 'nested'];
  const frames = Math.max(...pagings.map((paging) => tableFrames(technique, paging, pages, vm.vcpus)));
  return divCeil(frames * PAGE_BYTES, MIB) * MIB;
}

function within(
  path: readonly (string | number)[],
  kind: 'duration' | 'size' | 'frequency',
  text: string,
  min: number,
  max: number,
): Finding[] {
  const value = quantity(kind, text);
  if (value >= min && value <= max) return [];
  const range = `expected ${formatQuantity(kind, min)} to ${formatQuantity(kind, max)}`;
  return [finding(path, `found ${found(text)}, ${range}`)];
}

function memorySize(path: readonly (string | number)[], text: string, min: number, max: number): Finding[] {
  const range = within(path, 'size', text, min, max);
  if (range.length > 0 || quantity('size', text) % PAGE_BYTES === 0) return range;
  return [finding(path, `found ${found(text)}, expected a multiple of 4 KiB`)];
}

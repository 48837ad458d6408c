/**
 * Rules of a scenario about who runs where and when: topology, affinity, parameters of the scheduler, VMs that come and go.
 * Invariant: a world without findings can be built.
 */
import { findKind } from '../host/kinds/index.ts';
import { parsePcpus } from './affinity.ts';
import { checkHostOptions } from './host-options.ts';
import type { PolicyLoader } from './own-policy.ts';
import type { Path } from './paths.ts';
import { checkPolicyParams } from './policies.ts';
import { checkPools, policyFor } from './pools.ts';
import { type Finding, finding, found } from './problems.ts';
import type { World } from './schema.ts';
import { type AffinityInput, isExecuted, isModelled, type VmInput } from './schema-vms.ts';
import { quantity } from './units.ts';

export function checkScheduling(world: World, load: PolicyLoader): Finding[] {
  return [
    ...world.vms.flatMap((vm, index) => [
      ...checkParams(world, vm, index, load),
      ...checkAffinity(world, vm, index),
      ...checkTimes(world, vm, index),
    ]),
    ...checkThreads(world),
    ...checkHostOptions(world),
    ...checkPools(world),
  ];
}

/** The scheduler's own parameters of VMs and vCPUs. */
function checkParams({ host }: World, vm: VmInput, index: number, load: PolicyLoader): Finding[] {
  if (vm.scheduling === undefined && vm.vcpu_scheduling === undefined) return [];
  const policy = policyFor(host, vm, load);
  if (policy === undefined) return [];
  const at = (key: string): Path => ['vms', index, key];
  const findings: Finding[] = [];
  if (vm.scheduling !== undefined) {
    findings.push(...checkPolicyParams(policy, (one) => one.vmParams, vm.scheduling, at('scheduling')));
  }
  const perVcpu = vm.vcpu_scheduling;
  if (perVcpu === undefined) return findings;
  const path = at('vcpu_scheduling');
  if (!Array.isArray(perVcpu)) {
    return [...findings, ...checkPolicyParams(policy, (one) => one.vcpuParams, perVcpu, path)];
  }
  for (const [vcpu, values] of perVcpu.entries()) {
    findings.push(...checkPolicyParams(policy, (one) => one.vcpuParams, values, [...path, vcpu]));
  }
  return [...findings, ...checkLength(perVcpu.length, vm, path)];
}

/** Lists have one element for each vCPU. */
function checkLength(length: number, vm: VmInput, path: Path): Finding[] {
  if (length === vm.vcpus) return [];
  return [finding(path, `found a list of ${length}, expected ${vm.vcpus}, one for each vCPU`)];
}

function checkAffinity({ host }: World, vm: VmInput, index: number): Finding[] {
  const { affinity } = vm;
  if (affinity === undefined) return [];
  const path: Path = ['vms', index, 'affinity'];
  if (findKind(host.hypervisor).policy !== null) {
    return [finding(path, `found ${found(affinity)}, but ${host.hypervisor} gives each vCPU a pCPU itself`)];
  }
  if (isExecuted(vm) && vm.technique === 'native') {
    return [finding(path, `found ${found(affinity)}, but a native guest has the machine for itself`)];
  }
  if (!Array.isArray(affinity)) return checkMasks(affinity, host.pcpus, path);
  return [
    ...affinity.flatMap((one, vcpu) => checkMasks(one, host.pcpus, [...path, vcpu])),
    ...checkLength(affinity.length, vm, path),
  ];
}

function checkMasks({ hard, soft }: AffinityInput, pcpus: number, path: Path): Finding[] {
  const findings: Finding[] = [];
  for (const [key, list] of [
    ['hard', hard],
    ['soft', soft],
  ] as const) {
    if (list === undefined) continue;
    for (const [at, item] of list.entries()) {
      const ids = parsePcpus([item]);
      if (ids.length > 0 && ids.at(-1)! < pcpus) continue;
      const expected = pcpus === 1 ? '0, the only physical CPU' : `physical CPUs from 0 to ${pcpus - 1}`;
      findings.push(finding([...path, key, at], `found ${found(item)}, expected ${expected}`));
    }
  }
  return findings;
}

/** VMs come before they go, and change in between. */
function checkTimes({ duration, host }: World, vm: VmInput, index: number): Finding[] {
  if (!isModelled(vm)) return [];
  const start = quantity('duration', vm.start);
  const stop = quantity('duration', vm.stop ?? duration);
  const findings: Finding[] = [];
  if (vm.stop !== undefined && stop <= start) {
    findings.push(finding(['vms', index, 'stop'], `found ${found(vm.stop)}, but the VM comes at ${vm.start}`));
  }
  let before = start;
  for (const [n, change] of (vm.changes ?? []).entries()) {
    const at = quantity('duration', change.at);
    const path: Path = ['vms', index, 'changes', n, 'at'];
    if (at < before) findings.push(finding(path, `found ${found(change.at)}, but changes stand in the order of time`));
    if (at >= stop) findings.push(finding(path, `found ${found(change.at)}, but the VM is gone by then`));
    before = at;
    if (change.vcpus !== undefined && findKind(host.hypervisor).policy !== null) {
      findings.push(
        finding(
          ['vms', index, 'changes', n, 'vcpus'],
          `found ${change.vcpus}, but ${host.hypervisor} gives a VM its physical CPUs for good when it is created`,
        ),
      );
    }
  }
  if (vm.changes !== undefined && (Array.isArray(vm.affinity) || Array.isArray(vm.vcpu_scheduling))) {
    const key = Array.isArray(vm.affinity) ? 'affinity' : 'vcpu_scheduling';
    if (vm.changes.some((change) => change.vcpus !== undefined)) {
      findings.push(
        finding(['vms', index, key], 'found a list, but the number of vCPUs changes; expected one mapping'),
      );
    }
  }
  return findings;
}

function checkThreads({ host }: World): Finding[] {
  const count = host.threads?.length ?? 0;
  if (count === 0) return [];
  const kind = findKind(host.hypervisor);
  if (kind.name === 'type-1') return [];
  const instead = kind.hasProcesses ? '; processes of its host OS are host.processes' : '';
  const message = `found ${count}, but threads of the hypervisor run under type-1 only, not ${kind.name}${instead}`;
  return [finding(['host', 'threads'], message)];
}

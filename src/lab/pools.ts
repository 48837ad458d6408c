/**
 * CPU pools as a scenario has them: who has which physical CPUs, which scheduler a VM runs under, and what can be wrong.
 * Invariant: in a world without findings every physical CPU is in one pool, and every VM and thread has one.
 */
import { findKind } from '../host/kinds/index.ts';
import type { SchedulerPolicy } from '../host/scheduler.ts';
import { parsePcpus } from './affinity.ts';
import type { PolicyLoader } from './own-policy.ts';
import type { Path } from './paths.ts';
import { policyOf } from './policies.ts';
import { type Finding, finding, found } from './problems.ts';
import type { Pool, World } from './schema.ts';
import { isExecuted, type VmInput } from './schema-vms.ts';
import { didYouMean } from './suggest.ts';

/** The pool of those who name none. */
export const DEFAULT_POOL = 'default';

type Host = World['host'];

/** A pool with the ids of its pCPUs in ascending order; without `scheduler` it has that of the host. */
export interface PoolPart {
  readonly name: string;
  readonly pcpus: readonly number[];
  readonly scheduler?: NonNullable<Pool['scheduler']>;
}

/** All pools of the host, the default one first if it has a pCPU; none if the scenario has none. */
export function poolParts({ pools, pcpus }: Host): PoolPart[] {
  if (pools === undefined) return [];
  const named = pools.map(({ name, pcpus: list, scheduler }) => ({
    name,
    pcpus: idsOf(list),
    ...(scheduler === undefined ? {} : { scheduler }),
  }));
  const taken = new Set(named.flatMap((pool) => pool.pcpus));
  const rest = Array.from({ length: pcpus }, (_, id) => id).filter((id) => !taken.has(id));
  return rest.length === 0 ? named : [{ name: DEFAULT_POOL, pcpus: rest }, ...named];
}

function idsOf(list: Pool['pcpus']): number[] {
  return parsePcpus(Array.isArray(list) ? list : [list]);
}

/** The policy that a VM runs under. Undefined: there is none, which is reported elsewhere. */
export function policyFor(host: Host, vm: VmInput, load: PolicyLoader): SchedulerPolicy | undefined {
  const { policy } = findKind(host.hypervisor);
  if (policy !== null) return policy;
  const own = host.pools?.find(({ name }) => name === vm.pool)?.scheduler;
  return policyOf(own ?? host.scheduler, load);
}

export function checkPools({ host, vms }: World): Finding[] {
  if (host.pools === undefined) {
    return vms.flatMap(({ pool }, index) =>
      pool === undefined ? [] : [finding(['vms', index, 'pool'], `found ${found(pool)}, but there is no host.pools`)],
    );
  }
  if (findKind(host.hypervisor).policy !== null) {
    return [
      finding(['host', 'pools'], `found ${host.pools.length}, but ${host.hypervisor} gives each vCPU a pCPU itself`),
    ];
  }
  const faults = checkParts(host.pools, host.pcpus);
  if (faults.length > 0) return faults;
  const parts = poolParts(host);
  return [...vms.flatMap((vm, index) => checkMember(parts, vm, index)), ...checkThreads(parts, host)];
}

/** Names, and who has which pCPUs. */
function checkParts(pools: readonly Pool[], pcpus: number): Finding[] {
  const findings: Finding[] = [];
  const owners = new Map<number, string>();
  const names = new Set([DEFAULT_POOL]);
  for (const [index, { name, pcpus: list }] of pools.entries()) {
    const at: Path = ['host', 'pools', index];
    if (names.has(name)) {
      const why =
        name === DEFAULT_POOL ? 'that is the pool of the physical CPUs in no other' : 'another pool has that name';
      findings.push(finding([...at, 'name'], `found ${found(name)}, but ${why}`));
    }
    names.add(name);
    const items = Array.isArray(list) ? list : [list];
    for (const [n, item] of items.entries()) {
      const path = Array.isArray(list) ? [...at, 'pcpus', n] : [...at, 'pcpus'];
      const ids = parsePcpus([item]);
      if (ids.length === 0 || ids.at(-1)! >= pcpus) {
        const expected = pcpus === 1 ? '0, the only physical CPU' : `physical CPUs from 0 to ${pcpus - 1}`;
        findings.push(finding(path, `found ${found(item)}, expected ${expected}`));
        continue;
      }
      const shared = ids.find((id) => owners.has(id) && owners.get(id) !== name);
      if (shared !== undefined) {
        findings.push(
          finding(path, `found ${found(item)}, but physical CPU ${shared} is in pool ${owners.get(shared)}`),
        );
      }
      for (const id of ids) owners.set(id, name);
    }
  }
  return findings;
}

function checkMember(parts: readonly PoolPart[], vm: VmInput, index: number): Finding[] {
  const path: Path = ['vms', index, 'pool'];
  if (isExecuted(vm) && vm.technique === 'native') {
    if (vm.pool === undefined) return [];
    return [finding(path, `found ${found(vm.pool)}, but a native guest has the machine for itself`)];
  }
  const names = parts.map(({ name }) => name);
  const part = parts.find(({ name }) => name === (vm.pool ?? DEFAULT_POOL));
  if (part === undefined) {
    const expected = `expected one of ${names.join(', ')}`;
    if (vm.pool === undefined) {
      return [{ ...finding(path, `missing: no physical CPU is outside of host.pools, ${expected}`), missing: true }];
    }
    return [finding(path, `found ${found(vm.pool)}, ${expected}.${didYouMean(vm.pool, names)}`.replace(/\.$/, ''))];
  }
  const masks = Array.isArray(vm.affinity) ? vm.affinity : [vm.affinity ?? {}];
  const listed = Array.isArray(vm.affinity);
  return masks.flatMap(({ hard }, vcpu) => {
    if (hard === undefined || parsePcpus(hard).some((id) => part.pcpus.includes(id))) return [];
    const at: Path = ['vms', index, 'affinity', ...(listed ? [vcpu] : []), 'hard'];
    return [finding(at, `found ${found(hard)}, but pool ${part.name} has none of these physical CPUs`)];
  });
}

function checkThreads(parts: readonly PoolPart[], host: Host): Finding[] {
  if (parts[0]?.name === DEFAULT_POOL) return [];
  return (['processes', 'threads'] as const).flatMap((key) => {
    const count = host[key]?.length ?? 0;
    if (count === 0) return [];
    return [
      finding(
        ['host', key],
        `found ${count}, but they run in the pool default, and host.pools leaves it no physical CPU`,
      ),
    ];
  });
}

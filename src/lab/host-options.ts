/**
 * From what a scenario says about cold caches and halt polling to plain data in cycles and nanoseconds.
 * Invariant: a duration becomes the least number of cycles that lasts at least as long.
 */
import type { Cycles, Hz } from '../core/units.ts';
import type { CacheRefill } from '../host/cache-refill.ts';
import type { HaltPollingSettings } from '../host/halt-polling.ts';
import type { Path } from './paths.ts';
import { type Finding, finding, found } from './problems.ts';
import type { World } from './schema.ts';
import type { CacheRefillInput, HaltPollingInput } from './schema-host.ts';
import { isModelled } from './schema-vms.ts';
import { quantity } from './units.ts';

const NS_PER_S = 1_000_000_000n;

export function refillOf(input: CacheRefillInput, hz: Hz): CacheRefill {
  const cycles = (cost: number | string): Cycles =>
    typeof cost === 'number'
      ? cost
      : Number((BigInt(quantity('duration', cost)) * BigInt(hz) + NS_PER_S - 1n) / NS_PER_S);
  return {
    core: cycles(input.core),
    socket: cycles(input.socket),
    other: cycles(input.other),
    same: cycles(input.same),
    fullAfter: quantity('duration', input.full_after),
  };
}

export function haltPollingOf(input: HaltPollingInput): HaltPollingSettings {
  return {
    halt_poll_ns: quantity('duration', input.max),
    grow: input.grow,
    grow_start_ns: quantity('duration', input.grow_start),
    shrink: input.shrink,
  };
}

/** Bounds that a schema cannot have: those of texts, and of numbers that depend on each other. */
export function checkHostOptions({ host, vms }: World): Finding[] {
  const findings: Finding[] = [];
  const { cores_per_socket: cores = 1, nodes_per_socket: nodes = 1 } = host.topology ?? {};
  if (cores % nodes !== 0) {
    const message = `found ${nodes}, expected a divisor of cores_per_socket, ${cores}`;
    findings.push(finding(['host', 'topology', 'nodes_per_socket'], message));
  }
  findings.push(...checkMemoryPlaces({ host, vms }));
  const bounded = (path: Path, text: string, least: string, most: string): void => {
    const value = quantity('duration', text);
    if (value >= quantity('duration', least) && value <= quantity('duration', most)) return;
    findings.push(finding(path, `found ${found(text)}, expected a duration from ${least} to ${most}`));
  };
  if (host.cache_refill !== undefined) {
    for (const key of ['core', 'socket', 'other', 'same'] as const) {
      const cost = host.cache_refill[key];
      if (typeof cost === 'string') bounded(['host', 'cache_refill', key], cost, '0 ns', '1 s');
    }
    bounded(['host', 'cache_refill', 'full_after'], host.cache_refill.full_after, '1 ns', '1000 s');
  }
  const polling: [Path, HaltPollingInput | undefined][] = [
    [['host', 'halt_polling'], host.halt_polling],
    ...vms.map((vm, index): [Path, HaltPollingInput | undefined] => [['vms', index, 'halt_polling'], vm.halt_polling]),
  ];
  for (const [path, input] of polling) {
    if (input === undefined) continue;
    bounded([...path, 'max'], input.max, '0 ns', '1 s');
    bounded([...path, 'grow_start'], input.grow_start, '1 ns', '1 s');
  }
  return findings;
}

/** Memory lies on a node that there is. */
function checkMemoryPlaces({ host, vms }: Pick<World, 'host' | 'vms'>): Finding[] {
  const { sockets = 1, nodes_per_socket: nodes = 1 } = host.topology ?? {};
  const last = sockets * nodes - 1;
  return vms.flatMap((vm, index) => {
    if (!isModelled(vm) || vm.memory_place === undefined || vm.memory_place.node <= last) return [];
    const expected = last === 0 ? '0, the only memory node' : `a memory node from 0 to ${last}`;
    return [finding(['vms', index, 'memory_place', 'node'], `found ${vm.memory_place.node}, expected ${expected}`)];
  });
}

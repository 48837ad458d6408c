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
} from '../core/runnable.ts';
import type { RunOutcome } from '../host/dispatch.ts';
import type { PhysicalMachine } from '../vmm/machine.ts';
import type { World } from './build.ts';
import type { PcpuRecord, RunRecord } from './rows.ts';
import { schedulingRecord } from './scheduling/collect.ts';

export function collect(world: World, outcome: RunOutcome): RunRecord {
  const vms = world.all.map((vm) => vm.record());
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
    ...(world.monitor === null ? {} : { scheduling: schedulingRecord(world.dispatcher, world.monitor, world.all) }),
  };
}

function pcpuRecord(machine: PhysicalMachine, pcpu: number, spent: Float64Array): PcpuRecord {
  // Without guests nobody uses an MMU, and there is none.
  const mmu = machine.mmus[pcpu];
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
    tlbMisses: mmu === undefined ? 0 : mmu.itlb.misses + mmu.dtlb.misses,
    tlbFlushes: mmu === undefined ? 0 : mmu.itlb.flushes + mmu.dtlb.flushes,
  };
}

/** Fingerprint of the history of a world and of what its guests made of it. */
export function digestOf(world: World): string {
  const digest = new Digest();
  digest.text(world.trace.digest.hex());
  for (const vm of world.all) vm.addTo(digest);
  return digest.hex();
}

/**
 * Two engines, one result: whatever a guest does, under every technique, compiled code gives the registers, memory,
 * instructions, time, exits, console and trace digest of the interpreter, whenever things are compiled.
 * The expected values are the interpreter's, which other tests compare with real CPUs, QEMU and Bochs.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NS_PER_SECOND } from '../../src/core/units.ts';
import { type GuestImage, readGuestImage } from '../../src/guest/image.ts';
import { buildWorld, finishWorld } from '../../src/lab/build.ts';
import { collect } from '../../src/lab/collect.ts';
import type { ResolvedRun } from '../../src/lab/plan.ts';
import { ENGINE_NAMES } from '../../src/vmm/machine.ts';
import type { PagingName, TechniqueName } from '../../src/vmm/technique.ts';
import { kernelFile } from '../system/machine.ts';
import { guest, type RunEnd, runVm } from './run-vm.ts';

interface Way {
  readonly technique: TechniqueName;
  readonly paging: PagingName;
  readonly taggedTlb?: boolean;
  readonly preset: string;
}

const [OLD, NEW] = ['pentium4-672', 'broadwell'];
const WAYS: readonly Way[] = [
  { technique: 'native', paging: 'native', preset: OLD },
  { technique: 'trap-and-emulate', paging: 'shadow', preset: OLD },
  { technique: 'hardware-assisted', paging: 'shadow', preset: NEW },
  { technique: 'hardware-assisted', paging: 'nested', taggedTlb: true, preset: NEW },
  { technique: 'binary-translation', paging: 'shadow', preset: OLD },
];
const MORE_WAYS: readonly Way[] = [
  { technique: 'native', paging: 'native', preset: NEW },
  { technique: 'trap-and-emulate', paging: 'shadow', preset: NEW },
  { technique: 'binary-translation', paging: 'shadow', preset: NEW },
  { technique: 'hardware-assisted', paging: 'shadow', taggedTlb: true, preset: NEW },
  { technique: 'hardware-assisted', paging: 'shadow', preset: OLD },
  { technique: 'hardware-assisted', paging: 'nested', preset: NEW },
];
const label = (way: Way): string => Object.values(way).join(' ');

/** Everything that a run leaves behind. */
function bookOf({ vm, instructions, state, memoryHash, simulatedNs, digest }: RunEnd): object {
  return {
    outcome: vm.outcome,
    console: vm.consoleText(),
    instructions,
    state,
    memoryHash,
    simulatedNs,
    digest,
    exits: vm.exits.sorted(),
    divergences: vm.divergences,
    workUnits: vm.workUnits,
  };
}

/** Runs a guest by both engines; `hotAfter` when things are compiled, undefined for the default. */
function compare(
  image: GuestImage,
  append: string,
  way: Way,
  hotAfters: readonly (number | undefined)[],
  seconds: number,
): void {
  const options = { image, append, seconds, memoryBytes: 8 * 2 ** 20, ...way };
  const expected = bookOf(runVm({ ...options, cpuEngine: 'interpreter' }));
  for (const hotAfter of hotAfters) {
    const seen = bookOf(runVm({ ...options, cpuEngine: 'compiled', ...(hotAfter === undefined ? {} : { hotAfter }) }));
    expect(seen, `${label(way)}, hot after ${hotAfter ?? 'the default'}`).toEqual(expected);
  }
}

const WORKLOADS = [
  'sieve n=3000 rounds=3',
  'matmul n=12 rounds=3',
  'calls depth=9 rounds=4',
  'chase pages=251 hops=15000 seed=7',
  'syscall n=1200',
  'pgfault n=200',
  'ptemod n=1500',
  'forkwait n=3',
  'io n=1000',
  'idle ticks=3 hz=1000',
  'web requests=4 gap=1 work=2000 seed=3 hz=1000',
  'mix tasks=3 work=4000 hz=1000',
  'faults',
  'bogus',
  'sieve n=0',
];

describe.each(['nano', 'nano-clean'])('%s', (name) => {
  const image = guest(name);

  it.each(WORKLOADS)('%s', (append) => {
    const hotAfters = name === 'nano' ? [undefined, 2] : [2];
    for (const way of WAYS) compare(image, append, way, hotAfters, 0.5);
  });

  it.each(MORE_WAYS)('mix, $technique $paging $preset', (way) => {
    compare(image, 'mix tasks=3 work=4000 hz=5000', way, [1], 0.5);
  });

  it('without a timer', () => {
    for (const way of WAYS) compare(image, 'forkwait n=2 hz=0', way, [1], 0.5);
  });
});

/** Kernels for a machine of their own; paravirtual ones are compared in test/vmm/paravirtual. */
const OTHERS = readdirSync(new URL('../../guests/bin/', import.meta.url))
  .filter((file) => file.endsWith('.elf') && !/\.rv32\.elf$|-pv\.elf$|^nano(-clean)?\.elf$/.test(file))
  .map((file) => file.replace('.elf', ''));

it.each(OTHERS)('%s', (name) => {
  for (const way of WAYS) compare(guest(name), '', way, [1], 0.001);
});

/** Kernels of other tests: what each must do is said there. */
function kernelsOf(folder: string): string[] {
  const url = new URL(folder, import.meta.url);
  return readdirSync(url)
    .filter((file) => file.endsWith('.elf'))
    .map((file) => new URL(file, url).pathname);
}

describe.each(['regressions/bin/', '../system/bin/'])('kernels of %s', (folder) => {
  const ways = folder.startsWith('..') ? [WAYS[0]!, WAYS[3]!] : WAYS;

  it.each(kernelsOf(folder).map((path) => [path.slice(path.lastIndexOf('/') + 1), path]))('%s', (_name, path) => {
    for (const way of ways) compare(readGuestImage(path, 'kernel'), '', way, [1], 0.0004);
  });
});

const MIB = 2 ** 20;

/** Several VMs and vCPUs, so that compiled code is shared between them, on a host of two CPUs. */
function sharedHost(paging: PagingName, technique: TechniqueName, vcpus: number): ResolvedRun {
  const vm = { technique, paging, taggedTlb: true, weight: 256, capPercent: 0, baselineRun: null };
  const nano = { ...vm, guest: 'nano', imageFile: null, workload: 'mix tasks=2 work=6000 hz=1000' };
  const smp = { ...vm, guest: 'smp', imageFile: kernelFile('smp'), workload: '' };
  const others =
    technique === 'native' ? [] : [1, 2].map((n) => ({ ...nano, name: `nano${n}`, memoryBytes: 8 * MIB, vcpus: 1 }));
  return {
    runId: 1,
    role: 'point',
    seed: 1,
    axes: {},
    durationNs: 0.05 * NS_PER_SECOND,
    host: {
      preset: NEW,
      frequencyHz: 200_000_000,
      pcpus: 2,
      memoryBytes: 128 * MIB,
      quantumNs: 20_000,
      scheduler: { policy: 'round-robin', params: {} },
    },
    vms: [{ ...smp, name: 'smp', memoryBytes: 16 * MIB, vcpus }, ...others],
  };
}

it.each([
  ['native', 'native', 2],
  ['nested', 'hardware-assisted', 4],
  ['shadow', 'hardware-assisted', 2],
] as const)('a host of several VMs with several CPUs: %s %s %i', (paging, technique, vcpus) => {
  const run = sharedHost(paging, technique, vcpus);
  const records = ENGINE_NAMES.map((engine) => {
    const world = buildWorld(run, { engine });
    world.vms[0]!.vm.machine.codeCache.hotAfter = 2;
    const outcome = finishWorld(world);
    const machines = world.vms.map(({ vm }) => [vm.consoleText(), vm.memoryHash(), vm.exits.sorted(), vm.outcome]);
    return { record: collect(world, outcome), machines };
  });
  expect(records[1]).toEqual(records[0]);
});

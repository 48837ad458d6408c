/**
 * Guests that want out. The written ones print and leave behind under every technique what they do on the bare machine; random
 * kernel code reaches nothing that is not its own. The campaign is `npm run fuzz -- --hostile`; here are a few of its cases.
 */
import { describe, expect, it } from 'vitest';
import { readCatalogue } from '../../src/guest/catalogue.ts';
import { findEscapes } from '../../src/vmm/audit.ts';
import { PhysicalMachine } from '../../src/vmm/machine.ts';
import { findPreset } from '../../src/vmm/presets/index.ts';
import { runHostile, WAYS, wayName } from '../fuzz/hostile.ts';
import { guest, runVm } from './run-vm.ts';

const hostiles = readCatalogue()
  .guests.filter(({ native_guest: other }) => other === undefined)
  .map(({ name }) => name)
  .filter((name) => name.startsWith('hostile-') && name !== 'hostile-hog');

describe.each(hostiles)('%s', (name) => {
  const native = runVm({ image: guest(name), technique: 'native', paging: 'native' });

  it.each(WAYS.map((way) => [wayName(way), way] as const))('ends under %s as on the bare machine', (_words, way) => {
    const end = runVm({ image: guest(name), ...way });
    expect(end.vm.outcome?.kind).toBe(native.vm.outcome?.kind);
    expect(end.vm.consoleText()).toBe(native.vm.consoleText());
    expect(end.vm.workUnits).toBe(native.vm.workUnits);
    expect(end.instructions).toBe(native.instructions);
    expect(end.state).toEqual(native.state);
    expect(end.memoryHash).toBe(native.memoryHash);
  });
});

describe.each(WAYS)('random kernel code under $technique $paging', (way) => {
  it.each([1, 2, 3])('reaches nothing that is not its own, seed %i', (seed) => {
    const { violations, instructions } = runHostile(way, seed);
    expect(violations).toEqual([]);
    expect(instructions).toBeGreaterThan(1000);
  });
});

describe('random kernel code with VT-x', () => {
  const ways = WAYS.filter(({ technique }) => technique === 'hardware-assisted');
  // Of cases that end by themselves; the others were stopped at different places.
  it.each([3, 5, 8])('does what it does on the bare machine, seed %i', (seed) => {
    const native = runHostile({ technique: 'native', paging: 'native' }, seed);
    if (native.outcome === 'time-limit') return;
    // Who finds out that the CPU is shut down says so in words of its own.
    for (const way of ways) expect({ ...runHostile(way, seed), detail: '' }).toEqual({ ...native, detail: '' });
  });
});

describe('the audit', () => {
  it('finds a translation that leads to a frame of somebody else', () => {
    const { vm } = runVm({ image: guest('hello'), technique: 'hardware-assisted', paging: 'nested', seconds: 1 });
    const [mmu] = vm.machine.mmus;
    expect(findEscapes(vm.machine, [vm])).toEqual([]);
    const foreign = vm.machine.memory.allocateFrame(7);
    mmu!.dtlb.insert(5, mmu!.asid, foreign, 0);
    expect(findEscapes(vm.machine, [vm])).toEqual([{ vm: 'vm', page: 5, mfn: foreign, owner: 7 }]);
  });

  it('looks at every page of a large entry', () => {
    const machine = new PhysicalMachine(findPreset('broadwell'), 64, 1, 1);
    const pages: number[] = [];
    machine.mmus[0]!.dtlb.insert(1024, 1, 2048, 16);
    machine.mmus[0]!.dtlb.forEach((page) => {
      pages.push(page);
    });
    expect([pages.length, pages[0], pages.at(-1)]).toEqual([1024, 1024, 2047]);
  });
});

/**
 * Random machine code in ring 1: whatever it does, it stays in its VM. `HOSTILE_SEEDS=400` makes a campaign of the short run
 * (about ten million guest instructions).
 * What is looked at does not ask the code under test: frames of others, the VMM's tables, and the page tables in force.
 */
import { describe, expect, it } from 'vitest';
import { guest, type RunEnd, runVm } from '../run-vm.ts';

const SEEDS = Number(process.env['HOSTILE_SEEDS'] ?? 30);
const image = guest('hostile-pv');

function run(seed: number, cpuEngine: 'compiled' | 'interpreter' = 'compiled'): RunEnd {
  const append = `seed=${seed * 7919 + 1} rounds=400`;
  return runVm({
    image,
    append,
    technique: 'paravirtual',
    paging: 'direct',
    memoryBytes: 4 * 2 ** 20,
    seconds: 0.5,
    cpuEngine,
    hotAfter: 2,
  });
}

/** What the VMM has in its 4 MiB: page table, GDT, IDT, TSS, in this order. */
function checkVmm({ vm }: RunEnd): void {
  const { memory } = vm.machine;
  const words = (mfn: number, count: number) => [...memory.words32.subarray(mfn * 1024, mfn * 1024 + count)];
  const own: number[] = [];
  for (let mfn = 0; mfn < memory.frameFlags.length; mfn++) if (memory.ownerOf(mfn) === vm.vmmOwner) own.push(mfn);
  const [table, gdt, idt, tss] = own as [number, number, number, number];
  expect(words(table, 4).map((entry) => [entry >>> 12, entry & 7])).toEqual([
    [gdt, 3],
    [idt, 3],
    [tss, 3],
    [0, 0],
  ]);
  // Null, ring 1 code and data, ring 3 code and data, each ending at 0xffbfffff.
  const flat = [0xfbff, 0x00cfbb00, 0xfbff, 0x00cfb300, 0xfbff, 0x00cffb00, 0xfbff, 0x00cff300];
  expect(words(gdt, 12)).toEqual([0, 0, ...flat, 0, 0]);
  for (let vector = 0; vector < 256; vector++) {
    const [low, high] = words(idt, 512).slice(vector * 2, vector * 2 + 2) as [number, number];
    if (high !== 0) expect(low >>> 16, `gate ${vector} leads to ring 1`).toBe(0x09);
  }
  expect(words(tss, 26)[4]! === 0x11 || words(tss, 26)[4]! === 0).toBe(true);
}

/** Walks the page tables in force: no frame of others, no table that is writable somewhere. */
function checkTables({ vm, state }: RunEnd): void {
  const { memory } = vm.machine;
  const root = state.cr3 >>> 12;
  const tables = new Set([root]);
  const writable = new Set<number>();
  expect(memory.ownerOf(root)).toBe(vm.owner);
  for (let slot = 0; slot < 1024; slot++) {
    const pde = memory.words32[root * 1024 + slot]!;
    if ((pde & 1) === 0) continue;
    expect(memory.ownerOf(pde >>> 12)).toBe(slot === 1023 ? vm.vmmOwner : vm.owner);
    expect(pde & 0x80).toBe(0);
    if (slot === 1023) continue;
    tables.add(pde >>> 12);
    for (let at = 0; at < 1024; at++) {
      const pte = memory.words32[(pde >>> 12) * 1024 + at]!;
      if ((pte & 1) === 0) continue;
      if (memory.ownerOf(pte >>> 12) !== vm.owner) throw new Error(`frame ${pte >>> 12} is not the guest's`);
      if ((pte & 2) !== 0) writable.add(pte >>> 12);
    }
  }
  expect([...tables].filter((mfn) => writable.has(mfn))).toEqual([]);
}

describe(`random code in ring 1, ${SEEDS} seeds`, () => {
  it('touches nothing that is not its own', () => {
    let instructions = 0;
    const outcomes = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const end = run(seed);
      const { memory } = end.vm.machine;
      // Nobody else is there, so whatever the VM does not own must still be zero.
      for (let mfn = 0; mfn < memory.frameFlags.length; mfn++) {
        if (memory.ownerOf(mfn) !== -1) continue;
        if (memory.words32.subarray(mfn * 1024, mfn * 1024 + 1024).some((word) => word !== 0)) {
          throw new Error(`seed ${seed}: frame ${mfn} of nobody was written`);
        }
      }
      checkVmm(end);
      checkTables(end);
      expect([1, 3], `seed ${seed}`).toContain(end.state.cpl);
      instructions += end.instructions;
      const kind = end.vm.outcome?.kind ?? '';
      outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
    }
    expect(instructions).toBeGreaterThan(SEEDS * 1000);
    expect([...outcomes.keys()].filter((kind) => kind === 'unimplemented')).toEqual([]);
  }, 3_600_000);

  it('ends the same with both engines', () => {
    for (let seed = 1; seed <= Math.min(SEEDS, 8); seed++) {
      const [fast, slow] = [run(seed, 'compiled'), run(seed, 'interpreter')];
      expect({ ...fast, vm: 0 }, `seed ${seed}`).toEqual({ ...slow, vm: 0 });
      expect(fast.vm.outcome).toEqual(slow.vm.outcome);
      expect(fast.vm.exits.sorted()).toEqual(slow.vm.exits.sorted());
    }
  });
});

/**
 * Decoded code follows bytes that change in other ways than by a CPU's store: accessed bits that a walk sets in a table
 * which is executed too, a loader, a frame that goes back to the machine.
 */
import { beforeEach, expect, test } from 'vitest';
import { CodeCache, type CodePage } from '../../src/machine/code-cache.ts';
import { Insn } from '../../src/machine/insn.ts';
import { nop } from '../../src/machine/isa/nop.ts';
import { FRAME_CODE, MachineMemory } from '../../src/machine/memory.ts';
import { CR0_PG, GuestWalker, PTE_ACCESSED, PTE_PRESENT } from '../../src/machine/paging.ts';
import { PhysMap } from '../../src/machine/physmap.ts';
import { FLAT_TIMING } from './helpers/user-cpu.ts';

const OWNER = 3;
let memory: MachineMemory;
let physmap: PhysMap;
let page: CodePage;

function insnOf(length: number): Insn {
  const insn = new Insn(nop, () => {});
  insn.length = length;
  return insn;
}

beforeEach(() => {
  memory = new MachineMemory(4);
  physmap = new PhysMap(memory, 4);
  for (let gfn = 0; gfn < 4; gfn++) physmap.mfnOf[gfn] = memory.allocateFrame(OWNER);
  const cache = new CodeCache(memory, FLAT_TIMING);
  page = cache.page(physmap.lookup(1), true);
  cache.remember(page, 0x0e, insnOf(3));
  cache.remember(page, 0x20, insnOf(1));
});

test('a walk that sets an accessed bit drops the instruction that the bit belongs to, and no other', () => {
  // Directory in frame 0, table in frame 1 (which holds the instructions), page in frame 2.
  physmap.memory.words32[physmap.lookup(0) << 10] = 0x1000 | PTE_PRESENT;
  physmap.memory.words32[(physmap.lookup(1) << 10) + 4] = 0x2000 | PTE_PRESENT;
  const walker = new GuestWalker(physmap);
  walker.walk({ cr0: CR0_PG, cr3: 0, cr4: 0 }, 0x4000, 0);
  expect(physmap.read32(0x1010)).toBe(0x2000 | PTE_PRESENT | PTE_ACCESSED);
  expect([page.insns[0x0e], page.insns[0x20]?.length]).toEqual([undefined, 1]);
});

test('a frame that is given back holds no code', () => {
  const mfn = physmap.lookup(1);
  expect(memory.frameFlags[mfn]).toBe(FRAME_CODE);
  memory.freeFrame(mfn, OWNER);
  expect([page.insns[0x0e], page.insns[0x20]]).toEqual([undefined, undefined]);
  expect(memory.frameFlags[mfn]).toBe(0);
});

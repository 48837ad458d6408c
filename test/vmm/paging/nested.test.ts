/** Nested page tables: exact counts of references, leaves of both sizes, rights, and violations. */
import { beforeEach, describe, expect, test } from 'vitest';
import { MachineMemory } from '../../../src/machine/memory.ts';
import {
  ACCESS_FETCH,
  ACCESS_USER,
  ACCESS_WRITE,
  CR0_PG,
  type PagingRegisters,
  PDE_LARGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITABLE,
  WALK_NESTED_FAULT,
  WALK_OK,
  WALK_PAGE_FAULT,
} from '../../../src/machine/paging.ts';
import { PhysMap } from '../../../src/machine/physmap.ts';
import { TLB_DIRTY, TLB_KERNEL_WRITABLE, TLB_LARGE, TLB_WRITABLE } from '../../../src/machine/tlb.ts';
import { NESTED_ALL, NESTED_EXECUTE, NESTED_READ, NESTED_WRITE, NestedPaging } from '../../../src/vmm/paging/nested.ts';
import { NestedWalker } from '../../../src/vmm/paging/nested-walker.ts';
import { pagingRegisters, VMM_OWNER } from './world.ts';

const RAM_FRAMES = 2048; // 8 MiB
const PD = 1;
const PT = 2;
const DATA = 8;
const PWU = PTE_PRESENT | PTE_WRITABLE | PTE_USER;
const SMALL_LIN = 0x5000;
const LARGE_LIN = (1 << 22) | 0x7000;

let memory: MachineMemory;
let physmap: PhysMap;
let registers: PagingRegisters;

/** 8 MiB of guest memory over one run of machine frames that starts at a multiple of 2 MiB. */
beforeEach(() => {
  memory = new MachineMemory(RAM_FRAMES + 1024);
  physmap = new PhysMap(memory, RAM_FRAMES);
  for (let gfn = 0; gfn < RAM_FRAMES; gfn++) physmap.mfnOf[gfn] = 512 + gfn;
  registers = pagingRegisters(PD << 12);
  physmap.write32(PD << 12, (PT << 12) | PWU);
  physmap.write32((PD << 12) | 4, (1024 << 12) | PWU | PDE_LARGE);
  physmap.write32((PT << 12) | (5 << 2), (DATA << 12) | PWU);
});

function make(largeLeaves: boolean, nestedTlbEntries = 0): { nested: NestedPaging; walker: NestedWalker } {
  const nested = new NestedPaging(memory, physmap, { owner: VMM_OWNER, largeLeaves });
  return { nested, walker: new NestedWalker(memory, nested, { nestedTlbEntries }) };
}

/** Walks until nothing is missing any more. */
function settle(nested: NestedPaging, walker: NestedWalker, lin: number, access = 0): number {
  for (let i = 0; i < 8; i++) {
    const code = walker.walk(registers, lin, access);
    if (code !== WALK_NESTED_FAULT) return code;
    if (nested.handleViolation(walker.faultGpa) === 'absent') return code;
  }
  throw new Error('violations do not end');
}

describe('references of a walk', () => {
  test.each([
    ['4 KiB leaves, guest paging off', false, 'off', 4],
    ['4 KiB leaves, guest 4 KiB page', false, 'small', 14],
    ['4 KiB leaves, guest 4 MiB page', false, 'large', 9],
    ['2 MiB leaves, guest paging off', true, 'off', 3],
    ['2 MiB leaves, guest 4 KiB page', true, 'small', 11],
    ['2 MiB leaves, guest 4 MiB page', true, 'large', 7],
  ])('%s', (_name, largeLeaves, guest, references) => {
    const { nested, walker } = make(largeLeaves);
    if (guest === 'off') registers.cr0 &= ~CR0_PG;
    const lin = guest === 'large' ? LARGE_LIN : SMALL_LIN;
    expect(settle(nested, walker, lin)).toBe(WALK_OK);
    expect(walker.walk(registers, lin, 0)).toBe(WALK_OK);
    expect(walker.references).toBe(references);
  });

  test('a fault stops where it is found', () => {
    const { nested, walker } = make(false);
    settle(nested, walker, SMALL_LIN);
    expect(walker.walk(registers, 0x6000, ACCESS_USER)).toBe(WALK_PAGE_FAULT);
    expect(walker.references).toBe(10);
    expect(walker.errorCode).toBe(ACCESS_USER);
    expect(walker.walk(registers, 0x1000000, 0)).toBe(WALK_PAGE_FAULT);
    expect(walker.references).toBe(5);
  });

  test('a nested TLB leaves out the translation of known tables', () => {
    const { nested, walker } = make(false, 2);
    settle(nested, walker, SMALL_LIN);
    walker.walk(registers, SMALL_LIN, 0);
    expect(walker.references).toBe(6);
    nested.unmap(PT);
    expect(walker.walk(registers, SMALL_LIN, 0)).toBe(WALK_NESTED_FAULT);
    nested.handleViolation(walker.faultGpa);
    walker.walk(registers, SMALL_LIN, 0);
    expect(walker.references).toBe(2 + 4 + 4); // the directory is known again since the failed walk
  });
});

describe('violations', () => {
  test('name the address, the access, and whether a table was hit', () => {
    const { nested, walker } = make(false);
    expect(walker.walk(registers, SMALL_LIN | 0x34, ACCESS_WRITE)).toBe(WALK_NESTED_FAULT);
    expect(walker).toMatchObject({ faultGpa: PD << 12, faultAccess: NESTED_READ, faultOnTable: true, references: 1 });
    nested.handleViolation(walker.faultGpa);
    walker.walk(registers, SMALL_LIN | 0x34, ACCESS_WRITE);
    expect(walker).toMatchObject({ faultGpa: (PT << 12) | 20, faultOnTable: true });
    nested.handleViolation(walker.faultGpa);
    walker.walk(registers, SMALL_LIN | 0x34, ACCESS_WRITE);
    expect(walker).toMatchObject({ faultGpa: (DATA << 12) | 0x34, faultAccess: NESTED_WRITE, faultOnTable: false });
    nested.handleViolation(walker.faultGpa);
    expect(walker.walk(registers, SMALL_LIN | 0x34, ACCESS_WRITE)).toBe(WALK_OK);
    expect(walker.frame).toBe(512 + DATA);
  });

  test('change nothing in the guest', () => {
    const { nested, walker } = make(false);
    nested.handleViolation(PD << 12);
    nested.handleViolation(PT << 12);
    walker.walk(registers, SMALL_LIN, ACCESS_WRITE);
    expect(physmap.read32(PD << 12)).toBe((PT << 12) | PWU);
    expect(physmap.read32((PT << 12) | 20)).toBe((DATA << 12) | PWU);
  });

  test('where there is no RAM, nothing is mapped', () => {
    const { nested, walker } = make(true);
    physmap.write32((PT << 12) | (6 << 2), 0xfee00000 | PWU);
    expect(settle(nested, walker, 0x6020)).toBe(WALK_NESTED_FAULT);
    expect(walker.faultGpa >>> 0).toBe(0xfee00020);
    expect(nested.handleViolation(walker.faultGpa)).toBe('absent');
  });

  test('count their work', () => {
    const { nested } = make(false);
    nested.handleViolation(0);
    expect(nested.work).toMatchObject({ frames: 3, entries: 4 });
    nested.handleViolation(0x1000);
    expect(nested.work).toMatchObject({ frames: 0, entries: 1 });
    expect(nested.framesInUse).toBe(4);
  });
});

describe('rights', () => {
  test('a page is writable only if both dimensions say so', () => {
    const { nested, walker } = make(false);
    settle(nested, walker, SMALL_LIN, ACCESS_WRITE);
    expect(walker.flags & (TLB_WRITABLE | TLB_DIRTY)).toBe(TLB_WRITABLE | TLB_DIRTY);
    nested.map(DATA, 512 + DATA, NESTED_READ | NESTED_EXECUTE);
    expect(walker.walk(registers, SMALL_LIN, 0)).toBe(WALK_OK);
    expect(walker.flags & (TLB_WRITABLE | TLB_KERNEL_WRITABLE)).toBe(0);
    expect(walker.walk(registers, SMALL_LIN, ACCESS_WRITE)).toBe(WALK_NESTED_FAULT);
    expect(walker.faultAccess).toBe(NESTED_WRITE);
  });

  test('fetching needs the execute right', () => {
    const { nested, walker } = make(false);
    settle(nested, walker, SMALL_LIN);
    nested.map(DATA, 512 + DATA, NESTED_READ | NESTED_WRITE);
    expect(walker.walk(registers, SMALL_LIN, ACCESS_FETCH)).toBe(WALK_NESTED_FAULT);
    expect(walker.faultAccess).toBe(NESTED_EXECUTE);
    expect(walker.walk(registers, SMALL_LIN, 0)).toBe(WALK_OK);
  });

  test('setting A or D in a read-only table is a violation on the table', () => {
    const { nested, walker } = make(false);
    settle(nested, walker, SMALL_LIN);
    nested.map(PT, 512 + PT, NESTED_READ);
    expect(walker.walk(registers, SMALL_LIN, 0)).toBe(WALK_OK);
    expect(walker.walk(registers, SMALL_LIN, ACCESS_WRITE)).toBe(WALK_NESTED_FAULT);
    expect(walker).toMatchObject({ faultGpa: (PT << 12) | 20, faultAccess: NESTED_WRITE, faultOnTable: true });
    expect(physmap.read32((PT << 12) | 20)).toBe((DATA << 12) | PWU | PTE_ACCESSED);
  });

  test('removing rights or moving a frame calls for an invalidation, adding does not', () => {
    const { nested } = make(false);
    let calls = 0;
    nested.invalidate = () => calls++;
    nested.map(DATA, 512 + DATA, NESTED_READ);
    nested.map(DATA, 512 + DATA, NESTED_ALL);
    expect(calls).toBe(0);
    nested.map(DATA, 512 + DATA, NESTED_READ);
    nested.map(DATA, 600, NESTED_READ);
    nested.unmap(DATA);
    nested.unmap(DATA);
    expect(calls).toBe(3);
    expect(() => nested.map(DATA, 600, 0)).toThrow('some of R, W, X');
  });
});

describe('large leaves', () => {
  test('give a large TLB entry where both dimensions are large', () => {
    const { nested, walker } = make(true);
    settle(nested, walker, LARGE_LIN);
    expect(walker.frame).toBe(512 + 1024 + 7);
    expect(walker.flags & TLB_LARGE).toBe(0); // the other 2 MiB half is not mapped yet
    settle(nested, walker, LARGE_LIN + 0x200000, ACCESS_WRITE);
    expect(walker.flags & TLB_LARGE).toBe(TLB_LARGE);
    expect(physmap.read32((PD << 12) | 4) & PTE_DIRTY).toBe(PTE_DIRTY);
    settle(nested, walker, SMALL_LIN);
    expect(walker.flags & TLB_LARGE).toBe(0);
  });

  test('are split by a change of one frame, and then stay small', () => {
    const { nested, walker } = make(true);
    settle(nested, walker, LARGE_LIN);
    nested.unmap(1024 + 7);
    expect(nested.work.entries).toBe(512 + 2);
    expect(nested.lookup(1024 + 8)).toBe(true);
    expect(nested.leafMfn).toBe(512 + 1024 + 8);
    expect(nested.lookup(1024 + 7)).toBe(false);
    expect(settle(nested, walker, LARGE_LIN)).toBe(WALK_OK);
    expect(walker.references).toBe(8); // 3 to the directory's table, 1, 4 to the page
  });

  test('need one aligned run of machine frames', () => {
    const moved = physmap.mfnOf[1024 + 100]!;
    physmap.mfnOf[1024 + 100] = physmap.mfnOf[0]!;
    const { nested } = make(true);
    nested.handleViolation(1024 << 12);
    expect(nested.lookup(1024)).toBe(true);
    expect(nested.leafLarge).toBe(false);
    physmap.mfnOf[1024 + 100] = moved;
    expect(() => nested.mapLarge(1, 512, NESTED_ALL)).toThrow('aligned');
  });

  test('replace a table of small leaves and give its frame back', () => {
    const { nested } = make(false);
    nested.handleViolation(1024 << 12);
    expect(nested.framesInUse).toBe(4);
    nested.mapLarge(1024, 512 + 1024, NESTED_ALL);
    expect(nested.framesInUse).toBe(3);
    expect(nested.lookup(1500)).toBe(true);
    expect(nested.leafMfn).toBe(512 + 1500);
    nested.release();
    expect(nested.framesInUse).toBe(0);
    expect(memory.freeFrameCount).toBe(memory.frames);
  });
});

test('a machine without a free frame is reported', () => {
  const small = new MachineMemory(2);
  const nested = new NestedPaging(small, new PhysMap(small, 4), { owner: VMM_OWNER });
  expect(() => nested.map(0, 1, NESTED_ALL)).toThrow('no machine frame is left');
});

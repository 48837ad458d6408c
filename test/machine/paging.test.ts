/** The bare machine's page walk, case by case against the rules of the SDM (vol 3, 4.3, 4.6, 4.7, 4.8). */
import { beforeEach, describe, expect, test } from 'vitest';
import { MachineMemory } from '../../src/machine/memory.ts';
import {
  ACCESS_FETCH,
  ACCESS_PRESENT,
  ACCESS_USER,
  ACCESS_WRITE,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_PGE,
  CR4_PSE,
  GuestWalker,
  type PagingRegisters,
  PDE_LARGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_GLOBAL,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITABLE,
  WALK_OK,
  WALK_PAGE_FAULT,
} from '../../src/machine/paging.ts';
import { ABSENT, PhysMap } from '../../src/machine/physmap.ts';
import {
  TLB_DIRTY,
  TLB_GLOBAL,
  TLB_KERNEL_WRITABLE,
  TLB_LARGE,
  TLB_USER,
  TLB_WRITABLE,
} from '../../src/machine/tlb.ts';

const FRAMES = 16;
const PD = 0x3000;
const PT = 0x5000;
const DATA = 7;
const LIN = (9 << 22) | (33 << 12) | 0x123;
const PDE_AT = PD + 9 * 4;
const PTE_AT = PT + 33 * 4;
const PWU = PTE_PRESENT | PTE_WRITABLE | PTE_USER;

let physmap: PhysMap;
let walker: GuestWalker;
let registers: PagingRegisters;

beforeEach(() => {
  const memory = new MachineMemory(FRAMES);
  physmap = new PhysMap(memory, FRAMES);
  for (let gfn = 0; gfn < FRAMES; gfn++) physmap.mfnOf[gfn] = memory.allocateFrame(0);
  walker = new GuestWalker(physmap);
  registers = { cr0: CR0_PE | CR0_PG | CR0_WP, cr3: PD | 0x18, cr4: 0 }; // PCD and PWT do not matter
  physmap.write32(PDE_AT, PT | PWU);
  physmap.write32(PTE_AT, (DATA << 12) | PWU);
});

test('paging off: the linear address is the physical one', () => {
  registers.cr0 &= ~CR0_PG;
  expect(walker.walk(registers, 0xabcd1234 | 0, ACCESS_WRITE | ACCESS_USER)).toBe(WALK_OK);
  expect(walker.frame).toBe(0xabcd1);
  expect(walker.references).toBe(0);
  expect(walker.machineFrame(2)).toBe(physmap.lookup(2));
  expect(walker.machineFrame(0xabcd1)).toBe(ABSENT);
});

test('two levels: frame, rights and references', () => {
  expect(walker.walk(registers, LIN, 0)).toBe(WALK_OK);
  expect(walker.frame).toBe(DATA);
  expect(walker.references).toBe(2);
  expect(walker.flags).toBe(TLB_WRITABLE | TLB_KERNEL_WRITABLE | TLB_USER);
});

interface Case {
  pde: number;
  pte: number;
  access: number;
  wp: boolean;
}

describe('rights are those that both levels give', () => {
  const choices = [0, PTE_WRITABLE, PTE_USER, PTE_WRITABLE | PTE_USER];
  const accesses = [0, ACCESS_WRITE, ACCESS_USER, ACCESS_USER | ACCESS_WRITE, ACCESS_FETCH, ACCESS_USER | ACCESS_FETCH];
  const cases = choices.flatMap((pde) =>
    choices.flatMap((pte) => accesses.flatMap((access) => [true, false].map((wp) => ({ pde, pte, access, wp })))),
  );
  const isUserPage = (c: Case): boolean => (c.pde & PTE_USER) !== 0 && (c.pte & PTE_USER) !== 0;
  const isWritablePage = (c: Case): boolean => (c.pde & PTE_WRITABLE) !== 0 && (c.pte & PTE_WRITABLE) !== 0;
  const isAllowed = (c: Case): boolean => {
    const isUser = (c.access & ACCESS_USER) !== 0;
    const isWrite = (c.access & ACCESS_WRITE) !== 0;
    return (!isUser || isUserPage(c)) && (!isWrite || isWritablePage(c) || (!isUser && !c.wp));
  };
  const walk = ({ pde, pte, access, wp }: Case): number => {
    physmap.write32(PDE_AT, PT | pde | PTE_PRESENT);
    physmap.write32(PTE_AT, (DATA << 12) | pte | PTE_PRESENT);
    if (!wp) registers.cr0 &= ~CR0_WP;
    return walker.walk(registers, LIN, access);
  };

  test.each(cases.filter(isAllowed))('pde $pde, pte $pte, access $access, WP $wp: allowed', (c) => {
    expect(walk(c)).toBe(WALK_OK);
    expect((walker.flags & TLB_USER) !== 0).toBe(isUserPage(c));
    expect((walker.flags & TLB_WRITABLE) !== 0).toBe(isWritablePage(c));
    expect((walker.flags & TLB_KERNEL_WRITABLE) !== 0).toBe(isWritablePage(c) || !c.wp);
  });

  test.each(cases.filter((c) => !isAllowed(c)))('pde $pde, pte $pte, access $access, WP $wp: fault', (c) => {
    expect(walk(c)).toBe(WALK_PAGE_FAULT);
    expect(walker.errorCode).toBe((c.access & ~ACCESS_FETCH) | ACCESS_PRESENT);
    expect(physmap.read32(PDE_AT)).toBe(PT | c.pde | PTE_PRESENT);
    expect(physmap.read32(PTE_AT)).toBe((DATA << 12) | c.pte | PTE_PRESENT);
  });
});

describe('accessed and dirty bits', () => {
  test('a read sets A in both entries', () => {
    walker.walk(registers, LIN, 0);
    expect(physmap.read32(PDE_AT)).toBe(PT | PWU | PTE_ACCESSED);
    expect(physmap.read32(PTE_AT)).toBe((DATA << 12) | PWU | PTE_ACCESSED);
    expect(walker.flags & TLB_DIRTY).toBe(0);
  });

  test('a write sets D too, in the last entry only', () => {
    walker.walk(registers, LIN, ACCESS_WRITE);
    expect(physmap.read32(PDE_AT)).toBe(PT | PWU | PTE_ACCESSED);
    expect(physmap.read32(PTE_AT)).toBe((DATA << 12) | PWU | PTE_ACCESSED | PTE_DIRTY);
    expect(walker.flags & TLB_DIRTY).toBe(TLB_DIRTY);
  });

  test('a directory that is its own table ends with both', () => {
    physmap.write32(PD + 4 * 4, PD | PWU);
    expect(walker.walk(registers, (4 << 22) | (4 << 12), ACCESS_WRITE)).toBe(WALK_OK);
    expect(walker.frame).toBe(PD >>> 12);
    expect(physmap.read32(PD + 4 * 4)).toBe(PD | PWU | PTE_ACCESSED | PTE_DIRTY);
  });
});

describe('faults', () => {
  test('a directory entry that is not present', () => {
    physmap.write32(PDE_AT, ~PTE_PRESENT);
    expect(walker.walk(registers, LIN, ACCESS_WRITE)).toBe(WALK_PAGE_FAULT);
    expect(walker).toMatchObject({ errorCode: ACCESS_WRITE, references: 1 });
  });

  test('a table entry that is not present leaves the directory entry alone', () => {
    physmap.write32(PTE_AT, ~PTE_PRESENT);
    expect(walker.walk(registers, LIN, ACCESS_USER)).toBe(WALK_PAGE_FAULT);
    expect(walker).toMatchObject({ errorCode: ACCESS_USER, references: 2 });
    expect(physmap.read32(PDE_AT)).toBe(PT | PWU);
  });
});

describe('4 MiB pages', () => {
  beforeEach(() => {
    physmap.write32(PDE_AT, (0x30 << 22) | PWU | PDE_LARGE);
  });

  test('need CR4.PSE: without it the bit is ignored', () => {
    physmap.write32(PDE_AT, PT | PWU | PDE_LARGE);
    expect(walker.walk(registers, LIN, 0)).toBe(WALK_OK);
    expect(walker).toMatchObject({ frame: DATA, references: 2 });
  });

  test('one reference, A and D in the directory entry', () => {
    registers.cr4 |= CR4_PSE;
    expect(walker.walk(registers, LIN, ACCESS_WRITE)).toBe(WALK_OK);
    expect(walker).toMatchObject({ frame: (0x30 << 10) | 33, references: 1 });
    expect(walker.flags & TLB_LARGE).toBe(TLB_LARGE);
    expect(physmap.read32(PDE_AT)).toBe((0x30 << 22) | PWU | PDE_LARGE | PTE_ACCESSED | PTE_DIRTY);
  });

  test('frames of the upper half of the address space stay unsigned', () => {
    registers.cr4 |= CR4_PSE;
    physmap.write32(PDE_AT, 0xfec00000 | PWU | PDE_LARGE);
    walker.walk(registers, LIN, 0);
    expect(walker.frame).toBe(0xfec00 + 33);
    expect(walker.machineFrame(walker.frame)).toBe(ABSENT);
  });

  test('refuse what they do not permit', () => {
    registers.cr4 |= CR4_PSE;
    physmap.write32(PDE_AT, (0x30 << 22) | PTE_PRESENT | PDE_LARGE);
    expect(walker.walk(registers, LIN, ACCESS_USER)).toBe(WALK_PAGE_FAULT);
    expect(walker.errorCode).toBe(ACCESS_USER | ACCESS_PRESENT);
    expect(physmap.read32(PDE_AT) & PTE_ACCESSED).toBe(0);
  });
});

describe('global pages', () => {
  test.each([
    [true, TLB_GLOBAL],
    [false, 0],
  ])('with CR4.PGE %s', (pge, expected) => {
    physmap.write32(PTE_AT, (DATA << 12) | PWU | PTE_GLOBAL);
    if (pge) registers.cr4 |= CR4_PGE;
    walker.walk(registers, LIN, 0);
    expect(walker.flags & TLB_GLOBAL).toBe(expected);
  });

  test('the bit in a directory entry of a table means nothing', () => {
    physmap.write32(PDE_AT, PT | PWU | PTE_GLOBAL);
    registers.cr4 |= CR4_PGE;
    walker.walk(registers, LIN, 0);
    expect(walker.flags & TLB_GLOBAL).toBe(0);
  });
});

test('tables where there is no RAM read as all ones', () => {
  registers.cr3 = 0x100000;
  expect(walker.walk(registers, LIN, 0)).toBe(WALK_OK);
  expect(walker).toMatchObject({ frame: 0xfffff, references: 2 });
  expect(walker.machineFrame(walker.frame)).toBe(ABSENT);
});

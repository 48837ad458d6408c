/** Shadow page tables, one behaviour at a time. The broad check is shadow-property.test.ts. */
import { beforeEach, describe, expect, test } from 'vitest';
import { FRAME_TRACED, MachineMemory } from '../../../src/machine/memory.ts';
import {
  ACCESS_FETCH,
  ACCESS_PRESENT,
  ACCESS_USER,
  ACCESS_WRITE,
  CR0_PG,
  CR0_WP,
  CR4_PGE,
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
} from '../../../src/machine/paging.ts';
import type { PhysMap } from '../../../src/machine/physmap.ts';
import { TLB_DIRTY, TLB_GLOBAL, TLB_KERNEL_WRITABLE, TLB_USER, TLB_WRITABLE } from '../../../src/machine/tlb.ts';
import { ShadowPaging } from '../../../src/vmm/paging/shadow.ts';
import { makeGuest, pagingRegisters, VMM_OWNER } from './world.ts';

const FRAMES = 2100;
const HOLE = 40;
const PD = 1; // guest frames
const PT = 2;
const OTHER_PD = 3;
const DATA = 8;
const P = PTE_PRESENT;
const PW = P | PTE_WRITABLE;
const PWU = PW | PTE_USER;
const KERNEL_WRITE = ACCESS_WRITE;

let memory: MachineMemory;
let physmap: PhysMap;
let registers: PagingRegisters;
let shadow: ShadowPaging;
let invalidated: string[];

function make(options: Partial<ConstructorParameters<typeof ShadowPaging>[3]> = {}): ShadowPaging {
  const made = new ShadowPaging(memory, physmap, registers, { owner: VMM_OWNER, maxFrames: 16, ...options });
  made.invalidate = (first, pages) => invalidated.push(`${first}+${pages}`);
  made.loadRoot();
  return made;
}

/** Writes a guest entry as the VMM would after a trap, or silently if nobody traces the frame. */
function setEntry(table: number, i: number, value: number): void {
  const gpa = (table << 12) | (i << 2);
  physmap.write32(gpa, value);
  if (isTraced(table)) shadow.guestTableWritten(gpa, 4);
}

function entry(table: number, i: number): number {
  return physmap.read32((table << 12) | (i << 2));
}

function isTraced(gfn: number): boolean {
  return (memory.frameFlags[physmap.lookup(gfn)]! & FRAME_TRACED) !== 0;
}

/** Touches an address as the hardware does; answers the kinds of fault on the way, then 'ok' if it got through. */
function touch(lin: number, access = 0): string[] {
  const log: string[] = [];
  while (log.length < 5) {
    if (shadow.walk(registers, lin, access) === WALK_OK) return [...log, 'ok'];
    const { kind } = shadow.handleFault(lin, shadow.errorCode);
    log.push(kind);
    if (kind !== 'filled') break;
  }
  return log;
}

beforeEach(() => {
  memory = new MachineMemory(FRAMES + 40);
  physmap = makeGuest(memory, FRAMES, [HOLE]);
  registers = pagingRegisters(PD << 12);
  registers.cr0 |= CR0_WP;
  invalidated = [];
  physmap.write32((PD << 12) | 0, (PT << 12) | PWU);
  physmap.write32((PT << 12) | (5 << 2), (DATA << 12) | PWU);
  shadow = make();
});

describe('filling', () => {
  test('a first read is a hidden fault, and sets the guest A bits only', () => {
    expect(touch(0x5123)).toEqual(['filled', 'ok']);
    expect(shadow.frame).toBe(physmap.lookup(DATA));
    expect(shadow.references).toBe(2);
    expect(entry(PD, 0)).toBe((PT << 12) | PWU | PTE_ACCESSED);
    expect(entry(PT, 5)).toBe((DATA << 12) | PWU | PTE_ACCESSED);
    expect(shadow.flags & (TLB_WRITABLE | TLB_KERNEL_WRITABLE)).toBe(0);
    expect(touch(0x5123)).toEqual(['ok']);
  });

  test('the first write to a clean page costs one more hidden fault and sets the guest D bit', () => {
    touch(0x5000);
    expect(touch(0x5000, ACCESS_WRITE)).toEqual(['filled', 'ok']);
    expect(entry(PT, 5) & PTE_DIRTY).toBe(PTE_DIRTY);
    expect(shadow.flags & (TLB_WRITABLE | TLB_DIRTY)).toBe(TLB_WRITABLE | TLB_DIRTY);
    expect(invalidated).toEqual(['5+1']);
    expect(shadow.hiddenFaults).toBe(2);
  });

  test('counts the work: references, frames, entries', () => {
    shadow.walk(registers, 0x5000, 0);
    shadow.handleFault(0x5000, shadow.errorCode);
    expect(shadow.work).toMatchObject({ references: 2, frames: 1, entries: 2, evictions: 0 });
    expect(shadow.framesInUse).toBe(2);
  });

  test('a user page of a supervisor directory entry is for the supervisor', () => {
    physmap.write32((PD << 12) | (1 << 2), (PT << 12) | PW);
    expect(touch((1 << 22) | 0x5000, ACCESS_USER)).toEqual(['guest']);
    expect(touch((1 << 22) | 0x5000)).toEqual(['filled', 'ok']);
    expect(shadow.flags & TLB_USER).toBe(0);
    expect(touch(0x5000, ACCESS_USER)).toEqual(['filled', 'ok']);
  });

  test('global pages are marked only while CR4.PGE is set', () => {
    physmap.write32((PT << 12) | (5 << 2), (DATA << 12) | PWU | PTE_GLOBAL);
    touch(0x5000);
    expect(shadow.flags & TLB_GLOBAL).toBe(TLB_GLOBAL);
    registers.cr4 &= ~CR4_PGE;
    shadow.loadRoot();
    touch(0x5000);
    expect(shadow.flags & TLB_GLOBAL).toBe(0);
  });

  test('with guest paging off, addresses are guest-physical', () => {
    registers.cr0 &= ~CR0_PG;
    shadow.loadRoot();
    expect(touch((DATA << 12) | 4, ACCESS_WRITE)).toEqual(['filled', 'ok']);
    expect(shadow.frame).toBe(physmap.lookup(DATA));
    expect(shadow.work.references).toBe(0);
    expect(touch(HOLE << 12)).toEqual(['absent']);
    // Tables that are cached for later stay traced here too.
    registers.cr0 |= CR0_PG;
    shadow.loadRoot();
    touch(0x5000);
    registers.cr0 &= ~CR0_PG;
    shadow.loadRoot();
    expect(touch(PT << 12, ACCESS_WRITE)).toEqual(['traced-write']);
  });
});

describe('faults that stay faults', () => {
  test.each([
    ['not present', 0x6000, ACCESS_USER, ACCESS_USER],
    ['not present, fetch', 0x6000, ACCESS_FETCH, 0],
    ['no directory entry', 0x800000, ACCESS_WRITE, ACCESS_WRITE],
  ])('%s: error code of the guest', (_name, lin, access, code) => {
    expect(shadow.walk(registers, lin, access)).toBe(WALK_PAGE_FAULT);
    const fault = shadow.handleFault(lin, shadow.errorCode);
    expect(fault).toMatchObject({ kind: 'guest', errorCode: code });
    expect(shadow.trueFaults).toBe(1);
  });

  test('the present bit is the guest view, not the shadow view', () => {
    physmap.write32((PT << 12) | (6 << 2), (DATA << 12) | P);
    shadow.walk(registers, 0x6000, ACCESS_USER);
    expect(shadow.errorCode).toBe(ACCESS_USER);
    expect(shadow.handleFault(0x6000, shadow.errorCode).errorCode).toBe(ACCESS_USER | ACCESS_PRESENT);
    expect(entry(PT, 6) & PTE_ACCESSED).toBe(0);
  });

  test('a mapping to no RAM is absent, with its address', () => {
    physmap.write32((PT << 12) | (6 << 2), (HOLE << 12) | PWU);
    shadow.walk(registers, 0x6abc, ACCESS_WRITE);
    expect(shadow.handleFault(0x6abc, shadow.errorCode)).toMatchObject({ kind: 'absent', gpa: (HOLE << 12) | 0xabc });
  });
});

describe('CR0.WP clear', () => {
  beforeEach(() => {
    registers.cr0 &= ~CR0_WP;
    physmap.write32((PT << 12) | (6 << 2), (DATA << 12) | P | PTE_USER);
    shadow.loadRoot();
  });

  test('a read-only user page flips between its two faces', () => {
    expect(touch(0x6000, ACCESS_USER)).toEqual(['filled', 'ok']);
    expect(touch(0x6000, KERNEL_WRITE)).toEqual(['filled', 'ok']);
    expect(shadow.flags & TLB_USER).toBe(0);
    expect(touch(0x6000)).toEqual(['ok']); // the kernel may read the kernel face
    expect(touch(0x6000, ACCESS_USER)).toEqual(['filled', 'ok']);
    expect(invalidated).toEqual(['6+1', '6+1']);
    expect(touch(0x6000, ACCESS_USER | ACCESS_WRITE)).toEqual(['guest']);
  });

  test('a read-only supervisor page is simply writable once dirty', () => {
    physmap.write32((PT << 12) | (7 << 2), (DATA << 12) | P);
    expect(touch(0x7000)).toEqual(['filled', 'ok']);
    expect(touch(0x7000, KERNEL_WRITE)).toEqual(['filled', 'ok']);
    expect(touch(0x7000)).toEqual(['ok']);
  });

  test('setting WP again forbids it: another root and table', () => {
    touch(0x6000, KERNEL_WRITE);
    registers.cr0 |= CR0_WP;
    shadow.loadRoot();
    expect(touch(0x6000, KERNEL_WRITE)).toEqual(['guest']);
  });
});

describe('large pages', () => {
  const LARGE = 3;
  const lin = (LARGE << 22) | 0x7000;

  beforeEach(() => {
    physmap.write32((PD << 12) | (LARGE << 2), (1024 << 12) | PWU | PDE_LARGE);
  });

  test('are splintered, and share one D bit', () => {
    expect(touch(lin)).toEqual(['filled', 'ok']);
    expect(shadow.frame).toBe(physmap.lookup(1024 + 7));
    expect(touch(lin + 0x1000, ACCESS_WRITE)).toEqual(['filled', 'ok']);
    expect(entry(PD, LARGE) & (PTE_ACCESSED | PTE_DIRTY)).toBe(PTE_ACCESSED | PTE_DIRTY);
    expect(touch(lin, ACCESS_WRITE)).toEqual(['filled', 'ok']);
  });

  test('clearing D takes write access from all of it', () => {
    touch(lin, ACCESS_WRITE);
    touch(lin + 0x1000, ACCESS_WRITE);
    setEntry(PD, LARGE, (1024 << 12) | PWU | PDE_LARGE | PTE_ACCESSED);
    expect(touch(lin, ACCESS_WRITE)).toEqual(['filled', 'ok']);
    expect(entry(PD, LARGE) & PTE_DIRTY).toBe(PTE_DIRTY);
  });

  test('INVLPG concerns every entry of a large page', () => {
    touch(lin);
    invalidated = [];
    shadow.invalidatePage(lin);
    shadow.invalidatePage(0x5000);
    expect(invalidated).toEqual([`${LARGE << 10}+1024`, '5+1']);
  });
});

describe('write traces', () => {
  test('a shadowed table is read-only wherever it is mapped, from the moment it is one', () => {
    physmap.write32((PT << 12) | (6 << 2), (4 << 12) | PWU);
    expect(touch(0x6000, ACCESS_WRITE)).toEqual(['filled', 'ok']); // frame 4 is still data
    physmap.write32((PD << 12) | (1 << 2), 0);
    setEntry(PD, 1, (4 << 12) | PWU);
    setEntry(4, 0, (DATA << 12) | PWU);
    expect(touch(1 << 22)).toEqual(['filled', 'ok']); // now it is a table
    expect(isTraced(4)).toBe(true);
    expect(invalidated).toContain('6+1');
    shadow.walk(registers, 0x6010, ACCESS_WRITE);
    expect(shadow.handleFault(0x6010, shadow.errorCode)).toMatchObject({ kind: 'traced-write', gpa: 0x4010 });
    expect(shadow.tracedWrites).toBe(1);
    expect(touch(0x6010)).toEqual(['ok']);
  });

  test('an emulated write changes exactly the entries that it covers', () => {
    setEntry(PT, 6, (9 << 12) | PWU);
    setEntry(PT, 7, (10 << 12) | PWU);
    for (const lin of [0x5000, 0x6000, 0x7000]) touch(lin);
    invalidated = [];
    physmap.write32((PT << 12) | (6 << 2), 0);
    shadow.guestTableWritten((PT << 12) | (6 << 2), 4);
    expect(invalidated).toEqual(['6+1']);
    expect(shadow.work).toMatchObject({ entries: 1 });
    expect(touch(0x5000)).toEqual(['ok']);
    expect(touch(0x6000)).toEqual(['guest']);
    expect(touch(0x7000)).toEqual(['ok']);
  });

  test('a write that changes nothing touches no shadow entry', () => {
    touch(0x5000);
    shadow.guestTableWritten((PT << 12) | (5 << 2), 4);
    expect(shadow.work.entries).toBe(0);
    expect(touch(0x5000)).toEqual(['ok']);
  });

  test('an entry written with A set is usable at once', () => {
    touch(0x5000);
    setEntry(PT, 6, (9 << 12) | PWU | PTE_ACCESSED | PTE_DIRTY);
    expect(touch(0x6000, ACCESS_WRITE)).toEqual(['ok']);
    setEntry(PT, 7, (10 << 12) | PWU);
    expect(touch(0x7000)).toEqual(['filled', 'ok']);
  });

  test('clearing A or D brings the hidden faults back', () => {
    touch(0x5000, ACCESS_WRITE);
    setEntry(PT, 5, entry(PT, 5) & ~PTE_DIRTY);
    expect(touch(0x5000)).toEqual(['ok']);
    expect(touch(0x5000, ACCESS_WRITE)).toEqual(['filled', 'ok']);
    setEntry(PT, 5, entry(PT, 5) & ~PTE_ACCESSED);
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
    setEntry(PD, 0, entry(PD, 0) & ~PTE_ACCESSED);
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
    expect(entry(PD, 0) & PTE_ACCESSED).toBe(PTE_ACCESSED);
  });

  test('a write across a frame boundary reaches both tables', () => {
    setEntry(PT, 1023, (9 << 12) | PWU);
    setEntry(PD, 1, ((PT + 1) << 12) | PWU); // OTHER_PD used as a table
    setEntry(PT + 1, 0, (10 << 12) | PWU);
    touch(0x3ff000);
    touch(1 << 22);
    physmap.write32((PT << 12) | 0xffc, 0);
    physmap.write32((PT + 1) << 12, 0);
    shadow.guestTableWritten((PT << 12) | 0xffe, 4);
    expect(touch(0x3ff000)).toEqual(['guest']);
    expect(touch(1 << 22)).toEqual(['guest']);
  });

  test('other frames can be traced and released', () => {
    touch(0x5000, ACCESS_WRITE);
    shadow.addTrace(DATA);
    shadow.addTrace(DATA);
    expect(touch(0x5000, ACCESS_WRITE)).toEqual(['traced-write']);
    shadow.removeTrace(DATA);
    expect(touch(0x5000, ACCESS_WRITE)).toEqual(['traced-write']);
    shadow.removeTrace(DATA);
    expect(isTraced(DATA)).toBe(false);
    expect(touch(0x5000, ACCESS_WRITE)).toEqual(['filled', 'ok']);
  });

  test('a directory that maps itself gives the guest its tables, read-only', () => {
    touch(0x5000); // makes frame PT a shadowed table
    setEntry(PD, 1000, (PD << 12) | PW);
    expect(touch((1000 << 22) | (1000 << 12))).toEqual(['filled', 'ok']);
    expect(shadow.frame).toBe(physmap.lookup(PD));
    expect(touch((1000 << 22) | 0)).toEqual(['filled', 'ok']);
    expect(shadow.frame).toBe(physmap.lookup(PT));
    expect(touch((1000 << 22) | 20, ACCESS_WRITE)).toEqual(['traced-write']);
  });
});

describe('roots', () => {
  beforeEach(() => {
    physmap.write32(OTHER_PD << 12, (PT << 12) | PWU);
  });

  function load(gfn: number): void {
    registers.cr3 = gfn << 12;
    shadow.loadRoot();
  }

  test('are cached, coherent while not in use, and share tables', () => {
    touch(0x5000);
    load(OTHER_PD);
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
    expect(shadow.framesInUse).toBe(3);
    setEntry(PT, 5, (9 << 12) | PWU | PTE_ACCESSED);
    load(PD);
    expect(shadow.rootsBuilt).toBe(2);
    expect(touch(0x5000)).toEqual(['ok']);
    expect(shadow.frame).toBe(physmap.lookup(9));
  });

  test('without caching, each load starts from nothing', () => {
    shadow.release();
    shadow = make({ caching: false });
    touch(0x5000);
    load(OTHER_PD);
    expect(isTraced(PT)).toBe(false);
    load(PD);
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
    expect(shadow.rootsBuilt).toBe(3);
  });

  test('handling a fault after an unannounced CR3 change is our bug', () => {
    registers.cr3 = OTHER_PD << 12;
    expect(() => shadow.handleFault(0x5000, 0)).toThrow('loadRoot');
  });

  test('a change of a global entry reaches the TLB although its root is not in use', () => {
    setEntry(PT, 5, (DATA << 12) | PWU | PTE_GLOBAL);
    touch(0x5000);
    load(OTHER_PD);
    invalidated = [];
    setEntry(PT, 5, 0);
    expect(invalidated).toEqual(['5+1']);
  });

  test('a change of a local entry of another root does not', () => {
    touch(0x5000);
    load(OTHER_PD);
    invalidated = [];
    setEntry(PT, 5, 0);
    expect(invalidated).toEqual([]);
  });

  test('a directory that is written but not used any more is no longer shadowed', () => {
    touch(0x5000);
    load(OTHER_PD);
    for (let i = 0; i < 2; i++) setEntry(PD, 9, 0x1000);
    expect(isTraced(PD)).toBe(true);
    setEntry(PD, 9, 0x1000);
    expect(isTraced(PD)).toBe(false);
    expect(shadow.unshadowed).toBe(1);
    load(PD);
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
  });

  test('a linked table is kept however often it is written, unless asked otherwise', () => {
    touch(0x5000);
    for (let i = 0; i < 50; i++) setEntry(PT, 5, entry(PT, 5));
    expect(isTraced(PT)).toBe(true);
    shadow.release();
    shadow = make({ linkedWritesMax: 4 });
    touch(0x5000);
    for (let i = 0; i < 4; i++) setEntry(PT, 5, entry(PT, 5));
    expect(isTraced(PT)).toBe(false);
  });
});

describe('the pool', () => {
  test('evicts the table used longest ago, never the root in use', () => {
    shadow.release();
    shadow = make({ maxFrames: 3 });
    for (const slot of [1, 2]) {
      physmap.write32((PD << 12) | (slot << 2), ((slot + 3) << 12) | PWU);
      physmap.write32((slot + 3) << 12, (DATA << 12) | PWU);
    }
    touch(0x5000);
    touch(1 << 22);
    physmap.write32((PT << 12) | (6 << 2), (9 << 12) | PWU);
    touch(0x6000); // the first table is the younger one now
    touch(2 << 22);
    expect(shadow.evictions).toBe(1);
    expect(isTraced(4)).toBe(false);
    expect(touch(0x5000)).toEqual(['ok']);
    expect(touch(1 << 22)).toEqual(['filled', 'ok']);
    shadow.check();
  });

  test('first in first out ignores use', () => {
    shadow.release();
    shadow = make({ maxFrames: 3, replacement: 'fifo' });
    physmap.write32((PD << 12) | (1 << 2), (4 << 12) | PWU);
    physmap.write32((PD << 12) | (2 << 2), (5 << 12) | PWU);
    physmap.write32(4 << 12, (DATA << 12) | PWU);
    physmap.write32(5 << 12, (DATA << 12) | PWU);
    touch(0x5000);
    touch(1 << 22);
    physmap.write32((PT << 12) | (6 << 2), (9 << 12) | PWU);
    touch(0x6000);
    touch(2 << 22);
    expect(isTraced(PT)).toBe(false);
    expect(touch(1 << 22)).toEqual(['ok']);
  });

  test('too small a pool is refused', () => {
    expect(() => make({ maxFrames: 1 })).toThrow('at least 2 frames');
  });

  test('a machine without a free frame is reported', () => {
    const taken: number[] = [];
    for (let mfn = memory.allocateFrame(7); mfn !== -1; mfn = memory.allocateFrame(7)) taken.push(mfn);
    expect(() => touch(0x5000)).toThrow('no machine frame is left');
  });

  test('release gives everything back', () => {
    touch(0x5000, ACCESS_WRITE);
    shadow.addTrace(DATA);
    const before = memory.freeFrameCount;
    const used = shadow.framesInUse;
    shadow.release();
    expect(memory.freeFrameCount).toBe(before + used);
    expect(memory.frameFlags.every((flags) => flags === 0)).toBe(true);
    expect(invalidated).toContain('0+1048576');
    expect(() => shadow.walk(registers, 0x5000, 0)).toThrow('loadRoot');
    shadow.loadRoot();
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
  });

  test('flush keeps the root in use and its trace', () => {
    touch(0x5000);
    shadow.flush();
    expect(shadow.framesInUse).toBe(1);
    expect(isTraced(PD)).toBe(true);
    expect(isTraced(PT)).toBe(false);
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
  });
});

describe('host memory', () => {
  test('unmapFrame drops every mapping of a frame', () => {
    setEntry(PT, 6, (DATA << 12) | PWU);
    touch(0x5000);
    touch(0x6000);
    invalidated = [];
    shadow.unmapFrame(DATA);
    expect(invalidated.toSorted()).toEqual(['5+1', '6+1']);
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
    shadow.check();
  });

  test('unmapFrame of a table drops its shadow and its trace', () => {
    touch(0x5000);
    shadow.unmapFrame(PT);
    expect(isTraced(PT)).toBe(false);
    expect(shadow.framesInUse).toBe(1);
    shadow.unmapFrame(PD);
    expect(isTraced(PD)).toBe(false);
    expect(shadow.framesInUse).toBe(1);
    expect(touch(0x5000)).toEqual(['filled', 'ok']);
    expect(isTraced(PD)).toBe(true);
  });
});

describe('the reserved region', () => {
  const SLOT = 1023;

  test('is in every root, hidden from the guest, and survives flushes', () => {
    shadow.release();
    const table = memory.allocateFrame(VMM_OWNER);
    const secret = memory.allocateFrame(VMM_OWNER);
    memory.words32[table << 10] = (secret << 12) | P;
    shadow = make({ reserved: { pdeIndex: SLOT, pde: (table << 12) | PW } });
    physmap.write32((PD << 12) | (SLOT << 2), (PT << 12) | PWU);
    const lin = SLOT << 22;
    expect(touch(lin)).toEqual(['ok']);
    expect(shadow.frame).toBe(secret);
    expect(touch(lin | 0x5000)).toEqual(['reserved']);
    expect(touch(lin, ACCESS_WRITE)).toEqual(['reserved']);
    shadow.flush();
    shadow.guestTableWritten((PD << 12) | (SLOT << 2), 4);
    expect(touch(lin)).toEqual(['ok']);
    registers.cr0 &= ~CR0_PG;
    shadow.loadRoot();
    expect(touch(lin)).toEqual(['ok']);
    shadow.check();
  });

  test('must be mapped by a table', () => {
    expect(() => make({ reserved: { pdeIndex: SLOT, pde: PW | PDE_LARGE } })).toThrow('must point at a table');
  });
});

/**
 * Shadow page tables against a naive model: whatever the guest does to its tables, an access through TLB, shadow and
 * fault handling ends as on the bare machine: same frame, same refusal, same A and D bits in the guest's memory.
 * The TLB in front of the shadow is part of the test: it is told only what the shadow says.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assert } from '../../../src/core/errors.ts';
import { FRAME_TRACED, MachineMemory } from '../../../src/machine/memory.ts';
import {
  ACCESS_FETCH,
  ACCESS_USER,
  ACCESS_WRITE,
  CR0_PG,
  CR0_WP,
  CR4_PGE,
  CR4_PSE,
  type PagingRegisters,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITABLE,
  WALK_OK,
} from '../../../src/machine/paging.ts';
import { ABSENT, type PhysMap } from '../../../src/machine/physmap.ts';
import { TLB_DIRTY, TLB_KERNEL_WRITABLE, TLB_USER, TLB_WRITABLE, Tlb } from '../../../src/machine/tlb.ts';
import { ShadowPaging } from '../../../src/vmm/paging/shadow.ts';
import { firstDifference, GUEST_OWNER, Model, makeGuest, pagingRegisters, same, VMM_OWNER } from './world.ts';

const FRAMES = 28;
const HOLES = [20, 27];
const ROOTS = [0, 1, 2];
const TABLES = [0, 1, 2, 3, 4, 5, 6]; // any of these frames may serve as directory, table and data
const DIRECTORY_SLOTS = [0, 1, 2, 1023];
const TABLE_SLOTS = [0, 1, 2, 7, 20, 1023];
const RESERVED_SLOT = 2;

type Command =
  | { kind: 'edit'; gpa: number; value: number; bytes: 1 | 4 | 8 }
  | { kind: 'flip'; gpa: number; bits: number }
  | { kind: 'access'; lin: number; access: number }
  | { kind: 'cr3'; gfn: number }
  | { kind: 'mode'; bit: 'wp' | 'pg' | 'pse' | 'pge' }
  | { kind: 'invlpg'; lin: number }
  | { kind: 'flush' }
  | { kind: 'trace'; gfn: number }
  | { kind: 'move'; gfn: number };

const lin = fc
  .tuple(fc.constantFrom(...DIRECTORY_SLOTS), fc.constantFrom(...TABLE_SLOTS), fc.nat(1023))
  .map(([d, t, word]) => (d << 22) | (t << 12) | (word << 2) | 0);

/** Entries of the guest's tables: mostly useful ones. */
const entry = fc
  .record({
    gfn: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...TABLES) },
      { weight: 2, arbitrary: fc.integer({ min: 7, max: 19 }) },
      { weight: 1, arbitrary: fc.constantFrom(20, 27, 28, 1024, 0xfffff) },
    ),
    present: fc.integer({ min: 0, max: 7 }).map((n) => (n > 0 ? PTE_PRESENT : 0)),
    rights: fc.constantFrom(0, PTE_WRITABLE, PTE_USER, PTE_WRITABLE | PTE_USER, PTE_WRITABLE | PTE_USER),
    status: fc.constantFrom(0, 0, 0x20, 0x60, 0x40),
    large: fc.integer({ min: 0, max: 5 }).map((n) => (n === 0 ? 0x80 : 0)),
    global: fc.constantFrom(0, 0, 0x100),
  })
  .map((e) => (e.gfn << 12) | e.present | e.rights | e.status | e.large | e.global);

const edit = fc
  .record({
    table: fc.constantFrom(...TABLES),
    slot: fc.constantFrom(...DIRECTORY_SLOTS, ...TABLE_SLOTS),
    value: entry,
    bytes: fc.constantFrom<1 | 4 | 8>(4, 4, 4, 4, 8, 1),
  })
  .map((e): Command => ({ kind: 'edit', gpa: (e.table << 12) | (e.slot << 2), value: e.value, bytes: e.bytes }));

/** What a page scanner or a copy-on-write handler does: changes some bits of an entry that is there. */
const flip = fc
  .record({
    table: fc.constantFrom(...TABLES),
    slot: fc.constantFrom(...DIRECTORY_SLOTS, ...TABLE_SLOTS),
    bits: fc.constantFrom(0x20, 0x20, 0x40, 0x60, PTE_WRITABLE, PTE_USER, PTE_PRESENT, 0x80, 0x100),
  })
  .map((f): Command => ({ kind: 'flip', gpa: (f.table << 12) | (f.slot << 2), bits: f.bits }));

const access = fc
  .record({ lin, access: fc.constantFrom(0, ACCESS_WRITE, ACCESS_USER, ACCESS_USER | ACCESS_WRITE, ACCESS_FETCH) })
  .map((a): Command => ({ kind: 'access', ...a }));

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 20, arbitrary: edit },
  { weight: 20, arbitrary: flip },
  { weight: 60, arbitrary: access },
  { weight: 6, arbitrary: fc.constantFrom(...ROOTS).map((gfn): Command => ({ kind: 'cr3', gfn })) },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom('wp', 'wp', 'pg', 'pse', 'pge')
      .map((bit): Command => ({ kind: 'mode', bit }) as Command),
  },
  { weight: 3, arbitrary: lin.map((at): Command => ({ kind: 'invlpg', lin: at })) },
  { weight: 1, arbitrary: fc.constant<Command>({ kind: 'flush' }) },
  { weight: 2, arbitrary: fc.integer({ min: 3, max: 12 }).map((gfn): Command => ({ kind: 'trace', gfn })) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 19 }).map((gfn): Command => ({ kind: 'move', gfn })) },
  { weight: 2, arbitrary: fc.constantFrom(...ROOTS).map((gfn): Command => ({ kind: 'move', gfn })) },
);

interface Setup {
  /** Contents of the guest's tables at the start. */
  initial: Command[];
  maxFrames: number;
  replacement: 'lru' | 'fifo';
  caching: boolean;
  reserved: boolean;
  linkedWritesMax: number;
}

const setup: fc.Arbitrary<Setup> = fc.record({
  initial: fc.array(edit, { minLength: 80, maxLength: 80 }),
  maxFrames: fc.constantFrom(2, 3, 4, 6, 40),
  replacement: fc.constantFrom<'lru' | 'fifo'>('lru', 'fifo'),
  caching: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
  reserved: fc.boolean(),
  linkedWritesMax: fc.constantFrom(0, 0, 2),
});

/** The guest under shadow paging, next to its twin on the bare machine. */
class Rig {
  readonly memory = new MachineMemory(FRAMES + 48);
  readonly physmap: PhysMap;
  readonly registers: PagingRegisters = pagingRegisters(0);
  readonly model = new Model(FRAMES, HOLES);
  readonly shadow: ShadowPaging;
  readonly tlb = new Tlb({ small: { sets: 4, ways: 4 }, large: { sets: 1, ways: 2 } });
  readonly reservedSlot: number;
  readonly traced = new Map<number, number>();
  readonly reservedTable: number;

  constructor(options: Setup) {
    this.physmap = makeGuest(this.memory, FRAMES, HOLES);
    this.reservedTable = this.memory.allocateFrame(VMM_OWNER);
    this.memory.words32[(this.reservedTable << 10) | 0] = (this.reservedTable << 12) | PTE_PRESENT;
    this.reservedSlot = options.reserved ? RESERVED_SLOT : -1;
    const reserved = { pdeIndex: RESERVED_SLOT, pde: (this.reservedTable << 12) | PTE_PRESENT };
    this.shadow = new ShadowPaging(this.memory, this.physmap, this.registers, {
      owner: VMM_OWNER,
      maxFrames: options.maxFrames,
      replacement: options.replacement,
      caching: options.caching,
      linkedWritesMax: options.linkedWritesMax,
      ...(options.reserved ? { reserved } : {}),
    });
    this.shadow.invalidate = (first, pages) => {
      if (pages > 1024) this.tlb.flushAll();
      else for (let page = first; page < first + pages; page++) this.tlb.invalidatePage(page, 0);
    };
    for (const step of options.initial) this.run(step);
    this.shadow.loadRoot();
  }

  run(step: Command): void {
    switch (step.kind) {
      case 'edit':
        this.edit(step.gpa, step.value, step.bytes);
        break;
      case 'flip':
        this.edit(step.gpa, this.physmap.read32(step.gpa) ^ step.bits, 4);
        break;
      case 'access':
        this.access(step.lin, step.access);
        break;
      case 'cr3':
        this.registers.cr3 = step.gfn << 12;
        // Global translations may be stale after this on real hardware too; the model has no TLB, so flush all.
        this.tlb.flushAll();
        this.shadow.loadRoot();
        break;
      case 'mode':
        this.toggle(step.bit);
        this.tlb.flushAll();
        this.shadow.loadRoot();
        break;
      case 'invlpg':
        this.shadow.invalidatePage(step.lin);
        break;
      case 'flush':
        this.shadow.flush();
        break;
      case 'trace':
        this.toggleTrace(step.gfn);
        break;
      case 'move':
        this.move(step.gfn);
        break;
    }
  }

  toggle(bit: 'wp' | 'pg' | 'pse' | 'pge'): void {
    const r = this.registers;
    if (bit === 'wp') r.cr0 ^= CR0_WP;
    else if (bit === 'pg') r.cr0 ^= CR0_PG;
    else if (bit === 'pse') r.cr4 ^= CR4_PSE;
    else r.cr4 ^= CR4_PGE;
  }

  /** A store by the VMM on the guest's behalf if the frame is traced; otherwise a plain store nobody hears of. */
  edit(gpa: number, value: number, bytes: 1 | 4 | 8): void {
    const at = bytes === 8 && (gpa & 0xfff) === 0xffc ? gpa - 4 : gpa;
    for (const physmap of [this.physmap, this.model.physmap]) {
      if (bytes === 1) physmap.write8(at + 1, value & 0xff);
      else physmap.write32(at, value);
      if (bytes === 8) physmap.write32(at + 4, value ^ 0x1002);
    }
    const mfn = this.physmap.lookup(at >>> 12);
    if ((this.memory.frameFlags[mfn]! & FRAME_TRACED) === 0) return;
    this.shadow.guestTableWritten(bytes === 1 ? at + 1 : at, bytes);
  }

  access(at: number, bits: number): void {
    if (at >>> 22 === this.reservedSlot) {
      this.accessReserved(at, bits);
      return;
    }
    const expected = this.model.walker.walk(this.registers, at, bits);
    for (let attempt = 0; ; attempt++) {
      assert(attempt < 3, 'faults do not end');
      if (this.tlbAllows(at, bits)) {
        this.expectSame(expected, bits, this.tlb.hitFrame, this.tlb.hitFlags);
        return;
      }
      if (this.shadow.walk(this.registers, at, bits) === WALK_OK) {
        this.tlb.insert(at >>> 12, 0, this.shadow.frame, this.shadow.flags);
        this.expectSame(expected, bits, this.shadow.frame, this.shadow.flags);
        return;
      }
      const fault = this.shadow.handleFault(at, this.shadow.errorCode);
      if (fault.kind === 'filled') continue;
      const gpa = (this.model.walker.frame << 12) | (at & 0xfff);
      if (fault.kind === 'guest') {
        assert(expected !== WALK_OK, 'the shadow refuses what the guest allows');
        same(fault.errorCode, this.model.walker.errorCode, 'error code');
      } else if (fault.kind === 'absent') {
        same(expected, WALK_OK, 'the guest allows the access');
        same(fault.gpa, gpa, 'address of the fault');
        same(this.physmap.lookup(gpa >>> 12), ABSENT, 'frame behind an absent address');
      } else {
        same(fault.kind, 'traced-write', 'kind of fault');
        same(expected, WALK_OK, 'the guest allows the access');
        same(fault.gpa, gpa, 'address of the fault');
        assert((bits & ACCESS_WRITE) !== 0, 'only writes are traced');
        assert(
          (this.memory.frameFlags[this.physmap.lookup(gpa >>> 12)]! & FRAME_TRACED) !== 0,
          'a traced write to a frame without a trace',
        );
      }
      return;
    }
  }

  accessReserved(at: number, bits: number): void {
    if (this.shadow.walk(this.registers, at, bits) === WALK_OK) {
      same(this.shadow.frame, this.reservedTable, 'frame of the reserved page');
      same(bits & (ACCESS_WRITE | ACCESS_USER), 0, 'rights beyond those of the reserved page');
    } else {
      same(this.shadow.handleFault(at, this.shadow.errorCode).kind, 'reserved', 'kind of fault');
    }
  }

  /** As the MMU does: a hit counts only if it has the rights, and for a write the dirty bit. */
  tlbAllows(at: number, bits: number): boolean {
    if (!this.tlb.lookup(at >>> 12, 0)) return false;
    const flags = this.tlb.hitFlags;
    const user = (bits & ACCESS_USER) !== 0;
    if (user && (flags & TLB_USER) === 0) return false;
    if ((bits & ACCESS_WRITE) === 0) return true;
    return (flags & (user ? TLB_WRITABLE : TLB_KERNEL_WRITABLE)) !== 0 && (flags & TLB_DIRTY) !== 0;
  }

  expectSame(expected: number, bits: number, frame: number, flags: number): void {
    same(expected, WALK_OK, 'the guest allows the access');
    const mfn = this.physmap.lookup(this.model.walker.frame);
    same(frame, mfn, 'machine frame');
    if ((bits & ACCESS_WRITE) !== 0)
      same(this.memory.frameFlags[mfn]! & FRAME_TRACED, 0, 'trace on a frame that was written');
    // Rights beyond this access must be the guest's too, and writable only what the guest sees as dirty.
    const native = this.model.walker.flags;
    for (const right of [TLB_USER, TLB_WRITABLE, TLB_KERNEL_WRITABLE]) {
      if ((flags & right) !== 0 && right !== TLB_WRITABLE) same(native & right, right, 'right of the guest');
    }
    if ((flags & TLB_WRITABLE) !== 0) {
      assert((native & TLB_KERNEL_WRITABLE) !== 0, 'the shadow is writable, the guest page is not');
      assert((native & TLB_DIRTY) !== 0, 'the shadow is writable, the guest page is clean');
      if ((flags & TLB_USER) !== 0) assert((native & TLB_WRITABLE) !== 0, 'user mode may write in the shadow only');
    }
  }

  toggleTrace(gfn: number): void {
    const mfn = this.traced.get(gfn);
    if (mfn === undefined) {
      this.shadow.addTrace(gfn);
      this.traced.set(gfn, 1);
    } else {
      this.shadow.removeTrace(gfn);
      this.traced.delete(gfn);
    }
  }

  /** The host moves a guest frame to another machine frame. */
  move(gfn: number): void {
    const old = this.physmap.lookup(gfn);
    const fresh = this.memory.allocateFrame(GUEST_OWNER);
    if (this.traced.has(gfn)) this.toggleTrace(gfn);
    if (fresh === ABSENT) return;
    this.shadow.unmapFrame(gfn);
    same(this.memory.frameFlags[old]! & FRAME_TRACED, 0, 'trace on a frame that goes away');
    this.memory.words32.copyWithin(fresh << 10, old << 10, (old + 1) << 10);
    this.physmap.mfnOf[gfn] = fresh;
    this.memory.freeFrame(old, GUEST_OWNER);
  }

  check(maxFrames: number): void {
    this.shadow.check();
    same(firstDifference(this.physmap, this.model.physmap), -1, 'first difference of guest memory');
    assert(this.shadow.framesInUse <= maxFrames, 'the pool is larger than allowed');
    const owned = FRAMES - HOLES.length + 1 + this.shadow.framesInUse;
    same(this.memory.freeFrameCount, this.memory.frames - owned, 'free frames');
  }

  finish(): void {
    this.shadow.release();
    this.traced.clear();
    same(this.shadow.framesInUse, 0, 'frames in use');
    same(this.memory.freeFrameCount, this.memory.frames - (FRAMES - HOLES.length + 1), 'free frames');
    same(
      this.memory.frameFlags.every((flags) => flags === 0),
      true,
      'no frame has a flag left',
    );
  }
}

test('the shadow behaves as the guest tables that it stands for', () => {
  let filled = 0;
  let evicted = 0;
  let unshadowed = 0;
  let tracedWrites = 0;
  fc.assert(
    fc.property(setup, fc.array(command, { minLength: 20, maxLength: 250, size: 'max' }), (options, steps) => {
      const rig = new Rig(options);
      steps.forEach((step, i) => {
        rig.run(step);
        if (i % 16 === 0) rig.check(options.maxFrames);
      });
      rig.check(options.maxFrames);
      filled += rig.shadow.hiddenFaults;
      evicted += rig.shadow.evictions;
      unshadowed += rig.shadow.unshadowed;
      tracedWrites += rig.shadow.tracedWrites;
      rig.finish();
    }),
    { numRuns: Number(process.env['HVSIM_RUNS'] ?? 400) },
  );
  // The commands must really reach what the test is about.
  expect(filled).toBeGreaterThan(2000);
  expect(evicted).toBeGreaterThan(500);
  expect(unshadowed).toBeGreaterThan(20);
  expect(tracedWrites).toBeGreaterThan(200);
});

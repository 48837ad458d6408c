/**
 * Nested page tables against a naive model: a two-dimensional walk, with violations answered as they come, gives what
 * the bare machine's walk gives: same frame, rights, error code and A and D bits, and never more references than the
 * formula (n+1)(m+1)-1 allows.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assert } from '../../../src/core/errors.ts';
import { MachineMemory } from '../../../src/machine/memory.ts';
import {
  ACCESS_FETCH,
  ACCESS_USER,
  ACCESS_WRITE,
  CR0_PG,
  CR0_WP,
  CR4_PSE,
  type PagingRegisters,
  WALK_NESTED_FAULT,
  WALK_OK,
  WALK_PAGE_FAULT,
} from '../../../src/machine/paging.ts';
import { ABSENT, type PhysMap } from '../../../src/machine/physmap.ts';
import { TLB_LARGE } from '../../../src/machine/tlb.ts';
import { NESTED_ALL, NESTED_READ, NESTED_WRITE, NestedPaging } from '../../../src/vmm/paging/nested.ts';
import { NestedWalker } from '../../../src/vmm/paging/nested-walker.ts';
import type { NestedLevels } from '../../../src/vmm/vmx-options.ts';
import { firstDifference, GUEST_OWNER, Model, makeGuest, pagingRegisters, same, VMM_OWNER } from './world.ts';

const FRAMES = 24;
const HOLES = [20, 23];
const SLOTS = [0, 1, 2, 7, 20, 1023];

type Command =
  | { kind: 'edit'; gpa: number; value: number }
  | { kind: 'access'; lin: number; access: number }
  | { kind: 'cr3'; gfn: number }
  | { kind: 'mode'; bit: 'wp' | 'pg' | 'pse' }
  | { kind: 'unmap'; gfn: number }
  | { kind: 'protect'; gfn: number; rights: number }
  | { kind: 'move'; gfn: number };

const slot = fc.constantFrom(...SLOTS);
const gfn = fc.integer({ min: 0, max: 19 });
const guestEntry = fc
  .record({
    gfn: fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 0, max: 19 }) },
      { weight: 1, arbitrary: fc.constantFrom(20, 24, 0xfffff) },
    ),
    low: fc.integer({ min: 0, max: 7 }).map((rights) => (rights === 0 ? 0 : rights | 1)),
    status: fc.constantFrom(0, 0, 0x20, 0x60, 0x80, 0x100),
  })
  .map((e) => (e.gfn << 12) | e.low | e.status);

const edit = fc
  .tuple(fc.integer({ min: 0, max: 6 }), slot, guestEntry)
  .map(([table, i, value]): Command => ({ kind: 'edit', gpa: (table << 12) | (i << 2), value }));

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 25, arbitrary: edit },
  {
    weight: 60,
    arbitrary: fc
      .tuple(slot, slot, fc.constantFrom(0, ACCESS_WRITE, ACCESS_USER, ACCESS_USER | ACCESS_WRITE, ACCESS_FETCH))
      .map(([d, t, access]): Command => ({ kind: 'access', lin: (d << 22) | (t << 12) | 0x234, access })),
  },
  { weight: 5, arbitrary: fc.constantFrom(0, 1, 2).map((root): Command => ({ kind: 'cr3', gfn: root })) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<'wp' | 'pg' | 'pse'>('wp', 'pg', 'pse').map((bit): Command => ({ kind: 'mode', bit })),
  },
  { weight: 4, arbitrary: gfn.map((g): Command => ({ kind: 'unmap', gfn: g })) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(gfn, fc.constantFrom(NESTED_READ, NESTED_READ | NESTED_WRITE))
      .map(([g, rights]): Command => ({ kind: 'protect', gfn: g, rights })),
  },
  { weight: 4, arbitrary: gfn.map((g): Command => ({ kind: 'move', gfn: g })) },
);

class Rig {
  readonly memory = new MachineMemory(FRAMES + 12);
  readonly physmap: PhysMap;
  readonly registers: PagingRegisters = pagingRegisters(0);
  readonly model = new Model(FRAMES, HOLES);
  readonly nested: NestedPaging;
  readonly walker: NestedWalker;
  readonly cached: boolean;
  invalidations = 0;

  constructor(nestedTlbEntries: number, pageWalkEntries: number, levels: NestedLevels) {
    this.physmap = makeGuest(this.memory, FRAMES, HOLES);
    this.nested = new NestedPaging(this.memory, this.physmap, { owner: VMM_OWNER, levels });
    this.nested.invalidate = () => this.invalidations++;
    this.walker = new NestedWalker(this.memory, this.nested, { nestedTlbEntries, pageWalkEntries });
    this.cached = nestedTlbEntries > 0 || pageWalkEntries > 0;
  }

  run(step: Command): void {
    const r = this.registers;
    if (step.kind === 'edit') {
      this.physmap.write32(step.gpa, step.value);
      this.model.physmap.write32(step.gpa, step.value);
    } else if (step.kind === 'access') this.access(step.lin, step.access);
    else if (step.kind === 'cr3') r.cr3 = step.gfn << 12;
    else if (step.kind === 'mode') {
      if (step.bit === 'pse') r.cr4 ^= CR4_PSE;
      else r.cr0 ^= step.bit === 'wp' ? CR0_WP : CR0_PG;
    } else if (step.kind === 'unmap') this.nested.unmap(step.gfn);
    else if (step.kind === 'protect') this.nested.map(step.gfn, this.physmap.lookup(step.gfn), step.rights);
    else this.move(step.gfn);
  }

  /** Walks, maps what is missing, and walks again, as a VMM does. */
  access(lin: number, bits: number): void {
    const untouched = firstDifference(this.physmap, this.model.physmap);
    same(untouched, -1, 'first difference before the access');
    for (let attempt = 0; ; attempt++) {
      assert(attempt < 12, 'faults do not end');
      const code = this.walker.walk(this.registers, lin, bits);
      assert(this.walker.references <= 14, 'more references than the worst case');
      if (code === WALK_NESTED_FAULT) {
        same(firstDifference(this.physmap, this.model.physmap), -1, 'first difference after a failed walk');
        if (this.nested.handleViolation(this.walker.faultGpa) === 'filled') continue;
        // Nothing answers there: the bare machine reads all ones, which only the VMM can emulate here.
        same(this.physmap.lookup(this.walker.faultGpa >>> 12), ABSENT, 'frame behind an absent address');
        if (!this.walker.faultOnTable) this.expectAbsent(lin, bits);
        return;
      }
      const expected = this.model.walker.walk(this.registers, lin, bits);
      same(code, expected, 'outcome');
      if (code === WALK_PAGE_FAULT) same(this.walker.errorCode, this.model.walker.errorCode, 'error code');
      else this.expectSame();
      return;
    }
  }

  expectSame(): void {
    const native = this.model.walker;
    same(this.walker.frame, this.physmap.lookup(native.frame), 'machine frame');
    same(this.walker.flags & TLB_LARGE, 0, 'large flag over small leaves');
    same(this.walker.flags & ~native.flags, 0, 'flags that the guest does not give');
    const expected = (native.references + 1) * (this.nested.levels + 1) - 1;
    if (this.cached) assert(this.walker.references <= expected, 'more references than without a cache');
    else same(this.walker.references, expected, 'references');
  }

  /** The model reaches the hole too; its A and D bits are copied, as the VMM's emulation would set them. */
  expectAbsent(lin: number, bits: number): void {
    same(this.model.walker.walk(this.registers, lin, bits), WALK_OK, 'outcome on the bare machine');
    same(this.model.walker.frame, this.walker.faultGpa >>> 12, 'frame on the bare machine');
    for (let g = 0; g < FRAMES; g++) {
      const from = this.model.physmap.lookup(g);
      const to = this.physmap.lookup(g);
      if (from === ABSENT) continue;
      const words = this.model.physmap.memory.words32.subarray(from << 10, (from + 1) << 10);
      this.memory.words32.set(words, to << 10);
    }
  }

  move(g: number): void {
    const old = this.physmap.lookup(g);
    const fresh = this.memory.allocateFrame(GUEST_OWNER);
    if (fresh === ABSENT) return;
    this.memory.words32.copyWithin(fresh << 10, old << 10, (old + 1) << 10);
    this.physmap.mfnOf[g] = fresh;
    const before = this.invalidations;
    if (this.nested.lookup(g)) {
      this.nested.map(g, fresh, NESTED_ALL);
      same(this.invalidations, before + 1, 'invalidations');
    }
    this.memory.freeFrame(old, GUEST_OWNER);
  }
}

test('a nested walk finds what the bare machine finds', () => {
  let fills = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(0, 0, 1, 4),
      fc.constantFrom(0, 0, 1, 8),
      fc.constantFrom<NestedLevels>(4, 4, 3, 2),
      fc.array(edit, { minLength: 40, maxLength: 40 }),
      fc.array(command, { minLength: 10, maxLength: 150, size: 'max' }),
      (nestedTlbEntries, pageWalkEntries, levels, initial, steps) => {
        const rig = new Rig(nestedTlbEntries, pageWalkEntries, levels);
        for (const step of [...initial, ...steps]) rig.run(step);
        expect(firstDifference(rig.physmap, rig.model.physmap)).toBe(-1);
        fills += rig.nested.fills;
        rig.nested.release();
        expect(rig.nested.framesInUse).toBe(0);
        expect(rig.memory.freeFrameCount).toBe(rig.memory.frames - (FRAMES - HOLES.length));
      },
    ),
    { numRuns: Number(process.env['HVSIM_RUNS'] ?? 300) },
  );
  expect(fills).toBeGreaterThan(1000);
});

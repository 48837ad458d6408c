/**
 * Type rules of direct paging against a naive model: after any sequence of requests, hostile ones among them, the counts
 * are those that a look at all tables gives, no frame is page table and writable at once, nothing foreign is mapped, and
 * every L2 table has the VMM's entry in the VMM's slot. A refused request changes nothing.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MachineMemory } from '../../../src/machine/memory.ts';
import { EBUSY, EINVAL, EPERM } from '../../../src/vmm/paravirtual/abi.ts';
import {
  FrameTypes,
  TYPE_L1,
  TYPE_L2,
  TYPE_NONE,
  TYPE_WRITABLE,
  VMM_SLOT,
} from '../../../src/vmm/paravirtual/frame-types.ts';

const OWNER = 2;
const FRAMES = 10;
const P = 1;
const W = 2;
const U = 4;

/** A guest of ten frames, the VMM's table frame, and one frame of somebody else. */
function world() {
  const memory = new MachineMemory(FRAMES + 4, 1);
  const own = Array.from({ length: FRAMES }, () => memory.allocateFrame(OWNER));
  const vmm = memory.allocateFrame(OWNER + 1);
  const foreign = memory.allocateFrame(OWNER + 2);
  const log = { flushes: 0 };
  const types = new FrameTypes(
    memory,
    OWNER,
    (vmm << 12) | P | W,
    () => {},
    () => log.flushes++,
  );
  return { memory, own, vmm, foreign, types, log };
}
type World = ReturnType<typeof world>;

const entryAt = (w: World, mfn: number, slot: number) => w.memory.words32[mfn * 1024 + slot]!;

/** Counts from scratch: who is reached from the root and the pinned tables, and by what. */
function recount(w: World) {
  const typeOf = new Map<number, number>();
  const typeUses = new Map<number, number>();
  const references = new Map<number, number>();
  const bump = (map: Map<number, number>, key: number) => map.set(key, (map.get(key) ?? 0) + 1);
  const use = (mfn: number, type: number): void => {
    expect(w.memory.ownerOf(mfn), `frame ${mfn} is the guest's own`).toBe(OWNER);
    bump(references, mfn);
    bump(typeUses, mfn);
    if (typeOf.has(mfn)) {
      expect(typeOf.get(mfn), `frame ${mfn} has one type`).toBe(type);
      return;
    }
    typeOf.set(mfn, type);
    if (type === TYPE_WRITABLE) return;
    for (let slot = 0; slot < 1024; slot++) {
      const entry = entryAt(w, mfn, slot);
      if (type === TYPE_L2 && slot === VMM_SLOT) expect(entry).toBe((w.vmm << 12) | P | W);
      else if ((entry & P) !== 0) follow(entry, type);
    }
  };
  const follow = (entry: number, type: number): void => {
    if (type === TYPE_L2) use(entry >>> 12, TYPE_L1);
    else if ((entry & W) !== 0) use(entry >>> 12, TYPE_WRITABLE);
    else {
      expect(w.memory.ownerOf(entry >>> 12)).toBe(OWNER);
      bump(references, entry >>> 12);
    }
  };
  if (w.types.root >= 0) use(w.types.root, TYPE_L2);
  for (const mfn of w.own) if (w.types.pinned[mfn] !== 0) use(mfn, w.types.type[mfn]!);
  return { typeOf, typeUses, references };
}

function check(w: World): void {
  const { typeOf, typeUses, references } = recount(w);
  for (const mfn of [...w.own, w.foreign, w.vmm]) {
    expect(w.types.type[mfn], `type of ${mfn}`).toBe(typeOf.get(mfn) ?? TYPE_NONE);
    expect(w.types.typeCount[mfn], `type count of ${mfn}`).toBe(typeUses.get(mfn) ?? 0);
    expect(w.types.references[mfn], `references of ${mfn}`).toBe(references.get(mfn) ?? 0);
  }
}

// Few slots, so that requests meet: both ends of a table and the VMM's own slot.
const slot = fc.constantFrom(0, 1, 2, VMM_SLOT - 1, VMM_SLOT);
const frame = fc.integer({ min: 0, max: FRAMES + 2 });
const rights = fc.constantFrom(0, P, P | W, P | U, P | W | U, P | 0x80, P | 0x100, P | W | 0x60);
const request = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('update' as const), frame, slot, target: frame, rights }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('scribble' as const), frame, slot, target: frame, rights }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('pin1', 'pin2', 'unpin', 'root'), frame }) },
);

describe('random requests', () => {
  it('keep the counts of a naive model, and change nothing when they are refused', () => {
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 60 }), (requests) => {
        const w = world();
        const frames = [...w.own, w.vmm, w.foreign, 0xfffff];
        // Something to start from: an address space with one table.
        expect(w.types.update(w.own[0]! * 4096, 0)).toBe(EINVAL);
        w.memory.words32[w.own[0]! * 1024] = (w.own[1]! << 12) | P | W;
        expect(w.types.setRoot(w.own[0]!)).toBe(0);
        for (const one of requests) {
          const mfn = frames[one.frame]!;
          if (one.kind === 'scribble') {
            // What a guest can do by itself: store into memory that is no table (any frame that is not typed as one).
            const isTable = (w.types.type[mfn] ?? 0) >= TYPE_L1;
            if (isTable || w.memory.ownerOf(mfn) !== OWNER) continue;
            w.memory.words32[mfn * 1024 + one.slot] = (frames[one.target]! << 12) | one.rights;
            continue;
          }
          const before = w.memory.bytes.slice();
          let result: number;
          if (one.kind === 'update') {
            result = w.types.update(mfn * 4096 + one.slot * 4, (frames[one.target]! << 12) | one.rights);
          } else if (one.kind === 'unpin') result = w.types.unpin(mfn);
          else if (one.kind === 'root') result = w.types.setRoot(mfn);
          else result = w.types.pin(mfn, one.kind === 'pin1' ? TYPE_L1 : TYPE_L2);
          expect([0, EPERM, EINVAL, EBUSY]).toContain(result);
          if (result !== 0 && one.kind !== 'root') expect(Buffer.compare(w.memory.bytes, before)).toBe(0);
          check(w);
        }
      }),
      { numRuns: 300, seed: 2003 },
    );
  });
});

describe('each rule by itself', () => {
  const started = () => {
    const w = world();
    w.memory.words32[w.own[0]! * 1024] = (w.own[1]! << 12) | P | W;
    expect(w.types.setRoot(w.own[0]!)).toBe(0);
    return w;
  };
  const l1 = (w: World, at: number) => w.own[1]! * 4096 + at * 4;

  it('a page table cannot be mapped writable, nor a writable frame become a table', () => {
    const w = started();
    expect(w.types.update(l1(w, 0), (w.own[1]! << 12) | P | W)).toBe(EBUSY);
    expect(w.types.update(l1(w, 0), (w.own[0]! << 12) | P | W)).toBe(EBUSY);
    expect(w.types.update(l1(w, 0), (w.own[0]! << 12) | P)).toBe(0);
    expect(w.types.update(l1(w, 1), (w.own[2]! << 12) | P | W)).toBe(0);
    expect(w.types.pin(w.own[2]!, TYPE_L1)).toBe(EBUSY);
    expect(w.types.pin(w.own[2]!, TYPE_L2)).toBe(EBUSY);
    check(w);
  });

  it('frames of others and of the VMM cannot be mapped at all', () => {
    const w = started();
    for (const mfn of [w.foreign, w.vmm, 0, 0xfffff]) {
      expect(w.types.update(l1(w, 0), (mfn << 12) | P)).toBe(EPERM);
      expect(w.types.update(l1(w, 0), (mfn << 12) | P | W)).toBe(EPERM);
      expect(w.types.update(w.own[0]! * 4096 + 4, (mfn << 12) | P)).toBe(EPERM);
      expect(w.types.pin(mfn, TYPE_L1)).toBe(EPERM);
    }
  });

  it("the VMM's slot is the VMM's", () => {
    const w = started();
    expect(w.types.update(w.own[0]! * 4096 + VMM_SLOT * 4, 0)).toBe(EPERM);
    expect(entryAt(w, w.own[0]!, VMM_SLOT) >>> 12).toBe(w.vmm);
  });

  it('large pages, global pages and updates off a word are refused', () => {
    const w = started();
    expect(w.types.update(w.own[0]! * 4096 + 4, (w.own[2]! << 12) | P | 0x80)).toBe(EINVAL);
    expect(w.types.update(l1(w, 0), (w.own[2]! << 12) | P | 0x100)).toBe(EINVAL);
    expect(w.types.update(l1(w, 0) + 2, 0)).toBe(EINVAL);
    expect(w.types.update(w.own[5]! * 4096, 0)).toBe(EINVAL);
  });

  it('a table with one bad entry is refused whole', () => {
    const w = started();
    w.memory.words32[w.own[3]! * 1024 + 7] = (w.own[2]! << 12) | P | W;
    w.memory.words32[w.own[3]! * 1024 + 1000] = (w.foreign << 12) | P;
    expect(w.types.pin(w.own[3]!, TYPE_L1)).toBe(EPERM);
    check(w);
  });

  it('the TLB is flushed before a frame that was writable becomes a table, once', () => {
    const w = started();
    expect(w.types.update(l1(w, 1), (w.own[2]! << 12) | P | W)).toBe(0);
    expect(w.types.update(l1(w, 1), (w.own[2]! << 12) | P)).toBe(0);
    expect(w.log.flushes).toBe(0);
    expect(w.types.pin(w.own[2]!, TYPE_L1)).toBe(0);
    expect(w.log.flushes).toBe(1);
    expect(w.types.pin(w.own[4]!, TYPE_L1)).toBe(0);
    expect(w.log.flushes).toBe(1);
  });
});

/** Machine memory: frames are handed out zeroed and once, the ledger balances, guest-physical access respects holes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_CODE, MachineMemory, OWNER_FREE, OWNER_TABLES } from '../../src/machine/memory.ts';
import { ABSENT, PhysMap } from '../../src/machine/physmap.ts';

describe('frames', () => {
  test('come in ascending order, behind the simulator tables', () => {
    const memory = new MachineMemory(3, 2);
    const first = memory.firstFrame;
    expect(first).toBeGreaterThan(1);
    expect([0, 1, 2].map(() => memory.allocateFrame(7))).toEqual([first, first + 1, first + 2]);
    expect(memory.allocateFrame(7)).toBe(-1);
    expect(memory.ownerOf(first - 1)).toBe(OWNER_TABLES);
    expect(memory.ownerOf(first)).toBe(7);
  });

  test('come back clean: no bytes, no flags, no owner', () => {
    const memory = new MachineMemory(2, 1);
    const mfn = memory.allocateFrame(0);
    memory.bytes.fill(0xab, mfn * 4096, (mfn + 1) * 4096);
    memory.frameFlags[mfn] = FRAME_CODE;
    memory.freeFrame(mfn, 0);
    expect(memory.ownerOf(mfn)).toBe(OWNER_FREE);
    expect(memory.allocateFrame(1)).toBe(mfn);
    expect(memory.frameFlags[mfn]).toBe(0);
    expect(memory.bytes.subarray(mfn * 4096, (mfn + 1) * 4096).every((byte) => byte === 0)).toBe(true);
  });

  test('cannot be freed by somebody else, or twice', () => {
    const memory = new MachineMemory(2);
    const mfn = memory.allocateFrame(1);
    expect(() => memory.freeFrame(mfn, 2)).toThrow('not owned by 2');
    memory.freeFrame(mfn, 1);
    expect(() => memory.freeFrame(mfn, 1)).toThrow('not owned by 1');
    expect(() => memory.allocateFrame(-1)).toThrow('owner');
  });

  test('the ledger balances under any order of allocation and release', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -8, max: 3 }), { maxLength: 80 }), (steps) => {
        const memory = new MachineMemory(12, 1);
        const owned: { mfn: number; owner: number }[] = [];
        const asExpected: boolean[] = [];
        for (const step of steps) {
          if (step < 0) {
            const [frame] = owned.splice(-step % Math.max(owned.length, 1), 1);
            if (frame !== undefined) memory.freeFrame(frame.mfn, frame.owner);
          } else {
            const mfn = memory.allocateFrame(step);
            const isNew = mfn !== -1 && !owned.some((frame) => frame.mfn === mfn);
            asExpected.push(isNew === owned.length < 12);
            if (isNew) owned.push({ mfn, owner: step });
          }
          expect(asExpected).not.toContain(false);
          expect(memory.freeFrameCount + owned.length).toBe(12);
          for (const frame of owned) expect(memory.ownerOf(frame.mfn)).toBe(frame.owner);
        }
      }),
    );
  });

  test('frames above 2 GiB are cleared and read at their own address', () => {
    const frames = 2 ** 19 + 1;
    const memory = new MachineMemory(frames, 1);
    const physmap = new PhysMap(memory, 1);
    for (let i = 0; i < frames; i++) physmap.mfnOf[0] = memory.allocateFrame(0);
    const mfn = physmap.lookup(0);
    expect(mfn).toBe(memory.firstFrame + frames - 1);
    physmap.write8(5, 77);
    physmap.write32(8, 78);
    expect(memory.bytes[mfn * 4096 + 5]).toBe(77);
    expect([physmap.read8(5), physmap.read32(8)]).toEqual([77, 78]);
    memory.freeFrame(mfn, 0);
    expect(memory.bytes[mfn * 4096 + 5]).toBe(0);
  });

  test('a host of more than 4 GiB is refused', () => {
    expect(() => new MachineMemory(2 ** 20, 16)).toThrow('too large');
  });

  test('tables of the simulator are aligned and bounded', () => {
    const memory = new MachineMemory(1, 1);
    expect([memory.reserveTable(10), memory.reserveTable(16), memory.reserveTable(4)]).toEqual([0, 16, 32]);
    expect(() => memory.reserveTable(4096)).toThrow('table frames exhausted');
  });
});

describe('guest-physical memory', () => {
  function guest(): PhysMap {
    const memory = new MachineMemory(8, 1);
    const physmap = new PhysMap(memory, 4);
    for (const gfn of [3, 1, 0]) physmap.mfnOf[gfn] = memory.allocateFrame(0); // frame 2 is a hole
    return physmap;
  }

  test('reads all ones and ignores writes where nothing answers', () => {
    const physmap = guest();
    for (const gpa of [0x2000, 0x4000, 0xfffff000 | 0]) {
      physmap.write32(gpa, 1);
      physmap.write8(gpa, 1);
      expect(physmap.read32(gpa)).toBe(-1);
      expect(physmap.read8(gpa)).toBe(0xff);
    }
    expect(physmap.lookup(2)).toBe(ABSENT);
    expect(physmap.lookup(4)).toBe(ABSENT);
    expect(physmap.sizeBytes).toBe(0x4000);
  });

  test('bytes are little-endian parts of words', () => {
    const physmap = guest();
    physmap.write32(0x1004, 0x80402010 | 0);
    expect([0, 1, 2, 3].map((i) => physmap.read8(0x1004 + i))).toEqual([0x10, 0x20, 0x40, 0x80]);
    physmap.write8(0x1007, 0x7f);
    expect(physmap.read32(0x1004)).toBe(0x7f402010);
  });

  test('loaders write and fill across frames that are not neighbours', () => {
    const physmap = guest();
    physmap.write(0xffe, Uint8Array.of(1, 2, 3, 4));
    expect([0xffe, 0xfff, 0x1000, 0x1001].map((gpa) => physmap.read8(gpa))).toEqual([1, 2, 3, 4]);
    physmap.fill(0xfff, 2, 9);
    expect([0xffe, 0xfff, 0x1000, 0x1001].map((gpa) => physmap.read8(gpa))).toEqual([1, 9, 9, 4]);
    expect(() => physmap.write(0x1fff, Uint8Array.of(1, 2))).toThrow('outside RAM at 0x2000');
    expect(() => physmap.fill(0x3fff, 2, 0)).toThrow('outside RAM at 0x4000');
  });
});

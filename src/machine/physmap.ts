/**
 * Guest-physical memory of one VM (or of the bare machine): which machine frame backs each guest frame.
 * Ballooning, sharing, swapping and migration change this map and nothing else.
 * Invariants: an entry is a machine frame number, or ABSENT (nothing answers at that address); a ROM's frames have
 * FRAME_ROM, may answer at two places, and never change.
 */
import { assert } from '../core/errors.ts';
import { type Bytes, type Gfn, type Gpa, type Mfn, PAGE_BYTES, PAGE_SHIFT } from '../core/units.ts';
import { FRAME_CODE, FRAME_ROM, type MachineMemory } from './memory.ts';

/** No RAM and no device behind this guest frame: reads give all ones, writes are ignored (open bus). */
export const ABSENT = -1;

/** Guest frames of the 32-bit address space. */
const GFN_END = 2 ** 20;

const ZEROS = new Uint8Array(PAGE_BYTES);

export class PhysMap {
  readonly memory: MachineMemory;
  /** Machine frame of each guest frame, ABSENT where there is none. */
  readonly mfnOf: Int32Array;
  /** Byte offset of mfnOf in machine memory, where compiled code finds it, or -1: it lies elsewhere. */
  readonly mapAt: number;
  /** Guest frames without RAM that belong to memory-mapped devices. */
  readonly deviceFrames = new Set<Gfn>();
  /** Guest RAM size: guest frames 0 .. ramFrames-1 (holes excepted) are RAM. */
  readonly ramFrames: number;
  /** The ROM that ends at 4 GiB: its first guest frame, and the machine frame of each. */
  private highFirst: Gfn = GFN_END;
  private highMfn: readonly Mfn[] = [];

  constructor(memory: MachineMemory, ramFrames: number) {
    this.memory = memory;
    this.ramFrames = ramFrames;
    this.mapAt = memory.findMap(4 * ramFrames);
    this.mfnOf = this.mapAt < 0 ? new Int32Array(ramFrames) : new Int32Array(memory.wasm.buffer, this.mapAt, ramFrames);
    this.mfnOf.fill(ABSENT);
  }

  /** Machine frame behind a guest frame number (unsigned), or ABSENT. */
  lookup(gfn: Gfn): Mfn {
    if (gfn < this.mfnOf.length) return this.mfnOf[gfn]!;
    return gfn < this.highFirst ? ABSENT : (this.highMfn[gfn - this.highFirst] ?? ABSENT);
  }

  /** Shows frames with FRAME_ROM at the top of the 4 GiB, the last of them last. RAM does not reach there. */
  mapHigh(frames: readonly Mfn[]): void {
    assert(GFN_END - frames.length >= this.mfnOf.length, 'a ROM below 4 GiB overlaps RAM');
    this.highFirst = GFN_END - frames.length;
    this.highMfn = frames;
  }

  /** Reads a naturally aligned 32-bit word of guest-physical memory; all ones where nothing answers. */
  read32(gpa: Gpa): number {
    const mfn = this.lookup(gpa >>> PAGE_SHIFT);
    return mfn === ABSENT ? -1 : this.memory.words32[(mfn << 10) | ((gpa & 0xfff) >>> 2)]!;
  }

  /** Writes a naturally aligned 32-bit word; ignored where nothing answers, and in ROM. */
  write32(gpa: Gpa, value: number): void {
    const mfn = this.lookup(gpa >>> PAGE_SHIFT);
    if (mfn === ABSENT) return;
    const flags = this.memory.frameFlags[mfn]!;
    if ((flags & FRAME_ROM) !== 0) return;
    if ((flags & FRAME_CODE) !== 0) this.memory.onCodeWrite?.(mfn, gpa & 0xfff, 4);
    this.memory.words32[(mfn << 10) | ((gpa & 0xfff) >>> 2)] = value;
  }

  read8(gpa: Gpa): number {
    const mfn = this.lookup(gpa >>> PAGE_SHIFT);
    return mfn === ABSENT ? 0xff : this.memory.bytes[mfn * PAGE_BYTES + (gpa & 0xfff)]!;
  }

  write8(gpa: Gpa, value: number): void {
    const mfn = this.lookup(gpa >>> PAGE_SHIFT);
    if (mfn !== ABSENT) this.memory.bytes[mfn * PAGE_BYTES + (gpa & 0xfff)] = value;
  }

  /** Copies bytes into guest-physical memory, for loaders. Every touched frame must be RAM. */
  write(gpa: Gpa, data: Uint8Array): void {
    for (let done = 0; done < data.length; ) {
      const at = gpa + done;
      const mfn = this.lookup(at >>> PAGE_SHIFT);
      assert(mfn !== ABSENT, `loader wrote outside RAM at 0x${at.toString(16)}`);
      const count = Math.min(data.length - done, PAGE_BYTES - (at & 0xfff));
      this.memory.bytes.set(data.subarray(done, done + count), mfn * PAGE_BYTES + (at & 0xfff));
      done += count;
    }
  }

  /** Fills guest-physical memory with one byte value, for loaders. Zeros cost the host no memory where zeros are. */
  fill(gpa: Gpa, length: Bytes, value: number): void {
    for (let done = 0; done < length; ) {
      const at = gpa + done;
      const mfn = this.lookup(at >>> PAGE_SHIFT);
      assert(mfn !== ABSENT, `loader wrote outside RAM at 0x${at.toString(16)}`);
      const count = Math.min(length - done, PAGE_BYTES - (at & 0xfff));
      const start = mfn * PAGE_BYTES + (at & 0xfff);
      const bytes = this.memory.bytes.subarray(start, start + count);
      if (value !== 0 || Buffer.compare(bytes, ZEROS.subarray(0, count)) !== 0) bytes.fill(value);
      done += count;
    }
  }

  /** RAM size in bytes. */
  get sizeBytes(): Bytes {
    return this.ramFrames * PAGE_BYTES;
  }
}

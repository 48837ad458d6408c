/** A disk in memory: sector n begins with n as a 32-bit number and is filled with its low byte. */
import { type BlockStore, SECTOR_BYTES } from '../../../src/machine/devices/block-store.ts';

export class MemoryDisk implements BlockStore {
  readonly sectors: number;
  readonly bytes: Uint8Array;
  flushes = 0;

  constructor(sectors: number) {
    this.sectors = sectors;
    this.bytes = new Uint8Array(sectors * SECTOR_BYTES);
    const view = new DataView(this.bytes.buffer);
    for (let n = 0; n < sectors; n++) {
      this.bytes.fill(n, n * SECTOR_BYTES, (n + 1) * SECTOR_BYTES);
      view.setUint32(n * SECTOR_BYTES, n, true);
    }
  }

  read(sector: number, target: Uint8Array, offset: number): void {
    this.check(sector);
    target.set(this.bytes.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES), offset);
  }

  write(sector: number, source: Uint8Array, offset: number): void {
    this.check(sector);
    this.bytes.set(source.subarray(offset, offset + SECTOR_BYTES), sector * SECTOR_BYTES);
  }

  flush(): void {
    this.flushes++;
  }

  private check(sector: number): void {
    if (!Number.isInteger(sector) || sector < 0 || sector >= this.sectors) throw new RangeError(`sector ${sector}`);
  }
}

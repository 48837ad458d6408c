/**
 * What an IDE drive says of itself: the 512 bytes of IDENTIFY DEVICE, and the geometry that a disk's size gives.
 * Invariant: cylinders * heads * sectors of the default geometry never exceed the disk.
 * Source: ATA/ATAPI-5 (T13/1321D), 8.12 "IDENTIFY DEVICE" and annex B; words 4 and 5 from ATA-1; the drive has PIO mode 4 and no DMA.
 */
import { SECTOR_BYTES } from './block-store.ts';

export const DEFAULT_HEADS = 16;
export const DEFAULT_SECTORS_PER_TRACK = 63;
const CYLINDERS_MAX = 16_383;
/** Most sectors of one block of READ and WRITE MULTIPLE. */
export const MULTIPLE_MAX = 16;

export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

/** Cylinders that a translation gives a disk, 1 at least. */
export function geometryOf(sectors: number, heads: number, sectorsPerTrack: number): Geometry {
  const cylinders = Math.min(CYLINDERS_MAX, Math.max(1, Math.floor(sectors / (heads * sectorsPerTrack))));
  return { cylinders, heads, sectorsPerTrack };
}

/** Fills `buffer` with the answer to IDENTIFY DEVICE. */
export function fillIdentify(
  buffer: Uint8Array,
  sectors: number,
  current: Geometry,
  multiple: number,
  serial: string,
): void {
  const native = geometryOf(sectors, DEFAULT_HEADS, DEFAULT_SECTORS_PER_TRACK);
  const view = new DataView(buffer.buffer, buffer.byteOffset, SECTOR_BYTES);
  buffer.fill(0, 0, SECTOR_BYTES);
  const word = (index: number, value: number) => view.setUint16(2 * index, value, true);
  const pair = (index: number, value: number) => view.setUint32(2 * index, value, true);
  word(0, 0x0040); // fixed drive
  word(1, native.cylinders);
  word(3, native.heads);
  // Bytes of a track and of a sector: retired since ATA-2, but there are BIOSes that read the sector size here.
  word(4, native.sectorsPerTrack * SECTOR_BYTES);
  word(5, SECTOR_BYTES);
  word(6, native.sectorsPerTrack);
  text(view, 10, 20, serial);
  text(view, 23, 8, '1');
  text(view, 27, 40, 'HVSIM IDE DISK');
  word(47, 0x8000 | MULTIPLE_MAX);
  word(48, 1); // 32-bit transfers at the data port
  word(49, 0x0a00); // LBA, IORDY
  word(51, 0x0200); // PIO mode 2 without IORDY
  word(53, 0x0003); // words 54-58 and 64-70 are valid
  word(54, current.cylinders);
  word(55, current.heads);
  word(56, current.sectorsPerTrack);
  pair(57, current.cylinders * current.heads * current.sectorsPerTrack);
  word(59, multiple === 0 ? 0 : 0x0100 | multiple);
  pair(60, Math.min(sectors, 0x0fff_ffff));
  word(64, 0x0003); // PIO modes 3 and 4
  word(67, 120); // ns of a PIO cycle
  word(68, 120);
  word(80, 0x003e); // ATA-1 to ATA-5
  word(82, 0x4020); // NOP; write cache
  word(83, 0x4000);
  word(84, 0x4000);
  word(85, 0x4020);
  word(86, 0x0000);
  word(87, 0x4000);
}

/** ASCII, padded with blanks, first character in the high byte of the first word. */
function text(view: DataView, index: number, length: number, value: string): void {
  for (let i = 0; i < length; i++) view.setUint8(2 * index + (i ^ 1), value.charCodeAt(i) || 0x20);
}

/**
 * Images without structure: a flat 32-bit program, a boot sector, a ROM.
 * Invariants: a flat image lies in RAM that the memory map calls available; a ROM ends at 4 GiB, its last 128 KiB (or
 * all of it, if it is smaller) also end at 1 MiB, and nothing can write to it, unless what is below 1 MiB is shadow RAM.
 * Source: IBM PC BIOS convention for boot sectors (0x7C00, 0xAA55); QEMU -bios for the two places of a ROM.
 */
import { UserError } from '../core/errors.ts';
import { type Gpa, PAGE_BYTES, PAGE_SHIFT } from '../core/units.ts';
import { FRAME_ROM, type MachineMemory } from '../machine/memory.ts';
import type { PhysMap } from '../machine/physmap.ts';
import type { GuestImage } from './image.ts';
import type { PhysicalMemoryWriter } from './multiboot.ts';
import { HIGH_MEMORY_START, LOW_MEMORY_END } from './multiboot-info.ts';
import { type CpuStart, flatGdt, protectedStart, realStart, resetStart } from './start.ts';

const BOOT_SECTOR_AT: Gpa = 0x7c00;
const SECTOR_BYTES = 512;
const FIRST_HARD_DISK = 0x80;
/** The GDT that flat images start with ends below. */
const FLAT_LOWEST: Gpa = 0x1000;
const FLAT_SELECTOR = 8;
const ROM_BYTES_MAX = 16 * 2 ** 20;
const ROM_LOW_BYTES = 128 * 1024;
const OPTION_ROM_AT: Gpa = 0xc0000;
/** Where the low copy of the largest BIOS starts. */
const OPTION_ROM_END: Gpa = 0xe0000;
/** A reset vector needs room for one far jump. */
const ROM_BYTES_MIN = 16;

export interface FlatOptions {
  /** Where the first byte of the file goes; 1 MiB unless told. */
  readonly load?: Gpa | undefined;
  /** Where the CPU starts; at the first byte unless told. */
  readonly entry?: Gpa | undefined;
}

export interface RomOptions {
  /** What is below 1 MiB is a copy in RAM, as chipsets have it when a BIOS has unlocked it. */
  readonly shadowRam?: boolean | undefined;
  /** Another ROM, at 0xC0000: the BIOS of the graphics card. */
  readonly optionRom?: OptionRom | undefined;
}

export interface OptionRom {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A boot sector: 512 bytes that end in 55 AA. */
export function isBootSector(bytes: Uint8Array): boolean {
  return bytes.length === SECTOR_BYTES && bytes[510] === 0x55 && bytes[511] === 0xaa;
}

/** Loads a flat image, which starts in flat protected mode with a stack that ends below the image or at 640 KiB. */
export function loadFlat(image: GuestImage, memory: PhysicalMemoryWriter, options: FlatOptions): CpuStart {
  const { bytes, path } = image;
  const at = options.load ?? HIGH_MEMORY_START;
  const entry = options.entry ?? at;
  const end = at + bytes.length;
  if (bytes.length === 0) throw new UserError(`${path}: the file is empty`);
  const isLow = at >= FLAT_LOWEST && end <= LOW_MEMORY_END;
  if (!isLow && (at < HIGH_MEMORY_START || end > memory.sizeBytes)) {
    const allowed = `${hex(FLAT_LOWEST)}-${hex(LOW_MEMORY_END - 1)}, ${hex(HIGH_MEMORY_START)}-${hex(memory.sizeBytes - 1)}`;
    throw new UserError(`${path}: would lie at ${hex(at)}-${hex(end - 1)}, allowed: inside ${allowed}`);
  }
  if (entry < at || entry >= end) {
    throw new UserError(`${path}: entry is ${hex(entry)}, allowed: ${hex(at)} to ${hex(end - 1)}, where the image is`);
  }
  const gdt = flatGdt(FLAT_SELECTOR);
  memory.write(gdt.at, gdt.bytes);
  memory.write(at, bytes);
  return protectedStart(entry, gdt, { esp: isLow ? at & ~3 : LOW_MEMORY_END });
}

/** Loads a boot sector, which starts in real mode at 0:7C00 with DL = 0x80. There is no BIOS to call. */
export function loadBootSector(image: GuestImage, memory: PhysicalMemoryWriter): CpuStart {
  const { bytes, path } = image;
  if (bytes.length < SECTOR_BYTES || bytes[510] !== 0x55 || bytes[511] !== 0xaa) {
    throw new UserError(`${path}: no boot sector, allowed: a file whose bytes 510 and 511 are 55 AA`);
  }
  memory.write(BOOT_SECTOR_AT, bytes.subarray(0, SECTOR_BYTES));
  return realStart(BOOT_SECTOR_AT, FIRST_HARD_DISK, BOOT_SECTOR_AT);
}

/** Frames that loadRom takes beside those of RAM. */
export function romFrames(image: GuestImage): number {
  return Math.ceil(image.bytes.length / PAGE_BYTES);
}

/** Puts a ROM into a machine whose RAM is in place; the CPU starts at the reset vector. */
export function loadRom(
  image: GuestImage,
  physmap: PhysMap,
  memory: MachineMemory,
  owner: number,
  options: RomOptions = {},
): CpuStart {
  const { bytes, path } = image;
  if (bytes.length < ROM_BYTES_MIN || bytes.length > ROM_BYTES_MAX) {
    throw new UserError(`${path}: a ROM of ${bytes.length} bytes, allowed: ${ROM_BYTES_MIN} bytes to 16 MiB`);
  }
  const count = romFrames(image);
  // The ROM ends where a page ends; what is before its first byte reads as all ones.
  const lead = count * PAGE_BYTES - bytes.length;
  const frames = Array.from({ length: count }, (_, index) => {
    const mfn = memory.allocateFrame(owner);
    if (mfn < 0) throw new UserError(`${path}: the host has no memory left for a ROM of ${bytes.length} bytes`);
    const at = mfn * PAGE_BYTES;
    memory.bytes.fill(0xff, at, at + PAGE_BYTES);
    const from = index * PAGE_BYTES - lead;
    memory.bytes.set(bytes.subarray(Math.max(0, from), from + PAGE_BYTES), at + Math.max(0, -from));
    memory.frameFlags[mfn]! |= FRAME_ROM;
    return mfn;
  });
  physmap.mapHigh(frames);
  if (options.optionRom !== undefined) loadOptionRom(options.optionRom, physmap, memory);
  if (options.shadowRam === true) {
    const copy = bytes.subarray(-ROM_LOW_BYTES);
    physmap.write(HIGH_MEMORY_START - copy.length, copy);
    return resetStart();
  }
  const low = frames.slice(-(ROM_LOW_BYTES / PAGE_BYTES));
  const firstLow = (HIGH_MEMORY_START >>> PAGE_SHIFT) - low.length;
  low.forEach((mfn, index) => {
    memory.freeFrame(physmap.mfnOf[firstLow + index]!, owner);
    physmap.mfnOf[firstLow + index] = mfn;
  });
  return resetStart();
}

function loadOptionRom({ path, bytes }: OptionRom, physmap: PhysMap, memory: MachineMemory): void {
  const max = OPTION_ROM_END - OPTION_ROM_AT;
  if (bytes[0] !== 0x55 || bytes[1] !== 0xaa || bytes.length > max) {
    throw new UserError(`${path}: no option ROM, allowed: a file of at most ${max} bytes that starts with 55 AA`);
  }
  physmap.write(OPTION_ROM_AT, bytes);
  const first = OPTION_ROM_AT >>> PAGE_SHIFT;
  const count = Math.ceil(bytes.length / PAGE_BYTES);
  for (let i = 0; i < count; i++) memory.frameFlags[physmap.mfnOf[first + i]!]! |= FRAME_ROM;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

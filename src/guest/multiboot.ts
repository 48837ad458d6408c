/**
 * Multiboot 1 loader: puts a kernel, its modules and the boot information into a PC's memory, and says how the CPU
 * starts.
 * Layout: the kernel where its segments say; each module at the next page boundary after the kernel or the module
 * before it, from 1 MiB on; the boot information at the first of INFO_ADDRESSES (multiboot-info.ts) that is free.
 * Invariants: nothing is written before everything is known to fit; only memory that the memory map calls available
 * is written; no two of kernel, modules and boot information share a byte.
 * Source: Multiboot Specification 0.6.96; the command line starts with the kernel's file name as on QEMU -kernel.
 */
import { basename } from 'node:path';
import { UserError } from '../core/errors.ts';
import { type Bytes, type Gpa, PAGE_BYTES } from '../core/units.ts';
import { parseElf } from './elf.ts';
import type { GuestImage } from './image.ts';
import { checkFlags, findMultibootHeader, type MultibootAddresses, type MultibootHeader } from './multiboot-header.ts';
import {
  buildInformation,
  HIGH_MEMORY_START,
  INFO_ADDRESSES,
  INFO_BYTES_MAX,
  LOW_MEMORY_END,
  type PlacedModule,
} from './multiboot-info.ts';

/** Guest-physical memory as a loader needs it: one range of RAM from address 0. */
export interface PhysicalMemoryWriter {
  readonly sizeBytes: Bytes;
  write(gpa: Gpa, bytes: Uint8Array): void;
  fill(gpa: Gpa, length: Bytes, value: number): void;
}

export interface BootModule {
  /** For messages. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Given to the kernel with the module. By custom it starts with the file's name. */
  readonly commandLine: string;
}

export interface MultibootOptions {
  /** Text after the kernel's file name. */
  readonly append?: string;
  readonly modules?: readonly BootModule[];
}

/** A segment register that spans 4 GiB from 0. The selectors are those of QEMU; no descriptor table backs them. */
export interface FlatSegment {
  readonly selector: number;
  readonly base: 0;
  readonly limit: 0xffff_ffff;
}

/** The machine state that section 3.2 demands at the kernel's first instruction. What it leaves open is 0. */
export interface BootRegisters {
  readonly eip: Gpa;
  /** 0x2BADB002. */
  readonly eax: number;
  /** Address of the boot information. */
  readonly ebx: Gpa;
  /** CS: 32-bit, execute and read. */
  readonly code: FlatSegment;
  /** DS, ES, FS, GS, SS: 32-bit, read and write. */
  readonly data: FlatSegment;
  /** PE set, PG clear. */
  readonly cr0: number;
  /** Interrupts off. */
  readonly eflags: number;
  readonly a20Open: true;
}

export interface LoadedGuest {
  readonly registers: BootRegisters;
  readonly commandLine: string;
  /** Where the kernel lies, bss included. */
  readonly kernelStart: Gpa;
  readonly kernelEnd: Gpa;
  readonly modules: readonly PlacedModule[];
}

const LOADER_NAME = 'hvsim';
const BOOT_MAGIC = 0x2bad_b002;
const CR0_PE_ET = 0x11;
const EFLAGS_RESERVED = 0x02;

/** A range of memory and what fills it: bytes first, then zeros. */
interface Piece {
  readonly what: string;
  readonly at: Gpa;
  readonly bytes: Uint8Array;
  readonly memoryBytes: Bytes;
}

/** Loads a kernel. The memory is as after power-on: what is not written is left alone. */
export function loadMultiboot(
  image: GuestImage,
  memory: PhysicalMemoryWriter,
  options: MultibootOptions = {},
): LoadedGuest {
  const file = image.path;
  const header = findMultibootHeader(image.bytes);
  if (header === null) {
    throw new UserError(
      `${file}: no Multiboot header found, allowed: a 4-aligned header with a valid checksum in the first 8192 bytes`,
    );
  }
  checkFlags(file, header);
  const kernel = kernelPieces(image, header);
  const kernelStart = Math.min(...kernel.pieces.map((piece) => piece.at));
  const kernelEnd = Math.max(...kernel.pieces.map((piece) => piece.at + piece.memoryBytes));
  const modulePieces = placeModules(kernelEnd, options.modules ?? []);
  const modules = modulePieces.map(({ module, piece }) => ({
    start: piece.at,
    end: piece.at + piece.memoryBytes,
    commandLine: module.commandLine,
  }));
  const append = options.append ?? '';
  const commandLine = append === '' ? basename(image.path) : `${basename(image.path)} ${append}`;
  const informationAt = placeInformation(kernel.pieces);
  const information = buildInformation(file, informationAt, {
    memoryBytes: memory.sizeBytes,
    commandLine,
    loaderName: LOADER_NAME,
    modules,
  });
  const pieces = [
    ...kernel.pieces,
    ...modulePieces.map(({ piece }) => piece),
    { what: 'boot information', at: informationAt, bytes: information, memoryBytes: information.length },
  ];
  checkPlaces(file, pieces, memory.sizeBytes);
  for (const piece of pieces) {
    memory.write(piece.at, piece.bytes);
    const rest = piece.memoryBytes - piece.bytes.length;
    if (rest > 0) memory.fill(piece.at + piece.bytes.length, rest, 0);
  }
  return { registers: bootRegisters(kernel.entry, informationAt), commandLine, kernelStart, kernelEnd, modules };
}

/** The CPU as a Multiboot loader leaves it, with the kernel at `entry`. */
export function bootRegisters(entry: Gpa, informationAt: Gpa): BootRegisters {
  return {
    eip: entry,
    eax: BOOT_MAGIC,
    ebx: informationAt,
    code: { selector: 0x08, base: 0, limit: 0xffff_ffff },
    data: { selector: 0x10, base: 0, limit: 0xffff_ffff },
    cr0: CR0_PE_ET,
    eflags: EFLAGS_RESERVED,
    a20Open: true,
  };
}

/** With address fields the header rules; without them the file must be ELF. */
function kernelPieces(image: GuestImage, header: MultibootHeader): { entry: Gpa; pieces: Piece[] } {
  if (header.addresses !== null) return flatKernel(image, header.fileOffset, header.addresses);
  const elf = parseElf(image.path, image.bytes);
  const pieces = elf.segments.map((segment, index) => ({
    what: `segment ${index}`,
    at: segment.physicalAddress,
    bytes: image.bytes.subarray(segment.fileOffset, segment.fileOffset + segment.fileBytes),
    memoryBytes: segment.memoryBytes,
  }));
  return { entry: elf.entry, pieces };
}

/** Section 3.1.3, "The address fields of Multiboot header": one run of file bytes, then zeros. */
function flatKernel(image: GuestImage, headerOffset: number, a: MultibootAddresses): { entry: Gpa; pieces: Piece[] } {
  const bad = (field: string, found: number, allowed: string) =>
    new UserError(`${image.path}: Multiboot ${field} is ${hex(found)}, allowed: ${allowed}`);
  const fileOffset = headerOffset - (a.headerAddress - a.loadAddress);
  if (a.loadAddress > a.headerAddress || fileOffset < 0) {
    const lowest = Math.max(0, a.headerAddress - headerOffset);
    throw bad('load_addr', a.loadAddress, `${hex(lowest)} to header_addr ${hex(a.headerAddress)}`);
  }
  const fileRest = image.bytes.length - fileOffset;
  const loadEnd = a.loadEndAddress === 0 ? a.loadAddress + fileRest : a.loadEndAddress;
  if (loadEnd <= a.loadAddress || loadEnd > a.loadAddress + fileRest) {
    const last = a.loadAddress + fileRest;
    throw bad('load_end_addr', a.loadEndAddress, `0, or above load_addr and up to ${hex(last)}, where the file ends`);
  }
  const end = a.bssEndAddress === 0 ? loadEnd : a.bssEndAddress;
  if (end < loadEnd) throw bad('bss_end_addr', a.bssEndAddress, `0, or at least ${hex(loadEnd)}`);
  if (a.entryAddress < a.loadAddress || a.entryAddress >= end) {
    throw bad('entry_addr', a.entryAddress, `${hex(a.loadAddress)} to ${hex(end - 1)}`);
  }
  const bytes = image.bytes.subarray(fileOffset, fileOffset + loadEnd - a.loadAddress);
  const piece = { what: 'kernel', at: a.loadAddress, bytes, memoryBytes: end - a.loadAddress };
  return { entry: a.entryAddress, pieces: [piece] };
}

/** Somewhere that the kernel is not. */
function placeInformation(kernel: readonly Piece[]): Gpa {
  const isFree = (at: Gpa) =>
    kernel.every((piece) => piece.at >= at + INFO_BYTES_MAX || piece.at + piece.memoryBytes <= at);
  return INFO_ADDRESSES.find(isFree) ?? INFO_ADDRESSES[0]!;
}

function placeModules(kernelEnd: Gpa, modules: readonly BootModule[]): { module: BootModule; piece: Piece }[] {
  let at = Math.max(kernelEnd, HIGH_MEMORY_START);
  return modules.map((module) => {
    at = Math.ceil(at / PAGE_BYTES) * PAGE_BYTES;
    const { bytes } = module;
    const piece = { what: `module ${module.name}`, at, bytes, memoryBytes: bytes.length };
    at += bytes.length;
    return { module, piece };
  });
}

/** Everything must lie in available memory, and apart. */
function checkPlaces(file: string, pieces: readonly Piece[], memoryBytes: Bytes): void {
  const needed = Math.max(...pieces.map((piece) => piece.at + piece.memoryBytes));
  if (needed > memoryBytes) {
    throw new UserError(
      `${file}: does not fit: needs ${needed} bytes of memory (${mebibytes(needed)} MiB), ${memoryBytes} are available`,
    );
  }
  const sorted = [...pieces].sort((a, b) => a.at - b.at || a.memoryBytes - b.memoryBytes);
  sorted.forEach((piece, index) => {
    const end = piece.at + piece.memoryBytes;
    const place = `${piece.what} at ${hex(piece.at)}-${hex(end - 1)}`;
    if (piece.at < HIGH_MEMORY_START && end > LOW_MEMORY_END) {
      const free = `0x0-${hex(LOW_MEMORY_END - 1)} or from ${hex(HIGH_MEMORY_START)} on`;
      throw new UserError(`${file}: ${place} lies in memory that a PC reserves, allowed: ${free}`);
    }
    const next = sorted[index + 1];
    if (next !== undefined && next.at < end) {
      throw new UserError(`${file}: ${place} overlaps ${next.what} at ${hex(next.at)}, allowed: places apart`);
    }
  });
}

function mebibytes(bytes: Bytes): number {
  return Math.ceil(bytes / 2 ** 20);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/**
 * The Multiboot information structure: what the boot loader tells the kernel, as bytes in low memory.
 * Layout, from its address up: the structure (88 bytes), the memory map, the module table, the strings.
 * Invariants: everything lies in INFO_BYTES_MAX bytes from one of INFO_ADDRESSES, where no kernel image is; strings
 * end in NUL;
 * `flags` has a bit set exactly for the fields that are filled in.
 * Source: Multiboot Specification 0.6.96, section 3.3 "Boot information format"; the memory map is the one of a PC
 * without PCI (as read on QEMU 7.2, -machine isapc).
 */
import { UserError } from '../core/errors.ts';
import type { Bytes, Gpa } from '../core/units.ts';

/**
 * Places for the information, in the order tried: the first is above those where kernels put start code for other CPUs
 * (0x7000, 0x8000) and below those of most images; the second is for images that lie in conventional memory.
 */
export const INFO_ADDRESSES: readonly Gpa[] = [0x9000, 0x9_0000];
export const INFO_BYTES_MAX: Bytes = 0x7000;

/** Where conventional memory ends: one KiB below 640 KiB, kept for the BIOS as on every PC. */
export const LOW_MEMORY_END: Gpa = 0x9_fc00;
export const HIGH_MEMORY_START: Gpa = 0x10_0000;
const LOW_RESERVED_END = 0xa_0000;
const BIOS_START = 0xf_0000;
const TOP_ROM_START = 0xfffc_0000;

const STRUCTURE_BYTES = 88;
const MAP_ENTRY_BYTES = 24;
const MODULE_ENTRY_BYTES = 16;
const AVAILABLE = 1;
const RESERVED = 2;

const FLAG_MEMORY = 1 << 0;
const FLAG_COMMAND_LINE = 1 << 2;
const FLAG_MODULES = 1 << 3;
const FLAG_MEMORY_MAP = 1 << 6;
const FLAG_LOADER_NAME = 1 << 9;

export interface MemoryRange {
  readonly start: Gpa;
  /** First address after the range. */
  readonly end: number;
  /** 1 available to the kernel, 2 reserved. */
  readonly type: number;
}

/** A module that is already in memory. */
export interface PlacedModule {
  readonly start: Gpa;
  readonly end: Gpa;
  readonly commandLine: string;
}

export interface BootInformation {
  readonly memoryBytes: Bytes;
  readonly commandLine: string;
  readonly loaderName: string;
  readonly modules: readonly PlacedModule[];
}

/** What a PC says of its first 4 GiB, in ascending order. */
export function memoryMap(memoryBytes: Bytes): MemoryRange[] {
  const map: MemoryRange[] = [
    { start: 0, end: Math.min(memoryBytes, LOW_MEMORY_END), type: AVAILABLE },
    { start: LOW_MEMORY_END, end: LOW_RESERVED_END, type: RESERVED },
    { start: BIOS_START, end: HIGH_MEMORY_START, type: RESERVED },
  ];
  if (memoryBytes > HIGH_MEMORY_START) {
    map.push({ start: HIGH_MEMORY_START, end: Math.min(memoryBytes, TOP_ROM_START), type: AVAILABLE });
  }
  map.push({ start: TOP_ROM_START, end: 2 ** 32, type: RESERVED });
  return map;
}

/** The bytes to put at `base`. EBX points there. */
export function buildInformation(file: string, base: Gpa, info: BootInformation): Uint8Array {
  const map = memoryMap(info.memoryBytes);
  const mapAt = base + STRUCTURE_BYTES;
  const modulesAt = mapAt + map.length * MAP_ENTRY_BYTES;
  const strings = new StringArea(modulesAt + info.modules.length * MODULE_ENTRY_BYTES);
  const commandLineAt = strings.add(file, info.commandLine);
  const loaderNameAt = strings.add(file, info.loaderName);
  const moduleLinesAt = info.modules.map((module) => strings.add(file, module.commandLine));
  const needed = strings.end - base;
  if (needed > INFO_BYTES_MAX) {
    throw new UserError(
      `${file}: command lines and module table need ${needed} bytes, ${INFO_BYTES_MAX} are available`,
    );
  }

  const bytes = new Uint8Array(needed);
  const view = new DataView(bytes.buffer);
  const put = (address: Gpa, value: number) => view.setUint32(address - base, value, true);
  const field = (offset: number, value: number) => put(base + offset, value);
  const hasModules = info.modules.length > 0;
  const flags = FLAG_MEMORY | FLAG_COMMAND_LINE | FLAG_MEMORY_MAP | FLAG_LOADER_NAME | (hasModules ? FLAG_MODULES : 0);
  field(0, flags);
  field(4, Math.floor(Math.min(info.memoryBytes, LOW_MEMORY_END) / 1024)); // mem_lower, KiB
  field(8, Math.max(0, Math.floor((info.memoryBytes - HIGH_MEMORY_START) / 1024))); // mem_upper, KiB
  field(16, commandLineAt);
  field(20, info.modules.length);
  field(24, hasModules ? modulesAt : 0);
  field(44, map.length * MAP_ENTRY_BYTES);
  field(48, mapAt);
  field(64, loaderNameAt);
  map.forEach((range, index) => {
    putMapEntry(put, mapAt + index * MAP_ENTRY_BYTES, range);
  });
  info.modules.forEach((module, index) => {
    const at = modulesAt + index * MODULE_ENTRY_BYTES;
    put(at, module.start);
    put(at + 4, module.end);
    put(at + 8, moduleLinesAt[index]!);
  });
  strings.copyTo(bytes, base);
  return bytes;
}

/** Size (not counting itself), base and length as 64-bit numbers, type. All below 4 GiB here but a length of 4 GiB. */
function putMapEntry(put: (address: Gpa, value: number) => void, at: Gpa, range: MemoryRange): void {
  put(at, MAP_ENTRY_BYTES - 4);
  put(at + 4, range.start);
  put(at + 12, range.end - range.start);
  put(at + 20, range.type);
}

/** NUL-terminated UTF-8 strings, one after the other. */
class StringArea {
  end: Gpa;
  private readonly parts: { readonly at: Gpa; readonly bytes: Uint8Array }[] = [];

  constructor(start: Gpa) {
    this.end = start;
  }

  /** Reserves a place for a string and returns its address. */
  add(file: string, text: string): Gpa {
    if (text.includes('\0')) {
      throw new UserError(`${file}: command line ${JSON.stringify(text)} has a NUL character, which would end it`);
    }
    const bytes = new TextEncoder().encode(text);
    const at = this.end;
    this.parts.push({ at, bytes });
    this.end += bytes.length + 1;
    return at;
  }

  copyTo(target: Uint8Array, base: Gpa): void {
    for (const part of this.parts) target.set(part.bytes, part.at - base);
  }
}

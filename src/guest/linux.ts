/**
 * Linux loader: the 32-bit boot protocol for bzImage files. The kernel starts in flat protected mode with ESI at the
 * boot parameters ("zero page"), so its 16-bit set-up code and a BIOS are not needed.
 * Layout: boot parameters at 0x9000, the command line behind them, the kernel's protected-mode part at its load
 * address (1 MiB), the initial RAM disk page-aligned and as high as the kernel and the memory allow.
 * Invariants: nothing is written before everything is known to fit; the set-up header is the file's but for the fields
 * that a loader must fill in.
 * Source: Linux documentation, "The Linux/x86 Boot Protocol" (arch/x86/boot) and "Zero page".
 */
import { UserError } from '../core/errors.ts';
import { type Bytes, type Gpa, PAGE_BYTES } from '../core/units.ts';
import type { GuestImage } from './image.ts';
import type { PhysicalMemoryWriter } from './multiboot.ts';
import { HIGH_MEMORY_START, memoryMap } from './multiboot-info.ts';
import { type CpuStart, flatGdt, protectedStart } from './start.ts';

// The set-up header: offsets in the file and in the boot parameters alike.
const SETUP_SECTS = 0x1f1;
const BOOT_FLAG = 0x1fe;
const JUMP_DISTANCE = 0x201;
const HEADER_MAGIC = 0x202;
const VERSION = 0x206;
const TYPE_OF_LOADER = 0x210;
const LOADFLAGS = 0x211;
const CODE32_START = 0x214;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const HEAP_END_PTR = 0x224;
const CMD_LINE_PTR = 0x228;
const INITRD_ADDR_MAX = 0x22c;
const CMDLINE_SIZE = 0x238;
const PREF_ADDRESS = 0x258;
const INIT_SIZE = 0x260;
// Fields of the boot parameters outside the header.
const EXT_MEM_K = 0x02;
const ALT_MEM_K = 0x1e0;
const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_ENTRY_BYTES = 20;

const HDRS = 0x5372_6448; // "HdrS"
const BOOT_SIGNATURE = 0xaa55;
const SECTOR_BYTES = 512;
/** The oldest protocol with a command line pointer of 32 bits. */
const VERSION_MIN = 0x0202;
const LOADED_HIGH = 0x01;
const CAN_USE_HEAP = 0x80;
const LOADER_UNREGISTERED = 0xff;
const CMDLINE_BYTES_OLD = 255;
const INITRD_MAX_OLD = 0x37ff_ffff;

const PARAMETERS: Gpa = 0x9000;
const COMMAND_LINE: Gpa = PARAMETERS + PAGE_BYTES;
const COMMAND_LINE_BYTES_MAX = 0x5000;
/** The protocol wants flat code at 0x10 and flat data at 0x18. */
const CODE_SELECTOR = 0x10;

/** screen_info: a VGA in mode 3, 80 x 25, cursor at the top, characters of 16 lines. [offset, bytes, value] */
const SCREEN_INFO: readonly (readonly [at: number, bytes: 1 | 2, value: number])[] = [
  [0x06, 1, 3], // orig_video_mode
  [0x07, 1, 80], // orig_video_cols
  [0x0a, 2, 3], // orig_video_ega_bx: 256 KiB
  [0x0e, 1, 25], // orig_video_lines
  [0x0f, 1, 1], // orig_video_isVGA: VGA text
  [0x10, 2, 16], // orig_video_points
];

export interface LinuxOptions {
  readonly append?: string;
  /** Initial RAM disk; several files are passed one after the other, as cpio archives may be. */
  readonly initrd?: readonly Uint8Array[];
}

/** True if the file has a Linux set-up header. */
export function hasLinuxHeader(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER_MAGIC + 4) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.getUint32(HEADER_MAGIC, true) === HDRS && view.getUint16(BOOT_FLAG, true) === BOOT_SIGNATURE;
}

/** What the set-up header says that the loader needs. */
interface Header {
  readonly version: number;
  readonly setupBytes: number;
  readonly headerEnd: number;
  readonly loadflags: number;
  readonly start: Gpa;
  readonly initrdMax: number;
  readonly cmdlineBytesMax: number;
  /** Where the running kernel will end. */
  readonly memoryEnd: number;
}

/** Loads a kernel and answers how the CPU starts. */
export function loadLinux(image: GuestImage, memory: PhysicalMemoryWriter, options: LinuxOptions = {}): CpuStart {
  const file = image.path;
  const header = readHeader(image);
  const kernel = image.bytes.subarray(header.setupBytes);
  const commandLine = new TextEncoder().encode(`${options.append ?? ''}\0`);
  checkCommandLine(file, header, commandLine);
  const initrd = joined(options.initrd ?? []);
  const kernelEnd = Math.max(header.start + kernel.length, header.memoryEnd);
  checkMemory(file, kernelEnd, 'the kernel', memory.sizeBytes);
  const initrdAt = placeInitrd(file, header, kernelEnd, initrd.length, memory.sizeBytes);

  const parameters = new Uint8Array(PAGE_BYTES);
  const view = new DataView(parameters.buffer);
  parameters.set(image.bytes.subarray(SETUP_SECTS, header.headerEnd), SETUP_SECTS);
  view.setUint8(TYPE_OF_LOADER, LOADER_UNREGISTERED);
  view.setUint8(LOADFLAGS, header.loadflags | CAN_USE_HEAP);
  view.setUint16(HEAP_END_PTR, 0xfe00, true);
  view.setUint32(CODE32_START, header.start, true);
  view.setUint32(CMD_LINE_PTR, COMMAND_LINE, true);
  view.setUint32(RAMDISK_IMAGE, initrd.length === 0 ? 0 : initrdAt, true);
  view.setUint32(RAMDISK_SIZE, initrd.length, true);
  for (const [at, bytes, value] of SCREEN_INFO) {
    if (bytes === 1) view.setUint8(at, value);
    else view.setUint16(at, value, true);
  }
  fillMemoryMap(view, memory.sizeBytes);

  const gdt = flatGdt(CODE_SELECTOR);
  memory.write(gdt.at, gdt.bytes);
  memory.write(PARAMETERS, parameters);
  memory.write(COMMAND_LINE, commandLine);
  memory.write(header.start, kernel);
  if (initrd.length > 0) memory.write(initrdAt, initrd);
  return protectedStart(header.start, gdt, { esi: PARAMETERS, esp: PARAMETERS });
}

function readHeader(image: GuestImage): Header {
  const { bytes, path } = image;
  if (!hasLinuxHeader(bytes)) {
    throw new UserError(`${path}: no Linux set-up header found, allowed: "HdrS" at offset 0x202 (a bzImage)`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint16(VERSION, true);
  if (version < VERSION_MIN) {
    throw new UserError(`${path}: Linux boot protocol is ${versionText(version)}, allowed: 2.02 and later`);
  }
  const loadflags = bytes[LOADFLAGS]!;
  if ((loadflags & LOADED_HIGH) === 0) {
    throw new UserError(`${path}: loads below 1 MiB (a zImage), allowed: a bzImage, with LOADED_HIGH in loadflags`);
  }
  const setupBytes = ((bytes[SETUP_SECTS]! || 4) + 1) * SECTOR_BYTES;
  const headerEnd = HEADER_MAGIC + bytes[JUMP_DISTANCE]!;
  if (setupBytes >= bytes.length || headerEnd > setupBytes) {
    throw new UserError(`${path}: set-up code of ${setupBytes} bytes, allowed: less than the file's ${bytes.length}`);
  }
  /** A field that newer protocols have. */
  const word = (since: number, at: number, otherwise: number) =>
    version >= since && at + 4 <= headerEnd ? view.getUint32(at, true) : otherwise;
  const start = view.getUint32(CODE32_START, true);
  const preferred = word(0x020a, PREF_ADDRESS, start);
  return {
    version,
    setupBytes,
    headerEnd,
    loadflags,
    start,
    initrdMax: word(0x0203, INITRD_ADDR_MAX, INITRD_MAX_OLD),
    cmdlineBytesMax: word(0x0206, CMDLINE_SIZE, CMDLINE_BYTES_OLD),
    memoryEnd: Math.max(start, preferred) + word(0x020a, INIT_SIZE, 0),
  };
}

function checkCommandLine(file: string, header: Header, line: Uint8Array): void {
  if (line.indexOf(0) !== line.length - 1) {
    throw new UserError(`${file}: the command line has a NUL character, which would end it`);
  }
  const most = Math.min(header.cmdlineBytesMax, COMMAND_LINE_BYTES_MAX - 1);
  if (line.length - 1 <= most) return;
  throw new UserError(`${file}: the command line has ${line.length - 1} bytes, this kernel takes at most ${most}`);
}

function checkMemory(file: string, end: number, what: string, available: Bytes): void {
  if (end <= available) return;
  const mib = (bytes: number) => Math.ceil(bytes / 2 ** 20);
  throw new UserError(
    `${file}: does not fit: ${what} needs memory up to ${mib(end)} MiB, ${mib(available)} MiB are available`,
  );
}

/** The highest page-aligned place that the kernel can reach. */
function placeInitrd(file: string, header: Header, kernelEnd: number, length: Bytes, available: Bytes): Gpa {
  const limit = Math.min(available, header.initrdMax + 1);
  const at = Math.floor((limit - length) / PAGE_BYTES) * PAGE_BYTES;
  if (at < kernelEnd) checkMemory(file, available + kernelEnd - at, 'the kernel with its initial RAM disk', available);
  return at;
}

function fillMemoryMap(view: DataView, memoryBytes: Bytes): void {
  const map = memoryMap(memoryBytes);
  const highKib = Math.floor((memoryBytes - HIGH_MEMORY_START) / 1024);
  view.setUint16(EXT_MEM_K, Math.min(highKib, 0xfc00), true);
  view.setUint32(ALT_MEM_K, highKib, true);
  view.setUint8(E820_ENTRIES, map.length);
  map.forEach((range, index) => {
    const at = E820_TABLE + index * E820_ENTRY_BYTES;
    view.setUint32(at, range.start, true);
    view.setUint32(at + 8, range.end - range.start, true);
    view.setUint32(at + 16, range.type, true);
  });
}

/** Files in one piece, each at a multiple of 4 bytes. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const aligned = (length: number) => (length + 3) & ~3;
  const last = parts.at(-1);
  if (last === undefined) return new Uint8Array(0);
  const before = parts.slice(0, -1).reduce((sum, part) => sum + aligned(part.length), 0);
  const all = new Uint8Array(before + last.length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += aligned(part.length);
  }
  return all;
}

function versionText(version: number): string {
  return `${version >> 8}.${String(version & 0xff).padStart(2, '0')}`;
}

/**
 * Strict reader of ELF32 executables, for i386 unless told: which bytes of the file go to which addresses, and where to start.
 * Invariants: whatever the bytes are, the answer is an ElfImage or a UserError that names file, field, what was
 * found and what is allowed; segments are sorted by physical address, lie in 4 GiB, do not overlap, and their file
 * bytes are inside the file; `entry` is physical and inside a segment.
 * Source: System V ABI, "Object Files" (gABI 4.1, chapters 4 and 5) and the Intel386 supplement.
 */
import { UserError } from '../core/errors.ts';

export interface ElfSegment {
  readonly fileOffset: number;
  readonly fileBytes: number;
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  /** Size in memory; the part beyond `fileBytes` is zero. */
  readonly memoryBytes: number;
  readonly flags: number;
}

export interface ElfImage {
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

const HEADER_BYTES = 52;
const PROGRAM_HEADER_BYTES = 32;
const SEGMENTS_MAX = 64;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PF_X = 1;
const ADDRESS_LIMIT = 2 ** 32;

/** One header field that may have only certain values: offset, width, name in the gABI, allowed values. */
const FIXED_FIELDS: readonly {
  readonly at: number;
  readonly bytes: 1 | 2 | 4;
  readonly name: string;
  readonly allowed: readonly number[];
  readonly meaning: string;
}[] = [
  { at: 4, bytes: 1, name: 'EI_CLASS', allowed: [1], meaning: '1 (ELFCLASS32: 32-bit)' },
  { at: 5, bytes: 1, name: 'EI_DATA', allowed: [1], meaning: '1 (ELFDATA2LSB: little endian)' },
  { at: 6, bytes: 1, name: 'EI_VERSION', allowed: [1], meaning: '1' },
  { at: 16, bytes: 2, name: 'e_type', allowed: [2], meaning: '2 (ET_EXEC: executable at fixed addresses)' },
  { at: 20, bytes: 4, name: 'e_version', allowed: [1], meaning: '1' },
  { at: 40, bytes: 2, name: 'e_ehsize', allowed: [HEADER_BYTES], meaning: `${HEADER_BYTES}` },
  { at: 42, bytes: 2, name: 'e_phentsize', allowed: [PROGRAM_HEADER_BYTES], meaning: `${PROGRAM_HEADER_BYTES}` },
];

/** Instruction set of an executable: e_machine, and how a message names it. */
export interface ElfMachine {
  readonly machine: number;
  readonly meaning: string;
}

const EM_386: ElfMachine = { machine: 3, meaning: '3 (EM_386)' };
const E_MACHINE = 18;

/** True if the file says that it is ELF of some kind. */
export function hasElfMagic(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/**
 * Reads the program headers of an executable.
 * @param file name for messages
 * @param machine the instruction set that is allowed
 */
export function parseElf(file: string, bytes: Uint8Array, machine: ElfMachine = EM_386): ElfImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  checkHeader(file, bytes, view, machine);
  const segments = loadSegments(file, view);
  segments.sort((a, b) => a.physicalAddress - b.physicalAddress || a.fileOffset - b.fileOffset);
  checkOverlap(file, segments);
  return { entry: physicalEntry(file, view.getUint32(24, true), segments), segments };
}

function checkHeader(file: string, bytes: Uint8Array, view: DataView, { machine, meaning }: ElfMachine): void {
  if (!hasElfMagic(bytes)) {
    const found = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    throw bad(file, 'magic number', found === '' ? 'missing (empty file)' : found, '7f 45 4c 46 (ELF)');
  }
  if (bytes.length < HEADER_BYTES) {
    throw bad(file, 'file header', `cut off after ${bytes.length} bytes`, `${HEADER_BYTES} bytes`);
  }
  const fields = [...FIXED_FIELDS];
  fields.splice(4, 0, { at: E_MACHINE, bytes: 2, name: 'e_machine', allowed: [machine], meaning });
  for (const field of fields) {
    const value = readField(view, field.at, field.bytes);
    if (!field.allowed.includes(value)) throw bad(file, field.name, String(value), field.meaning);
  }
}

function readField(view: DataView, at: number, bytes: 1 | 2 | 4): number {
  if (bytes === 1) return view.getUint8(at);
  return bytes === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

function loadSegments(file: string, view: DataView): ElfSegment[] {
  const offset = view.getUint32(28, true);
  const count = view.getUint16(44, true);
  if (count === 0 || count > SEGMENTS_MAX) throw bad(file, 'e_phnum', String(count), `1 to ${SEGMENTS_MAX}`);
  const end = offset + count * PROGRAM_HEADER_BYTES;
  if (offset < HEADER_BYTES || end > view.byteLength) {
    const last = view.byteLength - count * PROGRAM_HEADER_BYTES;
    throw bad(file, 'e_phoff', String(offset), `${HEADER_BYTES} to ${last}: ${count} program headers inside the file`);
  }
  const segments: ElfSegment[] = [];
  for (let index = 0; index < count; index++) {
    const segment = readSegment(file, view, index, offset + index * PROGRAM_HEADER_BYTES);
    if (segment !== null) segments.push(segment);
  }
  if (segments.length === 0) throw bad(file, 'program headers', 'no PT_LOAD with memory', 'at least 1');
  return segments;
}

/** One program header; null if nothing of it goes to memory. */
function readSegment(file: string, view: DataView, index: number, at: number): ElfSegment | null {
  const word = (offset: number) => view.getUint32(at + offset, true);
  const name = (field: string) => `program header ${index} ${field}`;
  const type = word(0);
  if (type === PT_INTERP)
    throw bad(file, name('p_type'), '3 (PT_INTERP: needs a dynamic linker)', 'a static executable');
  if (type !== PT_LOAD) return null;
  const segment: ElfSegment = {
    fileOffset: word(4),
    virtualAddress: word(8),
    physicalAddress: word(12),
    fileBytes: word(16),
    memoryBytes: word(20),
    flags: word(24),
  };
  const align = word(28);
  const { fileOffset, fileBytes, memoryBytes, virtualAddress, physicalAddress } = segment;
  if (fileOffset + fileBytes > view.byteLength) {
    const found = `${hex(fileOffset)} with p_filesz ${hex(fileBytes)}`;
    throw bad(file, name('p_offset'), found, `a range inside the file of ${hex(view.byteLength)} bytes`);
  }
  if (fileBytes > memoryBytes) {
    throw bad(file, name('p_filesz'), hex(fileBytes), `at most p_memsz ${hex(memoryBytes)}`);
  }
  if (physicalAddress + memoryBytes > ADDRESS_LIMIT || virtualAddress + memoryBytes > ADDRESS_LIMIT) {
    const found = `${hex(memoryBytes)} at physical ${hex(physicalAddress)}, virtual ${hex(virtualAddress)}`;
    throw bad(file, name('p_memsz'), found, 'a range that ends below 4 GiB');
  }
  if (align !== 0 && (align & (align - 1)) !== 0) throw bad(file, name('p_align'), hex(align), '0 or a power of two');
  return memoryBytes === 0 ? null : segment;
}

/** @param segments sorted by physical address */
function checkOverlap(file: string, segments: readonly ElfSegment[]): void {
  for (let index = 1; index < segments.length; index++) {
    const before = segments[index - 1]!;
    const segment = segments[index]!;
    const end = before.physicalAddress + before.memoryBytes;
    if (segment.physicalAddress < end) {
      const allowed = `${hex(end)} or more, where the segment before it ends`;
      throw bad(file, 'p_paddr', `${hex(segment.physicalAddress)} (segments overlap)`, allowed);
    }
  }
}

/**
 * e_entry as a physical address. Kernels linked high give either the virtual or the physical one; like QEMU and GRUB,
 * an entry inside the virtual range of a segment is moved with that segment.
 */
function physicalEntry(file: string, entry: number, segments: readonly ElfSegment[]): number {
  const holds = (start: number, bytes: number) => entry >= start && entry < start + bytes;
  const byVirtual = segments.filter((segment) => holds(segment.virtualAddress, segment.memoryBytes));
  const segment = byVirtual.find((candidate) => (candidate.flags & PF_X) !== 0) ?? byVirtual[0];
  if (segment !== undefined) return entry - segment.virtualAddress + segment.physicalAddress;
  if (segments.some((candidate) => holds(candidate.physicalAddress, candidate.memoryBytes))) return entry;
  const ranges = segments.map(
    (each) => `${hex(each.virtualAddress)}-${hex(each.virtualAddress + each.memoryBytes - 1)}`,
  );
  throw bad(file, 'e_entry', hex(entry), `an address inside a segment (${ranges.join(', ')})`);
}

function bad(file: string, field: string, found: string, allowed: string): UserError {
  return new UserError(`${file}: ELF ${field} is ${found}, allowed: ${allowed}`);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

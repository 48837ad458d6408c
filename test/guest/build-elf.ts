/** Builds small ELF kernels for tests, from the gABI's tables and not from the parser under test. */

export interface TestSegment {
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly memoryBytes?: number;
  readonly virtualAddress?: number;
  readonly type?: number;
}

/** Offsets of the fields that tests change. */
export const E_TYPE = 16;
export const E_MACHINE = 18;
export const E_ENTRY = 24;
export const E_PHOFF = 28;
export const E_PHNUM = 44;
export const FIRST_PROGRAM_HEADER = 52;
export const P_OFFSET = 4;
export const P_PADDR = 12;
export const P_FILESZ = 16;
export const P_MEMSZ = 20;
export const P_ALIGN = 28;

/** An executable with the given segments. */
export function buildElf(entry: number, segments: readonly TestSegment[]): Uint8Array {
  const dataAt = 52 + 32 * segments.length;
  const total = segments.reduce((sum, segment) => sum + segment.bytes.length, dataAt);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  const half = (at: number, value: number) => view.setUint16(at, value, true);
  const word = (at: number, value: number) => view.setUint32(at, value, true);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  half(16, 2);
  half(18, 3);
  word(20, 1);
  word(24, entry);
  word(28, 52);
  half(40, 52);
  half(42, 32);
  half(44, segments.length);
  let offset = dataAt;
  segments.forEach((segment, index) => {
    const at = 52 + 32 * index;
    const fields = [
      segment.type ?? 1,
      offset,
      segment.virtualAddress ?? segment.at,
      segment.at,
      segment.bytes.length,
      segment.memoryBytes ?? segment.bytes.length,
      7,
      4,
    ];
    fields.forEach((value, field) => {
      word(at + 4 * field, value);
    });
    bytes.set(segment.bytes, offset);
    offset += segment.bytes.length;
  });
  return bytes;
}

/** Twelve bytes of Multiboot header, with more words after it if given. */
export function multibootHeader(flags: number, ...more: number[]): Uint8Array {
  const words = [0x1badb002, flags, -(0x1badb002 + flags) >>> 0, ...more];
  const bytes = new Uint8Array(4 * words.length);
  words.forEach((word, index) => {
    new DataView(bytes.buffer).setUint32(4 * index, word, true);
  });
  return bytes;
}

/** A copy with a 32-bit (or narrower) little-endian field changed. */
export function patched(bytes: Uint8Array, at: number, value: number, width: 1 | 2 | 4 = 4): Uint8Array {
  const copy = bytes.slice();
  for (let n = 0; n < width; n++) copy[at + n] = (value >>> (8 * n)) & 0xff;
  return copy;
}

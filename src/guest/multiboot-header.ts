/**
 * The Multiboot header in a kernel file: where it is, what it asks for, and the load addresses of kernels that
 * are not ELF.
 * Invariants: a found header has a good checksum; nothing here throws on any bytes except checkFlags.
 * Source: Multiboot Specification 0.6.96, section 3.1 "OS image format".
 */
import { UserError } from '../core/errors.ts';

const SEARCH_BYTES = 8192;
const MAGIC = 0x1bad_b002;
const FLAG_ADDRESSES = 1 << 16;
const ADDRESSES_END = 32;
/** Bits 0-15 are requirements. Page-aligned modules, memory information, video mode (granted as text mode). */
const KNOWN_REQUIREMENTS = 0x0007;

/** The address fields, for a file without ELF structure. */
export interface MultibootAddresses {
  readonly headerAddress: number;
  readonly loadAddress: number;
  /** 0: to the end of the file. */
  readonly loadEndAddress: number;
  /** 0: no zeroed memory after the load. */
  readonly bssEndAddress: number;
  readonly entryAddress: number;
}

export interface MultibootHeader {
  readonly fileOffset: number;
  readonly flags: number;
  readonly addresses: MultibootAddresses | null;
}

/** The first header in the first 8192 bytes, 4-aligned and complete there; null if there is none. */
export function findMultibootHeader(bytes: Uint8Array): MultibootHeader | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, SEARCH_BYTES));
  for (let at = 0; at + 12 <= view.byteLength; at += 4) {
    const word = (index: number) => view.getUint32(at + 4 * index, true);
    if (word(0) !== MAGIC || (word(0) + word(1) + word(2)) % 2 ** 32 !== 0) continue;
    const flags = word(1);
    if ((flags & FLAG_ADDRESSES) === 0) return { fileOffset: at, flags, addresses: null };
    if (at + ADDRESSES_END > view.byteLength) continue;
    const addresses = {
      headerAddress: word(3),
      loadAddress: word(4),
      loadEndAddress: word(5),
      bssEndAddress: word(6),
      entryAddress: word(7),
    };
    return { fileOffset: at, flags, addresses };
  }
  return null;
}

/** Refuses a kernel that requires what this loader does not know, as the specification demands. */
export function checkFlags(file: string, header: MultibootHeader): void {
  const unknown = header.flags & 0xffff & ~KNOWN_REQUIREMENTS;
  if (unknown === 0) return;
  const found = `0x${(header.flags >>> 0).toString(16)}`;
  throw new UserError(`${file}: Multiboot flags is ${found}, allowed: bits 0, 1, 2 and 16, with bits 17-31 ignored`);
}

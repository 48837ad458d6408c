/**
 * A guest image: the bytes of a kernel file, with a name for messages and a hash for results.
 * Invariants: `sha256` is of `bytes`; `kind` is read from the first bytes alone, so a file of a known kind may still
 * be malformed (the loader tells).
 */
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { UserError } from '../core/errors.ts';
import { newHash } from '../core/hash.ts';
import { hasElfMagic } from './elf.ts';
import { isBootSector } from './flat.ts';
import { type ForeignKind, foreignKindOf } from './foreign.ts';
import { hasLinuxHeader } from './linux.ts';
import type { BootModule } from './multiboot.ts';
import { findMultibootHeader } from './multiboot-header.ts';

/**
 * What a file can be started as. `elf` has no Multiboot header, so nothing here can start it; a foreign kind is not code
 * for this machine, and needs a runtime that is (foreign.ts).
 */
export type GuestImageKind =
  | 'multiboot-elf'
  | 'multiboot-flat'
  | 'linux'
  | 'boot-sector'
  | ForeignKind
  | 'elf'
  | 'unknown';

export interface GuestImage {
  /** Short name in results: of the catalogue, or the file's base name. */
  readonly name: string;
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly sha256: string;
  readonly kind: GuestImageKind;
  /** Boot modules that belong to it: for a runtime, the program that it runs. */
  readonly modules?: readonly BootModule[];
}

const IMAGE_BYTES_MAX = 256 * 2 ** 20;

/** Wraps bytes that are already in memory. */
export function guestImage(name: string, path: string, bytes: Uint8Array): GuestImage {
  return {
    name,
    path,
    bytes,
    kind: kindOf(bytes),
    get sha256() {
      return newHash('sha256').update(bytes).digest('hex');
    },
  };
}

/** Reads an image file. */
export function readGuestImage(path: string, name: string = basename(path)): GuestImage {
  return guestImage(name, path, readBytes(path));
}

/** Reads a kernel or a boot module. */
export function readBytes(path: string): Uint8Array {
  try {
    const { size } = statSync(path);
    if (size > IMAGE_BYTES_MAX) {
      throw new UserError(`${path}: the file has ${size} bytes, at most ${IMAGE_BYTES_MAX} are allowed`);
    }
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${path}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function kindOf(bytes: Uint8Array): GuestImageKind {
  const foreign = foreignKindOf(bytes);
  if (foreign !== null) return foreign;
  const header = findMultibootHeader(bytes);
  if (header !== null) return header.addresses === null ? 'multiboot-elf' : 'multiboot-flat';
  if (hasLinuxHeader(bytes)) return 'linux';
  if (isBootSector(bytes)) return 'boot-sector';
  return hasElfMagic(bytes) ? 'elf' : 'unknown';
}

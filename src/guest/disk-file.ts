/**
 * A disk image file as the sectors of a guest's disk. Sectors are read when they are needed; what the guest writes
 * stays in memory, or goes to the file if the user said so.
 * Invariants: without `writable` the file is opened for reading only; its size is a whole number of sectors and does
 * not change while it is open.
 */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { UserError } from '../core/errors.ts';
import { type BlockStore, SECTOR_BYTES } from '../machine/devices/block-store.ts';

/** 28 bits of sector number: 128 GiB. */
const SECTORS_MAX = 2 ** 28;

export class DiskFile implements BlockStore {
  readonly path: string;
  readonly sectors: number;
  private readonly file: number;
  private readonly writable: boolean;
  /** What the guest wrote, by sector. */
  private readonly written = new Map<number, Uint8Array>();

  /** @throws UserError if the file cannot be opened, or has no size that a disk can have */
  constructor(path: string, writable: boolean) {
    this.path = path;
    this.writable = writable;
    this.file = attempt(path, 'opened', () => openSync(path, writable ? 'r+' : 'r'));
    const stat = attempt(path, 'read', () => fstatSync(this.file));
    this.sectors = stat.size / SECTOR_BYTES;
    if (stat.isFile() && Number.isInteger(this.sectors) && this.sectors > 0 && this.sectors <= SECTORS_MAX) return;
    this.close();
    const found = stat.isFile() ? `the file has ${stat.size} bytes` : 'this is no regular file';
    throw new UserError(
      `${path}: ${found}, a disk image needs a multiple of ${SECTOR_BYTES}, from 512 bytes to 128 GiB`,
    );
  }

  read(sector: number, target: Uint8Array, offset: number): void {
    const own = this.written.get(sector);
    if (own !== undefined) {
      target.set(own, offset);
      return;
    }
    const got = attempt(this.path, 'read', () =>
      readSync(this.file, target, offset, SECTOR_BYTES, sector * SECTOR_BYTES),
    );
    if (got !== SECTOR_BYTES) throw new UserError(`${this.path}: sector ${sector} cannot be read: the file shrank`);
  }

  write(sector: number, source: Uint8Array, offset: number): void {
    if (!this.writable) {
      this.written.set(sector, source.slice(offset, offset + SECTOR_BYTES));
      return;
    }
    attempt(this.path, 'written', () => writeSync(this.file, source, offset, SECTOR_BYTES, sector * SECTOR_BYTES));
  }

  flush(): void {
    if (this.writable) attempt(this.path, 'written', () => fsyncSync(this.file));
  }

  close(): void {
    closeSync(this.file);
  }
}

function attempt<T>(path: string, what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new UserError(`${path}: cannot be ${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * What a disk drive keeps its sectors in. The drive knows nothing of files; a file on the host is one such store.
 * Invariant: a sector has 512 bytes; reads give what was written last.
 */

export const SECTOR_BYTES = 512;

export interface BlockStore {
  readonly sectors: number;
  /** Copies one sector to `target` from `offset` on. */
  read(sector: number, target: Uint8Array, offset: number): void;
  /** Copies one sector from `source` at `offset`. */
  write(sector: number, source: Uint8Array, offset: number): void;
  /** Everything written so far is to survive. */
  flush(): void;
}

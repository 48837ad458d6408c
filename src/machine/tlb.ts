/**
 * The modelled TLB of one physical CPU, tagged by address space (ASID), with the geometry of its machine preset.
 * Replacement is first-in-first-out per set, so a hit needs no bookkeeping: that is what allows a faster
 * direct-mapped front table (front.ts) to hold a subset of it without changing any count.
 * Small (4 KiB) and large (4 MiB) pages sit in separate arrays, as on the processors modelled here.
 * Invariant: an entry describes a translation that was in the page tables when it was filled; stale entries
 * stay until the guest (or VMM) flushes them, as on hardware (SDM vol 3, 4.10).
 */
import { assert } from '../core/errors.ts';

/** Sets and ways of one array; sets must be a power of two. */
export interface TlbGeometry {
  readonly sets: number;
  readonly ways: number;
}

/** Geometry of one TLB (instruction or data). */
export interface TlbSpec {
  readonly small: TlbGeometry;
  readonly large: TlbGeometry;
}

export const TLB_WRITABLE = 1;
export const TLB_USER = 2;
export const TLB_DIRTY = 4;
export const TLB_GLOBAL = 8;
export const TLB_LARGE = 16;
/** Rings 0-2 may write: the page is writable, or CR0.WP was clear when the entry was filled. */
export const TLB_KERNEL_WRITABLE = 32;

const EMPTY = -1;

/** One set-associative FIFO array. Keys are page numbers of its page size. */
class TlbArray {
  readonly setMask: number;
  readonly ways: number;
  readonly page: Int32Array;
  readonly asid: Int32Array;
  /** Frame of the page's first 4 KiB, in the number space of the page walker that found it. */
  readonly frame: Int32Array;
  readonly flags: Uint8Array;
  private readonly next: Uint8Array;

  constructor(geometry: TlbGeometry) {
    const { sets, ways } = geometry;
    assert(
      sets > 0 && (sets & (sets - 1)) === 0 && ways > 0 && ways <= 256,
      `TLB geometry ${sets}x${ways} is not valid`,
    );
    this.setMask = sets - 1;
    this.ways = ways;
    this.page = new Int32Array(sets * ways).fill(EMPTY);
    this.asid = new Int32Array(sets * ways);
    this.frame = new Int32Array(sets * ways);
    this.flags = new Uint8Array(sets * ways);
    this.next = new Uint8Array(sets);
  }

  /** Index of the entry, or -1. */
  find(page: number, asid: number): number {
    const first = (page & this.setMask) * this.ways;
    for (let i = first; i < first + this.ways; i++) {
      if (this.page[i] === page && this.asid[i] === asid) return i;
    }
    return -1;
  }

  /** Index of the slot to overwrite next in the set of `page` (FIFO). */
  victim(page: number): number {
    const set = page & this.setMask;
    const way = this.next[set]!;
    this.next[set] = way + 1 === this.ways ? 0 : way + 1;
    return set * this.ways + way;
  }
}

export class Tlb {
  private readonly small: TlbArray;
  private readonly large: TlbArray;
  /** Called with the page number (4 KiB units) and count of 4 KiB pages of every entry that goes away. */
  onEvict: ((firstPage: number, pages: number) => void) | null = null;

  /** Frame and TLB_* flags of the last successful lookup. */
  hitFrame = 0;
  hitFlags = 0;
  hits = 0;
  misses = 0;
  flushes = 0;

  constructor(spec: TlbSpec) {
    this.small = new TlbArray(spec.small);
    this.large = new TlbArray(spec.large);
  }

  /**
   * Looks a 4 KiB page number up. On success hitFrame is the frame of that very page and hitFlags its rights.
   * Entries of another ASID are invisible, global or not (a VPID separates global entries too, SDM vol 3, 28.3.3).
   */
  lookup(page: number, asid: number): boolean {
    let i = this.small.find(page, asid);
    if (i >= 0) {
      this.hitFrame = this.small.frame[i]!;
      this.hitFlags = this.small.flags[i]!;
      return true;
    }
    i = this.large.find(page >>> 10, asid);
    if (i < 0) return false;
    this.hitFrame = this.large.frame[i]! + (page & 0x3ff);
    this.hitFlags = this.large.flags[i]!;
    return true;
  }

  /** Enters a translation, evicting the oldest of its set. `frame` is that of `page` itself, large or not. */
  insert(page: number, asid: number, frame: number, flags: number): void {
    const isLarge = (flags & TLB_LARGE) !== 0;
    const array = isLarge ? this.large : this.small;
    const key = isLarge ? page >>> 10 : page;
    let i = array.find(key, asid);
    if (i < 0) i = array.victim(key);
    this.dropped(array, i);
    array.page[i] = key;
    array.asid[i] = asid;
    array.frame[i] = isLarge ? frame - (page & 0x3ff) : frame;
    array.flags[i] = flags;
  }

  /** Drops the translation of one page (INVLPG), small or large, global or not. */
  invalidatePage(page: number, asid: number): void {
    const s = this.small.find(page, asid);
    if (s >= 0) this.clear(this.small, s);
    const l = this.large.find(page >>> 10, asid);
    if (l >= 0) this.clear(this.large, l);
  }

  /** Drops every non-global entry of one address space (MOV to CR3), or with `globalToo` all of it. */
  flushAsid(asid: number, globalToo: boolean): void {
    this.flushes++;
    for (const array of [this.small, this.large]) {
      for (let i = 0; i < array.page.length; i++) {
        if (array.page[i] === EMPTY || array.asid[i] !== asid) continue;
        if (globalToo || (array.flags[i]! & TLB_GLOBAL) === 0) this.clear(array, i);
      }
    }
  }

  /** Drops everything. */
  flushAll(): void {
    this.flushes++;
    for (const array of [this.small, this.large]) {
      for (let i = 0; i < array.page.length; i++) if (array.page[i] !== EMPTY) this.clear(array, i);
    }
  }

  private clear(array: TlbArray, i: number): void {
    this.dropped(array, i);
    array.page[i] = EMPTY;
  }

  private dropped(array: TlbArray, i: number): void {
    const page = array.page[i]!;
    if (page === EMPTY || this.onEvict === null) return;
    if (array === this.large) this.onEvict(page << 10, 1024);
    else this.onEvict(page, 1);
  }
}

/**
 * The modelled TLB of one physical CPU, tagged by address space (ASID), with the geometry of its machine preset.
 * Replacement is first-in-first-out per set, so a hit needs no bookkeeping: that is what allows a faster
 * direct-mapped front table (mmu.ts) to hold a subset of it without changing any count.
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
/** 4 KiB pages of the linear address space, and of a large page. */
const SMALL_PAGES = 1 << 20;
const LARGE_PAGES = 1024;

/** Arrays at least this wide keep an index, because searching all ways would cost more than everything else. */
const INDEXED_WAYS_MIN = 8;
/** Index value: several address spaces hold this page, search the ways. */
const AMBIGUOUS = -1;

/** One set-associative FIFO array. Keys are page numbers of its page size. */
class TlbArray {
  readonly setMask: number;
  readonly ways: number;
  readonly page: Int32Array;
  readonly asid: Int32Array;
  /** Frame of the page's first 4 KiB, in the number space of the page walker that found it. */
  readonly frame: Int32Array;
  readonly flags: Uint8Array;
  /** Slots in use. */
  live = 0;
  private readonly next: Uint8Array;
  /** By page: 0 = not held by any address space, AMBIGUOUS, or slot + 1 of its only holder. Null for narrow arrays. */
  private readonly index: Int16Array | null;

  /** @param pages number of different keys */
  constructor(geometry: TlbGeometry, pages: number) {
    const { sets, ways } = geometry;
    assert(
      sets > 0 && (sets & (sets - 1)) === 0 && ways > 0 && ways <= 255,
      `TLB geometry ${sets}x${ways} is not valid`,
    );
    assert(sets * ways < 0x7fff, `a TLB of ${sets}x${ways} entries is too large`);
    this.setMask = sets - 1;
    this.ways = ways;
    this.page = new Int32Array(sets * ways).fill(EMPTY);
    this.asid = new Int32Array(sets * ways);
    this.frame = new Int32Array(sets * ways);
    this.flags = new Uint8Array(sets * ways);
    this.next = new Uint8Array(sets);
    this.index = ways >= INDEXED_WAYS_MIN ? new Int16Array(pages) : null;
  }

  /** Slot of the entry, or -1. */
  find(page: number, asid: number): number {
    if (this.index !== null) {
      const known = this.index[page]!;
      if (known === 0) return -1;
      if (known > 0) return this.asid[known - 1] === asid ? known - 1 : -1;
    }
    const first = (page & this.setMask) * this.ways;
    for (let i = first; i < first + this.ways; i++) {
      if (this.page[i] === page && this.asid[i] === asid) return i;
    }
    return -1;
  }

  /** Slot to overwrite next in the set of `page` (FIFO). */
  victim(page: number): number {
    const set = page & this.setMask;
    const way = this.next[set]!;
    this.next[set] = way + 1 === this.ways ? 0 : way + 1;
    return set * this.ways + way;
  }

  /** Fills a slot that clear() emptied, or that holds the same page of the same address space. */
  set(slot: number, page: number, asid: number, frame: number, flags: number): void {
    if (this.index !== null && this.page[slot] !== page) {
      this.index[page] = this.index[page] === 0 ? slot + 1 : AMBIGUOUS;
    }
    if (this.page[slot] === EMPTY) this.live++;
    this.page[slot] = page;
    this.asid[slot] = asid;
    this.frame[slot] = frame;
    this.flags[slot] = flags;
  }

  /** Empties a slot. */
  clear(slot: number): void {
    const page = this.page[slot]!;
    if (page === EMPTY) return;
    if (this.index !== null && this.index[page]! > 0) this.index[page] = 0;
    this.page[slot] = EMPTY;
    this.live--;
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
  misses = 0;
  flushes = 0;

  constructor(spec: TlbSpec) {
    this.small = new TlbArray(spec.small, SMALL_PAGES);
    this.large = new TlbArray(spec.large, SMALL_PAGES / LARGE_PAGES);
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
    let slot = array.find(key, asid);
    if (slot < 0) {
      slot = array.victim(key);
      this.drop(array, slot);
    } else this.tell(array, slot);
    array.set(slot, key, asid, isLarge ? frame - (page & 0x3ff) : frame, flags);
  }

  /** Drops the translation of one page (INVLPG), small or large, global or not. Returns whether there was one. */
  invalidatePage(page: number, asid: number): boolean {
    const s = this.small.find(page, asid);
    if (s >= 0) this.drop(this.small, s);
    const l = this.large.find(page >>> 10, asid);
    if (l >= 0) this.drop(this.large, l);
    return s >= 0 || l >= 0;
  }

  /** Drops every non-global entry of one address space (MOV to CR3), or with `globalToo` all of it. */
  flushAsid(asid: number, globalToo: boolean): void {
    this.flushes++;
    for (const array of [this.small, this.large]) {
      for (let i = 0; i < array.page.length && array.live > 0; i++) {
        if (array.page[i] === EMPTY || array.asid[i] !== asid) continue;
        if (globalToo || (array.flags[i]! & TLB_GLOBAL) === 0) this.drop(array, i);
      }
    }
  }

  /** Drops everything. */
  flushAll(): void {
    this.flushes++;
    for (const array of [this.small, this.large]) {
      for (let i = 0; i < array.page.length && array.live > 0; i++) if (array.page[i] !== EMPTY) this.drop(array, i);
    }
  }

  /** Empties a slot and tells the owner of the front table. */
  private drop(array: TlbArray, slot: number): void {
    this.tell(array, slot);
    array.clear(slot);
  }

  private tell(array: TlbArray, slot: number): void {
    const page = array.page[slot]!;
    if (page === EMPTY || this.onEvict === null) return;
    if (array === this.large) this.onEvict(page * LARGE_PAGES, LARGE_PAGES);
    else this.onEvict(page, 1);
  }
}

/**
 * The modelled TLB of one physical CPU, tagged by address space (ASID), with the geometry of its machine preset.
 * Replacement is first-in-first-out per set, so a hit needs no bookkeeping: that is what allows a faster
 * direct-mapped front table (mmu.ts) to hold a subset of it without changing any count.
 * Small (4 KiB) and large (4 MiB) pages sit in separate arrays, as on the processors modelled here.
 * Invariant: an entry describes a translation that was in the page tables when it was filled; stale entries
 * stay until the guest (or VMM) flushes them, as on hardware (SDM vol 3, 4.10).
 * The arrays are plain words, which can lie in machine memory: then compiled code reads and writes them as well
 * (compiler/translate.ts).
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
const LARGE_PAGES = 1024;

/** Words of an entry. */
export const ENTRY_WORDS = 5;
export const ENTRY_PAGE = 0;
export const ENTRY_ASID = 1;
/** Frame of the page's first 4 KiB, in the number space of the page walker that found it. */
export const ENTRY_FRAME = 2;
/** TLB_* bits. */
export const ENTRY_FLAGS = 3;
/** Next slot of the same chain, or -1. */
export const ENTRY_LINK = 4;

/** Words of an array's head, each but the first four a byte offset of a part of it. */
export const ARRAY_WORDS = 8;
export const ARRAY_SET_MASK = 0;
export const ARRAY_WAYS = 1;
export const ARRAY_CHAIN_MASK = 2;
/** Slots in use. */
export const ARRAY_LIVE = 3;
export const ARRAY_ENTRIES = 4;
/** By set: the way to be overwritten next. */
export const ARRAY_NEXT = 5;
/** By hash: the first slot of the chain, or -1. */
export const ARRAY_CHAINS = 6;

/** Chain of a page number, before masking. */
const hash = (page: number): number => page ^ (page >>> 7);

/** Power of two of chains: short ones for any geometry. */
const chainsOf = ({ sets, ways }: TlbGeometry): number => 2 << (31 - Math.clz32(2 * sets * ways - 1));

const arrayWords = (geometry: TlbGeometry): number =>
  ARRAY_WORDS + geometry.sets * geometry.ways * ENTRY_WORDS + geometry.sets + chainsOf(geometry);

/** Bytes of memory that a TLB takes. */
export const tlbBytes = ({ small, large }: TlbSpec): number => 4 * (arrayWords(small) + arrayWords(large));

/**
 * One set-associative FIFO array. Keys are page numbers of its page size; entries of equal hash are chained.
 * Invariant: a key (page, ASID) is in at most one slot, and that slot in the chain of its page.
 */
class TlbArray {
  /** Word index of the head, of the entries and so on. */
  readonly head: number;
  readonly entries: number;
  readonly slots: number;
  private readonly words: Int32Array;
  private readonly setMask: number;
  private readonly ways: number;
  private readonly next: number;
  private readonly chains: number;
  private readonly chainMask: number;

  /** @param at word index of its part of `words` */
  constructor(geometry: TlbGeometry, words: Int32Array, at: number) {
    const { sets, ways } = geometry;
    this.words = words;
    this.head = at;
    this.slots = sets * ways;
    this.setMask = sets - 1;
    this.ways = ways;
    this.entries = at + ARRAY_WORDS;
    this.next = this.entries + this.slots * ENTRY_WORDS;
    this.chains = this.next + sets;
    this.chainMask = chainsOf(geometry) - 1;
    words.fill(0, at, this.chains);
    words.fill(-1, this.chains, this.chains + this.chainMask + 1);
    words[at + ARRAY_SET_MASK] = this.setMask;
    words[at + ARRAY_WAYS] = ways;
    words[at + ARRAY_CHAIN_MASK] = this.chainMask;
    const byteOffset = (index: number): number => words.byteOffset + 4 * index;
    words[at + ARRAY_ENTRIES] = byteOffset(this.entries);
    words[at + ARRAY_NEXT] = byteOffset(this.next);
    words[at + ARRAY_CHAINS] = byteOffset(this.chains);
    for (let slot = 0; slot < this.slots; slot++) words[this.entries + slot * ENTRY_WORDS + ENTRY_PAGE] = EMPTY;
  }

  /** Slots in use. */
  get live(): number {
    return this.words[this.head + ARRAY_LIVE]!;
  }

  /** One word of an entry. */
  get(slot: number, word: number): number {
    return this.words[this.entries + slot * ENTRY_WORDS + word]!;
  }

  /** Slot of the entry, or -1. */
  find(page: number, asid: number): number {
    const { words, entries } = this;
    let slot = words[this.chains + (hash(page) & this.chainMask)]!;
    while (slot >= 0) {
      const at = entries + slot * ENTRY_WORDS;
      if (words[at + ENTRY_PAGE] === page && words[at + ENTRY_ASID] === asid) return slot;
      slot = words[at + ENTRY_LINK]!;
    }
    return -1;
  }

  /** Slot to overwrite next in the set of `page` (FIFO). */
  victim(page: number): number {
    const set = page & this.setMask;
    const way = this.words[this.next + set]!;
    this.words[this.next + set] = way + 1 === this.ways ? 0 : way + 1;
    return set * this.ways + way;
  }

  /** Fills a slot that is empty, or that holds the same page of the same address space. */
  set(slot: number, page: number, asid: number, frame: number, flags: number): void {
    const { words } = this;
    const at = this.entries + slot * ENTRY_WORDS;
    if (words[at + ENTRY_PAGE] === EMPTY) {
      const chain = this.chains + (hash(page) & this.chainMask);
      words[at + ENTRY_LINK] = words[chain]!;
      words[chain] = slot;
      words[this.head + ARRAY_LIVE]!++;
    }
    words[at + ENTRY_PAGE] = page;
    words[at + ENTRY_ASID] = asid;
    words[at + ENTRY_FRAME] = frame;
    words[at + ENTRY_FLAGS] = flags;
  }

  /** Empties a slot. */
  clear(slot: number): void {
    const { words } = this;
    const at = this.entries + slot * ENTRY_WORDS;
    const page = words[at + ENTRY_PAGE]!;
    if (page === EMPTY) return;
    let link = this.chains + (hash(page) & this.chainMask);
    while (words[link] !== slot) link = this.entries + words[link]! * ENTRY_WORDS + ENTRY_LINK;
    words[link] = words[at + ENTRY_LINK]!;
    words[at + ENTRY_PAGE] = EMPTY;
    words[this.head + ARRAY_LIVE]!--;
  }
}

export class Tlb {
  /** Byte offsets of the heads of its arrays in the buffer that holds them. */
  readonly smallAt: number;
  readonly largeAt: number;
  private readonly small: TlbArray;
  private readonly large: TlbArray;
  /** Called with the page number (4 KiB units) and count of 4 KiB pages of every entry that goes away. */
  onEvict: ((firstPage: number, pages: number) => void) | null = null;

  /** Frame and TLB_* flags of the last successful lookup. */
  hitFrame = 0;
  hitFlags = 0;
  misses = 0;
  flushes = 0;

  /** @param words where its arrays are kept: tlbBytes(spec) bytes, for compiled code those of machine memory */
  constructor(spec: TlbSpec, words = new Int32Array(tlbBytes(spec) >> 2)) {
    for (const geometry of [spec.small, spec.large]) {
      const { sets, ways } = geometry;
      assert(
        sets > 0 && (sets & (sets - 1)) === 0 && ways > 0 && ways <= 255,
        `TLB geometry ${sets}x${ways} is not valid`,
      );
    }
    this.smallAt = words.byteOffset;
    this.largeAt = words.byteOffset + 4 * arrayWords(spec.small);
    this.small = new TlbArray(spec.small, words, 0);
    this.large = new TlbArray(spec.large, words, arrayWords(spec.small));
  }

  /**
   * Looks a 4 KiB page number up. On success hitFrame is the frame of that very page and hitFlags its rights.
   * Entries of another ASID are invisible, global or not (a VPID separates global entries too, SDM vol 3, 28.3.3).
   */
  lookup(page: number, asid: number): boolean {
    let i = this.small.find(page, asid);
    if (i >= 0) {
      this.hitFrame = this.small.get(i, ENTRY_FRAME);
      this.hitFlags = this.small.get(i, ENTRY_FLAGS);
      return true;
    }
    if (this.large.live === 0) return false;
    i = this.large.find(page >>> 10, asid);
    if (i < 0) return false;
    this.hitFrame = this.large.get(i, ENTRY_FRAME) + (page & 0x3ff);
    this.hitFlags = this.large.get(i, ENTRY_FLAGS);
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
      for (let slot = 0; slot < array.slots && array.live > 0; slot++) {
        if (array.get(slot, ENTRY_PAGE) === EMPTY || array.get(slot, ENTRY_ASID) !== asid) continue;
        if (globalToo || (array.get(slot, ENTRY_FLAGS) & TLB_GLOBAL) === 0) this.drop(array, slot);
      }
    }
  }

  /** Drops everything. */
  flushAll(): void {
    this.flushes++;
    for (const array of [this.small, this.large]) {
      for (let slot = 0; slot < array.slots && array.live > 0; slot++) {
        if (array.get(slot, ENTRY_PAGE) !== EMPTY) this.drop(array, slot);
      }
    }
  }

  /** Calls `action` for every entry, with the page number and frame of each 4 KiB of it. For audits. */
  forEach(action: (page: number, asid: number, frame: number, flags: number) => void): void {
    for (const array of [this.small, this.large]) {
      const scale = array === this.large ? LARGE_PAGES : 1;
      for (let slot = 0; slot < array.slots; slot++) {
        const page = array.get(slot, ENTRY_PAGE);
        if (page === EMPTY) continue;
        const [asid, frame, flags] = [ENTRY_ASID, ENTRY_FRAME, ENTRY_FLAGS].map((field) => array.get(slot, field));
        for (let n = 0; n < scale; n++) action(page * scale + n, asid!, frame! + n, flags!);
      }
    }
  }

  /** Empties a slot and tells the owner of the front table. */
  private drop(array: TlbArray, slot: number): void {
    this.tell(array, slot);
    array.clear(slot);
  }

  private tell(array: TlbArray, slot: number): void {
    const page = array.get(slot, ENTRY_PAGE);
    if (page === EMPTY || this.onEvict === null) return;
    if (array === this.large) this.onEvict(page * LARGE_PAGES, LARGE_PAGES);
    else this.onEvict(page, 1);
  }
}

/**
 * The frames that hold shadow page tables: a bounded pool, found by key, with a reverse map from each machine frame
 * to the entries that point at it, and with replacement.
 * Invariants: every present entry written with `set` is on exactly one list, that of the frame it points at;
 * a page is known by its key, and by its guest frame if it shadows one; frames come from and return to MachineMemory.
 */
import { assert } from '../../core/errors.ts';
import type { Gfn, Mfn } from '../../core/units.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import { PTE_PRESENT } from '../../machine/paging.ts';
import { gfnOfKey, isDirectoryKey, isGuestTableKey } from './shadow-key.ts';

export const ENTRIES_PER_TABLE = 1024;
const NONE = -1;

/** One shadow table. Its entries are in machine memory; this is what the VMM remembers about it. */
export class ShadowPage {
  readonly index: number;
  /** Machine frame with the entries. */
  mfn: Mfn = NONE;
  /** What it stands for: see shadow-key.ts. NONE while unused. */
  key = NONE;
  /** Guest frame of the table it shadows, or first guest frame that it maps. */
  gfn: Gfn = 0;
  /** The guest table's machine frame on which this page holds a write trace, or -1. */
  tracedMfn: Mfn = NONE;
  /** Some entry is or was global: TLB entries may outlive a CR3 load. */
  mayBeGlobal = false;
  /** Age: larger is younger. */
  stamp = 0;
  /** Guest writes to the table since it was last used for a translation. */
  writesSinceUse = 0;
  /** Next page that shadows the same guest table. */
  nextOfGfn: ShadowPage | null = null;
  /** Links of the reverse map, by entry. */
  readonly next = new Int32Array(ENTRIES_PER_TABLE);
  readonly previous = new Int32Array(ENTRIES_PER_TABLE);

  constructor(index: number) {
    this.index = index;
  }
}

export class ShadowPool {
  readonly memory: MachineMemory;
  readonly owner: number;
  readonly maxFrames: number;
  framesInUse = 0;

  private readonly pages: ShadowPage[] = [];
  private readonly unused: ShadowPage[] = [];
  private readonly byKey = new Map<number, ShadowPage>();
  private readonly byMfn = new Map<Mfn, ShadowPage>();
  private readonly tablesOfGfn = new Map<Gfn, ShadowPage>();
  /** First entry of each frame's list, as page index * 1024 + entry index. */
  private readonly heads = new Map<Mfn, number>();
  private clock = 0;

  constructor(memory: MachineMemory, owner: number, maxFrames: number) {
    this.memory = memory;
    this.owner = owner;
    this.maxFrames = maxFrames;
  }

  find(key: number): ShadowPage | undefined {
    return this.byKey.get(key);
  }

  /** First page that shadows this guest table; follow `nextOfGfn`. */
  firstOfGfn(gfn: Gfn): ShadowPage | null {
    return this.tablesOfGfn.get(gfn) ?? null;
  }

  /** A zeroed page with this key, or null when the pool or the machine has no frame left. */
  take(key: number): ShadowPage | null {
    if (this.framesInUse === this.maxFrames) return null;
    const mfn = this.memory.allocateFrame(this.owner);
    if (mfn === NONE) return null;
    const page = this.unused.pop() ?? this.grow();
    assert(!this.byKey.has(key), 'a shadow page with this key exists already');
    page.mfn = mfn;
    page.key = key;
    page.gfn = gfnOfKey(key);
    page.tracedMfn = NONE;
    page.mayBeGlobal = false;
    page.writesSinceUse = 0;
    page.nextOfGfn = null;
    this.byKey.set(key, page);
    this.byMfn.set(mfn, page);
    if (isGuestTableKey(key)) {
      page.nextOfGfn = this.firstOfGfn(page.gfn);
      this.tablesOfGfn.set(page.gfn, page);
    }
    this.framesInUse++;
    this.touch(page);
    return page;
  }

  /** Gives the frame back. All entries must have been cleared, and nothing may point at it. */
  giveBack(page: ShadowPage): void {
    assert(!this.heads.has(page.mfn), 'a shadow page that is still linked was given back');
    this.forgetGfn(page);
    this.byKey.delete(page.key);
    this.byMfn.delete(page.mfn);
    this.memory.freeFrame(page.mfn, this.owner);
    page.mfn = NONE;
    page.key = NONE;
    this.framesInUse--;
    this.unused.push(page);
  }

  /** Marks a page as the youngest. */
  touch(page: ShadowPage): void {
    page.stamp = ++this.clock;
  }

  /** The oldest page that is not `pinned`, or null. */
  oldest(pinned: ShadowPage | null): ShadowPage | null {
    let victim: ShadowPage | null = null;
    for (const page of this.pages) {
      if (page.key === NONE || page === pinned) continue;
      if (victim === null || page.stamp < victim.stamp) victim = page;
    }
    return victim;
  }

  get(page: ShadowPage, i: number): number {
    return this.memory.words32[(page.mfn << 10) | i]!;
  }

  /** Writes an entry (0 removes it) and keeps the reverse map. */
  set(page: ShadowPage, i: number, entry: number): void {
    const at = (page.mfn << 10) | i;
    const words = this.memory.words32;
    const old = words[at]!;
    if ((old & PTE_PRESENT) !== 0) this.unlink(page, i, old >>> 12);
    words[at] = entry;
    if ((entry & PTE_PRESENT) !== 0) this.link(page, i, entry >>> 12);
  }

  /** First entry that points at a frame, or -1. An entry is a number: see `pageOf` and `indexOf`. */
  firstMapper(mfn: Mfn): number {
    return this.heads.get(mfn) ?? NONE;
  }

  nextMapper(mapper: number): number {
    return this.pageOf(mapper).next[mapper & 1023]!;
  }

  pageOf(mapper: number): ShadowPage {
    return this.pages[mapper >> 10]!;
  }

  indexOf(mapper: number): number {
    return mapper & 1023;
  }

  /** The page whose entries are in this machine frame, if it is one of the pool's. */
  pageAt(mfn: Mfn): ShadowPage | null {
    return this.byMfn.get(mfn) ?? null;
  }

  /** Live pages in the order of their slots. For checks and reports. */
  livePages(): ShadowPage[] {
    return this.pages.filter((page) => page.key !== NONE);
  }

  /** Asserts that the reverse map and the indexes agree with the tables in memory. For tests; slow. */
  check(reservedIndex: number): void {
    const live = this.livePages();
    assert(live.length === this.framesInUse && this.byKey.size === live.length, 'pool counts differ');
    let present = 0;
    for (const page of live) {
      assert(this.find(page.key) === page && this.pageAt(page.mfn) === page, 'a page is not in the index');
      assert(this.memory.ownerOf(page.mfn) === this.owner, 'a page lost its frame');
      for (let i = 0; i < ENTRIES_PER_TABLE; i++) {
        const entry = this.get(page, i);
        if ((entry & PTE_PRESENT) === 0 || (isDirectoryKey(page.key) && i === reservedIndex)) continue;
        present++;
        if (isDirectoryKey(page.key)) assert(this.pageAt(entry >>> 12) !== null, 'a directory entry points nowhere');
      }
    }
    let listed = 0;
    for (const [mfn, head] of this.heads) {
      for (let mapper = head; mapper !== NONE; mapper = this.nextMapper(mapper)) {
        assert(this.get(this.pageOf(mapper), this.indexOf(mapper)) >>> 12 === mfn, 'an entry is on the wrong list');
        listed++;
      }
    }
    assert(listed === present, `reverse map has ${listed} entries, the tables have ${present}`);
  }

  private link(page: ShadowPage, i: number, mfn: Mfn): void {
    const mapper = (page.index << 10) | i;
    const head = this.heads.get(mfn) ?? NONE;
    page.next[i] = head;
    page.previous[i] = NONE;
    if (head !== NONE) this.pageOf(head).previous[head & 1023] = mapper;
    this.heads.set(mfn, mapper);
  }

  private unlink(page: ShadowPage, i: number, mfn: Mfn): void {
    const next = page.next[i]!;
    const previous = page.previous[i]!;
    if (next !== NONE) this.pageOf(next).previous[next & 1023] = previous;
    if (previous !== NONE) this.pageOf(previous).next[previous & 1023] = next;
    else if (next !== NONE) this.heads.set(mfn, next);
    else this.heads.delete(mfn);
  }

  private forgetGfn(page: ShadowPage): void {
    if (!isGuestTableKey(page.key)) return;
    let at = this.firstOfGfn(page.gfn);
    if (at === page) {
      if (page.nextOfGfn === null) this.tablesOfGfn.delete(page.gfn);
      else this.tablesOfGfn.set(page.gfn, page.nextOfGfn);
      return;
    }
    while (at !== null && at.nextOfGfn !== page) at = at.nextOfGfn;
    if (at !== null) at.nextOfGfn = page.nextOfGfn;
  }

  private grow(): ShadowPage {
    const page = new ShadowPage(this.pages.length);
    this.pages.push(page);
    return page;
  }
}

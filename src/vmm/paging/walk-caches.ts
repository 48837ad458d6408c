/**
 * The MMU's caches of page walks, each a structure of its own that a walker may have or not: a page-walk cache of table
 * entries, and a nested TLB of translated guest frames. Both are fully associative with first-in-first-out replacement.
 * A hit makes no memory reference and is free (our choice; Bhargava et al. measured 2 cycles).
 * Invariants: an entry of the page-walk cache is used only while memory still holds its value (the cache is tagged by
 * machine address and coherent, as AMD's); the nested TLB is empty whenever nested rights were removed since it was filled.
 * Source: Bhargava, Serebrin, Spadini & Manne, ASPLOS 2008, section 4 (2D_PWC and NTLB).
 */
import { assert } from '../../core/errors.ts';
import type { Gfn, Mfn } from '../../core/units.ts';

const NOTHING = -1;

/** Entries of upper page-table levels, by the place of the entry in machine memory. */
export class PageWalkCache {
  hits = 0;
  private readonly places: Int32Array;
  private readonly values: Int32Array;
  private next = 0;

  constructor(entries: number) {
    assert(Number.isInteger(entries) && entries > 0, 'a page-walk cache needs a positive number of entries');
    this.places = new Int32Array(entries).fill(NOTHING);
    this.values = new Int32Array(entries);
  }

  /** The walker wants the entry in machine word `at`, which holds `value`. True: it is known; else it is from now on. */
  knows(at: number, value: number): boolean {
    const known = this.places.indexOf(at);
    if (known >= 0 && this.values[known] === value) {
      this.hits++;
      return true;
    }
    const slot = known >= 0 ? known : this.next;
    if (known < 0) this.next = (this.next + 1) % this.places.length;
    this.places[slot] = at;
    this.values[slot] = value;
    return false;
  }

  flush(): void {
    this.places.fill(NOTHING);
  }
}

/** Machine frames and rights of guest frames that hold page tables. */
export class NestedTlb {
  hits = 0;
  /** Found by find(). */
  mfn: Mfn = 0;
  rights = 0;
  private readonly gfns: Int32Array;
  private readonly mfns: Int32Array;
  private readonly allRights: Uint8Array;
  private next = 0;
  /** State of the nested tables that the contents belong to. */
  private generation = 0;

  constructor(entries: number) {
    assert(Number.isInteger(entries) && entries > 0, 'a nested TLB needs a positive number of entries');
    this.gfns = new Int32Array(entries).fill(NOTHING);
    this.mfns = new Int32Array(entries);
    this.allRights = new Uint8Array(entries);
  }

  /** Looks a frame up; `generation` is that of the nested tables now. */
  find(gfn: Gfn, generation: number): boolean {
    if (this.generation !== generation) {
      this.generation = generation;
      this.flush();
    }
    const slot = this.gfns.indexOf(gfn);
    if (slot < 0) return false;
    this.hits++;
    this.mfn = this.mfns[slot]!;
    this.rights = this.allRights[slot]!;
    return true;
  }

  remember(gfn: Gfn, mfn: Mfn, rights: number): void {
    this.gfns[this.next] = gfn;
    this.mfns[this.next] = mfn;
    this.allRights[this.next] = rights;
    this.next = (this.next + 1) % this.gfns.length;
  }

  /** A violation also forgets what was cached for its address (SDM vol 3, 28.3.3.1), so that new rights are seen. */
  forget(gfn: Gfn): void {
    const slot = this.gfns.indexOf(gfn);
    if (slot >= 0) this.gfns[slot] = NOTHING;
  }

  flush(): void {
    this.gfns.fill(NOTHING);
  }
}

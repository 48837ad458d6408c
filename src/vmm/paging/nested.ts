/**
 * Nested page tables: four levels of 64-bit entries that map guest-physical to machine frames (EPT), or three of them, or
 * two levels of 32-bit entries (the tables that AMD nested paging uses under a 32-bit host, with PAE and without). The MMU's
 * two-dimensional walk over guest tables and nested tables is in nested-walker.ts.
 * A 64-bit entry is two 32-bit words; machine addresses fit in 32 bits, so the high word is always 0 and the low word is
 * the frame, bits R=1 W=2 X=4, and bit 7 for a large leaf in a directory: 2 MiB, or 4 MiB with two levels (SDM vol 3,
 * 28.2.2, EPT format; two levels have the same rights here, so that only sizes and counts differ).
 * References counted, without caches: (n+1)(m+1)-1 for n guest and m nested levels, so 14 for a guest 4 KiB page,
 * 9 for a 4 MiB page, 4 without guest paging, and 11, 7, 3 over 2 MiB leaves; 8, 5, 2 with two nested levels (Bhargava et al., ASPLOS 2008, section 2).
 * Invariants: guest frames share no state with each other except a leaf; a walk that fails changes nothing.
 */
import { assert, UserError } from '../../core/errors.ts';
import type { Gfn, Gpa, Mfn } from '../../core/units.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import { ABSENT, type PhysMap } from '../../machine/physmap.ts';
import type { NestedLevels } from '../vmx-options.ts';
import type { PageWalkCache } from './walk-caches.ts';
import { TableWork } from './work.ts';

export const NESTED_READ = 1;
export const NESTED_WRITE = 2;
export const NESTED_EXECUTE = 4;
export const NESTED_ALL = NESTED_READ | NESTED_WRITE | NESTED_EXECUTE;
const NESTED_LARGE = 0x80;

const LEAF_LEVEL = 0; // 4 KiB
const LARGE_LEVEL = 1; // 2 MiB, or 4 MiB
/** Frames of a guest's large page. */
const GUEST_LARGE_FRAMES = 1024;

/** 4 KiB frames that a large leaf maps, and entries of a table. */
export function largeLeafFrames(levels: NestedLevels): number {
  return levels === 2 ? 1024 : 512;
}

export interface NestedOptions {
  /** Owner id of the table frames in MachineMemory. */
  readonly owner: number;
  /** Let handleViolation map 2 MiB at once where the machine frames allow it. Default false. */
  readonly largeLeaves?: boolean;
  /** Default 4. */
  readonly levels?: NestedLevels;
}

export class NestedPaging {
  /** Called when rights were removed or a frame moved: the TLB entries of this VM's address space must go (INVEPT). */
  invalidate: (() => void) | null = null;
  /** Counts those removals, so that walk caches know when they are stale. */
  generation = 0;
  /** Work of the last map, unmap or handleViolation. */
  readonly work = new TableWork();

  /** Violations answered by mapping. */
  fills = 0;
  /** Frames that hold tables. */
  framesInUse = 0;

  /** Result of lookup(): machine frame, rights, whether it came from a 2 MiB leaf, and entries read. */
  leafMfn: Mfn = 0;
  leafRights = 0;
  leafLarge = false;
  leafReferences = 0;

  private readonly memory: MachineMemory;
  private readonly physmap: PhysMap;
  private readonly owner: number;
  private readonly largeLeaves: boolean;
  readonly levels: NestedLevels;
  /** Entries of one table, and frames of a large leaf. */
  private readonly entries: number;
  /** Binary logarithm of that. */
  private readonly indexBits: number;
  /** Words of an entry are 1 << this. */
  private readonly entryShift: number;
  private rootMfn: Mfn;

  constructor(memory: MachineMemory, physmap: PhysMap, options: NestedOptions) {
    this.memory = memory;
    this.physmap = physmap;
    this.owner = options.owner;
    this.largeLeaves = options.largeLeaves ?? false;
    this.levels = options.levels ?? 4;
    this.entries = largeLeafFrames(this.levels);
    this.indexBits = this.levels === 2 ? 10 : 9;
    this.entryShift = this.levels === 2 ? 0 : 1;
    this.rootMfn = this.newTable();
  }

  /**
   * Finds the leaf for a guest frame as the hardware does. False if some level is not present. Entries that `cache` knows
   * are not counted; it is asked about upper levels, and about leaves of frames that hold guest tables (`forTable`).
   */
  lookup(gfn: Gfn, cache: PageWalkCache | null = null, forTable = false): boolean {
    const words = this.memory.words32;
    let table = this.rootMfn;
    this.leafReferences = 0;
    for (let level = this.levels - 1; ; level--) {
      const at = this.entryAt(table, gfn, level);
      const entry = words[at]!;
      const isLarge = level === LARGE_LEVEL && (entry & NESTED_LARGE) !== 0;
      const isCached = cache !== null && (forTable || (level !== LEAF_LEVEL && !isLarge));
      if (!isCached || (entry & NESTED_ALL) === 0 || !cache.knows(at, entry)) this.leafReferences++;
      if ((entry & NESTED_ALL) === 0) return false;
      if (level === LEAF_LEVEL || isLarge) {
        this.leafMfn = (entry >>> 12) + (isLarge ? gfn & (this.entries - 1) : 0);
        this.leafRights = entry & NESTED_ALL;
        this.leafLarge = isLarge;
        return true;
      }
      table = entry >>> 12;
    }
  }

  /** Whether the 4 MiB around a guest frame are large leaves that make one run of machine frames with the same rights. */
  isLargeRun(gfn: Gfn): boolean {
    const base = gfn & ~(GUEST_LARGE_FRAMES - 1);
    if (!this.lookup(base) || !this.leafLarge) return false;
    const mfn = this.leafMfn;
    const rights = this.leafRights;
    for (let next = this.entries; next < GUEST_LARGE_FRAMES; next += this.entries) {
      if (!this.lookup(base + next) || !this.leafLarge) return false;
      if (this.leafMfn !== mfn + next || this.leafRights !== rights) return false;
    }
    return true;
  }

  /** Maps one guest frame, or changes its frame or rights. A 2 MiB leaf in the way is split. */
  map(gfn: Gfn, mfn: Mfn, rights: number): void {
    this.work.reset();
    this.mapSmall(gfn, mfn, rights);
  }

  /** Maps one large leaf. Both frame numbers must be multiples of its frames. */
  mapLarge(gfn: Gfn, mfn: Mfn, rights: number): void {
    this.work.reset();
    assert(((gfn | mfn) & (this.entries - 1)) === 0, 'a large leaf needs aligned frames');
    assert((rights & ~NESTED_ALL) === 0 && rights !== 0, 'nested rights must be some of R, W, X');
    const at = this.entryAt(this.descend(gfn, LARGE_LEVEL), gfn, LARGE_LEVEL);
    const old = this.memory.words32[at]!;
    if ((old & NESTED_ALL) !== 0 && (old & NESTED_LARGE) === 0) this.freeTable(old >>> 12);
    this.write(at, (mfn << 12) | rights | NESTED_LARGE);
  }

  /** Unmaps one guest frame; the next access to it leaves the guest. A 2 MiB leaf in the way is split. */
  unmap(gfn: Gfn): void {
    this.work.reset();
    if (!this.lookup(gfn)) return;
    this.write(this.entryAt(this.descend(gfn, LEAF_LEVEL), gfn, LEAF_LEVEL), 0);
  }

  /**
   * The guest touched guest-physical `gpa` and the nested tables forbade it: maps it from the PhysMap with `rights`.
   * 'absent': there is no RAM; the VMM must emulate the access.
   */
  handleViolation(gpa: Gpa, rights = NESTED_ALL): 'filled' | 'absent' {
    this.work.reset();
    const gfn = gpa >>> 12;
    const mfn = this.physmap.lookup(gfn);
    if (mfn === ABSENT) return 'absent';
    this.fills++;
    const base = gfn & ~(this.entries - 1);
    const largeMfn = this.largeLeaves ? this.contiguousFrame(base) : ABSENT;
    if (largeMfn !== ABSENT && !this.hasTable(gfn)) this.mapLarge(base, largeMfn, rights);
    else this.mapSmall(gfn, mfn, rights);
    return 'filled';
  }

  /** Gives every table frame back. The object cannot be used any more. */
  release(): void {
    this.work.reset();
    if (this.rootMfn === ABSENT) return;
    this.freeLevel(this.rootMfn, this.levels - 1);
    this.rootMfn = ABSENT;
    this.reduced();
  }

  private mapSmall(gfn: Gfn, mfn: Mfn, rights: number): void {
    assert((rights & ~NESTED_ALL) === 0 && rights !== 0, 'nested rights must be some of R, W, X');
    this.write(this.entryAt(this.descend(gfn, LEAF_LEVEL), gfn, LEAF_LEVEL), (mfn << 12) | rights);
  }

  /** Word index of the low half of an entry. */
  private entryAt(table: Mfn, gfn: Gfn, level: number): number {
    return (table << 10) | (((gfn >>> (this.indexBits * level)) & (this.entries - 1)) << this.entryShift);
  }

  /** The table of `level` that covers `gfn`; missing ones are created, a large leaf in the way is split. */
  private descend(gfn: Gfn, level: number): Mfn {
    const words = this.memory.words32;
    let table = this.rootMfn;
    for (let at = this.levels - 1; at > level; at--) {
      const i = this.entryAt(table, gfn, at);
      if ((words[i]! & NESTED_ALL) === 0) {
        this.write(i, (this.newTable() << 12) | NESTED_ALL);
        this.work.frames++;
      } else if (at === LARGE_LEVEL && (words[i]! & NESTED_LARGE) !== 0) {
        this.split(i);
      }
      table = words[i]! >>> 12;
    }
    return table;
  }

  /** Replaces a 2 MiB leaf by a table of 512 small ones with the same rights. */
  private split(at: number): void {
    const large = this.memory.words32[at]!;
    const table = this.newTable();
    this.work.frames++;
    for (let i = 0; i < this.entries; i++) {
      this.memory.words32[(table << 10) | (i << this.entryShift)] = (((large >>> 12) + i) << 12) | (large & NESTED_ALL);
      this.work.entries++;
    }
    // The translations stay the same, so this alone needs no invalidation.
    this.memory.words32[at] = (table << 12) | NESTED_ALL;
    this.work.entries++;
  }

  private write(at: number, entry: number): void {
    const old = this.memory.words32[at]!;
    if (old === entry) return;
    this.memory.words32[at] = entry;
    this.work.entries++;
    const removed = old & ~entry & NESTED_ALL;
    const moved = (old & NESTED_ALL) !== 0 && old >>> 12 !== entry >>> 12;
    if (removed !== 0 || moved) this.reduced();
  }

  private reduced(): void {
    this.generation++;
    if (this.invalidate !== null) this.invalidate();
  }

  /** Machine frame of an aligned group of 512 guest frames that is one aligned run of machine frames, or ABSENT. */
  private contiguousFrame(base: Gfn): Mfn {
    const mfn = this.physmap.lookup(base);
    if (mfn === ABSENT || (mfn & (this.entries - 1)) !== 0) return ABSENT;
    for (let i = 1; i < this.entries; i++) if (this.physmap.lookup(base + i) !== mfn + i) return ABSENT;
    return mfn;
  }

  /** Some frames of the 2 MiB group are mapped one by one: leave it so, their rights may differ. */
  private hasTable(gfn: Gfn): boolean {
    this.lookup(gfn);
    return this.leafReferences === this.levels;
  }

  private newTable(): Mfn {
    const mfn = this.memory.allocateFrame(this.owner);
    if (mfn === ABSENT) throw new UserError('no machine frame is left for nested page tables');
    this.framesInUse++;
    return mfn;
  }

  private freeTable(mfn: Mfn): void {
    this.memory.freeFrame(mfn, this.owner);
    this.framesInUse--;
  }

  private freeLevel(table: Mfn, level: number): void {
    for (let i = 0; i < this.entries && level > LEAF_LEVEL; i++) {
      const entry = this.memory.words32[(table << 10) | (i << this.entryShift)]!;
      if ((entry & NESTED_ALL) === 0 || (level === LARGE_LEVEL && (entry & NESTED_LARGE) !== 0)) continue;
      this.freeLevel(entry >>> 12, level - 1);
    }
    this.freeTable(table);
  }
}

/**
 * Shadow page tables: the tables that the MMU really walks while the guest believes that it walks its own.
 *
 *   hardware walks (walk)  ->  page fault  ->  handleFault: true fault | hidden fault, filled | write to a traced table | ...
 *   VMM emulates the write ->  guestTableWritten: the entries covered are brought up to date
 *
 * Two-level tables of 4 KiB pages in machine frames from a bounded pool; guest 4 MiB pages are splintered. A root is
 * kept for each guest directory and paging mode, and all cached tables stay coherent because every shadowed guest
 * table is write-traced. Hardware write protection is always on. Directory entries of a shadow allow everything: the
 * combined guest rights are in the leaf, so a shadow table is known by the rights that its directory entry passes down.
 * With out-of-sync pages, a table of the lowest level that the guest writes to is no longer traced until the guest flushes:
 * its shadow may lag behind as a TLB may (Linux, mmu.rst, "unsync"; Xen, at most 3 of them per vCPU).
 * Invariants: what the shadow allows, the guest's tables allow, with guest A set, and guest D set if writable;
 * a frame with a write trace is mapped read-only everywhere; the root in use is never evicted.
 * One object serves one vCPU; those of a VM with several are in one group (shadow-group.ts). Sources: Waldspurger, OSDI 2002, section 2 (shadow tables); Linux Documentation/virt/kvm/
 * x86/mmu.rst (roles, write flooding); Adams & Agesen, ASPLOS 2006, section 3 (fault kinds). The code is our own.
 */
import { assert, UserError } from '../../core/errors.ts';
import type { Gfn, Gpa, Lin, Mfn } from '../../core/units.ts';
import { FRAME_TRACED, type MachineMemory } from '../../machine/memory.ts';
import {
  ACCESS_FETCH,
  ACCESS_PRESENT,
  ACCESS_USER,
  ACCESS_WRITE,
  CR0_PG,
  CR0_WP,
  CR4_PGE,
  CR4_PSE,
  GuestWalker,
  type PageWalker,
  type PagingRegisters,
  PDE_LARGE,
  PDE_LARGE_RESERVED,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_GLOBAL,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITABLE,
  permits,
  tlbFlags,
  WALK_OK,
  WALK_PAGE_FAULT,
} from '../../machine/paging.ts';
import { ABSENT, type PhysMap } from '../../machine/physmap.ts';
import type { FrameTraces } from './frame-traces.ts';
import { ShadowGroup, type ShadowMember } from './shadow-group.ts';
import {
  childKey,
  effectiveLeaf,
  isDirectoryKey,
  isGuestTableKey,
  keyOf,
  kindOfKey,
  PAGE_FLAT_ROOT,
  PAGE_ROOT,
  PAGE_SPLINTER,
  ROLE_GLOBAL,
  ROLE_KERNEL,
  ROLE_PSE,
  ROLE_WP,
  roleOfKey,
} from './shadow-key.ts';
import { ENTRIES_PER_TABLE, type ShadowPage, ShadowPool } from './shadow-pool.ts';
import type { PageWalkCache } from './walk-caches.ts';
import { TableWork } from './work.ts';

/** What a page fault was about. */
export type ShadowFaultKind =
  /** The guest's tables forbid the access: reflect a page fault with `errorCode`. */
  | 'guest'
  /** Hidden fault: the shadow lacked the entry; it has it now. Run the instruction again. */
  | 'filled'
  /** A permitted write to a traced frame, at `gpa`: emulate the instruction. */
  | 'traced-write'
  /** A permitted access to guest-physical `gpa` where there is no RAM: emulate a device or open bus. */
  | 'absent'
  /** The address lies in the VMM's own region. */
  | 'reserved';

/** Answer of `handleFault`. One object is reused: read it before the next call. */
export interface ShadowFault {
  readonly kind: ShadowFaultKind;
  /** Error code from the guest's point of view. */
  readonly errorCode: number;
  readonly gpa: Gpa;
  /** 'filled', because the table that was written to went out of sync. */
  readonly unsynced: boolean;
}

export interface ShadowOptions {
  /** Owner id of the table frames in MachineMemory. */
  readonly owner: number;
  /** Bound of the pool, at least 2: a root and a table. */
  readonly maxFrames: number;
  /** The shadows of the VM's other vCPUs; without it there are none. */
  readonly group?: ShadowGroup;
  /** A directory entry of the VMM, present in every root. Guest mappings under it are hidden. */
  readonly reserved?: { readonly pdeIndex: number; readonly pde: number };
  /** Which table makes room when the pool is full: the one used longest ago (default), or the oldest. */
  readonly replacement?: 'lru' | 'fifo';
  /** Keep the shadows of guest directories that are not in use. Default true; false rebuilds at each CR3 load. */
  readonly caching?: boolean;
  /** A table that no root in use reaches is dropped after this many guest writes without a use. Default 3; 0: never. */
  readonly unreachableWritesMax?: number;
  /** Tables of the lowest level that may be out of sync at once. Default 0. One vCPU only: the others' shadows would lag, too. */
  readonly outOfSyncMax?: number;
  /** The same for tables that are linked. Default 0, never: each write is traced, as in Adams & Agesen. */
  readonly linkedWritesMax?: number;
}

/** Out-of-sync pages of a VM that has them: as many as Xen has for each vCPU. */
export const OUT_OF_SYNC_MAX = 3;

/** Rights of every directory entry of a shadow: the leaf decides. */
const DIRECTORY_RIGHTS = PTE_PRESENT | PTE_WRITABLE | PTE_USER;
/** Bits that the hardware sets in shadow entries; they say nothing about the guest. */
const HARDWARE_BITS = PTE_ACCESSED | PTE_DIRTY;
const EVERY_PAGE = 1 << 20;

// With guest CR0.WP clear, a read-only user page has two faces in the shadow, flipped by faults.
const VIEW_USER = 0; // user mode may read, nobody may write
const VIEW_KERNEL = 1; // rings 0-2 may write, user mode may not touch
const VIEW_KEEP = 2; // what it shows now, else VIEW_USER

export class ShadowPaging implements PageWalker, ShadowMember {
  // Results of walk(); see PageWalker.
  frame = 0;
  flags = 0;
  references = 0;
  errorCode = 0;
  readonly faultGpa = 0;

  /** Called with the first page number and count of pages whose TLB entries must go. */
  invalidate: ((firstPage: number, pages: number) => void) | null = null;
  /** The MMU's cache of directory entries, if the processor is to have one. */
  walkCache: PageWalkCache | null = null;
  /** Another vCPU wrote to a traced frame. */
  onForeignWrite: ((gfn: Gfn) => void) | null = null;
  /**
   * The guest's kernel runs in ring 3, and runs now: the tables in use are those that show it its own pages. Change it, then
   * call loadRoot() and flush the TLB.
   */
  kernelView = false;
  /** Work of the last call of any other method than walk(). */
  readonly work = new TableWork();

  /** Page faults that the guest must not see, answered by filling the shadow. */
  hiddenFaults = 0;
  /** Page faults that the guest's own tables demand. */
  trueFaults = 0;
  /** Write faults on traced frames. */
  tracedWrites = 0;
  /** Tables that went out of sync instead. */
  unsyncs = 0;
  /** Leaf entries written, by faults or after emulated writes. */
  fills = 0;
  /** Tables dropped for lack of room. */
  evictions = 0;
  /** Tables dropped because the guest writes them but does not use them. */
  unshadowed = 0;
  /** Roots built by loadRoot; other loads found theirs. */
  rootsBuilt = 0;

  private readonly memory: MachineMemory;
  private readonly physmap: PhysMap;
  private readonly guest: PagingRegisters;
  private readonly guestWalker: GuestWalker;
  private readonly pool: ShadowPool;
  private readonly group: ShadowGroup;
  private readonly traces: FrameTraces;
  private readonly reservedIndex: number;
  private readonly reservedPde: number;
  private readonly lru: boolean;
  private readonly caching: boolean;
  private readonly unreachableWritesMax: number;
  private readonly linkedWritesMax: number;
  private readonly outOfSyncMax: number;
  /** Guest tables that are out of sync, the oldest first. */
  private readonly unsynced: Gfn[] = [];
  private readonly fault = { kind: 'filled' as ShadowFaultKind, errorCode: 0, gpa: 0, unsynced: false };
  private root: ShadowPage | null = null;

  /** @param guest the guest's virtual control registers, read whenever they are needed */
  constructor(memory: MachineMemory, physmap: PhysMap, guest: PagingRegisters, options: ShadowOptions) {
    if (options.maxFrames < 2)
      throw new UserError(`shadow page tables need at least 2 frames, not ${options.maxFrames}`);
    assert(((options.reserved?.pde ?? 0) & PDE_LARGE) === 0, 'the reserved directory entry must point at a table');
    this.memory = memory;
    this.physmap = physmap;
    this.guest = guest;
    this.guestWalker = new GuestWalker(physmap);
    this.pool = new ShadowPool(memory, options.owner, options.maxFrames);
    this.group = options.group ?? new ShadowGroup(memory);
    this.group.add(this);
    this.traces = this.group.traces;
    this.reservedIndex = options.reserved?.pdeIndex ?? -1;
    this.reservedPde = options.reserved?.pde ?? 0;
    this.lru = (options.replacement ?? 'lru') === 'lru';
    this.caching = options.caching ?? true;
    this.unreachableWritesMax = options.unreachableWritesMax ?? 3;
    this.linkedWritesMax = options.linkedWritesMax ?? 0;
    this.outOfSyncMax = options.outOfSyncMax ?? 0;
  }

  /** Table frames in use now. */
  get framesInUse(): number {
    return this.pool.framesInUse;
  }

  /** Machine frame of the root in use: what the real CR3 holds. */
  get rootMfn(): Mfn {
    return this.root === null ? ABSENT : this.root.mfn;
  }

  // The hardware's side.

  machineFrame(frame: number): Mfn {
    return frame;
  }

  /** No entry leads to a device: the VMM finds out from the fault. */
  isDevice(): boolean {
    return false;
  }

  /** The MMU's walk. It uses the root in use, not `registers`, and always honours write protection. */
  walk(_registers: PagingRegisters, lin: Lin, access: number): number {
    assert(this.root !== null, 'loadRoot() must come before the first walk');
    const words = this.memory.words32;
    const pdeAt = (this.root.mfn << 10) | (lin >>> 22);
    const pde = words[pdeAt]!;
    const isKnown = (pde & PTE_PRESENT) !== 0 && this.walkCache !== null && this.walkCache.knows(pdeAt, pde);
    this.references = isKnown ? 0 : 1;
    if ((pde & PTE_PRESENT) === 0) return this.walkFault(access);
    const pteAt = ((pde >>> 12) << 10) | ((lin >>> 12) & 0x3ff);
    const pte = words[pteAt]!;
    this.references++;
    if ((pte & PTE_PRESENT) === 0) return this.walkFault(access);
    if (!permits(pde & pte, access, CR0_WP)) return this.walkFault(access | ACCESS_PRESENT);
    const marked = pte | PTE_ACCESSED | ((access & ACCESS_WRITE) !== 0 ? PTE_DIRTY : 0);
    words[pdeAt] = pde | PTE_ACCESSED;
    words[pteAt] = marked;
    this.frame = pte >>> 12;
    this.flags = tlbFlags(pde & pte, marked, CR0_WP, CR4_PGE);
    return WALK_OK;
  }

  private walkFault(bits: number): number {
    this.errorCode = bits & ~ACCESS_FETCH;
    return WALK_PAGE_FAULT;
  }

  // The VMM's side.

  /** Finds out what a page fault of the hardware means, and repairs the shadow if the guest must not see it. */
  handleFault(lin: Lin, errorCode: number): ShadowFault {
    this.work.reset();
    const root = this.root;
    assert(root !== null && root.key === this.rootKey(), 'loadRoot() must follow each change of CR3 or paging mode');
    if (lin >>> 22 === this.reservedIndex) return this.answer('reserved', errorCode, 0);

    const access = errorCode & (ACCESS_WRITE | ACCESS_USER | ACCESS_FETCH);
    const asked = this.kernelView ? access & ~ACCESS_USER : access;
    const outcome = this.guestWalker.walk(this.guest, lin, asked);
    this.work.references = this.guestWalker.references;
    if (outcome !== WALK_OK) {
      this.trueFaults++;
      return this.answer('guest', this.guestWalker.errorCode, 0);
    }
    const gfn = this.guestWalker.frame;
    const gpa = (gfn << 12) | (lin & 0xfff);
    const mfn = this.physmap.lookup(gfn);
    if (mfn === ABSENT) return this.answer('absent', errorCode, gpa);

    this.trace(root); // again, if its frame was exchanged
    const table = this.linkTable(root, lin);
    // After linking: the frame may just have become a traced table.
    const isTraced = (access & ACCESS_WRITE) !== 0 && this.traces.isTraced(mfn);
    const unsynced = isTraced && this.goOutOfSync(gfn, mfn);
    if (isTraced && !unsynced) {
      this.tracedWrites++;
      return this.answer('traced-write', errorCode, gpa);
    }
    this.fill(table, lin, access);
    if (!unsynced) this.hiddenFaults++;
    return this.answer('filled', errorCode, gpa, unsynced);
  }

  /**
   * The VMM stored `bytes` bytes at `gpa` on the guest's behalf (or a device did), and the guest's memory holds the
   * new value: brings the shadow entries of the words covered up to date. Harmless for frames that hold no table.
   */
  guestTableWritten(gpa: Gpa, bytes: number): void {
    this.work.reset();
    this.resyncRange(gpa, bytes);
    this.group.written(gpa, bytes, this);
  }

  writtenByOther(gpa: Gpa, bytes: number): void {
    this.resyncRange(gpa, bytes);
    const last = (gpa + bytes - 1) >>> 12;
    for (let gfn = gpa >>> 12; gfn <= last; gfn++) this.onForeignWrite?.(gfn);
  }

  private resyncRange(gpa: Gpa, bytes: number): void {
    let gfn = gpa >>> 12;
    let first = (gpa & 0xfff) >>> 2;
    let last = ((gpa & 0xfff) + bytes - 1) >>> 2;
    for (;;) {
      this.resyncTables(gfn, first, Math.min(last, ENTRIES_PER_TABLE - 1));
      if (last < ENTRIES_PER_TABLE) return;
      gfn++;
      first = 0;
      last -= ENTRIES_PER_TABLE;
    }
  }

  /**
   * Puts the root for the guest's present CR3 and paging mode in use: found, or built. Call it after each change of
   * CR3, CR0.PG, CR0.WP, CR4.PSE or CR4.PGE; flushing the TLB as the architecture demands is the caller's.
   */
  loadRoot(): void {
    this.work.reset();
    this.syncAll();
    if (!this.caching) this.dropAllBut(null);
    this.enterRoot();
  }

  /** Puts the root that shows the guest's kernel, or its user programs, in use: see `kernelView`. Flush the TLB after it. */
  show(kernelView: boolean): void {
    this.work.reset();
    this.kernelView = kernelView;
    this.enterRoot();
  }

  /** The guest asked for a flush without a change of CR3: tables that are out of sync follow. */
  sync(): void {
    this.work.reset();
    this.syncAll();
  }

  private enterRoot(): void {
    const key = this.rootKey();
    let root = this.pool.find(key);
    if (root === undefined) {
      root = this.buildRoot(key);
      this.rootsBuilt++;
    }
    this.root = root;
    this.used(root);
    this.trace(root);
  }

  /** The guest's INVLPG. Where the shadow is coherent, only the TLB is concerned. */
  invalidatePage(lin: Lin): void {
    this.work.reset();
    assert(this.root !== null, 'loadRoot() must come first');
    const table = this.childOf(this.root, lin >>> 22);
    // By the guest's directory: the table may be linked under other roots of the same address space only.
    const pde = this.guestEntry(this.root, lin >>> 22);
    if ((pde & PTE_PRESENT) !== 0 && this.unsynced.includes(pde >>> 12)) {
      for (let page = this.pool.firstOfGfn(pde >>> 12); page !== null; page = page.nextOfGfn) {
        if (!isDirectoryKey(page.key)) this.resyncLeaf(page, (lin >>> 12) & 0x3ff);
      }
      this.work.references++;
    }
    // INVLPG drops the whole page, and a large guest page is many entries here.
    if (table !== null && kindOfKey(table.key) === PAGE_SPLINTER) this.notify((lin >>> 22) << 10, ENTRIES_PER_TABLE);
    else this.notify(lin >>> 12, 1);
  }

  /** Drops every shadow entry of every root; the root in use stays, empty. */
  flush(): void {
    this.work.reset();
    this.dropAllBut(this.root);
    this.notify(0, EVERY_PAGE);
  }

  /** Gives every frame back and removes every write trace. Call loadRoot() before using the object again. */
  release(): void {
    this.work.reset();
    this.dropAllBut(null);
    if (this.group.remove(this)) this.traces.clear();
    this.notify(0, EVERY_PAGE);
  }

  /**
   * The machine frame behind `gfn` is about to change (balloon, sharing, swapping, migration): drops every entry that
   * maps the present one, and the shadows of a table in it. Take `addTrace` back before, and put it on again after.
   */
  unmapFrame(gfn: Gfn): void {
    this.work.reset();
    let next: ShadowPage | null;
    for (let page = this.pool.firstOfGfn(gfn); page !== null; page = next) {
      next = page.nextOfGfn;
      if (page === this.root) this.clearEntries(page);
      else this.drop(page);
    }
    const root = this.root;
    if (root !== null && isGuestTableKey(root.key) && root.gfn === gfn) this.untrace(root);
    const mfn = this.physmap.lookup(gfn);
    if (mfn === ABSENT) return;
    for (let mapper = this.pool.firstMapper(mfn); mapper !== -1; mapper = this.pool.firstMapper(mfn)) {
      this.change(this.pool.pageOf(mapper), this.pool.indexOf(mapper), 0);
    }
  }

  /** Write-traces a frame that is not a page table (a descriptor table, code under translation). Traces nest. */
  addTrace(gfn: Gfn): void {
    this.work.reset();
    const mfn = this.physmap.lookup(gfn);
    if (mfn !== ABSENT && this.traces.add(mfn)) this.group.protect(mfn, this);
  }

  /** Takes back one addTrace. Existing mappings become writable again one by one, by hidden faults. */
  removeTrace(gfn: Gfn): void {
    this.work.reset();
    const mfn = this.physmap.lookup(gfn);
    if (mfn !== ABSENT) this.traces.remove(mfn);
  }

  /** Asserts all bookkeeping against what is in the tables. For tests; slow. */
  check(): void {
    this.pool.check(this.reservedIndex);
    for (const mfn of this.traces.frames()) {
      assert((this.memory.frameFlags[mfn]! & FRAME_TRACED) !== 0, 'a trace lost its flag');
      for (let mapper = this.pool.firstMapper(mfn); mapper !== -1; mapper = this.pool.nextMapper(mapper)) {
        const entry = this.pool.get(this.pool.pageOf(mapper), this.pool.indexOf(mapper));
        assert((entry & PTE_WRITABLE) === 0, 'a traced frame is mapped writable');
      }
    }
  }

  private answer(kind: ShadowFaultKind, errorCode: number, gpa: Gpa, unsynced = false): ShadowFault {
    this.fault.unsynced = unsynced;
    this.fault.kind = kind;
    this.fault.errorCode = errorCode;
    this.fault.gpa = gpa;
    return this.fault;
  }

  private notify(firstPage: number, pages: number): void {
    if (this.invalidate !== null) this.invalidate(firstPage, pages);
  }

  private used(page: ShadowPage): void {
    page.writesSinceUse = 0;
    if (this.lru) this.pool.touch(page);
  }

  /** Key of the root for the guest's present state. */
  private rootKey(): number {
    const { cr0, cr3, cr4 } = this.guest;
    if ((cr0 & CR0_PG) === 0) return keyOf(PAGE_FLAT_ROOT, 0, 0);
    const role =
      ((cr0 & CR0_WP) !== 0 ? ROLE_WP : 0) |
      ((cr4 & CR4_PGE) !== 0 ? ROLE_GLOBAL : 0) |
      ((cr4 & CR4_PSE) !== 0 ? ROLE_PSE : 0) |
      (this.kernelView ? ROLE_KERNEL : 0);
    return keyOf(PAGE_ROOT, cr3 >>> 12, role);
  }

  /** The guest's entry behind entry `i` of a page; 0 if there is no guest table behind it. */
  private guestEntry(page: ShadowPage, i: number): number {
    return isGuestTableKey(page.key) ? this.physmap.read32((page.gfn << 12) | (i << 2)) : 0;
  }

  // Building.

  private buildRoot(key: number): ShadowPage {
    const root = this.create(key);
    if (this.reservedIndex >= 0) this.memory.words32[(root.mfn << 10) | this.reservedIndex] = this.reservedPde;
    return root;
  }

  private create(key: number): ShadowPage {
    let page = this.pool.take(key);
    while (page === null) {
      const victim = this.pool.oldest(this.root);
      if (victim === null) throw new UserError('no machine frame is left for shadow page tables');
      this.drop(victim);
      this.evictions++;
      page = this.pool.take(key);
    }
    this.work.frames++;
    this.trace(page);
    return page;
  }

  /** The table under the root for `lin`: linked already, found, or created. The guest's walk must have succeeded. */
  private linkTable(root: ShadowPage, lin: Lin): ShadowPage {
    const i = lin >>> 22;
    const key = childKey(root.key, i, this.guestEntry(root, i));
    let table = this.childOf(root, i);
    if (table === null || table.key !== key) {
      table = this.pool.find(key) ?? this.create(key);
      this.change(root, i, (table.mfn << 12) | DIRECTORY_RIGHTS);
    }
    this.used(table);
    this.used(root);
    return table;
  }

  /** The table that entry `i` of a root points at, or null. */
  private childOf(root: ShadowPage, i: number): ShadowPage | null {
    const entry = this.pool.get(root, i);
    return (entry & PTE_PRESENT) !== 0 ? this.pool.pageAt(entry >>> 12) : null;
  }

  private fill(table: ShadowPage, lin: Lin, access: number): void {
    const i = (lin >>> 12) & 0x3ff;
    let view = VIEW_USER;
    if ((access & ACCESS_USER) === 0) view = (access & ACCESS_WRITE) !== 0 ? VIEW_KERNEL : VIEW_KEEP;
    const leaf = this.leafFor(table, i, view);
    assert((leaf & PTE_PRESENT) !== 0 && permits(leaf, access, CR0_WP), 'a filled shadow entry forbids the access');
    this.change(table, i, leaf);
    this.fills++;
  }

  /** What the shadow should hold for entry `i` of a table: 0 if the guest's entry is of no use without a fault. */
  private leafFor(table: ShadowPage, i: number, view: number): number {
    const guest = effectiveLeaf(table.key, i, this.guestEntry(table, i));
    if (guest === 0) return 0;
    const mfn = this.physmap.lookup(guest >>> 12);
    if (mfn === ABSENT) return 0;
    const base = (mfn << 12) | PTE_PRESENT | (guest & PTE_GLOBAL);
    const writable = (guest & PTE_DIRTY) !== 0 && !this.traces.isTraced(mfn) ? PTE_WRITABLE : 0;
    if ((roleOfKey(table.key) & ROLE_KERNEL) !== 0) {
      const mayWrite = (guest & PTE_WRITABLE) !== 0 || (roleOfKey(table.key) & ROLE_WP) === 0;
      return (base & ~PTE_GLOBAL) | PTE_USER | (mayWrite ? writable : 0);
    }
    if ((guest & PTE_WRITABLE) !== 0) return base | (guest & PTE_USER) | writable;
    if ((roleOfKey(table.key) & ROLE_WP) !== 0) return base | (guest & PTE_USER);
    // CR0.WP clear: rings 0-2 may write a read-only page.
    if ((guest & PTE_USER) === 0) return base | writable;
    const old = this.pool.get(table, i);
    const showsKernel = (old & (PTE_PRESENT | PTE_USER)) === PTE_PRESENT && old >>> 12 === mfn;
    if (view === VIEW_KERNEL || (view === VIEW_KEEP && showsKernel)) return base | writable;
    return base | PTE_USER;
  }

  // Keeping coherent.

  private resyncTables(gfn: Gfn, first: number, last: number): void {
    let next: ShadowPage | null;
    for (let page = this.pool.firstOfGfn(gfn); page !== null; page = next) {
      next = page.nextOfGfn;
      if (this.isAbandoned(page)) {
        this.drop(page);
        this.unshadowed++;
        continue;
      }
      for (let i = first; i <= last; i++) {
        if (isDirectoryKey(page.key)) this.resyncDirectory(page, i);
        else this.resyncLeaf(page, i);
      }
    }
  }

  /** Counts a guest write to a table, and tells whether it is probably no table any more. */
  private isAbandoned(page: ShadowPage): boolean {
    if (page === this.root) return false;
    const linked = this.pool.firstMapper(page.mfn) !== -1;
    const limit = linked ? this.linkedWritesMax : this.unreachableWritesMax;
    page.writesSinceUse++;
    return limit > 0 && page.writesSinceUse >= limit;
  }

  private resyncDirectory(root: ShadowPage, i: number): void {
    const child = this.childOf(root, i);
    if (child === null || i === this.reservedIndex) return;
    const pde = this.guestEntry(root, i);
    const isLarge = (pde & PDE_LARGE) !== 0 && (roleOfKey(root.key) & ROLE_PSE) !== 0;
    const isValid = !isLarge || (pde & PDE_LARGE_RESERVED) === 0;
    const usable = isValid && (pde & PTE_PRESENT) !== 0 && (pde & PTE_ACCESSED) !== 0;
    if (!usable || childKey(root.key, i, pde) !== child.key) this.change(root, i, 0);
  }

  private resyncLeaf(table: ShadowPage, i: number): void {
    const leaf = this.leafFor(table, i, VIEW_KEEP);
    if (this.change(table, i, leaf) && leaf !== 0) this.fills++;
  }

  /** Writes a shadow entry if it differs, and has the TLB forget what it knew. True if something changed. */
  private change(page: ShadowPage, i: number, entry: number): boolean {
    const old = this.pool.get(page, i);
    if ((old & ~HARDWARE_BITS) === entry) return false;
    if ((old & PTE_PRESENT) !== 0) this.forgetTranslation(page, i, old);
    if ((entry & PTE_GLOBAL) !== 0) page.mayBeGlobal = true;
    this.pool.set(page, i, entry);
    this.work.entries++;
    return true;
  }

  /** A present entry changes: the TLB may hold it if the root is in use, or if it is global. */
  private forgetTranslation(page: ShadowPage, i: number, old: number): void {
    if (isDirectoryKey(page.key)) {
      const mayBeGlobal = this.pool.pageAt(old >>> 12)?.mayBeGlobal ?? false;
      if (page === this.root || mayBeGlobal) this.notify(i << 10, ENTRIES_PER_TABLE);
      return;
    }
    for (let mapper = this.pool.firstMapper(page.mfn); mapper !== -1; mapper = this.pool.nextMapper(mapper)) {
      if (this.pool.pageOf(mapper) !== this.root && (old & PTE_GLOBAL) === 0) continue;
      this.notify((this.pool.indexOf(mapper) << 10) | i, 1);
    }
  }

  private clearEntries(page: ShadowPage): void {
    const skipped = isDirectoryKey(page.key) ? this.reservedIndex : -1;
    for (let i = 0; i < ENTRIES_PER_TABLE; i++) if (i !== skipped) this.change(page, i, 0);
  }

  /** Unlinks a page from everything and gives its frame back. Never the root in use. */
  private drop(page: ShadowPage): void {
    assert(page !== this.root, 'the root in use cannot be dropped');
    for (let mapper = this.pool.firstMapper(page.mfn); mapper !== -1; mapper = this.pool.firstMapper(page.mfn)) {
      this.change(this.pool.pageOf(mapper), this.pool.indexOf(mapper), 0);
    }
    this.clearEntries(page);
    this.untrace(page);
    this.pool.giveBack(page);
    this.work.evictions++;
  }

  /** Drops every page; `kept` is the root in use, which stays but loses its entries, or null. */
  private dropAllBut(kept: ShadowPage | null): void {
    this.root = kept;
    if (kept !== null) this.clearEntries(kept);
    for (const page of this.pool.livePages()) if (page !== kept) this.drop(page);
  }

  // Out of sync.

  /** Stops tracing a frame that holds nothing but tables of the lowest level. False if it must stay traced. */
  private goOutOfSync(gfn: Gfn, mfn: Mfn): boolean {
    if (this.outOfSyncMax === 0 || !this.group.isAlone) return false;
    let traces = 0;
    for (let page = this.pool.firstOfGfn(gfn); page !== null; page = page.nextOfGfn) {
      if (isDirectoryKey(page.key)) return false;
      if (page.tracedMfn === mfn) traces++;
    }
    // Somebody else watches the frame: it holds descriptors, or code under translation.
    if (this.traces.countOf(mfn) !== traces) return false;
    if (!this.unsynced.includes(gfn)) {
      if (this.unsynced.length === this.outOfSyncMax) this.syncTable(this.unsynced.shift()!);
      this.unsynced.push(gfn);
    }
    for (let page = this.pool.firstOfGfn(gfn); page !== null; page = page.nextOfGfn) this.untrace(page);
    this.unsyncs++;
    return true;
  }

  private syncAll(): void {
    for (const gfn of this.unsynced.splice(0)) this.syncTable(gfn);
  }

  /** Traces a guest table again, and brings every entry of its shadows up to date. */
  private syncTable(gfn: Gfn): void {
    for (let page = this.pool.firstOfGfn(gfn); page !== null; page = page.nextOfGfn) {
      if (isDirectoryKey(page.key)) continue;
      this.trace(page);
      for (let i = 0; i < ENTRIES_PER_TABLE; i++) this.resyncLeaf(page, i);
      this.work.references += ENTRIES_PER_TABLE;
    }
  }

  // Write traces.

  /** Traces the guest table behind a page, once. */
  private trace(page: ShadowPage): void {
    if (page.tracedMfn !== -1 || !isGuestTableKey(page.key)) return;
    const mfn = this.physmap.lookup(page.gfn);
    if (mfn === ABSENT) return;
    page.tracedMfn = mfn;
    if (this.traces.add(mfn)) this.group.protect(mfn, this);
  }

  private untrace(page: ShadowPage): void {
    if (page.tracedMfn === -1) return;
    this.traces.remove(page.tracedMfn);
    page.tracedMfn = -1;
  }

  protectOwn(mfn: Mfn): void {
    let next: number;
    for (let mapper = this.pool.firstMapper(mfn); mapper !== -1; mapper = next) {
      next = this.pool.nextMapper(mapper);
      const page = this.pool.pageOf(mapper);
      const i = this.pool.indexOf(mapper);
      this.change(page, i, this.pool.get(page, i) & ~(PTE_WRITABLE | HARDWARE_BITS));
    }
  }
}

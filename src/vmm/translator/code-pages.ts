/**
 * Keeps translations true: which frames and linear pages units were made from. Frames are write-traced, so a write to
 * translated bytes is seen before the CPU can execute again; mappings are looked at when the guest flushes its TLB, as
 * the architecture asks, and when it writes a page table that maps translated code.
 * Invariants: a frame with live units has a trace; the page table behind a 4 MiB range with live units has one too, so
 * after a change of CR3 its entries need to be read only if the directory entry differs.
 * Sources: Adams & Agesen, ASPLOS 2006, section 3 (traces on translated code); SDM vol 3, 4.10 (stale translations).
 */
import type { Gfn, Gpa, Lin } from '../../core/units.ts';
import {
  CR0_PG,
  CR4_PSE,
  type PagingRegisters,
  PDE_LARGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
} from '../../machine/paging.ts';
import { ABSENT, type PhysMap } from '../../machine/physmap.ts';
import type { ShadowPaging } from '../paging/shadow.ts';
import type { Unit } from './site.ts';

/** Bytes of a unit in one frame, and where they are linearly. */
export interface Span {
  readonly gfn: Gfn;
  readonly first: number;
  readonly end: number;
  readonly page: number;
}

/** Translated pages of one 4 MiB range. */
interface Range {
  /** Directory entry that they were found through, without its A and D bits; -1: no paging. */
  pde: number;
  /** Traced page table, or -1. */
  table: Gfn;
  readonly pages: Map<number, { gfn: Gfn; readonly units: Set<Unit> }>;
}

const AD_BITS = PTE_ACCESSED | PTE_DIRTY;
const NO_PAGING = -1;

export class CodePages {
  /** Guest page-table entries read since the owner cleared it. */
  references = 0;
  private readonly physmap: PhysMap;
  private readonly shadow: ShadowPaging;
  private readonly guest: PagingRegisters;
  private readonly ranges = new Map<number, Range>();
  private readonly frames = new Map<Gfn, Map<Unit, Span>>();
  private readonly kill: (unit: Unit) => void;

  /** @param kill told of each unit whose bytes or mapping are no longer what they were */
  constructor(physmap: PhysMap, shadow: ShadowPaging, guest: PagingRegisters, kill: (unit: Unit) => void) {
    this.physmap = physmap;
    this.shadow = shadow;
    this.guest = guest;
    this.kill = kill;
  }

  /** A unit was made from these bytes. */
  add(unit: Unit, spans: readonly Span[]): void {
    for (const span of spans) {
      let frame = this.frames.get(span.gfn);
      if (frame === undefined) {
        frame = new Map();
        this.frames.set(span.gfn, frame);
        this.shadow.addTrace(span.gfn);
      }
      const known = frame.get(unit) ?? span;
      frame.set(unit, { ...span, first: Math.min(known.first, span.first), end: Math.max(known.end, span.end) });
      const range = this.range(span.page >>> 10);
      const page = range.pages.get(span.page);
      if (page === undefined) range.pages.set(span.page, { gfn: span.gfn, units: new Set([unit]) });
      else page.units.add(unit);
    }
  }

  private range(index: number): Range {
    let range = this.ranges.get(index);
    if (range === undefined) {
      range = { pde: this.directoryEntry(index), table: -1, pages: new Map() };
      this.ranges.set(index, range);
      this.traceTable(range);
    }
    return range;
  }

  /** Forgets a unit. Frames without units lose their traces. */
  remove(unit: Unit): void {
    for (const [gfn, frame] of this.frames) {
      if (!frame.delete(unit) || frame.size > 0) continue;
      this.frames.delete(gfn);
      this.shadow.removeTrace(gfn);
    }
    for (const [index, range] of this.ranges) {
      for (const [page, { units }] of range.pages) {
        if (units.delete(unit) && units.size === 0) range.pages.delete(page);
      }
      if (range.pages.size > 0) continue;
      this.ranges.delete(index);
      this.untraceTable(range);
    }
  }

  /** Forgets everything. */
  clear(): void {
    for (const gfn of this.frames.keys()) this.shadow.removeTrace(gfn);
    for (const range of this.ranges.values()) this.untraceTable(range);
    this.frames.clear();
    this.ranges.clear();
  }

  /** The guest wrote `bytes` bytes at `gpa`: translated code, or a page table that maps some. */
  written(gpa: Gpa, bytes: number): void {
    const gfn = gpa >>> 12;
    const first = gpa & 0xfff;
    const dead: Unit[] = [];
    for (const [unit, span] of this.frames.get(gfn) ?? []) {
      if (span.first < first + bytes && span.end > first) dead.push(unit);
    }
    for (const unit of dead) this.kill(unit);
    for (const [index, range] of this.ranges) {
      if (range.table !== gfn) continue;
      for (let entry = first >>> 2; entry <= (first + bytes - 1) >>> 2; entry++)
        this.recheckPage((index << 10) | entry);
    }
  }

  /** Anything in a frame may have changed. */
  frameWritten(gfn: Gfn): void {
    this.written(gfn * 4096, 4096);
  }

  /** INVLPG. */
  invalidated(lin: Lin): void {
    const range = this.ranges.get(lin >>> 22);
    if (range === undefined) return;
    if (this.directoryEntry(lin >>> 22) === range.pde) this.recheckPage(lin >>> 12);
    else this.recheckRange(lin >>> 22, range);
  }

  /** Another address space, or another paging mode. */
  recheck(): void {
    for (const [index, range] of this.ranges) {
      if (this.directoryEntry(index) !== range.pde) this.recheckRange(index, range);
    }
  }

  private recheckRange(index: number, range: Range): void {
    range.pde = this.directoryEntry(index);
    this.untraceTable(range);
    this.traceTable(range);
    // A copy: units that die take their pages out.
    const pages = [...range.pages.keys()];
    for (const page of pages) this.recheckPage(page);
  }

  private recheckPage(page: number): void {
    const known = this.ranges.get(page >>> 10)?.pages.get(page);
    if (known === undefined || this.frameOf(page) === known.gfn) return;
    const dead = [...known.units];
    for (const unit of dead) this.kill(unit);
  }

  private get isPaged(): boolean {
    return (this.guest.cr0 & CR0_PG) !== 0;
  }

  private directoryEntry(index: number): number {
    if (!this.isPaged) return NO_PAGING;
    this.references++;
    return this.physmap.read32((this.guest.cr3 & ~0xfff) | (index << 2)) & ~AD_BITS;
  }

  /** Guest frame behind a linear page, or -1 if the guest's tables have none or do not call it accessed. */
  private frameOf(page: number): Gfn {
    if (!this.isPaged) return page;
    const pde = this.physmap.read32((this.guest.cr3 & ~0xfff) | ((page >>> 10) << 2));
    this.references++;
    if ((pde & PTE_PRESENT) === 0) return -1;
    if (this.isLarge(pde)) {
      return (pde & PTE_ACCESSED) === 0 ? -1 : ((pde & 0xffc00000) >>> 12) | (page & 0x3ff);
    }
    const pte = this.physmap.read32((pde & ~0xfff) | ((page & 0x3ff) << 2));
    this.references++;
    return (pte & (PTE_PRESENT | PTE_ACCESSED)) === (PTE_PRESENT | PTE_ACCESSED) ? pte >>> 12 : -1;
  }

  private isLarge(pde: number): boolean {
    return (pde & PDE_LARGE) !== 0 && (this.guest.cr4 & CR4_PSE) !== 0;
  }

  private traceTable(range: Range): void {
    const { pde } = range;
    if (pde === NO_PAGING || (pde & PTE_PRESENT) === 0 || this.isLarge(pde)) return;
    const gfn = pde >>> 12;
    if (this.physmap.lookup(gfn) === ABSENT) return;
    range.table = gfn;
    this.shadow.addTrace(gfn);
  }

  private untraceTable(range: Range): void {
    if (range.table === -1) return;
    this.shadow.removeTrace(range.table);
    range.table = -1;
  }
}

/**
 * The type rules of direct paging: what each frame of a paravirtual guest is used as, and which page-table updates
 * keep the VMM and other VMs out of reach.
 *
 *   none ── first use ──► writable | L1 table | L2 table ── last use ends ──► none
 *
 * Invariants: a frame has one type while its type count is not 0, so it is never page table and writable at once;
 * a table is scanned entry by entry before it becomes one, and changes only by update() afterwards; every frame that
 * a table names belongs to the guest; the last slot of each L2 table is the VMM's own; `references` of a frame is the
 * number of entries and roots that name it. A frame that was writable becomes a table only after a TLB flush.
 * Source: Barham et al., SOSP 2003, 3.3.3 (types, reference counts, pinning); what is charged is in paths.ts.
 */
import type { Mfn } from '../../core/units.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import { PTE_PRESENT, PTE_WRITABLE } from '../../machine/paging.ts';
import { EBUSY, EINVAL, EPERM } from './abi.ts';

export const TYPE_NONE = 0;
export const TYPE_WRITABLE = 1;
export const TYPE_L1 = 2;
export const TYPE_L2 = 3;

/** Bits that a guest may set in an entry: rights, accessed, dirty, and the three that hardware leaves to software. */
const ENTRY_BITS = 0xe67;
const SLOTS = 1024;
/** Directory slot of the VMM's own 4 MiB. */
export const VMM_SLOT = 1023;

const frameOf = (entry: number): Mfn => entry >>> 12;
const isPresent = (entry: number): boolean => (entry & PTE_PRESENT) !== 0;
const isWritable = (entry: number): boolean => (entry & PTE_WRITABLE) !== 0;

/** What the VMM did since the counts were last taken, for its bill. */
export interface TypeWork {
  /** Tables read from end to end, to validate them or to give up what they name. */
  scans: number;
  /** Entries whose frame was looked up and whose counts changed. */
  references: number;
  /** TLB flushes that a change of type needed. */
  flushes: number;
}

export class FrameTypes {
  readonly type: Uint8Array;
  readonly typeCount: Uint32Array;
  readonly references: Uint32Array;
  readonly pinned: Uint8Array;
  readonly work: TypeWork = { scans: 0, references: 0, flushes: 0 };
  /** Frame of the L2 table in force, or -1. */
  root: Mfn = -1;
  private readonly memory: MachineMemory;
  private readonly owner: number;
  private readonly vmmEntry: number;
  private readonly onStore: (mfn: Mfn, offset: number) => void;
  private readonly onFlush: () => void;
  /** Full TLB flushes so far, and what the count was when a frame ceased to be writable. */
  private flushClock = 1;
  private readonly writableUntil: Uint32Array;

  /**
   * @param vmmEntry what the VMM puts into its slot of each L2 table
   * @param onStore an entry of a table changes
   * @param onFlush the TLB must be flushed now
   */
  constructor(
    memory: MachineMemory,
    owner: number,
    vmmEntry: number,
    onStore: (mfn: Mfn, offset: number) => void,
    onFlush: () => void,
  ) {
    const frames = memory.frameFlags.length;
    this.memory = memory;
    this.owner = owner;
    this.vmmEntry = vmmEntry;
    this.onStore = onStore;
    this.onFlush = onFlush;
    this.type = new Uint8Array(frames);
    this.typeCount = new Uint32Array(frames);
    this.references = new Uint32Array(frames);
    this.pinned = new Uint8Array(frames);
    this.writableUntil = new Uint32Array(frames);
  }

  /** Every translation was dropped. */
  flushed(): void {
    this.flushClock++;
  }

  /** Writes `entry` at a machine address in a table. Returns 0 or an error; then nothing has changed. */
  update(address: number, entry: number): number {
    const mfn = address >>> 12;
    const slot = (address >>> 2) & (SLOTS - 1);
    if ((address & 3) !== 0) return EINVAL;
    if (!this.owns(mfn)) return EPERM;
    const kind = this.typeCount[mfn] === 0 ? TYPE_NONE : this.type[mfn]!;
    if (kind !== TYPE_L1 && kind !== TYPE_L2) return EINVAL;
    if (kind === TYPE_L2 && slot === VMM_SLOT) return EPERM;
    const at = (mfn << 10) | slot;
    const old = this.memory.words32[at]!;
    const error = this.take(kind, entry);
    if (error !== 0) return error;
    this.store(mfn, slot, entry);
    this.drop(kind, old);
    return 0;
  }

  /** Makes a frame a table of this type and keeps it one until unpin(), whoever else uses it. */
  pin(mfn: Mfn, type: number): number {
    if (!this.owns(mfn)) return EPERM;
    if (this.pinned[mfn] !== 0) return EINVAL;
    const error = this.takeType(mfn, type);
    if (error === 0) this.pinned[mfn] = 1;
    return error;
  }

  unpin(mfn: Mfn): number {
    if (!this.owns(mfn)) return EPERM;
    if (this.pinned[mfn] === 0) return EINVAL;
    this.pinned[mfn] = 0;
    this.dropType(mfn);
    return 0;
  }

  /** The MMU is to walk this L2 table. The caller flushes the TLB. */
  setRoot(mfn: Mfn): number {
    const error = this.takeType(mfn, TYPE_L2);
    if (error !== 0) return error;
    if (this.root >= 0) this.dropType(this.root);
    this.root = mfn;
    return 0;
  }

  private owns(mfn: Mfn): boolean {
    return mfn < this.type.length && this.memory.ownerOf(mfn) === this.owner;
  }

  private store(mfn: Mfn, slot: number, entry: number): void {
    this.onStore(mfn, slot * 4);
    this.memory.words32[(mfn << 10) | slot] = entry;
  }

  /** Counts what an entry of a table of type `kind` names. Returns 0 or an error. */
  private take(kind: number, entry: number): number {
    if (!isPresent(entry)) return 0;
    if ((entry & 0xfff & ~ENTRY_BITS) !== 0) return EINVAL;
    const mfn = frameOf(entry);
    this.work.references++;
    if (kind === TYPE_L2) return this.takeType(mfn, TYPE_L1);
    if (isWritable(entry)) return this.takeType(mfn, TYPE_WRITABLE);
    if (!this.owns(mfn)) return EPERM;
    this.references[mfn]!++;
    return 0;
  }

  private drop(kind: number, entry: number): void {
    if (!isPresent(entry)) return;
    this.work.references++;
    if (kind === TYPE_L2 || isWritable(entry)) this.dropType(frameOf(entry));
    else this.references[frameOf(entry)]!--;
  }

  /** One more use of a frame as `wanted`; the first use as a table validates it. */
  private takeType(mfn: Mfn, wanted: number): number {
    if (!this.owns(mfn)) return EPERM;
    if (this.typeCount[mfn] === 0) {
      const error = this.become(mfn, wanted);
      if (error !== 0) return error;
    } else if (this.type[mfn] !== wanted) return EBUSY;
    else this.typeCount[mfn]!++;
    this.references[mfn]!++;
    return 0;
  }

  private become(mfn: Mfn, wanted: number): number {
    // From here on it counts as what it becomes, so that it cannot map itself writable.
    this.type[mfn] = wanted;
    this.typeCount[mfn] = 1;
    if (wanted === TYPE_WRITABLE) return 0;
    if (this.writableUntil[mfn] === this.flushClock) {
      this.work.flushes++;
      this.onFlush();
      this.flushed();
    }
    this.work.scans++;
    for (let slot = 0; slot < SLOTS; slot++) {
      if (wanted === TYPE_L2 && slot === VMM_SLOT) continue;
      const error = this.take(wanted, this.memory.words32[(mfn << 10) | slot]!);
      if (error === 0) continue;
      this.dropEntries(mfn, wanted, slot);
      this.type[mfn] = TYPE_NONE;
      this.typeCount[mfn] = 0;
      return error;
    }
    if (wanted === TYPE_L2) this.store(mfn, VMM_SLOT, this.vmmEntry);
    return 0;
  }

  private dropType(mfn: Mfn): void {
    this.references[mfn]!--;
    if (--this.typeCount[mfn]! > 0) return;
    const was = this.type[mfn]!;
    this.type[mfn] = TYPE_NONE;
    if (was === TYPE_WRITABLE) {
      this.writableUntil[mfn] = this.flushClock;
      return;
    }
    this.work.scans++;
    if (was === TYPE_L2) this.store(mfn, VMM_SLOT, 0);
    this.dropEntries(mfn, was, SLOTS);
  }

  private dropEntries(mfn: Mfn, kind: number, end: number): void {
    for (let slot = 0; slot < end; slot++) {
      if (kind !== TYPE_L2 || slot !== VMM_SLOT) this.drop(kind, this.memory.words32[(mfn << 10) | slot]!);
    }
  }
}

/**
 * Decoded instructions, kept per machine frame and shared by every CPU that executes the same frame.
 * Invariants: a frame with decoded instructions has FRAME_CODE set, so every write to it comes through written();
 * an instruction whose bytes were written is dropped before the next fetch from that page.
 */
import type { Mfn } from '../core/units.ts';
import type { Compiler } from './compiler/compiler.ts';
import type { CpuTiming } from './costs.ts';
import type { Insn } from './insn.ts';
import { FRAME_CODE, type MachineMemory } from './memory.ts';
import type { Mmu } from './mmu.ts';

/** Longest instruction in bytes (SDM vol 2, 2.3.11). */
export const INSN_BYTES_MAX = 15;

/** Bounds of what is kept; beyond either everything is forgotten and decoded again, which costs no simulated time. */
const FRAMES_MAX = 2048;
const INSNS_MAX = 2 ** 18;
/** Low enough that a loop of a few microseconds is compiled, high enough that code which runs once is not. */
const HOT_AFTER = 3000;
/** Writes to a frame with decoded code after which it is looked at whether the code is still in use. */
const WRITES_MAX = 64;
/** Instructions that can reach into one frame: 14 first bytes, two code sizes, and a few stale ones. */
const STRADDLERS_MAX = 64;

/** Compiled code that was made from instructions of one or more pages. */
export interface CompiledUnit {
  /** Whether it was made from any of the bytes [offset, offset+count) of the page. */
  overlaps(page: CodePage, offset: number, count: number): boolean;
  /** Its bytes are about to change: it must never be entered again. */
  kill(): void;
}

/** What the compiler knows of one page. */
export interface PageCompilation {
  /** Names the page in compiled code; never 0, never used again. */
  readonly id: number;
  readonly units: CompiledUnit[];
  kills: number;
  /** Too often written: only interpreted from now on. */
  banned: boolean;
}

/** Decoded instructions of one frame, by offset of their first byte. One page per code size. */
export interface CodePage {
  readonly mfn: Mfn;
  readonly insns: (Insn | undefined)[];
  readonly compiled: PageCompilation;
}

/** What is decoded of one frame. A page takes 32 KiB, and most frames need one: it is made when code of its size is executed. */
interface FrameCode {
  /** For 32-bit and 16-bit code. */
  code32: CodePage | null;
  code16: CodePage | null;
  /** Instructions of the previous page that reach into it. */
  readonly straddlers: Insn[];
  /** Writes to the frame since it was last found to be executed. */
  writes: number;
}

/** A page without instructions: what a CPU points at when it has no page. */
export const NO_CODE: CodePage = {
  mfn: -1,
  insns: Array.from<Insn | undefined>({ length: 4096 }),
  compiled: { id: 0, units: [], kills: 0, banned: true },
};

export class CodeCache {
  readonly memory: MachineMemory;
  readonly timing: CpuTiming;
  /** Every MMU that may hold front entries for frames that become code. */
  readonly mmus: Mmu[] = [];
  /** Compiles hot code; null: everything is interpreted. */
  compiler: Compiler | null = null;
  /** Transfers of control by one instruction before their target is compiled. */
  hotAfter = HOT_AFTER;
  /**
   * Frames of code that a VMM made, and for each byte offset how many of the guest's instructions the one there counts
   * as. To be set before its bytes are executed.
   */
  readonly counts = new Map<Mfn, Uint8Array>();
  private readonly frames = new Map<Mfn, FrameCode>();
  /** Instructions remembered since everything was last forgotten. */
  private remembered = 0;
  /** Pages made so far: ids of pages. */
  private pages = 0;

  constructor(memory: MachineMemory, timing: CpuTiming) {
    this.memory = memory;
    this.timing = timing;
    memory.onCodeWrite = (mfn, offset, count) => this.written(mfn, offset, count);
  }

  /** Instructions of the guest that the one at an offset of a frame counts as. */
  countsAt(mfn: Mfn, offset: number): number {
    return this.counts.get(mfn)?.[offset] ?? 1;
  }

  /** The decoded page of a frame, created on first use. */
  page(mfn: Mfn, is32: boolean): CodePage {
    const frame = this.frame(mfn);
    if (is32) frame.code32 ??= this.emptyPage(mfn);
    else frame.code16 ??= this.emptyPage(mfn);
    return (is32 ? frame.code32 : frame.code16)!;
  }

  /** Called before a page is looked up for execution: forgets everything when a guest has executed too much memory. */
  makeRoom(): void {
    if (this.frames.size <= FRAMES_MAX && this.remembered <= INSNS_MAX) return;
    for (const frame of this.frames.values()) {
      // In place: CPUs hold these very arrays.
      for (const page of pagesOf(frame)) page.insns.fill(undefined);
      for (const insn of frame.straddlers) insn.stale = true;
    }
    this.frames.clear();
    this.remembered = 0;
    this.compiler?.reset();
    for (const mmu of this.mmus) mmu.clearFront();
  }

  /** Keeps a decoded instruction of a page. */
  remember(page: CodePage, offset: number, insn: Insn): void {
    this.protect(page.mfn);
    page.insns[offset] = insn;
    this.remembered++;
  }

  /** Marks a frame as code before an instruction of it is remembered. */
  private protect(mfn: Mfn): void {
    if ((this.memory.frameFlags[mfn]! & FRAME_CODE) !== 0) return;
    this.memory.frameFlags[mfn]! |= FRAME_CODE;
    for (const mmu of this.mmus) mmu.clearFront();
  }

  /** Remembers that `insn` reaches into `mfn` from the page before. */
  addStraddler(mfn: Mfn, insn: Insn): void {
    this.protect(mfn);
    const { straddlers } = this.frame(mfn);
    if (straddlers.length >= STRADDLERS_MAX) {
      for (const old of straddlers) old.stale = true;
      straddlers.length = 0;
    }
    straddlers.push(insn);
  }

  /** Bytes [offset, offset+count) of a frame are about to change: drops the instructions that they belong to. */
  written(mfn: Mfn, offset: number, count: number): void {
    const frame = this.frames.get(mfn);
    if (frame === undefined) {
      this.memory.frameFlags[mfn]! &= ~FRAME_CODE;
      return;
    }
    if (frame.code32 !== null) dropOverlapping(frame.code32, offset, count);
    if (frame.code16 !== null) dropOverlapping(frame.code16, offset, count);
    if (offset < INSN_BYTES_MAX && frame.straddlers.length > 0) {
      for (const insn of frame.straddlers) insn.stale = true;
      frame.straddlers.length = 0;
    }
    if (++frame.writes % WRITES_MAX === 0) this.release(mfn, frame);
  }

  /** A frame is written again and again: unless a CPU executes it, it holds code no more, and writes to it may be fast. */
  private release(mfn: Mfn, frame: FrameCode): void {
    const pages = pagesOf(frame);
    if (pages.some((page) => this.mmus.some((mmu) => mmu.executes(page)))) return;
    for (const page of pages) {
      for (const unit of page.compiled.units.slice()) unit.kill();
      // In place: a CPU may hold this very array.
      page.insns.fill(undefined);
    }
    for (const insn of frame.straddlers) insn.stale = true;
    this.frames.delete(mfn);
    this.memory.frameFlags[mfn]! &= ~FRAME_CODE;
  }

  private frame(mfn: Mfn): FrameCode {
    let frame = this.frames.get(mfn);
    if (frame === undefined) {
      frame = { code32: null, code16: null, straddlers: [], writes: 0 };
      this.frames.set(mfn, frame);
    }
    return frame;
  }

  private emptyPage(mfn: Mfn): CodePage {
    this.pages++;
    return {
      mfn,
      insns: Array.from<Insn | undefined>({ length: 4096 }),
      compiled: { id: this.pages, units: [], kills: 0, banned: false },
    };
  }
}

function pagesOf({ code32, code16 }: FrameCode): CodePage[] {
  return [code32, code16].filter((page) => page !== null);
}

function dropOverlapping(page: CodePage, offset: number, count: number): void {
  const { insns, compiled } = page;
  // A copy: kill() takes the unit out of the list.
  for (const unit of compiled.units.slice()) if (unit.overlaps(page, offset, count)) unit.kill();
  for (let at = Math.max(0, offset - INSN_BYTES_MAX + 1); at < offset + count; at++) {
    const insn = insns[at];
    if (insn !== undefined && at + insn.length > offset) insns[at] = undefined;
  }
}

/**
 * Decoded instructions, kept per machine frame and shared by every CPU that executes the same frame.
 * Invariants: a frame with decoded instructions has FRAME_CODE set, so every write to it comes through written();
 * an instruction whose bytes were written is dropped before the next fetch from that page.
 */
import type { Mfn } from '../core/units.ts';
import type { CpuTiming } from './costs.ts';
import type { Insn } from './insn.ts';
import { FRAME_CODE, type MachineMemory } from './memory.ts';
import type { Mmu } from './mmu.ts';

/** Longest instruction in bytes (SDM vol 2, 2.3.11). */
export const INSN_BYTES_MAX = 15;

/** Decoded instructions of one frame, by offset of their first byte. One page per code size. */
export interface CodePage {
  readonly mfn: Mfn;
  readonly insns: (Insn | undefined)[];
}

/** Two pages of one frame: for 32-bit and 16-bit code. Instructions of the previous page that reach into it. */
interface FrameCode {
  readonly code32: CodePage;
  readonly code16: CodePage;
  readonly straddlers: Insn[];
}

/** A page without instructions: what a CPU points at when it has no page. */
export const NO_CODE: CodePage = { mfn: -1, insns: Array.from<Insn | undefined>({ length: 4096 }) };

export class CodeCache {
  readonly memory: MachineMemory;
  readonly timing: CpuTiming;
  /** Every MMU that may hold front entries for frames that become code. */
  readonly mmus: Mmu[] = [];
  private readonly frames = new Map<Mfn, FrameCode>();

  constructor(memory: MachineMemory, timing: CpuTiming) {
    this.memory = memory;
    this.timing = timing;
  }

  /** The decoded page of a frame, created on first use. */
  page(mfn: Mfn, is32: boolean): CodePage {
    const frame = this.frame(mfn);
    return is32 ? frame.code32 : frame.code16;
  }

  /** Marks a frame as code before an instruction of it is remembered. */
  protect(mfn: Mfn): void {
    if ((this.memory.frameFlags[mfn]! & FRAME_CODE) !== 0) return;
    this.memory.frameFlags[mfn]! |= FRAME_CODE;
    for (const mmu of this.mmus) mmu.clearFront();
  }

  /** Remembers that `insn` reaches into `mfn` from the page before. */
  addStraddler(mfn: Mfn, insn: Insn): void {
    this.protect(mfn);
    this.frame(mfn).straddlers.push(insn);
  }

  /** Bytes [offset, offset+count) of a frame are about to change: drops the instructions that they belong to. */
  written(mfn: Mfn, offset: number, count: number): void {
    const frame = this.frames.get(mfn);
    if (frame === undefined) return;
    dropOverlapping(frame.code32.insns, offset, count);
    dropOverlapping(frame.code16.insns, offset, count);
    if (offset < INSN_BYTES_MAX && frame.straddlers.length > 0) {
      for (const insn of frame.straddlers) insn.stale = true;
      frame.straddlers.length = 0;
    }
  }

  /** The frame changes hands or its whole content is replaced. */
  forget(mfn: Mfn): void {
    if (this.frames.has(mfn)) this.written(mfn, 0, 4096);
  }

  private frame(mfn: Mfn): FrameCode {
    let frame = this.frames.get(mfn);
    if (frame === undefined) {
      frame = { code32: emptyPage(mfn), code16: emptyPage(mfn), straddlers: [] };
      this.frames.set(mfn, frame);
    }
    return frame;
  }
}

function emptyPage(mfn: Mfn): CodePage {
  return { mfn, insns: Array.from<Insn | undefined>({ length: 4096 }) };
}

function dropOverlapping(insns: (Insn | undefined)[], offset: number, count: number): void {
  for (let at = Math.max(0, offset - INSN_BYTES_MAX + 1); at < offset + count; at++) {
    const insn = insns[at];
    if (insn !== undefined && at + insn.length > offset) insns[at] = undefined;
  }
}

/**
 * The environment as FNSTENV and FNSAVE store it: seven words in four layouts, by operand size and mode.
 * Invariant: loading what was stored gives the same state, as far as the layout has room for it.
 * Source: SDM vol 1, figures 8-9 to 8-12. Unused halves of 32-bit words are stored as ones, as real CPUs do.
 */
import type { Fpu } from './fpu.ts';

export interface Layout {
  readonly is32: boolean;
  /** Protected mode: selector and offset. Else linear addresses. */
  readonly isProtected: boolean;
}

const ONES = 0xffff0000 | 0;

/** The seven words; with 16-bit operands only their lower halves are meant. */
export function environmentOf(f: Fpu, { is32, isProtected }: Layout): number[] {
  const words = [f.controlWord | ONES, f.statusWord | ONES, f.tagWord | ONES];
  const { instructionOffset, instructionSelector, dataOffset, dataSelector, opcode } = f;
  if (isProtected) {
    words.push(instructionOffset, instructionSelector | (opcode << 16), dataOffset, dataSelector | ONES);
    return words;
  }
  const instruction = (instructionSelector * 16 + instructionOffset) | 0;
  const data = (dataSelector * 16 + dataOffset) | 0;
  if (is32) {
    words.push(
      (instruction & 0xffff) | ONES,
      ((instruction >>> 16) << 12) | opcode,
      (data & 0xffff) | ONES,
      (data >>> 16) << 12,
    );
  } else words.push(instruction, ((instruction >>> 4) & 0xf000) | opcode, data, (data >>> 4) & 0xf000);
  return words;
}

/** Takes over an environment. */
export function loadEnvironment(f: Fpu, { is32, isProtected }: Layout, words: readonly number[]): void {
  const [control, status, tags, first, second, third, fourth] = words as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  f.controlWord = control;
  f.statusWord = status;
  f.tagWord = tags;
  if (isProtected) {
    f.instructionOffset = first;
    f.instructionSelector = second & 0xffff;
    f.opcode = is32 ? (second >>> 16) & 0x7ff : 0;
    f.dataOffset = third;
    f.dataSelector = fourth & 0xffff;
    return;
  }
  const upper = (word: number): number => (is32 ? (word & 0x0ffff000) << 4 : (word & 0xf000) << 4);
  f.instructionOffset = (first & 0xffff) | upper(second);
  f.instructionSelector = 0;
  f.opcode = second & 0x7ff;
  f.dataOffset = (third & 0xffff) | upper(fourth);
  f.dataSelector = 0;
}

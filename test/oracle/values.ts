/**
 * Values that break arithmetic, and random ones between them.
 * Invariant: draws depend on the stream only, so a seed names the same values everywhere.
 */
import type { RandomStream } from '../../src/core/rng.ts';

const EDGES8 = [0, 1, 2, 0x0f, 0x10, 0x7e, 0x7f, 0x80, 0x81, 0x99, 0x9a, 0xfe, 0xff, 0x55, 0xaa, 0x06] as const;
const EDGES16 = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff, 0x5555, 0xaaaa, 0xff80,
] as const;
const EDGES32 = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001,
  0xfffffffe, 0xffffffff,
] as const;

/** Sixteen edge values of a width. */
export const edges = (width: number): readonly number[] => (width === 8 ? EDGES8 : width === 16 ? EDGES16 : EDGES32);

const SHIFT_COUNTS = [0, 1, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 18, 24, 27, 31, 32, 33, 63, 64, 255] as const;

/** A value of `width` bits, unsigned: an edge or random, sometimes small. */
export function valueIn(rng: RandomStream, width: number): number {
  const roll = rng.below(10);
  if (roll < 5) return edges(width)[rng.below(16)]!;
  const value = rng.uint32();
  if (roll < 6) return value & 0x1f;
  return width === 32 ? value : value & ((1 << width) - 1);
}

export function shiftCount(rng: RandomStream): number {
  return rng.chance(5, 6) ? SHIFT_COUNTS[rng.below(SHIFT_COUNTS.length)]! : rng.below(256);
}

/** Arithmetic flags at random, DF now and then. */
export function flagsIn(rng: RandomStream): number {
  return (rng.uint32() & 0x8d5) | (rng.chance(1, 8) ? 0x400 : 0);
}

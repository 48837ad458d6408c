/**
 * Units of measure as types: a number that carries its unit.
 * Literals and arithmetic need no cast; passing one unit where another is expected does not compile.
 * Invariant: every value is an integer below 2^53, except where a name ends in `Ratio`.
 */
declare const unit: unique symbol;

/** A number flavoured with a unit. The brand exists at compile time only. */
export type Unit<U extends string> = number & { readonly [unit]?: U };

/** Simulated time in nanoseconds since the start of the run. */
export type Ns = Unit<'ns'>;
/** Clock cycles of one CPU. */
export type Cycles = Unit<'cycles'>;
/** Cycles (or events) per second. */
export type Hz = Unit<'hz'>;
/** Size in bytes. */
export type Bytes = Unit<'bytes'>;

/** Linear address: after segmentation, before paging. Kept as int32 inside the machine. */
export type Lin = Unit<'lin'>;
/** Guest-physical address. Kept as int32 inside the machine. */
export type Gpa = Unit<'gpa'>;
/** Guest frame number: guest-physical address / 4096. */
export type Gfn = Unit<'gfn'>;
/** Machine frame number: index of a 4 KiB frame of the host's memory. */
export type Mfn = Unit<'mfn'>;

export const NS_PER_US: Ns = 1_000;
export const NS_PER_MS: Ns = 1_000_000;
export const NS_PER_SECOND: Ns = 1_000_000_000;

export const PAGE_SHIFT = 12;
export const PAGE_BYTES: Bytes = 4096;

/** Integer quotient rounded up. Both arguments are non-negative integers. */
export function divCeil(dividend: number, divisor: number): number {
  return Math.ceil(dividend / divisor);
}

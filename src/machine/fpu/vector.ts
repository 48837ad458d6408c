/**
 * State of the vector unit: eight XMM registers and MXCSR; and the scratch operands that its instructions work on.
 * Invariants: registers are words, lowest first, because a JavaScript number does not keep the payload of a NaN;
 * everything but the scratch operands is plain data, see saveTo().
 * Source: SDM vol 1, 10.2.
 */
import { VectorCalc } from './vector-calc.ts';

/** Flags of MXCSR (bits 0-5) are those of the x87 status word; masks lie seven bits higher. */
export const MXCSR_FLAGS = 0x3f;
export const MXCSR_DAZ = 0x40;
export const MXCSR_MASKS_SHIFT = 7;
export const MXCSR_ROUNDING_SHIFT = 13;
export const MXCSR_FTZ = 0x8000;
/** Bits that may be set; the others are a #GP (SDM vol 1, 10.2.3). */
export const MXCSR_WRITABLE = 0xffff;
const MXCSR_RESET = 0x1f80;

/** Words that saveTo() writes. */
export const VECTOR_STATE_WORDS = 33;

/** Sixteen bytes, seen in every width. */
export class Lanes {
  readonly i32 = new Int32Array(4);
  readonly u32 = new Uint32Array(this.i32.buffer);
  readonly i16 = new Int16Array(this.i32.buffer);
  readonly u16 = new Uint16Array(this.i32.buffer);
  readonly i8 = new Int8Array(this.i32.buffer);
  readonly u8 = new Uint8Array(this.i32.buffer);
  readonly f32 = new Float32Array(this.i32.buffer);
  readonly f64 = new Float64Array(this.i32.buffer);
}

export class VectorUnit {
  /** Register n is the words 4n to 4n + 3. */
  readonly xmm = new Int32Array(32);
  mxcsr = MXCSR_RESET;
  readonly calc = new VectorCalc();
  // Operands and result of the instruction at hand.
  readonly a = new Lanes();
  readonly b = new Lanes();
  readonly r = new Lanes();

  /** Copies register n into lanes. */
  load(n: number, lanes: Lanes): void {
    const { xmm } = this;
    const { i32 } = lanes;
    const at = 4 * n;
    i32[0] = xmm[at]!;
    i32[1] = xmm[at + 1]!;
    i32[2] = xmm[at + 2]!;
    i32[3] = xmm[at + 3]!;
  }

  /** Copies the first `words` words of lanes into register n. */
  store(n: number, lanes: Lanes, words: number): void {
    for (let w = 0; w < words; w++) this.xmm[4 * n + w] = lanes.i32[w]!;
  }

  saveTo(words: Int32Array, at: number): void {
    words.set(this.xmm, at);
    words[at + 32] = this.mxcsr;
  }

  restoreFrom(words: Int32Array, at: number): void {
    this.xmm.set(words.subarray(at, at + 32));
    this.mxcsr = words[at + 32]!;
  }
}

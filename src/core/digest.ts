/**
 * A running 64-bit digest of integers and strings: two XXH32 hashes of the same words, with different seeds.
 * Equal digests stand for equal histories; this is a fingerprint to compare runs with, not cryptography.
 * Source: xxHash fast digest algorithm, format specification v0.1.1 (XXH32). Test vectors in test/core/digest.test.ts.
 */
import { assert } from './errors.ts';

const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

const rotl = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));
const round = (lane: number, word: number): number =>
  Math.imul(rotl((lane + Math.imul(word, PRIME_2)) | 0, 13), PRIME_1);

/** XXH32 over a stream of 32-bit little-endian words; only the last piece may have a length that is no multiple of 4. */
class Xxh32 {
  private readonly seed: number;
  // Four lanes; word k of the input goes to lane k mod 4.
  private a: number;
  private b: number;
  private c: number;
  private d: number;
  // Words of the unfinished stripe of four.
  private w0 = 0;
  private w1 = 0;
  private w2 = 0;
  private words = 0;

  constructor(seed: number) {
    this.seed = seed | 0;
    this.a = (seed + PRIME_1 + PRIME_2) | 0;
    this.b = (seed + PRIME_2) | 0;
    this.c = seed | 0;
    this.d = (seed - PRIME_1) | 0;
  }

  word(word: number): void {
    switch (this.words++ & 3) {
      case 0:
        this.w0 = word;
        return;
      case 1:
        this.w1 = word;
        return;
      case 2:
        this.w2 = word;
        return;
      default:
        this.a = round(this.a, this.w0);
        this.b = round(this.b, this.w1);
        this.c = round(this.c, this.w2);
        this.d = round(this.d, word);
    }
  }

  /** The hash of everything so far followed by up to three bytes. Does not change the state. */
  finish(tail: Uint8Array): number {
    const lanes = (rotl(this.a, 1) + rotl(this.b, 7) + rotl(this.c, 12) + rotl(this.d, 18)) | 0;
    let hash = this.words >= 4 ? lanes : (this.seed + PRIME_5) | 0;
    hash = (hash + this.words * 4 + tail.length) | 0;
    const rest = this.words & 3;
    for (let i = 0; i < rest; i++) {
      const word = i === 0 ? this.w0 : i === 1 ? this.w1 : this.w2;
      hash = Math.imul(rotl((hash + Math.imul(word, PRIME_3)) | 0, 17), PRIME_4);
    }
    for (const byte of tail) hash = Math.imul(rotl((hash + Math.imul(byte, PRIME_5)) | 0, 11), PRIME_1);
    hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
    hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }
}

const NO_BYTES = new Uint8Array(0);
const encoder = new TextEncoder();

/** XXH32 of some bytes. */
export function xxh32(bytes: Uint8Array, seed: number): number {
  const hash = new Xxh32(seed);
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    hash.word(bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24));
  }
  return hash.finish(bytes.subarray(whole));
}

/** Accumulates integers and strings; the order matters, and so does the border between two strings. */
export class Digest {
  private readonly left = new Xxh32(0);
  private readonly right = new Xxh32(PRIME_1);

  /** Any integer of at most 53 bits and sign. */
  integer(value: number): void {
    assert(
      Math.floor(value) === value && Math.abs(value) <= Number.MAX_SAFE_INTEGER,
      'a digest takes integers below 2^53',
    );
    const high = Math.floor(value / 2 ** 32);
    this.left.word(value | 0);
    this.left.word(high);
    this.right.word(value | 0);
    this.right.word(high);
  }

  /** A string enters by its own hash, of fixed size. */
  text(value: string): void {
    this.integer(hashText(value));
  }

  /** 16 hexadecimal digits for everything so far. */
  hex(): string {
    const digits = (n: number): string => n.toString(16).padStart(8, '0');
    return digits(this.left.finish(NO_BYTES)) + digits(this.right.finish(NO_BYTES));
  }
}

/** 32-bit hash of the UTF-8 bytes of a string. */
export function hashText(value: string): number {
  return xxh32(encoder.encode(value), 0);
}

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

/** XXH32 over a stream of 32-bit little-endian words, which come in whole stripes of four and a rest at the end. */
class Xxh32 {
  private readonly seed: number;
  // Four lanes; word k of the input goes to lane k mod 4.
  private a: number;
  private b: number;
  private c: number;
  private d: number;
  private words = 0;

  constructor(seed: number) {
    this.seed = seed | 0;
    this.a = (seed + PRIME_1 + PRIME_2) | 0;
    this.b = (seed + PRIME_2) | 0;
    this.c = seed | 0;
    this.d = (seed - PRIME_1) | 0;
  }

  /**
   * Takes words into two hashes at once: the eight lanes do not depend on each other, so that a processor works on them
   * at the same time.
   * @param count a multiple of 4
   */
  static stripes(one: Xxh32, two: Xxh32, words: Int32Array, count: number): void {
    let { a, b, c, d } = one;
    let { a: e, b: f, c: g, d: h } = two;
    for (let i = 0; i < count; i += 4) {
      const [w, x, y, z] = [words[i], words[i + 1], words[i + 2], words[i + 3]];
      a = round(a, w);
      e = round(e, w);
      b = round(b, x);
      f = round(f, x);
      c = round(c, y);
      g = round(g, y);
      d = round(d, z);
      h = round(h, z);
    }
    one.set(a, b, c, d, count);
    two.set(e, f, g, h, count);
  }

  private set(a: number, b: number, c: number, d: number, count: number): void {
    this.a = a;
    this.b = b;
    this.c = c;
    this.d = d;
    this.words += count;
  }

  /** The hash of everything so far, of up to three words more, and of up to three bytes. Does not change the state. */
  finish(words: Int32Array, from: number, rest: number, tail: Uint8Array): number {
    const lanes = (rotl(this.a, 1) + rotl(this.b, 7) + rotl(this.c, 12) + rotl(this.d, 18)) | 0;
    let hash = this.words >= 4 ? lanes : (this.seed + PRIME_5) | 0;
    hash = (hash + (this.words + rest) * 4 + tail.length) | 0;
    for (let i = from; i < from + rest; i++) {
      hash = Math.imul(rotl((hash + Math.imul(words[i], PRIME_3)) | 0, 17), PRIME_4);
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
  const count = bytes.length >> 2;
  const words = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const at = 4 * i;
    words[i] = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
  }
  const whole = count & ~3;
  // There is one hash only: the other is thrown away.
  Xxh32.stripes(hash, new Xxh32(seed), words, whole);
  return hash.finish(words, whole, count - whole, bytes.subarray(4 * count));
}

/** Words that are collected before they are hashed: a multiple of 4. */
const BUFFER_WORDS = 1024;

/** Accumulates integers and strings; the order matters, and so does the border between two strings. */
export class Digest {
  private readonly left = new Xxh32(0);
  private readonly right = new Xxh32(PRIME_1);
  /** What has come since the last whole buffer. */
  private readonly buffer = new Int32Array(BUFFER_WORDS);
  private filled = 0;

  /** Any integer of at most 53 bits and sign. */
  integer(value: number): void {
    if (this.filled === BUFFER_WORDS) this.flush();
    const low = value | 0;
    this.buffer[this.filled++] = low;
    if (low === value) {
      this.buffer[this.filled++] = low >> 31;
      return;
    }
    assert(
      Math.floor(value) === value && Math.abs(value) <= Number.MAX_SAFE_INTEGER,
      'a digest takes integers below 2^53',
    );
    this.buffer[this.filled++] = Math.floor(value / 2 ** 32);
  }

  /** The same as `integer` of a time, of a hash, and of three integers of 32 bits with sign, in one step. */
  event(at: number, hash: number, b: number, c: number, d: number): void {
    assert(Math.floor(at) === at && at <= Number.MAX_SAFE_INTEGER, 'a digest takes integers below 2^53');
    if (this.filled > BUFFER_WORDS - 10) this.flush();
    const { buffer, filled } = this;
    buffer[filled] = at | 0;
    buffer[filled + 1] = Math.floor(at / 2 ** 32);
    buffer[filled + 2] = hash | 0;
    buffer[filled + 3] = 0;
    buffer[filled + 4] = b;
    buffer[filled + 5] = b >> 31;
    buffer[filled + 6] = c;
    buffer[filled + 7] = c >> 31;
    buffer[filled + 8] = d;
    buffer[filled + 9] = d >> 31;
    this.filled = filled + 10;
  }

  private flush(): void {
    const whole = this.filled & ~3;
    Xxh32.stripes(this.left, this.right, this.buffer, whole);
    this.buffer.copyWithin(0, whole, this.filled);
    this.filled -= whole;
  }

  /** A string enters by its own hash, of fixed size. */
  text(value: string): void {
    this.integer(hashText(value));
  }

  /** 16 hexadecimal digits for everything so far. */
  hex(): string {
    const digits = (n: number): string => n.toString(16).padStart(8, '0');
    this.flush();
    const { left, right, buffer, filled } = this;
    return digits(left.finish(buffer, 0, filled, NO_BYTES)) + digits(right.finish(buffer, 0, filled, NO_BYTES));
  }
}

/** 32-bit hash of the UTF-8 bytes of a string. */
export function hashText(value: string): number {
  return xxh32(encoder.encode(value), 0);
}

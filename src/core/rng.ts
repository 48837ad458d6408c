/**
 * Named random streams. A stream depends on the seed of the run and on its own name, never on how many other streams
 * exist or when they were made, so adding a VM does not change the draws of the others.
 * Every draw uses integer arithmetic or correctly rounded + - * / only, hence the same bits on every JavaScript engine.
 * Generator: Alea (J. Baagoe, 2010) as packaged by seedrandom: 32 bits a draw, period about 2^116.
 */
import type seedrandom from 'seedrandom';
// @ts-expect-error: the types of the package do not name its parts; the whole has six more generators and loads crypto
import aleaUntyped from 'seedrandom/lib/alea.js';
import { assert } from './errors.ts';

const alea = aleaUntyped as typeof seedrandom.alea;
const TWO_32 = 2 ** 32;

export class RandomStream {
  readonly name: string;
  private readonly next: () => number;

  /** Use `Streams.stream`: it makes sure that no two consumers share a stream. */
  constructor(seed: string, name: string) {
    this.name = name;
    const generator = alea(`${seed}\u0000${name}`);
    this.next = () => generator.int32();
  }

  /** Uniform over 0 .. 2^32 - 1. */
  uint32(): number {
    return this.next() >>> 0;
  }

  /** Uniform over 0 .. n - 1, without bias: draws past the last whole multiple of n are rejected. */
  below(n: number): number {
    assert(Number.isInteger(n) && n >= 1 && n <= TWO_32, 'below(n) needs an integer n from 1 to 2^32');
    const limit = TWO_32 - (TWO_32 % n);
    for (;;) {
      const draw = this.uint32();
      if (draw < limit) return draw % n;
    }
  }

  /** Uniform over the multiples of 2^-53 in [0, 1). */
  float01(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 2 ** 26 + low) * 2 ** -53;
  }

  /** True with probability numerator / denominator, exactly. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }

  /**
   * Standard exponential, mean 1, by von Neumann's comparison method (1951), which needs no logarithm:
   * a run of descending uniforms u1 > u2 > ... is of odd length with probability e^-u1; then the answer is
   * the number of failed runs before it plus u1.
   */
  exponential01(): number {
    for (let whole = 0; ; whole++) {
      const first = this.float01();
      let last = first;
      let length = 1;
      for (let draw = this.float01(); draw < last; draw = this.float01()) {
        last = draw;
        length++;
      }
      if (length % 2 === 1) return whole + first;
    }
  }

  /** Exponential with integer mean, rounded to the nearest integer. */
  exponential(mean: number): number {
    return Math.round(mean * this.exponential01());
  }

  /** Number of failures before the first success of probability numerator / denominator: counted, not computed. */
  geometric(numerator: number, denominator: number): number {
    assert(numerator > 0, 'a geometric draw needs a positive chance of success');
    let failures = 0;
    while (!this.chance(numerator, denominator)) failures++;
    return failures;
  }
}

/** All streams of one run. */
export class Streams {
  readonly seed: string;
  private readonly names = new Set<string>();

  constructor(seed: number | string) {
    this.seed = String(seed);
  }

  /** The stream of that name. A name may be taken once only: two consumers of one stream would disturb each other. */
  stream(name: string): RandomStream {
    assert(!this.names.has(name), `random stream '${name}' is taken already`);
    this.names.add(name);
    return new RandomStream(this.seed, name);
  }
}

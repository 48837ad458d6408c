/** The published test vectors of XXH32, and what the run digest must tell apart. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Digest, xxh32 } from '../../src/core/digest.ts';
import { Trace } from '../../src/core/trace.ts';

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

/** The buffer of the reference test program (xxHash, `XSUM_fillTestBuffer`): bytes of a running 64-bit product. */
function sanityBuffer(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let generator = 2654435761n;
  for (let i = 0; i < length; i++) {
    bytes[i] = Number(generator >> 56n);
    generator = BigInt.asUintN(64, generator * 11400714785074694797n);
  }
  return bytes;
}

test('XXH32 of well-known strings', () => {
  expect(xxh32(text(''), 0)).toBe(0x02cc5d05);
  expect(xxh32(text('a'), 0)).toBe(0x550d7456);
  expect(xxh32(text('abc'), 0)).toBe(0x32d153ff);
  expect(xxh32(text('Nobody inspects the spammish repetition'), 0)).toBe(0xe2293b2f);
});

test('XXH32 of the reference sanity buffer, with and without seed', () => {
  const seed = 0x9e3779b1;
  const vectors: [number, number, number][] = [
    [0, 0, 0x02cc5d05],
    [0, seed, 0x36b78ae7],
    [1, 0, 0xcf65b03e],
    [1, seed, 0xb4545aa4],
    [14, 0, 0x1208e7e2],
    [14, seed, 0x6af1d1fe],
    [222, 0, 0x5bd11dbd],
    [222, seed, 0x58803c5f],
  ];
  for (const [length, s, expected] of vectors) expect(xxh32(sanityBuffer(length), s)).toBe(expected);
});

test('a digest tells order, sign, high bits and borders apart', () => {
  const of = (...parts: (number | string)[]): string => {
    const digest = new Digest();
    for (const part of parts) {
      if (typeof part === 'number') digest.integer(part);
      else digest.text(part);
    }
    return digest.hex();
  };
  const all = [of(), of(1), of(-1), of(2 ** 32 + 1), of(1, 2), of(2, 1), of('ab'), of('a', 'b'), of('b', 'a')];
  expect(new Set(all).size).toBe(all.length);
  expect(of(1, 2)).toBe(of(1, 2));
  expect(of(1)).toMatch(/^[0-9a-f]{16}$/);
  expect(() => of(0.5)).toThrow(/integers/);
});

test('keeping and listening do not change the digest', () => {
  const run = (trace: Trace): Trace => {
    for (let i = 0; i < 10; i++) trace.emit(i * 10, i % 2 === 0 ? 'wake' : 'block', 0, i, i * i, i === 3 ? 'x' : '');
    return trace;
  };
  const bare = run(new Trace());
  const keeping = new Trace({ keepMax: 4 });
  const heard: string[] = [];
  keeping.listener = (event) => heard.push(event.kind + event.text);
  run(keeping);
  expect(keeping.digest.hex()).toBe(bare.digest.hex());
  expect([keeping.events.length, keeping.dropped, keeping.count, heard.length]).toEqual([4, 6, 10, 10]);
  expect(heard[3]).toBe('blockx');
  expect(bare.events).toEqual([]);
});

test('an event enters as its five integers', () => {
  const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const event = fc.tuple(fc.nat({ max: 2 ** 52 }), fc.nat({ max: 2 ** 32 - 1 }), int32, int32, int32);
  fc.assert(
    fc.property(fc.array(event, { maxLength: 300 }), fc.array(fc.nat(), { maxLength: 3 }), (events, before) => {
      const one = new Digest();
      const other = new Digest();
      for (const value of before) for (const digest of [one, other]) digest.integer(value);
      for (const values of events) {
        one.event(...values);
        for (const value of values) other.integer(value);
      }
      expect(one.hex()).toBe(other.hex());
    }),
  );
});

/**
 * The writer of WebAssembly: encodings of numbers against the examples and bounds of the specification (5.2.2), and
 * modules that V8 accepts and that compute what they say.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Body, Bytes, buildModule, I32, I64, Instance, Module, OP } from '../../../src/machine/compiler/wasm.ts';

const written = (write: (b: Bytes) => void): number[] => {
  const bytes = new Bytes();
  write(bytes);
  return [...bytes.view()];
};

/** The number that LEB128 bytes stand for, as the specification defines it. */
function decode(bytes: readonly number[], signed: boolean): bigint {
  let value = 0n;
  bytes.forEach((byte, n) => {
    value |= BigInt(byte & 0x7f) << BigInt(7 * n);
    expect((byte & 0x80) !== 0).toBe(n < bytes.length - 1);
  });
  return signed && (bytes.at(-1)! & 0x40) !== 0 ? value - (1n << BigInt(7 * bytes.length)) : value;
}

describe('LEB128', () => {
  it.each([
    [0, [0]],
    [127, [0x7f]],
    [128, [0x80, 1]],
    [624485, [0xe5, 0x8e, 0x26]],
    [0xffffffff, [0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])('unsigned %i', (value, bytes) => {
    expect(written((b) => b.unsigned(value))).toEqual(bytes);
  });

  it.each([
    [0, [0]],
    [63, [0x3f]],
    [64, [0xc0, 0]],
    [-1, [0x7f]],
    [-64, [0x40]],
    [-65, [0xbf, 0x7f]],
    [-123456, [0xc0, 0xbb, 0x78]],
    [0x7fffffff, [0xff, 0xff, 0xff, 0xff, 0x07]],
    [-0x80000000, [0x80, 0x80, 0x80, 0x80, 0x78]],
  ])('signed %i', (value, bytes) => {
    expect(written((b) => b.signed(value))).toEqual(bytes);
  });

  it('can be read again', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (value) => {
        expect(
          decode(
            written((b) => b.signed(value)),
            true,
          ),
        ).toBe(BigInt(value));
        expect(
          decode(
            written((b) => b.unsigned(value)),
            false,
          ),
        ).toBe(BigInt(value >>> 0));
      }),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
        expect(
          decode(
            written((b) => b.signed64(value)),
            true,
          ),
        ).toBe(value);
      }),
    );
  });
});

/** Runs a body without parameters. */
function run(body: Body, result: number): unknown {
  const bytes = buildModule(
    [{ parameters: [], results: [result] }],
    [],
    [{ name: 'f', type: 0, locals: [[200, I32]], body }],
  );
  return (new Instance(new Module(bytes), {}).exports['f'] as () => unknown)();
}

describe('modules', () => {
  it('return constants', () => {
    for (const value of [0, 63, 64, -64, -65, 8191, 8192, 0x7fffffff, -0x80000000, -1]) {
      const body = new Body();
      body.i32(value);
      expect(run(body, I32)).toBe(value);
    }
    for (const value of [0n, 1n << 32n, -(1n << 32n), (1n << 63n) - 1n, -(1n << 63n), 0x7fffffffffn]) {
      const body = new Body();
      body.i64(value);
      expect(run(body, I64)).toBe(value);
    }
  });

  it('have locals, labels and bodies beyond what one byte can name', () => {
    const body = new Body();
    for (let n = 0; n < 150; n++) body.block();
    body.i32(77);
    body.set(180);
    body.br(140);
    for (let n = 0; n < 150; n++) {
      body.end();
      // Skipped for the 141 blocks that the branch leaves.
      body.get(180);
      body.with(1, OP.i32add);
      body.set(180);
    }
    body.get(180);
    // The first addition that runs is the one behind block 140, counted from within.
    expect(run(body, I32)).toBe(77 + 150 - 140);
    expect(body.length).toBeGreaterThan(1024);
  });

  it('choose by table', () => {
    const body = new Body();
    for (let n = 0; n < 4; n++) body.block();
    body.i32(2);
    body.brTable([0, 1, 2], 3);
    for (const value of [10, 20, 30]) {
      body.end();
      body.i32(value);
      body.op(OP.return);
    }
    body.end();
    body.i32(40);
    expect(run(body, I32)).toBe(30);
  });
});

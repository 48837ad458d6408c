/** Functions by name: those of our guests, and what files say that have none. */
import { describe, expect, it } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { findFunction, readFunctions } from '../../src/guest/symbols.ts';
import { guest } from '../vmm/run-vm.ts';

describe('functions of a guest', () => {
  const { bytes } = guest('isprime');

  it('come with address and size, as nm -S tells them', () => {
    expect(findFunction('isprime', bytes, 'isPrime')).toEqual({ name: 'isPrime', address: 0x10003d, bytes: 0x2c });
  });

  it('end at the next symbol where assembly says no size', () => {
    const start = findFunction('isprime', bytes, 'start');
    expect(start.address + start.bytes).toBe(0x10003d);
  });

  it('are named when another is asked for', () => {
    expect(() => findFunction('x.elf', bytes, 'isprime')).toThrow(
      /--function: no "isprime" in x.elf, allowed: start, /,
    );
  });
});

describe('files without functions', () => {
  it('say so', () => {
    expect(() => readFunctions('x', new Uint8Array(10))).toThrow(
      new UserError('x: not an ELF file, so it names no functions'),
    );
  });

  it('never make the reader go outside, whatever is cut off or changed', () => {
    const { bytes } = guest('isprime');
    for (let length = 52; length < bytes.length; length += 97) {
      expect(() => readFunctions('x', bytes.slice(0, length))).toThrow(UserError);
    }
    for (let at = 0; at < bytes.length; at += 3) {
      const changed = bytes.slice();
      changed[at] = 0xff;
      try {
        readFunctions('x', changed);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
      }
    }
  });
});

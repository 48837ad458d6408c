/** hvsim translate, as its users see it: guest code beside its translation, with what leads where. */
import { describe, expect, test } from 'vitest';
import { hvsim } from './hvsim.ts';

describe('hvsim translate', () => {
  test('shows isPrime as the paper does', async () => {
    const { code, stdout } = await hvsim('translate', 'isprime', '--function', 'isPrime');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^isPrime at 0010003d, 44 bytes; the guest ended as completed\n/);
    expect(stdout).toContain('00100061 to 00100065: never executed, never translated');
    expect(stdout).toContain('4 units; continuations: 2 remain, 2 elided, 1 became chaining jumps;');
    // The translation of an IDENT instruction is the instruction.
    expect(stdout).toMatch(/00100054 {2}idiv ebx +ffc4[0-9a-f]{4} {2}f7 fb +idiv ebx\n/);
  });

  test('says which functions there are', async () => {
    const { code, stderr } = await hvsim('translate', 'isprime', '--function', 'isprime');
    expect([code, stderr.split('\n')[0]]).toEqual([
      2,
      expect.stringMatching(/^--function: no "isprime" in .*isprime\.elf, allowed: start, isPrime, kernel_main/),
    ]);
  });

  test('answers 1 for a function that was never called', async () => {
    const { code, stdout } = await hvsim('translate', 'nano', '--function', 'stub_1');
    expect(code).toBe(1);
    expect(stdout).toContain('never executed, never translated');
  });
});

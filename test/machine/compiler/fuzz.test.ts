/**
 * Random programs by the interpreter and by compiled code: the same after every slice. Seeds are fixed;
 * `npm run fuzz` goes on from here, and finds the smallest program for a difference.
 */
import { expect, it } from 'vitest';
import { describe as describeProgram, programOf, runTwins } from '../../fuzz/twin.ts';

const SEEDS = 40;

it('both engines do the same with random programs', () => {
  let [instructions, compiled] = [0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const program = programOf(seed);
    const result = runTwins(program, seed);
    expect(result.difference === null ? '' : describeProgram(program, seed)).toBe('');
    instructions += result.instructions;
    compiled += result.compiled;
  }
  // The programs must be such that much of them is compiled.
  expect(instructions).toBeGreaterThan(300_000);
  expect(compiled).toBeGreaterThan(instructions / 3);
});

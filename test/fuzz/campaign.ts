/**
 * Random programs by the interpreter and by compiled code, for as long as one likes. Not part of the test command,
 * which runs a few of them (test/machine/compiler/fuzz.test.ts).
 *
 *   npm run fuzz -- [--seed n] [--cases n | --minutes n] [--no-reduce]
 *
 * Exit code 1 if the engines differ; then the smallest program found that shows it is printed.
 */
import { parseArgs } from 'node:util';
import { describe, programOf, reduce, runTwins } from './twin.ts';

const SHOWN_MAX = 5;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    cases: { type: 'string' },
    minutes: { type: 'string', default: '1' },
    'no-reduce': { type: 'boolean', default: false },
  },
});

const first = Number(values.seed);
const casesMax = values.cases === undefined ? Number.POSITIVE_INFINITY : Number(values.cases);
const deadline = values.cases === undefined ? Date.now() + Number(values.minutes) * 60_000 : Number.POSITIVE_INFINITY;
let [cases, slices, instructions, compiled, bad] = [0, 0, 0, 0, 0];
for (let seed = first; cases < casesMax && Date.now() < deadline && bad < SHOWN_MAX; seed++) {
  const program = programOf(seed);
  const result = runTwins(program, seed);
  cases++;
  slices += result.slices;
  instructions += result.instructions;
  compiled += result.compiled;
  if (result.difference === null) continue;
  bad++;
  say(describe(values['no-reduce'] ? program : reduce(program, seed), seed));
}
const share = Math.round((100 * compiled) / Math.max(1, instructions));
say(
  `seeds ${first} to ${first + cases - 1}: ${cases} programs, ${slices} slices, ${instructions} instructions compared, ` +
    `${compiled} (${share} %) of them executed by compiled code, ${bad} differences`,
);
process.exitCode = bad === 0 ? 0 : 1;

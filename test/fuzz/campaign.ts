/**
 * Random programs by the interpreter and by compiled code, for as long as one likes. Not part of the test command,
 * which runs a few of them (test/machine/compiler/fuzz.test.ts).
 *
 *   npm run fuzz -- [--seed n] [--cases n | --minutes n] [--no-reduce]
 *   npm run fuzz -- --hostile [--technique name] [--instructions n] [--seed n]
 *
 * Exit code 1 if the engines differ; then the smallest program found that shows it is printed.
 * With --hostile: random kernel code against the VMM of every technique (hostile.ts), for at least that many guest
 * instructions each, 10 million unless told; exit code 1 if anything was reached that is not the guest's own.
 */
import { parseArgs } from 'node:util';
import { runHostile, WAYS, type Way, wayName } from './hostile.ts';
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
    hostile: { type: 'boolean', default: false },
    technique: { type: 'string' },
    instructions: { type: 'string', default: '10000000' },
  },
});

/** The interpreter and compiled code. Returns how often they differed. */
function compareEngines(): number {
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
  return bad;
}

/** Random kernel code under one technique. Returns how many cases broke out. */
function attack(way: Way, instructionsMin: number): number {
  let [seed, instructions, programs, bad] = [Number(values.seed), 0, 0, 0];
  const outcomes = new Map<string, number>();
  const overhead = runHostile(way, seed, true);
  for (; instructions < instructionsMin && bad < SHOWN_MAX; seed++) {
    const result = runHostile(way, seed);
    instructions += result.instructions;
    programs += result.programs;
    outcomes.set(result.outcome, (outcomes.get(result.outcome) ?? 0) + 1);
    if (result.outcome === 'unimplemented') say(`${wayName(way)}, seed ${seed}: ${result.detail}`);
    if (result.violations.length === 0) continue;
    bad++;
    say(`${wayName(way)}, seed ${seed}:\n  ${result.violations.slice(0, 20).join('\n  ')}`);
  }
  const around = Math.round((overhead.instructions / Math.max(1, overhead.programs)) * programs);
  const share = Math.max(0, Math.round((100 * (instructions - around)) / instructions));
  const ends = [...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(', ');
  say(
    `${wayName(way)}: ${instructions} guest instructions (${share} % in random code), ` +
      `${programs} programs, cases: ${ends}; ${bad === 0 ? 'nothing reached' : `${bad} cases reached`} what is not the guest's own`,
  );
  return bad;
}

function attackAll(): number {
  const chosen = WAYS.filter(({ technique }) => values.technique === undefined || technique === values.technique);
  if (chosen.length === 0) {
    const names = [...new Set(WAYS.map(({ technique }) => technique))].join(', ');
    say(`--technique: found "${values.technique}", expected one of ${names}`);
    return 1;
  }
  return chosen.reduce((bad, way) => bad + attack(way, Number(values.instructions)), 0);
}

process.exitCode = (values.hostile ? attackAll() : compareEngines()) === 0 ? 0 : 1;

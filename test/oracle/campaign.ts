/**
 * Runs the oracle on the present CPU. Not part of the test command: it needs x86 Linux and gcc -m32.
 *
 *   node --import tsx test/oracle/campaign.ts            compares this CPU with the stored vectors, then fuzzes
 *   node --import tsx test/oracle/campaign.ts --write    stores this CPU's outcomes instead
 *   options: --seed n (of the fuzzing, default 2), --times n (how many times the stored number of cases, default 1),
 *            --groups a,b (of subjects.ts; default all), --compiled (the emulated CPU executes compiled code; then the
 *            stored vectors are executed too, and no other CPU is needed)
 *
 * Exit code 1 if the emulated CPU disagrees with this one. A stored vector that this CPU does not reproduce is a remark,
 * not an error: CPUs differ in what the manual leaves open.
 */
import { parseArgs } from 'node:util';
import { UserCpu } from '../machine/helpers/user-cpu.ts';
import { describeCase, differences } from './compare.ts';
import type { Case, Outcome } from './layout.ts';
import { type NativeCpu, nativeCpu } from './native.ts';
import { SEED, SUBJECTS, type Subject } from './subjects.ts';
import { decodeOutcomes, readVectors, writeVectors } from './vectors.ts';

const SHOWN_MAX = 20;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

const { values } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    seed: { type: 'string', default: '2' },
    times: { type: 'string', default: '1' },
    groups: { type: 'string', default: Object.keys(SUBJECTS).join(',') },
    compiled: { type: 'boolean', default: false },
  },
});
const groups = values.groups.split(',');

/**
 * Outcomes that this CPU gives twice: a change of process in the middle of a case loses the x87 unit's pointers to its
 * last instruction on some CPUs.
 */
function steady(native: NativeCpu, cases: readonly Case[]): Outcome[] {
  const outcomes = native.run(cases);
  const again = native.run(cases);
  cases.forEach((c, n) => {
    let candidate = again[n]!;
    while (differences(outcomes[n]!, candidate, 0).length > 0) {
      outcomes[n] = candidate;
      [candidate] = native.run([c]) as [Outcome];
    }
  });
  return outcomes;
}

/** Stores what this CPU does as the expected outcomes. */
function writeAll(native: NativeCpu): void {
  let [cases, bytes] = [0, 0];
  for (const group of groups) {
    const rows = SUBJECTS[group]!.map((subject) => {
      const inputs = subject.cases(SEED, 1);
      return { key: subject.key, cases: inputs, outcomes: steady(native, inputs) };
    });
    bytes += writeVectors(group, native.name, SEED, rows);
    cases += rows.reduce((sum, row) => sum + row.cases.length, 0);
  }
  say(`${cases} outcomes in ${bytes} bytes, from ${native.name}`);
}

/** Says where this CPU and the stored outcomes part. */
function checkStored(native: NativeCpu): void {
  for (const group of groups) {
    const stored = readVectors(group);
    for (const subject of SUBJECTS[group]!) {
      const row = stored?.rows.get(subject.key);
      if (row === undefined) {
        say(`no vectors: ${subject.key}`);
        continue;
      }
      const cases = subject.cases(stored!.head.seed, 1);
      const expected = decodeOutcomes(cases, row.data);
      const count = countDifferent(subject, cases, expected, steady(native, cases));
      if (count > 0) say(`${subject.key}: this CPU differs from ${stored!.head.cpu} in ${count} cases`);
    }
  }
}

function countDifferent(
  subject: Subject,
  cases: readonly Case[],
  a: readonly Outcome[],
  b: readonly Outcome[],
): number {
  return cases.filter((c, n) => differences(a[n]!, b[n]!, subject.undefinedFlags(c)).length > 0).length;
}

/** Compares the emulated CPU with known outcomes and adds up. */
class Judge {
  private readonly emulated = new UserCpu({ intercepts: values.compiled, compiler: values.compiled });
  private cases = 0;
  private instructions = 0;
  bad = 0;

  judge(subject: Subject, cases: readonly Case[], outcomes: readonly Outcome[]): void {
    const { emulated } = this;
    cases.forEach((c, n) => {
      const expected = outcomes[n]!;
      const seen = subject.tolerate(c, expected, values.compiled ? emulated.runCompiled(c) : emulated.run(c));
      this.instructions += Math.max(emulated.retired, 1);
      const lines = differences(expected, seen, subject.undefinedFlags(c));
      if (lines.length > 0 && this.bad++ < SHOWN_MAX)
        say(`${subject.key}: ${describeCase(c)}\n    ${lines.join('\n    ')}`);
    });
    this.cases += cases.length;
  }

  report(title: string): void {
    say(`${title}: ${this.cases} cases, ${this.instructions} instructions compared, ${this.bad} disagreements`);
    if (values.compiled) {
      const { compiledCases, compiledInstructions } = this.emulated;
      say(`  ${compiledCases} cases entered compiled code, which retired ${compiledInstructions} instructions itself`);
    }
  }
}

/** The stored outcomes against the emulated CPU. Returns the number of disagreements. */
function judgeStored(): number {
  const judge = new Judge();
  for (const group of groups) {
    const stored = readVectors(group)!;
    for (const subject of SUBJECTS[group]!) {
      const cases = subject.cases(stored.head.seed, 1);
      judge.judge(subject, cases, decodeOutcomes(cases, stored.rows.get(subject.key)!.data));
    }
  }
  judge.report('stored vectors');
  return judge.bad;
}

/** New random cases, this CPU against the emulated one. Returns the number of disagreements. */
function fuzz(native: NativeCpu, seed: number, times: number): number {
  const judge = new Judge();
  for (const group of groups) {
    for (const subject of SUBJECTS[group]!) {
      const inputs = subject.cases(seed, times);
      judge.judge(subject, inputs, steady(native, inputs));
    }
  }
  judge.report(`seed ${seed}`);
  return judge.bad;
}

const native = nativeCpu();
if (values.compiled && judgeStored() > 0) process.exitCode = 1;
if (typeof native === 'string') say(`skipped: ${native}`);
else if (values.write) writeAll(native);
else {
  checkStored(native);
  if (fuzz(native, Number(values.seed), Number(values.times)) > 0) process.exitCode = 1;
}

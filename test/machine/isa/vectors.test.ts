/**
 * Every row of the ISA table against what a real CPU did: registers, flags, memory, faults with error code and CR2.
 * The vectors are made by test/oracle/campaign.ts; what is compared is said in test/oracle/compare.ts.
 */
import { describe, expect, test } from 'vitest';
import { assert } from '../../../src/core/errors.ts';
import { ISA } from '../../../src/machine/isa/table.ts';
import { describeCase, differences } from '../../oracle/compare.ts';
import { exemption } from '../../oracle/exempt.ts';
import { rowKey } from '../../oracle/generate.ts';
import type { Case, Outcome } from '../../oracle/layout.ts';
import { streamsOf } from '../../oracle/streams.ts';
import { SUBJECTS, type Subject } from '../../oracle/subjects.ts';
import { decodeOutcomes, encodeOutcomes, inputDigest, readVectors } from '../../oracle/vectors.ts';
import { UserCpu } from '../helpers/user-cpu.ts';

const REGENERATE = 'run `node --import tsx test/oracle/campaign.ts --write` on an x86 machine';
const SHOWN_MAX = 3;
/** To compile one case takes as long as to interpret ten. */
const COMPILED_EVERY = 15;

/**
 * In turn: front tables filled by earlier cases, nothing cached, no front tables at all, and exceptions that leave run()
 * instead of being delivered; now and then by compiled code (the campaign has an option that compiles every case).
 */
class Runner {
  private readonly plain = new UserCpu();
  private readonly frontless = new UserCpu({ front: false });
  private readonly intercepting = new UserCpu({ intercepts: true });
  private readonly compiling = new UserCpu({ intercepts: true, compiler: true });
  private cases = 0;

  run(c: Case): Outcome {
    this.cases++;
    if (this.cases % COMPILED_EVERY === 0) return this.compiling.runCompiled(c);
    const way = this.cases % 4;
    if (way === 0) return this.frontless.run(c);
    if (way === 1) return this.intercepting.run(c);
    if (way === 2) this.plain.mmu.flushAll();
    return this.plain.run(c);
  }
}

function failuresOf(subject: Subject, cases: readonly Case[], outcomes: readonly Outcome[]): string[] {
  const runner = new Runner();
  const failures: string[] = [];
  let count = 0;
  cases.forEach((c, n) => {
    const expected = outcomes[n]!;
    const seen = subject.tolerate(c, expected, runner.run(c));
    const lines = differences(expected, seen, subject.undefinedFlags(c));
    if (lines.length === 0) return;
    if (++count <= SHOWN_MAX) failures.push(`case ${n}: ${describeCase(c)}\n    ${lines.join('\n    ')}`);
  });
  if (count > SHOWN_MAX) failures.push(`and ${count - SHOWN_MAX} more of ${cases.length}`);
  return failures;
}

describe.each(Object.entries(SUBJECTS))('%s', (group, subjects) => {
  const stored = readVectors(group);

  test('has vectors', () => expect(stored, REGENERATE).not.toBeNull());

  test.each(subjects)('$key', (subject) => {
    const row = stored?.rows.get(subject.key);
    assert(stored !== null && row !== undefined, `no vectors for ${subject.key}: ${REGENERATE}`);
    const cases = subject.cases(stored.head.seed, 1);
    expect(cases, REGENERATE).toHaveLength(row.head.cases);
    expect(inputDigest(cases), `the generator makes other cases now: ${REGENERATE}`).toBe(row.head.inputs);
    const outcomes = decodeOutcomes(cases, row.data);
    expect(failuresOf(subject, cases, outcomes).join('\n')).toBe('');
  });

  test('has no vectors of what is gone', () => {
    const known = new Set(subjects.map((subject) => subject.key));
    expect([...(stored?.rows.keys() ?? [])].filter((key) => !known.has(key))).toEqual([]);
  });
});

test('every row has vectors or a reason', () => {
  const keys = new Set(Object.values(SUBJECTS).flatMap((subjects) => subjects.map((subject) => subject.key)));
  const missing = ISA.filter((row) => exemption(row) === null && !keys.has(rowKey(row))).map(rowKey);
  expect(missing).toEqual([]);
});

test('the vectors are many and small', () => {
  const heads = Object.keys(SUBJECTS).map((group) => readVectors(group)!.head);
  const cases = heads.flatMap((head) => head.rows.map((row) => row.cases)).reduce((a, b) => a + b, 0);
  expect(cases).toBeGreaterThan(100_000);
});

test.each([1, 2, 5])('streams end the same in slices of %i cycles', (slice) => {
  const cases = streamsOf(7, 300);
  const [whole, sliced] = [new UserCpu(), new UserCpu()];
  for (const c of cases) {
    expect(differences(whole.run(c), sliced.run(c, slice), 0), describeCase(c)).toEqual([]);
    expect(sliced.retired).toBe(whole.retired);
  }
});

test('encoding and decoding of outcomes are inverse', () => {
  const subject = SUBJECTS['strings']![0]!;
  const cases = subject.cases(99, 1);
  const cpu = new UserCpu();
  const outcomes = cases.map((c) => cpu.run(c));
  expect(decodeOutcomes(cases, encodeOutcomes(cases, outcomes))).toEqual(outcomes);
});

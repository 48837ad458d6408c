/**
 * Everything that the oracle judges, in groups of one vector file each: the rows of the ISA table, and what has no row.
 */
import { FLAG_AF, FLAG_CF, FLAGS_ARITHMETIC } from '../../src/machine/flags.ts';
import { mmxRows } from '../../src/machine/isa/mmx.ts';
import type { Row } from '../../src/machine/isa/row.ts';
import { sseRows } from '../../src/machine/isa/sse.ts';
import { sseFloatRows } from '../../src/machine/isa/sse-float.ts';
import { x87Rows } from '../../src/machine/isa/x87.ts';
import { alignmentCases, rowOfCase } from './alignment.ts';
import { tolerate, undefinedFlags } from './compare.ts';
import { exemption } from './exempt.ts';
import { casesOf, ROW_GROUPS, rowKey } from './generate.ts';
import type { Case, Outcome } from './layout.ts';
import { prefixHeaps, undefinedOpcodes } from './others.ts';
import { streamsOf } from './streams.ts';
import { vectorCases } from './vector-cases.ts';
import { tolerateVector } from './vector-compare.ts';
import { x87Cases } from './x87-cases.ts';
import { tolerateX87 } from './x87-compare.ts';

/** Seed of the stored vectors. */
export const SEED = 1;
const STREAMS = 3000;

/** One thing under test with cases of its own. */
export interface Subject {
  readonly key: string;
  /** Cases of a seed; `times` multiplies their number, for campaigns. */
  cases(seed: number, times: number): Case[];
  /** EFLAGS bits that are not compared for a case. */
  undefinedFlags(c: Case): number;
  /** What was seen, brought to agree where the manual leaves the state open. */
  tolerate(c: Case, expected: Outcome, seen: Outcome): Outcome;
}

const rowSubject = (row: Row): Subject => ({
  key: rowKey(row),
  cases: (seed, times) => casesOf(row, seed, times),
  undefinedFlags: (c) => undefinedFlags(row, c),
  tolerate: (c, expected, seen) => tolerate(row, c, expected, seen),
});

const otherSubject = (key: string, cases: Subject['cases'], open = 0): Subject => ({
  key,
  cases,
  undefinedFlags: () => open,
  tolerate: (_c, _expected, seen) => seen,
});

const vectorSubject = (row: Row): Subject => ({
  key: rowKey(row),
  cases: (seed, times) => vectorCases(row, seed, times),
  undefinedFlags: () => 0,
  tolerate: (c, expected, seen) => tolerateVector(row, c, expected, seen),
});

/** By the name of their vector file. */
export const SUBJECTS: Readonly<Record<string, readonly Subject[]>> = {
  ...Object.fromEntries(
    Object.entries(ROW_GROUPS).map(([name, rows]) => [
      name,
      rows.filter((row) => exemption(row) === null).map(rowSubject),
    ]),
  ),
  alignment: [
    {
      key: 'alignment checks',
      cases: alignmentCases,
      undefinedFlags: (c) => undefinedFlags(rowOfCase(c), c),
      tolerate: (c, expected, seen) => tolerate(rowOfCase(c), c, expected, seen),
    },
  ],
  x87: x87Rows.map((row) => ({
    key: rowKey(row),
    cases: (seed, times) => x87Cases(row, seed, times),
    undefinedFlags: () => 0,
    tolerate: (c, expected, seen) => tolerateX87(row, c, expected, seen),
  })),
  mmx: mmxRows.map(vectorSubject),
  sse: sseRows.map(vectorSubject),
  'sse-float': sseFloatRows.map(vectorSubject),
  others: [
    otherSubject('undefined opcodes', undefinedOpcodes),
    otherSubject('prefixes', prefixHeaps, FLAGS_ARITHMETIC & ~FLAG_CF),
    otherSubject('streams', (seed, times) => streamsOf(seed, STREAMS * times), FLAG_AF),
  ],
};

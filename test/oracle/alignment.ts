/**
 * Cases of the other rows once more, with EFLAGS.AC set: every access of user mode that is not aligned is #AC then.
 * Invariant: a case knows the row it was made for, because that says what may differ.
 */
import { FLAG_AC } from '../../src/machine/flags.ts';
import type { Row } from '../../src/machine/isa/row.ts';
import { ISA } from '../../src/machine/isa/table.ts';
import { exemption } from './exempt.ts';
import { casesOf } from './generate.ts';
import type { Case } from './layout.ts';

const PER_ROW = 24;
/** So that these are not the very cases of the rows. */
const SEED_OFFSET = 1000;

const rows = new WeakMap<Case, Row>();

/** Rows of the floating-point and vector units need more state than a case of this kind has. */
const isFpu = (row: Row): boolean => /^(D[89A-F]|(NP|66|F2|F3) 0F)/.test(row.opcode);

/** Some cases of every row that user mode can judge. */
export function alignmentCases(seed: number, times: number): Case[] {
  return ISA.filter((row) => exemption(row) === null && !isFpu(row)).flatMap((row) =>
    casesOf(row, seed + SEED_OFFSET, 1 + (times >> 2))
      .slice(0, PER_ROW * times)
      .map((c) => {
        const checked = { ...c, eflags: c.eflags | FLAG_AC };
        rows.set(checked, row);
        return checked;
      }),
  );
}

/** Row that a case was made for. */
export const rowOfCase = (c: Case): Row => rows.get(c)!;

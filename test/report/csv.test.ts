/** CSV: written and read back without loss, whatever the cells hold. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Cell } from '../../src/lab/metrics/metric.ts';
import { csvText } from '../../src/report/csv.ts';
import { frameOf, parseCsv } from '../../src/report/frame.ts';

test('the bytes of a small table', async () => {
  const rows: Cell[][] = [
    [1, 'plain', true, null],
    [2.5, 'a, b', false, ''],
    [-3, 'say "hi"', true, 'two\nlines'],
  ];
  const table = { name: 't', columns: ['n', 'text', 'flag', 'rest'], rows };
  expect(await csvText(table)).toBe(
    'n,text,flag,rest\n1,plain,true,\n2.5,"a, b",false,\n-3,"say ""hi""",true,"two\nlines"\n',
  );
});

test('a table without rows has its header', async () => {
  expect(await csvText({ name: 't', columns: ['a', 'b'], rows: [] })).toBe('a,b\n');
});

test('what is written reads back as it was', async () => {
  const cell = fc.oneof(
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.string(),
    fc.constantFrom('"', ',', '\n', '\r\n', ' ', '""'),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.integer(), cell, cell), { maxLength: 20 }), async (rows) => {
      const table = { name: 't', columns: ['id', 'b', 'c'], rows: rows as Cell[][] };
      expect(parseCsv(await csvText(table), 't.csv')).toEqual(frameOf(table));
    }),
  );
});

test('what is not CSV is refused', () => {
  expect(() => parseCsv('', 'x.csv')).toThrow('x.csv: is empty, expected a line of column names');
  expect(() => parseCsv('a,b\n1\n', 'x.csv')).toThrow('x.csv: row 1 has 1 cells, expected 2');
  expect(() => parseCsv('a,b\n1,"2\n', 'x.csv')).toThrow('x.csv: is not CSV: row 1 has a stray quote');
});

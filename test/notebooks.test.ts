/** The cells of every notebook run, in order, with Node and nothing else, and print what they are about. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

interface Notebook {
  readonly cells: readonly { readonly cell_type: string; readonly source: readonly string[] }[];
}

const LIBRARY = pathToFileURL(resolve('dist/index.js')).href;
const notebooks = readdirSync('notebooks').filter((name) => name.endsWith('.ipynb'));

/** What the code of a notebook prints. */
function run(name: string): string {
  const { cells } = JSON.parse(readFileSync(join('notebooks', name), 'utf8')) as Notebook;
  const code = cells.filter((cell) => cell.cell_type === 'code').map((cell) => cell.source.join(''));
  const file = join(mkdtempSync(join(tmpdir(), 'hvsim-notebook-')), 'cells.mjs');
  writeFileSync(file, code.join('\n').replaceAll('../dist/index.js', LIBRARY));
  return execFileSync(process.execPath, [file], { encoding: 'utf8' });
}

test('there are notebooks', () => expect(notebooks).toContain('schedulers.ipynb'));

test('schedulers.ipynb: six schedulers, their waits, a chart', () => {
  const text = run('schedulers.ipynb');
  for (const name of ['credit', 'credit2', 'cfs', 'eevdf', 'round-robin', 'stride'])
    expect(text).toContain(`'${name}'`);
  expect(text).toMatch(/vcpus: 24 rows/);
  expect(text).toMatch(/<svg/);
});

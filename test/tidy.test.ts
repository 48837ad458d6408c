/**
 * The style and the architecture of the project as a test: header comments, layers, cycles, banned words, lengths.
 * The rules themselves are tested on made-up sources first: a rule that cannot fail is worth nothing.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  checkBans,
  checkCycles,
  checkHeaders,
  checkLayers,
  checkPlaces,
  checkSpecifiers,
  loadedWith,
  longFiles,
  type Source,
} from './tidy-rules.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

function read(folder: string, endings: RegExp): Source[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({ path: file.slice(ROOT.length).replaceAll('\\', '/'), text: readFileSync(file, 'utf8') }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

const src = read('src', /\.ts$/);
const code = [...src, ...read('test', /\.ts$/), ...read('bench', /\.ts$/)];
const texts = [...code, ...read('scenarios', /\.yaml$/), ...read('docs', /\.md$/)].filter(
  ({ path }) => !path.startsWith('test/tidy'),
);

describe('the project', () => {
  test('is found', () => expect(src.length).toBeGreaterThan(50));
  test('has a header comment in every file', () => expect(checkHeaders(code)).toEqual([]));
  test('imports lower layers only', () => expect(checkLayers(src)).toEqual([]));
  test('has no import cycles', () => expect(checkCycles(code)).toEqual([]));
  test('names files with their ending', () => expect(checkSpecifiers(code)).toEqual([]));
  test('avoids the banned words', () => expect(checkBans(src)).toEqual([]));
  test('mentions no place of one machine', () => expect(checkPlaces(texts)).toEqual([]));
  test('boots a guest without the libraries of scenarios and reports', () => {
    const allowed = ['node:fs', 'node:module', 'node:path', 'node:url', 'seedrandom/lib/alea.js', 'tinyqueue'];
    expect(loadedWith('src/commands/boot.ts', src)).toEqual(allowed);
    expect(loadedWith('src/cli.ts', src)).toEqual(['commander', 'node:fs', 'node:url']);
  });
  test('has no file that nobody can read in one go', () => expect(longFiles(src, 900)).toEqual([]));
});

describe('the rules can fail', () => {
  const file = (path: string, text: string): Source[] => [{ path, text }];

  test('header', () => {
    expect(checkHeaders(file('src/core/a.ts', 'export const a = 1;\n'))).toHaveLength(1);
    expect(checkHeaders(file('src/core/a.ts', '/** x */\n'))).toHaveLength(1);
    expect(
      checkHeaders(file('src/a.ts', '#!/usr/bin/env node\n/** Says what it is for, at some length. */\n')),
    ).toEqual([]);
  });

  test('layers', () => {
    const complaints = checkLayers(file('src/machine/a.ts', "\nimport { b } from '../host/b.ts';\n"));
    expect(complaints).toEqual([
      'src/machine/a.ts:2: imports src/host/b.ts of a higher layer; turn the dependency round',
    ]);
    expect(checkLayers(file('src/core/a.ts', "const b = await import('../lab/b.ts');"))).toHaveLength(1);
    expect(checkLayers(file('src/core/a.ts', "import type { B } from '../cli.ts';"))).toHaveLength(1);
    expect(checkLayers(file('src/host/a.ts', "import { b } from '../core/b.ts';"))).toEqual([]);
  });

  test('cycles', () => {
    const cycle = [
      { path: 'src/a.ts', text: "import { b } from './b.ts';" },
      { path: 'src/b.ts', text: "export { c } from './c.ts';" },
      { path: 'src/c.ts', text: "import {\n  a,\n} from './a.ts';" },
    ];
    expect(checkCycles(cycle)).toEqual([
      'import cycle: src/a.ts -> src/b.ts -> src/c.ts -> src/a.ts; move what both need to a third file',
    ]);
    const types = cycle.map((source) => ({ ...source, text: source.text.replace('import {', 'import type {') }));
    expect(checkCycles(types)).toEqual([]);
  });

  test('specifiers', () => {
    expect(checkSpecifiers(file('src/a.ts', "import { b } from './b';"))).toHaveLength(1);
    expect(checkSpecifiers(file('src/a.ts', "import { b } from './b.js';"))).toHaveLength(1);
    expect(checkSpecifiers(file('src/a.ts', "import { b } from 'b';"))).toEqual([]);
  });

  test.each([
    ['const x = Math.random();', 'src/report/a.ts'],
    ['const t = Date.now();', 'src/commands/a.ts'],
    ['const t = performance.now();', 'src/lab/a.ts'],
    ['const x = Math.pow(2, 3);', 'src/core/a.ts'],
    ['setTimeout(f, 1);', 'src/host/a.ts'],
    ['async function f() {}', 'src/machine/a.ts'],
    ['console.log(1);', 'src/cli.ts'],
    ['export enum A { B }', 'src/core/a.ts'],
    ['const a: any = 1;', 'src/core/a.ts'],
    ['export default 1;', 'src/core/a.ts'],
    ['list.sort();', 'src/core/a.ts'],
    ['let counter = 0;', 'src/core/a.ts'],
    ['constructor(private readonly a: number) {}', 'src/core/a.ts'],
    [['f(`$', '{Date.now()}`);'].join(''), 'src/core/a.ts'],
  ])('banned: %s', (line, path) => {
    expect(checkBans(file(path, `/** A file. */\n${line}\n`))).toHaveLength(1);
  });

  test.each([
    ['// Math.random is not used here', 'src/core/a.ts'],
    ["const text = 'export default';", 'src/core/a.ts'],
    ['const pattern = /console.log/;', 'src/core/a.ts'],
    ['const t = performance.now();', 'src/commands/a.ts'],
    ['async function f() {}', 'src/lab/a.ts'],
    ['  let inner = 0;', 'src/core/a.ts'],
    ['list.sort((a, b) => a - b);', 'src/core/a.ts'],
    ['const a = Float64Array.from(samples).sort();', 'src/core/a.ts'],
    ['const company: anyone = 1;', 'src/core/a.ts'],
    ['const x = Math.random();', 'test/core/a.ts'],
  ])('allowed: %s', (line, path) => {
    expect(checkBans(file(path, `/** A file. */\n${line}\n`))).toEqual([]);
  });

  test('places', () => {
    expect(checkPlaces(file('docs/a.md', 'see /home/me/x'))).toHaveLength(1);
    expect(checkPlaces(file('docs/a.md', 'see src/home/me and /tmp/x'))).toEqual([]);
  });

  test('what is loaded', () => {
    const sources = [
      { path: 'src/a.ts', text: "import { b } from './b.ts';\nimport type { z } from 'zod';\nawait import('yaml');" },
      { path: 'src/b.ts', text: "import './a.ts';\nimport 'node:fs';\nexport { v } from 'vega';" },
    ];
    expect(loadedWith('src/a.ts', sources)).toEqual(['node:fs', 'vega']);
  });

  test('lengths', () => {
    expect(longFiles(file('src/a.ts', 'x\n'.repeat(500)), 400)).toEqual(['src/a.ts: 501 lines']);
  });
});

/** Folders of results: whole or not at all, and comparable. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { compareFolders } from '../../src/report/compare.ts';
import { filesOf, ResultFolder } from '../../src/report/folder.ts';
import { loadResults } from '../../src/report/results.ts';
import { writeCharts, writeResults } from '../../src/report/write.ts';
import { sample } from './samples.ts';

const root = mkdtempSync(join(tmpdir(), 'hvsim-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const VERSION = { version: '9.9.9' };

describe('a folder of results', () => {
  test('holds every file, and reads back as what was written', async () => {
    const { scenario, tables, results } = sample('overhead');
    const folder = join(root, 'whole');
    await writeResults(folder, scenario, tables, new Map(), VERSION);
    expect(filesOf(folder)).toEqual([
      'charts/cycles.svg',
      'charts/cycles.vl.json',
      'charts/equivalence.svg',
      'charts/equivalence.vl.json',
      'charts/exits.svg',
      'charts/exits.vl.json',
      'charts/slowdown.svg',
      'charts/slowdown.vl.json',
      'divergences.csv',
      'exits.csv',
      'memory.csv',
      'pcpus.csv',
      'report.html',
      'runs.csv',
      'scenario.yaml',
      'vcpus.csv',
      'vms.csv',
    ]);
    expect(loadResults(folder).frames).toEqual(results.frames);
  });

  test('drawn again from its CSV files, is the same bytes', async () => {
    const { scenario, tables } = sample('consolidation');
    const [first, second] = [join(root, 'first'), join(root, 'second')];
    await writeResults(first, scenario, tables, new Map(), VERSION);
    await writeResults(second, scenario, tables, new Map(), VERSION);
    await writeCharts(second, loadResults(second), VERSION);
    expect(compareFolders(first, second)).toEqual([]);
  });

  test('of an older run loses what the new one does not have, and nothing of others', async () => {
    const { scenario, tables } = sample('equivalence');
    const folder = join(root, 'older');
    mkdirSync(join(folder, 'charts'), { recursive: true });
    for (const name of ['charts/old.svg', 'old.csv', 'notes.txt', 'charts/mine.md'])
      writeFileSync(join(folder, name), 'x');
    await writeResults(folder, scenario, tables, new Map(), VERSION);
    expect(filesOf(folder)).toContain('notes.txt');
    expect(filesOf(folder)).toContain('charts/mine.md');
    expect(filesOf(folder)).not.toContain('charts/old.svg');
    expect(filesOf(folder)).not.toContain('old.csv');
  });

  test('stays as it was when writing fails', async () => {
    const folder = join(root, 'failing');
    mkdirSync(folder);
    writeFileSync(join(folder, 'runs.csv'), 'old');
    const results = new ResultFolder(folder);
    results.add('runs.csv', 'new');
    await expect(
      results.addWith('vms.csv', () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOSPC' }))),
    ).rejects.toThrow(`${folder}: cannot write results: no space left on device`);
    results.discard();
    expect(readFileSync(join(folder, 'runs.csv'), 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['runs.csv']);
  });

  test('cannot be a file, nor lie below one', () => {
    const file = join(root, 'file');
    writeFileSync(file, 'x');
    expect(() => new ResultFolder(file)).toThrow(`${file}: is not a directory`);
    expect(() => new ResultFolder(join(file, 'below'))).toThrow('a part of the path is not a directory');
    expect(() => new ResultFolder('/proc/nowhere')).toThrow('/proc/nowhere: cannot write results: ');
    expect(existsSync(file)).toBe(true);
  });
});

describe('comparing', () => {
  test('names the rows and columns that differ', async () => {
    const { scenario, tables } = sample('equivalence');
    const [left, right] = [join(root, 'left'), join(root, 'right')];
    await writeResults(left, scenario, tables, new Map(), VERSION);
    await writeResults(right, scenario, tables, new Map(), VERSION);
    expect(compareFolders(left, right)).toEqual([]);
    const csv = readFileSync(join(right, 'exits.csv'), 'utf8');
    const [header, first, ...rest] = csv.split('\n');
    writeFileSync(
      join(right, 'exits.csv'),
      [header, first!.replace(/,\d+,(\d+)$/, ',1,$1'), ...rest.slice(1)].join('\n'),
    );
    rmSync(join(right, 'report.html'));
    const differences = compareFolders(left, right);
    expect(differences[0]).toMatch(/^exits\.csv: run_id=2 vm=vm reason=\S+: count: \d+ -> 1$/);
    expect(differences[1]).toMatch(/^exits\.csv: run_id=2 vm=vm reason=\S+: only in the first$/);
    expect(differences[2]).toBe(`report.html: only in ${left}`);
  });

  test('needs folders of results', () => {
    expect(() => compareFolders(root, join(root, 'nowhere'))).toThrow(
      'has no runs.csv, so it is not a folder of results',
    );
    expect(() => loadResults(join(root, 'nowhere'))).toThrow('no such folder of results');
    expect(() => loadResults(root)).toThrow('has no scenario.yaml, so it is not a folder of results');
  });
});

/**
 * The committed results are what the scenarios give today, byte for byte, whatever the number of workers.
 * If a change of results is meant: run `npx hvsim run scenarios/*.yaml`, look at the difference,
 * and say in CHANGELOG.md which numbers changed and why.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hvsim } from './cli/hvsim.ts';

const root = new URL('..', import.meta.url).pathname;
const out = mkdtempSync(join(tmpdir(), 'hvsim-results-'));
afterAll(() => rmSync(out, { recursive: true }));

/** Scenario files by name, wherever they lie under scenarios/. */
const scenarios = new Map(
  readdirSync(join(root, 'scenarios'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.yaml'))
    .map((path) => [basename(path, '.yaml'), join(root, 'scenarios', path)]),
);

describe.each(readdirSync(join(root, 'results')).sort())('results/%s', (name) => {
  it('is what its scenario gives today', async () => {
    const folder = join(root, 'results', name);
    const run = await hvsim('run', scenarios.get(name)!, '--out', out, '--quiet');
    expect(run.code).toBe(0);
    const files = readdirSync(folder).filter((file) => /\.csv$|^scenario\.yaml$|^report\.html$/.test(file));
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      const committed = readFileSync(join(folder, file), 'utf8');
      expect(readFileSync(join(out, name, file), 'utf8') === committed, `${name}/${file} changed`).toBe(true);
    }
  }, 600_000);
});

/**
 * The committed results are what the scenarios give today, byte for byte, whatever the number of workers.
 * If a change of results is meant: run `npm start`, `npx hvsim run scenarios/equivalence.yaml scenarios/papers/*.yaml`, look at the difference,
 * and say in CHANGELOG.md which numbers changed and why.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hvsim } from './cli/hvsim.ts';

const root = new URL('..', import.meta.url).pathname;
const out = mkdtempSync(join(tmpdir(), 'hvsim-results-'));
afterAll(() => rmSync(out, { recursive: true }));

const SCENARIOS = ['equivalence', 'overhead', 'consolidation', 'papers/xen-2003'];

describe.each(SCENARIOS.map((path) => [basename(path), path]))('results/%s', (name, path) => {
  it('is what its scenario gives today', async () => {
    const run = await hvsim('run', join(root, 'scenarios', `${path}.yaml`), '--out', out, '--quiet');
    expect(run.code).toBe(0);
    const files = ['runs', 'vms', 'vcpus', 'pcpus', 'exits', 'memory', 'divergences'].map((table) => `${table}.csv`);
    for (const file of [...files, 'scenario.yaml', 'report.html']) {
      const committed = readFileSync(join(root, 'results', name, file), 'utf8');
      expect(readFileSync(join(out, name, file), 'utf8') === committed, `${name}/${file} changed`).toBe(true);
    }
  }, 300_000);
});

/**
 * The committed results are what the scenarios give today, byte for byte, whatever the number of workers.
 * If a change of results is meant: run `npx hvsim run scenarios/*.yaml`, look at the difference,
 * and say in CHANGELOG.md which numbers changed and why.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hvsim } from './cli/hvsim.ts';

const root = new URL('..', import.meta.url).pathname;
const out = mkdtempSync(join(tmpdir(), 'hvsim-results-'));
afterAll(() => rmSync(out, { recursive: true }));

describe.each(['equivalence', 'overhead', 'consolidation', 'exits', 'nested-paging', 'hypervisor-kinds', 'nested'])(
  'results/%s',
  (name) => {
    it('is what its scenario gives today', async () => {
      const run = await hvsim('run', join(root, 'scenarios', `${name}.yaml`), '--out', out, '--quiet');
      expect(run.code).toBe(0);
      const files = ['runs', 'vms', 'vcpus', 'pcpus', 'exits', 'memory', 'divergences'].map((table) => `${table}.csv`);
      for (const file of [...files, 'scenario.yaml', 'report.html']) {
        const committed = readFileSync(join(root, 'results', name, file), 'utf8');
        expect(readFileSync(join(out, name, file), 'utf8') === committed, `${name}/${file} changed`).toBe(true);
      }
    }, 300_000);
  },
);

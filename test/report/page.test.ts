/** report.html: complete, self-contained, the same every time, and safe with whatever a scenario holds. */
import { describe, expect, test } from 'vitest';
import { reportPage } from '../../src/report/page.ts';
import { resultsOf } from '../../src/report/results.ts';
import { drawAll } from '../../src/report/write.ts';
import { sample } from './samples.ts';

async function pageOf(name: string): Promise<string> {
  const { results } = sample(name);
  return reportPage(results, await drawAll(results), '9.9.9');
}

describe('the report', () => {
  test('loads nothing: no scripts, styles, pictures or fonts from elsewhere', async () => {
    for (const name of ['overhead', 'consolidation', 'equivalence']) {
      const page = await pageOf(name);
      expect(page).not.toMatch(/<(?:script|link|img|iframe|object|embed)\b[^>]*\b(?:src|href)=/i);
      expect(page).not.toMatch(/@import|url\((?!#)/i);
      // Names of XML namespaces are the only addresses.
      const addresses = (page.match(/https?:\/\/[^"'\s<)]+/g) ?? []).filter(
        (address) => !address.startsWith('http://www.w3.org/'),
      );
      expect(addresses).toEqual([]);
      expect(page).toContain("default-src 'none'");
    }
  });

  test('has the question, the findings, the charts, the tables and the way to get it again', async () => {
    const page = await pageOf('consolidation');
    expect(page).toContain('<h1>How many servers fit on one CPU?</h1>');
    expect(page).toMatch(/utilization grows from [\d.]+ % with 1 VM to [\d.]+ % with 12 VMs/);
    expect(page.match(/<figure /g)).toHaveLength(6);
    expect(page).toContain('A scale model: the clock of the machine is set to 100 MHz');
    expect(page).toContain('hvsim run scenario.yaml --out again');
    expect(page).toContain('<dt>wake_to_run_p99_ns</dt>');
    expect(page).toContain('Bugnion'); // a source of the costs
  });

  test('explains what trap-and-emulate got wrong', async () => {
    const page = await pageOf('equivalence');
    expect(page).toContain('Where the guest could tell');
    expect(page).toMatch(
      /<code>popf<\/code> at <code>0x00101a2c<\/code> \(bytes <code>9d<\/code>\), 12 times in nano mix under trap-and-emulate/,
    );
    expect(page).toContain('POPF loads the flags from the stack');
  });

  test('ids of different charts do not collide', async () => {
    const ids = [...(await pageOf('overhead')).matchAll(/ id="([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('is the same bytes every time', async () => {
    expect(await pageOf('overhead')).toBe(await pageOf('overhead'));
  });

  test('shows hostile text as text', async () => {
    const { scenario, tables } = sample('equivalence');
    const evil = '<script>alert("x")</script>';
    const doc = { ...scenario.doc, title: evil, question: evil };
    const hostile = tables.map((table) => ({
      ...table,
      rows: table.rows.map((row) =>
        row.map((cell) => (typeof cell === 'string' && table.name === 'divergences' ? `${cell}${evil}` : cell)),
      ),
    }));
    const results = resultsOf({ ...scenario, doc }, hostile);
    const page = reportPage(results, await drawAll(results), '9.9.9');
    expect(page).not.toContain(evil);
    expect(page).toContain('&lt;script&gt;');
    expect(page.match(/<script>/g)).toHaveLength(1);
  });
});

/**
 * Published numbers: the format, the verdicts, the exit codes, and docs/validation.md against the committed results.
 * If the table is to change: npx hvsim published --results results --markdown, between the marks of docs/validation.md.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PAPERS } from '../../src/lab/papers/index.ts';
import { definePaper, judge, type Measured, type Paper, type PaperRow } from '../../src/lab/papers/paper.ts';
import { published } from '../../src/report/charts/published.ts';
import { judgePaper, MeasuredResults, paperMarkdown, paperText, summaryText } from '../../src/report/published.ts';
import { loadResults, type Results } from '../../src/report/results.ts';
import { renderSvg } from '../../src/report/svg.ts';
import { hvsim } from '../cli/hvsim.ts';

const root = new URL('../..', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'hvsim-published-'));
afterAll(() => rmSync(folder, { recursive: true }));

const nothing: Measured = { value: () => 0, cycles: () => 0, perOperation: () => 0, ofVm: () => 0, ofRun: () => 0 };

function row(change: Partial<PaperRow>): PaperRow {
  const cause = change.claimed === false ? { cause: 'a cause' } : {};
  return {
    row: 'one',
    theirs: 100,
    unit: 'cycles',
    tolerance: 0.1,
    claimed: true,
    ours: () => 100,
    ...cause,
    ...change,
  };
}

function paper(...rows: readonly PaperRow[]): Paper {
  return { id: 'p', short: 'P 2000', title: 'P, 2000', hasScenario: false, inputs: 'none', rows };
}

const resultsFor = (one: Paper): Results | null =>
  one.hasScenario ? loadResults(join(root, 'results', one.id)) : null;

describe('a row', () => {
  it.each([
    [{ value: 110 }, 'agrees', 0.1],
    [{ value: 90 }, 'agrees', -0.1],
    [{ value: 111 }, 'fails', 0.11],
    [{ value: 89 }, 'fails', -0.11],
    [{ value: 110, claimed: false }, 'near', 0.1],
    [{ value: 300, claimed: false }, 'open', 2],
    [{ value: 100, tolerance: 0 }, 'agrees', 0],
    [{ value: 101, tolerance: 0 }, 'fails', 0.01],
  ] as const)('%o: %s', ({ value, ...change }, verdict, error) => {
    const [judged] = judge(paper(row({ ...change, ours: () => value })), nothing);
    expect(judged).toMatchObject({ verdict });
    expect(judged!.error).toBeCloseTo(error, 12);
  });

  it.each([
    ['without a claim and without a cause', { claimed: false, cause: '' }, /does not say why/],
    ['with a tolerance that allows everything', { tolerance: 1 }, /share below 1/],
    ['that nothing can be compared with', { theirs: 0 }, /other than 0/],
  ] as const)('%s is refused', (_, change, message) => {
    expect(() => definePaper(paper(row(change)))).toThrow(message);
  });

  it('that stands there twice is refused, and so is a paper without rows', () => {
    expect(() => definePaper(paper(row({}), row({})))).toThrow(/twice/);
    expect(() => definePaper(paper())).toThrow(/no rows/);
  });

  it('that is no number is a defect', () => {
    expect(() => judge(paper(row({ ours: () => 0 / 0 })), nothing)).toThrow(/not a number/);
  });
});

describe('the table', () => {
  const rows = [row({}), row({ row: 'two', ours: () => 150 }), row({ row: 'a|b', ours: () => 12.34, claimed: false })];
  const judged = judgePaper(paper(...rows), null);

  it('says what fails, and counts', () => {
    expect(summaryText([judged])).toBe(
      '3 rows: 2 claim agreement, 1 of them fail; 0 others are within tolerance, 1 miss',
    );
    expect(paperText(judged)).toContain('two  100 cycles   150  +50 %       10 %  FAILS');
    expect(paperText(judged)).toContain('      a cause');
  });

  it('is Markdown, with the causes below', () => {
    const text = paperMarkdown(judged);
    expect(text).toContain('| two | 100 cycles | 150 | +50 % | 10 % | **fails** |');
    expect(text).toContain('| a\\|b | 100 cycles | 12.3 | -88 % | 10 % | misses (1) |');
    expect(text).toMatch(/\n1\. A cause\.$/);
  });
});

describe('papers', () => {
  it('have names of their own', () => {
    expect(new Set(PAPERS.map(({ id }) => id)).size).toBe(PAPERS.length);
  });

  it.each(PAPERS)('$id: no claim fails on the committed results', (one) => {
    const failed = judgePaper(one, resultsFor(one)).rows.filter(({ verdict }) => verdict === 'fails');
    expect(failed.map((bad) => `${bad.row}: ${bad.value}`)).toEqual([]);
  });

  it('stand in docs/validation.md as they are', () => {
    const text = readFileSync(join(root, 'docs/validation.md'), 'utf8');
    const table = text.split('<!-- papers: begin -->\n')[1]!.split('\n<!-- papers: end -->')[0];
    expect(table).toBe(PAPERS.map((one) => paperMarkdown(judgePaper(one, resultsFor(one)))).join('\n\n'));
  });
});

describe('measured results', () => {
  const results = loadResults(join(root, 'results', 'adams-agesen-2006'));
  const measured = new MeasuredResults(results);
  const labels = { operation: 'pgfault', technique: 'hardware-assisted', machine: 'pentium4-672' };

  it('are sums of columns and differences of runs', () => {
    const few = measured.cycles({ ...labels, n: '200' });
    const many = measured.cycles({ ...labels, n: '400' });
    expect(measured.perOperation(labels)).toBe((many - few) / 200);
    // One exit for each fault: the closed form of the primitives is in them.
    const exits = (n: string): number => measured.value({ ...labels, n }, 'exits');
    expect(exits('400') - exits('200')).toBe(200);
  });

  it('must be of one run', () => {
    expect(() => measured.value({ operation: 'pgfault' }, 'exits')).toThrow(/20 runs with operation=pgfault/);
    expect(() => measured.value({ operation: 'none' }, 'exits')).toThrow(/0 runs/);
    expect(() => measured.value({ ...labels, n: '200' }, 'nothing')).toThrow(/has no nothing/);
  });

  it('of the second machine are cheaper wherever a VMM is at work', () => {
    const cost = (operation: string, technique: string, machine: string): number =>
      measured.perOperation({ operation, technique, machine });
    for (const operation of ['in', 'tpr', 'pgfault', 'ptemod', 'unmap', 'map', 'forkwait']) {
      const [p4, core] = ['pentium4-672', 'core2-duo'].map((one) => cost(operation, 'hardware-assisted', one));
      expect(core!, operation).toBeLessThan(p4!);
    }
    for (const operation of ['syscall', 'pgfault', 'divzero', 'ptemod', 'forkwait']) {
      const [p4, core] = ['pentium4-672', 'core2-duo'].map((one) => cost(operation, 'binary-translation', one));
      expect(core!, operation).toBeLessThan(p4!);
    }
  });

  it.each(PAPERS.filter(({ hasScenario }) => hasScenario))('of $id are drawn, without a warning', async (one) => {
    const drawing = published.draw(resultsFor(one)!, undefined)!;
    const warnings: string[] = [];
    const svg = await renderSvg(drawing.spec, (text) => warnings.push(text));
    expect(warnings).toEqual([]);
    expect(svg).not.toContain('NaN');
    expect(drawing.sentences).toHaveLength(one.rows.length + 1);
  });

  it('are nothing for the chart of another scenario, and of other axes', () => {
    expect(published.draw(loadResults(join(root, 'results', 'overhead')), undefined)).toBeNull();
    expect(published.draw({ ...results, frames: {} }, undefined)).toBeNull();
  });
});

describe('hvsim published', () => {
  it('prints theirs and ours and exits with 0', async () => {
    const run = await hvsim('published', 'adams-agesen-2006', '--results', 'results');
    expect(run.code).toBe(0);
    expect(run.stdout).toContain('theirs');
    expect(run.stdout).toMatch(/\d+ claim agreement, 0 of them fail/);
    expect(run.stderr).toBe('');
  });

  it('exits with 1, and says which, where a claim does not hold', async () => {
    cpSync(join(root, 'results', 'adams-agesen-2006'), join(folder, 'adams-agesen-2006'), { recursive: true });
    const file = join(folder, 'adams-agesen-2006', 'vms.csv');
    const text = readFileSync(file, 'utf8');
    const lines = text
      .split('\n')
      .map((line) => line.replace(/^(\d+,vm,nanobench,pgfault n=400,native,.*?,completed,[^,]*,\d+),(\d+)/, '$1,9$2'));
    writeFileSync(file, lines.join('\n'));
    expect(lines.join('\n')).not.toBe(text);
    const run = await hvsim('published', 'adams-agesen-2006', '--results', folder);
    expect(run.code).toBe(1);
    expect(run.stdout).toContain('FAILS');
    expect(run.stderr).toContain('adams-agesen-2006: pgfault, native: claims agreement, but is outside its tolerance');
  });

  it('exits with 2 for a paper that it does not know, and for results that are not there', async () => {
    const unknown = await hvsim('published', 'adams-2006');
    expect(unknown).toMatchObject({ code: 2, stdout: '' });
    expect(unknown.stderr).toContain('adams-agesen-2006');
    expect((await hvsim('published', '--results', join(folder, 'none'))).code).toBe(2);
  });
});

/** Every kind of chart: compiles without a warning, draws the same bytes twice, and says true sentences. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CHARTS } from '../../src/report/charts/index.ts';
import { renderPng } from '../../src/report/png.ts';
import { renderSvg } from '../../src/report/svg.ts';
import { sample } from './samples.ts';

const SAMPLES = ['overhead', 'consolidation', 'equivalence', 'nested-paging', 'exits'].map((name) => ({
  name,
  ...sample(name),
}));

/** Which charts have something to show for which scenario. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  overhead: ['slowdown', 'cycles', 'exits', 'equivalence'],
  consolidation: ['slowdown', 'cycles', 'exits', 'utilization', 'latency', 'throughput'],
  equivalence: ['slowdown', 'cycles', 'exits', 'equivalence'],
  'nested-paging': ['slowdown', 'cycles', 'exits', 'equivalence', 'map'],
  exits: ['cycles', 'exits', 'exit-costs'],
};

describe.each(SAMPLES)('$name', ({ name, results }) => {
  test.each(CHARTS)('$name', async (chart) => {
    const drawing = chart.draw(results, undefined);
    expect(drawing !== null).toBe(EXPECTED[name]!.includes(chart.name));
    if (drawing === null) return;
    const warnings: string[] = [];
    const svg = await renderSvg(drawing.spec, (text) => warnings.push(text));
    expect(warnings).toEqual([]);
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(svg).not.toContain('NaN');
    expect(await renderSvg(drawing.spec)).toBe(svg);
    expect(drawing.sentences.length).toBeGreaterThan(0);
    for (const sentence of [...drawing.sentences, drawing.caption]) {
      expect(sentence).toMatch(/\.$/);
      expect(sentence).not.toMatch(/NaN|undefined|Infinity|null/);
    }
  });
});

test('a title of the scenario replaces the usual one', () => {
  const drawing = CHARTS[0]!.draw(SAMPLES[0]!.results, 'My title');
  expect(drawing?.spec).toMatchObject({ title: { text: 'My title' } });
});

test('charts of results without rows show nothing, and do not fail', () => {
  const { scenario } = SAMPLES[0]!;
  for (const chart of CHARTS) expect(chart.draw({ scenario, frames: {} }, undefined)).toBeNull();
});

test('a chart becomes a PNG of the size of the SVG, twice', async () => {
  const svg = await renderSvg(CHARTS[0]!.draw(SAMPLES[0]!.results, undefined)!.spec);
  const png = Buffer.from(await renderPng(svg));
  expect(png.subarray(1, 4).toString()).toBe('PNG');
  const width = Number(/width="(\d+)"/.exec(svg)![1]);
  expect(png.readUInt32BE(16)).toBe(2 * width);
});

test('the library and the charts are loaded without Vega', () => {
  // Vega cannot be required and is large: it may only be imported inside a function.
  for (const file of ['src/index.ts', 'src/report/svg.ts', 'src/report/png.ts', 'src/report/write.ts']) {
    expect(readFileSync(file, 'utf8')).not.toMatch(/^import (?!type )[^;]*'(?:vega|vega-lite|@resvg)/m);
  }
});

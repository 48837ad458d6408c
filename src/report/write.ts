/**
 * A folder of results: CSV files, charts and the report, written whole or not at all.
 * Invariant: what is written depends on the scenario and the tables only.
 */
import { readFileSync } from 'node:fs';
import type { Table } from '../lab/metrics/metric.ts';
import { type Scenario, scenarioText } from '../lab/scenario.ts';
import type { Chart } from './charts/chart.ts';
import { CHARTS } from './charts/index.ts';
import { writeCsv } from './csv.ts';
import { ResultFolder } from './folder.ts';
import { missingCharts, type Picture, reportPage } from './page.ts';
import { renderPng } from './png.ts';
import { type Results, resultsOf } from './results.ts';
import { renderSvg } from './svg.ts';

export interface WriteOptions {
  readonly version: string;
  /** Also write each chart as a PNG. */
  readonly png?: boolean;
}

/**
 * Writes everything that a run leaves behind, and answers the charts that had nothing to show. Guest files, if any, are added under the names
 * they have in the scenario.
 */
export async function writeResults(
  path: string,
  scenario: Scenario,
  tables: readonly Table[],
  guests: ReadonlyMap<string, string>,
  options: WriteOptions,
): Promise<{ readonly notDrawn: readonly string[] }> {
  const folder = new ResultFolder(path);
  try {
    folder.add('scenario.yaml', scenarioText(scenario.doc));
    for (const table of tables) await folder.addWith(`${table.name}.csv`, (file) => writeCsv(table, file));
    for (const [name, source] of guests) folder.add(name, readFileSync(source));
    const results = resultsOf(scenario, tables);
    const drawn = await addPictures(folder, results, options);
    folder.commit(true);
    return {
      notDrawn: missingCharts(
        results,
        drawn.map((name) => ({ name })),
      ),
    };
  } catch (error) {
    folder.discard();
    throw error;
  }
}

/** Draws the charts and the report of an existing folder again. */
export async function writeCharts(path: string, results: Results, options: WriteOptions): Promise<readonly string[]> {
  const folder = new ResultFolder(path);
  try {
    const names = await addPictures(folder, results, options);
    folder.commit(false);
    return names;
  } catch (error) {
    folder.discard();
    throw error;
  }
}

async function addPictures(folder: ResultFolder, results: Results, options: WriteOptions): Promise<string[]> {
  const pictures = await drawAll(results);
  for (const { name, drawing, svg } of pictures) {
    folder.add(`charts/${name}.vl.json`, `${JSON.stringify(drawing.spec, null, 2)}\n`);
    folder.add(`charts/${name}.svg`, svg);
    if (options.png === true) folder.add(`charts/${name}.png`, await renderPng(svg));
  }
  folder.add('report.html', reportPage(results, pictures, options.version));
  return pictures.map(({ name }) => name);
}

/** The charts that the scenario asks for, as far as the results have something to show. */
export async function drawAll(results: Results): Promise<Picture[]> {
  const pictures: Picture[] = [];
  for (const entry of results.scenario.doc.charts) {
    const wanted = typeof entry === 'string' ? { chart: entry, title: undefined } : entry;
    const chart: Chart | undefined = CHARTS.find(({ name }) => name === wanted.chart);
    const drawing = chart?.draw(results, wanted.title) ?? null;
    if (drawing === null) continue;
    const same = pictures.filter(({ name }) => name.replace(/-\d+$/, '') === wanted.chart).length;
    const name = same === 0 ? wanted.chart : `${wanted.chart}-${same + 1}`;
    pictures.push({ name, drawing, svg: await renderSvg(drawing.spec) });
  }
  return pictures;
}

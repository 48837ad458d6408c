/**
 * report.html: what was asked, what came out, the charts, the tables, and how to get it again.
 * Invariants: one file that works offline and loads nothing; the same results give the same bytes.
 */

import { Digest } from '../core/digest.ts';
import { isReplayed } from '../lab/schema-vms.ts';
import type { Drawing } from './charts/chart.ts';
import { findings } from './findings.ts';
import { amount, listed, time } from './format.ts';
import { distinct, num, text } from './frame.ts';
import { element, escapeHtml, type Html, inlineSvg, list, paragraph } from './html.ts';
import { PAGE_SCRIPT, PAGE_STYLE } from './page-style.ts';
import { frame, type Results } from './results.ts';
import { schedulingSection } from './scheduling-section.ts';
import {
  divergenceSection,
  endingsSection,
  glossarySection,
  holesSection,
  machineSection,
  reproduceSection,
  tablesSection,
} from './sections.ts';

/** A chart that has been drawn. */
export interface Picture {
  readonly name: string;
  readonly drawing: Drawing;
  readonly svg: string;
}

export function reportPage(results: Results, pictures: readonly Picture[], version: string): string {
  const { doc } = results.scenario;
  const title = doc.title ?? doc.name;
  const body = [
    headerPart(results, title),
    findingsPart(results, pictures),
    ...pictures.map(figure),
    notDrawn(results, pictures),
    schedulingSection(results),
    holesSection(results),
    divergenceSection(results),
    endingsSection(results),
    tablesSection(results),
    machineSection(results),
    reproduceSection(results, version, digestOf(results)),
    glossarySection(results),
    `<footer>hvsim ${escapeHtml(version)}: a deterministic simulator of hypervisors that executes real guest code.</footer>`,
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
${body.filter((part) => part !== '').join('\n')}
</main>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

function headerPart(results: Results, title: string): Html {
  const { doc, points } = results.scenario;
  const { question, name } = doc;
  const runs = frame(results, 'runs').rows;
  const sum = (column: string) => runs.reduce((total, run) => total + (num(run, column) ?? 0), 0);
  const vms = frame(results, 'vms').rows.length;
  const instructions = sum('instructions');
  const plays = points.some(({ world }) => world.vms.some(isReplayed));
  const facts = [
    [String(runs.length), runs.length === 1 ? 'run' : 'runs'],
    ...(vms === 0 ? [] : [[String(vms), 'virtual machines']]),
    ...(instructions === 0
      ? []
      : [[amount(instructions), `guest instructions executed${plays ? ' or replayed' : ''}`]]),
    [time(sum('simulated_ns')), 'of simulated time'],
  ].map(([value = '', label = '']) => `<li><b>${escapeHtml(value)}</b>${escapeHtml(label)}</li>`);
  return [
    '<header>',
    element('p', `hvsim scenario ${escapeHtml(name)}`, 'class="kicker"'),
    element('h1', escapeHtml(title)),
    question === undefined ? '' : element('p', escapeHtml(question), 'class="question"'),
    element('ul', facts.join(''), 'class="facts"'),
    '</header>',
  ].join('\n');
}

function findingsPart(results: Results, pictures: readonly Picture[]): Html {
  const sentences = findings(
    results,
    pictures.map(({ drawing }) => drawing),
  );
  if (sentences.length === 0) return '';
  return element('h2', 'Findings') + list(sentences.map(escapeHtml)).replace('<ul>', '<ul class="findings">');
}

function figure({ name, drawing, svg }: Picture): Html {
  const label = drawing.sentences[0] ?? drawing.caption;
  const more = drawing.sentences.slice(3).map(paragraph).join('\n');
  return `<figure id="${escapeHtml(name)}">\n${inlineSvg(svg, name, label)}\n${more}<figcaption>${escapeHtml(drawing.caption)}</figcaption>\n</figure>`;
}

/** Charts that the scenario asks for and that have nothing to show here. */
function notDrawn(results: Results, pictures: readonly Picture[]): Html {
  const names = missingCharts(results, pictures);
  if (names.length === 0) return '';
  return paragraph(`Not drawn, because the results have not what they show: ${listed(names)}.`);
}

export function missingCharts(results: Results, pictures: readonly Pick<Picture, 'name'>[]): string[] {
  const drawn = new Set(pictures.map(({ name }) => name.replace(/-\d+$/, '')));
  const wanted = results.scenario.doc.charts.map((entry) => (typeof entry === 'string' ? entry : entry.chart));
  return distinct(wanted.filter((name) => !drawn.has(name)));
}

/** One fingerprint for all runs, in order. */
function digestOf(results: Results): string {
  const digest = new Digest();
  for (const run of frame(results, 'runs').rows) digest.text(text(run, 'digest'));
  return digest.hex();
}

/** The examples of docs/scenarios.md and docs/replay.md, as they stand there: what is shown must be accepted. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ScenarioError } from '../../src/lab/problems.ts';
import { parseScenario } from '../../src/lab/scenario.ts';

/** The YAML blocks of a file, with the line where each begins. */
function blocksOf(file: string): { readonly line: number; readonly text: string }[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => ({
    line: text.slice(0, match.index).split('\n').length,
    text: match[1]!,
  }));
}

/** What is wrong with an example, once what it leaves out is there. */
function mistakes(example: string): string[] {
  const text = /^ *- /.test(example) ? `vms:\n${example}` : example;
  const parts = {
    name: 'name: example',
    host: 'host: { pcpus: 8 }',
    vms: 'vms: [{ name: web, guest: nano, workload: sieve, technique: hardware-assisted }]',
  };
  const added = Object.entries(parts).flatMap(([key, part]) => (new RegExp(`^${key}:`, 'm').test(text) ? [] : [part]));
  try {
    parseScenario(`${added.join('\n')}\n${text}`, 'example.yaml');
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
}

for (const file of ['docs/scenarios.md', 'docs/replay.md']) {
  for (const { line, text } of blocksOf(file)) {
    test(`${file}:${line}`, () => expect(mistakes(text)).toEqual([]));
  }
}

test('mistakes of an example are noticed', () => {
  expect(mistakes('vms: [{ name: a, demand: hog, scheduling: { rtds: { budget_us: 4000 } } }]')).toEqual([
    'vms[0].scheduling.rtds.budget_us: scheduler rtds has no parameters here; it stands under vcpu_scheduling',
  ]);
  expect(mistakes('timeline: { from: 2 ms, to: 1 ms }')).toEqual([
    'timeline.to: found "1 ms", expected a time after from, 2 ms',
  ]);
});

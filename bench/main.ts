/** Runs every bench file of this folder in the order of their names: `npm run bench [part of a name]`. */
import { readdirSync } from 'node:fs';
import type { Bench } from './harness.ts';

const here = new URL('.', import.meta.url);
const wanted = process.argv[2] ?? '';
const files = readdirSync(here)
  .filter((file) => file.endsWith('.ts') && file.includes(wanted))
  .toSorted((a, b) => (a < b ? -1 : 1));

for (const file of files) {
  if (file === 'main.ts' || file === 'harness.ts') continue;
  const { bench } = (await import(new URL(file, here).href)) as { bench: Bench };
  process.stdout.write(`${bench.name}\n`);
  for (const row of bench.run()) {
    process.stdout.write(`  ${row.name.padEnd(56)} ${row.value.toPrecision(4).padStart(10)} ${row.unit}\n`);
  }
}

/** hvsim chart: draws the charts and the report of a folder of results again, from its CSV files. */
import { join } from 'node:path';
import { loadResults } from '../report/results.ts';
import { writeCharts } from '../report/write.ts';
import { packageVersion } from './package.ts';
import { print } from './terminal.ts';

export async function chartCommand(folder: string, png: boolean): Promise<number> {
  const names = await writeCharts(folder, loadResults(folder), { version: packageVersion(), png });
  for (const name of names) print(join(folder, 'charts', `${name}.${png ? 'png' : 'svg'}`));
  print(join(folder, 'report.html'));
  return 0;
}

/** hvsim compare: what differs between two folders of results. */
import { compareFolders } from '../report/compare.ts';
import { print } from './terminal.ts';

export function compareCommand(left: string, right: string): number {
  const differences = compareFolders(left, right);
  for (const line of differences) print(line);
  if (differences.length === 0) print('identical');
  return differences.length === 0 ? 0 : 1;
}

/** docs/schedulers.md lists every policy with what is known of it, in the words of the policy itself. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { schedulers } from '../../src/host/sched/index.ts';
import type { SchedulerPolicy } from '../../src/host/scheduler.ts';

function row({ name, summary, origin, basis, traits, params, vmParams, vcpuParams }: SchedulerPolicy): string {
  const promises = [
    traits.weights === null ? '' : 'weights',
    traits.caps === null ? '' : 'caps',
    traits.workConserving ? 'work-conserving' : '',
  ].filter((text) => text !== '');
  const names = [params, vmParams, vcpuParams].map((set) => Object.keys(set).length);
  return `| \`${name}\` | ${summary} | ${origin} | ${basis} | ${promises.join(', ')} | ${names.join(' / ')} |`;
}

test('docs/schedulers.md has a row for every policy, as the policy describes itself', () => {
  const table = schedulers.map(row).join('\n');
  expect(readFileSync('docs/schedulers.md', 'utf8')).toContain(table);
});

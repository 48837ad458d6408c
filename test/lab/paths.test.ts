/** Places in a scenario, and suggestions for mistyped names. */
import { expect, test } from 'vitest';
import { formatPath, parsePath, resolvePath, valueAt, withValue } from '../../src/lab/paths.ts';
import { closest } from '../../src/lab/suggest.ts';

const data = { host: { pcpus: 1 }, vms: [{ name: 'a' }, { name: 'web', count: 2 }] };

test('paths are read and written', () => {
  expect(parsePath('host.scheduler.policy')).toEqual(['host', 'scheduler', 'policy']);
  expect(parsePath('vms[0].workload')).toEqual(['vms', 0, 'workload']);
  expect(parsePath('vms.0.workload')).toEqual(['vms', 0, 'workload']);
  expect(parsePath('vms[web].count')).toEqual(['vms', 'web', 'count']);
  expect(formatPath(['vms', 1, 'count'])).toBe('vms[1].count');
  for (const bad of ['', '.', 'a..b', '[0]', 'a[', 'a]', 'a b', '0', 'vms[0]x y'])
    expect(parsePath(bad)).toBeUndefined();
});

test('names of list elements become indices', () => {
  expect(resolvePath(data, ['vms', 'web', 'count'])).toEqual(['vms', 1, 'count']);
  expect(resolvePath(data, ['vms', 'nobody', 'count'])).toBeUndefined();
  expect(resolvePath(data, ['vms', 7])).toBeUndefined();
  expect(resolvePath(data, ['host', 'frequency'])).toEqual(['host', 'frequency']);
});

test('setting a value copies, and leaves the original alone', () => {
  const changed = withValue(data, ['vms', 1, 'count'], 5);
  expect(valueAt(changed, ['vms', 1, 'count'])).toBe(5);
  expect(valueAt(data, ['vms', 1, 'count'])).toBe(2);
  expect(valueAt(withValue({}, ['a', 'b'], 1), ['a', 'b'])).toBe(1);
  expect(valueAt(data, ['host', 'toString'])).toBeUndefined();
});

test.each([
  ['wieght', ['weight', 'cap'], 'weight'],
  ['credt', ['credit', 'round-robin'], 'credit'],
  ['robin', ['credit', 'round-robin'], 'round-robin'],
  ['pentium5', ['broadwell', 'pentium4-672'], 'pentium4-672'],
  ['zzz', ['credit', 'round-robin'], undefined],
  ['', ['a'], 'a'],
] as const)('closest to %s', (typed, names, expected) => expect(closest(typed, names)).toBe(expected));

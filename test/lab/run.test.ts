/** Runs on workers: same records for any number of them, and one failure does not spoil the others. */
import { expect, test } from 'vitest';
import { runScenario } from '../../src/lab/experiment.ts';
import { jobsOf } from '../../src/lab/run.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import type { ScenarioInput } from '../../src/lab/schema.ts';

const FAKE = { url: new URL('./fake-world.ts', import.meta.url).href, name: 'runWorld' };

const INPUT: ScenarioInput = {
  name: 'test',
  vms: [{ name: 'vm', guest: 'hello' }],
  sweep: { w: { path: 'vms[0].workload', values: ['sieve', 'io', 'explode', 'web', 'chase'] } },
};

test('any number of workers gives the same records, in the same order', async () => {
  const scenario = defineScenario(INPUT);
  const one = await runScenario(scenario, { jobs: 1, world: FAKE });
  const three = await runScenario(scenario, { jobs: 3, world: FAKE });
  expect(three.records).toEqual(one.records);
  expect(three.tables).toEqual(one.tables);
  expect(one.records.map(({ run }) => run.runId)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('a run that fails is reported, and the others are carried out', async () => {
  const done: number[] = [];
  const { records, defects } = await runScenario(defineScenario(INPUT), {
    jobs: 2,
    world: FAKE,
    onDone: ({ run }) => done.push(run.runId),
  });
  expect(records.map(({ outcome }) => outcome).filter((outcome) => outcome === 'failed')).toHaveLength(2);
  expect(records[2]).toMatchObject({
    outcome: 'failed',
    detail: 'hvsim failed: the fake world was told to explode',
    vms: [],
  });
  expect(defects.map(({ runId }) => runId)).toEqual([3, 8]);
  expect(defects[0]!.stack).toContain('fake-world');
  expect(done.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('real guests run, and hardware assistance gives the same instruction count as the bare machine', async () => {
  const scenario = defineScenario({
    name: 'real',
    host: { memory: '64 MiB' },
    vms: [{ name: 'vm', guest: 'nano-clean', workload: 'sieve n=1000 rounds=2 hz=0', memory: '16 MiB' }],
    sweep: { paging: { path: 'vms[0].paging', values: ['shadow', 'nested'] } },
  });
  const { records, defects } = await runScenario(scenario, { jobs: 1 });
  expect(defects).toEqual([]);
  const [shadow, nested, native] = records.map((record) => record.vms[0]!);
  expect(native).toMatchObject({ outcome: 'completed', exitCode: 0 });
  expect(native!.console).toMatch(/sieve n=1000 rounds=2 result=168 checksum=0x[0-9a-f]+\n$/);
  for (const vm of [shadow!, nested!]) {
    expect(vm).toMatchObject({ outcome: 'completed', exitCode: 0, console: native!.console });
    expect(vm.instructions).toBe(native!.instructions);
    expect(vm.exits.length).toBeGreaterThan(0);
  }
});

test('guests that run wild end their own VM only', async () => {
  const scenario = defineScenario({
    name: 'wild',
    duration: '200 ms',
    baseline: 'none',
    host: { memory: '64 MiB', frequency: '100 MHz' },
    vms: ['wild-triple', 'wild-unmapped', 'wild-badop', 'wild-spin', 'wild-haltforever', 'hello'].map((guest) => ({
      name: guest,
      guest,
      memory: '4 MiB',
    })),
  });
  const { records } = await runScenario(scenario, { jobs: 1 });
  expect(records[0]!.vms.map(({ name, outcome }) => [name, outcome])).toEqual([
    ['wild-triple', 'triple-fault'],
    ['wild-unmapped', 'triple-fault'],
    ['wild-badop', 'triple-fault'],
    ['wild-spin', 'time-limit'],
    ['wild-haltforever', 'halted'],
    ['hello', 'completed'],
  ]);
});

test('the number of workers is checked', () => {
  expect(jobsOf(undefined, 3)).toBe(3);
  expect(jobsOf('2', 8)).toBe(2);
  for (const bad of ['0', '-1', 'x', '1.5', '999']) expect(() => jobsOf(bad, 8)).toThrow(`--jobs: found "${bad}"`);
});

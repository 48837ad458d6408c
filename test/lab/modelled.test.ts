/** Modelled VMs, topology, affinity and the scheduler's own parameters in scenarios, up to the records of their runs. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { runWorld } from '../../src/lab/build.ts';
import { loadPolicy } from '../../src/lab/own-policy.ts';
import { planRuns } from '../../src/lab/plan.ts';
import type { RunRecord, VmRecord } from '../../src/lab/rows.ts';
import { parseScenario, scenarioText } from '../../src/lab/scenario.ts';

const MS = 1_000_000;

function run(text: string): RunRecord {
  const [first] = planRuns(parseScenario(text, 'a.yaml'), (guest) => guest).runs;
  return runWorld(first!);
}

function problems(text: string): string {
  try {
    parseScenario(text, 'a.yaml');
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the scenario has no mistake');
}

const vmOf = (record: RunRecord, name: string): VmRecord => record.vms.find((vm) => vm.name === name)!;
const busy = ({ guestCycles, switchCycles }: RunRecord['pcpus'][0]): number => guestCycles + switchCycles;
const running = (vm: VmRecord): number => vm.vcpus.reduce((sum, vcpu) => sum + vcpu.runningNs, 0);

test('hogs share two pCPUs by weight', () => {
  const record = run(`
name: a
duration: 6 s
host: { pcpus: 1, frequency: 1 GHz }
vms:
  - { name: heavy, demand: hog, weight: 512 }
  - { name: light, demand: { model: hog } }
`);
  // Weights 2:1 on one pCPU.
  expect(Math.abs(running(vmOf(record, 'heavy')) / (4000 * MS) - 1)).toBeLessThan(0.02);
  expect(record.outcome).toBe('time-limit');
  expect(vmOf(record, 'light')).toMatchObject({ outcome: 'time-limit', elapsedNs: 6000 * MS, instructions: 0 });
});

test('a VM comes and goes, and changes in between', () => {
  const record = run(`
name: a
duration: 100 ms
host: { pcpus: 4, frequency: 1 GHz, quantum: 100 us, scheduler: round-robin }
vms:
  - { name: guest, demand: hog, start: 10 ms, stop: 40 ms }
  - name: grows
    demand: hog
    changes: [{ at: 20 ms, vcpus: 2 }, { at: 50 ms, vcpus: 1 }, { at: 70 ms, vcpus: 3 }]
`);
  const guest = vmOf(record, 'guest');
  expect(guest).toMatchObject({ outcome: 'completed', elapsedNs: 30 * MS });
  // Each vCPU has a pCPU; what takes effect elsewhere does so within a quantum.
  expect(Math.abs(running(guest) - 30 * MS)).toBeLessThan(0.2 * MS);
  const times = vmOf(record, 'grows').vcpus.map((vcpu) => vcpu.runningNs / MS);
  for (const [i, expected] of [100, 30, 30, 30].entries()) expect(Math.abs(times[i]! - expected)).toBeLessThan(0.2);
});

test('when every VM has done its work, the run ends, and threads of the hypervisor with it', () => {
  const record = run(`
name: a
duration: 1 s
host: { pcpus: 1, frequency: 1 GHz, threads: [{ name: dev, demand: { model: periodic, work_us: 100, period_us: 1000 } }] }
vms:
  - { name: a, demand: { model: hog, work_us: 9000 } }
`);
  expect(record.outcome).toBe('finished');
  expect(vmOf(record, 'a')).toMatchObject({ outcome: 'completed', workUnits: 1, guestCycles: 9 * MS });
  expect(record.pcpus[0]!.threadCycles).toBeGreaterThan(0);
  expect(record.simulatedNs).toBeLessThan(11 * MS);
});

test('affinity keeps vCPUs on their pCPUs, and a list gives each its own', () => {
  const record = run(`
name: a
duration: 30 ms
host: { topology: { sockets: 2, cores_per_socket: 2 }, frequency: 1 GHz }
vms:
  - { name: pair, demand: hog, vcpus: 2, affinity: [{ hard: [1] }, { hard: ["2-3"], soft: [3] }] }
`);
  expect(record.pcpus).toHaveLength(4);
  expect(record.pcpus[0]!.guestCycles).toBe(0);
  const [, first, second, third] = record.pcpus.map(busy);
  expect(first).toBe(30 * MS);
  expect(second! + third!).toBe(30 * MS);
});

test('the scenario that is written gives the same scenario', () => {
  const text = `
name: a
host: { topology: { sockets: 2, threads_per_core: 2 } }
vms:
  - { name: a, demand: [hog, { model: periodic, work_us: 5 }], vcpus: 3, start: 1 ms, affinity: { hard: ["0-1", 3] } }
  - { name: b, guest: nano, workload: sieve n=1000 }
sweep:
  sockets: { path: host.topology.sockets, values: [2, 4] }
`;
  const scenario = parseScenario(text, 'a.yaml');
  expect(scenario.points.map(({ world }) => world.host.pcpus)).toEqual([4, 8]);
  const again = parseScenario(scenarioText(scenario.doc), 'b.yaml');
  expect(again).toEqual(scenario);
});

test('four thousand VMs are built within the time of a test', () => {
  const record = run(`
name: a
duration: 1 ms
host: { pcpus: 64, frequency: 1 GHz, scheduler: round-robin }
vms:
  - { name: many, count: 4096, vcpus: 2, demand: { model: hog } }
`);
  expect(record.vms).toHaveLength(4096);
  expect(record.pcpus.reduce((sum, pcpu) => sum + busy(pcpu), 0)).toBe(64 * MS);
});

describe('mistakes', () => {
  const of = (vm: string, host = '{ pcpus: 4 }'): string => problems(`name: a\nhost: ${host}\nvms:\n  - ${vm}\n`);

  test.each([
    ['{ name: a, demand: hogg }', /a.yaml:4:24: vms\[0\].demand: found "hogg", expected .*Did you mean "hog"/],
    ['{ name: a, demand: hog, memory: 3 MiB }', /vms\[0\].memory: unknown key/],
    ['{ name: a, demand: hog, guest: nano }', /vms\[0\].guest: unknown key/],
    ['{ name: a, demand: { model: periodic, work: 1 } }', /demand.work: unknown key. Did you mean "work_us"/],
    ['{ name: a, demand: hog, vcpus: 513 }', /vcpus: found 513, expected at most 512/],
    ['{ name: a, guest: nano, workload: sieve, vcpus: 9 }', /vcpus: found 9, expected at most 8/],
    ['{ name: a, demand: hog, start: 2 s, stop: 1 s }', /stop: found "1 s", but the VM comes at 2 s/],
    ['{ name: a, demand: hog, affinity: { hard: [4] } }', /a.yaml:4:48: .*hard\[0\]: found 4, expected .* from 0 to 3/],
    [
      '{ name: a, demand: hog, affinity: [{ hard: [1] }], vcpus: 2 }',
      /found a list of 1, expected 2, one for each vCPU/,
    ],
    ['{ name: a, demand: hog, scheduling: { budget_us: 1 } }', /scheduler credit has no parameters here/],
    ['{ name: a, demand: hog, scheduling: { nope: { x: 1 } } }', /scheduling.nope: no such scheduler, expected one of/],
    [
      '{ name: a, demand: hog, changes: [{ at: 2 s }, { at: 1 s }] }',
      /changes\[1\].at: found "1 s", but .* order of time/,
    ],
  ])('%s', (vm, message) => {
    expect(of(vm)).toMatch(message);
  });

  test.each([
    ['{ pcpus: 3, topology: { sockets: 2 } }', /host.pcpus: found 3, but host.topology has 2; leave pcpus out/],
    ['{ topology: { sockets: 64, cores_per_socket: 1024 } }', /65536 physical CPUs, at most 4096/],
    ['{ hypervisor: type-2, threads: [{ name: x, demand: io }] }', /threads of the hypervisor run under type-1 only/],
  ])('%s', (host, message) => {
    expect(of('{ name: a, demand: hog }', host)).toMatch(message);
  });

  test('a partition of type-0 keeps the number of CPUs it was created with', () => {
    const vm = '{ name: a, demand: hog, changes: [{ at: 1 ms, weight: 5 }, { at: 2 ms, vcpus: 2 }] }';
    const said = of(vm, '{ pcpus: 4, hypervisor: type-0 }');
    expect(said).toMatch(/a.yaml:4:83: vms\[0\].changes\[1\].vcpus: found 2, but type-0 gives a VM .* for good/);
    expect(() => parseScenario(`name: a\nhost: { pcpus: 4 }\nvms:\n  - ${vm}\n`, 'a.yaml')).not.toThrow();
  });

  test('guests are executed on 64 pCPUs at most', () => {
    expect(of('{ name: a, guest: nano, workload: sieve }', '{ pcpus: 65 }')).toMatch(/found 65, expected at most 64/);
  });
});

describe('a scheduler of your own', () => {
  const load = (file: string, name = 'default') => loadPolicy(resolve(file), name, file);
  const withFile = (text: string, ending = 'js'): string => {
    const file = join(mkdtempSync(join(tmpdir(), 'own-')), `mine.${ending}`);
    writeFileSync(file, text);
    return file;
  };
  const described = (more: string): string => `export default { name: 'x', summary: 'y', make() {}, ${more} };`;
  const METHODS = 'wake() {}, sleep() {}, pick() { return { task: null, slice: Infinity }; }';

  test('is named by its path, and its parameters are checked like any others', () => {
    const text = (params: string): string =>
      `name: a\nhost: { scheduler: { module: ./scenarios/custom/shortest-first.js${params} } }\nvms: [{ name: a, demand: hog }]\n`;
    const [first] = planRuns(parseScenario(text(''), 'a.yaml'), (file) => file).runs;
    expect(first!.host.scheduler).toMatchObject({ policy: 'shortest-first', params: { slice_us: 5000 } });
    expect(problems(text(', slice_us: 1'))).toMatch(/host.scheduler.slice_us: found 1, expected at least 100/);
    expect(problems(text(', slice: 1'))).toMatch(/host.scheduler.slice: unknown key. Did you mean "slice_us"/);
    expect(problems(text('').replace('first', 'last'))).toMatch(/a.yaml:2:30: host.scheduler.module: .*no such file/);
  });

  test('short bursts overtake long ones', () => {
    const record = run(`
name: a
duration: 1 s
host: { frequency: 1 GHz, scheduler: { module: ./scenarios/custom/shortest-first.js } }
vms:
  - { name: long, demand: hog }
  - { name: short, demand: { model: periodic, work_us: 1000, period_us: 10000 } }
`);
    // It never waits: when it wakes up, the hog has always run longer than it.
    const short = vmOf(record, 'short');
    expect(short.workUnits).toBe(100);
    expect(short.vcpus[0]!.wakeToRun!.maxNs).toBeLessThan(2000);
  });

  test.each([
    ['export const a = 1;', 'default', /has no export default; it has a/],
    ['export default 3;', 'default', /its default export is not a scheduler: expected a mapping/],
    ['export const mine = { name: "x", make() {} };', 'mine', /its export mine is not a scheduler: expected a summary/],
    ['export default { name: "x", summary: "y" };', 'default', /expected make\(host, params\), a function/],
    ['throw new RangeError("boom");', 'default', /mine.js: RangeError: boom \(line 1\)$/],
    ['\nthrow 3;', 'default', /mine.js: it threw 3$/],
    ['\n\nexport default {]', 'default', /mine.js: SyntaxError: .* \(line 3\)$/],
    [described('params: 5'), 'default', /not a scheduler: params: expected a mapping by name$/],
    [described('vmParams: { a: 5 }'), 'default', /vmParams.a: expected a mapping such as/],
    [described('params: { a: { kind: "number", meaning: "" } }'), 'default', /a kind of integer, flag, choice, text$/],
    [
      described('params: { a: { kind: "integer", min: 1, max: 3, default: 5, meaning: "" } }'),
      'default',
      /params.a: a default of 5, expected a whole number from 1 to 3$/,
    ],
    [described('traits: { weights: true }'), 'default', /expected traits.weights: null, or the parameters/],
    [described('vmparams: {}'), 'default', /unknown key vmparams; allowed: name, .* Did you mean "vmParams"/],
  ])('%s', (text, name, message) => {
    expect(() => load(withFile(text), name)).toThrow(message);
  });

  test('what it throws, and what it answers that cannot be, is told as its mistake', () => {
    const outcome = (methods: string, before = ''): string => {
      const file = withFile(
        `export default { name: 'x', summary: 'y', make(host) { ${before} return { ${methods} }; } };`,
      );
      try {
        run(`name: a\nhost: { scheduler: { module: ${file} } }\nvms: [{ name: a, demand: hog }]\n`);
      } catch (error) {
        return error instanceof UserError ? error.message : `a defect: ${String(error)}`;
      }
      return 'ran';
    };
    expect(outcome(METHODS)).toBe('ran');
    expect(outcome('wake() {}, sleep() {}')).toMatch(/make answered nothing with pick\(\)/);
    expect(outcome('wake() { null.x; }, sleep() {}, pick() {}')).toMatch(/TypeError: .* \(line 1\)/);
    expect(outcome('wake() { throw null; }, sleep() {}, pick() {}')).toMatch(/it threw null, which is no Error/);
    const pick = (answer: string): string => outcome(`wake(t) { this.t = t; }, sleep() {}, pick() { ${answer} }`);
    expect(pick('')).toMatch(/pick\(0\) answered undefined, expected { task, slice }/);
    expect(pick('return this.t;')).toMatch(/answered { .* }, expected { task, slice }/);
    expect(pick('return { task: 3, slice: 1 };')).toMatch(
      /task 3, expected null or a task that wake\(\) was called with/,
    );
    for (const slice of ['0', '-1', 'NaN', '0.5', '"1"', '1e6 / 3']) {
      expect(pick(`return { task: null, slice: ${slice} };`)).toMatch(
        /a slice of .*, expected a whole number of nanosec/,
      );
    }
    const wake = (asked: string): string => {
      const text = `wake(t) { h.${asked}; }, sleep() {}, pick: () => ({ task: null, slice: Infinity }), timer: undefined`;
      return outcome(text, 'const h = host;');
    };
    expect(wake('resched(7)')).toMatch(/resched\(7\): no such pCPU, expected one of 0 to 0 \(line 1\)/);
    expect(wake('hold(t, "sleep")')).toMatch(/hold\(task, "sleep"\): expected 'park' or 'costop'/);
    expect(wake('release(4, "park")')).toMatch(/release: 4 is not a task/);
    expect(wake('arm(0, 5)')).toMatch(/it has no method timer\(\) to be called/);
    const again = (timer: string): string => {
      const text = `wake(t, now) { h.arm(0, now + 1); }, sleep() {}, pick: () => ({ task: null, slice: Infinity })`;
      return outcome(`${text}, timer(i, now) { h.arm(0, ${timer}); }`, 'const h = host;');
    };
    expect(again('now')).toMatch(/timer\(\) was called 1000000 times|time stands still/);
    expect(again('now + 1')).toMatch(/timer\(\) was called 1000000 times within \d+ ns, .* an endless loop/);
    expect(outcome(`${METHODS}, charge: 5`)).toMatch(/charge is 5, expected a function/);
    expect(outcome(`${METHODS}, heeds: ['x']`)).toMatch(/heeds is \["x"\], expected a list of ipi, address-space/);
  });

  test('one that never picks anybody ends as stalled, and the reason is the scheduler', () => {
    const file = withFile(`export default { name: 'x', summary: 'y', make() { return { ${METHODS} }; } };`);
    const record = run(`name: a\nhost: { scheduler: { module: ${file} } }\nvms: [{ name: a, demand: hog }]\n`);
    expect(vmOf(record, 'a')).toMatchObject({ outcome: 'stalled' });
    expect(vmOf(record, 'a').detail).toMatch(/it could run, but the scheduler leaves the physical CPUs idle/);
  });

  test('may be TypeScript where a loader is at hand', () => {
    const file = withFile(
      `const summary: string = 'y'; export default { name: 'x', summary, make() { return { ${METHODS} }; } };`,
      'ts',
    );
    expect(load(file).name).toBe('x');
  });
});

/**
 * The star test for several CPUs: what nano-smp prints on QEMU it prints under every technique, on more and on fewer pCPUs
 * than it has vCPUs, under every scheduler, with PAUSE-loop exiting or without; and both engines agree to the last count.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { schedulers } from '../../src/host/sched/index.ts';
import { buildWorld, finishWorld } from '../../src/lab/build.ts';
import { collect } from '../../src/lab/collect.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import type { ScenarioInput } from '../../src/lab/schema.ts';
import { ENGINE_NAMES, type EngineName } from '../../src/vmm/machine.ts';

interface ExpectedRun {
  readonly guest: string;
  readonly append: string;
  readonly cpus?: number;
  readonly file: string;
}
type Vm = ScenarioInput['vms'][number];
type Host = NonNullable<ScenarioInput['host']>;

const EXPECTED = new URL('../../guests/expected/', import.meta.url);
const runs = (JSON.parse(readFileSync(new URL('runs.json', EXPECTED), 'utf8')) as ExpectedRun[]).filter(
  (run): run is ExpectedRun & { cpus: number } => run.cpus !== undefined && run.cpus > 1,
);
const textOf = ({ file }: ExpectedRun): string => readFileSync(new URL(file, EXPECTED), 'latin1');

const MODES: Readonly<Record<string, Partial<Vm>>> = {
  native: { technique: 'native' },
  nested: { technique: 'hardware-assisted', paging: 'nested' },
  shadow: { technique: 'hardware-assisted', paging: 'shadow' },
  'trap, ring 1': { technique: 'trap-and-emulate' },
  'trap, ring 3': { technique: 'trap-and-emulate', ring: 3 },
  translated: { technique: 'binary-translation' },
};
/** Short slices: whoever waits for a vCPU that is off the CPU spins to the end of its own. */
const SHORT_SLICES = { policy: 'round-robin', quantum_ms: 1 };
const VIRTUAL = Object.entries(MODES).filter(([name]) => name !== 'native');

/** Runs one VM; a slow clock, because CPUs that wait spin. */
function run(expected: ExpectedRun & { cpus: number }, vm: Partial<Vm>, host: Host = {}, engine?: EngineName) {
  const scenario = defineScenario({
    name: 'smp',
    duration: '20 s',
    baseline: 'none',
    host: { pcpus: expected.cpus, memory: '64 MiB', frequency: '100 MHz', scheduler: 'round-robin', ...host },
    vms: [{ name: 'vm', guest: 'nano-smp', memory: '16 MiB', workload: expected.append, vcpus: expected.cpus, ...vm }],
  });
  const world = buildWorld(planRuns(scenario, (guest) => guest).runs[0]!, engine === undefined ? {} : { engine });
  return collect(world, finishWorld(world));
}

function expectText(expected: ExpectedRun & { cpus: number }, vm: Partial<Vm>, host?: Host): void {
  const [record] = run(expected, vm, host).vms;
  expect(record!.console).toBe(textOf(expected));
  expect(record).toMatchObject({ outcome: 'completed', exitCode: 0 });
}

const find = (append: RegExp, cpus: number) => runs.find((one) => append.test(one.append) && one.cpus === cpus)!;
const TICKET = find(/ticket/, 4);
const PV = find(/kind=pv/, 4);
const SHOOTDOWN = find(/shootdown/, 4);
const PIPELINE = find(/pipeline/, 4);

describe.each(Object.entries(MODES))('%s', (_name, vm) => {
  it.each(runs)('$append, $cpus CPUs', (expected) => expectText(expected, vm));
});

describe.each([1, 2, 3, 6])('on %i pCPUs', (pcpus) => {
  it.each(VIRTUAL)('%s', (_name, vm) => {
    for (const expected of [PV, SHOOTDOWN, PIPELINE]) expectText(expected, vm, { pcpus, scheduler: SHORT_SLICES });
  });
});

describe.each(schedulers.map(({ name }) => name))('under %s', (scheduler) => {
  it('on a pCPU for each vCPU', () => {
    for (const expected of [TICKET, PV, PIPELINE]) expectText(expected, MODES['nested']!, { scheduler });
  });

  // Under `null` a vCPU without a pCPU of its own never runs; `gang` says that it cannot. Who halts is done sooner than who spins.
  it.skipIf(scheduler === 'null' || scheduler === 'gang')('on half as many', () => {
    for (const expected of [PV, PIPELINE]) expectText(expected, MODES['nested']!, { scheduler, pcpus: 2 });
  });
});

describe('a vCPU that spins for a lock whose holder is off the only pCPU', () => {
  /** Slices of 1 ms; a critical section takes 0.1 ms, so that many are cut short. */
  const scheduled = (kind: string, ple: boolean) => {
    const append = `spinlock kind=${kind} hold=2000 gap=500 n=40 limit=20`;
    const expected = { ...TICKET, append };
    const host = { pcpus: 1, scheduler: SHORT_SLICES };
    const [vm] = run(expected, { vmx: { pause_loop_exiting: ple } }, host).vms;
    expect(vm!.console).toMatch(/ result=160 errors=0 checksum=/);
    const exits = (reason: string): number => vm!.exits.find((row) => row.reason === reason)?.count ?? 0;
    return { ns: vm!.elapsedNs, pauses: exits('pause'), halts: exits('hlt') };
  };
  const ticket = scheduled('ticket', false);

  it('wastes its slices', () => {
    // Alone, the work would take (2000 + 500) x 40 x 4 iterations of 4 instructions: 16 ms at least, 32 ms at most.
    expect(ticket.pauses).toBe(0);
    expect(ticket.ns).toBeGreaterThan(64e6);
  });

  it('leaves by PAUSE-loop exiting, and the lock moves on sooner', () => {
    const yielding = scheduled('ticket', true);
    expect(yielding.pauses).toBeGreaterThan(40);
    expect(ticket.ns / yielding.ns).toBeGreaterThan(2);
  });

  it('of a paravirtual lock halts instead', () => {
    const pv = scheduled('pv', false);
    expect(pv.halts).toBeGreaterThan(40);
    expect(ticket.ns / pv.ns).toBeGreaterThan(2);
  });
});

describe('both engines agree', () => {
  it.each(Object.entries(MODES))('%s', (name, vm) => {
    const cases = [
      { expected: TICKET, pcpus: 4 },
      { expected: SHOOTDOWN, pcpus: 4 },
      { expected: PV, pcpus: name === 'native' ? 4 : 2 },
    ];
    for (const { expected, pcpus } of cases) {
      const host = { pcpus, scheduler: SHORT_SLICES };
      const [first, second] = ENGINE_NAMES.map((engine) => run(expected, vm, host, engine));
      expect(second).toEqual(first);
    }
  });
});

/**
 * What every scheduling policy must do, whatever it is for. A new policy is tested here without a line of its own: its
 * traits say what it promises about idle pCPUs, weights and caps. More settings to run it with are in variants.ts.
 */
import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NS_PER_MS, NS_PER_US } from '../../src/core/units.ts';
import {
  barrier,
  hog,
  interactive,
  periodic,
  pipeline,
  server,
  shootdown,
  spinlock,
  yielder,
} from '../../src/host/modelled/index.ts';
import { Monitor } from '../../src/host/monitor.ts';
import { type Params, parseParams } from '../../src/host/params.ts';
import { poolsPolicy } from '../../src/host/pools.ts';
import { credit, schedulers } from '../../src/host/sched/index.ts';
import {
  type SchedulerPolicy,
  STATE_COSTOPPED,
  STATE_PARKED,
  STATE_READY,
  STATE_RUNNING,
} from '../../src/host/scheduler.ts';
import { makeTopology } from '../../src/host/topology.ts';
import { loadPolicy } from '../../src/lab/own-policy.ts';
import { Lab, type LabSpec, type LabVm } from './lab.ts';
import { DEDICATED, EAGER, REPLACED_DEFAULTS, VARIANTS } from './variants.ts';

const A: LabVm = { demand: hog };
const MIX: readonly LabVm[] = [
  { demand: interactive, vcpus: 3 },
  { demand: periodic, with: { work_us: 700, period_us: 7_300 }, weight: 512 },
  A,
  { demand: yielder, weight: 100 },
  { demand: hog, vcpus: 2, with: { work_us: 90_000 }, startMs: 33 },
];

/** A scheduler of the user is held to the same. */
const own = loadPolicy(resolve('scenarios/custom/shortest-first.js'), 'default', 'shortest-first.js');

/** Credit in one pool of all pCPUs promises what credit does, under the settings that EAGER has for it. */
const inOnePool: SchedulerPolicy = {
  ...poolsPolicy([{ name: 'all', pcpus: [0], policy: credit }]),
  traits: credit.traits,
  make: (host) => {
    const pcpus = host.topology.map(({ id }) => id);
    return poolsPolicy([{ name: 'all', pcpus, policy: credit, params: EAGER['credit']! }]).make(host);
  },
};

const cases = [...schedulers, own, inOnePool].flatMap((policy) =>
  [REPLACED_DEFAULTS[policy.name] ?? {}, ...(VARIANTS[policy.name] ?? [])].map(
    (params): [string, SchedulerPolicy, Params] => [`${policy.name} ${JSON.stringify(params)}`, policy, params],
  ),
);

/** Everything that can be told from outside about a run. */
function history(lab: Lab): unknown {
  const { tasks, pcpus } = lab.host;
  return [
    lab.trace.digest.hex(),
    tasks.map((task) => [...task.times, ...task.wakeLatencies, task.migrations]),
    pcpus.map((entry) => [...entry.pcpu.spent, entry.switches]),
  ];
}

describe.each(cases)('%s', (_name, policy, params) => {
  const run = (spec: Omit<LabSpec, 'policy'>, ms: number): Lab => {
    const lab = new Lab({ policy, params, ...spec });
    lab.runMs(ms);
    return lab;
  };

  test('describes itself', () => {
    expect(policy.name).toMatch(/^[a-z0-9-]+$/);
    expect(policy.summary.length).toBeGreaterThan(10);
    expect(policy.basis === 'own' || policy.origin !== '').toBe(true);
    for (const param of Object.values(policy.params)) expect(param.meaning).not.toBe('');
    expect(() => parseParams(policy.name, policy.params, {})).not.toThrow();
  });

  test('hogs keep every pCPU busy and none of them starves', () => {
    if (!policy.traits.workConserving) return;
    for (const pcpus of [1, 2, 3]) {
      const lab = run({ pcpus, vms: Array.from({ length: 2 * pcpus + 1 }, () => A) }, 3000);
      for (const pcpu of lab.host.pcpus) expect(pcpu.idleNs).toBe(0);
      for (const share of lab.shares()) expect(share).toBeGreaterThan(0.5 * (pcpus / (2 * pcpus + 1)));
    }
  });

  test('a monitor changes nothing, and its books are those of the dispatcher', () => {
    const spec = { pcpus: 3, switchCycles: 3_000, vms: MIX };
    const monitor = new Monitor(makeTopology({ sockets: 1, coresPerSocket: 3, threadsPerCore: 1 }));
    const lab = run({ ...spec, monitor }, 300);
    monitor.finish();
    expect(history(lab)).toEqual(history(run(spec, 300)));
    for (const vm of lab.host.vms) {
      const { runNs, wantNs } = monitor.ofVm(vm);
      const wanted = [STATE_RUNNING, STATE_READY, STATE_PARKED, STATE_COSTOPPED];
      const time = (states: readonly number[]): number =>
        vm.tasks.reduce((sum, task) => sum + states.reduce((own, state) => own + task.times[state]!, 0), 0);
      expect([runNs, wantNs]).toEqual([time([STATE_RUNNING]), time(wanted)]);
    }
  });

  test('V22: no pCPU stays idle next to a ready task', () => {
    if (!policy.traits.workConserving) return;
    // Without the yielder: a policy may well refuse to move a task that has just yielded (credit does).
    const vms = [...MIX.filter(({ demand }) => demand !== yielder), { demand: interactive, vcpus: 4 }];
    const lab = new Lab({ policy, params: { ...params, ...EAGER[policy.name] }, pcpus: 3, vms });
    for (let us = 100; us <= 1_000_000; us += 100) {
      lab.host.runUntil(us * NS_PER_US);
      const count = (state: number): number => lab.host.tasks.filter((task) => task.state === state).length;
      expect(count(STATE_READY) === 0 || count(STATE_RUNNING) === 3).toBe(true);
    }
  });

  test('one vCPU gets all of a pCPU, and no more than one', () => {
    expect(run({ pcpus: 2, vms: [A] }, 500).shares()).toEqual([1]);
  });

  test('shares follow weights', () => {
    const extra = policy.traits.weights;
    if (extra === null) return;
    const lab = new Lab({
      policy,
      params: { ...params, ...extra },
      vms: [A, { ...A, weight: 512 }, { ...A, weight: 768 }],
    });
    lab.runMs(60_000);
    for (const [i, expected] of [1 / 6, 2 / 6, 3 / 6].entries()) {
      expect(Math.abs(lab.shares()[i] - expected)).toBeLessThan(0.02 * expected);
    }
  });

  test('a cap is an upper bound', () => {
    const extra = policy.traits.caps;
    if (extra === null) return;
    const lab = new Lab({
      policy,
      params: { ...params, ...extra },
      vms: [{ ...A, capPercent: 20 }, { ...A, capPercent: 45 }, A],
    });
    lab.runMs(20_000);
    const [low, middle, free] = lab.shares();
    expect(low).toBeLessThan(0.21);
    expect(middle).toBeLessThan(0.46);
    expect(free).toBeGreaterThan(0.33);
  });

  test('a vCPU stays on the pCPUs of its hard mask', () => {
    // The dispatcher throws if a policy errs here; that the pinned ones get their time is what is left to check.
    const lab = run(
      { pcpus: 3, vms: [{ ...A, task: { hard: [2] } }, A, A, A, { ...A, task: { hard: [0, 2] } }] },
      3000,
    );
    if (DEDICATED.has(policy.name)) return;
    // A policy that leaves pCPUs idle by its rules may give less, but something.
    const least = policy.traits.workConserving ? 0.25 : 0.05;
    for (const share of lab.shares()) expect(share).toBeGreaterThan(least);
  });

  test('the same scenario has the same history', () => {
    const spec = { pcpus: 2, vms: MIX, switchCycles: 2000, hz: 2_399_999_999 };
    expect(history(run(spec, 400))).toEqual(history(run(spec, 400)));
    expect(history(run({ ...spec, seed: 2 }, 400))).not.toEqual(history(run(spec, 400)));
  });

  test('events that do nothing change nothing', () => {
    const spec = { pcpus: 3, vms: MIX, switchCycles: 2000 };
    const plain = history(run(spec, 150));
    const times = fc.array(fc.nat({ max: 150 * NS_PER_MS }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(times, (noise) => {
        const lab = new Lab({ policy, params, ...spec });
        for (const time of noise) lab.engine.at(time, () => undefined);
        lab.runMs(150);
        expect(history(lab)).toEqual(plain);
      }),
      { numRuns: 10 },
    );
  });

  test('V21: the books balance for any mix, frequency, quantum and switch cost', () => {
    const demand = fc.constantFrom<LabVm>(
      ...MIX,
      { demand: hog, capPercent: 30 },
      { demand: interactive, with: { burst_us: 50, think_us: 90 } },
      { demand: spinlock, vcpus: 3, with: { lock: 'pv', hold_us: 200, gap_us: 300, pause_loop_us: 20 } },
      { demand: spinlock, vcpus: 2, with: { lock: 'ticket', pause_loop_us: 20 } },
      { demand: barrier, vcpus: 3 },
      { demand: shootdown, vcpus: 2, with: { pause_loop_us: 20 } },
      { demand: pipeline, vcpus: 3 },
      { demand: server, with: { every_us: 700, work_us: 300, computes: true } },
    );
    const spec = fc.record({
      vms: fc.array(demand, { minLength: 1, maxLength: 6 }),
      pcpus: fc.integer({ min: 1, max: 4 }),
      hz: fc.constantFrom(1_000_000_000, 2_399_999_999, 333_333_333, 3_800_000_000),
      quantumNs: fc.constantFrom(1_000, 20_000, 77_777),
      switchCycles: fc.nat({ max: 20_000 }),
      seed: fc.nat({ max: 1000 }),
    });
    fc.assert(
      fc.property(spec, fc.array(fc.nat({ max: 100 }), { maxLength: 4 }), (host, stops) => {
        const lab = new Lab({ policy, params, ...host });
        // Every runUntil ends with the assertion that all accounts balance.
        for (const ms of stops.toSorted((a, b) => a - b)) lab.runMs(ms);
        lab.runMs(100);
        for (const task of lab.host.tasks) {
          const wall = task.times.reduce((sum, ns) => sum + ns, 0);
          expect(wall).toBe(task.accountedUntil);
          expect(Math.abs(wall - lab.host.now)).toBeLessThan(NS_PER_MS);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('vCPUs may come, go, be paused and resumed at any time', () => {
    const actions = fc.array(
      fc.record({ at: fc.nat({ max: 100_000 }), what: fc.nat({ max: 3 }), who: fc.nat({ max: 9 }) }),
      {
        maxLength: 40,
      },
    );
    fc.assert(
      fc.property(actions, (script) => {
        const lab = new Lab({ policy, params, pcpus: 2, vms: MIX });
        const { host } = lab;
        for (const { at, what, who } of script) {
          lab.engine.at(at * 1000, () => {
            const task = host.tasks[who % host.tasks.length];
            if (what === 0) host.pause(task);
            else if (what === 1) host.resume(task);
            else if (what === 2) host.end(task);
            else host.change(host.vms[who % host.vms.length], { weight: 1 + who * 100, capPercent: (who % 3) * 20 });
          });
        }
        for (const ms of [50, 100, 200]) expect(['limit', 'ended', 'stuck']).toContain(lab.runMs(ms));
      }),
      { numRuns: 60 },
    );
  });
});

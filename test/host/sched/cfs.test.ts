/**
 * CFS against the reference (section 2.1, V14), and the placement and balancing that it shares with EEVDF. Expected numbers are
 * the reference's, or follow from its rules by hand; none was produced by this program.
 */
import { describe, expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { ModelledVcpu } from '../../../src/host/modelled/demand.ts';
import { hog, interactive, periodic } from '../../../src/host/modelled/index.ts';
import type { Params } from '../../../src/host/params.ts';
import { cfs } from '../../../src/host/sched/index.ts';
import { STATE_READY } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };
/** The tunables of a host with eight pCPUs or more: 24, 3 and 4 ms. */
const LARGE = { scaling: 'none', latency_us: 24_000, min_granularity_us: 3000, wakeup_granularity_us: 4000 } as const;

const run = (params: Params, ms: number, spec: Omit<LabSpec, 'policy' | 'params'>): Lab => {
  const lab = new Lab({ policy: cfs, params, ...spec });
  lab.runMs(ms);
  return lab;
};
const percent = (lab: Lab): number[] => lab.shares().map((share) => 100 * share);

/** Lengths of uninterrupted runs in ms on pCPU 0 between two times, at least `skip` ms after the start. */
function runs(lab: Lab, skip: number): number[] {
  const starts = lab.trace.events.filter(({ kind, pcpu }) => kind === 'running' && pcpu === 0).map(({ at }) => at);
  const later = starts.filter((at) => at >= skip * NS_PER_MS);
  return later.slice(1).map((at, i) => (at - later[i]) / NS_PER_MS);
}

describe('V14: slices of equal hogs on one pCPU, rounded up to a tick', () => {
  const rows: [n: number, hz: number, ms: number][] = [
    [2, 1000, 13],
    [2, 250, 16],
    [4, 1000, 7],
    [4, 250, 8],
    [8, 1000, 4],
    [8, 250, 4],
    [12, 1000, 4],
    [12, 250, 4],
  ];
  test.each(rows)('%i hogs at HZ %i: %i ms', (n, hz, ms) => {
    for (const groups of [true, false]) {
      const vms = Array.from({ length: n }, () => A);
      const lab = run({ ...LARGE, hz, groups }, 3000, { vms, keepMax: 100_000 });
      expect(new Set(runs(lab, 1000))).toEqual(new Set([ms]));
    }
  });

  test('a latency that is no multiple of the granularity: 10 ms hold four slices, 3 ms each only from the fifth on', () => {
    const odd = { ...LARGE, hz: 1000, latency_us: 10_000 };
    // Four: 10 / 4 = 2.5 ms, up to a tick. Five: five times 3 ms, and more than that is 4 at a tick.
    for (const [n, ms] of [
      [4, 3],
      [5, 4],
    ] as const) {
      const lab = run(odd, 2000, { vms: Array.from({ length: n }, () => A), keepMax: 100_000 });
      expect(new Set(runs(lab, 1000))).toEqual(new Set([ms]));
    }
  });

  test('with exact timers 12 ms and 6 ms', () => {
    for (const [n, ms] of [
      [2, 12],
      [4, 6],
    ] as const) {
      const lab = run({ ...LARGE, hz: 1000, hrtick: true }, 2000, {
        vms: Array.from({ length: n }, () => A),
        keepMax: 100_000,
      });
      expect(new Set(runs(lab, 1000))).toEqual(new Set([ms]));
    }
  });

  test.each([
    [5, 75.35],
    [-5, 24.7],
  ])('nice 0 against nice %i: %f %% for the first', (nice, expected) => {
    const vms = [A, { ...A, task: { params: { nice } } }];
    const [first, second] = percent(run({ ...LARGE, hz: 1000, groups: false }, 60_000, { vms }));
    expect(Math.abs(first - expected)).toBeLessThan(0.1);
    expect(Math.abs(second - (100 - expected))).toBeLessThan(0.1);
  });

  test('nice is what a host process brings along; with groups it only counts inside of its VM', () => {
    const vms = [A, { ...A, task: { params: { nice: 5 } } }];
    const [first] = percent(run({ hz: 1000 }, 20_000, { vms }));
    expect(Math.abs(first - 50)).toBeLessThan(0.2);
  });
});

describe('time constants grow with the number of pCPUs', () => {
  // 6 ms x 1, 2, 3, 4 and two hogs on each: half of that, and one tick of 1 ms more.
  test.each([
    [1, 4],
    [2, 7],
    [4, 10],
    [8, 13],
    [16, 13],
  ])('%i pCPUs: slices of %i ms', (pcpus, ms) => {
    const vms = Array.from({ length: 2 * pcpus }, (_, i) => ({ ...A, task: { hard: [i % pcpus] } }));
    const lab = run({ hz: 1000 }, 1500, { pcpus, vms, keepMax: 100_000 });
    expect(new Set(runs(lab, 500))).toEqual(new Set([ms]));
  });
});

describe('groups', () => {
  test.each([
    [true, 50],
    [false, 100 / 9],
  ])('a VM of one vCPU and a VM of eight, groups %s: %d %% for the first', (groups, expected) => {
    const lab = run({ groups, hz: 1000 }, 20_000, { vms: [A, { ...A, vcpus: 8 }] });
    expect(Math.abs(percent(lab)[0] - expected)).toBeLessThan(0.5);
  });

  test('the weight of a VM is divided among its pCPUs by load', () => {
    // VM 0 has one vCPU pinned to each pCPU, VM 1 one vCPU on pCPU 0: half of the weight against all of it.
    const lab = new Lab({ policy: cfs, params: { hz: 1000 }, pcpus: 2, vms: [{ ...A, task: { hard: [0] } }] });
    lab.add(lab.host.vms[0], makeHog(lab), { hard: [1] });
    const rival = lab.host.addVm({ name: 'rival' });
    lab.add(rival, makeHog(lab), { hard: [0] });
    lab.runMs(30_000);
    const [first, alone, other] = percent(lab);
    expect(Math.abs(first - 100 / 3)).toBeLessThan(0.3);
    expect(alone).toBe(100);
    expect(Math.abs(other - 200 / 3)).toBeLessThan(0.3);
  });
});

function makeHog(lab: Lab): ModelledVcpu {
  return new ModelledVcpu(lab.engine, hog.make({}, lab.streams.stream(`more${lab.host.tasks.length}`)));
}

describe('wake-up', () => {
  const io = (work_us: number): LabVm => ({ demand: periodic, with: { work_us, period_us: 40_000 } });

  test('a sleeper preempts a hog at once, if it is behind by more than the granularity', () => {
    const lab = run({ ...LARGE, hz: 1000 }, 10_000, { vms: [io(100), A] });
    expect(latenciesMs(lab.host.tasks[0]).slice(10).at(-1)).toBe(0);
  });

  test.each([
    [1000, 1],
    [250, 4],
  ])('without wake-up preemption it waits for the next tick (HZ %i: %i ms)', (hz, ms) => {
    // It is half a latency behind and the hog ran far longer than a slice; wake-ups fall on ticks here.
    const lab = run({ ...LARGE, hz, wakeup_preemption: false }, 10_000, { vms: [io(100), A] });
    expect(new Set(latenciesMs(lab.host.tasks[0]).slice(10))).toEqual(new Set([ms]));
  });

  test('behind n hogs a vCPU that is not behind waits (n - 1) slices', () => {
    const lab = run({ ...LARGE, hz: 1000 }, 5000, { vms: [A, A, A, A], keepMax: 100_000 });
    const starts = lab.trace.events.filter(({ kind, vcpu, at }) => kind === 'running' && vcpu === 0 && at > 1e9);
    for (const [i, { at }] of starts.slice(1).entries()) expect(at - starts[i].at).toBe(4 * 7 * NS_PER_MS);
  });
});

describe('several pCPUs', () => {
  test('three hogs on two pCPUs: two thirds each, by balancing', () => {
    const lab = run({ hz: 1000 }, 60_000, { pcpus: 2, vms: [A, A, A] });
    for (const share of percent(lab)) expect(Math.abs(share - 66.7)).toBeLessThan(5);
    expect(lab.note('balance')).toBeGreaterThan(10);
  });

  test('hogs spread over cores before they share one', () => {
    const topology = { sockets: 2, coresPerSocket: 2, threadsPerCore: 2 };
    const lab = run({}, 1000, { topology, vms: [A, A, A, A] });
    expect(lab.host.tasks.map(({ pcpu }) => pcpu % 2)).toEqual([0, 0, 0, 0]);
    expect(new Set(lab.host.tasks.map(({ pcpu }) => pcpu)).size).toBe(4);
  });

  test('a running vCPU is pushed to an idle core when pulling has failed', () => {
    // Both hogs start on one core, the other core belongs to hogs that end after 50 ms.
    const topology = { sockets: 1, coresPerSocket: 2, threadsPerCore: 2 };
    const short = { demand: hog, with: { work_us: 50_000 } };
    const lab = run({ hz: 1000 }, 3000, {
      topology,
      vms: [
        { ...A, task: { hard: [0, 2] } },
        { ...short, task: { hard: [2] } },
        { ...short, task: { hard: [3] } },
        { ...A, startMs: 1 },
      ],
    });
    const [first, , , last] = lab.host.tasks;
    expect(first.pcpu >> 1).not.toBe(last.pcpu >> 1);
  });

  test('a wake-up on a busy pCPU goes to an idle one of its socket', () => {
    const vms = [
      { ...A, task: { hard: [0] } },
      { demand: interactive, task: { hard: [0, 1] } },
    ];
    const lab = run({}, 5000, { pcpus: 2, vms });
    expect(lab.host.tasks[1].times[STATE_READY]).toBe(0);
  });
});

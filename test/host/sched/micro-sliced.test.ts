/** Micro-sliced pCPUs: short slices everywhere, and the pool that helps vCPUs preempted inside a lock. */
import { describe, expect, test } from 'vitest';
import { DOING_LOCKED, type Runnable, type RunStop } from '../../../src/core/runnable.ts';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog } from '../../../src/host/modelled/index.ts';
import { microSliced } from '../../../src/host/sched/index.ts';
import { Lab, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };

/** Computes for `chunk` cycles at a time and says how each ends. */
const vcpu = (doing: number, chunk: number, stop: RunStop): Runnable => ({
  doing,
  onAttach: () => undefined,
  onDispatch: () => undefined,
  onDeschedule: () => undefined,
  run(pcpu, budget) {
    const cycles = Math.min(chunk, budget);
    pcpu.spend(0, cycles);
    return cycles === chunk ? stop : 'budget';
  },
});

test('uniform: three hogs take turns of 1 ms', () => {
  const lab = new Lab({ policy: microSliced, params: { form: 'uniform' }, vms: [A, A, A], keepMax: 1000 });
  lab.runMs(30);
  const starts = lab.trace.events.filter(({ kind }) => kind === 'running').map(({ at }) => at / NS_PER_MS);
  expect(starts).toEqual(Array.from({ length: 30 }, (_, i) => i));
});

describe('the pool', () => {
  /** A lock holder and a spinner, pinned to pCPU 0 and 1 of three but for the pool (pCPU 2), among hogs. */
  const build = (params: Record<string, number>): Lab => {
    const lab = new Lab({
      policy: microSliced,
      params,
      pcpus: 3,
      keepMax: 100_000,
      vms: [
        { ...A, task: { hard: [0] } },
        { ...A, task: { hard: [0] } },
        { ...A, task: { hard: [2] } },
        { ...A, task: { hard: [2] } },
      ],
    });
    // Its spinner has pCPU 1 for itself; the weight is such that half a pCPU is left for its holder: 4 x 3/8 = 1 + 1/2.
    const vm = lab.host.addVm({ name: 'smp', weight: 1024 });
    lab.add(vm, vcpu(DOING_LOCKED, 1e12, 'budget'), { hard: [0, 2] });
    lab.add(vm, vcpu(0, 5_000, 'spin'), { hard: [1] });
    lab.runMs(600);
    return lab;
  };

  test('a preempted holder runs there for a micro slice of 100 us, once in a period of 30 ms, and goes home', () => {
    const lab = build({});
    const helps = lab.trace.events.filter(({ kind }) => kind === 'micro');
    // It waits on pCPU 0 for most of the time, and its sibling spins all the time: help in each period in which it waits.
    expect(helps.length).toBeGreaterThan(8);
    expect(helps.length).toBeLessThanOrEqual(20);
    const own = lab.trace.events.filter(({ vcpu: id }) => id === 4);
    const stays = own.flatMap((event, i) =>
      event.kind === 'running' && own[i - 1].kind === 'micro' ? [own[i + 1].at - event.at] : [],
    );
    expect(stays.length).toBe(helps.length);
    for (const stay of stays) expect(Math.abs(stay - 0.1 * NS_PER_MS)).toBeLessThan(0.025 * NS_PER_MS);
    expect(own.some(({ kind, pcpu }) => kind === 'running' && pcpu === 0)).toBe(true);
  });

  test('nobody is helped without a pool, or when nobody spins', () => {
    expect(build({ pool_max: 0 }).note('micro')).toBe(0);
    const quiet = new Lab({ policy: microSliced, pcpus: 2, vms: [A, A, A] });
    quiet.runMs(300);
    expect(quiet.note('micro')).toBe(0);
  });
});

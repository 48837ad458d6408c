/**
 * Halt polling (section 2.6, V20): the window follows the reference step by step, polls save the way through the scheduler, and
 * cost the pCPU. Expected values are the reference's or follow from its rules by hand.
 */
import { describe, expect, test } from 'vitest';
import { ACCOUNT_GUEST, ACCOUNT_VMM } from '../../src/core/runnable.ts';
import { NS_PER_MS, NS_PER_US, type Ns } from '../../src/core/units.ts';
import { HaltPolling, haltPollingParams, nextWindow } from '../../src/host/halt-polling.ts';
import { type Demand, ModelledVcpu, type Step } from '../../src/host/modelled/demand.ts';
import { hog } from '../../src/host/modelled/index.ts';
import { type Params, parseParams } from '../../src/host/params.ts';
import { cfs, credit, eevdf, roundRobin } from '../../src/host/sched/index.ts';
import { STATE_BLOCKED, STATE_RUNNING } from '../../src/host/scheduler.ts';
import { Lab } from './lab.ts';

const X86 = parseParams('test', haltPollingParams, {});

/** Windows after each of these blocks, from `window` on. */
function windows(blocks: readonly Ns[], settings = X86, window: Ns = 0): Ns[] {
  let h = window;
  return blocks.map((blocked) => {
    h = nextWindow(settings, h, blocked);
    return h;
  });
}
const us = (...values: number[]): Ns[] => values.map((value) => value * NS_PER_US);
const times = (n: number, block: Ns): Ns[] => Array.from({ length: n }, () => block);

describe('V20: the window', () => {
  test('blocks of 50 us: 10, 20, 40, 80, and 80 for ever', () => {
    expect(windows(times(7, 50_000))).toEqual(us(10, 20, 40, 80, 80, 80, 80));
  });

  test('blocks of 10 ms: stays 0', () => {
    expect(windows(times(4, 10 * NS_PER_MS))).toEqual(us(0, 0, 0, 0));
  });

  test('blocks of 150 us: up to 160; then one of 10 ms: 0, or 80 with shrink 2', () => {
    expect(windows(times(6, 150_000))).toEqual(us(10, 20, 40, 80, 160, 160));
    expect(nextWindow(X86, 160_000, 10 * NS_PER_MS)).toBe(0);
    expect(nextWindow({ ...X86, shrink: 2 }, 160_000, 10 * NS_PER_MS)).toBe(80_000);
  });

  test('never above the limit, and to 0 below the first step', () => {
    expect(windows(times(7, 190_000)).slice(-3)).toEqual(us(160, 200, 200));
    expect(nextWindow({ ...X86, shrink: 2 }, 10_000, 10 * NS_PER_MS)).toBe(0);
    expect(nextWindow({ ...X86, grow: 3, grow_start_ns: 7000 }, 7000, 50_000)).toBe(21_000);
  });

  test('a wake-up for nothing shrinks it', () => {
    expect(nextWindow(X86, 80_000, 1000, false)).toBe(0);
    expect(nextWindow({ ...X86, shrink: 2 }, 80_000, 1000, false)).toBe(40_000);
  });
});

/** Computes for 5 us, then halts for `gap`, for ever. */
function pinger(gap: Ns): Demand {
  let computing = false;
  return {
    next(now): Step {
      computing = !computing;
      return computing ? { kind: 'compute', time: 5000 } : { kind: 'sleep-until', time: now + gap };
    },
  };
}

/** Hides that the vCPU is foreseeable: executed vCPUs are not. */
function opaque(vcpu: ModelledVcpu): ModelledVcpu {
  Object.defineProperty(vcpu, 'cyclesToStop', { value: undefined });
  return vcpu;
}

describe.each([cfs, eevdf, credit, roundRobin])('under $name', (policy) => {
  const setUp = (gap: Ns, params: Params, more: { hogs?: number; hidden?: boolean; pcpus?: number } = {}) => {
    const vms = Array.from({ length: more.hogs ?? 0 }, () => ({ demand: hog }));
    const lab = new Lab({ policy, pcpus: more.pcpus ?? 1, vms, switchCycles: 1000 });
    const vcpu = new ModelledVcpu(lab.engine, pinger(gap));
    const polling = new HaltPolling(more.hidden === true ? opaque(vcpu) : vcpu, params, ({ id }) => lab.host.waits(id));
    const task = lab.add(lab.host.addVm({ name: 'ping' }), polling);
    return { lab, vcpu, polling, task };
  };

  test.each([false, true])('gaps of 50 us end in polls, which use the pCPU all the time (hidden %s)', (hidden) => {
    const { lab, polling, task } = setUp(50_000, {}, { hidden });
    lab.runMs(100);
    expect(polling.window).toBe(80_000);
    // Four blocks until the window is large enough, the first without a poll; a round takes 55 us.
    expect(polling.attempted - polling.successful).toBeLessThanOrEqual(4);
    expect(polling.successful).toBeGreaterThan(1800);
    // 10, 20 and 40 us of polls in vain: the last one may be under way.
    expect(polling.failNs).toBe(70_000);
    expect(polling.successNs).toBe(polling.successful * 50_000);
    expect(task.times[STATE_RUNNING] / lab.host.now).toBeGreaterThan(0.99);
    expect(task.spent[ACCOUNT_VMM] / task.spent[ACCOUNT_GUEST]).toBeGreaterThan(9);
    expect(polling.invalid).toBe(0);
  });

  test('gaps of 10 ms are slept through', () => {
    const { lab, polling, task } = setUp(10 * NS_PER_MS, {});
    lab.runMs(1000);
    expect([polling.window, polling.attempted, task.spent[ACCOUNT_VMM]]).toEqual([0, 0, 0]);
    expect(task.times[STATE_BLOCKED] / lab.host.now).toBeGreaterThan(0.99);
  });

  test('the limit 0 switches it off', () => {
    const { lab, polling } = setUp(50_000, { halt_poll_ns: 0 });
    lab.runMs(50);
    expect(polling.attempted).toBe(0);
  });

  test('nobody polls while another task waits', () => {
    const { lab, polling } = setUp(50_000, {}, { hogs: 1 });
    lab.runMs(200);
    expect(polling.failNs + polling.successNs).toBe(0);
    expect(lab.host.tasks[0].times[STATE_RUNNING]).toBeGreaterThan(0);
  });

  test('the rounds are those of a vCPU that does not poll', () => {
    const rounds = (params: Params): number => {
      const { lab, vcpu } = setUp(50_000, params);
      lab.runMs(100);
      return vcpu.completed;
    };
    expect(Math.abs(rounds({}) - rounds({ halt_poll_ns: 0 }))).toBeLessThanOrEqual(1);
  });
});

test('bad settings are refused', () => {
  const lab = new Lab({ policy: cfs, vms: [] });
  const vcpu = new ModelledVcpu(lab.engine, pinger(1));
  expect(() => new HaltPolling(vcpu, { halt_poll_ns: -1 }, () => false)).toThrow(/halt_poll_ns: found -1/);
});

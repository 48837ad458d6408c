/** The mechanism: time between pCPUs, switches, wake-ups, ends, and its own bounds. */
import { describe, expect, test } from 'vitest';
import { Engine } from '../../src/core/engine.ts';
import { Bug, UserError } from '../../src/core/errors.ts';
import {
  ACCOUNT_GUEST,
  ACCOUNT_IDLE,
  ACCOUNT_SWITCH,
  type Pcpu,
  type Runnable,
  type RunnableHost,
  type RunStop,
} from '../../src/core/runnable.ts';
import { NS_PER_MS, NS_PER_US, type Ns } from '../../src/core/units.ts';
import { ModelledVcpu } from '../../src/host/modelled/demand.ts';
import { hog, interactive, periodic } from '../../src/host/modelled/index.ts';
import { credit, roundRobin } from '../../src/host/sched/index.ts';
import { definePolicy, STATE_BLOCKED, STATE_PAUSED, STATE_READY, STATE_RUNNING } from '../../src/host/scheduler.ts';
import { Lab, type LabVm } from './lab.ts';

const A: LabVm = { demand: hog };

/** A Runnable made of a function, with a log of the notices it got. */
class Scripted implements Runnable {
  wake: () => void = () => undefined;
  readonly log: string[] = [];
  private readonly body: (pcpu: Pcpu, budget: number) => RunStop;
  constructor(body: (pcpu: Pcpu, budget: number) => RunStop) {
    this.body = body;
  }
  onAttach(host: RunnableHost): void {
    this.wake = () => host.wake();
  }
  onDispatch(pcpu: Pcpu): void {
    this.log.push(`+${pcpu.id}`);
  }
  onDeschedule(pcpu: Pcpu): void {
    this.log.push(`-${pcpu.id}`);
  }
  run(pcpu: Pcpu, budget: number): RunStop {
    return this.body(pcpu, budget);
  }
}

/** Hides that a Runnable is foreseeable. */
class InWindows implements Runnable {
  private readonly inner: Runnable;
  constructor(inner: Runnable) {
    this.inner = inner;
  }
  onAttach(host: RunnableHost): void {
    this.inner.onAttach(host);
  }
  onDispatch(pcpu: Pcpu): void {
    this.inner.onDispatch(pcpu);
  }
  onDeschedule(pcpu: Pcpu): void {
    this.inner.onDeschedule(pcpu);
  }
  run(pcpu: Pcpu, budget: number): RunStop {
    return this.inner.run(pcpu, budget);
  }
}

const spin = (pcpu: Pcpu, budget: number): RunStop => {
  pcpu.spend(ACCOUNT_GUEST, budget);
  return 'budget';
};

describe('end of a run', () => {
  test('limit, ended, stuck', () => {
    expect(new Lab({ policy: roundRobin, vms: [A] }).runMs(10)).toBe('limit');
    const ending = new Lab({ policy: roundRobin, vms: [{ demand: hog, with: { work_us: 7 } }] });
    expect(ending.runMs(10)).toBe('ended');
    expect(ending.host.now).toBe(7 * NS_PER_US);
    const empty = new Lab({ policy: roundRobin, vms: [] });
    empty.add(empty.host.addVm({ name: 'dead' }), new Scripted(() => 'block'));
    expect(empty.runMs(10)).toBe('stuck');
    expect(empty.host.now).toBe(0);
  });

  test('ends although timers of the policy and events of dead devices remain', () => {
    const lab = new Lab({ policy: credit, vms: [{ demand: hog, with: { work_us: 7 } }] });
    const tick = (): void => void lab.engine.at(lab.engine.now + 1000, tick);
    tick();
    expect(lab.runMs(1000)).toBe('ended');
  });

  test('stopping half way and going on gives the same history', () => {
    const vms: LabVm[] = [A, { demand: periodic }, A];
    const whole = new Lab({ policy: credit, pcpus: 2, vms, switchCycles: 3000 });
    whole.runMs(500);
    const parts = new Lab({ policy: credit, pcpus: 2, vms, switchCycles: 3000 });
    for (const ms of [1, 77, 250, 251, 500]) parts.runMs(ms);
    expect(parts.trace.digest.hex()).toBe(whole.trace.digest.hex());
    expect(parts.host.tasks.map((t) => [...t.times])).toEqual(whole.host.tasks.map((t) => [...t.times]));
  });
});

describe('time', () => {
  test('an idle host costs no windows, and sleeps exactly until its next event', () => {
    const lab = new Lab({ policy: roundRobin, vms: [{ demand: periodic, with: { period_us: 1_000_000 } }] });
    lab.runMs(10_000);
    expect(lab.host.windows).toBeLessThan(50);
    const [pcpu] = lab.host.pcpus;
    expect(pcpu!.pcpu.spent[ACCOUNT_IDLE]).toBe(10_000 * NS_PER_MS - 10 * 100 * NS_PER_US);
    expect(lab.host.tasks[0].wakeLatencies.every((wait) => wait === 0)).toBe(true);
  });

  test('a lone busy pCPU runs to the end of its slice in one window; two are kept within a quantum', () => {
    const alone = new Lab({ policy: roundRobin, pcpus: 2, vms: [] });
    alone.add(alone.host.addVm({ name: 'vm' }), new Scripted(spin));
    alone.runMs(100);
    expect(alone.host.windows).toBe(10);
    const spread: number[] = [];
    const lab = new Lab({ policy: roundRobin, pcpus: 2, vms: [] });
    const vm = lab.host.addVm({ name: 'vm' });
    for (let i = 0; i < 2; i++) {
      const body = (pcpu: Pcpu, budget: number): RunStop => {
        const times = lab.host.pcpus.map((entry) => entry.pcpu.clock.now);
        spread.push(Math.abs(times[0] - times[1]));
        return spin(pcpu, budget);
      };
      lab.add(vm, new Scripted(body));
    }
    lab.runMs(10);
    expect(Math.max(...spread)).toBeLessThanOrEqual(20 * NS_PER_US);
  });

  test('the window ends at the next event, also at one scheduled within it', () => {
    const lab = new Lab({ policy: roundRobin, vms: [] });
    const seen: Ns[] = [];
    let armed = false;
    const timer = new Scripted((pcpu, budget) => {
      if (!armed) {
        armed = true;
        pcpu.spend(ACCOUNT_GUEST, 1000);
        lab.engine.at(pcpu.clock.now + 500, () => seen.push(lab.engine.now, pcpu.clock.now));
        return 'budget'; // early, as the contract asks
      }
      return spin(pcpu, budget);
    });
    lab.add(lab.host.addVm({ name: 'vm' }), timer);
    lab.runMs(1);
    expect(seen).toEqual([1500, 1500]);
  });

  test('an overshoot is accounted and does not disturb the books', () => {
    const lab = new Lab({ policy: credit, pcpus: 2, vms: [A], hz: 2_399_999_999 });
    const coarse = new Scripted((pcpu) => {
      pcpu.spend(ACCOUNT_GUEST, 7_654_321);
      return 'budget';
    });
    lab.add(lab.host.addVm({ name: 'coarse' }), coarse);
    expect(lab.runMs(100)).toBe('limit');
    expect(lab.host.tasks[1].times[STATE_RUNNING]).toBeGreaterThan(100 * NS_PER_MS - 1);
  });
});

describe('switches', () => {
  test('cost falls on the pCPU when the task changes, not when the same one resumes', () => {
    const one = new Lab({ policy: roundRobin, switchCycles: 5000, vms: [{ demand: periodic }] });
    one.runMs(100);
    expect([one.host.pcpus[0].switches, one.host.pcpus[0].pcpu.spent[ACCOUNT_SWITCH]]).toEqual([1, 5000]);
    const two = new Lab({ policy: roundRobin, switchCycles: 5000, vms: [A, A] });
    two.runMs(100);
    const [pcpu] = two.host.pcpus;
    expect(pcpu!.switches).toBe(10);
    expect(pcpu!.pcpu.spent[ACCOUNT_SWITCH]).toBe(50_000);
    expect(pcpu!.switchNs).toBe(50_000);
    // The slice is running time: both ran whole quanta.
    expect(two.host.tasks[0].times[STATE_RUNNING]).toBe(50 * NS_PER_MS);
  });

  test('voluntary, involuntary, migrations', () => {
    const lab = new Lab({ policy: roundRobin, pcpus: 2, vms: [A, A, A, { demand: periodic }] });
    lab.runMs(300);
    const [first, , , io] = lab.host.tasks;
    expect(first!.voluntary).toBe(0);
    expect(first!.involuntary).toBeGreaterThan(5);
    expect(first!.migrations).toBeGreaterThan(0);
    expect(io!.involuntary).toBe(0);
    expect(io!.voluntary).toBe(io!.dispatches);
  });

  test('context notices come in pairs, and only when the context really changes', () => {
    const lab = new Lab({ policy: roundRobin, vms: [] });
    const vm = lab.host.addVm({ name: 'vm' });
    const napper = (period: number): Scripted => {
      const self: Scripted = new Scripted((pcpu) => {
        pcpu.spend(ACCOUNT_GUEST, 1000);
        lab.engine.at(pcpu.clock.now + period, self.wake);
        return 'block';
      });
      return self;
    };
    const first = napper(100_000);
    lab.add(vm, first);
    lab.runMs(1);
    expect(first.log).toEqual(['+0']);
    const second = napper(10 * NS_PER_MS);
    lab.add(vm, second);
    lab.runMs(2);
    expect(first.log).toEqual(['+0', '-0', '+0']);
    expect(second.log).toEqual(['+0', '-0']);
  });
});

describe('wake-ups', () => {
  /** Two vCPUs on two pCPUs: the first one interrupts the second one, which sleeps, at 5 us. */
  const interrupt = (quantumNs: Ns): { at: Ns; latency: Ns } => {
    const lab = new Lab({ policy: roundRobin, pcpus: 2, quantumNs, vms: [] });
    const vm = lab.host.addVm({ name: 'vm' });
    let ranAt = -1;
    const sleeper = new Scripted((pcpu, budget) => {
      if (lab.host.tasks[0].wakes === 0) return 'block';
      if (ranAt < 0) ranAt = pcpu.clock.now;
      return spin(pcpu, budget);
    });
    let sent = false;
    const sender = new Scripted((pcpu, budget) => {
      if (sent) return spin(pcpu, budget);
      sent = true;
      pcpu.spend(ACCOUNT_GUEST, 5000);
      sleeper.wake();
      return 'budget';
    });
    lab.add(vm, sleeper);
    lab.add(vm, sender);
    lab.runMs(1);
    return { at: ranAt, latency: lab.host.tasks[0].wakeLatencies[0] };
  };

  test('an inter-processor interrupt wakes an idle pCPU at its moment, with any quantum', () => {
    expect(interrupt(20_000)).toEqual({ at: 5000, latency: 0 });
    expect(interrupt(10_000)).toEqual({ at: 5000, latency: 0 });
  });

  /** As above, but both pCPUs are busy: the interrupted vCPU has to preempt a hog, under credit with its boost. */
  const preemption = (quantumNs: Ns, foreseeable = false): Ns => {
    const hogs = foreseeable ? [{ ...A, task: { hard: [0] } }] : [];
    const lab = new Lab({ policy: credit, pcpus: 2, quantumNs, vms: hogs });
    if (!foreseeable) lab.add(lab.host.addVm({ name: 'hog' }), new Scripted(spin), { hard: [0] });
    const vm = lab.host.addVm({ name: 'vm' });
    const sleeper = new Scripted(() => 'block');
    const moments = [61_003_000, 64_511_000, 72_777_000];
    const sender = new Scripted((pcpu, budget) => {
      const due = moments[0] ?? Infinity;
      if (pcpu.clock.now < due) return spin(pcpu, Math.min(budget, Math.max(due - pcpu.clock.now, 1)));
      moments.shift();
      pcpu.spend(ACCOUNT_GUEST, 100);
      sleeper.wake();
      return 'budget';
    });
    lab.add(vm, sleeper, { hard: [0] });
    lab.add(vm, sender, { hard: [1] });
    lab.runMs(100);
    const { wakeLatencies } = lab.host.tasks[1];
    expect(wakeLatencies.length).toBe(3);
    return Math.max(...wakeLatencies);
  };

  test('across busy pCPUs the error is at most one quantum, and halves with it', () => {
    expect(preemption(20_000)).toBeGreaterThan(0);
    for (const quantum of [40_000, 20_000, 10_000, 5_000]) expect(preemption(quantum)).toBeLessThanOrEqual(quantum);
  });

  test('a foreseeable hog is preempted at the exact moment, with any quantum', () => {
    for (const quantum of [40_000, 20_000, 5_000]) expect(preemption(quantum, true)).toBe(0);
  });

  test('foreseeable tasks run the same history as the same tasks in short windows', () => {
    const vms: LabVm[] = [A, { demand: interactive, vcpus: 3 }, { demand: periodic, vcpus: 2 }];
    const history = (hidden: boolean): unknown => {
      const lab = new Lab({ policy: credit, pcpus: 2, quantumNs: hidden ? 1_000 : 20_000, vms: [] });
      for (const [i, { demand, vcpus = 1 }] of vms.entries()) {
        const vm = lab.host.addVm({ name: `vm${i}` });
        for (let k = 0; k < vcpus; k++) {
          const vcpu = new ModelledVcpu(lab.engine, demand.make({}, lab.streams.stream(`vm${i}.${k}`)));
          lab.add(vm, hidden ? new InWindows(vcpu) : vcpu);
        }
      }
      lab.runMs(200);
      return lab.host.tasks.map((task) => [...task.times]);
    };
    // Windows of 1 us delay what one pCPU does to another by up to that long; nothing here does anything to another.
    expect(history(false)).toEqual(history(true));
  });

  test('a wake-up is never lost: it cancels a block answered in a window that went past it', () => {
    const lab = new Lab({ policy: roundRobin, pcpus: 2, vms: [] });
    const vm = lab.host.addVm({ name: 'vm' });
    let pending = false;
    let served = 0;
    const target = new Scripted((pcpu, budget) => {
      if (pending) {
        pending = false;
        served++;
      }
      if (served > 0) return spin(pcpu, budget);
      pcpu.spend(ACCOUNT_GUEST, 18_000);
      return 'block';
    });
    let sent = false;
    const sender = new Scripted((pcpu, budget) => {
      if (sent) return spin(pcpu, budget);
      sent = true;
      pcpu.spend(ACCOUNT_GUEST, 10_000);
      pending = true;
      target.wake();
      return 'budget';
    });
    lab.add(vm, target);
    lab.add(vm, sender);
    lab.runMs(1);
    expect(served).toBe(1);
    expect(lab.host.tasks[0].times[STATE_BLOCKED]).toBe(0);
  });

  test('waking what is not blocked changes nothing', () => {
    const lab = new Lab({ policy: credit, vms: [A, A] });
    const plain = new Lab({ policy: credit, vms: [A, A] });
    for (let ms = 1; ms < 100; ms += 7) {
      const runnable = lab.host.tasks[ms % 2].runnable as unknown as { wake(): void };
      lab.engine.at(ms * NS_PER_MS, () => runnable.wake());
    }
    lab.runMs(200);
    plain.runMs(200);
    expect(lab.trace.digest.hex()).toBe(plain.trace.digest.hex());
  });
});

describe('interventions', () => {
  test('pause and resume, running, ready and blocked', () => {
    const lab = new Lab({ policy: credit, vms: [A, A, { demand: periodic }] });
    lab.runMs(35);
    for (const task of lab.host.tasks) lab.host.pause(task);
    lab.runMs(100);
    const ran = lab.host.tasks.map((task) => task.times[STATE_RUNNING]);
    lab.runMs(200);
    expect(lab.host.tasks.map((task) => task.times[STATE_RUNNING])).toEqual(ran);
    expect(lab.host.tasks[0].times[STATE_PAUSED]).toBe(165 * NS_PER_MS);
    for (const task of lab.host.tasks) lab.host.resume(task);
    lab.runMs(300);
    expect(lab.host.tasks[0].times[STATE_RUNNING] + lab.host.tasks[1].times[STATE_RUNNING]).toBeGreaterThan(
      ran[0] + ran[1] + 95 * NS_PER_MS,
    );
  });

  test('a task is ended from outside in every state, and others start later', () => {
    const lab = new Lab({ policy: credit, vms: [A, A, { demand: periodic }, { ...A, startMs: 50 }] });
    lab.runMs(35);
    const states = lab.host.tasks.map((task) => task.state);
    expect(new Set(states)).toContain(STATE_READY);
    for (const task of lab.host.tasks.slice(0, 3)) lab.host.end(task);
    expect(lab.runMs(100)).toBe('limit');
    expect(lab.host.tasks[3].times[STATE_RUNNING]).toBe(50 * NS_PER_MS);
    lab.host.end(lab.host.tasks[3]);
    expect(lab.runMs(200)).toBe('ended');
  });

  test('a new weight counts from the next accounting on', () => {
    const lab = new Lab({ policy: credit, vms: [A, A] });
    lab.runMs(3000);
    lab.host.change(lab.host.vms[1], { weight: 768 });
    const before = lab.host.tasks[1].times[STATE_RUNNING];
    lab.runMs(63_000);
    expect((lab.host.tasks[1].times[STATE_RUNNING] - before) / (60_000 * NS_PER_MS)).toBeCloseTo(0.75, 2);
  });
});

describe('mistakes are named', () => {
  test('of the user: unknown and impossible parameters', () => {
    const make = (params: Record<string, number>) => () => new Lab({ policy: credit, params, vms: [] });
    expect(make({ tslice: 5 })).toThrow(UserError);
    expect(make({ tslice: 5 })).toThrow(/tslice/);
    expect(make({ tslice_ms: 0, ratelimit_us: 50 })).toThrow(/tslice_ms.*ratelimit_us/s);
    expect(() => new Lab({ policy: credit, vms: [{ ...A, params: { share: 1 } }] })).toThrow(/vm0 under credit/);
  });

  test('of a policy: a task it may not pick, a slice of nothing, time standing still', () => {
    const bad = (decide: (pcpu: number) => { slice: number; index: number }) =>
      definePolicy({
        name: 'bad',
        summary: '',
        make: (host) => {
          const tasks: Parameters<typeof host.hold>[0][] = [];
          return {
            wake: (task) => void tasks.push(task),
            sleep: () => undefined,
            pick: (pcpu) => ({ task: tasks[decide(pcpu).index] ?? null, slice: decide(pcpu).slice }),
          };
        },
      });
    const run = (policy: ReturnType<typeof bad>, pcpus = 1) => new Lab({ policy, pcpus, vms: [A] }).runMs(1);
    expect(() => run(bad(() => ({ slice: 0, index: 0 })))).toThrow(/slice of 0/);
    expect(() =>
      run(
        bad(() => ({ slice: 1000, index: 0 })),
        2,
      ),
    ).toThrow(/picked vm0.0, which is running/);
    const lab = () =>
      new Lab({ policy: bad(() => ({ slice: 1, index: 0 })), pcpus: 2, vms: [{ ...A, task: { hard: [1] } }] });
    expect(() => lab().runMs(1)).toThrow(/may not run here/);
    const still = definePolicy({
      name: 'still',
      summary: '',
      make: (host) => ({
        wake: () => host.arm(0, 0),
        sleep() {},
        pick: () => ({ task: null, slice: Infinity }),
        timer: () => host.arm(0, 0),
      }),
    });
    expect(() => new Lab({ policy: still, vms: [A] }).runMs(1)).toThrow(/time stands still/);
  });

  test('of a Runnable: no progress', () => {
    const lab = new Lab({ policy: roundRobin, vms: [] });
    lab.add(lab.host.addVm({ name: 'vm' }), new Scripted(() => 'budget'));
    expect(() => lab.runMs(1)).toThrow(Bug);
  });

  test('the engine is not moved past an event', () => {
    const engine = new Engine();
    engine.at(5, () => undefined);
    engine.advanceTo(5);
    expect(() => engine.advanceTo(6)).toThrow(Bug);
  });
});

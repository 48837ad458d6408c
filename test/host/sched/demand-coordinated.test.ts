/** Demand-based coordination: what an inter-processor interrupt does to its receiver and its sender (section 10.9). */
import { describe, expect, test } from 'vitest';
import type { Runnable, RunnableHost } from '../../../src/core/runnable.ts';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { ModelledVcpu } from '../../../src/host/modelled/demand.ts';
import { hog } from '../../../src/host/modelled/index.ts';
import { demandCoordinated } from '../../../src/host/sched/index.ts';
import { Lab, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };

/** Computes, and sends an interrupt to vCPU 1 of its VM after every `every` cycles. */
function sender(every: number, why: 'reschedule' | 'shootdown'): Runnable {
  let host: RunnableHost | null = null;
  let left = every;
  return {
    onAttach: (its) => {
      host = its;
    },
    onDispatch: () => undefined,
    onDeschedule: () => undefined,
    run(pcpu, budget) {
      const cycles = Math.min(left, budget);
      pcpu.spend(0, cycles);
      left -= cycles;
      if (left === 0) {
        left = every;
        host!.signal({ kind: 'ipi', to: 1, why });
      }
      return 'budget';
    },
  };
}

describe('a receiver that waits beside two hogs', () => {
  const build = (why: 'reschedule' | 'shootdown', params = {}): Lab => {
    const lab = new Lab({
      policy: demandCoordinated,
      params,
      pcpus: 2,
      keepMax: 100_000,
      vms: [
        { ...A, task: { hard: [1] } },
        { ...A, task: { hard: [1] } },
      ],
    });
    const vm = lab.host.addVm({ name: 'smp' });
    lab.add(vm, sender(7 * NS_PER_MS, why), { hard: [0] });
    const receiver = new ModelledVcpu(lab.engine, hog.make({}, lab.streams.stream('receiver')));
    lab.add(vm, receiver, { hard: [1] });
    lab.runMs(3000);
    return lab;
  };
  /** ms from each demand to the start of the receiver, and the time it then ran. */
  const answers = (lab: Lab): { wait: number; ran: number }[] => {
    const own = lab.trace.events.filter(({ vcpu }) => vcpu === 3);
    return own.flatMap((event, i) =>
      event.kind === 'urgent' && own[i + 1]?.kind === 'running' && own[i + 2] !== undefined
        ? [{ wait: (own[i + 1].at - event.at) / NS_PER_MS, ran: (own[i + 2].at - own[i + 1].at) / NS_PER_MS }]
        : [],
    );
  };

  test('it runs at once, at the latest when the present one ran for 0.5 ms, for 0.5 ms', () => {
    const found = answers(build('shootdown'));
    expect(found.length).toBeGreaterThan(100);
    for (const { wait } of found) expect(wait).toBeLessThanOrEqual(0.5 + 0.05);
    // Longer only where its ordinary turn of 30 ms follows at once.
    const rans = found.map(({ ran }) => ran).filter((ms) => ms < 30);
    expect(rans.length).toBeGreaterThan(0.8 * found.length);
    for (const ms of rans) expect(Math.abs(ms - 0.5)).toBeLessThan(0.05);
  });

  test('another urgent slice', () => {
    const rans = answers(build('shootdown', { urgent_slice_us: 2000, min_run_us: 0 }))
      .map(({ ran }) => ran)
      .filter((ms) => ms < 30);
    expect(Math.max(...rans)).toBeGreaterThan(1.9);
    expect(Math.max(...rans)).toBeLessThan(2.1);
  });

  test('urgency is paid for: three hogs and a VM of two vCPUs with twice the weight get 0.4 each of two pCPUs', () => {
    const lab = new Lab({ policy: demandCoordinated, pcpus: 2, vms: [A, A, A] });
    const vm = lab.host.addVm({ name: 'smp', weight: 512 });
    lab.add(vm, sender(7 * NS_PER_MS, 'shootdown'));
    lab.add(vm, new ModelledVcpu(lab.engine, hog.make({}, lab.streams.stream('receiver'))));
    lab.runMs(30_000);
    expect(lab.note('urgent')).toBeGreaterThan(300);
    for (const share of lab.shares()) expect(Math.abs(share - 0.4)).toBeLessThan(0.02);
  });
});

test('who sends reschedule interrupts is preempted an urgent slice later, once for each preemption', () => {
  const run = (why: 'reschedule' | 'shootdown'): number[] => {
    const lab = new Lab({ policy: demandCoordinated, keepMax: 100_000, vms: [A] });
    const vm = lab.host.addVm({ name: 'smp' });
    lab.add(vm, sender(4 * NS_PER_MS, why));
    lab.runMs(600);
    const own = lab.trace.events.filter(({ vcpu, kind }) => vcpu === 1 && (kind === 'running' || kind === 'preempted'));
    return own.flatMap((event, i) => (event.kind === 'preempted' ? [(event.at - own[i - 1].at) / NS_PER_MS] : []));
  };
  // Slices of 30 ms, and 0.5 ms more for the sender of reschedule interrupts only.
  for (const ms of run('reschedule')) expect(Math.abs(ms - 30.5)).toBeLessThan(0.03);
  for (const ms of run('shootdown')) expect(Math.abs(ms - 30)).toBeLessThan(0.03);
  expect(run('reschedule').length).toBeGreaterThan(5);
});

test('siblings are queued on different pCPUs', () => {
  // Four vCPUs of one VM and four hogs, four pCPUs, everything ready: no two siblings share one.
  const lab = new Lab({ policy: demandCoordinated, pcpus: 4, vms: [A, A, A, A, { ...A, vcpus: 4 }] });
  lab.runMs(65);
  expect(new Set(lab.host.tasks.slice(4).map(({ pcpu }) => pcpu)).size).toBe(4);
});

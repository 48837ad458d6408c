/** Signals go to policies that want their kind, through policies over policies and pools; to others they never happened. */
import { expect, test, vi } from 'vitest';
import type { GuestSignal, Runnable, RunnableHost } from '../../src/core/runnable.ts';
import { hog } from '../../src/host/modelled/index.ts';
import type { Params } from '../../src/host/params.ts';
import { poolsPolicy } from '../../src/host/pools.ts';
import {
  balance,
  cfs,
  credit,
  demandCoordinated,
  eevdf,
  microSliced,
  partialBoost,
  schedulers,
} from '../../src/host/sched/index.ts';
import { heededBy, type Scheduler, type SchedulerPolicy } from '../../src/host/scheduler.ts';
import { Lab } from './lab.ts';

function heeds(policy: SchedulerPolicy, params: Params = {}): readonly string[] {
  const { host } = new Lab({ policy, params, pcpus: 2, vms: [] });
  return heededBy(Reflect.get(host, 'scheduler') as Scheduler);
}

test('each policy says what it wants', () => {
  const wanted = [cfs, credit, demandCoordinated, eevdf, microSliced, partialBoost].map((policy) => heeds(policy));
  expect(wanted).toEqual([['ipi'], [], ['ipi'], ['ipi'], ['ipi'], ['address-space']]);
});

test('a policy over another wants what that wants, pools what any of them wants', () => {
  expect(heeds(balance, { base: 'credit' })).toEqual([]);
  expect(heeds(balance, { base: 'cfs' })).toEqual(['ipi']);
  const pools = (a: SchedulerPolicy, b: SchedulerPolicy): SchedulerPolicy =>
    poolsPolicy([
      { name: 'a', pcpus: [0], policy: a },
      { name: 'b', pcpus: [1], policy: b },
    ]);
  expect(heeds(pools(credit, partialBoost))).toEqual(['address-space']);
  expect(heeds(pools(credit, credit))).toEqual([]);
});

/** Computes, and signals every `every` cycles; `signal` null: nothing. */
function signaller(every: number, signal: GuestSignal | null): Runnable {
  let host: RunnableHost;
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
        if (signal !== null) host.signal(signal);
      }
      return 'budget';
    },
  };
}

test.each(schedulers.map((policy) => [policy.name, policy] as const))(
  '%s: what it does not heed changes nothing',
  (_name, policy) => {
    const unheeded = (['ipi', 'address-space'] as const).find((kind) => !heeds(policy).includes(kind))!;
    const signal: GuestSignal =
      unheeded === 'ipi' ? { kind: 'ipi', to: 1, why: 'shootdown' } : { kind: 'address-space', id: 7 };
    const history = (what: GuestSignal | null): unknown => {
      const lab = new Lab({ policy, pcpus: 2, vms: [{ demand: hog }, { demand: hog }] });
      const vm = lab.host.addVm({ name: 'smp' });
      lab.add(vm, signaller(1_234_567, what));
      const at = vi.spyOn(lab.engine, 'at');
      lab.runMs(200);
      return [
        at.mock.calls.length,
        lab.trace.digest.hex(),
        lab.host.windows,
        lab.host.tasks.map(({ times }) => [...times]),
      ];
    };
    expect(history(signal)).toEqual(history(null));
  },
);

/**
 * What a hypervisor sees of its guests, and what it cannot see: interrupts between vCPUs, address spaces, kernel or user. And
 * that a scheduler can use it.
 */
import { describe, expect, test } from 'vitest';
import { DOING_KERNEL, type GuestSignal } from '../../src/core/runnable.ts';
import { NS_PER_MS, NS_PER_US } from '../../src/core/units.ts';
import type { Scheduler } from '../../src/host/scheduler.ts';
import { buildWorld, type World } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';

type Scenario = Parameters<typeof defineScenario>[0];
type Vm = Scenario['vms'][number];

function worldOf(host: Scenario['host'], vms: Vm[]): World {
  const scenario = defineScenario({ name: 'signals', baseline: 'none', duration: '2 s', host, vms });
  return buildWorld(planRuns(scenario, (guest) => guest).runs[0]!);
}

/** Every signal to the policy goes to `heard` first, which says whether it may pass. */
function listenTo({ dispatcher }: World, heard: (signal: GuestSignal, from: number) => boolean): void {
  const scheduler = Reflect.get(dispatcher, 'scheduler') as Scheduler;
  const signal = scheduler.signal!.bind(scheduler);
  scheduler.signal = (task, now, what) => {
    if (heard(what, task.index)) signal(task, now, what);
  };
}

const run = (world: World): string => world.dispatcher.runUntil(2000 * NS_PER_MS);

describe('interrupts between vCPUs', () => {
  const ROUNDS = 20;
  const seen = (technique: string, guest = 'nano-smp'): string[] => {
    const log: string[] = [];
    const vm = {
      name: 'smp',
      guest,
      technique,
      vcpus: 3,
      memory: '16 MiB',
      workload: `shootdown n=${ROUNDS} work=100`,
    } as Vm;
    const host = { scheduler: 'demand-coordinated', pcpus: 3, frequency: '100 MHz' };
    const world = worldOf(host, [vm]);
    listenTo(world, (signal, from) => {
      if (signal.kind === 'ipi') log.push(`${from} to ${signal.to}: ${signal.why}`);
      return true;
    });
    expect(run(world)).toBe('ended');
    return log;
  };
  const count = (log: string[], what: string): number => log.filter((one) => one === what).length;

  test.each(['hardware-assisted', 'trap-and-emulate', 'binary-translation'])(
    '%s: each with its reason',
    (technique) => {
      const log = seen(technique);
      for (const to of [1, 2]) {
        expect(count(log, `0 to ${to}: shootdown`)).toBe(ROUNDS);
        // One at the start. INIT and start-up messages are none.
        expect(count(log, `0 to ${to}: reschedule`)).toBe(1);
      }
      // The last to finish wakes the first, if it is another.
      expect(log.length - 2 * ROUNDS - 2).toBeLessThanOrEqual(1);
    },
  );

  test('on the bare machine nobody looks', () => {
    expect(seen('native')).toEqual([]);
  });

  test('nobody has told what the vectors of a kernel mean that is only a file', () => {
    const file = new URL('../../guests/bin/nano-smp.elf', import.meta.url).pathname;
    const log = seen('hardware-assisted', file);
    expect(count(log, '0 to 1: reschedule')).toBe(ROUNDS + 1);
    expect(count(log, '0 to 1: shootdown')).toBe(0);
  });
});

describe('address spaces', () => {
  const seen = (vm: Partial<Vm>): number[] => {
    const log: number[] = [];
    const world = worldOf({ scheduler: 'partial-boost', frequency: '1 GHz' }, [
      { name: 'vm', guest: 'nano', workload: 'forkwait n=3 hz=0', memory: '16 MiB', ...vm } as Vm,
    ]);
    listenTo(world, (signal) => {
      if (signal.kind === 'address-space') log.push(signal.id);
      return true;
    });
    expect(run(world)).toBe('ended');
    return log;
  };
  const shadow = seen({ technique: 'hardware-assisted', paging: 'shadow' });

  test('under shadow page tables every change shows', () => {
    // A parent and three children, one after the other: there and back.
    expect(new Set(shadow).size).toBeGreaterThan(1);
    expect(shadow.length).toBeGreaterThanOrEqual(6);
    expect(shadow.filter((id, i) => id === shadow[i - 1])).toEqual([]);
  });

  test('and it is the same under all techniques that own the page tables', () => {
    expect(seen({ technique: 'binary-translation' })).toEqual(shadow);
    expect(seen({ technique: 'trap-and-emulate', guest: 'nano-clean' })).toHaveLength(shadow.length);
  });

  test('a paravirtual kernel asks for it', () => {
    expect(seen({ technique: 'paravirtual', guest: 'nano-pv' }).length).toBeGreaterThanOrEqual(6);
  });

  test('nested paging leaves CR3 to the guest, unless the VMM wants to know', () => {
    const technique = 'hardware-assisted';
    expect(seen({ technique, paging: 'nested' })).toEqual([]);
    expect(seen({ technique, paging: 'nested', vmx: { cr3_load_exiting: true } })).toEqual(shadow);
  });
});

test.each([
  ['hardware-assisted', 'nano'],
  ['trap-and-emulate', 'nano-clean'],
  ['binary-translation', 'nano'],
  ['paravirtual', 'nano-pv'],
  ['native', 'nano'],
])('%s: whether its kernel runs', (technique, guest) => {
  const vm = { name: 'vm', guest, technique, workload: 'syscall n=2000', memory: '16 MiB' } as Vm;
  const world = worldOf({ frequency: '100 MHz' }, [vm]);
  const values = new Set<number>();
  for (let us = 40; us <= 20_000; us += 40) {
    world.dispatcher.runUntil(us * NS_PER_US);
    values.add(world.dispatcher.tasks[0]!.doing);
  }
  expect(values).toEqual(new Set(technique === 'native' ? [0] : [0, DOING_KERNEL]));
});

describe('demand-coordinated scheduling of executed shoot-downs', () => {
  /** Rounds that two vCPUs get done in 0.8 s on two CPUs, beside three busy VMs that rest now and then, so that nothing is in step. */
  const rounds = (scheduler: string, hears = true): number => {
    const world = worldOf({ scheduler, pcpus: 2, frequency: '20 MHz', memory: '64 MiB' }, [
      {
        name: 'smp',
        guest: 'nano-smp',
        technique: 'hardware-assisted',
        vcpus: 2,
        memory: '16 MiB',
        workload: 'shootdown n=100000 work=10000',
      },
      { name: 'busy', count: 3, demand: { model: 'interactive', burst_us: 10_000, think_us: 1000 } },
    ] as Vm[]);
    if (!hears) listenTo(world, () => false);
    world.dispatcher.runUntil(800 * NS_PER_MS);
    return world.vms[0]!.vm.workUnits;
  };
  const coordinated = rounds('demand-coordinated');

  test('is at least twice as fast as when the same policy is deaf', () => {
    const deaf = rounds('demand-coordinated', false);
    expect(deaf).toBeGreaterThan(0);
    expect(coordinated / deaf).toBeGreaterThan(2);
  });

  test('and faster than credit, which hears nothing', () => {
    expect(coordinated / rounds('credit')).toBeGreaterThan(1.5);
  });
});

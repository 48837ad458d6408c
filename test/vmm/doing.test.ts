/** What an executed vCPU shows of itself to policies: that it spins, and that its kernel runs. */
import { expect, test } from 'vitest';
import { DOING_KERNEL, DOING_SPIN } from '../../src/core/runnable.ts';
import { NS_PER_US } from '../../src/core/units.ts';
import { buildWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';

/** All values of `doing` that the vCPUs of a lock test had at some look, two vCPUs on one pCPU. */
function seen(technique: string, pauseLoopExiting: boolean): Set<number> {
  const scenario = defineScenario({
    name: 'doing',
    baseline: 'none',
    host: { scheduler: 'cfs', frequency: '100 MHz' },
    vms: [
      {
        name: 'locks',
        guest: 'nano-smp',
        technique,
        vcpus: 2,
        workload: 'spinlock kind=ticket hold=125 gap=375 n=200000',
        vmx: { pause_loop_exiting: pauseLoopExiting },
      },
    ],
  });
  const { dispatcher } = buildWorld(planRuns(scenario, (guest) => guest).runs[0]!);
  const values = new Set<number>();
  for (let us = 50; us <= 100_000; us += 50) {
    dispatcher.runUntil(us * NS_PER_US);
    for (const { doing } of dispatcher.tasks) values.add(doing);
  }
  return values;
}

test('a pause-loop exit shows that it spins, in the kernel', () => {
  expect(new Set(seen('hardware-assisted', true))).toEqual(new Set([DOING_KERNEL, DOING_KERNEL | DOING_SPIN]));
});

test('without such exits nobody knows that it spins: PAUSE does not trap', () => {
  expect([...seen('hardware-assisted', false)]).toEqual([DOING_KERNEL]);
  expect([...seen('binary-translation', true)]).toEqual([DOING_KERNEL]);
});

/**
 * Hosts with a scheduler of Linux in whole runs: steal time as the guest reads it (section 2.8), and a hosted VM as a thread
 * of CFS or EEVDF beside other processes (section 2.9).
 */
import { describe, expect, test } from 'vitest';
import { STATE_PARKED, STATE_READY } from '../../src/host/scheduler.ts';
import { buildWorld, finishWorld, runWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import { SHARED_STEAL } from '../../src/vmm/paravirtual/abi.ts';

describe.each(['cfs', 'eevdf'] as const)('%s', (scheduler) => {
  const guests = (cap: number) => {
    const plan = planRuns(
      defineScenario({
        name: 'steal',
        duration: '400 ms',
        host: { preset: 'broadwell', pcpus: 1, memory: '64 MiB', scheduler },
        baseline: 'none',
        vms: [
          {
            name: 'busy',
            count: 2,
            guest: 'nano-pv',
            technique: 'paravirtual',
            workload: 'sieve n=100000 rounds=100000',
            memory: '16 MiB',
            cap,
          },
        ],
      }),
      (file) => file,
    );
    const world = buildWorld(plan.runs[0]!);
    finishWorld(world);
    return world.vms.map(({ vm, vcpus }) => {
      const at = vm.physmap.lookup(vm.physmap.ramFrames - 1) * 1024 + SHARED_STEAL / 4;
      const { words32 } = vm.machine.memory;
      return { steal: (words32[at + 1]! >>> 0) * 2 ** 32 + (words32[at]! >>> 0), times: vcpus[0]!.task.times };
    });
  };

  test('steal time is what the ledger calls ready, up to the last dispatch', () => {
    for (const { steal, times } of guests(0)) {
      expect(steal).toBeGreaterThan(150e6);
      // Whoever waits at the end has waited since its last dispatch: at most one slice of the other, a few ticks of 4 ms.
      expect(times[STATE_READY]! - steal).toBeGreaterThanOrEqual(-1e6);
      expect(times[STATE_READY]! - steal).toBeLessThanOrEqual(9e6);
    }
  });

  test('under a cap it is ready time and parked time', () => {
    const all = guests(40);
    for (const { steal, times } of all) {
      const waited = times[STATE_READY]! + times[STATE_PARKED]!;
      expect(times[STATE_PARKED]!).toBeGreaterThan(20e6);
      expect(steal).toBeGreaterThan(times[STATE_READY]! - 9e6);
      // Both are parked for the last 20 ms of each period: whoever waits at the end does not know of that yet.
      expect(waited - steal).toBeGreaterThanOrEqual(-1e6);
      expect(waited - steal).toBeLessThanOrEqual(20e6 + 9e6);
    }
  });

  test('a hosted VM and a process of its host share by weight', () => {
    const plan = planRuns(
      defineScenario({
        name: 'hosted',
        duration: '2 s',
        baseline: 'none',
        host: {
          hypervisor: 'type-2',
          frequency: '200 MHz',
          memory: '64 MiB',
          pcpus: 1,
          scheduler,
          processes: [{ name: 'editor', demand: { model: 'hog' }, weight: 768 }],
        },
        vms: [{ name: 'worker', guest: 'nano-clean', workload: 'sieve n=20000 rounds=100000', memory: '16 MiB' }],
      }),
      (file) => file,
    );
    const record = runWorld(plan.runs[0]!);
    const { threadCycles, idleCycles } = record.pcpus[0]!;
    // 3 : 1; the VM's process also waits for its disk and timer now and then.
    expect(Math.abs(threadCycles / (record.simulatedNs / 5) - 0.75)).toBeLessThan(0.02);
    expect(idleCycles).toBe(0);
  });
});

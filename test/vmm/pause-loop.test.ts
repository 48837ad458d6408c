/** PAUSE-loop exiting with neighbours: a vCPU that spins gives its CPU to one that works, and only then. */
import { expect, it } from 'vitest';
import { runWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';

/** When the worker is done, beside a VM that executes PAUSE all the time, and how often that one left for it. */
function share(pauseLoopExiting: boolean) {
  const scenario = defineScenario({
    name: 'spin',
    duration: '400 ms',
    baseline: 'none',
    host: { scheduler: 'round-robin', memory: '64 MiB', frequency: '100 MHz' },
    vms: [
      {
        name: 'spinner',
        guest: 'probe',
        memory: '16 MiB',
        workload: 'pause n=600000',
        vmx: { pause_loop_exiting: pauseLoopExiting },
      },
      { name: 'worker', guest: 'probe', memory: '16 MiB', workload: 'nothing n=400000' },
    ],
  });
  const [run] = planRuns(scenario, (guest) => guest).runs;
  const [spinner, worker] = runWorld(run!).vms;
  const pauses = spinner!.exits.find(({ reason }) => reason === 'pause')?.count ?? 0;
  return { pauses, worker: worker!, spinner: spinner! };
}

it('a spinning vCPU yields to one that works', () => {
  const without = share(false);
  const yielding = share(true);
  expect(without.pauses).toBe(0);
  expect(yielding.pauses).toBeGreaterThan(0);
  expect([without.worker.outcome, yielding.worker.outcome]).toEqual(['completed', 'completed']);
  // Half of the CPU before; nearly all of it when the neighbour gives its slices back after 4096 cycles.
  expect(without.worker.elapsedNs / yielding.worker.elapsedNs).toBeGreaterThan(1.7);
  // While the worker ran, the spinner left at each turn; each time it had spun for a window.
  expect(yielding.spinner.vcpus[0]!.switchesVoluntary).toBeGreaterThan(0);
});

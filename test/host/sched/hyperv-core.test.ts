/** Hyper-V's core scheduler: groups of virtual processors on whole cores (V23), worked out by hand. */
import { expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog } from '../../../src/host/modelled/index.ts';
import { hypervCore } from '../../../src/host/sched/index.ts';
import { STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };
const topology = { sockets: 1, coresPerSocket: 2, threadsPerCore: 2 };

/** Runs for 12 s, and looks every 1.7 ms whether each core has one VM. */
function run(vms: readonly LabVm[]): Lab {
  const lab = new Lab({ policy: hypervCore, topology, vms });
  for (let step = 1; step <= 7000; step++) {
    lab.host.runUntil((step * 17 * NS_PER_MS) / 10);
    const onCore: (number | null)[] = [null, null];
    for (const { state, pcpu, vm } of lab.host.tasks) {
      if (state !== STATE_RUNNING) continue;
      const core = pcpu >> 1;
      expect(onCore[core] ?? vm.id).toBe(vm.id);
      onCore[core] = vm.id;
    }
  }
  return lab;
}

const expectShares = (lab: Lab, expected: readonly number[]): void => {
  for (const [i, share] of lab.shares().entries()) expect(Math.abs(share - expected[i])).toBeLessThan(0.01);
};

test('V23: four VMs of one VP on two cores of two threads: at most two at once, 50 % each', () => {
  expectShares(run([A, A, A, A]), [0.5, 0.5, 0.5, 0.5]);
});

test('two VPs of a VM share a core, and two such VMs have one each', () => {
  expectShares(
    run([
      { ...A, vcpus: 2 },
      { ...A, vcpus: 2 },
    ]),
    [1, 1, 1, 1],
  );
});

test('without SMT each VP has a core: two VMs of two VPs take turns on both', () => {
  const vm = { ...A, vcpus: 2, params: { smt: false } };
  expectShares(run([vm, vm]), [0.5, 0.5, 0.5, 0.5]);
});

test('weights 1 : 1 : 3 : 3 for two cores', () => {
  const vms = [100, 100, 300, 300].map((weight) => ({ ...A, weight }));
  expectShares(run(vms), [0.25, 0.25, 0.75, 0.75]);
});

/**
 * VMs with several vCPUs under every kind of hypervisor: the SMP kernel prints on partitions and on a host's threads what it
 * prints on QEMU, under every technique; two such VMs side by side do not disturb each other.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import type { RunRecord } from '../../src/lab/rows.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import type { EngineName } from '../../src/vmm/machine.ts';
import { folder, kernelFile, runOnHvsim } from './machine.ts';

const MODES = ['nested', 'shadow', 'deprivileged', 'translated'] as const;
const expected = (cpus: number): string => readFileSync(join(folder, 'expected', `smp-${cpus}.txt`), 'latin1');

describe.each(MODES)('%s', (mode) => {
  it.each([
    ['type-0', 2, 2, 200_000_000],
    ['type-0', 4, 4, 200_000_000],
    ['type-2', 4, 4, 200_000_000],
    // A slow clock: whoever waits for a lock whose holder is off the CPU spins to the end of its turn.
    ['type-2', 2, 1, 20_000_000],
    ['type-2', 4, 2, 20_000_000],
  ])('%s, %i vCPUs on %i physical CPUs', (hypervisor, vcpus, pcpus, frequencyHz) => {
    const policy = hypervisor === 'type-0' ? 'partition' : 'round-robin';
    const scheduler = { policy, params: policy === 'partition' ? {} : { quantum_ms: 1 } };
    const vm = runOnHvsim('smp', mode, 30, '', vcpus, { pcpus, frequencyHz, hypervisor, scheduler });
    expect(vm.consoleText()).toBe(expected(vcpus));
    expect(vm.outcome).toEqual({ kind: 'completed', exitCode: 0, detail: '' });
    expect(vm.divergences).toEqual([]);
  });
});

describe.each(['type-0', 'type-1', 'type-2'] as const)('two VMs with two and three vCPUs, %s', (hypervisor) => {
  const run = (engine: EngineName): RunRecord => {
    const scenario = defineScenario({
      name: 'smp',
      duration: '5 s',
      baseline: 'none',
      host: { hypervisor, pcpus: 5, frequency: '200 MHz', memory: '160 MiB', scheduler: 'round-robin' },
      vms: [
        { name: 'two', guest: kernelFile('smp'), memory: '16 MiB', technique: 'binary-translation', vcpus: 2 },
        { name: 'three', guest: kernelFile('smp'), memory: '16 MiB', technique: 'hardware-assisted', vcpus: 3 },
      ],
    });
    return runWorld(planRuns(scenario, (guest) => guest).runs[0]!, { engine });
  };
  const record = run('compiled');

  it('both end well', () => {
    expect(record.vms.map(({ outcome, exitCode }) => [outcome, exitCode])).toEqual([
      ['completed', 0],
      ['completed', 0],
    ]);
    expect(record.vms[0]!.console).toBe(expected(2));
    expect(record.vms[1]!.console).toMatch(/cpus 3\n[\s\S]*end\n$/);
  });

  it('the same, interpreted', () => {
    expect(run('interpreter')).toEqual(record);
  });
});

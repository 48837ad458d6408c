/** VMs with several vCPUs in scenarios: their rows, their ends, and the same records whatever the number of workers. */
import { describe, expect, test } from 'vitest';
import { runWorld } from '../../src/lab/build.ts';
import { runScenario } from '../../src/lab/experiment.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import type { ScenarioInput } from '../../src/lab/schema.ts';
import { kernelFile } from '../system/machine.ts';

const vm = {
  name: 'vm',
  guest: kernelFile('smp'),
  memory: '16 MiB',
  technique: 'hardware-assisted',
} as const;
const INPUT: ScenarioInput = {
  name: 'smp',
  duration: '2 s',
  host: { pcpus: 2, frequency: '100 MHz', memory: '128 MiB', scheduler: 'round-robin' },
  vms: [{ ...vm, vcpus: 2 }],
  sweep: { paging: { path: 'vms[0].paging', values: ['nested', 'shadow'] } },
};

describe('two vCPUs', () => {
  test('every run has a row for each; two runs, and any number of workers, give the same records', async () => {
    const scenario = defineScenario(INPUT);
    const one = await runScenario(scenario, { jobs: 1 });
    const two = await runScenario(scenario, { jobs: 2 });
    expect(two.records).toEqual(one.records);
    expect(one.records).toHaveLength(3);
    const consoles = new Set(one.records.map((record) => record.vms[0]!.console));
    expect([...consoles]).toEqual([expect.stringMatching(/^begin\n[\s\S]*cpus 2\n[\s\S]*end\n$/)]);
    for (const record of one.records) {
      const [both] = record.vms;
      expect(both).toMatchObject({ outcome: 'completed', exitCode: 0 });
      expect(both!.vcpus.map(({ vcpu }) => vcpu)).toEqual([0, 1]);
      for (const { runningNs } of both!.vcpus) expect(runningNs).toBeGreaterThan(0);
    }
  });

  test('a shorter quantum changes times by little and the text not at all', () => {
    const runs = ['20 us', '5 us'].map((quantum) => {
      const scenario = defineScenario({ ...INPUT, baseline: 'none', sweep: {}, host: { ...INPUT.host, quantum } });
      return runWorld(planRuns(scenario, (guest) => guest).runs[0]!);
    });
    const [coarse, fine] = runs.map((record) => record.vms[0]!);
    expect(coarse!.console).toBe(fine!.console);
    // Waiting for one another costs up to a quantum each time: 2000 hand-overs of the lock are the bulk of it.
    expect(Math.abs(coarse!.elapsedNs - fine!.elapsedNs)).toBeLessThan(0.5 * fine!.elapsedNs);
  });
});

describe('mistakes', () => {
  test('a native guest with more CPUs than the host', () => {
    const input: ScenarioInput = { ...INPUT, sweep: {}, vms: [{ ...vm, technique: 'native', vcpus: 3 }] };
    expect(() => defineScenario(input)).toThrow(
      /vms\[0\]\.vcpus: found 3, but a native guest runs on the host's own 2/,
    );
  });
});

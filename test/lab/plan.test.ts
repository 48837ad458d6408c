/** From a scenario to numbered runs: order, seeds, placeholders, native twins, units. */
import { expect, test } from 'vitest';
import { planRuns, type ResolvedRun } from '../../src/lab/plan.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import type { ScenarioInput } from '../../src/lab/schema.ts';

const VM = { name: 'vm', guest: 'nano', workload: 'sieve n=10' };

function plan(input: Partial<ScenarioInput>): readonly ResolvedRun[] {
  return planRuns(defineScenario({ name: 'test', vms: [VM], ...input }), (guest) => `/files/${guest}`).runs;
}

/** A run in one line. */
function line(run: ResolvedRun): string {
  const vms = run.vms.map((vm) => `${vm.name}:${vm.technique}/${vm.paging}->${vm.baselineRun}`);
  return `${run.runId} ${run.role} s${run.seed} ${Object.values(run.axes).join(',')} ${vms.join(' ')}`;
}

test('points come first, seeds innermost, then one native twin for each different VM', () => {
  const runs = plan({
    seeds: [1, 2],
    sweep: { w: { path: 'vms[0].workload', values: ['sieve n=10', 'io n=10'] } },
  });
  expect(runs.map(line)).toEqual([
    '1 point s1 sieve n=10 vm:hardware-assisted/nested->5',
    '2 point s2 sieve n=10 vm:hardware-assisted/nested->6',
    '3 point s1 io n=10 vm:hardware-assisted/nested->7',
    '4 point s2 io n=10 vm:hardware-assisted/nested->8',
    '5 baseline s1  vm:native/native->5',
    '6 baseline s2  vm:native/native->6',
    '7 baseline s1  vm:native/native->7',
    '8 baseline s2  vm:native/native->8',
  ]);
});

test('a native point of the sweep is the twin of the others', () => {
  const runs = plan({
    sweep: { t: { path: 'vms[0].technique', values: ['trap-and-emulate', 'native', 'hardware-assisted'] } },
  });
  expect(runs.map(line)).toEqual([
    '1 point s1 trap-and-emulate vm:trap-and-emulate/shadow->2',
    '2 point s1 native vm:native/native->2',
    '3 point s1 hardware-assisted vm:hardware-assisted/nested->2',
  ]);
});

test('equal VMs share a twin, and a scenario may go without', () => {
  const vms = [{ ...VM, count: 3 }];
  expect(plan({ vms }).map(line)).toEqual([
    '1 point s1  vm-1:hardware-assisted/nested->2 vm-2:hardware-assisted/nested->2 vm-3:hardware-assisted/nested->2',
    '2 baseline s1  vm-1:native/native->2',
  ]);
  expect(plan({ vms, baseline: 'none' }).map((run) => run.vms.map((vm) => vm.baselineRun))).toEqual([
    [null, null, null],
  ]);
});

test('each member of a group has its own seed, which depends on nothing else', () => {
  const workloads = (count: number, seed: number): string[] => {
    const [run] = plan({
      vms: [{ name: 'web', count, guest: 'nano', workload: 'web seed={seed} gap={vm}' }],
      seeds: [seed],
    });
    return run!.vms.map((vm) => vm.workload);
  };
  const three = workloads(3, 1);
  expect(new Set(three).size).toBe(3);
  expect(three[1]).toMatch(/^web seed=\d+ gap=2$/);
  expect(workloads(2, 1)).toEqual(three.slice(0, 2));
  expect(workloads(1, 1)).toEqual(three.slice(0, 1));
  expect(workloads(1, 2)).not.toEqual(three.slice(0, 1));
});

test('units are converted and "auto" is resolved', () => {
  const [run] = plan({
    duration: '2 s',
    host: {
      preset: 'pentium4-672',
      frequency: '100 MHz',
      memory: '64 MiB',
      quantum: '10 us',
      scheduler: 'round-robin',
    },
  });
  expect(run).toMatchObject({
    durationNs: 2_000_000_000,
    host: {
      frequencyHz: 100_000_000,
      memoryBytes: 67_108_864,
      quantumNs: 10_000,
      scheduler: { policy: 'round-robin', params: { quantum_ms: 10 } },
    },
    // The Pentium 4 has neither nested paging nor a tagged TLB.
    vms: [{ paging: 'shadow', taggedTlb: false, memoryBytes: 33_554_432 }],
  });
});

test('files of guests get an absolute path, which is kept apart from the name', () => {
  const [run] = plan({ vms: [{ name: 'vm', guest: './mine.elf' }] });
  expect(run!.vms[0]).toMatchObject({ guest: './mine.elf', imageFile: '/files/./mine.elf' });
});

test('options of hardware assistance go to the VMs that have it, and to no other', () => {
  const vms = [
    { name: 'vm', guest: 'nano', workload: 'sieve', vmx: { nested_levels: 2 as const, direct_ports: [0x80] } },
  ];
  const [run, twin] = plan({ vms });
  expect(run!.vms[0]!.vmx).toEqual({
    hltExiting: true,
    pauseLoop: null,
    preemptionTimer: false,
    cr3LoadExiting: false,
    nestedLevels: 2,
    nestedLargePages: false,
    walkCaches: { pageWalkEntries: 0, nestedTlbEntries: 0 },
    directPorts: [0x80],
  });
  expect(twin).toMatchObject({ role: 'baseline' });
  expect(twin!.vms[0]).not.toHaveProperty('vmx');
  expect(plan({ vms: [{ ...vms[0]!, technique: 'trap-and-emulate' }] })[0]!.vms[0]).not.toHaveProperty('vmx');
  const loops = { ...vms[0]!, vmx: { pause_loop_exiting: true } };
  expect(plan({ vms: [loops] })[0]!.vms[0]!.vmx!.pauseLoop).toEqual({
    gapCycles: 128,
    window: { first: 4096, grow: 1, shrink: 0, longest: 2_147_483_647 },
  });
});

/**
 * Kinds of hypervisors in whole runs: what a partition never pays, what a hosted VM pays for every device access, who is
 * refused and why; the guest's work is the same under all of them, and no cycle is lost.
 */
import { describe, expect, test } from 'vitest';
import { buildWorld, finishWorld, runWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import type { RunRecord, VmRecord } from '../../src/lab/rows.ts';
import { defineScenario } from '../../src/lab/scenario.ts';
import type { ScenarioInput } from '../../src/lab/schema.ts';
import { hostedCycles } from '../../src/vmm/hosted/paths.ts';
import type { EngineName } from '../../src/vmm/machine.ts';
import { findPreset } from '../../src/vmm/presets/index.ts';

type Host = NonNullable<ScenarioInput['host']>;
type Vm = ScenarioInput['vms'][number];

const SERVER: Vm = {
  name: 'server',
  guest: 'nano-clean',
  workload: 'web requests=8 gap=1 work=4000 seed=3 hz=100',
  memory: '16 MiB',
};
const WORKER: Vm = { name: 'worker', guest: 'nano-clean', workload: 'sieve n=20000 rounds=8', memory: '16 MiB' };
const EDITOR = { name: 'editor', demand: { model: 'hog' } } as const;

function scenario(host: Host, vms: readonly Vm[]): ReturnType<typeof defineScenario> {
  return defineScenario({
    name: 'kinds',
    duration: '5 s',
    baseline: 'none',
    host: { frequency: '200 MHz', memory: '128 MiB', pcpus: 2, scheduler: 'round-robin', ...host },
    vms: [...vms],
  });
}
function run(host: Host, vms: readonly Vm[] = [SERVER, WORKER], engine: EngineName = 'compiled'): RunRecord {
  return runWorld(planRuns(scenario(host, vms), (guest) => guest).runs[0]!, { engine });
}
const exitsOf = (vm: VmRecord): Record<string, number> =>
  Object.fromEntries(vm.exits.map(({ reason, count }) => [reason, count]));
const reasons = (vm: VmRecord): string[] => vm.exits.map(({ reason }) => reason);

const KINDS = ['type-0', 'type-1', 'type-2'] as const;

describe('every kind', () => {
  const records = KINDS.map((hypervisor) => run({ hypervisor }));

  test('runs the same guests to the same end', () => {
    const [first, ...others] = records;
    for (const { vms } of records) for (const vm of vms) expect(vm.outcome).toBe('completed');
    for (const { vms } of others) expect(vms.map((vm) => vm.console)).toEqual(first!.vms.map((vm) => vm.console));
  });

  test('type-1 is what there is without the key', () => {
    expect({ ...run({}), run: null }).toEqual({ ...records[1]!, run: null });
  });

  test.each(KINDS)('%s: interpreted and compiled, the same records', (hypervisor) => {
    expect(run({ hypervisor }, [SERVER, WORKER], 'interpreter')).toEqual(run({ hypervisor }));
  });

  test.each(KINDS)('%s: every cycle of every physical CPU is in one account', (hypervisor) => {
    const host = hypervisor === 'type-2' ? { hypervisor, processes: [EDITOR] } : { hypervisor };
    const world = buildWorld(planRuns(scenario(host, [SERVER, WORKER]), (guest) => guest).runs[0]!);
    finishWorld(world);
    for (const { pcpu, busyNs, switchNs, idleNs } of world.dispatcher.pcpus) {
      expect(pcpu.spent.reduce((sum, cycles) => sum + cycles, 0)).toBe(pcpu.clock.cycles);
      expect(busyNs + switchNs + idleNs).toBe(pcpu.clock.now);
    }
    for (const { vm, vcpus } of world.vms) {
      const charged = vcpus.reduce((sum, { task }) => sum + task.spent[3]! + task.spent[4]!, 0);
      expect(vm.exits.sorted().reduce((sum, row) => sum + row.cycles, 0)).toBe(charged);
    }
  });
});

describe('type 0', () => {
  const { vms, pcpus } = run({ hypervisor: 'type-0' });

  test('a partition never leaves its guest for devices, interrupts, sleep or memory', () => {
    for (const vm of vms) expect(reasons(vm)).toEqual([]);
  });

  test('nobody waits, nobody moves, nothing is switched', () => {
    for (const { vcpus } of vms) {
      expect(vcpus[0]).toMatchObject({ migrations: 0, switchesInvoluntary: 0 });
      // At most the nanosecond to which the clock of a CPU of 200 MHz rounds a wake-up.
      expect(vcpus[0]!.wakeToRun?.maxNs ?? 0).toBeLessThanOrEqual(5);
    }
    for (const pcpu of pcpus) expect(pcpu.switchCycles).toBe(0);
  });

  test('what a partition does not use stays idle', () => {
    // The worker computes on CPU 1 while the server sleeps most of the time on CPU 0; both clocks go on to the end.
    const [server, worker] = pcpus.map((pcpu) => pcpu.guestCycles + pcpu.walkCycles);
    expect(server).toBe(vms[0]!.guestCycles + vms[0]!.walkCycles);
    expect(worker).toBe(vms[1]!.guestCycles + vms[1]!.walkCycles);
    expect(pcpus[0]!.idleCycles).toBeGreaterThan(10 * server!);
  });

  test('devices are reached at the price of the bus: as fast as the bare machine', () => {
    const io: Vm = { ...WORKER, workload: 'io n=2000 hz=0' };
    const own = run({ hypervisor: 'type-0' }, [io]).vms[0]!;
    const bare = run({}, [{ ...io, technique: 'native' }]).vms[0]!;
    expect(own.guestCycles).toBe(bare.guestCycles);
    expect(own.exits).toEqual([]);
    // A deprivileged guest still traps at each access, but the device behind it is the real one.
    const trapped = run({ hypervisor: 'type-0' }, [{ ...io, technique: 'trap-and-emulate' }]).vms[0]!;
    expect(trapped.console).toBe(bare.console);
    expect(exitsOf(trapped)['general-protection'] ?? exitsOf(trapped)['privileged-in']).toBeGreaterThanOrEqual(2000);
  });

  test('a guest that does not fit is refused with the resource, what it asked and what is left', () => {
    const three = [SERVER, WORKER, { ...WORKER, name: 'third' }];
    const messages = (host: Host, asked: readonly Vm[]): string => {
      try {
        scenario({ hypervisor: 'type-0', ...host }, asked);
      } catch (error) {
        return String(error);
      }
      return 'accepted';
    };
    expect(messages({ pcpus: 2 }, three)).toContain(
      'vms[2].vcpus: third needs 1 physical CPU of its own, but 0 physical CPUs are left (host.pcpus)',
    );
    expect(
      messages({ pcpus: 4 }, [
        { ...SERVER, vcpus: 3 },
        { ...WORKER, vcpus: 2 },
      ]),
    ).toContain('vms[1].vcpus: worker needs 2 physical CPUs of its own, but 1 physical CPU is left (host.pcpus)');
    expect(messages({ io_units: 1 }, [SERVER, WORKER])).toContain(
      'vms[1].name: worker needs 1 I/O unit of its own, but 0 I/O units are left (host.io_units)',
    );
    expect(messages({ memory: '40 MiB' }, [SERVER, { ...WORKER, memory: '32 MiB' }])).toMatch(
      /vms\[1\]\.memory: worker needs \d+ bytes of memory of its own, but \d+ bytes of memory are left \(host\.memory\)/,
    );
    expect(messages({ pcpus: 3 }, three)).toBe('accepted');
  });

  test('the same rule holds where the VM is made', () => {
    const [plan] = planRuns(scenario({ hypervisor: 'type-0', pcpus: 2 }, [SERVER, WORKER]), (guest) => guest).runs;
    const crowded = { ...plan!, host: { ...plan!.host, pcpus: 1 } };
    expect(() => buildWorld(crowded)).toThrow(
      'VM worker: needs 1 physical CPU of its own, but 0 physical CPUs are left',
    );
  });
});

describe('type 2', () => {
  const preset = findPreset('broadwell');
  const console: Vm = { name: 'console', guest: 'wild-console', memory: '16 MiB' };

  test('every access to a device with a back end outside is two world switches and the process between them', () => {
    const vm = run({ hypervisor: 'type-2', pcpus: 1 }, [console]).vms[0]!;
    const rows = Object.fromEntries(vm.exits.map((row) => [row.reason, row]));
    const io = rows['io']!.count;
    const interrupts = rows['host-interrupt']!.count;
    // In once, there and back for each access and each interrupt of the host.
    expect(rows['host-process']!.count).toBe(io);
    expect(rows['world-switch']!.count).toBe(1 + 2 * io + 2 * interrupts);
    expect(rows['external-interrupt']!.count).toBe(interrupts);
    expect(rows['world-switch']!.cycles).toBe(rows['world-switch']!.count * hostedCycles('world-switch', preset));
    expect(rows['host-interrupt']!.cycles).toBe(interrupts * hostedCycles('host-interrupt', preset));
    const process = (['process-return', 'process-dispatch', 'process-call'] as const).reduce(
      (sum, operation) => sum + hostedCycles(operation, preset),
      preset.vmm['device-debug'],
    );
    expect(rows['host-process']!.cycles).toBe(io * process);
    // One interrupt of the host's timer in each 10 ms that the guest was running; and one of the virtual timer that
    // firmware left on, for the guest, which never takes it.
    expect(interrupts).toBe(Math.floor(vm.elapsedNs / 10_000_000) + 1);
  });

  test('the virtual chipset is emulated in the VMM', () => {
    const io: Vm = { ...WORKER, workload: 'io n=500 hz=0' };
    const [hosted, bare] = (['type-2', 'type-1'] as const).map(
      (hypervisor) => run({ hypervisor, pcpus: 1 }, [io]).vms[0]!,
    );
    expect(exitsOf(hosted!)['io']).toBe(exitsOf(bare!)['io']);
    // 500 reads of the interrupt controller make no switch; boot and the result line do.
    expect(exitsOf(hosted!)['world-switch']).toBeLessThan(2 * (exitsOf(bare!)['io']! - 500) + 20);
  });

  test('an idle guest is a sleeping process: a switch out and one in for each wake-up', () => {
    const idle: Vm = { ...WORKER, workload: 'idle ticks=10 hz=100' };
    const vm = run({ hypervisor: 'type-2', pcpus: 1 }, [idle]).vms[0]!;
    expect(exitsOf(vm)['hlt']).toBeGreaterThanOrEqual(9);
    expect(exitsOf(vm)['host-process']).toBeGreaterThan(2 * exitsOf(vm)['hlt']! - 2);
  });

  test('the host schedules its own processes beside the VMs, and the run ends with the last VM', () => {
    const alone = run({ hypervisor: 'type-2', pcpus: 1 }, [WORKER]);
    const shared = run({ hypervisor: 'type-2', pcpus: 1, processes: [EDITOR] }, [WORKER]);
    expect(alone.pcpus[0]!.threadCycles).toBe(0);
    expect(shared.outcome).toBe('finished');
    const { threadCycles, idleCycles } = shared.pcpus[0]!;
    // Round robin in equal turns: half of the CPU each, to within one turn of 10 ms.
    const total = shared.simulatedNs / 5;
    expect(Math.abs(threadCycles - total / 2)).toBeLessThanOrEqual(2_000_000 + 0.02 * total);
    expect(idleCycles).toBe(0);
    expect(shared.vms[0]!.console).toBe(alone.vms[0]!.console);
    expect(shared.vms[0]!.vcpus[0]!.readyNs).toBeGreaterThan(0);
  });

  test('a mistake is reported: processes without a host, device sets without partitions', () => {
    expect(() => scenario({ processes: [EDITOR] }, [WORKER])).toThrow(
      'host.processes: found 1, but type-1 has no host OS to run processes; only type-2 has',
    );
    expect(() => scenario({ io_units: 1 }, [WORKER])).toThrow(
      'host.io_units: found 1, but only type-0 gives devices away',
    );
    expect(() => scenario({ hypervisor: 'type-3' as never }, [WORKER])).toThrow(
      'host.hypervisor: found "type-3", expected one of type-0, type-1, type-2',
    );
  });
});

describe('VMX for a guest', () => {
  const vmm: Vm = { name: 'vmm', guest: 'vmm', workload: 'all n=5', memory: '16 MiB', guest_vmx: true };

  test('a partition may be a VMM: same result as on the bare machine', () => {
    const [nested, bare] = [
      run({ hypervisor: 'type-0' }, [vmm]).vms[0]!,
      run({}, [{ ...vmm, technique: 'native' }]).vms[0]!,
    ];
    expect(nested.console).toBe(bare.console);
    expect(exitsOf(nested)['l2-cpuid']).toBe(5);
    // The partition's own port accesses do not exit, those of its guest do.
    expect(exitsOf(nested)['io']).toBeUndefined();
    expect(exitsOf(nested)['l2-io']).toBe(10);
  });

  test('who cannot have it is told why', () => {
    expect(() => scenario({}, [{ ...vmm, technique: 'trap-and-emulate' }])).toThrow(
      'vms[0].guest_vmx: technique trap-and-emulate offers no VMX to its guest; allowed: native, hardware-assisted',
    );
    expect(() => scenario({}, [{ ...vmm, paging: 'shadow' }])).toThrow('vms[0].guest_vmx: VMX for a guest');
    expect(() => scenario({}, [{ ...SERVER, vmcs_shadowing: true }])).toThrow('vms[0].vmcs_shadowing: found true');
    expect(() => scenario({ preset: 'pentium3-733' }, [WORKER])).toThrow('the preset pentium3-733 has no VT-x');
  });
});

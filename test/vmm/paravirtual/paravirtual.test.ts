/**
 * Paravirtual guests, executed: the programs of nano-pv print what they print on QEMU under nano-clean, with both
 * engines and on both machines; the interface refuses what it must; its clock, steal time and events are right.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Engine } from '../../../src/core/engine.ts';
import { Pcpu } from '../../../src/core/runnable.ts';
import { guestImage } from '../../../src/guest/image.ts';
import { STATE_READY } from '../../../src/host/scheduler.ts';
import { buildWorld, finishWorld } from '../../../src/lab/build.ts';
import { planRuns } from '../../../src/lab/plan.ts';
import { defineScenario } from '../../../src/lab/scenario.ts';
import { PhysicalMachine } from '../../../src/vmm/machine.ts';
import { HYPERCALLS, SHARED_CLOCK, SHARED_STEAL } from '../../../src/vmm/paravirtual/abi.ts';
import { TYPE_L1, TYPE_L2, VMM_SLOT } from '../../../src/vmm/paravirtual/frame-types.ts';
import { type HypercallHost, Hypercalls } from '../../../src/vmm/paravirtual/hypercalls.ts';
import { clockScale } from '../../../src/vmm/paravirtual/shared-info.ts';
import { findPreset } from '../../../src/vmm/presets/index.ts';
import type { Executor } from '../../../src/vmm/technique.ts';
import { paravirtual } from '../../../src/vmm/techniques/paravirtual.ts';
import { ExecutedVcpu } from '../../../src/vmm/vcpu.ts';
import { ExecutedVm } from '../../../src/vmm/vm.ts';
import { guest, runVm } from '../run-vm.ts';

const EXPECTED = new URL('../../../guests/expected/', import.meta.url);
const runs = (
  JSON.parse(readFileSync(new URL('runs.json', EXPECTED), 'utf8')) as {
    guest: string;
    append: string;
    memory_mib: number;
    file: string;
    exit_code: number;
  }[]
).filter((run) => run.guest === 'nano-clean');
const WAY = { technique: 'paravirtual', paging: 'direct' } as const;

describe.each(runs)('nano-pv $append', (run) => {
  const text = readFileSync(new URL(run.file, EXPECTED), 'latin1');
  const options = { image: guest('nano-pv'), append: run.append, memoryBytes: run.memory_mib * 2 ** 20, ...WAY };

  it.each(['broadwell', 'pentium4-672'])('prints on %s what nano-clean prints on QEMU, with both engines', (preset) => {
    const slow = runVm({ ...options, preset, cpuEngine: 'interpreter' });
    expect(slow.vm.consoleText()).toBe(text);
    expect(slow.vm.outcome).toMatchObject({ kind: 'completed', exitCode: run.exit_code });
    expect(slow.vm.exits.sorted().filter(({ reason }) => reason.startsWith('refused'))).toEqual([]);
    const fast = runVm({ ...options, preset, cpuEngine: 'compiled', hotAfter: 2 });
    expect({ ...fast, vm: 0 }).toEqual({ ...slow, vm: 0 });
    expect(fast.vm.exits.sorted()).toEqual(slow.vm.exits.sorted());
  });
});

describe('what comes to the VMM', () => {
  const count = (append: string, reason: string) =>
    runVm({ image: guest('nano-pv'), append, ...WAY })
      .vm.exits.sorted()
      .find((row) => row.reason === reason)?.count ?? 0;

  it('no system call does: the gate leads from ring 3 to ring 1', () => {
    const reasons = (n: number) =>
      runVm({ image: guest('nano-pv'), append: `syscall n=${n} hz=0`, ...WAY }).vm.exits.sorted();
    const total = (n: number) => reasons(n).reduce((sum, { count: each }) => sum + each, 0);
    // Both report eight times, which is the guest's own affair.
    expect(total(1600)).toBe(total(80));
  });

  it('each change of a page table by itself is one hypercall, a fork is a few', () => {
    const remaps = count('ptemod n=3000 hz=0', 'hypercall-update-va-mapping');
    expect(remaps - count('ptemod n=1000 hz=0', 'hypercall-update-va-mapping')).toBe(2000);
    const forks = count('forkwait n=20 hz=0', 'hypercall-mmu-update');
    expect((forks - count('forkwait n=10 hz=0', 'hypercall-mmu-update')) / 10).toBeLessThan(16);
  });
});

describe('a hostile kernel', () => {
  it('is refused everything, and its store to a page table is its own fault', () => {
    const { vm } = runVm({ image: guest('hostile-pv'), ...WAY });
    const lines = vm.consoleText().trimEnd().split('\n');
    expect(lines.filter((line) => line.startsWith('granted'))).toEqual([]);
    expect(lines.at(-1)).toBe('hostile: 42 refused, 0 granted; now a store to the directory');
    expect(vm.outcome).toMatchObject({ kind: 'triple-fault', detail: expect.stringContaining('exception 14') });
    const refused = vm.exits.sorted().filter(({ reason }) => reason.startsWith('refused-'));
    expect(refused.reduce((sum, row) => sum + row.count, 0)).toBe(42);
    const names = Object.keys(HYPERCALLS).map((name) => `refused-${name}`);
    expect(refused.map(({ reason }) => reason)).toEqual([...names, 'refused-unknown'].sort((a, b) => (a < b ? -1 : 1)));
  });

  it('cannot get anything by random hypercalls', () => {
    const word = fc.oneof(
      { weight: 3, arbitrary: fc.nat(40) },
      { weight: 4, arbitrary: fc.record({ table: fc.nat(5), at: fc.nat(3) }) },
      { weight: 1, arbitrary: fc.integer() },
      { weight: 2, arbitrary: fc.constantFrom(0xffc00000, 0xfffffff8, 0x100000, 0x9000, 4096 * 4096) },
    );
    const call = fc.tuple(fc.constantFrom(...Object.values(HYPERCALLS), 99), fc.tuple(word, word, word, word));
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 80 }), (calls) => {
        const { host, vm, root, own } = domain();
        const hypercalls = new Hypercalls(host);
        const others = () => {
          const { memory } = vm.machine;
          return own.some((mfn) => memory.ownerOf(mfn) !== vm.owner);
        };
        for (const [number, args] of calls) {
          const [a, b, c, d] = args.map((one) =>
            typeof one === 'number' ? one | 0 : (own[one.table]! * 4096 + [0, 3, 4, 4092][one.at]!) | 0,
          ) as [number, number, number, number];
          // Its requests are what it has written to its memory: here, any words.
          host.write32(0x180000, a);
          host.write32(0x180004, b);
          hypercalls.call(number, [number === HYPERCALLS['mmu-update'] ? 0x180000 : a, b, c, d]);
          hypercalls.takeDisposition();
        }
        expect(others()).toBe(false);
        checkTables(vm, host, root());
      }),
      { numRuns: 60, seed: 82 },
    );
  });
});

describe('calls that nano-pv makes rarely or never', () => {
  const LIST = 0x180000;
  const put = (host: HypercallHost, words: readonly number[]) =>
    words.forEach((word, i) => {
      expect(host.write32(LIST + i * 4, word)).toBe(true);
    });

  it('multicall makes its calls in order, each with a result of its own', () => {
    const { host, vm } = domain();
    const calls = new Hypercalls(host);
    for (const [i, char] of [...'pv'].entries()) vm.physmap.write8(0x181000 + i, char.charCodeAt(0));
    const console = HYPERCALLS['console-write'];
    put(host, [
      console,
      0x181000,
      2,
      0,
      0,
      99,
      HYPERCALLS['stack-switch'],
      0x10,
      0,
      0,
      0,
      99,
      console,
      0x181001,
      1,
      0,
      0,
      99,
    ]);
    expect(calls.call(HYPERCALLS.multicall, [LIST, 3, 0, 0])).toBe(0);
    expect([5, 11, 17].map((i) => host.read32(LIST + i * 4))).toEqual([2, -1, 1]);
    expect(vm.consoleText()).toBe('pvv');
  });

  it('yield, block and shutdown', () => {
    const { host, vm } = domain();
    const calls = new Hypercalls(host);
    const schedule = (operation: number, code = 0) => {
      expect(calls.call(HYPERCALLS['sched-op'], [operation, code, 0, 0])).toBe(0);
      return calls.takeDisposition();
    };
    expect(schedule(0)).toBe('yield');
    expect(schedule(1)).toBe('block');
    const port = calls.call(HYPERCALLS['event-channel-op'], [1, 0, 0, 0]);
    expect(port).toBe(1);
    expect(calls.call(HYPERCALLS['event-channel-op'], [1, 0, 0, 0])).toBe(-16);
    expect(calls.call(HYPERCALLS['event-channel-op'], [4, port, 0, 0])).toBe(0);
    // An event that waits ends the sleep before it begins.
    expect(schedule(1)).toBe('resume');
    expect(calls.call(HYPERCALLS['event-channel-op'], [3, port, 0, 0])).toBe(0);
    expect(calls.call(HYPERCALLS['event-channel-op'], [4, port, 0, 0])).toBe(-22);
    expect(schedule(2, 5)).toBe('end');
    expect(vm.outcome).toMatchObject({ kind: 'completed', exitCode: 5 });
  });

  it('mmu-update says how many requests it has done', () => {
    const { host, vm } = domain();
    const calls = new Hypercalls(host);
    const table = (host.entryAddress(0x182000) & ~0xfff) >>> 0;
    const page = (vm.physmap.lookup(0x182) << 12) | 3;
    put(host, [table + 0x182 * 4, page, table + 0x183 * 4, 0, table + 0x184 * 4, table | 3, table + 0x185 * 4, 0]);
    expect(calls.call(HYPERCALLS['mmu-update'], [LIST, 4, LIST + 0x100, 0])).toBe(-16);
    expect(host.read32(LIST + 0x100)).toBe(2);
    expect(host.read32(0x183000)).toBeNull();
    expect(host.read32(0x185000)).toBe(0);
  });
});

/** A fresh nano-pv that has not run, and its VMM from inside. */
function domain() {
  const machine = new PhysicalMachine(findPreset('broadwell'), 4096, 1, 1, 'interpreter');
  const vm = new ExecutedVm(0, machine, new Engine(), {
    name: 'vm',
    image: guest('nano-pv'),
    append: 'sieve',
    memoryBytes: 8 * 2 ** 20,
    taggedTlb: false,
    ...WAY,
  });
  let executor: (Executor & HypercallHost) | null = null;
  const vcpu = new ExecutedVcpu(vm, 0, {
    ...paravirtual,
    make: (v) => (executor = paravirtual.make(v) as Executor & HypercallHost),
  });
  const host = executor as unknown as Executor & HypercallHost;
  vcpu.onDispatch(new Pcpu(0, 1e9));
  const directory = host.frames.root;
  const table = machine.memory.words32[directory * 1024]! >>> 12;
  const plain = vm.physmap.mfnOf[0x180]!;
  const own = [directory, table, plain, vm.physmap.mfnOf[0x100]!, plain + 1, plain + 2];
  return { host, vm, own, root: () => host.frames.root };
}

/** No table that the MMU can reach maps a table writable, or a frame that is not the guest's, or lacks the VMM. */
function checkTables(vm: ExecutedVm, host: HypercallHost, root: number): void {
  const { memory } = vm.machine;
  expect(host.frames.type[root]).toBe(TYPE_L2);
  expect(memory.ownerOf(memory.words32[root * 1024 + VMM_SLOT]! >>> 12)).toBe(vm.vmmOwner);
  for (let slot = 0; slot < VMM_SLOT; slot++) {
    const pde = memory.words32[root * 1024 + slot]!;
    if ((pde & 1) === 0) continue;
    expect(pde & 0x80).toBe(0);
    expect(host.frames.type[pde >>> 12]).toBe(TYPE_L1);
    for (let entry = 0; entry < 1024; entry++) {
      const pte = memory.words32[(pde >>> 12) * 1024 + entry]!;
      if ((pte & 1) === 0) continue;
      if (memory.ownerOf(pte >>> 12) !== vm.owner) throw new Error(`maps the foreign frame ${pte >>> 12}`);
      if ((pte & 2) !== 0 && host.frames.type[pte >>> 12]! >= TYPE_L1) throw new Error('maps a table writable');
    }
  }
}

describe('a guest and a technique that do not fit', () => {
  const make = (name: string, technique: 'native' | 'paravirtual' | 'hardware-assisted', memory = 16) => {
    const paging = { native: 'native', paravirtual: 'direct', 'hardware-assisted': 'nested' } as const;
    return () =>
      runVm({ image: guest(name), technique, paging: paging[technique], memoryBytes: memory * 2 ** 20, seconds: 1 });
  };

  it('end before the run, with what would fit', () => {
    expect(make('nano', 'paravirtual')).toThrow(/guest nano is not a paravirtual kernel.*allowed.*nano-pv/);
    expect(make('nano-pv', 'native')).toThrow(/nano-pv is a paravirtual kernel.*native, allowed: paravirtual/);
    expect(make('nano-pv', 'hardware-assisted')).toThrow(/allowed: paravirtual/);
    expect(make('nano-pv', 'paravirtual', 1)).toThrow(/no room|does not fit|memory/);
  });

  it('a kernel for another version of the interface is refused by number', () => {
    const bytes = guest('nano-pv').bytes.slice();
    const view = new DataView(bytes.buffer);
    const at = bytes.findIndex(
      (_, i) => i % 4 === 0 && i + 4 <= bytes.length && view.getUint32(i, true) === 0x5056484b,
    );
    view.setUint32(at + 4, 7, true);
    view.setUint32(at + 8, -(0x5056484b + 7), true);
    expect(() => runVm({ image: guestImage('next-pv', '', bytes), ...WAY })).toThrow(/version 7 .*allowed: 1/);
  });

  it('are findings of a scenario too', () => {
    const scenario = (guestName: string, technique: string) => ({
      name: 'x',
      vms: [{ name: 'vm', guest: guestName, technique, workload: 'sieve', memory: '16 MiB' }],
    });
    expect(() => defineScenario(scenario('nano-clean', 'paravirtual'))).toThrow(/not a paravirtual kernel.*nano-pv/);
    expect(() => defineScenario(scenario('nano-pv', 'native'))).toThrow(/nano-clean is the same kernel/);
  });
});

describe('the clock', () => {
  it('turns cycles into nanoseconds within a nanosecond in a second, below and above 1 GHz', () => {
    for (const hz of [100_000_000, 999_999_999, 1_000_000_000, 2_400_000_000, 3_800_000_000]) {
      const { mul, shift } = clockScale(hz);
      expect(mul).toBeLessThan(2 ** 32);
      const ns = Number(((BigInt(hz) << BigInt(shift)) * BigInt(mul)) >> 32n);
      expect(Math.abs(ns - 1e9)).toBeLessThanOrEqual(1);
    }
  });

  it('drives the ticks: a guest that sleeps ten of them takes their time', () => {
    const { vm, simulatedNs } = runVm({ image: guest('nano-pv'), append: 'idle ticks=10 hz=1000', ...WAY });
    expect(vm.consoleText()).toContain('idle ticks=10 result=10');
    expect(simulatedNs).toBeGreaterThan(10e6);
    expect(simulatedNs).toBeLessThan(12e6);
  });
});

describe('steal time', () => {
  const world = buildWorld(
    planRuns(
      defineScenario({
        name: 'steal',
        duration: '400 ms',
        host: { preset: 'broadwell', pcpus: 1, memory: '64 MiB', scheduler: 'credit' },
        baseline: 'none',
        vms: [
          {
            name: 'busy',
            count: 2,
            guest: 'nano-pv',
            technique: 'paravirtual',
            workload: 'sieve n=100000 rounds=100000',
            memory: '16 MiB',
          },
        ],
      }),
      (file) => file,
    ).runs[0]!,
  );
  finishWorld(world);

  it.each([0, 1])('of VM %i is what the ledger of its vCPU calls ready, up to the last dispatch', (index) => {
    const { vm, vcpus } = world.vms[index]!;
    const shared = vm.physmap.lookup(vm.physmap.ramFrames - 1) * 1024;
    const long = (offset: number) => {
      const at = shared + offset / 4;
      return (vm.machine.memory.words32[at + 1]! >>> 0) * 2 ** 32 + (vm.machine.memory.words32[at]! >>> 0);
    };
    expect(long(SHARED_CLOCK + 16)).toBeGreaterThan(0);
    const steal = long(SHARED_STEAL);
    expect(steal).toBeGreaterThan(50e6);
    // Whoever waits at the end has waited since its last dispatch, which its guest could not see; a slice has 30 ms.
    const ready = vcpus[0]!.task.times[STATE_READY]!;
    expect(ready - steal).toBeGreaterThanOrEqual(-1e6);
    expect(ready - steal).toBeLessThanOrEqual(31e6);
  });
});

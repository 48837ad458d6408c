/** Machine presets: complete, sourced, consistent with the published primitives that they claim, and one formula. */
import { describe, expect, test } from 'vitest';
import { defineScenario } from '../../src/lab/scenario.ts';
import { COST_CLASSES } from '../../src/machine/costs.ts';
import type { BlockStore } from '../../src/machine/devices/block-store.ts';
import { createPc } from '../../src/machine/pc.ts';
import { Tlb } from '../../src/machine/tlb.ts';
import { definePreset, presetTable, VMX_EXIT_REASONS } from '../../src/vmm/costs.ts';
import { TableWork, tableWorkCycles } from '../../src/vmm/paging/work.ts';
import { DEVICE_PATHS, devicePath, VMM_OPERATIONS, VMM_PATHS } from '../../src/vmm/paths.ts';
import { broadwell } from '../../src/vmm/presets/broadwell.ts';
import { findPreset, presets } from '../../src/vmm/presets/index.ts';
import { pentium4_672 } from '../../src/vmm/presets/pentium4-672.ts';
import { SVM_EXITS } from '../../src/vmm/vmcs/svm-exit-codes.ts';
import { FakeClock } from '../machine/devices/fake-clock.ts';
import { guest, runVm } from './run-vm.ts';

describe.each(presets.map((preset) => [preset.id, preset] as const))('%s', (_id, preset) => {
  test('every number is a non-negative integer with a source, listed once', () => {
    const rows = presetTable(preset);
    expect(new Set(rows.map((row) => row.name)).size).toBe(rows.length);
    expect(rows.filter((row) => !Number.isSafeInteger(row.value) || row.value < 0)).toEqual([]);
    expect(rows.filter((row) => row.source.length <= 8)).toEqual([]);
    const listed = new Map(rows.map((row) => [row.name, row.value]));
    for (const c of COST_CLASSES) expect(listed.get(`instruction ${c}`)).toBe(preset.timing.instructions[c]);
    for (const r of VMX_EXIT_REASONS) expect(listed.get(`vmx exit ${r}`)).toBe(preset.vmx.exitCycles[r]);
    for (const o of VMM_OPERATIONS) expect(listed.get(`vmm ${o}`)).toBe(preset.vmm[o]);
  });

  test('every operation of the VMM costs something', () => {
    expect(VMM_OPERATIONS.filter((operation) => preset.vmm[operation] <= 0)).toEqual([]);
  });

  test('the TLB geometry is valid', () => {
    expect(() => [new Tlb(preset.timing.itlb), new Tlb(preset.timing.dtlb)]).not.toThrow();
  });

  test('is plain data', () => {
    expect(structuredClone(preset)).toEqual(preset);
  });
});

describe('published primitives', () => {
  test('Pentium 4: round trip of VMCALL with VMRESUME was 3963 on Prescott; entry was measured as 2409 here', () => {
    expect(pentium4_672.vmx.exitCycles.vmcall + 2333).toBe(3963);
    expect(pentium4_672.vmx).toMatchObject({ entryCycles: 2409, vmreadCycles: 178, vmwriteCycles: 171 });
    expect(pentium4_672.vmx.exitCycles['page-fault']).toBe(1931);
  });

  test('Pentium 4: a native divide by zero is 889 with a handler of a few instructions', () => {
    const { divide, interrupt, iret } = pentium4_672.timing.instructions;
    const rest = 889 - divide - interrupt - iret;
    expect(rest).toBeGreaterThanOrEqual(5);
    expect(rest).toBeLessThanOrEqual(20);
  });

  test('Broadwell', () => {
    expect(broadwell.vmx).toMatchObject({ entryCycles: 348, vmreadCycles: 5, vmwriteCycles: 4 });
    expect(broadwell.vmx.exitCycles).toMatchObject({ vmcall: 265, cpuid: 332, io: 397, 'nested-violation': 656 });
  });
});

describe('path lengths', () => {
  test('become cycles by one formula', () => {
    // 150 instructions at CPI 2.5; VMREADs are charged one by one
    expect(pentium4_672.vmm['vmx-dispatch']).toBe(375);
    expect(broadwell.vmm['vmx-dispatch']).toBe(150);
    expect(pentium4_672.vmm['trap-dispatch']).toBe(250 + 6 * 40);
    // 16 pages of 2 references after a TLB flush
    expect(pentium4_672.vmx.coldDispatchCycles).toBe(16 * 2 * 28);
    expect(broadwell.vmx.coldDispatchCycles).toBe(16 * 2 * 12);
  });

  test('each says why', () => {
    expect(VMM_OPERATIONS.filter((operation) => VMM_PATHS[operation].why.length <= 15)).toEqual([]);
    expect(Object.keys(VMM_PATHS).length).toBe(VMM_OPERATIONS.length);
  });

  test('work on tables is charged by its counts', () => {
    const work = new TableWork();
    expect(tableWorkCycles(broadwell.vmm, work)).toBe(0);
    Object.assign(work, { references: 2, frames: 1, entries: 3, evictions: 1 });
    expect(tableWorkCycles(broadwell.vmm, work)).toBe(2 * 20 + 450 + 3 * 40 + 300);
    work.reset();
    expect(tableWorkCycles(broadwell.vmm, work)).toBe(0);
  });
});

describe('looking up', () => {
  test('finds presets by id, and names what is allowed', () => {
    expect(findPreset('broadwell')).toBe(broadwell);
    expect(() => findPreset('pentium5')).toThrow(
      "unknown machine 'pentium5': allowed are pentium3-733, xeon-2400, pentium4-672, core2-duo, penryn",
    );
  });

  test('nested paging and tagged TLBs need a machine that has them', () => {
    const image = guest('hello');
    const run = (wanted: { paging: 'nested' | 'shadow'; taggedTlb: boolean; preset: string }) =>
      runVm({ image, technique: 'hardware-assisted', ...wanted }).vm.outcome?.kind;
    expect(run({ paging: 'nested', taggedTlb: true, preset: 'broadwell' })).toBe('completed');
    expect(() => run({ paging: 'nested', taggedTlb: false, preset: 'pentium4-672' })).toThrow(
      'has no nested paging (EPT)',
    );
    expect(() => run({ paging: 'shadow', taggedTlb: true, preset: 'pentium4-672' })).toThrow(
      'has no tagged TLB (VPID)',
    );
  });
});

describe('SVM', () => {
  const epyc = findPreset('epyc');

  test('the round trip is the published one, and the control block is memory', () => {
    const { entryCycles, exitCycles, vmreadCycles, vmwriteCycles, vmclearCycles, vmptrldCycles } = epyc.vmx;
    expect(entryCycles + exitCycles.vmcall).toBeGreaterThanOrEqual(1344);
    expect(entryCycles + exitCycles.vmcall).toBeLessThanOrEqual(1376);
    expect([vmreadCycles, vmwriteCycles, vmclearCycles, vmptrldCycles]).toEqual([1, 1, 0, 0]);
    expect(presets.filter(({ vmx }) => vmx.vendor === 'AMD')).toEqual([epyc]);
  });

  test('runs what VT-x runs, with the same exits', () => {
    const run = (preset: string) =>
      runVm({
        image: guest('nano'),
        append: 'forkwait n=3 hz=0',
        technique: 'hardware-assisted',
        paging: 'nested',
        taggedTlb: true,
        preset,
      });
    const [amd, intel] = [run('epyc'), run('broadwell')];
    const counts = ({ vm }: typeof amd) => vm.exits.sorted().map(({ reason, count }) => [reason, count]);
    expect(counts(amd)).toEqual(counts(intel));
    expect([amd.memoryHash, amd.instructions]).toEqual([intel.memoryHash, intel.instructions]);
  });

  test('has no preemption timer, and no VMX to offer', () => {
    const options = {
      image: guest('hello'),
      technique: 'hardware-assisted',
      paging: 'nested',
      preset: 'epyc',
    } as const;
    expect(() => runVm({ ...options, vmx: { preemptionTimer: true } })).toThrow('no preemption timer');
    expect(() => runVm({ ...options, guestVmx: 'plain' })).toThrow('which needs a VMX processor below');
    const scenario = (vm: object) => () =>
      defineScenario({
        name: 'svm',
        duration: '1 s',
        host: { preset: 'epyc' },
        vms: [{ name: 'vm', guest: 'hello', memory: '16 MiB', ...vm }],
      });
    expect(scenario({ vmx: { preemption_timer: true } })).toThrow('vms[0].vmx.preemption_timer: found true');
    expect(scenario({})).not.toThrow();
  });

  test('every exit has a code of its own', () => {
    const codes = VMX_EXIT_REASONS.flatMap((reason) => SVM_EXITS[reason] ?? []).map(({ code }) => code);
    expect(new Set(codes).size).toBe(VMX_EXIT_REASONS.length - 1);
    // AMD64 manual, vol 2, appendix C.
    expect(SVM_EXITS).toMatchObject({ cpuid: { code: 0x72 }, io: { code: 0x7b }, 'nested-violation': { code: 0x400 } });
  });
});

describe('devices', () => {
  const disk: BlockStore = { sectors: 1, read: () => {}, write: () => {}, flush: () => {} };
  const pc = createPc({ clock: new FakeClock(), memoryBytes: 2 ** 24, disks: [disk, null, disk] });
  const devices = [...pc.bus.devices, ...pc.memoryBus.devices].map(({ name }) => name);

  test('every device of a PC has a path, and every path a device', () => {
    expect(Object.keys(DEVICE_PATHS).sort()).toEqual([...devices, 'lapic'].sort());
    const paths = VMM_OPERATIONS.filter((operation) => operation.startsWith('device-'));
    expect([...new Set(Object.values(DEVICE_PATHS))].sort()).toEqual([...paths].sort());
  });

  test('the serial port and the disks are not charged as the debug console', () => {
    const at = (port: number) => devicePath(pc.bus.deviceAt(port)?.name);
    expect([0x3f8, 0x1f0, 0x3f6, 0x170, 0xe9, 0x2f8].map(at)).toEqual([
      'device-uart',
      'device-ide',
      'device-ide',
      'device-ide',
      'device-debug',
      'device-debug',
    ]);
  });
});

test('a number that is no integer, or has no source, is our bug', () => {
  const sourced = { value: 1, source: 'here' };
  const spec = {
    id: 'x',
    name: 'x',
    year: 2000,
    frequencyHz: sourced,
    instructions: Object.fromEntries(COST_CLASSES.map((c) => [c, sourced])) as never,
    walkReferenceCycles: sourced,
    itlb: { small: { sets: 1, ways: 1 }, large: { sets: 1, ways: 1 }, source: 'here' },
    dtlb: { small: { sets: 1, ways: 1 }, large: { sets: 1, ways: 1 }, source: 'here' },
    vmx: {
      entryCycles: sourced,
      exitCycles: {},
      defaultExitCycles: sourced,
      vmreadCycles: sourced,
      vmwriteCycles: sourced,
      vmclearCycles: sourced,
      vmptrldCycles: sourced,
      taggedTlb: false,
      nestedPaging: false,
      featuresSource: 'here',
    },
    vmmCyclesPer100Instructions: sourced,
  };
  expect(definePreset(spec).contextSwitchCycles).toBe(12 + 2);
  expect(() => definePreset({ ...spec, frequencyHz: { value: 1.5, source: 'here' } })).toThrow('non-negative integer');
  expect(() => definePreset({ ...spec, frequencyHz: { value: 1, source: '' } })).toThrow('has no source');
});

/**
 * The control block: fields and exit reasons as the manual lists them, VM-entry checks, and what exits under which control,
 * counted by running guests. Expected counts come from the manual's rules and the guest's own loop counts.
 */
import { describe, expect, it } from 'vitest';
import { CodeCache } from '../../src/machine/code-cache.ts';
import { Cpu } from '../../src/machine/cpu.ts';
import { NO_ERROR_CODE } from '../../src/machine/exits.ts';
import { MachineMemory } from '../../src/machine/memory.ts';
import { Mmu } from '../../src/machine/mmu.ts';
import { VMX_EXIT_REASONS } from '../../src/vmm/costs.ts';
import { findPreset } from '../../src/vmm/presets/index.ts';
import type { ExecutedVcpu } from '../../src/vmm/vcpu.ts';
import {
  ControlBlock,
  interruptionInformation,
  TYPE_EXTERNAL,
  TYPE_HARDWARE_EXCEPTION,
  TYPE_NMI,
} from '../../src/vmm/vmcs/control-block.ts';
import { CPU_CR3_LOAD_EXITING, CPU_PAUSE_EXITING, CPU_USE_MSR_BITMAPS, msrBit } from '../../src/vmm/vmcs/controls.ts';
import { BASIC_EXIT_REASONS } from '../../src/vmm/vmcs/exit-reasons.ts';
import { type Field, VMCS } from '../../src/vmm/vmcs/fields.ts';
import type { VmxOptions } from '../../src/vmm/vmx-options.ts';
import { guest, type RunEnd, runVm } from './run-vm.ts';

const PROBE = guest('probe');

/** Runs the probe under hardware assistance, by both engines, which must agree. */
function probe(append: string, paging: 'shadow' | 'nested', vmx: Partial<VmxOptions> = {}, taggedTlb = true): RunEnd {
  const options = { image: PROBE, append, technique: 'hardware-assisted', paging, taggedTlb, vmx } as const;
  const end = runVm({ ...options, cpuEngine: 'compiled', hotAfter: 2 });
  const plain = runVm({ ...options, cpuEngine: 'interpreter' });
  expect(end.vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0 });
  expect(end.vm.exits.sorted()).toEqual(plain.vm.exits.sorted());
  expect(end.state).toEqual(plain.state);
  expect([end.simulatedNs, end.memoryHash, end.instructions]).toEqual([
    plain.simulatedNs,
    plain.memoryHash,
    plain.instructions,
  ]);
  return end;
}

const native = (append: string) => runVm({ image: PROBE, append, technique: 'native', paging: 'native' });
const count = (end: RunEnd, reason: string): number =>
  end.vm.exits.sorted().find((row) => row.reason === reason)?.count ?? 0;
const cpuOf = (end: RunEnd) => (end.vm.cpus[0] as ExecutedVcpu).guestView();
/** How many more exits of a kind 100 repetitions make: what the set-up of the guest does cancels out. */
function per100(kind: string, reason: string, paging: 'shadow' | 'nested', vmx: Partial<VmxOptions> = {}): number {
  return count(probe(`${kind} n=250`, paging, vmx), reason) - count(probe(`${kind} n=150`, paging, vmx), reason);
}

describe('fields', () => {
  const fields: readonly Field[] = Object.values(VMCS);

  it('have unique encodings, whose bits say area and width (SDM vol 3, table 24-17)', () => {
    expect(new Set(fields.map(({ encoding }) => encoding)).size).toBe(fields.length);
    for (const { name, encoding } of fields) {
      expect(encoding & ~0x6ffe, name).toBe(0); // width in bits 14:13, type in 11:10, even: full access
    }
    const areaOf = (name: string) =>
      /^GUEST_(PHYSICAL|LINEAR)_ADDRESS$/.test(name) ? 'exit' : name.startsWith('GUEST_') ? 'guest' : 'host';
    for (const { name, area } of fields.filter((field) => /^(GUEST|HOST)_/.test(field.name))) {
      expect(area, name).toBe(areaOf(name));
    }
  });

  it('are where appendix B has them', () => {
    const at = (field: Field) => field.encoding;
    expect([VMCS.GUEST_RIP, VMCS.GUEST_CR3, VMCS.GUEST_TR_BASE, VMCS.GUEST_CS_ACCESS_RIGHTS].map(at)).toEqual([
      0x681e, 0x6802, 0x6814, 0x4816,
    ]);
    expect([VMCS.EXIT_REASON, VMCS.EXIT_QUALIFICATION, VMCS.EXCEPTION_BITMAP, VMCS.HOST_RIP].map(at)).toEqual([
      0x4402, 0x6400, 0x4004, 0x6c16,
    ]);
  });
});

describe('exit reasons', () => {
  it('have ascending numbers, and every reason of a preset stands behind one', () => {
    const numbers = BASIC_EXIT_REASONS.map(({ number }) => number);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    const covered = BASIC_EXIT_REASONS.flatMap(({ reasons }) => reasons);
    expect([...new Set(covered)].sort()).toEqual([...VMX_EXIT_REASONS].sort());
  });
});

describe('what exits', () => {
  it.each([
    ['cpuid', 'cpuid', 100, 100],
    ['vmcall', 'vmcall', 100, 100],
    ['io', 'io', 100, 100],
    ['msr', 'msr', 100, 100],
    ['wbinvd', 'wbinvd', 100, 100],
    ['cr0', 'control-register', 100, 0],
    ['cr3', 'control-register', 100, 0],
    ['invlpg', 'invlpg', 100, 0],
    ['pause', 'pause', 0, 0],
    ['pte', 'page-fault', 100, 0],
  ])('%s: %s, %i times under shadow paging, %i under nested', (kind, reason, shadow, nested) => {
    expect(per100(kind, reason, 'shadow')).toBe(shadow);
    expect(per100(kind, reason, 'nested')).toBe(nested);
  });

  it('CR0 writes only where a bit of the guest/host mask would change', () => {
    const CR0_TS = 8;
    const CR0_WP = 0x10000;
    const mask = (bits: number) => ({ tune: (block: ControlBlock) => block.write(VMCS.CR0_GUEST_HOST_MASK, bits) });
    // The probe toggles TS.
    const shadowed = (bits: number) => ({
      tune: (block: ControlBlock) => {
        mask(bits).tune(block);
        block.write(VMCS.CR0_READ_SHADOW, block.peek(VMCS.GUEST_CR0));
      },
    });
    expect(per100('cr0', 'control-register', 'nested', shadowed(CR0_TS))).toBe(100);
    expect(per100('cr0', 'control-register', 'nested', shadowed(CR0_WP))).toBe(0);
    // MOV of the same value never differs from the shadow.
    expect(count(probe('nothing n=1', 'nested', shadowed(CR0_WP)), 'control-register')).toBe(1);
  });

  it('CR3 loads but for CR3-target values', () => {
    const exiting = (block: ControlBlock) =>
      block.write(VMCS.PRIMARY_CONTROLS, block.read(VMCS.PRIMARY_CONTROLS) | CPU_CR3_LOAD_EXITING);
    expect(per100('cr3', 'control-register', 'nested', { tune: exiting })).toBe(100);
    const root = cpuOf(probe('cr3 n=1', 'nested')).cr3;
    const target = (values: number) => (block: ControlBlock) => {
      exiting(block);
      block.write(VMCS.CR3_TARGET_VALUE_1, root);
      block.write(VMCS.CR3_TARGET_COUNT, values);
    };
    expect(per100('cr3', 'control-register', 'nested', { tune: target(2) })).toBe(0);
    expect(per100('cr3', 'control-register', 'nested', { tune: target(1) })).toBe(100);
  });

  it('MSRs by the bitmap', () => {
    const APIC_BASE = 0x1b;
    const bitmap = (msr: number, isWrite: boolean) => (block: ControlBlock) => {
      block.write(VMCS.PRIMARY_CONTROLS, block.read(VMCS.PRIMARY_CONTROLS) | CPU_USE_MSR_BITMAPS);
      block.msrBitmap.set(msrBit(msr, isWrite), false);
    };
    expect(per100('msr', 'msr', 'nested', { tune: bitmap(APIC_BASE, false) })).toBe(0);
    expect(per100('msr', 'msr', 'nested', { tune: bitmap(APIC_BASE, true) })).toBe(100);
    expect(msrBit(0x2000, false)).toBe(-1);
    expect(msrBit(0xc000_0080 | 0, true)).toBe(3 * 0x2000 + 0x80);
  });

  it('ports by the bitmaps', () => {
    const direct = probe('io n=100', 'nested', { directPorts: [0x21] });
    const all = probe('io n=100', 'nested');
    // The interrupt controller's mask is set four times besides.
    expect(count(all, 'io') - count(direct, 'io')).toBeGreaterThanOrEqual(100);
    expect(direct.vm.consoleText()).toBe(all.vm.consoleText());
    // A direct access costs the bus.
    expect(direct.simulatedNs).toBeGreaterThan(all.simulatedNs);
  });

  it('PAUSE by PAUSE exiting', () => {
    const tune = (block: ControlBlock) =>
      block.write(VMCS.PRIMARY_CONTROLS, block.read(VMCS.PRIMARY_CONTROLS) | CPU_PAUSE_EXITING);
    expect(per100('pause', 'pause', 'nested', { tune })).toBe(100);
  });

  it('page faults by bitmap, mask and match of their error code, and the guest gets them all the same', () => {
    const image = guest('nano-clean');
    const faults = (n: number, bitmap: number, mask: number, match: number): number => {
      const tune = (block: ControlBlock) => {
        block.write(VMCS.EXCEPTION_BITMAP, bitmap);
        block.write(VMCS.PAGE_FAULT_ERROR_CODE_MASK, mask);
        block.write(VMCS.PAGE_FAULT_ERROR_CODE_MATCH, match);
      };
      const append = `pgfault n=${n} hz=0`;
      const end = runVm({ image, append, technique: 'hardware-assisted', paging: 'nested', vmx: { tune } });
      const bare = runVm({ image, append, technique: 'native', paging: 'native' });
      expect(end.state).toEqual(bare.state);
      expect(end.memoryHash).toBe(bare.memoryHash);
      return count(end, 'page-fault');
    };
    const PF = 1 << 14;
    const WRITE = 2;
    const all = faults(64, PF, 0, 0);
    expect(faults(128, PF, 0, 0) - all).toBe(64);
    expect(faults(64, 0, 0, 0)).toBe(0);
    // A clear bit turns the rule around.
    expect(faults(64, 0, 0, 1)).toBe(all);
    expect(faults(64, PF, WRITE, WRITE) + faults(64, PF, WRITE, 0)).toBe(all);
    expect(faults(64, PF, WRITE, WRITE)).toBe(faults(64, 0, WRITE, 0));
  });
});

describe('PAUSE-loop exiting', () => {
  const FIXED = { grow: 1, shrink: 0, longest: 2 ** 31 - 1 };

  const cyclesPerPause = (): number => {
    const [short, long] = [native('pause n=10000'), native('pause n=20000')];
    return Math.round((cpuOf(long).cycles - cpuOf(short).cycles) / 10_000);
  };

  it.each([
    [128, 4096],
    [128, 1000],
  ])('gap %i, window %i: one exit per loop that outlasts the window', (gapCycles, windowCycles) => {
    const n = 20_000;
    const each = cyclesPerPause();
    // The first PAUSE starts the window; the exit is the first one more than the window later; then all begins again.
    const pausesPerExit = 1 + Math.floor(windowCycles / each) + 1;
    const end = probe(`pause n=${n}`, 'nested', {
      pauseLoop: { gapCycles, window: { ...FIXED, first: windowCycles } },
    });
    expect(count(end, 'pause')).toBe(Math.floor(n / pausesPerExit));
    expect(end.vm.consoleText()).toBe(native(`pause n=${n}`).vm.consoleText());
  });

  it.each([
    [2, 2 ** 31 - 1],
    [2, 10_000],
    [10, 2 ** 31 - 1],
  ])('a window of 1000 that grows by %i at every exit, up to %i', (grow, longest) => {
    const n = 20_000;
    const each = cyclesPerPause();
    let exits = 0;
    let left = n;
    for (let window = 1000; ; window = Math.min(window * grow, longest)) {
      left -= 1 + Math.floor(window / each) + 1;
      if (left < 0) break;
      exits++;
    }
    const pauseLoop = { gapCycles: 128, window: { first: 1000, grow, shrink: 0, longest } };
    expect(count(probe(`pause n=${n}`, 'nested', { pauseLoop }), 'pause')).toBe(exits);
  });

  it('does not see loops whose PAUSEs are further apart than the gap', () => {
    expect(
      count(
        probe('pause n=20000', 'nested', { pauseLoop: { gapCycles: 1, window: { ...FIXED, first: 100 } } }),
        'pause',
      ),
    ).toBe(0);
  });
});

describe('injection', () => {
  const memory = new MachineMemory(8, 256);
  const timing = findPreset('broadwell').timing;
  const codeCache = new CodeCache(memory, timing);
  const walker = { walk: () => 1, machineFrame: () => -1, isDevice: () => false, frame: 0, flags: 0, references: 0 };
  const mmu = new Mmu(memory, timing, { ...walker, errorCode: 0, faultGpa: 0 }, codeCache);
  const make = () => {
    const cpu = new Cpu(memory, mmu, codeCache);
    return { cpu, block: new ControlBlock(cpu, { vmreadCycles: 5, vmwriteCycles: 4 }) };
  };
  const IF = 0x200;
  const inject = (vector: number, type: number, errorCode: number, prepare: (cpu: Cpu) => void) => () => {
    const { cpu, block } = make();
    cpu.setEflags(IF, -1);
    prepare(cpu);
    block.write(VMCS.VM_ENTRY_INTERRUPTION_INFORMATION, interruptionInformation(vector, type, errorCode));
    return block.checkInjection();
  };
  const nothing = () => {};

  it('of an external interrupt needs IF = 1 and no blocking by STI or MOV SS', () => {
    expect(inject(0x20, TYPE_EXTERNAL, NO_ERROR_CODE, nothing)()).toMatchObject({ vector: 0x20, type: TYPE_EXTERNAL });
    expect(inject(0x20, TYPE_EXTERNAL, NO_ERROR_CODE, (cpu) => cpu.setEflags(0, -1))).toThrow('needs IF = 1');
    expect(inject(0x20, TYPE_EXTERNAL, NO_ERROR_CODE, (cpu) => cpu.beginInterruptShadow())).toThrow('blocked by STI');
  });

  it('of an NMI needs vector 2 and no NMI in service, but no IF', () => {
    expect(inject(2, TYPE_NMI, NO_ERROR_CODE, (cpu) => cpu.setEflags(0, -1))()).toMatchObject({ vector: 2 });
    expect(inject(3, TYPE_NMI, NO_ERROR_CODE, nothing)).toThrow('vector 2');
    const inService = (cpu: Cpu) => {
      cpu.nmiBlocked = true;
    };
    expect(inject(2, TYPE_NMI, NO_ERROR_CODE, inService)).toThrow('blocked');
  });

  it('of an exception has an error code only where the manual gives it one', () => {
    expect(inject(14, TYPE_HARDWARE_EXCEPTION, 7, nothing)()).toEqual({ vector: 14, type: 3, errorCode: 0 });
    expect(inject(6, TYPE_HARDWARE_EXCEPTION, 1, nothing)).toThrow('vector 6 has no error code');
    expect(inject(40, TYPE_HARDWARE_EXCEPTION, NO_ERROR_CODE, nothing)).toThrow('event of type 3, vector 40');
  });

  it('leaves nothing behind once it happened', () => {
    const { block } = make();
    block.write(VMCS.VM_ENTRY_INTERRUPTION_INFORMATION, interruptionInformation(6, 3, NO_ERROR_CODE));
    block.injected();
    expect(block.checkInjection()).toBeNull();
  });

  it('of controls that are not offered, or contradict each other, is refused at entry', () => {
    const enter = (field: Field, value: number) => () => {
      const { block } = make();
      block.write(field, value);
      block.enter();
    };
    expect(enter(VMCS.PRIMARY_CONTROLS, 1 << 27)).toThrow('not offered'); // monitor trap flag
    expect(enter(VMCS.SECONDARY_CONTROLS, 1 << 1)).toThrow('not activated');
    expect(enter(VMCS.PRIMARY_CONTROLS, 1 << 22)).toThrow('needs virtual NMIs');
    expect(enter(VMCS.CR3_TARGET_COUNT, 5)).toThrow('more than four');
    expect(enter(VMCS.CR0_GUEST_HOST_MASK, -1)).toThrow('CR0_READ_SHADOW');
    expect(() => make().block.write(VMCS.EXIT_REASON, 0)).toThrow('read-only');
  });
});

describe('VPID', () => {
  it('off: every exit flushes both TLBs once; on: none does', () => {
    const flushes = (end: RunEnd) => end.vm.machine.mmus[0]!.dtlb.flushes;
    const [few, many] = [10, 110].map((n) => probe(`cpuid n=${n}`, 'nested', {}, false)) as [RunEnd, RunEnd];
    const exits = many.vm.exits.total - few.vm.exits.total;
    expect(exits).toBeGreaterThanOrEqual(100);
    expect(flushes(many) - flushes(few)).toBe(exits);
    expect(flushes(probe('cpuid n=110', 'nested'))).toBe(flushes(probe('cpuid n=10', 'nested')));
  });

  it('off: the VMM walks its own tables after each exit', () => {
    const [tagged, untagged] = [true, false].map((on) => probe('cpuid n=1000', 'nested', {}, on)) as [RunEnd, RunEnd];
    const cycles = (end: RunEnd) => end.vm.exits.sorted().find(({ reason }) => reason === 'cpuid')!.cycles;
    expect(cycles(untagged) - cycles(tagged)).toBe(1000 * 16 * 2 * 12);
  });
});

describe('HLT', () => {
  it('stays inside the guest without HLT exiting, and keeps the pCPU', () => {
    const [inside, outside] = [false, true].map((hltExiting) => probe('hlt n=50', 'nested', { hltExiting })) as [
      RunEnd,
      RunEnd,
    ];
    expect(count(outside, 'hlt')).toBe(50);
    expect(count(inside, 'hlt')).toBe(0);
    // Each timer interrupt finds the guest running, and brings the VMM in.
    expect(count(inside, 'external-interrupt')).toBe(50);
    expect(inside.vm.consoleText()).toBe(outside.vm.consoleText());
    expect(inside.instructions).toBe(outside.instructions);
  });
});

describe('preemption timer', () => {
  it('ends every slice by an exit', () => {
    // Only compiled: two slices are long.
    const run = (preemptionTimer: boolean) =>
      runVm({
        image: PROBE,
        append: 'nothing n=30000000',
        technique: 'hardware-assisted',
        paging: 'nested',
        vmx: { preemptionTimer },
      });
    const end = run(true);
    const slices = Math.floor(end.simulatedNs / 10_000_000);
    expect(slices).toBeGreaterThan(1);
    expect(count(end, 'preemption-timer')).toBe(slices);
    expect(count(run(false), 'preemption-timer')).toBe(0);
  });
});

describe('VMREAD and VMWRITE', () => {
  it('are charged one by one', () => {
    let block: ControlBlock | null = null;
    const accesses = (append: string) => {
      runVm({
        image: PROBE,
        append,
        technique: 'hardware-assisted',
        paging: 'nested',
        vmx: {
          tune: (it) => {
            block = it;
          },
        },
      });
      return { reads: block!.vmreads, writes: block!.vmwrites };
    };
    const [few, many] = [accesses('cpuid n=10'), accesses('cpuid n=110')];
    // Reason, qualification, length, IDT vectoring; RIP, RSP, RFLAGS, interruptibility. Then RIP moves on.
    // One more digit in the console text is one more OUT: 8 reads and 1 write.
    expect(many.reads - few.reads).toBe(808);
    expect(many.writes - few.writes).toBe(101);
  });
});

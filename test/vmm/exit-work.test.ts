/**
 * What a VMM does at an exit and what it need not do: system calls by SYSENTER, exceptions that the processor reports, segments
 * loaded in the translation cache, shadows that are kept or dropped. Expected cycles are added up by hand from the preset's
 * hardware and the paths named, per operation: the difference of two runs by that of their n.
 */
import { describe, expect, it } from 'vitest';
import type { TechniqueName } from '../../src/vmm/technique.ts';
import { guest, type RunEnd, type RunOptions, runVm } from './run-vm.ts';

const PRESET = 'pentium4-672';
/** Cycles of 100 instructions of VMM code, and of six segment loads, there. */
const CPI = 2.5;
const SEGMENTS = 6 * 40;

function run(image: string, append: string, technique: TechniqueName, options: Partial<RunOptions> = {}): RunEnd {
  const paging = technique === 'native' ? 'native' : 'shadow';
  return runVm({ image: guest(image), append, technique, paging, preset: PRESET, ...options });
}

const row = (end: RunEnd, reason: string): { count: number; cycles: number } =>
  end.vm.exits.sorted().find((one) => one.reason === reason) ?? { count: 0, cycles: 0 };

/** Exits of a reason for each of the operations between two runs, and the cycles of one. */
function each(workload: string, technique: TechniqueName, reason: string): { count: number; cycles: number } {
  const [few, many] = [100, 200].map((n) => row(run('nanobench', `${workload} n=${n}`, technique), reason));
  const count = many!.count - few!.count;
  return { count: count / 100, cycles: (many!.cycles - few!.cycles) / count };
}

const spent = (end: RunEnd): number => end.spent.reduce((sum, cycles) => sum + cycles, 0);

describe('SYSENTER', () => {
  const hardware = 120 + 305; // SYSENTER, IRET to the guest's kernel
  const dispatch = 100 * CPI + SEGMENTS;

  it.each(['trap-and-emulate', 'binary-translation'] as const)(
    'enters the VMM of %s, which decodes nothing',
    (technique) => {
      expect(each('syscall', technique, 'sysenter')).toEqual({ count: 1, cycles: hardware + dispatch + 80 * CPI });
      expect(row(run('nanobench', 'syscall n=100', technique), 'general-protection').count).toBe(0);
    },
  );

  it('comes back by a call-out from translated code', () => {
    const callOut = 2 * 120 + 80 * CPI + SEGMENTS;
    expect(each('syscall', 'binary-translation', 'call-out-sysexit')).toEqual({ count: 1, cycles: callOut + 80 * CPI });
  });
});

describe('a division by zero', () => {
  it('has taken the divider its time', () => {
    const cycles = (n: number): number => spent(run('nanobench', `divzero n=${n}`, 'native'));
    // DIV, exception, ADD to memory, IRET, and the loop: DEC and JNZ.
    expect((cycles(200) - cycles(100)) / 100).toBe(70 + 500 + 4 + 305 + 1 + 2);
  });

  it.each(['trap-and-emulate', 'binary-translation'] as const)(
    'is delivered by %s as the processor reports it',
    (technique) => {
      const cycles = 500 + 305 + 100 * CPI + SEGMENTS + 400 * CPI;
      expect(each('divzero', technique, 'divide-error')).toEqual({ count: 1, cycles });
    },
  );
});

describe('a page fault injected by VT-x', () => {
  it('pays for CR2, which the control block does not have', () => {
    // Exit, entry; 10 VMREADs, 2 VMWRITEs; 16 cold pages; dispatch, fault, two references, injection; CR2.
    const cycles = 1931 + 2409 + 10 * 178 + 2 * 171 + 16 * 2 * 28 + (150 + 120 + 2 * 20 + 60) * CPI + 150;
    expect(each('pgfault', 'hardware-assisted', 'page-fault')).toEqual({ count: 1, cycles });
  });
});

describe('a kernel that restores segments from memory', () => {
  it('does it in the translation cache', () => {
    const [few, many] = [100, 200].map((n) => run('nano', `syscall n=${n} hz=0`, 'binary-translation'));
    expect(row(many!, 'call-out-mov').count).toBe(row(few!, 'call-out-mov').count);
    expect(row(many!, 'software-interrupt').count - row(few!, 'software-interrupt').count).toBeGreaterThan(90);
  });
});

describe('shadows that are not kept', () => {
  it.each(['binary-translation', 'hardware-assisted'] as const)(
    'are filled again after each switch (%s)',
    (technique) => {
      const [kept, dropped] = [
        run('lmbench', 'ctx n=20 hz=0', technique),
        run('lmbench', 'ctx n=20 hz=0', technique, { keepShadows: false }),
      ];
      const faults = technique === 'binary-translation' ? 'hidden-fault' : 'page-fault';
      // Two switches a round, each of which needs at least the kernel's and the user's code and stack.
      expect(row(dropped, faults).count - row(kept, faults).count).toBeGreaterThan(2 * 20 * 4);
      expect(dropped.memoryHash).toBe(kept.memoryHash);
    },
  );
});

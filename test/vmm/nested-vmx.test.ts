/**
 * VMX: a VMM guest of ours and its guest, on the bare machine and nested. Expected texts are Bochs's (guests/expected/vmm.json);
 * what is nested must leave the same registers and memory as the bare machine; and the exits are multiplied as counted
 * in the guest's source: how often it reads and writes its control structure for each exit of its guest.
 */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { guest, type RunEnd, type RunOptions, runVm } from './run-vm.ts';

interface Expected {
  readonly append: string;
  readonly text: string;
}
const runs = JSON.parse(
  readFileSync(new URL('../../guests/expected/vmm.json', import.meta.url), 'utf8'),
) as readonly Expected[];

const image = guest('vmm');
const NATIVE = { technique: 'native', paging: 'native', guestVmx: 'plain' } as const;
const NESTED = { technique: 'hardware-assisted', paging: 'nested', guestVmx: 'plain' } as const;
const TAGGED = { ...NESTED, taggedTlb: true } as const;
const SHADOWING = { ...TAGGED, guestVmx: 'shadowing' } as const;
const run = (append: string, way: Partial<RunOptions>): RunEnd =>
  runVm({ image, append, seconds: 2, ...NATIVE, ...way });

/** Exits by reason. */
const exits = (end: RunEnd): Record<string, number> =>
  Object.fromEntries(end.vm.exits.sorted().map(({ reason, count }) => [reason, count]));
const cyclesOf = (end: RunEnd): number => end.vm.exits.sorted().reduce((sum, { cycles }) => sum + cycles, 0);

describe.each(runs)('vmm $append', ({ append, text }) => {
  const code = text.includes('no such') ? 2 : 0;
  let native: RunEnd;
  beforeAll(() => {
    native = run(append, {});
  });

  it('prints on the bare machine what it prints on Bochs', () => {
    expect(native.vm.outcome).toMatchObject({ kind: 'completed', exitCode: code });
    expect(native.vm.consoleText()).toBe(text);
  });

  it.each([
    NESTED,
    TAGGED,
    SHADOWING,
    { ...NATIVE, cpuEngine: 'interpreter' },
    { ...TAGGED, cpuEngine: 'interpreter' },
  ] as const)('is the same to the last byte: $technique $guestVmx tagged=$taggedTlb $cpuEngine', (way) => {
    const end = run(append, way);
    expect(end.vm.consoleText()).toBe(text);
    expect(end.instructions).toBe(native.instructions);
    expect(end.state).toEqual(native.state);
    expect(end.memoryHash).toBe(native.memoryHash);
  });

  it('costs the same cycles interpreted and compiled', () => {
    const [compiled, interpreted] = (['compiled', 'interpreter'] as const).map((cpuEngine) =>
      run(append, { ...TAGGED, cpuEngine }),
    );
    expect(interpreted!.digest).toBe(compiled!.digest);
    expect(interpreted!.simulatedNs).toBe(compiled!.simulatedNs);
    expect(interpreted!.vm.exits.sorted()).toEqual(compiled!.vm.exits.sorted());
  });
});

describe('exits are multiplied', () => {
  /** What the guest's main.c does for one exit: VMREADs and VMWRITEs in the handler and in run_guest. */
  const ACCESSES = {
    // reason; RIP and length to skip; host RSP and RIP before the entry
    cpuid: { vmread: 3, vmwrite: 3 },
    vmcall: { vmread: 3, vmwrite: 3 },
    // and the qualification
    out: { vmread: 4, vmwrite: 3 },
    // reason, event, error, qualification; error and event to inject
    fault: { vmread: 4, vmwrite: 4 },
  } as const;
  const L2_REASON = { cpuid: 'l2-cpuid', vmcall: 'l2-vmcall', out: 'l2-io', fault: 'l2-exception' } as const;

  it.each(Object.keys(ACCESSES) as (keyof typeof ACCESSES)[])(
    '%s: each access to the control structure is an exit',
    (workload) => {
      const [few, many] = [10, 110].map((n) => exits(run(`${workload} n=${n}`, TAGGED)));
      const more = (reason: string): number => ((many![reason] ?? 0) - (few![reason] ?? 0)) / 100;
      expect(more(L2_REASON[workload])).toBe(1);
      expect(more('vmread')).toBe(ACCESSES[workload].vmread);
      expect(more('vmwrite')).toBe(ACCESSES[workload].vmwrite);
      expect(more('vmresume')).toBe(1);
    },
  );

  it('VMCS shadowing takes the accesses away and leaves the rest', () => {
    const plain = exits(run('all n=20', TAGGED));
    const { vmread, vmwrite, ...rest } = plain;
    expect(vmread).toBeGreaterThan(0);
    expect(vmwrite).toBeGreaterThan(0);
    expect(exits(run('all n=20', SHADOWING))).toEqual(rest);
    expect(cyclesOf(run('all n=20', SHADOWING))).toBeLessThan(cyclesOf(run('all n=20', TAGGED)));
  });
});

describe('what a guest without VMX sees', () => {
  it('has no bit in CPUID, so the VMM does not try', () => {
    for (const way of [
      { technique: 'native', paging: 'native' },
      { technique: 'hardware-assisted', paging: 'nested' },
    ] as const) {
      const { vm } = runVm({ image, append: 'compute', ...way });
      expect(vm.outcome).toMatchObject({ kind: 'completed', exitCode: 3 });
    }
  });

  it('needs a technique and a machine that can offer it', () => {
    const refused =
      (way: Partial<RunOptions>): (() => unknown) =>
      () =>
        run('compute', way);
    expect(refused({ technique: 'trap-and-emulate', paging: 'shadow' })).toThrow(/offers no VMX/);
    expect(refused({ technique: 'hardware-assisted', paging: 'shadow' })).toThrow(/nested paging/);
  });
});

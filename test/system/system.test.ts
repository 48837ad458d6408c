/**
 * System-level behaviour: kernels that probe privilege, paging, segments, interrupts and flags print the same lines on
 * hvsim as elsewhere, and the same under every technique; small kernels of the kind that tutorials have show the same
 * screen; kernels that break things end in an outcome, never in an exception of hvsim.
 * Invariants: expected/X.txt is what QEMU printed (for `limits` and `real`, which QEMU does not check: Bochs); where
 * that is not what the manual says, expected/exceptions.json has the line, ours, and the place in the manual.
 * UPDATE=1 writes expected/*.txt anew from QEMU and Bochs, PEERS=all compares with both.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  folder,
  MODES,
  type Mode,
  missing,
  probeOnBochs,
  probeOnQemu,
  runOnHvsim,
  smallOnQemu,
  withScreen,
} from './machine.ts';

interface Exceptions {
  readonly kernel: string;
  readonly source: string;
  readonly lines: readonly { readonly line: number; readonly qemu: string; readonly here: string }[];
}
interface End {
  readonly kernel: string;
  readonly outcome: string;
  readonly text: string;
}

const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
const exceptions = JSON.parse(read('expected/exceptions.json')) as Exceptions[];
const ends = JSON.parse(read('expected/ends.json')) as End[];
const modes = Object.keys(MODES) as Mode[];

/** Nothing in them tells a deprivileged kernel that it is one: trap-and-emulate must be equivalent. */
const CLEAN = ['faults', 'paging', 'code', 'limits', 'ferr'];
/** These are about instructions that tell. */
const TELLING = ['segments', 'lar', 'rings', 'flags', 'debug'];
/** These run in modes that trap-and-emulate cannot do. */
const BEYOND = ['real', 'v86', 'tasks'];
/**
 * Checked against Bochs, because QEMU has no limit checks and few checks of tasks, and breakpoints that are not exact, and
 * QEMU 7.2 stops with an assertion of its own at a floating-point error that becomes interrupt 13.
 */
const BY_BOCHS = ['limits', 'real', 'tasks', 'v86', 'debug', 'ferr'];
const SMALL = ['vga-hello', 'ticks', 'keyboard', 'higher-half', 'paging', 'mbinfo', 'cxx', 'machine', 'flat'];

/** How many CPUs the SMP kernel is run with. */
const CPUS = [1, 2, 4];

/** The reference's text with the lines replaced in which it is known not to follow the manual. */
function expected(kernel: string): string {
  const lines = read(`expected/${kernel}.txt`).split('\n');
  for (const { line, qemu, here } of exceptions.filter((one) => one.kernel === kernel).flatMap((one) => one.lines)) {
    expect(lines[line - 1], `line ${line} of expected/${kernel}.txt`).toBe(qemu);
    lines[line - 1] = here;
  }
  return lines.join('\n');
}

describe('probe kernels', () => {
  describe.each([...CLEAN, ...TELLING, ...BEYOND])('%s', (kernel) => {
    const inModes = CLEAN.includes(kernel) ? modes : modes.filter((mode) => mode !== 'deprivileged');
    it.each(inModes)('%s', (mode) => {
      const vm = runOnHvsim(kernel, mode);
      expect(vm.consoleText()).toBe(expected(kernel));
      expect(vm.outcome).toEqual({ kind: 'completed', exitCode: 0, detail: '' });
    });
  });

  it.each(TELLING)('%s: trap-and-emulate says what went wrong', (kernel) => {
    const vm = runOnHvsim(kernel, 'deprivileged');
    expect(vm.outcome?.kind).toBe('completed');
    expect(vm.consoleText()).not.toBe(expected(kernel));
    expect(vm.divergences).not.toEqual([]);
  });

  it.each(BEYOND)('%s: not something that trap-and-emulate can do', (kernel) => {
    expect(runOnHvsim(kernel, 'deprivileged').outcome).toMatchObject({
      kind: 'unimplemented',
      detail: 'real mode or virtual-8086 mode under trap-and-emulate',
    });
  });
});

describe('small kernels', () => {
  describe.each(SMALL)('%s', (name) => {
    it.each(modes)('%s', (mode) => {
      const vm = runOnHvsim(`small-${name}`, mode);
      expect(withScreen(vm.consoleText(), vm.screenText())).toBe(expected(`small-${name}`));
    });
  });
});

describe('SMP kernel', () => {
  describe.each(CPUS)('%i CPUs', (cpus) => {
    it.each(modes)('%s', (mode) => {
      // A slow clock, because CPUs that wait spin.
      const vm = runOnHvsim('smp', mode, 0.5, '', cpus, { frequencyHz: 200_000_000 });
      expect(vm.consoleText()).toBe(expected(`smp-${cpus}`));
      expect(vm.outcome).toEqual({ kind: 'completed', exitCode: 0, detail: '' });
      expect(vm.divergences).toEqual([]);
    });
  });

  it.each(['nested', 'shadow', 'deprivileged', 'translated'] as const)('4 vCPUs on fewer physical CPUs, %s', (mode) => {
    // A slow clock and short slices: whoever waits for a lock whose holder is off the CPU spins to the end of its slice.
    const scheduler = { policy: 'round-robin', params: { quantum_ms: 1 } };
    for (const pcpus of [1, 3]) {
      const vm = runOnHvsim('smp', mode, 30, '', 4, { pcpus, frequencyHz: 20_000_000, scheduler });
      expect(vm.consoleText()).toBe(expected('smp-4'));
    }
  });
});

describe('kernels that break things', () => {
  it('are all listed', () => {
    const built = readdirSync(join(folder, 'bin')).filter((file) => file.startsWith('end-'));
    expect(built.map((file) => file.replace('.elf', '')).sort()).toEqual(ends.map((end) => end.kernel).sort());
  });

  describe.each(ends)('$kernel', ({ kernel, outcome, text }) => {
    it.each(modes)('%s', (mode) => {
      const vm = runOnHvsim(kernel, mode, outcome === 'time-limit' ? 0.005 : 0.3);
      expect([vm.outcome?.kind, vm.consoleText()]).toEqual([outcome, text]);
    });
  });
});

/** Random code, traced step by step inside the guest: the hashes that it prints must not depend on the technique. */
describe('random code', () => {
  const alike = (append: string, others: readonly Mode[]): void => {
    const reference = runOnHvsim('fuzz', 'native', 0.5, append);
    for (const mode of others) {
      const vm = runOnHvsim('fuzz', mode, 0.5, append);
      expect([vm.consoleText(), vm.outcome?.kind]).toEqual([reference.consoleText(), reference.outcome?.kind]);
    }
    expect(reference.outcome?.kind).not.toBe('time-limit');
  };
  const seeds = [1, 2, 3, 4, 5];
  it.each(seeds)('ring 3 under every technique, seed %i', (seed) => {
    alike(`seed=${seed} ring=3 clean=1 count=96`, ['shadow', 'nested', 'deprivileged', 'translated']);
  });
  it.each(seeds)('ring 3 with sensitive instructions, seed %i', (seed) => {
    alike(`seed=${seed} ring=3 clean=0 count=96`, ['shadow', 'nested']);
  });
  it.each(seeds)('ring 0, until something breaks, seed %i', (seed) => {
    alike(`seed=${seed} ring=0 clean=0 count=96`, ['shadow', 'nested', 'translated']);
  });
});

describe('files', () => {
  const sums = read('SHA256SUMS')
    .trimEnd()
    .split('\n')
    .map((line) => ({ hash: line.slice(0, 64), path: line.slice(66) }));

  it('have the hashes that SHA256SUMS says', () => {
    const wrong = sums.filter(
      ({ hash, path }) =>
        createHash('sha256')
          .update(readFileSync(join(folder, path)))
          .digest('hex') !== hash,
    );
    expect(wrong).toEqual([]);
  });

  it('are all built kernels', () => {
    const listed = sums.map(({ path }) => path).filter((path) => path.startsWith('bin/'));
    expect(listed.map((path) => path.slice(4)).sort()).toEqual(readdirSync(join(folder, 'bin')).sort());
  });
});

const update = process.env['UPDATE'] === '1';
const peers = update || process.env['PEERS'] === 'all';
const absent = missing('qemu-system-i386', 'bochs', 'grub-mkrescue', 'xorriso', 'mformat');

describe.skipIf(!peers || absent !== undefined)('other machines', () => {
  const compare = (kernel: string, text: string): void => {
    if (update) writeFileSync(join(folder, 'expected', `${kernel}.txt`), text);
    expect(text).toBe(read(`expected/${kernel}.txt`));
  };
  it.each([...CLEAN, ...TELLING, ...BEYOND].filter((kernel) => !BY_BOCHS.includes(kernel)))('%s on QEMU', (kernel) => {
    compare(kernel, probeOnQemu(kernel));
  });
  it.each(CPUS)('SMP kernel on QEMU, %i CPUs', (cpus) => {
    compare(`smp-${cpus}`, probeOnQemu('smp', cpus));
  });
  it.each(BY_BOCHS)('%s on Bochs', (kernel) => {
    compare(kernel, probeOnBochs(kernel));
  });
  it.each(SMALL)('%s on QEMU', async (name) => {
    compare(`small-${name}`, await smallOnQemu(`small-${name}`));
  });
});

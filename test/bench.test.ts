/**
 * The benchmarks can be trusted: their kernel is what its sources say, counts what guests/counts.json says, prints the
 * same on other machines, and a wrong answer stops the measurement.
 * Source: counts and answers come from QEMU (-icount: one tick is one instruction), never from hvsim.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { figure, geometricMean, median, table } from '../bench/harness.ts';
import { runChild } from '../bench/peers/child.ts';
import { guestLines, instructionsOf, KERNEL_FILE, KERNELS, type Kernel, unitsAt } from '../bench/peers/kernels.ts';
import type { Peer } from '../bench/peers/machines/peer.ts';
import { qemu } from '../bench/peers/machines/qemu.ts';
import { v86 } from '../bench/peers/machines/v86.ts';
import { measure, runKernel } from '../bench/peers/measure.ts';
import { readGuestImage } from '../src/guest/image.ts';
import { runVm } from './vmm/run-vm.ts';

const folder = join(import.meta.dirname, '..', 'bench', 'guests');
const MIB = 2 ** 20;
/** Between the two clock readings of a run that does no work (QEMU says so too). */
const EMPTY_TICKS = 7;
/** Kernels whose unit of work is millions of instructions. */
const HEAVY = ['sieve', 'matmul', 'calls'];

/** A few units of work, enough to tell the fixed part from the rest; one digit, or printing n takes longer. */
const unitsToTry = ({ name }: Kernel): number[] => (HEAVY.includes(name) ? [1] : [1, 9]);

const runs = KERNELS.flatMap((kernel) =>
  unitsToTry(kernel).map((n) => ({ kernel, n, append: `${kernel.name} n=${n}` })),
);

function runHere(append: string): { readonly text: string; readonly instructions: number } {
  const image = readGuestImage(KERNEL_FILE);
  const memoryBytes = 16 * MIB;
  const { vm, instructions } = runVm({
    image,
    append,
    memoryBytes,
    technique: 'native',
    paging: 'native',
    seconds: 60,
  });
  expect(vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0 });
  return { text: vm.consoleText(), instructions };
}

describe('the kernel', () => {
  const listed = readFileSync(join(folder, 'SHA256SUMS'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => ({ hash: line.slice(0, 64), path: line.slice(66) }));

  test('is what SHA256SUMS says, and so are its sources', () => {
    const present = readdirSync(folder).filter((file) => file !== 'build' && file !== 'SHA256SUMS');
    expect(listed.map(({ path }) => path)).toEqual(present.toSorted((a, b) => (a < b ? -1 : 1)));
    for (const { hash, path } of listed) {
      const bytes = readFileSync(join(folder, path));
      expect([path, createHash('sha256').update(bytes).digest('hex')]).toEqual([path, hash]);
    }
  });

  const compiler = spawnSync('gcc', ['--version'], { encoding: 'utf8' }).stdout?.split('\n')[0];
  const linker = spawnSync('ld', ['--version'], { encoding: 'utf8' }).stdout?.split('\n')[0];
  const same = readFileSync(join(folder, 'COMPILER'), 'utf8') === `${compiler}\n${linker}\n`;
  test.skipIf(!same)('comes out of its sources byte for byte', () => {
    const copy = mkdtempSync(join(tmpdir(), 'hvsim-bench-'));
    try {
      for (const { path } of listed) if (path !== 'bench.elf') cpSync(join(folder, path), join(copy, path));
      execFileSync('make', ['-C', copy, 'elfs', 'check'], { stdio: 'pipe' });
      expect(readFileSync(join(copy, 'bench.elf')).equals(readFileSync(KERNEL_FILE))).toBe(true);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  test('refuses a command line without a workload', () => {
    const image = readGuestImage(KERNEL_FILE);
    const { vm } = runVm({ image, append: 'n=3', technique: 'native', paging: 'native' });
    expect(vm.outcome).toMatchObject({ kind: 'completed', exitCode: 2 });
    expect(vm.consoleText()).toContain('one of: sieve matmul');
  });
});

describe('instructions', () => {
  test.each(runs)('hvsim counts those of $append', ({ kernel, n, append }) => {
    const none = runHere(`${kernel.name} n=0`).instructions;
    expect(runHere(append).instructions - none).toBe(instructionsOf(kernel, n) - EMPTY_TICKS);
  });

  test('are linear in the units of work, and a scale never comes to none', () => {
    const [sieve] = KERNELS;
    expect(instructionsOf(sieve, 3) - instructionsOf(sieve, 1)).toBe(2 * sieve.perUnit);
    expect([unitsAt(sieve, 1), unitsAt(sieve, 0.5), unitsAt(sieve, 1e-9)]).toEqual([40, 20, 1]);
  });
});

const icount = qemu('qemu-system-i386', true);
const noQemu = icount.missing();
if (noQemu !== undefined) console.warn(`bench: not compared with QEMU, ${noQemu}`);

describe.skipIf(noQemu !== undefined)('on QEMU', () => {
  test.each(runs)('$append: same answer, and the clock counts as many instructions', async ({ kernel, n, append }) => {
    const { stdout } = await runKernel(icount, append);
    expect(guestLines(stdout)).toBe(guestLines(runHere(append).text));
    expect(Number(/ticks=(0x\w+)/.exec(stdout)?.[1])).toBe(instructionsOf(kernel, n));
  });
});

const browser = v86('', '');
const noV86 = browser.missing();
describe.skipIf(noV86 !== undefined)('on v86', () => {
  test.each(['sieve n=1', 'syscall n=700', 'ptemod n=700', 'pgfault n=700'])('%s: same answer', async (append) => {
    expect(guestLines((await runKernel(browser, append)).stdout)).toBe(guestLines(runHere(append).text));
  });
});

/** A machine that prints what it is told. */
function fake(title: string, answer: string): Peer {
  const script = `const [name, n] = process.argv[1].split(' n=');
    console.log('bench: start\\nbench: ' + name + ' n=' + n + ' checksum=${answer}\\nbench: ticks=0x' + process.pid)`;
  return {
    id: 'hvsim',
    title,
    missing: () => undefined,
    version: () => '1',
    boot: ({ append }) => ({ words: [process.execPath, '-e', script, append] }),
  };
}

describe('the measurement', () => {
  const job = { kernels: KERNELS.slice(0, 1), repeat: 2, scale: 1, progress: () => {} };

  test('takes every machine as often as asked, and does not mind the ticks', async () => {
    const { cells, baselines } = await measure({ ...job, peers: [fake('a', '0x1'), fake('b', '0x1')] });
    expect(cells.map(({ machine, kernel, n, samples }) => [machine, kernel, n, samples.length])).toEqual([
      ['a', 'sieve', 40, 2],
      ['b', 'sieve', 40, 2],
    ]);
    expect(Object.keys(baselines)).toEqual(['a', 'b']);
  });

  test('fails on a wrong answer, on no answer and on a wrong count', async () => {
    const wrong = measure({ ...job, peers: [fake('a', '0x1'), fake('b', '0x2')] });
    await expect(wrong).rejects.toThrow(/a printed[\s\S]*0x1[\s\S]*but b printed[\s\S]*0x2/);
    const silent = { ...fake('c', ''), boot: () => ({ words: [process.execPath, '-e', 'console.error("no")'] }) };
    await expect(measure({ ...job, peers: [silent] })).rejects.toThrow(/"sieve n=0" on c gave no result[\s\S]*no/);
    const lazy = { ...fake('d', '0x1'), instructions: () => 1000 };
    await expect(measure({ ...job, peers: [lazy] })).rejects.toThrow('d counted 0 instructions for sieve');
  });
});

describe('a child process', () => {
  const node = (script: string): string[] => [process.execPath, '-e', script];

  test('has its CPU time and its markers measured', async () => {
    const busy = 'console.log("one"); const end = Date.now() + 300; while (Date.now() < end); console.log("two")';
    const { cpuSeconds, wallSeconds, markerSeconds, status } = await runChild(node(busy), {
      timeoutSeconds: 20,
      markers: ['one', 'two'],
    });
    expect(status).toBe(0);
    expect(wallSeconds).toBeGreaterThan(0.3);
    expect(markerSeconds[1] - markerSeconds[0]).toBeGreaterThan(0.25);
    expect(cpuSeconds).toBeGreaterThan(0.02);
    expect(cpuSeconds).toBeLessThan(wallSeconds * 2);
  });

  test('is killed at its last marker or when its time is over', async () => {
    const waits = node('console.log("here"); setTimeout(() => {}, 60000)');
    const stopped = await runChild(waits, { timeoutSeconds: 20, markers: ['here'], stopAtLastMarker: true });
    expect([stopped.timedOut, stopped.wallSeconds < 20]).toEqual([false, true]);
    const late = await runChild(waits, { timeoutSeconds: 0.5, markers: ['never'] });
    expect([late.timedOut, late.markerSeconds]).toEqual([true, [Number.NaN]]);
  });
});

describe('figures', () => {
  test('medians and geometric means', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
    expect(geometricMean([2, 8])).toBeCloseTo(4, 12);
    expect(geometricMean([2, Number.NaN])).toBeNaN();
  });

  test('three digits, and a dash for nothing', () => {
    expect([1234.5, 123.45, 12.345, 1.2345, 0.012345, Number.NaN].map((value) => figure(value))).toEqual([
      '1235',
      '123',
      '12.3',
      '1.23',
      '0.01',
      '-',
    ]);
  });

  test('tables are aligned Markdown', () => {
    expect(table(['a', 'n'], [['long', '1']])).toBe('| a    |   n |\n| ---- | --: |\n| long |   1 |\n');
  });
});

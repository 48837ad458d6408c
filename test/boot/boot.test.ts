/**
 * Every way to start an image, and the devices that kernels start with: small images print the same on hvsim, under
 * every technique that can run them, as on QEMU.
 * Invariant: expected/X.txt is what QEMU printed (port 0xE9, then COM1); UPDATE=1 writes them anew, PEERS=all compares.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GuestOptions, guestParts } from '../../src/commands/boot-guest.ts';
import { buildWorld, finishWorld } from '../../src/lab/build.ts';
import type { ResolvedRun } from '../../src/lab/plan.ts';
import type { ExecutedVm } from '../../src/vmm/vm.ts';

const folder = import.meta.dirname;
const MIB = 2 ** 20;
const MEMORY_MIB = 16;
const MODES = {
  native: ['native', 'native'],
  shadow: ['hardware-assisted', 'shadow'],
  nested: ['hardware-assisted', 'nested'],
  deprivileged: ['trap-and-emulate', 'shadow'],
  translated: ['binary-translation', 'shadow'],
} as const;
type Mode = keyof typeof MODES;
const ALL = ['native', 'shadow', 'nested', 'deprivileged', 'translated'] as const;
/** Trap-and-emulate has no real mode. */
const IN_REAL_MODE = ['native', 'shadow', 'nested', 'translated'] as const;

interface Case {
  readonly name: string;
  readonly file: string;
  readonly modes: readonly Mode[];
  readonly append?: string;
  readonly options: GuestOptions;
  readonly qemu: readonly string[];
  readonly exitCode: number;
  readonly typed?: string;
}

const drive = (file: string, index: number): string[] => [
  '-drive',
  `file=${file},format=raw,index=${index},snapshot=on`,
];
const CASES: readonly Case[] = [
  {
    name: 'disk',
    file: 'disk.elf',
    modes: ALL,
    options: { disk: ['master.img', 'index=1,file=slave.img'] },
    qemu: [...drive('master.img', 0), ...drive('slave.img', 1)],
    exitCode: 0,
  },
  {
    name: 'modules',
    file: 'modules.elf',
    modes: ALL,
    append: 'a=1 b',
    options: { initrd: 'one.txt with text,two.txt' },
    qemu: ['-append', 'a=1 b', '-initrd', 'one.txt with text,two.txt'],
    exitCode: 0,
  },
  {
    name: 'linux',
    file: 'linux.bin',
    modes: ALL,
    append: 'console=x y',
    options: { initrd: 'one.txt' },
    qemu: ['-append', 'console=x y', '-initrd', 'one.txt'],
    exitCode: 3,
  },
  { name: 'rom', file: 'rom.bin', modes: IN_REAL_MODE, options: { bios: 'rom.bin' }, qemu: [], exitCode: 1 },
  { name: 'sector', file: 'sector.bin', modes: IN_REAL_MODE, options: {}, qemu: [], exitCode: 4 },
  { name: 'serial', file: 'serial.elf', modes: ALL, options: {}, qemu: [], exitCode: 2, typed: 'Hello, serial.' },
];

/** Bytes that look random and are always the same. */
function imageBytes(sectors: number, seed: number): Uint8Array {
  let x = seed;
  return Uint8Array.from({ length: sectors * 512 }, () => {
    x = (Math.imul(x, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return x >> 16;
  });
}

let place = '';
const before = process.cwd();
const read = (file: string): string => readFileSync(join(folder, file), 'latin1');

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'hvsim-boot-'));
  const put = (name: string, content: string | Uint8Array): void => writeFileSync(join(place, name), content);
  put('master.img', imageBytes(2016, 1));
  put('slave.img', imageBytes(1008, 2));
  put('one.txt', 'first module');
  put('two.txt', '2');
  for (const { file } of CASES) put(file, readFileSync(join(folder, 'bin', file)));
  process.chdir(place); // module texts begin with the path as given
});
afterAll(() => {
  process.chdir(before);
  rmSync(place, { recursive: true });
});

function runOf(one: Case, mode: Mode): ResolvedRun {
  const [technique, paging] = MODES[mode];
  const host = {
    preset: 'broadwell',
    frequencyHz: 2_600_000_000,
    pcpus: 1,
    memoryBytes: (MEMORY_MIB + 64) * MIB,
    quantumNs: 20_000,
    scheduler: { policy: 'round-robin', params: {} },
  };
  const vm = {
    name: 'guest',
    guest: one.name,
    imageFile: join(place, one.file),
    workload: one.append ?? '',
    technique,
    paging,
    taggedTlb: technique === 'hardware-assisted',
    memoryBytes: MEMORY_MIB * MIB,
    vcpus: 1,
    weight: 256,
    capPercent: 0,
    baselineRun: null,
  };
  return { runId: 1, role: 'point', seed: 1, axes: {}, durationNs: 1e9, host, vms: [vm] };
}

async function onHvsim(one: Case, mode: Mode): Promise<ExecutedVm> {
  if (one.typed !== undefined) writeFileSync(join(place, 'typed'), one.typed);
  const guest = await guestParts({ ...one.options, input: one.typed === undefined ? 'none' : 'typed' }, () => {});
  const world = buildWorld(runOf(one, mode), { guest });
  finishWorld(world);
  return world.vms[0]!.vm;
}

async function onQemu(one: Case): Promise<string> {
  const args = ['-m', String(MEMORY_MIB), '-display', 'none', '-no-reboot', '-net', 'none', '-monitor', 'none'];
  args.push('-debugcon', 'file:e9', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-serial', 'stdio');
  if (one.options.bios !== undefined) args.push('-bios', one.file);
  else if (one.name === 'sector') args.push(...drive(one.file, 0));
  else args.push('-kernel', one.file);
  const qemu = spawn('qemu-system-i386', [...args, ...one.qemu], { cwd: place, timeout: 30_000 });
  let serial = '';
  qemu.stdout.setEncoding('latin1').on('data', (text: string) => {
    serial += text;
  });
  const ended = new Promise((resolve) => qemu.on('close', resolve));
  if (one.typed !== undefined) setTimeout(() => qemu.stdin.write(one.typed), 1500);
  expect(await ended).toBe((one.exitCode << 1) | 1);
  return readFileSync(join(place, 'e9'), 'latin1') + serial;
}

describe.each(CASES)('$name', (one) => {
  it.each([...one.modes])('%s', async (mode) => {
    const vm = await onHvsim(one, mode);
    expect(vm.consoleText()).toBe(read(`expected/${one.name}.txt`));
    expect(vm.outcome).toEqual({ kind: 'completed', exitCode: one.exitCode, detail: '' });
  });
});

it('disk writes stay in memory, or go to the file with --disk-write', async () => {
  const disk = CASES[0]!;
  const master = (): string =>
    createHash('sha256')
      .update(readFileSync(join(place, 'master.img')))
      .digest('hex');
  const untouched = master();
  await onHvsim(disk, 'native');
  expect(master()).toBe(untouched);
  await onHvsim({ ...disk, options: { ...disk.options, diskWrite: true } }, 'native');
  expect(readFileSync(join(place, 'master.img')).subarray(9 * 512, 11 * 512)).toEqual(
    Buffer.from(Array.from({ length: 1024 }, (_, i) => (i * 7) & 0xff)),
  );
  writeFileSync(join(place, 'master.img'), imageBytes(2016, 1));
  expect(master()).toBe(untouched);
});

it('files have the hashes that SHA256SUMS says', () => {
  const listed = read('SHA256SUMS').trimEnd().split('\n');
  const hash = (path: string): string =>
    createHash('sha256')
      .update(readFileSync(join(folder, path)))
      .digest('hex');
  expect(listed.filter((line) => hash(line.slice(66)) !== line.slice(0, 64))).toEqual([]);
  const built = listed.map((line) => line.slice(66)).filter((path) => path.startsWith('bin/'));
  expect(built.map((path) => path.slice(4)).sort()).toEqual(readdirSync(join(folder, 'bin')).sort());
});

const update = process.env['UPDATE'] === '1';
const hasQemu = spawnSync('which', ['qemu-system-i386']).status === 0;

describe.skipIf((!update && process.env['PEERS'] !== 'all') || !hasQemu)('on QEMU', () => {
  it.each(CASES)('$name', async (one) => {
    const text = await onQemu(one);
    if (update) writeFileSync(join(folder, 'expected', `${one.name}.txt`), text, 'latin1');
    expect(text).toBe(read(`expected/${one.name}.txt`));
  });
});

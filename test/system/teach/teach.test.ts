/**
 * A teaching kernel for PCs with several CPUs, of the kind that universities use: it finds the MP table, starts the other
 * CPUs, runs a scheduler on each, reads its programs from an IDE disk, and has a shell at COM1. What it prints must be
 * what it prints on QEMU, whoever executes it.
 * Invariant: expected/SESSION-CPUS.txt is what QEMU printed at COM1; UPDATE=1 writes it anew, PEERS=all compares (on
 * Bochs, too) and runs all tests of the kernel under every technique.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { parseInput } from '../../../src/guest/input-script.ts';
import { buildWorld, finishWorld } from '../../../src/lab/build.ts';
import type { ResolvedRun } from '../../../src/lab/plan.ts';
import { type BlockStore, SECTOR_BYTES } from '../../../src/machine/devices/block-store.ts';
import type { EngineName } from '../../../src/vmm/machine.ts';
import type { ExecutedVm } from '../../../src/vmm/vm.ts';
import { MODES, type Mode } from '../machine.ts';

const folder = import.meta.dirname;
const MIB = 2 ** 20;
const MEMORY_MIB = 32;
const kernel = join(folder, 'bin', 'teach.elf');
const image = gunzipSync(readFileSync(join(folder, 'bin', 'disk.img.gz')));
const read = (file: string): string => readFileSync(join(folder, file), 'latin1');
const steps = (session: string) => parseInput(session, readFileSync(join(folder, `${session}.txt`)));

const SESSIONS = { session: 3, tests: 4, keys: 5 } as const;
type Session = keyof typeof SESSIONS;
const CPUS = [1, 2] as const;

function diskOf(bytes: Uint8Array): BlockStore {
  const at = (sector: number): number => sector * SECTOR_BYTES;
  return {
    sectors: bytes.length / SECTOR_BYTES,
    read: (sector, target, offset) => target.set(bytes.subarray(at(sector), at(sector + 1)), offset),
    write: (sector, source, offset) => bytes.set(source.subarray(offset, offset + SECTOR_BYTES), at(sector)),
    flush: () => {},
  };
}

interface Options {
  readonly engine?: EngineName;
  readonly append?: string;
  readonly pcpus?: number;
  readonly hypervisor?: string;
  readonly keys?: boolean;
  readonly seconds?: number;
}

/** A slow clock, because CPUs without work spin, and whoever waits for a lock spins to the end of a window. */
const SLOW_HZ = 200_000_000;

function onHvsim(session: Session, mode: Mode, vcpus: number, options: Options = {}): ExecutedVm {
  const [technique, paging] = MODES[mode];
  const run: ResolvedRun = {
    runId: 1,
    role: 'point',
    seed: 1,
    axes: {},
    durationNs: (options.seconds ?? 600) * 1e9,
    host: {
      preset: 'broadwell',
      frequencyHz: SLOW_HZ,
      pcpus: options.pcpus ?? vcpus,
      memoryBytes: (MEMORY_MIB + 64) * MIB,
      quantumNs: 20_000,
      scheduler: { policy: 'round-robin', params: { quantum_ms: 1 } },
      ...(options.hypervisor === undefined ? {} : { hypervisor: options.hypervisor }),
    },
    vms: [
      {
        name: 'guest',
        guest: 'teach',
        imageFile: kernel,
        workload: options.append ?? '',
        technique,
        paging,
        taggedTlb: technique === 'hardware-assisted',
        memoryBytes: MEMORY_MIB * MIB,
        vcpus,
        weight: 256,
        capPercent: 0,
        baselineRun: null,
      },
    ],
  };
  const typed = options.keys === true ? { keyboardInput: steps(session) } : { serialInput: steps(session) };
  const guest = { disks: [null, diskOf(Uint8Array.from(image))], ...typed };
  const world = buildWorld(run, { guest, ...(options.engine === undefined ? {} : { engine: options.engine }) });
  finishWorld(world);
  return world.vms[0]!.vm;
}

function check(vm: ExecutedVm, session: Session, cpus: number): void {
  expect(vm.consoleText()).toBe(read(`expected/${session}-${cpus}.txt`));
  expect(vm.outcome).toEqual({ kind: 'completed', exitCode: SESSIONS[session], detail: '' });
}

/** Serial line of QEMU; each CPU is a socket of its own, or the MP table would not list it. */
async function onQemu(session: Session, cpus: number): Promise<string> {
  const place = mkdtempSync(join(tmpdir(), 'hvsim-teach-'));
  try {
    const disk = join(place, 'disk.img');
    writeFileSync(disk, image);
    const args = ['-kernel', kernel, '-smp', `${cpus},sockets=${cpus}`, '-m', String(MEMORY_MIB), '-accel', 'tcg'];
    args.push('-drive', `file=${disk},index=1,media=disk,format=raw`, '-serial', 'stdio', '-display', 'none');
    args.push('-monitor', 'none', '-net', 'none', '-no-reboot', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4');
    const qemu = spawn('qemu-system-i386', args, { timeout: 300_000 });
    const ended = new Promise((resolve) => qemu.on('close', resolve));
    const typist = typistFor(session, (bytes) => qemu.stdin.write(bytes));
    qemu.stdout.setEncoding('latin1').on('data', typist.print);
    expect(await ended).toBe((SESSIONS[session] << 1) | 1);
    return typist.text();
  } finally {
    rmSync(place, { recursive: true });
  }
}

/** Types a session by what was printed since the last line was typed. */
function typistFor(session: Session, type: (bytes: Uint8Array) => void) {
  const waiting = steps(session);
  let text = '';
  let seen = 0;
  const print = (more: string): void => {
    text += more;
    for (;;) {
      const next = waiting[0];
      if (next?.when.kind !== 'output') return;
      const awaited = Buffer.from(next.when.text).toString('latin1');
      const at = text.indexOf(awaited, seen);
      if (at < 0) return;
      seen = text.length;
      waiting.shift();
      type(next.bytes);
    }
  };
  return { print, text: () => text };
}

/** The short session by compiled code, run once. */
const compiled = new Map<number, ExecutedVm>();
function nativeRun(cpus: number): ExecutedVm {
  const vm = compiled.get(cpus) ?? onHvsim('session', 'native', cpus, { engine: 'compiled' });
  compiled.set(cpus, vm);
  return vm;
}

describe.each(CPUS)('%i CPUs', (cpus) => {
  it('short session, native', () => {
    const vm = nativeRun(cpus);
    check(vm, 'session', cpus);
    expect(vm.divergences).toEqual([]);
    // The screen has the last lines; the cursor stands at the beginning of the last but one.
    const lines = vm.consoleText().trimEnd().split('\n').slice(-23);
    expect(vm.screenText().trimEnd().split('\n')).toEqual(lines);
  });

  it.each(['shadow', 'nested', 'translated'] as const)(
    'short session, %s',
    (mode) => {
      check(onHvsim('session', mode, cpus), 'session', cpus);
    },
    600_000,
  );

  it('at the keyboard', () => {
    check(onHvsim('keys', 'native', cpus, { keys: true }), 'keys', cpus);
  });

  it('trap-and-emulate says why it does not work', () => {
    // The kernel asks PUSHF whether interrupts are on.
    const vm = onHvsim('keys', 'deprivileged', cpus, { seconds: 0.5 });
    expect(vm.divergences.map(({ mnemonic }) => mnemonic)).toContain('pushf');
  });
});

it('the interpreter takes the same steps as compiled code', () => {
  const one = onHvsim('session', 'native', 1, { engine: 'interpreter' });
  check(one, 'session', 1);
  expect(one.endedAt).toBe(nativeRun(1).endedAt);
  expect(one.memoryHash()).toBe(nativeRun(1).memoryHash());
  const two = (['interpreter', 'compiled'] as const).map((engine) =>
    onHvsim('keys', 'native', 2, { engine, keys: true }),
  );
  for (const vm of two) check(vm, 'keys', 2);
  expect(two[0]!.endedAt).toBe(two[1]!.endedAt);
  expect(two[0]!.memoryHash()).toBe(two[1]!.memoryHash());
});

it('CPUs that sleep when there is no work, on one physical CPU', () => {
  check(onHvsim('session', 'nested', 2, { append: 'halt', pcpus: 1 }), 'session', 2);
});

it('2 CPUs on a partition', () => {
  check(onHvsim('session', 'shadow', 2, { hypervisor: 'type-0' }), 'session', 2);
});

const update = process.env['UPDATE'] === '1';
const campaign = update || process.env['PEERS'] === 'all';
const has = (program: string): boolean => spawnSync('which', [program]).status === 0;

describe.skipIf(!campaign)('all tests of the kernel', () => {
  const combinations = CPUS.flatMap((cpus) =>
    (['native', 'shadow', 'nested', 'translated'] as const).map((mode) => [cpus, mode] as const),
  );
  // Every access to the disk is a way through the host: minutes.
  it('2 CPUs as threads of a host, translated', () => {
    check(onHvsim('session', 'translated', 2, { hypervisor: 'type-2' }), 'session', 2);
  }, 600_000);
  it.each(combinations)('%i CPUs, %s', (cpus, mode) => check(onHvsim('tests', mode, cpus), 'tests', cpus), 600_000);
});

describe.skipIf(!campaign || !has('qemu-system-i386'))('QEMU', () => {
  const sessions = Object.keys(SESSIONS) as Session[];
  it.each(sessions.flatMap((session) => CPUS.map((cpus) => [session, cpus] as const)))(
    '%s, %i CPUs',
    async (session, cpus) => {
      const text = await onQemu(session, cpus);
      const file = `expected/${session}-${cpus}.txt`;
      if (update) writeFileSync(join(folder, file), text, 'latin1');
      expect(text).toBe(read(file));
    },
  );
});

it('files have the hashes that SHA256SUMS says', () => {
  const wrong = read('SHA256SUMS')
    .trimEnd()
    .split('\n')
    .filter((line) => {
      const bytes = readFileSync(join(folder, line.slice(66)));
      return createHash('sha256').update(bytes).digest('hex') !== line.slice(0, 64);
    });
  expect(wrong).toEqual([]);
});

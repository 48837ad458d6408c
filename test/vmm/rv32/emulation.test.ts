/**
 * Emulation: the RV32IM emulator, a program on the emulated CPU, against QEMU and against the manual written down once
 * more (reference.ts); what a broken or hostile program can do; and what the meter counts.
 * rv32-random.json comes from qemu-riscv32 (UPDATE=1 writes it): what each random program wrote, as SHA-256.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Streams } from '../../../src/core/rng.ts';
import { readCatalogue, resolveGuest } from '../../../src/guest/catalogue.ts';
import { carry } from '../../../src/guest/foreign.ts';
import { guestImage, readGuestImage } from '../../../src/guest/image.ts';
import { guestFor } from '../../../src/lab/guests.ts';
import type { EngineName } from '../../../src/vmm/machine.ts';
import { findTechnique } from '../../../src/vmm/techniques/index.ts';
import { type RunEnd, runVm } from '../run-vm.ts';
import { EBREAK, ECALL, i, jal, loadConstant, randomProgram, riscvElf, s } from './program.ts';
import { runReference } from './reference.ts';

const EXPECTED = new URL('rv32-random.json', import.meta.url);
const MIB = 2 ** 20;
const emulation = findTechnique('emulation');
const runtime = resolveGuest(readCatalogue(), 'rvemu');
const FAULT = 0x7e;

function emulate(elf: Uint8Array, options: { seconds?: number; cpuEngine?: EngineName; append?: string } = {}): RunEnd {
  const image = carry(runtime, guestImage('random', 'random.elf', elf), emulation.program!);
  return runVm({ image, technique: 'emulation', paging: 'native', memoryBytes: 8 * MIB, ...options });
}

const consoleBytes = (end: RunEnd): Uint8Array => Uint8Array.from(Buffer.from(end.vm.consoleText(), 'latin1'));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const program = (seed: number): Uint32Array => randomProgram(new Streams(seed).stream('rv32'), 400);
const bytesOf = (code: Uint32Array): Uint8Array => new Uint8Array(code.buffer);

describe('random programs', () => {
  const seeds = Array.from({ length: 40 }, (_, index) => index + 1);
  const qemu = spawnSync('qemu-riscv32', ['--version']).status === 0;

  it.skipIf(!qemu)('write on QEMU what the file of expected results says', () => {
    const folder = mkdtempSync(join(tmpdir(), 'hvsim-rv32-'));
    const file = join(folder, 'program');
    const results = seeds.map((seed) => {
      writeFileSync(file, riscvElf(program(seed)));
      chmodSync(file, 0o755);
      const run = spawnSync('qemu-riscv32', [file]);
      expect(run.status, `seed ${seed}`).toBe(0);
      return sha256(new Uint8Array(run.stdout));
    });
    rmSync(folder, { recursive: true });
    if (process.env['UPDATE'] === '1') writeFileSync(EXPECTED, `${JSON.stringify(results, null, 2)}\n`);
    expect(results).toEqual(JSON.parse(readFileSync(EXPECTED, 'utf8')));
  });

  it('write the same here, and retire as many instructions as the manual says', () => {
    const expected = JSON.parse(readFileSync(EXPECTED, 'utf8')) as string[];
    for (const seed of seeds) {
      const reference = runReference(bytesOf(program(seed)), 0);
      const end = emulate(riscvElf(program(seed)));
      expect(end.vm.outcome, `seed ${seed}`).toMatchObject({ kind: 'completed', exitCode: 0 });
      expect(sha256(consoleBytes(end)), `seed ${seed}`).toBe(expected[seed - 1]);
      expect(consoleBytes(end), `seed ${seed}`).toEqual(reference.console);
      expect(end.instructions, `seed ${seed}`).toBe(reference.instructions);
    }
  });

  it('are the same interpreted and compiled', () => {
    for (const seed of [1, 2, 3]) {
      const [one, other] = (['interpreter', 'compiled'] as const).map((cpuEngine) =>
        emulate(riscvElf(program(seed)), { cpuEngine }),
      ) as [RunEnd, RunEnd];
      expect(one.memoryHash).toBe(other.memoryHash);
      expect(one.simulatedNs).toBe(other.simulatedNs);
      expect(one.vm.sections).toEqual(other.vm.sections);
    }
  });

  it('of random bits end where the manual says, with the same fault', () => {
    const rng = new Streams(7).stream('random bits');
    let faults = 0;
    for (let turn = 0; turn < 100; turn++) {
      // A real opcode most of the time, so that fields are what varies.
      const opcodes = [0x37, 0x17, 0x6f, 0x67, 0x63, 0x03, 0x23, 0x13, 0x33, 0x0f, 0x73];
      const code = Uint32Array.from({ length: 24 }, () =>
        rng.below(12) === 0 ? rng.uint32() : ((rng.uint32() & ~0x7f) | opcodes[rng.below(opcodes.length)]!) >>> 0,
      );
      const end = emulate(riscvElf(code), { seconds: 0.0005 });
      const sp = 0x410000 - 16 - 32;
      const reference = runReference(bytesOf(code), sp, 3000);
      if (reference.exit === 'no end') continue;
      expect(end.vm.outcome, `turn ${turn}`).toMatchObject({ kind: 'completed' });
      const isFault = typeof reference.exit === 'string';
      if (isFault) faults++;
      const line = end.vm
        .consoleText()
        .split('\n')
        .find((one) => one.startsWith('rvemu: '));
      expect({ code: end.vm.outcome!.exitCode, line, instructions: end.instructions }, `turn ${turn}`).toEqual({
        code: isFault ? FAULT : reference.exit,
        line: isFault ? `rvemu: ${reference.exit}` : undefined,
        instructions: reference.instructions,
      });
    }
    expect(faults).toBeGreaterThan(60);
  });
});

describe('the mistakes of a program', () => {
  const one = (...code: number[]): Uint8Array => riscvElf(Uint32Array.from(code));

  it.each<[string, Uint8Array, string]>([
    ['no instruction', one(0), 'illegal instruction 0x00000000 at pc 0x00010000'],
    ['all ones', one(i(0, 0, 0, 0), 0xffffffff), 'illegal instruction 0xffffffff at pc 0x00010004'],
    ['a compressed instruction', one(0x00010001), 'illegal instruction 0x00010001 at pc 0x00010000'],
    ['a breakpoint', one(EBREAK), 'breakpoint 0x00100073 at pc 0x00010000'],
    ['a control register', one(i(0xc00, 0, 2, 5, 0x73)), 'illegal instruction 0xc00022f3 at pc 0x00010000'],
    ['a load through a null pointer', one(i(0, 0, 2, 5, 0x03)), 'load access fault 0x00000000 at pc 0x00010000'],
    [
      'a store below memory',
      one(...loadConstant(5, 0x10000), s(-1, 6, 5, 2)),
      'store access fault 0x0000ffff at pc 0x00010008',
    ],
    [
      'a load across the end',
      one(...loadConstant(5, 0x40fffd), i(0, 5, 2, 6, 0x03)),
      'load access fault 0x0040fffd at pc 0x00010008',
    ],
    ['a jump to half an instruction', one(jal(6, 1)), 'misaligned instruction address 0x00010006 at pc 0x00010000'],
    ['a jump out of memory', one(i(64, 0, 0, 1, 0x67)), 'instruction access fault 0x00000040 at pc 0x00000040'],
  ])('%s is a fault with its address', (_, elf, message) => {
    const end = emulate(elf);
    expect(end.vm.outcome).toMatchObject({ kind: 'completed', exitCode: FAULT });
    expect(end.vm.consoleText()).toContain(`rvemu: ${message}\nx1=`);
  });

  it('a loop without end is ended by the bound of the run', () => {
    const end = emulate(one(jal(0, 0)), { seconds: 0.002 });
    expect(end.vm.outcome).toMatchObject({ kind: 'time-limit' });
    expect(end.instructions).toBeGreaterThan(10_000);
  });

  it('may write code and execute it', () => {
    // Overwrites the breakpoint in front of it with ADDI a0, x0, 7, then exits with that.
    const code = [
      ...loadConstant(5, i(7, 0, 0, 10)),
      ...loadConstant(6, 0x10014),
      s(0, 5, 6, 2),
      EBREAK,
      i(93, 0, 0, 17),
      ECALL,
    ];
    expect(emulate(one(...code)).vm.outcome).toMatchObject({ kind: 'completed', exitCode: 7 });
  });

  it('an unknown system call answers -ENOSYS, a write from outside -EFAULT', () => {
    const negated = [i(-1, 10, 4, 10), i(1, 10, 0, 10)];
    const exit = [i(93, 0, 0, 17), ECALL];
    expect(emulate(one(i(999, 0, 0, 17), ECALL, ...negated, ...exit)).vm.outcome!.exitCode).toBe(38);
    const write = [i(64, 0, 0, 17), i(1, 0, 0, 10), i(0, 0, 0, 11), i(4, 0, 0, 12), ECALL];
    expect(emulate(one(...write, ...negated, ...exit)).vm.outcome!.exitCode).toBe(14);
  });
});

describe('a file that cannot be emulated', () => {
  const nop = Uint32Array.from([i(0, 0, 0, 0)]);
  const carried = (elf: Uint8Array) => () => carry(runtime, guestImage('x', 'x.elf', elf), emulation.program!);

  it.each<[string, (view: DataView) => void, string]>([
    ['64-bit', (v) => v.setUint8(4, 2), 'x.elf: ELF EI_CLASS is 2, allowed: 1 (ELFCLASS32: 32-bit)'],
    ['relocatable', (v) => v.setUint16(16, 1, true), 'x.elf: ELF e_type is 1, allowed: 2'],
    ['compressed', (v) => v.setUint32(36, 1, true), 'x.elf: ELF e_flags is 0x1, allowed: no compressed instructions'],
    ['hard float', (v) => v.setUint32(36, 2, true), 'x.elf: ELF e_flags is 0x2, allowed: no floating-point registers'],
    ['outside memory', (v) => v.setUint32(52 + 20, 0x500000, true), 'allowed: 0x10000 to 0x40ffff'],
    ['cut', (v) => v.setUint32(52 + 16, 0x9000, true), 'a range inside the file'],
    ['odd entry', (v) => v.setUint32(24, 0x10002, true), 'x.elf: ELF e_entry is 0x10002, allowed: a multiple of 4'],
    ['for IA-32', (v) => v.setUint16(18, 3, true), 'x.elf: is not an RV32IM executable (found: elf)'],
  ])('%s is refused with the field', (_, change, message) => {
    expect(carried(riscvElf(nop, change))).toThrow(message);
  });

  it('is refused by the emulator itself too, if it gets one', () => {
    const modules = [{ name: 'x', bytes: new TextEncoder().encode('no ELF'.padEnd(64)), commandLine: 'x' }];
    const end = runVm({ image: { ...runtime, modules }, technique: 'native', paging: 'native' });
    expect(end.vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0x7d });
    expect(end.vm.consoleText()).toBe('rvemu: the module is not an RV32 executable: no ELF header\n');
  });

  it('of random bytes behind a sound header is refused, or ends', () => {
    const rng = new Streams(9).stream('headers');
    const sound = riscvElf(nop);
    for (let turn = 0; turn < 30; turn++) {
      const bytes = sound.slice();
      for (let n = 0; n < 3; n++) bytes[20 + rng.below(64)] = rng.below(256);
      const modules = [{ name: 'x', bytes, commandLine: 'x' }];
      const end = runVm({
        image: { ...runtime, modules },
        technique: 'emulation',
        paging: 'native',
        memoryBytes: 8 * MIB,
        seconds: 0.0005,
      });
      expect(['completed', 'time-limit']).toContain(end.vm.outcome!.kind);
    }
  });

  it('names the technique where none is meant for it', () => {
    const path = new URL('../../../guests/bin/programs.rv32.elf', import.meta.url).pathname;
    const image = readGuestImage(path);
    expect(image.kind).toBe('riscv32');
    expect(() => runVm({ image, technique: 'native', paging: 'native' })).toThrow(
      'not code for this machine; allowed: technique emulation',
    );
    expect(() => guestFor(emulation, 'nano', null)).toThrow(
      'found "emulation", which does not run nano; it runs programs, programs-rv32, rv32-classes',
    );
    expect(guestFor(emulation, path, path).modules).toHaveLength(1);
  });
});

describe('the meter', () => {
  const image = guestFor(emulation, 'rv32-classes', null);
  const end = runVm({ image, technique: 'emulation', paging: 'native' });

  it('counts each section of the classes as its source says', () => {
    expect(end.vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0 });
    const names = end.vm.sections.map(({ name }) => name);
    expect(names[0]).toBe('load');
    expect(names.at(-1)).toBe('run');
    expect(names).toHaveLength(17);
    // 2 before, 100 rounds of 200 and the end of the loop (3 instructions, 2 in the last), then 4 to close it.
    const expected = 2 + 100 * 203 - 1 + 4;
    for (const { name, guestInstructions } of end.vm.sections.slice(1, -1)) {
      expect(guestInstructions, name).toBe(name === 'add' ? expected + 6 : expected);
    }
  });

  it('adds up to what the CPU executed, and every cycle is one of the emulator', () => {
    const sum = (of: (section: (typeof end.vm.sections)[0]) => number): number =>
      end.vm.sections.reduce((total, section) => total + of(section), 0);
    expect(sum(({ guestInstructions }) => guestInstructions ?? 0)).toBe(end.instructions);
    const host = runVm({ image, technique: 'native', paging: 'native' });
    expect(host.vm.consoleText()).toBe(end.vm.consoleText());
    expect(host.memoryHash).toBe(end.memoryHash);
    expect(host.simulatedNs).toBe(end.simulatedNs);
    const afterwards = host.instructions - sum(({ hostInstructions }) => hostInstructions);
    expect(afterwards).toBeGreaterThan(0);
    expect(afterwards).toBeLessThan(20);
  });
});

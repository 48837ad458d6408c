/**
 * Bytecode: the compiler, the interpreter and the translator against values computed here; what the virtual machine
 * refuses; and the programs in all their builds against the texts that QEMU printed for the IA-32 one.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CompileError, compile } from '../../../guests/bytecode/compiler.ts';
import { HOST_FUNCTIONS, OPERATIONS } from '../../../guests/bytecode/format.ts';
import { type RandomStream, Streams } from '../../../src/core/rng.ts';
import { readCatalogue, resolveGuest } from '../../../src/guest/catalogue.ts';
import { carry, type ForeignProgram } from '../../../src/guest/foreign.ts';
import { type GuestImage, guestImage } from '../../../src/guest/image.ts';
import { runWorld } from '../../../src/lab/build.ts';
import { guestFor } from '../../../src/lab/guests.ts';
import { planRuns } from '../../../src/lab/plan.ts';
import { defineScenario } from '../../../src/lab/scenario.ts';
import type { PagingName, TechniqueName } from '../../../src/vmm/technique.ts';
import { findTechnique } from '../../../src/vmm/techniques/index.ts';
import { type RunEnd, runVm } from '../run-vm.ts';

const GUESTS = new URL('../../../guests/', import.meta.url);
const MIB = 2 ** 20;
const WAYS = ['bytecode', 'bytecode-translated'] as const;
const FAULT = 0x7e;
const REFUSED = 0x7d;
const runtime = resolveGuest(readCatalogue(), 'bcvm');
const HOST = 'int put(int c); int progress(int n); int arg(int i);';

function run(technique: TechniqueName, image: GuestImage, append = '', seconds = 1): RunEnd {
  return runVm({ image, append, technique, paging: 'native', memoryBytes: 8 * MIB, seconds });
}

/** As the techniques carry it, without the check of the header: the virtual machine is to see everything. */
function unchecked(bytes: Uint8Array, { text }: ForeignProgram): GuestImage {
  return { ...runtime, modules: [{ name: 'x', bytes, commandLine: `x ${text}`.trim() }] };
}

function runBytes(technique: TechniqueName, bytes: Uint8Array, seconds?: number): RunEnd {
  return run(technique, unchecked(bytes, findTechnique(technique).program!), '', seconds);
}

describe.each(WAYS)('%s', (technique) => {
  const main = (body: string): RunEnd => runBytes(technique, compile(`${HOST} int zero; int run() { ${body} }`));

  it.each([
    ['arithmetic', 'return 7 + 3 * 5 - 20 / 6 % 2;', 7 + 15 - 1],
    ['negative division', 'return -7 / 2 + 10;', 7],
    ['negative remainder', 'return -7 % 3 + 10;', 9],
    ['the one division that overflows', 'int a = 1 << 31; return a / -1 == a && a % -1 == 0;', 1],
    ['unsigned comparison', 'unsigned a = -1; return a > 1 && !(-1 > 1);', 1],
    ['shifts', 'int a = -8; unsigned b = -8; return (a >> 1 == -4) + (b >> 28 == 15) + (1 << 33 == 2);', 3],
    ['loops', 'int s = 0; for (int i = 0; i < 10; i++) { if (i == 3) s += 100; else s += i; } return s;', 142],
    ['do', 'int i = 0; do { i += 2; } while (i < 9); return i;', 10],
    ['short circuit', 'int i = 0; return (0 && i++) || (1 || i++) && i == 0;', 1],
    ['choice', 'int i = 5; return i > 4 ? i < 6 ? 9 : 8 : 7;', 9],
    ['bytes wrap', 'unsigned char c = 300; c += 250; return c;', (300 + 250) & 255],
    ['complement', 'return ~5 + 10;', 4],
    ['globals', 'zero = 4; zero += 3; zero++; return zero;', 8],
  ])('%s', (_, body, expected) => {
    expect(main(body).vm.outcome).toMatchObject({ kind: 'completed', exitCode: expected });
  });

  it('faults with the place: division by zero, addresses outside, endless recursion', () => {
    const divided = main('return 5 / zero;');
    expect(divided.vm.outcome!.exitCode).toBe(FAULT);
    expect(divided.vm.consoleText()).toMatch(/^bcvm: division by zero of 0x00000005 at 0x0000000\w\n$/);
    const outside = runBytes(
      technique,
      compile(`${HOST} int a[4]; int run() { int i = 1000000; a[i] = 1; return 0; }`),
    );
    expect(outside.vm.outcome!.exitCode).toBe(FAULT);
    expect(outside.vm.consoleText()).toMatch(/^bcvm: access outside memory: 0x003d0910 at /);
    const deep = runBytes(
      technique,
      compile(`${HOST} int f(int n) { return f(n + 1) + 1; } int run() { return f(0); }`),
    );
    expect(deep.vm.outcome!.exitCode).toBe(FAULT);
    expect(deep.vm.consoleText()).toMatch(/^bcvm: stack overflow/);
  });

  it('a loop without end is ended by the bound of the run', () => {
    const end = runBytes(
      technique,
      compile(`${HOST} int run() { while (1) zero(); return 0; } int zero() { return 0; }`.replace('zero()', '1')),
      0.002,
    );
    expect(end.vm.outcome!.kind).toBe('time-limit');
  });
});

/** A random expression over the variables a (int), b (int) and u (unsigned), and its value by the rules of C. */
type Value = { readonly text: string; readonly value: number; readonly isUnsigned: boolean };

function expression(rng: RandomStream, depth: number, leaves: readonly Value[]): Value {
  if (depth === 0 || rng.below(6) === 0) return leaves[rng.below(leaves.length)]!;
  const left = expression(rng, depth - 1, leaves);
  const right = expression(rng, depth - 1, leaves);
  const isUnsigned = left.isUnsigned || right.isUnsigned;
  const [a, b] = isUnsigned ? [left.value >>> 0, right.value >>> 0] : [left.value | 0, right.value | 0];
  const of = (operator: string, value: number, unsigned = isUnsigned): Value => ({
    text: `(${left.text} ${operator} ${right.text})`,
    value: value | 0,
    isUnsigned: unsigned,
  });
  switch (rng.below(16)) {
    case 0:
      return of('+', a + b);
    case 1:
      return of('-', a - b);
    case 2:
      return of('*', Math.imul(a, b));
    case 3:
      return b === 0 ? left : of('/', isUnsigned ? Math.floor(a / b) : a / b);
    case 4:
      return b === 0 ? left : of('%', a % b);
    case 5:
      return of('&', a & b);
    case 6:
      return of('|', a | b);
    case 7:
      return of('^', a ^ b);
    case 8:
      return of('<', Number(a < b), false);
    case 9:
      return of('<=', Number(a <= b), false);
    case 10:
      return of('>', Number(a > b), false);
    case 11:
      return of('>=', Number(a >= b), false);
    case 12:
      return of('==', Number(a === b), false);
    case 13:
      return of('!=', Number(a !== b), false);
    case 14:
      return of('<<', left.value << (right.value & 31), left.isUnsigned);
    default:
      return of(
        '>>',
        left.isUnsigned ? left.value >>> (right.value & 31) : left.value >> (right.value & 31),
        left.isUnsigned,
      );
  }
}

describe('random expressions', () => {
  it('have the value that C gives them, interpreted and translated', () => {
    const rng = new Streams(11).stream('expressions');
    const leavesOf = (): Value[] => {
      const [a, b, u] = [rng.uint32() | 0, rng.below(40) - 20, rng.uint32()] as [number, number, number];
      const small = rng.below(9);
      return [
        { text: 'a', value: a, isUnsigned: false },
        { text: 'b', value: b, isUnsigned: false },
        { text: 'u', value: u | 0, isUnsigned: true },
        { text: String(small), value: small, isUnsigned: false },
      ];
    };
    const cases = Array.from({ length: 200 }, () => {
      const leaves = leavesOf();
      return { leaves, wanted: expression(rng, 5, leaves) };
    });
    const functions = cases.map(
      ({ leaves: [a, b, u], wanted }, n) =>
        `int test${n}() { int a = ${a!.value}; int b = ${b!.value}; unsigned u = ${u!.value}; int x = ${wanted.text}; return x == ${wanted.value}; }`,
    );
    const calls = cases.map((_, n) => `if (test${n}() == 0) put('!'); else put('.');`);
    const bytes = compile(`${HOST} ${functions.join('\n')} int run() { ${calls.join('\n')} return 0; }`);
    for (const technique of WAYS) expect(runBytes(technique, bytes).vm.consoleText()).toBe('.'.repeat(200));
  });
});

describe('the compiler', () => {
  it.each([
    ['int run() { return x; }', 'line 1: unknown variable x'],
    ['int run()\n{ return f(1); }', 'line 2: unknown function f'],
    ['int f(int a) { return a; } int run() { return f(); }', 'f takes 1 arguments, not 0'],
    ['int run() { goto a; }', 'unknown variable goto'],
    ['int f(); int run() { return f(); }', 'f has no body'],
    ['int a[3]; int run() { a = 1; return 0; }', 'a is an array'],
    ['int a[3]; int run() { return a + 1; }', 'pointers are only indexed'],
    ['#include <x>', 'line 1: found "#include'],
    ['int main() { return 0; }', 'there is no function run()'],
  ])('refuses %s', (source, message) => {
    expect(() => compile(source)).toThrow(CompileError);
    expect(() => compile(source)).toThrow(message);
  });

  it('has the numbers of the virtual machine', () => {
    const header = readFileSync(new URL('interpreters/bytecode.h', GUESTS), 'utf8');
    const inC = [...header.matchAll(/^ {4}OP_(\w+) = (0x\w+),$/gm)].map(([, name, code]) => [
      name!.toLowerCase(),
      Number(code),
    ]);
    expect(inC).toEqual(OPERATIONS.map(({ name, code }) => [name, code]));
    const hosts = [...header.matchAll(/^ {4}HOST_(PUT|PROGRESS|ARG) = (\d),$/gm)].map(([, name]) =>
      name!.toLowerCase(),
    );
    expect(hosts).toEqual(HOST_FUNCTIONS);
  });
});

describe('the virtual machine', () => {
  const sound = new Uint8Array(readFileSync(new URL('bin/programs.bc', GUESTS)));

  it.each<[string, (bytes: Uint8Array) => Uint8Array, string]>([
    ['nothing', () => new Uint8Array(), 'no header, in bytes: 0x00000000'],
    ['a cut file', (b) => b.slice(0, 100), 'bytes of the file 0x00000064'],
    ['another version', (b) => b.fill(2, 4, 5), 'unknown version 0x00000002'],
    ['no functions', (b) => b.fill(0, 8, 12), 'number of functions 0x00000000'],
    ['too much memory', (b) => b.fill(0x7f, 28, 32), 'bytes of memory 0x7f7f7f7f'],
  ])('refuses %s', (_, change, message) => {
    const end = runBytes('bytecode', change(sound.slice()));
    expect(end.vm.outcome!.exitCode).toBe(REFUSED);
    expect(end.vm.consoleText()).toBe(`bcvm: the module is not a bytecode program: ${message}\n`);
  });

  it('says before anything runs what is wrong with a header', () => {
    const { program } = findTechnique('bytecode');
    const carried = (bytes: Uint8Array) => () => carry(runtime, guestImage('x', 'x.bc', bytes), program!);
    expect(carried(sound.slice(0, 10))).toThrow('x.bc: bytecode length of the file is 10, allowed: at least 32 bytes');
    expect(carried(sound.slice(0, 100))).toThrow(`x.bc: bytecode length of the file is 100, allowed: ${sound.length}`);
    expect(carried(sound.slice().fill(9, 4, 5))).toThrow('x.bc: bytecode version is 9, allowed: 1');
    expect(carried(new Uint8Array(40))).toThrow('x.bc: is not a bytecode program');
    expect(() => guestFor(findTechnique('bytecode'), 'hello', null)).toThrow('it runs programs, programs-bytecode, or');
  });

  it('refuses or contains whatever the code is, and translates what it interprets', () => {
    const source = `${HOST} int a[8]; int f(int n) { a[n & 7] = n; return n < 2 ? 1 : f(n - 1) + a[n & 3]; }
      int run() { for (int i = 0; i < 9; i++) { put('a' + f(i) % 26); } return a[3] / (a[1] + 1); }`;
    const original = compile(source);
    const rng = new Streams(13).stream('mutations');
    let refused = 0;
    let ran = 0;
    for (let turn = 0; turn < 120; turn++) {
      const bytes = original.slice();
      bytes[32 + rng.below(bytes.length - 32)] = rng.below(256);
      const [one, other] = WAYS.map((technique) => runBytes(technique, bytes, 0.0005)) as [RunEnd, RunEnd];
      for (const end of [one, other])
        expect(['completed', 'time-limit'], `turn ${turn}`).toContain(end.vm.outcome!.kind);
      if (one.vm.outcome!.exitCode === REFUSED) refused++;
      else ran++;
      if (one.vm.outcome!.kind === 'time-limit' || /stack overflow/.test(one.vm.consoleText())) continue;
      expect(other.vm.outcome, `turn ${turn}`).toEqual(one.vm.outcome);
      expect(other.vm.consoleText(), `turn ${turn}`).toBe(one.vm.consoleText());
    }
    expect(refused).toBeGreaterThan(20);
    expect(ran).toBeGreaterThan(20);
    expect(refused + ran).toBe(120);
  });
});

describe('the programs', () => {
  interface ExpectedRun {
    readonly guest: string;
    readonly append: string;
    readonly file: string;
    readonly exit_code: number;
  }
  const all = JSON.parse(readFileSync(new URL('expected/runs.json', GUESTS), 'utf8')) as ExpectedRun[];
  const runs = all.filter(({ guest }) => guest === 'programs');
  const FOREIGN = ['emulation', 'bytecode', 'bytecode-translated'] as const;

  it.each(runs)('$append: every build prints what the IA-32 build prints on QEMU', ({ append, file, exit_code }) => {
    const text = readFileSync(new URL(`expected/${file}`, GUESTS), 'latin1');
    const native = run('native', guestFor(findTechnique('native'), 'programs', null), append);
    for (const technique of FOREIGN) {
      const end = run(technique, guestFor(findTechnique(technique), 'programs', null), append);
      expect(end.vm.outcome, technique).toMatchObject({ kind: 'completed', exitCode: exit_code });
      expect(end.vm.consoleText(), technique).toBe(text);
      expect(end.vm.workUnits, technique).toBe(native.vm.workUnits);
      expect(end.simulatedNs, technique).toBeGreaterThan(native.simulatedNs);
    }
  });

  const HYPERVISORS: readonly { technique: TechniqueName; paging: PagingName }[] = [
    { technique: 'trap-and-emulate', paging: 'shadow' },
    { technique: 'hardware-assisted', paging: 'shadow' },
    { technique: 'hardware-assisted', paging: 'nested' },
  ];

  it.each(['programs-rv32', 'programs-bytecode', 'programs-translated'])(
    '%s is a guest like any other: the whole machine agrees under every hypervisor',
    (name) => {
      const image = resolveGuest(readCatalogue(), name);
      const append = 'sort n=200 rounds=1';
      const native = runVm({ image, append, technique: 'native', paging: 'native' });
      expect(native.vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0 });
      for (const way of HYPERVISORS) {
        const end = runVm({ image, append, ...way });
        expect(end.vm.consoleText()).toBe(native.vm.consoleText());
        expect(end.memoryHash).toBe(native.memoryHash);
        expect(end.state).toEqual(native.state);
        expect(end.instructions).toBe(native.instructions);
      }
    },
  );

  it.each(FOREIGN)('%s gives the same whole machine interpreted and compiled', (technique) => {
    const image = guestFor(findTechnique(technique), 'programs', null);
    const options = { image, append: 'words n=10 rounds=2', technique, paging: 'native' as const };
    const one = runVm({ ...options, cpuEngine: 'interpreter' });
    const other = runVm({ ...options, cpuEngine: 'compiled', hotAfter: 2 });
    expect([other.memoryHash, other.state, other.simulatedNs, other.instructions, other.vm.sections]).toEqual([
      one.memoryHash,
      one.state,
      one.simulatedNs,
      one.instructions,
      one.vm.sections,
    ]);
  });

  it('charges translated code as such, and all that a runtime does otherwise as VMM', () => {
    const scenario = defineScenario({
      name: 'accounts',
      host: { memory: '32 MiB' },
      vms: [{ name: 'vm', guest: 'programs', workload: 'calls', memory: '16 MiB' }],
      sweep: { technique: { path: 'vms[vm].technique', values: ['native', ...FOREIGN] } },
    });
    const plan = planRuns(scenario, (guest) => guest).runs;
    // No baselines are added: the first run is the native twin of all.
    expect(plan.map((one) => one.vms[0]!.baselineRun)).toEqual([1, 1, 1, 1]);
    const records = plan.map((one) => runWorld(one).vms[0]!);
    const shares = records.map(({ guestCycles, translatedCycles, vmmCycles }) => [
      guestCycles > 0,
      translatedCycles > 0,
      vmmCycles > 0,
    ]);
    expect(shares).toEqual([
      [true, false, false],
      [false, false, true],
      [false, false, true],
      [false, true, true],
    ]);
    const [run] = records.map(({ sections }) => sections.find(({ name }) => name === 'run')).slice(3);
    expect(records[3]!.translatedCycles - run!.hostCycles).toBeLessThan(20_000);
    expect(records[3]!.sections.map(({ name, guestInstructions }) => [name, guestInstructions])).toEqual([
      ['load', null],
      ['translate', null],
      ['run', null],
    ]);
  });

  it('are refused where the technique, the CPUs or the neighbours do not fit', () => {
    const vm = { name: 'vm', guest: 'programs', workload: 'calls', technique: 'emulation' } as const;
    const define = (vms: Parameters<typeof defineScenario>[0]['vms']) => () => defineScenario({ name: 'wrong', vms });
    expect(define([{ ...vm, guest: 'nano', workload: 'sieve' }])).toThrow('found "emulation", which does not run nano');
    expect(define([{ ...vm, vcpus: 2 }])).toThrow('found 2, but the runtime of emulation uses one CPU');
    expect(define([vm, { ...vm, name: 'other' }])).toThrow('emulation is the bare machine for one guest');
    expect(define([{ ...vm, paging: 'shadow' }])).toThrow('found "shadow", but emulation needs auto or native');
  });
});

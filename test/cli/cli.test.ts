/** The command line: exit codes, messages of one line without stack traces, and the same bytes for any number of workers. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { schedulers } from '../../src/host/sched/index.ts';
import { hvsim } from './hvsim.ts';

const root = mkdtempSync(join(tmpdir(), 'hvsim-cli-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

const SMALL = `name: small
host: { memory: 64 MiB }
vms:
  - { name: vm, guest: nano-clean, workload: sieve n=500 rounds=1, memory: 16 MiB }
sweep:
  paging: { path: "vms[0].paging", values: [shadow, nested] }
charts: [slowdown, exits]
`;

describe('mistakes', () => {
  const nul = file(
    'garbage.yaml',
    Uint8Array.from({ length: 4096 }, (_, i) => (i * 37) & 255),
  );
  const latin = file('latin.yaml', Uint8Array.from([0x6e, 0x61, 0x6d, 0x65, 0x3a, 0x20, 0xe9, 0x0a]));
  const huge = file('huge.yaml', `name: ${'x'.repeat(2_000_000)}\n`);
  const bad = file('bad.yaml', SMALL.replace('shadow', 'shadwo').replace('64 MiB', '64'));
  const truncated = file('truncated.elf', readFileSync('guests/bin/nano.elf').subarray(0, 9000));
  const withFile = file(
    'file.yaml',
    SMALL.replace('guest: nano-clean, workload: sieve n=500 rounds=1', 'guest: ./truncated.elf'),
  );

  test.each<[string, string[], RegExp]>([
    ['an unknown command', ['rnu'], /^error: unknown command 'rnu'\n\(Did you mean run\?\)/],
    ['an unknown option', ['run', 'x.yaml', '--job', '3'], /^error: unknown option '--job'\n\(Did you mean --jobs\?\)/],
    ['a missing argument', ['run'], /^error: missing required argument 'scenario'/],
    [
      'a bad number of workers',
      ['run', 'x.yaml', '--jobs', '0'],
      /^--jobs: found "0", expected a whole number from 1 to 256\n$/,
    ],
    [
      'a bad engine',
      ['run', 'x.yaml', '--engine', 'jit'],
      /^--engine: found "jit", expected compiled or interpreter\n$/,
    ],
    ['a bad seed', ['run', 'scenarios/overhead.yaml', '--seed', 'x'], /^--seed: found "x", expected a whole number/],
    [
      'a bad override',
      ['run', 'scenarios/overhead.yaml', '--set', 'nonsense'],
      /^--set: found "nonsense", expected path=value/,
    ],
    ['no such file', ['run', join(root, 'none.yaml')], /none\.yaml: no such file or directory\n$/],
    ['a folder', ['run', root], /: is a directory, expected a scenario\n$/],
    ['a device', ['run', '/dev/zero'], /^\/dev\/zero: is not a regular file, expected a scenario\n$/],
    ['garbage', ['validate', nul], /garbage\.yaml: is not a text file, expected a scenario\n$/],
    ['another encoding', ['validate', latin], /latin\.yaml: is not a UTF-8 text file, expected a scenario\n$/],
    [
      'a huge file',
      ['validate', huge],
      /huge\.yaml: too large for a scenario: 2000007 bytes, at most 1048576 are read\n$/,
    ],
    [
      'mistakes in a scenario',
      ['run', bad],
      /bad\.yaml:2:17: host\.memory: found 64, .*\n.*bad\.yaml:6:45: vms\[0\]\.paging: found "shadwo", .* Did you mean "shadow"\?\n$/,
    ],
    ['a truncated guest', ['run', withFile], /file\.yaml:4:24: vms\[0\]\.guest: \.\/truncated\.elf: .*\n$/],
    [
      'an unknown kind of list',
      ['list', 'gests'],
      /^list: found "gests", expected one of guests, .* Did you mean "guests"\?\n$/,
    ],
    [
      'an unknown name in a list',
      ['list', 'schedulers', 'credit3'],
      /^list schedulers: found "credit3", expected one of arinc653, .* Did you mean "credit2?"\?\n$/,
    ],
    [
      'a list without more',
      ['list', 'charts', 'gantt'],
      /^list charts gantt: only schedulers, demands, tables have more/,
    ],
    ['no folder of results', ['chart', root], /: has no scenario\.yaml, so it is not a folder of results\n$/],
    ['nothing to compare', ['compare', root, root], /: has no runs\.csv, so it is not a folder of results\n$/],
    ['an unknown guest', ['boot', 'nanoo'], /^no guest "nanoo", allowed: nano, /],
    ['a guest that is no kernel', ['boot', './package.json'], /^\.\/package\.json: no Multiboot header found, /],
    ['a truncated guest to boot', ['boot', truncated], /truncated\.elf: /],
    [
      'an unknown technique',
      ['boot', 'nano', '-t', 'hardware'],
      /^--technique: found "hardware", expected one of native, .* Did you mean "hardware-assisted"\?\n$/,
    ],
    ['no guest at all', ['boot'], /^boot: no guest, expected a guest \(hvsim list guests\), a file, or --bios FILE\n$/],
    [
      'an unknown format',
      ['boot', 'nano', '--format', 'linx'],
      /^--format: found "linx", expected .* Did you mean "linux"/,
    ],
    [
      'an address that is none',
      ['boot', 'nano', '--load', '1M'],
      /^--load: found "1M", expected a number from 0 to 0xff/,
    ],
    [
      'a port that is none',
      ['boot', 'nano', '--log-port', '0x10000'],
      /^--log-port: found "0x10000", expected a number/,
    ],
    ['a disk that is missing', ['boot', 'nano', '--disk', 'nothing.img'], /^nothing\.img: cannot be opened: ENOENT/],
    ['five disks', ['boot', 'nano', '--disk', 'index=4,file=x'], /^--disk: found index 4, allowed: 0 to 3/],
    [
      'a ROM beside a guest',
      ['boot', 'nano', '--bios', 'x'],
      /^--bios: found x beside the guest nano, expected one of/,
    ],
    ['input that is missing', ['boot', 'nano', '--input', 'nothing.txt'], /^nothing\.txt: cannot be read: ENOENT/],
    ['memory without a unit', ['boot', 'nano', '-m', '64'], /^--memory: found "64", expected a size with its unit/],
  ])('%s', async (_name, args, expected) => {
    const { code, stdout, stderr } = await hvsim(...args);
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
});

describe('run', () => {
  const scenario = file('small.yaml', SMALL);

  test('gives the same bytes again, with other workers, and from its own resolved scenario', async () => {
    const [one, two, three] = ['one', 'two', 'three'].map((name) => join(root, name)) as [string, string, string];
    const first = await hvsim('run', scenario, '--out', one, '--jobs', '1');
    expect(first).toMatchObject({ code: 0, stdout: `small: 3 runs; ${join(one, 'small', 'report.html')}\n` });
    expect(first.stderr).toContain('small: 3 of 3 runs done');
    expect(await hvsim('run', scenario, '--out', two, '--jobs', '2', '--quiet')).toMatchObject({ code: 0, stderr: '' });
    await hvsim('run', join(one, 'small', 'scenario.yaml'), '--out', three, '--quiet');
    for (const other of [two, three]) {
      expect(await hvsim('compare', join(one, 'small'), join(other, 'small'))).toMatchObject({
        code: 0,
        stdout: 'identical\n',
      });
    }
    const changed = await hvsim(
      'run',
      scenario,
      '--out',
      three,
      '--quiet',
      '--set',
      'vms[vm].workload=sieve n=600 rounds=1',
      '--seed',
      '5',
    );
    expect(changed.code).toBe(0);
    const difference = await hvsim('compare', join(one, 'small'), join(three, 'small'));
    expect(difference.code).toBe(1);
    expect(difference.stdout).toContain('runs.csv: run_id=1: seed: 1 -> 5\n');
  });

  test('keeps a copy of the guests that are files', async () => {
    mkdirSync(join(root, 'deep'), { recursive: true });
    file('deep/mine.elf', readFileSync('guests/bin/hello.elf'));
    const own = file(
      'own.yaml',
      'name: own\nhost: { memory: 64 MiB }\nvms:\n  - { name: vm, guest: deep/mine.elf, memory: 4 MiB }\n',
    );
    expect(await hvsim('run', own, '--out', root, '--quiet')).toMatchObject({ code: 0 });
    expect(readFileSync(join(root, 'own', 'guests', 'mine.elf'))).toEqual(readFileSync('guests/bin/hello.elf'));
    expect(readFileSync(join(root, 'own', 'vms.csv'), 'utf8')).toContain('1,vm,guests/mine.elf,,hardware-assisted');
    expect(
      await hvsim('run', join(root, 'own', 'scenario.yaml'), '--out', join(root, 'again'), '--quiet'),
    ).toMatchObject({ code: 0 });
    expect((await hvsim('compare', join(root, 'own'), join(root, 'again', 'own'))).stdout).toBe('identical\n');
  });

  test('does not run anything unless everything is right', async () => {
    const bad = file('second.yaml', 'name: second\n');
    const { code, stderr } = await hvsim('run', scenario, bad, '--out', join(root, 'nothing'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/second\.yaml:1:1: vms: missing; expected a list\n$/);
    expect(await hvsim('run', scenario, scenario)).toMatchObject({ code: 2 });
  });

  test('chart draws the same report again, and pictures', async () => {
    const folder = join(root, 'one', 'small');
    const before = readFileSync(join(folder, 'report.html'), 'utf8');
    const { code, stdout } = await hvsim('chart', folder, '--png');
    expect(code).toBe(0);
    expect(stdout.split('\n')).toContain(join(folder, 'charts', 'slowdown.png'));
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toBe(before);
  });
});

describe('boot', () => {
  test('passes the console on byte for byte, and the exit code as QEMU does', async () => {
    const expected = readFileSync('guests/expected/nano-clean-sieve.txt', 'utf8');
    const techniques = [
      ['native'],
      ['trap-and-emulate'],
      ['hardware-assisted', '-p', 'shadow'],
      ['hardware-assisted', '-p', 'nested'],
    ];
    for (const technique of techniques) {
      const { code, stdout, stderr } = await hvsim(
        'boot',
        'nano-clean',
        '-a',
        'sieve n=10000 rounds=4',
        '-t',
        ...technique,
      );
      expect(stdout).toContain(expected.split('\n').at(-2));
      expect(stderr).toMatch(/^outcome +completed, the guest wrote 0 to port 0xF4$/m);
      expect(stderr).toMatch(/^instructions +[\d\u202f]+, [\d.]+ million per second of wall time$/m);
      expect(code).toBe(1);
    }
  });

  test.each<[string, string[], number, RegExp]>([
    ['a bad option of the guest', ['nano', '-a', 'sieve n=0'], 5, /the guest wrote 2 to port 0xF4/],
    ['a triple fault', ['wild-triple'], 1, /^outcome +triple-fault: at 0x[0-9a-f]{8}: /],
    ['a loop on one instruction', ['wild-spin'], 0, /^outcome +halted: loops on one instruction with interrupts off$/m],
    [
      'too many instructions',
      ['nano', '--append', 'sieve', '--max-instructions', '1_000_000'],
      1,
      /^outcome +time-limit: after/m,
    ],
    [
      'a halt for good',
      ['wild-haltforever', '-t', 'hardware-assisted'],
      0,
      /^outcome +halted: HLT with interrupts off/,
    ],
    ['a path', ['./guests/bin/hello.elf'], 1, /^outcome +completed/],
  ])('%s', async (_name, args, code, expected) => {
    const result = await hvsim('boot', ...args);
    expect(result.stderr).toMatch(expected);
    expect(result.code).toBe(code);
  });
});

describe('help', () => {
  test.each([[], ['run'], ['boot'], ['list'], ['validate'], ['chart'], ['compare'], ['schema']])(
    'hvsim %s --help has an example',
    async (...command) => {
      const { code, stdout } = await hvsim(...command, '--help');
      expect(code).toBe(0);
      expect(stdout).toMatch(/\nExamples?:\n {2}hvsim /);
    },
  );

  test('list prints one name per line with what it stands for', async () => {
    const { stdout, code } = await hvsim('list', 'schedulers');
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.split(/\s+/)[0])).toEqual(schedulers.map(({ name }) => name));
    for (const line of lines) expect(line).toMatch(/^\S+ {2,}\S.{20,}$/);
    const one = await hvsim('list', 'demands', 'server');
    expect(one.stdout).toMatch(
      /^server: serves requests .*\n {2}vms\[\]\.demand:\n {4}every_us: .* \(a whole number from 1; default 10000\)\n/,
    );
    const help = await hvsim('list', '--help');
    const all = await hvsim('list');
    const kinds = [...all.stdout.matchAll(/^(\w+):$/gm)].map((match) => match[1]!);
    for (const kind of kinds) expect(help.stdout).toMatch(new RegExp(`\\b${kind}\\b`));
    for (const kind of ['guests', 'workloads', 'techniques', 'schedulers', 'presets', 'charts', 'scenarios']) {
      expect(all.stdout).toContain(`${kind}:\n  `);
    }
  });

  test('version and schema', async () => {
    expect((await hvsim('--version')).stdout).toBe(`${JSON.parse(readFileSync('package.json', 'utf8')).version}\n`);
    expect((await hvsim('schema')).stdout).toBe(readFileSync('scenarios/scenario.schema.json', 'utf8'));
  });
});

/**
 * The guests in the repository are what their sources say: hashes, catalogue, and a rebuild.
 * Invariant: guests/SHA256SUMS names every file of guests/ but documentation, objects and itself.
 * Source: guests/Makefile writes the sums; the rebuild needs the compiler named in guests/COMPILER.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const guests = join(import.meta.dirname, '..', 'guests');

interface Option {
  readonly default: number;
  readonly unit: string;
}
interface Guest {
  readonly name: string;
  readonly file: string;
  readonly workloads: Readonly<Record<string, { readonly options: Readonly<Record<string, Option>> }>>;
}
interface Run {
  readonly guest: string;
  readonly append: string;
  readonly file: string;
}

const readText = (path: string): string => readFileSync(join(guests, path), 'utf8');
const readJson = <T>(path: string): T => JSON.parse(readText(path)) as T;
const sha256 = (path: string): string =>
  createHash('sha256')
    .update(readFileSync(join(guests, path)))
    .digest('hex');
const byBytes = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Files below guests/ that the sums must name, as the Makefile's LISTED finds them. */
function filesListed(folder = ''): string[] {
  const entries = readdirSync(join(guests, folder), { withFileTypes: true });
  const paths = entries.flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.name.startsWith('.') || path === 'build') return [];
    if (entry.isDirectory()) return filesListed(path);
    return entry.name === 'SHA256SUMS' || entry.name.endsWith('.md') ? [] : [path];
  });
  return paths.sort(byBytes);
}

function sums(): { readonly hash: string; readonly path: string }[] {
  const lines = readText('SHA256SUMS').trimEnd().split('\n');
  return lines.map((line) => ({ hash: line.slice(0, 64), path: line.slice(66) }));
}

/** First line of a tool's answer, or undefined where it does not exist. */
function firstLine(command: string, args: readonly string[], input = ''): string | undefined {
  const run = spawnSync(command, args, { encoding: 'utf8', input });
  return run.status === 0 ? run.stdout.split('\n')[0] : undefined;
}

/** Why the guests cannot be rebuilt byte for byte here; undefined when they can. */
function rebuildObstacle(): string | undefined {
  const [gcc, ld] = readText('COMPILER').split('\n');
  if (firstLine('gcc', ['--version']) !== gcc) return `this is not ${gcc}`;
  if (firstLine('ld', ['--version']) !== ld) return `this is not ${ld}`;
  if (firstLine('make', ['--version']) === undefined) return 'no make';
  const trial = ['-m32', '-ffreestanding', '-x', 'c', '-c', '-o', '/dev/null', '-'];
  return firstLine('gcc', trial, 'int x;') === undefined ? 'gcc has no -m32' : undefined;
}

/** Mnemonics, with operands, of the code in an ELF file; prefixes are left out. */
function disassemble(path: string): string[] {
  const text = execFileSync('objdump', ['-d', '--no-show-raw-insn', join(guests, path)], { encoding: 'utf8' });
  return text
    .split('\n')
    .filter((line) => /^ *[0-9a-f]+:\t/.test(line))
    .map((line) => line.replace(/^.*?:\t/, '').replace(/^((rep\w*|lock|[c-gs]s|data16) +)+/, ''));
}

/** Does not trap, or reads the true privilege level, outside ring 0. */
const silent =
  /^(sgdt|sidt|sldt|str|smsw|pushf|popf|lar|lsl|verr|verw|lcall|lret)[lw]?( |$)|^(push|pop)[lw]? +%(cs|ss)|^mov[lw]? +%(cs|ss),/;
const floating = /%(st|[xyz]?mm)|^f(?!s)[a-z0-9]+( |$)/;

const obstacle = rebuildObstacle();
const objdumpMissing = firstLine('objdump', ['--version']) === undefined;
if (obstacle !== undefined) console.warn(`guests: not rebuilt, ${obstacle}`);
if (objdumpMissing) console.warn('guests: not disassembled, no objdump');

describe('guests', () => {
  it('are named in SHA256SUMS, in byte order, and nothing else is', () => {
    expect(sums().map((sum) => sum.path)).toEqual(filesListed());
  });

  it('have the hashes that SHA256SUMS says', () => {
    const wrong = sums().filter((sum) => sha256(sum.path) !== sum.hash);
    expect(wrong.map((sum) => sum.path)).toEqual([]);
  });

  it('are all in the catalogue', () => {
    const files = readJson<Guest[]>('catalogue.json').map((guest) => guest.file);
    expect(files.sort(byBytes)).toEqual(filesListed().filter((path) => path.endsWith('.elf')));
  });

  it('take the workloads and options of the catalogue', () => {
    const table = readText('nano/user/main.c').matchAll(/^ {4}\{"(\w+)", run_\w+, (\{\{[^;]*?\}\})\},$/gm);
    const inSource = [...table].map(([, name, options]) => {
      const fields = [...options.matchAll(/\{"(\w+)", (\d+),/g)];
      return { name, options: fields.map(([, key, fallback]) => ({ key, fallback: Number(fallback) })) };
    });
    for (const guest of readJson<Guest[]>('catalogue.json').slice(0, 2)) {
      const inCatalogue = Object.entries(guest.workloads).map(([name, workload]) => ({
        name,
        options: Object.entries(workload.options).map(([key, option]) => ({ key, fallback: option.default })),
      }));
      expect(inCatalogue).toEqual(inSource);
    }
  });

  it('have an expected output for every workload', () => {
    const runs = readJson<Run[]>('expected/runs.json');
    const committed = readdirSync(join(guests, 'expected')).filter((file) => file.endsWith('.txt'));
    expect(runs.map((run) => run.file).sort(byBytes)).toEqual(committed.sort(byBytes));
    for (const guest of readJson<Guest[]>('catalogue.json').slice(0, 2)) {
      const covered = runs.filter((run) => run.guest === guest.name).map((run) => run.append.split(' ')[0]);
      expect(covered).toEqual(expect.arrayContaining(Object.keys(guest.workloads)));
    }
  });

  it.skipIf(objdumpMissing)('nano-clean has no instruction that fails silently in ring 1, nano has', () => {
    expect(disassemble('bin/nano-clean.elf').filter((insn) => silent.test(insn))).toEqual([]);
    const used = disassemble('bin/nano.elf').filter((insn) => silent.test(insn));
    const mnemonics = new Set(used.map((insn) => insn.split(' ')[0]));
    for (const name of ['pushf', 'popf', 'sgdtl', 'sidtl', 'smsw', 'verr']) expect(mnemonics).toContain(name);
  });

  it.skipIf(objdumpMissing)('use neither FPU nor vector registers', () => {
    for (const path of filesListed().filter((file) => file.endsWith('.elf')))
      expect(disassemble(path).filter((insn) => floating.test(insn))).toEqual([]);
  });

  it.skipIf(obstacle !== undefined)('come out of their sources byte for byte', () => {
    const folder = mkdtempSync(join(tmpdir(), 'hvsim-guests-'));
    try {
      for (const part of ['Makefile', 'nano', 'hello', 'isprime', 'wild', 'hostile-pv'])
        cpSync(join(guests, part), join(folder, part), { recursive: true });
      execFileSync('make', ['-C', folder, '-j2', 'elfs', 'check'], { stdio: 'pipe' });
      const elves = readdirSync(join(folder, 'bin')).sort(byBytes);
      expect(elves).toEqual(readdirSync(join(guests, 'bin')).sort(byBytes));
      const changed = elves.filter(
        (elf) => !readFileSync(join(folder, 'bin', elf)).equals(readFileSync(join(guests, 'bin', elf))),
      );
      expect(changed).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/**
 * Runs cases on the real CPU: compiles native/harness.c, feeds it, reads outcomes back. Needs x86 Linux and gcc -m32.
 * The wire format is that of the structs in the harness: little-endian words, every part padded to 4 bytes.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from '../../src/core/errors.ts';
import {
  type Case,
  dataImage,
  ERROR_FETCH,
  FLAGS_ALWAYS,
  FLAGS_COMPARED,
  LDT,
  type Outcome,
  type Patch,
} from './layout.ts';

const SOURCE = fileURLToPath(new URL('native/harness.c', import.meta.url));
const FLAGS =
  '-m32 -O2 -static -nostdlib -ffreestanding -fno-pic -no-pie -fno-stack-protector -mgeneral-regs-only -Wl,-Ttext-segment=0x70000000';
const BATCH = 20_000;
const OUTPUT_BYTES_MAX = 96 * 2 ** 20;
const CASE_HEAD_BYTES = 68;
const OUTCOME_HEAD_BYTES = 68;

/** A real CPU that executes cases. */
export interface NativeCpu {
  readonly name: string;
  run(cases: readonly Case[]): Outcome[];
}

/** The present CPU, or the reason why it cannot serve. */
export function nativeCpu(): NativeCpu | string {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'ia32')) {
    return `needs Linux on x86, this is ${process.platform} on ${process.arch}`;
  }
  const folder = mkdtempSync(join(tmpdir(), 'oracle-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const binary = join(folder, 'harness');
  const built = spawnSync('gcc', [...FLAGS.split(' '), SOURCE, '-o', binary], { encoding: 'utf8' });
  if (built.status !== 0) return `gcc -m32 does not work here: ${(built.stderr || String(built.error)).split('\n')[0]}`;
  return { name: cpuName(), run: (cases) => runInBatches(binary, cases) };
}

function cpuName(): string {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(info)?.[1] ?? '?';
  return `${field('vendor_id')} ${field('model name')} family ${field('cpu family')} model ${field('model')} stepping ${field('stepping')}`;
}

function runInBatches(binary: string, cases: readonly Case[]): Outcome[] {
  const outcomes: Outcome[] = [];
  for (let first = 0; first < cases.length; first += BATCH) {
    const batch = cases.slice(first, first + BATCH);
    const output = execFileSync(binary, { input: encodeInput(batch), maxBuffer: OUTPUT_BYTES_MAX });
    outcomes.push(...decodeOutput(output));
  }
  assert(outcomes.length === cases.length, 'the harness lost a case');
  return outcomes;
}

const padded = (count: number): number => (count + 3) & ~3;
const caseBytes = (c: Case): number =>
  CASE_HEAD_BYTES + padded(c.code.length) + c.patches.reduce((sum, p) => sum + 8 + padded(p.bytes.length), 0);

/** The bytes of one case as the harness reads them; also what input digests are made of. */
export function encodeCase(c: Case): Uint8Array {
  const bytes = new Uint8Array(caseBytes(c));
  const view = new DataView(bytes.buffer);
  let at = 0;
  const word = (value: number): void => {
    view.setInt32(at, value | 0, true);
    at += 4;
  };
  word(bytes.length);
  c.regs.forEach(word);
  word(c.eflags | FLAGS_ALWAYS);
  word(c.eip);
  for (const selector of c.segments) {
    view.setUint16(at, selector, true);
    at += 2;
  }
  word(c.codeAt);
  word(c.code.length);
  word(c.patches.length);
  bytes.set(c.code, at);
  at += padded(c.code.length);
  for (const patch of c.patches) {
    word(patch.at);
    word(patch.bytes.length);
    bytes.set(patch.bytes, at);
    at += padded(patch.bytes.length);
  }
  return bytes;
}

function encodeInput(cases: readonly Case[]): Uint8Array {
  const head = new Int32Array([cases.length, LDT.length]);
  const ldt = new Int32Array(LDT.length * 4);
  LDT.forEach((entry, n) => {
    const bits =
      (entry.is32 ? 1 : 0) |
      (entry.contents << 1) |
      (entry.exclusive ? 8 : 0) |
      (entry.inPages ? 16 : 0) |
      (entry.absent ? 32 : 0);
    ldt.set([n, entry.base, entry.limit, bits], n * 4);
  });
  return Buffer.concat([
    new Uint8Array(head.buffer),
    new Uint8Array(ldt.buffer),
    dataImage(),
    ...cases.map(encodeCase),
  ]);
}

function decodeOutput(output: Buffer): Outcome[] {
  const view = new DataView(output.buffer, output.byteOffset, output.length);
  const outcomes: Outcome[] = [];
  let at = 0;
  while (at < output.length) {
    const word = (n: number): number => view.getInt32(at + 4 * n, true);
    const regs = Int32Array.from({ length: 8 }, (_, n) => word(n));
    const segments = Array.from({ length: 6 }, (_, n) => view.getUint16(at + 40 + 2 * n, true));
    const vector = word(13);
    const head = { eflags: word(8) & FLAGS_COMPARED, eip: word(9), error: word(14), cr2: word(15), runs: word(16) };
    at += OUTCOME_HEAD_BYTES;
    const changes: Patch[] = [];
    for (let run = 0; run < head.runs; run++) {
      const count = view.getInt32(at + 4, true);
      changes.push({ at: view.getInt32(at, true), bytes: Uint8Array.from(output.subarray(at + 8, at + 8 + count)) });
      at += 8 + padded(count);
    }
    const error = vector === 14 ? head.error & ~ERROR_FETCH : head.error;
    outcomes.push({ regs, segments, vector, error, changes, eflags: head.eflags, eip: head.eip, cr2: head.cr2 });
  }
  return outcomes;
}

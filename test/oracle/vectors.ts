/**
 * Stored outcomes of the real CPU: one gzip file per group of rows. Inputs are not stored, they are generated again;
 * a digest of them per row tells when the generator no longer makes the cases that the outcomes belong to.
 *
 * File: one line of JSON (VectorHead), then the outcomes of all rows as one run of bytes. An outcome is written as its
 * difference from its case: see encodeOutcome.
 * Invariant: decode(encode(x)) = x, and the same outcomes give the same bytes.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { assert } from '../../src/core/errors.ts';
import { type Case, FLAGS_ALWAYS, FLAGS_COMPARED, type Outcome, type Patch } from './layout.ts';
import { encodeCase } from './native.ts';

const VERSION = 1;

/** What is known about the outcomes of one row. */
export interface RowHead {
  readonly key: string;
  readonly cases: number;
  /** Beginning of the SHA-256 over the inputs. */
  readonly inputs: string;
  readonly bytes: number;
}

export interface VectorHead {
  readonly version: number;
  readonly cpu: string;
  readonly seed: number;
  readonly rows: readonly RowHead[];
}

export interface VectorFile {
  readonly head: VectorHead;
  /** Encoded outcomes by row key. */
  readonly rows: ReadonlyMap<string, { readonly head: RowHead; readonly data: Uint8Array }>;
}

const fileOf = (group: string): string => fileURLToPath(new URL(`vectors/${group}.bin.gz`, import.meta.url));

export function inputDigest(cases: readonly Case[]): string {
  const hash = createHash('sha256');
  for (const c of cases) hash.update(encodeCase(c));
  return hash.digest('hex').slice(0, 16);
}

class Writer {
  private readonly list: number[] = [];
  byte(value: number): void {
    this.list.push(value & 0xff);
  }
  /** Seven bits at a time, lowest first. */
  varint(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.byte(rest | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }
  /** Small for small magnitudes. */
  signed(value: number): void {
    this.varint((value << 1) ^ (value >> 31));
  }
  word(value: number): void {
    for (let i = 0; i < 4; i++) this.byte(value >> (8 * i));
  }
  bytes(): Uint8Array {
    return Uint8Array.from(this.list);
  }
}

class Reader {
  private at = 0;
  private readonly data: Uint8Array;
  constructor(data: Uint8Array) {
    this.data = data;
  }
  get isAtEnd(): boolean {
    return this.at === this.data.length;
  }
  byte(): number {
    assert(this.at < this.data.length, 'vectors end too early');
    return this.data[this.at++]!;
  }
  varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }
  signed(): number {
    const value = this.varint();
    return (value >>> 1) ^ -(value & 1);
  }
  word(): number {
    return this.byte() | (this.byte() << 8) | (this.byte() << 16) | (this.byte() << 24);
  }
  take(count: number): Uint8Array {
    this.at += count;
    return this.data.slice(this.at - count, this.at);
  }
}

const HAS_FAULT = 1;
const HAS_FLAGS = 2;
const HAS_SEGMENTS = 4;
const HAS_CHANGES = 8;
const HAS_EIP = 16;

/** Where EIP is after an instruction that does not jump. */
const next = (c: Case): number => (c.eip + c.code.length) | 0;

const flagsBefore = (c: Case): number => (c.eflags | FLAGS_ALWAYS) & FLAGS_COMPARED;

function encodeOutcome(w: Writer, c: Case, o: Outcome): void {
  let registers = 0;
  for (let r = 0; r < 8; r++) if (o.regs[r] !== c.regs[r]) registers |= 1 << r;
  const landed = o.vector === 13 && o.error === 0;
  const segments = o.segments.map((s, n) => s ^ c.segments[n]!);
  const what =
    (landed ? 0 : HAS_FAULT) |
    (o.eflags === flagsBefore(c) ? 0 : HAS_FLAGS) |
    (segments.some((x) => x !== 0) ? HAS_SEGMENTS : 0) |
    (o.changes.length > 0 ? HAS_CHANGES : 0) |
    (o.eip === next(c) ? 0 : HAS_EIP);
  w.byte(what);
  w.byte(registers);
  if (!landed) {
    w.byte(o.vector);
    w.varint(o.error);
    if (o.vector === 14) w.word(o.cr2);
  }
  if ((what & HAS_EIP) !== 0) w.signed(o.eip - next(c));
  for (let r = 0; r < 8; r++) if ((registers & (1 << r)) !== 0) w.signed((o.regs[r]! - c.regs[r]!) | 0);
  if ((what & HAS_FLAGS) !== 0) w.varint(o.eflags ^ flagsBefore(c));
  if ((what & HAS_SEGMENTS) !== 0) for (const x of segments) w.varint(x);
  if ((what & HAS_CHANGES) === 0) return;
  w.varint(o.changes.length);
  for (const { at, bytes } of o.changes) {
    w.varint(at);
    w.varint(bytes.length);
    for (const b of bytes) w.byte(b);
  }
}

function decodeOutcome(r: Reader, c: Case): Outcome {
  const what = r.byte();
  const registers = r.byte();
  let [vector, error, cr2] = [13, 0, 0];
  if ((what & HAS_FAULT) !== 0) {
    vector = r.byte();
    error = r.varint();
    if (vector === 14) cr2 = r.word();
  }
  const eip = (next(c) + ((what & HAS_EIP) !== 0 ? r.signed() : 0)) | 0;
  const regs = c.regs.slice();
  for (let n = 0; n < 8; n++) if ((registers & (1 << n)) !== 0) regs[n]! += r.signed();
  const eflags = flagsBefore(c) ^ ((what & HAS_FLAGS) !== 0 ? r.varint() : 0);
  const segments = c.segments.map((s) => ((what & HAS_SEGMENTS) !== 0 ? s ^ r.varint() : s));
  const changes: Patch[] = [];
  const count = (what & HAS_CHANGES) !== 0 ? r.varint() : 0;
  for (let n = 0; n < count; n++) {
    const at = r.varint();
    changes.push({ at, bytes: r.take(r.varint()) });
  }
  return { regs, eflags, eip, segments, vector, error, cr2, changes };
}

export function encodeOutcomes(cases: readonly Case[], outcomes: readonly Outcome[]): Uint8Array {
  const w = new Writer();
  for (const [n, c] of cases.entries()) encodeOutcome(w, c, outcomes[n]!);
  return w.bytes();
}

export function decodeOutcomes(cases: readonly Case[], data: Uint8Array): Outcome[] {
  const r = new Reader(data);
  const outcomes = cases.map((c) => decodeOutcome(r, c));
  assert(r.isAtEnd, 'vectors hold more than the cases');
  return outcomes;
}

/** One row's cases and outcomes, ready to store. */
export interface RowVectors {
  readonly key: string;
  readonly cases: readonly Case[];
  readonly outcomes: readonly Outcome[];
}

/** Writes the file of a group. Returns its size in bytes. */
export function writeVectors(group: string, cpu: string, seed: number, rows: readonly RowVectors[]): number {
  const data = rows.map(({ cases, outcomes }) => encodeOutcomes(cases, outcomes));
  const heads = rows.map(
    ({ key, cases }, n): RowHead => ({ key, cases: cases.length, inputs: inputDigest(cases), bytes: data[n]!.length }),
  );
  const head: VectorHead = { version: VERSION, cpu, seed, rows: heads };
  const file = gzipSync(Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...data]), { level: 9 });
  writeFileSync(fileOf(group), file);
  return file.length;
}

/** Reads the file of a group, or null if there is none. */
export function readVectors(group: string): VectorFile | null {
  if (!existsSync(fileOf(group))) return null;
  const bytes = gunzipSync(readFileSync(fileOf(group)));
  const end = bytes.indexOf(0x0a);
  const head = JSON.parse(bytes.toString('utf8', 0, end)) as VectorHead;
  assert(head.version === VERSION, `vectors of ${group} have version ${head.version}, expected ${VERSION}`);
  const rows = new Map<string, { head: RowHead; data: Uint8Array }>();
  let at = end + 1;
  for (const row of head.rows) {
    rows.set(row.key, { head: row, data: Uint8Array.from(bytes.subarray(at, at + row.bytes)) });
    at += row.bytes;
  }
  return { head, rows };
}

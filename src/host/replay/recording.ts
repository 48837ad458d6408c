/**
 * The file of a recording: what one vCPU of an executed guest did to its pCPU, as operations in the order of time.
 *
 *   'HVREC'  version (1 byte)  length of header, of body (4 bytes each, little endian)  header  body  checksum
 *
 * The header is JSON. The body is a sequence of operations, each a byte that says what it is and then unsigned LEB128
 * numbers. The checksum is XXH32, seed 0, of all bytes before it, little endian. docs/replay.md has every field.
 * Invariants: what is encoded decodes to the same; a file that decodes can be played: reasons are known, times do not go
 * back, and the last operation, and only it, is an end. Anything else is a UserError with the place in bytes.
 */
import { xxh32 } from '../../core/digest.ts';
import { assert, UserError } from '../../core/errors.ts';
import type { Hz, Ns } from '../../core/units.ts';
import type { OutcomeKind } from '../../vmm/vm.ts';

const MAGIC = 'HVREC';
export const RECORDING_VERSION = 1;
const PROLOGUE_BYTES = MAGIC.length + 1 + 4 + 4;
const CHECKSUM_BYTES = 4;
/** Accounts that a vCPU pays from: those of core/runnable.ts up to the VMM's. */
export const RECORDED_ACCOUNTS = 5;

/** What was recorded, and on what. */
export interface RecordingHeader {
  readonly guest: string;
  /** SHA-256 of the guest's image. */
  readonly imageSha256: string;
  /** Command line of the kernel. */
  readonly workload: string;
  readonly technique: string;
  readonly paging: string;
  readonly preset: string;
  readonly frequencyHz: Hz;
  readonly memoryBytes: number;
  /** Bound of the recording; it may have ended before. */
  readonly durationNs: Ns;
  /** Reasons of exits, by the numbers that the body uses. */
  readonly reasons: readonly string[];
}

/** Operations of the body. */
export const OP_SEGMENT = 1; // cycles passed
export const OP_BLOCK = 2; // blocked until a time
export const OP_YIELD = 3; // offered its pCPU
export const OP_SPIN = 4; // the same, caught spinning
export const OP_VM_END = 5; // the VM ended; the vCPU goes on to the end of what it was doing
export const OP_STOP = 6; // the vCPU ended
export const OP_FOREVER = 7; // blocked, and nothing could ever wake it
export const OP_CUT = 8; // the recording was over before the guest was

const OP_NAMES = ['', 'segment', 'block', 'yield', 'spin', 'end of the VM', 'stop', 'block for ever', 'cut'];
const isEnd = (op: number): boolean => op === OP_STOP || op === OP_FOREVER || op === OP_CUT;

/** What an operation is, how often and at what cost the guest left meanwhile. */
export interface ExitTally {
  /** Index in the header's reasons. */
  readonly reason: number;
  readonly count: number;
  readonly cycles: number;
}

export type Op =
  | {
      readonly kind: typeof OP_SEGMENT;
      /** Cycles by account. */
      readonly cycles: readonly number[];
      readonly instructions: number;
      /** Work units that the guest has reported by the end of it; -1: as before. */
      readonly units: number;
      readonly exits: readonly ExitTally[];
    }
  | { readonly kind: typeof OP_BLOCK; readonly until: Ns }
  | {
      readonly kind: typeof OP_VM_END;
      readonly outcome: OutcomeKind;
      readonly exitCode: number | null;
      readonly detail: string;
      /** By how much the clock of the pCPU was ahead of the moment at which it ended. */
      readonly earlyNs: Ns;
    }
  | { readonly kind: typeof OP_YIELD | typeof OP_SPIN | typeof OP_STOP | typeof OP_FOREVER | typeof OP_CUT };

export interface Recording {
  readonly header: RecordingHeader;
  readonly ops: readonly Op[];
}

/** Numbers of outcomes in the file. */
const OUTCOMES: readonly OutcomeKind[] = [
  'completed',
  'halted',
  'triple-fault',
  'unimplemented',
  'reset',
  'stalled',
  'time-limit',
];

/** Bits of a segment's mask beyond those of its accounts. */
const HAS_INSTRUCTIONS = 1 << RECORDED_ACCOUNTS;
const HAS_UNITS = 1 << (RECORDED_ACCOUNTS + 1);
const HAS_EXITS = 1 << (RECORDED_ACCOUNTS + 2);

// ------------------------------------------------------------------ writing

class Bytes {
  private buffer = new Uint8Array(4096);
  private length = 0;

  byte(value: number): void {
    if (this.length === this.buffer.length) {
      const more = new Uint8Array(2 * this.length);
      more.set(this.buffer);
      this.buffer = more;
    }
    this.buffer[this.length++] = value;
  }

  number(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a recording has numbers from 0 to 2^53');
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.number(bytes.length);
    for (const byte of bytes) this.byte(byte);
  }

  take(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}

/** The bytes of the file. */
export function encodeRecording({ header, ops }: Recording): Uint8Array {
  const body = new Bytes();
  let time: Ns = 0;
  for (const op of ops) {
    if (op.kind === OP_BLOCK) {
      body.byte(op.kind);
      body.number(op.until - time);
      time = op.until;
    } else encodeOp(body, op);
  }
  const head = new TextEncoder().encode(JSON.stringify(header));
  const rest = body.take();
  const file = new Uint8Array(PROLOGUE_BYTES + head.length + rest.length + CHECKSUM_BYTES);
  const view = new DataView(file.buffer);
  file.set(new TextEncoder().encode(MAGIC));
  file[MAGIC.length] = RECORDING_VERSION;
  view.setUint32(MAGIC.length + 1, head.length, true);
  view.setUint32(MAGIC.length + 5, rest.length, true);
  file.set(head, PROLOGUE_BYTES);
  file.set(rest, PROLOGUE_BYTES + head.length);
  const end = file.length - CHECKSUM_BYTES;
  view.setUint32(end, xxh32(file.subarray(0, end), 0), true);
  return file;
}

function encodeOp(body: Bytes, op: Exclude<Op, { kind: typeof OP_BLOCK }>): void {
  body.byte(op.kind);
  if (op.kind === OP_VM_END) {
    body.number(OUTCOMES.indexOf(op.outcome));
    body.number(op.exitCode === null ? 0 : op.exitCode + 1);
    body.number(op.earlyNs);
    body.text(op.detail);
    return;
  }
  if (op.kind !== OP_SEGMENT) return;
  const { cycles, instructions, units, exits } = op;
  let mask = instructions > 0 ? HAS_INSTRUCTIONS : 0;
  for (let account = 0; account < RECORDED_ACCOUNTS; account++) if (cycles[account]! > 0) mask |= 1 << account;
  if (units >= 0) mask |= HAS_UNITS;
  if (exits.length > 0) mask |= HAS_EXITS;
  body.byte(mask);
  for (const spent of cycles) if (spent > 0) body.number(spent);
  if (instructions > 0) body.number(instructions);
  if (units >= 0) body.number(units);
  if (exits.length === 0) return;
  body.number(exits.length);
  for (const { reason, count, cycles: cost } of exits) {
    body.number(reason);
    body.number(count);
    body.number(cost);
  }
}

// ------------------------------------------------------------------ reading

/** Reads numbers of the body; `at` is the place in the file. */
class Reader {
  readonly name: string;
  at: number;
  private readonly bytes: Uint8Array;
  private readonly end: number;

  constructor(name: string, bytes: Uint8Array, at: number, end: number) {
    this.name = name;
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get isOver(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    if (this.isOver) throw broken(this.name, this.at, 'the body ends in the middle of an operation');
    return this.bytes[this.at++]!;
  }

  number(): number {
    const start = this.at;
    let value = 0;
    let unit = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * unit;
      if (!Number.isSafeInteger(value)) throw broken(this.name, start, 'found a number of more than 53 bits');
      if (byte < 0x80) return value;
      unit *= 0x80;
      if (unit > 2 ** 53) throw broken(this.name, start, 'found a number of more than 8 bytes');
    }
  }

  /** A number below `limit`. */
  below(limit: number, what: string): number {
    const start = this.at;
    const value = this.number();
    if (value < limit) return value;
    throw broken(this.name, start, `found ${what} ${value}, expected ${limit === 0 ? 'none' : `0 to ${limit - 1}`}`);
  }

  text(): string {
    const length = this.number();
    if (length > this.end - this.at) throw broken(this.name, this.at, 'the body ends in the middle of a text');
    const text = new TextDecoder().decode(this.bytes.subarray(this.at, this.at + length));
    this.at += length;
    return text;
  }
}

/**
 * The header alone; the whole file is looked at for damage.
 * @param name what messages call the file
 * @throws UserError for anything that is not a recording of this version, whole and undamaged
 */
export function decodeHeader(name: string, bytes: Uint8Array): RecordingHeader {
  for (let i = 0; i < MAGIC.length; i++) {
    if (bytes[i] !== MAGIC.charCodeAt(i)) {
      throw new UserError(`${name}: not a recording: it does not begin with ${MAGIC}; hvsim record writes recordings`);
    }
  }
  if (bytes.length < PROLOGUE_BYTES) throw broken(name, bytes.length, 'the file is cut off in its first bytes');
  const version = bytes[MAGIC.length]!;
  if (version !== RECORDING_VERSION) {
    throw broken(
      name,
      MAGIC.length,
      `found version ${version} of the format, expected ${RECORDING_VERSION}; record it again`,
    );
  }
  const { view, bodyAt, checksumAt } = layoutOf(bytes);
  const total = checksumAt + CHECKSUM_BYTES;
  if (bytes.length < total) {
    throw broken(name, bytes.length, `the file is cut off: it has ${bytes.length} of ${total} bytes`);
  }
  if (bytes.length > total) throw broken(name, total, `${bytes.length - total} bytes follow behind the end`);
  const written = view.getUint32(checksumAt, true);
  const counted = xxh32(bytes.subarray(0, checksumAt), 0);
  if (written !== counted) {
    const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
    throw broken(
      name,
      checksumAt,
      `the file is damaged: its checksum is ${hex(written)}, that of its bytes ${hex(counted)}`,
    );
  }
  return headerOf(name, new TextDecoder().decode(bytes.subarray(PROLOGUE_BYTES, bodyAt)));
}

/** The whole recording. Arguments and errors as of `decodeHeader`. */
export function decodeRecording(name: string, bytes: Uint8Array): Recording {
  const header = decodeHeader(name, bytes);
  const { bodyAt, checksumAt } = layoutOf(bytes);
  const reader = new Reader(name, bytes, bodyAt, checksumAt);
  const ops: Op[] = [];
  let time: Ns = 0;
  for (;;) {
    if (reader.isOver) throw broken(name, reader.at, 'the body has no end');
    const start = reader.at;
    const op = decodeOp(reader, header, time);
    if (op.kind === OP_BLOCK) time = op.until;
    ops.push(op);
    if (!isEnd(op.kind)) continue;
    if (!reader.isOver) throw broken(name, start, `operations follow behind "${OP_NAMES[op.kind]}", which is an end`);
    return { header, ops };
  }
}

function layoutOf(bytes: Uint8Array): { view: DataView; bodyAt: number; checksumAt: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bodyAt = PROLOGUE_BYTES + view.getUint32(MAGIC.length + 1, true);
  return { view, bodyAt, checksumAt: bodyAt + view.getUint32(MAGIC.length + 5, true) };
}

function decodeOp(reader: Reader, header: RecordingHeader, time: Ns): Op {
  const start = reader.at;
  const kind = reader.byte();
  switch (kind) {
    case OP_SEGMENT: {
      const mask = reader.byte();
      const cycles = Array.from({ length: RECORDED_ACCOUNTS }, (_, account) =>
        (mask & (1 << account)) === 0 ? 0 : reader.number(),
      );
      const instructions = (mask & HAS_INSTRUCTIONS) === 0 ? 0 : reader.number();
      const units = (mask & HAS_UNITS) === 0 ? -1 : reader.number();
      const rows = (mask & HAS_EXITS) === 0 ? 0 : reader.below(header.reasons.length + 1, 'number of reasons');
      const exits = Array.from({ length: rows }, () => ({
        reason: reader.below(header.reasons.length, 'reason of exits'),
        count: reader.number(),
        cycles: reader.number(),
      }));
      return { kind, cycles, instructions, units, exits };
    }
    case OP_BLOCK: {
      const until = time + reader.number();
      if (!Number.isSafeInteger(until)) throw broken(reader.name, start, 'found a time beyond 2^53 ns');
      return { kind, until };
    }
    case OP_VM_END: {
      const outcome = OUTCOMES[reader.below(OUTCOMES.length, 'outcome')]!;
      const exitCode = reader.number();
      const earlyNs = reader.number();
      return { kind, outcome, exitCode: exitCode === 0 ? null : exitCode - 1, earlyNs, detail: reader.text() };
    }
    case OP_YIELD:
    case OP_SPIN:
    case OP_STOP:
    case OP_FOREVER:
    case OP_CUT:
      return { kind };
    default:
      throw broken(reader.name, start, `found operation ${kind}, expected 1 to ${OP_NAMES.length - 1}`);
  }
}

const TEXT_FIELDS = ['guest', 'imageSha256', 'workload', 'technique', 'paging', 'preset'] as const;
const NUMBER_FIELDS = ['frequencyHz', 'memoryBytes', 'durationNs'] as const;

function headerOf(name: string, text: string): RecordingHeader {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw broken(name, PROLOGUE_BYTES, 'the header is not JSON');
  }
  const fields = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  const wrong = (field: string, expected: string): UserError =>
    broken(name, PROLOGUE_BYTES, `header: ${field}: found ${JSON.stringify(fields[field])}, expected ${expected}`);
  for (const field of TEXT_FIELDS) if (typeof fields[field] !== 'string') throw wrong(field, 'a text');
  for (const field of NUMBER_FIELDS) {
    const value = fields[field];
    if (!Number.isSafeInteger(value) || (value as number) <= 0) throw wrong(field, 'a positive whole number');
  }
  const { reasons } = fields;
  if (!Array.isArray(reasons) || reasons.some((reason) => typeof reason !== 'string')) {
    throw wrong('reasons', 'a list of texts');
  }
  return fields as unknown as RecordingHeader;
}

function broken(name: string, at: number, what: string): UserError {
  return new UserError(`${name}: byte ${at}: ${what}`);
}

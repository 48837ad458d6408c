/**
 * What compiled code and TypeScript agree on: the words of a CPU's block in machine memory, the deferred forms of the
 * arithmetic flags, and the results by which compiled code returns.
 * Invariant: the block holds the whole state of the CPU whenever compiled code calls out or returns.
 */
import { AUX_CARRIES } from '../flags.ts';

/** Byte offsets in a CPU's block. The general registers are at 0. */
export const AT_LEFT = 40; // i64 together with AT_COUNT: cycles left (low half)
export const AT_COUNT = 44; // instructions retired since compiled code was entered
export const AT_KIND = 48; // deferred flags: operation
export const AT_FIRST = 52; // and its operands
export const AT_SECOND = 56;
export const AT_EIP = 60;
export const AT_FRONT = 64; // byte address of the front-table bank in force
export const AT_CODE_TAGS = 68; // byte address of the MMU's code tags
export const AT_MODE = 72; // bits of a code tag below the page number
export const AT_UNIT = 76; // index of the unit that runs
export const AT_SYSTEM_FRONT = 80; // byte address of the front-table bank of rings 0-2
export const AT_GDT_BASE = 84;
export const AT_GDT_LIMIT = 88;
export const AT_CPL = 92;
export const AT_GUARDED = 96; // GUARDED_* bits: whose guard must be asked
export const AT_SEGMENTS = 100; // not 0: FS or GS was loaded
export const AT_SYSTEM_FLAGS = 104; // EFLAGS without the arithmetic flags

export const AT_RECORD = 108; // byte address of the record of the unit that runs

export const AT_CR2 = 112;
export const AT_BASED = 116; // bit n: FS (0), GS (1) is a writable segment without limit

export const AT_TSC = 120; // i64: the time-stamp counter plus the cycles left

// Behind the segment registers (cpu-core.ts):
export const AT_MMU = 256; // byte address of the MMU's record
export const AT_CR0 = 260;
export const AT_CR3 = 264;
export const AT_CR4 = 268;
export const AT_FILLS = 272; // not 0: a TLB miss is nothing but a walk
export const AT_TRANSFERS = 276; // TRANSFER_* bits
export const AT_IDT_BASE = 280;
export const AT_IDT_LIMIT = 284;
export const AT_PENDING = 288; // not 0: an interrupt waits for IF
export const AT_RESUME = 292; // what AT_COUNT was just after an IRET that loaded RF = 1, or -1
export const AT_TRANSFERRED = 296; // not 0: CS, SS and CPL are new
export const AT_GUARDED_RING0 = 300; // AT_GUARDED as it is in ring 0, and elsewhere
export const AT_GUARDED_OUTER = 304;
export const AT_MISSES = 308; // data TLB misses and walk references not yet passed on
export const AT_REFERENCES = 312;
export const AT_MISSED = 316; // not 0: a plain operand met a page fault, described by:
export const AT_MISSED_LIN = 320;
export const AT_MISSED_ERROR = 324;
export const AT_MISSED_REFERENCES = 328;

/** INT n, IRET, and the delivery of page faults have no other effect than the manual's. */
export const TRANSFER_INT = 1;
export const TRANSFER_IRET = 2;
export const TRANSFER_PAGE_FAULT = 4;
/** What the run time says of the page of the stack: i64, where it begins, or NO_PAGE; and host minus linear address. */
export const AT_STACK_PAGE = 336;
export const AT_STACK_OFFSET = 344;
/** From here every address is further away than a page. */
export const NO_PAGE = -16384n;

/** Sensitive instructions are watched. */
export const GUARDED_SENSITIVE = 1;
/** Privileged instructions are intercepted, or not allowed at the present privilege. */
export const GUARDED_PRIVILEGED = 2;
/** Some instructions are intercepted. */
export const GUARDED_INTERCEPTED = 4;
/** RDTSC is intercepted, or not allowed. */
export const GUARDED_TIME = 8;

/** Pages of one region at most. */
export const REGION_PAGES_MAX = 8;
/** A unit's record: table slot of its function, then the ids of the region's pages. */
export const RECORD_BYTES = 64;
export const RECORD_PAGES = 4;

/** Deferred flags: the operation whose operands are kept. DEFERRED_NONE: result and carry vector as in flags.ts. */
export const DEFERRED_NONE = 0;
export const DEFERRED_ADD = 1; // 1, 2, 3: 32, 16, 8 bits
export const DEFERRED_SUB = 4;
export const DEFERRED_INC = 7; // second operand: the carry that stays, in bit 31
export const DEFERRED_DEC = 10;

/** By deferred kind: how far the top bit of its width is from bit 31. */
export const shiftOf = (kind: number): number => ((kind - 1) % 3 === 0 ? 0 : (kind - 1) % 3 === 1 ? 16 : 24);

/** flagRes of a deferred operation. */
export function resultOf(kind: number, first: number, second: number): number {
  if (kind === DEFERRED_NONE) return first;
  const up = shiftOf(kind);
  const operand = kind >= DEFERRED_INC ? 1 : second;
  const isSub = kind >= DEFERRED_DEC || (kind >= DEFERRED_SUB && kind < DEFERRED_INC);
  return ((isSub ? first - operand : first + operand) << up) >> up;
}

/** flagAux of a deferred operation. */
export function carriesOf(kind: number, first: number, second: number): number {
  if (kind === DEFERRED_NONE) return second;
  const up = shiftOf(kind);
  const step = kind >= DEFERRED_INC;
  const b = step ? 1 : second;
  const isSub = kind >= DEFERRED_DEC || (kind >= DEFERRED_SUB && kind < DEFERRED_INC);
  const r = isSub ? (first - b) | 0 : (first + b) | 0;
  const carries = isSub ? (~first & b) | ((~first | b) & r) : (first & b) | ((first | b) & ~r);
  const top = carries << up;
  if (!step) return (top & AUX_CARRIES & 0xc0000000) | (carries & 8);
  const overflow = (top ^ (top << 1)) & 0x80000000;
  return second | ((second ^ overflow) >>> 1) | (carries & 8);
}

/** What a compiled function returns: 0 = go on at EIP; above = site number plus one; below = back to TypeScript. */
export const GO_ON = 0;
export const LEAVE = -1;

/** Entries of the jump table by which compiled code finds compiled code, and the bytes of each. */
export const JUMP_ENTRIES = 16384;
/** Words of an entry: linear address, id of the decoded page, index of the unit, entry number in its function. */
export const JUMP_ENTRY_BYTES = 16;
export const JUMP_TABLE_BYTES = JUMP_ENTRIES * JUMP_ENTRY_BYTES;

/** Byte offset of the entry of a linear address in the jump table. */
export const jumpSlot = (eip: number): number => ((eip ^ (eip >>> 12)) & (JUMP_ENTRIES - 1)) * JUMP_ENTRY_BYTES;

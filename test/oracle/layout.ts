/**
 * The world in which test cases run, the same on the real CPU (native/harness.c) and on the emulated one
 * (../machine/helpers/user-cpu.ts): addresses, segments, and what a case and its outcome are.
 * Invariant: outside the data area and the code area nothing is mapped for the case.
 * Source of the GDT: Linux on x86-64, arch/x86/kernel/cpu/common.c (values checked by LAR and LSL cases).
 */

/** Data: two pages that may be written, one that may only be read; unmapped before and behind. */
export const DATA_AT = 0x0010_0000;
export const DATA_RW_BYTES = 0x2000;
export const DATA_BYTES = 0x3000;
export const DATA_RO_AT = DATA_AT + DATA_RW_BYTES;
export const DATA_END = DATA_AT + DATA_BYTES;
/** Code: two pages full of HLT, which ends a case with #GP; unmapped behind. */
export const CODE_AT = 0x0040_0000;
export const CODE_BYTES = 0x2000;
export const CODE_END = CODE_AT + CODE_BYTES;
export const HLT = 0xf4;
/** Nothing is mapped in this range on either side, so pointers into it fault. */
export const NOTHING_AT = 0x0080_0000;
export const NOTHING_BYTES = 0x1000_0000;

export const SEL_CODE = 0x23;
export const SEL_DATA = 0x2b;

/** GDT as 64-bit Linux has it. Entries 8 to 11 are system descriptors of ring 0; 15 is not used by cases. */
export const GDT: readonly (readonly [low: number, high: number])[] = [
  [0, 0],
  [0x0000ffff, 0x00cf9b00],
  [0x0000ffff, 0x00af9b00],
  [0x0000ffff, 0x00cf9300],
  [0x0000ffff, 0x00cffb00],
  [0x0000ffff, 0x00cff300],
  [0x0000ffff, 0x00affb00],
  [0, 0],
];
/** Entries of the GDT in all (its limit is known to LSL and friends). */
export const GDT_ENTRIES = 16;

/** An LDT entry in the terms of modify_ldt(2). `contents`: 0 data, 1 expand-down data, 2 code, 3 conforming code. */
export interface LdtEntry {
  readonly base: number;
  readonly limit: number;
  readonly is32: boolean;
  readonly contents: 0 | 1 | 2 | 3;
  /** Data: not writable. Code: not readable. */
  readonly exclusive?: boolean;
  readonly inPages?: boolean;
  readonly absent?: boolean;
}

const LIMIT_4G = 0xfffff;

export const LDT: readonly LdtEntry[] = [
  { base: DATA_AT, limit: DATA_BYTES - 1, is32: true, contents: 0 },
  { base: DATA_AT, limit: 0xffff, is32: false, contents: 0 },
  { base: 0, limit: LIMIT_4G, is32: true, contents: 0, exclusive: true, inPages: true },
  { base: 0, limit: 0x100, is32: true, contents: 1, inPages: true },
  { base: DATA_AT, limit: 0x0fff, is32: true, contents: 0 },
  { base: 0, limit: LIMIT_4G, is32: true, contents: 2, inPages: true },
  { base: 0, limit: LIMIT_4G, is32: true, contents: 2, exclusive: true, inPages: true },
  // Linux admits a conforming segment only if it is not present.
  { base: 0, limit: LIMIT_4G, is32: true, contents: 3, inPages: true, absent: true },
  { base: CODE_AT, limit: CODE_BYTES - 1, is32: false, contents: 2 },
  { base: 0, limit: LIMIT_4G, is32: false, contents: 2, inPages: true },
  { base: 0, limit: LIMIT_4G, is32: true, contents: 0, inPages: true, absent: true },
  { base: 0, limit: LIMIT_4G, is32: true, contents: 2, inPages: true, absent: true },
  { base: CODE_AT, limit: 0x0fff, is32: true, contents: 2 },
  { base: DATA_AT - 0xf000, limit: 0xffff, is32: false, contents: 0 },
];

const ldt = (n: number): number => n * 8 + 7;
/** Selectors of the LDT entries above, by what they are. */
export const SEL = {
  data32: ldt(0),
  data16: ldt(1),
  readOnly: ldt(2),
  expandDown: ldt(3),
  small: ldt(4),
  code32: ldt(5),
  executeOnly: ldt(6),
  absentConforming: ldt(7),
  code16: ldt(8),
  code16Flat: ldt(9),
  absentData: ldt(10),
  absentCode: ldt(11),
  codeSmall: ldt(12),
  wrap16: ldt(13),
  beyond: ldt(14),
} as const;

/** The two words of an LDT entry. Linux marks all of them accessed. */
export function descriptorOf(entry: LdtEntry): readonly [low: number, high: number] {
  const type = 1 | (entry.exclusive ? 0 : 2) | (entry.contents << 2);
  const low = ((entry.base & 0xffff) << 16) | (entry.limit & 0xffff);
  const high =
    ((entry.base >>> 16) & 0xff) |
    (type << 8) |
    0x7000 | // S, DPL 3
    (entry.absent ? 0 : 0x8000) |
    (entry.limit & 0xf0000) |
    (entry.is32 ? 0x400000 : 0) |
    (entry.inPages ? 0x800000 : 0) |
    (entry.base & 0xff000000);
  return [low, high];
}

/** Base of a selector's segment, for the generator. Null selectors and absent segments have none: 0. */
export function baseOfSelector(selector: number): number {
  return (selector & 4) !== 0 ? (LDT[selector >> 3]?.base ?? 0) : 0;
}

/** Content of the data area before the patches of a case. */
export function dataImage(): Uint8Array {
  const image = new Uint8Array(DATA_BYTES);
  let x = 0x2545f491;
  for (let i = 0; i < image.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    // Words of the read-only page serve as pointers that nobody chose: let them point to where nothing is.
    image[i] = i < DATA_RW_BYTES ? x >>> 11 : 0x80 | ((x >>> 11) & 0x3f);
  }
  return image;
}

export interface Patch {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Everything that a case starts from. Registers in the order eax ecx edx ebx esp ebp esi edi; segments es cs ss ds fs gs. */
export interface Case {
  readonly code: Uint8Array;
  /** Linear address of the code; EIP is relative to the base of CS. */
  readonly codeAt: number;
  readonly eip: number;
  readonly regs: Int32Array;
  readonly eflags: number;
  readonly segments: readonly number[];
  /** Disjoint, inside the writable part of the data area. */
  readonly patches: readonly Patch[];
}

/** Everything that a case leaves behind. It ends with an exception, #GP at a HLT if the instruction did not fault. */
export interface Outcome {
  readonly regs: Int32Array;
  readonly eflags: number;
  readonly eip: number;
  readonly segments: readonly number[];
  readonly vector: number;
  readonly error: number;
  /** Faulting address of a page fault, else 0. */
  readonly cr2: number;
  /** Runs of bytes that changed. */
  readonly changes: readonly Patch[];
}

/** A case did not end by itself on the real CPU. */
export const VECTOR_TIMEOUT = 255;

/** Set in every case: bit 1 of EFLAGS, and IF, which ring 3 cannot clear. */
export const FLAGS_ALWAYS = 0x202;
/** EFLAGS bits that outcomes compare: all but bit 1 and RF, which exceptions set in the frame. */
export const FLAGS_COMPARED = 0x003e_7fd5;
/** The I/D bit of a page-fault error code says that no-execute is in use, which 32-bit two-level paging lacks. */
export const ERROR_FETCH = 0x10;

/** The fault of the HLT behind an instruction: the case ran to its end. */
export const isLanding = (outcome: Outcome, start: Case): boolean =>
  outcome.vector === 13 && outcome.error === 0 && outcome.eip !== start.eip;

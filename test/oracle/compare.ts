/**
 * What two outcomes of a case may differ in, and how to say that they differ in more.
 * Invariant: the undefinedFlags column bounds what is undefined for a row; here it is narrowed to what is undefined for
 * the case at hand, because a shift by zero or one leaves less open than a shift by nine.
 * Source: flags affected, SDM vol 2, of each instruction.
 */
import { FLAG_AF, FLAG_CF, FLAG_OF } from '../../src/machine/flags.ts';
import type { Row } from '../../src/machine/isa/row.ts';
import { type Case, type Outcome, type Patch, SEL } from './layout.ts';

const SHIFTS = ['SHL', 'SHR', 'SAR'];
const ROTATES = ['ROL', 'ROR', 'RCL', 'RCR'];
const DOUBLE_SHIFTS = ['SHLD', 'SHRD'];

/** Shift count of a case, after masking to five bits. The immediate is the last byte of the code. */
function shiftCountOf(row: Row, c: Case): number {
  const operand = row.operands.at(-1);
  if (operand === '1') return 1;
  return (operand === 'CL' ? c.regs[1]! : c.code.at(-1)!) & 31;
}

/** Operand width of a case, from its prefixes and code segment. */
function widthOf(row: Row, c: Case): number {
  if (row.byte) return 8;
  const code32 = c.segments[1] !== SEL.code16 && c.segments[1] !== SEL.code16Flat;
  const has66 = prefixesOf(c).includes(0x66);
  return has66 === code32 ? 16 : 32;
}

const PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];

export function prefixesOf(c: Case): number[] {
  let count = 0;
  while (count < c.code.length && PREFIXES.includes(c.code[count]!)) count++;
  return [...c.code.subarray(0, count)];
}

/** EFLAGS bits that the manual leaves undefined for this case. */
export function undefinedFlags(row: Row, c: Case): number {
  const column = row.undefinedFlags;
  if (column === 0) return 0;
  const { mnemonic } = row;
  const isDouble = DOUBLE_SHIFTS.includes(mnemonic);
  if (!SHIFTS.includes(mnemonic) && !ROTATES.includes(mnemonic) && !isDouble) return column;
  const count = shiftCountOf(row, c);
  const width = widthOf(row, c);
  if (count === 0) return 0;
  let open = isDouble && count <= width ? FLAG_AF | FLAG_OF : column;
  if (count === 1) open &= ~FLAG_OF;
  if (count < width) open &= ~FLAG_CF;
  return open;
}

const REGISTERS = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
export const hex = (value: number): string => (value >>> 0).toString(16);

export const bytesOf = (data: Uint8Array): string => [...data].map((b) => b.toString(16).padStart(2, '0')).join(' ');
const patchText = (patches: readonly Patch[]): string =>
  patches.map((p) => `${hex(p.at)}: ${bytesOf(p.bytes)}`).join(', ') || 'none';

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [0x1, 'CF'],
  [0x4, 'PF'],
  [0x10, 'AF'],
  [0x40, 'ZF'],
  [0x80, 'SF'],
  [0x100, 'TF'],
  [0x200, 'IF'],
  [0x400, 'DF'],
  [0x800, 'OF'],
  [0x1000, 'IOPL0'],
  [0x2000, 'IOPL1'],
  [0x4000, 'NT'],
  [0x20000, 'VM'],
  [0x40000, 'AC'],
  [0x80000, 'VIF'],
  [0x100000, 'VIP'],
  [0x200000, 'ID'],
];
export const flagText = (eflags: number): string =>
  FLAG_NAMES.filter(([bit]) => (eflags & bit) !== 0)
    .map(([, name]) => name)
    .join(' ') || '-';

/**
 * Where the CPU of the vectors goes its own way and the manual leaves the state open: brings `seen` to agree.
 *   POPA that faults has loaded some of the registers already;
 *   CALLF that faults at the limit of its target has pushed already (below the stack pointer);
 *   RETF and IRET to an outer ring read the outer stack pointer before they refuse the selector;
 *   CALL finds out that it cannot push before it looks at the limit of the code segment;
 *   UD1 does not fetch its ModRM byte.
 */
export function tolerate(row: Row, c: Case, expected: Outcome, seen: Outcome): Outcome {
  const bothFaulted = expected.eip === c.eip && seen.eip === c.eip;
  if (!bothFaulted) return seen;
  switch (row.mnemonic) {
    case 'POPA':
      return { ...seen, regs: expected.regs };
    case 'CALLF':
      return seen.vector === 13 && expected.vector !== 13 ? expected : { ...seen, changes: expected.changes };
    case 'CALL':
    case 'RETF':
    case 'IRET':
      return seen.vector === 13 && expected.vector !== 13 ? expected : seen;
    case 'UD1':
      return seen.vector === 13 || seen.vector === 14 ? expected : seen;
    default:
      return seen;
  }
}

/** Differences as lines "what: expected, seen"; empty if the outcomes agree but for `undefinedMask`. */
export function differences(expected: Outcome, seen: Outcome, undefinedMask: number): string[] {
  const lines: string[] = [];
  const compare = (what: string, a: number, b: number, show = hex): void => {
    if (a !== b) lines.push(`${what}: expected ${show(a)}, seen ${show(b)}`);
  };
  compare('exception', expected.vector, seen.vector, String);
  compare('error code', expected.error, seen.error);
  compare('cr2', expected.cr2 >>> 0, seen.cr2 >>> 0);
  compare('eip', expected.eip >>> 0, seen.eip >>> 0);
  for (let r = 0; r < 8; r++) compare(REGISTERS[r]!, expected.regs[r]!, seen.regs[r]!);
  for (let s = 0; s < 6; s++) compare(SEGMENTS[s]!, expected.segments[s]!, seen.segments[s]!);
  compare('eflags', expected.eflags & ~undefinedMask, seen.eflags & ~undefinedMask, flagText);
  const [a, b] = [patchText(expected.changes), patchText(seen.changes)];
  if (a !== b) lines.push(`memory: expected ${a}, seen ${b}`);
  return lines;
}

/** A case in words, for failure messages. */
export function describeCase(c: Case): string {
  const regs = REGISTERS.map((name, r) => `${name}=${hex(c.regs[r]!)}`).join(' ');
  const segments = SEGMENTS.map((name, s) => `${name}=${hex(c.segments[s]!)}`).join(' ');
  return `${bytesOf(c.code)} at ${hex(c.codeAt)}\n  ${regs}\n  ${segments} flags ${flagText(c.eflags)}\n  memory ${patchText(c.patches)}`;
}

/**
 * Cases that no row of the ISA table stands for: opcodes that are undefined, and heaps of prefixes up to and past the longest
 * instruction.
 * Invariant: opcodes that mean something to today's CPUs but not to ours (VEX, SSE, SYSCALL, ...) are left out.
 */
import { type RandomStream, Streams } from '../../src/core/rng.ts';
import { Draft } from './draft.ts';
import type { Case } from './layout.ts';

/** Two-byte opcodes that are undefined in 32-bit mode on every CPU so far. */
const UNDEFINED_TWO_BYTE = [
  0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3d, 0x3e, 0x3f, 0x7a, 0x7b, 0xff,
];
/** Group opcodes, and the values of ModRM.reg that stand for nothing in them. */
const EMPTY_SLOTS: readonly (readonly [opcode: readonly number[], slots: readonly number[]])[] = [
  [[0xfe], [2, 3, 4, 5, 6, 7]],
  [[0xff], [7]],
  [[0xc6], [1, 2, 3, 4, 5, 6, 7]],
  [[0xc7], [1, 2, 3, 4, 5, 6, 7]],
  [
    [0x0f, 0xba],
    [0, 1, 2, 3],
  ],
  // Segment registers 6 and 7 do not exist, and CS is not loaded by MOV.
  [[0x8c], [6, 7]],
  [[0x8e], [1, 6, 7]],
];

function undefinedCodes(): number[][] {
  const codes = UNDEFINED_TWO_BYTE.map((code) => [0x0f, code, 0xc1]);
  for (const [opcode, slots] of EMPTY_SLOTS) {
    for (const reg of slots) {
      codes.push([...opcode, 0xc0 | (reg << 3) | 1], [...opcode, (reg << 3) | 5, 0, 0, 0x10, 0]);
    }
  }
  return codes;
}

function draftOf(rng: RandomStream, code: readonly number[], prefixes: readonly number[]): Case {
  const d = new Draft(rng);
  d.prefixes.push(...prefixes);
  d.opcode = code;
  d.codeAt += rng.below(0x1000);
  return d.finish();
}

/** Opcodes that must raise #UD. */
export function undefinedOpcodes(seed: number, times: number): Case[] {
  const rng = new Streams(seed).stream('undefined');
  return undefinedCodes().flatMap((code) => Array.from({ length: 3 * times }, () => draftOf(rng, code, [])));
}

/** Instructions that take any of these prefixes without a change of meaning, but for LOCK. */
const PLAIN: readonly (readonly number[])[] = [
  [0x40], // INC eAX
  [0x01, 0xd8], // ADD eAX,eBX
  [0x05, 0x90, 0x90, 0x90, 0x90], // ADD eAX,Iz, and NOPs if it takes two bytes only
  [0x69, 0xc3, 0x90, 0x90, 0x90, 0x90], // IMUL eAX,eBX,Iz
  [0x0f, 0xa3, 0xd8], // BT
  [0x8d, 0x44, 0x8b, 0x10], // LEA
  [0x70, 0x10], // JO
  [0x0f, 0xa4, 0xd8, 3], // SHLD
];
const PREFIXES: readonly number[] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3, 0x66, 0x67];

/** Between 0 and 17 prefixes before a harmless instruction: more than 15 bytes in all raise #GP. */
export function prefixHeaps(seed: number, times: number): Case[] {
  const rng = new Streams(seed).stream('prefixes');
  const cases: Case[] = [];
  for (let n = 0; n < 600 * times; n++) {
    const code = PLAIN[rng.below(PLAIN.length)]!;
    const prefixes = Array.from({ length: rng.below(18) }, () => PREFIXES[rng.below(PREFIXES.length)]!);
    if (rng.chance(1, 10)) prefixes.push(0xf0);
    cases.push(draftOf(rng, code, prefixes));
  }
  return cases;
}

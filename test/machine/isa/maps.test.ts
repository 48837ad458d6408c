/**
 * The opcode maps as a whole: what has no row is what a processor with this CPUID does not have, and raises #UD.
 * Source of the lists: SDM vol 2, appendix A, less what CPUID does not announce (MMX, SSE, SYSCALL, PREFETCHW ...), and
 * less what was never there or is gone (test registers, UMOV, RSM outside SMM).
 */
import { describe, expect, test } from 'vitest';
import { OPCODES, type OpcodeEntry } from '../../../src/machine/isa/table.ts';
import { type Case, CODE_AT, DATA_AT, SEL_CODE, SEL_DATA } from '../../oracle/layout.ts';
import { UserCpu } from '../helpers/user-cpu.ts';

/** Prefixes and the escape: no row by nature. */
const PREFIXES = [0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];

const span = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, n) => first + n);

/** Undefined two-byte opcodes. */
const UNDEFINED_TWO = [
  0x04,
  0x05,
  0x07,
  0x0a,
  0x0c, // SYSCALL and SYSRET are of another family
  ...span(0x0d, 0x0f), // 3DNow!
  ...span(0x10, 0x17), // SSE
  ...span(0x24, 0x27), // test registers
  ...span(0x28, 0x2f), // SSE
  0x36,
  0x37, // GETSEC
  ...span(0x38, 0x3f),
  ...span(0x50, 0x77), // MMX, SSE
  ...span(0x7a, 0x7f),
  0xa6,
  0xa7,
  0xaa, // RSM: there is no system management mode
  0xae, // FXSAVE, fences
  0xb8, // POPCNT
  ...span(0xc2, 0xc6), // SSE, MOVNTI
  ...span(0xd0, 0xff), // MMX, SSE, UD0
];

/** Undefined values of ModRM.reg, by opcode. */
const UNDEFINED_GROUPS: Readonly<Record<string, readonly number[]>> = {
  '8f': [1, 2, 3, 4, 5, 6, 7],
  c6: [1, 2, 3, 4, 5, 6, 7],
  c7: [1, 2, 3, 4, 5, 6, 7],
  fe: [2, 3, 4, 5, 6, 7],
  ff: [7],
  '0f00': [6, 7],
  '0f01': [5],
  '0fba': [0, 1, 2, 3],
  '0fc7': [0, 2, 3, 4, 5],
};

const isEmpty = (e: OpcodeEntry): boolean => e.row === null && e.byReg === null && e.byModrm === null;
const emptyOf = (map: readonly OpcodeEntry[]): number[] => span(0, 255).filter((n) => isEmpty(map[n]!));

describe('opcodes without a row', () => {
  test('one byte: prefixes only', () => expect(emptyOf(OPCODES.oneByte)).toEqual(PREFIXES));
  test('two bytes', () => expect(emptyOf(OPCODES.twoByte)).toEqual(UNDEFINED_TWO));

  test('groups', () => {
    const found: Record<string, number[]> = {};
    const collect = (map: readonly OpcodeEntry[], lead: string): void =>
      map.forEach((entry, code) => {
        const holes = span(0, 7).filter((reg) => entry.byReg !== null && entry.byReg[reg] === null);
        const isFpu = lead === '' && code >= 0xd8 && code <= 0xdf;
        if (holes.length > 0 && !isFpu) found[lead + code.toString(16).padStart(2, '0')] = holes;
      });
    collect(OPCODES.oneByte, '');
    collect(OPCODES.twoByte, '0f');
    expect(found).toEqual(UNDEFINED_GROUPS);
  });
});

const codes = [
  ...UNDEFINED_TWO.map((code) => [0x0f, code, 0xc1]),
  ...Object.entries(UNDEFINED_GROUPS).flatMap(([opcode, regs]) =>
    regs.map((reg) => [...Buffer.from(opcode, 'hex'), 0x05 | (reg << 3), 0, 0, 0x10, 0]),
  ),
];

test('they are undefined, with every prefix that may stand before them', () => {
  const user = new UserCpu();
  const outcomes = codes.flatMap((code) =>
    [[], [0x66], [0xf2], [0xf3], [0x26, 0x67]].map((prefixes) => {
      const bytes = Uint8Array.from([...prefixes, ...code]);
      const regs = new Int32Array(8).fill(DATA_AT);
      const segments = [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0];
      const c: Case = { code: bytes, codeAt: CODE_AT, eip: CODE_AT, regs, eflags: 0, segments, patches: [] };
      const { vector, eip } = user.run(c);
      return vector === 6 && eip === CODE_AT ? '' : `${Buffer.from(bytes).toString('hex')}: vector ${vector}`;
    }),
  );
  expect(outcomes.filter((text) => text !== '')).toEqual([]);
});

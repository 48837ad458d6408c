/**
 * The opcode maps as a whole: what has no row is what a processor with this CPUID does not have, and raises #UD.
 * Source of the lists: SDM vol 2, appendix A, less what CPUID does not announce (SSE3 and later, SYSCALL, PREFETCHW ...), and
 * less what was never there or is gone (test registers, UMOV, RSM outside SMM).
 */
import { describe, expect, test } from 'vitest';
import { OPCODES, type OpcodeEntry } from '../../../src/machine/isa/table.ts';
import { type Case, CODE_AT, DATA_AT, SEL_CODE, SEL_DATA } from '../../oracle/layout.ts';
import { UserCpu } from '../helpers/user-cpu.ts';

/** Prefixes and the escape: no row by nature. */
const PREFIXES = [0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];

const span = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, n) => first + n);

/** Undefined two-byte opcodes, without a prefix. */
const UNDEFINED_TWO = [
  0x04,
  0x05,
  0x07,
  0x0a,
  0x0c, // SYSCALL and SYSRET are of another family
  ...span(0x0d, 0x0f), // 3DNow!
  ...span(0x24, 0x27), // test registers
  0x36,
  0x37, // GETSEC
  ...span(0x38, 0x3f),
  0x6c,
  0x6d,
  ...span(0x7a, 0x7d), // SSE4a, SSE3
  0xa6,
  0xa7,
  0xaa, // RSM: there is no system management mode
  0xb8, // POPCNT
  0xd0, // SSE3
  0xd6,
  0xe6,
  0xf0, // SSE3
  0xff, // UD0
];
/** The same with a mandatory prefix, where without one or with another there is something. */
const UNDEFINED_66 = [0x52, 0x53, 0x77, 0xae, 0xc3];
/** What these prefixes make of the opcodes of the vector units. */
const DEFINED_F2 = [
  0x10, 0x11, 0x2a, 0x2c, 0x2d, 0x51, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f, 0x70, 0xc2, 0xd6, 0xe6,
];
const DEFINED_F3 = [...DEFINED_F2, 0x52, 0x53, 0x5b, 0x6f, 0x7e, 0x7f, 0xc7].sort((a, b) => a - b);

/** Undefined values of ModRM.reg, by opcode. */
const UNDEFINED_GROUPS: Readonly<Record<string, readonly number[]>> = {
  '8f': [1, 2, 3, 4, 5, 6, 7],
  c6: [1, 2, 3, 4, 5, 6, 7],
  c7: [1, 2, 3, 4, 5, 6, 7],
  fe: [2, 3, 4, 5, 6, 7],
  ff: [7],
  '0f00': [6, 7],
  '0f01': [5],
  '0f71': [0, 1, 3, 5, 7],
  '0f72': [0, 1, 3, 5, 7],
  '0f73': [0, 1, 3, 4, 5, 7],
  '0fae': [4, 5, 6],
  '0fba': [0, 1, 2, 3],
  '0fc7': [0, 2, 3, 4, 5],
};

const isEmpty = (e: OpcodeEntry): boolean => e.row === null && e.byReg === null && e.byModrm === null;
const emptyOf = (map: readonly OpcodeEntry[]): number[] => span(0, 255).filter((n) => isEmpty(map[n]!));

describe('opcodes without a row', () => {
  test('one byte: prefixes only', () => expect(emptyOf(OPCODES.oneByte)).toEqual(PREFIXES));
  test('two bytes', () => expect(emptyOf(OPCODES.twoByte)).toEqual(UNDEFINED_TWO));

  test('mandatory prefixes', () => {
    const exact = span(0, 255).filter((n) => OPCODES.twoByte[n]!.exact);
    const with66 = exact.filter((n) => isEmpty(OPCODES.with66[n]!));
    expect(with66).toEqual(UNDEFINED_66);
    const definedIn = (map: readonly OpcodeEntry[]): number[] => span(0, 255).filter((n) => !isEmpty(map[n]!));
    expect(definedIn(OPCODES.withF2)).toEqual(DEFINED_F2);
    expect(definedIn(OPCODES.withF3)).toEqual(DEFINED_F3);
  });

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

/** A mandatory prefix makes something of it. */
function isDefined([lead, opcode]: readonly number[], prefixes: readonly number[]): boolean {
  const map = { 102: OPCODES.with66, 242: OPCODES.withF2, 243: OPCODES.withF3 }[prefixes[0] ?? 0];
  const entry = map?.[opcode!];
  return lead === 0x0f && entry !== undefined && (entry.row !== null || entry.byReg?.includes(null) === false);
}

const codes = [
  ...UNDEFINED_TWO.map((code) => [0x0f, code, 0xc1]),
  ...Object.entries(UNDEFINED_GROUPS).flatMap(([opcode, regs]) =>
    regs.map((reg) => [...Buffer.from(opcode, 'hex'), 0x05 | (reg << 3), 0, 0, 0x10, 0]),
  ),
];

test('what has meaning is undefined with a mandatory prefix that makes nothing of it', () => {
  const user = new UserCpu();
  const wrong: string[] = [];
  for (const code of span(0, 255).filter((n) => OPCODES.twoByte[n]!.exact)) {
    for (const [prefix, map] of [[0xf2, OPCODES.withF2] as const, [0xf3, OPCODES.withF3] as const]) {
      if (!isEmpty(map[code]!)) continue;
      const bytes = Uint8Array.from([prefix, 0x0f, code, 0xc1]);
      const regs = new Int32Array(8).fill(DATA_AT);
      const segments = [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0];
      const c: Case = { code: bytes, codeAt: CODE_AT, eip: CODE_AT, regs, eflags: 0, segments, patches: [] };
      if (user.run(c).vector !== 6) wrong.push(Buffer.from(bytes).toString('hex'));
    }
  }
  expect(wrong).toEqual([]);
});

test('they are undefined, with every prefix that may stand before them', () => {
  const user = new UserCpu();
  const outcomes = codes.flatMap((code) =>
    [[], [0x66], [0xf2], [0xf3], [0x26, 0x67]]
      .filter((prefixes) => !isDefined(code, prefixes))
      .map((prefixes) => {
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

/**
 * What single instructions on the real CPU cannot show of the floating-point unit: agreement of its arithmetic with
 * IEEE doubles, state after faults, saving, layouts outside protected mode, and how errors are reported.
 */
import { describe, expect, test } from 'vitest';
import { Streams } from '../../src/core/rng.ts';
import { EXIT_FERR } from '../../src/machine/exits.ts';
import { Calc } from '../../src/machine/fpu/calc.ts';
import { environmentOf, loadEnvironment } from '../../src/machine/fpu/environment.ts';
import { loadDouble, toDouble } from '../../src/machine/fpu/formats.ts';
import { FPU_STATE_WORDS, Fpu } from '../../src/machine/fpu/fpu.ts';
import { x87Rows } from '../../src/machine/isa/x87.ts';
import { CR0_NE } from '../../src/machine/paging.ts';
import { rowKey } from '../oracle/generate.ts';
import { type Case, CODE_AT, DATA_AT, isLanding, SEL_CODE, SEL_DATA } from '../oracle/layout.ts';
import { x87Cases } from '../oracle/x87-cases.ts';
import { UserCpu } from './helpers/user-cpu.ts';

const caseOf = (code: readonly number[]): Case => ({
  code: Uint8Array.from(code),
  codeAt: CODE_AT,
  eip: CODE_AT,
  regs: new Int32Array(8),
  eflags: 0,
  segments: [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0],
  patches: [],
});

const stateOf = (fpu: Fpu): Int32Array => {
  const words = new Int32Array(FPU_STATE_WORDS);
  fpu.saveTo(words);
  return words;
};

describe('doubles in double precision are IEEE doubles', () => {
  const words = new DataView(new ArrayBuffer(8));
  const calc = new Calc();
  calc.control = 0x27f;
  const put = (x: Calc['a'], value: number): void => {
    words.setFloat64(0, value);
    loadDouble(x, words.getInt32(0), words.getInt32(4));
  };
  const get = (): number => {
    calc.a.copy(calc.r);
    toDouble(calc);
    words.setInt32(0, calc.r.hi);
    words.setInt32(4, calc.r.lo);
    return words.getFloat64(0);
  };

  test.each([
    ['+', (a: number, b: number) => a + b, () => calc.add(0)],
    ['-', (a: number, b: number) => a - b, () => calc.add(1)],
    ['x', (a: number, b: number) => a * b, () => calc.multiply()],
    ['/', (a: number, b: number) => a / b, () => calc.divide()],
    ['root', (a: number) => Math.sqrt(Math.abs(a)), () => calc.squareRoot()],
  ] as const)('%s', (name, expected, operation) => {
    const rng = new Streams(3).stream(name);
    for (let n = 0; n < 5000; n++) {
      const [a, b] = [0, 0].map(() => {
        words.setInt32(0, (rng.below(2) << 31) | ((1023 - 60 + rng.below(120)) << 20) | rng.below(1 << 20));
        words.setInt32(4, rng.chance(1, 3) ? 0 : rng.uint32());
        return words.getFloat64(0);
      }) as [number, number];
      put(calc.a, name === 'root' ? Math.abs(a) : a);
      put(calc.b, b);
      operation();
      expect(get(), `${a} ${name} ${b}`).toBe(expected(a, b));
    }
  });
});

test('an instruction that faults leaves the unit as it was', () => {
  const user = new UserCpu();
  let faults = 0;
  for (const row of x87Rows.filter(({ operands }) => operands[0]?.[0] === 'M')) {
    for (const c of x87Cases(row, 5, 1)) {
      const outcome = user.run(c);
      const prefix = c.segments[1] === SEL_CODE ? 9 : -1;
      if (isLanding(outcome, c) || outcome.eip !== c.eip + prefix) continue;
      const after = stateOf(user.cpu.fpu);
      user.run({ ...c, code: c.code.subarray(0, prefix) });
      expect(after, rowKey(row)).toEqual(stateOf(user.cpu.fpu));
      faults++;
    }
  }
  expect(faults).toBeGreaterThan(200);
});

test('a saved state is restored', () => {
  const user = new UserCpu();
  // FNINIT, FLDPI, FLD1, FLDL2E, FDIVR ST0,ST1
  user.run(caseOf([0xdb, 0xe3, 0xd9, 0xeb, 0xd9, 0xe8, 0xd9, 0xea, 0xd8, 0xf9]));
  const saved = stateOf(user.cpu.fpu);
  const other = new Fpu();
  other.restoreFrom(saved);
  expect(stateOf(other)).toEqual(saved);
  expect(other.statusWord).toBe(user.cpu.fpu.statusWord);
  expect(other.tagWord).toBe(0x03ff);
});

test('after reset it holds zeros, not empty registers', () => {
  const fpu = new Fpu();
  expect([fpu.controlWord, fpu.statusWord, fpu.tagWord]).toEqual([0x40, 0, 0x5555]);
});

describe('environments, by the figures of the manual', () => {
  const fpu = new Fpu();
  fpu.initialize();
  fpu.instructionOffset = 0x2345;
  fpu.instructionSelector = 0xf000;
  fpu.dataOffset = 0x789a;
  fpu.dataSelector = 0xb000;
  fpu.opcode = 0x5d9;
  const common = [0x037f, 0, 0xffff];

  test.each([
    ['32-bit protected', true, true, [0x2345, 0x05d9f000, 0x789a, 0xb000]],
    ['16-bit protected', false, true, [0x2345, 0xf000, 0x789a, 0xb000]],
    // Linear addresses F2345 and B789A.
    ['32-bit real', true, false, [0x2345, 0x0000f5d9, 0x789a, 0x0000b000]],
    ['16-bit real', false, false, [0x2345, 0xf5d9, 0x789a, 0xb000]],
  ] as const)('%s', (_name, is32, isProtected, pointers) => {
    const fields = (of: Fpu): number[] =>
      environmentOf(of, { is32, isProtected }).map((word, n) =>
        n < 3 || !is32 || n === 6 || (!isProtected && n !== 4) ? word & 0xffff : word,
      );
    expect(fields(fpu)).toEqual([...common, ...pointers]);
    const loaded = new Fpu();
    loadEnvironment(loaded, { is32, isProtected }, fields(fpu));
    expect(fields(loaded)).toEqual(fields(fpu));
  });
});

describe('an unmasked error', () => {
  // FNINIT; FLDCW [mem] (division by zero not masked); FLD1; FLDZ; FDIVP ST1,ST0; FWAIT
  const code = [0xdb, 0xe3, 0xd9, 0x2d, 0, 0, 0x10, 0, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x9b];
  const patches = [{ at: DATA_AT, bytes: Uint8Array.of(0x7b, 0x03) }];

  test('is reported by the next instruction that waits', () => {
    expect(new UserCpu().run({ ...caseOf(code), patches })).toMatchObject({ vector: 16, eip: CODE_AT + 14 });
  });

  test('has the CPU stand still before that where CR0.NE is clear, until it is to ignore the error', () => {
    const user = new UserCpu();
    user.cpu.cr0 &= ~CR0_NE;
    user.load({ ...caseOf(code), patches });
    for (let again = 0; again < 2; again++) {
      expect(user.cpu.run(1000)).toBe(EXIT_FERR);
      expect(user.cpu.eip).toBe(CODE_AT + 14);
    }
    const { instructions } = user.cpu;
    user.cpu.fpu.ignoreErrors();
    user.cpu.step();
    expect(user.cpu.eip).toBe(CODE_AT + 15);
    expect(user.cpu.instructions).toBe(instructions + 1);
  });

  test('is ignored until it is cleared, and not before it happens', () => {
    const fpu = new Fpu();
    fpu.initialize();
    fpu.ignoreErrors();
    expect(fpu.isIgnored).toBe(false);
    fpu.controlWord = 0x37b;
    fpu.statusWord = 4;
    fpu.ignoreErrors();
    expect([fpu.isPending, fpu.isIgnored]).toEqual([true, true]);
    const words = new Int32Array(FPU_STATE_WORDS);
    fpu.saveTo(words);
    const other = new Fpu();
    other.restoreFrom(words);
    expect(other.isIgnored).toBe(true);
    fpu.clearExceptions();
    fpu.statusWord = 4;
    expect([fpu.isPending, fpu.isIgnored]).toEqual([true, false]);
    other.controlWord = 0x37f;
    expect([other.isPending, other.isIgnored]).toEqual([false, false]);
  });
});

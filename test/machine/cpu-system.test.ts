/**
 * The rows that a real CPU in user mode cannot judge (test/oracle/exempt.ts), case by case against the manual; and the
 * counts that only an emulated CPU has.
 */
import { describe, expect, test } from 'vitest';
import { EXIT_IO } from '../../src/machine/exits.ts';
import { CR0_EM, CR0_MP, CR0_TS, CR4_TSD } from '../../src/machine/paging.ts';
import { bytesOf } from '../oracle/compare.ts';
import { littleEndian } from '../oracle/draft.ts';
import { type Case, CODE_AT, DATA_AT, type Outcome, SEL_CODE, SEL_DATA } from '../oracle/layout.ts';
import { UserCpu } from './helpers/user-cpu.ts';

const FLAG_TF = 0x100;
const at = (value: number): number[] => littleEndian(value, 4);

function caseOf(code: readonly number[], regs: Partial<Record<number, number>> = {}, eflags = 0): Case {
  const initial = Int32Array.from({ length: 8 }, () => 0x5a5a5a5a);
  initial[4] = DATA_AT + 0x1000;
  for (const [r, value] of Object.entries(regs)) initial[Number(r)] = value!;
  const segments = [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0];
  return { code: Uint8Array.from(code), codeAt: CODE_AT, eip: CODE_AT, regs: initial, eflags, segments, patches: [] };
}
const run = (user: UserCpu, code: readonly number[], regs: Partial<Record<number, number>> = {}, eflags = 0): Outcome =>
  user.run(caseOf(code, regs, eflags));
const stored = (outcome: Outcome): string => outcome.changes.map((c) => bytesOf(c.bytes)).join(' ');

describe('the sensitive stores tell ring 3 the truth', () => {
  test.each([
    ['SGDT', 0],
    ['SIDT', 1],
  ])('%s stores limit and base', (_name, extension) => {
    const user = new UserCpu();
    const { gdtBase, gdtLimit, idtBase, idtLimit } = user.cpu;
    const [base, limit] = extension === 0 ? [gdtBase, gdtLimit] : [idtBase, idtLimit];
    // Six zero bytes first, so that every stored byte counts as a change from the image.
    const outcome = run(user, [0x0f, 0x01, (extension << 3) | 5, ...at(DATA_AT + 0x100)]);
    expect(outcome.vector).toBe(13);
    const expected = Uint8Array.from([...littleEndian(limit!, 2), ...littleEndian(base!, 4)]);
    expect(stored(outcome)).toBe(bytesOf(expected));
  });

  test.each([
    ['SLDT', 0, 0x50],
    ['STR', 1, 0x40],
  ])('%s to a register is zero-extended, to memory 16 bits wide', (_name, extension, selector) => {
    const user = new UserCpu();
    expect(run(user, [0x0f, 0x00, 0xc0 | (extension << 3)]).regs[0]).toBe(selector);
    expect(run(user, [0x66, 0x0f, 0x00, 0xc0 | (extension << 3)]).regs[0]).toBe(0x5a5a0000 | selector);
    const outcome = run(user, [0x0f, 0x00, (extension << 3) | 5, ...at(DATA_AT + 0x100)]);
    expect(stored(outcome)).toBe(bytesOf(Uint8Array.from([selector, 0])));
  });

  test('SMSW gives CR0', () => {
    const user = new UserCpu();
    expect(run(user, [0x0f, 0x01, 0xe0]).regs[0]).toBe(user.cpu.cr0);
    expect(run(user, [0x66, 0x0f, 0x01, 0xe0]).regs[0]).toBe(0x5a5a0000 | (user.cpu.cr0 & 0xffff));
    const outcome = run(user, [0x0f, 0x01, 0x25, ...at(DATA_AT + 0x100)]);
    expect(stored(outcome)).toBe(bytesOf(Uint8Array.from(littleEndian(user.cpu.cr0, 2))));
  });
});

test('CPUID: a known leaf, and the highest one for leaves beyond', () => {
  const user = new UserCpu();
  user.cpu.cpuid = { 0: [1, 2, 3, 4], 1: [5, 6, 7, 8] };
  const leaf = (n: number): number[] => [...run(user, [0x0f, 0xa2], { 0: n }).regs.subarray(0, 4)];
  expect(leaf(0)).toEqual([1, 3, 4, 2]);
  expect(leaf(1)).toEqual([5, 7, 8, 6]);
  expect(leaf(7)).toEqual([5, 7, 8, 6]);
});

test('RDTSC: grows, and CR4.TSD keeps it from ring 3', () => {
  const user = new UserCpu();
  user.cpu.tscOffset = 5 * 2 ** 32;
  const first = run(user, [0x0f, 0x31]).regs;
  const second = run(user, [0x0f, 0x31]).regs;
  expect([first[2], second[2]]).toEqual([5, 5]);
  expect(second[0]!).toBeGreaterThan(first[0]!);
  user.cpu.cr4 |= CR4_TSD;
  expect(run(user, [0x0f, 0x31])).toMatchObject({ vector: 13, error: 0, eip: CODE_AT });
});

test.each([
  ['VMCALL', 0xc1],
  ['VMMCALL', 0xd9],
])('%s is undefined where no VMM answers', (_name, modrm) => {
  expect(run(new UserCpu(), [0x0f, 0x01, modrm])).toMatchObject({ vector: 6, eip: CODE_AT });
});

test('INT1 is a debug exception behind the instruction, whatever the DPL of its gate', () => {
  expect(run(new UserCpu(), [0xf1])).toMatchObject({ vector: 1, eip: CODE_AT + 1 });
});

describe('floating point', () => {
  test.each([
    ['EM', CR0_EM],
    ['TS', CR0_TS],
  ])('with CR0.%s is #NM', (_name, bit) => {
    const user = new UserCpu();
    user.cpu.cr0 |= bit;
    expect(run(user, [0xd8, 0xc1])).toMatchObject({ vector: 7, eip: CODE_AT });
  });

  test('WAIT is #NM with both MP and TS', () => {
    const user = new UserCpu();
    user.cpu.cr0 |= CR0_TS;
    expect(run(user, [0x9b])).toMatchObject({ vector: 7, eip: CODE_AT });
    user.cpu.cr0 &= ~CR0_MP;
    expect(run(user, [0x9b])).toMatchObject({ vector: 13, eip: CODE_AT + 1 });
  });

  test('the probe of kernels finds a unit', () => {
    // FNINIT; FNSTSW AX; FNSTCW [mem]
    const outcome = run(new UserCpu(), [0xdb, 0xe3, 0xdf, 0xe0, 0xd9, 0x3d, ...at(DATA_AT)]);
    expect(outcome).toMatchObject({ vector: 13, eip: CODE_AT + 10 });
    expect(outcome.changes).toEqual([{ at: DATA_AT, bytes: Uint8Array.of(0x7f, 0x03) }]);
    expect(outcome.regs[0]).toBe(0x5a5a0000);
  });
});

describe('retired instructions', () => {
  const retired = (code: readonly number[], regs: Partial<Record<number, number>> = {}, eflags = 0): number => {
    const user = new UserCpu();
    run(user, code, regs, eflags);
    return user.retired;
  };
  const strings = { 1: 20, 6: DATA_AT, 7: DATA_AT + 0x800 };

  test('one each', () => expect(retired([0x90, 0x40, 0x01, 0xd8])).toBe(3));
  test('a fault does not count', () => expect(retired([0x90, 0x0f, 0x0b])).toBe(1));
  test('INT counts', () => expect(retired([0x90, 0xcc])).toBe(2));
  test('every iteration of a REP', () => expect(retired([0xf3, 0xa4], strings)).toBe(20));
  test('a REP with nothing to do', () => expect(retired([0xf3, 0xa4], { ...strings, 1: 0 })).toBe(1));
  test('iterations before the one that faults', () => {
    // Destination runs into the read-only page after 8 words.
    expect(retired([0xf3, 0xab], { 1: 20, 7: DATA_AT + 0x1fe0 })).toBe(8);
  });
  test('REPE up to the difference', () => {
    expect(retired([0xb0, 0x00, 0xf3, 0xae], { 1: 20, 7: DATA_AT })).toBeLessThan(5);
  });
  test('with TF, one iteration', () => expect(retired([0xf3, 0xa4], strings, FLAG_TF)).toBe(1));
});

describe('a budget that ends in a REP', () => {
  test.each([1, 2, 7, 19, 64])('of %i cycles each leaves EIP at the instruction until it is done', (budget) => {
    const user = new UserCpu();
    const { cpu } = user;
    user.load(caseOf([0xf3, 0xa5], { 1: 100, 6: DATA_AT, 7: DATA_AT + 0x800 }));
    const before = cpu.instructions;
    for (let runs = 1; cpu.regs[1] !== 0; runs++) {
      expect([cpu.eip, cpu.instructions - before]).toEqual([CODE_AT, 100 - cpu.regs[1]!]);
      expect(runs).toBeLessThanOrEqual(200);
      cpu.run(budget);
    }
    expect([cpu.regs[6], cpu.regs[7]]).toEqual([DATA_AT + 400, DATA_AT + 0x800 + 400]);
  });
});

describe('port I/O of a ring that IOPL admits', () => {
  function ported(code: readonly number[], regs: Partial<Record<number, number>>): UserCpu {
    const user = new UserCpu();
    user.load(caseOf(code, regs));
    user.cpu.systemFlags |= 0x3000;
    expect(user.cpu.run(1000)).toBe(EXIT_IO);
    return user;
  }

  test('IN AL leaves the rest of EAX', () => {
    const user = ported([0xec], { 2: 0x1234 });
    expect(user.cpu).toMatchObject({ ioPort: 0x1234, ioBytes: 1, ioIsIn: true, eip: CODE_AT });
    user.cpu.completeIo(0xab);
    expect(user.cpu.regs[0]).toBe(0x5a5a5aab);
    expect(user.cpu.eip).toBe(CODE_AT + 1);
  });

  test('OUT imm8,AX gives 16 bits', () => {
    const user = ported([0x66, 0xe7, 0x80], { 0: 0x1234abcd });
    expect(user.cpu).toMatchObject({ ioPort: 0x80, ioBytes: 2, ioIsIn: false, ioValue: 0xabcd });
  });

  test('REP OUTSB asks once per byte', () => {
    const user = ported([0xf3, 0x6e], { 1: 3, 2: 0xe9, 6: DATA_AT });
    let asked = 1;
    user.cpu.completeIo(0);
    while (user.cpu.eip === CODE_AT && user.cpu.run(100) === EXIT_IO) {
      asked++;
      user.cpu.completeIo(0);
    }
    expect([asked, user.cpu.regs[1], user.cpu.regs[6]]).toEqual([3, 0, DATA_AT + 3]);
  });

  test('REP INSD faults before the device is asked if the destination is not writable', () => {
    const user = new UserCpu();
    user.load(caseOf([0xf3, 0x6d], { 1: 3, 2: 0x1f0, 7: DATA_AT + 0x1ffe }));
    user.cpu.systemFlags |= 0x3000;
    user.cpu.interceptExceptions = -1;
    user.cpu.run(1000);
    expect(user.cpu).toMatchObject({ exitVector: 14, exitError: 7, exitLin: DATA_AT + 0x2000, eip: CODE_AT });
  });
});

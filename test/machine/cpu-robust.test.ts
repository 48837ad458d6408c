/**
 * No bytes, in whatever mode, make the CPU do anything but execute, fault or exit; and the decoder looks at no more than
 * the fifteen bytes that an instruction may have.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decode } from '../../src/machine/decode.ts';
import {
  EXIT_BUDGET,
  EXIT_HALT,
  EXIT_IO,
  EXIT_TRIPLE_FAULT,
  EXIT_UNIMPLEMENTED,
  VECTOR_GP,
  VECTOR_PF,
  VECTOR_UD,
} from '../../src/machine/exits.ts';
import { CR0_PE, CR0_PG } from '../../src/machine/paging.ts';
import { setRealSegment, setSegment } from '../../src/machine/segments.ts';
import { type Case, CODE_AT, CODE_END, DATA_AT, GDT, SEL_CODE, SEL_DATA } from '../oracle/layout.ts';
import { UserCpu } from './helpers/user-cpu.ts';

const INSN_BYTES = 15;

/** Bytes that are prefixes and escapes more often than chance has it. */
const codeByte = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 255 }) },
  { weight: 1, arbitrary: fc.constantFrom(0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65) },
  { weight: 1, arbitrary: fc.constant(0x0f) },
);
const codeOf = (count: number): fc.Arbitrary<Uint8Array> =>
  fc.array(codeByte, { minLength: count, maxLength: count }).map((list) => Uint8Array.from(list));
const registers = fc
  .array(fc.oneof(fc.integer(), fc.integer({ min: DATA_AT, max: DATA_AT + 0x1fff })), { minLength: 8, maxLength: 8 })
  .map((list) => Int32Array.from(list));

const caseOf = (code: Uint8Array, codeAt: number, regs = new Int32Array(8)): Case => ({
  code,
  codeAt,
  eip: codeAt,
  regs,
  eflags: 0,
  segments: [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0],
  patches: [],
});

/** Length of the instruction at `codeAt`, or minus the vector that decoding it raises. */
function decodedLength(user: UserCpu, code: Uint8Array, codeAt: number): number {
  const c = caseOf(code, codeAt);
  user.load(c);
  try {
    return decode(user.cpu, codeAt, user.codeFrame(codeAt), true).length;
  } catch {
    return -user.cpu.faultVector;
  } finally {
    user.unload(c);
  }
}

describe('the decoder', () => {
  test('needs no byte behind the fifteenth', () => {
    const user = new UserCpu();
    fc.assert(
      fc.property(codeOf(INSN_BYTES), (code) => {
        const length = decodedLength(user, code, CODE_END - INSN_BYTES);
        const isFault = length === -VECTOR_UD || length === -VECTOR_GP;
        expect(isFault || (length > 0 && length <= INSN_BYTES)).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  test('depends on the bytes of the instruction and on no others', () => {
    const user = new UserCpu();
    fc.assert(
      fc.property(codeOf(INSN_BYTES), codeOf(INSN_BYTES), (code, other) => {
        const length = decodedLength(user, code, CODE_AT);
        const used = length > 0 ? length : INSN_BYTES;
        const changed = Uint8Array.from([...code.subarray(0, used), ...other]);
        expect(decodedLength(user, changed, CODE_AT)).toBe(length);
      }),
      { numRuns: 10_000 },
    );
  });

  test('reads the next page only for instructions that reach into it', () => {
    const user = new UserCpu();
    fc.assert(
      fc.property(codeOf(INSN_BYTES), fc.integer({ min: 1, max: INSN_BYTES - 1 }), (code, present) => {
        const length = decodedLength(user, code, CODE_AT);
        const cut = decodedLength(user, code.subarray(0, present), CODE_END - present);
        expect(length > 0 ? cut : length).toBe(length > present ? -VECTOR_PF : length);
      }),
      { numRuns: 10_000 },
    );
  });
});

const FINE = [EXIT_BUDGET, EXIT_HALT, EXIT_UNIMPLEMENTED, EXIT_TRIPLE_FAULT, EXIT_IO];
const PROGRAM_BYTES = 60;

/** Random programs, each on a CPU of its own: what they do to tables and control registers must not meet the next one. */
const survives = (enter: (user: UserCpu) => void): fc.IPropertyWithHooks<[Uint8Array, Int32Array]> =>
  fc.property(codeOf(PROGRAM_BYTES), registers, (code, regs) => {
    const user = new UserCpu();
    user.load(caseOf(code, CODE_AT + 0xfe0, regs));
    enter(user);
    let exit = user.cpu.run(2000);
    for (let n = 0; exit === EXIT_IO && n < 10; n++) {
      user.cpu.completeIo(0xff);
      exit = user.cpu.run(2000);
    }
    expect(FINE).toContain(exit);
    expect(user.cpu.regs[8]).toBe(0);
  });

function enterRing0(user: UserCpu): void {
  user.cpu.setCpl(0);
  setSegment(user.cpu, 1, 0x08, ...GDT[1]!);
  for (const seg of [0, 2, 3]) setSegment(user.cpu, seg, 0x18, ...GDT[3]!);
}

function enterRealMode(user: UserCpu): void {
  const { cpu, physmap } = user;
  cpu.cr0 &= ~(CR0_PE | CR0_PG);
  cpu.setCpl(0);
  cpu.flushTlb(true);
  cpu.idtBase = 0;
  cpu.idtLimit = 0x3ff;
  for (let seg = 0; seg < 6; seg++) {
    cpu.segAttributes[seg] = 0;
    setRealSegment(cpu, seg, seg === 1 ? 0x700 : 0x400);
  }
  cpu.eip = 0;
  cpu.regs[4]! &= 0xffff;
  // In real mode addresses are physical: put the code where CS points.
  const code = Uint8Array.from({ length: PROGRAM_BYTES }, (_, n) => physmap.read8(0x7000 + 0xfe0 + n));
  physmap.write(0x7000, code);
}

const FLAG_VM_IOPL3 = 0x23000;

function enterVirtual(user: UserCpu): void {
  enterRealMode(user);
  const { cpu } = user;
  cpu.cr0 |= CR0_PE;
  cpu.setEflags(FLAG_VM_IOPL3, -1);
  cpu.setCpl(3);
  for (let seg = 0; seg < 6; seg++) setRealSegment(cpu, seg, seg === 1 ? 0x700 : 0x400);
}

test.each([
  ['ring 3', () => {}],
  ['ring 0', enterRing0],
  ['real mode', enterRealMode],
  ['virtual-8086 mode', enterVirtual],
])('random bytes in %s', (_mode, enter) => {
  expect(() => fc.assert(survives(enter), { numRuns: 800 })).not.toThrow();
});

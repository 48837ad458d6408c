/**
 * What user mode on a real CPU cannot show of MMX and SSE: the control bits that switch them off, and how errors are
 * reported without them (SDM vol 3, tables 2-2 and 13-1); saving; and that the short way of the arithmetic is the long one.
 */
import { describe, expect, test } from 'vitest';
import { Streams } from '../../src/core/rng.ts';
import { VECTOR_NM, VECTOR_UD, VECTOR_XM } from '../../src/machine/exits.ts';
import { FPU_STATE_WORDS, Fpu } from '../../src/machine/fpu/fpu.ts';
import { ADD, DIVIDE, MULTIPLY, SUBTRACT, VectorCalc } from '../../src/machine/fpu/vector-calc.ts';
import { CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT } from '../../src/machine/paging.ts';
import { type Case, CODE_AT, DATA_AT, SEL_CODE, SEL_DATA } from '../oracle/layout.ts';
import { UserCpu } from './helpers/user-cpu.ts';

const GP = 13;
/** Of the HLT behind an instruction that did not fault. */
const NONE = GP;

const caseOf = (code: readonly number[]): Case => ({
  code: Uint8Array.from(code),
  codeAt: CODE_AT,
  eip: CODE_AT,
  regs: new Int32Array(8).fill(DATA_AT),
  eflags: 0,
  segments: [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0],
  patches: [],
});

const PXOR = [0x0f, 0xef, 0xc0];
const ADDPS = [0x0f, 0x58, 0xc1];
const PADDB_XMM = [0x66, 0x0f, 0xfc, 0xc1];
const MOVNTI = [0x0f, 0xc3, 0x03];
const FXSAVE = [0x0f, 0xae, 0x03];
const LFENCE = [0x0f, 0xae, 0xe8];
const PREFETCH = [0x0f, 0x18, 0x0b];
const EMMS = [0x0f, 0x77];
const LDMXCSR = [0x0f, 0xae, 0x13];
const EVERYTHING = { PXOR, ADDPS, PADDB_XMM, MOVNTI, FXSAVE, LFENCE, PREFETCH, EMMS, STMXCSR: [0x0f, 0xae, 0x1b] };

/** Exception of each instruction with CR0 bits set and CR4 bits cleared; EIP of a fault is that of the instruction. */
function vectorsWith(cr0: number, cr4: number): Record<string, number> {
  return Object.fromEntries(
    Object.entries(EVERYTHING).map(([name, code]) => {
      const user = new UserCpu();
      user.cpu.cr0 |= cr0;
      user.cpu.cr4 &= ~cr4;
      const { vector, eip } = user.run(caseOf(code));
      expect(eip).toBe(vector === NONE ? CODE_AT + code.length : CODE_AT);
      return [name, vector];
    }),
  );
}
const ALWAYS = { MOVNTI: NONE, LFENCE: NONE, PREFETCH: NONE };

describe('control registers', () => {
  test('as an operating system sets them', () => {
    expect(new Set(Object.values(vectorsWith(0, 0)))).toEqual(new Set([NONE]));
  });
  test('CR0.TS: #NM', () => {
    const nm = Object.fromEntries(Object.keys(EVERYTHING).map((name) => [name, VECTOR_NM]));
    expect(vectorsWith(CR0_TS, 0)).toEqual({ ...nm, ...ALWAYS });
  });
  test('CR0.EM: #UD, and #NM for FXSAVE; it comes before TS', () => {
    const ud = Object.fromEntries(Object.keys(EVERYTHING).map((name) => [name, VECTOR_UD]));
    expect(vectorsWith(CR0_EM, 0)).toEqual({ ...ud, ...ALWAYS, FXSAVE: VECTOR_NM });
    expect(vectorsWith(CR0_EM | CR0_TS, 0)).toEqual({ ...ud, ...ALWAYS, FXSAVE: VECTOR_NM });
  });
  test('CR4.OSFXSR clear: XMM registers are #UD, MMX and FXSAVE are there', () => {
    const none = Object.fromEntries(Object.keys(EVERYTHING).map((name) => [name, NONE]));
    const ud = { ADDPS: VECTOR_UD, PADDB_XMM: VECTOR_UD, STMXCSR: VECTOR_UD };
    expect(vectorsWith(0, CR4_OSFXSR)).toEqual({ ...none, ...ud });
  });
});

/** 1 / 0 with that exception not masked. */
function divideByZero(user: UserCpu): { readonly vector: number; readonly mxcsr: number } {
  const { vector: unit } = user.cpu.fpu;
  unit.mxcsr = 0x1f80 & ~0x200;
  unit.xmm[0] = 0x3f800000;
  unit.xmm[4] = 0;
  const { vector } = user.run(caseOf([0xf3, 0x0f, 0x5e, 0xc1]));
  expect(unit.xmm[0]).toBe(0x3f800000);
  return { vector, mxcsr: unit.mxcsr };
}

test('an error that is not masked is #XM, or #UD without CR4.OSXMMEXCPT; either way its flag is set', () => {
  const user = new UserCpu();
  expect(divideByZero(user)).toEqual({ vector: VECTOR_XM, mxcsr: 0x1d84 });
  user.cpu.cr4 &= ~CR4_OSXMMEXCPT;
  expect(divideByZero(user)).toEqual({ vector: VECTOR_UD, mxcsr: 0x1d84 });
});

test('a reserved bit of MXCSR is #GP and changes nothing', () => {
  const user = new UserCpu();
  const patches = [{ at: DATA_AT, bytes: Uint8Array.from([0x80, 0x1f, 1, 0]) }];
  expect(user.run({ ...caseOf(LDMXCSR), patches })).toMatchObject({ vector: GP, error: 0, eip: CODE_AT });
  expect(user.cpu.fpu.vector.mxcsr).toBe(0x1f80);
});

test('MMX registers are those of the stack, and EMMS empties it', () => {
  const user = new UserCpu();
  const { fpu } = user.cpu;
  fpu.initialize();
  fpu.top = 5;
  user.run(caseOf([0x0f, 0x6e, 0xd8])); // MOVD MM3,EAX
  expect([fpu.signExp[3], fpu.high[3], fpu.low[3], fpu.top, fpu.empty]).toEqual([0xffff, 0, DATA_AT, 0, 0]);
  user.run(caseOf(EMMS));
  expect([fpu.top, fpu.empty]).toEqual([0, 0xff]);
});

test('the state is saved with that of the x87 unit', () => {
  const [a, b] = [new Fpu(), new Fpu()];
  a.vector.xmm.forEach((_, n) => {
    a.vector.xmm[n] = n * 0x1234567;
  });
  a.vector.mxcsr = 0x9fa1;
  const words = new Int32Array(FPU_STATE_WORDS);
  a.saveTo(words);
  b.restoreFrom(words);
  expect(b.vector.xmm).toEqual(a.vector.xmm);
  expect(b.vector.mxcsr).toBe(0x9fa1);
});

/** With PE set and masked the host's arithmetic answers; with it clear, the integer one does. */
test.each([ADD, SUBTRACT, MULTIPLY, DIVIDE])('the short way gives the same as the long way: operation %i', (op) => {
  const [short, long] = [new VectorCalc(), new VectorCalc()];
  const rng = new Streams(4).stream(`operation ${op}`);
  for (let n = 0; n < 20_000; n++) {
    const near = (): number => (rng.uint32() & 0x800fffff) | ((0x3c0 + rng.below(0x80)) << 20);
    const any = (): number => (rng.chance(1, 4) ? rng.uint32() : near()) | 0;
    const [aHi, bHi, aLo, bLo] = [any(), any(), rng.uint32() | 0, rng.uint32() | 0];
    for (const calc of [short, long]) calc.begin(calc === short ? 0x1fa0 : 0x1f80);
    for (const calc of [short, long]) calc.op64(op, aHi, aLo, bHi, bLo);
    expect([short.hi, short.lo, short.ex | 0x20]).toEqual([long.hi, long.lo, long.ex | 0x20]);
    for (const calc of [short, long]) calc.op32(op, aHi, bHi);
    expect([short.lo, short.ex | 0x20]).toEqual([long.lo, long.ex | 0x20]);
  }
});

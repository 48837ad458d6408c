/**
 * Code that changes while it runs: whatever way its bytes are written, the next fetch sees them, as on every x86 since
 * the P6 (SDM vol 3, 8.1.3 and 11.6).
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { littleEndian } from '../oracle/draft.ts';
import { type Case, CODE_AT, DATA_AT, type Outcome, SEL, SEL_CODE, SEL_DATA } from '../oracle/layout.ts';
import { CODE_ALIAS, UserCpu } from './helpers/user-cpu.ts';

const NOP = 0x90;
const word = (value: number): number[] => littleEndian(value, 4);
/** MOV BYTE [at], value */
const poke = (at: number, value: number): number[] => [0xc6, 0x05, ...word(at), value];
const twelve = (opcode: number): number[] => Array.from({ length: 12 }, () => opcode);
const INC_EAX = 0x40;
const DEC_ECX = 0x49;

let user: UserCpu;
beforeEach(() => {
  user = new UserCpu({ writableCode: true });
});

function run(code: readonly number[], regs: Partial<Record<number, number>> = {}, codeAt = CODE_AT): Outcome {
  const initial = new Int32Array(8);
  initial[4] = DATA_AT + 0x1000;
  for (const [r, value] of Object.entries(regs)) initial[Number(r)] = value!;
  const c: Case = {
    code: Uint8Array.from(code),
    codeAt,
    eip: codeAt,
    regs: initial,
    eflags: 0,
    segments: [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0],
    patches: [],
  };
  const outcome = user.run(c);
  expect(outcome.vector).toBe(13);
  return outcome;
}

describe('a write to', () => {
  test('the next instruction', () => {
    const first = poke(CODE_AT + 8, 0x2a);
    expect(run([...first, 0xb0, 0x11]).regs[0]).toBe(0x2a);
  });

  test('the next instruction through another linear address', () => {
    expect(run([...poke(CODE_ALIAS + 8, 0x2a), 0xb0, 0x11]).regs[0]).toBe(0x2a);
  });

  test('an instruction that ran before', () => {
    // loop: INC EAX; MOV BYTE [loop], DEC ECX's opcode; DEC EBX; JNZ loop
    const code = [INC_EAX, ...poke(CODE_AT, DEC_ECX), 0x4b, 0x75, 0xf5];
    const { regs } = run(code, { 3: 3 });
    expect([regs[0], regs[1]]).toEqual([1, -2]);
  });

  test('the second page of an instruction', () => {
    const at = CODE_AT + 0x1000 - 9;
    // MOV BYTE [page 2], 7; then B8 imm32 with the immediate in page 2 from its second byte on
    const { regs } = run([...poke(CODE_AT + 0x1000, 7), 0xb8, 1, 2, 3, 4], {}, at);
    expect(regs[0]).toBe(0x04030701);
  });

  test('a straddling instruction that ran before', () => {
    const at = CODE_AT + 0x1000 - 1;
    // loop: ADD EAX,imm8 (83 C0 imm); MOV BYTE [imm], 5; DEC EBX; JNZ loop
    const { regs } = run([0x83, 0xc0, 1, ...poke(at + 2, 5), 0x4b, 0x75, 0xf3], { 3: 3 }, at);
    expect(regs[0]).toBe(11);
  });

  test('the code behind a REP STOS', () => {
    // REP STOSB fills the twelve INC ECX behind it with NOPs.
    const { regs } = run([0xf3, 0xaa, ...twelve(0x41)], { 0: NOP, 1: 12, 7: CODE_AT + 2 });
    expect(regs[1]).toBe(0);
  });

  test('the code behind a REP MOVS', () => {
    const code = [0xf3, 0xa4, ...twelve(0x41), 0xeb, 12, ...twelve(NOP)];
    const { regs } = run(code, { 1: 12, 6: CODE_AT + 16, 7: CODE_AT + 2 });
    expect(regs[1]).toBe(0);
  });

  test('the code behind a PUSH', () => {
    // The stack grows down over the instruction behind PUSH EAX.
    const { regs } = run([0x50, 0x41, 0x41, 0x41, 0x41], { 0: 0x90909090 | 0, 4: CODE_AT + 5 });
    expect(regs[1]).toBe(0);
  });

  test('the code behind a read-modify-write', () => {
    // XOR BYTE [next], 0x41 ^ 0x90 turns INC ECX into NOP.
    expect(run([0x80, 0x35, ...word(CODE_AT + 7), 0x41 ^ NOP, 0x41]).regs[1]).toBe(0);
  });

  test('data beside code leaves the code alone', () => {
    const { regs } = run([...poke(CODE_AT + 0x800, 1), INC_EAX]);
    expect(regs[0]).toBe(1);
  });
});

test('the same bytes as 32-bit and as 16-bit code', () => {
  // B8 34 12 40 40: MOV EAX,imm32, or MOV AX,imm16; INC AX; INC AX
  const code = [0xb8, 0x34, 0x12, INC_EAX, INC_EAX];
  const c = (selector: number): Case => ({
    code: Uint8Array.from(code),
    codeAt: CODE_AT,
    eip: CODE_AT,
    regs: new Int32Array(8),
    eflags: 0,
    segments: [SEL_DATA, selector, SEL_DATA, SEL_DATA, 0, 0],
    patches: [],
  });
  for (let round = 0; round < 2; round++) {
    expect(user.run(c(SEL_CODE)).regs[0]).toBe(0x40401234);
    expect(user.run(c(SEL.code16Flat)).regs[0]).toBe(0x1236);
  }
});

test('an instruction decoded under a large limit still obeys a small one', () => {
  const at = CODE_AT + 0xffe;
  const c = (selector: number, eip: number): Case => ({
    code: Uint8Array.from([0xb8, 1, 2, 3, 4]),
    codeAt: at,
    eip,
    regs: new Int32Array(8),
    eflags: 0,
    segments: [SEL_DATA, selector, SEL_DATA, SEL_DATA, 0, 0],
    patches: [],
  });
  // Load once and run twice: the decoded form stays.
  user.load(c(SEL_CODE, at));
  user.cpu.run(1);
  expect(user.cpu.regs[0]).toBe(0x04030201);
  expect(user.run(c(SEL.codeSmall, 0xffe))).toMatchObject({ vector: 13, error: 0, eip: 0xffe });
});

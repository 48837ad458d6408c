/**
 * The stack in compiled code: words that lie across a page boundary are not taken for words of the page that was used
 * last, and returns and indirect calls that go elsewhere than the last time are not sent to the old place.
 */
import { expect, it } from 'vitest';
import { CODE_AT, STACK_MIDDLE, World } from '../../fuzz/world.ts';
import { littleEndian } from '../../oracle/draft.ts';
import { Coverage } from '../helpers/coverage.ts';

const BUDGET = 100_000;
const ROUNDS = 500;

function run(code: readonly number[], compiled: boolean): { world: World; covered: number } {
  const options = { ring: 0, truncated: false, alignment: false, intercepts: 0, landing: CODE_AT, compiled };
  const world = new World(options);
  world.loadCode(CODE_AT, Uint8Array.from(code));
  world.codeCache.hotAfter = 1;
  const coverage = compiled ? new Coverage(world.cpu) : null;
  world.cpu.run(BUDGET);
  return { world, covered: coverage?.instructions ?? 0 };
}

const hex = (bytes: string): number[] => bytes.split(' ').map((byte) => Number.parseInt(byte, 16));
const mov = (register: number, value: number): number[] => [0xb8 + register, ...littleEndian(value, 4)];

it.each([1, 2, 3, 4, 6])('pushes and pops across a page boundary, %i bytes off it', (off) => {
  // Above the boundary, across it and below it: what was pushed comes back in the other order.
  const code = [
    ...mov(1, ROUNDS),
    ...mov(3, 0),
    ...mov(4, STACK_MIDDLE + off + 4),
    ...hex('51 41 51 41 51'), // push ecx; inc ecx; push ecx; inc ecx; push ecx
    ...hex('58 5a 5f'), // pop eax; pop edx; pop edi
    ...hex('01 c3 29 d3'), // add ebx, eax; sub ebx, edx: one more each round
    ...hex('83 e9 03 75 ea'), // sub ecx, 3; jnz to the load of ESP
    ...hex('f4'),
  ];
  const { world, covered } = run(code, true);
  const { world: reference } = run(code, false);
  expect(world.cpu.regs[3]).toBe(ROUNDS);
  // The words across the boundary are the interpreter's, and so are all behind them.
  expect(covered).toBeGreaterThan(world.cpu.count / 5);
  expect([...world.cpu.regs]).toEqual([...reference.cpu.regs]);
  expect(world.mmus[0]!.dtlb.misses).toBe(reference.mmus[0]!.dtlb.misses);
  expect(world.cpu.cycles).toBe(reference.cpu.cycles);
});

it('an indirect call and its return follow their targets when those change', () => {
  const [first, second] = [CODE_AT + 0x80, CODE_AT + 0x90];
  const code: number[] = [
    ...mov(1, ROUNDS),
    ...mov(3, 0),
    ...mov(6, first),
    ...mov(7, first ^ second),
    ...mov(4, STACK_MIDDLE),
    ...hex('ff d6'), // call esi
    ...hex('f6 c1 03 75 02 31 fe'), // test cl, 3; jnz over; xor esi, edi
    ...hex('49 75 f4'), // dec ecx; jnz to the call
    ...hex('f4'),
  ];
  while (code.length < 0x80) code.push(0xcc);
  code.push(0x83, 0xc3, 0x01, 0xc3); // add ebx, 1; ret
  while (code.length < 0x90) code.push(0xcc);
  code.push(0x81, 0xc3, ...littleEndian(0x10000, 4), 0xc3); // add ebx, 0x10000; ret
  const { world, covered } = run(code, true);
  const { world: reference } = run(code, false);
  // The target changes behind every round whose number is a multiple of four, counted from the end.
  let [expected, isFirst] = [0, true];
  for (let round = ROUNDS; round > 0; round--) {
    expected += isFirst ? 1 : 0x10000;
    if ((round & 3) === 0) isFirst = !isFirst;
  }
  expect(world.cpu.regs[3]).toBe(expected);
  expect(covered).toBeGreaterThan(world.cpu.count / 2);
  expect([...world.cpu.regs]).toEqual([...reference.cpu.regs]);
  expect(world.cpu.count).toBe(reference.cpu.count);
  expect(world.cpu.cycles).toBe(reference.cpu.cycles);
});

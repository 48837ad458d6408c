/**
 * Every register form of every instruction that sets arithmetic flags, behind others that leave each kind of deferred
 * flags, and in front of all sixteen conditions and PUSHF: compiled code against the interpreter, for edge operands.
 * A single instruction's flags are compared with a real CPU elsewhere; this is about what compiled code knows of them.
 */
import { describe, expect, it } from 'vitest';
import { type RandomStream, Streams } from '../../../src/core/rng.ts';
import { FLAGS_ARITHMETIC } from '../../../src/machine/flags.ts';
import type { Row } from '../../../src/machine/isa/row.ts';
import { ISA } from '../../../src/machine/isa/table.ts';
import { CODE_AT, DATA_AT, World } from '../../fuzz/world.ts';
import { bytesOf } from '../../oracle/compare.ts';
import { littleEndian } from '../../oracle/draft.ts';
import { shiftCount, valueIn } from '../../oracle/values.ts';
import { Coverage } from '../helpers/coverage.ts';

const SETTERS = (
  'ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG SHL SHR SAR ROL ROR RCL RCR SHLD SHRD IMUL MUL BT BTS BTR BTC BSF BSR ' +
  'XADD CMPXCHG CMC STC CLC SAHF NOT DIV IDIV'
).split(' ');
const isSetter = (row: Row): boolean => SETTERS.includes(row.mnemonic) && !row.opcode.startsWith('82');
const ROWS = ISA.filter(isSetter);

/** Forms whose flags compiled code keeps in each of its ways: deferred by kind and width, explicit, or looked up. */
const FIRST = [
  '01',
  '00',
  '29',
  '28',
  '40+r',
  '48+r',
  'FE /0',
  'FE /1',
  '21',
  'C1 /4',
  'C1 /5',
  'D3 /4',
  'C1 /0',
  '0F BA /4',
];
const FIRST_ROWS = ROWS.filter(({ opcode }) => FIRST.includes(opcode));

const pick = <T>(rng: RandomStream, list: readonly T[]): T => list[rng.below(list.length)]!;

/** Machine code of a row's register form: operands among EAX, ECX, EDX and their halves. */
function encode(rng: RandomStream, row: Row, is16: boolean): number[] {
  const parts = row.opcode.split(' ');
  const opcode = parts.filter((part) => !part.startsWith('/')).map((part) => Number.parseInt(part, 16));
  if (row.opcode.includes('+r')) opcode[opcode.length - 1]! += rng.below(3);
  const register = (): number => (row.byte ? pick(rng, [0, 1, 2, 4, 5, 6]) : rng.below(3));
  const extension = parts.find((part) => part.startsWith('/'));
  const hasModrm = extension !== undefined || row.operands.some((o) => /^[EG][bvw]$/.test(o));
  const reg = extension === undefined ? register() : Number(extension.slice(1));
  const code = [...(is16 ? [0x66] : []), ...opcode, ...(hasModrm ? [0xc0 | (reg << 3) | register()] : [])];
  const isCount = /^(SH|SA|RO|RC|BT)/.test(row.mnemonic);
  for (const notation of row.operands) {
    if (notation === 'Ib') code.push((isCount ? shiftCount(rng) : valueIn(rng, 8)) & 0xff);
    else if (notation === 'Iz') code.push(...littleEndian(valueIn(rng, 32), is16 ? 2 : 4));
  }
  return code;
}

/** SETcc [esi + cc] for all conditions, PUSHF, POP [esi + 16], HLT. */
const CONSUMERS = [
  ...Array.from({ length: 16 }, (_, cc) => [0x0f, 0x90 | cc, 0x46, cc]).flat(),
  0x9c,
  0x8f,
  0x46,
  16,
  0xf4,
];
const OPERANDS = 24;

/** #DE, #SS, #GP and #PF leave run(). */
const FAULTS = 0x7001;

/** The end of a block, or nothing. */
const edge = (rng: RandomStream): readonly number[] => pick(rng, [[], [0xeb, 0], [0x75, 0]]);

class Pair {
  private readonly worlds = [false, true].map(
    (compiled) =>
      new World({ ring: 0, truncated: false, alignment: false, intercepts: FAULTS, landing: CODE_AT, compiled }),
  );
  readonly coverage = new Coverage(this.worlds[1]!.cpu);

  /** Loads code, has it decoded and then compiled. */
  load(code: readonly number[]): void {
    for (const world of this.worlds) {
      world.loadCode(CODE_AT, Uint8Array.from(code));
      this.start(world, [0, 1, 0], 0);
      world.cpu.run(10_000);
      world.cpu.eip = CODE_AT;
      const { compiled } = world.mmus[0]!.findCode(CODE_AT, 2)!;
      compiled.kills = 0;
      compiled.banned = false;
      world.codeCache.compiler?.request(world.cpu);
    }
  }

  /** @param operands registers from EAX on; by default the stack and ESI are in the data */
  private start({ cpu }: World, operands: readonly number[], eflags: number): void {
    for (let r = 4; r < 8; r++) cpu.regs[r] = DATA_AT + (r === 6 ? 0 : 0x800);
    cpu.regs.set(operands);
    cpu.eip = CODE_AT;
    cpu.setEflags(eflags, FLAGS_ARITHMETIC);
  }

  /** What both engines leave of the same start: registers and what the conditions stored. */
  run(operands: readonly number[], eflags: number): string[] {
    return this.worlds.map((world) => {
      const { cpu } = world;
      this.start(world, operands, eflags);
      const before = cpu.instructions;
      cpu.run(10_000);
      const results = Array.from({ length: 5 }, (_, n) => cpu.read32(DATA_AT + 4 * n));
      return [...cpu.regs.slice(0, 8), cpu.eip, cpu.getEflags(), cpu.instructions - before, ...results].join(' ');
    });
  }
}

const cases = ROWS.flatMap((row) => (row.byte ? [false] : [false, true]).map((is16) => ({ row, is16 })));
const mnemonics = [...new Set(ROWS.map(({ mnemonic }) => mnemonic))];

describe('flags that an instruction finds and leaves', () => {
  const pair = new Pair();

  it.each(mnemonics)('%s', (mnemonic) => {
    const rng = new Streams(1).stream(`flag pairs ${mnemonic}`);
    for (const { row, is16 } of cases.filter((one) => one.row.mnemonic === mnemonic)) {
      for (const before of [null, ...FIRST_ROWS]) {
        const first = before === null ? [] : encode(rng, before, !before.byte && rng.chance(1, 3));
        // CL is what it was at the start, zero, or something else.
        const count = rng.chance(1, 3) ? [] : [0xb1, rng.chance(1, 2) ? 0 : shiftCount(rng)];
        // What is known of the flags must also be known in the next block.
        const setter = [...edge(rng), ...count, ...encode(rng, row, is16)];
        // Either before the consumers, or in a function behind them that they call.
        const called = [...first, 0xe8, ...littleEndian(CONSUMERS.length, 4), ...CONSUMERS, ...setter, 0xc3];
        const code = rng.chance(1, 4) ? called : [...first, ...setter, ...edge(rng), ...CONSUMERS];
        pair.load(code);
        for (let n = 0; n < OPERANDS; n++) {
          const operands = [valueIn(rng, 32), valueIn(rng, 32), valueIn(rng, 32)];
          const eflags = rng.uint32() & FLAGS_ARITHMETIC;
          const [expected, seen] = pair.run(operands, eflags);
          if (seen === expected) continue;
          expect(seen, `${bytesOf(Uint8Array.from(code))} with ${operands.join(' ')} flags ${eflags}`).toBe(expected);
        }
      }
    }
  });

  it('nearly everything was compiled', () => {
    expect(pair.coverage.entries).toBeGreaterThan(0.9 * OPERANDS * cases.length * FIRST_ROWS.length);
  });
});

/** Instructions that fault when ECX is 0 and the pointers are bad. */
const FAULTING = {
  'div ecx': [0xf7, 0xf1],
  'idiv ecx': [0xf7, 0xf9],
  'push eax': [0x50],
  'push 1': [0x6a, 1],
  'push [edi]': [0xff, 0x37],
  'pop eax': [0x58],
  leave: [0xc9],
  pusha: [0x60],
  popa: [0x61],
  'push fs': [0x0f, 0xa0],
  'pop fs': [0x0f, 0xa1],
  'mov eax, [edi]': [0x8b, 0x07],
  'mov [edi], al': [0x88, 0x07],
  'add eax, [edi]': [0x03, 0x07],
  'lock inc [edi]': [0xf0, 0xff, 0x07],
  'sete [edi]': [0x0f, 0x94, 0x07],
  'cmove eax, [edi]': [0x0f, 0x44, 0x07],
  'mov es, [edi]': [0x8e, 0x07],
  'call [edi]': [0xff, 0x17],
  ret: [0xc3],
  lods: [0xac],
} as const;

it.each(Object.entries(FAULTING))(
  'flags are there when %s faults, although the next instruction sets them',
  (_name, bytes) => {
    const pair = new Pair();
    const rng = new Streams(1).stream('faults');
    const bad = 0x00fff000;
    for (const row of ROWS.filter(({ lockable, mnemonic }) => !lockable || mnemonic !== 'XADD')) {
      if (/^(DIV|IDIV|MUL)$/.test(row.mnemonic)) continue;
      // cmp eax, eax; hlt. The first time nothing faults, so that all of it is decoded.
      pair.load([...encode(rng, row, false), ...bytes, 0x39, 0xc0, 0xf4]);
      for (let n = 0; n < 4; n++) {
        const operands = [valueIn(rng, 32), 0, valueIn(rng, 32), valueIn(rng, 32), bad, bad, bad, bad];
        const [expected, seen] = pair.run(operands, rng.uint32() & FLAGS_ARITHMETIC);
        expect(seen).toBe(expected);
      }
    }
  },
);

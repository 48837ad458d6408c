/**
 * Random straight-line programs of up to twenty instructions, with forward jumps, for what single instructions cannot
 * show: flags that one leaves and another reads, memory written and read again, decoded code after code.
 * Invariants: ESI, EDI and EBP stay near the middle of the data area and ESP moves by pushes and pops only, so nearly
 * all accesses hit; where an instruction leaves flags undefined another defines them before anything reads them, but
 * for AF, which nothing here reads and comparisons of streams ignore.
 */
import { type RandomStream, Streams } from '../../src/core/rng.ts';
import { FLAG_AF } from '../../src/machine/flags.ts';
import { aluRows } from '../../src/machine/isa/alu.ts';
import { bitRows } from '../../src/machine/isa/bits.ts';
import { controlRows } from '../../src/machine/isa/control.ts';
import { dataRows } from '../../src/machine/isa/data.ts';
import type { Row } from '../../src/machine/isa/row.ts';
import { stringRows } from '../../src/machine/isa/strings.ts';
import { littleEndian } from './draft.ts';
import { type Case, CODE_AT, DATA_AT, SEL_CODE, SEL_DATA } from './layout.ts';
import { valueIn } from './values.ts';

const LENGTH_MAX = 20;
/** Row flags that a CMP behind the instruction has to define again. AF alone is left open. */
const needsDefinition = (row: Row): boolean => (row.undefinedFlags & ~FLAG_AF) !== 0;

/**
 * Mnemonics in use, listed so that a new row does not change the stored streams. Left out are those that read AF, move
 * the pointers, load segments, or only look at memory.
 */
const MNEMONICS = new Set(
  (
    'ADD OR ADC SBB AND SUB XOR CMP ROL ROR RCL RCR SHL SHR SAR INC DEC TEST NOT NEG MUL IMUL DIV IDIV CBW CWD AAM AAD ' +
    'SAHF BT BTS BTR BTC BSF BSR SHLD SHRD NOP MOV MOVZX MOVSX XCHG XADD CMPXCHG CMPXCHG8B BSWAP PUSH POP PUSHA SALC ' +
    'MOVS CMPS STOS LODS SCAS'
  ).split(' '),
);
/** CMOVcc, SETcc. */
const CONDITIONAL = /^(CMOV|SET)/;
/** A bit number in a register reaches far beyond the data area. */
const reachesFar = (row: Row): boolean => row.mnemonic.startsWith('BT') && row.operands[1] === 'Gv';
const usable = (row: Row): boolean =>
  row.class === 'user' && (MNEMONICS.has(row.mnemonic) || CONDITIONAL.test(row.mnemonic)) && !reachesFar(row);
/** Undefined with 16-bit operands, always or for large counts. */
const ONLY32 = ['BSWAP', 'SHLD', 'SHRD'];
const JUMP = /^(J[A-Z]+)$/;

const ROWS: readonly Row[] = [...aluRows, ...bitRows, ...dataRows, ...stringRows].filter(usable);
const JUMPS: readonly Row[] = controlRows.filter(
  (row) => JUMP.test(row.mnemonic) && row.operands[0] === 'Jb' && row.mnemonic !== 'JCXZ',
);

const pick = <T>(rng: RandomStream, list: readonly T[]): T => list[rng.below(list.length)]!;

/** The ModRM bytes of a memory operand near the middle of the data area. */
function memoryBytes(rng: RandomStream, reg: number): number[] {
  const near = (): number => rng.below(0x60) - 0x30;
  switch (rng.below(5)) {
    case 0:
      return [(reg << 3) | 5, ...littleEndian(DATA_AT + 0x400 + rng.below(0x1800), 4)];
    case 1:
      return [0x40 | (reg << 3) | pick(rng, [5, 6, 7]), near() & 0xff];
    case 2:
      return [0x80 | (reg << 3) | pick(rng, [5, 6, 7]), ...littleEndian(rng.below(0x400) - 0x200, 4)];
    case 3:
      return [(reg << 3) | pick(rng, [6, 7])];
    default:
      return [0x40 | (reg << 3) | 4, 0x24, near() & 0xff];
  }
}

/** Machine code of one instruction: random operands among EAX, ECX, EDX, EBX and memory. */
function instruction(rng: RandomStream, row: Row): number[] {
  const is16 = !row.byte && !ONLY32.includes(row.mnemonic) && rng.chance(1, 5);
  const width = row.byte ? 8 : is16 ? 16 : 32;
  const parts = row.opcode.split(' ').filter((part) => !part.startsWith('/'));
  const opcode = parts.map((part) => Number.parseInt(part, 16));
  const few = (notation: string): number => (notation[1] === 'b' ? rng.below(8) : rng.below(4));
  if (parts.at(-1)!.endsWith('+r'))
    opcode[opcode.length - 1]! += row.operands[0] === 'Zb' ? rng.below(8) : rng.below(4);
  const code = [...(is16 ? [0x66] : []), ...opcode];
  const extension = / \/(\d)/.exec(row.opcode)?.[1];
  const g = row.operands.find((o) => /^G[bvw]$/.test(o));
  const e = row.operands.find((o) => /^[EM][bvwdq]?$/.test(o));
  if (e !== undefined) {
    const reg = extension === undefined ? few(g ?? 'Gv') : Number(extension);
    const memory = e[0] === 'M' || rng.chance(1, 2);
    code.push(...(memory ? memoryBytes(rng, reg) : [0xc0 | (reg << 3) | few(e)]));
  }
  for (const notation of row.operands) {
    if (notation === 'Ib') code.push(valueIn(rng, 8) & 0xff);
    else if (notation === 'Iz' || notation === 'Iv') code.push(...littleEndian(valueIn(rng, width), width >> 3));
    else if (notation[0] === 'O') code.push(...littleEndian(DATA_AT + 0x400 + rng.below(0x1800), 4));
  }
  return code;
}

/** CMP r32,r32: defines every arithmetic flag. */
const compare = (rng: RandomStream): number[] => [0x39, 0xc0 | rng.below(8) | (rng.below(8) << 3)];

/** One program: groups of instructions, and jumps that skip whole groups. */
function stream(rng: RandomStream): Case {
  const groups: number[][] = [];
  const jumps: boolean[] = [];
  const length = 1 + rng.below(LENGTH_MAX);
  for (let n = 0; n < length; n++) {
    const row = rng.chance(1, 8) ? pick(rng, JUMPS) : pick(rng, ROWS);
    if (JUMPS.includes(row)) groups.push([Number.parseInt(row.opcode, 16), 0]);
    else groups.push([...instruction(rng, row), ...(needsDefinition(row) ? compare(rng) : [])]);
    jumps.push(JUMPS.includes(row));
  }
  groups.forEach((group, n) => {
    if (!jumps[n]) return;
    const skipped = groups.slice(n + 1, n + 1 + rng.below(4)).reduce((sum, g) => sum + g.length, 0);
    group[1] = Math.min(skipped, 127);
  });
  const regs = Int32Array.from({ length: 8 }, () => valueIn(rng, 32));
  regs[4] = DATA_AT + 0x1000 + 4 * rng.below(0x40);
  regs[5] = DATA_AT + 0x900 + rng.below(0x200);
  regs[6] = DATA_AT + 0x900 + rng.below(0x200);
  regs[7] = DATA_AT + 0x1400 + rng.below(0x200);
  const codeAt = CODE_AT + rng.below(0x1f00 - 20 * 16);
  return {
    code: Uint8Array.from(groups.flat()),
    codeAt,
    eip: codeAt,
    regs,
    eflags: rng.uint32() & 0x8d5,
    segments: [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0],
    patches: [],
  };
}

/** `count` programs of a seed. */
export function streamsOf(seed: number, count: number): Case[] {
  const rng = new Streams(seed).stream('streams');
  return Array.from({ length: count }, () => stream(rng));
}

/**
 * RV32IM once more, for tests: written from the manual's tables of formats and semantics with exact integers, sharing
 * nothing with the emulator. It knows memory from 0x10000, and the system calls write and exit.
 * Source: The RISC-V Instruction Set Manual, volume I, version 20191213: 2.2 to 2.8, 7.1, 7.2, table 24.2.
 */

export const BASE = 0x10000;
export const BYTES = 4 << 20;

export interface Rv32End {
  readonly console: Uint8Array;
  /** Exit code, or what went wrong and where. */
  readonly exit: number | string;
  readonly instructions: number;
  /** As after the last instruction. */
  readonly registers: readonly number[];
}

const signed = (value: bigint): bigint => BigInt.asIntN(32, value);
const unsigned = (value: bigint): bigint => BigInt.asUintN(32, value);
const ALL_ONES = 2n ** 32n - 1n;

/** funct3 of OP and OP-IMM. */
const ARITHMETIC: readonly ((a: bigint, b: bigint) => bigint)[] = [
  (a, b) => a + b,
  (a, b) => a << (b & 31n),
  (a, b) => (signed(a) < signed(b) ? 1n : 0n),
  (a, b) => (a < b ? 1n : 0n),
  (a, b) => a ^ b,
  (a, b) => a >> (b & 31n),
  (a, b) => a | b,
  (a, b) => a & b,
];

/** funct3 of the M extension; BigInt division rounds towards zero, as the manual wants. */
const MULTIPLICATIVE: readonly ((a: bigint, b: bigint) => bigint)[] = [
  (a, b) => a * b,
  (a, b) => (signed(a) * signed(b)) >> 32n,
  (a, b) => (signed(a) * b) >> 32n,
  (a, b) => (a * b) >> 32n,
  (a, b) => (b === 0n ? ALL_ONES : signed(a) / signed(b)),
  (a, b) => (b === 0n ? ALL_ONES : a / b),
  (a, b) => (b === 0n ? a : signed(a) % signed(b)),
  (a, b) => (b === 0n ? a : a % b),
];

const BRANCHES: readonly (((a: bigint, b: bigint) => boolean) | null)[] = [
  (a, b) => a === b,
  (a, b) => a !== b,
  null,
  null,
  (a, b) => signed(a) < signed(b),
  (a, b) => signed(a) >= signed(b),
  (a, b) => a < b,
  (a, b) => a >= b,
];

/** Immediates of the formats, by bit ranges of the instruction: [high, low, shift]; the first holds the sign. */
const I_FORMAT = [[31, 20, 0]] as const;
const S_FORMAT = [
  [31, 25, 5],
  [11, 7, 0],
] as const;
const B_FORMAT = [
  [31, 31, 12],
  [7, 7, 11],
  [30, 25, 5],
  [11, 8, 1],
] as const;
const J_FORMAT = [
  [31, 31, 20],
  [19, 12, 12],
  [20, 20, 11],
  [30, 21, 1],
] as const;

function bits(word: bigint, high: number, low: number): bigint {
  return (word >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
}

function immediate(word: bigint, format: readonly (readonly [number, number, number])[]): bigint {
  const [high, low, shift] = format[0]!;
  const width = high - low + 1 + shift;
  const value = format.reduce((sum, [h, l, at]) => sum | (bits(word, h, l) << BigInt(at)), 0n);
  return BigInt.asIntN(width, value);
}

class Fault extends Error {}
class Exit extends Error {
  readonly code: number;
  constructor(code: number) {
    super('exit');
    this.code = code;
  }
}

/** Runs code that is loaded at BASE, with registers all zero but sp, for at most `most` instructions. */
export function runReference(image: Uint8Array, sp: number, most = 100_000): Rv32End {
  const memory = new DataView(new ArrayBuffer(BYTES));
  new Uint8Array(memory.buffer).set(image);
  const x = Array.from({ length: 32 }, () => 0n);
  x[2] = BigInt(sp);
  const console: number[] = [];
  let pc = BigInt(BASE);
  let instructions = 0;

  const at = (address: bigint, bytes: number, kind: string): number => {
    const offset = Number(address) - BASE;
    if (offset < 0 || offset + bytes > BYTES) throw new Fault(`${kind} access fault ${hex(address)}`);
    return offset;
  };
  const target = (address: bigint): bigint => {
    if (address % 4n !== 0n) throw new Fault(`misaligned instruction address ${hex(address)}`);
    return address;
  };

  /** One instruction; returns the next pc. */
  const step = (): bigint => {
    const word = BigInt(memory.getUint32(at(pc, 4, 'instruction'), true));
    const illegal = (): Fault => new Fault(`illegal instruction ${hex(word)}`);
    const [rd, rs1, rs2] = [bits(word, 11, 7), bits(word, 19, 15), bits(word, 24, 20)].map(Number) as [
      number,
      number,
      number,
    ];
    const funct3 = Number(bits(word, 14, 12));
    const funct7 = bits(word, 31, 25);
    const [a, b] = [x[rs1]!, x[rs2]!];
    const write = (value: bigint): void => {
      if (rd !== 0) x[rd] = unsigned(value);
    };
    switch (bits(word, 6, 0)) {
      case 0b0110111n:
        write(word & ~0xfffn);
        break;
      case 0b0010111n:
        write(pc + (word & ~0xfffn));
        break;
      case 0b1101111n: {
        const next = target(unsigned(pc + immediate(word, J_FORMAT)));
        write(pc + 4n);
        return next;
      }
      case 0b1100111n: {
        if (funct3 !== 0) throw illegal();
        const next = target(unsigned(a + immediate(word, I_FORMAT)) & ~1n);
        write(pc + 4n);
        return next;
      }
      case 0b1100011n: {
        const condition = BRANCHES[funct3] ?? null;
        if (condition === null) throw illegal();
        if (condition(a, b)) return target(unsigned(pc + immediate(word, B_FORMAT)));
        break;
      }
      case 0b0000011n: {
        const address = unsigned(a + immediate(word, I_FORMAT));
        if (funct3 === 0) write(BigInt(memory.getInt8(at(address, 1, 'load'))));
        else if (funct3 === 1) write(BigInt(memory.getInt16(at(address, 2, 'load'), true)));
        else if (funct3 === 2) write(BigInt(memory.getInt32(at(address, 4, 'load'), true)));
        else if (funct3 === 4) write(BigInt(memory.getUint8(at(address, 1, 'load'))));
        else if (funct3 === 5) write(BigInt(memory.getUint16(at(address, 2, 'load'), true)));
        else throw illegal();
        break;
      }
      case 0b0100011n: {
        const address = unsigned(a + immediate(word, S_FORMAT));
        const value = Number(b);
        if (funct3 === 0) memory.setUint8(at(address, 1, 'store'), value & 0xff);
        else if (funct3 === 1) memory.setUint16(at(address, 2, 'store'), value & 0xffff, true);
        else if (funct3 === 2) memory.setUint32(at(address, 4, 'store'), value, true);
        else throw illegal();
        break;
      }
      case 0b0010011n: {
        const operand = unsigned(immediate(word, I_FORMAT));
        if (funct3 === 1 && funct7 !== 0n) throw illegal();
        if (funct3 === 5 && funct7 === 0b0100000n) write(signed(a) >> (operand & 31n));
        else if (funct3 === 5 && funct7 !== 0n) throw illegal();
        else write(ARITHMETIC[funct3]!(a, operand));
        break;
      }
      case 0b0110011n:
        if (funct7 === 0n) write(ARITHMETIC[funct3]!(a, b));
        else if (funct7 === 1n) write(MULTIPLICATIVE[funct3]!(a, b));
        else if (funct7 === 0b0100000n && funct3 === 0) write(a - b);
        else if (funct7 === 0b0100000n && funct3 === 5) write(signed(a) >> (b & 31n));
        else throw illegal();
        break;
      case 0b0001111n:
        if (funct3 > 1) throw illegal();
        break;
      case 0b1110011n:
        if (word === 0x0010_0073n) throw new Fault(`breakpoint ${hex(word)}`);
        if (word !== 0x0000_0073n) throw illegal();
        instructions++;
        x[10] = unsigned(call());
        instructions--;
        break;
      default:
        throw illegal();
    }
    return unsigned(pc + 4n);
  };

  const call = (): bigint => {
    if (x[17] === 93n) throw new Exit(Number(x[10]! & 0xffn));
    if (x[17] !== 64n) return -38n;
    for (let i = 0n; i < x[12]!; i++) console.push(memory.getUint8(at(x[11]! + i, 1, 'load')));
    return x[12]!;
  };

  let exit: number | string = 'no end';
  try {
    while (instructions < most) {
      pc = step();
      instructions++;
    }
  } catch (error) {
    if (error instanceof Exit) exit = error.code;
    else if (error instanceof Fault) exit = `${error.message} at pc ${hex(pc)}`;
    else throw error;
  }
  return { console: Uint8Array.from(console), exit, instructions, registers: x.map((value) => Number(signed(value))) };
}

function hex(value: bigint): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

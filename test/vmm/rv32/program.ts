/**
 * Random RV32IM programs that end: values in all registers, a few hundred instructions that only jump forward and only
 * touch a buffer, then all registers and the buffer written to the console. x1 to x4 hold no random values: x3 is the
 * address of the buffer.
 */
import type { RandomStream } from '../../../src/core/rng.ts';

const BASE = 0x10000;
const BUFFER_BYTES = 256;
const REGISTERS_BYTES = 128;
/** Where the buffer lies, and behind it the registers. */
const BUFFER = BASE + 0x8000;
const SYS_WRITE = 64;
const SYS_EXIT = 93;
const FIRST = 5;

const word = (value: number): number => value >>> 0;

const r = (funct7: number, rs2: number, rs1: number, funct3: number, rd: number, opcode = 0x33): number =>
  word((funct7 << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode);
export const i = (immediate: number, rs1: number, funct3: number, rd: number, opcode = 0x13): number =>
  word((immediate << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode);
export const s = (immediate: number, rs2: number, rs1: number, funct3: number): number =>
  word(((immediate >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | ((immediate & 31) << 7) | 0x23);
const b = (offset: number, rs2: number, rs1: number, funct3: number): number =>
  word(
    (((offset >> 12) & 1) << 31) |
      (((offset >> 5) & 63) << 25) |
      (rs2 << 20) |
      (rs1 << 15) |
      (funct3 << 12) |
      (((offset >> 1) & 15) << 8) |
      (((offset >> 11) & 1) << 7) |
      0x63,
  );
const u = (immediate: number, rd: number, opcode: number): number =>
  word((immediate & 0xfffff000) | (rd << 7) | opcode);
export const jal = (offset: number, rd: number): number =>
  word(
    (((offset >> 20) & 1) << 31) |
      (((offset >> 1) & 0x3ff) << 21) |
      (((offset >> 11) & 1) << 20) |
      (((offset >> 12) & 0xff) << 12) |
      (rd << 7) |
      0x6f,
  );
export const ECALL = 0x73;
export const EBREAK = 0x00100073;

/** Two instructions that load a constant. */
export function loadConstant(rd: number, value: number): number[] {
  const low = (value << 20) >> 20;
  return [u((value - low) | 0, rd, 0x37), i(low, rd, 0, rd)];
}

const NOPS = [0, 0, 0, 0].map(() => i(0, 0, 0, 0));

/** Values at which arithmetic is likely to go wrong. */
const CORNERS = [0, 1, -1, 2, 31, 32, 0x7fffffff, -0x80000000, 0xffff, 0x8000, -0x8000, 0xff, 0x80];

function value(rng: RandomStream): number {
  return rng.below(2) === 0 ? CORNERS[rng.below(CORNERS.length)]! : rng.uint32() | 0;
}

/** A source: any register but the address of the buffer's neighbours is fine, the first four hold known values too. */
const source = (rng: RandomStream): number => (rng.below(8) === 0 ? 0 : FIRST + rng.below(32 - FIRST));
const target = (rng: RandomStream): number => (rng.below(16) === 0 ? 0 : FIRST + rng.below(32 - FIRST));

function arithmetic(rng: RandomStream): number {
  const funct3 = rng.below(8);
  if (rng.below(3) === 0) return r(1, source(rng), source(rng), funct3, target(rng));
  const alternative = (funct3 === 0 || funct3 === 5) && rng.below(2) === 0 ? 0x20 : 0;
  return r(alternative, source(rng), source(rng), funct3, target(rng));
}

function withImmediate(rng: RandomStream): number {
  const funct3 = rng.below(8);
  const isShift = funct3 === 1 || funct3 === 5;
  const arithmeticShift = funct3 === 5 && rng.below(2) === 0 ? 0x400 : 0;
  return i(isShift ? rng.below(32) | arithmeticShift : rng.below(4096), source(rng), funct3, target(rng));
}

function memoryAccess(rng: RandomStream): number {
  const offset = rng.below(BUFFER_BYTES - 4);
  if (rng.below(2) === 0) return s(offset, source(rng), 3, rng.below(3));
  return i(offset, 3, [0, 1, 2, 4, 5][rng.below(5)]!, target(rng), 0x03);
}

function control(rng: RandomStream): number[] {
  const skip = 4 * (1 + rng.below(4));
  const kind = rng.below(4);
  if (kind === 0) return [jal(skip, target(rng))];
  if (kind === 1) {
    const rd = FIRST + rng.below(32 - FIRST);
    // AUIPC and JALR: to the instruction behind, or further. No jump from before may lead between the two.
    return [...NOPS, u(0, rd, 0x17), i(8 + skip - 4, rd, 0, target(rng), 0x67)];
  }
  return [b(skip, source(rng), source(rng), [0, 1, 4, 5, 6, 7][rng.below(6)]!)];
}

/** The code of a random program of `length` instructions between its beginning and its end. */
export function randomProgram(rng: RandomStream, length: number): Uint32Array {
  const code: number[] = [1, 2, 4].flatMap((register) => loadConstant(register, register));
  code.push(...loadConstant(3, BUFFER));
  for (let register = FIRST; register < 32; register++) code.push(...loadConstant(register, value(rng)));
  while (code.length < length + 62) {
    const kind = rng.below(10);
    if (kind < 4) code.push(arithmetic(rng));
    else if (kind < 6) code.push(withImmediate(rng));
    else if (kind < 8) code.push(memoryAccess(rng));
    else if (kind === 8) code.push(u(rng.uint32() | 0, target(rng), rng.below(2) === 0 ? 0x37 : 0x17));
    else code.push(...control(rng));
  }
  // Wherever the last jump leads.
  for (let n = 0; n < 6; n++) code.push(i(0, 0, 0, 0));
  for (let register = 0; register < 32; register++) code.push(s(BUFFER_BYTES + 4 * register, register, 3, 2));
  code.push(i(1, 0, 0, 10), i(0, 3, 0, 11), i(BUFFER_BYTES + REGISTERS_BYTES, 0, 0, 12), i(SYS_WRITE, 0, 0, 17), ECALL);
  code.push(i(0, 0, 0, 10), i(SYS_EXIT, 0, 0, 17), ECALL);
  return Uint32Array.from(code);
}

/** An executable with one segment at BASE, of 64 KiB. */
export function riscvElf(code: Uint32Array, change: (view: DataView) => void = () => {}): Uint8Array {
  // The place in the file is that in memory, modulo a page, so that others can map it.
  const header = 4096;
  const bytes = new Uint8Array(header + code.byteLength);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 243, true); // EM_RISCV
  view.setUint32(20, 1, true);
  view.setUint32(24, BASE, true);
  view.setUint32(28, 52, true);
  view.setUint16(40, 52, true);
  view.setUint16(42, 32, true);
  view.setUint16(44, 1, true);
  const segment = [1, header, BASE, BASE, code.byteLength, 0x10000, 7, 4096];
  segment.forEach((field, index) => {
    view.setUint32(52 + 4 * index, field, true);
  });
  code.forEach((instruction, index) => {
    view.setUint32(header + 4 * index, instruction, true);
  });
  change(view);
  return bytes;
}

/**
 * The bytecode: a stack machine of 32-bit cells with a memory of its own, in the manner of WebAssembly.
 *
 * File, all words little endian: magic "HVBC", version, number of functions, the one to run, bytes of code, address of
 * the data, bytes of data, bytes of memory; then per function its place in the code, its length, arguments, locals (with
 * the arguments); then the code; then the data. The rest of memory is zero.
 * An instruction is one byte and its operand. Jumps count from the next instruction and stay in their function. Loads
 * and stores add their operand to the address that they pop. Every function leaves one cell.
 * Invariant: interpreters/bytecode.h has the same numbers (a test compares them).
 */

export const MAGIC = 0x43425648;
export const VERSION = 1;
export const HEADER_BYTES = 32;
export const FUNCTION_BYTES = 16;

/** How many bytes an operand has, and its kind: signed or unsigned. */
export type Operand = 'none' | 'i8' | 'u8' | 'i16' | 'u16' | 'i32' | 'u32';

export interface Operation {
  readonly name: string;
  readonly code: number;
  readonly operand: Operand;
  /** Cells taken from the stack and put on it; null: what is called says it. */
  readonly pops: number | null;
  readonly pushes: number;
}

const op = (code: number, name: string, operand: Operand, pops: number | null, pushes: number): Operation => ({
  name,
  code,
  operand,
  pops,
  pushes,
});

export const OPERATIONS: readonly Operation[] = [
  op(0x01, 'push8', 'i8', 0, 1),
  op(0x02, 'push32', 'i32', 0, 1),
  op(0x03, 'get', 'u8', 0, 1),
  op(0x04, 'set', 'u8', 1, 0),
  op(0x05, 'jump', 'i16', 0, 0),
  op(0x06, 'jump_if_zero', 'i16', 1, 0),
  op(0x07, 'jump_if_not_zero', 'i16', 1, 0),
  op(0x08, 'call', 'u16', null, 1),
  op(0x09, 'return', 'none', 1, 0),
  op(0x0a, 'drop', 'none', 1, 0),
  op(0x0b, 'host', 'u8', 1, 1),
  op(0x10, 'add', 'none', 2, 1),
  op(0x11, 'sub', 'none', 2, 1),
  op(0x12, 'mul', 'none', 2, 1),
  op(0x13, 'div', 'none', 2, 1),
  op(0x14, 'div_unsigned', 'none', 2, 1),
  op(0x15, 'rem', 'none', 2, 1),
  op(0x16, 'rem_unsigned', 'none', 2, 1),
  op(0x17, 'and', 'none', 2, 1),
  op(0x18, 'or', 'none', 2, 1),
  op(0x19, 'xor', 'none', 2, 1),
  op(0x1a, 'shl', 'none', 2, 1),
  op(0x1b, 'shr', 'none', 2, 1),
  op(0x1c, 'sar', 'none', 2, 1),
  op(0x20, 'equal', 'none', 2, 1),
  op(0x21, 'not_equal', 'none', 2, 1),
  op(0x22, 'less', 'none', 2, 1),
  op(0x23, 'less_unsigned', 'none', 2, 1),
  op(0x24, 'greater', 'none', 2, 1),
  op(0x25, 'greater_unsigned', 'none', 2, 1),
  op(0x26, 'less_equal', 'none', 2, 1),
  op(0x27, 'less_equal_unsigned', 'none', 2, 1),
  op(0x28, 'greater_equal', 'none', 2, 1),
  op(0x29, 'greater_equal_unsigned', 'none', 2, 1),
  op(0x30, 'load8', 'u32', 1, 1),
  op(0x31, 'load32', 'u32', 1, 1),
  op(0x32, 'store8', 'u32', 2, 0),
  op(0x33, 'store32', 'u32', 2, 0),
];

/** Functions of the host, by number; each takes one cell and leaves one. */
export const HOST_FUNCTIONS: readonly string[] = ['put', 'progress', 'arg'];

export const OPERAND_BYTES: Readonly<Record<Operand, number>> = {
  none: 0,
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  i32: 4,
  u32: 4,
};

/** The operation of that name. */
export function operation(name: string): Operation {
  const found = OPERATIONS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no operation ${name}`);
  return found;
}

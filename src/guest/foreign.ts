/**
 * Programs that are not code for this machine: RV32IM executables, and bytecode. A runtime carries each kind: a kernel of
 * ours that gets the program as its boot module and interprets or translates it (guests/interpreters).
 * Invariants: the kind is read from the first bytes alone; a program that is carried was checked, so that what is wrong
 * with a file is said before anything runs (the runtimes check again: they may be started without us).
 * Sources: RISC-V ELF psABI (e_machine 243, e_flags); guests/bytecode/format.ts.
 */
import { UserError } from '../core/errors.ts';
import { type ElfMachine, hasElfMagic, parseElf } from './elf.ts';
import type { GuestImage } from './image.ts';
import type { BootModule } from './multiboot.ts';

export const FOREIGN_KINDS = ['riscv32', 'bytecode'] as const;
export type ForeignKind = (typeof FOREIGN_KINDS)[number];

/** What a technique that runs foreign programs needs: their kind, the runtime that carries them, and what it is told. */
export interface ForeignProgram {
  readonly kind: ForeignKind;
  /** Name of the runtime in the catalogue. */
  readonly runtime: string;
  /** Text of the boot module behind its name. */
  readonly text: string;
}

export const FOREIGN_NAMES: Readonly<Record<ForeignKind, string>> = {
  riscv32: 'an RV32IM executable',
  bytecode: 'a bytecode program',
};

const E_MACHINE = 18;
const EM_RISCV: ElfMachine = { machine: 243, meaning: '243 (EM_RISCV)' };
const E_FLAGS = 36;
const EF_RVC = 1;
const EF_FLOAT_ABI = 6;
/** What the emulator gives a program: guests/interpreters/rvemu.c. */
const WINDOW_START = 0x10000;
const WINDOW_END = WINDOW_START + 4 * 2 ** 20;

const BYTECODE_MAGIC = 0x43425648;
const BYTECODE_HEADER_BYTES = 32;
const BYTECODE_FUNCTION_BYTES = 16;
const BYTECODE_VERSION = 1;

/** The kind of foreign program that a file says it is; null if none. */
export function foreignKindOf(bytes: Uint8Array): ForeignKind | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 4 && view.getUint32(0, true) === BYTECODE_MAGIC) return 'bytecode';
  const isElf = hasElfMagic(bytes) && bytes.length >= E_MACHINE + 2;
  return isElf && view.getUint16(E_MACHINE, true) === EM_RISCV.machine ? 'riscv32' : null;
}

/** Refuses a program that needs a runtime where none was asked for. */
export function refuseForeign({ kind, path }: GuestImage): void {
  if (kind === 'riscv32') throw foreignFault(path, kind, 'technique emulation, or a kernel for IA-32');
  if (kind === 'bytecode') throw foreignFault(path, kind, 'technique bytecode or bytecode-translated');
}

function foreignFault(path: string, kind: ForeignKind, allowed: string): UserError {
  return new UserError(`${path}: is ${FOREIGN_NAMES[kind]}, not code for this machine; allowed: ${allowed}`);
}

/**
 * The runtime with the program as its boot module.
 * @throws UserError when the program is not of that kind, or broken
 */
export function carry(runtime: GuestImage, program: GuestImage, { kind, text }: ForeignProgram): GuestImage {
  if (program.kind !== kind) {
    throw new UserError(
      `${program.path}: is not ${FOREIGN_NAMES[kind]} (found: ${program.kind}), which is all that is allowed here`,
    );
  }
  if (kind === 'riscv32') checkRiscv(program.path, program.bytes);
  else checkBytecode(program.path, program.bytes);
  return { ...withModules(runtime, [bootModule(program.name, program.bytes, text)]), name: program.name };
}

/** An image with boot modules of its own. */
export function withModules(image: GuestImage, modules: readonly BootModule[]): GuestImage {
  const { name, path, bytes, kind, sha256 } = image;
  return { name, path, bytes, kind, sha256, modules };
}

/** A module whose text begins with its name, as boot loaders have it. */
export function bootModule(name: string, bytes: Uint8Array, text: string): BootModule {
  return { name, bytes, commandLine: text === '' ? name : `${name} ${text}` };
}

function checkRiscv(path: string, bytes: Uint8Array): void {
  const { segments, entry } = parseElf(path, bytes, EM_RISCV);
  const flags = new DataView(bytes.buffer, bytes.byteOffset).getUint32(E_FLAGS, true);
  const fault = (field: string, found: string, allowed: string) =>
    new UserError(`${path}: ELF ${field} is ${found}, allowed: ${allowed}`);
  if ((flags & EF_RVC) !== 0) throw fault('e_flags', hex(flags), 'no compressed instructions (-march=rv32im)');
  if ((flags & EF_FLOAT_ABI) !== 0) throw fault('e_flags', hex(flags), 'no floating-point registers (-mabi=ilp32)');
  if (entry % 4 !== 0) throw fault('e_entry', hex(entry), 'a multiple of 4');
  for (const { virtualAddress, memoryBytes } of segments) {
    if (virtualAddress < WINDOW_START || virtualAddress + memoryBytes > WINDOW_END) {
      const allowed = `${hex(WINDOW_START)} to ${hex(WINDOW_END - 1)}, the memory that the emulator gives it`;
      throw fault('segment', `${hex(virtualAddress)}-${hex(virtualAddress + memoryBytes - 1)}`, allowed);
    }
  }
}

/** The header only: what the code does is verified by the runtime. */
function checkBytecode(path: string, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fault = (what: string, found: number, allowed: string) =>
    new UserError(`${path}: bytecode ${what} is ${found}, allowed: ${allowed}`);
  if (bytes.length < BYTECODE_HEADER_BYTES) {
    throw fault('length of the file', bytes.length, `at least ${BYTECODE_HEADER_BYTES} bytes`);
  }
  const [, version, functions, , codeBytes, , dataBytes] = [0, 1, 2, 3, 4, 5, 6].map((i) =>
    view.getUint32(4 * i, true),
  ) as [number, number, number, number, number, number, number];
  if (version !== BYTECODE_VERSION) throw fault('version', version, String(BYTECODE_VERSION));
  const length = BYTECODE_HEADER_BYTES + functions * BYTECODE_FUNCTION_BYTES + codeBytes + dataBytes;
  if (bytes.length !== length) throw fault('length of the file', bytes.length, `${length}, as its header says`);
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

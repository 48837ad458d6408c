/**
 * What the translations of all instructions share: their shape, and operands in ModRM, registers and immediates.
 * Invariant: a translation first makes every memory access that can fail, then changes state, so that an instruction
 * which compiled code gives up can be executed anew by the interpreter.
 */
import type { Insn } from '../../insn.ts';
import { type Emitter, L_BLOCK, L_EIP, L_FIRST, L_OTHER, L_SECOND } from '../emitter.ts';
import { AT_GUARDED } from '../layout.ts';
import { LOAD32, OP } from '../wasm.ts';

export type Translate = (e: Emitter, i: Insn) => void;

export interface Translation {
  /** Whether this form is translated; all are, unless told. */
  readonly covers?: (i: Insn) => boolean;
  readonly translate: Translate;
  /** Looks at flags. */
  readonly reads?: boolean;
  /** What is known of the flags afterwards; undefined: they stay. */
  readonly flags?: (i: Insn) => number | undefined;
  /** Accesses the stack, or can fault without a memory operand. */
  readonly mayLeave?: boolean;
}

/** By mnemonic of the ISA table. */
export type TranslationRow = readonly [string, Translation];

/** Scratch that survives memory accesses and conditions: the EIP is set only on the way out. */
export const L_SCRATCH = L_EIP;

export const mask = (width: number): number => (width === 32 ? -1 : width === 16 ? 0xffff : 0xff);

const widthIndex = (width: number): number => (width === 32 ? 0 : width === 16 ? 1 : 2);

/** The flags afterwards: deferred, of this operation at the width of the instruction. */
export const deferred =
  (base: number) =>
  (i: Insn): number =>
    base + widthIndex(i.width);

/** Covers the 32-bit form only. */
export const only32 = (i: Insn): boolean => i.width === 32;

/** Pops a zero-extended value and pushes it sign-extended. */
export function signExtend(e: Emitter, width: number): void {
  if (width !== 32) e.body.op(width === 16 ? OP.i32extend16S : OP.i32extend8S);
}

/** Emits `fast` for the case that none of the `guards` (GUARDED_*) has to be asked, and the interpreter otherwise. */
export function unguarded(e: Emitter, guards: number, fast: () => void): void {
  const { body } = e;
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_GUARDED);
  body.with(guards, OP.i32and);
  e.open('', 'unlikely');
  e.interpretHere();
  body.else();
  fast();
  e.close();
}

/** Makes the operand in ModRM readable and pushes it: a register (index `register`) or memory. */
export function pushRm(e: Emitter, i: Insn, register: number, width: number): void {
  if (!i.isMemory) {
    e.getReg(width, register);
    return;
  }
  e.accessOperand(i, width, false);
  e.load(width);
}

/** Pops into the ModRM destination: a register, or the memory whose access() was made; the value is in L_VALUE. */
export function storeRm(e: Emitter, i: Insn, width: number, local: number): void {
  if (i.isMemory) e.store(width, () => e.body.get(local));
  else {
    e.body.get(local);
    e.setReg(width, i.a);
  }
}

/** Where the two operands are: register, memory, immediate. */
export type Form = 'rr' | 'rm' | 'mr' | 'ri' | 'mi';

export function formOf(i: Insn): Form {
  const [first, second] = i.row.operands;
  if (second!.startsWith('I')) return i.isMemory ? 'mi' : 'ri';
  if (!i.isMemory) return 'rr';
  return first!.startsWith('E') || first!.startsWith('O') ? 'mr' : 'rm';
}

/** Loads the operand of INC, DEC, NOT, NEG into a local, writable if in memory. */
export function loadModify(e: Emitter, i: Insn, local: number): void {
  if (i.isMemory) {
    e.accessOperand(i, i.width, true);
    e.load(i.width);
  } else e.getReg(i.width, i.a);
  e.body.set(local);
}

/** Computes deferred flags into result and carry vector. */
export function materialize(e: Emitter): void {
  const { body } = e;
  e.pushCarries();
  body.set(L_OTHER);
  e.pushResult();
  body.set(L_FIRST);
  body.copy(L_SECOND, L_OTHER);
  e.setExplicit();
}

/**
 * The instructions that compiled code executes itself: by mnemonic of the ISA table, their meaning in WebAssembly.
 * Whatever has no translation here is executed by the interpreter from within compiled code.
 * Invariants: as in emitter.ts; the result equals that of the row's handler in every bit, which tests check against
 * the interpreter for random code.
 */
import type { Insn } from '../../insn.ts';
import { keepsFlags } from '../emitter.ts';
import { DEFERRED_NONE } from '../layout.ts';
import { usesFlatSegment } from '../region.ts';
import { ARITHMETIC } from './arithmetic.ts';
import { BITS } from './bits.ts';
import { DATA } from './data.ts';
import { MULTIPLICATION } from './multiply.ts';
import { segmentForm } from './segments.ts';
import { SHIFTS } from './shifts.ts';
import { STACK } from './stack.ts';
import { CONTROL_FORM, SYSTEM } from './system.ts';
import type { Translation } from './translation.ts';

const TRANSLATIONS: ReadonlyMap<string, Translation> = new Map([
  ...ARITHMETIC,
  ...MULTIPLICATION,
  ...SHIFTS,
  ...BITS,
  ...DATA,
  ...STACK,
  ...SYSTEM,
]);

/** Forms of a mnemonic whose operand is a segment or control register. */
function specialForm(i: Insn): Translation | null {
  const { mnemonic, operands } = i.row;
  if (mnemonic === 'MOV' && operands[1] === 'Cd') return i.b === 2 ? CONTROL_FORM : null;
  return segmentForm(i.row);
}

/** How compiled code executes an instruction that does not end a block, or null: the interpreter does it. */
export function translationOf(i: Insn): Translation | null {
  const found = specialForm(i) ?? TRANSLATIONS.get(i.row.mnemonic);
  if (found === undefined || found.covers?.(i) === false) return null;
  if (i.isMemory && i.row.mnemonic !== 'LEA' && i.row.mnemonic !== 'NOP' && !usesFlatSegment(i)) return null;
  return found;
}

/** The static knowledge of the flags behind an instruction. */
export function flagsAfter(i: Insn, before: number): number {
  const found = translationOf(i);
  if (found === null) return keepsFlags(i) ? before : DEFERRED_NONE;
  return found.flags?.(i) ?? before;
}

/** For each instruction of a block: whether somebody may look at the flags that it sets. */
export function neededFlags(insns: readonly Insn[]): boolean[] {
  const needed: boolean[] = [];
  let live = true;
  for (let n = insns.length - 1; n >= 0; n--) {
    const i = insns[n]!;
    needed[n] = live;
    const found = translationOf(i);
    const leaves =
      found === null || found.mayLeave === true || (i.isMemory && !['LEA', 'NOP'].includes(i.row.mnemonic));
    if (leaves || found.reads === true) live = true;
    else if (found.flags !== undefined) live = false;
  }
  return needed;
}

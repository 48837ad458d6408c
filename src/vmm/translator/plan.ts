/**
 * How each instruction of the guest's kernel is translated. The ISA table decides: its class column says what is
 * sensitive or privileged, its operands what is relative, its cost class what an instruction stores.
 * Invariant: whatever is not known to be safe goes to the VMM; so a row added to the table is right, if slow, at once.
 * Source: Adams & Agesen, ASPLOS 2006, section 3.1 (IDENT and its exceptions).
 */
import { endingOf } from '../../machine/compiler/region.ts';
import { type Insn, SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS } from '../../machine/insn.ts';
import { INTERCEPT_PAUSE } from '../../machine/isa/row.ts';

/** What becomes of an instruction. */
export type Plan =
  /** The same bytes. */
  | 'ident'
  // Control flow, which ends a unit.
  | 'jump'
  | 'branch'
  | 'loop'
  | 'call'
  | 'return'
  | 'jump-indirect'
  | 'call-indirect'
  // Done in the cache.
  | 'cli'
  | 'sti'
  | 'pushf'
  | 'popf'
  | 'rdtsc'
  | 'control-read'
  | 'load-segment'
  | 'pop-segment'
  | 'post-read'
  /** A call-out: the VMM carries it out, and the unit goes on behind it. */
  | 'emulate'
  /** The same, and control goes anywhere. */
  | 'leave';

/** Data segment registers that hold the guest's own selectors while its kernel executes. */
const OWN_SEGMENTS = new Map([
  ['ES', SEG_ES],
  ['DS', SEG_DS],
  ['FS', SEG_FS],
]);

/** Port of the POST display, whose reads have no effect. */
const POST_PORT = 0x80;

const isWide = (insn: Insn): boolean => insn.width === 32;

/** How an instruction is translated. `isUnlimited`: the guest's code segment covers all addresses. */
export function planOf(insn: Insn, isUnlimited: boolean): Plan {
  const flow = controlFlow(insn, isUnlimited);
  if (flow !== null) return flow;
  const { row } = insn;
  // GS is the VMM's, and CS the translated code's. String instructions have a segment without a ModRM operand.
  if (insn.seg === SEG_GS || insn.seg === SEG_CS) return 'emulate';
  // What stores the pointers to the last x87 instruction must not store an address in the cache.
  if (row.cost === 'float-state') return 'emulate';
  if (row.class === 'user') return (row.intercept & ~INTERCEPT_PAUSE) === 0 ? 'ident' : inCacheUser(insn);
  return inCache(insn);
}

/** Instructions that end a unit, or null. */
function controlFlow(insn: Insn, isUnlimited: boolean): Plan | null {
  const ending = endingOf(insn);
  const isFar = insn.isMemory && (insn.seg === SEG_GS || insn.seg === SEG_CS);
  const isCall = insn.row.mnemonic === 'CALL';
  switch (ending) {
    case null:
    case 'next':
      return null;
    case 'jump':
    case 'call':
      return ending;
    case 'branch':
      return insn.row.cost === 'branch' && /^(LOOP|JCXZ)/.test(insn.row.mnemonic) ? 'loop' : 'branch';
    case 'indirect':
      if (!isUnlimited || isFar || insn.addressMask !== -1) return 'leave';
      if (insn.row.mnemonic === 'RET') return 'return';
      return isCall ? 'call-indirect' : 'jump-indirect';
    case 'leave':
      return 'leave';
  }
}

/** Harmless to the VMM, but it tells the guest something that the VMM decides. */
function inCacheUser(insn: Insn): Plan {
  return insn.row.cost === 'rdtsc' ? 'rdtsc' : 'emulate';
}

/** Sensitive and privileged instructions. */
function inCache(insn: Insn): Plan {
  const { mnemonic, operands, cost } = insn.row;
  const [first, second] = operands;
  if (cost === 'flags' && operands.length === 0) {
    if (mnemonic === 'CLI') return 'cli';
    if (mnemonic === 'STI') return 'sti';
    if (mnemonic === 'PUSHF' && isWide(insn)) return 'pushf';
    if (mnemonic === 'POPF' && isWide(insn)) return 'popf';
  }
  if (cost === 'control' && first === 'Rd' && second === 'Cd') return 'control-read';
  if (mnemonic === 'PUSH' && OWN_SEGMENTS.has(first!)) return 'ident';
  if (mnemonic === 'POP' && OWN_SEGMENTS.has(first!) && isWide(insn)) return 'pop-segment';
  if (first === 'Sw' && isOwn(insn.a)) return 'load-segment';
  if (second === 'Sw' && isOwn(insn.b)) return 'ident';
  if (mnemonic === 'IN' && first === 'AL' && second === 'Ib' && (insn.imm & 0xff) === POST_PORT) return 'post-read';
  return 'emulate';
}

function isOwn(seg: number): boolean {
  return [...OWN_SEGMENTS.values()].includes(seg);
}

/** Number of the segment register that a POP loads. */
export const poppedSegment = (insn: Insn): number => OWN_SEGMENTS.get(insn.row.operands[0]!)!;

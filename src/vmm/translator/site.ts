/**
 * What the guest's state is before each instruction in the translation cache: how the VMM keeps exceptions, interrupts
 * and everything that it shows of the guest precise, and addresses in the cache to itself.
 * Invariant: every address in the cache at which the CPU can be found has a site.
 */
import type { Insn } from '../../machine/insn.ts';

/** SAVED_* bits: registers whose values are in the words of the vCPU. */
export const SAVED_ECX = 1;
export const SAVED_EAX = 2;

/** What a call-out asks of the VMM. */
export type CallOut =
  /** Go on at a direct target that was not translated when this was written. */
  | 'continue'
  /** Go on at an indirect target that the hash table does not have. */
  | 'miss'
  /** Carry an instruction out. */
  | 'emulate'
  /** Carry a memory access out that kept hitting traced pages or devices. */
  | 'simulate';

/** Numbers of the call-outs in the code, for people. */
export const CALL_OUT_NUMBERS: Readonly<Record<CallOut, number>> = { continue: 1, miss: 2, emulate: 3, simulate: 4 };

/** The guest's state before one instruction in the cache. */
export interface State {
  /** Its EIP; not meant if `isTarget`. */
  readonly eip: number;
  /** Its EIP is in the word of the indirect target. */
  readonly isTarget: boolean;
  /** Where the CPU can go on in this state with its registers put back. */
  readonly start: number;
  /** SAVED_* bits. */
  readonly saved: number;
  /** What is to be added to ESP. */
  readonly esp: number;
  /** Nobody can say: execute on until somebody can. Such instructions cannot fault. */
  readonly isBetween: boolean;
  /** STI was just executed: one more instruction comes before an interrupt. */
  readonly afterSti: boolean;
  /** The guest's instruction, if it is known. */
  readonly insn: Insn | null;
}

export interface Site extends State {
  readonly callOut: CallOut | null;
  /** For `continue`: the end of the displacement of the jump that leads here, or -1 if this is the end of a unit. */
  readonly jumpEnd: number;
}

/** A translation unit and its translation. */
export interface Unit {
  readonly eip: number;
  /** Address in the cache. */
  readonly start: number;
  /** The guest's instructions in order, with their places in the cache; 0: it has none, the one before does its work. */
  readonly insns: readonly { readonly eip: number; readonly insn: Insn; readonly start: number }[];
  /** Guest bytes. */
  readonly length: number;
  /** Address behind the translation; if what follows takes the place of a continuation there, it ends before. */
  readonly end: number;
  isDead: boolean;
}

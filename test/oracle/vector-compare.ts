/**
 * Where the CPU of the vectors and ours may part on MMX and SSE instructions, and the manual allows both.
 *   images: the pointers to the last x87 instruction, which AMD's CPUs save only while an error is pending, and the mask
 *     of MXCSR, where ours has no misaligned mode;
 *   images that end in a page that faults: which of their bytes CR2 names;
 *   images and MASKMOVDQU with more than one reason to fault: which comes first;
 *   RCP and RSQRT: any value within 1.5 x 2^-12 of the true one, relative to it (SDM vol 2).
 */
import type { Row } from '../../src/machine/isa/row.ts';
import type { Case, Outcome, Patch } from './layout.ts';
import { VECTOR_IMAGE_AT } from './vector-cases.ts';

/** The CPU of the vectors takes these in parts; with more than one reason to fault, either may come first. */
const IN_PARTS = /^(FXSAVE|FXRSTOR|MASKMOVDQU)$/;

const XMM_AT = VECTOR_IMAGE_AT + 160;
const IMAGE_END = VECTOR_IMAGE_AT + 512;

/** Bytes of an image that are not compared. */
const isOpen = (at: number): boolean => (at >= 6 && at < 24) || (at >= 28 && at < 32);

/** Twice the bound, as both sides approximate. */
const APPROXIMATION_MAX = 3 / 4096;

function memoryOf(c: Case, outcome: Outcome): Map<number, number> {
  const memory = new Map<number, number>();
  for (const patch of [...c.patches, ...outcome.changes]) {
    for (const [n, byte] of patch.bytes.entries()) memory.set(patch.at + n, byte);
  }
  return memory;
}

function singleAt(memory: ReadonlyMap<number, number>, at: number): number {
  const view = new DataView(new ArrayBuffer(4));
  for (let n = 0; n < 4; n++) view.setUint8(n, memory.get(at + n) ?? 0);
  return view.getFloat32(0, true);
}

/** `seen`, brought to agree with `expected` where both are allowed. */
export function tolerateVector(row: Row, c: Case, expected: Outcome, seen: Outcome): Outcome {
  if (row.operands[0] === 'Mf' && seen.vector === 14 && expected.vector === 14) {
    const distance = (expected.cr2 - seen.cr2) >>> 0;
    return distance < 512 ? { ...seen, cr2: expected.cr2, error: expected.error } : seen;
  }
  const faulted = seen.eip !== ((c.eip + c.code.length) | 0);
  const bothFault = expected.eip === seen.eip && expected.vector !== seen.vector && faulted;
  if (IN_PARTS.test(row.mnemonic) && bothFault) return expected;
  const wanted = memoryOf(c, expected);
  const have = memoryOf(c, seen);
  const take = (at: number): void => {
    const byte = wanted.get(at);
    if (byte !== undefined) have.set(at, byte);
    else have.delete(at);
  };
  const images = [VECTOR_IMAGE_AT];
  if (row.mnemonic === 'FXSAVE') images.push(...starts(seen.changes));
  for (const image of images) for (let at = 0; at < 32; at++) if (isOpen(at)) take(image + at);
  if (/^(RCP|RSQRT)/.test(row.mnemonic)) {
    for (let at = XMM_AT; at < XMM_AT + 128; at += 4) {
      const [a, b] = [singleAt(wanted, at), singleAt(have, at)];
      if (Math.abs(a - b) <= Math.abs(a) * APPROXIMATION_MAX) for (let n = 0; n < 4; n++) take(at + n);
    }
  }
  const same = wanted.size === have.size && [...wanted].every(([at, byte]) => have.get(at) === byte);
  return same ? { ...seen, changes: expected.changes } : seen;
}

/** Where an image may begin that was stored outside the usual place. */
const starts = (changes: readonly Patch[]): number[] =>
  changes.filter((p) => p.at < VECTOR_IMAGE_AT || p.at >= IMAGE_END).map((p) => p.at & ~15);

/**
 * What the page-table tests share: a small guest with machine frames in no particular order, and a second copy of its
 * memory on which the bare machine's walker serves as the naive model.
 */
import { assert } from '../../../src/core/errors.ts';
import { MachineMemory } from '../../../src/machine/memory.ts';
import { CR0_PE, CR0_PG, CR4_PGE, CR4_PSE, GuestWalker, type PagingRegisters } from '../../../src/machine/paging.ts';
import { ABSENT, PhysMap } from '../../../src/machine/physmap.ts';

export const GUEST_OWNER = 1;
export const VMM_OWNER = 2;

/** Registers with paging, PSE and PGE on. */
export function pagingRegisters(cr3: number): PagingRegisters {
  return { cr0: CR0_PE | CR0_PG, cr3, cr4: CR4_PSE | CR4_PGE };
}

/** A guest of `frames` frames with holes at `holes`, backed in descending order so that gfn and mfn never agree. */
export function makeGuest(memory: MachineMemory, frames: number, holes: readonly number[] = []): PhysMap {
  const physmap = new PhysMap(memory, frames);
  for (let gfn = frames - 1; gfn >= 0; gfn--) {
    physmap.mfnOf[gfn] = holes.includes(gfn) ? ABSENT : memory.allocateFrame(GUEST_OWNER);
  }
  return physmap;
}

/** The guest on the bare machine: same guest-physical contents, own memory. */
export class Model {
  readonly physmap: PhysMap;
  readonly walker: GuestWalker;

  constructor(frames: number, holes: readonly number[]) {
    this.physmap = makeGuest(new MachineMemory(frames), frames, holes);
    this.walker = new GuestWalker(this.physmap);
  }
}

/** First guest-physical word in which two guests differ, or -1. */
export function firstDifference(a: PhysMap, b: PhysMap): number {
  assert(a.ramFrames === b.ramFrames, 'guests of different size');
  for (let gfn = 0; gfn < a.ramFrames; gfn++) {
    const x = a.lookup(gfn);
    const y = b.lookup(gfn);
    if (x === ABSENT || y === ABSENT) continue;
    const left = a.memory.words32.subarray(x << 10, (x + 1) << 10);
    const right = b.memory.words32.subarray(y << 10, (y + 1) << 10);
    for (let i = 0; i < 1024; i++) if (left[i] !== right[i]) return (gfn << 12) | (i << 2);
  }
  return -1;
}

/** Fails unless two values are the same. For helpers outside of a test's body. */
export function same(actual: unknown, expected: unknown, what: string): void {
  assert(Object.is(actual, expected), `${what}: got ${String(actual)}, expected ${String(expected)}`);
}

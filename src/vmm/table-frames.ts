/**
 * How many machine frames a VMM may need for one VM: reserved when the VM is created, so that a guest can never take
 * table frames that another VM was promised, and none can run out in the middle of a run.
 * Invariant: the bound holds whatever the guest does; shadow pools evict, nested tables cannot exceed their size.
 */
import { divCeil } from '../core/units.ts';
import { isBare, type PagingName, type TechniqueName } from './technique.ts';

const ENTRIES_PER_NESTED_TABLE = 512;
/** A deprivileging VMM's own tables (vmm-region.ts) and the open-bus frame, rounded up. */
const OWN_FRAMES = 24;
/** A translation cache with its words and tables (translator/layout.ts). */
export const TRANSLATION_CACHE_PAGES = 128;
const TRANSLATOR_FRAMES = 18 + TRANSLATION_CACHE_PAGES;
const SHADOW_FRAMES_MIN = 200;
const SHADOW_FRAMES_MAX = 1024;

/** Bound of a shadow pool for a guest of `ramFrames`: a 64th of its memory, within limits. */
export function shadowFrames(ramFrames: number): number {
  return Math.min(SHADOW_FRAMES_MAX, Math.max(SHADOW_FRAMES_MIN, divCeil(ramFrames, 64)));
}

/** Frames to reserve for the VMM's tables of one VM. Every vCPU has shadow tables of its own, nested ones are shared. */
export function tableFrames(technique: TechniqueName, paging: PagingName, ramFrames: number, vcpus = 1): number {
  if (isBare(technique)) return 0;
  if (technique === 'paravirtual') return vcpus * OWN_FRAMES;
  const own = OWN_FRAMES + (technique === 'binary-translation' ? TRANSLATOR_FRAMES : 0);
  if (paging === 'shadow') return vcpus * (shadowFrames(ramFrames) + own);
  let frames = vcpus * OWN_FRAMES;
  for (let level = ramFrames, n = 0; n < 4; n++) {
    level = divCeil(level, ENTRIES_PER_NESTED_TABLE);
    frames += level;
  }
  return frames;
}

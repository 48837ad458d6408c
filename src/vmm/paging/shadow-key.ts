/**
 * Which guest state a shadow page stands for, as one integer: kind, guest frame, and the role bits (rights passed down
 * and paging mode) that its entries depend on. Two equal keys mean that one page can serve both.
 * Source of the idea: `role` in Linux Documentation/virt/kvm/x86/mmu.rst.
 * Invariant: frame, kind and role do not overlap in the key.
 */
import type { Gfn } from '../../core/units.ts';
import {
  PDE_LARGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_GLOBAL,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITABLE,
} from '../../machine/paging.ts';

/** Shadows a guest directory. */
export const PAGE_ROOT = 0;
/** Shadows a guest table. */
export const PAGE_TABLE = 1;
/** Maps 1024 consecutive guest frames: a 4 MiB page, or guest paging is off. */
export const PAGE_SPLINTER = 2;
/** The directory while guest paging is off. */
export const PAGE_FLAT_ROOT = 3;

/** Guest CR0.WP. */
export const ROLE_WP = 1;
/** The directory entry allows writes. */
export const ROLE_WRITABLE = PTE_WRITABLE;
/** The directory entry allows user mode. */
export const ROLE_USER = PTE_USER;
/** Guest CR4.PGE; of a splinter: the 4 MiB page is global. */
export const ROLE_GLOBAL = 8;
/** Of a splinter: the 4 MiB page is dirty. */
export const ROLE_DIRTY = 16;
/** Of a root: guest CR4.PSE. */
export const ROLE_PSE = 32;
/** For a guest kernel in ring 3: every page is a user page, and kernel rights are what counts. */
export const ROLE_KERNEL = 64;

const FLAT_ROLE = ROLE_WP | ROLE_WRITABLE | ROLE_USER | ROLE_DIRTY;

export function keyOf(kind: number, gfn: Gfn, role: number): number {
  return gfn | (kind << 20) | (role << 22);
}

export function kindOfKey(key: number): number {
  return (key >>> 20) & 3;
}

export function gfnOfKey(key: number): Gfn {
  return key & 0xfffff;
}

export function roleOfKey(key: number): number {
  return key >>> 22;
}

export function isDirectoryKey(key: number): boolean {
  const kind = kindOfKey(key);
  return kind === PAGE_ROOT || kind === PAGE_FLAT_ROOT;
}

/** The page has a guest table behind it, which must be traced. */
export function isGuestTableKey(key: number): boolean {
  const kind = kindOfKey(key);
  return kind === PAGE_ROOT || kind === PAGE_TABLE;
}

/** Key of the table that entry `pdeIndex` of a root calls for; `pde` is the guest's, present. */
export function childKey(rootKey: number, pdeIndex: number, pde: number): number {
  if (kindOfKey(rootKey) === PAGE_FLAT_ROOT) return keyOf(PAGE_SPLINTER, pdeIndex << 10, FLAT_ROLE);
  const mode = roleOfKey(rootKey);
  const rights = pde & (PTE_WRITABLE | PTE_USER);
  if ((pde & PDE_LARGE) === 0 || (mode & ROLE_PSE) === 0) {
    return keyOf(PAGE_TABLE, pde >>> 12, rights | (mode & (ROLE_WP | ROLE_GLOBAL | ROLE_KERNEL)));
  }
  const global = (pde & PTE_GLOBAL) !== 0 ? mode & ROLE_GLOBAL : 0;
  const dirty = (pde & PTE_DIRTY) !== 0 ? ROLE_DIRTY : 0;
  return keyOf(PAGE_SPLINTER, (pde >>> 22) << 10, rights | (mode & (ROLE_WP | ROLE_KERNEL)) | global | dirty);
}

/**
 * The leaf that entry `i` of a shadow page stands for, as a guest entry with the rights of both levels combined;
 * 0 if a guest access through it would fault, or would first have to set the accessed bit.
 * `pte` is the guest's entry, read only if the page has a guest table.
 */
export function effectiveLeaf(key: number, i: number, pte: number): number {
  const role = roleOfKey(key);
  const rights = role & (ROLE_WRITABLE | ROLE_USER);
  if (kindOfKey(key) === PAGE_SPLINTER) {
    const global = (role & ROLE_GLOBAL) !== 0 ? PTE_GLOBAL : 0;
    const dirty = (role & ROLE_DIRTY) !== 0 ? PTE_DIRTY : 0;
    return ((gfnOfKey(key) + i) << 12) | rights | global | dirty | PTE_ACCESSED | PTE_PRESENT;
  }
  if ((pte & PTE_PRESENT) === 0 || (pte & PTE_ACCESSED) === 0) return 0;
  const global = (role & ROLE_GLOBAL) !== 0 ? PTE_GLOBAL : 0;
  return pte & (~0xfff | PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY | rights | global);
}

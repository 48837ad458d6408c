/**
 * Where the translator keeps what translated code uses, in the VMM's 4 MiB at the top of the linear address space: words
 * of the vCPU, tables, and the translation cache. Translated code reaches them through GS, which it has for itself; the
 * guest's segments end below.
 *
 *   0xffc00000 GDT, IDT, TSS (vmm-region.ts)    page 32 words    page 33 tables of POPF    page 48 targets of indirect
 *   jumps, 64 KiB    page 64 ... the translation cache
 *
 * Invariants: words that translated code writes are aligned; the cache and the tables are read-only for it.
 * Source: Adams & Agesen, ASPLOS 2006, section 3; Bugnion et al., ACM TOCS 2012, section 4.3 (GS for the VMM). The
 * layout is our own.
 */
import { PAGE_BYTES } from '../../core/units.ts';
import { VMM_BASE } from '../techniques/vmm-region.ts';

export const WORDS_PAGE = 32;
export const POPF_PAGE = 33;
export const TARGETS_PAGE = 48;
export const TARGETS_PAGES = 16;
export const CACHE_PAGE = 64;
/** The rest of the region. */
export const CACHE_PAGES_MAX = 1024 - CACHE_PAGE;

/** Linear address of the cache. */
export const CACHE_BASE = (VMM_BASE + CACHE_PAGE * PAGE_BYTES) | 0;

// Offsets in the region, as translated code uses them behind GS. First the words of the vCPU.
const WORDS = WORDS_PAGE * PAGE_BYTES;
/** ECX and EAX of the guest while an instruction's translation uses them. */
export const AT_ECX = WORDS;
export const AT_EAX = WORDS + 4;
/** Arithmetic flags of the guest, in the form of LAHF and SETO. */
export const AT_FLAGS = WORDS + 8;
/** Where an indirect jump goes: an address of the guest. */
export const AT_TARGET = WORDS + 12;
/** The guest's IF and IOPL, at their places in EFLAGS. */
export const AT_VIRTUAL_FLAGS = WORDS + 16;
/** 1 while an interrupt waits that the guest does not take yet. */
export const AT_PENDING = WORDS + 20;
/** What AT_VIRTUAL_FLAGS was before the last STI: an interrupt waits one instruction only if IF was clear. */
export const AT_BEFORE_STI = WORDS + 72;
/** What the guest added to the time-stamp counter, 64 bits. */
export const AT_TSC_OFFSET = WORDS + 24;
/** The guest's control registers, by number. */
export const AT_CONTROL = WORDS + 32;
/** The last byte written to port 0x80, the POST display. */
export const AT_POST = WORDS + 64;

/** By bits 8 to 15 of an EFLAGS image: not 0 if POPF must go to the VMM (bytes); IF and IOPL of the image (words). */
export const AT_POPF_NEEDS_VMM = POPF_PAGE * PAGE_BYTES;
export const AT_POPF_FLAGS = AT_POPF_NEEDS_VMM + 256;

/** By high byte of a selector, and by low byte: not 0 if loading it must go to the VMM (bytes). */
export const AT_SELECTOR_HIGH = AT_POPF_FLAGS + 1024;
export const AT_SELECTOR_LOW = AT_SELECTOR_HIGH + 256;

/** Where indirect jumps go, by hash of the target: 8 bytes each, of which the first four are an address in the cache. */
export const AT_TARGETS = TARGETS_PAGE * PAGE_BYTES;
export const TARGETS = (TARGETS_PAGES * PAGE_BYTES) / 8;
/** Offset of a target's entry: its low 13 bits times 8. */
export const targetSlot = (eip: number): number => (eip & (TARGETS - 1)) * 8;

/** The VMM's entries of the GDT that translated code needs: its code, GS, and the gate of call-outs. DPL 1. */
export const SELECTOR_CODE = 0xfff1;
export const SELECTOR_DATA = 0xffe9;
export const SELECTOR_GATE = 0xffe1;
/** High byte of those selectors. */
export const OWN_SELECTORS_HIGH = 0xff;

/** 4 GiB of code from 0: addresses in the cache are linear. */
export const CODE_DESCRIPTOR = { low: 0x0000ffff, high: 0x00cfbb00 } as const;
/** The VMM's 4 MiB. */
export const DATA_DESCRIPTOR = {
  low: ((VMM_BASE & 0xffff) << 16) | 0x03ff,
  high: (VMM_BASE & 0xff000000) | ((VMM_BASE >>> 16) & 0xff) | 0x00c0b300,
} as const;
/** A call gate that is not present: where a real CPU would enter the VMM, the emulated one leaves run(). */
export const GATE_DESCRIPTOR = { low: 0, high: 0x00002c00 } as const;

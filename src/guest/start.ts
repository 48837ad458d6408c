/**
 * The state in which a CPU starts: what a boot loader, a BIOS or the reset line leaves in its registers.
 * Invariants: a flat segment spans 4 GiB from 0; registers that are not named here are 0; a GDT that is named lies in
 * memory already, with the descriptors of the segments at their selectors.
 * Source: SDM vol 3, 9.1.1 and table 9-1 for the state after reset.
 */
import type { Gpa } from '../core/units.ts';

/** What a segment register holds, hidden part included. Code is execute and read, data read and write. */
export interface StartSegment {
  readonly selector: number;
  readonly base: number;
  /** Last byte, unsigned: below 64 KiB, or 0xffffffff. */
  readonly limit: number;
  readonly is32: boolean;
}

export interface CpuStart {
  readonly eip: Gpa;
  readonly eax: number;
  readonly ebx: number;
  readonly edx: number;
  readonly esi: number;
  readonly esp: number;
  readonly code: StartSegment;
  /** DS, ES, FS, GS and SS. */
  readonly data: StartSegment;
  readonly gdt: { readonly base: Gpa; readonly limit: number };
  readonly cr0: number;
  readonly eflags: number;
}

/** Family 6, model 3, stepping 3: what CPUID leaf 1 says too. */
export const CPU_SIGNATURE = 0x0633;

const CR0_PE_ET = 0x11;
/** Caches off, and no protection. */
const CR0_RESET = 0x6000_0010;
const EFLAGS_RESERVED = 0x02;
/** Where loaders without a place of their own put the GDT that they leave in force. */
const GDT_ADDRESS: Gpa = 0x800;
const FLAT_CODE = [0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0];
const FLAT_DATA = [0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0];
const NULL_DESCRIPTOR = [0, 0, 0, 0, 0, 0, 0, 0];

/** The GDT of a loader that starts kernels in flat protected mode. */
export interface FlatGdt {
  readonly at: Gpa;
  readonly bytes: Uint8Array;
  readonly code: StartSegment;
  readonly data: StartSegment;
}

/** A GDT whose flat code segment has selector `code`; flat data is the next one. */
export function flatGdt(code: number): FlatGdt {
  const nulls = Array.from({ length: code / 8 }, () => NULL_DESCRIPTOR).flat();
  return {
    at: GDT_ADDRESS,
    bytes: Uint8Array.from([...nulls, ...FLAT_CODE, ...FLAT_DATA]),
    code: flat(code),
    data: flat(code + 8),
  };
}

function flat(selector: number): StartSegment {
  return { selector, base: 0, limit: 0xffff_ffff, is32: true };
}

/** Protected mode without paging, flat segments, interrupts off: how loaders start 32-bit kernels. */
export function protectedStart(
  eip: Gpa,
  gdt: FlatGdt,
  registers: Partial<Pick<CpuStart, 'eax' | 'ebx' | 'esi' | 'esp'>> = {},
): CpuStart {
  return {
    eip,
    eax: 0,
    ebx: 0,
    edx: 0,
    esi: 0,
    esp: 0,
    ...registers,
    code: gdt.code,
    data: gdt.data,
    gdt: { base: gdt.at, limit: gdt.bytes.length - 1 },
    cr0: CR0_PE_ET,
    eflags: EFLAGS_RESERVED,
  };
}

/** Real mode at 0:eip, as a BIOS starts a boot sector; DL names the drive. */
export function realStart(eip: Gpa, drive: number, esp: number): CpuStart {
  const segment = { selector: 0, base: 0, limit: 0xffff, is32: false };
  return { ...resetStart(), eip, edx: drive, esp, code: segment, data: segment, cr0: 0x10 };
}

/** After the reset line: the first instruction is 16 bytes below 4 GiB. */
export function resetStart(): CpuStart {
  return {
    eip: 0xfff0,
    eax: 0,
    ebx: 0,
    edx: CPU_SIGNATURE,
    esi: 0,
    esp: 0,
    code: { selector: 0xf000, base: 0xffff_0000, limit: 0xffff, is32: false },
    data: { selector: 0, base: 0, limit: 0xffff, is32: false },
    gdt: { base: 0, limit: 0xffff },
    cr0: CR0_RESET,
    eflags: EFLAGS_RESERVED,
  };
}

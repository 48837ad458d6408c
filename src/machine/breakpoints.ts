/**
 * The debug registers: which instruction, data and port breakpoints an access hits, and what DR6 says about it.
 * Invariants: nothing here costs anything while no breakpoint is enabled: pages with data breakpoints stay out of the
 * front tables (their accesses take the slow path, which asks dataHits), instruction breakpoints run through the slow
 * loop, and the bits of `watching` say which of these is needed.
 * Source: SDM vol 3, 17.2 and 17.3. When an enabled breakpoint is hit, DR6 shows the disabled ones that match too, as
 * processors do (17.2.3 allows it).
 */
import type { CpuCore } from './cpu-core.ts';

/** Bits of DR6. */
export const DR6_BREAKPOINTS = 0x0f;
/** MOV to or from a debug register while DR7.GD was set. */
export const DR6_ACCESS = 0x2000;
/** A single step. */
export const DR6_SINGLE_STEP = 0x4000;
/** A switch to a task whose TSS has the T bit. */
export const DR6_TASK = 0x8000;

/** Bits of DR7. */
const DR7_LOCAL = 0x55;
const DR7_LE = 0x100;
export const DR7_GENERAL_DETECT = 0x2000;

const CR4_DE = 8;

/** R/W field of a breakpoint. */
const KIND_EXECUTE = 0;
const KIND_WRITE = 1;
const KIND_PORT = 2;

/** Bits of CpuCore.special that the debug registers set; the others are at the places of their EFLAGS bits. */
export const SPECIAL_CODE_BREAKPOINT = 1;
export const SPECIAL_DATA_BREAKPOINT = 2;
export const SPECIAL_PORT_BREAKPOINT = 4;

const kindOf = (dr7: number, n: number): number => (dr7 >>> (16 + 4 * n)) & 3;
const isEnabled = (dr7: number, n: number): boolean => ((dr7 >>> (2 * n)) & 3) !== 0;
/** LEN field as a count of bytes; 10 is undefined on this processor and taken as 8, as later ones do. */
const lengthOf = (dr7: number, n: number): number => [1, 2, 8, 4][(dr7 >>> (18 + 4 * n)) & 3]!;

/** Brings what depends on DR0-DR3, DR7 and CR4.DE up to date. */
export function followDebugRegisters(cpu: CpuCore): void {
  const dr7 = cpu.debug[7]!;
  let watching = 0;
  for (let n = 0; n < 4; n++) {
    if (!isEnabled(dr7, n)) continue;
    const kind = kindOf(dr7, n);
    if (kind === KIND_EXECUTE) watching |= SPECIAL_CODE_BREAKPOINT;
    else if (kind !== KIND_PORT) watching |= SPECIAL_DATA_BREAKPOINT;
    else if ((cpu.cr4 & CR4_DE) !== 0) watching |= SPECIAL_PORT_BREAKPOINT;
  }
  // Pages that are watched from now on may be in the front table.
  if ((watching & SPECIAL_DATA_BREAKPOINT) !== 0) cpu.mmu.clearFront();
  cpu.watching = watching;
  cpu.updateSpecial();
  cpu.breakLoop();
}

/** A task switch clears the local enables. */
export function dropLocalBreakpoints(cpu: CpuCore): void {
  if ((cpu.debug[7]! & (DR7_LOCAL | DR7_LE)) === 0) return;
  cpu.debug[7]! &= ~(DR7_LOCAL | DR7_LE);
  followDebugRegisters(cpu);
}

/** DR6 bits of all breakpoints that `matches` holds for, or 0 if none of them is enabled. */
function hits(dr7: number, matches: (n: number, kind: number) => boolean): number {
  let found = 0;
  let enabled = false;
  for (let n = 0; n < 4; n++) {
    if (!matches(n, kindOf(dr7, n))) continue;
    found |= 1 << n;
    enabled ||= isEnabled(dr7, n);
  }
  return enabled ? found : 0;
}

/** Breakpoint `n` covers a byte of [first, first + count). */
function covers(cpu: CpuCore, n: number, first: number, count: number): boolean {
  const length = lengthOf(cpu.debug[7]!, n);
  const start = (cpu.debug[n]! & -length) >>> 0;
  return first >>> 0 < start + length && start < (first >>> 0) + count;
}

/** DR6 bits for an instruction at linear address `lin`. */
export function codeHits(cpu: CpuCore, lin: number): number {
  return hits(cpu.debug[7]!, (n, kind) => kind === KIND_EXECUTE && cpu.debug[n] === lin);
}

/** DR6 bits of all instruction breakpoints at `lin`, enabled or not: a debug trap just before it reports them as well. */
export function codeMatches(cpu: CpuCore, lin: number): number {
  let found = 0;
  for (let n = 0; n < 4; n++) if (kindOf(cpu.debug[7]!, n) === KIND_EXECUTE && cpu.debug[n] === lin) found |= 1 << n;
  return found;
}

/** DR6 bits for an access of `count` bytes. */
export function dataHits(cpu: CpuCore, lin: number, count: number, write: boolean): number {
  return hits(cpu.debug[7]!, (n, kind) => (kind === 3 || (write && kind === KIND_WRITE)) && covers(cpu, n, lin, count));
}

/** DR6 bits for a port access; only with CR4.DE. */
export function portHits(cpu: CpuCore, port: number, count: number): number {
  return hits(cpu.debug[7]!, (n, kind) => kind === KIND_PORT && covers(cpu, n, port, count));
}

/** An enabled data breakpoint lies in the page of `lin`. */
export function isWatchedPage(cpu: CpuCore, lin: number): boolean {
  const dr7 = cpu.debug[7]!;
  for (let n = 0; n < 4; n++) {
    if (isEnabled(dr7, n) && (kindOf(dr7, n) & 1) !== 0 && (cpu.debug[n]! ^ lin) >>> 12 === 0) return true;
  }
  return false;
}

/**
 * VM-execution controls: their bits, and which instructions and events of the emulated CPU they make exit.
 * Invariant: what exits depends on the control fields alone, and PAUSE loops also on time since the last entry.
 * Source: SDM vol 3, 24.6 (bits), 25.1.3 (instructions that exit conditionally), 25.2 (page faults).
 */
import type { Cpu } from '../../machine/cpu.ts';
import type { Insn } from '../../machine/insn.ts';
import {
  INTERCEPT_CPUID,
  INTERCEPT_CR_READ,
  INTERCEPT_CR_WRITE,
  INTERCEPT_DESCRIPTOR_TABLE,
  INTERCEPT_DR,
  INTERCEPT_HLT,
  INTERCEPT_HYPERCALL,
  INTERCEPT_INVLPG,
  INTERCEPT_MSR,
  INTERCEPT_PAUSE,
  INTERCEPT_RDTSC,
  INTERCEPT_WBINVD,
} from '../../machine/isa/row.ts';
import { CR0_TS } from '../../machine/paging.ts';
import type { ControlBlock } from './control-block.ts';
import { VMCS } from './fields.ts';

// Pin-based controls (table 24-5).
export const PIN_EXTERNAL_INTERRUPT_EXITING = 1 << 0;
export const PIN_NMI_EXITING = 1 << 3;
export const PIN_VIRTUAL_NMIS = 1 << 5;
export const PIN_PREEMPTION_TIMER = 1 << 6;

// Primary processor-based controls (table 24-6).
export const CPU_INTERRUPT_WINDOW_EXITING = 1 << 2;
export const CPU_TSC_OFFSETTING = 1 << 3;
export const CPU_HLT_EXITING = 1 << 7;
export const CPU_INVLPG_EXITING = 1 << 9;
export const CPU_RDTSC_EXITING = 1 << 12;
export const CPU_CR3_LOAD_EXITING = 1 << 15;
export const CPU_CR3_STORE_EXITING = 1 << 16;
export const CPU_NMI_WINDOW_EXITING = 1 << 22;
export const CPU_MOV_DR_EXITING = 1 << 23;
export const CPU_UNCONDITIONAL_IO_EXITING = 1 << 24;
export const CPU_USE_IO_BITMAPS = 1 << 25;
export const CPU_USE_MSR_BITMAPS = 1 << 28;
export const CPU_PAUSE_EXITING = 1 << 30;
export const CPU_SECONDARY_CONTROLS = 1 << 31;

// Secondary processor-based controls (table 24-7).
export const CPU2_ENABLE_EPT = 1 << 1;
export const CPU2_DESCRIPTOR_TABLE_EXITING = 1 << 2;
export const CPU2_ENABLE_VPID = 1 << 5;
export const CPU2_WBINVD_EXITING = 1 << 6;
export const CPU2_UNRESTRICTED_GUEST = 1 << 7;
export const CPU2_PAUSE_LOOP_EXITING = 1 << 10;

/** Controls that a VMM may set here; others are not offered, as if the capability MSRs allowed only 0. */
export const PIN_ALLOWED = PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER;
export const CPU_ALLOWED =
  CPU_INTERRUPT_WINDOW_EXITING |
  CPU_TSC_OFFSETTING |
  CPU_HLT_EXITING |
  CPU_INVLPG_EXITING |
  CPU_RDTSC_EXITING |
  CPU_CR3_LOAD_EXITING |
  CPU_CR3_STORE_EXITING |
  CPU_NMI_WINDOW_EXITING |
  CPU_MOV_DR_EXITING |
  CPU_UNCONDITIONAL_IO_EXITING |
  CPU_USE_IO_BITMAPS |
  CPU_USE_MSR_BITMAPS |
  CPU_PAUSE_EXITING |
  CPU_SECONDARY_CONTROLS;
export const CPU2_ALLOWED =
  CPU2_ENABLE_EPT |
  CPU2_DESCRIPTOR_TABLE_EXITING |
  CPU2_ENABLE_VPID |
  CPU2_WBINVD_EXITING |
  CPU2_UNRESTRICTED_GUEST |
  CPU2_PAUSE_LOOP_EXITING;

/** One bit per port, MSR or other number; a set bit exits. */
export class ExitBitmap {
  private readonly words: Int32Array;
  readonly size: number;

  constructor(size: number, all: boolean) {
    this.size = size;
    this.words = new Int32Array(size >>> 5).fill(all ? -1 : 0);
  }

  has(n: number): boolean {
    return n < this.size && ((this.words[n >>> 5]! >>> (n & 31)) & 1) !== 0;
  }

  set(n: number, exits: boolean): void {
    const bit = 1 << (n & 31);
    if (exits) this.words[n >>> 5]! |= bit;
    else this.words[n >>> 5]! &= ~bit;
  }
}

/** INTERCEPT_* bits of instructions that may exit under these controls; the filter below decides about each of them. */
export function interceptsOf(block: ControlBlock): number {
  const cpu = block.peek(VMCS.PRIMARY_CONTROLS);
  const cpu2 = (cpu & CPU_SECONDARY_CONTROLS) === 0 ? 0 : block.peek(VMCS.SECONDARY_CONTROLS);
  const masks = block.peek(VMCS.CR0_GUEST_HOST_MASK) | block.peek(VMCS.CR4_GUEST_HOST_MASK);
  let bits = INTERCEPT_CPUID | INTERCEPT_HYPERCALL | INTERCEPT_WBINVD | INTERCEPT_MSR;
  if ((cpu & CPU_HLT_EXITING) !== 0) bits |= INTERCEPT_HLT;
  if ((cpu & CPU_INVLPG_EXITING) !== 0) bits |= INTERCEPT_INVLPG;
  if ((cpu & CPU_RDTSC_EXITING) !== 0) bits |= INTERCEPT_RDTSC;
  if ((cpu & CPU_MOV_DR_EXITING) !== 0) bits |= INTERCEPT_DR;
  if ((cpu & CPU_CR3_STORE_EXITING) !== 0) bits |= INTERCEPT_CR_READ;
  if ((cpu & CPU_CR3_LOAD_EXITING) !== 0 || masks !== 0) bits |= INTERCEPT_CR_WRITE;
  if ((cpu2 & CPU2_DESCRIPTOR_TABLE_EXITING) !== 0) bits |= INTERCEPT_DESCRIPTOR_TABLE;
  if ((cpu & CPU_PAUSE_EXITING) !== 0 || (cpu2 & CPU2_PAUSE_LOOP_EXITING) !== 0) bits |= INTERCEPT_PAUSE;
  return bits;
}

/** Whether this very instruction exits; its class of instructions may. */
export function instructionExits(block: ControlBlock, cpu: Cpu, insn: Insn): boolean {
  switch (insn.row.intercept) {
    case INTERCEPT_CR_WRITE:
      return controlWriteExits(block, cpu, insn);
    case INTERCEPT_CR_READ:
      return insn.b === 3;
    case INTERCEPT_MSR:
      return msrExits(block, cpu.regs[1]!, insn.row.mnemonic === 'WRMSR');
    case INTERCEPT_WBINVD:
      return insn.row.mnemonic === 'INVD' || (block.peek(VMCS.SECONDARY_CONTROLS) & CPU2_WBINVD_EXITING) !== 0;
    case INTERCEPT_PAUSE:
      if ((block.peek(VMCS.PRIMARY_CONTROLS) & CPU_PAUSE_EXITING) !== 0) return true;
      return cpu.cpl === 0 && block.pauses.exits(cpu.cycles);
    default:
      return true;
  }
}

const LMSW_PE = 1;
const LMSW_OTHERS = 0xe;

function controlWriteExits(block: ControlBlock, cpu: Cpu, insn: Insn): boolean {
  const mask = block.peek(VMCS.CR0_GUEST_HOST_MASK);
  const shadow = block.peek(VMCS.CR0_READ_SHADOW);
  if (insn.row.mnemonic === 'CLTS') return (mask & shadow & CR0_TS) !== 0;
  if (insn.row.mnemonic === 'LMSW') {
    const source = insn.isMemory ? cpu.read16(cpu.readAddress(insn, 2)) : cpu.regs[insn.a & 7]!;
    // It can set PE, but not clear it.
    const sets = (mask & source & ~shadow & LMSW_PE) !== 0;
    return sets || ((source ^ shadow) & mask & LMSW_OTHERS) !== 0;
  }
  const value = cpu.regs[insn.b]!;
  switch (insn.a) {
    case 0:
      return ((value ^ shadow) & mask) !== 0;
    case 3:
      return (block.peek(VMCS.PRIMARY_CONTROLS) & CPU_CR3_LOAD_EXITING) !== 0 && !isTarget(block, value);
    case 4:
      return ((value ^ block.peek(VMCS.CR4_READ_SHADOW)) & block.peek(VMCS.CR4_GUEST_HOST_MASK)) !== 0;
    default:
      return false;
  }
}

function isTarget(block: ControlBlock, value: number): boolean {
  const { CR3_TARGET_VALUE_0, CR3_TARGET_VALUE_1, CR3_TARGET_VALUE_2, CR3_TARGET_VALUE_3 } = VMCS;
  const targets = [CR3_TARGET_VALUE_0, CR3_TARGET_VALUE_1, CR3_TARGET_VALUE_2, CR3_TARGET_VALUE_3];
  return targets.slice(0, block.peek(VMCS.CR3_TARGET_COUNT)).some((field) => block.peek(field) === value);
}

/** MSRs of each half of the bitmap: 0 to 1FFFh, and C0000000h to C0001FFFh (SDM vol 3, 24.6.9). */
const MSRS_PER_HALF = 0x2000;
const MSR_HIGH = 0xc000_0000;

/** Bit of an MSR in the bitmaps: read low, read high, write low, write high; -1 outside both ranges. */
export function msrBit(msr: number, isWrite: boolean): number {
  const number = msr >>> 0;
  const half = number < MSRS_PER_HALF ? 0 : number >= MSR_HIGH && number < MSR_HIGH + MSRS_PER_HALF ? 1 : -1;
  return half < 0 ? -1 : ((isWrite ? 2 : 0) + half) * MSRS_PER_HALF + (number & (MSRS_PER_HALF - 1));
}

export const MSR_BITMAP_BITS = 4 * MSRS_PER_HALF;
export const IO_BITMAP_BITS = 0x10000;

function msrExits(block: ControlBlock, msr: number, isWrite: boolean): boolean {
  if ((block.peek(VMCS.PRIMARY_CONTROLS) & CPU_USE_MSR_BITMAPS) === 0) return true;
  const bit = msrBit(msr, isWrite);
  return bit < 0 || block.msrBitmap.has(bit);
}

/** Whether an access of `bytes` bytes to a port exits; an access that wraps around the last port does (SDM vol 3, 25.1.3). */
export function portExits(block: ControlBlock, port: number, bytes: number): boolean {
  const controls = block.peek(VMCS.PRIMARY_CONTROLS);
  if ((controls & CPU_USE_IO_BITMAPS) === 0) return (controls & CPU_UNCONDITIONAL_IO_EXITING) !== 0;
  if (port + bytes > IO_BITMAP_BITS) return true;
  for (let i = 0; i < bytes; i++) if (block.ioBitmap.has(port + i)) return true;
  return false;
}

/** What the CPU remembers of PAUSE at ring 0 since the last entry, for PAUSE-loop exiting (SDM vol 3, 25.1.3). */
export class PauseLoop {
  gapCycles = 0;
  windowCycles = 0;
  private first = -1;
  private last = -1;

  /** A VM entry: the next PAUSE is the first. */
  entered(): void {
    this.first = -1;
  }

  /** A PAUSE executes at time `now`, in cycles. True if the loop that it is in has lasted longer than the window. */
  exits(now: number): boolean {
    const isFirst = this.first < 0 || now - this.last > this.gapCycles;
    this.last = now;
    if (isFirst) this.first = now;
    return now - this.first > this.windowCycles;
  }
}

/**
 * The state of a CPU after RESET and INIT: real mode at F000:FFF0, with a code segment that begins 16 bytes below the top
 * of the address space plus one: base 0xFFFF0000 until the first far jump.
 * Source: SDM vol 3, table 9-1.
 */
import { followDebugRegisters } from './breakpoints.ts';
import type { Cpu } from './cpu.ts';
import { SEG_CS } from './insn.ts';
import { CR0_CD, CR0_ET, CR0_NW } from './paging.ts';
import { SEG_LDTR, SEG_TR, setSegment, updateFlat } from './segments.ts';

const RESET_CS = 0xf000;
const RESET_CS_BASE = 0xffff0000 | 0;
const RESET_EIP = 0xfff0;
const LIMIT_64K = 0xffff;
/** High words: writable data, LDT, busy 32-bit TSS; all present, base and upper limit 0. */
const DATA_HIGH = 0x9300;
const LDT_HIGH = 0x8200;
const TSS_HIGH = 0x8b00;

/** Puts a CPU into the state after RESET. Translations are flushed; MSRs keep their values, as after INIT. */
export function resetCpu(cpu: Cpu): void {
  cpu.cr0 = CR0_ET | CR0_NW | CR0_CD;
  cpu.cr2 = 0;
  cpu.cr3 = 0;
  cpu.cr4 = 0;
  cpu.regs.fill(0);
  // EDX has the processor's signature, as CPUID gives it.
  cpu.regs[2] = cpu.cpuid[1]?.[0] ?? 0;
  cpu.eip = RESET_EIP;
  cpu.debug.fill(0);
  followDebugRegisters(cpu);
  cpu.setEflags(0, -1);
  cpu.setCpl(0);
  for (let seg = 0; seg < 6; seg++) setSegment(cpu, seg, 0, LIMIT_64K, DATA_HIGH);
  cpu.segSelector[SEG_CS] = RESET_CS;
  cpu.segBase[SEG_CS] = RESET_CS_BASE;
  updateFlat(cpu, SEG_CS);
  setSegment(cpu, SEG_LDTR, 0, LIMIT_64K, LDT_HIGH);
  setSegment(cpu, SEG_TR, 0, LIMIT_64K, TSS_HIGH);
  cpu.gdtBase = 0;
  cpu.gdtLimit = LIMIT_64K;
  cpu.idtBase = 0;
  cpu.idtLimit = LIMIT_64K;
  cpu.pendingDebug = 0;
  cpu.flushTlb(true);
}

/**
 * The state of a CPU after INIT, and after a start-up message to one that waits for it.
 * Invariant: INIT leaves the MSRs, the time-stamp counter and the memory as they are.
 * Source: SDM vol 3, table 9-1 (state after reset and INIT) and 8.4 (start-up of application processors).
 */
import { followDebugRegisters } from './breakpoints.ts';
import type { Cpu } from './cpu.ts';
import { CR0_CD, CR0_ET, CR0_NW } from './paging.ts';
import { SEG_LDTR, SEG_TR, setSegment } from './segments.ts';

const RESET_EIP = 0xfff0;
const RESET_CODE_BASE = 0xffff0000;
const LIMIT_64K = 0xffff;
/** Present, writable data, accessed: what every segment register is after reset, CS too. */
const DATA_HIGH = 0x9300;
const LDT_HIGH = 0x8200;
const TSS_HIGH = 0x8b00;
const EDX = 2;

/** INIT. */
export function resetCpu(cpu: Cpu): void {
  cpu.regs.fill(0);
  cpu.regs[EDX] = cpu.cpuid[1]?.[0] ?? 0;
  cpu.cr0 = CR0_ET | CR0_CD | CR0_NW;
  cpu.cr2 = 0;
  cpu.cr3 = 0;
  cpu.cr4 = 0;
  cpu.debug.fill(0);
  followDebugRegisters(cpu);
  cpu.gdtBase = 0;
  cpu.gdtLimit = LIMIT_64K;
  cpu.idtBase = 0;
  cpu.idtLimit = LIMIT_64K;
  cpu.setEflags(0, -1);
  for (const seg of [0, 2, 3, 4, 5]) setSegment(cpu, seg, 0, LIMIT_64K, DATA_HIGH);
  setCodeSegment(cpu, 0xf000, RESET_CODE_BASE);
  setSegment(cpu, SEG_LDTR, 0, LIMIT_64K, LDT_HIGH);
  setSegment(cpu, SEG_TR, 0, LIMIT_64K, TSS_HIGH);
  cpu.eip = RESET_EIP;
  cpu.nmiBlocked = false;
  cpu.takePendingTrap();
  cpu.setCpl(0);
  cpu.flushTlb(true);
}

/** A start-up message: execution begins in real mode at physical address vector * 4096. */
export function startCpu(cpu: Cpu, vector: number): void {
  setCodeSegment(cpu, vector << 8, vector << 12);
  cpu.eip = 0;
}

function setCodeSegment(cpu: Cpu, selector: number, base: number): void {
  const low = ((base & 0xffff) << 16) | LIMIT_64K;
  setSegment(cpu, 1, selector, low, ((base >>> 16) & 0xff) | (base & 0xff000000) | DATA_HIGH);
}

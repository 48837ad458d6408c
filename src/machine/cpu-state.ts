/**
 * The architectural state of a CPU as plain data: for saving, restoring and comparing.
 * Invariant: holds every register that instructions can observe, and nothing of the simulator's own.
 */
import { followDebugRegisters } from './breakpoints.ts';
import type { Cpu } from './cpu.ts';
import { FPU_STATE_WORDS } from './fpu/fpu.ts';
import { updateFlat } from './segments.ts';

/** Registers of one CPU at one moment. Plain data: structuredClone copies it. */
export interface CpuState {
  readonly regs: Int32Array;
  readonly segSelector: Int32Array;
  readonly segBase: Int32Array;
  readonly segLimit: Int32Array;
  readonly segAttributes: Int32Array;
  readonly debug: Int32Array;
  /** What Fpu.saveTo() writes. */
  readonly fpu: Int32Array;
  eip: number;
  eflags: number;
  cpl: number;
  gdtBase: number;
  gdtLimit: number;
  idtBase: number;
  idtLimit: number;
  cr0: number;
  cr2: number;
  cr3: number;
  cr4: number;
}

const SCALARS = ['cpl', 'gdtBase', 'gdtLimit', 'idtBase', 'idtLimit', 'cr0', 'cr2', 'cr3', 'cr4'] as const;
const ARRAYS = ['segSelector', 'segBase', 'segLimit', 'segAttributes', 'debug'] as const;

/** An empty record to save into. */
export function newCpuState(): CpuState {
  return {
    regs: new Int32Array(8),
    segSelector: new Int32Array(8),
    segBase: new Int32Array(8),
    segLimit: new Int32Array(8),
    segAttributes: new Int32Array(8),
    debug: new Int32Array(8),
    fpu: new Int32Array(FPU_STATE_WORDS),
    eip: 0,
    eflags: 0,
    cpl: 0,
    gdtBase: 0,
    gdtLimit: 0,
    idtBase: 0,
    idtLimit: 0,
    cr0: 0,
    cr2: 0,
    cr3: 0,
    cr4: 0,
  };
}

/** Copies the registers of `cpu` into `state`. */
export function saveCpu(cpu: Cpu, state: CpuState): void {
  for (let r = 0; r < 8; r++) state.regs[r] = cpu.regs[r]!;
  for (const name of ARRAYS) state[name].set(cpu[name]);
  for (const name of SCALARS) state[name] = cpu[name];
  cpu.fpu.saveTo(state.fpu);
  state.eip = cpu.eip;
  state.eflags = cpu.getEflags();
}

/** Gives `cpu` the registers in `state`. Translations are the caller's business (MMU, flushes). */
export function restoreCpu(cpu: Cpu, state: CpuState): void {
  cpu.regs.set(state.regs);
  for (const name of ARRAYS) cpu[name].set(state[name]);
  for (const name of SCALARS) cpu[name] = state[name];
  cpu.fpu.restoreFrom(state.fpu);
  cpu.eip = state.eip;
  cpu.setEflags(state.eflags, -1);
  cpu.setCpl(state.cpl);
  followDebugRegisters(cpu);
  for (let seg = 0; seg < 6; seg++) updateFlat(cpu, seg);
}

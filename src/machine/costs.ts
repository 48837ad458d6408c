/**
 * What instructions and page walks cost on one model of CPU: the timing half of a machine preset.
 * Every instruction has a cost class (a column of the ISA table); its cycles are a property of its decoded form,
 * plus the page walks that it really causes. There is no pipeline or cache model: see docs/decisions.md.
 */
import type { Cycles } from '../core/units.ts';
import type { TlbSpec } from './tlb.ts';

/** Cost classes, in the order of the ISA table's column. */
export const COST_CLASSES = [
  'simple', // register arithmetic, moves, address computation
  'load', // reads memory
  'store', // writes memory
  'modify', // reads and writes the same memory operand
  'locked', // LOCK prefix or XCHG with memory
  'multiply',
  'divide',
  'branch', // near jumps, taken or not
  'call', // near call, return
  'stack', // push, pop
  'string', // one iteration of a string instruction
  'flags', // pushf, popf, cli, sti
  'segment', // load of a segment register
  'far', // far jump, call, return without change of ring
  'interrupt', // INT n and exception or interrupt delivery, to the first instruction of the handler
  'iret',
  'descriptor', // lgdt, lidt, lldt, ltr, sgdt, ..., lar, verr
  'control', // mov to or from control and debug registers, lmsw, clts
  'invlpg',
  'cpuid',
  'rdtsc',
  'msr',
  'io', // in, out to a device on the bus, on the bare machine
  'halt',
  'float', // floating-point load, store, add, multiply, compare
  'float-divide', // divide, square root, remainder
  'float-function', // transcendental functions and packed decimal
  'float-state', // environment and full state of the unit
] as const;

export type CostClass = (typeof COST_CLASSES)[number];

/** Cycles of each class, as integers. */
export type InstructionCosts = Readonly<Record<CostClass, Cycles>>;

/** The CPU model that the emulated PC needs to account time. */
export interface CpuTiming {
  readonly instructions: InstructionCosts;
  /** Cycles for one page-table entry read by the walker. */
  readonly walkReferenceCycles: Cycles;
  readonly itlb: TlbSpec;
  readonly dtlb: TlbSpec;
}

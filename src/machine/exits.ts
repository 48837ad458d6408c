/**
 * Numbers that the CPU and its owner share: why Cpu.run returned, and exception vectors.
 * Source of the vectors: SDM vol 3, table 6-1.
 */

/** Why run() returned. */
export const EXIT_BUDGET = 0;
/** HLT retired; the CPU waits for an interrupt. */
export const EXIT_HALT = 1;
/** IN, OUT, INS or OUTS at EIP wants the bus: see io*; answer with completeIo(). */
export const EXIT_IO = 2;
/** An exception whose bit is set in interceptExceptions; EIP is at the faulting instruction. */
export const EXIT_EXCEPTION = 3;
/** Exception delivery failed three times: the CPU is shut down. */
export const EXIT_TRIPLE_FAULT = 4;
/** interruptPending is set and the CPU can take an interrupt now. */
export const EXIT_INTERRUPT_WINDOW = 5;
/** An instruction with an INTERCEPT_* bit is about to execute: see exitInsn. */
export const EXIT_INTERCEPT = 6;
/** The second-level page tables lack a mapping (EPT violation): exitGpa, exitError. */
export const EXIT_NESTED_FAULT = 7;
/** observeSensitive is set and a sensitive instruction is about to execute: see exitInsn. */
export const EXIT_SENSITIVE = 8;
/** The guest used something that this CPU does not implement: exitText. */
export const EXIT_UNIMPLEMENTED = 9;
/** interceptTaskSwitch is set and an instruction or an event (exitDuring) is about to switch the task. */
export const EXIT_TASK_SWITCH = 16;
/** The instruction at EIP accesses a memory-mapped device: exitGpa, exitLin, exitError. Execute it with Cpu.mmio set. */
export const EXIT_MMIO = 17;
/** VMLAUNCH or VMRESUME loaded another state: the owner puts the controls that now apply in force (Cpu.vmx). */
export const EXIT_VMX = 18;
/**
 * CR0.NE is clear and the x87 instruction at EIP finds an error to report: the CPU asserts FERR and stands still until it is
 * interrupted, or until its IGNNE input lets it go on (Fpu.ignoreErrors).
 */
export const EXIT_FERR = 19;

/** Stands for the error code of a fault or an event that has none. */
export const NO_ERROR_CODE = -1;

/** Exception vectors (SDM vol 3, table 6-1). */
export const VECTOR_DE = 0;
export const VECTOR_DB = 1;
export const VECTOR_NMI = 2;
export const VECTOR_BP = 3;
export const VECTOR_OF = 4;
export const VECTOR_BR = 5;
export const VECTOR_UD = 6;
export const VECTOR_NM = 7;
export const VECTOR_DF = 8;
export const VECTOR_TS = 10;
export const VECTOR_NP = 11;
export const VECTOR_SS = 12;
export const VECTOR_GP = 13;
export const VECTOR_PF = 14;
export const VECTOR_MF = 16;
export const VECTOR_AC = 17;
export const VECTOR_XM = 19;

/** Exceptions that form a double fault when one of them meets another during delivery (SDM vol 3, table 6-4). */
const isContributory = (vector: number): boolean =>
  vector === VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);

/** Whether `second`, raised while `first` was delivered, makes a double fault. */
export function escalates(first: number, second: number): boolean {
  if (first === VECTOR_PF) return second === VECTOR_PF || isContributory(second);
  return isContributory(first) && isContributory(second);
}

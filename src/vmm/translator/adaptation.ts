/**
 * Adaptive translation of memory accesses: an instruction that keeps hitting traced pages or devices is translated anew
 * as a call of the VMM's access routine (IDENT to SIMULATE), and back when it has long hit neither.
 * Invariant: going there takes several faults and coming back takes many more harmless accesses, so no instruction
 * changes its translation at every turn.
 * Source: Adams & Agesen, ASPLOS 2006, section 3.2 (adaptive binary translation). The thresholds are our choice: a fault
 * costs about ten times a simulated access, and a new translation about as much as a fault.
 */

/** Faults of an instruction after which it is simulated. */
export const FAULTS_MAX = 3;
/** Simulated accesses in a row that need not have been, after which it is copied again. */
export const HARMLESS_MAX = 32;

export class Adaptation {
  /** Guest addresses of instructions that are simulated. */
  readonly simulated = new Set<number>();
  private readonly faults = new Map<number, number>();
  private readonly harmless = new Map<number, number>();

  /** The copied instruction at `eip` faulted on a traced page or a device. True: translate it anew. */
  faulted(eip: number): boolean {
    const count = (this.faults.get(eip) ?? 0) + 1;
    this.faults.set(eip, count);
    if (count < FAULTS_MAX || this.simulated.has(eip)) return false;
    this.faults.delete(eip);
    this.simulated.add(eip);
    return true;
  }

  /** The simulated instruction at `eip` was carried out. `hit`: it would have faulted. True: translate it anew. */
  accessed(eip: number, hit: boolean): boolean {
    if (hit) {
      this.harmless.delete(eip);
      return false;
    }
    const count = (this.harmless.get(eip) ?? 0) + 1;
    this.harmless.set(eip, count);
    if (count < HARMLESS_MAX) return false;
    this.harmless.delete(eip);
    this.simulated.delete(eip);
    return true;
  }

  /** Other code may be at these addresses. */
  forget(): void {
    this.simulated.clear();
    this.faults.clear();
    this.harmless.clear();
  }
}

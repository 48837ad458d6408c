/**
 * How often a VM left its guest, and what each reason cost.
 * Invariant: the cycles of all rows sum to what the VM's vCPUs were charged for exits and VMM software.
 */
import type { Cycles } from '../core/units.ts';

export interface ExitRow {
  readonly reason: string;
  count: number;
  cycles: Cycles;
}

export class ExitTable {
  private readonly rows = new Map<string, ExitRow>();

  /** Counts one exit. */
  count(reason: string): void {
    this.row(reason).count++;
  }

  /** Adds cycles to a reason, exit hardware and VMM software alike. */
  charge(reason: string, cycles: Cycles): void {
    this.row(reason).cycles += cycles;
  }

  /** Rows by reason, in alphabetical order. */
  sorted(): ExitRow[] {
    return [...this.rows.values()].sort((a, b) => (a.reason < b.reason ? -1 : a.reason > b.reason ? 1 : 0));
  }

  /** Exits of all reasons. */
  get total(): number {
    let sum = 0;
    for (const row of this.rows.values()) sum += row.count;
    return sum;
  }

  private row(reason: string): ExitRow {
    let row = this.rows.get(reason);
    if (row === undefined) {
      row = { reason, count: 0, cycles: 0 };
      this.rows.set(reason, row);
    }
    return row;
  }
}

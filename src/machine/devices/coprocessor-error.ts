/**
 * What a PC does with the error output of the x87 unit, FERR: it becomes interrupt 13, and a write of port 0xF0 takes the
 * interrupt away and has the CPU ignore the error (IGNNE) until its cause is cleared.
 * Invariants: the line goes up when the CPU stands still for an error, and stays until the port is written; the value
 * written does not matter; IGNNE itself is kept by the unit, which knows when the error is gone.
 * Sources: Intel 82371AB (PIIX4) datasheet, "Coprocessor Error Register"; SDM vol 1, appendix D.
 */
import type { AccessBytes, IrqLine, PortDevice } from './device.ts';

const PORT = 0xf0;

export class CoprocessorError implements PortDevice {
  readonly name = 'coprocessor-error';
  readonly ports = [{ first: PORT, count: 1 }];
  state = { isRaised: false };
  private readonly line: IrqLine;
  private readonly onAcknowledged: () => void;

  constructor(line: IrqLine, onAcknowledged: () => void) {
    this.line = line;
    this.onAcknowledged = onAcknowledged;
  }

  reset(): void {
    this.state = { isRaised: false };
    this.line.lower();
  }

  /** The CPU asserts FERR. */
  raise(): void {
    this.state.isRaised = true;
    this.line.raise();
  }

  /** Write-only: nobody answers. */
  readPort(_port: number, bytes: AccessBytes): number {
    return 2 ** (8 * bytes) - 1;
  }

  writePort(): void {
    this.state.isRaised = false;
    this.line.lower();
    this.onAcknowledged();
  }
}

/**
 * System control port A (0x92): fast A20 gate and fast reset.
 * Invariants: bit 1 is the A20 gate and reads back; a rising bit 0 asks for a reset once.
 * After a power-on reset A20 is open here, as a boot loader leaves it; memory itself does not look at the gate,
 * so a guest that closes it sees the bit change and no wrap-around at 1 MiB.
 * Source: IBM PS/2 Hardware Interface Technical Reference, "System Control Port A".
 */
import type { AccessBytes, PortDevice } from './device.ts';

const PORT = 0x92;
const FAST_RESET = 0x01;
const A20_OPEN = 0x02;

export class Port92 implements PortDevice {
  readonly name = 'port92';
  readonly ports = [{ first: PORT, count: 1 }];
  state = { control: A20_OPEN };
  private readonly onReset: () => void;

  constructor(onReset: () => void) {
    this.onReset = onReset;
  }

  get a20Open(): boolean {
    return (this.state.control & A20_OPEN) !== 0;
  }

  reset(): void {
    this.state = { control: A20_OPEN };
  }

  readPort(_port: number, _bytes: AccessBytes): number {
    return this.state.control;
  }

  writePort(_port: number, _bytes: AccessBytes, value: number): void {
    const rises = (value & ~this.state.control & FAST_RESET) !== 0;
    this.state.control = value & (FAST_RESET | A20_OPEN);
    if (rises) this.onReset();
  }
}

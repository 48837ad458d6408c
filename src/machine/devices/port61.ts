/**
 * System control port B (0x61): gate and output of PIT counter 2, the speaker bit, the refresh toggle.
 * Invariants: bits 0-3 read back as written; bits 6 and 7 (memory parity, I/O check) never report an error.
 * Source: IBM PC/AT Technical Reference, "System Control"; bit 4 changes with every refresh request, which the BIOS
 * sets to one per 18 PIT pulses (15.09 us). Here it does so whatever counter 1 holds.
 */
import type { AccessBytes, PortDevice } from './device.ts';
import type { Pit } from './pit.ts';

const PORT = 0x61;
const GATE2 = 0x01;
const WRITABLE = 0x0f;
const REFRESH_TOGGLE = 0x10;
const OUT2 = 0x20;
const REFRESH_PIT_TICKS = 18;

export class Port61 implements PortDevice {
  readonly name = 'port61';
  readonly ports = [{ first: PORT, count: 1 }];
  state = { control: 0 };
  private readonly pit: Pit;

  constructor(pit: Pit) {
    this.pit = pit;
  }

  reset(): void {
    this.writePort(PORT, 1, 0);
  }

  readPort(_port: number, _bytes: AccessBytes): number {
    const refresh = Math.floor(this.pit.ticks() / REFRESH_PIT_TICKS) % 2 === 1 ? REFRESH_TOGGLE : 0;
    return this.state.control | refresh | (this.pit.out(2) ? OUT2 : 0);
  }

  writePort(_port: number, _bytes: AccessBytes, value: number): void {
    this.state.control = value & WRITABLE;
    this.pit.setGate(2, (value & GATE2) !== 0);
  }
}

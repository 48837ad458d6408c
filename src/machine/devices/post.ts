/**
 * Port 0x80: the POST code display. Kernels write it for a short delay, test ROMs report through it.
 * Invariant: a read gives the last byte written (on a PC/AT this is a spare register of the DMA page file).
 * Source: IBM PC/AT Technical Reference, "Diagnostic-checkpoint port".
 */
import type { AccessBytes, PortDevice } from './device.ts';

const PORT = 0x80;

export class PostPort implements PortDevice {
  readonly name = 'post';
  readonly ports = [{ first: PORT, count: 1 }];
  state = { code: 0 };

  reset(): void {
    this.state = { code: 0 };
  }

  readPort(_port: number, _bytes: AccessBytes): number {
    return this.state.code;
  }

  writePort(_port: number, _bytes: AccessBytes, value: number): void {
    this.state.code = value & 0xff;
  }
}

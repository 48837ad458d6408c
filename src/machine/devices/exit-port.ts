/**
 * Exit port 0xF4-0xF7: a write ends the run with a value. What the value means is the caller's business
 * (QEMU's process ends with the code 2 * value + 1).
 * Invariant: each write reports once, with the value as wide as the access; reads give 0.
 * Source: QEMU's isa-debug-exit with iobase=0xf4,iosize=0x04, which reads 0 (seen on QEMU 7.2).
 */
import { type AccessBytes, openBus, type PortDevice } from './device.ts';

const PORT = 0xf4;

export class ExitPort implements PortDevice {
  readonly name = 'exit-port';
  readonly ports = [{ first: PORT, count: 4, widestBytes: 4 as const }];
  readonly state = {};
  private readonly onExit: (value: number) => void;

  constructor(onExit: (value: number) => void) {
    this.onExit = onExit;
  }

  reset(): void {
    // keeps nothing
  }

  readPort(_port: number, _bytes: AccessBytes): number {
    return 0;
  }

  writePort(_port: number, bytes: AccessBytes, value: number): void {
    this.onExit((value & openBus(bytes)) >>> 0);
  }
}

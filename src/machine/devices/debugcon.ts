/**
 * Debug console on port 0xE9: every byte written is a byte of text for whoever runs the machine.
 * Invariant: a read gives 0xE9, which is how a guest finds it.
 * Source: the port 0xE9 hack of Bochs (user manual, "port_e9_hack") and QEMU's -debugcon.
 */
import type { AccessBytes, PortDevice } from './device.ts';

const PORT = 0xe9;

export class Debugcon implements PortDevice {
  readonly name = 'debugcon';
  readonly ports = [{ first: PORT, count: 1 }];
  readonly state = {};
  private readonly onByte: (byte: number) => void;

  constructor(onByte: (byte: number) => void) {
    this.onByte = onByte;
  }

  reset(): void {
    // keeps nothing
  }

  readPort(_port: number, _bytes: AccessBytes): number {
    return PORT;
  }

  writePort(_port: number, _bytes: AccessBytes, value: number): void {
    this.onByte(value & 0xff);
  }
}

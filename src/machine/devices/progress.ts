/**
 * Progress port 0xE4-0xE7: a guest writes how many units of work it has done since it started (32 bits).
 * It is how throughput is measured without asking the guest for the time. On QEMU and Bochs the port is unassigned.
 * Invariants: only a 32-bit write to the first port counts; the last value written reads back.
 * Source: our choice.
 */
import { type AccessBytes, openBus, type PortDevice } from './device.ts';

const PORT = 0xe4;

export class Progress implements PortDevice {
  readonly name = 'progress';
  readonly ports = [{ first: PORT, count: 4, widestBytes: 4 as const }];
  state = { units: 0 };
  private readonly onProgress: (units: number) => void;

  constructor(onProgress: (units: number) => void) {
    this.onProgress = onProgress;
  }

  reset(): void {
    this.state = { units: 0 };
  }

  readPort(port: number, bytes: AccessBytes): number {
    return ((this.state.units >>> (8 * (port - PORT))) & openBus(bytes)) >>> 0;
  }

  writePort(port: number, bytes: AccessBytes, value: number): void {
    if (port !== PORT || bytes !== 4) return;
    this.state.units = value >>> 0;
    this.onProgress(this.state.units);
  }
}

/**
 * What one vCPU's accesses to memory-mapped devices reach: its own local APIC, and the devices of its VM.
 * Invariant: each access is charged once, by whoever carries the instruction out.
 */
import type { Gpa } from '../core/units.ts';
import type { MmioHandler } from '../machine/cpu-core.ts';
import type { AccessBytes } from '../machine/devices/device.ts';
import type { Lapic } from '../machine/devices/lapic.ts';
import type { MemoryBus } from '../machine/memory-bus.ts';

export class DeviceMemory implements MmioHandler {
  private readonly lapic: Lapic;
  private readonly bus: MemoryBus;
  private readonly charge: (device: string | undefined) => void;

  /** @param charge pays for one access to the named device; undefined: nobody answers */
  constructor(lapic: Lapic, bus: MemoryBus, charge: (device: string | undefined) => void) {
    this.lapic = lapic;
    this.bus = bus;
    this.charge = charge;
  }

  read(gpa: Gpa, bytes: AccessBytes): number {
    if (this.isLapic(gpa)) {
      this.charge(this.lapic.name);
      return this.lapic.readMemory(gpa & 0xfff, bytes);
    }
    this.charge(this.bus.deviceAt(gpa)?.name);
    return this.bus.read(gpa, bytes);
  }

  write(gpa: Gpa, bytes: AccessBytes, value: number): void {
    if (this.isLapic(gpa)) {
      this.charge(this.lapic.name);
      this.lapic.writeMemory(gpa & 0xfff, bytes, value >>> 0);
    } else {
      this.charge(this.bus.deviceAt(gpa)?.name);
      this.bus.write(gpa, bytes, value);
    }
  }

  private isLapic(gpa: Gpa): boolean {
    return gpa - (gpa % 4096) === this.lapic.page;
  }
}

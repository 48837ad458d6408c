/**
 * The memory-mapped devices of one machine, by page.
 * Invariant: a page has at most one device; every count is one access that reached the device.
 */
import { assert } from '../core/errors.ts';
import type { Gpa } from '../core/units.ts';
import type { PortCounts } from './bus.ts';
import { type AccessBytes, type MemoryDevice, openBus } from './devices/device.ts';

export class MemoryBus {
  /** Devices in the order attached. */
  readonly devices: MemoryDevice[] = [];
  /** One row per device, in the order attached. */
  readonly counts: PortCounts[] = [];

  attach<D extends MemoryDevice>(device: D): D {
    assert(device.page % 4096 === 0, `${device.name}: its page is not aligned`);
    const other = this.deviceAt(device.page);
    assert(other === undefined, `page 0x${device.page.toString(16)} belongs to ${other?.name} and ${device.name}`);
    this.devices.push(device);
    this.counts.push({ device: device.name, reads: 0, writes: 0 });
    return device;
  }

  /** The device with this address in its page. */
  deviceAt(gpa: Gpa): MemoryDevice | undefined {
    return this.devices[this.indexAt(gpa)];
  }

  /** The unsigned value that `bytes` bytes at `gpa` give; all ones where there is no device. */
  read(gpa: Gpa, bytes: AccessBytes): number {
    const index = this.indexAt(gpa);
    if (index < 0) return openBus(bytes);
    this.counts[index]!.reads++;
    return this.devices[index]!.readMemory(gpa & 0xfff, bytes) >>> 0;
  }

  /** Writes the low `bytes` bytes of `value`. */
  write(gpa: Gpa, bytes: AccessBytes, value: number): void {
    const index = this.indexAt(gpa);
    if (index < 0) return;
    this.counts[index]!.writes++;
    this.devices[index]!.writeMemory(gpa & 0xfff, bytes, (value & openBus(bytes)) >>> 0);
  }

  reset(): void {
    for (const device of this.devices) device.reset();
  }

  private indexAt(gpa: Gpa): number {
    const page = gpa - (gpa % 4096);
    return this.devices.findIndex((device) => device.page === page);
  }
}

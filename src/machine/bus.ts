/**
 * The I/O port bus: finds the device behind a port, splits accesses wider than the device, counts them.
 * Invariants: a port has at most one device; unassigned ports read all ones and ignore writes; every count is
 * one bus cycle that reached the device, so a 16-bit access to a byte device counts twice.
 * Source: ISA bus cycles (IBM PC/AT Technical Reference): a 16-bit access to an 8-bit device becomes two byte
 * accesses, low address first.
 */
import { assert } from '../core/errors.ts';
import { type AccessBytes, openBus, type PortDevice } from './devices/device.ts';

const PORTS = 0x1_0000;

/** Bus cycles that one device answered. */
export interface PortCounts {
  readonly device: string;
  reads: number;
  writes: number;
}

interface Slot {
  readonly device: PortDevice;
  readonly first: number;
  readonly end: number;
  readonly widestBytes: AccessBytes;
  readonly counts: PortCounts;
}

export class PortBus {
  /** Devices in the order attached. */
  readonly devices: PortDevice[] = [];
  /** One row per device, in the order attached. */
  readonly counts: PortCounts[] = [];
  /** Bus cycles on ports that no device has. */
  readonly unassigned: PortCounts = { device: 'unassigned', reads: 0, writes: 0 };
  private readonly slots = new Map<number, Slot>();

  /** Plugs a device in. Two devices on one port, or with one name, are a defect of the machine's description. */
  attach(device: PortDevice): void {
    assert(!this.counts.some((row) => row.device === device.name), `two devices are named ${device.name}`);
    const counts: PortCounts = { device: device.name, reads: 0, writes: 0 };
    for (const range of device.ports) {
      const end = range.first + range.count;
      assert(range.first >= 0 && range.count > 0 && end <= PORTS, `${device.name}: no such ports`);
      const slot: Slot = { device, first: range.first, end, widestBytes: range.widestBytes ?? 1, counts };
      for (let port = range.first; port < end; port++) {
        const other = this.slots.get(port);
        assert(other === undefined, `port 0x${port.toString(16)} belongs to ${other?.device.name} and ${device.name}`);
        this.slots.set(port, slot);
      }
    }
    this.devices.push(device);
    this.counts.push(counts);
  }

  /** The device behind a port, for tools and messages. */
  deviceAt(port: number): PortDevice | undefined {
    return this.slots.get(port)?.device;
  }

  /** IN: the unsigned value that `bytes` bytes from `port` give. */
  read(port: number, bytes: AccessBytes): number {
    const slot = this.slots.get(port);
    if (slot !== undefined && takesWhole(slot, port, bytes)) {
      slot.counts.reads++;
      return slot.device.readPort(port, bytes) >>> 0;
    }
    if (bytes === 1) {
      this.unassigned.reads++;
      return openBus(1);
    }
    const half = bytes === 4 ? 2 : 1;
    const low = this.read(port, half);
    const high = this.read((port + half) % PORTS, half);
    return (low | (high << (8 * half))) >>> 0;
  }

  /** OUT: writes the low `bytes` bytes of `value`; the bits above them do not matter. */
  write(port: number, bytes: AccessBytes, value: number): void {
    const slot = this.slots.get(port);
    if (slot !== undefined && takesWhole(slot, port, bytes)) {
      slot.counts.writes++;
      slot.device.writePort(port, bytes, (value & openBus(bytes)) >>> 0);
      return;
    }
    if (bytes === 1) {
      this.unassigned.writes++;
      return;
    }
    const half = bytes === 4 ? 2 : 1;
    this.write(port, half, value);
    this.write((port + half) % PORTS, half, value >>> (8 * half));
  }

  /** The RESET line of the bus: every device starts anew. Counts go on. */
  reset(): void {
    for (const device of this.devices) device.reset();
  }
}

/** A device takes an access in one piece if it is wide enough, and the access is aligned and inside its ports. */
function takesWhole(slot: Slot, port: number, bytes: AccessBytes): boolean {
  if (bytes === 1) return true;
  return bytes <= slot.widestBytes && port % bytes === 0 && port + bytes <= slot.end;
}

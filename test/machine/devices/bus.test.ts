/** Port bus: dispatch, splitting of wide accesses, open bus, counts. */
import { expect, test } from 'vitest';
import { PortBus } from '../../../src/machine/bus.ts';
import type { AccessBytes, PortDevice, PortRange } from '../../../src/machine/devices/device.ts';

/** Logs every access and reads a value that tells port and width. */
class Probe implements PortDevice {
  readonly name: string;
  readonly ports: readonly PortRange[];
  readonly state = {};
  readonly log: string[] = [];

  constructor(name: string, ports: readonly PortRange[]) {
    this.name = name;
    this.ports = ports;
  }

  reset(): void {
    this.log.push('reset');
  }

  readPort(port: number, bytes: AccessBytes): number {
    this.log.push(`in${8 * bytes} ${port.toString(16)}`);
    return bytes === 1 ? port & 0xff : bytes === 2 ? port : (port | 0xffff_0000) >>> 0;
  }

  writePort(port: number, bytes: AccessBytes, value: number): void {
    this.log.push(`out${8 * bytes} ${port.toString(16)}=${value.toString(16)}`);
  }
}

function busWith(...probes: Probe[]): PortBus {
  const bus = new PortBus();
  for (const probe of probes) bus.attach(probe);
  return bus;
}

test('a byte device gets wide accesses byte by byte, low address first', () => {
  const probe = new Probe('bytes', [{ first: 0x10, count: 4 }]);
  const bus = busWith(probe);
  expect(bus.read(0x10, 4)).toBe(0x13121110);
  bus.write(0x10, 2, 0xbeef);
  expect(probe.log).toEqual(['in8 10', 'in8 11', 'in8 12', 'in8 13', 'out8 10=ef', 'out8 11=be']);
  expect(bus.counts).toEqual([{ device: 'bytes', reads: 4, writes: 2 }]);
});

test('a wide device gets aligned accesses whole, others in pieces', () => {
  const probe = new Probe('wide', [{ first: 0xf4, count: 4, widestBytes: 4 }]);
  const bus = busWith(probe);
  expect(bus.read(0xf4, 4)).toBe(0xffff00f4);
  bus.write(0xf4, 4, 0x89abcdef);
  bus.write(0xf5, 2, 0x1234);
  bus.write(0xf6, 4, 0x11223344);
  expect(probe.log).toEqual(['in32 f4', 'out32 f4=89abcdef', 'out8 f5=34', 'out8 f6=12', 'out16 f6=3344']);
  expect(bus.unassigned.writes).toBe(2);
});

test('nobody home: all ones, writes ignored, and half an access can still meet a device', () => {
  const probe = new Probe('one', [{ first: 0x81, count: 1 }]);
  const bus = busWith(probe);
  expect([bus.read(0x1234, 1), bus.read(0x1234, 2), bus.read(0x1234, 4)]).toEqual([0xff, 0xffff, 0xffff_ffff]);
  bus.write(0x1234, 4, 1);
  expect(bus.read(0x80, 2)).toBe(0x81ff);
  expect(bus.read(0x7e, 4)).toBe(0x81ff_ffff);
});

test('an access at the last port goes around to the first', () => {
  const probe = new Probe('zero', [{ first: 0, count: 1 }]);
  expect(busWith(probe).read(0xffff, 2)).toBe(0x00ff);
  expect(probe.log).toEqual(['in8 0']);
});

test('a value wider than the access is cut', () => {
  const probe = new Probe('one', [{ first: 0x81, count: 1 }]);
  busWith(probe).write(0x81, 1, -1);
  expect(probe.log).toEqual(['out8 81=ff']);
});

test('two devices on one port are refused, and so are two of one name', () => {
  const bus = busWith(new Probe('a', [{ first: 1, count: 2 }]));
  expect(() => bus.attach(new Probe('b', [{ first: 2, count: 1 }]))).toThrow('port 0x2 belongs to a and b');
  expect(() => bus.attach(new Probe('a', [{ first: 9, count: 1 }]))).toThrow('two devices are named a');
});

test('reset reaches every device, in the order attached', () => {
  const probes = [new Probe('a', []), new Probe('b', [])];
  busWith(...probes).reset();
  expect(probes.map((probe) => probe.log)).toEqual([['reset'], ['reset']]);
});

/**
 * What holds for every device of a PC: reset gives the state of a new one, no access throws, values are unsigned and
 * fit the access, the state can be cloned.
 */
import { inspect, isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AccessBytes, PortDevice } from '../../../src/machine/devices/device.ts';
import { createPc } from '../../../src/machine/pc.ts';
import { FakeClock } from './fake-clock.ts';
import { MemoryDisk } from './memory-disk.ts';

function newMachine() {
  const clock = new FakeClock();
  // Nobody is master of the second channel.
  const disks = [new MemoryDisk(5000), new MemoryDisk(100), null, new MemoryDisk(3)];
  return { clock, pc: createPc({ clock, memoryBytes: 64 * 2 ** 20, disks }) };
}

const names = newMachine().pc.bus.devices.map((device) => device.name);

/** Ports inside the device's ranges. */
function portsOf(device: PortDevice): number[] {
  return device.ports.flatMap((range) => Array.from({ length: range.count }, (_, n) => range.first + n));
}

const access = fc.record({
  port: fc.nat(1000),
  bytes: fc.constantFrom<AccessBytes>(1, 2, 4),
  value: fc.oneof(fc.nat(0xff), fc.nat(0xffff_ffff)),
  isWrite: fc.boolean(),
  wait: fc.oneof(fc.constant(0), fc.nat(3_000_000_000)),
});

describe.each(names)('%s', (name) => {
  test('answers any access, and reset gives the state of a new device', () => {
    fc.assert(
      fc.property(fc.array(access, { maxLength: 80 }), (accesses) => {
        const { clock, pc } = newMachine();
        const device = pc.bus.devices.find((each) => each.name === name)!;
        const ports = portsOf(device);
        device.reset();
        const fresh = structuredClone(device.state);
        for (const each of accesses) {
          const port = ports[each.port % ports.length]!;
          if (each.isWrite) device.writePort(port, each.bytes, each.value);
          else expectUnsigned(device.readPort(port, each.bytes), each.bytes);
          // Long waits only while no fast timer runs: a test has no use for a million interrupts.
          const isFast = clock.pending > 0 && clock.next - clock.time < 10_000_000;
          clock.runTo(clock.time + (isFast ? each.wait % 1_000_000 : each.wait));
        }
        expectSame(structuredClone(device.state), device.state);
        clock.jumpTo(0); // a new device knows no past
        device.reset();
        expectSame(device.state, fresh);
      }),
      { numRuns: 60 },
    );
  });
});

test('the whole machine: any access on any port, then reset is power-on', () => {
  const anyAccess = fc.tuple(fc.nat(0xffff), fc.constantFrom<AccessBytes>(1, 2, 4), fc.nat(0xffff_ffff), fc.boolean());
  const knownPort = fc.constantFrom(...newMachine().pc.bus.devices.flatMap(portsOf));
  const known = fc.tuple(knownPort, fc.constantFrom<AccessBytes>(1, 2, 4), fc.nat(0xffff_ffff), fc.boolean());
  fc.assert(
    fc.property(fc.array(fc.oneof(anyAccess, known), { maxLength: 200 }), (accesses) => {
      const { clock, pc } = newMachine();
      const states = () => pc.bus.devices.map((device) => structuredClone(device.state));
      const fresh = states();
      for (const [port, bytes, value, isWrite] of accesses) {
        if (isWrite) pc.bus.write(port, bytes, value);
        else expectUnsigned(pc.bus.read(port, bytes), bytes);
        clock.runTo(clock.time + 1000);
      }
      clock.jumpTo(0);
      pc.reset();
      expectSame(states(), fresh);
    }),
    { numRuns: 300 },
  );
});

/** toEqual() looks at each byte of a disk's buffer by itself; this compares typed arrays as a whole. */
function expectSame(actual: object, expected: object): void {
  expect(isDeepStrictEqual(actual, expected) || inspect(actual)).toBe(true);
}

function expectUnsigned(value: number, bytes: AccessBytes): void {
  expect(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * bytes)).toBe(true);
}

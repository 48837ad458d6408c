/** The I/O APIC against the 82093AA data sheet: registers, edges, levels with remote IRR, destinations. */
import { describe, expect, test } from 'vitest';
import { IoApic } from '../../../src/machine/devices/ioapic.ts';
import { type ApicMachine, apicMachine, vectorsIn, write } from './apic-parts.ts';

const IRR = 0x200;

interface Machine extends ApicMachine {
  readonly ioApic: IoApic;
}
function machine(cpus = 1): Machine {
  const parts = apicMachine(cpus);
  return { ...parts, ioApic: new IoApic(cpus, parts.bus) };
}
const read = (ioApic: IoApic, register: number): number => {
  ioApic.writeMemory(0x00, 4, register);
  return ioApic.readMemory(0x10, 4);
};
const writeTo = (ioApic: IoApic, register: number, value: number): void => {
  ioApic.writeMemory(0x00, 4, register);
  ioApic.writeMemory(0x10, 4, value);
};
const program = (ioApic: IoApic, pin: number, low: number, destination = 0): void => {
  writeTo(ioApic, 0x11 + 2 * pin, destination * 2 ** 24);
  writeTo(ioApic, 0x10 + 2 * pin, low);
};
const pulse = (ioApic: IoApic, pin: number): void => {
  ioApic.line(pin).raise();
  ioApic.line(pin).lower();
};

describe('registers', () => {
  test('identity, version with 24 entries, all entries masked', () => {
    const { ioApic } = machine(3);
    expect([read(ioApic, 0), read(ioApic, 1), read(ioApic, 2)]).toEqual([0x0300_0000, 0x0017_0011, 0x0300_0000]);
    for (let pin = 0; pin < 24; pin++) expect(read(ioApic, 0x10 + 2 * pin)).toBe(0x10000);
    writeTo(ioApic, 0, 0x0500_0000);
    expect([read(ioApic, 0), read(ioApic, 0x40), read(ioApic, 0xff)]).toEqual([0x0500_0000, 0, 0]);
  });

  test('delivery status and remote IRR cannot be written', () => {
    const { ioApic } = machine();
    program(ioApic, 5, 0xffff_ffff, 0xab);
    expect([read(ioApic, 0x1a), read(ioApic, 0x1b)]).toEqual([0x1_afff, 0xab00_0000]);
  });
});

describe('edges', () => {
  test('a rising edge makes one interrupt; none while masked, and none is remembered', () => {
    const { ioApic, lapics } = machine();
    pulse(ioApic, 4);
    program(ioApic, 4, 0x41);
    expect(vectorsIn(lapics[0]!, IRR)).toEqual([]);
    ioApic.line(4).raise();
    ioApic.line(4).raise();
    expect([lapics[0]!.acknowledge(), lapics[0]!.interruptWaiting]).toEqual([0x41, false]);
    ioApic.line(4).lower();
    expect(lapics[0]!.interruptWaiting).toBe(false);
  });

  test('an active low pin interrupts when it falls', () => {
    const { ioApic, lapics } = machine();
    ioApic.line(7).raise();
    program(ioApic, 7, 0x2042);
    expect(vectorsIn(lapics[0]!, IRR)).toEqual([]);
    ioApic.line(7).lower();
    expect(vectorsIn(lapics[0]!, IRR)).toEqual([0x42]);
  });
});

describe('levels', () => {
  test('remote IRR from the message to the EOI; a pin still asserted asks again', () => {
    const { ioApic, lapics } = machine();
    const lapic = lapics[0]!;
    program(ioApic, 9, 0x8043);
    ioApic.line(9).raise();
    expect([lapic.acknowledge(), read(ioApic, 0x22) & 0x4000, vectorsIn(lapic, 0x180)]).toEqual([0x43, 0x4000, [0x43]]);
    write(lapic, 0xb0, 0);
    expect(lapic.acknowledge()).toBe(0x43);
    ioApic.line(9).lower();
    write(lapic, 0xb0, 0);
    expect([lapic.interruptWaiting, read(ioApic, 0x22) & 0x4000]).toEqual([false, 0]);
  });

  test('a level that came while the entry was masked interrupts when it is unmasked', () => {
    const { ioApic, lapics } = machine();
    program(ioApic, 9, 0x1_8043);
    ioApic.line(9).raise();
    expect(lapics[0]!.interruptWaiting).toBe(false);
    program(ioApic, 9, 0x8043);
    expect(lapics[0]!.acknowledge()).toBe(0x43);
  });
});

describe('destinations', () => {
  const takers = (low: number, destination: number): number[] => {
    const { ioApic, lapics } = machine(4);
    program(ioApic, 3, low, destination);
    pulse(ioApic, 3);
    return lapics.filter((lapic) => vectorsIn(lapic, IRR).length > 0).map(({ id }) => id);
  };
  test.each([
    ['physical', 0x44, 2, [2]],
    ['logical', 0x844, 0b1010, [1, 3]],
    ['logical, lowest priority', 0x944, 0b1010, [1]],
  ])('%s', (_name, low, destination, expected) => {
    expect(takers(low, destination)).toEqual(expected);
  });

  test('NMI goes past priorities and masks', () => {
    const { ioApic, lapics } = machine(2);
    program(ioApic, 3, 0x400, 1);
    pulse(ioApic, 3);
    expect(lapics.map(({ state }) => state.nmiPending)).toEqual([false, true]);
  });
});

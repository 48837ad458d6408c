/** CMOS and real-time clock: the calendar against the language's own, the registers against the data sheet. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Cmos, EPOCH_2026 } from '../../../src/machine/devices/cmos.ts';
import { registersToSeconds, secondsToRegisters } from '../../../src/machine/devices/rtc-calendar.ts';
import { FakeClock, FakeIrq } from './fake-clock.ts';

const SECOND = 1_000_000_000;
const MIB = 2 ** 20;

function newCmos(memoryBytes = 64 * MIB) {
  const clock = new FakeClock();
  const irq = new FakeIrq(clock);
  const cmos = new Cmos({ memoryBytes, epochSeconds: EPOCH_2026 }, clock, irq);
  const read = (index: number) => {
    cmos.writePort(0x70, 1, index);
    return cmos.readPort(0x71, 1);
  };
  const write = (index: number, value: number) => {
    cmos.writePort(0x70, 1, index);
    cmos.writePort(0x71, 1, value);
  };
  /** Century, year, month, day, hour, minute, second, day of the week. */
  const time = () => [0x32, 9, 8, 7, 4, 2, 0, 6].map((index) => read(index).toString(16).padStart(2, '0')).join(' ');
  return { cmos, clock, irq, read, write, time };
}

describe('calendar', () => {
  test('any second from 2000 to 2200 agrees with the language, in all four formats', () => {
    const start = Date.UTC(2000, 0, 1);
    const seconds = fc.nat(200 * 366 * 86_400);
    fc.assert(
      fc.property(seconds, fc.constantFrom(0, 2, 4, 6), (second, registerB) => {
        const date = new Date(start + second * 1000);
        const bytes = secondsToRegisters(
          second,
          registerB,
          Array.from({ length: 128 }, () => 0),
        );
        const isBinary = (registerB & 4) !== 0;
        const plain = (byte: number) => (isBinary ? byte : Number(byte.toString(16)));
        expect([0x32, 9, 8, 7, 6, 2, 0].map((index) => plain(bytes[index]!))).toEqual([
          Math.floor(date.getUTCFullYear() / 100),
          date.getUTCFullYear() % 100,
          date.getUTCMonth() + 1,
          date.getUTCDate(),
          date.getUTCDay() + 1,
          date.getUTCMinutes(),
          date.getUTCSeconds(),
        ]);
        const hour = date.getUTCHours();
        const is24 = (registerB & 2) !== 0;
        const shown = is24 ? hour : hour % 12 || 12;
        const isMarked = !is24 && hour >= 12;
        expect([plain(bytes[4]! & 0x7f), bytes[4]! >= 0x80]).toEqual([shown, isMarked]);
        expect(registersToSeconds(bytes, registerB)).toBe(second);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('clock', () => {
  test('starts on Thursday 2026-01-01 00:00:00, BCD, 24 hours', () => {
    const { time, read } = newCmos();
    expect(time()).toBe('20 26 01 01 00 00 00 05');
    expect([read(0x0b), read(0x0d)]).toEqual([0x02, 0x80]);
  });

  test('follows simulated time', () => {
    const { time, clock } = newCmos();
    clock.runTo(59 * SECOND + 999_999_999);
    expect(time()).toBe('20 26 01 01 00 00 59 05');
    clock.runTo(((31 + 28) * 86_400 + 13 * 3600) * SECOND);
    expect(time()).toBe('20 26 03 01 13 00 00 01');
  });

  test('update in progress: from 2228 us before the change until the change', () => {
    const { clock, read } = newCmos();
    const at = (time: number) => {
      clock.runTo(time);
      return read(0x0a);
    };
    expect(at(SECOND - 2_228_001)).toBe(0x26);
    expect(at(SECOND - 2_228_000)).toBe(0xa6);
    expect(at(SECOND - 1)).toBe(0xa6);
    expect(at(SECOND)).toBe(0x26);
  });

  test('SET freezes the clock, takes a new time, and lets it go on', () => {
    const { clock, read, write, time } = newCmos();
    clock.runTo(5 * SECOND);
    write(0x0b, 0x82);
    clock.runTo(9 * SECOND);
    expect(read(0)).toBe(0x05);
    for (const [index, value] of [
      [0x32, 0x20],
      [9, 0x28],
      [8, 0x02],
      [7, 0x28],
      [4, 0x23],
      [2, 0x59],
      [0, 0x58],
    ] as const) {
      write(index, value);
    }
    write(0x0b, 0x02);
    clock.runTo(11 * SECOND);
    expect(time()).toBe('20 28 02 29 00 00 00 03');
  });

  test('register B chooses 12 hours and binary at once', () => {
    const { clock, read, write } = newCmos();
    clock.runTo((13 * 3600 + 45 * 60) * SECOND);
    write(0x0b, 0x00);
    expect(read(4)).toBe(0x81);
    write(0x0b, 0x06);
    expect([read(4), read(2)]).toEqual([13, 45]);
  });
});

describe('interrupts', () => {
  test('periodic at 1024 Hz: the pin stays up until C is read', () => {
    const { clock, irq, read, write } = newCmos();
    write(0x0b, 0x42);
    clock.runTo(Math.floor(SECOND / 1024));
    expect(irq.level).toBe(true);
    clock.runTo(10 * Math.floor(SECOND / 1024));
    expect(irq.rises).toEqual([976_562]);
    expect(read(0x0c)).toBe(0xc0);
    expect([irq.level, read(0x0c)]).toEqual([false, 0x00]);
    clock.runTo(SECOND);
    expect(irq.rises.length).toBe(2);
  });

  test('all rates divide the second', () => {
    const rates = [0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2];
    rates.forEach((hz, rate) => {
      const { clock, irq, read, write } = newCmos();
      write(0x0a, 0x20 | rate);
      write(0x0b, 0x42);
      for (let n = 1; n <= 2 * hz; n++) {
        clock.runTo(Math.floor((n * SECOND) / Math.max(1, hz)));
        read(0x0c);
      }
      expect(irq.rises.length).toBe(2 * hz);
    });
  });

  test('update-ended once a second, alarm at its time', () => {
    const { clock, irq, read, write } = newCmos();
    write(0x0b, 0x12);
    clock.runTo(SECOND);
    expect(irq.rises).toEqual([SECOND]);
    expect(read(0x0c)).toBe(0xd0); // the periodic flag is set without its enable
    for (const [index, value] of [
      [5, 0xff],
      [3, 0x01],
      [1, 0x30],
    ] as const) {
      write(index, value);
    }
    write(0x0b, 0x22);
    clock.runTo(200 * SECOND);
    expect(irq.rises.at(-1)).toBe(90 * SECOND);
    expect(read(0x0c)).toBe(0xf0);
  });

  test('flags can be polled without enabling anything, and then no timer is pending', () => {
    const { clock, irq, read } = newCmos();
    clock.runTo(3 * SECOND);
    expect(read(0x0c)).toBe(0x50);
    expect(read(0x0c)).toBe(0x00);
    expect([irq.rises.length, clock.pending]).toEqual([0, 0]);
  });
});

describe('memory', () => {
  test('sizes: 640 KiB, extended in KiB up to 65535, above 16 MiB in 64 KiB', () => {
    const { read } = newCmos(64 * MIB);
    const word = (index: number) => read(index) | (read(index + 1) << 8);
    expect([0x15, 0x17, 0x30, 0x34].map(word)).toEqual([640, 64_512, 64_512, 768]);
    const small = newCmos(8 * MIB);
    expect(small.read(0x17) | (small.read(0x18) << 8)).toBe(7168);
    expect(small.read(0x34)).toBe(0);
  });

  test('bytes are kept; bit 7 of the index is not part of it; the index port does not read', () => {
    const { cmos, read, write } = newCmos();
    write(0x0f, 0x0a);
    expect(cmos.shutdownByte).toBe(0x0a);
    expect(read(0x8f)).toBe(0x0a);
    expect(cmos.readPort(0x70, 1)).toBe(0xff);
  });

  test('C and D are read-only', () => {
    const { read, write } = newCmos();
    write(0x0d, 0);
    write(0x0c, 0xff);
    expect([read(0x0d), read(0x0c)]).toEqual([0x80, 0]);
  });
});

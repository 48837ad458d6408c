/** The local APIC against SDM vol 3, chapter 10: reset values, priorities, messages, timer, errors. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DELIVER_EXTINT } from '../../../src/machine/devices/apic-bus.ts';
import type { AccessBytes } from '../../../src/machine/devices/device.ts';
import { APIC_BASE_ENABLE, type Lapic } from '../../../src/machine/devices/lapic.ts';
import { apicMachine, read, vectorsIn, write } from './apic-parts.ts';

const ISR = 0x100;
const IRR = 0x200;
const ICR = 0x300;
const SELF = 0x40000;

const selfSend = (lapic: Lapic, vector: number): void => write(lapic, ICR, SELF | vector);

describe('registers', () => {
  test('have the values that 10.4.7.1 gives after reset', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    lapic.reset();
    const zero = [0x80, 0xa0, 0xd0, 0x280, 0x300, 0x310, 0x380, 0x390, 0x3e0];
    for (const offset of zero) expect([offset, read(lapic, offset)]).toEqual([offset, 0]);
    for (const offset of [0x320, 0x330, 0x340, 0x350, 0x360, 0x370]) expect(read(lapic, offset)).toBe(0x10000);
    expect(read(lapic, 0xe0)).toBe(0xffff_ffff);
    expect(read(lapic, 0xf0)).toBe(0xff);
    for (const register of [ISR, 0x180, IRR]) expect(vectorsIn(lapic, register)).toEqual([]);
    expect(lapic.base.low >>> 0).toBe(0xfee0_0900);
  });

  test('INIT keeps the identity and the base register', () => {
    const lapic = apicMachine(2).lapics[1]!;
    lapic.init();
    expect([read(lapic, 0x20), lapic.base.low >>> 0, read(lapic, 0xf0)]).toEqual([0x0100_0000, 0xfee0_0800, 0xff]);
  });

  test('are all ones while the APIC is switched off by its base register', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    lapic.base.low &= ~APIC_BASE_ENABLE;
    write(lapic, 0x80, 0x50);
    expect([read(lapic, 0x80), lapic.readMemory(0x30, 1)]).toEqual([0xffff_ffff, 0xff]);
    lapic.base.low |= APIC_BASE_ENABLE;
    expect(read(lapic, 0x80)).toBe(0);
  });

  test('answer any access, and reset gives the state of a new one', () => {
    const access = fc.record({
      offset: fc.oneof(
        fc.nat(0xffc),
        fc.nat(0x3f).map((n) => n * 16),
      ),
      bytes: fc.constantFrom<AccessBytes>(1, 2, 4),
      value: fc.oneof(fc.nat(0xffff_ffff), fc.nat(0xfff)),
      isWrite: fc.boolean(),
      wait: fc.nat(100_000),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 60 }), (accesses) => {
        const { clock, lapics } = apicMachine(2);
        const lapic = lapics[0]!;
        lapic.reset();
        const fresh = structuredClone(lapic.state);
        for (const each of accesses) {
          if (each.isWrite) lapic.writeMemory(each.offset, each.bytes, each.value);
          const value = lapic.readMemory(each.offset, each.bytes);
          expect(value >= 0 && value < 2 ** (8 * each.bytes) && Number.isInteger(value)).toBe(true);
          clock.runTo(clock.time + each.wait);
        }
        lapic.reset();
        expect(clock.pending <= 1).toBe(true); // the other one's
        expect(lapic.state).toEqual(fresh);
      }),
      { numRuns: 200 },
    );
  });
});

describe('priorities', () => {
  test('the highest vector comes first; what is in service holds back its class and those below', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    for (const vector of [0x31, 0x52, 0x58, 0x71]) selfSend(lapic, vector);
    expect(lapic.acknowledge()).toBe(0x71);
    expect([read(lapic, 0xa0), lapic.interruptWaiting]).toEqual([0x70, false]);
    selfSend(lapic, 0x7f); // of the same class
    expect(lapic.interruptWaiting).toBe(false);
    selfSend(lapic, 0x80);
    expect(lapic.acknowledge()).toBe(0x80);
    expect(vectorsIn(lapic, ISR)).toEqual([0x71, 0x80]);
    write(lapic, 0xb0, 0); // EOI ends the highest in service
    expect(vectorsIn(lapic, ISR)).toEqual([0x71]);
    write(lapic, 0xb0, 0);
    expect([lapic.acknowledge(), vectorsIn(lapic, IRR)]).toEqual([0x7f, [0x31, 0x52, 0x58]]);
  });

  test.each([
    // TPR, vector, delivered (10.8.3.1)
    [0x00, 0x10, true],
    [0x4f, 0x50, true],
    [0x50, 0x5f, false],
    [0x5f, 0x60, true],
    [0xff, 0xfe, false],
  ])('TPR %i lets vector %i through: %s', (tpr, vector, through) => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    write(lapic, 0x80, tpr);
    selfSend(lapic, vector);
    expect([lapic.interruptWaiting, read(lapic, 0xa0)]).toEqual([through, tpr]);
  });

  test('agree with a naive model', () => {
    const step = fc.oneof(
      fc.record({ send: fc.integer({ min: 16, max: 255 }) }),
      fc.constant({ take: true }),
      fc.constant({ end: true }),
      fc.record({ tpr: fc.nat(255) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const [lapic] = apicMachine(1).lapics as [Lapic];
        const asked = new Set<number>();
        const served = new Set<number>();
        const taken: [ours: number, theirs: number][] = [];
        let tpr = 0;
        const top = (set: Set<number>): number => Math.max(-1, ...set);
        for (const each of steps) {
          if ('send' in each) {
            selfSend(lapic, each.send);
            asked.add(each.send);
          } else if ('tpr' in each) {
            write(lapic, 0x80, each.tpr);
            tpr = each.tpr;
          } else if ('end' in each) {
            write(lapic, 0xb0, 0);
            served.delete(top(served));
          } else if (lapic.interruptWaiting) {
            taken.push([lapic.acknowledge(), top(asked)]);
            served.add(top(asked));
            asked.delete(top(asked));
          }
          const limit = Math.max(tpr >> 4, Math.max(0, top(served)) >> 4);
          expect(lapic.interruptWaiting).toBe(top(asked) >> 4 > limit);
        }
        expect(taken.map(([ours]) => ours)).toEqual(taken.map(([, theirs]) => theirs));
      }),
    );
  });
});

describe('messages', () => {
  const takers = (low: number, high: number): number[] => {
    const { lapics } = apicMachine(4);
    write(lapics[1]!, ICR + 0x10, high);
    write(lapics[1]!, ICR, low | 0x40);
    return lapics.filter((lapic) => vectorsIn(lapic, IRR).includes(0x40)).map(({ id }) => id);
  };
  test.each([
    ['physical', 0x0, 0x0200_0000, [2]],
    ['physical, to itself', 0x0, 0x0100_0000, [1]],
    ['physical, to nobody', 0x0, 0x0900_0000, []],
    ['physical broadcast', 0x0, 0xff00_0000, [0, 1, 2, 3]],
    ['logical, flat', 0x800, 0x0500_0000, [0, 2]],
    ['logical broadcast', 0x800, 0xff00_0000, [0, 1, 2, 3]],
    ['lowest priority, equals: the first', 0x900, 0x0c00_0000, [2]],
    ['self', 0x4_0000, 0, [1]],
    ['all', 0x8_0000, 0, [0, 1, 2, 3]],
    ['all but self', 0xc_0000, 0, [0, 2, 3]],
  ])('%s', (_name, low, high, expected) => {
    expect(takers(low, high)).toEqual(expected);
  });

  test('logical destinations in the cluster model', () => {
    const { lapics } = apicMachine(4);
    // Cluster 1 has APICs 0 and 1 as members 1 and 2, cluster 2 has 2 and 3.
    const identities = [0x11, 0x12, 0x21, 0x22];
    for (const [i, lapic] of lapics.entries()) {
      write(lapic, 0xe0, 0x0fff_ffff);
      write(lapic, 0xd0, identities[i]! * 2 ** 24);
    }
    const named = (mda: number): number[] => lapics.filter((lapic) => lapic.matchesLogical(mda)).map(({ id }) => id);
    expect([named(0x13), named(0x22), named(0xf1), named(0x31), named(0xff)]).toEqual([
      [0, 1],
      [3],
      [0, 2],
      [],
      [0, 1, 2, 3],
    ]);
  });

  test('lowest priority goes to the CPU that does the least important work', () => {
    const { lapics } = apicMachine(3);
    write(lapics[0]!, 0x80, 0x60);
    write(lapics[1]!, 0x80, 0x20);
    write(lapics[2]!, 0x80, 0x30);
    write(lapics[0]!, ICR + 0x10, 0x0700_0000);
    write(lapics[0]!, ICR, 0x940);
    expect(vectorsIn(lapics[1]!, IRR)).toEqual([0x40]);
  });

  test('INIT and start-up reach the other CPU; INIT de-assert does nothing', () => {
    const { lapics } = apicMachine(2);
    write(lapics[0]!, ICR + 0x10, 0x0100_0000);
    write(lapics[0]!, ICR, 0x8500);
    expect(lapics[1]!.state.initPending).toBe(false);
    write(lapics[0]!, ICR, 0xc500);
    expect(lapics[1]!.state.initPending).toBe(true);
    write(lapics[0]!, ICR, 0x4608);
    expect([lapics[1]!.state.startupVector, read(lapics[0]!, ICR) & 0x1000]).toEqual([8, 0]);
  });

  test('one NMI waits at most, also while the APIC is disabled by software; fixed interrupts are then dropped', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    write(lapic, 0xf0, 0xff);
    for (let n = 0; n < 3; n++) write(lapic, ICR, 0x400);
    selfSend(lapic, 0x40);
    expect([lapic.state.nmiPending, vectorsIn(lapic, IRR)]).toEqual([true, []]);
    lapic.takeNmi();
    expect(lapic.state.nmiPending).toBe(false);
  });
});

describe('the 8259 pair', () => {
  test('interrupts the boot CPU through LINT0 in virtual wire mode, and after everything the APIC has', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    lapic.reset();
    lapic.setUpVirtualWire();
    lapic.setLint0(true);
    expect([lapic.interruptWaiting, lapic.acknowledge()]).toEqual([true, -1]);
    selfSend(lapic, 0x40);
    expect([lapic.acknowledge(), lapic.interruptWaiting]).toEqual([0x40, true]); // LINT0 knows no priority
    write(lapic, 0x350, 0x1_8700);
    expect(lapic.interruptWaiting).toBe(false);
  });

  test('is wired to the CPU itself while the APIC is switched off', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    lapic.setLint0(true);
    expect(lapic.interruptWaiting).toBe(false);
    lapic.base.low &= ~APIC_BASE_ENABLE;
    expect(lapic.interruptWaiting).toBe(true);
  });

  test('fixed mode on LINT0 makes one interrupt of each rising edge', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    write(lapic, 0x350, 0x31);
    lapic.setLint0(true);
    lapic.setLint0(true);
    expect([lapic.acknowledge(), lapic.interruptWaiting]).toEqual([0x31, false]);
  });

  test('can be asked for a vector by a message', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    lapic.accept({ mode: DELIVER_EXTINT, vector: 0, level: false });
    expect([lapic.interruptWaiting, lapic.acknowledge(), lapic.interruptWaiting]).toEqual([true, -1, false]);
  });
});

describe('timer', () => {
  test.each([
    // code of figure 10-10, divider
    [0x0, 2],
    [0x1, 4],
    [0x2, 8],
    [0x3, 16],
    [0x8, 32],
    [0x9, 64],
    [0xa, 128],
    [0xb, 1],
  ])('divide code %i divides by %i', (code, divider) => {
    const { clock, lapics } = apicMachine(1);
    const lapic = lapics[0]!;
    write(lapic, 0x320, 0x40);
    write(lapic, 0x3e0, code);
    write(lapic, 0x380, 1000);
    clock.runTo(400 * divider);
    expect([read(lapic, 0x390), lapic.interruptWaiting]).toEqual([600, false]);
    clock.runTo(1000 * divider - 1);
    expect(lapic.interruptWaiting).toBe(false);
    clock.runTo(1000 * divider);
    expect([read(lapic, 0x390), lapic.acknowledge(), clock.pending]).toEqual([0, 0x40, 0]);
  });

  test('periodic: every period to the nanosecond, however late it is looked at', () => {
    const { clock, lapics } = apicMachine(1);
    const lapic = lapics[0]!;
    write(lapic, 0x320, 0x2_0040);
    write(lapic, 0x3e0, 0xb);
    write(lapic, 0x380, 10_000);
    for (let n = 1; n <= 5; n++) {
      clock.runTo(n * 10_000 + 17);
      expect([lapic.acknowledge(), read(lapic, 0x390)]).toEqual([0x40, 10_000 - 17]);
      write(lapic, 0xb0, 0);
      expect(lapic.interruptWaiting).toBe(false);
    }
    write(lapic, 0x380, 0);
    expect([clock.pending, read(lapic, 0x390)]).toEqual([0, 0]);
  });

  test('masked it counts without interrupting; a period of one count does not flood the engine', () => {
    const { clock, lapics } = apicMachine(1);
    const lapic = lapics[0]!;
    write(lapic, 0x320, 0x3_0040);
    write(lapic, 0x3e0, 0xb);
    write(lapic, 0x380, 1);
    expect(clock.next).toBe(1);
    clock.runTo(1);
    expect([clock.next >= 1000, lapic.interruptWaiting]).toEqual([true, false]);
  });

  test('a new divider keeps the counts that are left', () => {
    const { clock, lapics } = apicMachine(1);
    const lapic = lapics[0]!;
    write(lapic, 0x3e0, 0xb);
    write(lapic, 0x380, 1000);
    clock.runTo(250);
    write(lapic, 0x3e0, 0x0);
    expect(read(lapic, 0x390)).toBe(750);
    clock.runTo(250 + 2 * 250);
    expect(read(lapic, 0x390)).toBe(500);
  });
});

describe('errors', () => {
  test('are shown by ESR after a write to it, and interrupt through the error entry', () => {
    const [lapic] = apicMachine(1).lapics as [Lapic];
    write(lapic, 0x370, 0x60);
    write(lapic, ICR, SELF | 0x0f); // sends an illegal vector
    expect(read(lapic, 0x280)).toBe(0);
    write(lapic, 0x280, 0);
    expect([read(lapic, 0x280), lapic.acknowledge()]).toEqual([0x20, 0x60]);
    write(lapic, 0x280, 0);
    expect(read(lapic, 0x280)).toBe(0);
    lapic.accept({ mode: 0, vector: 5, level: false });
    read(lapic, 0x10); // no such register
    write(lapic, 0x280, 0);
    expect(read(lapic, 0x280)).toBe(0xc0);
  });
});

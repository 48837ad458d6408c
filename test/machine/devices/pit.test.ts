/** 8254: tick times against BigInt, the modes of the data sheet pulse by pulse, and random runs against a naive model. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PC_PIT, Pit, pitTicksAt, pitTickTime } from '../../../src/machine/devices/pit.ts';
import {
  advance,
  countOf,
  newPitCounter,
  nextOutTick,
  setGate,
  statusOf,
  writeControl,
  writeCountByte,
} from '../../../src/machine/devices/pit-counter.ts';
import { FakeClock, FakeIrq } from './fake-clock.ts';
import { NaiveCounter } from './naive-counter.ts';

const HZ = 1_193_182;

function newPit(): { pit: Pit; clock: FakeClock; irq: FakeIrq } {
  const clock = new FakeClock();
  const irq = new FakeIrq(clock);
  return { pit: new Pit(PC_PIT, clock, irq), clock, irq };
}

/** Exact time of CLK pulse `tick`. */
function exactTime(tick: number): number {
  return Number((BigInt(tick) * 1_000_000_000n) / BigInt(HZ));
}

function program(pit: Pit, index: number, mode: number, count: number): void {
  pit.writePort(0x43, 1, (index << 6) | 0x30 | (mode << 1));
  pit.writePort(0x40 + index, 1, count & 0xff);
  pit.writePort(0x40 + index, 1, count >> 8);
}

function readCount(pit: Pit, index: number): number {
  pit.writePort(0x43, 1, index << 6); // counter latch command
  return pit.readPort(0x40 + index, 1) | (pit.readPort(0x40 + index, 1) << 8);
}

function readStatus(pit: Pit, index: number): number {
  pit.writePort(0x43, 1, 0xe0 | (2 << index)); // read-back, status only
  return pit.readPort(0x40 + index, 1);
}

describe('the input clock', () => {
  test('pulse times and pulse counts are exact over 48 days', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000_000_000_000 }), (tick) => {
        const time = pitTickTime(tick, HZ);
        expect(time).toBe(exactTime(tick));
        expect(pitTicksAt(time, HZ)).toBe(tick);
        expect(pitTicksAt(time - 1, HZ)).toBe(tick - 1);
      }),
      { numRuns: 3000 },
    );
  });

  test('the n-th timer interrupt comes n * count pulses after the load, over hours', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 65_536 }), fc.nat(10_000_000_000), (count, start) => {
        const { pit, clock, irq } = newPit();
        clock.runTo(start);
        program(pit, 0, 2, count % 65_536);
        const load = pitTicksAt(start, HZ) + 1;
        for (let n = 1; n <= 3; n++) clock.runTo(exactTime(load + n * count));
        expect(irq.rises.slice(-3)).toEqual([1, 2, 3].map((n) => exactTime(load + n * count)));
      }),
    );
    const { pit, clock, irq } = newPit();
    program(pit, 0, 2, 11_932); // 100 Hz
    const rises = 360_000; // one hour
    clock.runTo(exactTime(1 + rises * 11_932));
    expect(irq.rises.length).toBe(rises + 1); // and the edge that the control word makes
    expect(irq.rises.at(-1)).toBe(exactTime(1 + rises * 11_932));
    expect(pit.timerEdges()).toBe(rises + 1);
  });
});

describe('modes, pulse by pulse (data sheet, figures 15-20)', () => {
  /** OUT and the count after each CLK pulse from the write on. */
  function trace(mode: number, count: number, pulses: number, act: (pit: Pit, pulse: number) => void = () => {}) {
    const { pit, clock } = newPit();
    pit.setGate(2, mode !== 1 && mode !== 5);
    pit.writePort(0x43, 1, 0x90 | (mode << 1)); // counter 2, low byte only
    pit.writePort(0x42, 1, count);
    const rows: string[] = [];
    for (let pulse = 0; pulse < pulses; pulse++) {
      clock.runTo(exactTime(pulse));
      if (pulse > 0) rows.push(`${pit.out(2) ? 'H' : 'L'}${pit.readPort(0x42, 1)}`);
      act(pit, pulse);
    }
    return rows.join(' ');
  }

  test('mode 0: OUT rises N+1 pulses after the write, and the count goes on', () => {
    expect(trace(0, 4, 8)).toBe('L4 L3 L2 L1 H0 H255 H254');
  });
  test('mode 0: GATE low stops the count', () => {
    const gate = (pit: Pit, pulse: number) => {
      if (pulse === 2) pit.setGate(2, false);
      if (pulse === 4) pit.setGate(2, true);
    };
    expect(trace(0, 3, 8, gate)).toBe('L3 L2 L2 L2 L1 H0 H255');
  });
  test('mode 0: a new count is loaded at the next pulse', () => {
    const rewrite = (pit: Pit, pulse: number) => {
      if (pulse === 3) pit.writePort(0x42, 1, 2);
    };
    expect(trace(0, 3, 8, rewrite)).toBe('L3 L2 L1 L2 L1 H0 H255');
  });
  test('mode 1: a one-shot of N pulses per trigger, retriggerable', () => {
    const trigger = (pit: Pit, pulse: number) => {
      if (pulse === 2 || pulse === 4) pit.setGate(2, true);
      if (pulse === 3) pit.setGate(2, false);
    };
    expect(trace(1, 3, 10, trigger)).toBe('H0 H0 L3 L2 L3 L2 L1 H0 H255');
  });
  test('mode 2: OUT is low for the last of N pulses', () => {
    expect(trace(2, 3, 9)).toBe('H3 H2 L1 H3 H2 L1 H3 H2');
  });
  test('mode 2: a new count waits for the end of the period', () => {
    const rewrite = (pit: Pit, pulse: number) => {
      if (pulse === 2) pit.writePort(0x42, 1, 5);
    };
    expect(trace(2, 4, 11, rewrite)).toBe('H4 H3 H2 L1 H5 H4 H3 H2 L1 H5');
  });
  test('mode 2: GATE low raises OUT and stops; its rise reloads', () => {
    let out = false;
    const gate = (pit: Pit, pulse: number) => {
      if (pulse === 3) {
        pit.setGate(2, false);
        out = pit.out(2);
      }
      if (pulse === 5) pit.setGate(2, true);
    };
    expect(trace(2, 3, 10, gate)).toBe('H3 H2 L1 H1 H1 H3 H2 L1 H3');
    expect(out).toBe(true);
  });
  test('mode 3, even: N/2 high, N/2 low, counting by two', () => {
    expect(trace(3, 4, 10)).toBe('H4 H2 L4 L2 H4 H2 L4 L2 H4');
  });
  test('mode 3, odd: (N+1)/2 high, (N-1)/2 low', () => {
    expect(trace(3, 5, 12)).toBe('H4 H2 H0 L4 L2 H4 H2 H0 L4 L2 H4');
  });
  test('mode 4: a strobe of one pulse, N+1 pulses after the write', () => {
    expect(trace(4, 3, 8)).toBe('H3 H2 H1 L0 H255 H254 H253');
  });
  test('mode 5: the same, from a trigger', () => {
    const trigger = (pit: Pit, pulse: number) => {
      if (pulse === 2) pit.setGate(2, true);
    };
    expect(trace(5, 3, 9, trigger)).toBe('H0 H0 H3 H2 H1 L0 H255 H254');
  });
});

describe('reading and writing', () => {
  test('a latched count stands until it is read, and a second latch changes nothing', () => {
    const { pit, clock } = newPit();
    program(pit, 0, 2, 0x1234);
    clock.runTo(exactTime(5)); // loaded at pulse 1
    pit.writePort(0x43, 1, 0x00);
    clock.runTo(exactTime(100));
    pit.writePort(0x43, 1, 0x00);
    expect(pit.readPort(0x40, 1)).toBe(0x30);
    clock.runTo(exactTime(200));
    expect(pit.readPort(0x40, 1)).toBe(0x12);
    expect(readCount(pit, 0)).toBe(0x1234 - 199);
  });

  test('status: OUT, null count, and the control word as written; status is read before the count', () => {
    const { pit, clock } = newPit();
    pit.writePort(0x43, 1, 0x3c); // counter 0, word, mode "110", which is 2
    expect(readStatus(pit, 0)).toBe(0xfc); // OUT high, null count
    pit.writePort(0x40, 1, 0x10);
    pit.writePort(0x40, 1, 0x00);
    expect(readStatus(pit, 0)).toBe(0xfc); // written, not yet loaded
    clock.runTo(exactTime(1));
    expect(readStatus(pit, 0)).toBe(0xbc);
    clock.runTo(exactTime(16)); // count 1: OUT low
    pit.writePort(0x43, 1, 0xc2); // read-back of count and status
    expect([1, 2, 3].map(() => pit.readPort(0x40, 1))).toEqual([0x3c, 0x01, 0x00]);
  });

  test('read-back of several counters latches them at one moment', () => {
    const { pit, clock } = newPit();
    program(pit, 0, 2, 1000);
    program(pit, 2, 0, 500);
    pit.setGate(2, true);
    clock.runTo(exactTime(11));
    pit.writePort(0x43, 1, 0xda); // count only, counters 0 and 2
    clock.runTo(exactTime(50));
    expect(pit.readPort(0x40, 1) | (pit.readPort(0x40, 1) << 8)).toBe(990);
    expect(pit.readPort(0x42, 1) | (pit.readPort(0x42, 1) << 8)).toBe(490);
  });

  test('BCD counts in decimal, and 0 is 10000', () => {
    const { pit, clock } = newPit();
    pit.writePort(0x43, 1, 0x35);
    pit.writePort(0x40, 1, 0x00);
    pit.writePort(0x40, 1, 0x00);
    clock.runTo(exactTime(2));
    expect(readCount(pit, 0)).toBe(0x9999);
    clock.runTo(exactTime(1 + 10_000));
    expect(readCount(pit, 0)).toBe(0x0000);
    clock.runTo(exactTime(1 + 10_000 + 8766));
    expect(readCount(pit, 0)).toBe(0x1234);
  });

  test('high byte only', () => {
    const { pit, clock } = newPit();
    pit.writePort(0x43, 1, 0x24); // counter 0, high byte, mode 2
    pit.writePort(0x40, 1, 0x02);
    clock.runTo(exactTime(1));
    expect(pit.readPort(0x40, 1)).toBe(0x02);
    clock.runTo(exactTime(2));
    expect(pit.readPort(0x40, 1)).toBe(0x01); // 0x01FF
  });

  test('the control port does not drive the bus', () => {
    expect(newPit().pit.readPort(0x43, 1)).toBe(0xff);
  });
});

describe('IRQ0', () => {
  test('one-shot mode asks once and leaves no timer behind', () => {
    const { pit, clock, irq } = newPit();
    program(pit, 0, 0, 1000);
    clock.runTo(exactTime(2000));
    expect(irq.rises).toEqual([exactTime(1001)]);
    expect(irq.level).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test('mode 3: the pin follows the square wave', () => {
    const { pit, clock, irq } = newPit();
    program(pit, 0, 3, 100);
    clock.runTo(exactTime(1 + 49));
    expect(irq.level).toBe(true);
    clock.runTo(exactTime(1 + 50));
    expect(irq.level).toBe(false);
    clock.runTo(exactTime(1 + 100));
    expect(irq.level).toBe(true);
  });

  test('an engine that is late shows one edge for many, and stays in step', () => {
    const { pit, clock, irq } = newPit();
    program(pit, 0, 2, 1000);
    const before = irq.rises.length;
    clock.jumpTo(exactTime(10_500));
    pit.writePort(0x43, 1, 0x00); // any access settles
    expect(irq.rises.length).toBe(before + 1);
    expect(clock.next).toBe(exactTime(11_001));
    expect(pit.timerEdges()).toBe(before + 10);
  });

  test('nothing is pending while counter 0 has no count, and after reset', () => {
    const { pit, clock, irq } = newPit();
    expect(clock.pending).toBe(0);
    pit.writePort(0x43, 1, 0x34);
    expect(clock.pending).toBe(0);
    program(pit, 0, 2, 1000);
    expect(clock.pending).toBe(1);
    pit.reset();
    expect([clock.pending, irq.level]).toEqual([0, false]);
  });
});

test('random runs agree with a model that counts pulse by pulse', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant('pulses' as const), n: fc.nat(30) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('pulses' as const), n: fc.nat(70_000) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('control' as const), value: control() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('count' as const), value: fc.integer({ min: 2, max: 9 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('count' as const), value: fc.constantFrom(0, 0x99) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('gate' as const), high: fc.boolean() }) },
  );
  fc.assert(
    fc.property(control(), fc.array(step, { maxLength: 25 }), (first, steps) => {
      const counter = newPitCounter(true);
      const naive = new NaiveCounter();
      writeControl(counter, first);
      naive.control(first);
      counter.rises = 0;
      naive.rises = 0;
      let tick = 0;
      for (const each of steps) {
        let isForetold = true;
        if (each.do === 'pulses') {
          const next = nextOutTick(counter);
          const rises = naive.rises;
          let firstRise = -1;
          for (let n = 1; n <= each.n; n++) {
            naive.clk();
            if (firstRise < 0 && naive.rises !== rises) firstRise = tick + n;
          }
          // The counter named a moment before which no edge comes.
          isForetold = firstRise < 0 || (next >= 0 && next <= firstRise);
          tick += each.n;
          advance(counter, tick);
        } else if (each.do === 'control') {
          writeControl(counter, each.value);
          naive.control(each.value);
        } else if (each.do === 'count') {
          writeCountByte(counter, each.value);
          naive.write(each.value);
        } else {
          setGate(counter, each.high);
          naive.setGate(each.high);
        }
        expect(isForetold).toBe(true);
        expect({ out: counter.out, count: countOf(counter), status: statusOf(counter), rises: counter.rises }).toEqual({
          out: naive.out,
          count: naive.count(),
          status: naive.status(),
          rises: naive.rises,
        });
      }
    }),
    { numRuns: 400 },
  );
});

/** A control word for modes 0-7, binary or BCD. One-byte counts leave the other byte 0, so counts stay varied. */
function control(): fc.Arbitrary<number> {
  return fc
    .tuple(fc.constantFrom(0x10, 0x20, 0x30), fc.nat(7), fc.nat(1))
    .map(([access, mode, bcd]) => access | (mode << 1) | bcd);
}

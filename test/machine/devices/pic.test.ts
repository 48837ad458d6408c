/** 8259A pair: behaviours worked out from the data sheet, then random runs against a naive model. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Pic } from '../../../src/machine/devices/pic.ts';
import { NaivePic } from './naive-pic.ts';

const MASTER = 0x20;
const SLAVE = 0xa0;

/** A pair set up as PC kernels do: vectors 0x20-0x2F, edge, everything unmasked. */
function newPic(icw1 = 0x11, icw4 = 0x01): Pic {
  const pic = new Pic();
  for (const [command, vector, cascade] of [
    [MASTER, 0x20, 0x04],
    [SLAVE, 0x28, 0x02],
  ] as const) {
    pic.writePort(command, 1, icw1);
    pic.writePort(command + 1, 1, vector);
    pic.writePort(command + 1, 1, cascade);
    pic.writePort(command + 1, 1, icw4);
  }
  return pic;
}

function pulse(pic: Pic, irq: number): void {
  pic.line(irq).lower();
  pic.line(irq).raise();
}

function irr(pic: Pic, port: number): number {
  pic.writePort(port, 1, 0x0a);
  return pic.readPort(port, 1);
}

function isr(pic: Pic, port: number): number {
  pic.writePort(port, 1, 0x0b);
  return pic.readPort(port, 1);
}

describe('initialisation', () => {
  test('says nothing before ICW1-ICW4, and then only to new edges', () => {
    const pic = new Pic();
    pic.line(1).raise();
    expect(pic.intr).toBe(false);
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 0x20],
      [0x21, 0x04],
    ] as const) {
      pic.writePort(port, 1, value);
      pulse(pic, 3);
      expect(pic.intr).toBe(false);
    }
    pic.writePort(0x21, 1, 0x01);
    expect(pic.intr).toBe(true); // IR3 rose after ICW1
    expect(pic.acknowledge()).toBe(0x23);
    pic.writePort(0x20, 1, 0x20);
    expect(pic.intr).toBe(false); // IR1 rose before it: the edge sense circuit was reset
  });

  test('ICW1 clears the mask, the in-service register and the choice of ISR', () => {
    const pic = newPic();
    pic.writePort(0x21, 1, 0xff);
    pulse(pic, 0);
    pic.writePort(0x21, 1, 0x00);
    pic.acknowledge();
    pic.writePort(0x20, 1, 0x0b);
    expect(pic.readPort(0x20, 1)).toBe(0x01);
    pic.writePort(0x20, 1, 0x11);
    expect(pic.readPort(0x20, 1)).toBe(0x00); // IRR again, and empty
    pic.writePort(0x21, 1, 0x40);
    pic.writePort(0x21, 1, 0x04);
    pic.writePort(0x21, 1, 0x01);
    expect(pic.readPort(0x21, 1)).toBe(0x00);
    expect(isr(pic, MASTER)).toBe(0);
    pulse(pic, 5);
    expect(pic.acknowledge()).toBe(0x45);
  });

  test('a single chip skips ICW3, and ICW4 is optional', () => {
    const pic = new Pic();
    pic.writePort(0x20, 1, 0x12); // SNGL, no ICW4
    pic.writePort(0x21, 1, 0x68);
    pic.writePort(0x21, 1, 0xfe); // OCW1 already
    expect(pic.readPort(0x21, 1)).toBe(0xfe);
    pulse(pic, 0);
    expect(pic.acknowledge()).toBe(0x68);
  });
});

describe('priorities', () => {
  test('fully nested: higher interrupts nest, lower and equal ones wait for EOI', () => {
    const pic = newPic();
    pulse(pic, 5);
    expect(pic.acknowledge()).toBe(0x25);
    pulse(pic, 6);
    pulse(pic, 5);
    expect(pic.intr).toBe(false);
    pulse(pic, 1);
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x21);
    expect(isr(pic, MASTER)).toBe(0x22);
    pic.writePort(0x20, 1, 0x20); // non-specific EOI ends IR1
    expect(isr(pic, MASTER)).toBe(0x20);
    expect(pic.intr).toBe(false);
    pic.writePort(0x20, 1, 0x65); // specific EOI of IR5
    expect(pic.acknowledge()).toBe(0x25);
    pic.writePort(0x20, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x26);
  });

  test('the mask holds back a request and does not forget it', () => {
    const pic = newPic();
    pic.writePort(0x21, 1, 0x10);
    pulse(pic, 4);
    expect(pic.intr).toBe(false);
    expect(irr(pic, MASTER)).toBe(0x10);
    pic.writePort(0x21, 1, 0x00);
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x24);
  });

  test('rotate on non-specific EOI makes the ended level the lowest', () => {
    const pic = newPic();
    pulse(pic, 4);
    pic.acknowledge();
    pic.writePort(0x20, 1, 0xa0); // data sheet, figure "automatic rotation": IR4 served, then IR6 goes first
    pulse(pic, 4);
    pulse(pic, 6);
    expect(pic.acknowledge()).toBe(0x26);
    pic.writePort(0x20, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x24);
  });

  test('set priority: with IR5 lowest IR6 is highest', () => {
    const pic = newPic();
    pic.writePort(0x20, 1, 0xc5);
    pulse(pic, 0);
    pulse(pic, 6);
    pulse(pic, 5);
    expect([ackEoi(pic), ackEoi(pic), ackEoi(pic)]).toEqual([0x26, 0x20, 0x25]);
  });

  test('rotate on specific EOI ends the level and makes it the lowest', () => {
    const pic = newPic();
    pulse(pic, 0);
    pic.acknowledge();
    pic.writePort(0x20, 1, 0xe0);
    expect(isr(pic, MASTER)).toBe(0);
    pulse(pic, 0);
    pulse(pic, 7);
    expect([ackEoi(pic), ackEoi(pic)]).toEqual([0x27, 0x20]);
  });

  test('automatic EOI leaves nothing in service; with rotation the served level becomes the lowest', () => {
    const pic = newPic(0x11, 0x03);
    pulse(pic, 2 + 1);
    pulse(pic, 1);
    expect(pic.acknowledge()).toBe(0x21);
    expect(isr(pic, MASTER)).toBe(0);
    expect(pic.acknowledge()).toBe(0x23);
    pic.writePort(0x20, 1, 0x80); // rotate in automatic EOI mode: set
    pulse(pic, 3);
    expect(pic.acknowledge()).toBe(0x23);
    pulse(pic, 3);
    pulse(pic, 4);
    expect(pic.acknowledge()).toBe(0x24);
    pic.writePort(0x20, 1, 0x00); // clear
    expect(pic.acknowledge()).toBe(0x23);
    pulse(pic, 5);
    pulse(pic, 4);
    expect(pic.acknowledge()).toBe(0x25); // IR4 stayed the lowest
  });

  test('special mask mode: a masked level in service lets lower ones through, and EOI passes it over', () => {
    const pic = newPic();
    pulse(pic, 3);
    pic.acknowledge();
    pulse(pic, 6);
    expect(pic.intr).toBe(false);
    pic.writePort(0x21, 1, 0x08);
    pic.writePort(0x20, 1, 0x68); // ESMM, SMM
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x26);
    pic.writePort(0x20, 1, 0x20);
    expect(isr(pic, MASTER)).toBe(0x08);
    pic.writePort(0x20, 1, 0x48); // ESMM without SMM: off
    pulse(pic, 6);
    expect(pic.intr).toBe(false);
  });
});

describe('triggering', () => {
  test('edge: one interrupt per rise, and the request needs the pin to stay high', () => {
    const pic = newPic();
    pic.line(4).raise();
    pic.line(4).raise();
    expect(ackEoi(pic)).toBe(0x24);
    expect(pic.intr).toBe(false);
    pic.line(4).lower();
    pic.line(4).raise();
    pic.line(4).lower();
    expect(pic.intr).toBe(false);
    expect(irr(pic, MASTER)).toBe(0);
  });

  test('level: the request lasts as long as the pin is high', () => {
    const pic = newPic(0x19);
    pic.line(4).raise();
    expect(ackEoi(pic)).toBe(0x24);
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x24);
    pic.line(4).lower();
    pic.writePort(0x20, 1, 0x20);
    expect(pic.intr).toBe(false);
  });

  test('a request that is gone when the CPU asks gives IR7 without an in-service bit', () => {
    const pic = newPic();
    pic.line(4).raise();
    pic.line(4).lower();
    expect(pic.acknowledge()).toBe(0x27);
    expect(isr(pic, MASTER)).toBe(0);
  });

  test('spurious IRQ15: the master has IR2 in service, the slave nothing', () => {
    const pic = newPic(0x19); // level, so that the master still sees IR2 below
    pic.line(12).raise();
    const { master, slave } = pic.state;
    slave.pins = 0; // the pin falls between the master's and the slave's look at it
    expect(pic.acknowledge()).toBe(0x2f);
    expect(master.isr).toBe(0x04);
    expect(slave.isr).toBe(0);
  });
});

describe('cascade', () => {
  test('a slave interrupt is in service in both chips, and needs both EOIs', () => {
    const pic = newPic();
    pulse(pic, 14);
    expect(pic.acknowledge()).toBe(0x2e);
    expect([isr(pic, MASTER), isr(pic, SLAVE)]).toEqual([0x04, 0x40]);
    pulse(pic, 9);
    expect(pic.intr).toBe(false); // IR2 is in service in the master
    pic.writePort(0xa0, 1, 0x20);
    pic.writePort(0x20, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x29);
  });

  test('IRQ8-15 have the priority of IRQ2', () => {
    const pic = newPic();
    for (const irq of [3, 15, 8, 1]) pulse(pic, irq);
    const order = [0, 0, 0, 0].map(() => {
      const vector = pic.acknowledge();
      if (vector >= 0x28) pic.writePort(0xa0, 1, 0x20);
      pic.writePort(0x20, 1, 0x20);
      return vector;
    });
    expect(order).toEqual([0x21, 0x28, 0x2f, 0x23]);
  });

  test('special fully nested: a higher request of the same slave gets through', () => {
    const pic = newPic(0x11, 0x11);
    pulse(pic, 12);
    expect(pic.acknowledge()).toBe(0x2c);
    pulse(pic, 3);
    expect(pic.intr).toBe(false);
    pulse(pic, 9);
    expect(pic.intr).toBe(true);
    expect(pic.acknowledge()).toBe(0x29);
  });

  test('masking in the slave takes its request away from the master', () => {
    const pic = newPic();
    pulse(pic, 10);
    expect(irr(pic, MASTER)).toBe(0x04);
    pic.writePort(0xa1, 1, 0x04);
    expect(irr(pic, MASTER)).toBe(0x00);
    expect(pic.intr).toBe(false);
  });
});

describe('poll', () => {
  test('a poll is an acknowledge through the data bus', () => {
    const pic = newPic();
    pic.writePort(0x20, 1, 0x0c);
    expect(pic.readPort(0x20, 1)).toBe(0x00);
    pulse(pic, 6);
    pic.writePort(0x20, 1, 0x0c);
    expect(pic.readPort(0x20, 1)).toBe(0x86);
    expect(pic.intr).toBe(false);
    expect(isr(pic, MASTER)).toBe(0x40);
  });

  test('polling both chips serves the slave', () => {
    const pic = newPic();
    pulse(pic, 11);
    pic.writePort(0x20, 1, 0x0c);
    expect(pic.readPort(0x20, 1)).toBe(0x82);
    pic.writePort(0xa0, 1, 0x0c);
    expect(pic.readPort(0xa0, 1)).toBe(0x83);
    expect(isr(pic, SLAVE)).toBe(0x08);
  });
});

test('the listener hears each change of INTR once', () => {
  const pic = newPic();
  const heard: boolean[] = [];
  pic.onIntr = (level) => heard.push(level);
  pulse(pic, 1);
  pulse(pic, 0);
  pic.acknowledge();
  pic.writePort(0x20, 1, 0x20);
  pic.acknowledge();
  expect(heard).toEqual([true, false, true, false]);
});

test('random runs agree with a naive model', () => {
  const port = fc.constantFrom(MASTER, SLAVE);
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('line' as const), irq: irq(), high: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('acknowledge' as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), port, a0: fc.constant(0), value: ocw() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('write' as const), port, a0: fc.constant(1), value: byte() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), port, a0: fc.constantFrom(0, 1) }) },
  );
  const icw1 = fc.constantFrom(0x11, 0x19);
  const icw4 = fc.constantFrom(0x01, 0x03, 0x11);
  fc.assert(
    fc.property(icw1, icw4, fc.array(step, { maxLength: 60 }), (first, fourth, steps) => {
      const pic = newPic(first, fourth);
      const naive = new NaivePic(first === 0x19, fourth);
      for (const each of steps) {
        let [ours, theirs] = [0, 0];
        if (each.do === 'line') {
          if (each.high) pic.line(each.irq).raise();
          else pic.line(each.irq).lower();
          naive.setLine(each.irq, each.high);
        } else if (each.do === 'acknowledge') {
          [ours, theirs] = [pic.acknowledge(), naive.acknowledge()];
        } else if (each.do === 'write') {
          pic.writePort(each.port + each.a0, 1, each.value);
          naive.write(each.port === SLAVE, each.a0, each.value);
        } else {
          ours = pic.readPort(each.port + each.a0, 1);
          theirs = naive.read(each.port === SLAVE, each.a0);
        }
        expect([ours, pic.intr]).toEqual([theirs, naive.intr()]);
      }
    }),
    { numRuns: 2000 },
  );
});

function ackEoi(pic: Pic): number {
  const vector = pic.acknowledge();
  pic.writePort(0x20, 1, 0x20);
  return vector;
}

function irq(): fc.Arbitrary<number> {
  return fc.integer({ min: 0, max: 15 }).filter((each) => each !== 2);
}

/** OCW2 and OCW3: bit 4 clear. */
function ocw(): fc.Arbitrary<number> {
  return fc.integer({ min: 0, max: 255 }).map((value) => value & ~0x10);
}

function byte(): fc.Arbitrary<number> {
  return fc.integer({ min: 0, max: 255 });
}

/** 16550A: registers, interrupts and loopback as the PC16550D data sheet has them. */
import { describe, expect, test } from 'vitest';
import { COM1, Uart16550 } from '../../../src/machine/devices/uart16550.ts';
import { FakeClock, FakeIrq } from './fake-clock.ts';

const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff];
const FCR = IIR;

function newUart() {
  const sent: number[] = [];
  const irq = new FakeIrq(new FakeClock());
  const uart = new Uart16550(COM1, irq, (byte) => sent.push(byte));
  const write = (port: number, value: number) => uart.writePort(port, 1, value);
  const read = (port: number) => uart.readPort(port, 1);
  return { uart, irq, sent, write, read };
}

describe('registers', () => {
  test('after reset (data sheet, table II)', () => {
    const { read } = newUart();
    expect([IER, IIR, LCR, MCR, LSR, MSR].map(read)).toEqual([0x00, 0x01, 0x00, 0x00, 0x60, 0xb0]);
  });

  test('DLAB puts the divisor in front of data and IER', () => {
    const { uart, sent, write, read } = newUart();
    write(LCR, 0x83);
    write(DATA, 0x01);
    write(IER, 0x00);
    expect([read(DATA), read(IER), uart.baud]).toEqual([1, 0, 115_200]);
    write(DATA, 0x80);
    write(IER, 0x01);
    expect(uart.baud).toBe(300);
    write(LCR, 0x03);
    expect(read(IER)).toBe(0);
    expect(sent).toEqual([]);
  });

  test('IER keeps four bits, MCR five, the scratch register all', () => {
    const { write, read } = newUart();
    for (const port of [IER, MCR, SCR]) write(port, 0xff);
    expect([IER, MCR, SCR].map(read)).toEqual([0x0f, 0x1f, 0xff]);
  });

  test('IIR shows the FIFOs, and FCR bits count only with bit 0', () => {
    const { uart, write, read } = newUart();
    write(FCR, 0xc0);
    expect(read(IIR)).toBe(0x01);
    write(FCR, 0x01);
    expect(read(IIR)).toBe(0xc1);
    uart.receive([1, 2]);
    write(FCR, 0x03); // receiver FIFO reset
    expect(read(LSR)).toBe(0x60);
  });

  test('bytes go to the sink as written', () => {
    const { sent, write, read } = newUart();
    for (const byte of [72, 105, 255]) write(DATA, byte);
    expect(sent).toEqual([72, 105, 255]);
    expect(read(LSR)).toBe(0x60);
  });
});

describe('receiving', () => {
  test('without FIFO one byte at a time, in order, none lost', () => {
    const { uart, read } = newUart();
    uart.receive([1, 2, 3]);
    const got: number[] = [];
    while ((read(LSR) & 1) !== 0) got.push(read(DATA));
    expect(got).toEqual([1, 2, 3]);
  });

  test('with FIFO 16 bytes wait inside, the rest outside, and nothing overruns', () => {
    const { uart, write, read } = newUart();
    write(FCR, 0x01);
    uart.receive(Array.from({ length: 20 }, (_, n) => n));
    expect([uart.state.rx.length, uart.state.input.length]).toEqual([16, 4]);
    expect(Array.from({ length: 20 }, () => read(DATA))).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(read(LSR)).toBe(0x60);
  });

  test('at the trigger level the interrupt is "data available", below it "character time-out"', () => {
    const { uart, irq, write, read } = newUart();
    write(FCR, 0x41); // trigger 4
    write(IER, 0x01);
    write(MCR, 0x08);
    uart.receive([1, 2, 3]);
    expect([read(IIR), irq.level]).toEqual([0xcc, true]);
    uart.receive([4]);
    expect(read(IIR)).toBe(0xc4);
    for (let n = 0; n < 4; n++) read(DATA);
    expect([read(IIR), irq.level]).toEqual([0xc1, false]);
  });
});

describe('interrupts', () => {
  test('THRE: on enabling, after each write, and away when IIR names it', () => {
    const { irq, write, read } = newUart();
    write(MCR, 0x08);
    write(IER, 0x02);
    expect(irq.level).toBe(true);
    expect(read(IIR)).toBe(0x02);
    expect([read(IIR), irq.level]).toEqual([0x01, false]);
    write(IER, 0x02); // already enabled: nothing new
    expect(irq.level).toBe(false);
    write(DATA, 65);
    expect(read(IIR)).toBe(0x02);
    write(IER, 0x00);
    write(IER, 0x02);
    expect(read(IIR)).toBe(0x02);
  });

  test('reading IIR clears THRE only when it is the source named', () => {
    const { uart, write, read } = newUart();
    write(IER, 0x03);
    uart.receive([7]);
    expect(read(IIR)).toBe(0x04); // data available is above THRE
    read(DATA);
    expect(read(IIR)).toBe(0x02);
    expect(read(IIR)).toBe(0x01);
  });

  test('as on QEMU, OUT2 does not gate the interrupt pin; loopback does', () => {
    const { irq, write, read } = newUart();
    write(IER, 0x02);
    expect(irq.level).toBe(true);
    expect(read(IIR)).toBe(0x02);
    expect(irq.level).toBe(false);
    write(DATA, 65);
    expect(irq.level).toBe(true);
    write(MCR, 0x10);
    expect(irq.level).toBe(false);
  });

  test('priority: line status, data, THRE, modem status', () => {
    const { write, read } = newUart();
    write(IER, 0x0f);
    write(MCR, 0x10); // loopback: CTS, DSR and DCD fall
    write(DATA, 1);
    write(DATA, 2); // overruns the single receiver register
    expect(read(IIR)).toBe(0x06);
    expect(read(LSR)).toBe(0x63);
    expect(read(IIR)).toBe(0x04);
    expect(read(DATA)).toBe(2);
    expect(read(IIR)).toBe(0x02);
    expect(read(IIR)).toBe(0x00);
    expect(read(MSR)).toBe(0x0b);
    expect(read(IIR)).toBe(0x01);
  });
});

describe('loopback', () => {
  test('the probe of kernels: MCR 0x1A shows DCD and CTS', () => {
    const { write, read } = newUart();
    write(MCR, 0x1a);
    expect(read(MSR) & 0xf0).toBe(0x90);
  });

  test('DTR, RTS, OUT1, OUT2 drive DSR, CTS, RI, DCD', () => {
    const { write, read } = newUart();
    const lines = [1, 2, 4, 8].map((bit) => {
      write(MCR, 0x10 | bit);
      return read(MSR) & 0xf0;
    });
    expect(lines).toEqual([0x20, 0x10, 0x40, 0x80]);
  });

  test('TERI tells only the end of a ring', () => {
    const { write, read } = newUart();
    write(MCR, 0x1b); // the other three lines stay up
    read(MSR);
    write(MCR, 0x1f);
    expect(read(MSR)).toBe(0xf0);
    write(MCR, 0x1b);
    expect(read(MSR)).toBe(0xb4);
    expect(read(MSR)).toBe(0xb0);
  });

  test('bytes come back, the peer is cut off, and the full FIFO overruns', () => {
    const { uart, sent, write, read } = newUart();
    write(FCR, 0x01);
    write(MCR, 0x10);
    uart.receive([99]);
    for (let n = 0; n < 17; n++) write(DATA, n);
    expect(sent).toEqual([]);
    expect(read(LSR)).toBe(0x63);
    expect(Array.from({ length: 16 }, () => read(DATA))).toEqual(Array.from({ length: 16 }, (_, n) => n));
    expect(read(LSR)).toBe(0x60);
    write(MCR, 0x00);
    expect(read(DATA)).toBe(99);
  });
});

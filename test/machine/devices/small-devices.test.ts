/** Devices of a port or two: debug console, exit, progress, POST, port 0x92, port 0x61, keyboard controller, VGA text. */
import { describe, expect, test } from 'vitest';
import { CoprocessorError } from '../../../src/machine/devices/coprocessor-error.ts';
import { Debugcon } from '../../../src/machine/devices/debugcon.ts';
import { ExitPort } from '../../../src/machine/devices/exit-port.ts';
import { I8042 } from '../../../src/machine/devices/i8042.ts';
import { PC_PIT, Pit } from '../../../src/machine/devices/pit.ts';
import { Port61 } from '../../../src/machine/devices/port61.ts';
import { Port92 } from '../../../src/machine/devices/port92.ts';
import { PostPort } from '../../../src/machine/devices/post.ts';
import { Progress } from '../../../src/machine/devices/progress.ts';
import { VgaText } from '../../../src/machine/devices/vga-text.ts';
import { FakeClock, FakeIrq } from './fake-clock.ts';

test('debug console: bytes out, 0xE9 in', () => {
  const bytes: number[] = [];
  const debugcon = new Debugcon((byte) => bytes.push(byte));
  debugcon.writePort(0xe9, 1, 0x41);
  expect([debugcon.readPort(0xe9, 1), ...bytes]).toEqual([0xe9, 0x41]);
});

test('coprocessor error: the line is up until the port is written, whatever is written', () => {
  const clock = new FakeClock();
  const line = new FakeIrq(clock);
  const acknowledged: boolean[] = [];
  const device = new CoprocessorError(line, () => acknowledged.push(line.level));
  device.raise();
  expect([line.level, device.readPort(0xf0, 1), line.level]).toEqual([true, 0xff, true]);
  device.writePort();
  expect([line.level, acknowledged]).toEqual([false, [false]]);
  device.raise();
  device.reset();
  expect([line.level, device.state.isRaised, acknowledged.length]).toEqual([false, false, 1]);
});

test('exit port: each write reports its value, as wide as the access', () => {
  const values: number[] = [];
  const port = new ExitPort((value) => values.push(value));
  port.writePort(0xf4, 1, 0x31);
  port.writePort(0xf4, 2, 0x1234);
  port.writePort(0xf4, 4, 0xffff_ffff);
  expect(values).toEqual([0x31, 0x1234, 4_294_967_295]);
  expect(port.readPort(0xf4, 4)).toBe(0);
});

test('progress: 32-bit totals only', () => {
  const totals: number[] = [];
  const port = new Progress((units) => totals.push(units));
  port.writePort(0xe4, 4, 3_000_000_000);
  port.writePort(0xe4, 1, 7);
  expect(totals).toEqual([3_000_000_000]);
  expect([port.readPort(0xe4, 4), port.readPort(0xe7, 1), port.readPort(0xe6, 2)]).toEqual([
    3_000_000_000, 0xb2, 0xb2d0,
  ]);
});

test('POST port reads back', () => {
  const post = new PostPort();
  post.writePort(0x80, 1, 0x5a);
  expect(post.readPort(0x80, 1)).toBe(0x5a);
});

test('port 0x92: A20 is open at first; a rising bit 0 asks for a reset once', () => {
  let resets = 0;
  const port = new Port92(() => resets++);
  expect([port.readPort(0x92, 1), port.a20Open]).toEqual([0x02, true]);
  port.writePort(0x92, 1, 0x00);
  expect(port.a20Open).toBe(false);
  port.writePort(0x92, 1, 0x03);
  port.writePort(0x92, 1, 0x03);
  expect(resets).toBe(1);
});

describe('port 0x61', () => {
  function newPort61() {
    const clock = new FakeClock();
    const pit = new Pit(PC_PIT, clock, new FakeIrq(clock));
    return { clock, pit, port: new Port61(pit) };
  }

  test('the delay loop of kernels: mode 0 on counter 2, gate up, wait for OUT2', () => {
    const { clock, pit, port } = newPort61();
    port.writePort(0x61, 1, 0x01); // gate up, speaker off
    pit.writePort(0x43, 1, 0xb0);
    pit.writePort(0x42, 1, 0x9b);
    pit.writePort(0x42, 1, 0x2e); // 11931 pulses: 10 ms
    const isDone = (tick: number) => {
      clock.runTo(Math.floor((tick * 1e9) / 1_193_182));
      return (port.readPort(0x61, 1) & 0x20) !== 0;
    };
    expect([isDone(11_931), isDone(11_932)]).toEqual([false, true]);
  });

  test('the gate stops counter 2 and restarts it', () => {
    const { clock, pit, port } = newPort61();
    pit.writePort(0x43, 1, 0x90);
    pit.writePort(0x42, 1, 10);
    clock.runTo(1_000_000);
    expect(pit.readPort(0x42, 1)).toBe(10); // loaded, but the gate is down
    port.writePort(0x61, 1, 0x01);
    clock.runTo(2_000_000);
    expect(port.readPort(0x61, 1) & 0x20).toBe(0x20);
  });

  test('bits 0-3 read back, bit 4 toggles every 18 pulses', () => {
    const { clock, port } = newPort61();
    port.writePort(0x61, 1, 0xff);
    expect(port.readPort(0x61, 1) & 0xcf).toBe(0x0f);
    let toggles = 0;
    let last = port.readPort(0x61, 1) & 0x10;
    for (let time = 0; time <= 1_000_000; time += 1000) {
      clock.runTo(time);
      const bit = port.readPort(0x61, 1) & 0x10;
      if (bit !== last) toggles++;
      last = bit;
    }
    expect(toggles).toBe(66); // 1193 pulses / 18
  });
});

describe('keyboard controller', () => {
  function newI8042() {
    const resets: string[] = [];
    const irq = new FakeIrq(new FakeClock());
    const device = new I8042(() => resets.push('reset'), irq, irq);
    const command = (value: number) => device.writePort(0x64, 1, value);
    const data = (value: number) => device.writePort(0x60, 1, value);
    const status = () => device.readPort(0x64, 1);
    const reply = () => device.readPort(0x60, 1);
    return { device, resets, command, data, status, reply };
  }

  test('starts as the BIOS of QEMU 7.2 leaves it; the self test answers 0x55, the interface test 0x00', () => {
    const { command, status, reply } = newI8042();
    expect(status()).toBe(0x1c);
    command(0xaa);
    expect(status() & 0x01).toBe(1);
    expect(reply()).toBe(0x55);
    expect(status() & 0x01).toBe(0);
    command(0xab);
    expect(reply()).toBe(0x00);
  });

  test('the command byte reads back, 0xAD and 0xAE change its bit 4', () => {
    const { command, data, reply } = newI8042();
    command(0x60);
    data(0x61);
    command(0xad);
    command(0x20);
    expect(reply()).toBe(0x71);
    command(0xae);
    command(0x20);
    expect(reply()).toBe(0x61);
  });

  test('the output port holds A20 and the reset line', () => {
    const { device, resets, command, data, reply } = newI8042();
    command(0xd0);
    expect(reply() & 0x03).toBe(0x03);
    command(0xd1);
    data(0xdd);
    expect(device.a20Open).toBe(false);
    command(0xd1);
    data(0xfe);
    expect(resets).toEqual(['reset']);
  });

  test('0xFE pulses the reset line, 0xFF pulses nothing', () => {
    const { resets, command } = newI8042();
    command(0xff);
    expect(resets).toEqual([]);
    command(0xfe);
    expect(resets).toEqual(['reset']);
  });
});

describe('VGA text', () => {
  function put(screen: Uint8Array, cell: number, text: string): void {
    for (let n = 0; n < text.length; n++) screen[2 * (cell + n)] = text.charCodeAt(n);
  }

  test('lines are trimmed at the right, empty lines at the end dropped', () => {
    const vga = new VgaText(new FakeClock());
    const screen = new Uint8Array(4000).fill(0x07);
    for (let cell = 0; cell < 2000; cell++) screen[2 * cell] = 0x20;
    put(screen, 0, 'Booting');
    put(screen, 2 * 80 + 3, 'ok');
    expect(vga.screenText(screen)).toBe('Booting\n\n   ok');
  });

  test('code page 437', () => {
    const vga = new VgaText(new FakeClock());
    const screen = new Uint8Array(4000);
    [0x80, 0xb0, 0xe1, 0xfe, 0x01, 0x7f, 0xff, 0x41].forEach((byte, n) => {
      screen[2 * n] = byte;
    });
    expect(vga.screenText(screen)).toBe('Ç░ß■☺⌂ A');
  });

  test('the start address scrolls, the cursor is where the registers say', () => {
    const vga = new VgaText(new FakeClock());
    const screen = new Uint8Array(0x8000);
    put(screen, 80, 'second');
    for (const [index, value] of [
      [0x0c, 0],
      [0x0d, 80],
      [0x0e, 1],
      [0x0f, 2],
    ] as const) {
      vga.writePort(0x3d4, 1, index);
      vga.writePort(0x3d5, 1, value);
    }
    expect(vga.screenText(screen)).toBe('second');
    expect([vga.cursorCell, vga.readPort(0x3d5, 1), vga.readPort(0x3d4, 1)]).toEqual([258, 2, 0x0f]);
  });

  test('vertical retrace comes 70 times a second and shows as blank too', () => {
    const clock = new FakeClock();
    const vga = new VgaText(clock);
    const seen = new Set<number>();
    let retraces = 0;
    let wasRetrace = false;
    for (let time = 0; time < 1e9; time += 20_000) {
      clock.runTo(time);
      const status = vga.readPort(0x3da, 1);
      const isRetrace = (status & 0x08) !== 0;
      if (isRetrace) seen.add(status);
      if (isRetrace && !wasRetrace) retraces++;
      wasRetrace = isRetrace;
    }
    expect(retraces).toBe(70);
    expect([...seen]).toEqual([0x09]);
  });
});

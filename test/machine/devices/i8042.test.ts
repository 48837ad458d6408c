/** The keyboard controller with its keyboard and mouse: answers as QEMU 7.2 gives them, interrupts, typed keys. */
import { describe, expect, test } from 'vitest';
import { I8042 } from '../../../src/machine/devices/i8042.ts';
import { keystrokes, toSet2, translated } from '../../../src/machine/devices/scan-codes.ts';
import { FakeClock, FakeIrq } from './fake-clock.ts';

function newI8042() {
  const clock = new FakeClock();
  const [keyboardIrq, mouseIrq] = [new FakeIrq(clock), new FakeIrq(clock)];
  const device = new I8042(() => {}, keyboardIrq, mouseIrq);
  const command = (value: number) => device.writePort(0x64, 1, value);
  const data = (value: number) => device.writePort(0x60, 1, value);
  const mouse = (value: number) => {
    command(0xd4);
    data(value);
  };
  const status = () => device.readPort(0x64, 1);
  /** Everything that waits; status bit 5 tells the mouse's bytes, which are listed with 0x100 added. */
  const drain = () => {
    const bytes: number[] = [];
    while ((status() & 1) !== 0) bytes.push((status() & 0x20) * 8 + device.readPort(0x60, 1));
    return bytes;
  };
  return { device, keyboardIrq, mouseIrq, command, data, mouse, status, drain };
}

describe('answers, as read on QEMU 7.2 after its BIOS', () => {
  test.each([
    ['command byte', [0x20], [0x61]],
    ['output port', [0xd0], [0xcf]],
    ['input port', [0xc0], [0x80]],
    ['mouse port test', [0xa9], [0x00]],
  ] as const)('%s', (_name, commands, answers) => {
    const { command, drain } = newI8042();
    for (const value of commands) command(value);
    expect(drain()).toEqual(answers);
  });

  test.each([
    ['identify', [0xf2], [0xfa, 0xab, 0x41]],
    ['echo', [0xee], [0xee]],
    ['which scan code set', [0xf0, 0x00], [0xfa, 0xfa, 0x41]],
    ['reset', [0xff], [0xfa, 0xaa]],
    ['LEDs', [0xed, 0x07], [0xfa, 0xfa]],
    ['an unknown command', [0x12], [0xfe]],
  ] as const)('keyboard: %s', (_name, bytes, answers) => {
    const { data, drain } = newI8042();
    for (const value of bytes) data(value);
    expect(drain()).toEqual(answers);
  });

  test.each([
    ['identify', 0xf2, [0x1fa, 0x100]],
    ['reset', 0xff, [0x1fa, 0x1aa, 0x100]],
    ['status', 0xe9, [0x1fa, 0x100, 0x102, 0x164]],
  ] as const)('mouse: %s', (_name, byte, answers) => {
    const { mouse, drain } = newI8042();
    mouse(byte);
    expect(drain()).toEqual(answers);
  });
});

test('each byte is an interrupt of its device, if the command byte allows it', () => {
  const { keyboardIrq, mouseIrq, command, data, mouse, drain } = newI8042();
  data(0xf2);
  drain();
  expect([keyboardIrq.rises.length, mouseIrq.rises.length]).toEqual([3, 0]);
  command(0x60);
  data(0x42);
  data(0xf4);
  drain();
  mouse(0xf4);
  drain();
  expect([keyboardIrq.rises.length, mouseIrq.rises.length, keyboardIrq.level, mouseIrq.level]).toEqual([
    3,
    1,
    false,
    false,
  ]);
});

test('a device whose clock is off keeps its bytes', () => {
  const { device, command, drain } = newI8042();
  command(0xad);
  device.type([0x61]);
  expect(drain()).toEqual([]);
  command(0xae);
  expect(drain()).toEqual([0x1e, 0x9e]);
});

describe('typing', () => {
  test('set 1 by translation, set 2 without it', () => {
    const { device, command, data, drain } = newI8042();
    device.type(Array.from('A b\n', (character) => character.charCodeAt(0)));
    expect(drain()).toEqual([0x2a, 0x1e, 0x9e, 0xaa, 0x39, 0xb9, 0x30, 0xb0, 0x1c, 0x9c]);
    command(0x60);
    data(0x00);
    device.type([0x61]);
    expect(drain()).toEqual([0x1c, 0xf0, 0x1c]);
  });

  test('a disabled keyboard waits', () => {
    const { device, data, drain } = newI8042();
    data(0xf5);
    expect(drain()).toEqual([0xfa]);
    device.type([0x31]);
    expect(drain()).toEqual([]);
    data(0xf4);
    expect(drain()).toEqual([0xfa, 0x02, 0x82]);
  });

  test('every printable character has keys, and translation undoes set 2', () => {
    for (let code = 0x20; code < 0x7f; code++) expect(keystrokes(String.fromCharCode(code)).length).toBeGreaterThan(1);
    expect(keystrokes('\x03')).toEqual([0x1d, 0x2e, 0xae, 0x9d]);
    for (let key = 1; key <= 0x39; key++) expect(toSet2(key).map(translated)).toEqual([key]);
  });
});

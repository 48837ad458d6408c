/** The assembled PC: who is where, what a BIOS leaves, and the timer interrupt from the counter to the vector. */
import { expect, test } from 'vitest';
import { createPc, type PcOptions } from '../../src/machine/pc.ts';
import { FakeClock } from './devices/fake-clock.ts';

function newPc(options: Partial<PcOptions> = {}) {
  const clock = new FakeClock();
  return { clock, pc: createPc({ clock, memoryBytes: 32 * 2 ** 20, ...options }) };
}

test('the ports of a PC', () => {
  const { pc } = newPc();
  const at = (port: number) => pc.bus.deviceAt(port)?.name;
  const names = (ports: number[]) => ports.map(at).join(' ');
  expect(names([0x20, 0xa1, 0x40, 0x43, 0x60, 0x61, 0x64])).toBe('pic pic pit pit i8042 port61 i8042');
  expect(names([0x70, 0x71, 0x80, 0x92, 0xe4, 0xe9])).toBe('cmos cmos post port92 progress debugcon');
  expect(names([0xf4, 0x3d4, 0x3da, 0x3f8, 0x3ff])).toBe('exit-port vga-text vga-text com1 com1');
  expect([0xcf8, 0x1f0, 0x2f8].map(at)).toEqual([undefined, undefined, undefined]);
});

test('what the BIOS of QEMU 7.2 leaves: masks 0xB8 and 0x8E, counter 0 in mode 2 at 18.2 Hz', () => {
  const { clock, pc } = newPc();
  expect([pc.bus.read(0x21, 1), pc.bus.read(0xa1, 1)]).toEqual([0xb8, 0x8e]);
  clock.runTo(1_000_000_000);
  pc.bus.write(0x43, 1, 0xe2);
  expect(pc.bus.read(0x40, 1) & 0x7f).toBe(0x34);
  expect(pc.pit.timerEdges() - 1).toBe(18); // less the edge of the control word
  expect(pc.pic.intr).toBe(true);
  expect(pc.pic.acknowledge()).toBe(0x08);
});

test('setting up the machine does not count as accesses', () => {
  expect(newPc().pc.bus.counts.every((row) => row.reads === 0 && row.writes === 0)).toBe(true);
});

test('a kernel that remaps the controllers and sets 100 Hz gets vector 0x20 every 10 ms', () => {
  const { clock, pc } = newPc();
  const write = (port: number, ...values: number[]) => {
    for (const value of values) pc.bus.write(port, 1, value);
  };
  write(0x20, 0x11);
  write(0x21, 0x20, 0x04, 0x01, 0xfe);
  write(0xa0, 0x11);
  write(0xa1, 0x28, 0x02, 0x01, 0xff);
  write(0x43, 0x36); // mode 3
  write(0x40, 0x9c, 0x2e); // 11932
  const vectors: number[] = [];
  pc.pic.onIntr = (level) => {
    if (level) vectors.push(clock.time);
  };
  for (let ms = 1; ms <= 1000; ms++) {
    clock.runTo(ms * 1_000_000);
    if (!pc.pic.intr) continue;
    expect(pc.pic.acknowledge()).toBe(0x20);
    pc.bus.write(0x20, 1, 0x20);
  }
  expect(vectors.length).toBe(99); // the hundredth comes 15 us after the second
  expect(vectors[1]! - vectors[0]!).toBe(10_000_151); // 11932 pulses of 838.095 ns, 10 000 150.9 ns
});

test('serial input interrupts through IRQ4', () => {
  const sent: number[] = [];
  const { pc } = newPc({ serial: (byte) => sent.push(byte) });
  pc.bus.write(0x21, 1, 0xef);
  pc.bus.write(0x3fc, 1, 0x08);
  pc.bus.write(0x3f9, 1, 0x01);
  pc.uart.receive([0x41]);
  expect(pc.pic.intr).toBe(true);
  expect(pc.pic.acknowledge()).toBe(0x0c);
  pc.bus.write(0x3f8, 1, pc.bus.read(0x3f8, 1));
  expect(sent).toEqual([0x41]);
});

test('sinks hear what the guest says', () => {
  const heard: string[] = [];
  const { pc } = newPc({
    console: (byte) => heard.push(`console ${byte}`),
    onExit: (value) => heard.push(`exit ${value}`),
    onProgress: (units) => heard.push(`progress ${units}`),
    onReset: (device) => heard.push(`reset ${device}`),
  });
  pc.bus.write(0xe9, 1, 65);
  pc.bus.write(0xe4, 4, 1000);
  pc.bus.write(0xf4, 4, 3);
  pc.bus.write(0x64, 1, 0xfe);
  pc.bus.write(0x92, 1, 0x03);
  expect(heard).toEqual(['console 65', 'progress 1000', 'exit 3', 'reset i8042', 'reset port92']);
});

test('an idle machine asks for 18 timer events a second and no more', () => {
  const { clock } = newPc();
  let events = 0;
  while (clock.next <= 1_000_000_000) {
    clock.runTo(clock.next);
    events++;
  }
  expect(events).toBe(19); // one of them the load of the count
});

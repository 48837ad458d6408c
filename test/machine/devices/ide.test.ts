/** IDE channel: commands, blocks and interrupts as ATA-5 has them, and what drivers look for when a drive is missing. */
import { describe, expect, test } from 'vitest';
import { IDE_PRIMARY, IdeChannel } from '../../../src/machine/devices/ide.ts';
import { FakeClock, FakeIrq } from './fake-clock.ts';
import { MemoryDisk } from './memory-disk.ts';

const [DATA, ERROR, COUNT, LOW, MID, HIGH, DEVICE, STATUS] = [0x1f0, 0x1f1, 0x1f2, 0x1f3, 0x1f4, 0x1f5, 0x1f6, 0x1f7];
const FEATURES = ERROR;
const COMMAND = STATUS;
const CONTROL = 0x3f6;
const [READY, BUSY, DATA_REQUEST, FAILED] = [0x50, 0x80, 0x58, 0x41];

function newIde(master: MemoryDisk | null = new MemoryDisk(5000), slave: MemoryDisk | null = null) {
  const clock = new FakeClock();
  const irq = new FakeIrq(clock);
  const ide = new IdeChannel(IDE_PRIMARY, clock, irq, [master, slave]);
  const write = (port: number, value: number) => ide.writePort(port, 1, value);
  const read = (port: number) => ide.readPort(port, 1);
  const wait = () => clock.runTo(clock.time + 20_000_000);
  /** An LBA command, up to the moment when the drive answers. */
  const command = (code: number, sector: number, count: number, device = 0) => {
    write(COUNT, count);
    write(LOW, sector & 0xff);
    write(MID, (sector >> 8) & 0xff);
    write(HIGH, (sector >> 16) & 0xff);
    write(DEVICE, 0xe0 | device | (sector >>> 24));
    write(COMMAND, code);
    wait();
  };
  const words = (count: number) => Array.from({ length: count }, () => ide.readPort(DATA, 2));
  return { clock, irq, ide, master, slave, write, read, wait, command, words };
}

const firstWord = (values: readonly number[], sector: number) => values[sector * 256];

describe('reading', () => {
  test('one sector: busy, then data with an interrupt that reading the status takes away', () => {
    const { clock, irq, write, read, words } = newIde();
    write(COUNT, 1);
    write(LOW, 0x34);
    write(MID, 0x12);
    write(HIGH, 0);
    write(DEVICE, 0xe0);
    write(COMMAND, 0x20);
    expect([read(STATUS), irq.level]).toEqual([BUSY, false]);
    clock.runTo(1_000_000);
    expect([read(CONTROL), irq.level]).toEqual([DATA_REQUEST, true]);
    expect([read(STATUS), irq.level]).toEqual([DATA_REQUEST, false]);
    const data = words(256);
    expect([data[0], data[1], data[255]]).toEqual([0x1234, 0, 0x3434]);
    expect([read(STATUS), read(COUNT), read(LOW), irq.rises.length]).toEqual([READY, 0, 0x34, 1]);
  });

  test('each further sector has its own interrupt; the registers end at the last one', () => {
    const { irq, wait, read, command, words } = newIde();
    command(0x20, 254, 3);
    read(STATUS);
    const seen: (number | undefined)[] = [];
    for (let n = 0; n < 3; n++) {
      seen.push(firstWord(words(256), 0), irq.rises.length);
      wait();
      read(STATUS);
    }
    expect(seen).toEqual([254, 1, 255, 2, 256, 3]);
    expect([LOW, MID, HIGH, STATUS].map(read)).toEqual([0, 1, 0, READY]);
  });

  test('READ MULTIPLE has an interrupt for each block, and is refused before SET MULTIPLE', () => {
    const { irq, wait, read, command, words } = newIde();
    command(0xc4, 10, 6);
    expect([read(STATUS), read(ERROR)]).toEqual([FAILED, 0x04]);
    command(0xc6, 0, 3);
    expect(read(STATUS)).toBe(FAILED);
    command(0xc6, 0, 4);
    expect(read(STATUS)).toBe(READY);
    const before = irq.rises.length;
    command(0xc4, 10, 6);
    read(STATUS);
    const first = words(4 * 256);
    wait();
    read(STATUS);
    const second = words(2 * 256);
    expect([0, 3].map((n) => firstWord(first, n)).concat([0, 1].map((n) => firstWord(second, n)))).toEqual([
      10, 13, 14, 15,
    ]);
    expect([read(STATUS), irq.rises.length - before]).toEqual([READY, 2]);
  });

  test('32-bit accesses move two words', () => {
    const { ide, read, command } = newIde();
    command(0x20, 0x105, 1);
    expect(ide.readPort(DATA, 4)).toBe(0x105);
    for (let n = 1; n < 128; n++) expect(ide.readPort(DATA, 4)).toBe(0x0505_0505);
    expect(read(STATUS)).toBe(READY);
  });

  test('CHS: INITIALIZE PARAMETERS sets the translation, sector 0 and heads beyond it do not exist', () => {
    const { write, read, wait, words } = newIde();
    const chs = (cylinder: number, head: number, sector: number) => {
      write(COUNT, 1);
      write(LOW, sector);
      write(MID, cylinder & 0xff);
      write(HIGH, cylinder >> 8);
      write(DEVICE, 0xa0 | head);
      write(COMMAND, 0x20);
      wait();
    };
    chs(2, 3, 5); // 16 heads, 63 sectors
    expect(firstWord(words(256), 0)).toBe((2 * 16 + 3) * 63 + 4);
    write(COUNT, 17);
    write(DEVICE, 0xa3); // 4 heads
    write(COMMAND, 0x91);
    wait();
    chs(2, 3, 5);
    expect(firstWord(words(256), 0)).toBe((2 * 4 + 3) * 17 + 4);
    chs(2, 3, 0);
    expect([read(STATUS), read(ERROR)]).toEqual([FAILED, 0x10]);
    chs(2, 4, 1);
    expect(read(STATUS)).toBe(FAILED);
  });

  test('a sector beyond the end is not found; the interrupt comes all the same', () => {
    const { irq, read, wait, command, words } = newIde();
    command(0x20, 5000, 1);
    expect([read(CONTROL), read(ERROR), irq.level]).toEqual([FAILED, 0x10, true]);
    command(0x20, 4999, 2);
    words(256);
    wait();
    expect([read(STATUS), read(ERROR)]).toEqual([FAILED, 0x10]);
  });
});

describe('writing', () => {
  test('data is asked for without an interrupt, each sector written interrupts', () => {
    const { ide, irq, master, wait, read, command } = newIde();
    command(0x30, 7, 2);
    expect([read(STATUS), irq.rises.length]).toEqual([DATA_REQUEST, 0]);
    for (let n = 0; n < 256; n++) ide.writePort(DATA, 2, 0xabcd);
    expect(read(STATUS)).toBe(BUSY);
    wait();
    expect([read(STATUS), irq.rises.length]).toEqual([DATA_REQUEST, 1]);
    for (let n = 0; n < 128; n++) ide.writePort(DATA, 4, 0x1234_5678);
    wait();
    expect([read(STATUS), irq.rises.length]).toEqual([READY, 2]);
    const at = (byte: number) => master?.bytes[7 * 512 + byte];
    expect([at(0), at(511), at(512), at(1023), at(1024)]).toEqual([0xcd, 0xab, 0x78, 0x12, 9]);
  });

  test('FLUSH CACHE reaches the store', () => {
    const { master, read, command } = newIde();
    command(0xe7, 0, 0);
    expect([read(STATUS), master?.flushes]).toEqual([READY, 1]);
  });
});

describe('identity', () => {
  test('IDENTIFY DEVICE: size, geometry, LBA, no DMA, names as ASCII with the first character high', () => {
    const { read, command, words } = newIde(new MemoryDisk(20_160));
    command(0xec, 0, 0);
    expect(read(STATUS)).toBe(DATA_REQUEST);
    const id = words(256);
    expect(id[5]).toBe(512);
    expect([id[1], id[3], id[6], id[60], id[61], (id[49]! >> 8) & 3]).toEqual([20, 16, 63, 20_160, 0, 2]);
    expect(String.fromCharCode(id[27]! >> 8, id[27]! & 0xff, id[28]! >> 8)).toBe('HVS');
    expect(read(STATUS)).toBe(READY);
  });

  test('soft reset and EXECUTE DEVICE DIAGNOSTIC leave the signature of a disk', () => {
    const { irq, write, read, wait, command } = newIde();
    const signature = () => [ERROR, COUNT, LOW, MID, HIGH, STATUS].map(read);
    command(0x20, 0x123456, 9);
    write(CONTROL, 0x04);
    wait();
    expect(read(STATUS)).toBe(BUSY); // as long as the host holds it
    write(CONTROL, 0x00);
    wait();
    const rises = irq.rises.length;
    expect(signature()).toEqual([1, 1, 1, 0, 0, READY]);
    command(0x90, 0x123456, 9);
    expect(signature()).toEqual([1, 1, 1, 0, 0, READY]);
    expect(irq.rises.length).toBe(rises + 1);
  });

  test('what it does not have is aborted: packets, DMA, 48-bit commands, DEVICE RESET', () => {
    const { write, read, command } = newIde();
    for (const code of [0x00, 0x08, 0x24, 0xa0, 0xa1, 0xc8, 0xca, 0xea]) {
      command(code, 0, 1);
      expect([code, read(STATUS), read(ERROR)]).toEqual([code, FAILED, 0x04]);
    }
    write(FEATURES, 0x03);
    command(0xef, 0, 0x0c); // PIO mode 4
    expect(read(STATUS)).toBe(READY);
    write(FEATURES, 0x03);
    command(0xef, 0, 0x45); // Ultra DMA
    expect(read(STATUS)).toBe(FAILED);
  });
});

describe('two drives', () => {
  test('nIEN silences the pin, not the drive', () => {
    const { irq, write, read, command } = newIde();
    write(CONTROL, 0x02);
    command(0x20, 0, 1);
    expect([read(CONTROL), irq.level]).toEqual([DATA_REQUEST, false]);
    write(CONTROL, 0x00);
    expect(irq.level).toBe(true);
  });

  test('a slave has its own sectors and its own settings', () => {
    const { master, slave, ide, wait, read, command, words } = newIde(new MemoryDisk(50), new MemoryDisk(100));
    command(0x20, 77, 1, 0x10);
    expect([read(STATUS), firstWord(words(256), 0)]).toEqual([DATA_REQUEST, 77]);
    command(0x20, 77, 1, 0);
    expect(read(STATUS)).toBe(FAILED);
    command(0x30, 3, 1, 0x10);
    for (let n = 0; n < 256; n++) ide.writePort(DATA, 2, 0xffff);
    wait();
    expect([master?.bytes[3 * 512 + 9], slave?.bytes[3 * 512 + 9]]).toEqual([3, 0xff]);
  });

  test('going to the other drive in the middle of a transfer gives it up', () => {
    const { write, read, command, words } = newIde(new MemoryDisk(50), new MemoryDisk(5));
    command(0x20, 40, 2, 0);
    words(100);
    write(DEVICE, 0xf0);
    expect([words(200).every((word) => word === 0), read(STATUS)]).toEqual([true, READY]);
  });

  test('a missing slave has status 0; its registers are the master’s', () => {
    const { write, read, irq, command } = newIde();
    write(DEVICE, 0xf0);
    write(COUNT, 0x55);
    expect([read(STATUS), read(COUNT)]).toEqual([0, 0x55]);
    command(0xec, 0, 0, 0x10);
    expect([read(STATUS), irq.rises.length]).toEqual([0, 0]);
  });

  test('without a master the bus floats: not busy and ready, registers do not read back', () => {
    const { write, read, command } = newIde(null, new MemoryDisk(9));
    write(DEVICE, 0xe0);
    write(COUNT, 0x55);
    expect([read(STATUS), read(COUNT)]).toEqual([0x7f, 0x7f]);
    command(0x20, 8, 1, 0x10);
    expect(read(STATUS)).toBe(DATA_REQUEST);
  });
});

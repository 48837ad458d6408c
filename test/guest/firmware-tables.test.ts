/** The tables of the MultiProcessor Specification, read back by its rules (chapter 4). */
import { expect, test } from 'vitest';
import { firmwareBlocks } from '../../src/guest/firmware-tables.ts';

const blocks = firmwareBlocks({
  cpus: 3,
  signature: 0x633,
  features: 0x200,
  lapic: { base: 0xfee0_0000, version: 0x14 },
  ioApic: { id: 3, base: 0xfec0_0000, version: 0x11 },
  pinOf: (irq) => (irq === 0 ? 2 : irq),
});
const at = (address: number) => blocks.find((block) => block.at === address)!.bytes;
const word = (bytes: Uint8Array, offset: number) => new DataView(bytes.buffer).getUint32(offset, true);
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

test('the BIOS data area points at an EBDA of one KiB below 640 KiB', () => {
  expect([[...at(0x40e)], [...at(0x413)], [...at(0x9fc00)]]).toEqual([[0xc0, 0x9f], [0x7f, 0x02], [1]]);
});

test('floating pointer and table have right checksums, lengths and entries', () => {
  const pointer = at(0xf0000);
  expect([pointer.length, sum(pointer), String.fromCharCode(...pointer.slice(0, 4))]).toEqual([16, 0, '_MP_']);
  const table = at(word(pointer, 4));
  const length = table[4]! | (table[5]! << 8);
  expect([length, sum(table), word(table, 36)]).toEqual([table.length, 0, 0xfee0_0000]);
  const kinds: number[] = [];
  for (let offset = 44; offset < length; offset += table[offset] === 0 ? 20 : 8) kinds.push(table[offset]!);
  // Three processors, a bus, an I/O APIC, 15 lines, two local ones: in ascending order of their types (4.3).
  expect(kinds).toEqual([0, 0, 0, 1, 2, ...Array.from({ length: 15 }, () => 3), 4, 4]);
  expect(table[34]! | (table[35]! << 8)).toBe(kinds.length);
});

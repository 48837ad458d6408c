/** Linux loader: the boot parameters field by field, as the boot protocol has them, and what is refused. */
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { type GuestImage, guestImage } from '../../src/guest/image.ts';
import { type LinuxOptions, loadLinux } from '../../src/guest/linux.ts';

const MIB = 2 ** 20;
const KERNEL = Uint8Array.from({ length: 3000 }, (_, n) => n & 0xff);

class TestMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes).fill(0xcc);
    this.view = new DataView(this.bytes.buffer);
  }
  get sizeBytes(): number {
    return this.bytes.length;
  }
  write(gpa: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, gpa);
  }
  fill(gpa: number, length: number, value: number): void {
    this.bytes.fill(value, gpa, gpa + length);
  }
}

/** A bzImage with two sectors of set-up code and the header of protocol 2.12. */
function bzImage(change: (view: DataView) => void = () => {}): GuestImage {
  const bytes = new Uint8Array(3 * 512 + KERNEL.length);
  const view = new DataView(bytes.buffer);
  bytes[0x1f1] = 2;
  view.setUint16(0x1fe, 0xaa55, true);
  bytes[0x201] = 0x66;
  bytes.set([0x48, 0x64, 0x72, 0x53], 0x202); // HdrS
  view.setUint16(0x206, 0x020c, true);
  bytes[0x211] = 1;
  view.setUint32(0x214, MIB, true);
  view.setUint32(0x22c, 0x007f_ffff, true); // initrd_addr_max
  view.setUint32(0x238, 255, true); // cmdline_size
  view.setUint32(0x258, MIB, true); // pref_address
  view.setUint32(0x260, 2 * MIB, true); // init_size
  bytes.set(KERNEL, 3 * 512);
  change(view);
  return guestImage('bz', '/some/where/bz', bytes);
}

function load(image: GuestImage, options: LinuxOptions = {}, mib = 16) {
  const memory = new TestMemory(mib * MIB);
  const start = loadLinux(image, memory, options);
  const at = start.esi;
  return { memory, start, word: (offset: number) => memory.view.getUint32(at + offset, true), at };
}

describe('a bzImage', () => {
  test('is told by its header', () => {
    expect(bzImage().kind).toBe('linux');
    expect(guestImage('no', 'no', new Uint8Array(600)).kind).toBe('unknown');
  });

  test('goes to 1 MiB and starts there in flat segments 0x10 and 0x18, interrupts off', () => {
    const { memory, start } = load(bzImage());
    expect(memory.bytes.subarray(MIB, MIB + KERNEL.length)).toEqual(KERNEL);
    expect(start).toMatchObject({ eip: MIB, cr0: 0x11, eflags: 2, ebx: 0 });
    expect([start.code.selector, start.data.selector]).toEqual([0x10, 0x18]);
    const descriptor = (selector: number) => memory.view.getUint32(start.gdt.base + selector + 4, true);
    expect([descriptor(0x10), descriptor(0x18)]).toEqual([0x00cf9b00, 0x00cf9300]);
    expect(start.gdt.limit).toBe(31);
  });

  test('boot parameters: the header with the loader’s fields, screen, memory map, nothing else', () => {
    const { memory, word, at } = load(bzImage(), { append: 'console=ttyS0' });
    expect([memory.bytes[at + 0x1f1], word(0x202), memory.bytes[at + 0x210], memory.bytes[at + 0x211]]).toEqual([
      2, 0x5372_6448, 0xff, 0x81,
    ]);
    const line = word(0x228);
    expect(new TextDecoder().decode(memory.bytes.subarray(line, line + 14))).toBe('console=ttyS0\0');
    expect([memory.bytes[at + 6], memory.bytes[at + 7], memory.bytes[at + 14], memory.bytes[at + 15]]).toEqual([
      3, 80, 25, 1,
    ]);
    const entries = memory.bytes[at + 0x1e8]!;
    const map = Array.from({ length: entries }, (_, n) => [0, 8, 16].map((field) => word(0x2d0 + 20 * n + field)));
    expect(map).toContainEqual([0, 0x9fc00, 1]);
    expect(map).toContainEqual([MIB, 15 * MIB, 1]);
    expect(word(0x1e0)).toBe(15 * 1024);
    expect([word(0x218), word(0x21c), memory.bytes[at + 0x1ff + 0x100]]).toEqual([0, 0, 0]);
  });

  test('the initial RAM disk is page-aligned below initrd_addr_max and the end of memory', () => {
    const files = [Uint8Array.of(1, 2, 3, 4, 5), Uint8Array.of(9)];
    const { memory, word } = load(bzImage(), { initrd: files });
    expect([word(0x218), word(0x21c)]).toEqual([0x7f_f000, 9]);
    expect([...memory.bytes.subarray(0x7f_f000, 0x7f_f009)]).toEqual([1, 2, 3, 4, 5, 0, 0, 0, 9]);
    expect(load(bzImage(), { initrd: files }, 4).word(0x218)).toBe(0x3f_f000);
  });
});

describe('refuses', () => {
  const path = '/some/where/bz';
  test.each([
    [
      'an old protocol',
      bzImage((v) => v.setUint16(0x206, 0x0201, true)),
      {},
      16,
      `${path}: Linux boot protocol is 2.01, allowed: 2.02 and later`,
    ],
    [
      'a zImage',
      bzImage((v) => v.setUint8(0x211, 0)),
      {},
      16,
      `${path}: loads below 1 MiB (a zImage), allowed: a bzImage, with LOADED_HIGH in loadflags`,
    ],
    [
      'a long command line',
      bzImage(),
      { append: 'x'.repeat(256) },
      16,
      `${path}: the command line has 256 bytes, this kernel takes at most 255`,
    ],
    [
      'too little memory',
      bzImage(),
      {},
      2,
      `${path}: does not fit: the kernel needs memory up to 3 MiB, 2 MiB are available`,
    ],
    [
      'too little memory for both',
      bzImage(),
      { initrd: [new Uint8Array(2 * MIB)] },
      4,
      `${path}: does not fit: the kernel with its initial RAM disk needs memory up to 5 MiB, 4 MiB are available`,
    ],
    [
      'a file cut in its set-up code',
      bzImage((v) => v.setUint8(0x1f1, 200)),
      {},
      16,
      `${path}: set-up code of 102912 bytes, allowed: less than the file's 4536`,
    ],
  ] as const)('%s', (_name, image, options, mib, message) => {
    expect(() => load(image, options, mib)).toThrow(new UserError(message));
  });
});

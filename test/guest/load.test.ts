/** Images without structure, forced formats, ROM places, module lists: what goes where and what is refused. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { DiskFile } from '../../src/guest/disk-file.ts';
import { guestImage } from '../../src/guest/image.ts';
import { type LoadOptions, loadGuest, readModules } from '../../src/guest/load.ts';
import { MachineMemory } from '../../src/machine/memory.ts';
import { PhysMap } from '../../src/machine/physmap.ts';

const FRAMES = 1024; // 4 MiB
const place = mkdtempSync(join(tmpdir(), 'hvsim-load-'));
afterAll(() => rmSync(place, { recursive: true }));
function file(name: string, bytes: Uint8Array | string): string {
  writeFileSync(join(place, name), bytes);
  return join(place, name);
}

function load(bytes: Uint8Array, options: LoadOptions = {}) {
  const memory = new MachineMemory(FRAMES + 64);
  const physmap = new PhysMap(memory, FRAMES);
  for (let gfn = 0; gfn < FRAMES; gfn++) physmap.mfnOf[gfn] = memory.allocateFrame(0);
  const start = loadGuest(guestImage('image', 'image', bytes), { physmap, memory, owner: 0 }, options);
  return { memory, physmap, start };
}

const program = Uint8Array.of(1, 2, 3, 4);

describe('flat images', () => {
  test('go to 1 MiB, or where they are told, and start in flat protected mode', () => {
    const { physmap, start } = load(program, { format: 'flat' });
    expect([physmap.read8(0x10_0003), start.eip, start.cr0, start.code.is32]).toEqual([4, 0x10_0000, 0x11, true]);
    const low = load(program, { format: 'flat', load: 0x7000, entry: 0x7002 });
    expect([low.physmap.read8(0x7000), low.start.eip, low.start.esp]).toEqual([1, 0x7002, 0x7000]);
  });

  test('stay in free RAM', () => {
    const refuse = (options: LoadOptions) => () => load(program, { format: 'flat', ...options });
    const allowed = 'allowed: inside 0x1000-0x9fbff, 0x100000-0x3fffff';
    expect(refuse({ load: 0x800 })).toThrow(new UserError(`image: would lie at 0x800-0x803, ${allowed}`));
    expect(refuse({ load: 0xa_0000 })).toThrow(UserError);
    expect(refuse({ load: 0x3f_fffe })).toThrow(UserError);
    expect(refuse({ entry: 0x20_0000 })).toThrow(/entry is 0x200000, allowed: 0x100000 to 0x100003/);
  });
});

describe('boot sectors', () => {
  const sector = Uint8Array.from({ length: 512 }, (_, n) => [0x55, 0xaa][n - 510] ?? n & 0xff);

  test('are told by 512 bytes that end in 55 AA, and start in real mode at 0:7C00', () => {
    const { physmap, start } = load(sector);
    expect([physmap.read8(0x7c09), start.eip, start.edx, start.code.is32]).toEqual([9, 0x7c00, 0x80, false]);
  });

  test('a larger disk image needs its format named; a file without the mark is refused', () => {
    const disk = new Uint8Array(1024);
    disk.set(sector);
    expect(load(disk, { format: 'boot-sector' }).start.eip).toBe(0x7c00);
    expect(() => load(program, { format: 'boot-sector' })).toThrow(/no boot sector, allowed: a file whose bytes 510/);
  });
});

describe('ROMs', () => {
  const rom = (bytes: number) => Uint8Array.from({ length: bytes }, (_, n) => (n >> 12) + 1);

  test('end at 4 GiB and at 1 MiB, and cannot be written', () => {
    const { physmap, start } = load(rom(0x2_8000), { format: 'rom' });
    expect(start).toMatchObject({ eip: 0xfff0, code: { selector: 0xf000, base: 0xffff_0000 }, cr0: 0x6000_0010 });
    expect([0xffff_ffff, 0xfffd_8000, 0xf_ffff, 0xe_0000].map((gpa) => physmap.read8(gpa))).toEqual([40, 1, 40, 9]);
    expect([physmap.read8(0xfffd_7fff), physmap.read8(0xd_ffff)]).toEqual([0xff, 0]);
    physmap.write32(0xffff_fffc, 0);
    physmap.write32(0xf_fffc, 0);
    expect([physmap.read8(0xffff_ffff), physmap.read8(0xf_ffff)]).toEqual([40, 40]);
  });

  test('of an odd size have all ones before their first byte', () => {
    const { physmap } = load(rom(0x1801), { format: 'rom' });
    expect([0xffff_e7fe, 0xffff_e7ff, 0xf_e7ff, 0xf_ffff].map((gpa) => physmap.read8(gpa))).toEqual([0xff, 1, 1, 2]);
  });

  test('with shadow RAM the copy below 1 MiB can be written, the one below 4 GiB cannot', () => {
    const { physmap } = load(rom(0x2_8000), { format: 'rom', shadowRam: true });
    expect([0xffff_ffff, 0xf_ffff, 0xe_0000, 0xd_ffff].map((gpa) => physmap.read8(gpa))).toEqual([40, 40, 9, 0]);
    physmap.write32(0xffff_fffc, 0);
    physmap.write32(0xf_fffc, 0);
    expect([physmap.read8(0xffff_ffff), physmap.read8(0xf_ffff)]).toEqual([40, 0]);
  });

  test('an option ROM is at 0xC0000, and cannot be written', () => {
    const bytes = Uint8Array.from({ length: 0x1200 }, (_, n) => [0x55, 0xaa][n] ?? 7);
    const { physmap } = load(rom(0x1_0000), { format: 'rom', optionRom: { path: 'vga', bytes } });
    physmap.write32(0xc_0000, 0);
    physmap.write32(0xc_11fc, 0);
    expect([0xc_0000, 0xc_0001, 0xc_11ff, 0xc_1200].map((gpa) => physmap.read8(gpa))).toEqual([0x55, 0xaa, 7, 0]);
    const refused = /vga: no option ROM, allowed: a file of at most 131072 bytes that starts with 55 AA/;
    expect(() => load(rom(16), { format: 'rom', optionRom: { path: 'vga', bytes: bytes.subarray(1) } })).toThrow(
      refused,
    );
  });

  test('take no frame twice, and at most 16 MiB', () => {
    const { memory } = load(rom(0x1_0000), { format: 'rom' });
    expect(memory.freeFrameCount).toBe(64); // the RAM behind the low copy was given back
    expect(() => load(rom(8), { format: 'rom' })).toThrow(/a ROM of 8 bytes, allowed: 16 bytes to 16 MiB/);
  });
});

test('options that a format would ignore are mistakes', () => {
  expect(() => load(program, { format: 'flat', append: 'x' })).toThrow(
    new UserError('image: is started as flat, which takes no command line; allowed with multiboot and linux'),
  );
  expect(() => load(program, { load: 0x10_0000 })).toThrow(/which takes no load address or entry; allowed with flat/);
});

test('module lists: files with their texts, which begin with the file’s name', () => {
  const [one, two] = [file('one', 'abc'), file('two', '')];
  const modules = readModules(`${one} and text,${two}`);
  expect(modules.map(({ commandLine, bytes }) => [commandLine, bytes.length])).toEqual([
    ['one and text', 3],
    ['two', 0],
  ]);
  expect(() => readModules(`${one},,`)).toThrow(/has an empty file name, expected FILE/);
});

describe('disk files', () => {
  test('writes stay in memory unless the file is writable', () => {
    const path = file('disk', new Uint8Array(1024).fill(7));
    const sector = new Uint8Array(512);
    const disk = new DiskFile(path, false);
    disk.write(1, new Uint8Array(512).fill(8), 0);
    disk.read(1, sector, 0);
    expect([disk.sectors, sector[511]]).toEqual([2, 8]);
    const again = new DiskFile(path, true);
    again.read(1, sector, 0);
    expect(sector[511]).toBe(7);
    again.write(0, new Uint8Array(512).fill(9), 0);
    disk.read(0, sector, 0);
    expect(sector[0]).toBe(9);
  });

  test('need whole sectors', () => {
    expect(() => new DiskFile(file('odd', new Uint8Array(513)), false)).toThrow(/the file has 513 bytes, a disk image/);
    expect(() => new DiskFile(file('none', ''), false)).toThrow(/the file has 0 bytes/);
    expect(() => new DiskFile(join(place, 'missing'), false)).toThrow(/missing: cannot be opened: ENOENT/);
    expect(() => new DiskFile(place, false)).toThrow(/this is no regular file/);
  });
});

/** Multiboot loader: what is written where, the information structure as a kernel reads it, and what is refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { type GuestImage, guestImage } from '../../src/guest/image.ts';
import { loadMultiboot, type MultibootOptions, type PhysicalMemoryWriter } from '../../src/guest/multiboot.ts';
import { findMultibootHeader } from '../../src/guest/multiboot-header.ts';
import { buildElf, multibootHeader, patched } from './build-elf.ts';

const MIB = 2 ** 20;

/** RAM full of 0xCC that refuses what lies outside. */
class TestMemory implements PhysicalMemoryWriter {
  readonly bytes: Uint8Array;
  readonly sizeBytes: number;

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
    this.bytes = new Uint8Array(sizeBytes).fill(0xcc);
  }

  write(gpa: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, gpa);
  }

  fill(gpa: number, length: number, value: number): void {
    if (gpa + length > this.sizeBytes) throw new RangeError('outside memory');
    this.bytes.fill(value, gpa, gpa + length);
  }

  word(address: number): number {
    return new DataView(this.bytes.buffer).getUint32(address, true);
  }

  text(address: number): string {
    return new TextDecoder().decode(this.bytes.subarray(address, this.bytes.indexOf(0, address)));
  }
}

const KERNEL = Uint8Array.from([...multibootHeader(3), ...new Uint8Array(52).fill(0x90)]);

function elfImage(segments = [{ at: MIB, bytes: KERNEL, memoryBytes: 0x1800 }], entry = MIB + 12): GuestImage {
  return guestImage('demo', '/some/where/demo.elf', buildElf(entry, segments));
}

function load(image: GuestImage, options: MultibootOptions = {}, memoryBytes = 4 * MIB) {
  const memory = new TestMemory(memoryBytes);
  return { memory, guest: loadMultiboot(image, memory, options) };
}

describe('a kernel in ELF', () => {
  test('a kernel in conventional memory has the boot information above it', () => {
    const { memory, guest } = load(elfImage([{ at: 0x8ff0, bytes: KERNEL, memoryBytes: 0x1000 }], 0x8ff0 + 12));
    expect(guest.registers.ebx).toBe(0x9_0000);
    expect(memory.text(memory.word(0x9_0000 + 16))).toBe('demo.elf');
  });

  test('segments are copied, bss is zeroed, the rest is left alone', () => {
    const { memory, guest } = load(elfImage());
    expect(memory.bytes.subarray(MIB, MIB + 64)).toEqual(KERNEL);
    expect(memory.bytes.subarray(MIB + 64, MIB + 0x1800).every((byte) => byte === 0)).toBe(true);
    expect([memory.bytes[MIB - 1], memory.bytes[MIB + 0x1800]]).toEqual([0xcc, 0xcc]);
    expect([guest.kernelStart, guest.kernelEnd]).toEqual([MIB, MIB + 0x1800]);
  });

  test('the CPU starts as section 3.2 says', () => {
    expect(load(elfImage()).guest.registers).toEqual({
      eip: 0x10_000c,
      eax: 0x2bad_b002,
      ebx: 0x9000,
      code: { selector: 8, base: 0, limit: 0xffff_ffff },
      data: { selector: 16, base: 0, limit: 0xffff_ffff },
      cr0: 0x11,
      eflags: 2,
      a20Open: true,
    });
  });

  test('memory information, as on a PC with 64 MiB and no PCI', () => {
    const { memory, guest } = load(elfImage(), {}, 64 * MIB);
    const { ebx } = guest.registers;
    expect(memory.word(ebx)).toBe(0x245); // memory, command line, memory map, loader name
    expect([memory.word(ebx + 4), memory.word(ebx + 8)]).toEqual([639, 64_512]);
    const [length, start] = [memory.word(ebx + 44), memory.word(ebx + 48)];
    const rows: string[] = [];
    for (let at = start; at < start + length; at += memory.word(at) + 4) {
      const words = [1, 2, 3, 4, 5].map((n) => memory.word(at + 4 * n).toString(16));
      rows.push(`${memory.word(at)}: ${words[1]}:${words[0]} ${words[3]}:${words[2]} ${words[4]}`);
    }
    expect(rows).toEqual([
      '20: 0:0 0:9fc00 1',
      '20: 0:9fc00 0:400 2',
      '20: 0:f0000 0:10000 2',
      '20: 0:100000 0:3f00000 1',
      '20: 0:fffc0000 0:40000 2',
    ]);
    expect(memory.text(memory.word(ebx + 64))).toBe('hvsim');
  });

  test('the command line starts with the base name of the file', () => {
    const line = (options: MultibootOptions) => {
      const { memory, guest } = load(elfImage(), options);
      expect(memory.text(memory.word(guest.registers.ebx + 16))).toBe(guest.commandLine);
      return guest.commandLine;
    };
    expect(line({})).toBe('demo.elf');
    expect(line({ append: 'sieve n=1000' })).toBe('demo.elf sieve n=1000');
  });

  test('modules lie on page boundaries after the kernel, with their command lines', () => {
    const modules = [
      { name: 'a', bytes: new Uint8Array(5000).fill(1), commandLine: 'a x=1' },
      { name: 'b', bytes: new Uint8Array(3).fill(2), commandLine: 'b' },
      { name: 'empty', bytes: new Uint8Array(0), commandLine: '' },
    ];
    const { memory, guest } = load(elfImage(), { modules });
    const { ebx } = guest.registers;
    expect(memory.word(ebx)).toBe(0x24d);
    expect(memory.word(ebx + 20)).toBe(3);
    const table = memory.word(ebx + 24);
    const rows = [0, 1, 2].map((n) => {
      const [start, end, text] = [0, 4, 8].map((offset) => memory.word(table + 16 * n + offset));
      return [start, end, memory.text(text!), memory.word(table + 16 * n + 12)];
    });
    expect(rows).toEqual([
      [0x10_2000, 0x10_3388, 'a x=1', 0],
      [0x10_4000, 0x10_4003, 'b', 0],
      [0x10_5000, 0x10_5000, '', 0],
    ]);
    expect(memory.bytes.subarray(0x10_2000, 0x10_3388).every((byte) => byte === 1)).toBe(true);
    expect(guest.modules.map((module) => [module.start, module.end])).toEqual(rows.map((row) => row.slice(0, 2)));
  });
});

describe('the header', () => {
  const file = (before: number, header: Uint8Array, after = 0) =>
    Uint8Array.from([...new Uint8Array(before), ...header, ...new Uint8Array(after)]);

  test('is found up to the last place where it fits in 8192 bytes, and only 4-aligned', () => {
    expect(findMultibootHeader(file(0, multibootHeader(0)))?.fileOffset).toBe(0);
    expect(findMultibootHeader(file(8180, multibootHeader(0)))?.fileOffset).toBe(8180);
    expect(findMultibootHeader(file(8184, multibootHeader(0), 100))).toBeNull();
    expect(findMultibootHeader(file(2, multibootHeader(0)))).toBeNull();
    expect(findMultibootHeader(multibootHeader(0).subarray(0, 11))).toBeNull();
  });

  test('needs its checksum; a bad one is passed over', () => {
    const bad = patched(multibootHeader(0), 8, 0);
    expect(findMultibootHeader(bad)).toBeNull();
    expect(findMultibootHeader(Uint8Array.from([...bad, ...multibootHeader(1)]))).toMatchObject({
      fileOffset: 12,
      flags: 1,
    });
  });

  test('address fields must be inside too', () => {
    const header = multibootHeader(0x1_0000, 1, 2, 3, 4, 5);
    expect(findMultibootHeader(header)?.addresses?.entryAddress).toBe(5);
    expect(findMultibootHeader(header.subarray(0, 31))).toBeNull();
  });
});

describe('a kernel with address fields', () => {
  /** 64 bytes of other data, the header, code. Loaded at 2 MiB from 16 bytes before the header. */
  function flat(
    loadEnd: number,
    bssEnd: number,
    entry = 2 * MIB + 48,
    load = 2 * MIB,
    headerAddress = 2 * MIB + 16,
  ): GuestImage {
    const header = multibootHeader(0x1_0000, headerAddress, load, loadEnd, bssEnd, entry);
    const bytes = Uint8Array.from([...new Uint8Array(64).fill(7), ...header, ...new Uint8Array(100).fill(0x90)]);
    return guestImage('flat', 'flat.bin', bytes);
  }

  test('loads the range that the header names and zeroes the rest', () => {
    const { memory, guest } = load(flat(2 * MIB + 60, 2 * MIB + 100));
    expect(memory.bytes.subarray(2 * MIB - 1, 2 * MIB + 17)).toEqual(
      Uint8Array.from([0xcc, ...new Uint8Array(16).fill(7), 0x02]),
    );
    expect([59, 60, 99, 100].map((n) => memory.bytes[2 * MIB + n])).toEqual([0x90, 0, 0, 0xcc]);
    expect(guest.registers.eip).toBe(2 * MIB + 48);
  });

  test('zeros mean: to the end of the file, and no bss', () => {
    const { memory, guest } = load(flat(0, 0));
    expect(guest.kernelEnd).toBe(2 * MIB + 16 + 32 + 100);
    expect(memory.bytes[guest.kernelEnd]).toBe(0xcc);
  });

  test.each<[string, GuestImage, string]>([
    [
      'load_addr above header_addr',
      flat(0, 0, 0, 2 * MIB + 20),
      'flat.bin: Multiboot load_addr is 0x200014, allowed: 0x1fffd0 to header_addr 0x200010',
    ],
    [
      'load_addr before the file',
      flat(0, 0, 0, 2 * MIB - 100),
      'flat.bin: Multiboot load_addr is 0x1fff9c, allowed: 0x1fffd0 to header_addr 0x200010',
    ],
    [
      'load_end_addr past the file',
      flat(2 * MIB + 149, 0),
      'flat.bin: Multiboot load_end_addr is 0x200095, allowed: 0, or above load_addr and up to 0x200094, where the file ends',
    ],
    [
      'bss_end_addr inside the load',
      flat(2 * MIB + 60, 2 * MIB + 59),
      'flat.bin: Multiboot bss_end_addr is 0x20003b, allowed: 0, or at least 0x20003c',
    ],
    [
      'entry outside',
      flat(2 * MIB + 60, 0, 2 * MIB + 60),
      'flat.bin: Multiboot entry_addr is 0x20003c, allowed: 0x200000 to 0x20003b',
    ],
  ])('refuses %s', (_, image, message) => {
    expect(() => load(image)).toThrow(new UserError(message));
  });
});

describe('refuses', () => {
  const at = (address: number, memoryBytes = 64) => elfImage([{ at: address, bytes: KERNEL, memoryBytes }], address);
  const big = { name: 'disk', bytes: new Uint8Array(3 * MIB), commandLine: 'disk' };
  const path = '/some/where/demo.elf';
  test.each<[string, () => unknown, string]>([
    [
      'a file without header',
      () => load(guestImage('x', 'x.bin', new Uint8Array(100))),
      'x.bin: no Multiboot header found, allowed: a 4-aligned header with a valid checksum in the first 8192 bytes',
    ],
    [
      'requirements that it does not know',
      () => load(guestImage('x', 'x.bin', multibootHeader(0x8003))),
      'x.bin: Multiboot flags is 0x8003, allowed: bits 0, 1, 2 and 16, with bits 17-31 ignored',
    ],
    [
      'a kernel larger than memory',
      () => load(at(MIB, 8 * MIB)),
      `${path}: does not fit: needs 9437184 bytes of memory (9 MiB), 4194304 are available`,
    ],
    [
      'modules larger than memory',
      () => load(elfImage(), { modules: [big] }),
      `${path}: does not fit: needs 4202496 bytes of memory (5 MiB), 4194304 are available`,
    ],
    [
      'a kernel in reserved memory',
      () => load(at(0xb_8000)),
      `${path}: segment 0 at 0xb8000-0xb803f lies in memory that a PC reserves, allowed: 0x0-0x9fbff or from 0x100000 on`,
    ],
    [
      'a kernel over both places of the boot information',
      () => load(elfImage([{ at: 0x8ff0, bytes: KERNEL, memoryBytes: 0x9_0000 }], 0x8ff0 + 12)),
      `${path}: segment 0 at 0x8ff0-0x98fef overlaps boot information at 0x9000, allowed: places apart`,
    ],
    [
      'a command line that does not fit',
      () => load(elfImage(), { append: 'x'.repeat(40_000) }),
      `${path}: command lines and module table need 40224 bytes, 28672 are available`,
    ],
    [
      'a NUL in the command line',
      () => load(elfImage(), { append: 'a\0b' }),
      `${path}: command line "demo.elf a\\u0000b" has a NUL character, which would end it`,
    ],
  ])('%s', (_, action, message) => {
    expect(action).toThrow(new UserError(message));
  });

  test('and writes nothing then', () => {
    const memory = new TestMemory(2 * MIB);
    expect(() => loadMultiboot(at(MIB, 8 * MIB), memory)).toThrow(UserError);
    expect(memory.bytes.every((byte) => byte === 0xcc)).toBe(true);
  });
});

/** RAM that keeps nothing and throws at what lies outside. */
function strictMemory(sizeBytes: number): PhysicalMemoryWriter {
  const check = (gpa: number, length: number) => {
    if (gpa < 0 || gpa + length > sizeBytes) throw new RangeError('outside memory');
  };
  return { sizeBytes, write: (gpa, bytes) => check(gpa, bytes.length), fill: check };
}

function outcome(image: GuestImage, memory: PhysicalMemoryWriter): string {
  try {
    loadMultiboot(image, memory);
    return 'loaded';
  } catch (error) {
    return error instanceof UserError ? 'refused' : String(error);
  }
}

test('mutations of good kernels load or give a UserError', () => {
  const good = [
    elfImage().bytes,
    Uint8Array.from([...multibootHeader(0x1_0000, MIB, MIB, 0, MIB + 500, MIB + 40), ...new Uint8Array(60)]),
  ];
  const value = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, MIB, 2 * MIB, 0xffff_ffff, 0x9_0000));
  const mutation = fc.record({ at: fc.nat(40).map((n) => 4 * n), value });
  fc.assert(
    fc.property(
      fc.constantFrom(...good),
      fc.array(mutation, { maxLength: 3 }),
      fc.nat(400),
      (bytes, mutations, cut) => {
        let mutant = bytes;
        for (const each of mutations) mutant = patched(mutant, each.at, each.value);
        const image = guestImage('mutant', 'mutant', mutant.subarray(0, mutant.length - (cut % 200 < 150 ? 0 : cut)));
        const memory = strictMemory(2 * MIB);
        expect(['loaded', 'refused']).toContain(outcome(image, memory));
      },
    ),
    { numRuns: 3000 },
  );
});

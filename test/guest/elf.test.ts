/** ELF reader: what it accepts, what each malformed field says, and that no bytes make it fail otherwise. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { type ElfImage, type ElfSegment, parseElf } from '../../src/guest/elf.ts';
import {
  buildElf,
  E_ENTRY,
  E_MACHINE,
  E_PHNUM,
  E_PHOFF,
  E_TYPE,
  FIRST_PROGRAM_HEADER,
  P_ALIGN,
  P_FILESZ,
  P_MEMSZ,
  P_OFFSET,
  P_PADDR,
  patched,
} from './build-elf.ts';

const TEXT = new Uint8Array(64).fill(0x90);
const DATA = new Uint8Array(16).fill(0x11);
const GOOD = buildElf(0x10_0010, [
  { at: 0x10_0000, bytes: TEXT },
  { at: 0x10_1000, bytes: DATA, memoryBytes: 0x2000 },
]);

describe('accepts', () => {
  test('segments with file offsets, sizes and bss', () => {
    const elf = parseElf('k.elf', GOOD);
    expect(elf.entry).toBe(0x10_0010);
    expect(
      elf.segments.map((each) => [each.fileOffset, each.fileBytes, each.physicalAddress, each.memoryBytes]),
    ).toEqual([
      [116, 64, 0x10_0000, 64],
      [180, 16, 0x10_1000, 0x2000],
    ]);
  });

  test('segments in any order, other program headers, empty segments', () => {
    const elf = parseElf(
      'k.elf',
      buildElf(0x20_0000, [
        { at: 0x20_0000, bytes: TEXT },
        { at: 0, bytes: DATA, type: 4 }, // PT_NOTE
        { at: 0x30_0000, bytes: new Uint8Array(0) },
        { at: 0x10_0000, bytes: DATA },
      ]),
    );
    expect(elf.segments.map((each) => each.physicalAddress)).toEqual([0x10_0000, 0x20_0000]);
  });

  test('a kernel linked high: the entry may be virtual or physical', () => {
    const high = (entry: number) => buildElf(entry, [{ at: 0x10_0000, virtualAddress: 0x8010_0000, bytes: TEXT }]);
    expect(parseElf('k', high(0x8010_0004)).entry).toBe(0x10_0004);
    expect(parseElf('k', high(0x0010_0004)).entry).toBe(0x10_0004);
  });

  test('a segment that ends exactly at 4 GiB', () => {
    const elf = buildElf(0xffff_ffc0, [{ at: 0xffff_ffc0, bytes: TEXT }]);
    expect(parseElf('k', elf).entry).toBe(0xffff_ffc0);
  });
});

describe('refuses, naming file, field, found and allowed', () => {
  const header = (field: number, value: number, index = 0) =>
    patched(GOOD, FIRST_PROGRAM_HEADER + 32 * index + field, value);
  test.each<[string, Uint8Array, string]>([
    ['an empty file', new Uint8Array(0), 'k.elf: ELF magic number is missing (empty file), allowed: 7f 45 4c 46 (ELF)'],
    [
      'text',
      new TextEncoder().encode('#!/bin/sh'),
      'k.elf: ELF magic number is 23 21 2f 62, allowed: 7f 45 4c 46 (ELF)',
    ],
    ['a cut header', GOOD.subarray(0, 51), 'k.elf: ELF file header is cut off after 51 bytes, allowed: 52 bytes'],
    ['64 bits', patched(GOOD, 4, 2, 1), 'k.elf: ELF EI_CLASS is 2, allowed: 1 (ELFCLASS32: 32-bit)'],
    ['big endian', patched(GOOD, 5, 2, 1), 'k.elf: ELF EI_DATA is 2, allowed: 1 (ELFDATA2LSB: little endian)'],
    [
      'a shared object',
      patched(GOOD, E_TYPE, 3, 2),
      'k.elf: ELF e_type is 3, allowed: 2 (ET_EXEC: executable at fixed addresses)',
    ],
    ['another machine', patched(GOOD, E_MACHINE, 62, 2), 'k.elf: ELF e_machine is 62, allowed: 3 (EM_386)'],
    ['no program headers', patched(GOOD, E_PHNUM, 0, 2), 'k.elf: ELF e_phnum is 0, allowed: 1 to 64'],
    ['too many of them', patched(GOOD, E_PHNUM, 0xffff, 2), 'k.elf: ELF e_phnum is 65535, allowed: 1 to 64'],
    [
      'program headers behind the end',
      patched(GOOD, E_PHOFF, 180),
      'k.elf: ELF e_phoff is 180, allowed: 52 to 132: 2 program headers inside the file',
    ],
    [
      'file bytes behind the end',
      header(P_OFFSET, 200),
      'k.elf: ELF program header 0 p_offset is 0xc8 with p_filesz 0x40, allowed: a range inside the file of 0xc4 bytes',
    ],
    [
      'more file than memory',
      header(P_MEMSZ, 15, 1),
      'k.elf: ELF program header 1 p_filesz is 0x10, allowed: at most p_memsz 0xf',
    ],
    [
      'memory past 4 GiB',
      header(P_MEMSZ, 0xffff_ffff, 1),
      'k.elf: ELF program header 1 p_memsz is 0xffffffff at physical 0x101000, virtual 0x101000, allowed: a range that ends below 4 GiB',
    ],
    [
      'overlap',
      header(P_PADDR, 0x10_003f, 1),
      'k.elf: ELF p_paddr is 0x10003f (segments overlap), allowed: 0x100040 or more, where the segment before it ends',
    ],
    ['odd alignment', header(P_ALIGN, 3), 'k.elf: ELF program header 0 p_align is 0x3, allowed: 0 or a power of two'],
    [
      'an interpreter',
      header(0, 3),
      'k.elf: ELF program header 0 p_type is 3 (PT_INTERP: needs a dynamic linker), allowed: a static executable',
    ],
    [
      'nothing to load',
      buildElf(0, [{ at: 0, bytes: DATA, type: 4 }]),
      'k.elf: ELF program headers is no PT_LOAD with memory, allowed: at least 1',
    ],
    [
      'an entry outside',
      patched(GOOD, E_ENTRY, 0x1000),
      'k.elf: ELF e_entry is 0x1000, allowed: an address inside a segment (0x100000-0x10003f, 0x101000-0x102fff)',
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => parseElf('k.elf', bytes)).toThrow(new UserError(message));
  });
});

describe('never fails in another way', () => {
  /** 'ok' for an image that keeps the promises of elf.ts and for a well-formed UserError, else what is wrong. */
  function verdict(bytes: Uint8Array): string {
    try {
      return imageFault(parseElf('k.elf', bytes), bytes.length);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return /^k\.elf: ELF .* is .*, allowed: /.test(error.message) ? 'ok' : error.message;
    }
  }

  function imageFault(elf: ElfImage, fileBytes: number): string {
    let end = 0;
    for (const segment of elf.segments) {
      if (segment.fileOffset + segment.fileBytes > fileBytes) return 'file bytes outside the file';
      if (segment.fileBytes > segment.memoryBytes) return 'more file than memory';
      if (segment.physicalAddress < end) return 'overlap';
      end = segment.physicalAddress + segment.memoryBytes;
    }
    if (end > 2 ** 32) return 'past 4 GiB';
    const holdsEntry = (each: ElfSegment) =>
      elf.entry >= each.physicalAddress && elf.entry < each.physicalAddress + each.memoryBytes;
    return elf.segments.some(holdsEntry) ? 'ok' : 'entry outside';
  }

  test('random bytes, with and without the right start', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(verdict(bytes)).toBe('ok');
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => {
        expect(verdict(Uint8Array.from([...GOOD.subarray(0, 46), ...tail]))).toBe('ok');
      }),
    );
  });

  test('mutations of a good file: bytes, words at the limits, cuts', () => {
    const edge = fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff, GOOD.length, 52, 0x10_0000);
    const mutation = fc.oneof(
      fc.record({ at: fc.nat(GOOD.length - 1), value: fc.nat(255), width: fc.constant(1 as const) }),
      fc.record({ at: fc.nat(28).map((n) => 4 * n), value: edge, width: fc.constant(4 as const) }),
    );
    fc.assert(
      fc.property(fc.array(mutation, { maxLength: 4 }), fc.option(fc.nat(GOOD.length)), (mutations, cut) => {
        let bytes = GOOD;
        for (const each of mutations) bytes = patched(bytes, each.at, each.value, each.width);
        expect(verdict(bytes.subarray(0, cut ?? bytes.length))).toBe('ok');
      }),
      { numRuns: 5000 },
    );
  });

  test('P_FILESZ alone, over its whole range', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), (value) => {
        expect(verdict(patched(GOOD, FIRST_PROGRAM_HEADER + P_FILESZ, value))).toBe('ok');
      }),
    );
  });
});

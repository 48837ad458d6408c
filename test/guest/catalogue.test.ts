/** Catalogue and images: the file that comes with hvsim, names and paths, and what wrong ones say. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import {
  findGuest,
  findWorkload,
  guestsFolder,
  parseCatalogue,
  readCatalogue,
  resolveGuest,
} from '../../src/guest/catalogue.ts';
import { parseElf } from '../../src/guest/elf.ts';
import { guestImage, readGuestImage } from '../../src/guest/image.ts';
import { loadMultiboot } from '../../src/guest/multiboot.ts';
import { buildElf, multibootHeader } from './build-elf.ts';

const TEXT = JSON.stringify([
  {
    name: 'a',
    file: 'bin/a.elf',
    description: 'first',
    workloads: { run: { description: 'runs', options: { n: { default: 3, unit: 'times' } } } },
  },
  { name: 'b', file: 'b.elf', description: 'second' },
]);

describe('the catalogue of this package', () => {
  test('lists guests whose images are Multiboot kernels that load', () => {
    const catalogue = readCatalogue();
    expect(catalogue.folder).toBe(guestsFolder());
    expect(catalogue.guests.length).toBeGreaterThan(0);
    for (const { name } of catalogue.guests) {
      const image = resolveGuest(catalogue, name);
      expect([image.name, image.kind]).toEqual([name, 'multiboot-elf']);
      expect(parseElf(image.path, image.bytes).segments.length).toBeGreaterThan(0);
      loadMultiboot(image, { sizeBytes: 16 * 2 ** 20, write: () => {}, fill: () => {} });
    }
  });
});

describe('reading a catalogue', () => {
  const parse = (text: string) => parseCatalogue('c.json', '/guests', text);

  test('keeps order and fills in what is optional', () => {
    const catalogue = parse(TEXT);
    expect(catalogue.guests.map((guest) => guest.name)).toEqual(['a', 'b']);
    expect(catalogue.guests[1]).toMatchObject({ workloads: {}, kernel_options: {} });
  });

  test('finds guests and workloads, or lists what there is', () => {
    const catalogue = parse(TEXT);
    const guest = findGuest(catalogue, 'a');
    expect(findWorkload(guest, 'run').options['n']).toEqual({ default: 3, unit: 'times' });
    expect(() => findGuest(catalogue, 'c')).toThrow(
      new UserError('no guest "c", allowed: a, b, or a path to a Multiboot kernel'),
    );
    expect(() => findWorkload(guest, 'toString')).toThrow(
      new UserError('guest a has no workload "toString", allowed: run'),
    );
    expect(() => findWorkload(findGuest(catalogue, 'b'), 'run')).toThrow('allowed: none: this guest has no workloads');
  });

  test.each<[string, string, RegExp | string]>([
    ['no JSON', '[', /^c\.json: is not JSON: /],
    ['no list', '{}', 'c.json: found {}, expected a list'],
    ['a missing field', '[{"name":"a","file":"f"}]', 'c.json: [0].description: found nothing, expected a text'],
    [
      'an option without a unit',
      '[{"name":"a","file":"f","description":"","kernel_options":{"hz":{"default":1}}}]',
      'c.json: [0].kernel_options.hz.unit: found nothing, expected a text',
    ],
    [
      'one name twice',
      '[{"name":"a","file":"f","description":""},{"name":"a","file":"f","description":""}]',
      /listed twice/,
    ],
    ['a file outside', '[{"name":"a","file":"../f","description":""}]', /allowed: a path inside \/guests/],
  ])('refuses %s', (_, text, message) => {
    expect(() => parse(text)).toThrow(UserError);
    expect(() => parse(text)).toThrow(message);
  });
});

describe('images', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hvsim-guest-'));
    writeFileSync(join(folder, 'k.elf'), buildElf(0x10_0000, [{ at: 0x10_0000, bytes: multibootHeader(0) }]));
    writeFileSync(join(folder, 'catalogue.json'), '[{"name":"k","file":"k.elf","description":"test"}]');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('a name of the catalogue, else a path relative to the base folder', () => {
    const catalogue = readCatalogue(folder);
    const byName = resolveGuest(catalogue, 'k');
    const byPath = resolveGuest(catalogue, 'k.elf', folder);
    expect([byName.name, byPath.name, byPath.path]).toEqual(['k', 'k.elf', join(folder, 'k.elf')]);
    expect(byName.sha256).toBe(byPath.sha256);
    expect(() => resolveGuest(catalogue, 'nothing.elf', folder)).toThrow(UserError);
    expect(() => resolveGuest(catalogue, '')).toThrow(UserError);
  });

  test("a file that cannot be read is the user's mistake", () => {
    expect(() => readGuestImage(folder)).toThrow(UserError);
    expect(() => readGuestImage(join(folder, 'none'))).toThrow(/cannot be read/);
    expect(() => readCatalogue(join(folder, 'none'))).toThrow(UserError);
  });

  test('kinds and hash', () => {
    const kind = (bytes: Uint8Array) => guestImage('x', 'x', bytes).kind;
    expect(kind(new Uint8Array(0))).toBe('unknown');
    expect(kind(buildElf(0, [{ at: 0, bytes: new Uint8Array(4) }]))).toBe('elf');
    expect(kind(multibootHeader(0x1_0000, 0, 0, 0, 0, 0))).toBe('multiboot-flat');
    // FIPS 180-2, appendix B.1: SHA-256 of "abc".
    expect(guestImage('x', 'x', new TextEncoder().encode('abc')).sha256).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });
});

/** What is typed and when: plain text and scripts, at times, after outputs, once the guest listens. */
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { parseInput } from '../../src/guest/input-script.ts';
import { Typist } from '../../src/vmm/typist.ts';
import { FakeClock } from '../machine/devices/fake-clock.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const textOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

describe('scripts', () => {
  test('times, outputs, escapes and comments', () => {
    const steps = parseInput('in', bytesOf('\n# first\n@1.5s a\\n b\\x41\\\\\r\n@20ms \n@"log\\"in: " root\\r\n'));
    expect(steps.map(({ when, bytes }) => [when.kind, when.kind === 'time' ? when.at : '', textOf(bytes)])).toEqual([
      ['time', 1_500_000_000, 'a\n bA\\'],
      ['time', 20_000_000, ''],
      ['output', '', 'root\r'],
    ]);
    const last = steps[2]!.when;
    expect(last.kind === 'output' && textOf(last.text)).toBe('log"in: ');
  });

  test('anything else is typed as it is, byte for byte', () => {
    const bytes = Uint8Array.of(104, 105, 10, 0xff, 0, 64);
    expect(parseInput('in', bytes)).toEqual([{ when: { kind: 'ready' }, bytes }]);
    expect(parseInput('in', new Uint8Array(0))).toEqual([]);
  });

  test.each([
    ['@1.5 text', /^in:1: found "@1\.5 text", expected "@1\.5s TEXT"/],
    ['@1s x\nplain', /^in:2: found "plain", expected/],
    ['@1s \\q', /^in:1: found \\q, expected one of \\n/],
    ['@1s \\x4', /^in:1: found \\x, expected one of/],
  ])('%j is refused', (text, message) => {
    expect(() => parseInput('in', bytesOf(text))).toThrow(UserError);
    expect(() => parseInput('in', bytesOf(text))).toThrow(message);
  });
});

function newTypist(script: string) {
  const clock = new FakeClock();
  const typed: string[] = [];
  const guest = { listening: false };
  const target = {
    take: (bytes: Uint8Array) => void typed.push(`${clock.time}:${textOf(bytes)}`),
    isListening: () => guest.listening,
  };
  const typist = new Typist(parseInput('in', bytesOf(script)), clock, target);
  const print = (text: string) => {
    for (const byte of bytesOf(text)) typist.printed(byte);
  };
  return { clock, typed, guest, typist, print };
}

test('steps are typed in order, each at its moment; a time that is past is now', () => {
  const { clock, typed, print } = newTypist('@1ms a\n@"$ " b\n@500us c\n@"$ " d\n');
  print('$ ');
  clock.runTo(2_000_000);
  print('$');
  print(' $ $ ');
  clock.runTo(3_000_000);
  print('$ ');
  expect(typed).toEqual(['1000000:a', '2000000:b', '2000000:c', '3000000:d']);
});

test('a text with an overlapping beginning is found', () => {
  const { typed, print } = newTypist('@"aab" x');
  print('aaab');
  expect(typed).toEqual(['0:x']);
});

test('plain text waits until the guest has listened for 1 ms: a driver that probes does not get it', () => {
  const { clock, typed, guest, typist } = newTypist('text');
  guest.listening = true;
  typist.listening();
  clock.runTo(10);
  guest.listening = false;
  clock.runTo(2_000_000);
  expect(typed).toEqual([]);
  guest.listening = true;
  typist.listening();
  clock.runTo(4_000_000);
  expect(typed).toEqual(['3000000:text']);
});

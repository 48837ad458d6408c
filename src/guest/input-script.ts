/**
 * What somebody types at a guest's console: a plain text, or a script that says when each piece is typed.
 *
 *   @1.5s uname -a\n          at 1.5 s of the guest's time
 *   @"login: " root\n         once the guest has printed that text, after the line before was typed
 *   # a comment
 *
 * A file is a script if its first line that is neither empty nor a comment begins with @. Escapes in a script: \n \r \t \b \e \\ \" \xNN.
 * Invariants: steps are in the order in which they are typed; a text to wait for has one byte at least.
 */
import { UserError } from '../core/errors.ts';
import { NS_PER_SECOND, type Ns } from '../core/units.ts';

/** When a piece is typed: as soon as the guest listens, at a time, or after an output. */
export type InputMoment =
  | { readonly kind: 'ready' }
  | { readonly kind: 'time'; readonly at: Ns }
  | { readonly kind: 'output'; readonly text: Uint8Array };

export interface InputStep {
  readonly when: InputMoment;
  readonly bytes: Uint8Array;
}

const TIME = /^@(\d+(?:\.\d{1,9})?)\s?(s|ms|us)(?: (.*))?$/s;
const OUTPUT = /^@"((?:[^"\\]|\\.)+)"(?: (.*))?$/s;
const UNIT_NS: Readonly<Record<string, number>> = { s: NS_PER_SECOND, ms: 1_000_000, us: 1_000 };
const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, b: 8, e: 27, '\\': 92, '"': 34 };

/**
 * Reads what is to be typed.
 * @param name of the file, for messages
 */
export function parseInput(name: string, bytes: Uint8Array): InputStep[] {
  // One character for each byte: a guest's text has no encoding that this file could know.
  const lines = Array.from(bytes, (byte) => String.fromCharCode(byte))
    .join('')
    .split('\n');
  const isIgnored = (line: string) => line.trim() === '' || line.startsWith('#');
  if (!lines.find((line) => !isIgnored(line))?.startsWith('@')) {
    return bytes.length === 0 ? [] : [{ when: { kind: 'ready' }, bytes }];
  }
  return lines.flatMap((line, index) =>
    isIgnored(line) ? [] : [stepOf(`${name}:${index + 1}`, line.replace(/\r$/, ''))],
  );
}

function stepOf(place: string, line: string): InputStep {
  const time = TIME.exec(line);
  if (time !== null) {
    const at = Math.round(Number(time[1]) * UNIT_NS[time[2]!]!);
    return { when: { kind: 'time', at }, bytes: unescaped(place, time[3] ?? '') };
  }
  const output = OUTPUT.exec(line);
  if (output !== null) {
    const text = unescaped(place, output[1]!);
    return { when: { kind: 'output', text }, bytes: unescaped(place, output[2] ?? '') };
  }
  throw new UserError(
    `${place}: found ${JSON.stringify(line)}, expected "@1.5s TEXT" (s, ms or us of the guest's time) or @"OUTPUT" TEXT`,
  );
}

function unescaped(place: string, text: string): Uint8Array {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character !== '\\') {
      bytes.push(character.charCodeAt(0) & 0xff);
      continue;
    }
    const letter = text[++i] ?? '';
    const hex = /^[0-9a-fA-F]{2}/.exec(text.slice(i + 1));
    if (letter === 'x' && hex !== null) {
      bytes.push(Number.parseInt(hex[0], 16));
      i += 2;
    } else if (Object.hasOwn(ESCAPES, letter)) bytes.push(ESCAPES[letter]!);
    else throw new UserError(`${place}: found \\${letter}, expected one of \\n \\r \\t \\b \\e \\\\ \\" \\xNN`);
  }
  return Uint8Array.from(bytes);
}

/**
 * Scan codes of a PC keyboard with US layout: from characters to the codes of set 1, which a controller that
 * translates gives to the guest, and of set 2, which the keyboard itself sends.
 * Invariant: every printable ASCII character, tab, newline, backspace and escape has a key.
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboards": scan code sets 1 and 2.
 */

/** Keys in the order of their set 1 codes from 1 on: unshifted and shifted characters; a blank stands for no character. */
const PLAIN = "\x1b1234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./";
const SHIFTED = '\x1b!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:"~\0|ZXCVBNM<>?';
const SPACE_CODE = 0x39;
const SHIFT_CODE = 0x2a;
const CONTROL_CODE = 0x1d;
const RELEASED = 0x80;

/** Set 2 code of each set 1 code from 1 on. */
// biome-ignore format: as the manual's table
const SET2 = [
  0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d, 0x15,
  0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x14, 0x1c, 0x1b, 0x23,
  0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5d, 0x1a, 0x22, 0x21, 0x2a, 0x32,
  0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c, 0x11, 0x29,
];

/** Set 1 codes of typing one character: keys pressed and released; none for a character without a key. */
export function keystrokes(character: string): number[] {
  if (character === ' ') return [SPACE_CODE, SPACE_CODE | RELEASED];
  if (character === '\0') return [];
  const typed = character === '\r' ? '\n' : character;
  const plain = PLAIN.indexOf(typed);
  if (plain >= 0) return [plain + 1, (plain + 1) | RELEASED];
  const shifted = SHIFTED.indexOf(typed);
  if (shifted >= 0) return around(SHIFT_CODE, shifted + 1);
  // Control characters are letters with the control key.
  const letter = PLAIN.indexOf(String.fromCharCode(typed.charCodeAt(0) + 0x60));
  return typed < ' ' && letter >= 0 ? around(CONTROL_CODE, letter + 1) : [];
}

function around(modifier: number, key: number): number[] {
  return [modifier, key, key | RELEASED, modifier | RELEASED];
}

/** The same key event in set 2: a code, with 0xF0 before it when the key is released. */
export function toSet2(set1: number): number[] {
  const code = SET2[(set1 & ~RELEASED) - 1];
  if (code === undefined) return [];
  return (set1 & RELEASED) === 0 ? [code] : [0xf0, code];
}

/** What the controller's translation makes of answers of the keyboard: its identity, and its scan code set. */
const TRANSLATED_ANSWERS: Readonly<Record<number, number>> = { 131: 0x41, 132: 0x54, 1: 0x43, 2: 0x41, 3: 0x3f };

/** The controller's translation of one byte from set 2 to set 1. Bytes that no key here sends stay as they are. */
export function translated(set2: number): number {
  const key = SET2.indexOf(set2);
  return key >= 0 ? key + 1 : (TRANSLATED_ANSWERS[set2] ?? set2);
}

/**
 * Functions of an ELF32 executable by name: its symbol table, for commands that show a guest's code.
 * Invariant: whatever the bytes are, the answer is an address range or a UserError that says what there is.
 * Source: System V ABI, "Object Files" (gABI 4.1, chapter 4, sections and symbols).
 */
import { UserError } from '../core/errors.ts';
import { hasElfMagic } from './elf.ts';

const SECTION_HEADER_BYTES = 40;
const SYMBOL_BYTES = 16;
const SHT_SYMTAB = 2;
const STT_NOTYPE = 0;
const STT_FUNC = 2;
/** Names that a message lists at most. */
const NAMES_MAX = 20;

export interface GuestFunction {
  readonly name: string;
  readonly address: number;
  /** 0 where the symbol table does not say. */
  readonly bytes: number;
}

/** The functions in the symbol table of an executable, by ascending address; none without a table. */
export function readFunctions(file: string, bytes: Uint8Array): GuestFunction[] {
  if (!hasElfMagic(bytes) || bytes.length < 52)
    throw new UserError(`${file}: not an ELF file, so it names no functions`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sections = view.getUint32(32, true);
  const count = view.getUint16(48, true);
  const found: GuestFunction[] = [];
  const inside = (at: number, size: number): boolean => at >= 0 && at + size <= bytes.length;
  if (!inside(sections, count * SECTION_HEADER_BYTES))
    throw new UserError(`${file}: ELF section headers lie outside the file`);
  const word = (section: number, field: number) =>
    view.getUint32(sections + section * SECTION_HEADER_BYTES + field, true);
  for (let section = 0; section < count; section++) {
    if (word(section, 4) !== SHT_SYMTAB) continue;
    const strings = word(section, 24);
    const at = word(section, 16);
    const size = word(section, 20);
    if (strings >= count || !inside(at, size)) throw new UserError(`${file}: ELF symbol table lies outside the file`);
    const names = word(strings, 16);
    const namesEnd = Math.min(bytes.length, names + word(strings, 20));
    for (let symbol = at; symbol + SYMBOL_BYTES <= at + size; symbol += SYMBOL_BYTES) {
      const type = bytes[symbol + 12]! & 15;
      const name = textAt(bytes, names + view.getUint32(symbol, true), namesEnd);
      if (name === '' || (type !== STT_FUNC && type !== STT_NOTYPE)) continue;
      found.push({ name, address: view.getUint32(symbol + 4, true), bytes: view.getUint32(symbol + 8, true) });
    }
  }
  return found.sort((a, b) => a.address - b.address || (a.name < b.name ? -1 : 1));
}

function textAt(bytes: Uint8Array, at: number, end: number): string {
  let stop = at;
  while (stop < end && bytes[stop] !== 0) stop++;
  return at < end ? Buffer.from(bytes.subarray(at, stop)).toString('latin1') : '';
}

/** The function of that name; its size is up to the next symbol where the table does not say. */
export function findFunction(file: string, bytes: Uint8Array, name: string): GuestFunction {
  const all = readFunctions(file, bytes);
  const found = all.find((one) => one.name === name);
  if (found === undefined) {
    const names = all.map((one) => one.name);
    const shown = names.slice(0, NAMES_MAX).join(', ') + (names.length > NAMES_MAX ? ', ...' : '');
    throw new UserError(
      `--function: no "${name}" in ${file}, allowed: ${shown === '' ? 'none, it has no symbols' : shown}`,
    );
  }
  if (found.bytes > 0) return found;
  const next = all.find(({ address }) => address > found.address);
  return { ...found, bytes: next === undefined ? 4096 : next.address - found.address };
}

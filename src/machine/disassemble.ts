/**
 * A decoded instruction as text, in Intel's syntax, by way of the operands column of the ISA table.
 * Invariant: reads the Insn and nothing else, so what is printed is what executes.
 * Source of notation: SDM vol 2, appendix A.2.
 */
import { type Insn, REG_NONE, SEG_DS, SEG_SS } from './insn.ts';

const REGISTERS32 = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'];
const REGISTERS8 = ['al', 'ah', 'cl', 'ch', 'dl', 'dh', 'bl', 'bh'];
/** By ModRM and opcode number. */
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
const signed = (value: number): string => (value < 0 ? `-${hex(-value)}` : hex(value));

/** Name of a register by its index in the view of its width (insn.ts). */
function register(index: number, width: number): string {
  if (width === 8) return REGISTERS8[(index >> 2) * 2 + (index & 1)] ?? `r8(${index})`;
  const name = REGISTERS32[width === 16 ? index >> 1 : index] ?? `r(${index})`;
  return width === 16 ? name.slice(1) : name;
}

function memory(insn: Insn): string {
  const parts: string[] = [];
  if (insn.base !== REG_NONE) parts.push(REGISTERS32[insn.base]!);
  if (insn.index !== REG_NONE) parts.push(`${REGISTERS32[insn.index]}${insn.scale > 0 ? `*${1 << insn.scale}` : ''}`);
  let text = parts.join('+');
  if (text === '') text = hex(insn.disp);
  else if (insn.disp !== 0) text += insn.disp < 0 ? signed(insn.disp) : `+${hex(insn.disp)}`;
  const usual = insn.base === 4 || insn.base === 5 ? SEG_SS : SEG_DS;
  return `${insn.seg === usual ? '' : `${SEGMENTS[insn.seg]}:`}[${text}]`;
}

function widthOf(notation: string, insn: Insn): number {
  const letter = notation[1];
  return letter === 'b' ? 8 : letter === 'w' ? 16 : letter === 'd' ? 32 : insn.width;
}

function operand(insn: Insn, notation: string, isFirst: boolean, next: number): string {
  const index = isFirst ? insn.a : insn.b;
  switch (notation[0]) {
    case 'E':
      return insn.isMemory ? memory(insn) : register(index, widthOf(notation, insn));
    case 'M':
    case 'O':
    case 'B':
      return memory(insn);
    case 'G':
      return notation === 'GS' ? 'gs' : register(index, widthOf(notation, insn));
    case 'Z':
      return register(index, widthOf(notation, insn));
    case 'R':
      return register(index, 32);
    case 'I':
      return signed(notation === 'Ib' && insn.row.operands[0] === 'Iw' ? insn.imm2 : insn.imm);
    case 'J':
      return hex(next + insn.imm);
    case 'A':
      return notation === 'Ap' ? `${hex(insn.imm2)}:${hex(insn.imm)}` : notation.toLowerCase();
    case 'X':
      return `${SEGMENTS[insn.seg]}:[esi]`;
    case 'Y':
      return 'es:[edi]';
    case 'e':
      return insn.width === 16 ? 'ax' : 'eax';
    default:
      break;
  }
  if (notation === 'Sw') return SEGMENTS[index] ?? `seg${index}`;
  if (notation === 'Cd') return `cr${index}`;
  if (notation === 'Dd') return `dr${index}`;
  return notation.toLowerCase();
}

/** Mnemonics that the table has for the 16-bit form, by that of the 32-bit form. */
const WIDE_NAMES: Readonly<Record<string, string>> = { CWD: 'cdq', CBW: 'cwde' };

/** The instruction at `eip` as text, such as `mov eax, [ebp-0x8]`. */
export function disassemble(insn: Insn, eip: number): string {
  const { row } = insn;
  const next = (eip + insn.length) | 0;
  const operands = row.operands.map((notation, n) => operand(insn, notation, n === 0, next));
  const prefix = `${insn.lock ? 'lock ' : ''}${insn.rep === 0xf2 ? 'repne ' : insn.rep === 0xf3 ? 'rep ' : ''}`;
  const size = insn.isMemory && !row.operands.some((o) => /^[GZeAS]|^AL/.test(o)) ? sizeOf(insn) : '';
  const name = (insn.width === 32 ? WIDE_NAMES[row.mnemonic] : undefined) ?? row.mnemonic.toLowerCase();
  return `${prefix}${name} ${size}${operands.join(', ')}`.trimEnd();
}

function sizeOf(insn: Insn): string {
  if (insn.row.operands.some((o) => o.startsWith('M'))) return '';
  return insn.width === 8 ? 'byte ' : insn.width === 16 ? 'word ' : 'dword ';
}

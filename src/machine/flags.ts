/**
 * The arithmetic flags, kept as two words that every operation writes without computing any flag:
 *   flagRes  the result, sign-extended to 32 bits
 *   flagAux  bits 31 and 30: carries out of the two top bits; bit 3: carry out of bit 3;
 *            bits 8-15 and bit 0: corrections of parity and sign, zero except after flags were loaded as such
 * Flags are read back as: ZF = (res == 0), SF = res<31> ^ aux<0>, PF = even parity of res ^ aux>>8,
 * CF = aux<31>, OF = aux<31> ^ aux<30>, AF = aux<3>.
 * Invariant: any combination of the six flags can be represented (setArithmeticFlags).
 * Source of the flag definitions: SDM vol 1, 3.4.3.1. The representation is the carry-vector form of lazy flags.
 */

export const FLAG_CF = 0x1;
export const FLAG_PF = 0x4;
export const FLAG_AF = 0x10;
export const FLAG_ZF = 0x40;
export const FLAG_SF = 0x80;
export const FLAG_TF = 0x100;
export const FLAG_IF = 0x200;
export const FLAG_DF = 0x400;
export const FLAG_OF = 0x800;
export const FLAG_IOPL = 0x3000;
export const FLAG_NT = 0x4000;
export const FLAG_RF = 0x10000;
export const FLAG_VM = 0x20000;
export const FLAG_AC = 0x40000;
export const FLAG_VIF = 0x80000;
export const FLAG_VIP = 0x100000;
export const FLAG_ID = 0x200000;

export const FLAGS_ARITHMETIC = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF;
/** Bit 1 of EFLAGS always reads as one. */
export const FLAGS_FIXED = 2;

/** Carry bits that a 32-bit operation keeps. */
export const AUX_CARRIES = 0xc0000008 | 0;

/** What holds the flags: the CPU. */
export interface Flags {
  flagRes: number;
  flagAux: number;
}

/** PARITY[b] = 1 when byte b has an even number of ones. */
const PARITY = new Uint8Array(256);
for (let b = 0; b < 256; b++) {
  let ones = 0;
  for (let bit = b; bit !== 0; bit >>= 1) ones += bit & 1;
  PARITY[b] = ones % 2 === 0 ? 1 : 0;
}

/** Each getter returns 0 or 1. */
export const getCF = (f: Flags): number => f.flagAux >>> 31;
export const getOF = (f: Flags): number => (f.flagAux ^ (f.flagAux << 1)) >>> 31;
export const getAF = (f: Flags): number => (f.flagAux >>> 3) & 1;
export const getZF = (f: Flags): number => (f.flagRes === 0 ? 1 : 0);
export const getSF = (f: Flags): number => (f.flagRes ^ (f.flagAux << 31)) >>> 31;
export const getPF = (f: Flags): number => PARITY[(f.flagRes ^ (f.flagAux >> 8)) & 0xff]!;

/** The six arithmetic flags at their EFLAGS positions. */
export function arithmeticFlags(f: Flags): number {
  return getCF(f) | (getPF(f) << 2) | (getAF(f) << 4) | (getZF(f) << 6) | (getSF(f) << 7) | (getOF(f) << 11);
}

/** Loads the six arithmetic flags from an EFLAGS image. */
export function setArithmeticFlags(f: Flags, eflags: number): void {
  const cf = eflags & 1;
  const of = (eflags >> 11) & 1;
  const pf = (eflags >> 2) & 1;
  const sf = (eflags >> 7) & 1;
  // A result of 0 has even parity, a result of 1 odd: correct either by flipping one bit of the parity byte.
  const res = (eflags & FLAG_ZF) !== 0 ? 0 : 1;
  const parityFix = res === 0 ? pf ^ 1 : pf;
  f.flagRes = res;
  f.flagAux = (cf << 31) | ((cf ^ of) << 30) | (((eflags >> 4) & 1) << 3) | (parityFix << 8) | sf;
}

/** Replaces CF and OF (each 0 or 1), keeping the other four. */
export function setCarryOverflow(f: Flags, cf: number, of: number): void {
  f.flagAux = (f.flagAux & 0x3fffffff) | (cf << 31) | ((cf ^ of) << 30);
}

/** Replaces CF (0 or 1), keeping the other five. */
export function setCarry(f: Flags, cf: number): void {
  setCarryOverflow(f, cf, getOF(f));
}

/** The sixteen conditions of Jcc, SETcc, CMOVcc, in the order of the low opcode nibble (SDM vol 1, appendix B). */
export const CONDITIONS: readonly ((f: Flags) => boolean)[] = [
  (f) => getOF(f) !== 0,
  (f) => getOF(f) === 0,
  (f) => f.flagAux < 0,
  (f) => f.flagAux >= 0,
  (f) => f.flagRes === 0,
  (f) => f.flagRes !== 0,
  (f) => f.flagAux < 0 || f.flagRes === 0,
  (f) => f.flagAux >= 0 && f.flagRes !== 0,
  (f) => getSF(f) !== 0,
  (f) => getSF(f) === 0,
  (f) => getPF(f) !== 0,
  (f) => getPF(f) === 0,
  (f) => getSF(f) !== getOF(f),
  (f) => getSF(f) === getOF(f),
  (f) => f.flagRes === 0 || getSF(f) !== getOF(f),
  (f) => f.flagRes !== 0 && getSF(f) === getOF(f),
];

/** Names of the conditions, same order. */
export const CONDITION_NAMES = [
  'O',
  'NO',
  'B',
  'AE',
  'E',
  'NE',
  'BE',
  'A',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'GE',
  'LE',
  'G',
] as const;

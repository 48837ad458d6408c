/**
 * Handlers of x87 instructions for control, environment and state of the unit, and WAIT.
 * Invariants: those of x87-base.ts; a state is stored whole or not at all.
 * Source: SDM vol 2, each instruction; SDM vol 1, 8.1.10.
 */
import type { Cpu } from '../cpu.ts';
import { VECTOR_NM } from '../exits.ts';
import { environmentOf, type Layout, loadEnvironment } from '../fpu/environment.ts';
import type { Handler, Insn } from '../insn.ts';
import { CR0_MP, CR0_TS } from '../paging.ts';
import { isProtected } from '../segments.ts';
import { available, ready, report } from './x87-base.ts';

// ---------------------------------------------------------------- control

export const fldcw: Handler = (c, i) => {
  const f = ready(c);
  f.controlWord = c.read16(c.readAddress(i, 2));
};
export const fnstcw: Handler = (c, i) => c.write16(c.writeAddress(i, 2), available(c).controlWord);
export const fnstsw: Handler = (c, i) => c.write16(c.writeAddress(i, 2), available(c).statusWord);
export const fnstswAx: Handler = (c) => {
  c.regs16[0] = available(c).statusWord;
};
export const fnclex: Handler = (c) => available(c).clearExceptions();
export const fninit: Handler = (c) => available(c).initialize();
/** FENI, FDISI, FSETPM: meant something to the 8087 and the 287. */
export const obsolete: Handler = (c) => void available(c);

/** Which of the four layouts of the environment is in force. */
export const layoutOf = (c: Cpu, i: Insn): Layout => ({ is32: i.width === 32, isProtected: isProtected(c) });
export const environmentBytes = (layout: Layout): number => (layout.is32 ? 28 : 14);
export const REGISTER_BYTES = 80;

export function writeWords(c: Cpu, lin: number, words: readonly number[], is32: boolean): void {
  words.forEach((word, n) => {
    if (is32) c.write32((lin + 4 * n) | 0, word);
    else c.write16((lin + 2 * n) | 0, word & 0xffff);
  });
}

export const readWords = (c: Cpu, lin: number, is32: boolean): number[] =>
  Array.from({ length: 7 }, (_, n) => (is32 ? c.read32((lin + 4 * n) | 0) : c.read16((lin + 2 * n) | 0)));

export const fnstenv: Handler = (c, i) => {
  const f = available(c);
  const layout = layoutOf(c, i);
  const bytes = environmentBytes(layout);
  const lin = c.writeAddress(i, bytes);
  c.prepareWrite(lin, bytes);
  writeWords(c, lin, environmentOf(f, layout), layout.is32);
  f.controlWord |= 0x3f;
};

export const fldenv: Handler = (c, i) => {
  const f = ready(c);
  const layout = layoutOf(c, i);
  const words = readWords(c, c.readAddress(i, environmentBytes(layout)), layout.is32);
  loadEnvironment(f, layout, words);
};

export const fnsave: Handler = (c, i) => {
  const f = available(c);
  const layout = layoutOf(c, i);
  const bytes = environmentBytes(layout);
  const lin = c.writeAddress(i, bytes + REGISTER_BYTES);
  c.prepareWrite(lin, bytes + REGISTER_BYTES);
  writeWords(c, lin, environmentOf(f, layout), layout.is32);
  for (let n = 0; n < 8; n++) {
    const at = (lin + bytes + 10 * n) | 0;
    const physical = (f.top + n) & 7;
    c.write32(at, f.low[physical]!);
    c.write32((at + 4) | 0, f.high[physical]!);
    c.write16((at + 8) | 0, f.signExp[physical]!);
  }
  f.initialize();
};

export const frstor: Handler = (c, i) => {
  const f = ready(c);
  const layout = layoutOf(c, i);
  const bytes = environmentBytes(layout);
  const lin = c.readAddress(i, bytes + REGISTER_BYTES);
  const words = readWords(c, lin, layout.is32);
  const registers = Array.from({ length: 8 }, (_, n): [number, number, number] => {
    const at = (lin + bytes + 10 * n) | 0;
    return [c.read32(at), c.read32((at + 4) | 0), c.read16((at + 8) | 0)];
  });
  loadEnvironment(f, layout, words);
  registers.forEach(([low, high, signExp], n) => {
    const physical = (f.top + n) & 7;
    f.low[physical] = low;
    f.high[physical] = high;
    f.signExp[physical] = signExp;
  });
};

export const wait: Handler = (c) => {
  if ((c.cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS)) c.raise(VECTOR_NM);
  if (c.fpu.isPending) report(c);
};

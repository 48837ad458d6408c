/**
 * Data movement: MOV and its relatives, the stack, LEA, exchanges, conditional moves.
 * Source: SDM vol 2, operation section of each instruction.
 */
import type { Cpu } from '../cpu.ts';
import { VECTOR_BR, VECTOR_UD } from '../exits.ts';
import { CONDITION_NAMES, CONDITIONS, FLAG_ZF } from '../flags.ts';
import { type Handler, type Insn, SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_SS } from '../insn.ts';
import { loadSegment, segmentAddress } from '../segments.ts';
import { ADD, SUB } from './alu.ts';
import { modify, readPart, readReg, readRm, type Widths, writeReg, writeRm } from './forms.ts';
import { nop } from './nop.ts';
import { type Builder, type Row, row } from './row.ts';

// MOV is half of all instructions, so each form is written out.
const mov: Readonly<Record<'rr' | 'rm' | 'mr' | 'ri' | 'mi', Widths<Handler>>> = {
  rr: {
    8: (c, i) => {
      c.regs8[i.a] = c.regs8[i.b]!;
    },
    16: (c, i) => {
      c.regs16[i.a] = c.regs16[i.b]!;
    },
    32: (c, i) => {
      c.regs[i.a] = c.regs[i.b]!;
    },
  },
  rm: {
    8: (c, i) => {
      c.regs8[i.a] = c.read8(c.readAddress(i, 1));
    },
    16: (c, i) => {
      c.regs16[i.a] = c.read16(c.readAddress(i, 2));
    },
    32: (c, i) => {
      c.regs[i.a] = c.read32(c.readAddress(i, 4));
    },
  },
  mr: {
    8: (c, i) => c.write8(c.writeAddress(i, 1), c.regs8[i.b]!),
    16: (c, i) => c.write16(c.writeAddress(i, 2), c.regs16[i.b]!),
    32: (c, i) => c.write32(c.writeAddress(i, 4), c.regs[i.b]!),
  },
  ri: {
    8: (c, i) => {
      c.regs8[i.a] = i.imm;
    },
    16: (c, i) => {
      c.regs16[i.a] = i.imm;
    },
    32: (c, i) => {
      c.regs[i.a] = i.imm;
    },
  },
  mi: {
    8: (c, i) => c.write8(c.writeAddress(i, 1), i.imm),
    16: (c, i) => c.write16(c.writeAddress(i, 2), i.imm),
    32: (c, i) => c.write32(c.writeAddress(i, 4), i.imm),
  },
};
const buildMov: Builder = (i) => {
  const [first, second] = i.row.operands;
  const form = second!.startsWith('I')
    ? i.isMemory
      ? 'mi'
      : 'ri'
    : !i.isMemory
      ? 'rr'
      : first!.startsWith('E') || first!.startsWith('O')
        ? 'mr'
        : 'rm';
  return mov[form][i.width as 8 | 16 | 32];
};

const extend = (from: 8 | 16, signed: boolean): Builder => {
  const up = 32 - from;
  const load: Handler = (c, i) => {
    const value = readRm(c, i, i.b, from);
    writeReg(c, i.a, i.width, signed ? (value << up) >> up : value);
  };
  if (signed) return () => load;
  // Zero extension into 32 bits is frequent enough for its own forms.
  const byteRegister: Handler = (c, i) => {
    c.regs[i.a] = c.regs8[i.b]!;
  };
  const byteMemory: Handler = (c, i) => {
    c.regs[i.a] = c.read8(c.readAddress(i, 1));
  };
  return (i) => (from === 8 && i.width === 32 ? (i.isMemory ? byteMemory : byteRegister) : load);
};

const lea32: Handler = (c, i) => {
  c.regs[i.a] = c.offset(i);
};
const lea16: Handler = (c, i) => {
  c.regs16[i.a] = c.offset(i);
};

/** XCHG with memory is locked whether or not it has the prefix. */
const xchg: Handler = (c, i) => {
  const own = readReg(c, i.b, i.width);
  if (i.isMemory) {
    let old = 0;
    modify(
      c,
      i,
      i.width,
      (_c, value) => {
        old = value;
        return own;
      },
      0,
    );
    writeReg(c, i.b, i.width, old);
  } else {
    writeReg(c, i.b, i.width, readReg(c, i.a, i.width));
    writeReg(c, i.a, i.width, own);
  }
};
const xchgAccumulator: Handler = (c, i) => {
  const old = readReg(c, 0, i.width);
  writeReg(c, 0, i.width, readReg(c, i.a, i.width));
  writeReg(c, i.a, i.width, old);
};

const xadd: Handler = (c, i) => {
  const add = ADD[i.width as 8 | 16 | 32];
  const own = readReg(c, i.b, i.width);
  let old = 0;
  if (i.isMemory) {
    modify(
      c,
      i,
      i.width,
      (cpu, value) => {
        old = value;
        return add(cpu, value, own);
      },
      0,
    );
    writeReg(c, i.b, i.width, old);
  } else {
    old = readReg(c, i.a, i.width);
    const sum = add(c, old, own);
    writeReg(c, i.b, i.width, old);
    writeReg(c, i.a, i.width, sum);
  }
};

const cmpxchg: Handler = (c, i) => {
  const compare = SUB[i.width as 8 | 16 | 32];
  const accumulator = readReg(c, 0, i.width);
  const source = readReg(c, i.b, i.width);
  let old = 0;
  // The destination is written in either case (SDM vol 2, CMPXCHG), so it must be writable.
  const exchange = (cpu: Cpu, value: number): number => {
    old = value;
    compare(cpu, accumulator, value);
    return cpu.flagRes === 0 ? source : value;
  };
  if (i.isMemory) modify(c, i, i.width, exchange, 0);
  else writeReg(c, i.a, i.width, exchange(c, readReg(c, i.a, i.width)));
  if (c.flagRes !== 0) writeReg(c, 0, i.width, old);
};

const cmpxchg8b: Handler = (c, i) => {
  const lin = c.writeAddress(i, 8);
  c.prepareWrite(lin, 8);
  const low = c.read32(lin);
  const high = c.read32((lin + 4) | 0);
  const equal = low === c.regs[0] && high === c.regs[2];
  c.write32(lin, equal ? c.regs[3]! : low);
  c.write32((lin + 4) | 0, equal ? c.regs[1]! : high);
  c.setEflags(equal ? FLAG_ZF : 0, FLAG_ZF);
  if (!equal) {
    c.regs[0] = low;
    c.regs[2] = high;
  }
};

const bswap: Handler = (c, i) => {
  const v = c.regs[i.a]!;
  c.regs[i.a] = (v << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24);
};

const xlat: Handler = (c, i) => {
  // The address is rBX + AL: AL is not a full register, so it is added by way of the displacement.
  i.disp = c.regs8[0]!;
  c.regs8[0] = c.read8(c.readAddress(i, 1));
};

// ---------------------------------------------------------------- stack

const push = (c: Cpu, width: number, value: number): void => {
  if (width === 32) c.push32(value);
  else c.push16(value);
};

const pushReg32: Handler = (c, i) => c.push32(c.regs[i.a]!);
const popReg32: Handler = (c, i) => {
  c.regs[i.a] = c.pop32();
};
const buildPushReg: Builder = (insn) => (insn.width === 32 ? pushReg32 : (c, i) => c.push16(c.regs16[i.a]!));
const buildPopReg: Builder = (insn) =>
  insn.width === 32
    ? popReg32
    : (c, i) => {
        c.regs16[i.a] = c.pop16();
      };
const pushRm: Handler = (c, i) => push(c, i.width, readRm(c, i, i.a, i.width));
const popRm: Handler = (c, i) => {
  const size = i.width === 32 ? 4 : 2;
  const value = c.peekStack(0, size);
  // The address uses ESP after the increment (SDM vol 2, POP); restore it if the store faults.
  const esp = c.regs[4]!;
  c.addStack(size);
  if (i.isMemory) {
    const after = c.regs[4]!;
    const lin = withEsp(c, esp, () => {
      c.regs[4] = after;
      const at = c.writeAddress(i, size);
      c.prepareWrite(at, size);
      return at;
    });
    c.regs[4] = after;
    if (size === 4) c.write32(lin, value);
    else c.write16(lin, value);
  } else writeReg(c, i.a, i.width, value);
};
/** Runs something that may fault; if it does, ESP is `esp` again. */
function withEsp<T>(c: Cpu, esp: number, action: () => T): T {
  let done = false;
  try {
    const result = action();
    done = true;
    return result;
  } finally {
    if (!done) c.regs[4] = esp;
  }
}
const pushImm: Handler = (c, i) => push(c, i.width, i.imm);

const pushSeg =
  (seg: number): Handler =>
  (c, i) => {
    // Whether the upper half of a 32-bit push is written or kept depends on the processor (SDM vol 2, PUSH); here: zeros.
    if (i.width === 16) {
      c.push16(c.segSelector[seg]!);
      return;
    }
    c.push32(c.segSelector[seg]!);
  };
const popSeg =
  (seg: number): Handler =>
  (c, i) => {
    const size = i.width === 32 ? 4 : 2;
    const selector = c.peekStack(0, size) & 0xffff;
    const mask = c.stackMask();
    loadSegment(c, seg, selector);
    // POP SS: the increment belongs to the old stack.
    c.regs[4] = (c.regs[4]! & ~mask) | ((c.regs[4]! + size) & mask);
    if (seg === SEG_SS) loadedStack(c);
  };

/** MOV to SS and POP SS: neither an interrupt nor a debug trap comes before the next instruction, which loads ESP. */
function loadedStack(c: Cpu): void {
  c.beginInterruptShadow();
  c.beginDebugShadow();
}

const movFromSeg: Handler = (c, i) => {
  const value = c.segSelector[i.b]!;
  if (i.isMemory) c.write16(c.writeAddress(i, 2), value);
  else writeReg(c, i.a, i.width, value);
};
const movToSeg: Handler = (c, i) => {
  loadSegment(c, i.a, readRm(c, i, i.b, 16));
  if (i.a === SEG_SS) loadedStack(c);
};
const buildMovToSeg: Builder = (insn) => {
  if (insn.a === SEG_CS || insn.a > SEG_GS) return (c) => c.raise(VECTOR_UD);
  return movToSeg;
};
const buildMovFromSeg: Builder = (insn) => (insn.b > SEG_GS ? (c) => c.raise(VECTOR_UD) : movFromSeg);

/** LDS and friends: loads a far pointer from memory. */
const loadFarPointer =
  (seg: number): Handler =>
  (c, i) => {
    const size = i.width === 32 ? 4 : 2;
    const offset = readPart(c, i, 0, size);
    const selector = readPart(c, i, size, 2);
    loadSegment(c, seg, selector);
    writeReg(c, i.a, i.width, offset);
  };

/** PUSHAD on a flat stack inside one page: all or nothing without a transaction. */
function pushAllFast(c: Cpu): boolean {
  const esp = c.regs[4]!;
  const lin = (esp - 32) | 0;
  if (!c.stackFlat || (lin & 0xfff) > 0x1000 - 32) return false;
  const at = c.modify32(lin);
  if (at < 0) return false;
  for (let r = 0; r < 8; r++) c.words32[at + 7 - r] = c.regs[r]!;
  c.regs[4] = lin;
  return true;
}
const pusha: Handler = (c, i) => {
  if (i.width === 32 && pushAllFast(c)) return;
  const size = i.width === 32 ? 4 : 2;
  const esp = c.regs[4]!;
  withEsp(c, esp, () => {
    for (let r = 0; r < 8; r++) push(c, i.width, r === 4 ? esp : readReg(c, size === 4 ? r : r * 2, i.width));
  });
};
const popa: Handler = (c, i) => {
  const size = i.width === 32 ? 4 : 2;
  const top = c.regs[4]!;
  if (c.stackFlat && size === 4 && (top & 0xfff) <= 0x1000 - 32) {
    const at = c.modify32(top);
    if (at >= 0) {
      for (let r = 0; r < 8; r++) if (r !== 4) c.regs[r] = c.words32[at + 7 - r]!;
      c.regs[4] = (top + 32) | 0;
      return;
    }
  }
  const values: number[] = [];
  for (let n = 0; n < 8; n++) values.push(c.peekStack(n * size, size));
  for (let n = 0; n < 8; n++) if (n !== 3) writeReg(c, size === 4 ? 7 - n : (7 - n) * 2, i.width, values[n]!);
  c.addStack(8 * size);
};

const enter: Handler = (c, i) => {
  const size = i.width === 32 ? 4 : 2;
  const level = i.imm2 & 31;
  const esp = c.regs[4]!;
  withEsp(c, esp, () => {
    push(c, i.width, readReg(c, size === 4 ? 5 : 10, i.width));
    const frame = c.regs[4]!;
    for (let n = 1; n < level; n++) push(c, i.width, peekFrame(c, n * size, size));
    if (level > 0) push(c, i.width, frame);
    const mask = c.stackMask();
    const sp = (c.regs[4]! - (i.imm & 0xffff)) & mask;
    // A stack write at the final ESP would fault: ENTER checks it before it commits (SDM vol 2, ENTER).
    c.prepareWrite(segmentAddress(c, SEG_SS, sp, size, true), size);
    writeReg(c, size === 4 ? 5 : 10, i.width, frame);
    c.regs[4] = (c.regs[4]! & ~mask) | sp;
  });
};
/** Reads the enclosing frame pointer `below` bytes under EBP, for nested ENTER. */
function peekFrame(c: Cpu, below: number, size: 2 | 4): number {
  const at = (c.regs[5]! - below) & c.stackMask();
  const lin = segmentAddress(c, SEG_SS, at, size, false);
  return size === 4 ? c.read32(lin) : c.read16(lin);
}
const leave: Handler = (c, i) => {
  if (c.stackFlat && i.width === 32) {
    const frame = c.regs[5]!;
    const saved = c.read32(frame);
    c.regs[4] = (frame + 4) | 0;
    c.regs[5] = saved;
    return;
  }
  const mask = c.stackMask();
  const size = i.width === 32 ? 4 : 2;
  const esp = c.regs[4]!;
  withEsp(c, esp, () => {
    c.regs[4] = (esp & ~mask) | (c.regs[5]! & mask);
    const value = c.peekStack(0, size);
    c.addStack(size);
    writeReg(c, size === 4 ? 5 : 10, i.width, value);
  });
};

const bound: Handler = (c, i) => {
  const size = i.width === 32 ? 4 : 2;
  const signed = (v: number): number => (size === 4 ? v : (v << 16) >> 16);
  const low = signed(readPart(c, i, 0, size));
  const high = signed(readPart(c, i, size, size));
  const index = signed(readReg(c, i.a, i.width));
  if (index < low || index > high) c.raise(VECTOR_BR);
};

const cmov = (cc: number): Handler => {
  const condition = CONDITIONS[cc]!;
  return (c: Cpu, i: Insn) => {
    // The memory operand is read, and may fault, whatever the condition.
    const value = readRm(c, i, i.b, i.width);
    if (condition(c)) writeReg(c, i.a, i.width, value);
  };
};
const setcc = (cc: number): Handler => {
  const condition = CONDITIONS[cc]!;
  return (c: Cpu, i: Insn) => writeRm(c, i, i.a, 8, condition(c) ? 1 : 0);
};

const salc: Handler = (c) => {
  c.regs8[0] = c.flagAux < 0 ? 0xff : 0;
};

const LOCKED = { memory: 'locked', lock: true } as const;
const hex = (n: number): string => n.toString(16).padStart(2, '0').toUpperCase();

export const dataRows: readonly Row[] = [
  nop,
  row('88', 'MOV', 'Eb,Gb', 'simple', buildMov, { memory: 'store' }),
  row('89', 'MOV', 'Ev,Gv', 'simple', buildMov, { memory: 'store' }),
  row('8A', 'MOV', 'Gb,Eb', 'simple', buildMov),
  row('8B', 'MOV', 'Gv,Ev', 'simple', buildMov),
  row('A0', 'MOV', 'AL,Ob', 'simple', buildMov),
  row('A1', 'MOV', 'eAX,Ov', 'simple', buildMov),
  row('A2', 'MOV', 'Ob,AL', 'simple', buildMov, { memory: 'store' }),
  row('A3', 'MOV', 'Ov,eAX', 'simple', buildMov, { memory: 'store' }),
  row('B0+r', 'MOV', 'Zb,Ib', 'simple', buildMov),
  row('B8+r', 'MOV', 'Zv,Iv', 'simple', buildMov),
  row('C6 /0', 'MOV', 'Eb,Ib', 'simple', buildMov, { memory: 'store' }),
  row('C7 /0', 'MOV', 'Ev,Iz', 'simple', buildMov, { memory: 'store' }),
  row('8C', 'MOV', 'Ev,Sw', 'simple', buildMovFromSeg, { memory: 'store', class: 'sensitive' }),
  row('8E', 'MOV', 'Sw,Ew', 'segment', buildMovToSeg, { class: 'sensitive' }),
  row('0F B6', 'MOVZX', 'Gv,Eb', 'simple', extend(8, false)),
  row('0F B7', 'MOVZX', 'Gv,Ew', 'simple', extend(16, false)),
  row('0F BE', 'MOVSX', 'Gv,Eb', 'simple', extend(8, true)),
  row('0F BF', 'MOVSX', 'Gv,Ew', 'simple', extend(16, true)),
  row('8D', 'LEA', 'Gv,M', 'simple', (i) => (i.width === 32 ? lea32 : lea16), { memory: 'simple' }),
  row('86', 'XCHG', 'Eb,Gb', 'simple', () => xchg, LOCKED),
  row('87', 'XCHG', 'Ev,Gv', 'simple', () => xchg, LOCKED),
  row('90+r', 'XCHG', 'Zv,eAX', 'simple', () => xchgAccumulator),
  row('0F C0', 'XADD', 'Eb,Gb', 'simple', () => xadd, { memory: 'modify', lock: true }),
  row('0F C1', 'XADD', 'Ev,Gv', 'simple', () => xadd, { memory: 'modify', lock: true }),
  row('0F B0', 'CMPXCHG', 'Eb,Gb', 'simple', () => cmpxchg, { memory: 'modify', lock: true }),
  row('0F B1', 'CMPXCHG', 'Ev,Gv', 'simple', () => cmpxchg, { memory: 'modify', lock: true }),
  row('0F C7 /1', 'CMPXCHG8B', 'Mq', 'modify', () => cmpxchg8b, { memory: 'modify', lock: true }),
  row('0F C8+r', 'BSWAP', 'Zv', 'simple', () => bswap),
  row('D7', 'XLAT', 'Bb', 'load', () => xlat),
  row('50+r', 'PUSH', 'Zv', 'stack', buildPushReg),
  row('58+r', 'POP', 'Zv', 'stack', buildPopReg),
  row('FF /6', 'PUSH', 'Ev', 'stack', () => pushRm),
  row('8F /0', 'POP', 'Ev', 'stack', () => popRm),
  row('68', 'PUSH', 'Iz', 'stack', () => pushImm),
  row('6A', 'PUSH', 'Ib', 'stack', () => pushImm),
  row('06', 'PUSH', 'ES', 'stack', () => pushSeg(SEG_ES), { class: 'sensitive' }),
  row('0E', 'PUSH', 'CS', 'stack', () => pushSeg(SEG_CS), { class: 'sensitive' }),
  row('16', 'PUSH', 'SS', 'stack', () => pushSeg(SEG_SS), { class: 'sensitive' }),
  row('1E', 'PUSH', 'DS', 'stack', () => pushSeg(SEG_DS), { class: 'sensitive' }),
  row('0F A0', 'PUSH', 'FS', 'stack', () => pushSeg(SEG_FS), { class: 'sensitive' }),
  row('0F A8', 'PUSH', 'GS', 'stack', () => pushSeg(SEG_GS), { class: 'sensitive' }),
  row('07', 'POP', 'ES', 'segment', () => popSeg(SEG_ES), { class: 'sensitive' }),
  row('17', 'POP', 'SS', 'segment', () => popSeg(SEG_SS), { class: 'sensitive' }),
  row('1F', 'POP', 'DS', 'segment', () => popSeg(SEG_DS), { class: 'sensitive' }),
  row('0F A1', 'POP', 'FS', 'segment', () => popSeg(SEG_FS), { class: 'sensitive' }),
  row('0F A9', 'POP', 'GS', 'segment', () => popSeg(SEG_GS), { class: 'sensitive' }),
  row('C4', 'LES', 'Gv,Mp', 'segment', () => loadFarPointer(SEG_ES), { class: 'sensitive' }),
  row('C5', 'LDS', 'Gv,Mp', 'segment', () => loadFarPointer(SEG_DS), { class: 'sensitive' }),
  row('0F B2', 'LSS', 'Gv,Mp', 'segment', () => loadFarPointer(SEG_SS), { class: 'sensitive' }),
  row('0F B4', 'LFS', 'Gv,Mp', 'segment', () => loadFarPointer(SEG_FS), { class: 'sensitive' }),
  row('0F B5', 'LGS', 'Gv,Mp', 'segment', () => loadFarPointer(SEG_GS), { class: 'sensitive' }),
  row('60', 'PUSHA', '', 'stack', () => pusha),
  row('61', 'POPA', '', 'stack', () => popa),
  row('C8', 'ENTER', 'Iw,Ib', 'stack', () => enter),
  row('C9', 'LEAVE', '', 'stack', () => leave),
  row('62', 'BOUND', 'Gv,Ma', 'load', () => bound),
  row('D6', 'SALC', '', 'simple', () => salc),
  // Hints: prefetches, ENDBR32 (F3 0F 1E FB) and reserved NOPs do nothing on a processor without what they hint at.
  ...['18', '19', '1A', '1B', '1C', '1D', '1E', '1F'].map((code) =>
    row(`0F ${code}`, 'NOP', 'Ev', 'simple', () => () => {}, { memory: 'simple' }),
  ),
  ...CONDITION_NAMES.map((name, cc) => row(`0F ${hex(0x40 + cc)}`, `CMOV${name}`, 'Gv,Ev', 'simple', () => cmov(cc))),
  ...CONDITION_NAMES.map((name, cc) =>
    row(`0F ${hex(0x90 + cc)}`, `SET${name}`, 'Eb', 'simple', () => setcc(cc), { memory: 'store' }),
  ),
];

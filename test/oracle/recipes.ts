/**
 * What an instruction needs beyond its operands to be worth testing: a dividend that fits, a stack that holds a
 * return address, a far pointer with a selector. One recipe per mnemonic that is special.
 * Invariant: a recipe gives meaning to registers, memory and operand values before the generic filling does.
 */

import { type Draft, DS, EAX, EBP, EBX, ECX, EDI, EDX, ES, ESI, ESP, type Width } from './draft.ts';
import {
  CODE_AT,
  CODE_BYTES,
  CODE_END,
  DATA_AT,
  NOTHING_AT,
  NOTHING_BYTES,
  SEL,
  SEL_CODE,
  SEL_DATA,
} from './layout.ts';
import { shiftCount, valueIn } from './values.ts';

/** Values that a recipe wishes for the operands. */
export interface Wishes {
  /** Value of the ModRM register or memory operand. */
  rm?: number;
  /** Value of the register operand. */
  reg?: number;
  imm?: number;
  imm2?: number;
  /** Address of the memory operand. */
  lin?: number;
  /** Bytes of memory behind the operand, from its address on, as 32-bit or smaller pieces. */
  memory?: readonly (readonly [offset: number, bytes: number, value: number])[];
}
export type Recipe = (d: Draft) => Wishes;

const TWO32 = 4294967296n;

const shiftRecipe: Recipe = (d) => {
  const count = shiftCount(d.rng);
  d.setReg(ECX, 8, count);
  return { imm: count };
};

/** Past the operand width a double shift is undefined, and CPUs do differ. */
const doubleShift: Recipe = (d) => {
  const drawn = shiftCount(d.rng);
  const count = d.width === 16 && (drawn & 31) > 16 ? drawn & 15 : drawn;
  d.setReg(ECX, 8, count);
  return { imm: count };
};

const accumulator: Recipe = (d) => {
  d.setReg(EAX, d.width === 8 ? 16 : d.width, valueIn(d.rng, d.width));
  return {};
};

/** A dividend whose quotient fits in most cases, and just fails in some. */
const division =
  (signed: boolean): Recipe =>
  (d) => {
    const { rng, width } = d;
    if (rng.chance(1, 6)) return accumulator(d);
    const bits = BigInt(width);
    const extend = (v: bigint): bigint => (signed ? BigInt.asIntN(width, v) : BigInt.asUintN(width, v));
    const divisor = extend(BigInt(valueIn(rng, width)));
    const quotient = extend(BigInt(valueIn(rng, width))) + BigInt(rng.below(16) === 0 ? 1 : 0);
    const size = divisor < 0n ? -divisor : divisor;
    const rest = size === 0n ? 0n : (BigInt(rng.uint32()) * TWO32 + BigInt(rng.uint32())) % size;
    const product = quotient * divisor;
    const dividend = BigInt.asUintN(2 * width, product + (signed && product < 0n ? -rest : rest));
    const low = Number(BigInt.asIntN(32, dividend));
    if (width === 8) d.setReg(EAX, 16, low);
    else {
      d.setReg(EAX, width, low);
      d.setReg(EDX, width, Number(BigInt.asIntN(32, dividend >> bits)));
    }
    return { rm: Number(BigInt.asIntN(32, divisor)) };
  };

const cmpxchg: Recipe = (d) => {
  const old = valueIn(d.rng, d.width);
  d.setReg(EAX, d.width, d.rng.chance(1, 2) ? old : valueIn(d.rng, d.width));
  return { rm: old };
};

const cmpxchg8b: Recipe = (d) => {
  const [low, high] = [valueIn(d.rng, 32), valueIn(d.rng, 32)];
  const equal = d.rng.chance(1, 2);
  d.setReg(EAX, 32, equal ? low : valueIn(d.rng, 32));
  d.setReg(EDX, 32, equal || d.rng.chance(1, 2) ? high : valueIn(d.rng, 32));
  return {
    memory: [
      [0, 4, low],
      [4, 4, high],
    ],
  };
};

/** The bit number reaches memory before and behind the operand; the operand is placed so that the bit is at a target. */
const bitRecipe: Recipe = (d) => {
  const size = d.width >> 3;
  const bit = d.sometimes(50) ? d.rng.below(d.width) : valueIn(d.rng, d.width);
  const word = d.width === 32 ? bit >> 5 : ((bit << 16) >> 20) | 0;
  return { reg: bit, lin: (d.target(size) - word * size) | 0 };
};

const bitImmediate: Recipe = (d) => ({ imm: valueIn(d.rng, 8) });

const xlat: Recipe = (d) => {
  if (d.sometimes(12)) d.flipAddressSize();
  const al = valueIn(d.rng, 8);
  d.setReg(EAX, 8, al);
  const seg = d.chooseSegment(DS);
  const offset = d.offsetIn(seg, d.target(1), 1);
  d.setReg(EBX, d.address16 ? 16 : 32, offset - al);
  return {};
};

const bound: Recipe = (d) => {
  const size = d.width >> 3;
  const values = [valueIn(d.rng, d.width), valueIn(d.rng, d.width), valueIn(d.rng, d.width)].map(
    (v) => (v << (32 - d.width)) >> (32 - d.width),
  );
  const [low, middle, high] = values.sort((a, b) => a - b) as [number, number, number];
  const index = d.sometimes(60) ? d.pick([low, middle, high]) : d.pick([low - 1, high + 1]);
  return {
    reg: index,
    memory: [
      [0, size, low],
      [size, size, high],
    ],
  };
};

// ---------------------------------------------------------------- strings

/** Source and destination pointers, a counter, and contents that compare equal for a while. */
const stringRecipe =
  (uses: { source: boolean; destination: boolean; compares: boolean }): Recipe =>
  (d) => {
    const { rng } = d;
    d.eflags = (d.eflags & ~0x400) | (rng.chance(1, 4) ? 0x400 : 0);
    if (d.sometimes(12)) d.flipAddressSize();
    const down = (d.eflags & 0x400) !== 0;
    const size = d.width >> 3;
    const repeats = rng.chance(2, 3);
    const count = repeats ? d.pick([0, 1, 2, 3, 5, 8, 9, 10, 16, 17, 40, 100, 300]) : 1;
    if (repeats) d.prefixes.push(d.pick([0xf2, 0xf3]));
    const width: Width = d.address16 ? 16 : 32;
    d.setReg(ECX, width, count);
    const fill = valueIn(rng, 8);
    const same = rng.below(count + 3);
    const place = (register: number, seg: number): void => {
      const lin = d.target(size);
      d.setReg(register, width, d.offsetIn(seg, lin, size));
      if (!uses.compares) return;
      const bytes = Math.min(same * size, 200);
      for (let i = 0; i < bytes; i++) d.store(down ? lin + size - 1 - i : lin + i, 1, fill);
    };
    if (uses.source) place(ESI, d.chooseSegment(DS));
    if (uses.destination) place(EDI, d.chooseSegment(ES, false));
    if (uses.compares && !uses.source && rng.chance(4, 5)) {
      d.setReg(EAX, 32, fill | (fill << 8) | (fill << 16) | (fill << 24));
    }
    return {};
  };

// ---------------------------------------------------------------- stack

const pushes =
  (bytes: (d: Draft) => number): Recipe =>
  (d) => {
    d.stack(bytes(d), true);
    return {};
  };
const operandBytes = (d: Draft): number => d.width >> 3;
const pops: Recipe = (d) => {
  const lin = d.stack(operandBytes(d), false);
  d.store(lin, operandBytes(d), valueIn(d.rng, d.width));
  return {};
};
const pusha = pushes((d) => d.width);
const popa: Recipe = (d) => {
  d.stack(d.width, false);
  return {};
};
/** Any flags at all, reserved and privileged ones as well. Not TF: what follows is not under test here. */
const flagImage = (d: Draft): number => d.rng.uint32() & ~0x100;
const popf: Recipe = (d) => {
  d.store(d.stack(operandBytes(d), false), operandBytes(d), flagImage(d));
  return {};
};

const enter: Recipe = (d) => {
  const size = operandBytes(d);
  const level = d.pick([0, 0, 0, 1, 1, 2, 3, 5, 31, 32, 34]);
  d.stack(size * ((level & 31) + 1), true);
  d.setReg(ESP, 32, 0);
  const frame = d.target(size);
  d.setReg(EBP, 32, frame + ((level & 31) - 1) * size);
  const room = d.pick([0, 1, 4, 16, 100, 0x800, 0x1000, 0x3000, 0x8000, 0xffff]);
  return { imm: room, imm2: level };
};
const leave: Recipe = (d) => {
  if (d.rng.chance(1, 6)) d.segments[2] = d.pick([SEL.data16, SEL.data32, SEL.wrap16]);
  const size = operandBytes(d);
  const lin = d.target(size);
  d.setReg(EBP, d.stackWidth, d.offsetIn(2, lin, size));
  return {};
};

// ---------------------------------------------------------------- control transfer

/** Where a near transfer may go: HLT somewhere in the code area, or nowhere. Never into the case's own code. */
export function nearTarget(d: Draft, width: Width): number {
  const lin = d.sometimes(85)
    ? CODE_AT + d.rng.below(CODE_BYTES)
    : d.pick([CODE_END, CODE_AT - 1, NOTHING_AT + d.rng.below(NOTHING_BYTES)]);
  const clear = Math.abs(lin - d.codeAt) < 16 ? d.codeAt + 16 : lin;
  const offset = clear - (d.codeAt - d.eip);
  return width === 16 ? offset & 0xffff : offset;
}

const indirect: Recipe = (d) => ({ rm: nearTarget(d, d.width) });
const indirectCall: Recipe = (d) => {
  d.stack(operandBytes(d), true);
  return indirect(d);
};
const ret: Recipe = (d) => {
  d.store(d.stack(operandBytes(d), false), operandBytes(d), nearTarget(d, d.width));
  return { imm: d.pick([0, 4, 8, 0x10, 0x7fff, 0x8000, 0xffff]) };
};
const call: Recipe = (d) => {
  d.stack(operandBytes(d), true);
  return {};
};
const loop: Recipe = (d) => {
  if (d.sometimes(25)) d.flipAddressSize();
  const low = d.pick([0, 1, 2, 0x8000, 0xffff]);
  d.setReg(ECX, 32, d.rng.chance(1, 2) ? low : low | (d.rng.below(3) << 16));
  return {};
};

/** Selectors for code: good ones and all kinds of bad ones. Not 0x30, the 64-bit segment. */
const GOOD_CODE = [SEL_CODE, SEL_CODE, SEL.code32, SEL.code32, SEL.executeOnly, SEL.code16, SEL.code16Flat] as const;
const POOR_CODE = [0x20, 0x21, SEL.code32 & ~3, SEL.codeSmall, SEL.absentCode, SEL.absentConforming] as const;
const BAD_CODE = [
  SEL.data32,
  SEL_DATA,
  0,
  3,
  0x08,
  0x0b,
  0x10,
  0x18,
  0x1b,
  0x40,
  0x43,
  0x50,
  0x38,
  0x63,
  0x80,
] as const;
const BEYOND = [0xfff8, SEL.beyond] as const;
const CODE_SELECTORS: readonly number[] = [...GOOD_CODE, ...POOR_CODE, ...BAD_CODE, ...BEYOND];

function farTarget(d: Draft): { selector: number; offset: number } {
  const selector = d.pick(CODE_SELECTORS);
  const base = selector === SEL.code16 || selector === SEL.codeSmall ? CODE_AT : 0;
  const lin = CODE_AT + 0x40 * (1 + d.rng.below(0x7e));
  const clear = Math.abs(lin - d.codeAt) < 16 ? lin + 0x40 : lin;
  return { selector, offset: d.sometimes(8) ? NOTHING_AT + d.rng.below(NOTHING_BYTES) : clear - base };
}
const farMemory: Recipe = (d) => {
  const { selector, offset } = farTarget(d);
  const size = operandBytes(d);
  return {
    imm: offset,
    imm2: selector,
    memory: [
      [0, size, offset],
      [size, 2, selector],
    ],
  };
};
const callFar: Recipe = (d) => {
  d.stack(2 * operandBytes(d), true);
  return farMemory(d);
};
const returnFar: Recipe = (d) => {
  const { selector, offset } = farTarget(d);
  const size = operandBytes(d);
  // A selector of another ring makes some CPUs read the outer stack pointer before they judge it: keep that readable.
  const sameRing = (selector & 3) === 3;
  const room = sameRing ? 0 : d.pick([0, 4, 8, 0x10]);
  const lin = sameRing ? d.stack(3 * size, false) : DATA_AT + d.rng.below(0x1000);
  d.setReg(ESP, 32, lin);
  d.store(lin, size, offset);
  d.store(lin + size, size, selector | (d.rng.uint32() << 16));
  d.store(lin + 2 * size, size, flagImage(d));
  return { imm: sameRing ? d.pick([0, 4, 8, 0x10, 0x8000]) : room };
};

const INT_NUMBERS = [0, 1, 2, 3, 3, 4, 4, 5, 6, 8, 10, 13, 14, 17, 18, 29, 0x20, 0x2e, 0x40, 0x81, 0xff] as const;
const interrupt: Recipe = (d) => ({ imm: d.pick(INT_NUMBERS) });

// ---------------------------------------------------------------- segments

/** Selectors for data segments, and for LAR, LSL, VERR, VERW: every kind there is. Not 0x78, which holds the CPU's number. */
const GLOBAL = [
  0,
  1,
  2,
  3,
  SEL_DATA,
  0x28,
  0x29,
  SEL_CODE,
  0x20,
  0x08,
  0x0b,
  0x10,
  0x18,
  0x1b,
  0x30,
  0x33,
  0x38,
] as const;
const GLOBAL_SYSTEM = [0x40, 0x43, 0x48, 0x50, 0x53, 0x58, 0x60, 0x63, 0x73, 0x80, 0x83, 0xffff, 0xfffc] as const;
const LOCAL = Object.values(SEL);
const LOCAL_INNER = [SEL.data32, SEL.data16, SEL.readOnly, SEL.code32, SEL.absentData].map((s) => s & ~3);
const SELECTORS: readonly number[] = [...GLOBAL, ...GLOBAL_SYSTEM, ...LOCAL, ...LOCAL_INNER];
/** Selectors that do load, more often than a random one would. */
const GOOD = [SEL_DATA, 0x28, SEL.data32, SEL.data16, SEL.small, SEL.expandDown, SEL.wrap16, SEL.readOnly] as const;
const selector = (d: Draft): number => (d.rng.chance(1, 3) ? d.pick(GOOD) : d.pick(SELECTORS));

const segmentFromRm: Recipe = (d) => ({ rm: selector(d) | (d.rng.uint32() << 16) });
const popSegment: Recipe = (d) => {
  const size = operandBytes(d);
  d.store(d.stack(size, false), size, selector(d) | (d.rng.uint32() << 16));
  return {};
};
const farPointer: Recipe = (d) => {
  const size = operandBytes(d);
  return {
    memory: [
      [0, size, valueIn(d.rng, d.width)],
      [size, 2, selector(d)],
    ],
  };
};
const arpl: Recipe = (d) => ({ rm: selector(d), reg: selector(d) | (d.rng.uint32() << 16) });

const popRm: Recipe = (d) => {
  const lin = d.stack(operandBytes(d), false);
  d.store(lin, operandBytes(d), valueIn(d.rng, d.width));
  return {};
};
const pushRm: Recipe = (d) => {
  d.stack(operandBytes(d), true);
  return {};
};
/** A pointer that is not far from the data area, for instructions that must not use it. */
const pointers: Recipe = (d) => {
  d.setReg(ESI, 32, DATA_AT + d.rng.below(0x1000));
  d.setReg(EDI, 32, DATA_AT + d.rng.below(0x1000));
  d.setReg(ECX, 32, d.rng.below(4));
  if (d.sometimes(40)) d.prefixes.push(0xf3);
  return {};
};

/** By mnemonic. Others get edge and random values in their operands. */
export const RECIPES: Readonly<Record<string, Recipe>> = {
  ROL: shiftRecipe,
  ROR: shiftRecipe,
  RCL: shiftRecipe,
  RCR: shiftRecipe,
  SHL: shiftRecipe,
  SHR: shiftRecipe,
  SAR: shiftRecipe,
  SHLD: doubleShift,
  SHRD: doubleShift,
  MUL: accumulator,
  IMUL: accumulator,
  DIV: division(false),
  IDIV: division(true),
  CMPXCHG: cmpxchg,
  CMPXCHG8B: cmpxchg8b,
  BT: bitRecipe,
  BTS: bitRecipe,
  BTR: bitRecipe,
  BTC: bitRecipe,
  XLAT: xlat,
  BOUND: bound,
  MOVS: stringRecipe({ source: true, destination: true, compares: false }),
  CMPS: stringRecipe({ source: true, destination: true, compares: true }),
  STOS: stringRecipe({ source: false, destination: true, compares: false }),
  LODS: stringRecipe({ source: true, destination: false, compares: false }),
  SCAS: stringRecipe({ source: false, destination: true, compares: true }),
  INS: pointers,
  OUTS: pointers,
  PUSH: pushRm,
  POP: popRm,
  PUSHA: pusha,
  POPA: popa,
  PUSHF: pushes(operandBytes),
  POPF: popf,
  ENTER: enter,
  LEAVE: leave,
  RET: ret,
  CALL: call,
  LOOP: loop,
  LOOPE: loop,
  LOOPNE: loop,
  JCXZ: loop,
  JMPF: farMemory,
  CALLF: callFar,
  RETF: returnFar,
  IRET: returnFar,
  INT: interrupt,
  LES: farPointer,
  LDS: farPointer,
  LSS: farPointer,
  LFS: farPointer,
  LGS: farPointer,
  LAR: segmentFromRm,
  LSL: segmentFromRm,
  VERR: segmentFromRm,
  VERW: segmentFromRm,
  ARPL: arpl,
};

/** By opcode, where the mnemonic does not say enough. */
export const RECIPES_BY_OPCODE: Readonly<Record<string, Recipe>> = {
  '0F BA /4': bitImmediate,
  '0F BA /5': bitImmediate,
  '0F BA /6': bitImmediate,
  '0F BA /7': bitImmediate,
  '8E': segmentFromRm,
  '07': popSegment,
  '17': popSegment,
  '1F': popSegment,
  '0F A1': popSegment,
  '0F A9': popSegment,
  'FF /2': indirectCall,
  'FF /4': indirect,
  '58+r': pops,
};
